// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal stats: every counter, every reason to drop, zeros included. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal stats\n";

#define NAME_WIDTH	24

static const struct {
	const char *name;
	const char *text;
} meanings[] = {
	{ "sealed_records", "records sent" },
	{ "sealed_bytes", "payload sealed, without headers and tags" },
	{ "sealed_skbs", "super-segments sealed at once" },
	{ "opened_records", "records received, authenticated, delivered" },
	{ "opened_bytes", "payload opened" },
	{ "opened_skbs", "super-segments opened at once" },
	{ "plain_out", "TCP segments of links sent in plaintext" },
	{ "plain_out_bytes", "their bytes" },
	{ "plain_in", "TCP segments of links accepted in plaintext" },
	{ "plain_in_bytes", "their bytes" },
	{ "nontcp_out_bytes", "sent on links, not TCP, not covered" },
	{ "nontcp_in_bytes", "received on links, not TCP, not covered" },
	{ "held", "segments that waited for a key" },
	{ "dropped", "sum over all reasons" },
};

static const char *meaning(const char *name)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(meanings); i++) {
		if (!strcmp(name, meanings[i].name))
			return meanings[i].text;
	}
	return "";
}

static void print_line(const char *set, const char *name, uint64_t value,
		       const char *text)
{
	char label[64];

	snprintf(label, sizeof(label), "%s%s", set, name);
	if (*text)
		printf("%-*s %12" PRIu64 "  # %s\n", NAME_WIDTH, label, value,
		       text);
	else
		printf("%-*s %12" PRIu64 "\n", NAME_WIDTH, label, value);
}

/* in the order of the header, with what each means; then what it lacks */
static void print_reasons(const char *set, const struct tcpseal_drop_count *c,
			  unsigned int n, const char *(*name)(uint32_t),
			  const char *(*text)(uint32_t), uint32_t end)
{
	uint64_t packets;
	unsigned int i;
	uint32_t nr;

	for (nr = 1; nr < end; nr++) {
		packets = 0;
		for (i = 0; i < n; i++) {
			if (c[i].reason == nr)
				packets = c[i].packets;
		}
		print_line(set, name(nr), packets, text(nr));
	}
	for (i = 0; i < n; i++) {
		if (c[i].reason >= end)
			print_line(set, c[i].name, c[i].packets,
				   "newer than this program");
	}
}

static void print_stats(const struct tcpseal_stats *stats)
{
	json_t *total = counters_json(&stats->total);
	const char *key;
	json_t *value;

	printf("%-*s %12s\n", NAME_WIDTH, "version", stats->version);
	print_line("", "protocol", stats->protocol, "");
	print_line("", "links", stats->links, "");
	print_line("", "pairs", stats->pairs, "");
	print_line("", "sas", stats->sas, "without tombstones");
	print_line("", "tombstones", stats->tombstones,
		   "SPIs of removed SAs, still refused");
	json_object_foreach(total, key, value)
		print_line("total.", key, json_integer_value(value),
			   meaning(key));
	json_decref(total);
	print_reasons("drop.", stats->drop, stats->drop_n, tcpseal_drop_name,
		      tcpseal_drop_text, __TCPSEAL_DROP_MAX);
	print_reasons("note.", stats->note, stats->note_n, tcpseal_note_name,
		      tcpseal_note_text, __TCPSEAL_NOTE_MAX);
}

int stats_main(int argc, char **argv)
{
	struct tcpseal_stats stats = { };
	struct tcpseal *ts;
	int ret = 0;

	if (wants_help(argc, argv))
		return print_usage(usage);
	if (argc)
		return bad_word(argv[0], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_stats_get(ts, &stats))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	if (ret)
		return ret;
	if (opt_json)
		print_document(stats_json(&stats));
	else
		print_stats(&stats);
	return print_end();
}
