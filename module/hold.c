// SPDX-License-Identifier: GPL-2.0-only
/*
 * Segments that wait for a key.
 *
 * They have passed all hooks of POST_ROUTING. Their owner is kept, so TSQ goes
 * on counting them and TCP does not retransmit what is still here. Of each
 * flow only the latest segment waits. When the key comes they go through the
 * whole egress decision again; nothing ever leaves here in plain.
 *
 * Whoever connects to many peers at once must leave room for others: a user of
 * this host, or a host behind it, has a share of the queue.
 */
#include <linux/hash.h>
#include <linux/jhash.h>
#include <linux/slab.h>
#include <net/inet_hashtables.h>
#include <net/tcp.h>
#include "ctrl.h"
#include "hold.h"
#include "segment.h"
#include "stats.h"
#include "trace.h"

#define HOLD_BYTES	(16U << 20)	/* truesize in one namespace */
#define HOLD_USER_BITS	8		/* users with the same hash share */

struct tcpseal_held {
	struct list_head	node;		/* hold->list, oldest first */
	struct list_head	pair_node;	/* pair->hold_list */
	struct tcpseal_pair	*pair;		/* a reference */
	struct sk_buff		*skb;		/* owner kept, dst counted */
	struct sock		*sk;		/* of the hook, a reference */
	struct tcpseal_addrs	a;
	__be16			sport, dport;
	u8			user;		/* index of hold->by_user */
	unsigned long		until;		/* jiffies */
	enum tcpseal_drop	why;		/* to count when it goes */
};

/* All that is held in a namespace; @lock also covers the pairs' lists. */
struct tcpseal_hold {
	struct tcpseal_net	*tn;
	spinlock_t		lock;		/* everything here */
	struct list_head	list;
	u32			nr;
	u32			bytes;
	u32			by_user[1 << HOLD_USER_BITS];
	u32			seed;
	bool			closed;
	struct delayed_work	expire;
};

void tcpseal_hold_pair_init(struct tcpseal_pair *pair)
{
	INIT_LIST_HEAD(&pair->hold_list);
}

static void held_unlink(struct tcpseal_hold *hold, struct tcpseal_held *h)
{
	list_del(&h->node);
	list_del(&h->pair_node);
	h->pair->nr_held--;
	hold->by_user[h->user]--;
	hold->nr--;
	hold->bytes -= h->skb->truesize;
}

static void held_free(struct tcpseal_held *h)
{
	kfree_skb(h->skb);
	/* a SYN-ACK's is a request */
	if (h->sk)
		sock_gen_put(h->sk);
	tcpseal_pair_put(h->pair);
	kfree(h);
}

static struct tcpseal_held *held_same_flow(struct tcpseal_pair *pair,
					   const struct tcpseal_held *like)
{
	struct tcpseal_held *h;

	list_for_each_entry(h, &pair->hold_list, pair_node)
		if (h->sport == like->sport && h->dport == like->dport &&
		    !memcmp(&h->a, &like->a, sizeof(h->a)))
			return h;
	return NULL;
}

/* Under hold->lock: a place for @h, perhaps that of an older one. */
static bool held_link(struct tcpseal_hold *hold, struct tcpseal_held *h,
		      struct tcpseal_held **old)
{
	const struct tcpseal_conf *conf = &hold->tn->conf;
	struct tcpseal_pair *pair = h->pair;

	if (hold->closed)
		return false;
	*old = held_same_flow(pair, h);
	if (*old)
		held_unlink(hold, *old);
	if (pair->nr_held >= READ_ONCE(conf->hold_pair) ||
	    hold->by_user[h->user] >= READ_ONCE(conf->hold_user) ||
	    hold->nr >= READ_ONCE(conf->hold_net) ||
	    hold->bytes + h->skb->truesize > HOLD_BYTES)
		return false;
	list_add_tail(&h->node, &hold->list);
	list_add_tail(&h->pair_node, &pair->hold_list);
	pair->nr_held++;
	hold->by_user[h->user]++;
	hold->nr++;
	hold->bytes += h->skb->truesize;
	return true;
}

/* Who takes up room: a user of this host, or a host behind it */
static u8 held_user(const struct tcpseal_hold *hold,
		    const struct sk_buff *skb, const struct tcpseal_held *h)
{
	const struct sock *sk = skb->sk ? sk_to_full_sk(skb->sk) : NULL;
	u32 hash;

	static_assert(HOLD_USER_BITS <= 8 * sizeof(h->user));
	if (sk && sk_fullsock(sk))
		hash = jhash_1word(__kuid_val(sock_net_uid(hold->tn->net, sk)),
				   hold->seed);
	else
		hash = jhash(&h->a.local, sizeof(h->a.local), ~hold->seed);
	return hash_32(hash, HOLD_USER_BITS);
}

static struct tcpseal_held *held_alloc(struct tcpseal_net *tn,
				       struct tcpseal_pair *pair,
				       struct sk_buff *skb, struct sock *sk)
{
	u16 family = skb->protocol == htons(ETH_P_IPV6) ? AF_INET6 : AF_INET;
	struct tcpseal_held *h;
	struct tcpseal_seg seg;

