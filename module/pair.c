// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pairs: who must be sealed with whom, and what is known of the peer.
 *
 * Pairs are made by softirqs, under tn->pair_lock, and unmade by gc and by
 * changes of links, under tn->lock. The hash table and the table by id hold
 * one reference together, every SA one, held segments one each. Readers use
 * RCU and take none.
 */
#include <linux/jhash.h>

#include "abort.h"
#include "hold.h"
#include "netlink.h"
#include "pair.h"
#include "sa.h"
#include "stats.h"

/* Idle without a key: forgotten after this long */
#define PAIR_IDLE		(600 * HZ)
/* Of segments that anybody could have made: so many at once, so long each */
#define STRANGERS_MAX		4096
#define STRANGER_TIME		(30 * HZ)
/* An event may get lost: it is repeated so often while the key is missing */
#define ACQUIRE_REPEAT		(1 * HZ)
#define ACQUIRE_REPEAT_PLAIN	(10 * HZ)
/* The daemon's deadline for a handshake */
#define HANDSHAKE		(6 * HZ)
/* Sealing so long without an answer: has the peer lost its keys? */
#define UNANSWERED		(10 * HZ)
#define UNANSWERED_SPAN		(5 * HZ)

/*
 * Explicit fields: an IPv4 address leaves twelve bytes of its union undefined
 * in what callers pass.
 */
static u32 pair_hash(const void *data, u32 len, u32 seed)
{
	const struct tcpseal_addrs *a = data;

	if (a->family == AF_INET)
		return jhash_3words((__force u32)a->local.ip,
				    (__force u32)a->remote.ip, AF_INET, seed);
	seed = jhash2((__force u32 *)a->local.ip6, 4, seed);
	return jhash2((__force u32 *)a->remote.ip6, 4, seed);
}

static u32 pair_obj_hash(const void *data, u32 len, u32 seed)
{
	const struct tcpseal_pair *pair = data;

	return pair_hash(&pair->key, len, seed);
}

static int pair_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	const struct tcpseal_pair *pair = obj;

	return !tcpseal_addrs_equal(arg->key, &pair->key);
}

static const struct rhashtable_params pair_params = {
	.head_offset		= offsetof(struct tcpseal_pair, node),
	.key_len		= sizeof(struct tcpseal_addrs),
	.hashfn			= pair_hash,
	.obj_hashfn		= pair_obj_hash,
	.obj_cmpfn		= pair_cmp,
	.automatic_shrinking	= true,
};

static struct tcpseal_pair *pair_lookup(struct tcpseal_net *tn,
					const struct tcpseal_addrs *key)
{
	return rhashtable_lookup(&tn->pairs, key, pair_params);
}

struct tcpseal_pair *tcpseal_pair_find(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       const struct tcpseal_link *link)
{
	struct tcpseal_addrs key;

	if (!link || (!link->has_via &&
		      !(link->flags & TCPSEAL_LINK_FLAG_FORWARD)))
		return pair_lookup(tn, a);
	tcpseal_link_derive(link, a, &key);
	return pair_lookup(tn, &key);
}

static void pair_key_copy(struct tcpseal_addrs *to,
			  const struct tcpseal_addrs *from)
{
	memset(to, 0, sizeof(*to));
	to->family = from->family;
	memcpy(&to->local, &from->local, tcpseal_addr_len(from->family));
	memcpy(&to->remote, &from->remote, tcpseal_addr_len(from->family));
}

