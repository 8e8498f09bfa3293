// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The configuration file: one statement a line, words between blanks, a word
 * that begins with '#' begins a comment. The words are those of the command
 * line. A wrong line makes the whole file wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/util.h>
#include <openssl/objects.h>

#include "tcpseald.h"

#define WORDS_MAX	64		/* of one line */
#define FILE_MAX	(16 * 1024 * 1024)
#define LINKS_MAX	65536

struct parser {
	const char *name;
	unsigned int line;
	struct conf *conf;
	int argc;
	char *argv[WORDS_MAX];
	char *error;
	size_t size;
	uint32_t seen;			/* statements that come once */
};

static int refuse(struct parser *p, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static int refuse(struct parser *p, const char *format, ...)
{
	va_list args;
	int n;

	n = snprintf(p->error, p->size, "%s:%u: ", p->name, p->line);
	if (n < 0 || (size_t)n >= p->size)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(p->error + n, p->size - n, format, args);
	va_end(args);
	return -EINVAL;
}

static int set_string(struct parser *p, char **to, const char *word)
{
	if (*to)
		return refuse(p, "\"%.100s\" is said twice", word);
	*to = strdup(word);
	return *to ? 0 : refuse(p, "out of memory");
}

static int set_u32(struct parser *p, const char *word, uint32_t min,
		   uint32_t max, uint32_t *to)
{
	uint64_t value;

	if (tcpseal_size_parse(word, &value) || value < min || value > max)
		return refuse(p, "\"%.100s\" is not a number from %u to %u",
			      word, min, max);
	*to = value;
	return 0;
}

static int set_secs(struct parser *p, const char *word, uint32_t min,
		    uint32_t max, uint32_t *to)
{
	uint32_t value;

	if (tcpseal_secs_parse(word, &value) || value < min || value > max)
		return refuse(p, "\"%.100s\" is not a time from %u to %u seconds",
			      word, min, max);
	*to = value;
	return 0;
}

static int identity_line(struct parser *p)
{
	struct conf *c = p->conf;
	int i, ret = 0;

	for (i = 1; i < p->argc && !ret; i += 2) {
		if (i + 1 == p->argc)
			return refuse(p, "\"%.100s\" wants a value behind it",
				      p->argv[i]);
		if (!strcmp(p->argv[i], "cert"))
			ret = set_string(p, &c->cert, p->argv[i + 1]);
		else if (!strcmp(p->argv[i], "key"))
			ret = set_string(p, &c->key, p->argv[i + 1]);
		else if (!strcmp(p->argv[i], "ca"))
			ret = set_string(p, &c->ca, p->argv[i + 1]);
		else if (!strcmp(p->argv[i], "crl"))
			ret = set_string(p, &c->crl, p->argv[i + 1]);
		else
			return refuse(p, "\"%.100s\" is not cert, key, ca or crl",
				      p->argv[i]);
	}
	if (!ret && (!c->cert || !c->key || !c->ca))
		return refuse(p, "\"identity\" wants cert, key and ca");
	return ret;
}

static int link_line(struct parser *p)
{
	struct conf *c = p->conf;
	struct conf_link *links;
	struct tcpseal_link link;
	struct tcpseal_err err;
	size_t i;

	if (tcpseal_link_parse(p->argc - 1, p->argv + 1, &link, &err))
		return refuse(p, "%s", err.text);
	for (i = 0; i < c->links_n; i++)
		if (tcpseal_link_same_prefixes(&c->links[i].link, &link))
			return refuse(p, "\"%s\" \"%s\": the same link as in line %u",
				      p->argv[1], p->argv[2],
				      c->links[i].line);
	if (c->links_n == LINKS_MAX)
		return refuse(p, "more than %u links", LINKS_MAX);
	if (!(c->links_n & (c->links_n - 1))) {
		i = c->links_n ? c->links_n * 2 : 1;
		links = realloc(c->links, i * sizeof(*links));
		if (!links)
			return refuse(p, "out of memory");
		c->links = links;
	}
	c->links[c->links_n].link = link;
	c->links[c->links_n++].line = p->line;
	return 0;
}

static int port_line(struct parser *p)
{
	uint32_t port = 0;
	int ret = set_u32(p, p->argv[1], 1, 65535, &port);

	p->conf->port = port;
	return ret;
}

static int rotate_line(struct parser *p)
{
	struct conf *c = p->conf;
	int i, ret = 0;

	for (i = 1; i < p->argc && !ret; i += 2) {
		if (i + 1 == p->argc)
			return refuse(p, "\"%.100s\" wants a value behind it",
				      p->argv[i]);
		if (!strcmp(p->argv[i], "time"))
			ret = set_secs(p, p->argv[i + 1], 1, 30 * 86400,
				       &c->rotate_secs);
		else if (strcmp(p->argv[i], "volume"))
			return refuse(p, "\"%.100s\" is not time or volume",
				      p->argv[i]);
		else if (tcpseal_size_parse(p->argv[i + 1], &c->rotate_bytes) ||
			 c->rotate_bytes < 65536 ||
			 c->rotate_bytes > 1ULL << 50)
			return refuse(p, "\"%.100s\" is not a volume from 64K to 1024T",
				      p->argv[i + 1]);
	}
	return ret;
}

static int hard_line(struct parser *p)
{
	if (p->argc != 3 || strcmp(p->argv[1], "time"))
		return refuse(p, "\"%.100s\" is not \"time SECONDS\"",
			      p->argv[1]);
	return set_secs(p, p->argv[2], 2, 30 * 86400, &p->conf->hard_secs);
}

static int idle_line(struct parser *p)
{
	return set_secs(p, p->argv[1], 0, 30 * 86400, &p->conf->idle_secs);
}

static int state_line(struct parser *p)
{
	if (*p->argv[1] != '/')
		return refuse(p, "\"%.100s\" is not an absolute directory",
			      p->argv[1]);
	free(p->conf->state);
	p->conf->state = NULL;
	return set_string(p, &p->conf->state, p->argv[1]);
}

static int key_log_line(struct parser *p)
{
	if (*p->argv[1] != '/')
		return refuse(p, "\"%.100s\" is not an absolute path",
			      p->argv[1]);
	return set_string(p, &p->conf->keylog, p->argv[1]);
}

static int skew_line(struct parser *p)
{
	return set_secs(p, p->argv[1], 0, 86400, &p->conf->clock_skew);
}

static int stale_line(struct parser *p)
{
	p->conf->crl_stale_fails = !strcmp(p->argv[1], "fail");
	if (!p->conf->crl_stale_fails && strcmp(p->argv[1], "warn"))
		return refuse(p, "\"%.100s\" is not warn or fail", p->argv[1]);
	return 0;
}

static int eku_line(struct parser *p)
{
	ASN1_OBJECT *object;

	if (strcmp(p->argv[1], "any")) {
		object = OBJ_txt2obj(p->argv[1], 0);
		if (!object)
			return refuse(p, "\"%.100s\" is not any, nor the name or number of a key usage",
				      p->argv[1]);
		ASN1_OBJECT_free(object);
	}
	return set_string(p, &p->conf->eku, p->argv[1]);
}

static int log_line_of(struct parser *p)
{
	static const char *const levels[] = { "error", "warn", "info",
					      "debug" };
	unsigned int i;

	if (p->argc != 3 || strcmp(p->argv[1], "level"))
		return refuse(p, "\"%.100s\" is not \"level LEVEL\"",
			      p->argv[1]);
	for (i = 0; i < 4; i++) {
		if (strcmp(levels[i], p->argv[2]))
			continue;
		p->conf->log_level = i;
		return 0;
	}
	return refuse(p, "\"%.100s\" is not error, warn, info or debug",
		      p->argv[2]);
}

static int hold_line(struct parser *p)
{
	struct tcpseal_conf *k = &p->conf->kernel;
	int i, ret = 0;

	for (i = 1; i < p->argc && !ret; i += 2) {
		if (i + 1 == p->argc)
			return refuse(p, "\"%.100s\" wants a value behind it",
				      p->argv[i]);
		if (!strcmp(p->argv[i], "time")) {
			ret = set_secs(p, p->argv[i + 1], 1, 3, &k->hold_secs);
			TCPSEAL_MARK(k, CONF_HOLD_SECS);
		} else if (!strcmp(p->argv[i], "pair")) {
			ret = set_u32(p, p->argv[i + 1], 1, 1024,
				      &k->hold_pair);
			TCPSEAL_MARK(k, CONF_HOLD_PAIR);
		} else if (!strcmp(p->argv[i], "user")) {
			ret = set_u32(p, p->argv[i + 1], 1, 1048576,
				      &k->hold_user);
			TCPSEAL_MARK(k, CONF_HOLD_USER);
		} else if (!strcmp(p->argv[i], "net")) {
			ret = set_u32(p, p->argv[i + 1], 1, 1048576,
				      &k->hold_net);
			TCPSEAL_MARK(k, CONF_HOLD_NET);
		} else {
			return refuse(p, "\"%.100s\" is not time, pair, user or net",
				      p->argv[i]);
		}
	}
	return ret;
}

static int grace_line(struct parser *p)
{
	TCPSEAL_MARK(&p->conf->kernel, CONF_GRACE_MSECS);
	return set_u32(p, p->argv[1], 0, 60000, &p->conf->kernel.grace_msecs);
}

static int max_pairs_line(struct parser *p)
{
	TCPSEAL_MARK(&p->conf->kernel, CONF_MAX_PAIRS);
	return set_u32(p, p->argv[1], 1, 4194304, &p->conf->kernel.max_pairs);
}

static int tombstone_line(struct parser *p)
{
	TCPSEAL_MARK(&p->conf->kernel, CONF_TOMBSTONE_SECS);
	return set_secs(p, p->argv[1], 0, 604800,
			&p->conf->kernel.tombstone_secs);
}

static int lanes_line(struct parser *p)
{
	int ret = set_u32(p, p->argv[1], 1, 64, &p->conf->lanes);

	if (!ret && (p->conf->lanes & (p->conf->lanes - 1)))
		return refuse(p, "\"%.100s\" is not a power of two",
			      p->argv[1]);
	return ret;
}

static int workers_line(struct parser *p)
{
	return set_u32(p, p->argv[1], 2, 256, &p->conf->workers);
}

static int connections_line(struct parser *p)
{
	return set_u32(p, p->argv[1], 64, 65536, &p->conf->connections);
}

static bool loopback(const struct sockaddr_storage *ss)
{
	const struct sockaddr_in6 *in6 = (const void *)ss;
	const struct sockaddr_in *in = (const void *)ss;

	if (ss->ss_family == AF_INET)
		return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
	return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
}

static int metrics_unix(struct parser *p, const char *path)
{
	struct metrics_at *at = &p->conf->metrics;
	struct sockaddr_un *un = (struct sockaddr_un *)&at->addr;

	if (*path != '/' || strlen(path) >= sizeof(un->sun_path))
		return refuse(p, "\"%.100s\" is not an absolute path of less than %zu bytes",
			      path, sizeof(un->sun_path));
	un->sun_family = AF_UNIX;
	strcpy(un->sun_path, path);
	at->len = sizeof(*un);
	return 0;
}

/* ADDRESS:PORT [remote], or unix:PATH */
static int metrics_line(struct parser *p)
{
	struct metrics_at *at = &p->conf->metrics;
	const char *word = p->argv[1];
	bool local = !strncmp(word, "unix:", 5);
	int len = sizeof(at->addr);

	if (p->argc > 3 ||
	    (p->argc == 3 && (local || strcmp(p->argv[2], "remote"))))
		return refuse(p, "\"%.100s\" is too much",
			      p->argv[p->argc > 3 ? 3 : 2]);
	at->line = p->line;
	if (set_string(p, &at->text, word))
		return -EINVAL;
	if (local)
		return metrics_unix(p, word + 5);
	/* The port is at the same place in both */
	if (evutil_parse_sockaddr_port(word, (struct sockaddr *)&at->addr,
				       &len) ||
	    !((struct sockaddr_in *)&at->addr)->sin_port)
		return refuse(p, "\"%.100s\" is not ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH",
			      word);
	if (p->argc == 2 && !loopback(&at->addr))
		return refuse(p, "\"%.100s\" can be reached from outside; say \"remote\" behind it if that is meant",
			      word);
	at->len = len;
	return 0;
}

static int sticky_line(struct parser *p)
{
	return set_u32(p, p->argv[1], 1, 4194304, &p->conf->sticky_max);
}

static const struct statement {
	const char *word;
	int (*parse)(struct parser *p);
	int args;			/* exactly so many; -1: one or more */
	bool often;
} statements[] = {
	{ "identity", identity_line, -1, false },
	{ "link", link_line, -1, true },
	{ "port", port_line, 1, false },
	{ "rotate", rotate_line, -1, false },
	{ "hard", hard_line, -1, false },
	{ "idle", idle_line, 1, false },
	{ "state", state_line, 1, false },
	{ "clock-skew", skew_line, 1, false },
	{ "crl-stale", stale_line, 1, false },
	{ "eku", eku_line, 1, false },
	{ "log", log_line_of, -1, false },
	{ "hold", hold_line, -1, false },
	{ "grace-msecs", grace_line, 1, false },
	{ "max-pairs", max_pairs_line, 1, false },
	{ "tombstone", tombstone_line, 1, false },
	{ "lanes", lanes_line, 1, false },
	{ "workers", workers_line, 1, false },
	{ "control-connections", connections_line, 1, false },
	{ "sticky-max", sticky_line, 1, false },
	{ "metrics", metrics_line, -1, false },
	{ "key-log", key_log_line, 1, false },
};

static int statement(struct parser *p)
{
	const struct statement *s = statements;
	unsigned int i;

	for (i = 0; i < sizeof(statements) / sizeof(*statements); i++, s++) {
		if (strcmp(p->argv[0], s->word))
			continue;
		if (!s->often && (p->seen >> i & 1))
			return refuse(p, "\"%s\" is said twice", s->word);
		p->seen |= 1U << i;
		if (p->argc == 1)
			return refuse(p, "\"%s\" wants a value behind it",
				      s->word);
		if (s->args >= 0 && p->argc != s->args + 1)
			return refuse(p, "\"%.100s\" is too much",
				      p->argv[s->args + 1]);
		return s->parse(p);
	}
	return refuse(p, "\"%.100s\" is not a word that begins a line",
		      p->argv[0]);
}

static int parse_line(struct parser *p, char *line)
{
	static const char blanks[] = " \t\r\f\v";
	char *save, *word;

	p->argc = 0;
	for (word = strtok_r(line, blanks, &save); word && *word != '#';
	     word = strtok_r(NULL, blanks, &save)) {
		if (p->argc == WORDS_MAX)
			return refuse(p, "\"%.100s\": more than %u words",
				      word, WORDS_MAX);
		p->argv[p->argc++] = word;
	}
	return p->argc ? statement(p) : 0;
}

static struct conf *conf_default(const char *name)
{
	struct conf *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->name = strdup(name);
	c->state = strdup("/var/lib/tcpseal");
	c->port = TCPSEAL_PORT;
	c->rotate_secs = 3600;
	c->rotate_bytes = 1ULL << 40;
	c->hard_secs = 86400;
	c->idle_secs = 0;
	c->clock_skew = 60;
	c->lanes = 8;
	c->connections = 1024;
	c->sticky_max = 65536;
	c->log_level = LOG_LEVEL_INFO;
	if (c->name && c->state)
		return c;
	conf_free(c);
	return NULL;
}

static int parse_text(struct parser *p, char *text)
{
	char *line, *end;
	int ret = 0;

	for (line = text; line && !ret; line = end) {
		p->line++;
		end = strchr(line, '\n');
		if (end)
			*end++ = '\0';
		ret = parse_line(p, line);
	}
	if (!ret && !p->conf->cert)
		return refuse(p, "there is no \"identity cert FILE key FILE ca FILE\"");
	if (!ret && p->conf->hard_secs <= p->conf->rotate_secs)
		return refuse(p, "\"hard time %u\" is not more than \"rotate time %u\"",
			      p->conf->hard_secs, p->conf->rotate_secs);
	return ret;
}

struct conf *conf_parse(const char *name, const char *text, size_t length,
			char *error, size_t size)
{
	struct parser p = { .name = name, .error = error, .size = size };
	char *copy;
	int ret;

	p.conf = conf_default(name);
	copy = malloc(length + 1);
	if (!p.conf || !copy) {
		ret = refuse(&p, "out of memory");
	} else if (memchr(text, '\0', length)) {
		ret = refuse(&p, "there is a zero byte in it");
	} else {
		memcpy(copy, text, length);
		copy[length] = '\0';
		ret = parse_text(&p, copy);
	}
	free(copy);
	if (!ret)
		return p.conf;
	conf_free(p.conf);
	return NULL;
}

static ssize_t read_all(int fd, char *buf, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size) {
		n = read(fd, buf + have, size - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		have += n;
	}
	return have;
}

struct conf *conf_read(const char *file, char *error, size_t size)
{
	struct conf *conf = NULL;
	struct stat st;
	char *text;
	ssize_t n;
	int fd;

	fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
	    st.st_size > FILE_MAX) {
		snprintf(error, size, "%s: %s", file,
			 fd < 0 ? strerror(errno) : "not a file of a sane size");
		goto out;
	}
	text = malloc(st.st_size + 1);
	n = text ? read_all(fd, text, st.st_size) : -ENOMEM;
	if (n < 0)
		snprintf(error, size, "%s: %s", file, strerror(-n));
	else
		conf = conf_parse(file, text, n, error, size);
	free(text);
out:
	if (fd >= 0)
		close(fd);
	return conf;
}

void conf_free(struct conf *conf)
{
	if (!conf)
		return;
	free(conf->name);
	free(conf->cert);
	free(conf->key);
	free(conf->ca);
	free(conf->crl);
	free(conf->eku);
	free(conf->metrics.text);
	free(conf->keylog);
	free(conf->state);
	free(conf->links);
	free(conf);
}
