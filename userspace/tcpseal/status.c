// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal status: is everything sealed? and where not, why? */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal status\n";

#define SOON_SECS	3600	/* until a key fails closed: say so */

struct snapshot {
	struct list links;
	struct list pairs;
	struct list sas;
	struct state state;
};

/* what the pairs of one link amount to */
struct tally {
	uint32_t id;
	unsigned int state[TCPSEAL_PAIR_STATE_BLOCKED + 1];
};

static int take(struct tcpseal *ts, struct snapshot *snap)
{
	int ret;

	memset(snap, 0, sizeof(*snap));
	ret = list_links(ts, &snap->links);
	if (ret)
		return ret;
	ret = list_peers(ts, NULL, &snap->pairs, &snap->sas);
	if (ret) {
		list_free(&snap->links);
		return ret;
	}
	ret = state_take(ts, &snap->pairs, &snap->state);
	if (!ret)
		return 0;
	list_free(&snap->sas);
	list_free(&snap->pairs);
	list_free(&snap->links);
	return ret;
}

static void release(struct snapshot *snap)
{
	state_release(&snap->state);
	list_free(&snap->sas);
	list_free(&snap->pairs);
	list_free(&snap->links);
}

static int by_link(const void *a, const void *b)
{
	const struct tally *one = a;
	const struct tally *other = b;

	return (one->id > other->id) - (one->id < other->id);
}

static struct tally *count_pairs(const struct snapshot *snap)
{
	const struct tcpseal_link *link = snap->links.items;
	const struct tcpseal_pair *pair = snap->pairs.items;
	struct tally *tally = calloc(snap->links.n + 1, sizeof(*tally));
	struct tally key, *found;
	size_t i;

	if (!tally)
		abort();
	for (i = 0; i < snap->links.n; i++)
		tally[i].id = link[i].id;
	qsort(tally, snap->links.n, sizeof(*tally), by_link);
	for (i = 0; i < snap->pairs.n; i++, pair++) {
		key.id = pair->link_id;
		found = bsearch(&key, tally, snap->links.n, sizeof(*tally),
				by_link);
		if (found && pair->state <= TCPSEAL_PAIR_STATE_BLOCKED)
			found->state[pair->state]++;
	}
	return tally;
}

static const struct tally *tally_of(const struct snapshot *snap,
				    const struct tally *tally, uint32_t id)
{
	const struct tally key = { .id = id };

	return bsearch(&key, tally, snap->links.n, sizeof(*tally), by_link);
}

/* ---------------------------------------------------------- warnings */

static bool in_virtual_machine(void)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096];
	bool found = false;

	if (!file)
		return false;
	while (!found && fgets(line, sizeof(line), file))
		found = !strncmp(line, "flags", 5) &&
			strstr(line, " hypervisor");
	fclose(file);
	return found;
}

/* a device that the vmgenid driver is bound to */
static bool has_vmgenid(void)
{
	static const char *const dirs[] = {
		"/sys/bus/acpi/drivers/vmgenid",
		"/sys/bus/platform/drivers/vmgenid",
	};
	struct dirent *entry;
	bool found = false;
	size_t i;
	DIR *dir;

	for (i = 0; i < ARRAY_SIZE(dirs) && !found; i++) {
		dir = opendir(dirs[i]);
		if (!dir)
			continue;
		while (!found && (entry = readdir(dir)))
			found = entry->d_type == DT_LNK &&
				strcmp(entry->d_name, "module");
		closedir(dir);
	}
	return found;
}