/* Publish a pair under @key. tn->pair_lock. */
static struct tcpseal_pair *pair_new(struct tcpseal_net *tn,
				     const struct tcpseal_addrs *key,
				     struct tcpseal_link *link,
				     unsigned long bits)
{
	struct tcpseal_pair *pair;

	if (READ_ONCE(tn->dying))
		return NULL;
	if (atomic_read(&tn->nr_pairs) >= READ_ONCE(tn->conf.max_pairs)) {
		net_warn_ratelimited("too many pairs, see max-pairs\n");
		return NULL;
	}
	pair = kzalloc(sizeof(*pair), GFP_ATOMIC | __GFP_NOWARN);
	if (!pair)
		return NULL;
	pair_key_copy(&pair->key, key);
	pair->tn = tn;
	refcount_set(&pair->ref, 1);
	pair->bits = bits;
	RCU_INIT_POINTER(pair->link, link);
	INIT_LIST_HEAD(&pair->sas);
	pair->last_used = jiffies;
	pair->next_acquire = jiffies;
	pair->last_opened = jiffies;
	pair->plain_at = get_jiffies_64();
	pair->demand = READ_ONCE(link->pair_mode) == TCPSEAL_MODE_REQUIRE ?
		       TCPSEAL_MUST_SEAL : TCPSEAL_MAY_PLAIN;
	tcpseal_hold_pair_init(pair);
	/* Reserved first: a walk by id must never meet one that fails yet */
	if (xa_alloc_cyclic(&tn->pair_ids, &pair->id, NULL, xa_limit_32b,
			    &tn->next_pair, GFP_ATOMIC | __GFP_NOWARN) < 0)
		goto free_pair;
	if (rhashtable_insert_fast(&tn->pairs, &pair->node, pair_params))
		goto release_id;
	xa_store(&tn->pair_ids, pair->id, pair, GFP_ATOMIC);
	atomic_inc(&tn->nr_pairs);
	if (bits & BIT(TCPSEAL_PAIR_STRANGER))
		atomic_inc(&tn->nr_strangers);
	return pair;

release_id:
	xa_erase(&tn->pair_ids, pair->id);
free_pair:
	kfree(pair);
	return NULL;
}

static struct tcpseal_pair *pair_make(struct tcpseal_net *tn,
				      const struct tcpseal_addrs *a,
				      struct tcpseal_link *link,
				      unsigned long bits)
{
	struct tcpseal_pair *pair = tcpseal_pair_find(tn, a, link);
	struct tcpseal_addrs key;

	if (pair)
		return pair;
	spin_lock(&tn->pair_lock);
	/* Once more: see links_changed() */
	link = tcpseal_link_lookup(tn, a);
	if (link && link->mode != TCPSEAL_MODE_CLEAR) {
		tcpseal_link_derive(link, a, &key);
		pair = pair_lookup(tn, &key);
		if (!pair)
			pair = pair_new(tn, &key, link, bits);
	}
	spin_unlock(&tn->pair_lock);
	if (pair && !delayed_work_pending(&tn->gc))
		tcpseal_net_kick(tn);
	return pair;
}

/**
 * tcpseal_pair_make() - find or make the pair that keys a segment
 * @tn: namespace
 * @a: addresses of the segment
 * @link: what tcpseal_link_lookup() said
 *
 * Context: BH off, RCU. Return: the pair without a reference; NULL when there
 * are too many, without memory, or when the link went away just now.
 */
struct tcpseal_pair *tcpseal_pair_make(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       struct tcpseal_link *link)
{
	return pair_make(tn, a, link, 0);
}

/**
 * tcpseal_pair_meet() - find or make the pair of who has proved nothing
 * @tn: namespace
 * @a: addresses of a segment, which may be forged
 * @link: what tcpseal_link_lookup() said
 *
 * Without a bound a few hundred thousand forged segments would take all pairs
 * of the namespace, and the peers that somebody here wants to reach get none.
 *
 * Context: BH off, RCU. Return: as tcpseal_pair_make(), and NULL when there
 * are too many of these.
 */
struct tcpseal_pair *tcpseal_pair_meet(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       struct tcpseal_link *link)
{
	if (atomic_read(&tn->nr_strangers) >= STRANGERS_MAX)
		return NULL;
	return pair_make(tn, a, link, BIT(TCPSEAL_PAIR_STRANGER));
}

void tcpseal_pair_known(struct tcpseal_pair *pair)
{
	if (test_bit(TCPSEAL_PAIR_STRANGER, &pair->bits) &&
	    test_and_clear_bit(TCPSEAL_PAIR_STRANGER, &pair->bits))
		atomic_dec(&pair->tn->nr_strangers);
}

