// SPDX-License-Identifier: GPL-2.0-only
/*
 * Who still talks plaintext: a table of fixed size for each namespace that ever
 * had a link in audit or prefer.
 *
 * A talker is a link, two addresses, and the port of the service; the port that
 * the connecting end picked would only make one talker into thousands. Which
 * port is the service is known from answered SYNs, and guessed (the lower one)
 * for connections that are older than the table.
 *
 * While there are fewer talkers than slots every count is exact. After that it
 * is the Space-Saving algorithm (Metwally, Agrawal, El Abbadi) with a minimum of
 * sixteen slots in the place of the minimum of all: who comes new takes the slot
 * of the one that said least. Its own count begins at 0, and @missed, which
 * bounds what it may have said before, at what any displaced talker said at
 * most. So count <= truth <= count + missed, the fifteen busiest are never
 * displaced, and what was counted for displaced talkers is kept as one sum.
 */
#include <linux/jhash.h>
#include <linux/mm.h>

#include "audit.h"

#define SLOTS		4096	/* powers of two */
#define BUCKETS		2048
/* Slots that are looked at for one to displace, and how often */
#define CANDIDATES	16
#define TRIES		4

struct bucket {
	spinlock_t		lock;	/* with its slots; BH */
	struct hlist_head	slots;
};

struct talker_key {
	union nf_inet_addr	local;
	union nf_inet_addr	remote;
	u32			link_id;
	u16			local_port;
	u16			remote_port;
};

static_assert(sizeof(struct talker_key) == 40, "no padding in what is hashed");

struct slot {
	struct hlist_node	node;	/* of its bucket, or of those free */
	struct bucket		*bucket;	/* READ_ONCE; NULL: free */
	struct talker_key	key;
	u16			family;
	struct tcpseal_plain	plain;
	u64			missed;
	time64_t		first, last;	/* monotonic seconds */
};

/**
 * struct tcpseal_audit - talkers of a namespace
 * @rcu: replaced as a whole
 * @seed: of the hash
 * @seq: changes with each table
 * @since: monotonic seconds when it was made
 * @lock: protects what follows, to @served; inside the lock of a bucket
 * @nr_used: slots that were ever used, the first ones
 * @nr_talkers: slots in use
 * @free: slots that were used and are free again
 * @displaced: talkers that lost their slot
 * @floor: no talker without a slot ever said more
 * @other: what was said by those
 * @other_last: monotonic seconds when the last of it was
 * @served: ports from which a SYN was answered, here and at the remote end
 * @buckets: hash table of the slots
 * @slots: the talkers
 */
struct tcpseal_audit {
	struct rcu_head		rcu;
	u32			seed;
	u32			seq;
	time64_t		since;
	spinlock_t		lock;	/* see above; BH */
	unsigned int		nr_used, nr_talkers;
	struct hlist_head	free;
	u64			displaced;
	u64			floor;
	struct tcpseal_plain	other;
	time64_t		other_last;
	DECLARE_BITMAP(served[2], 65536);
	struct bucket		buckets[BUCKETS];
	struct slot		slots[SLOTS];
};

static void plain_add(struct tcpseal_plain *to,
		      const struct tcpseal_plain *more)
{
	to->out += more->out;
	to->out_bytes += more->out_bytes;
	to->in += more->in;
	to->in_bytes += more->in_bytes;
}

/* Bytes and segments: who sends nothing but SYNs and ACKs talks, too. */
static u64 plain_weight(const struct tcpseal_plain *plain)
{
	return plain->out + plain->out_bytes + plain->in + plain->in_bytes;
}

/* What the talker said at most. May be a little wrong without the lock. */
static u64 slot_weight(const struct slot *slot)
{
	return slot->missed + plain_weight(&slot->plain);
}

