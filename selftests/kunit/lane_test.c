// SPDX-License-Identifier: GPL-2.0-only
/* Counters and replay windows, against a model that remembers everything. */
#include <linux/vmalloc.h>
#include "../../module/lane.c"
#include "around.h"

/* Counters that the model can tell apart */
#define SPACE		BIT(24)
#define STEPS		100000

struct model {
	u64		top;
	u64		floor;	/* a window that grew knows nothing below */
	u32		size;
	unsigned long	*seen;
	unsigned long	*given;	/* accepted ever, whatever the window says */
};

static enum tcpseal_replay model_says(const struct model *m, u64 counter)
{
	if (counter >= m->top)
		return TCPSEAL_REPLAY_FRESH;
	if (counter + m->size < m->top + BITS_PER_LONG)
		return TCPSEAL_REPLAY_OLD;
	if (counter < m->floor || test_bit(counter, m->seen))
		return TCPSEAL_REPLAY_SEEN;
	return TCPSEAL_REPLAY_FRESH;
}

static void model_takes(struct model *m, u64 counter, enum tcpseal_replay said)
{
	if (said == TCPSEAL_REPLAY_FRESH) {
		set_bit(counter, m->seen);
		m->top = max(m->top, counter + 1);
	} else if (said == TCPSEAL_REPLAY_OLD &&
		   m->size < TCPSEAL_WINDOW_MAX) {
		m->floor = max(m->floor, m->top + BITS_PER_LONG - m->size);
		m->size = min_t(u32, m->size * 4, TCPSEAL_WINDOW_MAX);
	}
}

/* Where the next record of a strange network might stand. */
static u64 any_counter(const struct model *m)
{
	u64 back;

	switch (around_below(16)) {
	case 0:		/* far ahead, beyond the window now and then */
		return m->top + around_below(around_below(512) ? 512 :
					     m->size + m->size / 4);
	case 1:		/* about the end of the window */
		back = m->size - BITS_PER_LONG - 8 + around_below(16);
		break;
	case 2:		/* far behind */
		back = around_below(2 * m->size);
		break;
	case 3 ... 6:	/* again */
		back = around_below(64);
		break;
	case 7:
		back = around_below(m->size);
		break;
	default:	/* in order, with a gap sometimes */
		return m->top + (around_below(8) ? 0 : around_below(200));
	}
	return back < m->top ? m->top - back : 0;
}

static enum tcpseal_replay lane_peek(struct tcpseal_rx_lane *lane, u64 counter)
{
	enum tcpseal_replay verdict;

	rcu_read_lock();
	verdict = tcpseal_lane_peek(lane, counter);
	rcu_read_unlock();
	return verdict;
}

static enum tcpseal_replay lane_mark(struct tcpseal_rx_lane *lane, u64 counter)
{
	enum tcpseal_replay verdict;

	spin_lock_bh(&lane->lock);
	verdict = tcpseal_lane_mark(NULL, lane, counter, 1);
	spin_unlock_bh(&lane->lock);
	return verdict;
}

/* @base: where the counters of the sender begin, they need not begin at 0 */
static void against_model(struct kunit *test, u64 base)
{
	static struct tcpseal_rx_lane lane;
	struct model m = { .size = TCPSEAL_WINDOW };
	enum tcpseal_replay want, peeked, got;
	u64 counter, records = 0;
	unsigned int i;

	m.seen = vzalloc(BITS_TO_LONGS(SPACE) * sizeof(long));
	m.given = vzalloc(BITS_TO_LONGS(SPACE) * sizeof(long));
	KUNIT_ASSERT_NOT_NULL(test, m.seen);
	KUNIT_ASSERT_NOT_NULL(test, m.given);
	memset(&lane, 0, sizeof(lane));
	tcpseal_rx_lane_init(&lane);
	lane_mark(&lane, base);
	model_takes(&m, 0, TCPSEAL_REPLAY_FRESH);
	set_bit(0, m.given);
	for (i = 0; i < STEPS && m.top < SPACE - 2 * TCPSEAL_WINDOW_MAX; i++) {
		counter = any_counter(&m);
		want = model_says(&m, counter);
		peeked = lane_peek(&lane, base + counter);
		got = lane_mark(&lane, base + counter);
		if (peeked != got || want != got)
			break;
		if (got == TCPSEAL_REPLAY_FRESH) {
			records++;
			/* what all of this is for */
			if (test_and_set_bit(counter, m.given))
				break;
		}
		model_takes(&m, counter, got);
	}
	KUNIT_EXPECT_EQ_MSG(test, i, (unsigned int)STEPS,
			    "counter %llu top %llu size %u: peek %d mark %d, not %d",
			    counter, m.top, m.size, peeked, got, want);
	KUNIT_EXPECT_EQ(test, lane.top, base + m.top);
	KUNIT_EXPECT_EQ(test, lane.records, records + 1);
	KUNIT_EXPECT_EQ(test, m.size, (u32)TCPSEAL_WINDOW_MAX);
	tcpseal_rx_lane_exit(&lane);
	vfree(m.seen);
	vfree(m.given);
}

