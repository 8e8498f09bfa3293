// SPDX-License-Identifier: GPL-2.0-only
/*
 * Around the units under test: the path has the MTU that the test says, keys
 * cover all addresses, and what is dropped, noted, sent or delivered is kept
 * for the test to look at.
 */
#include <linux/module.h>
#include <linux/prandom.h>
#include "mtu.h"
#include "seal.h"
#include "stats.h"
#include "around.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

struct workqueue_struct *tcpseal_wq;
unsigned int around_mtu;
unsigned int around_drops[__TCPSEAL_DROP_MAX];
unsigned int around_notes[__TCPSEAL_NOTE_MAX];
struct sk_buff_head around_sent;

void around_reset(void)
{
	memset(around_drops, 0, sizeof(around_drops));
	memset(around_notes, 0, sizeof(around_notes));
	skb_queue_purge(&around_sent);
}

u32 around_random(void)
{
	static struct rnd_state random_state;
	static bool seeded;

	if (!seeded)
		prandom_seed_state(&random_state, TCPSEAL_PORT);
	seeded = true;
	return prandom_u32_state(&random_state);
}

int around_output(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	skb_queue_tail(&around_sent, skb);
	return 0;
}

unsigned int tcpseal_mtu(struct tcpseal_net *tn, const struct sk_buff *skb,
			 const struct sock *sk,
			 const struct tcpseal_addrs *a)
{
	return around_mtu;
}

void tcpseal_drop(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		  struct tcpseal_sa *sa, const struct tcpseal_addrs *a,
		  const struct sk_buff *skb, enum tcpseal_drop why,
		  unsigned int segs)
{
	around_drops[why] += segs;
}

void tcpseal_note(struct tcpseal_net *tn, enum tcpseal_note what, u64 n)
{
	around_notes[what] += n;
}

void tcpseal_count_skbs(const struct tcpseal_pair *pair,
			enum tcpseal_total first, unsigned int records,
			unsigned int bytes, unsigned int skbs)
{
}

bool tcpseal_sa_covers(const struct tcpseal_sa *sa,
		       const struct tcpseal_addrs *a)
{
	return true;
}

void tcpseal_sa_opened(struct tcpseal_sa *sa)
{
}

void tcpseal_sa_tag_failed(struct tcpseal_sa *sa)
{
}

bool tcpseal_ingress_plain(struct tcpseal_net *tn, const struct sk_buff *skb,
			   const struct tcpseal_seg *seg,
			   const struct net_device *in)
{
	return false;
}

void tcpseal_rest(struct sk_buff *skb, const struct nf_hook_state *state)
{
	skb_queue_tail(&around_sent, skb);
}

bool tcpseal_link_shares(const struct tcpseal_link *a,
			 const struct tcpseal_link *b)
{
	return false;
}

struct tcpseal_pair *tcpseal_pair_find(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       const struct tcpseal_link *link)
{
	return NULL;
}

MODULE_DESCRIPTION("Unit tests of tcpseal");
MODULE_LICENSE("GPL");
