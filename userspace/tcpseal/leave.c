// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal leave: peers that remember this host as sealed are asked to forget
 * that, so that its addresses can speak in plain, or be given to another host.
 *
 * A handshake in which both modes come to plain releases the memory on either
 * end, and proves who asks for it. So this asks for one with each peer that
 * sealed with this host, and looks until nothing is left of that here.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal leave [ ADDR | PREFIX/len ] [ wait SECONDS ]\n"
"\n"
"Of peers with that address; of all without one. Waits 60 s unless told.\n";

#define WAIT_SECS	60
#define LOOK_MSECS	200

struct leave {
	struct tcpseal_prefix of;	/* of what family and prefix, if any */
	bool all;
	uint64_t secs;
	size_t asked;
};

static int parse(int argc, char **argv, struct leave *l)
{
	static const char *const words[] = { "wait", NULL };
	int ret, i = 0;

	l->all = true;
	l->secs = WAIT_SECS;
	if (i < argc && strcmp(argv[i], words[0])) {
		ret = tcpseal_prefix_parse(argv[i], &l->of);
		if (ret == -EDOM)
			return bad_word(argv[i], "bits set behind the prefix length");
		if (ret)
			return bad_word(argv[i], "not an address or prefix");
		l->all = false;
		i++;
	}
	if (i == argc)
		return 0;
	if (match_word(argv[i], words) < 0)
		return EXIT_USAGE;
	if (++i == argc)
		return bad_word(argv[i - 1], "needs a value");
	if (parse_number(argv[i], 1, 86400, &l->secs))
		return EXIT_USAGE;
	if (++i < argc)
		return bad_word(argv[i], "unexpected word");
	return 0;
}

/*
 * A peer remembers what it opened, and this host what this host opened: one
 * that only agreed to seal may well be remembered there.
 */
static bool remembered(const struct tcpseal_pair *pair, const struct leave *l)
{
	return pair->flags & (TCPSEAL_PAIR_FLAG_STICKY |
			      TCPSEAL_PAIR_FLAG_AGREED) &&
	       (l->all || tcpseal_prefix_has(&l->of, &pair->remote));
}

/* Where this host still wants to seal, the next segment would seal again */
static int may_leave(const struct tcpseal_pair *pair)
{
	char addr[TCPSEAL_ADDR_STRLEN];

	tcpseal_addr_format(&pair->remote, addr, sizeof(addr));
	if (!TCPSEAL_HAS(pair, PAIR_MODE_LOCAL) ||
	    pair->mode_local < TCPSEAL_MODE_AUDIT)
		return refuse("%s: no link asks it: set one to audit, leave, then remove it",
			      addr);
	if (pair->mode_local > TCPSEAL_MODE_AUDIT)
		return refuse("%s: its link is %s here, and would seal again: set it to audit first",
			      addr, tcpseal_mode_name(pair->mode_local));
	return 0;
}

static int ask(struct tcpseal *ts, const struct tcpseal_pair *pair)
{
	struct tcpseal_pair request = {
		.local = pair->local,
		.remote = pair->remote,
	};

	TCPSEAL_MARK(&request, PAIR_LOCAL);
	TCPSEAL_MARK(&request, PAIR_REMOTE);
	return tcpseal_pair_rekey(ts, &request) ? kernel_refused(ts) : 0;
}

/* All of them are looked at before the first one is asked */
static int ask_all(struct tcpseal *ts, struct leave *l)
{
	const struct tcpseal_pair *pair;
	struct list pairs;
	size_t i;
	int ret;

	ret = list_pairs(ts, NULL, &pairs);
	if (ret)
		return ret;
	pair = pairs.items;
	for (i = 0; !ret && i < pairs.n; i++)
		if (remembered(&pair[i], l))
			ret = may_leave(&pair[i]);
	for (i = 0; !ret && i < pairs.n; i++) {
		if (!remembered(&pair[i], l))
			continue;
		ret = ask(ts, &pair[i]);
		l->asked++;
	}
	list_free(&pairs);
	return ret;
}

static size_t count(const struct list *pairs, const struct leave *l)
{
	const struct tcpseal_pair *pair = pairs->items;
	size_t i, n = 0;

	for (i = 0; i < pairs->n; i++)
		n += remembered(&pair[i], l);
	return n;
}

/* Until nobody is left, or time is up; @pairs is what was seen last */
static int look(struct tcpseal *ts, const struct leave *l, struct list *pairs)
{
	const struct timespec nap = { .tv_nsec = LOOK_MSECS * 1000000 };
	struct timespec now, end;
	int ret;

	clock_gettime(CLOCK_BOOTTIME, &end);
	end.tv_sec += l->secs;
	for (;;) {
		ret = list_pairs(ts, NULL, pairs);
		if (ret || !count(pairs, l))
			return ret;
		clock_gettime(CLOCK_BOOTTIME, &now);
		if (now.tv_sec > end.tv_sec ||
		    (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec))
			return 0;
		list_free(pairs);
		nanosleep(&nap, NULL);
	}
}

static const char *why_not(const struct tcpseal_pair *pair)
{
	if (TCPSEAL_HAS(pair, PAIR_MODE_PEER) &&
	    pair->mode_peer == TCPSEAL_MODE_REQUIRE)
		return "it requires to seal with this host";
	return *pair->reason ? pair->reason : "it has not answered";
}

static json_t *left_json(const struct list *pairs, const struct leave *l)
{
	const struct tcpseal_pair *pair = pairs->items;
	json_t *left = json_array(), *o;
	size_t i;

	for (i = 0; i < pairs->n; i++) {
		if (!remembered(&pair[i], l))
			continue;
		o = json_object();
		put_addr(o, "remote", &pair[i].remote);
		put_addr(o, "local", &pair[i].local);
		put_str(o, "reason", why_not(&pair[i]));
		json_array_append_new(left, o);
	}
	return left;
}

static int report(const struct list *pairs, const struct leave *l)
{
	json_t *left = left_json(pairs, l), *each, *o = json_object();
	size_t n = json_array_size(left), i;
	int ret;

	put(o, "asked", json_integer(l->asked));
	put(o, "released", json_integer(l->asked - n));
	put(o, "left", left);
	if (opt_json) {
		print_document(o);
		goto out;
	}
	printf("%zu of %zu peers have released this host\n", l->asked - n,
	       l->asked);
	json_array_foreach(left, i, each)
		printf("    %s local %s: %s%s%s\n", str(each, "remote"),
		       str(each, "local"), paint("bad"), str(each, "reason"),
		       paint(""));
	json_decref(o);
out:
	ret = print_end();
	return n ? EXIT_REFUSED : ret;
}

int leave_main(int argc, char **argv)
{
	struct leave l = { };
	struct list pairs;
	struct tcpseal *ts;
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	ret = parse(argc, argv, &l);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = ask_all(ts, &l);
	if (!ret)
		ret = look(ts, &l, &pairs);
	tcpseal_close(ts);
	if (ret)
		return ret;
	ret = report(&pairs, &l);
	list_free(&pairs);
	return ret;
}
