// SPDX-License-Identifier: GPL-2.0-only
/* How SAs come, change places, and go. All of it under tn->lock. */
#include <linux/bits.h>
#include <linux/random.h>
#include <linux/timekeeping.h>

#include "netlink.h"
#include "power.h"
#include "sa.h"
#include "trace.h"

/* Live receiving SAs of one pair, and pending sending ones */
#define SAS_MAX			4
/* Records of the old key may arrive so long after the first of the new one */
#define DRAIN_TIME		(3 * HZ)
/* A handshake that both ends opened at once may still fall back to this key */
#define UNUSED_TIME		(10 * HZ)
#define TOMBSTONES_MAX		65536
/* The peer has left the key: only stray records are to be caught */
#define TOMBSTONE_DRAINED	(60ULL * NSEC_PER_SEC)
/* The peer may not know: its clock, and the way, may take so much longer */
#define TOMBSTONE_MARGIN	(60ULL * NSEC_PER_SEC)
/* Whoever types a key twice after a reboot does not repeat its nonces too */
#define COUNTER_RANDOM		GENMASK_ULL(39, 0)
/* Forgeries after which AES-GCM asks for another key */
#define INTEGRITY_LIMIT		BIT_ULL(36)

static atomic_t last_id;

static void sa_fold(struct tcpseal_sa *sa)
{
	struct tcpseal_pair *pair = sa->pair;
	struct tcpseal_sa_volume sum;

	tcpseal_sa_volume(sa, &sum);
	if (sa->dir == TCPSEAL_DIR_OUT) {
		atomic64_add(sum.records, &pair->old_sealed_records);
		atomic64_add(sum.bytes, &pair->old_sealed_bytes);
		atomic64_add(sum.skbs, &pair->old_sealed_skbs);
	} else {
		atomic64_add(sum.records, &pair->old_opened_records);
		atomic64_add(sum.bytes, &pair->old_opened_bytes);
		atomic64_add(sum.skbs, &pair->old_opened_skbs);
	}
}

static struct tcpseal_sa *pair_tx(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->tx,
					 lockdep_is_held(&pair->tn->lock));
}

static struct tcpseal_link *pair_link(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->link,
					 lockdep_is_held(&pair->tn->lock));
}

static void set_state(struct tcpseal_sa *sa, enum tcpseal_sa_state state)
{
	WRITE_ONCE(sa->state, state);
	trace_tcpseal_sa(sa);
}

/*
 * The last of a receiving SA. Readers under RCU may still look at it and at
 * its pair; the key has no user left when TCPSEAL_SA_WIPED is set.
 */
static bool tombstone_end(struct tcpseal_sa *sa)
{
	struct tcpseal_net *tn = sa->tn;

	if (!test_bit_acquire(TCPSEAL_SA_WIPED, &sa->bits))
		return false;
	rhashtable_remove_fast(&tn->spis, &sa->node, tcpseal_spi_params);
	xa_erase(&tn->sa_ids, sa->id);
	list_del(&sa->pair_node);
	atomic_dec(&tn->nr_tombstones);
	tcpseal_pair_put(sa->pair);
	kfree_rcu(sa, rcu);
	return true;
}

static void tombstone_begin(struct tcpseal_sa *sa, enum tcpseal_removal how)
{
	u64 now = ktime_get_boottime_ns(), secs, until = now;
	struct tcpseal_net *tn = sa->tn;
	struct tcpseal_sa *oldest;

	if (how == TCPSEAL_REMOVE_DRAINED) {
		until += TOMBSTONE_DRAINED;
	} else {
		secs = READ_ONCE(tn->conf.tombstone_secs);
		until += secs * NSEC_PER_SEC;
		until = max(until, sa->hard_at) + TOMBSTONE_MARGIN;
	}
	sa->tombstone_until = until;
	list_add_tail(&sa->pair_node, &tn->tombstones);
	if (atomic_inc_return(&tn->nr_tombstones) <= TOMBSTONES_MAX)
		return;
	net_warn_ratelimited("too many removed keys to remember, the oldest is forgotten\n");
	oldest = list_first_entry(&tn->tombstones, struct tcpseal_sa,
				  pair_node);
	tombstone_end(oldest);
}

