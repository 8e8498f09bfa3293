/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counting instructions. Under QEMU's "-icount shift=0,sleep=off" the time stamp
 * counter ticks once an instruction. An idle processor would jump to its next
 * timer, and time would count what was never executed. So it never idles: a
 * spinner of the lowest class reads the counter over and over, and adds up what
 * passed between two reads that nothing interrupted. What remains is work,
 * whoever did it.
 */
#ifndef SPIN_H
#define SPIN_H

#include <err.h>
#include <sched.h>
#include <stdint.h>
#include <x86intrin.h>

/* two reads of the counter with nothing between them: far fewer than this */
#define SPIN_GAP_MAX		100

/* For ever; adds to @idle, which is shared with those who want to know. */
static inline void spin(volatile uint64_t *idle)
{
	const struct sched_param param = { 0 };
	uint64_t last, t;

	if (sched_setscheduler(0, SCHED_IDLE, &param))
		err(1, "SCHED_IDLE");
	last = __rdtsc();
	for (;;) {
		t = __rdtsc();
		if (t - last < SPIN_GAP_MAX)
			*idle += t - last;
		last = t;
	}
}

#endif
