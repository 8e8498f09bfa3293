// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters and replay windows.
 *
 * The window follows RFC 6479: a ring of words in which the word that the top
 * enters is cleared, so the usable window is one word smaller than the ring.
 */
#include <linux/slab.h>
#include "lane.h"
#include "stats.h"

static void queue_init(struct tcpseal_queue *queue)
{
	spin_lock_init(&queue->lock);
	INIT_LIST_HEAD(&queue->list);
	queue->draining = false;
}

/**
 * tcpseal_tx_lane_init() - set up a sending lane
 * @lane: zeroed memory
 * @first: counter of the first record
 */
void tcpseal_tx_lane_init(struct tcpseal_tx_lane *lane, u64 first)
{
	atomic64_set(&lane->counter, first);
	queue_init(&lane->queue);
}

/**
 * tcpseal_rx_lane_init() - set up a receiving lane
 * @lane: zeroed memory
 *
 * The window proper is allocated with the first record that needs it.
 */
void tcpseal_rx_lane_init(struct tcpseal_rx_lane *lane)
{
	spin_lock_init(&lane->lock);
	queue_init(&lane->queue);
}

/**
 * tcpseal_rx_lane_exit() - free the window
 * @lane: no reader is left
 */
void tcpseal_rx_lane_exit(struct tcpseal_rx_lane *lane)
{
	kfree(rcu_dereference_protected(lane->win, true));
}

/**
 * tcpseal_lane_take() - take counters for records about to be emitted
 * @lane: lane of the flow
 * @n: how many, in a row
 *
 * Each counter makes one nonce, so each is handed out once, whatever becomes
 * of the record: a retransmission takes new ones.
 *
 * Context: any. Return: the first counter, or more than TCPSEAL_COUNTER_MAX
 * when the lane is used up (the SA's volume limit is long past by then).
 */
u64 tcpseal_lane_take(struct tcpseal_tx_lane *lane, unsigned int n)
{
	u64 first;

	/* looked at first, so that refused takers cannot wrap the counter */
	if (atomic64_read(&lane->counter) > TCPSEAL_COUNTER_MAX)
		return TCPSEAL_COUNTER_MAX + 1;
	first = atomic64_fetch_add(n, &lane->counter);
	if (first + n - 1 > TCPSEAL_COUNTER_MAX)
		return TCPSEAL_COUNTER_MAX + 1;
	return first;
}

static unsigned long *window_map(struct tcpseal_rx_lane *lane,
				 struct tcpseal_window *win, u32 *size)
{
	if (win) {
		*size = win->size;
		return win->map;
	}
	*size = TCPSEAL_WINDOW_FIRST;
	return lane->first;
}

static enum tcpseal_replay window_look(const unsigned long *map, u32 size,
				       u64 top, u64 counter)
{
	if (counter >= top)
		return TCPSEAL_REPLAY_FRESH;
	if (counter + size - BITS_PER_LONG < top)
		return TCPSEAL_REPLAY_OLD;
	return test_bit(counter & (size - 1), map) ? TCPSEAL_REPLAY_SEEN :
						     TCPSEAL_REPLAY_FRESH;
}

/**
 * tcpseal_lane_peek_old() - tcpseal_lane_peek() at a counter below the top
 * @lane: lane that the record names
 * @counter: counter of the record
 *
 * Context: RCU.
 */
enum tcpseal_replay tcpseal_lane_peek_old(const struct tcpseal_rx_lane *lane,
					  u64 counter)
{
	struct tcpseal_rx_lane *l = (struct tcpseal_rx_lane *)lane;
	u64 top = READ_ONCE(lane->top);
	unsigned long *map;
	u32 size;

	map = window_map(l, rcu_dereference(l->win), &size);
	return window_look(map, size, top, counter);
}

/* Words between the old top and the new one become stale: clear them. */
static void window_advance(unsigned long *map, u32 size, u64 top, u64 counter)
{
	u64 word = top ? (top - 1) / BITS_PER_LONG : 0;
	u64 last = counter / BITS_PER_LONG;
	u32 words = size / BITS_PER_LONG;

	if (last - word >= words) {
		bitmap_zero(map, size);
		return;
	}
	while (word < last) {
		word++;
		WRITE_ONCE(map[word & (words - 1)], 0);
	}
}