/**
 * tcpseal_sa_remove() - an SA stops working
 * @sa: any that is live
 * @how: does the peer know?
 *
 * Two steps. Here it is unlinked from its pair, or turned into a tombstone,
 * so that nobody starts to use the key. Who may have started before: readers
 * under RCU, and requests to the crypto API, which have a reference. The last
 * of them lets tcpseal_sa_put() queue the second step, see sa_free_work().
 *
 * Context: process, tn->lock.
 */
void tcpseal_sa_remove(struct tcpseal_sa *sa, enum tcpseal_removal how)
{
	struct tcpseal_pair *pair = sa->pair;
	struct tcpseal_net *tn = sa->tn;
	bool was_tx = pair_tx(pair) == sa;

	lockdep_assert_held(&tn->lock);
	if (sa->state == TCPSEAL_SA_STATE_TOMBSTONE)
		return;
	sa_fold(sa);
	list_del_init(&sa->pair_node);
	atomic_dec(&tn->nr_sas);
	set_state(sa, TCPSEAL_SA_STATE_TOMBSTONE);
	if (sa->dir == TCPSEAL_DIR_IN) {
		WRITE_ONCE(pair->nr_rx, pair->nr_rx - 1);
		tombstone_begin(sa, how);
	} else {
		if (was_tx)
			RCU_INIT_POINTER(pair->tx, NULL);
		xa_erase(&tn->sa_ids, sa->id);
	}
	tcpseal_sa_put(sa);
	if (was_tx)
		tcpseal_pair_update(pair);
	tcpseal_net_pin(tn);
}

static void tx_install(struct tcpseal_sa *sa)
{
	struct tcpseal_pair *pair = sa->pair;
	struct tcpseal_sa *old = pair_tx(pair), *other, *next;

	sa->flags &= ~TCPSEAL_SA_FLAG_PENDING;
	set_state(sa, TCPSEAL_SA_STATE_CURRENT);
	rcu_assign_pointer(pair->tx, sa);
	pair->last_unanswered = 0;
	clear_bit(TCPSEAL_PAIR_UNANSWERED, &pair->bits);
	tcpseal_pair_agree(pair, sa->mode_local, sa->mode_peer);
	if (old)
		tcpseal_sa_remove(old, TCPSEAL_REMOVE_DRAINED);
	/* What still waits from earlier handshakes came too late */
	list_for_each_entry_safe(other, next, &pair->sas, pair_node)
		if (other->dir == TCPSEAL_DIR_OUT && other->id < sa->id)
			tcpseal_sa_remove(other, TCPSEAL_REMOVE_DRAINED);
	tcpseal_pair_update(pair);
}

int tcpseal_sa_activate(struct tcpseal_pair *pair, u64 generation)
{
	struct tcpseal_sa *sa;

	lockdep_assert_held(&pair->tn->lock);
	list_for_each_entry(sa, &pair->sas, pair_node) {
		if (sa->dir != TCPSEAL_DIR_OUT || sa->generation != generation)
			continue;
		if (sa->state == TCPSEAL_SA_STATE_NEXT)
			tx_install(sa);
		return 0;
	}
	return -ENOENT;
}

static void rx_make_current(struct tcpseal_sa *sa)
{
	struct tcpseal_sa *other;

	list_for_each_entry(other, &sa->pair->sas, pair_node) {
		if (other->dir != TCPSEAL_DIR_IN)
			continue;
		if (other->state == TCPSEAL_SA_STATE_CURRENT)
			other->drain_until = jiffies + DRAIN_TIME;
		else if (other->state == TCPSEAL_SA_STATE_NEXT &&
			 other->id < sa->id)
			other->drain_until = jiffies + UNUSED_TIME;
		else
			continue;
		other->late_until = jiffies + DRAIN_TIME;
		set_state(other, TCPSEAL_SA_STATE_DRAINING);
	}
	set_state(sa, TCPSEAL_SA_STATE_CURRENT);
}

