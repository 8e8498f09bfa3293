/* SPDX-License-Identifier: GPL-2.0-only */
/* Tripwires: ways by which plaintext would leave past the hooks. */
#ifndef TCPSEAL_BYPASS_H
#define TCPSEAL_BYPASS_H

#include "policy.h"
#include "segment.h"

void tcpseal_bypass_init(struct tcpseal_net *tn);
/* Nothing is called back after it. Process context. */
void tcpseal_bypass_exit(struct tcpseal_net *tn);
/* Would an opened segment leave by a device that is not inside? RCU. */
bool tcpseal_bypass_opened(struct tcpseal_net *tn, const struct sk_buff *skb,
			   const struct tcpseal_seg *seg,
			   const struct net_device *out);
/* Would an opened segment leave inside IPIP? RCU. */
bool tcpseal_bypass_wrapped(struct tcpseal_net *tn, const struct sk_buff *skb,
			    const struct tcpseal_seg *seg);
/* Does the route of a local segment lead past POST_ROUTING? */
bool tcpseal_bypass_route(const struct sk_buff *skb);
/* Keep a forwarded flow out of flowtables. false: it is in one. BH off, RCU. */
bool tcpseal_bypass_keep(struct tcpseal_net *tn, const struct sk_buff *skb);
/* Links changed: take back what flowtables have. Process context, tn->lock. */
void tcpseal_bypass_recall(struct tcpseal_net *tn);

#endif /* TCPSEAL_BYPASS_H */