struct tcpseal_pair *tcpseal_pair_by_key(struct tcpseal_net *tn,
					 const struct tcpseal_addrs *key,
					 bool make,
					 struct netlink_ext_ack *extack)
{
	struct tcpseal_link *link;
	struct tcpseal_pair *pair;

	lockdep_assert_held(&tn->lock);
	rcu_read_lock();
	pair = pair_lookup(tn, key);
	rcu_read_unlock();
	if (pair)
		return pair;
	if (!make) {
		NL_SET_ERR_MSG(extack, "no such pair");
		return NULL;
	}
	link = tcpseal_link_for_key(tcpseal_policy(tn), key, NULL, NULL,
				    NULL);
	if (!link) {
		NL_SET_ERR_MSG(extack,
			       "no link other than clear ones keys with this pair");
		return NULL;
	}
	spin_lock_bh(&tn->pair_lock);
	rcu_read_lock();
	pair = pair_lookup(tn, key);
	if (!pair)
		pair = pair_new(tn, key, link, 0);
	rcu_read_unlock();
	spin_unlock_bh(&tn->pair_lock);
	if (!pair)
		NL_SET_ERR_MSG(extack, "too many pairs, or no memory");
	else if (!delayed_work_pending(&tn->gc))
		tcpseal_net_kick(tn);
	return pair;
}

static void pair_free_rcu(struct rcu_head *rcu)
{
	struct tcpseal_pair *pair =
		container_of(rcu, struct tcpseal_pair, rcu);

	kfree(pair->identity);
	kfree(pair->reason);
	kfree(pair);
}

void tcpseal_pair_get(struct tcpseal_pair *pair)
{
	refcount_inc(&pair->ref);
}

void tcpseal_pair_put(struct tcpseal_pair *pair)
{
	if (refcount_dec_and_test(&pair->ref))
		call_rcu(&pair->rcu, pair_free_rcu);
}

/*
 * Take a pair out of the tables. Who may still hold it afterwards: readers
 * under RCU (the memory outlives them), SAs and tombstones (a reference each),
 * held segments and requests to the crypto API (through the SA, or one of
 * their own).
 */
static void pair_unlink(struct tcpseal_pair *pair)
{
	struct tcpseal_net *tn = pair->tn;

	lockdep_assert_held(&tn->lock);
	if (test_and_set_bit(TCPSEAL_PAIR_DEAD, &pair->bits))
		return;
	spin_lock_bh(&tn->pair_lock);
	rhashtable_remove_fast(&tn->pairs, &pair->node, pair_params);
	xa_erase(&tn->pair_ids, pair->id);
	spin_unlock_bh(&tn->pair_lock);
	atomic_dec(&tn->nr_pairs);
	tcpseal_pair_known(pair);
	RCU_INIT_POINTER(pair->link, NULL);
	tcpseal_pair_put(pair);
}

/**
 * tcpseal_matrix() - what two modes make of a pair
 * @local: mode of this end
 * @peer: mode of the other one
 *
 * Return: the cell of the table in the documentation.
 */
enum tcpseal_demand tcpseal_matrix(enum tcpseal_mode local,
				   enum tcpseal_mode peer)
{
	switch (local) {
	case TCPSEAL_MODE_REQUIRE:
		return peer >= TCPSEAL_MODE_AUDIT ? TCPSEAL_MUST_SEAL :
						    TCPSEAL_MUST_BLOCK;
	case TCPSEAL_MODE_PREFER:
		return peer >= TCPSEAL_MODE_PREFER ? TCPSEAL_MUST_SEAL :
						     TCPSEAL_MAY_PLAIN;
	case TCPSEAL_MODE_AUDIT:
		return peer == TCPSEAL_MODE_REQUIRE ? TCPSEAL_MUST_SEAL :
						      TCPSEAL_MAY_PLAIN;
	default:
		return TCPSEAL_MAY_PLAIN;
	}
}