static void warn_of_link(json_t *list, const struct tcpseal_link *link,
			 const struct tally *tally)
{
	const struct tcpseal_counters *stats = &link->stats;
	uint64_t plain = stats->plain_in + stats->plain_out;
	char local[TCPSEAL_PREFIX_STRLEN], remote[TCPSEAL_PREFIX_STRLEN];
	unsigned int pairs = tally->state[TCPSEAL_PAIR_STATE_PLAIN];
	unsigned int blocked = tally->state[TCPSEAL_PAIR_STATE_BLOCKED];
	unsigned int waiting = tally->state[TCPSEAL_PAIR_STATE_WAITING];

	tcpseal_prefix_format(&link->local, local, sizeof(local));
	tcpseal_prefix_format(&link->remote, remote, sizeof(remote));
	if (link->mode == TCPSEAL_MODE_PREFER && (plain || pairs))
		say(list, "link %s %s: PLAINTEXT on a prefer link: "
			"%" PRIu64 " segments so far, pairs plain now: %u",
			local, remote, plain, pairs);
	if (link->mode == TCPSEAL_MODE_CLEAR)
		say(list, "link %s %s: clear, a hole: %" PRIu64
			" segments in plaintext", local, remote, plain);
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		say(list, "link %s %s: MANUAL KEYS: nobody was "
			"authenticated, nothing rotates", local, remote);
	if (blocked)
		say(list, "link %s %s: pairs blocked: %u", local, remote,
			blocked);
	if (waiting)
		say(list, "link %s %s: pairs that wait for a key: %u",
			local, remote, waiting);
}

static void warn_of_keys(json_t *list, const struct snapshot *snap)
{
	const struct tcpseal_pair *pair = snap->pairs.items;
	const struct tcpseal_sa *sa = snap->sas.items;
	char addr[TCPSEAL_ADDR_STRLEN], left[32];
	unsigned int manual = 0, logged = 0;
	size_t i;

	for (i = 0; i < snap->sas.n; i++, sa++) {
		if (sa->flags & TCPSEAL_SA_FLAG_MANUAL &&
		    sa->state != TCPSEAL_SA_STATE_TOMBSTONE)
			manual++;
		if (sa->flags & TCPSEAL_SA_FLAG_LOGGED &&
		    sa->state != TCPSEAL_SA_STATE_TOMBSTONE)
			logged++;
	}
	if (logged)
		say(list, "KEY LOG: keys that were written to a file: %u",
			logged);
	if (manual)
		say(list, "MANUAL KEYS: SAs with keys typed in by hand: %u",
			manual);
	for (i = 0; i < snap->pairs.n; i++, pair++) {
		sa = find_sa(&snap->sas, pair->tx_id);
		if (!sa || sa->flags & TCPSEAL_SA_FLAG_MANUAL ||
		    !TCPSEAL_HAS(sa, SA_HARD_SECS) ||
		    !TCPSEAL_HAS(sa, SA_SOFT_SECS) || sa->soft_secs ||
		    sa->hard_secs >= SOON_SECS)
			continue;
		say(list, "peer %s: rotation is overdue, fails closed "
			"in %s",
			tcpseal_addr_format(&pair->remote, addr, sizeof(addr)),
			fmt_age(left, sizeof(left), sa->hard_secs));
	}
}

static json_t *warnings(const struct snapshot *snap, const struct tally *tally)
{
	const struct tcpseal_link *link = snap->links.items;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < snap->links.n; i++, link++)
		warn_of_link(list, link, tally_of(snap, tally, link->id));
	warn_of_keys(list, snap);
	if (in_virtual_machine() && !has_vmgenid())
		say(list, "virtual machine without vmgenid: a clone or "
			"restored snapshot would go on with the same keys");
	return list;
}

/* ---------------------------------------------------------- printing */

static json_t *status_link(const struct snapshot *snap,
			   const struct tcpseal_link *link,
			   const struct tally *tally)
{
	int64_t plain = link_plain_secs(&snap->state, link);
	int share = link_sealed_share(link);
	json_t *o = link_json(link);
	json_t *pairs = json_object();
	uint32_t state;

	for (state = TCPSEAL_PAIR_STATE_PLAIN;
	     state <= TCPSEAL_PAIR_STATE_BLOCKED; state++)
		json_object_set_new(pairs, tcpseal_pair_state_name(state),
				    json_integer(tally->state[state]));
	json_object_set_new(o, "pairs", pairs);
	if (share >= 0)
		json_object_set_new(o, "sealed_share",
				    json_real(share / 1000.0));
	if (plain >= 0)
		json_object_set_new(o, "plain_secs", json_integer(plain));
	json_object_set_new(o, "obstacles",
			    link_obstacles(&snap->state, link, PROMOTE_SECS));
	return o;
}

