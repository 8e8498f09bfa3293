// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: pairs. */
#include <linux/timekeeping.h>

#include "netlink-gen.h"
#include "nl.h"
#include "sa.h"

/* *@to: a copy, or NULL without the attribute. */
static int get_string(const struct nlattr *attr, char **to,
		      struct netlink_ext_ack *extack)
{
	*to = NULL;
	if (!attr)
		return 0;
	*to = nla_strdup(attr, GFP_KERNEL_ACCOUNT);
	if (*to)
		return 0;
	NL_SET_ERR_MSG_ATTR(extack, attr, "no memory for the text");
	return -ENOMEM;
}

static void set_string(char **to, char *copy)
{
	if (!copy)
		return;
	kfree(*to);
	*to = copy;
}

static void pair_restore(struct tcpseal_pair *pair, struct nlattr **attrs,
			 u32 flags)
{
	const struct nlattr *since = attrs[TCPSEAL_A_PAIR_STICKY_SINCE];

	if (attrs[TCPSEAL_A_PAIR_LAST_SEALED])
		pair->last_sealed =
			nla_get_u64(attrs[TCPSEAL_A_PAIR_LAST_SEALED]);
	if (flags & TCPSEAL_PAIR_FLAG_STICKY)
		tcpseal_pair_set_sticky(pair, since ? nla_get_u64(since) :
					      ktime_get_real_seconds());
	tcpseal_pair_update(pair);
}

static int pair_set(struct tcpseal_pair *pair, struct nlattr **attrs,
		    struct netlink_ext_ack *extack)
{
	u32 flags = attrs[TCPSEAL_A_PAIR_FLAGS] ?
		    nla_get_u32(attrs[TCPSEAL_A_PAIR_FLAGS]) : 0;
	char *identity, *reason;
	int err;

	err = get_string(attrs[TCPSEAL_A_PAIR_IDENTITY], &identity, extack);
	if (err)
		return err;
	err = get_string(attrs[TCPSEAL_A_PAIR_REASON], &reason, extack);
	if (err) {
		kfree(identity);
		return err;
	}
	/* Nothing fails from here on: all of it, or none */
	set_string(&pair->identity, identity);
	set_string(&pair->reason, reason);
	if (reason)
		pair->reason_at = ktime_get_boottime_seconds();
	pair_restore(pair, attrs, flags);
	if (attrs[TCPSEAL_A_PAIR_MODE_PEER])
		tcpseal_pair_set_peer(pair,
				      nla_get_u32(attrs[TCPSEAL_A_PAIR_MODE_PEER]));
	if (attrs[TCPSEAL_A_PAIR_BACKOFF_SECS])
		tcpseal_pair_backoff(pair,
				     nla_get_u32(attrs[TCPSEAL_A_PAIR_BACKOFF_SECS]),
				     flags & TCPSEAL_PAIR_FLAG_REFUSED);
	return 0;
}

int tcpseal_nl_pair_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	const struct nlattr *flags = info->attrs[TCPSEAL_A_PAIR_FLAGS];
	struct tcpseal_pair *pair;
	struct tcpseal_addrs key;
	int err;

	if (flags && nla_get_u32(flags) & ~(TCPSEAL_PAIR_FLAG_STICKY |
					    TCPSEAL_PAIR_FLAG_REFUSED)) {
		NL_SET_ERR_MSG_ATTR(info->extack, flags,
				    "only sticky and refused can be set");
		return -EINVAL;
	}
	err = tcpseal_nl_pair(info, TCPSEAL_A_PAIR_LOCAL, TCPSEAL_A_PAIR_REMOTE,
			      &key);
	if (err)
		return err;
	mutex_lock(&tn->lock);
	pair = tcpseal_pair_by_key(tn, &key, true, info->extack);
	err = pair ? pair_set(pair, info->attrs, info->extack) : -ENOENT;
	mutex_unlock(&tn->lock);
	return err;
}

