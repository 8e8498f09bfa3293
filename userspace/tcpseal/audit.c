// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal audit: who still talks plaintext, and what "require" would drop. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal audit show [LOCAL/len REMOTE/len]\n"
"       tcpseal audit flush\n"
"\n"
"show:  on links in audit or prefer, or on this link: remote and local address,\n"
"       port of the service, process here, what passed in plaintext, when, and\n"
"       what mode require would make of it\n"
"flush: forget all that, and begin to count anew\n";

struct audit {
	struct tcpseal_stats stats;
	struct list links, pairs;
	struct talkers talkers;
};

/* of one link: what "require" would make of its plaintext */
struct outcome {
	uint64_t seal, drop, control;	/* bytes */
	size_t n;			/* talkers */
};

static const char *const outlooks[] = {
	[OUTLOOK_SEAL] = "seal",
	[OUTLOOK_DROP] = "drop",
	[OUTLOOK_CONTROL] = "control",
};

static int take(struct tcpseal *ts, struct audit *a)
{
	int ret;

	memset(a, 0, sizeof(*a));
	if (tcpseal_stats_get(ts, &a->stats))
		return kernel_refused(ts);
	ret = list_links(ts, &a->links);
	if (ret)
		return ret;
	ret = list_pairs(ts, NULL, &a->pairs);
	if (!ret)
		ret = talkers_take(ts, 0, &a->stats, &a->pairs, &a->talkers);
	if (!ret)
		return 0;
	list_free(&a->pairs);
	list_free(&a->links);
	return ret;
}

static void release(struct audit *a)
{
	talkers_release(&a->talkers);
	list_free(&a->pairs);
	list_free(&a->links);
}

static bool audited(const struct tcpseal_link *link)
{
	return link->mode == TCPSEAL_MODE_AUDIT ||
	       link->mode == TCPSEAL_MODE_PREFER;
}

static void sum_up(const struct audit *a, const struct tcpseal_link *link,
		   struct outcome *sum)
{
	const struct tcpseal_talker *t = a->talkers.list.items;
	char why[256];
	size_t i;

	memset(sum, 0, sizeof(*sum));
	for (i = 0; i < a->talkers.list.n; i++, t++) {
		if (t->link_id != link->id)
			continue;
		sum->n++;
		switch (talker_outlook(&a->talkers, t, link, why, sizeof(why))) {
		case OUTLOOK_SEAL:
			sum->seal += talker_bytes(t);
			break;
		case OUTLOOK_DROP:
			sum->drop += talker_bytes(t);
			break;
		case OUTLOOK_CONTROL:
			sum->control += talker_bytes(t);
			break;
		}
	}
}

static json_t *processes_json(const struct audit *a,
			      const struct tcpseal_talker *t)
{
	const struct tcpseal_talker *first = a->talkers.list.items;
	json_t *array = json_array();
	const char *name;
	size_t i;

	for (i = 0; (name = process_of(a->talkers.processes, t - first, i));
	     i++) {
		json_array_append_new(array, text_json(name));
	}
	return array;
}

static json_t *one_json(const struct audit *a, const struct tcpseal_talker *t,
			const struct tcpseal_link *link)
{
	json_t *o = talker_json(t);
	char why[256];
	enum outlook outlook = talker_outlook(&a->talkers, t, link, why, sizeof(why));

	put(o, "processes", processes_json(a, t));
	put_str(o, "require", outlooks[outlook]);
	if (*why)
		put_str(o, "why", why);
	return o;
}

static json_t *audit_link_json(const struct audit *a,
			       const struct tcpseal_link *link)
{
	const struct tcpseal_talker *t = a->talkers.list.items;
	json_t *o = link_json(link);
	json_t *array = json_array();
	struct outcome sum;
	size_t i;

	sum_up(a, link, &sum);
	put(o, "require",
	    json_pack("{s:I, s:I, s:I}", "seal_bytes", (json_int_t)sum.seal,
		      "drop_bytes", (json_int_t)sum.drop,
		      "control_bytes", (json_int_t)sum.control));
	for (i = 0; i < a->talkers.list.n; i++, t++) {
		if (t->link_id == link->id)
			json_array_append_new(array, one_json(a, t, link));
	}
	put(o, "talkers", array);
	return o;
}

static void print_json(const struct audit *a, const struct tcpseal_link *only)
{
	const struct tcpseal_link *link = a->links.items;
	json_t *stats = stats_json(&a->stats);
	static const char *const names[] = {
		"audit_secs", "audit_slots", "audit_talkers",
		"audit_displaced", "audit_other", "audit_other_secs",
	};
	size_t i;

	json_open(NULL, '{');
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (has(stats, names[i]))
			json_put(names[i],
				 json_incref(json_object_get(stats, names[i])));
	}
	json_decref(stats);
	json_open("links", '[');
	for (i = 0; i < a->links.n; i++, link++) {
		if (only ? link == only : audited(link))
			json_put(NULL, audit_link_json(a, link));
	}
	json_close();
	json_close();
}

/* ------------------------------------------------------------- text */

