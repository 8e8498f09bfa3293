// SPDX-License-Identifier: GPL-2.0-or-later
/* What stands between a link and mode "require". */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

#define NAMED_MAX	3	/* of each kind; the others are a number */

static void say_more(json_t *list, size_t n, const char *what)
{
	if (n > NAMED_MAX)
		say(list, "and %zu more %s", n - NAMED_MAX, what);
}

/* Has it been looked at for long enough to know? */
static void say_age(const struct state *s, const struct tcpseal_link *link,
		    uint32_t within, json_t *list)
{
	uint64_t age = s->now > link->since ? s->now - link->since : 0;
	char have[32], want[32];

	fmt_age(want, sizeof(want), within);
	if (age < within)
		say(list, "in mode %s for %s only, not for %s",
		    tcpseal_mode_name(link->mode),
		    fmt_age(have, sizeof(have), age), want);
	else if (s->stats.audit_secs < within)
		say(list, "plaintext is listed for %s only, not for %s",
		    fmt_age(have, sizeof(have), s->stats.audit_secs), want);
}

static void say_talkers(const struct state *s, const struct tcpseal_link *link,
			uint32_t within, json_t *list)
{
	const struct tcpseal_talker *t = s->talkers.list.items;
	char name[512], why[256], ago[32];
	enum outlook outlook;
	size_t i, n = 0;

	for (i = 0; i < s->talkers.list.n; i++, t++) {
		if (t->link_id != link->id || t->last_secs > within)
			continue;
		outlook = talker_outlook(&s->talkers, t, link, why,
					 sizeof(why));
		if (outlook == OUTLOOK_CONTROL || ++n > NAMED_MAX)
			continue;
		talker_name(&s->talkers, t, name, sizeof(name));
		fmt_age(ago, sizeof(ago), t->last_secs);
		if (*why)
			say(list, "plaintext %s ago: %s: %s", ago, name, why);
		else
			say(list, "plaintext %s ago: %s", ago, name);
	}
	say_more(list, n, "that talk plaintext");
	if (TCPSEAL_HAS(&s->stats, STATS_AUDIT_OTHER_SECS) &&
	    s->stats.audit_other_secs <= within)
		say(list, "plaintext %s ago of somebody for whom there was no place in the list",
		    fmt_age(ago, sizeof(ago), s->stats.audit_other_secs));
}

/* Would a pair be without a key under require, as far as one knows? */
static bool keyless(const struct tcpseal_pair *pair,
		    const struct tcpseal_link *link)
{
	if (pair->state == TCPSEAL_PAIR_STATE_SEALED)
		return false;
	if (pair->state != TCPSEAL_PAIR_STATE_PLAIN)
		return true;
	/* in audit nobody has a key: what counts is whether the peer would */
	return link->mode != TCPSEAL_MODE_AUDIT ||
	       !TCPSEAL_HAS(pair, PAIR_MODE_PEER) ||
	       pair->mode_peer < TCPSEAL_MODE_AUDIT;
}

