/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A pair, (local address, remote address) in a namespace: the unit of keys, of
 * sticky memory, and of every answer to "is this sealed?".
 */
#ifndef TCPSEAL_PAIR_H
#define TCPSEAL_PAIR_H

#include "policy.h"

/* What the promise table says about a pair right now. */
enum tcpseal_demand {
	TCPSEAL_MAY_PLAIN,	/* plain; nothing wants a seal */
	TCPSEAL_MUST_SEAL,	/* sealed or nothing, tx may be NULL */
	TCPSEAL_MUST_BLOCK,	/* must be sealed, and the peer refuses */
};

/* pair->bits, atomic */
enum {
	TCPSEAL_PAIR_STICKY,
	TCPSEAL_PAIR_WANT,	/* an acquire event is due or out */
	TCPSEAL_PAIR_OPENED,	/* opened a record since sealing was agreed */
	TCPSEAL_PAIR_HEARD,	/* opened a record ever */
	TCPSEAL_PAIR_DEAD,	/* unlinked; a reader may still hold it */
	TCPSEAL_PAIR_DOOMED,	/* loses its keys by force just now */
	TCPSEAL_PAIR_UNANSWERED, /* sealing for long without opening; tn->lock */
	TCPSEAL_PAIR_STRANGER,	/* of a segment that anybody could have made */
};

struct tcpseal_pair {
	struct rhash_head	node;
	/* Local is all zero when the link forwards, remote is its gateway */
	struct tcpseal_addrs	key;
	u32			id;		/* in tn->pair_ids */
	struct tcpseal_net	*tn;
	refcount_t		ref;
	struct rcu_head		rcu;

	struct tcpseal_link __rcu *link;	/* NULL: link is gone */
	struct tcpseal_sa __rcu	*tx;		/* current sending SA */
	struct list_head	sas;		/* all SAs of it, tn->lock */
	unsigned long		bits;
	u8			demand;		/* READ_ONCE; pair_update() */
	u16			nr_rx;		/* live receiving SAs */
	u8			peer_mode;	/* enum tcpseal_mode */
	bool			peer_mode_known;
	bool			agreed;		/* last handshake: sealed */
	bool			refused;	/* last handshake: blocked */
	/* jiffies64 of the first opened record, or the agreement */
	u64			agreed_at;
	u64			yields_until;	/* jiffies64 */
	/* jiffies64: plaintext was let in, or might have been, until then */
	u64			plain_at;
	u64			sticky_since;	/* seconds since the Epoch */
	u64			last_sealed;
	unsigned long		backoff_until;	/* jiffies, 0 = none */
	unsigned long		next_acquire;	/* jiffies, rate limit */
	unsigned long		last_opened;	/* jiffies, or when made */
	/* jiffies: sealing without an answer since then, or 0; gc */
	unsigned long		last_unanswered;
	unsigned long		last_used;	/* jiffies, idle pairs go */
	u64			gc_seen;	/* traffic, as gc saw it */
	u32			why;		/* enum tcpseal_acquire_why */
	char			*identity;	/* tn->lock; or NULL */
	char			*reason;	/* tn->lock; or NULL */
	time64_t		reason_at;	/* boottime seconds */

	atomic64_t		plain_out, plain_out_bytes;
	atomic64_t		plain_in, plain_in_bytes;
	atomic64_t		held, dropped;
	/* of SAs that are gone; live ones are added when read */
	atomic64_t		old_sealed_records, old_sealed_bytes;
	atomic64_t		old_sealed_skbs;
	atomic64_t		old_opened_records, old_opened_bytes;
	atomic64_t		old_opened_skbs;

	/* hold.c */
	struct list_head	hold_list;	/* tn->hold->lock */
	u32			nr_held;
};

int tcpseal_pair_init(struct tcpseal_net *tn);
void tcpseal_pair_exit(struct tcpseal_net *tn);

