// SPDX-License-Identifier: LGPL-2.1-or-later
/* The words of a link, for the command line and the configuration file. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <net/if.h>

#include "internal.h"

struct words {
	int argc;
	char *const *argv;
	int at;
	struct tcpseal_err *err;
	uint64_t seen;			/* keywords, to refuse a second one */
};

/* The value behind the keyword at hand; NULL: there is none, err is set */
static const char *value_of(struct words *w, const char *what)
{
	if (w->at + 1 >= w->argc) {
		err_set(w->err, w->at, "\"%s\" wants %s behind it",
			w->argv[w->at], what);
		return NULL;
	}
	return w->argv[++w->at];
}

static int bad_value(struct words *w, const char *expected)
{
	return err_set(w->err, w->at, "\"%.100s\" is not %s", w->argv[w->at],
		       expected);
}

static int parse_prefix(struct words *w, const char *which,
			struct tcpseal_prefix *prefix)
{
	int ret;

	if (w->at >= w->argc)
		return err_set(w->err, w->at, "the %s prefix is missing",
			       which);
	ret = tcpseal_prefix_parse(w->argv[w->at], prefix);
	if (ret == -EDOM)
		return err_set(w->err, w->at,
			       "\"%.100s\" has bits set behind the prefix length",
			       w->argv[w->at]);
	if (ret)
		return err_set(w->err, w->at,
			       "\"%.100s\" is not a %s prefix (ADDRESS/length)",
			       w->argv[w->at], which);
	w->at++;
	return 0;
}

static int parse_prefixes(struct words *w, struct tcpseal_link *link)
{
	int ret;

	ret = parse_prefix(w, "local", &link->local);
	if (!ret)
		ret = parse_prefix(w, "remote", &link->remote);
	if (ret)
		return ret;
	if (link->local.addr.len != link->remote.addr.len)
		return err_set(w->err, w->at - 1,
			       "\"%.100s\" is not of the same family as \"%.100s\"",
			       w->argv[w->at - 1], w->argv[w->at - 2]);
	link->has |= TCPSEAL_BIT(LINK_LOCAL) | TCPSEAL_BIT(LINK_LOCAL_LEN) |
		     TCPSEAL_BIT(LINK_REMOTE) | TCPSEAL_BIT(LINK_REMOTE_LEN);
	return 0;
}

static int parse_mode(struct words *w, struct tcpseal_link *link)
{
	const char *word = value_of(w, "a mode");

	if (!word)
		return -EINVAL;
	if (tcpseal_mode_parse(word, &link->mode))
		return bad_value(w, "a mode (clear, audit, prefer, require)");
	return 0;
}

static int parse_via(struct words *w, struct tcpseal_link *link)
{
	const char *word = value_of(w, "an address");

	if (!word)
		return -EINVAL;
	if (tcpseal_addr_parse(word, &link->via))
		return bad_value(w, "an address");
	if (link->via.len != link->local.addr.len)
		return bad_value(w, "of the same family as the prefixes");
	if (tcpseal_addr_is_zero(&link->via))
		return bad_value(w, "the address of a gateway");
	TCPSEAL_MARK(link, LINK_VIA);
	return 0;
}

static int parse_identity(struct words *w, struct tcpseal_link *link)
{
	const char *word = value_of(w, "the name in a certificate");

	if (!word)
		return -EINVAL;
	if (!*word || strlen(word) >= sizeof(link->identity))
		return bad_value(w, "a name of 1 to 127 characters");
	strcpy(link->identity, word);
	TCPSEAL_MARK(link, LINK_IDENTITY);
	return 0;
}

static bool is_keyword(const char *word);

