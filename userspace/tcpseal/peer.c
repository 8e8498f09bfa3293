// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal peer: the hosts talked to, and what is known of each. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal peer show [ADDR [local ADDR]]\n"
"       tcpseal peer forget { ADDR | PREFIX/len } [local ADDR]\n"
"       tcpseal peer rekey ADDR [local ADDR]\n";

/* ADDR [local ADDR] */
static int parse_pair(int argc, char **argv, struct tcpseal_pair *pair)
{
	static const char *const words[] = { "local", NULL };

	if (parse_addr(argv[0], &pair->remote))
		return EXIT_USAGE;
	TCPSEAL_MARK(pair, PAIR_REMOTE);
	if (argc == 1)
		return 0;
	if (match_word(argv[1], words) < 0)
		return EXIT_USAGE;
	if (argc == 2)
		return bad_word(argv[1], "needs a value");
	if (argc > 3)
		return bad_word(argv[3], "unexpected word");
	if (parse_addr(argv[2], &pair->local))
		return EXIT_USAGE;
	if (pair->local.len != pair->remote.len)
		return bad_word(argv[2], "not of the same family as %s",
				argv[0]);
	TCPSEAL_MARK(pair, PAIR_LOCAL);
	return 0;
}

static bool wanted(const struct tcpseal_pair *pair,
		   const struct tcpseal_pair *filter)
{
	if (TCPSEAL_HAS(filter, PAIR_REMOTE) &&
	    tcpseal_addr_cmp(&pair->remote, &filter->remote))
		return false;
	if (TCPSEAL_HAS(filter, PAIR_LOCAL) &&
	    tcpseal_addr_cmp(&pair->local, &filter->local))
		return false;
	return true;
}

static const char *colour_of(const char *state)
{
	if (!strcmp(state, "sealed"))
		return paint("good");
	if (!strcmp(state, "waiting") || !strcmp(state, "blocked"))
		return paint("bad");
	return paint("");
}

static void print_key(const json_t *tx)
{
	char buf[32];

	printf("    key      %s old",
	       fmt_age(buf, sizeof(buf), num(tx, "age_secs")));
	if (num(tx, "soft_secs"))
		printf(", rotation in %s",
		       fmt_age(buf, sizeof(buf), num(tx, "soft_secs")));
	else if (has(tx, "soft_secs"))
		printf(", rotation is due");
	if (has(tx, "hard_secs"))
		printf(", fails closed in %s (%" PRIu64 " s)",
		       fmt_age(buf, sizeof(buf), num(tx, "hard_secs")),
		       num(tx, "hard_secs"));
	putchar('\n');
	printf("    suite    %s", str(tx, "aead"));
	if (has(tx, "kex"))
		printf(", group %s", str(tx, "kex"));
	if (has(tx, "driver"))
		printf(", driver %s", str(tx, "driver"));
	putchar('\n');
}

void print_peer_text(const json_t *peer)
{
	const json_t *sa = json_object_get(peer, "tx");
	const char *state = str(peer, "state");
	char buf[32];

	if (!sa)
		sa = json_object_get(peer, "rx");
	printf("%speer %s%s local %s  %s%s%s\n", paint("head"),
	       str(peer, "remote"), paint(""), str(peer, "local"),
	       colour_of(state), state, paint(""));
	printf("    mode     %s here, %s there\n", str(peer, "mode_local"),
	       has(peer, "mode_peer") ? str(peer, "mode_peer") : "not known");
	if (sa && has(sa, "cert_name"))
		printf("    name     %s (certificate %s of %s)\n",
		       str(sa, "cert_name"), str(sa, "cert_serial"),
		       str(sa, "cert_issuer"));
	if (sa && has_flag(sa, "manual"))
		printf("    %skey typed in by hand%s\n", paint("bad"),
		       paint(""));
	if (sa && has_flag(sa, "logged"))
		printf("    %skey written to a key log%s\n", paint("bad"),
		       paint(""));
	if (sa)
		print_key(sa);
	if (has_flag(peer, "sticky")) {
		printf("    sticky   since %s",
		       fmt_when(buf, sizeof(buf), num(peer, "sticky_since")));
		if (*str(peer, "identity"))
			printf(" with %s", str(peer, "identity"));
		if (num(peer, "last_sealed"))
			printf(", last record %s",
			       fmt_when(buf, sizeof(buf),
					num(peer, "last_sealed")));
		putchar('\n');
	}
	if (*str(peer, "reason"))
		printf("    reason   %s%s%s\n", paint("bad"),
		       str(peer, "reason"), paint(""));
	if (num(peer, "backoff_secs"))
		printf("    retry    in %s\n",
		       fmt_age(buf, sizeof(buf), num(peer, "backoff_secs")));
	if (num(peer, "held"))
		printf("    held     %" PRIu64 " segments wait for a key\n",
		       num(peer, "held"));
	print_traffic(json_object_get(peer, "stats"));
}

