// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: links. */
#include "netlink-gen.h"
#include "nl.h"
#include "stats.h"
#include "txn.h"

int tcpseal_nl_put_link(struct sk_buff *msg, const struct tcpseal_link *link,
			u32 mode)
{
	unsigned int i;

	if (nla_put_u32(msg, TCPSEAL_A_LINK_ID, link->id) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_LINK_LOCAL, link->family,
				&link->local) ||
	    nla_put_u8(msg, TCPSEAL_A_LINK_LOCAL_LEN, link->local_len) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_LINK_REMOTE, link->family,
				&link->remote) ||
	    nla_put_u8(msg, TCPSEAL_A_LINK_REMOTE_LEN, link->remote_len) ||
	    nla_put_u32(msg, TCPSEAL_A_LINK_MODE, mode) ||
	    nla_put_u32(msg, TCPSEAL_A_LINK_AEAD, link->aead) ||
	    nla_put_u32(msg, TCPSEAL_A_LINK_FLAGS, link->flags))
		return -EMSGSIZE;
	if (link->has_via &&
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_LINK_VIA, link->family,
				&link->via))
		return -EMSGSIZE;
	if (link->identity[0] &&
	    nla_put_string(msg, TCPSEAL_A_LINK_IDENTITY, link->identity))
		return -EMSGSIZE;
	for (i = 0; i < link->nr_inside; i++)
		if (nla_put_u32(msg, TCPSEAL_A_LINK_INSIDE, link->inside[i]))
			return -EMSGSIZE;
	return 0;
}

/* The two prefixes, which a link is known by. */
static int get_prefixes(struct genl_info *info, struct tcpseal_link *link)
{
	struct nlattr **attrs = info->attrs;
	int err;

	if (GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_LINK_LOCAL) ||
	    GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_LINK_LOCAL_LEN) ||
	    GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_LINK_REMOTE) ||
	    GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_LINK_REMOTE_LEN)) {
		NL_SET_ERR_MSG(info->extack,
			       "local and remote prefix are needed");
		return -EINVAL;
	}
	err = tcpseal_nl_addr(attrs[TCPSEAL_A_LINK_LOCAL], &link->local,
			      &link->family, info->extack);
	if (!err)
		err = tcpseal_nl_addr(attrs[TCPSEAL_A_LINK_REMOTE],
				      &link->remote, &link->family,
				      info->extack);
	if (err)
		return err;
	link->local_len = nla_get_u8(attrs[TCPSEAL_A_LINK_LOCAL_LEN]);
	link->remote_len = nla_get_u8(attrs[TCPSEAL_A_LINK_REMOTE_LEN]);
	if (max(link->local_len, link->remote_len) >
	    8 * tcpseal_addr_len(link->family)) {
		NL_SET_ERR_MSG(info->extack,
			       "a prefix is longer than its address");
		return -EINVAL;
	}
	return 0;
}

static int get_inside(struct genl_info *info, struct tcpseal_link *link)
{
	struct nlattr *attr;
	int rem, ifindex;

	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem) {
		if (nla_type(attr) != TCPSEAL_A_LINK_INSIDE)
			continue;
		ifindex = nla_get_u32(attr);
		if (tcpseal_link_inside(link, ifindex))
			continue;
		if (ifindex < 0) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "no device has this index");
			return -EINVAL;
		}
		if (link->nr_inside == TCPSEAL_INSIDE_MAX) {
			NL_SET_ERR_MSG_ATTR(info->extack, attr,
					    "too many inside devices");
			return -ENOSPC;
		}
		link->inside[link->nr_inside++] = ifindex;
	}
	return 0;
}

static int get_link(struct genl_info *info, struct tcpseal_link *link)
{
	struct nlattr **attrs = info->attrs;
	int err;

	err = get_prefixes(info, link);
	if (err)
		return err;
	err = tcpseal_nl_addr(attrs[TCPSEAL_A_LINK_VIA], &link->via,
			      &link->family, info->extack);
	if (err && err != -ENOENT)
		return err;
	link->has_via = !err;
	link->mode = attrs[TCPSEAL_A_LINK_MODE] ?
		     nla_get_u32(attrs[TCPSEAL_A_LINK_MODE]) :
		     TCPSEAL_MODE_AUDIT;
	link->aead = attrs[TCPSEAL_A_LINK_AEAD] ?
		     nla_get_u32(attrs[TCPSEAL_A_LINK_AEAD]) :
		     TCPSEAL_AEAD_AES256_GCM;
	if (attrs[TCPSEAL_A_LINK_FLAGS])
		link->flags = nla_get_u32(attrs[TCPSEAL_A_LINK_FLAGS]);
	if (attrs[TCPSEAL_A_LINK_IDENTITY])
		nla_strscpy(link->identity, attrs[TCPSEAL_A_LINK_IDENTITY],
			    sizeof(link->identity));
	return get_inside(info, link);
}

static u32 get_change(const struct genl_info *info)
{
	const struct nlattr *attr = info->attrs[TCPSEAL_A_LINK_CHANGE];

	return attr ? nla_get_u32(attr) : 0;
}

/* A transaction lacks a request that could not even be read. */
static void spoil_txn(struct tcpseal_net *tn, const struct genl_info *info)
{
	struct tcpseal_txn *txn;

	mutex_lock(&tn->lock);
	txn = tcpseal_txn_find(tn, info->snd_portid);
	if (txn)
		tcpseal_txn_free(txn);
	mutex_unlock(&tn->lock);
}