	if (tcpseal_parse(skb, family, &seg) != TCPSEAL_IS_TCP ||
	    !skb_dst(skb) || !skb_dst_force(skb))
		return NULL;
	h = kzalloc(sizeof(*h), GFP_ATOMIC | __GFP_NOWARN);
	if (!h)
		return NULL;
	tcpseal_seg_addrs(skb, &seg, true, &h->a);
	h->sport = tcpseal_th(skb, &seg)->source;
	h->dport = tcpseal_th(skb, &seg)->dest;
	h->user = held_user(tn->hold, skb, h);
	h->until = jiffies + READ_ONCE(tn->conf.hold_secs) * HZ;
	h->why = TCPSEAL_DROP_HOLD_TIMEOUT;
	h->skb = skb;
	tcpseal_pair_get(pair);
	h->pair = pair;
	if (sk) {
		sock_hold(sk);
		h->sk = sk;
	}
	return h;
}

/**
 * tcpseal_hold() - keep an skb until a key comes
 * @tn: namespace
 * @pair: its pair
 * @skb: behind all hooks of POST_ROUTING; consumed
 * @sk: socket of the hook
 *
 * Context: BH off, RCU.
 */
void tcpseal_hold(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		  struct sk_buff *skb, struct sock *sk)
{
	struct tcpseal_held *h = held_alloc(tn, pair, skb, sk), *old = NULL;
	struct tcpseal_hold *hold = tn->hold;
	bool linked, first;

	if (!h) {
		tcpseal_drop(tn, pair, NULL, NULL, skb,
			     TCPSEAL_DROP_NO_MEMORY, tcpseal_segs(skb));
		kfree_skb(skb);
		return;
	}
	spin_lock(&hold->lock);
	first = !hold->nr;
	linked = held_link(hold, h, &old);
	spin_unlock(&hold->lock);

	if (old) {
		tcpseal_note(tn, TCPSEAL_NOTE_HELD_REPLACED, 1);
		held_free(old);
	}
	if (!linked) {
		tcpseal_drop(tn, pair, NULL, NULL, skb,
			     TCPSEAL_DROP_HOLD_FULL, tcpseal_segs(skb));
		held_free(h);
		return;
	}
	atomic64_inc(&pair->held);
	trace_tcpseal_hold(pair, READ_ONCE(pair->nr_held));
	tcpseal_note(tn, TCPSEAL_NOTE_HELD, 1);
	if (first)
		schedule_delayed_work(&hold->expire, HZ / 10);
	/* a key that came between the look for it and now would not see @h */
	if (rcu_access_pointer(pair->tx) ||
	    tcpseal_pair_demand(pair) == TCPSEAL_MAY_PLAIN)
		mod_delayed_work(system_wq, &hold->expire, 0);
}

static bool is_connecting(const struct sk_buff *skb)
{
	const struct sock *sk = skb->sk;

	return sk && sk_fullsock(sk) && sk_is_tcp(sk) &&
	       READ_ONCE(sk->sk_state) == TCP_SYN_SENT;
}

/**
 * tcpseal_hold_refuse() - no key can be had: drop, and tell who connects
 * @tn: namespace
 * @pair: its pair
 * @skb: behind all hooks of POST_ROUTING; consumed
 * @sk: socket of the hook
 * @why: reason to count
 *
 * A socket cannot be told while it sends, so a SYN goes through the queue,
 * with no time left to wait.
 *
 * Context: BH off, RCU.
 */
void tcpseal_hold_refuse(struct tcpseal_net *tn, struct tcpseal_pair *pair,
			 struct sk_buff *skb, struct sock *sk,
			 enum tcpseal_drop why)
{
	struct tcpseal_held *h = NULL, *old = NULL;
	struct tcpseal_hold *hold = tn->hold;
	bool linked = false;

	if (is_connecting(skb))
		h = held_alloc(tn, pair, skb, sk);
	if (h) {
		h->until = jiffies;
		h->why = why;
		spin_lock(&hold->lock);
		linked = held_link(hold, h, &old);
		spin_unlock(&hold->lock);
	}
	if (old)
		held_free(old);
	if (linked) {
		mod_delayed_work(system_wq, &hold->expire, 0);
		return;
	}
	tcpseal_drop(tn, pair, NULL, NULL, skb, why, tcpseal_segs(skb));
	if (h)
		held_free(h);
	else
		kfree_skb(skb);
}

/* Take what the pair holds, in order. */
static void held_take(struct tcpseal_pair *pair, struct list_head *list)
{
	struct tcpseal_hold *hold = pair->tn->hold;
	struct tcpseal_held *h, *tmp;

	spin_lock_bh(&hold->lock);
	list_for_each_entry_safe(h, tmp, &pair->hold_list, pair_node) {
		held_unlink(hold, h);
		list_add_tail(&h->node, list);
	}
	spin_unlock_bh(&hold->lock);
}

/**
 * tcpseal_hold_release() - decide again on what a pair holds
 * @pair: a key is there, or its demand changed
 *
 * Context: process.
 */
