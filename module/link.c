// SPDX-License-Identifier: GPL-2.0-only
/*
 * Changes of links, and what becomes of the pairs. All of it in process context
 * under tn->lock.
 */
#include "abort.h"
#include "audit.h"
#include "bypass.h"
#include "link.h"
#include "netlink.h"
#include "sa.h"
#include "stats.h"

/* One link comes, goes, or takes the place of another; or all go. */
struct change {
	struct tcpseal_link *add, *drop;
	bool flush;
};

static struct tcpseal_link *link_of(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->link,
					 lockdep_is_held(&pair->tn->lock));
}

/* May @pair get @link or lose it, or does its own link share pairs with it? */
static bool pair_meets(const struct tcpseal_pair *pair,
		       const struct tcpseal_link *link)
{
	const struct tcpseal_link *now = link_of(pair);

	return now == link || tcpseal_link_covers(link, &pair->key) ||
	       tcpseal_link_derives(link, &pair->key) ||
	       (now && tcpseal_link_shares(now, link));
}

/* There may be very many pairs, and very many changes: most are not met. */
static bool pair_concerned(const struct tcpseal_pair *pair,
			   const struct change *c)
{
	return c->flush || (c->add && pair_meets(pair, c->add)) ||
	       (c->drop && pair_meets(pair, c->drop));
}

/* Does the pair lose its keys? */
static bool pair_loses(struct tcpseal_net *tn, const struct tcpseal_pair *pair,
		       const struct change *c)
{
	const struct tcpseal_link *now = link_of(pair), *link;

	if (!now || c->flush)
		return true;
	link = tcpseal_link_for_key(tcpseal_policy(tn), &pair->key, now,
				    c->add, c->drop);
	return !link || !tcpseal_link_keeps_keys(now, link);
}

/* Nothing is changed yet: find the live pairs that would lose their keys. */
static unsigned int doom_pairs(struct tcpseal_net *tn, const struct change *c)
{
	struct tcpseal_pair *pair;
	unsigned int doomed = 0;
	unsigned long id;

	xa_for_each(&tn->pair_ids, id, pair) {
		cond_resched();
		if (!tcpseal_pair_live(pair) || !pair_concerned(pair, c) ||
		    !pair_loses(tn, pair, c))
			continue;
		set_bit(TCPSEAL_PAIR_DOOMED, &pair->bits);
		doomed++;
	}
	return doomed;
}

/* Undo the marks; with @force only after ending what depends on the keys. */
void tcpseal_settle_doomed(struct tcpseal_net *tn, bool force)
{
	struct tcpseal_pair *pair;
	struct tcpseal_sa *sa, *next;
	unsigned long id;

	/* First, so that the peers get an authenticated reset */
	if (force)
		tcpseal_abort_doomed(tn, ECONNRESET);
	xa_for_each(&tn->pair_ids, id, pair) {
		if (!force)
			clear_bit(TCPSEAL_PAIR_DOOMED, &pair->bits);
		if (!test_bit(TCPSEAL_PAIR_DOOMED, &pair->bits))
			continue;
		list_for_each_entry_safe(sa, next, &pair->sas, pair_node)
			tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
	}
	if (!force)
		return;
	/* Again: what was opened meanwhile would go on in plain */
	tcpseal_abort_doomed(tn, ECONNRESET);
	xa_for_each(&tn->pair_ids, id, pair)
		clear_bit(TCPSEAL_PAIR_DOOMED, &pair->bits);
}

static int drain_pairs(struct tcpseal_net *tn, const struct change *c,
		       u32 change, struct netlink_ext_ack *extack)
{
	unsigned int doomed = doom_pairs(tn, c);
	bool force = change & TCPSEAL_CHANGE_FLAG_FORCE;

	if (!doomed)
		return 0;
	tcpseal_settle_doomed(tn, force);
	if (force)
		return 0;
	tcpseal_nl_err(extack,
		       "%u pairs still hold keys that would go; drain or force it",
		       doomed);
	return -EBUSY;
}

