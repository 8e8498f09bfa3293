// SPDX-License-Identifier: GPL-2.0-only
/* Links and prefixes, against looking at every one of them bit by bit. */
#include "../../module/policy.c"
#include "around.h"

#define LINKS		100
#define ROUNDS		20
#define LOOKUPS		5000	/* a round; 100,000 of each family */

static bool bit_of(const union nf_inet_addr *a, unsigned int i)
{
	return ((const u8 *)a)[i / 8] >> (7 - i % 8) & 1;
}

static bool bits_match(const union nf_inet_addr *a,
		       const union nf_inet_addr *prefix, unsigned int len)
{
	unsigned int i;

	if (memcmp(a, prefix, len / 8))
		return false;
	for (i = len / 8 * 8; i < len; i++)
		if (bit_of(a, i) != bit_of(prefix, i))
			return false;
	return true;
}

/*
 * Few different bits in all positions, so that random prefixes nest and random
 * addresses hit them.
 */
static void any_addr(u16 family, union nf_inet_addr *a)
{
	static const u8 bytes[] = { 0, 0, 0x80, 1, 0xff };
	unsigned int i;

	memset(a, 0, sizeof(*a));
	for (i = 0; i < tcpseal_addr_len(family); i++)
		((u8 *)a)[i] = bytes[around_below(ARRAY_SIZE(bytes))];
}

static void any_prefix(u16 family, union nf_inet_addr *to, u8 *len)
{
	union nf_inet_addr a;
	unsigned int i;

	*len = around_below(tcpseal_addr_len(family) * 8 + 1);
	any_addr(family, &a);
	memset(to, 0, sizeof(*to));
	for (i = 0; i < *len; i++)
		if (bit_of(&a, i))
			((u8 *)to)[i / 8] |= 0x80 >> i % 8;
}

/* Host bits at random: inside of the prefix, often of a longer one, too. */
static void addr_inside(u16 family, union nf_inet_addr *a,
			const union nf_inet_addr *prefix, u8 len)
{
	unsigned int i;

	any_addr(family, a);
	for (i = 0; i < len; i++) {
		u8 *byte = (u8 *)a + i / 8, bit = 0x80 >> i % 8;

		*byte = bit_of(prefix, i) ? *byte | bit : *byte & ~bit;
	}
}

static bool prefix_in(const union nf_inet_addr *a, u8 a_len,
		      const union nf_inet_addr *b, u8 b_len)
{
	return a_len >= b_len && bits_match(a, b, b_len);
}

static bool link_in(const struct tcpseal_link *a, const struct tcpseal_link *b)
{
	return prefix_in(&a->local, a->local_len, &b->local, b->local_len) &&
	       prefix_in(&a->remote, a->remote_len, &b->remote,
			 b->remote_len);
}

static bool prefixes_meet(const union nf_inet_addr *a, u8 a_len,
			  const union nf_inet_addr *b, u8 b_len)
{
	return bits_match(a, b, min(a_len, b_len));
}

/* Would it cross, or double, another one? Such are refused further up. */
static bool link_fits(struct tcpseal_net *tn, const struct tcpseal_link *link)
{
	const struct tcpseal_link *l;

	list_for_each_entry(l, &tcpseal_policy(tn)->links, list) {
		if (l->family != link->family ||
		    !prefixes_meet(&l->local, l->local_len, &link->local,
				   link->local_len) ||
		    !prefixes_meet(&l->remote, l->remote_len, &link->remote,
				   link->remote_len))
			continue;
		if (link_in(l, link) == link_in(link, l))
			return false;
	}
	return true;
}

static struct tcpseal_link *link_by_force(struct tcpseal_net *tn,
					  const struct tcpseal_addrs *a)
{
	struct tcpseal_link *l, *best = NULL;

	list_for_each_entry(l, &tcpseal_policy(tn)->links, list)
		if (l->family == a->family &&
		    bits_match(&a->local, &l->local, l->local_len) &&
		    bits_match(&a->remote, &l->remote, l->remote_len) &&
		    (!best || link_in(l, best)))
			best = l;
	return best;
}

static struct tcpseal_link *any_link(struct tcpseal_net *tn)
{
	unsigned int n = around_below(atomic_read(&tn->nr_links));
	struct tcpseal_link *l;

	list_for_each_entry(l, &tcpseal_policy(tn)->links, list)
		if (!n--)
			return l;
	return NULL;
}

