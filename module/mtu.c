// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sizes. A record adds TCPSEAL_OVERHEAD bytes that neither TCP nor the sender
 * behind a gateway knows of. Correctness is seal.c's, which cuts to what fits;
 * here is what makes it fit without cutting: the MSS of opened SYNs, and ICMP
 * errors translated to what the reader can use.
 */
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include <net/ip.h>
#include <net/ip6_checksum.h>
#include <net/ip6_route.h>
#include <net/tcp.h>
#include "mtu.h"
#include "pair.h"
#include "skb.h"
#include "stats.h"

#define PMTU_BUCKETS	256
#define PMTU_MAX	4096
#define PMTU_SECS	600		/* as net.ipv4.route.mtu_expires */
#define MSS_FLOOR	88

/* Path MTU to a remote address, as an ICMP error said; RCU. */
struct pmtu {
	struct hlist_node	node;
	struct rcu_head		rcu;
	union nf_inet_addr	remote;
	u16			family;
	u32			mtu;
	unsigned long		until;		/* jiffies */
};

struct tcpseal_pmtu {
	spinlock_t		lock;		/* writers */
	unsigned int		nr;
	siphash_key_t		key;
	struct hlist_head	table[PMTU_BUCKETS];
};

static struct hlist_head *pmtu_bucket(struct tcpseal_pmtu *t,
				      const struct tcpseal_addrs *a)
{
	u64 h = siphash(&a->remote, sizeof(a->remote), &t->key);

	return &t->table[h % PMTU_BUCKETS];
}

static struct pmtu *pmtu_find(struct tcpseal_pmtu *t,
			      const struct tcpseal_addrs *a)
{
	struct pmtu *p;

	hlist_for_each_entry_rcu(p, pmtu_bucket(t, a), node,
				 lockdep_is_held(&t->lock))
		if (p->family == a->family &&
		    nf_inet_addr_cmp(&p->remote, &a->remote))
			return p;
	return NULL;
}

static void pmtu_learn(struct tcpseal_net *tn, const struct tcpseal_addrs *a,
		       u32 mtu)
{
	struct tcpseal_pmtu *t = tn->pmtu;
	struct pmtu *p;

	spin_lock(&t->lock);
	p = pmtu_find(t, a);
	if (!p && t->nr < PMTU_MAX) {
		p = kzalloc(sizeof(*p), GFP_ATOMIC | __GFP_NOWARN);
		if (p) {
			p->family = a->family;
			p->remote = a->remote;
			p->mtu = mtu;
			hlist_add_head_rcu(&p->node, pmtu_bucket(t, a));
			t->nr++;
		}
	}
	if (p) {
		WRITE_ONCE(p->mtu, min(p->mtu, mtu));
		WRITE_ONCE(p->until, jiffies + PMTU_SECS * HZ);
		tcpseal_note(tn, TCPSEAL_NOTE_PMTU_LEARNT, 1);
	}
	spin_unlock(&t->lock);
}

static u32 pmtu_get(struct tcpseal_net *tn, const struct tcpseal_addrs *a)
{
	struct pmtu *p;

	if (likely(!READ_ONCE(tn->pmtu->nr)))
		return U32_MAX;
	p = pmtu_find(tn->pmtu, a);
	if (!p || time_after(jiffies, READ_ONCE(p->until)))
		return U32_MAX;
	return READ_ONCE(p->mtu);
}

int tcpseal_pmtu_init(struct tcpseal_net *tn)
{
	tn->pmtu = kzalloc(sizeof(*tn->pmtu), GFP_KERNEL_ACCOUNT);
	if (!tn->pmtu)
		return -ENOMEM;
	spin_lock_init(&tn->pmtu->lock);
	get_random_bytes(&tn->pmtu->key, sizeof(tn->pmtu->key));
	return 0;
}

/* Remove entries that expired, or all. */
static void pmtu_sweep(struct tcpseal_pmtu *t, bool all)
{
	struct hlist_node *tmp;
	struct pmtu *p;
	int i;

	spin_lock_bh(&t->lock);
	for (i = 0; t->nr && i < PMTU_BUCKETS; i++) {
		hlist_for_each_entry_safe(p, tmp, &t->table[i], node) {
			if (!all && time_before(jiffies, p->until))
				continue;
			hlist_del_rcu(&p->node);
			kfree_rcu(p, rcu);
			WRITE_ONCE(t->nr, t->nr - 1);
		}
	}
	spin_unlock_bh(&t->lock);
}

void tcpseal_pmtu_gc(struct tcpseal_net *tn)
{
	pmtu_sweep(tn->pmtu, false);
}