/*
 * Every pair gets the most specific link of those that there are now, and no
 * flow that they cover stays in a flowtable.
 */
static void relink_pairs(struct tcpseal_net *tn, const struct change *c)
{
	struct tcpseal_pair *pair;
	unsigned long id;

	xa_for_each(&tn->pair_ids, id, pair) {
		cond_resched();
		if (!pair_concerned(pair, c))
			continue;
		tcpseal_pair_relink(pair,
				    tcpseal_link_for_key(tcpseal_policy(tn),
							 &pair->key,
							 link_of(pair),
							 NULL, NULL));
	}
	tcpseal_bypass_recall(tn);
}

static int link_add(struct tcpseal_net *tn, struct tcpseal_link *link,
		    u32 change, struct netlink_ext_ack *extack)
{
	struct tcpseal_policy *policy = tcpseal_policy(tn);
	struct tcpseal_link *parent = tcpseal_link_parent(policy, link);
	const struct change c = { .add = link };
	struct tcpseal_tuples *tuples;
	int err;

	if (parent && parent->mode == TCPSEAL_MODE_REQUIRE &&
	    link->mode != TCPSEAL_MODE_REQUIRE &&
	    !(change & TCPSEAL_CHANGE_FLAG_WEAKEN))
		return tcpseal_link_refuse_weaker(extack, parent);

	/* What may fail comes before keys go */
	err = tcpseal_net_hook(tn, link->family, extack);
	if (err)
		return err;
	err = -ENOMEM;
	tuples = tcpseal_links_prepare(tn, link);
	if (!tuples)
		goto err_memory;
	err = drain_pairs(tn, &c, change, extack);
	if (err)
		goto err_tuples;
	link->id = ++policy->last_id;
	err = tcpseal_links_insert(tn, link, tuples);
	if (!err)
		return 0;

err_memory:
	NL_SET_ERR_MSG(extack, "no memory for the link");
err_tuples:
	kfree(tuples);
	/* The hooks may be of no use now */
	tcpseal_net_kick(tn);
	return err;
}

static int link_change(struct tcpseal_net *tn, struct tcpseal_link *old,
		       struct tcpseal_link *link, u32 change,
		       struct netlink_ext_ack *extack)
{
	const struct change c = { .add = link, .drop = old };
	struct tcpseal_link_stats __percpu *fresh;
	int err;

	if (old->mode == TCPSEAL_MODE_REQUIRE &&
	    link->mode != TCPSEAL_MODE_REQUIRE &&
	    !(change & TCPSEAL_CHANGE_FLAG_WEAKEN))
		return tcpseal_link_refuse_weaker(extack, old);

	err = drain_pairs(tn, &c, change, extack);
	if (err)
		return err;

	link->id = old->id;
	if (link->mode == old->mode)
		link->since = old->since;
	fresh = link->stats;
	link->stats = old->stats;
	err = tcpseal_links_replace(tn, old, link);
	if (err) {
		link->stats = fresh;
		NL_SET_ERR_MSG(extack, "no memory for the link");
		return err;
	}
	free_percpu(fresh);
	return 0;
}

/**
 * tcpseal_link_set() - add a link, or change the one with the same prefixes
 * @tn: namespace
 * @link: the new one, filled in; taken over on success
 * @change: TCPSEAL_CHANGE_FLAG_*
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0 or a negative error.
 */
