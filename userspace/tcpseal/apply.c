// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal apply: a configuration file in the place of the one that tcpseald has,
 * all of it or nothing, for good or on trial. tcpseald does it; this shows what
 * it will be, asks for it, and puts the file where the next start reads it.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <arpa/inet.h>

#include "libtcpseal.h"
#include "tcpseal.h"

#define STATE_DIR	"/var/lib/tcpseal"
#define FILE_MAX	(16 * 1024 * 1024)
#define ANSWER_SECS	60
#define SSH_PORT	22
#define CONFIRM_MIN	5
#define CONFIRM_MAX	86400
#define ESTABLISHED	1

static const char usage[] =
"Usage: tcpseal apply FILE [--confirm TIME] [--weaken] [--force] [conf FILE]\n"
"       tcpseal apply confirm [--force] [conf FILE]\n"
"       tcpseal apply back [conf FILE]\n"
"\n"
"Shows what FILE would change, as \"tcpseal plan\" does, has tcpseald do it, all\n"
"of it or nothing, and puts FILE in the place of the file that tcpseald reads\n"
"(conf, " TCPSEAL_CONF_FILE " unless given).\n"
"With --confirm only for so long, and FILE is put there by \"apply confirm\", which\n"
"has to come over a connection that is younger; otherwise tcpseald goes back by\n"
"itself. back: at once. --weaken: what must be sealed may become weaker, and\n"
"connections of links that go or become clear may end. --force: others may, too.\n";

struct options {
	const char *file;		/* or the word in its place */
	const char *conf;		/* what tcpseald reads */
	uint32_t change, confirm;
	bool force;
};

struct text {
	char *bytes;
	size_t length;
};

/* ------------------------------------------------------------- files */

static int read_file(const char *name, struct text *text)
{
	FILE *file = fopen(name, "re");
	struct stat st = { };
	int ret = 0;

	if (!file)
		return refuse("\"%s\": %s", name, strerror(errno));
	if (fstat(fileno(file), &st))
		ret = refuse("\"%s\": %s", name, strerror(errno));
	else if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX)
		ret = refuse("\"%s\": not a file of a sane size", name);
	if (!ret) {
		text->bytes = malloc(st.st_size + 1);
		if (!text->bytes)
			abort();
		text->length = fread(text->bytes, 1, st.st_size, file);
		text->bytes[text->length] = '\0';
		if (ferror(file))
			ret = refuse("\"%s\": %s", name, strerror(errno));
	}
	fclose(file);
	return ret;
}

/* the daemon's directory, as the file says it */
static void state_of(const struct text *text, char *dir, size_t size)
{
	const char *line = text->bytes;
	char word[PATH_MAX];

	snprintf(dir, size, "%s", STATE_DIR);
	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (sscanf(line, " state %4095s", word) == 1)
			snprintf(dir, size, "%s", word);
	}
}

static int write_new(const char *name, const struct text *text,
		     const struct stat *like)
{
	int fd, ret = 0;
	FILE *file;

	unlink(name);
	file = fopen(name, "wxe");
	if (!file)
		return -errno;
	fd = fileno(file);
	if (fchown(fd, like->st_uid, like->st_gid) ||
	    fchmod(fd, like->st_mode & 07777) ||
	    fwrite(text->bytes, 1, text->length, file) != text->length ||
	    fflush(file) || fsync(fd))
		ret = -errno;
	if (fclose(file) && !ret)
		ret = -errno;
	return ret;
}

/* What waits for a confirmation, beside the file that it is to replace */
static void trial_name(const char *conf, char *name, size_t size)
{
	snprintf(name, size, "%s.trial", conf);
}

/* Under another name at first, so that there is never half a file */
static int put_file(const char *name, const struct text *text,
		    const char *like_name)
{
	char fresh[PATH_MAX + 16];
	struct stat like;
	int ret;

	snprintf(fresh, sizeof(fresh), "%s.new", name);
	ret = stat(like_name, &like) ? -errno : write_new(fresh, text, &like);
	if (!ret && rename(fresh, name))
		ret = -errno;
	if (!ret)
		return 0;
	return refuse("it is in force, but cannot be written to \"%s\", which the next start of tcpseald needs: %s",
		      name, strerror(-ret));
}

/* ---------------------------------------------------------- the daemon */

/* Whoever answers must be the owner of the directory that is the daemon's alone */
static bool trusted(int fd, const char *dir)
{
	struct ucred who;
	socklen_t size = sizeof(who);
	struct stat st;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) &&
	       !stat(dir, &st) && (!who.uid || who.uid == st.st_uid);
}

