/* SPDX-License-Identifier: GPL-2.0-only */
/* Links: which prefix pairs must be sealed, and how much. */
#ifndef TCPSEAL_POLICY_H
#define TCPSEAL_POLICY_H

#include "tcpseal.h"

#define TCPSEAL_INSIDE_MAX	16

struct tcpseal_link_stats;

/*
 * struct tcpseal_link - one policy: local prefix, remote prefix, mode
 *
 * Immutable once published; a change publishes a successor with the same @id
 * and re-points the pairs. Freed by RCU.
 */
struct tcpseal_link {
	struct rhash_head	node;
	struct list_head	list;		/* tn->policy, tn->lock */
	struct list_head	sharer;		/* likewise, or empty */
	struct rcu_head		rcu;
	u32			id;
	u16			family;
	u8			local_len;
	u8			remote_len;
	union nf_inet_addr	local;
	union nf_inet_addr	remote;
	enum tcpseal_mode	mode;
	/* READ_ONCE: the strongest of the links that share its pairs */
	u8			pair_mode;
	enum tcpseal_aead	aead;
	u32			flags;		/* TCPSEAL_LINK_FLAG_* */
	bool			has_via;
	union nf_inet_addr	via;
	char			identity[128];
	u8			nr_inside;
	int			inside[TCPSEAL_INSIDE_MAX];
	u64			since;		/* seconds since the Epoch */
	struct tcpseal_link_stats __percpu *stats;	/* moves to successor */
	bool			stats_lent;	/* another link frees @stats */

	/* While a transaction is committed, and for it alone; tn->lock */
	struct tcpseal_link	*old;	/* which it is to follow, or NULL */
	struct tcpseal_link	*heir;	/* which is to follow, or NULL */
	u32			change;	/* TCPSEAL_CHANGE_FLAG_* of its request */
	bool			staged;	/* there was a request */
	bool			gone;	/* to delete it */
};

struct tcpseal_tuple {
	u8	local_len, remote_len;
	u32	links;
};

/* Distinct tuples of a family, most specific first. Replaced as a whole. */
struct tcpseal_tuples {
	struct rcu_head		rcu;
	unsigned int		nr;
	struct tcpseal_tuple	tuple[];
};

/* The links of a namespace. A transaction publishes another one. */
struct tcpseal_policy {
	struct rhashtable		hash;
	struct tcpseal_tuples __rcu	*tuples[2];	/* v4, v6 */
	struct list_head		links;		/* by id; tn->lock */
	/* Those whose pairs are for more than two addresses: mostly few */
	struct list_head		sharers;
	u32				seq;
	u64				changed_at;	/* jiffies64 */
	u32				last_id;
	struct rcu_work			free;
};

/* That which is in force. Process context, tn->lock. */
static inline struct tcpseal_policy *
tcpseal_policy(const struct tcpseal_net *tn)
{
	return rcu_dereference_protected(tn->policy,
					 lockdep_is_held(&tn->lock));
}

int tcpseal_policy_init(struct tcpseal_net *tn);
void tcpseal_policy_exit(struct tcpseal_net *tn);

/* Most specific link that covers the addresses, or NULL. RCU. */
struct tcpseal_link *tcpseal_link_lookup(struct tcpseal_net *tn,
					 const struct tcpseal_addrs *a);
/* Is @ifindex an inside device of a forwarding link? */
bool tcpseal_link_inside(const struct tcpseal_link *link, int ifindex);

/*
 * The key of the pair that keys @a on @link: local all zero where the link
 * forwards, remote the gateway where it has one.
 */
void tcpseal_link_derive(const struct tcpseal_link *link,
			 const struct tcpseal_addrs *a,
			 struct tcpseal_addrs *key);
/* Could @link have a pair with this key? */
bool tcpseal_link_derives(const struct tcpseal_link *link,
			  const struct tcpseal_addrs *key);
/* Do the addresses lie in its prefixes? */
bool tcpseal_link_covers(const struct tcpseal_link *link,
			 const struct tcpseal_addrs *a);
/* Of two links that cover an address the heavier one is more specific. */
static inline unsigned int tcpseal_link_weight(const struct tcpseal_link *link)
{
	return link->local_len + link->remote_len;
}

