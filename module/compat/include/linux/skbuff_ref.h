/* SPDX-License-Identifier: GPL-2.0-only */
/* skb_frag_unref() moved here in 6.10. */
#include <linux/skbuff.h>
