/* SPDX-License-Identifier: GPL-2.0-only */
/* Who still talks plaintext on links that only audit or prefer. */
#ifndef TCPSEAL_AUDIT_H
#define TCPSEAL_AUDIT_H

#include "policy.h"
#include "segment.h"

struct tcpseal_audit;

/* Plaintext that passed: segments on the wire and bytes of payload. */
struct tcpseal_plain {
	u64	out, out_bytes;
	u64	in, in_bytes;
};

/**
 * struct tcpseal_talker - two hosts and a service that talk plaintext
 * @link_id: of the link that covers them
 * @addrs: the two addresses
 * @local_port: where the service is, or 0: the connecting end chose it
 * @remote_port: likewise; one of the two is not 0
 * @plain: what was counted since @first_secs
 * @missed: at most so much more, bytes and segments added up, was counted
 *	before, when others took the slot; 0: nothing
 * @first_secs: seconds since the first of it
 * @last_secs: seconds since the last of it
 */
struct tcpseal_talker {
	u32			link_id;
	struct tcpseal_addrs	addrs;
	u16			local_port, remote_port;
	struct tcpseal_plain	plain;
	u64			missed;
	u32			first_secs, last_secs;
};

/**
 * struct tcpseal_audit_sum - what there is beside the talkers
 * @secs: seconds since counting began
 * @slots: how many talkers there is room for
 * @talkers: how many there are
 * @displaced: how many lost their slot to others
 * @other: of those, and of whoever did not get a slot
 * @other_secs: seconds since the last of it, if there is any
 */
struct tcpseal_audit_sum {
	u32			secs;
	u32			slots, talkers;
	u64			displaced;
	struct tcpseal_plain	other;
	u32			other_secs;
};

/* Plaintext of @link passes; @link may be NULL. BH off, RCU. */
void tcpseal_audit(struct tcpseal_net *tn, const struct tcpseal_link *link,
		   const struct sk_buff *skb, const struct tcpseal_seg *seg,
		   bool out);

/* All below: process context, tn->lock. */

/* Have a table; nothing to do where there is one. */
int tcpseal_audit_start(struct tcpseal_net *tn,
			struct netlink_ext_ack *extack);
/* Begin anew with an empty one. */
int tcpseal_audit_flush(struct tcpseal_net *tn,
			struct netlink_ext_ack *extack);
/* The link has gone: so do its talkers. */
void tcpseal_audit_forget(struct tcpseal_net *tn, u32 link_id);
/* Changes with each tcpseal_audit_flush(); 0 where there is no table. */
u32 tcpseal_audit_seq(const struct tcpseal_net *tn);
/*
 * The talker of the first slot in use from *@at on, which is moved to it.
 * Return: false behind the last one.
 */
bool tcpseal_audit_next(struct tcpseal_net *tn, unsigned long *at,
			struct tcpseal_talker *talker);
/* Return: false where there is no table. */
bool tcpseal_audit_read(struct tcpseal_net *tn, struct tcpseal_audit_sum *sum);
/* Nobody counts any more. */
void tcpseal_audit_exit(struct tcpseal_net *tn);

#endif /* TCPSEAL_AUDIT_H */