static void sa_news(struct tcpseal_sa *sa)
{
	struct tcpseal_pair *pair = sa->pair;
	const struct tcpseal_link *link = pair_link(pair);

	if (sa->state == TCPSEAL_SA_STATE_NEXT) {
		rx_make_current(sa);
		/* A record on it proves that the peer has both keys */
		tcpseal_sa_activate(pair, sa->generation);
	}
	if (sa->mode_peer < TCPSEAL_MODE_PREFER || !link ||
	    link->pair_mode < TCPSEAL_MODE_PREFER || !pair->agreed ||
	    test_bit(TCPSEAL_PAIR_STICKY, &pair->bits))
		return;
	if (sa->info->name[0]) {
		kfree(pair->identity);
		pair->identity = kstrdup(sa->info->name, GFP_KERNEL_ACCOUNT);
	}
	tcpseal_pair_set_sticky(pair, ktime_get_real_seconds());
	tcpseal_pair_update(pair);
}

void tcpseal_sa_news(struct tcpseal_net *tn)
{
	struct llist_node *nodes = llist_del_all(&tn->opened);
	struct tcpseal_sa *sa, *next;

	lockdep_assert_held(&tn->lock);
	llist_for_each_entry_safe(sa, next, nodes, opened_node) {
		/* Off the list: what happens from here on may put it back */
		clear_bit(TCPSEAL_SA_NEWS, &sa->bits);
		if (sa->state != TCPSEAL_SA_STATE_TOMBSTONE)
			sa_news(sa);
		tcpseal_sa_put(sa);
	}
}

static int sa_check(const struct tcpseal_sa *sa,
		    const struct tcpseal_sa_req *req,
		    struct netlink_ext_ack *extack)
{
	const struct tcpseal_link *link = pair_link(sa->pair);
	bool manual = sa->flags & TCPSEAL_SA_FLAG_MANUAL;

	if (!link || link->mode == TCPSEAL_MODE_CLEAR) {
		NL_SET_ERR_MSG(extack, "no link wants keys for this pair");
		return -EINVAL;
	}
	if (manual != !!(link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)) {
		tcpseal_nl_err(extack, "the link %s keys manual",
			       manual ? "does not say" : "says");
		return -EPERM;
	}
	if (!manual && !req->has_modes) {
		NL_SET_ERR_MSG(extack,
			       "negotiated keys need the modes of both ends");
		return -EINVAL;
	}
	if (manual && sa->flags & TCPSEAL_SA_FLAG_PENDING) {
		NL_SET_ERR_MSG(extack, "manual keys are never pending");
		return -EINVAL;
	}
	if (sa->dir == TCPSEAL_DIR_IN && sa->flags & TCPSEAL_SA_FLAG_PENDING) {
		NL_SET_ERR_MSG(extack, "only sending SAs are pending");
		return -EINVAL;
	}
	if (!is_power_of_2(sa->lanes) || sa->lanes > TCPSEAL_LANES_MAX) {
		NL_SET_ERR_MSG(extack,
			       "the number of lanes must be a power of two");
		return -EINVAL;
	}
	if ((sa->hard_bytes && sa->soft_bytes > sa->hard_bytes) ||
	    (sa->hard_at && sa->soft_at > sa->hard_at)) {
		NL_SET_ERR_MSG(extack,
			       "a soft limit lies behind the hard one");
		return -EINVAL;
	}
	if (req->secret_len !=
	    (sa->aead == TCPSEAL_AEAD_AES128_GCM ? 16 : 32)) {
		NL_SET_ERR_MSG(extack,
			       "the key does not have the length of the AEAD");
		return -EINVAL;
	}
	return 0;
}

static int sa_setup_lanes(struct tcpseal_sa *sa)
{
	bool manual = sa->flags & TCPSEAL_SA_FLAG_MANUAL;
	unsigned int i;

	if (sa->dir == TCPSEAL_DIR_IN) {
		sa->rx = kvcalloc(sa->lanes, sizeof(*sa->rx),
				  GFP_KERNEL_ACCOUNT);
		for (i = 0; sa->rx && i < sa->lanes; i++)
			tcpseal_rx_lane_init(&sa->rx[i]);
		return sa->rx ? 0 : -ENOMEM;
	}
	sa->tx = kvcalloc(sa->lanes, sizeof(*sa->tx), GFP_KERNEL_ACCOUNT);
	for (i = 0; sa->tx && i < sa->lanes; i++)
		tcpseal_tx_lane_init(&sa->tx[i], manual ?
				     get_random_u64() & COUNTER_RANDOM : 0);
	return sa->tx ? 0 : -ENOMEM;
}

