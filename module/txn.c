// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transactions: many changes of links at once, all of them or none. Requests
 * are kept until the commit. It makes the links anew as they are to be, where
 * nobody sees them, asks of the result what link.c asks of single changes, and
 * publishes it by one pointer. All of it in process context under tn->lock.
 */
#include "abort.h"
#include "audit.h"
#include "bypass.h"
#include "link.h"
#include "netlink.h"
#include "sa.h"
#include "stats.h"
#include "txn.h"

#define TXNS_MAX	16		/* of a namespace */
#define STAGED_MAX	131072		/* of a transaction */

/*
 * struct tcpseal_txn - what a socket wants done
 * @list: tn->txns
 * @portid: the socket
 * @seq: of the links that it was thought out for
 * @nr: requests
 * @staged: requests, as links, in their order
 */
struct tcpseal_txn {
	struct list_head	list;
	u32			portid;
	u32			seq;
	unsigned int		nr;
	struct list_head	staged;
};

/* What a commit works on. */
struct commit {
	struct tcpseal_net	*tn;
	struct tcpseal_policy	*old, *new;
	struct list_head	gone;	/* copies of links that go */
	struct netlink_ext_ack	*extack;
};

struct tcpseal_txn *tcpseal_txn_find(struct tcpseal_net *tn, u32 portid)
{
	struct tcpseal_txn *txn;

	lockdep_assert_held(&tn->lock);
	list_for_each_entry(txn, &tn->txns, list)
		if (txn->portid == portid)
			return txn;
	return NULL;
}

/**
 * tcpseal_txn_begin() - from now on changes of links wait for a commit
 * @tn: namespace
 * @portid: of the socket that makes them
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0 or a negative error.
 */
int tcpseal_txn_begin(struct tcpseal_net *tn, u32 portid,
		      struct netlink_ext_ack *extack)
{
	unsigned int nr = 0;
	struct tcpseal_txn *txn;

	lockdep_assert_held(&tn->lock);
	list_for_each_entry(txn, &tn->txns, list) {
		if (txn->portid == portid) {
			NL_SET_ERR_MSG(extack,
				       "this socket has begun a transaction already");
			return -EALREADY;
		}
		nr++;
	}
	if (nr >= TXNS_MAX) {
		NL_SET_ERR_MSG(extack, "too many transactions are open");
		return -EBUSY;
	}
	txn = kzalloc(sizeof(*txn), GFP_KERNEL_ACCOUNT);
	if (!txn) {
		NL_SET_ERR_MSG(extack, "no memory for the transaction");
		return -ENOMEM;
	}
	txn->portid = portid;
	txn->seq = tcpseal_link_seq(tn);
	INIT_LIST_HEAD(&txn->staged);
	list_add_tail(&txn->list, &tn->txns);
	return 0;
}

static void links_free(struct list_head *links)
{
	struct tcpseal_link *link, *next;

	list_for_each_entry_safe(link, next, links, list) {
		tcpseal_link_free(link);
		cond_resched();
	}
	INIT_LIST_HEAD(links);
}

void tcpseal_txn_free(struct tcpseal_txn *txn)
{
	list_del(&txn->list);
	links_free(&txn->staged);
	kfree(txn);
}

int tcpseal_txn_stage(struct tcpseal_net *tn, struct tcpseal_txn *txn,
		      struct tcpseal_link *link, bool gone, u32 change,
		      struct netlink_ext_ack *extack)
{
	int err = 0;

	lockdep_assert_held(&tn->lock);
	if (!gone)
		err = tcpseal_link_check(link, extack);
	if (!err && txn->nr >= STAGED_MAX) {
		NL_SET_ERR_MSG(extack, "too many links in one transaction");
		err = -ENOSPC;
	}
	if (err) {
		tcpseal_txn_free(txn);
		return err;
	}
	link->staged = true;
	link->gone = gone;
	link->change = change;
	list_add_tail(&link->list, &txn->staged);
	txn->nr++;
	return 0;
}

