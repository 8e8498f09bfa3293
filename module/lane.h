/* SPDX-License-Identifier: GPL-2.0-only */
/* Lanes: counters of a sending SA, replay windows of a receiving one. */
#ifndef TCPSEAL_LANE_H
#define TCPSEAL_LANE_H

#include "tcpseal.h"

#define TCPSEAL_WINDOW		65536		/* records */
#define TCPSEAL_WINDOW_MAX	1048576
#define TCPSEAL_WINDOW_FIRST	256		/* without any allocation */

/* In order: what is behind an asynchronous request waits its turn. */
struct tcpseal_queue {
	spinlock_t		lock;		/* everything below */
	bool			draining;
	struct list_head	list;		/* of struct tcpseal_job */
};

struct tcpseal_tx_lane {
	atomic64_t		counter;	/* next one to use */
	atomic64_t		records, bytes, skbs;
	struct tcpseal_queue	queue;
} ____cacheline_aligned_in_smp;

/* A ring of bits, @size a power of two; one word of it is always stale. */
struct tcpseal_window {
	struct rcu_head		rcu;
	u32			size;
	unsigned long		map[];
};

struct tcpseal_rx_lane {
	spinlock_t		lock;		/* everything below */
	u64			top;		/* highest counter opened + 1 */
	u64			records, bytes, skbs;
	struct tcpseal_window __rcu *win;	/* NULL: @first */
	unsigned long		first[BITS_TO_LONGS(TCPSEAL_WINDOW_FIRST)];
	struct tcpseal_queue	queue;
} ____cacheline_aligned_in_smp;

enum tcpseal_replay {
	TCPSEAL_REPLAY_FRESH,
	TCPSEAL_REPLAY_SEEN,	/* duplicate */
	TCPSEAL_REPLAY_OLD,	/* behind the window */
};

void tcpseal_tx_lane_init(struct tcpseal_tx_lane *lane, u64 first);
void tcpseal_rx_lane_init(struct tcpseal_rx_lane *lane);
void tcpseal_rx_lane_exit(struct tcpseal_rx_lane *lane);
u64 tcpseal_lane_take(struct tcpseal_tx_lane *lane, unsigned int n);
enum tcpseal_replay tcpseal_lane_peek_old(const struct tcpseal_rx_lane *lane,
					  u64 counter);
bool tcpseal_lane_mark_new(struct tcpseal_rx_lane *lane, u64 counter,
			   unsigned int n, unsigned int bytes);
enum tcpseal_replay tcpseal_lane_mark(struct tcpseal_net *tn,
				      struct tcpseal_rx_lane *lane,
				      u64 counter, unsigned int bytes);

/**
 * tcpseal_lane_peek() - would this counter be refused?
 * @lane: lane that the record names
 * @counter: counter of the record
 *
 * A look without the lock, before the AEAD is paid for. It races with
 * tcpseal_lane_mark(), and may only err: what counts is the verdict of that.
 *
 * Context: RCU.
 */
static inline enum tcpseal_replay
tcpseal_lane_peek(const struct tcpseal_rx_lane *lane, u64 counter)
{
	if (likely(counter >= READ_ONCE(lane->top)))
		return TCPSEAL_REPLAY_FRESH;
	return tcpseal_lane_peek_old(lane, counter);
}

#endif /* TCPSEAL_LANE_H */