/* Ciphers, counters: everything that may fail or sleep. */
static int sa_setup(struct tcpseal_sa *sa, const struct tcpseal_sa_req *req,
		    struct netlink_ext_ack *extack)
{
	struct tcpseal_key *key;
	int err;

	err = sa_setup_lanes(sa);
	if (err) {
		NL_SET_ERR_MSG(extack, "no memory for the lanes");
		return err;
	}
	key = tcpseal_key_alloc(sa->aead, sa->tn->conf.aead_driver,
				req->secret, req->secret_len, req->iv, extack);
	if (IS_ERR(key))
		return PTR_ERR(key);
	sa->key = key;
	err = tcpseal_key_once(sa->tn->net, req->secret, req->secret_len);
	if (err == -EKEYREJECTED)
		NL_SET_ERR_MSG(extack,
			       "this key was used before: its nonces would repeat");
	else if (err)
		NL_SET_ERR_MSG(extack, "no memory to remember the key");
	return err;
}

/* Of more than SAS_MAX the oldest that nobody needs goes. */
static void sa_make_room(struct tcpseal_pair *pair, enum tcpseal_dir dir)
{
	struct tcpseal_sa *sa, *victim = NULL;
	unsigned int n = 0;

	list_for_each_entry(sa, &pair->sas, pair_node) {
		if (sa->dir != dir || sa == pair_tx(pair))
			continue;
		n++;
		/* The list is in order of age; draining ones go first */
		if (sa->state == TCPSEAL_SA_STATE_CURRENT ||
		    (victim && (victim->state == TCPSEAL_SA_STATE_DRAINING ||
				sa->state != TCPSEAL_SA_STATE_DRAINING)))
			continue;
		victim = sa;
	}
	if (n > SAS_MAX && victim)
		tcpseal_sa_remove(victim,
				  victim->state == TCPSEAL_SA_STATE_DRAINING ?
				  TCPSEAL_REMOVE_DRAINED :
				  TCPSEAL_REMOVE_FORCED);
}

static bool rx_is_current(const struct tcpseal_pair *pair, u64 generation)
{
	const struct tcpseal_sa *sa;

	list_for_each_entry(sa, &pair->sas, pair_node)
		if (sa->dir == TCPSEAL_DIR_IN &&
		    sa->generation == generation &&
		    sa->state == TCPSEAL_SA_STATE_CURRENT)
			return true;
	return false;
}

static int sa_publish(struct tcpseal_sa *sa, struct netlink_ext_ack *extack)
{
	struct tcpseal_net *tn = sa->tn;
	int err;

	sa->id = atomic_inc_return(&last_id) ?: atomic_inc_return(&last_id);
	err = xa_insert(&tn->sa_ids, sa->id, sa, GFP_KERNEL_ACCOUNT);
	if (err) {
		NL_SET_ERR_MSG(extack, "no memory for the SA");
		return err;
	}
	sa->last_used = jiffies;
	if (sa->dir == TCPSEAL_DIR_IN)
		err = rhashtable_lookup_insert_fast(&tn->spis, &sa->node,
						    tcpseal_spi_params);
	if (err) {
		xa_erase(&tn->sa_ids, sa->id);
		NL_SET_ERR_MSG(extack, "no memory for the SA");
		return err;
	}
	list_add_tail(&sa->pair_node, &sa->pair->sas);
	if (sa->dir == TCPSEAL_DIR_IN)
		WRITE_ONCE(sa->pair->nr_rx, sa->pair->nr_rx + 1);
	atomic_inc(&tn->nr_sas);
	trace_tcpseal_sa(sa);
	return 0;
}

/**
 * tcpseal_sa_add() - install the key of one direction of one pair
 * @tn: namespace
 * @req: what sa-new says
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0, and @req->sa belongs to the
 * namespace; or a negative error, and it is still the caller's.
 */