static void print_talker(const struct audit *a, const struct tcpseal_talker *t,
			 const struct tcpseal_link *link, const int *width)
{
	char remote[TCPSEAL_ADDR_STRLEN], local[TCPSEAL_ADDR_STRLEN];
	char rport[8] = "*", lport[8] = "*", names[256], why[256];
	char out[32], in[32], first[32], last[32];
	enum outlook outlook = talker_outlook(&a->talkers, t, link, why, sizeof(why));

	if (t->remote_port)
		snprintf(rport, sizeof(rport), "%u", t->remote_port);
	if (t->local_port)
		snprintf(lport, sizeof(lport), "%u", t->local_port);
	printf("    %-*s %5s  %-*s %5s  %-15s  %10s  %10s  %11s  %11s  ",
	       width[0],
	       tcpseal_addr_format(&t->remote, remote, sizeof(remote)), rport,
	       width[1], tcpseal_addr_format(&t->local, local, sizeof(local)),
	       lport,
	       talker_processes(&a->talkers, t, names, sizeof(names)),
	       fmt_bytes(out, sizeof(out), t->plain_out_bytes),
	       fmt_bytes(in, sizeof(in), t->plain_in_bytes),
	       fmt_age(first, sizeof(first), t->first_secs),
	       fmt_age(last, sizeof(last), t->last_secs));
	if (outlook == OUTLOOK_DROP)
		printf("%sdrop%s: %s", paint("bad"), paint(""), why);
	else
		printf("%s", outlooks[outlook]);
	if (t->missed)
		printf(" (up to %s more before)",
		       fmt_bytes(out, sizeof(out), t->missed));
	putchar('\n');
}

static void widen(int *width, const struct tcpseal_addr *addr)
{
	char buf[TCPSEAL_ADDR_STRLEN];
	int len = strlen(tcpseal_addr_format(addr, buf, sizeof(buf)));

	if (len > *width)
		*width = len;
}

static void print_talkers(const struct audit *a,
			  const struct tcpseal_link *link)
{
	const struct tcpseal_talker *first = a->talkers.list.items, *t;
	const struct tcpseal_talker *end = first + a->talkers.list.n;
	int width[2] = { 6, 5 };

	for (t = first; t < end; t++) {
		if (t->link_id != link->id)
			continue;
		widen(&width[0], &t->remote);
		widen(&width[1], &t->local);
	}
	printf("    %-*s %5s  %-*s %5s  %-15s  %10s  %10s  %11s  %11s  %s\n",
	       width[0], "REMOTE", "PORT", width[1], "LOCAL", "PORT",
	       "PROCESS", "OUT", "IN", "FIRST, AGO", "LAST, AGO", "REQUIRE");
	for (t = first; t < end; t++) {
		if (t->link_id == link->id)
			print_talker(a, t, link, width);
	}
}

static void print_link(const struct audit *a, const struct tcpseal_link *link)
{
	char seal[32], drop[32], control[32];
	json_t *o = link_json(link);
	struct outcome sum;

	sum_up(a, link, &sum);
	print_link_text(o);
	print_plain(json_object_get(o, "stats"));
	json_decref(o);
	if (!sum.n) {
		printf("    nobody talked plaintext since it is listed\n");
		return;
	}
	printf("    require  would have dropped %s, sealed %s, left %s of tcpseald\n",
	       fmt_bytes(drop, sizeof(drop), sum.drop),
	       fmt_bytes(seal, sizeof(seal), sum.seal),
	       fmt_bytes(control, sizeof(control), sum.control));
	print_talkers(a, link);
}

static void print_text(const struct audit *a, const struct tcpseal_link *only)
{
	const struct tcpseal_stats *stats = &a->stats;
	const struct tcpseal_link *link = a->links.items;
	char age[32], out[32], in[32];
	size_t i, shown = 0;

	if (TCPSEAL_HAS(stats, STATS_AUDIT_SECS))
		printf("listed since %s ago, %" PRIu32 " of %" PRIu32
		       " slots in use\n",
		       fmt_age(age, sizeof(age), stats->audit_secs),
		       stats->audit_talkers, stats->audit_slots);
	if (stats->audit_other.plain_out || stats->audit_other.plain_in)
		printf("%sthe slots were not enough%s: of %" PRIu64
		       " more there is only the sum: %s out, %s in\n",
		       paint("bad"), paint(""), stats->audit_displaced,
		       fmt_bytes(out, sizeof(out),
				 stats->audit_other.plain_out_bytes),
		       fmt_bytes(in, sizeof(in),
				 stats->audit_other.plain_in_bytes));
	for (i = 0; i < a->links.n; i++, link++) {
		if (only ? link != only : !audited(link))
			continue;
		print_link(a, link);
		shown++;
	}
	if (!shown)
		printf("no link is in audit or prefer\n");
}

static int audit_show(int argc, char **argv)
{
	const struct tcpseal_link *only = NULL;
	struct tcpseal_link like = { };
	struct tcpseal_err err = { };
	struct tcpseal *ts;
	struct audit a;
	int ret;

	if (argc > 1 &&
	    tcpseal_link_prefixes_parse(argc - 1, argv + 1, &like, &err)) {
		refuse("%s", err.text);
		return EXIT_USAGE;
	}
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = take(ts, &a);
	tcpseal_close(ts);
	if (ret)
		return ret;
	if (argc > 1) {
		only = find_link(&a.links, &like);
		if (!only) {
			release(&a);
			return refuse("no link has these two prefixes");
		}
	}
	if (opt_json)
		print_json(&a, only);
	else
		print_text(&a, only);
	release(&a);
	return print_end();
}

static int audit_flush(int argc, char **argv)
{
	struct tcpseal *ts;
	int ret = 0;

	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_audit_flush(ts))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

int audit_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "show", audit_show, "who talks plaintext" },
		{ "list", audit_show, "the same" },
		{ "flush", audit_flush, "begin to count anew" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