void tcpseal_hold_release(struct tcpseal_pair *pair)
{
	struct tcpseal_held *h, *tmp;
	LIST_HEAD(list);

	held_take(pair, &list);
	list_for_each_entry_safe(h, tmp, &list, node) {
		struct sk_buff *skb = h->skb;

		h->skb = NULL;
		tcpseal_egress_again(pair->tn->net, h->sk, skb);
		held_free(h);
	}
}

/*
 * Nobody will answer a connection that cannot be sealed: its socket learns it
 * now, as from an ICMP error. Others are left to TCP's own timers.
 */
static void held_tell(struct sk_buff *skb, int err)
{
	if (is_connecting(skb))
		tcp_abort(skb->sk, err);
}

/* @why: 0 for the reason of each. */
static void held_drop(struct list_head *list, enum tcpseal_drop why, int err)
{
	struct tcpseal_held *h, *tmp;

	list_for_each_entry_safe(h, tmp, list, node) {
		local_bh_disable();
		tcpseal_drop(h->pair->tn, h->pair, NULL, &h->a, h->skb,
			     why ?: h->why, tcpseal_segs(h->skb));
		local_bh_enable();
		if (err)
			held_tell(h->skb, err);
		held_free(h);
	}
}

/**
 * tcpseal_hold_fail() - no key will come: drop what a pair holds
 * @pair: the pair
 * @why: reason to count
 * @err: what sockets that still connect get, or 0
 *
 * Context: process, may sleep.
 */
void tcpseal_hold_fail(struct tcpseal_pair *pair, enum tcpseal_drop why,
		       int err)
{
	LIST_HEAD(list);

	held_take(pair, &list);
	held_drop(&list, why, err);
}

/*
 * Does its socket learn that it waited in vain? Where a daemon sees to keys it
 * is for that to say so: it may have much to do, or the peer, and TCP sends
 * again. RCU.
 */
static bool held_tells(const struct tcpseal_held *h)
{
	const struct tcpseal_link *link = rcu_dereference(h->pair->link);

	return h->why != TCPSEAL_DROP_HOLD_TIMEOUT ||
	       !tcpseal_ctrl_served(h->pair->tn) ||
	       (link && link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL);
}

/* What waited too long goes; what could go now is decided again. */
static void hold_expire(struct work_struct *work)
{
	struct tcpseal_hold *hold = container_of(to_delayed_work(work),
						 struct tcpseal_hold, expire);
	struct tcpseal_pair *ready = NULL;
	struct tcpseal_held *h, *tmp;
	bool more;
	LIST_HEAD(told);
	LIST_HEAD(late);

	rcu_read_lock();
	spin_lock_bh(&hold->lock);
	list_for_each_entry_safe(h, tmp, &hold->list, node) {
		if (!time_after(h->until, jiffies)) {
			held_unlink(hold, h);
			list_add_tail(&h->node, held_tells(h) ? &told : &late);
		} else if (!ready && rcu_access_pointer(h->pair->tx)) {
			ready = h->pair;
			tcpseal_pair_get(ready);
		}
	}
	more = hold->nr;
	spin_unlock_bh(&hold->lock);
	rcu_read_unlock();

	held_drop(&told, 0, EHOSTUNREACH);
	held_drop(&late, 0, 0);
	if (ready) {
		tcpseal_hold_release(ready);
		tcpseal_pair_put(ready);
	}
	if (more)
		schedule_delayed_work(&hold->expire, ready ? 0 : HZ / 10);
}

int tcpseal_hold_init(struct tcpseal_net *tn)
{
	struct tcpseal_hold *hold = kzalloc(sizeof(*hold), GFP_KERNEL_ACCOUNT);

	if (!hold)
		return -ENOMEM;
	hold->tn = tn;
	hold->seed = get_random_u32();
	spin_lock_init(&hold->lock);
	INIT_LIST_HEAD(&hold->list);
	INIT_DELAYED_WORK(&hold->expire, hold_expire);
	tn->hold = hold;
	return 0;
}

/**
 * tcpseal_hold_purge() - drop all that is held, and hold nothing any more
 * @tn: namespace that is going; its sockets are gone or going
 *
 * Context: process, may sleep; hooks are unregistered.
 */
void tcpseal_hold_purge(struct tcpseal_net *tn)
{
	struct tcpseal_hold *hold = tn->hold;
	struct tcpseal_held *h, *tmp;
	LIST_HEAD(list);

	spin_lock_bh(&hold->lock);
	hold->closed = true;
	list_for_each_entry_safe(h, tmp, &hold->list, node) {
		held_unlink(hold, h);
		list_add_tail(&h->node, &list);
	}
	spin_unlock_bh(&hold->lock);
	held_drop(&list, TCPSEAL_DROP_TEARDOWN, 0);
	cancel_delayed_work_sync(&hold->expire);
}

void tcpseal_hold_exit(struct tcpseal_net *tn)
{
	tcpseal_hold_purge(tn);
	kfree(tn->hold);
	tn->hold = NULL;
}
