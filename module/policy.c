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

/* The most specific link but @drop that covers the addresses. RCU. */
static struct tcpseal_link *lookup_but(struct tcpseal_policy *policy,
				       const struct tcpseal_addrs *a,
				       const struct tcpseal_link *drop)
{
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
	return lookup_but(rcu_dereference(tn->policy), a, NULL);
}

struct tcpseal_link *tcpseal_link_same(struct tcpseal_policy *policy,
				       const struct tcpseal_link *like)
{
	struct link_key key;

	link_key(like, &key);
	return rhashtable_lookup_fast(&policy->hash, &key, link_params);
}

struct tcpseal_link *tcpseal_link_parent(struct tcpseal_policy *policy,
					 const struct tcpseal_link *child)
{
	const struct tcpseal_tuples *tuples;
	struct tcpseal_link *link = NULL;
	struct link_key key;
	unsigned int i;

	key.family = child->family;
	rcu_read_lock();
	tuples = rcu_dereference(policy->tuples[family_index(child->family)]);
	for (i = 0; tuples && i < tuples->nr && !link; i++) {
		key.local_len = tuples->tuple[i].local_len;
		key.remote_len = tuples->tuple[i].remote_len;
		if (key.local_len > child->local_len ||
		    key.remote_len > child->remote_len ||
		    (key.local_len == child->local_len &&
		     key.remote_len == child->remote_len))
			continue;
		prefix_mask(&key.local, &child->local, child->family,
			    key.local_len);
		prefix_mask(&key.remote, &child->remote, child->family,
			    key.remote_len);
		link = rhashtable_lookup(&policy->hash, &key, link_params);
	}
	rcu_read_unlock();
	return link;
}

/* By their lengths alone: could any link cross this one? */
bool tcpseal_link_may_cross(struct tcpseal_policy *policy,
			    const struct tcpseal_link *link)
{
	const struct tcpseal_tuples *tuples;
	const struct tcpseal_tuple *t;
	bool may = false;
	unsigned int i;

	rcu_read_lock();
	tuples = rcu_dereference(policy->tuples[family_index(link->family)]);
	for (i = 0; tuples && i < tuples->nr && !may; i++) {
		t = &tuples->tuple[i];
		may = (t->local_len < link->local_len &&
		       t->remote_len > link->remote_len) ||
		      (t->local_len > link->local_len &&
		       t->remote_len < link->remote_len);
	}
	rcu_read_unlock();
	return may;
}

/* Likewise: could two links have just this one in common? */
bool tcpseal_link_may_settle(struct tcpseal_policy *policy,
			     const struct tcpseal_link *link)
{
	bool shorter_local = false, shorter_remote = false;
	const struct tcpseal_tuples *tuples;
	const struct tcpseal_tuple *t;
	unsigned int i;

	rcu_read_lock();
	tuples = rcu_dereference(policy->tuples[family_index(link->family)]);
	for (i = 0; tuples && i < tuples->nr; i++) {
		t = &tuples->tuple[i];
		shorter_local |= t->local_len < link->local_len &&
				 t->remote_len == link->remote_len;
		shorter_remote |= t->remote_len < link->remote_len &&
				  t->local_len == link->local_len;
	}
	rcu_read_unlock();
	return shorter_local && shorter_remote;
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
	return tcpseal_policy(tn)->seq;
}

