/* SPDX-License-Identifier: GPL-2.0-only */
/* Security associations: one direction of one pair, one SPI, one key. */
#ifndef TCPSEAL_SA_H
#define TCPSEAL_SA_H

#include "key.h"
#include "lane.h"
#include "pair.h"

/* What the daemon told about the peer; only shown. Perhaps "", never NULL. */
struct tcpseal_sa_info {
	const char	*serial, *issuer, *name, *kex;	/* in @text */
	bool		has_fingerprint;
	u8		fingerprint[32];
	char		text[];
};

/* sa->bits */
enum {
	TCPSEAL_SA_SOFT_SAID,
	TCPSEAL_SA_HARD_SAID,
	TCPSEAL_SA_OVER,	/* hard limit of volume reached, by gc */
	TCPSEAL_SA_NEWS,	/* on tn->opened */
	TCPSEAL_SA_WIPED,	/* key and lanes are gone */
};

/*
 * struct tcpseal_sa - one key in use
 *
 * Receiving SAs are found by SPI under RCU, also as tombstones; sending ones
 * hang off their pair. @ref counts who may use @key and the lanes: one for
 * being live, one for each tcpseal_sa_get_live(). When it reaches zero the key
 * goes from a work item after a grace period; the memory of a receiving SA
 * stays until its tombstone ends, that of a sending one goes with the key.
 */
struct tcpseal_sa {
	struct rhash_head	node;		/* tn->spis, receiving only */
	/* pair->sas, or tn->tombstones; tn->lock */
	struct list_head	pair_node;
	struct llist_node	opened_node;	/* tn->opened */
	struct tcpseal_net	*tn;
	struct tcpseal_pair	*pair;		/* a reference */
	refcount_t		ref;
	struct rcu_work		free_work;
	struct rcu_head		rcu;
	unsigned long		bits;		/* TCPSEAL_SA_*, atomic */

	u32			id;
	__be32			spi;
	enum tcpseal_dir	dir;
	u32			state;		/* enum tcpseal_sa_state, READ_ONCE */
	u32			flags;		/* TCPSEAL_SA_FLAG_* */
	enum tcpseal_aead	aead;
	u8			lanes;		/* power of two */
	u64			generation;
	u8			mode_local, mode_peer;

	u64			soft_bytes, hard_bytes;	/* 0 = none */
	u64			soft_at, hard_at;	/* boottime ns, 0 = none */
	u64			born_at;		/* boottime ns */
	u64			tombstone_until;	/* boottime ns */
	u32			idle_secs;
	unsigned long		last_used;		/* jiffies */
	unsigned long		drain_until;		/* jiffies */
	unsigned long		late_until;		/* jiffies, of its records */
	atomic64_t		tag_failures;
	/* Jobs that complete later; the key goes after the last one */
	atomic_t		parked;
	struct tcpseal_sa_info	*info;		/* gone in a tombstone */

	/* NULL in a tombstone; readers check state under RCU */
	struct tcpseal_key	*key;
	union {
		struct tcpseal_tx_lane	*tx;
		struct tcpseal_rx_lane	*rx;
	};
};

int tcpseal_sa_init(struct tcpseal_net *tn);
void tcpseal_sa_exit(struct tcpseal_net *tn);

/* Receiving SA or tombstone by SPI (network order). RCU. */
struct tcpseal_sa *tcpseal_sa_find(struct tcpseal_net *tn, __be32 spi);
bool tcpseal_sa_get_live(struct tcpseal_sa *sa);	/* not zero */
void tcpseal_sa_put(struct tcpseal_sa *sa);	/* softirq safe */
/*
 * May the key of the SA speak for these addresses? The selectors are whatever
 * local configuration keys with the pair of the SA right now: the exact
 * addresses, or what the most specific link sends through its gateway. RCU.
 */
bool tcpseal_sa_covers(const struct tcpseal_sa *sa,
		       const struct tcpseal_addrs *a);
/*
 * May this sending SA seal @bytes more? Sends expire-ntf once on a soft limit
 * and once on a hard one. RCU, softirq safe.
 */
bool tcpseal_sa_may_seal(struct tcpseal_sa *sa, unsigned int bytes);
/* May this receiving SA still open (hard time)? A look, no event. */
bool tcpseal_sa_may_open(struct tcpseal_sa *sa);
/*
 * A record of this receiving SA was authentic: first one makes it current and
 * activates the pending sending SA of its generation. RCU, softirq; cheap when
 * there is nothing to do; the rest runs in tn->gc.
 */
void tcpseal_sa_opened(struct tcpseal_sa *sa);
/* A tag failed with a right checksum. */
void tcpseal_sa_tag_failed(struct tcpseal_sa *sa);

extern const struct rhashtable_params tcpseal_spi_params;

/* All below: process context, tn->lock. */

/* What sa-new says; the SA is filled in but for what this has. */
struct tcpseal_sa_req {
	struct tcpseal_sa	*sa;		/* not published yet */
	struct tcpseal_addrs	key;		/* of the pair */
	const u8		*secret;
	unsigned int		secret_len;
	const u8		*iv;
	bool			has_modes;
};

struct tcpseal_sa *tcpseal_sa_alloc(struct tcpseal_net *tn);
void tcpseal_sa_free(struct tcpseal_sa *sa);	/* never published */
/* Publish a new SA. Takes over @req->sa when it returns 0. */
int tcpseal_sa_add(struct tcpseal_net *tn, struct tcpseal_sa_req *req,
		   struct netlink_ext_ack *extack);

enum tcpseal_removal {
	TCPSEAL_REMOVE_FORCED,	/* the peer may go on sending with it */
	TCPSEAL_REMOVE_DRAINED,	/* the peer is known to have left it */
};

void tcpseal_sa_remove(struct tcpseal_sa *sa, enum tcpseal_removal how);
/* The pending sending SA of this generation becomes current. */
int tcpseal_sa_activate(struct tcpseal_pair *pair, u64 generation);
/* What opened records changed since the last call. */
void tcpseal_sa_news(struct tcpseal_net *tn);
/*
 * Limits, draining, tombstones; called by gc every second. @used: which
 * families have, or may have, SAs or tombstones. Return: is there any?
 */
bool tcpseal_sa_gc(struct tcpseal_net *tn, bool used[2]);
struct tcpseal_sa_volume {
	u64	records, bytes, skbs;
};

void tcpseal_sa_volume(const struct tcpseal_sa *sa,
		       struct tcpseal_sa_volume *sum);
/* Remove all live SAs that have all of the flags. Takes tn->lock. */
void tcpseal_sa_flush(struct tcpseal_net *tn, u32 flags);
/* Forget everything, tombstones too: the namespace goes. Takes tn->lock. */
void tcpseal_sa_purge(struct tcpseal_net *tn);

#endif /* TCPSEAL_SA_H */