/* Where the pairs of this link begin */
static size_t first_pair(const struct state *s, uint32_t link_id)
{
	size_t low = 0, high = s->pairs_n, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->pairs[middle]->link_id < link_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void say_pairs(const struct state *s, const struct tcpseal_link *link,
		      json_t *list)
{
	const struct tcpseal_pair *pair;
	char addr[TCPSEAL_ADDR_STRLEN];
	size_t i, n = 0;

	for (i = first_pair(s, link->id); i < s->pairs_n; i++) {
		pair = s->pairs[i];
		if (pair->link_id != link->id)
			break;
		if (!keyless(pair, link) || ++n > NAMED_MAX)
			continue;
		say(list, "no key with %s: %s",
		    tcpseal_addr_format(&pair->remote, addr, sizeof(addr)),
		    *pair->reason ? pair->reason : "no word with it yet");
	}
	say_more(list, n, "without a key");
}

/* An array of sentences; empty: nothing that is known */
json_t *link_obstacles(const struct state *s, const struct tcpseal_link *link,
		       uint32_t within)
{
	json_t *list = json_array();

	switch (link->mode) {
	case TCPSEAL_MODE_CLEAR:
		say(list, "mode clear");
		break;
	case TCPSEAL_MODE_AUDIT:
	case TCPSEAL_MODE_PREFER:
		say_age(s, link, within, list);
		say_talkers(s, link, within, list);
		say_pairs(s, link, list);
		break;
	default:
		say_pairs(s, link, list);
	}
	return list;
}

/* Seconds since the last plaintext of the link, but tcpseald's; or -1 */
int64_t link_plain_secs(const struct state *s, const struct tcpseal_link *link)
{
	const struct tcpseal_talker *t = s->talkers.list.items;
	int64_t last = -1;
	char why[256];
	size_t i;

	for (i = 0; i < s->talkers.list.n; i++, t++) {
		if (t->link_id != link->id ||
		    talker_outlook(&s->talkers, t, link, why, sizeof(why)) ==
		    OUTLOOK_CONTROL)
			continue;
		if (last < 0 || t->last_secs < last)
			last = t->last_secs;
	}
	return last;
}

static uint64_t plain_bytes(const struct tcpseal_counters *stats)
{
	return stats->plain_out_bytes + stats->plain_in_bytes;
}

/* Of a thousand bytes so many were sealed, rounded down; or -1: no bytes */
int link_sealed_share(const struct tcpseal_link *link)
{
	const struct tcpseal_counters *stats = &link->stats;
	double sealed = stats->sealed_bytes + stats->opened_bytes;
	double all = sealed + plain_bytes(stats);

	return all ? (int)(1000 * sealed / all) : -1;
}

/* ------------------------------------------------------- link promote */

struct promotion {
	uint32_t mode;		/* 0: the next one */
	uint32_t within;
	bool force;
};

static int parse_promotion(int argc, char **argv, struct promotion *p)
{
	static const char *const words[] = { "to", "within", "force", NULL };
	static const char *const modes[] = { "audit", "prefer", "require",
					     NULL };
	int i, found;

	for (i = 0; i < argc; i++) {
		found = match_word(argv[i], words);
		if (found < 0)
			return EXIT_USAGE;
		if (found == 2) {
			p->force = true;
			continue;
		}
		if (++i == argc)
			return bad_word(argv[i - 1], "needs a value");
		if (found == 1) {
			if (tcpseal_secs_parse(argv[i], &p->within))
				return bad_word(argv[i],
						"not a time, such as 12h");
			continue;
		}
		found = match_word(argv[i], modes);
		if (found < 0)
			return EXIT_USAGE;
		p->mode = TCPSEAL_MODE_AUDIT + found;
	}
	return 0;
}

static int print_obstacles(const json_t *list, const struct promotion *p,
			   const struct tcpseal_link *link)
{
	char want[32];
	json_t *text;
	size_t i;

	refuse("not yet, the link stays in mode %s:",
	       tcpseal_mode_name(link->mode));
	json_array_foreach(list, i, text)
		fprintf(stderr, "    %s\n", json_string_value(text));
	fprintf(stderr, "    (\"within TIME\" asks for less than %s; \"force\" does it nevertheless)\n",
		fmt_age(want, sizeof(want), p->within));
	return EXIT_REFUSED;
}

static int promote(struct tcpseal *ts, const struct state *s,
		   const struct tcpseal_link *link, const struct promotion *p)
{
	struct tcpseal_link now = *link;
	json_t *obstacles;
	int ret = 0;

	now.mode = p->mode ? p->mode : link->mode + 1;
	if (link->mode == TCPSEAL_MODE_REQUIRE || now.mode == link->mode) {
		note("the link is in mode %s already",
		     tcpseal_mode_name(link->mode));
		return EXIT_OK;
	}
	if (now.mode < link->mode)
		return refuse("mode %s is less than %s, which the link has; \"link add\" with --weaken does that",
			      tcpseal_mode_name(now.mode),
			      tcpseal_mode_name(link->mode));
	if (now.mode == TCPSEAL_MODE_REQUIRE && !p->force) {
		obstacles = link_obstacles(s, link, p->within);
		if (json_array_size(obstacles))
			ret = print_obstacles(obstacles, p, link);
		json_decref(obstacles);
		if (ret)
			return ret;
	}
	if (tcpseal_link_new(ts, &now))
		return kernel_refused(ts);
	if (s->stats.ctrl_port)
		note("in mode %s now; say so in the configuration file, too, or a restart or reload of tcpseald knows nothing of it",
		     tcpseal_mode_name(now.mode));
	return EXIT_OK;
}

/* LOCAL/len REMOTE/len [to MODE] [within TIME] [force] */
int link_promote(int argc, char **argv)
{
	struct promotion p = { .within = PROMOTE_SECS };
	const struct tcpseal_link *link;
	struct tcpseal_link like = { };
	struct tcpseal_err err = { };
	struct list links, pairs;
	struct tcpseal *ts;
	struct state s;
	int ret;

	if (argc < 3)
		return missing(argc < 2 ? "LOCAL/len" : "REMOTE/len");
	if (tcpseal_link_prefixes_parse(2, argv + 1, &like, &err)) {
		refuse("%s", err.text);
		return EXIT_USAGE;
	}
	ret = parse_promotion(argc - 3, argv + 3, &p);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = list_links(ts, &links);
	if (ret)
		goto close_kernel;
	ret = list_pairs(ts, NULL, &pairs);
	if (ret)
		goto free_links;
	ret = state_take(ts, &pairs, &s);
	if (ret)
		goto free_pairs;
	link = find_link(&links, &like);
	ret = link ? promote(ts, &s, link, &p) :
		     refuse("no link has these two prefixes");
	state_release(&s);
free_pairs:
	list_free(&pairs);
free_links:
	list_free(&links);
close_kernel:
	tcpseal_close(ts);
	return ret;
}

static int by_link(const void *a, const void *b)
{
	const struct tcpseal_pair *one = *(const struct tcpseal_pair *const *)a;
	const struct tcpseal_pair *other =
		*(const struct tcpseal_pair *const *)b;

	if (one->link_id != other->link_id)
		return one->link_id < other->link_id ? -1 : 1;
	/* and as the kernel gave them */
	return (one > other) - (one < other);
}

static void sort_pairs(struct state *s, const struct list *pairs)
{
	const struct tcpseal_pair *pair = pairs->items;
	size_t i;

	s->pairs = calloc(pairs->n + 1, sizeof(*s->pairs));
	if (!s->pairs)
		abort();
	for (i = 0; i < pairs->n; i++)
		s->pairs[i] = &pair[i];
	s->pairs_n = pairs->n;
	qsort(s->pairs, s->pairs_n, sizeof(*s->pairs), by_link);
}

/* @pairs must outlive it */
int state_take(struct tcpseal *ts, const struct list *pairs, struct state *s)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->now = time(NULL);
	if (tcpseal_stats_get(ts, &s->stats))
		return kernel_refused(ts);
	ret = talkers_take(ts, 0, &s->stats, pairs, &s->talkers);
	if (!ret)
		sort_pairs(s, pairs);
	return ret;
}

void state_release(struct state *s)
{
	free(s->pairs);
	talkers_release(&s->talkers);
}