static struct tcpseal_link *pair_link(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->link,
					 lockdep_is_held(&pair->tn->lock));
}

static struct tcpseal_sa *pair_tx(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->tx,
					 lockdep_is_held(&pair->tn->lock));
}

static enum tcpseal_demand pair_demand(const struct tcpseal_pair *pair)
{
	const struct tcpseal_link *link = pair_link(pair);
	bool sealed = pair->agreed ||
		      test_bit(TCPSEAL_PAIR_STICKY, &pair->bits);

	if (!link)
		return TCPSEAL_MAY_PLAIN;
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		sealed = pair_tx(pair) ? link->pair_mode >= TCPSEAL_MODE_PREFER :
			 test_bit(TCPSEAL_PAIR_STICKY, &pair->bits);
	if (link->pair_mode == TCPSEAL_MODE_REQUIRE)
		sealed = true;
	if (!sealed)
		return TCPSEAL_MAY_PLAIN;
	return pair->refused && !pair_tx(pair) ? TCPSEAL_MUST_BLOCK :
						 TCPSEAL_MUST_SEAL;
}

void tcpseal_pair_update(struct tcpseal_pair *pair)
{
	enum tcpseal_demand old = pair->demand, demand;

	lockdep_assert_held(&pair->tn->lock);
	if (pair->tn->dying)
		return;
	demand = pair_demand(pair);
	WRITE_ONCE(pair->demand, demand);
	if (old == TCPSEAL_MAY_PLAIN && demand != TCPSEAL_MAY_PLAIN)
		WRITE_ONCE(pair->plain_at, get_jiffies_64());
	switch (demand) {
	case TCPSEAL_MUST_BLOCK:
		if (old == TCPSEAL_MUST_BLOCK)
			return;
		/* Connections end by an error, they never just stall */
		tcpseal_hold_fail(pair, TCPSEAL_DROP_BLOCKED, EHOSTUNREACH);
		tcpseal_abort_pair(pair->tn, pair, EHOSTUNREACH, false);
		tcpseal_notify_pair(pair, TCPSEAL_PAIR_STATE_BLOCKED);
		return;
	case TCPSEAL_MUST_SEAL:
		/* What failed while it did not matter is asked again now */
		if (old == TCPSEAL_MAY_PLAIN && !pair_tx(pair)) {
			WRITE_ONCE(pair->backoff_until, 0);
			WRITE_ONCE(pair->next_acquire, jiffies);
		}
		if (old == TCPSEAL_MAY_PLAIN &&
		    pair_link(pair)->flags & TCPSEAL_LINK_FLAG_OLD_RESET)
			tcpseal_old_reset(pair->tn,
					  tcpseal_abort_pair(pair->tn, pair,
							     ECONNRESET,
							     false));
		if (pair_tx(pair))
			tcpseal_hold_release(pair);
		return;
	case TCPSEAL_MAY_PLAIN:
		if (old != TCPSEAL_MAY_PLAIN)
			tcpseal_hold_release(pair);
		return;
	}
}

/*
 * Until the first opened record the peer may not even have its key: it is
 * told by that very record. After it, only what was in flight is let in. The
 * other way round, the peer may send in plain as soon as it knows that both
 * modes allow it, which is before this end hears of that: while a handshake
 * runs that said so, even if another one ends later.
 */
bool tcpseal_pair_grace(const struct tcpseal_pair *pair)
{
	const struct tcpseal_link *link = rcu_dereference(pair->link);
	u64 end;

	if (!link || READ_ONCE(link->pair_mode) == TCPSEAL_MODE_REQUIRE)
		return false;
	if (time_before64(get_jiffies_64(), READ_ONCE(pair->yields_until)))
		return true;
	if (!READ_ONCE(pair->agreed))
		return false;
	if (!test_bit(TCPSEAL_PAIR_OPENED, &pair->bits))
		return !test_bit(TCPSEAL_PAIR_STICKY, &pair->bits);
	end = READ_ONCE(pair->agreed_at) +
	      msecs_to_jiffies(READ_ONCE(pair->tn->conf.grace_msecs));
	return time_before64(get_jiffies_64(), end);
}