/**
 * tcpseal_pair_find() - the pair that keys a segment
 * @tn: namespace
 * @a: addresses of the segment, as this host sees them
 * @link: most specific link, or NULL to look only for an exact pair
 *
 * Context: RCU. Return: the pair, or NULL. No reference is taken.
 */
struct tcpseal_pair *tcpseal_pair_find(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       const struct tcpseal_link *link);
/* Find or make it. BH off, RCU; NULL when full or without memory. */
struct tcpseal_pair *tcpseal_pair_make(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       struct tcpseal_link *link);
/* The same for who has proved nothing: a few only, and not for long. */
struct tcpseal_pair *tcpseal_pair_meet(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       struct tcpseal_link *link);
/* It is a stranger's no more. Any context. */
void tcpseal_pair_known(struct tcpseal_pair *pair);
void tcpseal_pair_get(struct tcpseal_pair *pair);
void tcpseal_pair_put(struct tcpseal_pair *pair);

/* What must happen to a segment of the pair now? RCU. */
static inline enum tcpseal_demand
tcpseal_pair_demand(const struct tcpseal_pair *pair)
{
	return READ_ONCE(pair->demand);
}

/* Has it a live receiving SA? */
static inline bool tcpseal_pair_has_rx(const struct tcpseal_pair *pair)
{
	return READ_ONCE(pair->nr_rx);
}

/* The mode matrix. Pure. */
enum tcpseal_demand tcpseal_matrix(enum tcpseal_mode local,
				   enum tcpseal_mode peer);
/*
 * May plaintext of a pair whose demand is MUST_SEAL come in just now (in
 * flight while it became sealed)? Never under require on this end.
 */
bool tcpseal_pair_grace(const struct tcpseal_pair *pair);
/* A handshake runs in which both modes agreed on plain. tn->lock. */
void tcpseal_pair_yield(struct tcpseal_pair *pair);
/*
 * Ask for a key: sets WANT, sends acquire-ntf unless one is out, in back-off,
 * or the link has manual keys. Softirq safe. Return: false while backing off
 * (the caller need not hold anything).
 */
bool tcpseal_pair_acquire(struct tcpseal_pair *pair,
			  enum tcpseal_acquire_why why);

/* All below: process context, tn->lock. */

/* Compute the demand again after whatever it depends on has changed. */
void tcpseal_pair_update(struct tcpseal_pair *pair);
/* A handshake says: these are the two modes. Starts or ends sealing. */
void tcpseal_pair_agree(struct tcpseal_pair *pair, u8 local, u8 peer);
/* The peer said its mode outside a handshake, or is known to have none. */
void tcpseal_pair_set_peer(struct tcpseal_pair *pair, u8 mode);
void tcpseal_pair_set_sticky(struct tcpseal_pair *pair, u64 since);
/* Release of the sticky memory by peer or operator. */
void tcpseal_pair_release(struct tcpseal_pair *pair);
/*
 * The last attempt failed: tell those who wait, ask again after @secs. Where
 * the peer said that it has no link, everybody who needs the key is told; a
 * key that the peer does not answer is given up.
 */
void tcpseal_pair_backoff(struct tcpseal_pair *pair, u32 secs, bool refused);
enum tcpseal_pair_state tcpseal_pair_state(const struct tcpseal_pair *pair);
/* The pair with exactly this key; made if @make and a link covers it. */
struct tcpseal_pair *tcpseal_pair_by_key(struct tcpseal_net *tn,
					 const struct tcpseal_addrs *key,
					 bool make,
					 struct netlink_ext_ack *extack);
/* Has it an SA that still seals or opens? */
bool tcpseal_pair_live(const struct tcpseal_pair *pair);
/* Point it to another link, or to none: then its keys go. */
void tcpseal_pair_relink(struct tcpseal_pair *pair, struct tcpseal_link *link);
/* Which are idle, or lost their peer? Called by gc every second. */
void tcpseal_pair_gc(struct tcpseal_net *tn);

#endif /* TCPSEAL_PAIR_H */