/* --------------------------------------------------- one line a peer */

static const struct {
	const char *head;
	int width;		/* 0: found from what is in the column */
} column[] = {
	{ "REMOTE", 0 }, { "LOCAL", 0 }, { "STATE", 7 }, { "NAME", 0 },
	{ "KEY AGE", 12 }, { "FAILS CLOSED", 12 },
	{ "SEALED", 11 }, { "OPENED", 11 },
};

static void print_row(const int *width, const char *const *cell)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(column) - 1; i++) {
		if (i == 2)
			printf("%s%-*s%s  ", colour_of(cell[i]), width[i],
			       cell[i], paint(""));
		else
			printf("%-*s  ", width[i], cell[i]);
	}
	printf("%s\n", cell[i]);
}

static void print_peer_line(const int *width, const json_t *peer)
{
	const json_t *stats = json_object_get(peer, "stats");
	const json_t *tx = json_object_get(peer, "tx");
	char age[32] = "-", hard[32] = "-", sealed[32], opened[32];
	const char *name = str(tx, "cert_name");
	const char *cell[] = {
		str(peer, "remote"), str(peer, "local"), str(peer, "state"),
		*name ? name : "-", age, hard, sealed, opened,
	};

	if (has(tx, "age_secs"))
		fmt_age(age, sizeof(age), num(tx, "age_secs"));
	if (has(tx, "hard_secs"))
		fmt_age(hard, sizeof(hard), num(tx, "hard_secs"));
	fmt_bytes(sealed, sizeof(sealed), num(stats, "sealed_bytes"));
	fmt_bytes(opened, sizeof(opened), num(stats, "opened_bytes"));
	print_row(width, cell);
	if (*str(peer, "reason") && strcmp(str(peer, "state"), "sealed"))
		printf("    %s\n", str(peer, "reason"));
}

static void widen(int *width, const char *text)
{
	int len = strlen(text);

	if (len > *width)
		*width = len;
}

static void find_widths(int *width, const struct list *pairs,
			const struct list *sas,
			const struct tcpseal_pair *filter)
{
	const struct tcpseal_pair *pair = pairs->items;
	const struct tcpseal_sa *sa;
	char buf[TCPSEAL_ADDR_STRLEN];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(column); i++) {
		width[i] = column[i].width;
		widen(&width[i], column[i].head);
	}
	for (i = 0; i < pairs->n; i++, pair++) {
		if (!wanted(pair, filter))
			continue;
		widen(&width[0], tcpseal_addr_format(&pair->remote, buf,
						     sizeof(buf)));
		widen(&width[1], tcpseal_addr_format(&pair->local, buf,
						     sizeof(buf)));
		sa = find_sa(sas, pair->tx_id);
		if (sa)
			widen(&width[3], sa->cert_name);
	}
}

