/* SPDX-License-Identifier: GPL-2.0-only */
/* Turning one skb into sealed ones, and sealed ones into plain. */
#ifndef TCPSEAL_SEAL_H
#define TCPSEAL_SEAL_H

#include "sa.h"
#include "segment.h"

/* seal.c */
enum tcpseal_verdict tcpseal_seal(struct tcpseal_net *tn,
				  struct tcpseal_sa *sa, struct sk_buff *skb,
				  struct tcpseal_seg *seg,
				  const struct tcpseal_addrs *a,
				  struct sock *sk);
void tcpseal_xmit(struct net *net, struct sock *sk, struct sk_buff *skb);

/* ingress.c */
bool tcpseal_ingress_plain(struct tcpseal_net *tn, const struct sk_buff *skb,
			   const struct tcpseal_seg *seg,
			   const struct net_device *in);

/* open.c */
enum tcpseal_verdict tcpseal_open(struct tcpseal_net *tn,
				  struct tcpseal_sa *sa, u8 lane,
				  struct sk_buff *skb, struct tcpseal_seg *seg,
				  const struct tcpseal_addrs *a,
				  const struct nf_hook_state *state);

#endif /* TCPSEAL_SEAL_H */