/* ------------------------------------------------- the links as they will be */

/* In the place of @now, the copy of a published link or an earlier request. */
static int stage_change(struct commit *c, struct tcpseal_link *now,
			struct tcpseal_link *link)
{
	struct tcpseal_link *old = now->old;
	int err;

	link->id = now->id;
	link->old = old;
	if (old) {
		free_percpu(link->stats);
		link->stats = old->stats;
		link->stats_lent = true;
		if (old->mode == link->mode)
			link->since = old->since;
	}
	err = tcpseal_policy_replace(c->new, now, link);
	if (!err && old)
		old->heir = link;
	return err;
}

static int stage_one(struct commit *c, struct tcpseal_link *link)
{
	struct tcpseal_link *now = tcpseal_link_same(c->new, link);

	link->since = ktime_get_real_seconds();
	if (!now && link->gone) {
		NL_SET_ERR_MSG(c->extack, "no link has these two prefixes");
		return -ENOENT;
	}
	if (now)
		return stage_change(c, now, link);
	link->id = ++c->new->last_id;
	return tcpseal_policy_add(c->new, link);
}

/* Requests to delete have been stand-ins until here: another one may follow. */
static void take_gone(struct commit *c)
{
	struct tcpseal_link *link, *next;

	list_for_each_entry_safe(link, next, &c->new->links, list)
		if (link->gone)
			tcpseal_policy_remove(c->new, link, &c->gone);
}

static int stage_all(struct commit *c, struct tcpseal_txn *txn)
{
	struct tcpseal_link *link, *next;
	int err;

	list_for_each_entry_safe(link, next, &txn->staged, list) {
		list_del(&link->list);
		err = stage_one(c, link);
		if (err) {
			if (err == -ENOMEM)
				NL_SET_ERR_MSG(c->extack,
					       "no memory for the link");
			tcpseal_link_blame(c->extack, link);
			list_add(&link->list, &txn->staged);
			return err;
		}
		cond_resched();
	}
	take_gone(c);
	err = tcpseal_policy_finish(c->new);
	if (err)
		NL_SET_ERR_MSG(c->extack, "no memory for the links");
	return err;
}

/* ------------------------------------------------------- may they be so? */

static bool requires(const struct tcpseal_link *link)
{
	return link && link->mode == TCPSEAL_MODE_REQUIRE;
}

/* Do addresses that had to be sealed become weaker by this request, unsaid? */
static int check_weaker(struct commit *c, const struct tcpseal_link *link)
{
	const struct tcpseal_link *before = link->old, *after = link;

	/* Added by one request and deleted by another */
	if (!before && link->gone)
		return 0;
	if (!before)
		before = tcpseal_link_parent(c->old, link);
	if (link->gone)
		after = tcpseal_link_parent(c->new, link);
	if (!requires(before) || requires(after) ||
	    link->change & TCPSEAL_CHANGE_FLAG_WEAKEN)
		return 0;
	return tcpseal_link_refuse_weaker(c->extack, before);
}

static int check_one(struct commit *c, const struct tcpseal_link *link)
{
	int err;

	err = check_weaker(c, link);
	if (err)
		return err;
	if (link->gone)
		return tcpseal_link_check_leave(c->new, link, c->extack);
	err = tcpseal_link_check_sharing(c->new, link, c->extack);
	if (!err)
		err = tcpseal_link_check_crossing(c->new, link, c->extack);
	return err;
}

static int check_links(struct commit *c, struct list_head *links)
{
	struct tcpseal_link *link;
	int err;

	list_for_each_entry(link, links, list) {
		if (!link->staged)
			continue;
		err = check_one(c, link);
		if (err) {
			tcpseal_link_blame(c->extack, link);
			return err;
		}
		cond_resched();
	}
	return 0;
}