void tcpseal_pair_yield(struct tcpseal_pair *pair)
{
	lockdep_assert_held(&pair->tn->lock);
	WRITE_ONCE(pair->yields_until, get_jiffies_64() + HANDSHAKE);
}

bool tcpseal_pair_acquire(struct tcpseal_pair *pair,
			  enum tcpseal_acquire_why why)
{
	const struct tcpseal_link *link = rcu_dereference(pair->link);
	unsigned long now = jiffies, next = READ_ONCE(pair->next_acquire);
	unsigned long backoff = READ_ONCE(pair->backoff_until);
	bool plain = READ_ONCE(pair->demand) == TCPSEAL_MAY_PLAIN;

	if (!link)
		return false;
	if (why != TCPSEAL_ACQUIRE_WHY_STATE_LOSS)
		tcpseal_pair_known(pair);
	/* nobody to ask; a key may still be typed in time */
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		return true;
	if (backoff && time_before(now, backoff) &&
	    why != TCPSEAL_ACQUIRE_WHY_OPERATOR &&
	    why != TCPSEAL_ACQUIRE_WHY_STATE_LOSS)
		return false;
	if (test_bit(TCPSEAL_PAIR_WANT, &pair->bits) &&
	    time_before(now, next))
		return true;
	/* Of several CPUs one sends the event */
	if (cmpxchg(&pair->next_acquire, next, now +
		    (plain ? ACQUIRE_REPEAT_PLAIN : ACQUIRE_REPEAT)) != next)
		return true;
	if (!test_and_set_bit(TCPSEAL_PAIR_WANT, &pair->bits))
		WRITE_ONCE(pair->why, why);
	tcpseal_notify_acquire(pair, why, 0);
	return true;
}

void tcpseal_pair_agree(struct tcpseal_pair *pair, u8 local, u8 peer)
{
	enum tcpseal_demand demand = tcpseal_matrix(local, peer);

	lockdep_assert_held(&pair->tn->lock);
	pair->peer_mode = peer;
	pair->peer_mode_known = true;
	pair->refused = demand == TCPSEAL_MUST_BLOCK;
	if (demand == TCPSEAL_MUST_SEAL && !pair->agreed) {
		clear_bit(TCPSEAL_PAIR_OPENED, &pair->bits);
		WRITE_ONCE(pair->agreed_at, get_jiffies_64());
		WRITE_ONCE(pair->agreed, true);
		tcpseal_notify_pair(pair, TCPSEAL_PAIR_STATE_SEALED);
	} else if (demand == TCPSEAL_MAY_PLAIN) {
		/* The peer released the pair, and proved that it is the peer */
		WRITE_ONCE(pair->agreed, false);
		tcpseal_pair_release(pair);
	}
	clear_bit(TCPSEAL_PAIR_WANT, &pair->bits);
	WRITE_ONCE(pair->backoff_until, 0);
	kfree(pair->reason);
	pair->reason = NULL;
}

/*
 * The peer proved who it is and said its mode. Where that and the mode of this
 * end agree on less, sticky memory has nothing left to guard.
 */
static void pair_agree_less(struct tcpseal_pair *pair,
			    const struct tcpseal_link *link)
{
	if (tcpseal_matrix(link ? link->pair_mode : TCPSEAL_MODE_NONE,
			   pair->peer_mode) == TCPSEAL_MAY_PLAIN)
		tcpseal_pair_release(pair);
}

/* Nobody opens at the other end any more. */
static void pair_drop_tx(struct tcpseal_pair *pair)
{
	struct tcpseal_sa *sa, *next;

	list_for_each_entry_safe(sa, next, &pair->sas, pair_node)
		if (sa->dir == TCPSEAL_DIR_OUT)
			tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
}