int tcpseal_nl_pair_forget_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct nlattr **attrs = info->attrs;
	struct tcpseal_addrs want = {};
	struct tcpseal_pair *pair;
	bool has_local, found = false;
	unsigned long id;
	int err;
	u8 len;

	err = tcpseal_nl_addr(attrs[TCPSEAL_A_PAIR_REMOTE], &want.remote,
			      &want.family, info->extack);
	if (err == -ENOENT)
		NL_SET_ERR_MSG(info->extack, "a remote address is needed");
	if (err)
		return err == -ENOENT ? -EINVAL : err;
	err = tcpseal_nl_addr(attrs[TCPSEAL_A_PAIR_LOCAL], &want.local,
			      &want.family, info->extack);
	if (err && err != -ENOENT)
		return err;
	has_local = !err;
	len = attrs[TCPSEAL_A_PAIR_REMOTE_LEN] ?
	      nla_get_u8(attrs[TCPSEAL_A_PAIR_REMOTE_LEN]) :
	      8 * tcpseal_addr_len(want.family);
	if (len > 8 * tcpseal_addr_len(want.family)) {
		NL_SET_ERR_MSG_ATTR(info->extack,
				    attrs[TCPSEAL_A_PAIR_REMOTE_LEN],
				    "the prefix is longer than its address");
		return -EINVAL;
	}

	mutex_lock(&tn->lock);
	xa_for_each(&tn->pair_ids, id, pair) {
		cond_resched();
		if (pair->key.family != want.family ||
		    !test_bit(TCPSEAL_PAIR_STICKY, &pair->bits) ||
		    !tcpseal_prefix_match(want.family, &pair->key.remote,
					  &want.remote, len) ||
		    (has_local &&
		     !nf_inet_addr_cmp(&pair->key.local, &want.local)))
			continue;
		found = true;
		tcpseal_pair_release(pair);
		tcpseal_pair_update(pair);
	}
	mutex_unlock(&tn->lock);
	if (found)
		return 0;
	NL_SET_ERR_MSG(info->extack, "no pair there is sticky");
	return -ENOENT;
}

int tcpseal_nl_pair_rekey_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_pair *pair;
	struct tcpseal_addrs key;
	int err;

	err = tcpseal_nl_pair(info, TCPSEAL_A_PAIR_LOCAL, TCPSEAL_A_PAIR_REMOTE,
			      &key);
	if (err)
		return err;
	err = -ENOENT;
	mutex_lock(&tn->lock);
	pair = tcpseal_pair_by_key(tn, &key, true, info->extack);
	if (pair) {
		rcu_read_lock();
		err = 0;
		/* An operator does not wait for the end of a back-off */
		WRITE_ONCE(pair->backoff_until, 0);
		if (!tcpseal_pair_acquire(pair,
					  TCPSEAL_ACQUIRE_WHY_OPERATOR)) {
			NL_SET_ERR_MSG(info->extack,
				       "keys of this link are manual");
			err = -EOPNOTSUPP;
		}
		rcu_read_unlock();
	}
	mutex_unlock(&tn->lock);
	return err;
}

static u32 pair_flags(const struct tcpseal_pair *pair)
{
	return (test_bit(TCPSEAL_PAIR_STICKY, &pair->bits) ?
		TCPSEAL_PAIR_FLAG_STICKY : 0) |
	       (test_bit(TCPSEAL_PAIR_WANT, &pair->bits) ?
		TCPSEAL_PAIR_FLAG_WANT : 0) |
	       (READ_ONCE(pair->nr_held) ? TCPSEAL_PAIR_FLAG_HELD : 0) |
	       (pair->refused ? TCPSEAL_PAIR_FLAG_REFUSED : 0) |
	       (pair->agreed ? TCPSEAL_PAIR_FLAG_AGREED : 0);
}

/* Seconds of back-off that are left, rounded up. */
static u32 pair_backoff(const struct tcpseal_pair *pair)
{
	unsigned long until = READ_ONCE(pair->backoff_until), now = jiffies;

	return until && time_before(now, until) ?
	       DIV_ROUND_UP(until - now, HZ) : 0;
}

static u64 pair_last_sealed(const struct tcpseal_pair *pair)
{
	unsigned long ago = jiffies - READ_ONCE(pair->last_opened);

	return test_bit(TCPSEAL_PAIR_HEARD, &pair->bits) ?
	       ktime_get_real_seconds() - ago / HZ : pair->last_sealed;
}

static u32 pair_clean(const struct tcpseal_pair *pair)
{
	u64 ago = get_jiffies_64() - READ_ONCE(pair->plain_at);

	return div_u64(ago, HZ);
}

