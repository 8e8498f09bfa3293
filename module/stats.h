/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters of the namespace and of each link, one slot a CPU. */
#ifndef TCPSEAL_STATS_H
#define TCPSEAL_STATS_H

#include <linux/u64_stats_sync.h>
#include "pair.h"

/* What is counted of all traffic, in the order of its attributes. */
enum tcpseal_total {
	TCPSEAL_T_SEALED_RECORDS,
	TCPSEAL_T_SEALED_BYTES,
	TCPSEAL_T_SEALED_SKBS,
	TCPSEAL_T_OPENED_RECORDS,
	TCPSEAL_T_OPENED_BYTES,
	TCPSEAL_T_OPENED_SKBS,
	TCPSEAL_T_PLAIN_OUT,
	TCPSEAL_T_PLAIN_OUT_BYTES,
	TCPSEAL_T_PLAIN_IN,
	TCPSEAL_T_PLAIN_IN_BYTES,
	TCPSEAL_T_NONTCP_OUT_BYTES,
	TCPSEAL_T_NONTCP_IN_BYTES,
	__TCPSEAL_T_MAX
};

struct tcpseal_link_stats {
	struct u64_stats_sync	syncp;
	u64_stats_t		total[__TCPSEAL_T_MAX];
};

struct tcpseal_stats {
	struct u64_stats_sync	syncp;
	u64_stats_t		total[__TCPSEAL_T_MAX];
	u64_stats_t		drop[__TCPSEAL_DROP_MAX];
	u64_stats_t		note[__TCPSEAL_NOTE_MAX];
};

int tcpseal_stats_init(struct tcpseal_net *tn);
void tcpseal_stats_exit(struct tcpseal_net *tn);

/* All: any context with BH off. */
/* Traffic: of the namespace, and of the link (or NULL) that covers it. RCU. */
void tcpseal_count(struct tcpseal_net *tn, const struct tcpseal_link *link,
		   enum tcpseal_total what, u64 n);
/* The same of what was sealed or opened for a pair. */
void tcpseal_count_skbs(const struct tcpseal_pair *pair,
			enum tcpseal_total first, unsigned int records,
			unsigned int bytes, unsigned int skbs);
void tcpseal_note(struct tcpseal_net *tn, enum tcpseal_note what, u64 n);
/*
 * Count a drop: namespace, pair (may be NULL), tracepoint tcpseal_drop, and
 * for signs of tampering a rate-limited tamper-ntf. Does not free @skb.
 * @segs: wire segments lost. @sa may be NULL. @a may be NULL.
 */
void tcpseal_drop(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		  struct tcpseal_sa *sa, const struct tcpseal_addrs *a,
		  const struct sk_buff *skb, enum tcpseal_drop why,
		  unsigned int segs);
/* Connections that were reset because they began in plain. Any context. */
void tcpseal_old_reset(struct tcpseal_net *tn, unsigned int n);
/* Sums over CPUs, process context. */
void tcpseal_stats_read(struct tcpseal_net *tn, u64 *total, u64 *drop,
			u64 *note);
void tcpseal_link_stats_read(const struct tcpseal_link *link, u64 *total);

#endif /* TCPSEAL_STATS_H */