bool tcpseal_link_any(const struct tcpseal_net *tn, u16 family)
{
	const struct tcpseal_policy *policy = tcpseal_policy(tn);

	return rcu_access_pointer(policy->tuples[family_index(family)]);
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

struct tcpseal_link *tcpseal_link_for_key(struct tcpseal_policy *policy,
					  const struct tcpseal_addrs *key,
					  const struct tcpseal_link *now,
					  struct tcpseal_link *add,
					  const struct tcpseal_link *drop)
{
	struct tcpseal_link *link, *exact, *shared = NULL;

	rcu_read_lock();
	exact = lookup_but(policy, key, drop);
	rcu_read_unlock();
	if (add && tcpseal_link_covers(add, key))
		exact = preferred(exact, add, NULL);
	/* A plain link counts only where it is the most specific one */
	if (exact && tcpseal_link_derives(exact, key))
		return exact;
	if (add && tcpseal_link_sharer(add) && tcpseal_link_derives(add, key))
		shared = add;
	list_for_each_entry(link, &policy->sharers, sharer)
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
	if (!link->stats_lent)
		free_percpu(link->stats);
	kfree(link);
}

static void link_free_rcu(struct rcu_head *rcu)
{
	tcpseal_link_free(container_of(rcu, struct tcpseal_link, rcu));
}

static struct tcpseal_tuples *tuples_alloc(struct tcpseal_policy *policy,
					   const struct tcpseal_link *link,
					   gfp_t gfp)
{
	struct tcpseal_tuples *old, *new;

	/* tn->lock, or nobody else knows of the policy */
	old = rcu_dereference_protected(policy->tuples[family_index(link->family)],
					true);
	return kzalloc(struct_size(new, tuple, (old ? old->nr : 0) + 1),
		       GFP_KERNEL_ACCOUNT | gfp);
}

/*
 * Put the tuple of @link in (+1) or out (-1) of its family's array, whose
 * successor is @new.
 */
static void tuples_change(struct tcpseal_policy *policy,
			  const struct tcpseal_link *link, int by,
			  struct tcpseal_tuples *new)
{
	unsigned int f = family_index(link->family), i, n = 0, sum;
	struct tcpseal_tuples *old;
	struct tcpseal_tuple t = {
		.local_len	= link->local_len,
		.remote_len	= link->remote_len,
	};

	old = rcu_dereference_protected(policy->tuples[f], true);
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
	rcu_assign_pointer(policy->tuples[f], new);
	if (old)
		kfree_rcu(old, rcu);
}

/*
 * Links that go through gateways, or seal for others, may share pairs. The
 * strongest of the modes counts for all of them: rather too much is sealed
 * than too little.
 */
static void link_pair_mode(struct tcpseal_policy *policy,
			   struct tcpseal_link *link)
{
	struct tcpseal_link *other;
	u8 mode = link->mode;

	if (tcpseal_link_sharer(link)) {
		list_for_each_entry(other, &policy->links, list)
			if (other->mode > mode &&
			    tcpseal_link_shares(link, other))
				mode = other->mode;
	} else {
		list_for_each_entry(other, &policy->sharers, sharer)
			if (other->mode > mode &&
			    tcpseal_link_shares(link, other))
				mode = other->mode;
	}
	WRITE_ONCE(link->pair_mode, mode);
}

/* @changed came or went: it, and those that share pairs with it. */
static void links_pair_modes(struct tcpseal_policy *policy,
			     struct tcpseal_link *changed)
{
	struct tcpseal_link *link;

	if (!tcpseal_link_sharer(changed) && list_empty(&policy->sharers)) {
		WRITE_ONCE(changed->pair_mode, changed->mode);
		return;
	}
	link_pair_mode(policy, changed);
	list_for_each_entry(link, &policy->links, list)
		if (link != changed && tcpseal_link_shares(link, changed))
			link_pair_mode(policy, link);
}

/*
 * Whoever makes a pair looks its link up under this lock: what was made before
 * is seen by the walk that follows, what comes later sees the new links.
 */
static void links_barrier(struct tcpseal_net *tn)
{
	spin_lock_bh(&tn->pair_lock);
	spin_unlock_bh(&tn->pair_lock);
}

static void links_changed(struct tcpseal_net *tn, struct tcpseal_link *link)
{
	struct tcpseal_policy *policy = tcpseal_policy(tn);

	links_pair_modes(policy, link);
	if (!++policy->seq)
		policy->seq = 1;
	WRITE_ONCE(policy->changed_at, get_jiffies_64());
	links_barrier(tn);
}

struct tcpseal_tuples *tcpseal_links_prepare(struct tcpseal_net *tn,
					     const struct tcpseal_link *link)
{
	return tuples_alloc(tcpseal_policy(tn), link, 0);
}

int tcpseal_links_insert(struct tcpseal_net *tn, struct tcpseal_link *link,
			 struct tcpseal_tuples *tuples)
{
	struct tcpseal_policy *policy = tcpseal_policy(tn);
	int err;

	link->pair_mode = link->mode;
	err = rhashtable_insert_fast(&policy->hash, &link->node, link_params);
	if (err)
		return err;
	tuples_change(policy, link, 1, tuples);
	list_add_tail(&link->list, &policy->links);
	if (tcpseal_link_sharer(link))
		list_add_tail(&link->sharer, &policy->sharers);
	atomic_inc(&tn->nr_links);
	links_changed(tn, link);
	return 0;
}

int tcpseal_links_replace(struct tcpseal_net *tn, struct tcpseal_link *old,
			  struct tcpseal_link *link)
{
	struct tcpseal_policy *policy = tcpseal_policy(tn);
	int err;

	link->pair_mode = max_t(u8, old->pair_mode, link->mode);
	err = rhashtable_replace_fast(&policy->hash, &old->node, &link->node,
				      link_params);
	if (err)
		return err;
	list_replace(&old->list, &link->list);
	list_del_init(&old->sharer);
	if (tcpseal_link_sharer(link))
		list_add_tail(&link->sharer, &policy->sharers);
	old->stats_lent = true;
	links_pair_modes(policy, old);
	links_changed(tn, link);
	return 0;
}

void tcpseal_links_remove(struct tcpseal_net *tn, struct tcpseal_link *link)
{
	struct tcpseal_policy *policy = tcpseal_policy(tn);

	rhashtable_remove_fast(&policy->hash, &link->node, link_params);
	tuples_change(policy, link, -1,
		      tuples_alloc(policy, link, __GFP_NOFAIL));
	list_del(&link->list);
	list_del_init(&link->sharer);
	atomic_dec(&tn->nr_links);
	links_changed(tn, link);
}

void tcpseal_link_free_later(struct tcpseal_link *link)
{
	call_rcu(&link->rcu, link_free_rcu);
}

/* With room for @links, which saves the table from growing. */
static struct tcpseal_policy *policy_alloc(unsigned int links)
{
	struct rhashtable_params params = link_params;
	struct tcpseal_policy *policy;

	policy = kzalloc(sizeof(*policy), GFP_KERNEL_ACCOUNT);
	if (!policy)
		return NULL;
	INIT_LIST_HEAD(&policy->links);
	INIT_LIST_HEAD(&policy->sharers);
	policy->seq = 1;
	params.nelem_hint = links;
	if (rhashtable_init(&policy->hash, &params)) {
		kfree(policy);
		return NULL;
	}
	return policy;
}

/* With its links, and their counters but for lent ones. Nobody reads it. */
void tcpseal_policy_free(struct tcpseal_policy *policy)
{
	struct tcpseal_link *link, *next;

	/* First: it may be about to move links to a table of another size */
	rhashtable_destroy(&policy->hash);
	list_for_each_entry_safe(link, next, &policy->links, list) {
		tcpseal_link_free(link);
		cond_resched();
	}
	kfree(rcu_dereference_protected(policy->tuples[0], true));
	kfree(rcu_dereference_protected(policy->tuples[1], true));
	kfree(policy);
}

static void policy_free_work(struct work_struct *work)
{
	tcpseal_policy_free(container_of(to_rcu_work(work),
					 struct tcpseal_policy, free));
}

/**
 * tcpseal_policy_copy() - the same links once more, for a transaction
 * @from: policy to copy
 * @more: how many links may be added
 *
 * Nothing is shared but the counters, which stay those of @from until the copy
 * is published. Each copied link and the one it was made of know each other.
 *
 * Context: process, tn->lock. Return: the copy; NULL without memory.
 */
struct tcpseal_policy *tcpseal_policy_copy(struct tcpseal_policy *from,
					   unsigned int more)
{
	struct tcpseal_policy *policy;
	struct tcpseal_link *old, *link;
	unsigned int n = more;

	list_for_each_entry(old, &from->links, list) {
		old->heir = NULL;
		n++;
	}
	policy = policy_alloc(n);
	if (!policy)
		return NULL;
	policy->last_id = from->last_id;
	list_for_each_entry(old, &from->links, list) {
		link = kmemdup(old, sizeof(*old), GFP_KERNEL_ACCOUNT);
		if (!link)
			goto err_free;
		link->stats_lent = true;
		link->old = old;
		INIT_LIST_HEAD(&link->sharer);
		list_add_tail(&link->list, &policy->links);
		if (rhashtable_insert_fast(&policy->hash, &link->node,
					   link_params))
			goto err_free;
		old->heir = link;
		cond_resched();
	}
	return policy;

err_free:
	tcpseal_policy_free(policy);
	return NULL;
}

/* Into a policy that is not published. */
int tcpseal_policy_add(struct tcpseal_policy *policy,
		       struct tcpseal_link *link)
{
	int err;

	err = rhashtable_insert_fast(&policy->hash, &link->node, link_params);
	if (!err)
		list_add_tail(&link->list, &policy->links);
	return err;
}

/* In a policy that is not published: in the place of @old, which is freed. */
int tcpseal_policy_replace(struct tcpseal_policy *policy,
			   struct tcpseal_link *old, struct tcpseal_link *link)
{
	int err;

	err = rhashtable_replace_fast(&policy->hash, &old->node, &link->node,
				      link_params);
	if (err)
		return err;
	list_replace(&old->list, &link->list);
	tcpseal_link_free(old);
	return 0;
}

/* From a policy that is not published, to @gone. */
void tcpseal_policy_remove(struct tcpseal_policy *policy,
			   struct tcpseal_link *link, struct list_head *gone)
{
	rhashtable_remove_fast(&policy->hash, &link->node, link_params);
	list_move_tail(&link->list, gone);
}

/* How many links have each pair of lengths, most specific first. */
static int tuples_build(struct tcpseal_policy *policy, u16 family)
{
	unsigned int bits = 8 * tcpseal_addr_len(family), side = bits + 1;
	unsigned int nr = 0, sum, i, *count;
	struct tcpseal_tuples *tuples;
	struct tcpseal_link *link;

	count = kvcalloc(side * side, sizeof(*count), GFP_KERNEL_ACCOUNT);
	if (!count)
		return -ENOMEM;
	list_for_each_entry(link, &policy->links, list)
		if (link->family == family &&
		    !count[link->local_len * side + link->remote_len]++)
			nr++;
	tuples = kzalloc(struct_size(tuples, tuple, nr), GFP_KERNEL_ACCOUNT);
	if (!tuples) {
		kvfree(count);
		return -ENOMEM;
	}
	for (sum = 2 * bits + 1; nr && sum-- > 0;) {
		for (i = sum > bits ? sum - bits : 0; i <= min(sum, bits); i++) {
			unsigned int links = count[i * side + sum - i];

			if (links)
				tuples->tuple[tuples->nr++] =
					(struct tcpseal_tuple){
						.local_len = i,
						.remote_len = sum - i,
						.links = links,
					};
		}
	}
	kvfree(count);
	if (!nr) {
		kfree(tuples);
		return 0;
	}
	rcu_assign_pointer(policy->tuples[family_index(family)], tuples);
	return 0;
}

/**
 * tcpseal_policy_finish() - what follows from the links of a new policy
 * @policy: not published; its links do not change any more
 *
 * Context: process. Return: 0 or -ENOMEM.
 */
int tcpseal_policy_finish(struct tcpseal_policy *policy)
{
	struct tcpseal_link *link;
	int err;

	err = tuples_build(policy, AF_INET);
	if (!err)
		err = tuples_build(policy, AF_INET6);
	if (err)
		return err;
	list_for_each_entry(link, &policy->links, list)
		if (tcpseal_link_sharer(link))
			list_add_tail(&link->sharer, &policy->sharers);
	list_for_each_entry(link, &policy->links, list) {
		link_pair_mode(policy, link);
		cond_resched();
	}
	return 0;
}

/**
 * tcpseal_policy_publish() - a new policy in the place of the present one
 * @tn: namespace
 * @policy: a finished copy of the present one
 *
 * For each look-up either all of the old links are there or all of the new
 * ones. Pairs still point to old links: the caller re-points every one, and
 * gives the old policy to tcpseal_policy_free_later() then.
 *
 * Context: process, tn->lock. Return: the old policy.
 */
struct tcpseal_policy *tcpseal_policy_publish(struct tcpseal_net *tn,
					      struct tcpseal_policy *policy)
{
	struct tcpseal_policy *old = tcpseal_policy(tn);
	struct tcpseal_link *link;
	unsigned int n = 0;

	policy->seq = (old->seq + 1) ?: 1;
	policy->changed_at = get_jiffies_64();
	list_for_each_entry(link, &policy->links, list) {
		link->stats_lent = false;
		if (link->old)
			link->old->stats_lent = true;
		n++;
	}
	rcu_assign_pointer(tn->policy, policy);
	atomic_set(&tn->nr_links, n);
	links_barrier(tn);
	return old;
}

/* When no reader can be left. Process context. */
void tcpseal_policy_free_later(struct tcpseal_policy *policy)
{
	INIT_RCU_WORK(&policy->free, policy_free_work);
	queue_rcu_work(tcpseal_wq, &policy->free);
}

int tcpseal_policy_init(struct tcpseal_net *tn)
{
	struct tcpseal_policy *policy = policy_alloc(0);

	RCU_INIT_POINTER(tn->policy, policy);
	return policy ? 0 : -ENOMEM;
}

/* Nobody reads any more: hooks are gone, and a grace period is over. */
void tcpseal_policy_exit(struct tcpseal_net *tn)
{
	tcpseal_policy_free(rcu_dereference_protected(tn->policy, true));
}
