// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal ss: connections of this namespace, and what becomes of each. What is
 * sealed is a pair of hosts, so a connection is what its pair is now; only the
 * program that has it can ask whether it always was (tcpseal_socket_info()).
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal ss [ADDR] [port N] [sealed | plain | held | blocked | control |\n"
"                  local]\n";

/* As ss -t has them: neither listening nor gone */
#define STATES	((1U << TCP_ESTABLISHED) | (1U << TCP_SYN_SENT) |	\
		 (1U << TCP_FIN_WAIT1) | (1U << TCP_FIN_WAIT2) |	\
		 (1U << TCP_CLOSE_WAIT) | (1U << TCP_LAST_ACK) |	\
		 (1U << TCP_CLOSING))

static const char *const state_names[] = {
	[TCP_ESTABLISHED] = "ESTAB", [TCP_SYN_SENT] = "SYN-SENT",
	[TCP_FIN_WAIT1] = "FIN-WAIT-1", [TCP_FIN_WAIT2] = "FIN-WAIT-2",
	[TCP_CLOSE_WAIT] = "CLOSE-WAIT", [TCP_LAST_ACK] = "LAST-ACK",
	[TCP_CLOSING] = "CLOSING",
};

static const char *const seal_words[] = {
	"sealed", "plain", "held", "blocked", "control", "local", "port", NULL
};

enum seal { SEALED, PLAIN, HELD, BLOCKED, CONTROL, LOCAL, PORT, ANY };

struct conn {
	struct tcpseal_addr local, remote;
	uint16_t local_port, remote_port;
	uint8_t state;
};

struct filter {
	struct tcpseal_addr addr;	/* len 0: any */
	uint64_t port;			/* 0: any */
	enum seal seal;
};

/* What the addresses of a connection lead to */
struct answer {
	const struct tcpseal_link *link;	/* or NULL */
	const struct tcpseal_pair *pair;	/* or NULL */
	const struct tcpseal_sa *tx;		/* or NULL */
	bool local;			/* both ends are here */
};

struct snapshot {
	struct conn *conns;
	size_t n, room;
	struct tcpseal_stats stats;
	struct list links, pairs, sas;
	const struct tcpseal_pair **by_addrs;
};

/* --------------------------------------------------------- what there is */

static void see(const struct inet_diag_msg *d, void *data)
{
	struct snapshot *s = data;
	struct conn *conn;

	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 64;
		s->conns = reallocarray(s->conns, s->room, sizeof(*s->conns));
		if (!s->conns)
			abort();
	}
	conn = &s->conns[s->n++];
	diag_addr(&conn->local, d->idiag_family, d->id.idiag_src);
	diag_addr(&conn->remote, d->idiag_family, d->id.idiag_dst);
	conn->local_port = ntohs(d->id.idiag_sport);
	conn->remote_port = ntohs(d->id.idiag_dport);
	conn->state = d->idiag_state;
}

static int conn_cmp(const void *a, const void *b)
{
	const struct conn *one = a, *other = b;
	int ret = tcpseal_addr_cmp(&one->remote, &other->remote);

	if (!ret)
		ret = tcpseal_addr_cmp(&one->local, &other->local);
	if (!ret)
		ret = one->remote_port - other->remote_port;
	return ret ? ret : one->local_port - other->local_port;
}

static int pair_cmp(const void *a, const void *b)
{
	const struct tcpseal_pair *one = *(const struct tcpseal_pair *const *)a;
	const struct tcpseal_pair *other =
		*(const struct tcpseal_pair *const *)b;
	int ret = tcpseal_addr_cmp(&one->remote, &other->remote);

	return ret ? ret : tcpseal_addr_cmp(&one->local, &other->local);
}

static void release(struct snapshot *s)
{
	free(s->by_addrs);
	free(s->conns);
	list_free(&s->sas);
	list_free(&s->pairs);
	list_free(&s->links);
}

static int take(struct tcpseal *ts, struct snapshot *s)
{
	const struct tcpseal_pair *pair;
	size_t i;
	int ret;

	memset(s, 0, sizeof(*s));
	if (tcpseal_stats_get(ts, &s->stats))
		return kernel_refused(ts);
	/* first: a pair that a connection makes meanwhile is no lie */
	if (!diag_dump(STATES, see, s))
		return refuse("the kernel does not list its sockets: is inet_diag there?");
	ret = list_links(ts, &s->links);
	if (!ret)
		ret = list_peers(ts, NULL, &s->pairs, &s->sas);
	if (ret)
		return ret;
	pair = s->pairs.items;
	s->by_addrs = calloc(s->pairs.n + 1, sizeof(*s->by_addrs));
	if (!s->by_addrs)
		abort();
	for (i = 0; i < s->pairs.n; i++)
		s->by_addrs[i] = &pair[i];
	qsort(s->by_addrs, s->pairs.n, sizeof(*s->by_addrs), pair_cmp);
	if (s->n)
		qsort(s->conns, s->n, sizeof(*s->conns), conn_cmp);
	return 0;
}

