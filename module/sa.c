// SPDX-License-Identifier: GPL-2.0-only
/*
 * Security associations and their life.
 *
 *	receiving: next -> current -> draining -> tombstone -> gone
 *	sending:   next (pending) -> current -> gone
 *
 * All of it changes under tn->lock. The data path reads sa->state and
 * pair->tx under RCU; that a record was opened reaches gc over tn->opened.
 */
#include <linux/bits.h>
#include <linux/timekeeping.h>

#include "aead.h"
#include "netlink.h"
#include "sa.h"

/* Below this a look once a second is too rare to stop in time */
#define VOLUME_EXACT		BIT_ULL(30)

/* Without it, four bytes would be compared by a call of memcmp(). */
static int spi_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct tcpseal_sa *sa = obj;

	return *(const __be32 *)arg->key != sa->spi;
}

const struct rhashtable_params tcpseal_spi_params = {
	.head_offset		= offsetof(struct tcpseal_sa, node),
	.key_offset		= offsetof(struct tcpseal_sa, spi),
	.key_len		= sizeof(__be32),
	.obj_cmpfn		= spi_cmp,
	.automatic_shrinking	= true,
};

struct tcpseal_sa *tcpseal_sa_find(struct tcpseal_net *tn, __be32 spi)
{
	return rhashtable_lookup(&tn->spis, &spi, tcpseal_spi_params);
}

bool tcpseal_sa_get_live(struct tcpseal_sa *sa)
{
	return refcount_inc_not_zero(&sa->ref);
}

void tcpseal_sa_put(struct tcpseal_sa *sa)
{
	if (refcount_dec_and_test(&sa->ref))
		queue_rcu_work(tcpseal_wq, &sa->free_work);
}

bool tcpseal_sa_covers(const struct tcpseal_sa *sa,
		       const struct tcpseal_addrs *a)
{
	const struct tcpseal_addrs *key = &sa->pair->key;
	const struct tcpseal_link *link;
	struct tcpseal_addrs derived;

	if (a->family != key->family)
		return false;
	/* The usual case: the pair's own addresses, and a link for just them */
	link = rcu_dereference(sa->pair->link);
	if (link && !link->has_via &&
	    !(link->flags & TCPSEAL_LINK_FLAG_FORWARD) &&
	    tcpseal_addrs_equal(a, key))
		return true;
	link = tcpseal_link_lookup(sa->tn, a);
	if (!link) {
		/* Released here; what comes in on the exact pair still opens */
		derived = *a;
	} else {
		tcpseal_link_derive(link, a, &derived);
	}
	return tcpseal_addrs_equal(&derived, key);
}

/* Sum over the lanes; a racy look is good enough for what asks. */
void tcpseal_sa_volume(const struct tcpseal_sa *sa,
		       struct tcpseal_sa_volume *sum)
{
	unsigned int i;

	memset(sum, 0, sizeof(*sum));
	if (sa->dir == TCPSEAL_DIR_OUT) {
		for (i = 0; sa->tx && i < sa->lanes; i++) {
			sum->records += atomic64_read(&sa->tx[i].records);
			sum->bytes += atomic64_read(&sa->tx[i].bytes);
			sum->skbs += atomic64_read(&sa->tx[i].skbs);
		}
		return;
	}
	for (i = 0; sa->rx && i < sa->lanes; i++) {
		spin_lock_bh(&sa->rx[i].lock);
		sum->records += sa->rx[i].records;
		sum->bytes += sa->rx[i].bytes;
		sum->skbs += sa->rx[i].skbs;
		spin_unlock_bh(&sa->rx[i].lock);
	}
}

static u64 boottime(void)
{
	return ktime_get_coarse_boottime_ns();
}

static void said_hard(struct tcpseal_sa *sa, enum tcpseal_expire_why why)
{
	if (!test_and_set_bit(TCPSEAL_SA_HARD_SAID, &sa->bits))
		tcpseal_notify_expire(sa, why, true);
}

/* Lanes alone cannot tell; a shared counter would bounce between CPUs. */
static bool over_volume(struct tcpseal_sa *sa)
{
	struct tcpseal_sa_volume sum;

	if (!sa->hard_bytes)
		return false;
	if (sa->hard_bytes >= VOLUME_EXACT)
		return test_bit(TCPSEAL_SA_OVER, &sa->bits);
	tcpseal_sa_volume(sa, &sum);
	return sum.bytes >= sa->hard_bytes;
}

bool tcpseal_sa_may_seal(struct tcpseal_sa *sa, unsigned int bytes)
{
	struct tcpseal_pair *pair = sa->pair;
	unsigned long now = jiffies;

	if (sa->hard_at && boottime() >= sa->hard_at) {
		said_hard(sa, TCPSEAL_EXPIRE_WHY_TIME);
		return false;
	}
	if (over_volume(sa)) {
		said_hard(sa, TCPSEAL_EXPIRE_WHY_VOLUME);
		return false;
	}
	/* Written once a jiffy, not once a segment: the lines are shared */
	if (READ_ONCE(sa->last_used) != now) {
		WRITE_ONCE(sa->last_used, now);
		WRITE_ONCE(pair->last_used, now);
	}
	return true;
}