void tcpseal_pmtu_exit(struct tcpseal_net *tn)
{
	pmtu_sweep(tn->pmtu, true);
	kfree(tn->pmtu);
	tn->pmtu = NULL;
}

/**
 * tcpseal_mtu() - largest IP packet that reaches the peer, as far as is known
 * @tn: namespace
 * @skb: outgoing, with its dst
 * @sk: socket of the hook, or NULL
 * @a: its addresses
 *
 * Context: RCU.
 */
unsigned int tcpseal_mtu(struct tcpseal_net *tn, const struct sk_buff *skb,
			 const struct sock *sk, const struct tcpseal_addrs *a)
{
	u32 mtu;

	if (a->family == AF_INET)
		mtu = ip_skb_dst_mtu((struct sock *)sk, skb);
	else
		mtu = dst_mtu(skb_dst(skb));
	return min3(mtu, pmtu_get(tn, a), TCPSEAL_SKB_MAX);
}

/**
 * tcpseal_mss_hint() - leave room for records in what the peer may be sent
 * @tn: namespace
 * @skb: opened SYN or SYN-ACK, headers private, checksum partial
 * @seg: its shape
 * @a: its addresses
 *
 * The reader of the segment will send at most this MSS to its sender: lowered
 * by a record's overhead, and to what fits our own path to the sender. And so
 * that all records of a burst begin at whole cipher blocks, behind each other:
 * a block that lies across two pages costs the crypto API a detour. A hint
 * only: seal.c cuts whatever TCP does. Not for signed segments, whose options
 * must stay as they are.
 */
void tcpseal_mss_hint(struct tcpseal_net *tn, struct sk_buff *skb,
		      const struct tcpseal_seg *seg,
		      const struct tcpseal_addrs *a)
{
	unsigned int hdrs = seg->family == AF_INET ? 40 : 60;
	struct tcphdr *th = tcpseal_th(skb, seg);
	unsigned int mtu, mss, hint, opts = 0;
	u8 *opt;

	if (tcpseal_seg_signed(th))
		return;
	opt = tcpseal_tcp_option(th, TCPOPT_MSS, TCPOLEN_MSS);
	if (!opt)
		return;
	mss = get_unaligned_be16(opt + 2);
	mtu = min3(READ_ONCE(skb->dev->mtu), pmtu_get(tn, a),
		   TCPSEAL_SKB_MAX);
	hint = min(mss, mtu - min(mtu, hdrs));
	hint -= min(hint, TCPSEAL_OVERHEAD);
	if (tcpseal_tcp_option(th, TCPOPT_TIMESTAMP, TCPOLEN_TIMESTAMP))
		opts = TCPOLEN_TSTAMP_ALIGNED;
	if (hint > opts)
		hint = round_down(hint - opts, TCPSEAL_BLOCK) + opts;
	hint = max_t(unsigned int, hint, MSS_FLOOR);
	if (hint >= mss)
		return;
	put_unaligned_be16(hint, opt + 2);
	tcpseal_note(tn, TCPSEAL_NOTE_MSS_HINT, 1);
}

/* An ICMP error, and the TCP segment that it quotes. */
struct quote {
	unsigned int	icmp;		/* offset of the ICMP header */
	unsigned int	ip;		/* of the quoted IP header */
	unsigned int	tcp;		/* of the quoted TCP header */
	bool		too_big;
	__be32		seq;
	u32		mtu;		/* for too_big */
	struct tcpseal_addrs a;		/* as of the host that sent the quote */
};

/*
 * Is it an error about TCP, and about whom? @sent: we sent the quoted segment
 * (the error comes in), so its source is local; else it was sent to us.
 */
static bool quote_parse4(struct sk_buff *skb, bool sent, struct quote *q)
{
	struct icmphdr _icmph, *icmph;
	struct iphdr _iph, *iph;

	q->icmp = ip_hdrlen(skb);
	icmph = skb_header_pointer(skb, q->icmp, sizeof(_icmph), &_icmph);
	if (!icmph || !icmp_is_err(icmph->type))
		return false;
	q->ip = q->icmp + sizeof(*icmph);
	iph = skb_header_pointer(skb, q->ip, sizeof(_iph), &_iph);
	if (!iph || iph->protocol != IPPROTO_TCP || iph->ihl < 5 ||
	    iph->frag_off & htons(IP_OFFSET))
		return false;
	q->tcp = q->ip + iph->ihl * 4;
	q->too_big = icmph->type == ICMP_DEST_UNREACH &&
		     icmph->code == ICMP_FRAG_NEEDED;
	q->mtu = ntohs(icmph->un.frag.mtu);
	q->a.local.ip = sent ? iph->saddr : iph->daddr;
	q->a.remote.ip = sent ? iph->daddr : iph->saddr;
	return true;
}

