// SPDX-License-Identifier: GPL-2.0-only
/*
 * The generic netlink family: what is common to its commands, counters,
 * limits and control sockets. Links, SAs and pairs have files of their own.
 */
#include <linux/stdarg.h>

#include "audit.h"
#include "ctrl.h"
#include "netlink-gen.h"
#include "nl.h"
#include "stats.h"

/* The generator makes these only for families that it makes whole */
static const struct genl_multicast_group mcgrps[] = {
	[TCPSEAL_NLGRP_EVENTS] = { .name = TCPSEAL_MCGRP_EVENTS },
};

struct genl_family tcpseal_nl_family __ro_after_init = {
	.name		= TCPSEAL_FAMILY_NAME,
	.version	= TCPSEAL_FAMILY_VERSION,
	.netnsok	= true,
	/* Everything that changes takes tn->lock; namespaces do not wait */
	.parallel_ops	= true,
	.module		= THIS_MODULE,
	.split_ops	= tcpseal_nl_ops,
	.n_split_ops	= ARRAY_SIZE(tcpseal_nl_ops),
	.mcgrps		= mcgrps,
	.n_mcgrps	= ARRAY_SIZE(mcgrps),
};

/*
 * The kernel's own formatted messages end after 80 characters, two IPv6
 * prefixes have more. A message lives until the caller has been answered,
 * which is at once; whoever else is refused meanwhile takes another slot.
 */
void tcpseal_nl_err(struct netlink_ext_ack *extack, const char *fmt, ...)
{
	static char slots[64][256];
	static atomic_t last;
	va_list args;
	char *slot;

	if (!extack)
		return;
	slot = slots[(unsigned int)atomic_inc_return(&last) %
		     ARRAY_SIZE(slots)];
	va_start(args, fmt);
	vsnprintf(slot, sizeof(slots[0]), fmt, args);
	va_end(args);
	extack->_msg = slot;
}

/**
 * tcpseal_nl_addr() - an address from a request
 * @attr: the attribute, or NULL
 * @addr: where to; all 16 bytes are written
 * @family: 0, or what an earlier address of the message said
 * @extack: says what was wrong
 *
 * Return: 0; -ENOENT without a word if there is no attribute; or -EINVAL.
 */
int tcpseal_nl_addr(const struct nlattr *attr, union nf_inet_addr *addr,
		    u16 *family, struct netlink_ext_ack *extack)
{
	u16 f;

	if (!attr)
		return -ENOENT;
	if (nla_len(attr) != 4 && nla_len(attr) != 16) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "an address has 4 or 16 bytes");
		return -EINVAL;
	}
	f = nla_len(attr) == 4 ? AF_INET : AF_INET6;
	if (*family && f != *family) {
		NL_SET_ERR_MSG_ATTR(extack, attr,
				    "IPv4 and IPv6 addresses in one request");
		return -EINVAL;
	}
	*family = f;
	memset(addr, 0, sizeof(*addr));
	memcpy(addr, nla_data(attr), nla_len(attr));
	return 0;
}

/* The key of a pair; both addresses must be there. */
int tcpseal_nl_pair(struct genl_info *info, int local, int remote,
		    struct tcpseal_addrs *key)
{
	int err;

	memset(key, 0, sizeof(*key));
	if (GENL_REQ_ATTR_CHECK(info, local) ||
	    GENL_REQ_ATTR_CHECK(info, remote)) {
		NL_SET_ERR_MSG(info->extack, "both addresses are needed");
		return -EINVAL;
	}
	err = tcpseal_nl_addr(info->attrs[local], &key->local, &key->family,
			      info->extack);
	if (err)
		return err;
	return tcpseal_nl_addr(info->attrs[remote], &key->remote, &key->family,
			       info->extack);
}

int tcpseal_nl_put_addr(struct sk_buff *msg, int attr, u16 family,
			const union nf_inet_addr *addr)
{
	return nla_put(msg, attr, tcpseal_addr_len(family), addr);
}