/* At once, or with the transaction that the socket has begun. */
static int set_link(struct tcpseal_net *tn, struct tcpseal_link *link,
		    struct genl_info *info)
{
	struct tcpseal_txn *txn;
	int err;

	mutex_lock(&tn->lock);
	txn = tcpseal_txn_find(tn, info->snd_portid);
	if (txn)
		err = tcpseal_txn_stage(tn, txn, link, false, get_change(info),
					info->extack);
	else
		err = tcpseal_link_set(tn, link, get_change(info),
				       info->extack);
	mutex_unlock(&tn->lock);
	return err;
}

int tcpseal_nl_link_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_link *link;
	int err;

	link = tcpseal_link_alloc();
	if (!link) {
		NL_SET_ERR_MSG(info->extack, "no memory for the link");
		return -ENOMEM;
	}
	err = get_link(info, link);
	if (err)
		spoil_txn(tn, info);
	else
		err = set_link(tn, link, info);
	if (err)
		tcpseal_link_free(link);
	else
		flush_work(&tn->lro);
	return err;
}

static int stage_del(struct tcpseal_net *tn, struct tcpseal_txn *txn,
		     const struct tcpseal_link *like, struct genl_info *info)
{
	struct tcpseal_link *link = tcpseal_link_alloc();
	int err;

	if (!link) {
		NL_SET_ERR_MSG(info->extack, "no memory for the request");
		return -ENOMEM;
	}
	link->family = like->family;
	link->local = like->local;
	link->remote = like->remote;
	link->local_len = like->local_len;
	link->remote_len = like->remote_len;
	err = tcpseal_txn_stage(tn, txn, link, true, get_change(info),
				info->extack);
	if (err)
		tcpseal_link_free(link);
	return err;
}

int tcpseal_nl_link_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_link like = {};
	struct tcpseal_txn *txn;
	int err;

	err = get_prefixes(info, &like);
	if (err) {
		spoil_txn(tn, info);
		return err;
	}
	mutex_lock(&tn->lock);
	txn = tcpseal_txn_find(tn, info->snd_portid);
	if (txn)
		err = stage_del(tn, txn, &like, info);
	else
		err = tcpseal_link_del(tn, &like, get_change(info),
				       info->extack);
	mutex_unlock(&tn->lock);
	if (!txn)
		tcpseal_net_kick(tn);
	return err;
}

int tcpseal_nl_link_begin_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	int err;

	mutex_lock(&tn->lock);
	err = tcpseal_txn_begin(tn, info->snd_portid, info->extack);
	mutex_unlock(&tn->lock);
	return err;
}

static struct tcpseal_txn *get_txn(struct tcpseal_net *tn,
				   struct genl_info *info)
{
	struct tcpseal_txn *txn = tcpseal_txn_find(tn, info->snd_portid);

	if (!txn)
		NL_SET_ERR_MSG(info->extack,
			       "this socket has no transaction: none was begun, or a request of it was refused");
	return txn;
}

int tcpseal_nl_link_commit_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_txn *txn;
	int err = -ENOENT;

	mutex_lock(&tn->lock);
	txn = get_txn(tn, info);
	if (txn)
		err = tcpseal_txn_commit(tn, txn, info->extack);
	mutex_unlock(&tn->lock);
	if (!err)
		flush_work(&tn->lro);
	tcpseal_net_kick(tn);
	return err;
}

int tcpseal_nl_link_abort_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_txn *txn;

	mutex_lock(&tn->lock);
	txn = get_txn(tn, info);
	if (txn)
		tcpseal_txn_free(txn);
	mutex_unlock(&tn->lock);
	return txn ? 0 : -ENOENT;
}

int tcpseal_nl_link_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	int err;

	mutex_lock(&tn->lock);
	if (tcpseal_txn_find(tn, info->snd_portid)) {
		NL_SET_ERR_MSG(info->extack,
			       "a transaction deletes links one by one");
		err = -EBUSY;
	} else {
		err = tcpseal_link_flush(tn, get_change(info), info->extack);
	}
	mutex_unlock(&tn->lock);
	tcpseal_net_kick(tn);
	return err;
}

static int put_link_stats(struct sk_buff *msg, const struct tcpseal_link *link)
{
	u64 value[TCPSEAL_A_COUNTERS_MAX + 1] = {};

	tcpseal_link_stats_read(link,
				&value[TCPSEAL_A_COUNTERS_SEALED_RECORDS]);
	return tcpseal_nl_put_counters(msg, TCPSEAL_A_LINK_STATS, value);
}

static int dump_link(struct sk_buff *skb, struct netlink_callback *cb,
		     const struct tcpseal_link *link)
{
	void *hdr;

	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tcpseal_nl_family, NLM_F_MULTI,
			  TCPSEAL_CMD_LINK_GET);
	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (tcpseal_nl_put_link(skb, link, link->mode) ||
	    put_link_stats(skb, link) ||
	    tcpseal_nl_put_u64(skb, TCPSEAL_A_LINK_SINCE, link->since)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* The cursor is the last id: ids only grow, and the list is in their order. */
int tcpseal_nl_link_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb)
{
	struct tcpseal_net *tn = tcpseal_net(sock_net(skb->sk));
	const struct tcpseal_link *link;
	int err = 0;

	mutex_lock(&tn->lock);
	cb->seq = tcpseal_link_seq(tn);
	list_for_each_entry(link, &tcpseal_policy(tn)->links, list) {
		if (link->id <= cb->args[0])
			continue;
		err = dump_link(skb, cb, link);
		if (err)
			break;
		cb->args[0] = link->id;
	}
	mutex_unlock(&tn->lock);
	return err && !skb->len ? err : skb->len;
}