void tcpseal_pair_set_peer(struct tcpseal_pair *pair, u8 mode)
{
	lockdep_assert_held(&pair->tn->lock);
	pair->peer_mode = mode;
	pair->peer_mode_known = true;
	pair->refused = mode <= TCPSEAL_MODE_CLEAR;
	/* A yes needs a handshake, a no is a no */
	if (pair->refused) {
		WRITE_ONCE(pair->agreed, false);
		pair_drop_tx(pair);
	}
	pair_agree_less(pair, pair_link(pair));
	tcpseal_pair_update(pair);
}

void tcpseal_pair_set_sticky(struct tcpseal_pair *pair, u64 since)
{
	lockdep_assert_held(&pair->tn->lock);
	if (test_and_set_bit(TCPSEAL_PAIR_STICKY, &pair->bits))
		return;
	pair->sticky_since = since;
	tcpseal_notify_pair(pair, tcpseal_pair_state(pair));
}

void tcpseal_pair_release(struct tcpseal_pair *pair)
{
	lockdep_assert_held(&pair->tn->lock);
	if (!pair_tx(pair)) {
		WRITE_ONCE(pair->agreed, false);
		pair->refused = false;
	}
	if (!test_and_clear_bit(TCPSEAL_PAIR_STICKY, &pair->bits))
		return;
	pair->sticky_since = 0;
	kfree(pair->identity);
	pair->identity = NULL;
	tcpseal_notify_pair(pair, tcpseal_pair_state(pair));
}

void tcpseal_pair_backoff(struct tcpseal_pair *pair, u32 secs, bool refused)
{
	unsigned long until = jiffies + secs * HZ;

	lockdep_assert_held(&pair->tn->lock);
	clear_bit(TCPSEAL_PAIR_WANT, &pair->bits);
	/*
	 * "No link" comes without proof. It retires a key only together with a
	 * peer that has answered nothing that was sealed for it.
	 */
	if (refused && pair_tx(pair)) {
		if (!test_bit(TCPSEAL_PAIR_UNANSWERED, &pair->bits))
			return;
		pair_drop_tx(pair);
	}
	/* 0 means none */
	WRITE_ONCE(pair->backoff_until, secs ? until ?: 1 : 0);
	if (!secs || pair->demand == TCPSEAL_MAY_PLAIN)
		return;
	if (pair_tx(pair))
		return;
	tcpseal_hold_fail(pair, TCPSEAL_DROP_NO_KEY, EHOSTUNREACH);
	tcpseal_abort_pair(pair->tn, pair, EHOSTUNREACH, !refused);
}

enum tcpseal_pair_state tcpseal_pair_state(const struct tcpseal_pair *pair)
{
	unsigned long backoff = pair->backoff_until;

	switch (pair->demand) {
	case TCPSEAL_MUST_SEAL:
		if (rcu_access_pointer(pair->tx))
			return TCPSEAL_PAIR_STATE_SEALED;
		if (backoff && time_before(jiffies, backoff))
			return TCPSEAL_PAIR_STATE_BLOCKED;
		return TCPSEAL_PAIR_STATE_WAITING;
	case TCPSEAL_MUST_BLOCK:
		return TCPSEAL_PAIR_STATE_BLOCKED;
	default:
		return TCPSEAL_PAIR_STATE_PLAIN;
	}
}

bool tcpseal_pair_live(const struct tcpseal_pair *pair)
{
	lockdep_assert_held(&pair->tn->lock);
	return !list_empty(&pair->sas);
}

static void pair_drop_sas(struct tcpseal_pair *pair)
{
	struct tcpseal_sa *sa, *next;

	list_for_each_entry_safe(sa, next, &pair->sas, pair_node)
		tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
}

void tcpseal_pair_relink(struct tcpseal_pair *pair, struct tcpseal_link *link)
{
	lockdep_assert_held(&pair->tn->lock);
	/* The peer's no still stands, this end may insist no more */
	if (pair->refused)
		pair_agree_less(pair, link);
	if (!link) {
		/* drain_pairs() saw to it that nobody depends on these any more */
		pair_drop_sas(pair);
		WRITE_ONCE(pair->agreed, false);
		pair->refused = false;
	}
	rcu_assign_pointer(pair->link, link);
	tcpseal_pair_update(pair);
	if (!link && !test_bit(TCPSEAL_PAIR_STICKY, &pair->bits))
		pair_unlink(pair);
}

