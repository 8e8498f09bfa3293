/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the netlink family share among themselves. */
#ifndef TCPSEAL_NL_H
#define TCPSEAL_NL_H

#include <net/genetlink.h>
#include "netlink.h"

extern struct genl_family tcpseal_nl_family;

int tcpseal_nl_addr(const struct nlattr *attr, union nf_inet_addr *addr,
		    u16 *family, struct netlink_ext_ack *extack);
int tcpseal_nl_pair(struct genl_info *info, int local, int remote,
		    struct tcpseal_addrs *key);
int tcpseal_nl_put_addr(struct sk_buff *msg, int attr, u16 family,
			const union nf_inet_addr *addr);
int tcpseal_nl_put_u64(struct sk_buff *msg, int attr, u64 value);
int tcpseal_nl_put_link(struct sk_buff *msg, const struct tcpseal_link *link,
			u32 mode);
int tcpseal_nl_put_counters(struct sk_buff *msg, int attr, const u64 *value);

#endif /* TCPSEAL_NL_H */