int tcpseal_sa_add(struct tcpseal_net *tn, struct tcpseal_sa_req *req,
		   struct netlink_ext_ack *extack)
{
	struct tcpseal_sa *sa = req->sa;
	struct tcpseal_pair *pair;
	bool known;
	int err;

	lockdep_assert_held(&tn->lock);
	if (tcpseal_power_asleep()) {
		NL_SET_ERR_MSG(extack, "no keys while the machine suspends");
		return -EBUSY;
	}
	pair = tcpseal_pair_by_key(tn, &req->key, true, extack);
	if (!pair)
		return -ENOENT;
	tcpseal_pair_get(pair);
	sa->pair = pair;
	err = sa_check(sa, req, extack);
	if (err)
		return err;
	if (sa->dir == TCPSEAL_DIR_IN) {
		rcu_read_lock();
		known = tcpseal_sa_find(tn, sa->spi);
		rcu_read_unlock();
		/* Asked before the key counts as used */
		if (known) {
			NL_SET_ERR_MSG(extack,
				       "an SA, or the tombstone of one, has this SPI");
			return -EEXIST;
		}
	}
	if (sa->flags & TCPSEAL_SA_FLAG_MANUAL) {
		/* Nobody can ask the peer: who types keys wants them used */
		sa->mode_local = pair_link(pair)->mode;
		sa->mode_peer = TCPSEAL_MODE_REQUIRE;
	}
	err = sa_setup(sa, req, extack);
	if (err)
		return err;
	err = sa_publish(sa, extack);
	if (err)
		return err;
	tcpseal_pair_known(pair);
	sa_make_room(pair, sa->dir);
	if (sa->flags & TCPSEAL_SA_FLAG_PENDING &&
	    tcpseal_matrix(sa->mode_local, sa->mode_peer) == TCPSEAL_MAY_PLAIN)
		tcpseal_pair_yield(pair);
	if (sa->dir == TCPSEAL_DIR_OUT &&
	    (!(sa->flags & TCPSEAL_SA_FLAG_PENDING) ||
	     rx_is_current(pair, sa->generation)))
		tx_install(sa);
	tcpseal_net_pin(tn);
	return 0;
}

/* An event, and for a sending SA the wish for a successor. */
static void soft_limit(struct tcpseal_sa *sa, enum tcpseal_expire_why why)
{
	if (test_and_set_bit(TCPSEAL_SA_SOFT_SAID, &sa->bits))
		return;
	tcpseal_notify_expire(sa, why, false);
	if (pair_tx(sa->pair) != sa && why != TCPSEAL_EXPIRE_WHY_INTEGRITY)
		return;
	rcu_read_lock();
	tcpseal_pair_acquire(sa->pair, TCPSEAL_ACQUIRE_WHY_REKEY);
	rcu_read_unlock();
}

static void hard_limit(struct tcpseal_sa *sa, enum tcpseal_expire_why why)
{
	if (!test_and_set_bit(TCPSEAL_SA_HARD_SAID, &sa->bits))
		tcpseal_notify_expire(sa, why, true);
	tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
}

/*
 * Records that were late say nothing of what the peer does now: who took them
 * for a sign that it still sends with this key would let go of the next one in
 * the first pause.
 */
static void drain_end(struct tcpseal_sa *sa)
{
	unsigned long last = READ_ONCE(sa->last_used);

	if (time_before(jiffies, sa->drain_until))
		return;
	/* The peer still sends with it: a stray record had misled us */
	if (time_after_eq(last, sa->late_until))
		rx_make_current(sa);
	else if (time_after_eq(jiffies, last + DRAIN_TIME))
		tcpseal_sa_remove(sa, TCPSEAL_REMOVE_DRAINED);
}

