/* SPDX-License-Identifier: GPL-2.0-only */
/* Suspend, hibernation, and clones of virtual machines. */
#ifndef TCPSEAL_POWER_H
#define TCPSEAL_POWER_H

bool tcpseal_power_asleep(void);
int tcpseal_power_init(void);
void tcpseal_power_exit(void);

#endif /* TCPSEAL_POWER_H */
