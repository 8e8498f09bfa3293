// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: who talks plaintext. */
#include "audit.h"
#include "netlink-gen.h"
#include "nl.h"

static int put_talker(struct sk_buff *msg, const struct tcpseal_talker *t)
{
	if (nla_put_u32(msg, TCPSEAL_A_TALKER_LINK_ID, t->link_id) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_TALKER_LOCAL, t->addrs.family,
				&t->addrs.local) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_TALKER_REMOTE, t->addrs.family,
				&t->addrs.remote) ||
	    (t->local_port && nla_put_u16(msg, TCPSEAL_A_TALKER_LOCAL_PORT,
					  t->local_port)) ||
	    (t->remote_port && nla_put_u16(msg, TCPSEAL_A_TALKER_REMOTE_PORT,
					   t->remote_port)) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_TALKER_PLAIN_OUT,
			       t->plain.out) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_TALKER_PLAIN_OUT_BYTES,
			       t->plain.out_bytes) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_TALKER_PLAIN_IN, t->plain.in) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_TALKER_PLAIN_IN_BYTES,
			       t->plain.in_bytes) ||
	    (t->missed && tcpseal_nl_put_u64(msg, TCPSEAL_A_TALKER_MISSED,
					     t->missed)) ||
	    nla_put_u32(msg, TCPSEAL_A_TALKER_FIRST_SECS, t->first_secs) ||
	    nla_put_u32(msg, TCPSEAL_A_TALKER_LAST_SECS, t->last_secs))
		return -EMSGSIZE;
	return 0;
}

static int dump_talker(struct sk_buff *skb, struct netlink_callback *cb,
		       const struct tcpseal_talker *talker)
{
	void *hdr;

	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tcpseal_nl_family, NLM_F_MULTI,
			  TCPSEAL_CMD_AUDIT_GET);
	if (!hdr)
		return -EMSGSIZE;
	genl_dump_check_consistent(cb, hdr);
	if (put_talker(skb, talker)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/* The cursor is the slot to go on with; a flush meanwhile is told as such. */
int tcpseal_nl_audit_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb)
{
	const struct nlattr *id = tcpseal_dump_attrs(cb)[TCPSEAL_A_TALKER_LINK_ID];
	struct tcpseal_net *tn = tcpseal_net(sock_net(skb->sk));
	struct tcpseal_talker talker = {};
	unsigned long at = cb->args[0];
	int err = 0;

	mutex_lock(&tn->lock);
	cb->seq = tcpseal_audit_seq(tn);
	for (; tcpseal_audit_next(tn, &at, &talker); at++) {
		if (id && talker.link_id != nla_get_u32(id))
			continue;
		err = dump_talker(skb, cb, &talker);
		if (err)
			break;
	}
	mutex_unlock(&tn->lock);
	cb->args[0] = at;
	return err && !skb->len ? err : skb->len;
}

int tcpseal_nl_audit_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	int err;

	mutex_lock(&tn->lock);
	err = tcpseal_audit_flush(tn, info->extack);
	mutex_unlock(&tn->lock);
	return err;
}