static void sa_gc(struct tcpseal_sa *sa, u64 now)
{
	struct tcpseal_sa_volume sum;

	if (sa->state == TCPSEAL_SA_STATE_TOMBSTONE) {
		if (now >= sa->tombstone_until)
			tombstone_end(sa);
		return;
	}
	if (sa->hard_at && now >= sa->hard_at) {
		hard_limit(sa, TCPSEAL_EXPIRE_WHY_TIME);
		return;
	}
	if (sa->soft_at && now >= sa->soft_at)
		soft_limit(sa, TCPSEAL_EXPIRE_WHY_TIME);
	if (sa->dir == TCPSEAL_DIR_OUT && (sa->soft_bytes || sa->hard_bytes)) {
		tcpseal_sa_volume(sa, &sum);
		if (sa->soft_bytes && sum.bytes >= sa->soft_bytes)
			soft_limit(sa, TCPSEAL_EXPIRE_WHY_VOLUME);
		if (sa->hard_bytes && sum.bytes >= sa->hard_bytes) {
			set_bit(TCPSEAL_SA_OVER, &sa->bits);
			hard_limit(sa, TCPSEAL_EXPIRE_WHY_VOLUME);
			return;
		}
	}
	if ((u64)atomic64_read(&sa->tag_failures) >= INTEGRITY_LIMIT)
		soft_limit(sa, TCPSEAL_EXPIRE_WHY_INTEGRITY);
	if (sa->idle_secs &&
	    time_after(jiffies, READ_ONCE(sa->last_used) +
				(unsigned long)sa->idle_secs * HZ))
		hard_limit(sa, TCPSEAL_EXPIRE_WHY_IDLE);
	else if (sa->state == TCPSEAL_SA_STATE_DRAINING)
		drain_end(sa);
}

bool tcpseal_sa_gc(struct tcpseal_net *tn, bool used[2])
{
	unsigned int left = tcpseal_gc_share(atomic_read(&tn->nr_sas) +
					     atomic_read(&tn->nr_tombstones));
	u64 now = ktime_get_boottime_ns();
	bool whole = !tn->gc_sa;
	struct tcpseal_sa *sa;
	unsigned long id;

	lockdep_assert_held(&tn->lock);
	xa_for_each_start(&tn->sa_ids, id, sa, tn->gc_sa) {
		if (!left--)
			break;
		used[sa->pair->key.family == AF_INET6] = true;
		sa_gc(sa, now);
		cond_resched();
	}
	tn->gc_sa = sa ? id : 0;
	/* A part of them says nothing of the others */
	if (sa || !whole) {
		used[0] = true;
		used[1] = true;
	}
	return used[0] || used[1];
}

/**
 * tcpseal_sa_flush() - remove all live SAs that have all of some flags
 * @tn: namespace
 * @flags: TCPSEAL_SA_FLAG_*, or 0 for all SAs
 *
 * Context: process; takes tn->lock.
 */
void tcpseal_sa_flush(struct tcpseal_net *tn, u32 flags)
{
	struct tcpseal_sa *sa;
	unsigned long id;

	mutex_lock(&tn->lock);
	xa_for_each(&tn->sa_ids, id, sa) {
		cond_resched();
		if (sa->state != TCPSEAL_SA_STATE_TOMBSTONE &&
		    (sa->flags & flags) == flags)
			tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
	}
	mutex_unlock(&tn->lock);
}

/*
 * The namespace goes: hooks are gone, no request to the crypto API is left.
 * Called twice, and all work is waited for in between: the first time live
 * SAs become tombstones, the second time tombstones end.
 */
void tcpseal_sa_purge(struct tcpseal_net *tn)
{
	struct tcpseal_sa *sa;
	unsigned long id;

	mutex_lock(&tn->lock);
	tcpseal_sa_news(tn);
	xa_for_each(&tn->sa_ids, id, sa) {
		if (sa->state != TCPSEAL_SA_STATE_TOMBSTONE)
			tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
		else
			tombstone_end(sa);
	}
	mutex_unlock(&tn->lock);
}

int tcpseal_sa_init(struct tcpseal_net *tn)
{
	INIT_LIST_HEAD(&tn->tombstones);
	init_llist_head(&tn->opened);
	xa_init(&tn->sa_ids);
	return rhashtable_init(&tn->spis, &tcpseal_spi_params);
}

void tcpseal_sa_exit(struct tcpseal_net *tn)
{
	WARN_ON(!xa_empty(&tn->sa_ids));
	xa_destroy(&tn->sa_ids);
	rhashtable_destroy(&tn->spis);
}
