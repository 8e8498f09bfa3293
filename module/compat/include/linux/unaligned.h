/* SPDX-License-Identifier: GPL-2.0-only */
/* Here since 6.12. */
#include <asm/unaligned.h>