/* Fill in the port of the service; the other one stays 0. */
static void talker_ports(struct tcpseal_audit *audit, const struct tcphdr *th,
			 bool out, struct talker_key *key)
{
	u16 local = ntohs(out ? th->source : th->dest);
	u16 remote = ntohs(out ? th->dest : th->source);
	bool here, there;

	if (th->syn) {
		/* Who answers a SYN serves, who sends one does not */
		here = out == th->ack;
		if (th->ack && !test_bit(here ? local : remote,
					 audit->served[!here]))
			set_bit(here ? local : remote, audit->served[!here]);
	} else {
		here = test_bit(local, audit->served[0]);
		there = test_bit(remote, audit->served[1]);
		if (here == there)
			here = local < remote;
	}
	if (here)
		key->local_port = local;
	else
		key->remote_port = remote;
}

static struct slot *slot_find(const struct bucket *bucket,
			      const struct talker_key *key)
{
	struct slot *slot;

	hlist_for_each_entry(slot, &bucket->slots, node)
		if (!memcmp(&slot->key, key, sizeof(*key)))
			return slot;
	return NULL;
}

/* A slot that nobody has, or NULL. */
static struct slot *slot_unused(struct tcpseal_audit *audit)
{
	struct slot *slot = NULL;

	lockdep_assert_held(&audit->lock);
	if (!hlist_empty(&audit->free)) {
		slot = hlist_entry(audit->free.first, struct slot, node);
		hlist_del(&slot->node);
	} else if (audit->nr_used < SLOTS) {
		slot = &audit->slots[audit->nr_used++];
	}
	if (slot)
		WRITE_ONCE(audit->nr_talkers, audit->nr_talkers + 1);
	return slot;
}

/* Of some slots the one with the least weight, or NULL. */
static struct slot *slot_least(struct tcpseal_audit *audit)
{
	unsigned int at = get_random_u32(), i;
	struct slot *slot, *least = NULL;
	u64 weight, lightest = U64_MAX;

	for (i = 0; i < CANDIDATES; i++) {
		slot = &audit->slots[(at + i) % SLOTS];
		if (!READ_ONCE(slot->bucket))
			continue;
		/* others count meanwhile: nearly right will do */
		weight = data_race(slot_weight(slot));
		if (least && weight >= lightest)
			continue;
		least = slot;
		lightest = weight;
	}
	return least;
}

/* Its talker is displaced; NULL if the slot is not in this bucket any more. */
static struct slot *slot_empty(struct tcpseal_audit *audit, struct slot *slot,
			       const struct bucket *from)
{
	lockdep_assert_held(&from->lock);
	if (slot->bucket != from)
		return NULL;
	hlist_del(&slot->node);
	WRITE_ONCE(slot->bucket, NULL);
	spin_lock(&audit->lock);
	audit->displaced++;
	audit->floor = max(audit->floor, slot_weight(slot));
	plain_add(&audit->other, &slot->plain);
	audit->other_last = max(audit->other_last, slot->last);
	spin_unlock(&audit->lock);
	return slot;
}

/*
 * Take the slot of somebody who says little. Its bucket is only tried: two CPUs
 * may want to displace from each other's. @bucket is locked. Or NULL.
 */
static struct slot *slot_displace(struct tcpseal_audit *audit,
				  struct bucket *bucket)
{
	struct slot *slot = slot_least(audit);
	struct bucket *from;

	if (!slot)
		return NULL;
	from = READ_ONCE(slot->bucket);
	if (from == bucket)
		return slot_empty(audit, slot, from);
	if (!from || !spin_trylock(&from->lock))
		return NULL;
	slot = slot_empty(audit, slot, from);
	spin_unlock(&from->lock);
	return slot;
}

/* A slot for a new talker of this bucket, which is locked; or NULL. */
static struct slot *slot_take(struct tcpseal_audit *audit,
			      struct bucket *bucket,
			      const struct talker_key *key, u16 family)
{
	unsigned int tries = TRIES;
	struct slot *slot;

	spin_lock(&audit->lock);
	slot = slot_unused(audit);
	spin_unlock(&audit->lock);
	while (!slot && tries--)
		slot = slot_displace(audit, bucket);
	if (!slot)
		return NULL;
	slot->key = *key;
	slot->family = family;
	memset(&slot->plain, 0, sizeof(slot->plain));
	spin_lock(&audit->lock);
	slot->missed = audit->floor;
	spin_unlock(&audit->lock);
	slot->first = ktime_get_seconds();
	hlist_add_head(&slot->node, &bucket->slots);
	WRITE_ONCE(slot->bucket, bucket);
	return slot;
}

