// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal why: what becomes of a connection between two addresses, and why.
 * All of it is the kernel's own account; no daemon has to run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal why LOCAL REMOTE [port N]\n";

enum fate { SEALED, HELD, PLAIN, DROPPED };

static const struct {
	const char *name;
	const char *paint;
	int status;
} fates[] = {
	[SEALED] = { "sealed", "good", EXIT_OK },
	[HELD] = { "held", "bad", EXIT_OK },
	[PLAIN] = { "plain", "bad", EXIT_PLAIN },
	[DROPPED] = { "dropped", "bad", EXIT_DROPPED },
};

struct question {
	struct tcpseal_addr local, remote;
	uint64_t port;			/* 0: not said */
};

/* What the kernel knows that bears on the question */
struct answer {
	struct tcpseal_stats stats;
	struct tcpseal_conf conf;
	struct list links, pairs, sas;
	const struct tcpseal_link *link;	/* or NULL */
	const struct tcpseal_pair *pair;	/* or NULL */
	bool here;			/* the local address is this host's */
	enum fate fate;
	char because[512];
};

static void decide(struct answer *a, enum fate fate, const char *fmt, ...)
	__printf(3, 4);

static void decide(struct answer *a, enum fate fate, const char *fmt, ...)
{
	va_list ap;

	a->fate = fate;
	va_start(ap, fmt);
	vsnprintf(a->because, sizeof(a->because), fmt, ap);
	va_end(ap);
}

/* --------------------------------------------------------- what there is */

static int parse(int argc, char **argv, struct question *q)
{
	static const char *const words[] = { "port", NULL };

	if (!argc)
		return missing("LOCAL");
	if (parse_addr(argv[0], &q->local))
		return EXIT_USAGE;
	if (argc == 1)
		return missing("REMOTE");
	if (parse_addr(argv[1], &q->remote))
		return EXIT_USAGE;
	if (q->local.len != q->remote.len)
		return bad_word(argv[1], "not of the same family as %s",
				argv[0]);
	if (argc == 2)
		return 0;
	if (match_word(argv[2], words) < 0)
		return EXIT_USAGE;
	if (argc == 3)
		return bad_word(argv[2], "needs a value");
	if (argc > 4)
		return bad_word(argv[4], "unexpected word");
	return parse_number(argv[3], 1, 65535, &q->port);
}

bool is_here(const struct tcpseal_addr *addr)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	bool here;
	int fd;

	memcpy(&in.sin_addr, addr->b, sizeof(in.sin_addr));
	memcpy(&in6.sin6_addr, addr->b, sizeof(in6.sin6_addr));
	fd = socket(addr->len == 4 ? AF_INET : AF_INET6,
		    SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	here = !(addr->len == 4 ?
		 bind(fd, (struct sockaddr *)&in, sizeof(in)) :
		 bind(fd, (struct sockaddr *)&in6, sizeof(in6)));
	close(fd);
	return here;
}

static bool covers(const struct tcpseal_link *link,
		   const struct tcpseal_addr *local,
		   const struct tcpseal_addr *remote)
{
	return tcpseal_prefix_has(&link->local, local) &&
	       tcpseal_prefix_has(&link->remote, remote);
}

/* Links that cover the same addresses nest: the longer prefixes are inside */
const struct tcpseal_link *link_between(const struct list *links,
					const struct tcpseal_addr *local,
					const struct tcpseal_addr *remote)
{
	const struct tcpseal_link *link = links->items, *best = NULL;
	size_t i;

	for (i = 0; i < links->n; i++, link++)
		if (covers(link, local, remote) &&
		    (!best || link->local.len + link->remote.len >
			      best->local.len + best->remote.len))
			best = link;
	return best;
}

static bool forwards(const struct tcpseal_link *link)
{
	return link->flags & TCPSEAL_LINK_FLAG_FORWARD;
}

/* Gateways key for the hosts behind them */
struct tcpseal_pair pair_between(const struct tcpseal_link *link,
				 const struct tcpseal_addr *local,
				 const struct tcpseal_addr *remote)
{
	struct tcpseal_pair key = {
		.has = TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE),
		.local = *local,
		.remote = *remote,
	};

	if (forwards(link))
		memset(key.local.b, 0, sizeof(key.local.b));
	if (TCPSEAL_HAS(link, LINK_VIA))
		key.remote = link->via;
	return key;
}