bool tcpseal_sa_may_open(struct tcpseal_sa *sa)
{
	return !sa->hard_at || boottime() < sa->hard_at;
}

/* Would gc have something to do about a record of this SA? */
static bool sa_is_news(const struct tcpseal_sa *sa,
		       const struct tcpseal_pair *pair)
{
	const struct tcpseal_link *link;

	if (READ_ONCE(sa->state) == TCPSEAL_SA_STATE_NEXT)
		return true;
	if (sa->mode_peer < TCPSEAL_MODE_PREFER ||
	    test_bit(TCPSEAL_PAIR_STICKY, &pair->bits))
		return false;
	link = rcu_dereference(pair->link);
	return link && READ_ONCE(link->pair_mode) >= TCPSEAL_MODE_PREFER &&
	       READ_ONCE(pair->agreed);
}

void tcpseal_sa_opened(struct tcpseal_sa *sa)
{
	struct tcpseal_pair *pair = sa->pair;
	unsigned long now = jiffies;

	if (READ_ONCE(sa->last_used) != now) {
		WRITE_ONCE(sa->last_used, now);
		WRITE_ONCE(pair->last_used, now);
		WRITE_ONCE(pair->last_opened, now);
	}
	if (!test_bit(TCPSEAL_PAIR_HEARD, &pair->bits))
		set_bit(TCPSEAL_PAIR_HEARD, &pair->bits);
	if (!test_bit(TCPSEAL_PAIR_OPENED, &pair->bits) &&
	    READ_ONCE(pair->agreed)) {
		WRITE_ONCE(pair->agreed_at, get_jiffies_64());
		set_bit(TCPSEAL_PAIR_OPENED, &pair->bits);
	}
	if (likely(!sa_is_news(sa, pair)) || test_bit(TCPSEAL_SA_NEWS, &sa->bits) ||
	    test_and_set_bit(TCPSEAL_SA_NEWS, &sa->bits))
		return;
	/* The caller has a reference, or RCU: this one may come too late */
	if (!tcpseal_sa_get_live(sa))
		return;
	llist_add(&sa->opened_node, &sa->tn->opened);
	tcpseal_net_kick(sa->tn);
}

void tcpseal_sa_tag_failed(struct tcpseal_sa *sa)
{
	/* An attacker makes these: gc judges them, nothing retires a key here */
	atomic64_inc(&sa->tag_failures);
}

static void sa_wipe(struct tcpseal_sa *sa)
{
	unsigned int i;

	if (sa->key)
		tcpseal_key_free(sa->key);
	sa->key = NULL;
	if (sa->dir == TCPSEAL_DIR_IN && sa->rx)
		for (i = 0; i < sa->lanes; i++)
			tcpseal_rx_lane_exit(&sa->rx[i]);
	kvfree(sa->dir == TCPSEAL_DIR_IN ? (void *)sa->rx : (void *)sa->tx);
	sa->rx = NULL;
	kfree(sa->info);
	sa->info = NULL;
}

/*
 * The last reference is gone, and so are all readers under RCU; requests to
 * the crypto API that one of them left behind are waited for. The
 * memory of a receiving SA is its tombstone's from now on.
 */
static void sa_free_work(struct work_struct *work)
{
	struct tcpseal_sa *sa = container_of(to_rcu_work(work),
					     struct tcpseal_sa, free_work);
	bool out = sa->dir == TCPSEAL_DIR_OUT;

	tcpseal_aead_wait(sa);
	sa_wipe(sa);
	if (out) {
		tcpseal_pair_put(sa->pair);
		kfree(sa);
		return;
	}
	/* Pairs with the test in tombstone_end() */
	smp_mb__before_atomic();
	set_bit(TCPSEAL_SA_WIPED, &sa->bits);
}

struct tcpseal_sa *tcpseal_sa_alloc(struct tcpseal_net *tn)
{
	struct tcpseal_sa *sa;

	sa = kzalloc(sizeof(*sa), GFP_KERNEL_ACCOUNT);
	if (!sa)
		return NULL;
	sa->tn = tn;
	sa->lanes = TCPSEAL_LANES;
	sa->state = TCPSEAL_SA_STATE_NEXT;
	INIT_LIST_HEAD(&sa->pair_node);
	refcount_set(&sa->ref, 1);
	INIT_RCU_WORK(&sa->free_work, sa_free_work);
	return sa;
}

/* What was never published. */
void tcpseal_sa_free(struct tcpseal_sa *sa)
{
	sa_wipe(sa);
	if (sa->pair)
		tcpseal_pair_put(sa->pair);
	kfree(sa);
}
