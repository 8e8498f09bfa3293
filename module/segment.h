/* SPDX-License-Identifier: GPL-2.0-only */
/* A TCP segment, or super-segment, as the hooks see it. */
#ifndef TCPSEAL_SEGMENT_H
#define TCPSEAL_SEGMENT_H

#include <linux/tcp.h>
#include "tcpseal.h"

/* What tcpseal_parse() found. */
enum tcpseal_shape {
	TCPSEAL_IS_TCP,		/* whole TCP header is linear */
	TCPSEAL_IS_FRAGMENT,	/* IP fragment that carries TCP */
	TCPSEAL_IS_ROUTED,	/* TCP with a source route or routing header */
	TCPSEAL_IS_BROKEN,	/* TCP that cannot be parsed */
	TCPSEAL_IS_ICMP,
	TCPSEAL_IS_OTHER,
};

/**
 * struct tcpseal_seg - where the parts of a segment are
 * @family: AF_INET or AF_INET6
 * @proto: transport protocol
 * @thoff: bytes from skb->data (the IP header) to the TCP header
 * @hlen: bytes of all headers, IP and TCP; the payload begins there
 * @payload: bytes of TCP payload, over all segments of the skb
 */
struct tcpseal_seg {
	u16		family;
	u8		proto;
	unsigned int	thoff;
	unsigned int	hlen;
	unsigned int	payload;
};

enum tcpseal_shape tcpseal_parse(struct sk_buff *skb, u16 family,
				 struct tcpseal_seg *seg);
void tcpseal_seg_addrs(const struct sk_buff *skb,
		       const struct tcpseal_seg *seg, bool out,
		       struct tcpseal_addrs *a);
unsigned int tcpseal_seg_aad(const struct sk_buff *skb,
			     const struct tcpseal_seg *seg, u8 *aad);
u8 tcpseal_seg_lane(struct tcpseal_net *tn, const struct sk_buff *skb,
		    const struct tcpseal_seg *seg, u8 lanes);
void tcpseal_sock_addrs(const struct sock *sk, struct tcpseal_addrs *a);
bool tcpseal_is_local(struct net *net, const struct net_device *dev,
		      const struct tcpseal_addrs *a);
bool tcpseal_nontcp_vital(const struct sk_buff *skb,
			  const struct tcpseal_seg *seg);
bool tcpseal_seg_signed(const struct tcphdr *th);
u8 *tcpseal_tcp_option(struct tcphdr *th, u8 kind, u8 len);
void tcpseal_seg_length(struct sk_buff *skb, const struct tcpseal_seg *seg);
void tcpseal_seg_checksum(struct sk_buff *skb, const struct tcpseal_seg *seg);

static inline struct tcphdr *tcpseal_th(const struct sk_buff *skb,
					const struct tcpseal_seg *seg)
{
	return (struct tcphdr *)(skb->data + seg->thoff);
}

/* Wire segments in an skb, for counting. */
static inline unsigned int tcpseal_segs(const struct sk_buff *skb)
{
	return max_t(unsigned int, 1, skb_shinfo(skb)->gso_segs);
}

#endif /* TCPSEAL_SEGMENT_H */