/* Links that go may have hidden gateways from wider ones. */
static int check_unhidden(struct commit *c)
{
	struct tcpseal_link *link;
	int err;

	if (list_empty(&c->gone))
		return 0;
	list_for_each_entry(link, &c->new->sharers, sharer) {
		err = tcpseal_link_check_sharing(c->new, link, c->extack);
		if (err) {
			tcpseal_link_blame(c->extack, link);
			return err;
		}
		cond_resched();
	}
	return 0;
}

static int check_all(struct commit *c)
{
	int err;

	err = check_links(c, &c->gone);
	if (!err)
		err = check_links(c, &c->new->links);
	if (!err)
		err = check_unhidden(c);
	return err;
}

/* ------------------------------------------------------------- the pairs */

static struct tcpseal_link *link_of(const struct tcpseal_pair *pair)
{
	return rcu_dereference_protected(pair->link,
					 lockdep_is_held(&pair->tn->lock));
}

/* The link that @pair is to have; @heir: what follows that which it has. */
static struct tcpseal_link *link_after(struct commit *c,
				       const struct tcpseal_pair *pair,
				       struct tcpseal_link **heir)
{
	struct tcpseal_link *now = link_of(pair);

	/* A pair that was made just now has a new one already */
	*heir = now && now->heir ? now->heir : now;
	return tcpseal_link_for_key(c->new, &pair->key,
				    *heir && !(*heir)->gone ? *heir : NULL,
				    NULL, NULL);
}

/* Does a request say that @pair may lose its keys? */
static bool may_lose(const struct tcpseal_link *heir,
		     const struct tcpseal_link *link)
{
	return (heir->change | (link ? link->change : 0)) &
	       TCPSEAL_CHANGE_FLAG_FORCE;
}

/*
 * Nothing is changed yet: mark the live pairs that would lose their keys. If
 * one may not, @blame is the link that is in the way. Return: how many may not.
 */
static unsigned int doom_pairs(struct commit *c, unsigned int *doomed,
			       struct tcpseal_link **blame)
{
	struct tcpseal_link *now, *heir, *link;
	unsigned int unforced = 0;
	struct tcpseal_pair *pair;
	unsigned long id;

	xa_for_each(&c->tn->pair_ids, id, pair) {
		cond_resched();
		now = link_of(pair);
		if (!now || !tcpseal_pair_live(pair))
			continue;
		link = link_after(c, pair, &heir);
		if (link && tcpseal_link_keeps_keys(now, link))
			continue;
		set_bit(TCPSEAL_PAIR_DOOMED, &pair->bits);
		(*doomed)++;
		if (!may_lose(heir, link) && !unforced++)
			*blame = heir->staged || !link ? heir : link;
	}
	return unforced;
}

static int drain_pairs(struct commit *c)
{
	unsigned int doomed = 0, unforced;
	struct tcpseal_link *blame;

	unforced = doom_pairs(c, &doomed, &blame);
	if (doomed)
		tcpseal_settle_doomed(c->tn, !unforced);
	if (!unforced)
		return 0;
	tcpseal_nl_err(c->extack,
		       "%u pairs still hold keys that would go; drain or force it",
		       unforced);
	tcpseal_link_blame(c->extack, blame);
	return -EBUSY;
}

static void relink_pairs(struct commit *c)
{
	struct tcpseal_link *now, *heir, *link;
	struct tcpseal_pair *pair;
	unsigned long id;

	xa_for_each(&c->tn->pair_ids, id, pair) {
		cond_resched();
		now = link_of(pair);
		link = link_after(c, pair, &heir);
		if (link && link == heir && !link->staged &&
		    link->pair_mode == now->pair_mode)
			rcu_assign_pointer(pair->link, link);
		else
			tcpseal_pair_relink(pair, link);
	}
	tcpseal_bypass_recall(c->tn);
}

/* ------------------------------------------------------------ the commit */