static void release(struct answer *a)
{
	list_free(&a->sas);
	list_free(&a->pairs);
	list_free(&a->links);
}

static int take(struct tcpseal *ts, const struct question *q, struct answer *a)
{
	struct tcpseal_pair key;
	int ret;

	if (tcpseal_stats_get(ts, &a->stats) || tcpseal_conf_get(ts, &a->conf))
		return kernel_refused(ts);
	ret = list_links(ts, &a->links);
	if (ret)
		return ret;
	a->here = is_here(&q->local);
	a->link = link_between(&a->links, &q->local, &q->remote);
	if (!a->link)
		return 0;
	key = pair_between(a->link, &q->local, &q->remote);
	ret = list_peers(ts, &key, &a->pairs, &a->sas);
	if (!ret && a->pairs.n)
		a->pair = a->pairs.items;
	return ret;
}

/* -------------------------------------------------------------- the fate */

/* Why nothing may leave unsealed */
static void demand(const struct answer *a, char *buf, size_t size)
{
	const struct tcpseal_pair *pair = a->pair;
	uint32_t mode = pair ? pair->mode_local : a->link->mode;

	if (mode == TCPSEAL_MODE_REQUIRE)
		snprintf(buf, size, "mode require here");
	else if (pair->flags & TCPSEAL_PAIR_FLAG_AGREED &&
		 TCPSEAL_HAS(pair, PAIR_MODE_PEER))
		snprintf(buf, size, "%s here and %s there agreed to seal",
			 tcpseal_mode_name(mode),
			 tcpseal_mode_name(pair->mode_peer));
	else if (pair->flags & TCPSEAL_PAIR_FLAG_STICKY)
		snprintf(buf, size, "sticky: it was sealed before");
	else
		snprintf(buf, size, "a key is in use");
}

static bool spent(const struct tcpseal_sa *sa)
{
	return (TCPSEAL_HAS(sa, SA_HARD_SECS) && !sa->hard_secs) ||
	       (TCPSEAL_HAS(sa, SA_HARD_BYTES) &&
		sa->stats.sealed_bytes >= sa->hard_bytes);
}

static void decide_sealed(struct answer *a, const char *why)
{
	const struct tcpseal_sa *tx = find_sa(&a->sas, a->pair->tx_id);

	if (tx && spent(tx))
		decide(a, DROPPED, "%s, and the key is at its hard limit", why);
	else
		decide(a, SEALED, "%s, and there is a key", why);
}