/* Addresses that others may know this host by */
static json_t *addresses(void)
{
	json_t *list = json_array();
	char buf[INET6_ADDRSTRLEN];
	struct ifaddrs *all, *one;
	const void *addr;
	int family;

	if (getifaddrs(&all))
		return list;
	for (one = all; one; one = one->ifa_next) {
		family = one->ifa_addr ? one->ifa_addr->sa_family : AF_UNSPEC;
		if (one->ifa_flags & IFF_LOOPBACK)
			continue;
		if (family == AF_INET)
			addr = &((struct sockaddr_in *)one->ifa_addr)->sin_addr;
		else if (family == AF_INET6)
			addr = &((struct sockaddr_in6 *)
				 one->ifa_addr)->sin6_addr;
		else
			continue;
		if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(
			    (const struct in6_addr *)addr))
			continue;
		if (inet_ntop(family, addr, buf, sizeof(buf)))
			json_array_append_new(list, json_string(buf));
	}
	freeifaddrs(all);
	return list;
}

static json_t *host_name(void)
{
	char name[256] = "";
	json_t *string;

	gethostname(name, sizeof(name) - 1);
	string = json_string(name);
	return string ? string : json_string("?");
}

static json_t *module_json(const struct tcpseal_stats *stats)
{
	json_t *o = stats_json(stats);

	json_object_del(o, "drop");
	json_object_del(o, "note");
	return o;
}

static void print_json(const struct snapshot *snap, const struct tally *tally)
{
	const struct tcpseal_link *link = snap->links.items;
	const struct tcpseal_pair *pair = snap->pairs.items;
	size_t i;

	json_open(NULL, '{');
	json_put("host", host_name());
	json_put("addresses", addresses());
	json_put("module", module_json(&snap->state.stats));
	json_put("warnings", warnings(snap, tally));
	json_open("links", '[');
	for (i = 0; i < snap->links.n; i++, link++)
		json_put(NULL, status_link(snap, link,
					   tally_of(snap, tally, link->id)));
	json_close();
	json_open("peers", '[');
	for (i = 0; i < snap->pairs.n; i++, pair++)
		json_put(NULL, peer_json(pair, &snap->sas));
	json_close();
	json_close();
}

static void print_warnings(const struct snapshot *snap,
			   const struct tally *tally)
{
	json_t *list = warnings(snap, tally);
	json_t *text;
	size_t i;

	json_array_foreach(list, i, text)
		printf("%sWARNING: %s%s\n", paint("bad"),
		       json_string_value(text), paint(""));
	json_decref(list);
}

/* The answer: each link, how much of it is sealed, and what is in the way */
static void print_matrix_row(const struct snapshot *snap,
			     const struct tcpseal_link *link, const int *width)
{
	json_t *list = link_obstacles(&snap->state, link, PROMOTE_SECS);
	char local[TCPSEAL_PREFIX_STRLEN], remote[TCPSEAL_PREFIX_STRLEN];
	uint64_t now = snap->state.now, bytes;
	int64_t last = link_plain_secs(&snap->state, link);
	int share = link_sealed_share(link);
	char sealed[16] = "-", plain[32] = "-", ago[32] = "-", since[32];
	json_t *text;
	size_t i;

	if (share >= 0)
		snprintf(sealed, sizeof(sealed), "%d.%d %%", share / 10,
			 share % 10);
	bytes = link->stats.plain_out_bytes + link->stats.plain_in_bytes;
	if (bytes || link->stats.plain_out || link->stats.plain_in)
		fmt_bytes(plain, sizeof(plain), bytes);
	if (last >= 0)
		fmt_age(ago, sizeof(ago), last);
	fmt_age(since, sizeof(since), now > link->since ? now - link->since : 0);
	printf("%-*s  %-*s  %-7s  %11s  %7s  %11s  %11s  ", width[0],
	       tcpseal_prefix_format(&link->local, local, sizeof(local)),
	       width[1],
	       tcpseal_prefix_format(&link->remote, remote, sizeof(remote)),
	       tcpseal_mode_name(link->mode), since, sealed, plain, ago);
	if (!json_array_size(list))
		printf("%s%s%s", paint("good"),
		       link->mode == TCPSEAL_MODE_REQUIRE ? "-" :
		       "nothing that is known", paint(""));
	json_array_foreach(list, i, text)
		printf("%s%s%s%s", i ? "; " : "", paint("bad"),
		       json_string_value(text), paint(""));
	putchar('\n');
	json_decref(list);
}