static int connect_to(const char *dir)
{
	const struct timeval patience = { .tv_sec = ANSWER_SECS };
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(at.sun_path, sizeof(at.sun_path), "%s/control", dir);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (n >= (int)sizeof(at.sun_path) || fd < 0 ||
	    connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		refuse("tcpseald cannot be asked at \"%s\": %s", at.sun_path,
		       n >= (int)sizeof(at.sun_path) ? "too long a name" :
						       strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (!trusted(fd, dir)) {
		refuse("who answers at \"%s\" is not tcpseald: the directory is not its own",
		       at.sun_path);
		close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return fd;
}

static bool send_all(int fd, const char *bytes, size_t length)
{
	ssize_t n;

	while (length) {
		n = send(fd, bytes, length, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes += n;
		length -= n;
	}
	return true;
}

static bool hear_all(int fd, char *answer, size_t size)
{
	size_t have = 0;
	ssize_t n;

	while (have < size - 1) {
		n = recv(fd, answer + have, size - 1 - have, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		if (!n)
			break;
		have += n;
	}
	answer[have] = '\0';
	return have;
}

/* @head: the request but for its empty line. 0, or it was refused in words */
static int ask(const char *dir, const char *head, const struct text *text,
	       char *answer, size_t size)
{
	int fd = connect_to(dir), ret = 0;

	if (fd < 0)
		return EXIT_REFUSED;
	if (!send_all(fd, head, strlen(head)) || !send_all(fd, "\n", 1) ||
	    (text && !send_all(fd, text->bytes, text->length)) ||
	    shutdown(fd, SHUT_WR) || !hear_all(fd, answer, size))
		ret = refuse("tcpseald does not answer");
	else if (!strncmp(answer, "refused ", 8))
		ret = refuse("%.*s", (int)strcspn(answer + 8, "\n"), answer + 8);
	else if (strncmp(answer, "ok\n", 3))
		ret = refuse("tcpseald gives an answer that makes no sense");
	close(fd);
	return ret;
}

/* what stands behind a word of the answer */
static int word_of(const char *answer, const char *word, char *to, size_t size)
{
	const char *line = strchr(answer, '\n');
	size_t n = strlen(word);

	for (; line; line = strchr(line, '\n')) {
		line++;
		if (strncmp(line, word, n) || line[n] != ' ')
			continue;
		line += n + 1;
		snprintf(to, size, "%.*s", (int)strcspn(line, "\n"), line);
		return 0;
	}
	return refuse("tcpseald gives an answer that makes no sense");
}

/* --------------------------------------------------------- connections */

/* what a process has in its environment, in place of a newline a zero byte */
static bool environ_of(long pid, char *to, size_t size)
{
	static const char name[] = "SSH_CONNECTION=";
	char path[64], *word = NULL;
	bool found = false;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/environ", pid);
	file = fopen(path, "re");
	while (file && !found && getdelim(&word, &room, '\0', file) > 0) {
		if (strncmp(word, name, sizeof(name) - 1))
			continue;
		snprintf(to, size, "%s", word + sizeof(name) - 1);
		found = true;
	}
	free(word);
	if (file)
		fclose(file);
	return found;
}

static long parent_of(long pid)
{
	char path[64], text[512], *end;
	long parent = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	file = fopen(path, "re");
	if (file && fgets(text, sizeof(text), file)) {
		end = strrchr(text, ')');
		if (end && sscanf(end, ") %*c %ld", &parent) != 1)
			parent = 0;
	}
	if (file)
		fclose(file);
	return parent;
}

/*
 * The connection of ssh that this was typed over: sudo and others take it out of
 * the environment, but not out of that of the shell before them.
 */
static bool own_connection(char *to, size_t size)
{
	long pid = getpid();

	while (pid > 1) {
		if (environ_of(pid, to, size))
			return true;
		pid = parent_of(pid);
	}
	return false;
}

static int port_of(const char *connection)
{
	const char *port = strrchr(connection, ' ');

	return port ? atoi(port + 1) : 0;
}

/* an address as /proc/net/tcp has it, in words */
static bool hex_addr(const char *hex, char *to, size_t size)
{
	struct in6_addr a = { };
	uint32_t *word = a.s6_addr32;
	int i, words = strlen(hex) / 8;

	for (i = 0; i < words; i++) {
		if (sscanf(hex + 8 * i, "%8" SCNx32, &word[i]) != 1)
			return false;
	}
	if (words == 1)
		return inet_ntop(AF_INET, &word[0], to, size);
	if (IN6_IS_ADDR_V4MAPPED(&a))
		return inet_ntop(AF_INET, &word[3], to, size);
	return inet_ntop(AF_INET6, &a, to, size);
}

/* Calls @one for each established connection to @port of this host */
static void each_connection(const char *path, unsigned int port,
			    void (*one)(const char *connection, void *data),
			    void *data)
{
	char lhex[40], rhex[40], local[64], remote[64], text[200], *line = NULL;
	unsigned int lport, rport, state;
	FILE *file = fopen(path, "re");
	size_t room = 0;

	while (file && getline(&line, &room, file) > 0) {
		if (sscanf(line, " %*d: %32[0-9A-F]:%X %32[0-9A-F]:%X %X", lhex,
			   &lport, rhex, &rport, &state) != 5 ||
		    lport != port || state != ESTABLISHED ||
		    !hex_addr(lhex, local, sizeof(local)) ||
		    !hex_addr(rhex, remote, sizeof(remote)))
			continue;
		snprintf(text, sizeof(text), "%s %u %s %u", remote, rport,
			 local, lport);
		one(text, data);
	}
	free(line);
	if (file)
		fclose(file);
}

static void note_connection(const char *connection, void *data)
{
	fprintf(data, "connection %s\n", connection);
}

static void note_port(FILE *head, unsigned int port)
{
	fprintf(head, "port %u\n", port);
	each_connection("/proc/self/net/tcp", port, note_connection, head);
	each_connection("/proc/self/net/tcp6", port, note_connection, head);
}

struct sought {
	const char *connection;
	bool found;
};

static void compare_connection(const char *connection, void *data)
{
	struct sought *s = data;

	s->found |= !strcmp(s->connection, connection);
}

/* Is there this connection, now? */
static bool lives(const char *connection)
{
	struct sought s = { .connection = connection };

	each_connection("/proc/self/net/tcp", port_of(connection),
			compare_connection, &s);
	each_connection("/proc/self/net/tcp6", port_of(connection),
			compare_connection, &s);
	return s.found;
}

/* ------------------------------------------------------------ commands */

static int take_options(int argc, char **argv, struct options *o)
{
	int i;

	for (i = 0; i < argc; i++) {
		if (!strcmp(argv[i], "--weaken")) {
			o->change |= TCPSEAL_CHANGE_FLAG_WEAKEN;
		} else if (!strcmp(argv[i], "--force")) {
			o->change |= TCPSEAL_CHANGE_FLAG_FORCE;
			o->force = true;
		} else if (!strcmp(argv[i], "--confirm")) {
			if (++i == argc)
				return bad_word(argv[i - 1], "needs a value");
			if (tcpseal_secs_parse(argv[i], &o->confirm) ||
			    o->confirm < CONFIRM_MIN ||
			    o->confirm > CONFIRM_MAX)
				return bad_word(argv[i],
						"not a time from %d to %d seconds",
						CONFIRM_MIN, CONFIRM_MAX);
		} else if (!o->file) {
			o->file = argv[i];
		} else if (!strcmp(argv[i], "conf")) {
			if (++i == argc)
				return bad_word(argv[i - 1], "needs a value");
			o->conf = argv[i];
		} else {
			return bad_word(argv[i], "unexpected word");
		}
	}
	return o->file ? 0 : missing("FILE");
}

static bool same_file(const char *a, const char *b)
{
	struct stat one, other;

	return !stat(a, &one) && !stat(b, &other) &&
	       one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* the request, which lists the connections that there are before it */
static char *apply_head(const struct options *o, const char *name)
{
	char connection[200], *text = NULL;
	FILE *head;
	size_t size;

	head = open_memstream(&text, &size);
	if (!head)
		abort();
	fprintf(head, "apply\nname %s\nchange %u\nconfirm %u\n", name,
		o->change, o->confirm);
	if (o->confirm) {
		note_port(head, SSH_PORT);
		if (own_connection(connection, sizeof(connection)) &&
		    port_of(connection) != SSH_PORT)
			note_port(head, port_of(connection));
	}
	if (fclose(head))
		abort();
	return text;
}

/*
 * The file that tcpseald reads, and where it answers. It is asked only whether it
 * is the same one: root does not write to where another user's process says.
 */
static int find_daemon(const struct options *o, char *conf, char *dir,
		       size_t size)
{
	char answer[2 * PATH_MAX], file[PATH_MAX];
	struct text text = { };
	int ret;

	if (!realpath(o->conf, conf))
		return refuse("\"%s\": %s", o->conf, strerror(errno));
	ret = read_file(conf, &text);
	if (!ret)
		state_of(&text, dir, size);
	free(text.bytes);
	if (!ret)
		ret = ask(dir, "file\n", NULL, answer, sizeof(answer));
	if (!ret)
		ret = word_of(answer, "file", file, sizeof(file));
	if (!ret && strcmp(file, conf))
		ret = refuse("tcpseald reads \"%s\", not \"%s\": see \"conf FILE\"",
			     file, conf);
	return ret;
}

static int apply_text(const struct options *o, const char *conf,
		      const char *dir, const struct text *text)
{
	char name[PATH_MAX], trial[PATH_MAX + 8], answer[2 * PATH_MAX], *head;
	int ret;

	if (!realpath(o->file, name))
		return refuse("\"%s\": %s", o->file, strerror(errno));
	/* What follows may end the session that this runs in */
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	head = apply_head(o, name);
	ret = ask(dir, head, text, answer, sizeof(answer));
	free(head);
	if (ret) {
		note("nothing was changed");
		return ret;
	}
	if (!o->confirm)
		return put_file(conf, text, conf);
	trial_name(conf, trial, sizeof(trial));
	ret = put_file(trial, text, conf);
	note("in force for %u seconds; \"tcpseal apply confirm\" over a new connection keeps it",
	     o->confirm);
	return ret;
}

static int apply_file(const struct options *o)
{
	char conf[PATH_MAX], dir[PATH_MAX];
	struct text text = { };
	int ret, end;

	ret = read_file(o->file, &text);
	if (!ret)
		ret = find_daemon(o, conf, dir, sizeof(dir));
	if (!ret && same_file(o->file, conf))
		ret = refuse("\"%s\" is what tcpseald reads: there is nothing to go back to, nor to compare with; change a copy, and apply that",
			     o->file);
	if (ret)
		goto out;
	ret = plan_show(o->file, conf, o->change);
	end = print_end();
	if (ret == EXIT_REFUSED)
		note("nothing was changed");
	if (!ret)
		ret = end;
	if (!ret)
		ret = apply_text(o, conf, dir, &text);
out:
	free(text.bytes);
	return ret;
}

/* The request to confirm, which says from where */
static int confirm_head(const struct options *o, char *head, size_t size)
{
	char connection[200];

	if (o->force) {
		snprintf(head, size, "may-confirm\nforce 1\n");
	} else if (!own_connection(connection, sizeof(connection))) {
		snprintf(head, size, "may-confirm\n");
	} else {
		if (!lives(connection))
			return refuse("SSH_CONNECTION (%s) is no connection that this host has now; log in anew, or --force",
				      connection);
		snprintf(head, size, "may-confirm\nconnection %s\n",
			 connection);
	}
	return 0;
}

static int apply_confirm(const struct options *o)
{
	char conf[PATH_MAX], dir[PATH_MAX], trial[PATH_MAX + 8], head[256];
	char answer[2 * PATH_MAX];
	int ret;

	ret = find_daemon(o, conf, dir, sizeof(dir));
	if (!ret)
		ret = confirm_head(o, head, sizeof(head));
	if (!ret)
		ret = ask(dir, head, NULL, answer, sizeof(answer));
	if (ret)
		return ret;
	trial_name(conf, trial, sizeof(trial));
	if (rename(trial, conf))
		return refuse("\"%s\": %s", trial, strerror(errno));
	return ask(dir, "confirmed\n", NULL, answer, sizeof(answer));
}

static int apply_back(const struct options *o)
{
	char conf[PATH_MAX], dir[PATH_MAX], trial[PATH_MAX + 8];
	char answer[2 * PATH_MAX];
	int ret;

	ret = find_daemon(o, conf, dir, sizeof(dir));
	if (!ret)
		ret = ask(dir, "back\n", NULL, answer, sizeof(answer));
	if (ret)
		return ret;
	trial_name(conf, trial, sizeof(trial));
	unlink(trial);
	return 0;
}

int apply_main(int argc, char **argv)
{
	struct options o = { .conf = TCPSEAL_CONF_FILE };
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = take_options(argc, argv, &o);
	if (ret || !o.file)
		return ret;
	if (!strcmp(o.file, "confirm") && !o.confirm)
		return apply_confirm(&o);
	if (!strcmp(o.file, "back") && !o.confirm && !o.change)
		return apply_back(&o);
	return apply_file(&o);
}
