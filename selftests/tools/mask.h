/* SPDX-License-Identifier: GPL-2.0-only */
/* How tests hand secrets around without having them in memory. */
#ifndef MASK_H
#define MASK_H

#define MASK	0xa7

#endif /* MASK_H */