static bool quote_parse6(struct sk_buff *skb, unsigned int thoff, bool sent,
			 struct quote *q)
{
	struct icmp6hdr _icmph, *icmph;
	struct ipv6hdr _iph, *iph;
	__be16 frag = 0;
	int off;
	u8 next;

	q->icmp = thoff;
	icmph = skb_header_pointer(skb, q->icmp, sizeof(_icmph), &_icmph);
	if (!icmph || !icmpv6_is_err(icmph->icmp6_type))
		return false;
	q->ip = q->icmp + sizeof(*icmph);
	iph = skb_header_pointer(skb, q->ip, sizeof(_iph), &_iph);
	if (!iph)
		return false;
	next = iph->nexthdr;
	off = ipv6_skip_exthdr(skb, q->ip + sizeof(*iph), &next, &frag);
	if (off < 0 || next != NEXTHDR_TCP || frag & htons(~0x7))
		return false;
	q->tcp = off;
	q->too_big = icmph->icmp6_type == ICMPV6_PKT_TOOBIG;
	q->mtu = ntohl(icmph->icmp6_mtu);
	q->a.local.in6 = sent ? iph->saddr : iph->daddr;
	q->a.remote.in6 = sent ? iph->daddr : iph->saddr;
	return true;
}

static bool quote_parse(struct sk_buff *skb, const struct tcpseal_seg *seg,
			bool sent, struct quote *q)
{
	__be32 _ports[2], *ports;

	memset(q, 0, sizeof(*q));
	q->a.family = seg->family;
	if (!(seg->family == AF_INET ? quote_parse4(skb, sent, q) :
				       quote_parse6(skb, seg->thoff, sent, q)))
		return false;
	ports = skb_header_pointer(skb, q->tcp, sizeof(_ports), _ports);
	if (!ports)
		return false;
	q->seq = ports[1];
	return true;
}

/* Is the quoted segment of a pair that is sealed now? RCU. */
static struct tcpseal_pair *quote_pair(struct tcpseal_net *tn,
				       const struct quote *q)
{
	struct tcpseal_link *link = tcpseal_link_lookup(tn, &q->a);
	struct tcpseal_pair *pair;

	if (!link)
		return NULL;
	pair = tcpseal_pair_find(tn, &q->a, link);
	if (!pair || tcpseal_pair_demand(pair) == TCPSEAL_MAY_PLAIN)
		return NULL;
	return pair;
}

/* The index of the quoted record; 1 when the quote is too short to show it. */
static unsigned int quote_index(const struct sk_buff *skb,
				const struct quote *q)
{
	struct tcpseal_record _hdr, *hdr;
	struct tcphdr _th, *th;

	th = skb_header_pointer(skb, q->tcp, sizeof(_th), &_th);
	if (!th)
		return 1;
	hdr = skb_header_pointer(skb, q->tcp + th->doff * 4, sizeof(_hdr),
				 &_hdr);
	if (!hdr || hdr->ver_flags >> TCPSEAL_VER_SHIFT !=
		    TCPSEAL_RECORD_VERSION)
		return 1;
	return min_t(unsigned int, be16_to_cpu(hdr->index),
		     TCPSEAL_BURST_MAX);
}

/* Write the true sequence number and the smaller MTU into the error. */
static int quote_rewrite(struct sk_buff *skb, const struct tcpseal_seg *seg,
			 const struct quote *q, __be32 seq, u32 mtu)
{
	__be32 *seqp;

	if (skb_ensure_writable(skb, q->tcp + 8))
		return -ENOMEM;
	seqp = (__be32 *)(skb->data + q->tcp + 4);
	if (seg->family == AF_INET) {
		struct icmphdr *icmph = (void *)(skb->data + q->icmp);

		csum_replace4(&icmph->checksum, *seqp, seq);
		csum_replace2(&icmph->checksum, icmph->un.frag.mtu,
			      htons(mtu));
		icmph->un.frag.mtu = htons(mtu);
	} else {
		struct icmp6hdr *icmph = (void *)(skb->data + q->icmp);

		csum_replace4(&icmph->icmp6_cksum, *seqp, seq);
		csum_replace4(&icmph->icmp6_cksum, icmph->icmp6_mtu,
			      htonl(mtu));
		icmph->icmp6_mtu = htonl(mtu);
	}
	*seqp = seq;
	return 0;
}

