/* SPDX-License-Identifier: GPL-2.0-only */
/* Between link.c, which changes links, and link-check.c, which says no. */
#ifndef TCPSEAL_LINK_H
#define TCPSEAL_LINK_H

#include "policy.h"

bool tcpseal_link_same_prefixes(const struct tcpseal_link *a,
				const struct tcpseal_link *b);
/* Do the keys of a pair outlive its change from one link to another? */
bool tcpseal_link_keeps_keys(const struct tcpseal_link *old,
			     const struct tcpseal_link *link);

/*
 * Pairs marked TCPSEAL_PAIR_DOOMED: with @force their keys go, and the connections
 * that depend on them. The marks go in any case.
 */
void tcpseal_settle_doomed(struct tcpseal_net *tn, bool force);

/* 0, or a negative error with a message. */
int tcpseal_link_check(const struct tcpseal_link *link,
		       struct netlink_ext_ack *extack);
int tcpseal_link_check_sharing(struct tcpseal_policy *policy,
			       const struct tcpseal_link *link,
			       struct netlink_ext_ack *extack);
int tcpseal_link_check_unhiding(struct tcpseal_policy *policy,
				struct tcpseal_link *gone,
				struct netlink_ext_ack *extack);
int tcpseal_link_check_crossing(struct tcpseal_policy *policy,
				const struct tcpseal_link *link,
				struct netlink_ext_ack *extack);
int tcpseal_link_check_leave(struct tcpseal_policy *policy,
			     const struct tcpseal_link *link,
			     struct netlink_ext_ack *extack);
/* Always an error. */
int tcpseal_link_refuse_weaker(struct netlink_ext_ack *extack,
			       const struct tcpseal_link *link);
/* Put the link in front of the message. */
void tcpseal_link_blame(struct netlink_ext_ack *extack,
			const struct tcpseal_link *link);

#endif /* TCPSEAL_LINK_H */
