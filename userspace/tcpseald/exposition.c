// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What metrics.c answers with, in Prometheus' text format 0.0.4. Never a
 * series for each peer: their number has no bound. Links have one, too.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "tcpseald.h"

#define LINKS_MAX	1024		/* with series of their own */
#define FRESH_MS	1000		/* so long the kernel is not asked again */
#define DUMP_TRIES	5
#define STATES		(TCPSEAL_PAIR_STATE_BLOCKED + 1)

struct part {
	struct tcpseal_link link;
	uint32_t pairs[STATES];
};

/* What the kernel said */
struct snapshot {
	bool there;
	struct tcpseal_stats stats;
	struct part *parts;		/* by id */
	size_t n, room, omitted;
	uint64_t pairs[STATES];
	uint64_t held;			/* segments */
	uint64_t keys, overdue;		/* that seal; beyond their soft limit */
	uint32_t least;			/* seconds that one of them has left */
};

static struct snapshot last;
static uint64_t taken;			/* ms; 0: never */

/* --- asking --- */

static int add_link(const struct tcpseal_link *link, void *data)
{
	struct snapshot *s = data;
	struct part *more;

	if (s->n == LINKS_MAX) {
		s->omitted++;
		return 0;
	}
	if (s->n == s->room) {
		s->room = s->room ? 2 * s->room : 16;
		more = reallocarray(s->parts, s->room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		s->parts = more;
	}
	memset(&s->parts[s->n], 0, sizeof(*s->parts));
	s->parts[s->n++].link = *link;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct part *one = a, *other = b;

	return (one->link.id > other->link.id) -
	       (one->link.id < other->link.id);
}

static int add_pair(const struct tcpseal_pair *pair, void *data)
{
	const struct part key = { .link.id = pair->link_id };
	struct snapshot *s = data;
	struct part *part;

	s->held += pair->held;
	if (pair->state >= STATES)
		return 0;
	s->pairs[pair->state]++;
	part = s->n ? bsearch(&key, s->parts, s->n, sizeof(key), by_id) : NULL;
	if (part)
		part->pairs[pair->state]++;
	return 0;
}

static int add_sa(const struct tcpseal_sa *sa, void *data)
{
	struct snapshot *s = data;

	if (sa->dir != TCPSEAL_DIR_OUT ||
	    sa->state != TCPSEAL_SA_STATE_CURRENT ||
	    !TCPSEAL_HAS(sa, SA_HARD_SECS))
		return 0;
	if (!s->keys++ || sa->hard_secs < s->least)
		s->least = sa->hard_secs;
	if (TCPSEAL_HAS(sa, SA_SOFT_SECS) && !sa->soft_secs)
		s->overdue++;
	return 0;
}

static int ask(struct tcpseal *ts, struct snapshot *s)
{
	int ret, tries = 0;

	do {
		s->n = s->omitted = 0;
		ret = tcpseal_link_dump(ts, add_link, s);
	} while (ret == -EINTR && ++tries < DUMP_TRIES);
	if (!ret)
		ret = tcpseal_stats_get(ts, &s->stats);
	if (!ret)
		ret = tcpseal_pair_dump(ts, NULL, add_pair, s);
	if (!ret)
		ret = tcpseal_sa_dump(ts, add_sa, s);
	return ret;
}

static void look(void)
{
	struct snapshot s = { .parts = last.parts, .room = last.room };
	struct tcpseal *ts;

	if (taken && now_ms() - taken < FRESH_MS)
		return;
	if (!tcpseal_open(&ts, NULL)) {
		s.there = !ask(ts, &s);
		tcpseal_close(ts);
	}
	last = s;
	taken = now_ms();
}

/* --- writing --- */

static void family(struct evbuffer *out, const char *name, const char *type,
		   const char *help)
{
	evbuffer_add_printf(out, "# HELP tcpseal_%s %s\n# TYPE tcpseal_%s %s\n",
			    name, help, name, type);
}

static void single(struct evbuffer *out, const char *name, const char *type,
		   const char *help, int64_t value)
{
	family(out, name, type, help);
	evbuffer_add_printf(out, "tcpseal_%s %" PRId64 "\n", name, value);
}

/* One label; its value is a name of ours, or of a newer kernel's */
static void labelled(struct evbuffer *out, const char *name, const char *label,
		     const char *is, uint64_t value)
{
	evbuffer_add_printf(out, "tcpseal_%s{%s=\"", name, label);
	for (; *is; is++) {
		if (strchr("\\\"\n", *is))
			evbuffer_add(out, "\\", 1);
		evbuffer_add(out, *is == '\n' ? "n" : is, 1);
	}
	evbuffer_add_printf(out, "\"} %" PRIu64 "\n", value);
}

static void both_ways(struct evbuffer *out, const char *name, const char *help,
		      uint64_t sent, uint64_t received)
{
	family(out, name, "counter", help);
	labelled(out, name, "direction", "out", sent);
	labelled(out, name, "direction", "in", received);
}

static void write_totals(struct evbuffer *out, const struct tcpseal_counters *c)
{
	single(out, "sealed_segments_total", "counter",
	       "TCP segments sent with a record.", c->sealed_records);
	single(out, "sealed_bytes_total", "counter",
	       "Payload sealed.", c->sealed_bytes);
	single(out, "sealed_skbs_total", "counter",
	       "Super-segments sealed at once.", c->sealed_skbs);
	single(out, "opened_segments_total", "counter",
	       "TCP segments received with a record and authenticated.",
	       c->opened_records);
	single(out, "opened_bytes_total", "counter",
	       "Payload opened.", c->opened_bytes);
	single(out, "opened_skbs_total", "counter",
	       "Super-segments opened at once.", c->opened_skbs);
	both_ways(out, "plain_segments_total",
		  "TCP segments of links that passed in plaintext.",
		  c->plain_out, c->plain_in);
	both_ways(out, "plain_bytes_total", "Their payload.",
		  c->plain_out_bytes, c->plain_in_bytes);
	both_ways(out, "nontcp_bytes_total",
		  "What is not TCP, on links, and not covered.",
		  c->nontcp_out_bytes, c->nontcp_in_bytes);
	single(out, "held_segments_total", "counter",
	       "Segments that waited for a key.", c->held);
}

static void write_reasons(struct evbuffer *out,
			  const struct tcpseal_stats *stats)
{
	unsigned int i;

	family(out, "drops_total", "counter",
	       "TCP segments dropped, by the reason.");
	for (i = 0; i < stats->drop_n; i++)
		labelled(out, "drops_total", "reason", stats->drop[i].name,
			 stats->drop[i].packets);
	family(out, "notes_total", "counter",
	       "Events that drop nothing, by their name.");
	for (i = 0; i < stats->note_n; i++)
		labelled(out, "notes_total", "event", stats->note[i].name,
			 stats->note[i].packets);
}

static void write_pairs(struct evbuffer *out, const struct snapshot *s)
{
	unsigned int i;

	family(out, "pairs", "gauge",
	       "Pairs of addresses; waiting and blocked ones must be sealed and have no key.");
	for (i = TCPSEAL_PAIR_STATE_PLAIN; i < STATES; i++)
		labelled(out, "pairs", "state", tcpseal_pair_state_name(i),
			 s->pairs[i]);
	single(out, "held_segments", "gauge",
	       "Segments that wait for a key now.", s->held);
	single(out, "sas", "gauge", "Security associations, tombstones aside.",
	       s->stats.sas);
	single(out, "tombstones", "gauge",
	       "SPIs of removed SAs that are still refused.",
	       s->stats.tombstones);
	single(out, "keys_overdue", "gauge",
	       "Sending keys whose rotation is due or overdue.", s->overdue);
	/* Where there is no key there is no answer */
	if (s->keys)
		single(out, "fail_closed_seconds", "gauge",
		       "Seconds until the first pair loses its key, unless that is renewed.",
		       s->least);
}

/* The labels that every series of a link has */
static void link_labels(struct evbuffer *out, const char *name,
			const struct tcpseal_link *link)
{
	char local[TCPSEAL_PREFIX_STRLEN], remote[TCPSEAL_PREFIX_STRLEN];

	evbuffer_add_printf(out, "tcpseal_link_%s{local=\"%s\",remote=\"%s\"",
			    name,
			    tcpseal_prefix_format(&link->local, local,
						  sizeof(local)),
			    tcpseal_prefix_format(&link->remote, remote,
						  sizeof(remote)));
}

#define C(field)	offsetof(struct tcpseal_counters, field)
#define ONE_WAY		(~(size_t)0)

static const struct {
	const char *name, *help;
	size_t sent, received;
} link_counters[] = {
	{ "sealed_segments_total", "TCP segments of the link sent with a record.",
	  C(sealed_records), ONE_WAY },
	{ "sealed_bytes_total", "Payload of the link sealed.",
	  C(sealed_bytes), ONE_WAY },
	{ "opened_segments_total", "TCP segments of the link opened.",
	  C(opened_records), ONE_WAY },
	{ "opened_bytes_total", "Payload of the link opened.",
	  C(opened_bytes), ONE_WAY },
	{ "plain_segments_total",
	  "TCP segments of the link that passed in plaintext.",
	  C(plain_out), C(plain_in) },
	{ "plain_bytes_total", "Their payload.",
	  C(plain_out_bytes), C(plain_in_bytes) },
	{ "nontcp_bytes_total", "What is not TCP, and not covered by the link.",
	  C(nontcp_out_bytes), C(nontcp_in_bytes) },
};

static uint64_t counter_at(const struct part *part, size_t offset)
{
	return *(const uint64_t *)((const char *)&part->link.stats + offset);
}

static void write_link_counter(struct evbuffer *out, const struct snapshot *s,
			       unsigned int i)
{
	const char *name = link_counters[i].name;
	bool one = link_counters[i].received == ONE_WAY;
	char family_name[64];
	size_t n;

	snprintf(family_name, sizeof(family_name), "link_%s", name);
	family(out, family_name, "counter", link_counters[i].help);
	for (n = 0; n < s->n; n++) {
		link_labels(out, name, &s->parts[n].link);
		evbuffer_add_printf(out, "%s} %" PRIu64 "\n",
				    one ? "" : ",direction=\"out\"",
				    counter_at(&s->parts[n],
					       link_counters[i].sent));
		if (one)
			continue;
		link_labels(out, name, &s->parts[n].link);
		evbuffer_add_printf(out, ",direction=\"in\"} %" PRIu64 "\n",
				    counter_at(&s->parts[n],
					       link_counters[i].received));
	}
}

static void write_links(struct evbuffer *out, const struct snapshot *s)
{
	unsigned int i;
	size_t n;

	single(out, "links", "gauge", "Links.", s->stats.links);
	single(out, "links_omitted", "gauge",
	       "Links that have no series of their own here, because there are too many.",
	       s->omitted);
	family(out, "link_info", "gauge", "A link, with its mode.");
	for (n = 0; n < s->n; n++) {
		link_labels(out, "info", &s->parts[n].link);
		evbuffer_add_printf(out, ",mode=\"%s\"} 1\n",
				    tcpseal_mode_name(s->parts[n].link.mode));
	}
	family(out, "link_pairs", "gauge", "Pairs of the link by their state.");
	for (n = 0; n < s->n; n++) {
		for (i = TCPSEAL_PAIR_STATE_PLAIN; i < STATES; i++) {
			link_labels(out, "pairs", &s->parts[n].link);
			evbuffer_add_printf(out, ",state=\"%s\"} %" PRIu32 "\n",
					    tcpseal_pair_state_name(i),
					    s->parts[n].pairs[i]);
		}
	}
	for (i = 0; i < sizeof(link_counters) / sizeof(*link_counters); i++)
		write_link_counter(out, s, i);
}

/* --- the daemon's own --- */

static const char *const roles[] = { "server", "client" };

static void write_durations(struct evbuffer *out)
{
	uint64_t sum = 0;
	unsigned int i;

	family(out, "handshake_duration_seconds", "histogram",
	       "How long handshakes took that led to keys.");
	for (i = 0; i < METRICS_BUCKETS; i++) {
		sum += metrics_counts.took[i];
		evbuffer_add_printf(out, "tcpseal_handshake_duration_seconds_bucket{le=\"%g\"} %" PRIu64 "\n",
				    metrics_bounds_ms[i] / 1000.0, sum);
	}
	sum += metrics_counts.took[i];
	evbuffer_add_printf(out, "tcpseal_handshake_duration_seconds_bucket{le=\"+Inf\"} %" PRIu64 "\n"
			    "tcpseal_handshake_duration_seconds_sum %.3f\n"
			    "tcpseal_handshake_duration_seconds_count %" PRIu64 "\n",
			    sum, metrics_counts.took_ms / 1000.0, sum);
}

static void write_handshakes(struct evbuffer *out)
{
	static const char *const results[METRICS_RESULTS] = {
		[SESSION_FAILED] = "failed",
		[SESSION_BUSY] = "busy",
		[SESSION_REFUSED] = "refused",
		[SESSION_REFUSED_BY_PEER] = "refused-by-peer",
		[SESSION_PLAIN] = "plain",
		[SESSION_SEALED] = "sealed",
	};
	unsigned int role, i;

	family(out, "handshakes_begun_total", "counter",
	       "Handshakes begun, by the role of this host.");
	for (role = 0; role < 2; role++)
		labelled(out, "handshakes_begun_total", "role", roles[role],
			 metrics_counts.begun[role]);
	family(out, "handshakes_total", "counter",
	       "Handshakes ended, by role and result: sealed (keys), plain (agreed that there are none), refused (by this host), refused-by-peer, busy, failed (connection or protocol).");
	for (role = 0; role < 2; role++)
		for (i = 0; i < METRICS_RESULTS; i++)
			evbuffer_add_printf(out, "tcpseal_handshakes_total{role=\"%s\",result=\"%s\"} %" PRIu64 "\n",
					    roles[role], results[i],
					    (uint64_t)metrics_counts.ended[role][i]);
	write_durations(out);
	family(out, "turned_away_total", "counter",
	       "Connections to the control port that were turned away.");
	labelled(out, "turned_away_total", "reason", "no-link",
		 metrics_counts.strangers);
	labelled(out, "turned_away_total", "reason", "busy",
		 metrics_counts.crowded);
}

static void write_daemon(struct evbuffer *out)
{
	write_handshakes(out);
	family(out, "queue_length", "gauge",
	       "Handshakes: in threads or waiting for one, on their way out, admitted at the control port.");
	labelled(out, "queue_length", "queue", "threads", worker_load());
	labelled(out, "queue_length", "queue", "dials", dial_running());
	labelled(out, "queue_length", "queue", "guests", listen_guests());
	single(out, "threads", "gauge", "Threads that do handshakes.",
	       worker_threads());
	single(out, "key_log", "gauge",
	       "Whether keys are written to a file (key-log): never outside a laboratory.",
	       metrics_counts.key_log);
	single(out, "certificate_expiry_seconds", "gauge",
	       "Seconds until the certificate of this host expires.",
	       metrics_counts.cert_end - ident_now());
	if (metrics_counts.crl_end)
		single(out, "crl_expiry_seconds", "gauge",
		       "Seconds until the first list of revoked certificates is overdue.",
		       metrics_counts.crl_end - ident_now());
}

static void write_build(struct evbuffer *out, const struct snapshot *s)
{
	family(out, "build_info", "gauge",
	       "Versions of the daemon and of the module.");
	evbuffer_add_printf(out, "tcpseal_build_info{version=\"" TCPSEALD_VERSION "\",module=\"%s\",protocol=\"%u\"} 1\n",
			    s->stats.version, s->stats.protocol);
	single(out, "up", "gauge", "Whether the module answers.", s->there);
}

void exposition(struct evbuffer *out)
{
	const struct snapshot *s = &last;

	look();
	write_build(out, s);
	if (s->there) {
		write_totals(out, &s->stats.total);
		write_reasons(out, &s->stats);
		write_pairs(out, s);
		write_links(out, s);
	}
	write_daemon(out);
}

void exposition_stop(void)
{
	free(last.parts);
	memset(&last, 0, sizeof(last));
	taken = 0;
}
