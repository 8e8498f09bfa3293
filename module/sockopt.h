/* SPDX-License-Identifier: GPL-2.0-only */
/* getsockopt(2): is this connection sealed? */
#ifndef TCPSEAL_SOCKOPT_H
#define TCPSEAL_SOCKOPT_H

int tcpseal_sockopt_init(void);
void tcpseal_sockopt_exit(void);

#endif /* TCPSEAL_SOCKOPT_H */