int tcpseal_link_set(struct tcpseal_net *tn, struct tcpseal_link *link,
		     u32 change, struct netlink_ext_ack *extack)
{
	struct tcpseal_link *old;
	struct change c;
	int err;

	lockdep_assert_held(&tn->lock);
	err = tcpseal_link_check(link, extack);
	if (err)
		return err;
	err = tcpseal_link_check_sharing(tcpseal_policy(tn), link, extack);
	if (!err)
		err = tcpseal_link_check_crossing(tcpseal_policy(tn), link, extack);
	if (err)
		return err;
	if (link->mode == TCPSEAL_MODE_AUDIT ||
	    link->mode == TCPSEAL_MODE_PREFER)
		err = tcpseal_audit_start(tn, extack);
	if (err)
		return err;
	link->since = ktime_get_real_seconds();
	old = tcpseal_link_same(tcpseal_policy(tn), link);
	err = old ? link_change(tn, old, link, change, extack) :
		    link_add(tn, link, change, extack);
	if (err)
		return err;
	c = (struct change){ .add = link, .drop = old };
	relink_pairs(tn, &c);
	if (link->mode == TCPSEAL_MODE_REQUIRE &&
	    link->flags & TCPSEAL_LINK_FLAG_OLD_RESET &&
	    (!old || old->mode != TCPSEAL_MODE_REQUIRE))
		tcpseal_old_reset(tn, tcpseal_abort_link(tn, link,
							 ECONNRESET));
	if (old)
		tcpseal_link_free_later(old);
	tcpseal_notify_link(tn, link, false);
	return 0;
}

/**
 * tcpseal_link_del() - remove a link
 * @tn: namespace
 * @like: something with the same two prefixes
 * @change: TCPSEAL_CHANGE_FLAG_*
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0 or a negative error.
 */
int tcpseal_link_del(struct tcpseal_net *tn, const struct tcpseal_link *like,
		     u32 change, struct netlink_ext_ack *extack)
{
	struct tcpseal_link *link, *parent;
	struct change c = {};
	int err;

	lockdep_assert_held(&tn->lock);
	link = tcpseal_link_same(tcpseal_policy(tn), like);
	if (!link) {
		NL_SET_ERR_MSG(extack, "no link has these two prefixes");
		return -ENOENT;
	}
	err = tcpseal_link_check_leave(tcpseal_policy(tn), link, extack);
	if (err)
		return err;
	parent = tcpseal_link_parent(tcpseal_policy(tn), link);
	if (link->mode == TCPSEAL_MODE_REQUIRE &&
	    (!parent || parent->mode != TCPSEAL_MODE_REQUIRE) &&
	    !(change & TCPSEAL_CHANGE_FLAG_WEAKEN))
		return tcpseal_link_refuse_weaker(extack, link);

	err = tcpseal_link_check_unhiding(tcpseal_policy(tn), link, extack);
	if (err)
		return err;
	c.drop = link;
	err = drain_pairs(tn, &c, change, extack);
	if (err)
		return err;
	tcpseal_links_remove(tn, link);
	relink_pairs(tn, &c);
	tcpseal_audit_forget(tn, link->id);
	tcpseal_notify_link(tn, link, true);
	tcpseal_link_free_later(link);
	return 0;
}

/**
 * tcpseal_link_flush() - remove every link, or none
 * @tn: namespace
 * @change: TCPSEAL_CHANGE_FLAG_*
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0 or a negative error.
 */
int tcpseal_link_flush(struct tcpseal_net *tn, u32 change,
		       struct netlink_ext_ack *extack)
{
	const struct change c = { .flush = true };
	struct tcpseal_link *link, *next;
	LIST_HEAD(links);
	int err;

	lockdep_assert_held(&tn->lock);
	list_for_each_entry(link, &tcpseal_policy(tn)->links, list)
		if (link->mode == TCPSEAL_MODE_REQUIRE &&
		    !(change & TCPSEAL_CHANGE_FLAG_WEAKEN))
			return tcpseal_link_refuse_weaker(extack, link);

	err = drain_pairs(tn, &c, change, extack);
	if (err)
		return err;
	list_for_each_entry_safe(link, next, &tcpseal_policy(tn)->links, list) {
		tcpseal_links_remove(tn, link);
		list_add_tail(&link->list, &links);
	}
	relink_pairs(tn, &c);
	list_for_each_entry_safe(link, next, &links, list) {
		tcpseal_audit_forget(tn, link->id);
		tcpseal_notify_link(tn, link, true);
		tcpseal_link_free_later(link);
	}
	return 0;
}