static int parse_forward(struct words *w, struct tcpseal_link *link)
{
	const char *word = value_of(w, "\"dev NAME\"");
	unsigned int index;

	if (!word)
		return -EINVAL;
	if (strcmp(word, "dev"))
		return bad_value(w, "\"dev\", as in \"forward dev NAME\"");
	do {
		word = value_of(w, "the name of an inside device");
		if (!word)
			return -EINVAL;
		index = if_nametoindex(word);
		if (!index) {
			err_set(w->err, w->at, "there is no device \"%.100s\"",
				word);
			return -ENODEV;
		}
		if (link->inside_n == TCPSEAL_INSIDE_MAX)
			return err_set(w->err, w->at,
				       "\"%.100s\": more than %u inside devices",
				       word, TCPSEAL_INSIDE_MAX);
		link->inside[link->inside_n++] = index;
	} while (w->at + 1 < w->argc && !is_keyword(w->argv[w->at + 1]));
	link->flags |= TCPSEAL_LINK_FLAG_FORWARD;
	TCPSEAL_MARK(link, LINK_INSIDE);
	return 0;
}

static int parse_aead(struct words *w, struct tcpseal_link *link)
{
	const char *word = value_of(w, "aes256 or aes128");

	if (!word)
		return -EINVAL;
	if (tcpseal_aead_parse(word, &link->aead))
		return bad_value(w, "aes256 or aes128");
	TCPSEAL_MARK(link, LINK_AEAD);
	return 0;
}

/* A keyword whose two values are a flag cleared and a flag set */
static int parse_flag(struct words *w, struct tcpseal_link *link,
		      const char *off, const char *on, uint32_t flag)
{
	char expected[64];
	const char *word;

	snprintf(expected, sizeof(expected), "%s or %s", off, on);
	word = value_of(w, expected);
	if (!word)
		return -EINVAL;
	if (!strcmp(word, on))
		link->flags |= flag;
	else if (strcmp(word, off))
		return bad_value(w, expected);
	return 0;
}

static int parse_nontcp(struct words *w, struct tcpseal_link *link)
{
	return parse_flag(w, link, "pass", "drop",
			  TCPSEAL_LINK_FLAG_NONTCP_DROP);
}

static int parse_keys(struct words *w, struct tcpseal_link *link)
{
	return parse_flag(w, link, "negotiated", "manual",
			  TCPSEAL_LINK_FLAG_KEYS_MANUAL);
}

static int parse_old(struct words *w, struct tcpseal_link *link)
{
	return parse_flag(w, link, "keep", "reset",
			  TCPSEAL_LINK_FLAG_OLD_RESET);
}

static int parse_weaken(struct words *w, struct tcpseal_link *link)
{
	(void)w;
	link->change |= TCPSEAL_CHANGE_FLAG_WEAKEN;
	TCPSEAL_MARK(link, LINK_CHANGE);
	return 0;
}

static const struct keyword {
	const char *word;
	int (*parse)(struct words *w, struct tcpseal_link *link);
} keywords[] = {
	{ "mode", parse_mode },
	{ "via", parse_via },
	{ "identity", parse_identity },
	{ "forward", parse_forward },
	{ "aead", parse_aead },
	{ "nontcp", parse_nontcp },
	{ "keys", parse_keys },
	{ "old-connections", parse_old },
	{ "weaken", parse_weaken },
};

#define KEYWORDS	(sizeof(keywords) / sizeof(*keywords))

static bool is_keyword(const char *word)
{
	unsigned int i;

	for (i = 0; i < KEYWORDS; i++)
		if (!strcmp(word, keywords[i].word))
			return true;
	return false;
}

static int parse_keyword(struct words *w, struct tcpseal_link *link)
{
	const char *word = w->argv[w->at];
	unsigned int i;

	for (i = 0; i < KEYWORDS; i++) {
		if (strcmp(word, keywords[i].word))
			continue;
		if (w->seen >> i & 1)
			return err_set(w->err, w->at, "\"%s\" is said twice",
				       word);
		w->seen |= 1ULL << i;
		return keywords[i].parse(w, link);
	}
	return err_set(w->err, w->at, "\"%.100s\" is not a word of a link",
		       word);
}

int tcpseal_link_parse(int argc, char *const argv[], struct tcpseal_link *link,
		       struct tcpseal_err *err)
{
	struct words w = { .argc = argc, .argv = argv, .err = err };
	int ret;

