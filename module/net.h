/* SPDX-License-Identifier: GPL-2.0-only */
/* Network namespaces, for main.c only; the rest is in tcpseal.h. */
#ifndef TCPSEAL_NET_H
#define TCPSEAL_NET_H

int tcpseal_net_init(void);
void tcpseal_net_exit(void);

#endif /* TCPSEAL_NET_H */
