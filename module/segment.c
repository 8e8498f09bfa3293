// SPDX-License-Identifier: GPL-2.0-only
/* Parsing of segments, and the headers that are authenticated with them. */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/jhash.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ipv6.h>
#include <net/addrconf.h>
#include <net/ip6_checksum.h>
#include <net/route.h>
#include <net/tcp.h>
#include "segment.h"

#define TCPOPT_AO_KIND	29	/* RFC 5925; older kernels do not name it */

/* Loose or strict source route anywhere in the options? */
static bool ip_source_routed(const struct iphdr *iph)
{
	const u8 *opt = (const u8 *)(iph + 1);
	int len = iph->ihl * 4 - sizeof(*iph);

	while (len > 0) {
		if (*opt == IPOPT_END)
			return false;
		if (*opt == IPOPT_NOOP) {
			opt++;
			len--;
			continue;
		}
		if (len < 2 || opt[1] < 2 || opt[1] > len)
			return false;
		if (*opt == IPOPT_LSRR || *opt == IPOPT_SSRR)
			return true;
		len -= opt[1];
		opt += opt[1];
	}
	return false;
}

static enum tcpseal_shape parse_ip4(struct sk_buff *skb,
				    struct tcpseal_seg *seg)
{
	const struct iphdr *iph;

	if (!pskb_may_pull(skb, sizeof(*iph)))
		return TCPSEAL_IS_OTHER;
	iph = (const struct iphdr *)skb->data;
	seg->proto = iph->protocol;
	if (seg->proto == IPPROTO_ICMP)
		return TCPSEAL_IS_ICMP;
	if (seg->proto != IPPROTO_TCP)
		return TCPSEAL_IS_OTHER;
	if (ip_is_fragment(iph))
		return TCPSEAL_IS_FRAGMENT;
	seg->thoff = iph->ihl * 4;
	if (seg->thoff > sizeof(*iph)) {
		if (!pskb_may_pull(skb, seg->thoff))
			return TCPSEAL_IS_BROKEN;
		if (ip_source_routed((const struct iphdr *)skb->data))
			return TCPSEAL_IS_ROUTED;
	}
	return TCPSEAL_IS_TCP;
}

static enum tcpseal_shape parse_ip6(struct sk_buff *skb,
				    struct tcpseal_seg *seg)
{
	enum tcpseal_shape shape = TCPSEAL_IS_TCP;
	const struct ipv6hdr *ip6h;
	struct ipv6_opt_hdr _oh;
	const struct ipv6_opt_hdr *oh;
	unsigned int off = sizeof(*ip6h);
	u8 next;

	if (!pskb_may_pull(skb, sizeof(*ip6h)))
		return TCPSEAL_IS_OTHER;
	next = ((const struct ipv6hdr *)skb->data)->nexthdr;
	while (ipv6_ext_hdr(next) && next != NEXTHDR_NONE) {
		oh = skb_header_pointer(skb, off, sizeof(_oh), &_oh);
		if (!oh)
			break;
		if (next == NEXTHDR_FRAGMENT) {
			/* of any position: only the first shows the port */
			shape = TCPSEAL_IS_FRAGMENT;
			off += sizeof(struct frag_hdr);
		} else if (next == NEXTHDR_AUTH) {
			off += ipv6_authlen(oh);
		} else {
			if (next == NEXTHDR_ROUTING &&
			    shape == TCPSEAL_IS_TCP)
				shape = TCPSEAL_IS_ROUTED;
			off += ipv6_optlen(oh);
		}
		next = oh->nexthdr;
	}
	seg->proto = next;
	seg->thoff = off;
	if (next == NEXTHDR_ICMP)
		return TCPSEAL_IS_ICMP;
	return next == NEXTHDR_TCP ? shape : TCPSEAL_IS_OTHER;
}

/**
 * tcpseal_parse() - find the TCP header of an skb at its IP header
 * @skb: at a netfilter hook; headers are pulled, so pointers into it go stale
 * @family: AF_INET or AF_INET6
 * @seg: filled in; complete only for TCPSEAL_IS_TCP
 *
 * Return: what it is.
 */
enum tcpseal_shape tcpseal_parse(struct sk_buff *skb, u16 family,
				 struct tcpseal_seg *seg)
{
	enum tcpseal_shape shape;
	const struct tcphdr *th;

	memset(seg, 0, sizeof(*seg));
	seg->family = family;
	shape = family == AF_INET ? parse_ip4(skb, seg) : parse_ip6(skb, seg);
	if (shape != TCPSEAL_IS_TCP)
		return shape;
	if (!pskb_may_pull(skb, seg->thoff + sizeof(*th)))
		return TCPSEAL_IS_BROKEN;
	th = tcpseal_th(skb, seg);
	seg->hlen = seg->thoff + th->doff * 4;
	if (th->doff < sizeof(*th) / 4 || !pskb_may_pull(skb, seg->hlen))
		return TCPSEAL_IS_BROKEN;
	seg->payload = skb->len - seg->hlen;
	return TCPSEAL_IS_TCP;
}