/**
 * tcpseal_icmp_in() - an ICMP packet arrives
 * @tn: namespace
 * @skb: at its IP header
 * @seg: family, and for IPv6 the offset of the ICMP header
 *
 * Errors about sealed segments: too big is believed down to a floor, corrected
 * by a record's overhead, and remembered here for those who never hear of it
 * (senders behind a gateway; IPv6 at its minimum). All others are ignored:
 * anyone can send them.
 *
 * Context: BH off, RCU. Return: ACCEPT or DROP (counted).
 */
enum tcpseal_verdict tcpseal_icmp_in(struct tcpseal_net *tn,
				     struct sk_buff *skb,
				     const struct tcpseal_seg *seg)
{
	u32 floor = seg->family == AF_INET ? TCPSEAL_MTU_FLOOR4 :
					     TCPSEAL_MTU_FLOOR6;
	enum tcpseal_drop why = TCPSEAL_DROP_ICMP_HARD;
	struct tcpseal_pair *pair;
	struct quote q;
	u32 seq;

	if (!quote_parse(skb, seg, true, &q))
		return TCPSEAL_ACCEPT;
	pair = quote_pair(tn, &q);
	if (!pair)
		return TCPSEAL_ACCEPT;
	if (!q.too_big)
		goto drop;
	why = TCPSEAL_DROP_ICMP_FORGED;
	if (q.mtu > READ_ONCE(skb->dev->mtu) && q.mtu > 65535)
		goto drop;
	q.mtu = max(q.mtu, floor);
	pmtu_learn(tn, &q.a, q.mtu);
	seq = ntohl(q.seq) + TCPSEAL_OVERHEAD * quote_index(skb, &q);
	why = TCPSEAL_DROP_NO_MEMORY;
	if (quote_rewrite(skb, seg, &q, htonl(seq),
			  max(q.mtu - TCPSEAL_OVERHEAD, floor)))
		goto drop;
	return TCPSEAL_ACCEPT;

drop:
	tcpseal_drop(tn, pair, NULL, &q.a, skb, why, 1);
	return TCPSEAL_DROP;
}

/* The checksum over an ICMP packet that became shorter. */
static void icmp_checksum(struct sk_buff *skb, const struct tcpseal_seg *seg,
			  const struct quote *q)
{
	unsigned int len = skb->len - q->icmp;

	if (seg->family == AF_INET) {
		struct icmphdr *icmph = (void *)(skb->data + q->icmp);

		icmph->checksum = 0;
		icmph->checksum = csum_fold(skb_checksum(skb, q->icmp, len,
							 0));
	} else {
		const struct ipv6hdr *h = (const void *)skb->data;
		struct icmp6hdr *icmph = (void *)(skb->data + q->icmp);

		icmph->icmp6_cksum = 0;
		icmph->icmp6_cksum =
			csum_ipv6_magic(&h->saddr, &h->daddr, len,
					IPPROTO_ICMPV6,
					skb_checksum(skb, q->icmp, len, 0));
	}
	skb->ip_summed = CHECKSUM_NONE;
}

/**
 * tcpseal_icmp_out() - an ICMP packet leaves
 * @tn: namespace
 * @skb: at its IP header
 * @seg: family, and for IPv6 the offset of the ICMP header
 *
 * The stack quotes up to 1,232 bytes of a segment that was opened here. Of
 * those of a sealed pair only the header and 8 bytes go out.
 *
 * Context: BH off, RCU. Return: ACCEPT or DROP (counted).
 */
enum tcpseal_verdict tcpseal_icmp_out(struct tcpseal_net *tn,
				      struct sk_buff *skb,
				      const struct tcpseal_seg *seg)
{
	struct tcpseal_pair *pair;
	struct quote q;

	if (!quote_parse(skb, seg, false, &q))
		return TCPSEAL_ACCEPT;
	pair = quote_pair(tn, &q);
	if (!pair || skb->len <= q.tcp + 8)
		return TCPSEAL_ACCEPT;
	if (skb_ensure_writable(skb, q.tcp + 8) ||
	    pskb_trim(skb, q.tcp + 8)) {
		tcpseal_drop(tn, pair, NULL, &q.a, skb,
			     TCPSEAL_DROP_NO_MEMORY, 1);
		return TCPSEAL_DROP;
	}
	tcpseal_seg_length(skb, seg);
	icmp_checksum(skb, seg, &q);
	tcpseal_note(tn, TCPSEAL_NOTE_ICMP_CUT, 1);
	return TCPSEAL_ACCEPT;
}
