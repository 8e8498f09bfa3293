/* SPDX-License-Identifier: GPL-2.0-only */
/* Segments that wait for a key: bounded in number and time, never leaked. */
#ifndef TCPSEAL_HOLD_H
#define TCPSEAL_HOLD_H

#include "pair.h"

int tcpseal_hold_init(struct tcpseal_net *tn);
/* Drops everything; after it nothing is held any more. Process context. */
void tcpseal_hold_purge(struct tcpseal_net *tn);	/* in pre_exit */
void tcpseal_hold_exit(struct tcpseal_net *tn);
void tcpseal_hold_pair_init(struct tcpseal_pair *pair);
/* Keep an skb, behind all hooks, until a key comes. Consumes it. BH off, RCU. */
void tcpseal_hold(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		  struct sk_buff *skb, struct sock *sk);
/* Drop an skb for want of a key; who connects is told. As tcpseal_hold(). */
void tcpseal_hold_refuse(struct tcpseal_net *tn, struct tcpseal_pair *pair,
			 struct sk_buff *skb, struct sock *sk,
			 enum tcpseal_drop why);
/* A key is there, or the demand changed: decide again. Process context. */
void tcpseal_hold_release(struct tcpseal_pair *pair);
/* No key will come: drop, and give local sockets @err. Process context. */
void tcpseal_hold_fail(struct tcpseal_pair *pair, enum tcpseal_drop why,
		       int err);

#endif /* TCPSEAL_HOLD_H */
