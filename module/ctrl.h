/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Control connections: the only TCP that may be plain on a pair that must be
 * sealed. A socket counts that its owner registered (CAP_NET_ADMIN), or that
 * the registered listener accepted; never a mark, never a port alone.
 */
#ifndef TCPSEAL_CTRL_H
#define TCPSEAL_CTRL_H

#include <linux/tcp.h>
#include "pair.h"

int tcpseal_ctrl_init(struct tcpseal_net *tn);
void tcpseal_ctrl_exit(struct tcpseal_net *tn);
/* Process context, tn->lock. @portid: genl socket of the daemon. */
int tcpseal_ctrl_add(struct tcpseal_net *tn, int fd, __be16 port, u32 portid,
		     struct netlink_ext_ack *extack);
int tcpseal_ctrl_del(struct tcpseal_net *tn, int fd,
		     struct netlink_ext_ack *extack);
/* Cheap first question for the data path: is either port the control port? */
bool tcpseal_ctrl_port(const struct tcpseal_net *tn, const struct tcphdr *th);
/*
 * May this outgoing plain segment pass? True for a registered client socket;
 * for a child of the registered listener whose tuple was first seen plain (or
 * the pair has no sending SA); and for a bare RST that this host's stack sends
 * from the control port. RCU, BH off.
 */
bool tcpseal_ctrl_out(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		      const struct tcpseal_addrs *a, const struct sk_buff *skb,
		      const struct tcphdr *th);

enum tcpseal_ctrl_verdict {
	TCPSEAL_CTRL_NO,	/* not a control connection */
	TCPSEAL_CTRL_PASS,	/* exempt */
	TCPSEAL_CTRL_REFUSE,	/* plaintext for one that is sealed */
	TCPSEAL_CTRL_LATE,	/* for one of ours that is closed already */
};

/* The same for plain segments that come in; remembers tuples of plain SYNs. */
enum tcpseal_ctrl_verdict
tcpseal_ctrl_in(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		const struct tcpseal_addrs *a, const struct sk_buff *skb,
		const struct tcphdr *th);

/* The port of the daemon that sees to keys here, or 0. Takes RCU. */
u16 tcpseal_ctrl_served(struct tcpseal_net *tn);
/* Is it a registered socket? RCU. */
bool tcpseal_ctrl_has(struct tcpseal_net *tn, const struct sock *sk);
/* Let closed sockets go. Return: is there any left? Process context. */
bool tcpseal_ctrl_gc(struct tcpseal_net *tn);
/* The daemon's genl socket is gone, and with it what it registered. */
void tcpseal_ctrl_release(struct tcpseal_net *tn, u32 portid);

#endif /* TCPSEAL_CTRL_H */