/* It must be sealed, and there is no key */
static void decide_waiting(struct answer *a, const char *why)
{
	if (a->link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		decide(a, DROPPED, "%s, the link says keys manual, and none is there",
		       why);
	else if (!a->stats.ctrl_port)
		decide(a, DROPPED, "%s, there is no key, and no tcpseald runs here that could agree on one",
		       why);
	else
		decide(a, HELD, "%s, and there is no key yet: what is sent asks for one, and waits for it up to %" PRIu32 " s",
		       why, a->conf.hold_secs);
}

static void decide_blocked(struct answer *a, const char *why)
{
	const struct tcpseal_pair *pair = a->pair;

	if (pair->flags & TCPSEAL_PAIR_FLAG_REFUSED)
		decide(a, DROPPED, "%s, and the peer refuses (mode %s there)",
		       why, tcpseal_mode_name(pair->mode_peer));
	else
		decide(a, DROPPED, "%s, the last attempt to get a key failed, and the next one is in %" PRIu32 " s",
		       why, pair->backoff_secs);
}

static void decide_plain(struct answer *a)
{
	const struct tcpseal_pair *pair = a->pair;
	const char *mode = tcpseal_mode_name(pair->mode_local);

	if (a->link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		decide(a, PLAIN, "mode %s here, the link says keys manual, and none is there",
		       mode);
	else if (TCPSEAL_HAS(pair, PAIR_MODE_PEER))
		decide(a, PLAIN, "mode %s here and %s there do not ask for more",
		       mode, tcpseal_mode_name(pair->mode_peer));
	else if (*pair->reason)
		decide(a, PLAIN, "mode %s here, and no agreement: %s", mode,
		       pair->reason);
	else
		decide(a, PLAIN, "mode %s here, and the peer has not said its mode yet",
		       mode);
}

static void decide_pair(struct answer *a)
{
	char why[128];

	if (a->pair->state == TCPSEAL_PAIR_STATE_PLAIN) {
		decide_plain(a);
		return;
	}
	demand(a, why, sizeof(why));
	switch (a->pair->state) {
	case TCPSEAL_PAIR_STATE_SEALED:
		decide_sealed(a, why);
		break;
	case TCPSEAL_PAIR_STATE_WAITING:
		decide_waiting(a, why);
		break;
	default:
		decide_blocked(a, why);
	}
}

/* As module/egress.c and module/pair.c do */
static void decide_all(struct answer *a)
{
	const struct tcpseal_link *link = a->link;

	if (!link)
		decide(a, PLAIN, "no link covers these addresses");
	else if (!a->here && !forwards(link))
		decide(a, PLAIN, "the local address is not one of this host, and the link does not seal for others");
	else if (link->mode == TCPSEAL_MODE_CLEAR)
		decide(a, PLAIN, "mode clear: the link is a hole");
	else if (a->pair)
		decide_pair(a);
	else if (link->mode == TCPSEAL_MODE_REQUIRE)
		decide_waiting(a, "mode require here");
	else
		decide(a, PLAIN, "mode %s here, and no word with the peer yet: what is sent first asks for a key and passes in plain",
		       tcpseal_mode_name(link->mode));
}

/* ---------------------------------------------------------- the document */

static json_t *outer_json(const struct answer *a, const struct question *q)
{
	const struct tcpseal_link *link = a->links.items;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < a->links.n; i++, link++)
		if (link != a->link &&
		    covers(link, &q->local, &q->remote))
			json_array_append_new(list, link_json(link));
	return list;
}

static json_t *sas_json(const struct answer *a)
{
	const struct tcpseal_sa *sa = a->sas.items;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < a->sas.n; i++, sa++)
		if (!tcpseal_addr_cmp(&sa->local, &a->pair->local) &&
		    !tcpseal_addr_cmp(&sa->peer, &a->pair->remote))
			json_array_append_new(list, sa_json(sa));
	return list;
}

static json_t *why_json(const struct answer *a, const struct question *q)
{
	json_t *o = json_object();

	put_addr(o, "local", &q->local);
	put_addr(o, "remote", &q->remote);
	if (q->port)
		put(o, "port", json_integer(q->port));
	put_str(o, "now", fates[a->fate].name);
	put_str(o, "because", a->because);
	put(o, "here", json_boolean(a->here));
	if (a->stats.ctrl_port)
		put(o, "ctrl_port", json_integer(a->stats.ctrl_port));
	if (a->link) {
		put(o, "link", link_json(a->link));
		put(o, "outer", outer_json(a, q));
	}
	if (a->pair) {
		put(o, "pair", pair_json(a->pair));
		put(o, "sas", sas_json(a));
	}
	return o;
}

/* ------------------------------------------------------------ for people */

static void print_links(const json_t *doc)
{
	json_t *list = json_object_get(doc, "outer"), *outer;
	size_t i;

	printf("link ");
	print_link_text(json_object_get(doc, "link"));
	if (json_array_size(list))
		printf("    the innermost of %zu links that cover both addresses; around it:\n",
		       json_array_size(list) + 1);
	json_array_foreach(list, i, outer)
		printf("    %s/%" PRIu64 " %s/%" PRIu64 " mode %s\n",
		       str(outer, "local"), num(outer, "local_len"),
		       str(outer, "remote"), num(outer, "remote_len"),
		       str(outer, "mode"));
}

static void print_life(const json_t *sa)
{
	const json_t *stats = json_object_get(sa, "stats");
	bool out = !strcmp(str(sa, "dir"), "out");
	uint64_t used = num(stats, out ? "sealed_bytes" : "opened_bytes");
	char buf[32];

	printf("    %-8s spi 0x%08" PRIx64 " %s, %s old",
	       str(sa, "dir"), num(sa, "spi"), str(sa, "state"),
	       fmt_age(buf, sizeof(buf), num(sa, "age_secs")));
	if (!strcmp(str(sa, "state"), "tombstone")) {
		putchar('\n');
		return;
	}
	if (has(sa, "soft_secs"))
		printf(", rotation in %s",
		       fmt_age(buf, sizeof(buf), num(sa, "soft_secs")));
	if (has(sa, "hard_secs"))
		printf(", dead in %s",
		       fmt_age(buf, sizeof(buf), num(sa, "hard_secs")));
	printf(", %s used", fmt_bytes(buf, sizeof(buf), used));
	if (has(sa, "hard_bytes"))
		printf(" of %s",
		       fmt_bytes(buf, sizeof(buf), num(sa, "hard_bytes")));
	putchar('\n');
}