/* Like nla_put_uint() of newer kernels: readers must not expect alignment. */
int tcpseal_nl_put_u64(struct sk_buff *msg, int attr, u64 value)
{
	return nla_put(msg, attr, sizeof(value), &value);
}

/**
 * tcpseal_nl_put_counters() - counters into a nest
 * @msg: message
 * @attr: type of the nest
 * @value: by TCPSEAL_A_COUNTERS_*
 *
 * Return: 0 or -EMSGSIZE.
 */
int tcpseal_nl_put_counters(struct sk_buff *msg, int attr, const u64 *value)
{
	struct nlattr *nest = nla_nest_start(msg, attr);
	int i;

	if (!nest)
		return -EMSGSIZE;
	for (i = TCPSEAL_A_COUNTERS_SEALED_RECORDS;
	     i <= TCPSEAL_A_COUNTERS_MAX; i++)
		if (nla_put_u64_64bit(msg, i, value[i],
				      TCPSEAL_A_COUNTERS_PAD))
			return -EMSGSIZE;
	nla_nest_end(msg, nest);
	return 0;
}

static const char * const drop_names[] = {
#define X(nr, id, name, text) \
	[nr] = name,
	TCPSEAL_DROP_REASONS(X)
#undef X
};

static const char * const note_names[] = {
#define X(nr, id, name, text) \
	[nr] = name,
	TCPSEAL_NOTES(X)
#undef X
};

static int put_reasons(struct sk_buff *msg, int attr, const u64 *value,
		       const char * const *names, unsigned int max)
{
	struct nlattr *nest;
	unsigned int i;

	for (i = 1; i < max; i++) {
		if (!names[i])
			continue;
		nest = nla_nest_start(msg, attr);
		if (!nest || nla_put_u32(msg, TCPSEAL_A_DROP_REASON, i) ||
		    nla_put_string(msg, TCPSEAL_A_DROP_NAME, names[i]) ||
		    tcpseal_nl_put_u64(msg, TCPSEAL_A_DROP_PACKETS, value[i]))
			return -EMSGSIZE;
		nla_nest_end(msg, nest);
	}
	return 0;
}

struct stats_values {
	u64	total[__TCPSEAL_T_MAX];
	u64	drop[__TCPSEAL_DROP_MAX];
	u64	note[__TCPSEAL_NOTE_MAX];
	u64	counters[TCPSEAL_A_COUNTERS_MAX + 1];
	bool	audited;
	struct tcpseal_audit_sum audit;
};

static int put_audit(struct sk_buff *msg, const struct tcpseal_audit_sum *sum)
{
	const u64 other[TCPSEAL_A_COUNTERS_MAX + 1] = {
		[TCPSEAL_A_COUNTERS_PLAIN_OUT] = sum->other.out,
		[TCPSEAL_A_COUNTERS_PLAIN_OUT_BYTES] = sum->other.out_bytes,
		[TCPSEAL_A_COUNTERS_PLAIN_IN] = sum->other.in,
		[TCPSEAL_A_COUNTERS_PLAIN_IN_BYTES] = sum->other.in_bytes,
	};

	if (nla_put_u32(msg, TCPSEAL_A_STATS_AUDIT_SECS, sum->secs) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_AUDIT_SLOTS, sum->slots) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_AUDIT_TALKERS, sum->talkers) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_STATS_AUDIT_DISPLACED,
			       sum->displaced) ||
	    tcpseal_nl_put_counters(msg, TCPSEAL_A_STATS_AUDIT_OTHER, other))
		return -EMSGSIZE;
	if (!other[TCPSEAL_A_COUNTERS_PLAIN_OUT] &&
	    !other[TCPSEAL_A_COUNTERS_PLAIN_IN])
		return 0;
	return nla_put_u32(msg, TCPSEAL_A_STATS_AUDIT_OTHER_SECS,
			   sum->other_secs);
}