/* Said by somebody who got no slot. */
static void count_other(struct tcpseal_audit *audit,
			const struct tcpseal_plain *said)
{
	spin_lock(&audit->lock);
	plain_add(&audit->other, said);
	audit->floor += plain_weight(said);
	audit->other_last = ktime_get_seconds();
	spin_unlock(&audit->lock);
}

/**
 * tcpseal_audit() - plaintext passes
 * @tn: namespace
 * @link: what covers it, or NULL
 * @skb: TCP
 * @seg: its shape
 * @out: it leaves
 *
 * Links that do not promise anything (clear) and those that let nothing through
 * (require) have no talkers.
 *
 * Context: BH off, RCU.
 */
void tcpseal_audit(struct tcpseal_net *tn, const struct tcpseal_link *link,
		   const struct sk_buff *skb, const struct tcpseal_seg *seg,
		   bool out)
{
	struct tcpseal_audit *audit = rcu_dereference(tn->audit);
	struct tcpseal_plain said = {};
	struct talker_key key = {};
	struct tcpseal_addrs a;
	struct bucket *bucket;
	struct slot *slot;

	if (!audit || !link || (link->mode != TCPSEAL_MODE_AUDIT &&
				link->mode != TCPSEAL_MODE_PREFER))
		return;
	tcpseal_seg_addrs(skb, seg, out, &a);
	key.local = a.local;
	key.remote = a.remote;
	key.link_id = link->id;
	talker_ports(audit, tcpseal_th(skb, seg), out, &key);
	*(out ? &said.out : &said.in) = tcpseal_segs(skb);
	*(out ? &said.out_bytes : &said.in_bytes) = seg->payload;

	bucket = &audit->buckets[jhash2((const u32 *)&key,
					sizeof(key) / sizeof(u32),
					audit->seed) % BUCKETS];
	spin_lock(&bucket->lock);
	slot = slot_find(bucket, &key);
	if (!slot)
		slot = slot_take(audit, bucket, &key, a.family);
	if (slot) {
		plain_add(&slot->plain, &said);
		slot->last = ktime_get_seconds();
	} else {
		count_other(audit, &said);
	}
	spin_unlock(&bucket->lock);
}

static struct tcpseal_audit *table_of(const struct tcpseal_net *tn)
{
	return rcu_dereference_protected(tn->audit,
					 lockdep_is_held(&tn->lock));
}

static struct tcpseal_audit *table_alloc(struct netlink_ext_ack *extack)
{
	struct tcpseal_audit *audit;
	unsigned int i;

	audit = kvzalloc(sizeof(*audit), GFP_KERNEL_ACCOUNT);
	if (!audit) {
		NL_SET_ERR_MSG(extack,
			       "no memory for the list of who talks plaintext");
		return NULL;
	}
	spin_lock_init(&audit->lock);
	for (i = 0; i < BUCKETS; i++)
		spin_lock_init(&audit->buckets[i].lock);
	audit->seed = get_random_u32();
	audit->seq = 1;
	audit->since = ktime_get_seconds();
	return audit;
}

/**
 * tcpseal_audit_start() - list talkers from now on
 * @tn: namespace
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0, also if it does already.
 */
int tcpseal_audit_start(struct tcpseal_net *tn,
			struct netlink_ext_ack *extack)
{
	struct tcpseal_audit *audit;

	if (table_of(tn))
		return 0;
	audit = table_alloc(extack);
	if (!audit)
		return -ENOMEM;
	rcu_assign_pointer(tn->audit, audit);
	return 0;
}