	memset(link, 0, sizeof(*link));
	link->mode = TCPSEAL_MODE_AUDIT;
	link->has |= TCPSEAL_BIT(LINK_MODE) | TCPSEAL_BIT(LINK_FLAGS);
	ret = parse_prefixes(&w, link);
	for (; !ret && w.at < argc; w.at++)
		ret = parse_keyword(&w, link);
	if (ret)
		return ret;
	if (TCPSEAL_HAS(link, LINK_VIA) && !TCPSEAL_HAS(link, LINK_IDENTITY))
		return err_set(err, argc,
			       "\"via\" wants \"identity NAME\": the name in the gateway's certificate");
	return 0;
}

int tcpseal_link_prefixes_parse(int argc, char *const argv[],
				struct tcpseal_link *link,
				struct tcpseal_err *err)
{
	struct words w = { .argc = argc, .argv = argv, .err = err };
	int ret;

	memset(link, 0, sizeof(*link));
	ret = parse_prefixes(&w, link);
	if (ret)
		return ret;
	if (w.at < argc)
		return err_set(err, w.at, "\"%.100s\" is too much",
			       argv[w.at]);
	return 0;
}

struct text {
	char *at;
	size_t left;
};

static void say(struct text *t, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(struct text *t, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(t->at, t->left, format, args);
	va_end(args);
	if (n < 0 || (size_t)n >= t->left)
		n = t->left ? t->left - 1 : 0;
	t->at += n;
	t->left -= n;
}

static void say_inside(struct text *t, const struct tcpseal_link *link)
{
	char name[IF_NAMESIZE];
	unsigned int i;

	say(t, " forward dev");
	for (i = 0; i < link->inside_n; i++)
		if (if_indextoname(link->inside[i], name))
			say(t, " %s", name);
		else
			say(t, " if%u", link->inside[i]);
}

const char *tcpseal_link_format(const struct tcpseal_link *link, char *buf,
				size_t size)
{
	char one[TCPSEAL_PREFIX_STRLEN], two[TCPSEAL_PREFIX_STRLEN];
	struct text t = { buf, size };

	say(&t, "%s %s mode %s",
	    tcpseal_prefix_format(&link->local, one, sizeof(one)),
	    tcpseal_prefix_format(&link->remote, two, sizeof(two)),
	    tcpseal_mode_name(link->mode));
	if (TCPSEAL_HAS(link, LINK_VIA))
		say(&t, " via %s",
		    tcpseal_addr_format(&link->via, one, sizeof(one)));
	if (TCPSEAL_HAS(link, LINK_IDENTITY) && *link->identity)
		say(&t, " identity %s", link->identity);
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		say_inside(&t, link);
	if (TCPSEAL_HAS(link, LINK_AEAD) &&
	    link->aead != TCPSEAL_AEAD_AES256_GCM)
		say(&t, " aead %s", tcpseal_aead_name(link->aead));
	if (link->flags & TCPSEAL_LINK_FLAG_NONTCP_DROP)
		say(&t, " nontcp drop");
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		say(&t, " keys manual");
	if (link->flags & TCPSEAL_LINK_FLAG_OLD_RESET)
		say(&t, " old-connections reset");
	return buf;
}

bool tcpseal_link_same_prefixes(const struct tcpseal_link *a,
				const struct tcpseal_link *b)
{
	return !tcpseal_prefix_cmp(&a->local, &b->local) &&
	       !tcpseal_prefix_cmp(&a->remote, &b->remote);
}

uint32_t tcpseal_link_aead(const struct tcpseal_link *link)
{
	return TCPSEAL_HAS(link, LINK_AEAD) ? link->aead :
					      TCPSEAL_AEAD_AES256_GCM;
}

bool tcpseal_link_same(const struct tcpseal_link *a,
		       const struct tcpseal_link *b)
{
	return tcpseal_link_same_prefixes(a, b) && a->mode == b->mode &&
	       a->flags == b->flags &&
	       tcpseal_link_aead(a) == tcpseal_link_aead(b) &&
	       !tcpseal_addr_cmp(&a->via, &b->via) &&
	       !strcmp(a->identity, b->identity) &&
	       a->inside_n == b->inside_n &&
	       !memcmp(a->inside, b->inside,
		       a->inside_n * sizeof(*a->inside));
}