static void print_agreement(const json_t *pair)
{
	const char *peer = has(pair, "mode_peer") ? str(pair, "mode_peer") :
						    "not known";

	printf("    mode     %s here, %s there%s%s\n", str(pair, "mode_local"),
	       peer, has_flag(pair, "agreed") ? "; agreed to seal" : "",
	       has_flag(pair, "refused") ? "; the peer refuses" : "");
}

static void print_pair(const json_t *pair, const json_t *sas)
{
	const json_t *stats = json_object_get(pair, "stats");
	char buf[32];
	json_t *value;
	const char *key;
	size_t i;

	printf("pair %s%s %s%s %s\n", paint("head"), str(pair, "local"),
	       str(pair, "remote"), paint(""), str(pair, "state"));
	print_agreement(pair);
	json_array_foreach(sas, i, value)
		print_life(value);
	if (has_flag(pair, "sticky"))
		printf("    sticky   since %s%s%s\n",
		       fmt_when(buf, sizeof(buf), num(pair, "sticky_since")),
		       has(pair, "identity") ? " with " : "",
		       str(pair, "identity"));
	if (num(pair, "last_sealed"))
		printf("    heard    last record opened %s\n",
		       fmt_when(buf, sizeof(buf), num(pair, "last_sealed")));
	if (*str(pair, "reason"))
		printf("    reason   %s ago: %s\n",
		       fmt_age(buf, sizeof(buf), num(pair, "reason_secs")),
		       str(pair, "reason"));
	if (has_flag(pair, "want"))
		printf("    want     a key is asked for (%s)\n",
		       str(pair, "why"));
	if (num(pair, "backoff_secs"))
		printf("    retry    in %s\n",
		       fmt_age(buf, sizeof(buf), num(pair, "backoff_secs")));
	if (num(pair, "held"))
		printf("    held     %" PRIu64 " segments wait for a key\n",
		       num(pair, "held"));
	json_object_foreach((json_t *)stats, key, value)
		if (json_integer_value(value))
			printf("    count    %s %" PRIu64 "\n", key,
			       (uint64_t)json_integer_value(value));
}

static void print_text(const json_t *doc, const char *colour)
{
	const json_t *pair = json_object_get(doc, "pair");

	printf("%s %s: %s%s%s: %s\n", str(doc, "local"), str(doc, "remote"),
	       paint(colour), str(doc, "now"), paint(""),
	       str(doc, "because"));
	if (num(doc, "port") && num(doc, "port") == num(doc, "ctrl_port"))
		printf("port %" PRIu64 " is the control port: tcpseald's own connections, and no others, go in plain while there is no key\n",
		       num(doc, "port"));
	if (has(doc, "link"))
		print_links(doc);
	if (pair)
		print_pair(pair, json_object_get(doc, "sas"));
	else if (has(doc, "link"))
		printf("no pair: nothing was sent or agreed lately\n");
	if (has(doc, "ctrl_port"))
		printf("tcpseald listens on port %" PRIu64 "\n",
		       num(doc, "ctrl_port"));
	else
		printf("%sno tcpseald runs here%s\n", paint("bad"), paint(""));
}

int why_main(int argc, char **argv)
{
	struct question q = { .port = 0 };
	struct answer a = { .link = NULL };
	struct tcpseal *ts;
	json_t *doc;
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = parse(argc, argv, &q);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = take(ts, &q, &a);
	tcpseal_close(ts);
	if (!ret) {
		decide_all(&a);
		doc = why_json(&a, &q);
		if (opt_json) {
			print_document(doc);
		} else {
			print_text(doc, fates[a.fate].paint);
			json_decref(doc);
		}
		ret = print_end();
	}
	release(&a);
	return ret ? ret : fates[a.fate].status;
}
