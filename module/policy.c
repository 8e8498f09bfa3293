// SPDX-License-Identifier: GPL-2.0-only
/*
 * Links: a tuple space. Every distinct (local length, remote length) of a
 * family is one probe of a hash table, the most specific first. Overlapping
 * links nest, or have a link for their intersection, so that the first hit is
 * the most specific one whichever way one looks at it: both ends of a pair
 * choose corresponding links.
 */
#include <linux/jhash.h>
#include <net/ipv6.h>

#include "policy.h"
#include "stats.h"

/* What the hash table is keyed by; compared as bytes. */
struct link_key {
	union nf_inet_addr	local;
	union nf_inet_addr	remote;
	u8			local_len;
	u8			remote_len;
	u16			family;
};

static_assert(sizeof(struct link_key) == 36, "no padding in what is hashed");

static unsigned int family_index(u16 family)
{
	return family == AF_INET6;
}

static u32 link_hash(const void *data, u32 len, u32 seed)
{
	return jhash2(data, sizeof(struct link_key) / sizeof(u32), seed);
}

static void link_key(const struct tcpseal_link *link, struct link_key *key)
{
	key->local = link->local;
	key->remote = link->remote;
	key->local_len = link->local_len;
	key->remote_len = link->remote_len;
	key->family = link->family;
}

static u32 link_obj_hash(const void *data, u32 len, u32 seed)
{
	struct link_key key;

	link_key(data, &key);
	return link_hash(&key, len, seed);
}

static int link_cmp(struct rhashtable_compare_arg *arg, const void *obj)
{
	struct link_key key;

	link_key(obj, &key);
	return memcmp(&key, arg->key, sizeof(key));
}

static const struct rhashtable_params link_params = {
	.head_offset		= offsetof(struct tcpseal_link, node),
	.key_len		= sizeof(struct link_key),
	.hashfn			= link_hash,
	.obj_hashfn		= link_obj_hash,
	.obj_cmpfn		= link_cmp,
	.automatic_shrinking	= true,
};

static void prefix_mask(union nf_inet_addr *to, const union nf_inet_addr *a,
			u16 family, u8 len)
{
	memset(to, 0, sizeof(*to));
	if (family == AF_INET)
		to->ip = len ? a->ip & htonl(~0U << (32 - len)) : 0;
	else
		ipv6_addr_prefix(&to->in6, &a->in6, len);
}

/**
 * tcpseal_prefix_match() - does an address lie in a prefix
 * @family: of both
 * @a: address
 * @prefix: prefix without host bits
 * @len: its length
 *
 * Return: true if it does.
 */
bool tcpseal_prefix_match(u16 family, const union nf_inet_addr *a,
			  const union nf_inet_addr *prefix, u8 len)
{
	if (family == AF_INET)
		return !len ||
		       !((a->ip ^ prefix->ip) & htonl(~0U << (32 - len)));
	return ipv6_prefix_equal(&a->in6, &prefix->in6, len);
}

/* The most specific link but @drop that covers the addresses. */
static struct tcpseal_link *lookup_but(struct tcpseal_net *tn,
				       const struct tcpseal_addrs *a,
				       const struct tcpseal_link *drop)
{
	struct tcpseal_policy *policy = tn->policy;
	const struct tcpseal_tuples *tuples;
	struct tcpseal_link *link;
	struct link_key key;
	unsigned int i;

	tuples = rcu_dereference(policy->tuples[family_index(a->family)]);
	if (!tuples)
		return NULL;
	key.family = a->family;
	for (i = 0; i < tuples->nr; i++) {
		key.local_len = tuples->tuple[i].local_len;
		key.remote_len = tuples->tuple[i].remote_len;
		prefix_mask(&key.local, &a->local, a->family, key.local_len);
		prefix_mask(&key.remote, &a->remote, a->family,
			    key.remote_len);
		link = rhashtable_lookup(&policy->hash, &key, link_params);
		if (link && link != drop)
			return link;
	}
	return NULL;
}