static int put_stats(struct sk_buff *msg, struct tcpseal_net *tn,
		     struct stats_values *v)
{
	unsigned int i;
	u16 port;

	tcpseal_stats_read(tn, v->total, v->drop, v->note);
	/* The two enums are in the same order */
	BUILD_BUG_ON(TCPSEAL_A_COUNTERS_NONTCP_IN_BYTES -
		     TCPSEAL_A_COUNTERS_SEALED_RECORDS !=
		     TCPSEAL_T_NONTCP_IN_BYTES);
	for (i = 0; i < __TCPSEAL_T_MAX; i++)
		v->counters[TCPSEAL_A_COUNTERS_SEALED_RECORDS + i] =
			v->total[i];
	v->counters[TCPSEAL_A_COUNTERS_HELD] = v->note[TCPSEAL_NOTE_HELD];
	for (i = 1; i < __TCPSEAL_DROP_MAX; i++)
		v->counters[TCPSEAL_A_COUNTERS_DROPPED] += v->drop[i];

	if (tcpseal_nl_put_counters(msg, TCPSEAL_A_STATS_TOTAL, v->counters) ||
	    put_reasons(msg, TCPSEAL_A_STATS_DROP, v->drop, drop_names,
			__TCPSEAL_DROP_MAX) ||
	    put_reasons(msg, TCPSEAL_A_STATS_NOTE, v->note, note_names,
			__TCPSEAL_NOTE_MAX) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_LINKS,
			atomic_read(&tn->nr_links)) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_PAIRS,
			atomic_read(&tn->nr_pairs)) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_SAS, atomic_read(&tn->nr_sas)) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_TOMBSTONES,
			atomic_read(&tn->nr_tombstones)) ||
	    nla_put_string(msg, TCPSEAL_A_STATS_VERSION, TCPSEAL_VERSION) ||
	    nla_put_u32(msg, TCPSEAL_A_STATS_PROTOCOL, TCPSEAL_RECORD_VERSION))
		return -EMSGSIZE;
	port = tcpseal_ctrl_served(tn);
	if (port && nla_put_u32(msg, TCPSEAL_A_STATS_CTRL_PORT, port))
		return -EMSGSIZE;
	return v->audited ? put_audit(msg, &v->audit) : 0;
}

int tcpseal_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct stats_values *v;
	struct sk_buff *msg;
	int err = -ENOMEM;
	void *hdr;

	v = kzalloc(sizeof(*v), GFP_KERNEL);
	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!v || !msg)
		goto free_msg;
	hdr = genlmsg_put_reply(msg, info, &tcpseal_nl_family, 0,
				TCPSEAL_CMD_STATS_GET);
	mutex_lock(&tn->lock);
	v->audited = tcpseal_audit_read(tn, &v->audit);
	mutex_unlock(&tn->lock);
	err = hdr ? put_stats(msg, tn, v) : -EMSGSIZE;
	if (err)
		goto free_msg;
	genlmsg_end(msg, hdr);
	kfree(v);
	return genlmsg_reply(msg, info);

free_msg:
	NL_SET_ERR_MSG(info->extack, "no memory for the answer");
	nlmsg_free(msg);
	kfree(v);
	return err;
}

int tcpseal_nl_ctrl_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	int err;

	if (GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_CTRL_FD) ||
	    GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_CTRL_PORT)) {
		NL_SET_ERR_MSG(info->extack, "fd and port are needed");
		return -EINVAL;
	}
	mutex_lock(&tn->lock);
	err = tcpseal_ctrl_add(tn, nla_get_u32(info->attrs[TCPSEAL_A_CTRL_FD]),
			       nla_get_be16(info->attrs[TCPSEAL_A_CTRL_PORT]),
			       info->snd_portid, info->extack);
	mutex_unlock(&tn->lock);
	return err;
}