static void window_set(unsigned long *map, u32 size, u64 counter,
		       unsigned int n)
{
	while (n) {
		unsigned long *word = &map[(counter & (size - 1)) /
					   BITS_PER_LONG];
		unsigned int bit = counter % BITS_PER_LONG;
		unsigned int part = min(n, BITS_PER_LONG - bit);

		/* others only look: lane->lock */
		WRITE_ONCE(*word, *word | GENMASK(bit + part - 1, bit));
		counter += part;
		n -= part;
	}
}

/*
 * Replace the window by a larger one. What was behind the old one is unknown
 * and stays refused: its bits are set in the new one.
 */
static bool window_resize(struct tcpseal_rx_lane *lane, u32 size)
{
	struct tcpseal_window *old, *win;
	unsigned long *map;
	u32 old_size;
	u64 c, start;

	old = rcu_dereference_protected(lane->win,
					lockdep_is_held(&lane->lock));
	map = window_map(lane, old, &old_size);
	if (size <= old_size)
		return false;
	win = kzalloc(struct_size(win, map, BITS_TO_LONGS(size)),
		      GFP_ATOMIC | __GFP_NOWARN);
	if (!win)
		return false;
	win->size = size;
	/*
	 * Nothing was ever opened: nothing to carry over. The stale word is the
	 * one that the next counters fall into.
	 */
	start = lane->top > size - BITS_PER_LONG ?
		lane->top - (size - BITS_PER_LONG) : 0;
	for (c = start; c < lane->top; c++)
		if (window_look(map, old_size, lane->top, c) !=
		    TCPSEAL_REPLAY_FRESH)
			__set_bit(c & (size - 1), win->map);
	rcu_assign_pointer(lane->win, win);
	if (old)
		kfree_rcu(old, rcu);
	return true;
}

/* The window, allocated with the first record. lane->lock */
static unsigned long *lane_window(struct tcpseal_rx_lane *lane, u32 *size)
{
	if (unlikely(!rcu_access_pointer(lane->win)))
		window_resize(lane, TCPSEAL_WINDOW);
	return window_map(lane,
			  rcu_dereference_protected(lane->win,
						    lockdep_is_held(&lane->lock)),
			  size);
}

/**
 * tcpseal_lane_mark_new() - mark records that are newer than all before
 * @lane: lane that they name
 * @counter: of the first; those of the others follow it
 * @n: how many
 * @bytes: plaintext bytes of all
 *
 * Context: BH off, lane->lock. Return: false when they are not newer; then
 * nothing was marked, and each is for tcpseal_lane_mark().
 */
bool tcpseal_lane_mark_new(struct tcpseal_rx_lane *lane, u64 counter,
			   unsigned int n, unsigned int bytes)
{
	unsigned long *map;
	u32 size;

	lockdep_assert_held(&lane->lock);
	if (counter < lane->top)
		return false;
	map = lane_window(lane, &size);
	window_advance(map, size, lane->top, counter + n - 1);
	window_set(map, size, counter, n);
	WRITE_ONCE(lane->top, counter + n);
	lane->records += n;
	lane->bytes += bytes;
	return true;
}

/**
 * tcpseal_lane_mark() - the verdict on a record whose tag was right
 * @tn: namespace, for the counter of grown windows
 * @lane: lane that the record names
 * @counter: counter of the record
 * @bytes: plaintext bytes of it
 *
 * A record that is authentic but too old shows that paths or queues differ by
 * more than the window; the window grows (up to TCPSEAL_WINDOW_MAX) for those
 * that follow, this one is refused.
 *
 * Context: BH off, lane->lock.
 */
enum tcpseal_replay tcpseal_lane_mark(struct tcpseal_net *tn,
				      struct tcpseal_rx_lane *lane,
				      u64 counter, unsigned int bytes)
{
	enum tcpseal_replay verdict;
	unsigned long *map;
	u32 size;

	if (tcpseal_lane_mark_new(lane, counter, 1, bytes))
		return TCPSEAL_REPLAY_FRESH;
	map = lane_window(lane, &size);
	verdict = window_look(map, size, lane->top, counter);
	if (verdict == TCPSEAL_REPLAY_FRESH) {
		set_bit(counter & (size - 1), map);
		lane->records++;
		lane->bytes += bytes;
	} else if (verdict == TCPSEAL_REPLAY_OLD &&
		   window_resize(lane, min_t(u32, size * 4, TCPSEAL_WINDOW_MAX))) {
		tcpseal_note(tn, TCPSEAL_NOTE_WINDOW_GROWN, 1);
	}
	return verdict;
}