/**
 * tcpseal_link_lookup() - the link that covers two addresses
 * @tn: namespace
 * @a: addresses of a segment, as this host sees them
 *
 * Context: RCU. Return: the most specific link, or NULL.
 */
struct tcpseal_link *tcpseal_link_lookup(struct tcpseal_net *tn,
					 const struct tcpseal_addrs *a)
{
	return lookup_but(tn, a, NULL);
}

struct tcpseal_link *tcpseal_link_same(struct tcpseal_net *tn,
				       const struct tcpseal_link *like)
{
	struct link_key key;

	lockdep_assert_held(&tn->lock);
	link_key(like, &key);
	return rhashtable_lookup_fast(&tn->policy->hash, &key, link_params);
}

/**
 * tcpseal_link_inside() - is a device on the inside of a forwarding link
 * @link: the link
 * @ifindex: the device
 *
 * Return: true if it is.
 */
bool tcpseal_link_inside(const struct tcpseal_link *link, int ifindex)
{
	unsigned int i;

	for (i = 0; i < link->nr_inside; i++)
		if (link->inside[i] == ifindex)
			return true;
	return false;
}

void tcpseal_link_derive(const struct tcpseal_link *link,
			 const struct tcpseal_addrs *a,
			 struct tcpseal_addrs *key)
{
	*key = *a;
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		memset(&key->local, 0, sizeof(key->local));
	if (link->has_via)
		key->remote = link->via;
}

bool tcpseal_link_derives(const struct tcpseal_link *link,
			  const struct tcpseal_addrs *key)
{
	static const union nf_inet_addr zero;

	if (link->family != key->family || link->mode == TCPSEAL_MODE_CLEAR)
		return false;
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD) {
		if (!nf_inet_addr_cmp(&key->local, &zero))
			return false;
	} else if (nf_inet_addr_cmp(&key->local, &zero) ||
		   !tcpseal_prefix_match(key->family, &key->local,
					 &link->local, link->local_len)) {
		return false;
	}
	if (link->has_via)
		return nf_inet_addr_cmp(&key->remote, &link->via);
	return tcpseal_prefix_match(key->family, &key->remote, &link->remote,
				    link->remote_len);
}

u32 tcpseal_link_seq(const struct tcpseal_net *tn)
{
	return tn->policy->seq;
}

bool tcpseal_link_any(const struct tcpseal_net *tn, u16 family)
{
	lockdep_assert_held(&tn->lock);
	return rcu_access_pointer(tn->policy->tuples[family_index(family)]);
}

bool tcpseal_link_covers(const struct tcpseal_link *link,
			 const struct tcpseal_addrs *a)
{
	return link->family == a->family &&
	       tcpseal_prefix_match(a->family, &a->local, &link->local,
				    link->local_len) &&
	       tcpseal_prefix_match(a->family, &a->remote, &link->remote,
				    link->remote_len);
}

/* Of two links, either may be NULL, the one that @now is, or the heavier one. */
static struct tcpseal_link *preferred(struct tcpseal_link *a,
				      struct tcpseal_link *b,
				      const struct tcpseal_link *now)
{
	if (!a || !b)
		return a ?: b;
	if (a == now || b == now)
		return a == now ? a : b;
	return tcpseal_link_weight(b) > tcpseal_link_weight(a) ? b : a;
}

struct tcpseal_link *tcpseal_link_for_key(struct tcpseal_net *tn,
					  const struct tcpseal_addrs *key,
					  const struct tcpseal_link *now,
					  struct tcpseal_link *add,
					  const struct tcpseal_link *drop)
{
	struct tcpseal_link *link, *exact, *shared = NULL;

	lockdep_assert_held(&tn->lock);
	rcu_read_lock();
	exact = lookup_but(tn, key, drop);
	rcu_read_unlock();
	if (add && tcpseal_link_covers(add, key))
		exact = preferred(exact, add, NULL);
	/* A plain link counts only where it is the most specific one */
	if (exact && tcpseal_link_derives(exact, key))
		return exact;
	if (add && tcpseal_link_sharer(add) && tcpseal_link_derives(add, key))
		shared = add;
	list_for_each_entry(link, &tn->policy->sharers, sharer)
		if (link != drop && tcpseal_link_derives(link, key))
			shared = preferred(shared, link, now);
	return shared;
}