bool tcpseal_prefix_match(u16 family, const union nf_inet_addr *a,
			  const union nf_inet_addr *prefix, u8 len);

/* All below: process context, tn->lock. @change: TCPSEAL_CHANGE_FLAG_*. */

/* Changes whenever the list does. Not 0. */
u32 tcpseal_link_seq(const struct tcpseal_net *tn);
/*
 * A link that may have a pair with this key, current one preferred; or NULL.
 * @add and @drop, or NULL: as if the one were there already, the other gone.
 */
struct tcpseal_link *tcpseal_link_for_key(struct tcpseal_policy *policy,
					  const struct tcpseal_addrs *key,
					  const struct tcpseal_link *now,
					  struct tcpseal_link *add,
					  const struct tcpseal_link *drop);
/* The link with the same two prefixes, or NULL. */
struct tcpseal_link *tcpseal_link_same(struct tcpseal_policy *policy,
				       const struct tcpseal_link *like);
/* The most specific other link around this one, or NULL. */
struct tcpseal_link *tcpseal_link_parent(struct tcpseal_policy *policy,
					 const struct tcpseal_link *child);
/* By their lengths: could any link cross it, could two have it in common? */
bool tcpseal_link_may_cross(struct tcpseal_policy *policy,
			    const struct tcpseal_link *link);
bool tcpseal_link_may_settle(struct tcpseal_policy *policy,
			     const struct tcpseal_link *link);
/* May the two key with the same pair, although neither hides the other? */
bool tcpseal_link_shares(const struct tcpseal_link *a,
			 const struct tcpseal_link *b);
/* Has it pairs for more than two addresses? */
static inline bool tcpseal_link_sharer(const struct tcpseal_link *link)
{
	return link->has_via || link->flags & TCPSEAL_LINK_FLAG_FORWARD;
}

struct tcpseal_link *tcpseal_link_alloc(void);
void tcpseal_link_free(struct tcpseal_link *link);
/*
 * Add @link, or put it in the place of the one with the same two prefixes.
 * Takes over @link when it returns 0.
 */
int tcpseal_link_set(struct tcpseal_net *tn, struct tcpseal_link *link,
		     u32 change, struct netlink_ext_ack *extack);
int tcpseal_link_del(struct tcpseal_net *tn, const struct tcpseal_link *like,
		     u32 change, struct netlink_ext_ack *extack);
int tcpseal_link_flush(struct tcpseal_net *tn, u32 change,
		       struct netlink_ext_ack *extack);
/* What tcpseal_link_set() and its kin are made of: publish, nothing else. */
/* Memory for tcpseal_links_insert(), which takes it over on success, or NULL */
struct tcpseal_tuples *tcpseal_links_prepare(struct tcpseal_net *tn,
					     const struct tcpseal_link *link);
int tcpseal_links_insert(struct tcpseal_net *tn, struct tcpseal_link *link,
			 struct tcpseal_tuples *tuples);
int tcpseal_links_replace(struct tcpseal_net *tn, struct tcpseal_link *old,
			  struct tcpseal_link *link);
void tcpseal_links_remove(struct tcpseal_net *tn, struct tcpseal_link *link);
void tcpseal_link_free_later(struct tcpseal_link *link);

/* What a transaction is made of. */
struct tcpseal_policy *tcpseal_policy_copy(struct tcpseal_policy *from,
					   unsigned int more);
int tcpseal_policy_add(struct tcpseal_policy *policy,
		       struct tcpseal_link *link);
int tcpseal_policy_replace(struct tcpseal_policy *policy,
			   struct tcpseal_link *old, struct tcpseal_link *link);
void tcpseal_policy_remove(struct tcpseal_policy *policy,
			   struct tcpseal_link *link, struct list_head *gone);
int tcpseal_policy_finish(struct tcpseal_policy *policy);
struct tcpseal_policy *tcpseal_policy_publish(struct tcpseal_net *tn,
					      struct tcpseal_policy *policy);
void tcpseal_policy_free(struct tcpseal_policy *policy);
void tcpseal_policy_free_later(struct tcpseal_policy *policy);

/* Any link of this family? */
bool tcpseal_link_any(const struct tcpseal_net *tn, u16 family);

#endif /* TCPSEAL_POLICY_H */