static int put_pair_who(struct sk_buff *msg, const struct tcpseal_pair *pair,
			const struct tcpseal_link *link)
{
	if (tcpseal_nl_put_addr(msg, TCPSEAL_A_PAIR_LOCAL, pair->key.family,
				&pair->key.local) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_PAIR_REMOTE, pair->key.family,
				&pair->key.remote) ||
	    nla_put_u32(msg, TCPSEAL_A_PAIR_STATE,
			tcpseal_pair_state(pair)) ||
	    nla_put_u32(msg, TCPSEAL_A_PAIR_FLAGS, pair_flags(pair)))
		return -EMSGSIZE;
	if (link && (nla_put_u32(msg, TCPSEAL_A_PAIR_LINK_ID, link->id) ||
		     nla_put_u32(msg, TCPSEAL_A_PAIR_MODE_LOCAL,
				 link->pair_mode)))
		return -EMSGSIZE;
	if (pair->peer_mode_known &&
	    nla_put_u32(msg, TCPSEAL_A_PAIR_MODE_PEER, pair->peer_mode))
		return -EMSGSIZE;
	return 0;
}

static int put_pair_memory(struct sk_buff *msg,
			   const struct tcpseal_pair *pair)
{
	u64 sealed = pair_last_sealed(pair);
	u32 backoff = pair_backoff(pair);

	if ((test_bit(TCPSEAL_PAIR_STICKY, &pair->bits) &&
	     tcpseal_nl_put_u64(msg, TCPSEAL_A_PAIR_STICKY_SINCE,
				pair->sticky_since)) ||
	    (sealed && tcpseal_nl_put_u64(msg, TCPSEAL_A_PAIR_LAST_SEALED,
					  sealed)) ||
	    (pair->identity && nla_put_string(msg, TCPSEAL_A_PAIR_IDENTITY,
					      pair->identity)) ||
	    (pair->reason &&
	     (nla_put_string(msg, TCPSEAL_A_PAIR_REASON, pair->reason) ||
	      nla_put_u32(msg, TCPSEAL_A_PAIR_REASON_SECS,
			  ktime_get_boottime_seconds() - pair->reason_at))) ||
	    (backoff && nla_put_u32(msg, TCPSEAL_A_PAIR_BACKOFF_SECS,
				    backoff)) ||
	    (test_bit(TCPSEAL_PAIR_WANT, &pair->bits) &&
	     nla_put_u32(msg, TCPSEAL_A_PAIR_WHY, READ_ONCE(pair->why))) ||
	    nla_put_u32(msg, TCPSEAL_A_PAIR_HELD, READ_ONCE(pair->nr_held)) ||
	    nla_put_u32(msg, TCPSEAL_A_PAIR_CLEAN_SECS, pair_clean(pair)))
		return -EMSGSIZE;
	return 0;
}

/* Ids of what is in use, and the counters of live SAs. tn->lock. */
static int put_pair_sas(struct sk_buff *msg, const struct tcpseal_pair *pair)
{
	u64 value[TCPSEAL_A_COUNTERS_MAX + 1] = {
		[TCPSEAL_A_COUNTERS_SEALED_RECORDS] =
			atomic64_read(&pair->old_sealed_records),
		[TCPSEAL_A_COUNTERS_SEALED_BYTES] =
			atomic64_read(&pair->old_sealed_bytes),
		[TCPSEAL_A_COUNTERS_SEALED_SKBS] =
			atomic64_read(&pair->old_sealed_skbs),
		[TCPSEAL_A_COUNTERS_OPENED_RECORDS] =
			atomic64_read(&pair->old_opened_records),
		[TCPSEAL_A_COUNTERS_OPENED_BYTES] =
			atomic64_read(&pair->old_opened_bytes),
		[TCPSEAL_A_COUNTERS_OPENED_SKBS] =
			atomic64_read(&pair->old_opened_skbs),
		[TCPSEAL_A_COUNTERS_PLAIN_OUT] =
			atomic64_read(&pair->plain_out),
		[TCPSEAL_A_COUNTERS_PLAIN_OUT_BYTES] =
			atomic64_read(&pair->plain_out_bytes),
		[TCPSEAL_A_COUNTERS_PLAIN_IN] = atomic64_read(&pair->plain_in),
		[TCPSEAL_A_COUNTERS_PLAIN_IN_BYTES] =
			atomic64_read(&pair->plain_in_bytes),
		[TCPSEAL_A_COUNTERS_HELD] = atomic64_read(&pair->held),
		[TCPSEAL_A_COUNTERS_DROPPED] = atomic64_read(&pair->dropped),
	};
	struct tcpseal_sa_volume sum;
	struct tcpseal_sa *sa;
	u32 tx = 0, rx = 0;

	list_for_each_entry(sa, &pair->sas, pair_node) {
		bool out = sa->dir == TCPSEAL_DIR_OUT;
		unsigned int first = out ? TCPSEAL_A_COUNTERS_SEALED_RECORDS :
					   TCPSEAL_A_COUNTERS_OPENED_RECORDS;

		tcpseal_sa_volume(sa, &sum);
		value[first] += sum.records;
		value[first + 1] += sum.bytes;
		value[first + 2] += sum.skbs;
		if (sa->state == TCPSEAL_SA_STATE_CURRENT)
			*(out ? &tx : &rx) = sa->id;
	}
	if ((tx && nla_put_u32(msg, TCPSEAL_A_PAIR_TX_ID, tx)) ||
	    (rx && nla_put_u32(msg, TCPSEAL_A_PAIR_RX_ID, rx)))
		return -EMSGSIZE;
	return tcpseal_nl_put_counters(msg, TCPSEAL_A_PAIR_STATS, value);
}