/* Connections are sorted, so that the same two hosts are asked for once */
static void look_up(const struct snapshot *s, const struct conn *conn,
		    struct answer *a)
{
	const struct tcpseal_pair *want, **found;
	struct tcpseal_pair key;

	memset(a, 0, sizeof(*a));
	a->link = link_between(&s->links, &conn->local, &conn->remote);
	if (!a->link)
		return;
	a->local = is_here(&conn->remote);
	key = pair_between(a->link, &conn->local, &conn->remote);
	want = &key;
	found = bsearch(&want, s->by_addrs, s->pairs.n, sizeof(*s->by_addrs),
			pair_cmp);
	if (!found)
		return;
	a->pair = *found;
	a->tx = find_sa(&s->sas, a->pair->tx_id);
}

static enum seal seal_of(const struct snapshot *s, const struct conn *conn,
			 const struct answer *a)
{
	uint32_t state = TCPSEAL_PAIR_STATE_PLAIN;

	if (!a->link || a->link->mode == TCPSEAL_MODE_CLEAR)
		return PLAIN;
	if (a->local)
		return LOCAL;
	if (a->pair)
		state = a->pair->state;
	else if (a->link->mode == TCPSEAL_MODE_REQUIRE)
		state = TCPSEAL_PAIR_STATE_WAITING;
	if (state == TCPSEAL_PAIR_STATE_SEALED)
		return SEALED;
	if (state == TCPSEAL_PAIR_STATE_PLAIN)
		return PLAIN;
	if (s->stats.ctrl_port && (conn->local_port == s->stats.ctrl_port ||
				   conn->remote_port == s->stats.ctrl_port))
		return CONTROL;
	return state == TCPSEAL_PAIR_STATE_WAITING ? HELD : BLOCKED;
}

static bool wanted(const struct filter *f, const struct conn *conn,
		   enum seal seal)
{
	if (f->addr.len && tcpseal_addr_cmp(&f->addr, &conn->local) &&
	    tcpseal_addr_cmp(&f->addr, &conn->remote))
		return false;
	if (f->port && f->port != conn->local_port &&
	    f->port != conn->remote_port)
		return false;
	return f->seal == ANY || f->seal == seal;
}

static json_t *conn_json(const struct conn *conn, const struct answer *a,
			 enum seal seal)
{
	const struct tcpseal_pair *pair = a->pair;
	json_t *o = json_object();

	put_str(o, "tcp_state", state_names[conn->state]);
	put_addr(o, "local", &conn->local);
	put(o, "local_port", json_integer(conn->local_port));
	put_addr(o, "remote", &conn->remote);
	put(o, "remote_port", json_integer(conn->remote_port));
	put_str(o, "seal", seal_words[seal]);
	if (!a->link || a->local)
		return o;
	put_str(o, "mode_local", tcpseal_mode_name(pair ? pair->mode_local :
							  a->link->mode));
	if (TCPSEAL_HAS(a->link, LINK_VIA))
		put_addr(o, "via", &a->link->via);
	if (!pair)
		return o;
	if (TCPSEAL_HAS(pair, PAIR_MODE_PEER))
		put_str(o, "mode_peer", tcpseal_mode_name(pair->mode_peer));
	put(o, "clean_secs", json_integer(pair->clean_secs));
	if (*pair->reason)
		put_str(o, "reason", pair->reason);
	if (!a->tx)
		return o;
	put_str(o, "cert_name", a->tx->cert_name);
	put_str(o, "aead", aead_name(a->tx->aead));
	put_str(o, "kex", a->tx->kex);
	put(o, "age_secs", json_integer(a->tx->age_secs));
	return o;
}

/* -------------------------------------------------------------- for people */

static const char *const heads[] = {
	"STATE", "LOCAL", "REMOTE", "SEAL", "MODE", "NAME", "SUITE", "GROUP",
	"KEY AGE",
};

#define COLUMNS	ARRAY_SIZE(heads)
#define CELL	192

