/* SPDX-License-Identifier: GPL-2.0-only */
#define CRYPTO_MINALIGN_ATTR
/* Words that spatch does not know, without the headers of the kernel */
#define __always_inline inline
#define __cacheline_group_begin(group)
#define __cacheline_group_end(group)