/*
 * The peer does not answer what is sealed for it: does it still have the keys?
 * The very last segment of a connection is never answered, so only sealing
 * that goes on without an answer counts. Looked at once a second from times
 * that the data path writes anyway.
 */
static bool pair_unanswered(struct tcpseal_pair *pair)
{
	const struct tcpseal_sa *tx = pair_tx(pair);
	unsigned long sealed, since = pair->last_unanswered;

	if (!tx)
		return false;
	sealed = READ_ONCE(tx->last_used);
	if (!time_after(sealed, READ_ONCE(pair->last_opened))) {
		pair->last_unanswered = 0;
		clear_bit(TCPSEAL_PAIR_UNANSWERED, &pair->bits);
		return false;
	}
	if (!since) {
		pair->last_unanswered = jiffies ?: 1;
		return false;
	}
	return time_after(jiffies, since + UNANSWERED) &&
	       time_after(sealed, since + UNANSWERED_SPAN);
}

/* The data path counts anyway; it need not write the time, too. */
static void pair_look_used(struct tcpseal_pair *pair)
{
	u64 seen = atomic64_read(&pair->plain_out) +
		   atomic64_read(&pair->plain_in) +
		   atomic64_read(&pair->dropped);

	if (seen == pair->gc_seen)
		return;
	pair->gc_seen = seen;
	WRITE_ONCE(pair->last_used, jiffies);
}

/* A stranger's counts from when it was made, however much is forged meanwhile */
static bool pair_outlived(const struct tcpseal_pair *pair)
{
	if (test_bit(TCPSEAL_PAIR_STRANGER, &pair->bits))
		return time_after(jiffies, READ_ONCE(pair->last_opened) +
					   STRANGER_TIME);
	return time_after_eq(jiffies, READ_ONCE(pair->last_used) + PAIR_IDLE);
}

static void pair_gc(struct tcpseal_pair *pair)
{
	pair_look_used(pair);
	if (pair_unanswered(pair)) {
		pair->last_unanswered = 0;
		set_bit(TCPSEAL_PAIR_UNANSWERED, &pair->bits);
		rcu_read_lock();
		tcpseal_pair_acquire(pair, TCPSEAL_ACQUIRE_WHY_STATE_LOSS);
		rcu_read_unlock();
	}
	if (!list_empty(&pair->sas) || READ_ONCE(pair->nr_held) ||
	    test_bit(TCPSEAL_PAIR_STICKY, &pair->bits) ||
	    !pair_outlived(pair))
		return;
	pair_unlink(pair);
}

void tcpseal_pair_gc(struct tcpseal_net *tn)
{
	unsigned int left = tcpseal_gc_share(atomic_read(&tn->nr_pairs));
	struct tcpseal_pair *pair;
	unsigned long id;

	lockdep_assert_held(&tn->lock);
	xa_for_each_start(&tn->pair_ids, id, pair, tn->gc_pair) {
		if (!left--)
			break;
		pair_gc(pair);
		cond_resched();
	}
	tn->gc_pair = pair ? id : 0;
}

int tcpseal_pair_init(struct tcpseal_net *tn)
{
	spin_lock_init(&tn->pair_lock);
	xa_init_flags(&tn->pair_ids, XA_FLAGS_ALLOC1 | XA_FLAGS_LOCK_BH);
	return rhashtable_init(&tn->pairs, &pair_params);
}

/* Hooks are gone; the SAs have been purged, and nothing is held. */
void tcpseal_pair_exit(struct tcpseal_net *tn)
{
	struct tcpseal_pair *pair;
	unsigned long id;

	mutex_lock(&tn->lock);
	xa_for_each(&tn->pair_ids, id, pair)
		pair_unlink(pair);
	mutex_unlock(&tn->lock);
	xa_destroy(&tn->pair_ids);
	rhashtable_destroy(&tn->pairs);
}
