/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that changes the geometry or ownership of an skb: payload as
 * vectors of pages, our own pages, replacing one by the other.
 */
#ifndef TCPSEAL_SKB_H
#define TCPSEAL_SKB_H

#include <linux/bvec.h>
#include <net/sock.h>
#include "segment.h"

/* Does the device encrypt for this socket (kTLS offload, PSP)? */
static inline bool tcpseal_sk_seals(const struct sock *sk)
{
#ifdef CONFIG_SOCK_VALIDATE_XMIT
	return sk && sk_fullsock(sk) && READ_ONCE(sk->sk_validate_xmit_skb);
#else
	return false;
#endif
}

/* Pages of ours: one piece more than a full skb can need. */
#define TCPSEAL_PAGES_MAX	MAX_SKB_FRAGS
/* Up to here, payload is linear: nobody pins 32 KiB by one byte. */
#define TCPSEAL_SMALL		256U
/* What fits an skb whatever the pages are like, headers included. */
#define TCPSEAL_SKB_MAX		65535U

void tcpseal_skb_exit(void);

unsigned int tcpseal_skb_nvec(const struct sk_buff *skb);
int tcpseal_skb_vec(const struct sk_buff *skb, unsigned int off,
		    struct bio_vec *vec, unsigned int max);
bool tcpseal_skb_readable(const struct sk_buff *skb);

int tcpseal_pages_alloc(struct bio_vec *vec, unsigned int max,
			unsigned int len, const struct sk_buff *skb,
			bool *order0);
void tcpseal_pages_put(const struct bio_vec *vec, unsigned int n);

int tcpseal_skb_own(struct sk_buff *skb, unsigned int tail);
int tcpseal_skb_unbig(struct sk_buff *skb, struct tcpseal_seg *seg);
void tcpseal_skb_payload(struct sk_buff *skb, unsigned int hlen,
			 const struct bio_vec *vec, unsigned int off,
			 unsigned int len);
void tcpseal_skb_linear(struct sk_buff *skb, unsigned int hlen,
			const void *from, unsigned int len);
void tcpseal_skb_tail(const struct sk_buff *skb, struct bio_vec *vec,
		      unsigned int len);
void tcpseal_skb_put(struct sk_buff *skb, unsigned int hlen, unsigned int len);
struct sk_buff *tcpseal_skb_piece(const struct sk_buff *skb,
				  unsigned int hlen, unsigned int tail);
void tcpseal_skb_gso(struct sk_buff *skb, u16 family, unsigned int size,
		     unsigned int segs);

#endif /* TCPSEAL_SKB_H */