static void window_from_zero(struct kunit *test)
{
	against_model(test, 0);
}

static void window_from_far(struct kunit *test)
{
	/* a multiple of every window, as zero is; and up to the last counter */
	against_model(test, 1ULL << 40);
	against_model(test, TCPSEAL_COUNTER_MAX + 1 - SPACE);
}

/* The ring without an allocation, against the same model. */
static void window_first(struct kunit *test)
{
	unsigned long map[BITS_TO_LONGS(TCPSEAL_WINDOW_FIRST)] = {};
	struct model m = { .size = TCPSEAL_WINDOW_FIRST };
	enum tcpseal_replay want, got;
	unsigned int i;
	u64 counter;

	m.seen = vzalloc(BITS_TO_LONGS(SPACE) * sizeof(long));
	KUNIT_ASSERT_NOT_NULL(test, m.seen);
	for (i = 0; i < STEPS; i++) {
		counter = any_counter(&m);
		if (counter >= SPACE)
			break;
		want = model_says(&m, counter);
		got = window_look(map, m.size, m.top, counter);
		if (want != got)
			break;
		if (got != TCPSEAL_REPLAY_FRESH)
			continue;
		if (counter >= m.top)
			window_advance(map, m.size, m.top, counter);
		set_bit(counter & (m.size - 1), map);
		model_takes(&m, counter, got);
	}
	KUNIT_EXPECT_EQ_MSG(test, i, (unsigned int)STEPS,
			    "counter %llu top %llu: %d, not %d",
			    counter, m.top, got, want);
	vfree(m.seen);
}

static void counters_once(struct kunit *test)
{
	struct tcpseal_tx_lane lane = {};
	u64 next = 12345, got;
	unsigned int i, n;

	tcpseal_tx_lane_init(&lane, next);
	for (i = 0; i < STEPS; i++) {
		n = 1 + around_below(TCPSEAL_BURST_MAX);
		got = tcpseal_lane_take(&lane, n);
		if (got != next)
			break;
		next += n;
	}
	KUNIT_EXPECT_EQ(test, i, (unsigned int)STEPS);
}

/* The last counter is used, none behind it, and the count never wraps. */
static void counters_end(struct kunit *test)
{
	struct tcpseal_tx_lane lane = {};
	unsigned int i;

	tcpseal_tx_lane_init(&lane, TCPSEAL_COUNTER_MAX - 3);
	KUNIT_EXPECT_EQ(test, tcpseal_lane_take(&lane, 3),
			TCPSEAL_COUNTER_MAX - 3);
	KUNIT_EXPECT_EQ(test, tcpseal_lane_take(&lane, 1),
			TCPSEAL_COUNTER_MAX);
	for (i = 0; i < STEPS; i++)
		if (tcpseal_lane_take(&lane, TCPSEAL_BURST_MAX) <=
		    TCPSEAL_COUNTER_MAX)
			break;
	KUNIT_EXPECT_EQ(test, i, (unsigned int)STEPS);

	/* what does not fit is refused as a whole, and ends the lane */
	tcpseal_tx_lane_init(&lane, TCPSEAL_COUNTER_MAX - 3);
	KUNIT_EXPECT_GT(test, tcpseal_lane_take(&lane, 5), TCPSEAL_COUNTER_MAX);
	KUNIT_EXPECT_GT(test, tcpseal_lane_take(&lane, 1), TCPSEAL_COUNTER_MAX);
}

static struct kunit_case lane_cases[] = {
	KUNIT_CASE(window_first),
	KUNIT_CASE_SLOW(window_from_zero),
	KUNIT_CASE_SLOW(window_from_far),
	KUNIT_CASE(counters_once),
	KUNIT_CASE(counters_end),
	{}
};

static struct kunit_suite lane_suite = {
	.name		= "tcpseal_lane",
	.test_cases	= lane_cases,
};

kunit_test_suite(lane_suite);