/**
 * tcpseal_seg_addrs() - addresses as this host sees them
 * @skb: with the IP header linear
 * @seg: only @family is used
 * @out: the segment leaves, so its source is the local address
 * @a: filled in whole, so that it can be a hash key
 */
void tcpseal_seg_addrs(const struct sk_buff *skb,
		       const struct tcpseal_seg *seg, bool out,
		       struct tcpseal_addrs *a)
{
	union nf_inet_addr *src = out ? &a->local : &a->remote;
	union nf_inet_addr *dst = out ? &a->remote : &a->local;

	memset(a, 0, sizeof(*a));
	a->family = seg->family;
	if (seg->family == AF_INET) {
		const struct iphdr *iph = (const struct iphdr *)skb->data;

		src->ip = iph->saddr;
		dst->ip = iph->daddr;
	} else {
		const struct ipv6hdr *h = (const struct ipv6hdr *)skb->data;

		src->in6 = h->saddr;
		dst->in6 = h->daddr;
	}
}

/**
 * tcpseal_tcp_option() - find an option of a TCP header
 * @th: whole header linear
 * @kind: option kind
 * @len: its length, or 0 for any
 *
 * Return: the option's first byte, or NULL.
 */
u8 *tcpseal_tcp_option(struct tcphdr *th, u8 kind, u8 len)
{
	u8 *opt = (u8 *)(th + 1);
	int left = th->doff * 4 - sizeof(*th);

	while (left > 0) {
		if (*opt == TCPOPT_EOL)
			return NULL;
		if (*opt == TCPOPT_NOP) {
			opt++;
			left--;
			continue;
		}
		if (left < 2 || opt[1] < 2 || opt[1] > left)
			return NULL;
		if (*opt == kind && (!len || opt[1] == len))
			return opt;
		left -= opt[1];
		opt += opt[1];
	}
	return NULL;
}

/**
 * tcpseal_seg_signed() - does the header carry TCP-MD5 or TCP-AO?
 * @th: whole header linear
 *
 * Those sign header and payload above us: such a segment must arrive exactly
 * as it was, so it is neither cut nor its options touched.
 */
bool tcpseal_seg_signed(const struct tcphdr *th)
{
	struct tcphdr *h = (struct tcphdr *)th;

	if (th->doff == sizeof(*th) / 4)
		return false;
	return tcpseal_tcp_option(h, TCPOPT_MD5SIG, 0) ||
	       tcpseal_tcp_option(h, TCPOPT_AO_KIND, 0);
}

/**
 * tcpseal_seg_aad() - what every record of a burst authenticates alike
 * @skb: with its headers linear
 * @seg: the segment
 * @aad: TCPSEAL_AAD_MAX bytes, filled from TCPSEAL_HDR_LEN on; the record
 *	header and the sequence number are for the caller, record by record
 *
 * Return: bytes of AAD, record header included.
 */
unsigned int tcpseal_seg_aad(const struct sk_buff *skb,
			     const struct tcpseal_seg *seg, u8 *aad)
{
	unsigned int alen = seg->family == AF_INET ? 8 : 32;
	unsigned int tlen = seg->hlen - seg->thoff;
	struct tcphdr *th;
	u8 *opt;

	/* source and destination are neighbours in both IP headers */
	memcpy(aad + TCPSEAL_HDR_LEN,
	       skb->data + (seg->family == AF_INET ?
			    offsetof(struct iphdr, saddr) :
			    offsetof(struct ipv6hdr, saddr)), alen);
	th = (struct tcphdr *)(aad + TCPSEAL_HDR_LEN + alen);
	memcpy(th, tcpseal_th(skb, seg), tlen);
	th->check = 0;
	th->fin = 0;
	th->psh = 0;
	th->cwr = 0;
	if (th->syn) {
		opt = tcpseal_tcp_option(th, TCPOPT_MSS, TCPOLEN_MSS);
		if (opt)
			put_unaligned_be16(0, opt + 2);
	}
	return TCPSEAL_HDR_LEN + alen + tlen;
}

/**
 * tcpseal_seg_lane() - the lane of a flow
 * @tn: namespace, for its seed
 * @skb: with its headers linear
 * @seg: the segment
 * @lanes: of the SA, a power of two
 *
 * Constant for the flow's life and its traffic class. Not skb->hash, which TCP
 * redraws on timeouts: a withheld old segment could then come back in a lane
 * that the flow has left. The class is part of it because a slow class lags a
 * fast one by more than a window. The lane is no secret, records show it: the
 * seed only keeps strangers from choosing ports that share one.
 */
