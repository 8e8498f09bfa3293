/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/tcpseal.yaml */
/* YNL-GEN kernel header */

#ifndef _LINUX_TCPSEAL_GEN_H
#define _LINUX_TCPSEAL_GEN_H

#include <net/netlink.h>
#include <net/genetlink.h>

#include <uapi/linux/tcpseal.h>

/* Ops table for tcpseal */
extern const struct genl_split_ops tcpseal_nl_ops[23];

int tcpseal_nl_link_new_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_link_del_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_link_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int tcpseal_nl_link_flush_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_sa_new_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_sa_del_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_sa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb);
int tcpseal_nl_sa_flush_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_sa_set_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_pair_get_dumpit(struct sk_buff *skb,
			       struct netlink_callback *cb);
int tcpseal_nl_pair_set_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_pair_forget_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_pair_rekey_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_stats_get_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_ctrl_new_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_ctrl_del_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_conf_set_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_conf_get_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_audit_get_dumpit(struct sk_buff *skb,
				struct netlink_callback *cb);
int tcpseal_nl_audit_flush_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_link_begin_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_link_commit_doit(struct sk_buff *skb, struct genl_info *info);
int tcpseal_nl_link_abort_doit(struct sk_buff *skb, struct genl_info *info);

enum {
	TCPSEAL_NLGRP_EVENTS,
};

#endif /* _LINUX_TCPSEAL_GEN_H */
