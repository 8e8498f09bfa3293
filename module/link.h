/* SPDX-License-Identifier: GPL-2.0-only */
/* Between link.c, which changes links, and link-check.c, which says no. */
#ifndef TCPSEAL_LINK_H
#define TCPSEAL_LINK_H

#include "policy.h"

bool tcpseal_link_same_prefixes(const struct tcpseal_link *a,
				const struct tcpseal_link *b);
/* The most specific other link around this one. */
struct tcpseal_link *tcpseal_link_parent(struct tcpseal_net *tn,
					 const struct tcpseal_link *child);
/* Do the keys of a pair outlive its change from one link to another? */
bool tcpseal_link_keeps_keys(const struct tcpseal_link *old,
			     const struct tcpseal_link *link);

/* 0, or a negative error with a message. */
int tcpseal_link_check(const struct tcpseal_link *link,
		       struct netlink_ext_ack *extack);
int tcpseal_link_check_sharing(struct tcpseal_net *tn,
			       const struct tcpseal_link *link,
			       struct netlink_ext_ack *extack);
int tcpseal_link_check_unhiding(struct tcpseal_net *tn,
				struct tcpseal_link *gone,
				struct netlink_ext_ack *extack);
int tcpseal_link_check_crossing(struct tcpseal_net *tn,
				const struct tcpseal_link *link,
				struct netlink_ext_ack *extack);
int tcpseal_link_check_leave(struct tcpseal_net *tn,
			     const struct tcpseal_link *link,
			     struct netlink_ext_ack *extack);
/* Always an error. */
int tcpseal_link_refuse_weaker(struct netlink_ext_ack *extack,
			       const struct tcpseal_link *link);

#endif /* TCPSEAL_LINK_H */