static void print_matrix(const struct snapshot *snap)
{
	const struct tcpseal_link *link = snap->links.items;
	char text[TCPSEAL_PREFIX_STRLEN];
	int width[2] = { 5, 6 }, len;
	size_t i;

	for (i = 0; i < snap->links.n; i++) {
		tcpseal_prefix_format(&link[i].local, text, sizeof(text));
		len = strlen(text);
		if (len > width[0])
			width[0] = len;
		tcpseal_prefix_format(&link[i].remote, text, sizeof(text));
		len = strlen(text);
		if (len > width[1])
			width[1] = len;
	}
	printf("%s%-*s  %-*s  %-7s  %11s  %7s  %11s  %11s  %s%s\n",
	       paint("head"), width[0], "LOCAL", width[1], "REMOTE", "MODE",
	       "FOR", "SEALED", "PLAINTEXT", "LAST, AGO",
	       "IN THE WAY OF REQUIRE", paint(""));
	for (i = 0; i < snap->links.n; i++, link++)
		print_matrix_row(snap, link, width);
	putchar('\n');
}

static void print_text(const struct snapshot *snap, const struct tally *tally)
{
	const struct tcpseal_stats *stats = &snap->state.stats;
	const struct tcpseal_link *link = snap->links.items;
	const struct tcpseal_pair *pair = snap->pairs.items;
	const struct tally *t;
	json_t *o;
	size_t i;

	if (snap->links.n)
		print_matrix(snap);
	printf("tcpseal %s, protocol %" PRIu32 ": %" PRIu32 " links, %" PRIu32
	       " pairs, %" PRIu32 " SAs, %" PRIu32 " tombstones\n",
	       stats->version, stats->protocol, stats->links, stats->pairs,
	       stats->sas, stats->tombstones);
	o = counters_json(&stats->total);
	print_traffic(o);
	json_decref(o);
	print_warnings(snap, tally);

	if (snap->links.n)
		printf("\n");
	for (i = 0; i < snap->links.n; i++, link++) {
		o = link_json(link);
		print_link_text(o);
		t = tally_of(snap, tally, link->id);
		printf("    pairs    %u sealed, %u plain, %u waiting, "
		       "%u blocked\n", t->state[TCPSEAL_PAIR_STATE_SEALED],
		       t->state[TCPSEAL_PAIR_STATE_PLAIN],
		       t->state[TCPSEAL_PAIR_STATE_WAITING],
		       t->state[TCPSEAL_PAIR_STATE_BLOCKED]);
		print_sealed(json_object_get(o, "stats"));
		print_plain(json_object_get(o, "stats"));
		json_decref(o);
	}
	if (snap->pairs.n)
		printf("\n");
	for (i = 0; i < snap->pairs.n; i++, pair++) {
		o = peer_json(pair, &snap->sas);
		print_peer_text(o);
		json_decref(o);
	}
}

int status_main(int argc, char **argv)
{
	struct snapshot snap;
	struct tcpseal *ts;
	struct tally *tally;
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	if (argc)
		return bad_word(argv[0], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = take(ts, &snap);
	tcpseal_close(ts);
	if (ret)
		return ret;
	tally = count_pairs(&snap);
	if (opt_json)
		print_json(&snap, tally);
	else
		print_text(&snap, tally);
	free(tally);
	release(&snap);
	return print_end();
}
