// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal top: the busiest pairs, again and again. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal top [-n COUNT] [-d SECONDS]\n";

#define ROWS		20	/* where there is no terminal to fill */
#define ROWS_OTHER	4	/* of a terminal: heads, and the prompt */

/* What a pair moved, a second */
struct rate {
	const struct tcpseal_pair *pair;
	uint64_t sealed, opened, plain;	/* bytes */
	uint64_t dropped;		/* segments */
};

struct look {
	struct list pairs;		/* by their addresses */
	struct timespec at;
};

static int by_addresses(const void *a, const void *b)
{
	const struct tcpseal_pair *one = a, *other = b;
	int ret = tcpseal_addr_cmp(&one->remote, &other->remote);

	return ret ? ret : tcpseal_addr_cmp(&one->local, &other->local);
}

static int by_rate(const void *a, const void *b)
{
	const struct rate *one = a, *other = b;
	uint64_t x = one->sealed + one->opened + one->plain;
	uint64_t y = other->sealed + other->opened + other->plain;

	if (x != y)
		return x < y ? 1 : -1;
	if (one->dropped != other->dropped)
		return one->dropped < other->dropped ? 1 : -1;
	return by_addresses(one->pair, other->pair);
}

static int take(struct tcpseal *ts, struct look *look)
{
	int ret = list_pairs(ts, NULL, &look->pairs);

	if (ret)
		return ret;
	clock_gettime(CLOCK_MONOTONIC, &look->at);
	if (look->pairs.n)
		qsort(look->pairs.items, look->pairs.n, look->pairs.size,
		      by_addresses);
	return 0;
}

/* A pair that went and came again begins at nothing */
static uint64_t per_second(uint64_t now, uint64_t before, double secs)
{
	return (now < before ? now : now - before) / secs;
}

static struct rate rate_of(const struct tcpseal_pair *pair,
			   const struct list *before, double secs)
{
	static const struct tcpseal_pair none;
	const struct tcpseal_counters *now = &pair->stats, *then;
	const struct tcpseal_pair *old = NULL;

	if (before->n)
		old = bsearch(pair, before->items, before->n, before->size,
			      by_addresses);
	then = old ? &old->stats : &none.stats;
	return (struct rate){
		.pair = pair,
		.sealed = per_second(now->sealed_bytes, then->sealed_bytes,
				     secs),
		.opened = per_second(now->opened_bytes, then->opened_bytes,
				     secs),
		.plain = per_second(now->plain_out_bytes + now->plain_in_bytes,
				    then->plain_out_bytes +
				    then->plain_in_bytes, secs),
		.dropped = per_second(now->dropped, then->dropped, secs),
	};
}

static json_t *rate_json(const struct rate *rate)
{
	json_t *o = json_object();

	put_addr(o, "remote", &rate->pair->remote);
	put_addr(o, "local", &rate->pair->local);
	put_str(o, "state", tcpseal_pair_state_name(rate->pair->state));
	put(o, "sealed_bytes", json_integer(rate->sealed));
	put(o, "opened_bytes", json_integer(rate->opened));
	put(o, "plain_bytes", json_integer(rate->plain));
	put(o, "dropped", json_integer(rate->dropped));
	return o;
}

static size_t rows(void)
{
	struct winsize size;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) ||
	    size.ws_row <= ROWS_OTHER)
		return ROWS;
	return size.ws_row - ROWS_OTHER;
}

static int widest(json_t *list, const char *key)
{
	int most = 7, len;
	json_t *rate;
	size_t i;

	json_array_foreach(list, i, rate) {
		len = strlen(str(rate, key));
		if (len > most)
			most = len;
	}
	return most;
}

static void print_rate(const json_t *rate, int remote, int local)
{
	char sealed[32], opened[32], plain[32], dropped[32];

	printf("%-*s %-*s %-7s %11s %11s %11s %8s\n", remote,
	       str(rate, "remote"), local, str(rate, "local"),
	       str(rate, "state"),
	       fmt_bytes(sealed, sizeof(sealed), num(rate, "sealed_bytes")),
	       fmt_bytes(opened, sizeof(opened), num(rate, "opened_bytes")),
	       fmt_bytes(plain, sizeof(plain), num(rate, "plain_bytes")),
	       fmt_count(dropped, sizeof(dropped), num(rate, "dropped")));
}

static void print_text(json_t *list, size_t pairs)
{
	int remote = widest(list, "remote"), local = widest(list, "local");
	json_t *rate;
	size_t i;

	if (isatty(STDOUT_FILENO))
		printf("\033[H\033[J");
	printf("%zu pairs; bytes and segments a second\n", pairs);
	printf("%s%-*s %-*s %-7s %11s %11s %11s %8s%s\n", paint("head"), remote,
	       "REMOTE", local, "LOCAL", "STATE", "SEALED", "OPENED", "PLAIN",
	       "DROPPED", paint(""));
	json_array_foreach(list, i, rate)
		print_rate(rate, remote, local);
}

static int show(const struct look *now, const struct look *before)
{
	const struct tcpseal_pair *pair = now->pairs.items;
	double secs = now->at.tv_sec - before->at.tv_sec +
		      (now->at.tv_nsec - before->at.tv_nsec) / 1e9;
	struct rate *rate = calloc(now->pairs.n + 1, sizeof(*rate));
	json_t *list = json_array();
	size_t i, most = rows();

	if (!rate)
		abort();
	for (i = 0; i < now->pairs.n; i++)
		rate[i] = rate_of(&pair[i], &before->pairs, secs);
	qsort(rate, now->pairs.n, sizeof(*rate), by_rate);
	for (i = 0; i < now->pairs.n && i < most; i++)
		json_array_append_new(list, rate_json(&rate[i]));
	free(rate);
	if (opt_json) {
		print_document(list);
	} else {
		print_text(list, now->pairs.n);
		json_decref(list);
	}
	return print_end();
}

static int refresh(struct tcpseal *ts, uint64_t count, unsigned int secs)
{
	struct look now, before;
	uint64_t i;
	int ret;

	ret = take(ts, &before);
	for (i = 0; !ret && (!count || i < count); i++) {
		sleep(secs);
		ret = take(ts, &now);
		if (ret)
			break;
		ret = show(&now, &before);
		list_free(&before.pairs);
		before = now;
	}
	list_free(&before.pairs);
	return ret;
}

int top_main(int argc, char **argv)
{
	uint64_t count = 0, secs = 2;
	struct tcpseal *ts;
	int ret = 0, i;

	if (wants_help(argc, argv))
		return print_usage(usage);
	for (i = 0; i < argc && !ret; i += 2) {
		if (strcmp(argv[i], "-n") && strcmp(argv[i], "-d"))
			return bad_word(argv[i], "neither -n nor -d");
		if (i + 1 == argc)
			return bad_word(argv[i], "needs a value");
		ret = argv[i][1] == 'n' ?
		      parse_number(argv[i + 1], 1, UINT32_MAX, &count) :
		      parse_number(argv[i + 1], 1, 3600, &secs);
	}
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = refresh(ts, count, secs);
	tcpseal_close(ts);
	return ret;
}
