/* SPDX-License-Identifier: GPL-2.0-only */
/* Events to user space; all softirq safe, GFP_ATOMIC, lost when nobody hears. */
#ifndef TCPSEAL_NETLINK_H
#define TCPSEAL_NETLINK_H

#include "sa.h"

/* A message for the caller that is made up at run time. Process context. */
__printf(2, 3) void tcpseal_nl_err(struct netlink_ext_ack *extack,
				   const char *fmt, ...);
int tcpseal_netlink_init(void);
void tcpseal_netlink_exit(void);
void tcpseal_notify_acquire(struct tcpseal_pair *pair, u32 why, __be32 spi);
void tcpseal_notify_expire(struct tcpseal_sa *sa, u32 why, bool hard);
void tcpseal_notify_tamper(struct tcpseal_net *tn, struct tcpseal_pair *pair,
			   struct tcpseal_sa *sa,
			   const struct tcpseal_addrs *a, u32 reason,
			   u64 count);
void tcpseal_notify_pair(struct tcpseal_pair *pair, u32 state);
void tcpseal_notify_link(struct tcpseal_net *tn,
			 const struct tcpseal_link *link, bool removed);

#endif /* TCPSEAL_NETLINK_H */