u8 tcpseal_seg_lane(struct tcpseal_net *tn, const struct sk_buff *skb,
		    const struct tcpseal_seg *seg, u8 lanes)
{
	const struct tcphdr *th = tcpseal_th(skb, seg);
	u32 ports = (__force u32)th->source << 16 | (__force u16)th->dest;
	u32 h = tn->lane_seed;

	if (lanes == 1)
		return 0;
	if (seg->family == AF_INET) {
		const struct iphdr *iph = (const struct iphdr *)skb->data;

		h = jhash_3words((__force u32)iph->saddr,
				 (__force u32)iph->daddr, ports,
				 h ^ (iph->tos & ~INET_ECN_MASK));
	} else {
		const struct ipv6hdr *ip6h = (const struct ipv6hdr *)skb->data;
		u8 class = ipv6_get_dsfield(ip6h) & ~INET_ECN_MASK;

		h = jhash_3words(__ipv6_addr_jhash(&ip6h->saddr, h),
				 __ipv6_addr_jhash(&ip6h->daddr, h), ports,
				 h ^ class);
	}
	return h & (lanes - 1);
}

/**
 * tcpseal_seg_length() - write the IP length that the skb now has
 * @skb: headers private and linear, at most 65,535 bytes
 * @seg: the segment
 */
void tcpseal_seg_length(struct sk_buff *skb, const struct tcpseal_seg *seg)
{
	if (seg->family == AF_INET) {
		struct iphdr *iph = (struct iphdr *)skb->data;

		iph->tot_len = htons(skb->len);
		ip_send_check(iph);
	} else {
		struct ipv6hdr *ip6h = (struct ipv6hdr *)skb->data;

		ip6h->payload_len = htons(skb->len - sizeof(*ip6h));
	}
}

/**
 * tcpseal_seg_checksum() - leave a valid CHECKSUM_PARTIAL behind
 * @skb: headers private and linear, lengths final
 * @seg: the segment
 */
void tcpseal_seg_checksum(struct sk_buff *skb, const struct tcpseal_seg *seg)
{
	struct tcphdr *th = tcpseal_th(skb, seg);
	unsigned int len = skb->len - seg->thoff;

	if (seg->family == AF_INET) {
		const struct iphdr *iph = (const struct iphdr *)skb->data;

		th->check = ~tcp_v4_check(len, iph->saddr, iph->daddr, 0);
	} else {
		const struct ipv6hdr *ip6h = (const struct ipv6hdr *)skb->data;

		th->check = ~tcp_v6_check(len, &ip6h->saddr, &ip6h->daddr, 0);
	}
	skb->ip_summed = CHECKSUM_PARTIAL;
	skb_set_transport_header(skb, seg->thoff);
	skb->csum_start = skb_transport_header(skb) - skb->head;
	skb->csum_offset = offsetof(struct tcphdr, check);
}

/**
 * tcpseal_is_local() - is the local address really one of this machine?
 * @net: namespace
 * @dev: device the packet came in by (its VRF decides), or NULL
 * @a: addresses
 *
 * Context: RCU.
 */
bool tcpseal_is_local(struct net *net, const struct net_device *dev,
		      const struct tcpseal_addrs *a)
{
	if (a->family == AF_INET)
		return inet_addr_type_dev_table(net, dev, a->local.ip) ==
		       RTN_LOCAL;
	return ipv6_chk_addr(net, &a->local.in6, NULL, 0);
}

/**
 * tcpseal_sock_addrs() - addresses of a connection, as its segments have them
 * @sk: TCP socket that is or was connected
 * @a: where to
 *
 * IPv4 in a socket of IPv6 is IPv4 on the wire.
 */
void tcpseal_sock_addrs(const struct sock *sk, struct tcpseal_addrs *a)
{
	memset(a, 0, sizeof(*a));
#if IS_ENABLED(CONFIG_IPV6)
	if (sk->sk_family == AF_INET6 &&
	    !ipv6_addr_v4mapped(&sk->sk_v6_daddr)) {
		a->family = AF_INET6;
		a->local.in6 = sk->sk_v6_rcv_saddr;
		a->remote.in6 = sk->sk_v6_daddr;
		return;
	}
#endif
	a->family = AF_INET;
	a->local.ip = sk->sk_rcv_saddr;
	a->remote.ip = sk->sk_daddr;
}

/* DHCP (v4 and v6), by either port: a host must get its address. */
static bool udp_is_dhcp(const struct sk_buff *skb,
			const struct tcpseal_seg *seg)
{
	unsigned int off = seg->family == AF_INET ? ip_hdrlen(skb) :
						    seg->thoff;
	__be16 _ports[2], *ports;

	ports = skb_header_pointer(skb, off, sizeof(_ports), _ports);
	if (!ports)
		return false;
	if (seg->family == AF_INET)
		return ports[0] == htons(67) || ports[1] == htons(67);
	return ports[0] == htons(547) || ports[1] == htons(547);
}

/**
 * tcpseal_nontcp_vital() - must this pass whatever the link says of non-TCP?
 * @skb: not TCP
 * @seg: its family and protocol
 *
 * ICMP (errors, neighbour discovery, MLD), IGMP, VRRP and DHCP.
 */
bool tcpseal_nontcp_vital(const struct sk_buff *skb,
			  const struct tcpseal_seg *seg)
{
	switch (seg->proto) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_IGMP:
	case 112:	/* VRRP */
		return true;
	case IPPROTO_UDP:
		return udp_is_dhcp(skb, seg);
	default:
		return false;
	}
}
