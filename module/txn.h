/* SPDX-License-Identifier: GPL-2.0-only */
/* Many changes of links at once: all of them, or none. */
#ifndef TCPSEAL_TXN_H
#define TCPSEAL_TXN_H

#include "policy.h"

struct tcpseal_txn;

/* All below: process context, tn->lock. @portid: the socket that it is of. */

int tcpseal_txn_begin(struct tcpseal_net *tn, u32 portid,
		      struct netlink_ext_ack *extack);
/* The one that this socket began, or NULL. */
struct tcpseal_txn *tcpseal_txn_find(struct tcpseal_net *tn, u32 portid);
/*
 * One request of it: @link as it is to be, or to go. Takes over @link when it
 * returns 0; otherwise the transaction is over.
 */
int tcpseal_txn_stage(struct tcpseal_net *tn, struct tcpseal_txn *txn,
		      struct tcpseal_link *link, bool gone, u32 change,
		      struct netlink_ext_ack *extack);
/* Whatever comes of it, the transaction is over. */
int tcpseal_txn_commit(struct tcpseal_net *tn, struct tcpseal_txn *txn,
		       struct netlink_ext_ack *extack);
void tcpseal_txn_free(struct tcpseal_txn *txn);

/* A socket was closed. Process context, takes tn->lock. */
void tcpseal_txn_release(struct tcpseal_net *tn, u32 portid);
/* Nobody is there any more. */
void tcpseal_txn_exit(struct tcpseal_net *tn);

#endif /* TCPSEAL_TXN_H */