/**
 * tcpseal_audit_flush() - forget all talkers
 * @tn: namespace
 * @extack: says why not
 *
 * Which ports serve is still known afterwards.
 *
 * Context: process, tn->lock. Return: 0 or a negative error.
 */
int tcpseal_audit_flush(struct tcpseal_net *tn,
			struct netlink_ext_ack *extack)
{
	struct tcpseal_audit *audit, *old = table_of(tn);

	if (!old)
		return 0;
	audit = table_alloc(extack);
	if (!audit)
		return -ENOMEM;
	memcpy(audit->served, old->served, sizeof(audit->served));
	audit->seq = old->seq + 1 ?: 1;
	rcu_assign_pointer(tn->audit, audit);
	kvfree_rcu(old, rcu);
	return 0;
}

void tcpseal_audit_forget(struct tcpseal_net *tn, u32 link_id)
{
	struct tcpseal_audit *audit = table_of(tn);
	struct bucket *bucket;
	struct hlist_node *next;
	struct slot *slot;
	unsigned int i;

	/* Ten thousand links may go at once */
	if (!audit || !READ_ONCE(audit->nr_talkers))
		return;
	for (i = 0; i < BUCKETS; i++) {
		bucket = &audit->buckets[i];
		spin_lock_bh(&bucket->lock);
		hlist_for_each_entry_safe(slot, next, &bucket->slots, node) {
			if (slot->key.link_id != link_id)
				continue;
			hlist_del(&slot->node);
			WRITE_ONCE(slot->bucket, NULL);
			spin_lock(&audit->lock);
			hlist_add_head(&slot->node, &audit->free);
			WRITE_ONCE(audit->nr_talkers, audit->nr_talkers - 1);
			spin_unlock(&audit->lock);
		}
		spin_unlock_bh(&bucket->lock);
		cond_resched();
	}
}

u32 tcpseal_audit_seq(const struct tcpseal_net *tn)
{
	const struct tcpseal_audit *audit = table_of(tn);

	return audit ? audit->seq : 0;
}

/* Return: false if the slot is free. */
static bool slot_read(struct slot *slot, struct tcpseal_talker *talker)
{
	struct bucket *bucket = READ_ONCE(slot->bucket);
	time64_t now = ktime_get_seconds();
	bool used;

	if (!bucket)
		return false;
	spin_lock_bh(&bucket->lock);
	used = slot->bucket == bucket;
	if (used) {
		talker->link_id = slot->key.link_id;
		talker->addrs.local = slot->key.local;
		talker->addrs.remote = slot->key.remote;
		talker->addrs.family = slot->family;
		talker->local_port = slot->key.local_port;
		talker->remote_port = slot->key.remote_port;
		talker->plain = slot->plain;
		talker->missed = slot->missed;
		talker->first_secs = max_t(time64_t, 0, now - slot->first);
		talker->last_secs = max_t(time64_t, 0, now - slot->last);
	}
	spin_unlock_bh(&bucket->lock);
	return used;
}

bool tcpseal_audit_next(struct tcpseal_net *tn, unsigned long *at,
			struct tcpseal_talker *talker)
{
	struct tcpseal_audit *audit = table_of(tn);

	for (; audit && *at < SLOTS; ++*at)
		if (slot_read(&audit->slots[*at], talker))
			return true;
	return false;
}

bool tcpseal_audit_read(struct tcpseal_net *tn, struct tcpseal_audit_sum *sum)
{
	struct tcpseal_audit *audit = table_of(tn);
	time64_t now = ktime_get_seconds();

	if (!audit)
		return false;
	sum->secs = now - audit->since;
	sum->slots = SLOTS;
	spin_lock_bh(&audit->lock);
	sum->talkers = audit->nr_talkers;
	sum->displaced = audit->displaced;
	sum->other = audit->other;
	sum->other_secs = max_t(time64_t, 0, now - audit->other_last);
	spin_unlock_bh(&audit->lock);
	return true;
}

void tcpseal_audit_exit(struct tcpseal_net *tn)
{
	kvfree(rcu_dereference_protected(tn->audit, true));
}
