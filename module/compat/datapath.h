/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Kernel differences that the data path meets. Each entry says which kernel
 * made it unnecessary.
 */
#ifndef TCPSEAL_COMPAT_DATAPATH_H
#define TCPSEAL_COMPAT_DATAPATH_H

#include <linux/skbuff.h>
#include <linux/slab.h>
#include <linux/version.h>

/*
 * TCPSEAL_CRYPTO_DONE(name) begins the definition of a crypto completion with
 * the arguments (void *data, int err), as from 6.3.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define TCPSEAL_CRYPTO_DONE(name)					\
static void name##_data(void *data, int err);				\
static void name(struct crypto_async_request *base, int err)		\
{									\
	name##_data(base->data, err);					\
}									\
static void name##_data(void *data, int err)
#else
#define TCPSEAL_CRYPTO_DONE(name)	static void name(void *data, int err)
#endif

/* 6.12: frags in device memory */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 12, 0)
static inline bool skb_frags_readable(const struct sk_buff *skb)
{
	return true;
}
#endif

/* 6.11 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 11, 0)
static inline bool skb_is_decrypted(const struct sk_buff *skb)
{
#ifdef CONFIG_TLS_DEVICE
	return skb->decrypted;
#else
	return false;
#endif
}
#endif

/* 6.15: CWR on every segment of a burst (AccECN) */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 15, 0)
#define TCPSEAL_GSO_ACCECN	0
#else
#define TCPSEAL_GSO_ACCECN	SKB_GSO_TCP_ACCECN
#endif
#define TCPSEAL_GSO_ECN		(SKB_GSO_TCP_ECN | TCPSEAL_GSO_ACCECN)

#endif /* TCPSEAL_COMPAT_DATAPATH_H */
