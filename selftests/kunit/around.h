/* SPDX-License-Identifier: GPL-2.0-only */
/* What the units under test find where the rest of the module would be. */
#ifndef TCPSEAL_KUNIT_AROUND_H
#define TCPSEAL_KUNIT_AROUND_H

#include <kunit/test.h>
#include "tcpseal.h"

/* What the path takes; tests set it. */
extern unsigned int around_mtu;
/* What was counted since around_reset(). */
extern unsigned int around_drops[__TCPSEAL_DROP_MAX];
extern unsigned int around_notes[__TCPSEAL_NOTE_MAX];
/* What went on by itself: sent, or delivered behind the hook. */
extern struct sk_buff_head around_sent;

void around_reset(void);
int around_output(struct net *net, struct sock *sk, struct sk_buff *skb);
/* The same numbers in each run: what failed once does so again. */
u32 around_random(void);

/* From 0 to @n - 1. */
static inline u32 around_below(u32 n)
{
	return ((u64)around_random() * n) >> 32;
}

#endif /* TCPSEAL_KUNIT_AROUND_H */
