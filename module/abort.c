// SPDX-License-Identifier: GPL-2.0-only
/*
 * Ending local sockets: a walk over the table of TCP sockets in batches. Under
 * the lock of a bucket sockets are only collected; what ends them sleeps.
 */
#include <net/inet_hashtables.h>
#include <net/ipv6.h>
#include <net/tcp.h>

#include "abort.h"
#include "ctrl.h"
#include "segment.h"

#define BATCH	32
/* Connections may come as fast as they are ended: then some stay */
#define ROUNDS	64

struct abort_walk {
	struct tcpseal_net		*tn;
	const struct tcpseal_pair	*pair;		/* NULL: doomed ones */
	const struct tcpseal_link	*link;		/* or all of a link */
	bool				syn_sent_only;
	int				err;
	unsigned int			done;
	unsigned int			nr;
	struct sock			*batch[BATCH];
};

/* RCU. */
static bool abort_match(const struct abort_walk *walk, const struct sock *sk)
{
	int state = READ_ONCE(sk->sk_state);
	struct tcpseal_link *link;
	struct tcpseal_pair *pair;
	struct tcpseal_addrs a;

	/* A closed connection that only waits has nobody to tell */
	if (!net_eq(sock_net(sk), walk->tn->net) || state == TCP_TIME_WAIT)
		return false;
	if (walk->syn_sent_only && state != TCP_SYN_SENT)
		return false;
	tcpseal_sock_addrs(sk, &a);
	link = tcpseal_link_lookup(walk->tn, &a);
	if (!link)
		return false;
	if (walk->link)
		return link == walk->link && !tcpseal_ctrl_has(walk->tn, sk);
	pair = tcpseal_pair_find(walk->tn, &a, link);
	if (!pair || (walk->pair ? pair != walk->pair :
				   !test_bit(TCPSEAL_PAIR_DOOMED, &pair->bits)))
		return false;
	return state == TCP_NEW_SYN_RECV || !tcpseal_ctrl_has(walk->tn, sk);
}

/* Return: were there more than fit? */
static bool abort_collect(struct abort_walk *walk, struct inet_hashinfo *info,
			  unsigned int slot)
{
	spinlock_t *lock = inet_ehash_lockp(info, slot);
	struct hlist_nulls_node *node;
	bool more = false;
	struct sock *sk;

	rcu_read_lock();
	spin_lock_bh(lock);
	sk_nulls_for_each(sk, node, &info->ehash[slot].chain) {
		if (!abort_match(walk, sk))
			continue;
		if (walk->nr == BATCH) {
			more = true;
			break;
		}
		if (refcount_inc_not_zero(&sk->sk_refcnt))
			walk->batch[walk->nr++] = sk;
	}
	spin_unlock_bh(lock);
	rcu_read_unlock();
	return more;
}

static void abort_batch(struct abort_walk *walk)
{
	unsigned int i;

	for (i = 0; i < walk->nr; i++) {
		if (!tcp_abort(walk->batch[i], walk->err))
			walk->done++;
		sock_gen_put(walk->batch[i]);
	}
	walk->nr = 0;
}

static void abort_walk(struct abort_walk *walk)
{
	struct inet_hashinfo *info =
		walk->tn->net->ipv4.tcp_death_row.hashinfo;
	unsigned int slot, round;
	bool more;

	for (slot = 0; slot <= info->ehash_mask; slot++) {
		if (hlist_nulls_empty(&info->ehash[slot].chain))
			continue;
		for (round = 0; round < ROUNDS; round++) {
			more = abort_collect(walk, info, slot);
			if (!more)
				break;
			abort_batch(walk);
		}
		abort_batch(walk);
		cond_resched();
	}
}

unsigned int tcpseal_abort_pair(struct tcpseal_net *tn,
				const struct tcpseal_pair *pair, int err,
				bool syn_sent_only)
{
	struct abort_walk walk = {
		.tn = tn, .pair = pair, .err = err,
		.syn_sent_only = syn_sent_only,
	};

	abort_walk(&walk);
	return walk.done;
}

unsigned int tcpseal_abort_link(struct tcpseal_net *tn,
				const struct tcpseal_link *link, int err)
{
	struct abort_walk walk = { .tn = tn, .link = link, .err = err };

	abort_walk(&walk);
	return walk.done;
}

unsigned int tcpseal_abort_doomed(struct tcpseal_net *tn, int err)
{
	struct abort_walk walk = { .tn = tn, .err = err };

	abort_walk(&walk);
	return walk.done;
}