static void print_peers(const struct list *pairs, const struct list *sas,
			const struct tcpseal_pair *filter)
{
	const struct tcpseal_pair *pair = pairs->items;
	const char *head[ARRAY_SIZE(column)];
	int width[ARRAY_SIZE(column)] = { 0 };
	bool lines = !TCPSEAL_HAS(filter, PAIR_REMOTE);
	json_t *peer;
	size_t i;

	if (opt_json) {
		json_open(NULL, '[');
	} else if (lines) {
		for (i = 0; i < ARRAY_SIZE(column); i++)
			head[i] = column[i].head;
		find_widths(width, pairs, sas, filter);
		print_row(width, head);
	}
	for (i = 0; i < pairs->n; i++, pair++) {
		if (!wanted(pair, filter))
			continue;
		peer = peer_json(pair, sas);
		if (opt_json) {
			json_put(NULL, peer);
			continue;
		}
		if (lines)
			print_peer_line(width, peer);
		else
			print_peer_text(peer);
		json_decref(peer);
	}
	if (opt_json)
		json_close();
}

static int peer_show(int argc, char **argv)
{
	struct tcpseal_pair filter = { };
	struct list pairs, sas;
	struct tcpseal *ts;
	int ret = 0;

	if (argc > 1)
		ret = parse_pair(argc - 1, argv + 1, &filter);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = list_peers(ts, &filter, &pairs, &sas);
	tcpseal_close(ts);
	if (ret)
		return ret;
	print_peers(&pairs, &sas, &filter);
	list_free(&pairs);
	list_free(&sas);
	return print_end();
}

static int peer_forget(int argc, char **argv)
{
	struct tcpseal_pair pair = { };
	struct tcpseal_prefix prefix;
	char addr[TCPSEAL_ADDR_STRLEN];
	struct tcpseal *ts;
	char *word;
	int ret;

	if (argc < 2)
		return missing("ADDR or PREFIX/len");
	ret = tcpseal_prefix_parse(argv[1], &prefix);
	if (ret == -EDOM)
		return bad_word(argv[1], "bits set behind the prefix length");
	if (ret)
		return bad_word(argv[1], "not an address or prefix");
	tcpseal_addr_format(&prefix.addr, addr, sizeof(addr));
	word = argv[1];
	argv[1] = addr;
	ret = parse_pair(argc - 1, argv + 1, &pair);
	argv[1] = word;
	if (ret)
		return ret;
	pair.remote_len = prefix.len;
	TCPSEAL_MARK(&pair, PAIR_REMOTE_LEN);
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_pair_forget(ts, &pair))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

static int rekey_all(struct tcpseal *ts, const struct list *pairs,
		     const struct tcpseal_pair *filter)
{
	const struct tcpseal_pair *pair = pairs->items;
	char addr[TCPSEAL_ADDR_STRLEN];
	struct tcpseal_pair request;
	size_t i, asked = 0;

	for (i = 0; i < pairs->n; i++, pair++) {
		if (!wanted(pair, filter))
			continue;
		memset(&request, 0, sizeof(request));
		request.local = pair->local;
		request.remote = pair->remote;
		TCPSEAL_MARK(&request, PAIR_LOCAL);
		TCPSEAL_MARK(&request, PAIR_REMOTE);
		if (tcpseal_pair_rekey(ts, &request))
			return kernel_refused(ts);
		asked++;
	}
	if (!asked)
		return refuse("no pair with %s",
			      tcpseal_addr_format(&filter->remote, addr,
						  sizeof(addr)));
	return 0;
}

static int peer_rekey(int argc, char **argv)
{
	struct tcpseal_pair filter = { };
	struct list pairs;
	struct tcpseal *ts;
	int ret;

	if (argc < 2)
		return missing("ADDR");
	ret = parse_pair(argc - 1, argv + 1, &filter);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = list_pairs(ts, &filter, &pairs);
	if (!ret) {
		ret = rekey_all(ts, &pairs, &filter);
		list_free(&pairs);
	}
	tcpseal_close(ts);
	return ret;
}

int peer_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "show", peer_show, "list peers, or one in full" },
		{ "list", peer_show, "the same" },
		{ "forget", peer_forget, "release sticky memory" },
		{ "rekey", peer_rekey, "ask for new keys now" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