static int dump_pair(struct sk_buff *skb, struct netlink_callback *cb,
		     const struct tcpseal_pair *pair)
{
	const struct tcpseal_link *link;
	void *hdr;

	link = rcu_dereference_protected(pair->link,
					 lockdep_is_held(&pair->tn->lock));
	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tcpseal_nl_family, NLM_F_MULTI,
			  TCPSEAL_CMD_PAIR_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (put_pair_who(skb, pair, link) || put_pair_memory(skb, pair) ||
	    put_pair_sas(skb, pair)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

struct pair_filter {
	struct tcpseal_addrs	key;
	bool			has_local, has_remote, want_only;
};

static int get_filter(struct netlink_callback *cb, struct pair_filter *f)
{
	struct nlattr **attrs = tcpseal_dump_attrs(cb);
	int err;

	err = tcpseal_nl_addr(attrs[TCPSEAL_A_PAIR_LOCAL], &f->key.local,
			      &f->key.family, cb->extack);
	if (err && err != -ENOENT)
		return err;
	f->has_local = !err;
	err = tcpseal_nl_addr(attrs[TCPSEAL_A_PAIR_REMOTE], &f->key.remote,
			      &f->key.family, cb->extack);
	if (err && err != -ENOENT)
		return err;
	f->has_remote = !err;
	f->want_only = attrs[TCPSEAL_A_PAIR_WANT_ONLY];
	return 0;
}

static bool pair_fits(const struct tcpseal_pair *pair,
		      const struct pair_filter *f)
{
	if (f->key.family && f->key.family != pair->key.family)
		return false;
	if ((f->has_local &&
	     !nf_inet_addr_cmp(&f->key.local, &pair->key.local)) ||
	    (f->has_remote &&
	     !nf_inet_addr_cmp(&f->key.remote, &pair->key.remote)))
		return false;
	return !f->want_only || (test_bit(TCPSEAL_PAIR_WANT, &pair->bits) &&
				 !pair_backoff(pair));
}

/* Asked for before each handshake: not searched for among all. tn->lock */
static int dump_one(struct sk_buff *skb, struct netlink_callback *cb,
		    struct tcpseal_net *tn, const struct pair_filter *filter)
{
	struct tcpseal_pair *pair;
	int err = 0;

	pair = tcpseal_pair_by_key(tn, &filter->key, false, NULL);
	if (pair && pair->id >= cb->args[0] && pair_fits(pair, filter))
		err = dump_pair(skb, cb, pair);
	if (!err)
		cb->args[0] = LONG_MAX;
	return err;
}

/* The cursor is the id to go on with, see tcpseal_nl_sa_get_dumpit(). */
int tcpseal_nl_pair_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb)
{
	struct tcpseal_net *tn = tcpseal_net(sock_net(skb->sk));
	struct pair_filter filter = {};
	struct tcpseal_pair *pair;
	unsigned long id;
	int err;

	err = get_filter(cb, &filter);
	if (err)
		return err;
	mutex_lock(&tn->lock);
	if (filter.has_local && filter.has_remote) {
		err = dump_one(skb, cb, tn, &filter);
		goto unlock;
	}
	xa_for_each_start(&tn->pair_ids, id, pair, cb->args[0]) {
		cond_resched();
		err = pair_fits(pair, &filter) ? dump_pair(skb, cb, pair) : 0;
		if (err)
			break;
		cb->args[0] = id + 1;
	}
unlock:
	mutex_unlock(&tn->lock);
	return err && !skb->len ? err : skb->len;
}