/* What has to be there before the first packet sees the new links. */
static int prepare(struct commit *c)
{
	struct tcpseal_link *link;
	bool audited = false;
	int err = 0, i;

	list_for_each_entry(link, &c->new->links, list)
		audited |= link->mode == TCPSEAL_MODE_AUDIT ||
			   link->mode == TCPSEAL_MODE_PREFER;
	if (audited)
		err = tcpseal_audit_start(c->tn, c->extack);
	for (i = 0; !err && i < 2; i++)
		if (rcu_access_pointer(c->new->tuples[i]))
			err = tcpseal_net_hook(c->tn, i ? AF_INET6 : AF_INET,
					       c->extack);
	return err;
}

static void reset_old(struct commit *c, struct tcpseal_link *link)
{
	if (requires(link) && link->flags & TCPSEAL_LINK_FLAG_OLD_RESET &&
	    !requires(link->old))
		tcpseal_old_reset(c->tn, tcpseal_abort_link(c->tn, link,
							    ECONNRESET));
}

/* The requests have been done: tell, and forget that they were requests. */
static void finish(struct commit *c)
{
	struct tcpseal_link *link;

	list_for_each_entry(link, &c->new->links, list) {
		if (link->staged) {
			reset_old(c, link);
			tcpseal_notify_link(c->tn, link, false);
		}
		link->old = NULL;
		link->change = 0;
		link->staged = false;
		cond_resched();
	}
	list_for_each_entry(link, &c->gone, list) {
		if (!link->old)
			continue;
		tcpseal_audit_forget(c->tn, link->id);
		tcpseal_notify_link(c->tn, link->old, true);
	}
}

static int commit_copy(struct commit *c, struct tcpseal_txn *txn)
{
	int err;

	err = stage_all(c, txn);
	if (!err)
		err = check_all(c);
	if (!err)
		err = prepare(c);
	/* The last that may fail: it ends connections */
	if (!err)
		err = drain_pairs(c);
	if (err)
		return err;
	tcpseal_policy_publish(c->tn, c->new);
	relink_pairs(c);
	finish(c);
	return 0;
}

/**
 * tcpseal_txn_commit() - do all that a transaction asks for, or nothing
 * @tn: namespace
 * @txn: the transaction; it is over whatever comes of it
 * @extack: says why not, after the prefixes of the link that is in the way
 *
 * Whoever looks a link up finds all of the old ones or all of the new ones.
 * When this returns, each pair goes by the new ones.
 *
 * Context: process, tn->lock. Return: 0; -EAGAIN if the links changed since
 * the transaction began; or another negative error.
 */
int tcpseal_txn_commit(struct tcpseal_net *tn, struct tcpseal_txn *txn,
		       struct netlink_ext_ack *extack)
{
	struct commit c = { .tn = tn, .extack = extack };
	int err = -ENOMEM;

	lockdep_assert_held(&tn->lock);
	INIT_LIST_HEAD(&c.gone);
	c.old = tcpseal_policy(tn);
	if (txn->seq != c.old->seq) {
		NL_SET_ERR_MSG(extack,
			       "the links changed since the transaction began; read them again");
		err = -EAGAIN;
		goto free_txn;
	}
	c.new = tcpseal_policy_copy(c.old, txn->nr);
	if (!c.new) {
		NL_SET_ERR_MSG(extack, "no memory for the links");
		goto free_txn;
	}
	err = commit_copy(&c, txn);
	if (err)
		tcpseal_policy_free(c.new);
	else
		tcpseal_policy_free_later(c.old);
	links_free(&c.gone);
free_txn:
	tcpseal_txn_free(txn);
	return err;
}

void tcpseal_txn_release(struct tcpseal_net *tn, u32 portid)
{
	struct tcpseal_txn *txn;

	/* What it had begun it began itself, before */
	if (list_empty_careful(&tn->txns))
		return;
	mutex_lock(&tn->lock);
	txn = tcpseal_txn_find(tn, portid);
	if (txn)
		tcpseal_txn_free(txn);
	mutex_unlock(&tn->lock);
}

void tcpseal_txn_exit(struct tcpseal_net *tn)
{
	struct tcpseal_txn *txn, *next;

	list_for_each_entry_safe(txn, next, &tn->txns, list)
		tcpseal_txn_free(txn);
}
