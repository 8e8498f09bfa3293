/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every file of the module shares: the verdict, the namespace, and the
 * tuple by which a segment is known.
 *
 * Life-cycle verbs: _alloc/_free own memory, _get/_put count references,
 * _init/_exit set up parts of something bigger. Only functions whose kernel-doc
 * says "process context" may sleep.
 */
#ifndef TCPSEAL_H
#define TCPSEAL_H

#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <linux/rhashtable.h>
#include <linux/skbuff.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <net/net_namespace.h>
#include <uapi/linux/tcpseal.h>
#include <uapi/linux/tcpseal_reasons.h>

#include "record.h"

#define TCPSEAL_VERSION		"0.1"
#define TCPSEAL_PORT		7325	/* "SEAL" on a keypad */
#define TCPSEAL_LANES		8	/* default for SAs that say nothing */
#define TCPSEAL_MTU_FLOOR4	552
#define TCPSEAL_MTU_FLOOR6	1280

struct tcpseal_link;
struct tcpseal_pair;
struct tcpseal_sa;
struct tcpseal_key;
struct tcpseal_stats;
struct tcpseal_audit;

/* What becomes of an skb; hook.c maps it to NF_* in one switch. */
enum tcpseal_verdict {
	TCPSEAL_ACCEPT,		/* goes on, sealed, opened or as it was */
	TCPSEAL_DROP,		/* caller frees it; already counted */
	TCPSEAL_STOLEN,		/* we keep it, or have sent it on ourselves */
};

/* Addresses as this host sees them: local is ours or behind us. */
struct tcpseal_addrs {
	union nf_inet_addr	local;
	union nf_inet_addr	remote;
	u16			family;	/* AF_INET or AF_INET6 */
};

static inline unsigned int tcpseal_addr_len(u16 family)
{
	return family == AF_INET ? 4 : 16;
}

static inline bool tcpseal_addrs_equal(const struct tcpseal_addrs *a,
				       const struct tcpseal_addrs *b)
{
	if (a->family != b->family)
		return false;
	if (a->family == AF_INET)
		return a->local.ip == b->local.ip &&
		       a->remote.ip == b->remote.ip;
	return nf_inet_addr_cmp(&a->local, &b->local) &&
	       nf_inet_addr_cmp(&a->remote, &b->remote);
}

/* Limits an operator may set (conf-set); read without a lock. */
struct tcpseal_conf {
	u32	hold_secs;
	u32	hold_pair;
	u32	hold_user;
	u32	hold_net;
	u32	grace_msecs;
	u32	max_pairs;
	u32	tombstone_secs;
	char	aead_driver[128];	/* "" = gcm(aes); under tn->lock */
};

/*
 * struct tcpseal_net - all state of one network namespace
 * @net: the namespace; tcpseal_net lives exactly as long
 * @lock: serialises every change of links, pairs and SAs (process context);
 *	the data path only reads, under RCU
 * @dying: set in pre_exit, before hooks go: nothing new may start
 */
struct tcpseal_net {
	struct net			*net;
	struct mutex			lock;	/* see above */
	bool				dying;

	struct tcpseal_policy __rcu	*policy;	/* links; @lock */
	struct list_head		txns;	/* of links; @lock */
	struct rhashtable		pairs;
	struct rhashtable		spis;
	struct xarray			pair_ids;	/* by id: walks, dumps */
	struct xarray			sa_ids;		/* tombstones too */
	struct list_head		tombstones;	/* oldest first; @lock */
	struct llist_head		opened;		/* SAs with news for gc */
	spinlock_t			pair_lock;	/* pairs come and go */
	u32				next_pair;	/* cursor of @pair_ids */
	bool				pinned;		/* holds the module; @lock */
	atomic_t			nr_links;
	atomic_t			nr_pairs;
	atomic_t			nr_strangers;	/* among them */
	atomic_t			nr_sas;
	atomic_t			nr_tombstones;
	u32				lane_seed;	/* which lane a flow uses */
	siphash_key_t			ctrl_key;	/* of connections in ctrl.c */

	struct tcpseal_conf		conf;
	struct tcpseal_stats __percpu	*stats;
	struct tcpseal_audit __rcu	*audit;	/* or NULL; @lock */
	atomic64_t			tamper_count[__TCPSEAL_DROP_MAX];
	unsigned long			tamper_next[__TCPSEAL_DROP_MAX];
	struct tcpseal_ctrl		*ctrl;
	struct tcpseal_hold		*hold;
	struct tcpseal_pmtu		*pmtu;
	struct delayed_work		gc;
	unsigned long			next_gc;	/* jiffies; @lock */
	unsigned long			gc_sa, gc_pair;	/* it goes on there */
	struct work_struct		lro;
	struct work_struct		recall;		/* bypass.c */
	bool				hooked[2];	/* v4, v6; @lock */
	bool				lro_off;	/* READ_ONCE */
};

/*
 * How many of @nr gc looks at in a second: all, unless there are very many. The
 * data path keeps to hard limits by itself.
 */
static inline unsigned int tcpseal_gc_share(unsigned int nr)
{
	return max(8192U, nr / 16);
}

extern unsigned int tcpseal_net_id;
extern struct workqueue_struct *tcpseal_wq;
struct tcpseal_net *tcpseal_net(const struct net *net);
/* Run tn->gc now. Any context. */
void tcpseal_net_kick(struct tcpseal_net *tn);
/* Hold the module while SAs live here. Process context, tn->lock. */
void tcpseal_net_pin(struct tcpseal_net *tn);

/* net.c: hooks come with the first link of a namespace, go with the last */
int tcpseal_net_hook(struct tcpseal_net *tn, u16 family,
		     struct netlink_ext_ack *extack);
void tcpseal_net_unhook(struct tcpseal_net *tn, u16 family);

/* hook.c */
#define TCPSEAL_HOOKS	3	/* of a family */
extern const struct nf_hook_ops tcpseal_hook_ops4[TCPSEAL_HOOKS];
extern const struct nf_hook_ops tcpseal_hook_ops6[TCPSEAL_HOOKS];
bool tcpseal_is_last(const struct nf_hook_state *state);
void tcpseal_rest(struct sk_buff *skb, const struct nf_hook_state *state);
void tcpseal_rest_then_seal(struct sk_buff *skb,
			    const struct nf_hook_state *state);

/* egress.c, ingress.c: softirq or process context with BH off, RCU held */
enum tcpseal_verdict tcpseal_egress(struct tcpseal_net *tn,
				    struct sk_buff *skb,
				    const struct nf_hook_state *state);
enum tcpseal_verdict tcpseal_egress_redirect(struct tcpseal_net *tn,
					     struct sk_buff *skb,
					     const struct nf_hook_state *state);
int tcpseal_egress_again(struct net *net, struct sock *sk,
			 struct sk_buff *skb);
enum tcpseal_verdict tcpseal_ingress(struct tcpseal_net *tn,
				     struct sk_buff *skb,
				     const struct nf_hook_state *state);

#endif /* TCPSEAL_H */