struct tcpseal_link *tcpseal_link_alloc(void)
{
	struct tcpseal_link *link;

	link = kzalloc(sizeof(*link), GFP_KERNEL_ACCOUNT);
	if (!link)
		return NULL;
	INIT_LIST_HEAD(&link->sharer);
	link->stats = netdev_alloc_pcpu_stats(struct tcpseal_link_stats);
	if (!link->stats) {
		kfree(link);
		return NULL;
	}
	return link;
}

void tcpseal_link_free(struct tcpseal_link *link)
{
	if (!link->has_successor)
		free_percpu(link->stats);
	kfree(link);
}

static void link_free_rcu(struct rcu_head *rcu)
{
	tcpseal_link_free(container_of(rcu, struct tcpseal_link, rcu));
}

static struct tcpseal_tuples *tuples_alloc(struct tcpseal_net *tn,
					   const struct tcpseal_link *link,
					   gfp_t gfp)
{
	struct tcpseal_tuples *old, *new;

	old = rcu_dereference_protected(tn->policy->tuples[family_index(link->family)],
					lockdep_is_held(&tn->lock));
	return kzalloc(struct_size(new, tuple, (old ? old->nr : 0) + 1),
		       GFP_KERNEL_ACCOUNT | gfp);
}

/*
 * Put the tuple of @link in (+1) or out (-1) of its family's array, whose
 * successor is @new.
 */
static void tuples_change(struct tcpseal_net *tn,
			  const struct tcpseal_link *link, int by,
			  struct tcpseal_tuples *new)
{
	unsigned int f = family_index(link->family), i, n = 0, sum;
	struct tcpseal_tuples *old;
	struct tcpseal_tuple t = {
		.local_len	= link->local_len,
		.remote_len	= link->remote_len,
	};

	old = rcu_dereference_protected(tn->policy->tuples[f],
					lockdep_is_held(&tn->lock));
	for (i = 0; old && i < old->nr; i++)
		if (old->tuple[i].local_len == t.local_len &&
		    old->tuple[i].remote_len == t.remote_len)
			t.links = old->tuple[i].links;
	t.links += by;
	sum = t.local_len + t.remote_len;
	for (i = 0; old && i < old->nr; i++) {
		const struct tcpseal_tuple *o = &old->tuple[i];

		if (o->local_len == t.local_len &&
		    o->remote_len == t.remote_len)
			continue;
		if (t.links && o->local_len + o->remote_len < sum) {
			new->tuple[n++] = t;
			t.links = 0;
		}
		new->tuple[n++] = *o;
	}
	if (t.links)
		new->tuple[n++] = t;
	new->nr = n;
	if (!n) {
		kfree(new);
		new = NULL;
	}
	rcu_assign_pointer(tn->policy->tuples[f], new);
	if (old)
		kfree_rcu(old, rcu);
}

/*
 * Links that go through gateways, or seal for others, may share pairs. The
 * strongest of the modes counts for all of them: rather too much is sealed
 * than too little.
 */
static void link_pair_mode(struct tcpseal_net *tn, struct tcpseal_link *link)
{
	struct tcpseal_link *other;
	u8 mode = link->mode;

	list_for_each_entry(other, &tn->policy->links, list)
		if (other->mode > mode && tcpseal_link_shares(link, other))
			mode = other->mode;
	WRITE_ONCE(link->pair_mode, mode);
}

/* @changed came or went: it, and those that share pairs with it. */
static void links_pair_modes(struct tcpseal_net *tn,
			     struct tcpseal_link *changed)
{
	struct tcpseal_link *link;

