// SPDX-License-Identifier: GPL-2.0-only
/* Counters of namespace and links, and the one way to count a drop. */
#include "netlink.h"
#include "stats.h"
#include "trace.h"

/* Events of tampering a second and namespace; the others are summed up */
#define TAMPER_RATE	10

int tcpseal_stats_init(struct tcpseal_net *tn)
{
	tn->stats = netdev_alloc_pcpu_stats(struct tcpseal_stats);
	return tn->stats ? 0 : -ENOMEM;
}

void tcpseal_stats_exit(struct tcpseal_net *tn)
{
	free_percpu(tn->stats);
}

/*
 * The lower layers of a namespace call with BH off, so that each CPU's slot
 * has one writer.
 */
static void count(struct u64_stats_sync *syncp, u64_stats_t *what, u64 n)
{
	u64_stats_update_begin(syncp);
	u64_stats_add(what, n);
	u64_stats_update_end(syncp);
}

void tcpseal_count(struct tcpseal_net *tn, const struct tcpseal_link *link,
		   enum tcpseal_total what, u64 n)
{
	struct tcpseal_stats *stats = this_cpu_ptr(tn->stats);
	struct tcpseal_link_stats *part;

	count(&stats->syncp, &stats->total[what], n);
	if (!link)
		return;
	part = this_cpu_ptr(link->stats);
	count(&part->syncp, &part->total[what], n);
}

static void count_skbs(struct u64_stats_sync *syncp, u64_stats_t *what,
		       unsigned int records, unsigned int bytes,
		       unsigned int skbs)
{
	static_assert(TCPSEAL_T_SEALED_SKBS == TCPSEAL_T_SEALED_RECORDS + 2);
	static_assert(TCPSEAL_T_OPENED_SKBS == TCPSEAL_T_OPENED_RECORDS + 2);
	u64_stats_update_begin(syncp);
	u64_stats_add(&what[0], records);
	u64_stats_add(&what[1], bytes);
	u64_stats_add(&what[2], skbs);
	u64_stats_update_end(syncp);
}

void tcpseal_count_skbs(const struct tcpseal_pair *pair,
			enum tcpseal_total first, unsigned int records,
			unsigned int bytes, unsigned int skbs)
{
	struct tcpseal_stats *stats = this_cpu_ptr(pair->tn->stats);
	struct tcpseal_link_stats *part;
	const struct tcpseal_link *link;

	count_skbs(&stats->syncp, &stats->total[first], records, bytes, skbs);
	/* What the crypto API completes later may come without it */
	rcu_read_lock();
	link = rcu_dereference(pair->link);
	if (link) {
		part = this_cpu_ptr(link->stats);
		count_skbs(&part->syncp, &part->total[first], records, bytes,
			   skbs);
	}
	rcu_read_unlock();
}

void tcpseal_note(struct tcpseal_net *tn, enum tcpseal_note what, u64 n)
{
	struct tcpseal_stats *stats = this_cpu_ptr(tn->stats);

	count(&stats->syncp, &stats->note[what], n);
}

void tcpseal_old_reset(struct tcpseal_net *tn, unsigned int n)
{
	local_bh_disable();
	count(&this_cpu_ptr(tn->stats)->syncp,
	      &this_cpu_ptr(tn->stats)->drop[TCPSEAL_DROP_OLD_CONNECTION], n);
	local_bh_enable();
}

/* Does somebody inject, replay or alter, rather than something fail? */
static bool is_tampering(enum tcpseal_drop why)
{
	switch (why) {
	case TCPSEAL_DROP_BAD_TAG:
	case TCPSEAL_DROP_REPLAY:
	case TCPSEAL_DROP_SELECTOR:
	case TCPSEAL_DROP_PLAIN_IN:
	case TCPSEAL_DROP_MALFORMED:
	case TCPSEAL_DROP_CTRL_INJECT:
	case TCPSEAL_DROP_ICMP_FORGED:
	case TCPSEAL_DROP_BYPASS:
		return true;
	default:
		return false;
	}
}

/*
 * Whoever injects must not fill the socket of the daemon: of each reason so
 * many a second are told, with the number of those that were not.
 */
static void tell_tampering(struct tcpseal_net *tn, struct tcpseal_pair *pair,
			   struct tcpseal_sa *sa,
			   const struct tcpseal_addrs *a,
			   enum tcpseal_drop why)
{
	unsigned long next = READ_ONCE(tn->tamper_next[why]), now = jiffies;

	atomic64_inc(&tn->tamper_count[why]);
	if (time_before(now, next) ||
	    cmpxchg(&tn->tamper_next[why], next, now + HZ / TAMPER_RATE) !=
	    next)
		return;
	tcpseal_notify_tamper(tn, pair, sa, a, why,
			      atomic64_xchg(&tn->tamper_count[why], 0));
}

/**
 * tcpseal_drop() - count a drop
 * @tn: namespace
 * @pair: whose segment it is, or NULL
 * @sa: which it came in with, or NULL
 * @a: its addresses, or NULL
 * @skb: the segment; not freed here
 * @why: the reason
 * @segs: how many segments on the wire are lost
 *
 * Context: BH off.
 */
void tcpseal_drop(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		  struct tcpseal_sa *sa, const struct tcpseal_addrs *a,
		  const struct sk_buff *skb, enum tcpseal_drop why,
		  unsigned int segs)
{
	struct tcpseal_stats *stats = this_cpu_ptr(tn->stats);

	count(&stats->syncp, &stats->drop[why], segs);
	if (pair)
		atomic64_add(segs, &pair->dropped);
	trace_tcpseal_drop(a, skb, why, segs);
	if (is_tampering(why))
		tell_tampering(tn, pair, sa, a, why);
}

static void sum_up(struct u64_stats_sync *syncp, const u64_stats_t *from,
		   u64 *to, unsigned int n)
{
	unsigned int start, i;
	u64 v;

	for (i = 0; i < n; i++) {
		do {
			start = u64_stats_fetch_begin(syncp);
			v = u64_stats_read(&from[i]);
		} while (u64_stats_fetch_retry(syncp, start));
		to[i] += v;
	}
}

void tcpseal_stats_read(struct tcpseal_net *tn, u64 *total, u64 *drop,
			u64 *note)
{
	int cpu;

	memset(total, 0, __TCPSEAL_T_MAX * sizeof(*total));
	memset(drop, 0, __TCPSEAL_DROP_MAX * sizeof(*drop));
	memset(note, 0, __TCPSEAL_NOTE_MAX * sizeof(*note));
	for_each_possible_cpu(cpu) {
		struct tcpseal_stats *stats = per_cpu_ptr(tn->stats, cpu);

		sum_up(&stats->syncp, stats->total, total, __TCPSEAL_T_MAX);
		sum_up(&stats->syncp, stats->drop, drop, __TCPSEAL_DROP_MAX);
		sum_up(&stats->syncp, stats->note, note, __TCPSEAL_NOTE_MAX);
	}
}

void tcpseal_link_stats_read(const struct tcpseal_link *link, u64 *total)
{
	int cpu;

	memset(total, 0, __TCPSEAL_T_MAX * sizeof(*total));
	for_each_possible_cpu(cpu) {
		struct tcpseal_link_stats *part = per_cpu_ptr(link->stats, cpu);

		sum_up(&part->syncp, part->total, total, __TCPSEAL_T_MAX);
	}
}