static void endpoint(const json_t *o, const char *addr, const char *port,
		     char *buf)
{
	const char *text = str(o, addr);

	snprintf(buf, CELL, strchr(text, ':') ? "[%s]:%" PRIu64 : "%s:%" PRIu64,
		 text, num(o, port));
}

static void cells_of(const json_t *o, char (*cell)[CELL])
{
	const char *name = str(o, "cert_name"), *kex = str(o, "kex");
	size_t i;

	snprintf(cell[0], CELL, "%s", str(o, "tcp_state"));
	endpoint(o, "local", "local_port", cell[1]);
	endpoint(o, "remote", "remote_port", cell[2]);
	snprintf(cell[3], CELL, "%s", str(o, "seal"));
	snprintf(cell[4], CELL, "%s", str(o, "mode_local"));
	snprintf(cell[5], CELL, "%s%s%s", name, has(o, "via") ? " via " : "",
		 str(o, "via"));
	snprintf(cell[6], CELL, "%s", str(o, "aead"));
	snprintf(cell[7], CELL, "%s", kex);
	*cell[8] = '\0';
	if (has(o, "age_secs"))
		fmt_age(cell[8], CELL, num(o, "age_secs"));
	for (i = 0; i < COLUMNS; i++)
		if (!*cell[i])
			strcpy(cell[i], "-");
}

static const char *colour_of(const char *seal)
{
	if (!strcmp(seal, "sealed"))
		return paint("good");
	return strcmp(seal, "local") && strcmp(seal, "control") ? paint("bad") :
								  paint("");
}

static void print_text(const json_t *list)
{
	int width[COLUMNS], len;
	char cell[COLUMNS][CELL];
	const json_t *o;
	size_t i, c;

	for (c = 0; c < COLUMNS; c++)
		width[c] = strlen(heads[c]);
	json_array_foreach(list, i, o) {
		cells_of(o, cell);
		for (c = 0; c < COLUMNS; c++) {
			len = strlen(cell[c]);
			width[c] = len > width[c] ? len : width[c];
		}
	}
	for (c = 0; c < COLUMNS; c++)
		printf("%s%-*s%s%s", paint("head"),
		       c == COLUMNS - 1 ? 0 : width[c], heads[c], paint(""),
		       c == COLUMNS - 1 ? "\n" : "  ");
	json_array_foreach(list, i, o) {
		cells_of(o, cell);
		for (c = 0; c < COLUMNS; c++)
			printf("%s%-*s%s%s",
			       c == 3 ? colour_of(cell[3]) : "",
			       c == COLUMNS - 1 ? 0 : width[c], cell[c],
			       c == 3 ? paint("") : "",
			       c == COLUMNS - 1 ? "\n" : "  ");
	}
}

static json_t *snapshot_json(const struct snapshot *s, const struct filter *f)
{
	const struct conn *conn = s->conns;
	json_t *list = json_array();
	struct answer a = { .link = NULL };
	enum seal seal;
	size_t i;

	for (i = 0; i < s->n; i++, conn++) {
		if (!i || tcpseal_addr_cmp(&conn->local, &conn[-1].local) ||
		    tcpseal_addr_cmp(&conn->remote, &conn[-1].remote))
			look_up(s, conn, &a);
		seal = seal_of(s, conn, &a);
		if (wanted(f, conn, seal))
			json_array_append_new(list, conn_json(conn, &a, seal));
	}
	return list;
}

static int parse(int argc, char **argv, struct filter *f)
{
	int i = 0, word;

	memset(f, 0, sizeof(*f));
	f->seal = ANY;
	if (argc && !tcpseal_addr_parse(argv[0], &f->addr))
		i++;
	for (; i < argc; i++) {
		word = match_word(argv[i], seal_words);
		if (word < 0)
			return EXIT_USAGE;
		if (word != PORT) {
			f->seal = word;
			continue;
		}
		if (++i == argc)
			return bad_word(argv[i - 1], "needs a value");
		if (parse_number(argv[i], 1, 65535, &f->port))
			return EXIT_USAGE;
	}
	return 0;
}

int ss_main(int argc, char **argv)
{
	struct snapshot s;
	struct filter f;
	struct tcpseal *ts;
	json_t *list;
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = parse(argc, argv, &f);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = take(ts, &s);
	tcpseal_close(ts);
	if (!ret) {
		list = snapshot_json(&s, &f);
		if (opt_json) {
			print_document(list);
		} else {
			print_text(list);
			json_decref(list);
		}
		ret = print_end();
	}
	release(&s);
	return ret;
}