	if (!tcpseal_link_sharer(changed) && list_empty(&tn->policy->sharers)) {
		WRITE_ONCE(changed->pair_mode, changed->mode);
		return;
	}
	link_pair_mode(tn, changed);
	list_for_each_entry(link, &tn->policy->links, list)
		if (link != changed && tcpseal_link_shares(link, changed))
			link_pair_mode(tn, link);
}

static void links_changed(struct tcpseal_net *tn, struct tcpseal_link *link)
{
	links_pair_modes(tn, link);
	if (!++tn->policy->seq)
		tn->policy->seq = 1;
	/*
	 * Whoever makes a pair looks its link up under this lock: what was
	 * made before is seen by the walk that follows, what comes later sees
	 * the new links.
	 */
	spin_lock_bh(&tn->pair_lock);
	spin_unlock_bh(&tn->pair_lock);
}

struct tcpseal_tuples *tcpseal_links_prepare(struct tcpseal_net *tn,
					     const struct tcpseal_link *link)
{
	return tuples_alloc(tn, link, 0);
}

int tcpseal_links_insert(struct tcpseal_net *tn, struct tcpseal_link *link,
			 struct tcpseal_tuples *tuples)
{
	int err;

	link->pair_mode = link->mode;
	err = rhashtable_insert_fast(&tn->policy->hash, &link->node,
				     link_params);
	if (err)
		return err;
	tuples_change(tn, link, 1, tuples);
	list_add_tail(&link->list, &tn->policy->links);
	if (tcpseal_link_sharer(link))
		list_add_tail(&link->sharer, &tn->policy->sharers);
	atomic_inc(&tn->nr_links);
	links_changed(tn, link);
	return 0;
}

int tcpseal_links_replace(struct tcpseal_net *tn, struct tcpseal_link *old,
			  struct tcpseal_link *link)
{
	int err;

	link->pair_mode = max_t(u8, old->pair_mode, link->mode);
	err = rhashtable_replace_fast(&tn->policy->hash, &old->node,
				      &link->node, link_params);
	if (err)
		return err;
	list_replace(&old->list, &link->list);
	list_del_init(&old->sharer);
	if (tcpseal_link_sharer(link))
		list_add_tail(&link->sharer, &tn->policy->sharers);
	old->has_successor = true;
	links_pair_modes(tn, old);
	links_changed(tn, link);
	return 0;
}

void tcpseal_links_remove(struct tcpseal_net *tn, struct tcpseal_link *link)
{
	rhashtable_remove_fast(&tn->policy->hash, &link->node, link_params);
	tuples_change(tn, link, -1, tuples_alloc(tn, link, __GFP_NOFAIL));
	list_del(&link->list);
	list_del_init(&link->sharer);
	atomic_dec(&tn->nr_links);
	links_changed(tn, link);
}

void tcpseal_link_free_later(struct tcpseal_link *link)
{
	call_rcu(&link->rcu, link_free_rcu);
}

int tcpseal_policy_init(struct tcpseal_net *tn)
{
	int err;

	tn->policy = kzalloc(sizeof(*tn->policy), GFP_KERNEL_ACCOUNT);
	if (!tn->policy)
		return -ENOMEM;
	INIT_LIST_HEAD(&tn->policy->links);
	INIT_LIST_HEAD(&tn->policy->sharers);
	tn->policy->seq = 1;
	err = rhashtable_init(&tn->policy->hash, &link_params);
	if (err)
		kfree(tn->policy);
	return err;
}

/* Nobody reads any more: hooks are gone, and a grace period is over. */
void tcpseal_policy_exit(struct tcpseal_net *tn)
{
	struct tcpseal_link *link, *next;

	list_for_each_entry_safe(link, next, &tn->policy->links, list)
		tcpseal_link_free(link);
	kfree(rcu_dereference_protected(tn->policy->tuples[0], true));
	kfree(rcu_dereference_protected(tn->policy->tuples[1], true));
	rhashtable_destroy(&tn->policy->hash);
	kfree(tn->policy);
}