int tcpseal_nl_ctrl_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	int err;

	if (GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_CTRL_FD)) {
		NL_SET_ERR_MSG(info->extack, "fd is needed");
		return -EINVAL;
	}
	mutex_lock(&tn->lock);
	err = tcpseal_ctrl_del(tn, nla_get_u32(info->attrs[TCPSEAL_A_CTRL_FD]),
			       info->extack);
	mutex_unlock(&tn->lock);
	return err;
}

static void conf_u32(const struct nlattr *attr, u32 *to)
{
	if (attr)
		WRITE_ONCE(*to, nla_get_u32(attr));
}

int tcpseal_nl_conf_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct nlattr **attrs = info->attrs;
	struct tcpseal_conf *conf = &tn->conf;
	const struct nlattr *driver = attrs[TCPSEAL_A_CONF_AEAD_DRIVER];
	int err = 0;

	if (driver && nla_len(driver) > 1)
		err = tcpseal_key_check_driver(nla_data(driver), info->extack);
	if (err) {
		NL_SET_BAD_ATTR(info->extack, driver);
		return err;
	}
	mutex_lock(&tn->lock);
	conf_u32(attrs[TCPSEAL_A_CONF_HOLD_SECS], &conf->hold_secs);
	conf_u32(attrs[TCPSEAL_A_CONF_HOLD_PAIR], &conf->hold_pair);
	conf_u32(attrs[TCPSEAL_A_CONF_HOLD_USER], &conf->hold_user);
	conf_u32(attrs[TCPSEAL_A_CONF_HOLD_NET], &conf->hold_net);
	conf_u32(attrs[TCPSEAL_A_CONF_GRACE_MSECS], &conf->grace_msecs);
	conf_u32(attrs[TCPSEAL_A_CONF_MAX_PAIRS], &conf->max_pairs);
	conf_u32(attrs[TCPSEAL_A_CONF_TOMBSTONE_SECS], &conf->tombstone_secs);
	if (driver)
		nla_strscpy(conf->aead_driver, driver,
			    sizeof(conf->aead_driver));
	mutex_unlock(&tn->lock);
	return 0;
}

static int put_conf(struct sk_buff *msg, const struct tcpseal_conf *conf)
{
	if (nla_put_u32(msg, TCPSEAL_A_CONF_HOLD_SECS, conf->hold_secs) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_HOLD_PAIR, conf->hold_pair) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_HOLD_USER, conf->hold_user) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_HOLD_NET, conf->hold_net) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_GRACE_MSECS, conf->grace_msecs) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_MAX_PAIRS, conf->max_pairs) ||
	    nla_put_u32(msg, TCPSEAL_A_CONF_TOMBSTONE_SECS,
			conf->tombstone_secs) ||
	    nla_put_string(msg, TCPSEAL_A_CONF_AEAD_DRIVER, conf->aead_driver))
		return -EMSGSIZE;
	return 0;
}

int tcpseal_nl_conf_get_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct sk_buff *msg;
	int err = -EMSGSIZE;
	void *hdr;

	msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_KERNEL);
	if (!msg) {
		NL_SET_ERR_MSG(info->extack, "no memory for the answer");
		return -ENOMEM;
	}
	hdr = genlmsg_put_reply(msg, info, &tcpseal_nl_family, 0,
				TCPSEAL_CMD_CONF_GET);
	mutex_lock(&tn->lock);
	if (hdr)
		err = put_conf(msg, &tn->conf);
	mutex_unlock(&tn->lock);
	if (err) {
		NL_SET_ERR_MSG(info->extack, "no room for the answer");
		nlmsg_free(msg);
		return err;
	}
	genlmsg_end(msg, hdr);
	return genlmsg_reply(msg, info);
}

int __init tcpseal_netlink_init(void)
{
	return genl_register_family(&tcpseal_nl_family);
}

void tcpseal_netlink_exit(void)
{
	genl_unregister_family(&tcpseal_nl_family);
}