static void add_links(struct kunit *test, struct tcpseal_net *tn, u16 family)
{
	struct tcpseal_tuples *tuples;
	struct tcpseal_link *link;
	unsigned int i;

	for (i = 0; i < 50 * LINKS && atomic_read(&tn->nr_links) < LINKS; i++) {
		link = tcpseal_link_alloc();
		KUNIT_ASSERT_NOT_NULL(test, link);
		link->family = family;
		any_prefix(family, &link->local, &link->local_len);
		any_prefix(family, &link->remote, &link->remote_len);
		tuples = tcpseal_links_prepare(tn, link);
		KUNIT_ASSERT_NOT_NULL(test, tuples);
		if (link_fits(tn, link) && !tcpseal_links_insert(tn, link, tuples))
			continue;
		kfree(tuples);
		tcpseal_link_free(link);
	}
	KUNIT_EXPECT_GT(test, atomic_read(&tn->nr_links), LINKS / 4);
}

static void drop_links(struct tcpseal_net *tn, unsigned int n)
{
	struct tcpseal_link *link;

	while (n-- && (link = any_link(tn))) {
		tcpseal_links_remove(tn, link);
		tcpseal_link_free_later(link);
	}
}

static void lookup(struct kunit *test, u16 family)
{
	unsigned int round, i, hits = 0, wrong = 0;
	struct tcpseal_link *want, *got, *near;
	struct tcpseal_addrs a = { .family = family };
	struct tcpseal_net *tn;

	tn = kunit_kzalloc(test, sizeof(*tn), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, tn);
	mutex_init(&tn->lock);
	spin_lock_init(&tn->pair_lock);
	KUNIT_ASSERT_EQ(test, tcpseal_policy_init(tn), 0);
	mutex_lock(&tn->lock);
	for (round = 0; round < ROUNDS; round++) {
		add_links(test, tn, family);
		for (i = 0; i < LOOKUPS; i++) {
			near = any_link(tn);
			addr_inside(family, &a.local, &near->local,
				    near->local_len);
			addr_inside(family, &a.remote, &near->remote,
				    around_below(4) ? near->remote_len : 0);
			want = link_by_force(tn, &a);
			rcu_read_lock();
			got = tcpseal_link_lookup(tn, &a);
			rcu_read_unlock();
			hits += !!want;
			wrong += got != want;
		}
		drop_links(tn, LINKS / 3);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_GT(test, hits, ROUNDS * LOOKUPS / 2U);
	KUNIT_EXPECT_LT(test, hits, ROUNDS * LOOKUPS * 1U);
	drop_links(tn, LINKS);
	KUNIT_EXPECT_FALSE(test, tcpseal_link_any(tn, family));
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(tcpseal_policy(tn)->tuples[0]));
	KUNIT_EXPECT_NULL(test, rcu_access_pointer(tcpseal_policy(tn)->tuples[1]));
	mutex_unlock(&tn->lock);
	tcpseal_policy_exit(tn);
	mutex_destroy(&tn->lock);
	/* links go by call_rcu() */
	rcu_barrier();
}

static void lookup_v4(struct kunit *test)
{
	lookup(test, AF_INET);
}

static void lookup_v6(struct kunit *test)
{
	lookup(test, AF_INET6);
}

static void prefixes(struct kunit *test, u16 family)
{
	union nf_inet_addr prefix, a, masked;
	unsigned int i, wrong = 0, inside = 0;
	bool want;
	u8 len;

	for (i = 0; i < 100000; i++) {
		any_prefix(family, &prefix, &len);
		if (i & 1)
			any_addr(family, &a);
		else
			addr_inside(family, &a, &prefix, len);
		want = bits_match(&a, &prefix, len);
		inside += want;
		wrong += tcpseal_prefix_match(family, &a, &prefix, len) != want;
		prefix_mask(&masked, &a, family, len);
		wrong += !memcmp(&masked, &prefix, sizeof(masked)) != want;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	KUNIT_EXPECT_GE(test, inside, 50000U);
	KUNIT_EXPECT_LT(test, inside, 90000U);
}

static void prefixes_v4(struct kunit *test)
{
	prefixes(test, AF_INET);
}

static void prefixes_v6(struct kunit *test)
{
	prefixes(test, AF_INET6);
}

static struct kunit_case policy_cases[] = {
	KUNIT_CASE(prefixes_v4),
	KUNIT_CASE(prefixes_v6),
	KUNIT_CASE_SLOW(lookup_v4),
	KUNIT_CASE_SLOW(lookup_v6),
	{}
};

static struct kunit_suite policy_suite = {
	.name		= "tcpseal_policy",
	.test_cases	= policy_cases,
};

kunit_test_suite(policy_suite);
