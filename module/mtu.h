/* SPDX-License-Identifier: GPL-2.0-only */
/* Sizes: path MTU, MSS hints, and the ICMP errors that speak of them. */
#ifndef TCPSEAL_MTU_H
#define TCPSEAL_MTU_H

#include "segment.h"

int tcpseal_pmtu_init(struct tcpseal_net *tn);
void tcpseal_pmtu_exit(struct tcpseal_net *tn);
void tcpseal_pmtu_gc(struct tcpseal_net *tn);
unsigned int tcpseal_mtu(struct tcpseal_net *tn, const struct sk_buff *skb,
			 const struct sock *sk,
			 const struct tcpseal_addrs *a);
void tcpseal_mss_hint(struct tcpseal_net *tn, struct sk_buff *skb,
		      const struct tcpseal_seg *seg,
		      const struct tcpseal_addrs *a);
enum tcpseal_verdict tcpseal_icmp_in(struct tcpseal_net *tn,
				     struct sk_buff *skb,
				     const struct tcpseal_seg *seg);
enum tcpseal_verdict tcpseal_icmp_out(struct tcpseal_net *tn,
				      struct sk_buff *skb,
				      const struct tcpseal_seg *seg);

#endif /* TCPSEAL_MTU_H */
