/* SPDX-License-Identifier: GPL-2.0-only */
/* Ending local sockets by an error that the application sees. */
#ifndef TCPSEAL_ABORT_H
#define TCPSEAL_ABORT_H

#include "pair.h"

/*
 * Abort every TCP socket of the namespace (listeners and registered control
 * sockets aside) whose addresses the pair keys. @err: what the
 * application reads. With @syn_sent_only only those still connecting. Process
 * context, may sleep. Return: how many.
 */
unsigned int tcpseal_abort_pair(struct tcpseal_net *tn,
				const struct tcpseal_pair *pair, int err,
				bool syn_sent_only);
/* The same for connections that @link covers, whether a pair knows them. */
unsigned int tcpseal_abort_link(struct tcpseal_net *tn,
				const struct tcpseal_link *link, int err);
/* The same for every pair that has TCPSEAL_PAIR_DOOMED set. */
unsigned int tcpseal_abort_doomed(struct tcpseal_net *tn, int err);

#endif /* TCPSEAL_ABORT_H */
