// SPDX-License-Identifier: GPL-2.0-only
/*
 * skbs of every shape and size are sealed, carried over a wire, and opened: the
 * plaintext and its headers are back, what an skb shares was not written to,
 * and lengths, truesize, sequence numbers and checksums say what there is.
 */
#include "../../module/skb.c"
#include "../../module/aead.c"
#include "../../module/seal.c"
#include "../../module/open.c"
#include <net/gso.h>
#include "around.h"

#define LANES		8
#define SPI		0xdeadbeef
#define FRAGS_MAX	17
#define LIST_MAX	4
#define PIECES_MAX	(FRAGS_MAX + LIST_MAX)
#define FRAG_OFF	13
#define IP_MAX		65535

struct shape {
	const char	*name;
	unsigned int	head;	/* payload bytes behind the headers, at most */
	u8		frags, list;
	bool		no_room;	/* no headroom */
	bool		cloned, shared, owned;
};

static const struct shape shapes[] = {
	{ "linear", .head = IP_MAX },
	{ "linear, no room", .head = IP_MAX, .no_room = true },
	{ "linear, cloned", .head = IP_MAX, .cloned = true },
	{ "linear, owned", .head = IP_MAX, .owned = true },
	{ "1 frag", .frags = 1 },
	{ "2 frags", .frags = 2 },
	{ "3 frags", .frags = 3 },
	{ "4 frags, no room", .frags = 4, .no_room = true },
	{ "5 frags", .frags = 5 },
	{ "6 frags, cloned", .frags = 6, .cloned = true },
	{ "7 frags, shared", .frags = 7, .shared = true },
	{ "8 frags", .frags = 8 },
	{ "9 frags, owned", .frags = 9, .owned = true },
	{ "10 frags", .frags = 10 },
	{ "11 frags, owned, cloned", .frags = 11, .owned = true,
	  .cloned = true },
	{ "12 frags", .frags = 12 },
	{ "13 frags, no room, cloned", .frags = 13, .no_room = true,
	  .cloned = true },
	{ "14 frags", .frags = 14 },
	{ "15 frags", .frags = 15 },
	{ "16 frags", .frags = 16 },
	{ "17 frags", .frags = 17 },
	{ "linear, 1 frag", .head = 100, .frags = 1 },
	{ "linear, 17 frags, cloned", .head = 7, .frags = 17,
	  .cloned = true },
	{ "list of 1", .head = 1300, .list = 1 },
	{ "2 frags, list of 4", .frags = 2, .list = 4 },
	{ "linear, 3 frags, list of 4, cloned", .head = 300, .frags = 3,
	  .list = 4, .cloned = true },
	{ "1 frag, list of 3, shared", .frags = 1, .list = 3,
	  .shared = true },
};

/* How it comes to the other end. */
enum way {
	WHOLE,		/* as it was sent: veth, or TSO and GRO */
	CUT,		/* each segment by itself */
	MERGED,		/* cut, and behind each other in a frag_list */
	WAYS
};

static const unsigned int mtus[] = { 576, 1280, 1500, 9000, 65535 };
static const unsigned int chunks[] = { 1, 88, 536, 1428, 1448, 8948, 0 };
static const unsigned int sizes[] = {
	0, 1, 2, 15, 16, 17, 223, 224, 225, 255, 256, 257, 535, 536, 537, 1024,
	1427, 1428, 1429, 1460, 2856, 4063, 4064, 4095, 4096, 4097, 8192, 16384,
	32735, 32736, 32768, 60000, 64000, IP_MAX - 40 - 20, IP_MAX - 40 - 1,
	IP_MAX - 40, IP_MAX,	/* cut to what IP can say */
};

/* One segment, or super-segment, and what came of it. */
struct sample {
	const struct shape	*shape;
	u16			family;
	unsigned int		len, hlen, gso, mtu;
	u32			seq;
	u8			flags;
	bool			rst;
	struct sk_buff		*skb, *clone;
	struct page		*page[PIECES_MAX];
	unsigned int		page_len[PIECES_MAX], page_at[PIECES_MAX];
	unsigned int		pages;
	struct sk_buff_head	wire, plain;
	unsigned int		truesize;
};

static struct {
	struct tcpseal_net	tn;
	struct tcpseal_sa	out, in;
	struct net_device	*dev;
	struct dst_entry	dst;
	struct socket		*sock;
} all;

static u8 bytes[IP_MAX];

/* A timestamp, after two bytes of padding */
static const u8 stamps[12] = { 1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8 };

static u8 pattern(unsigned int at)
{
	return at * 31 + (at >> 8) * 7 + 3;
}

static void pattern_fill(u8 *to, unsigned int at, unsigned int len)
{
	while (len--)
		*to++ = pattern(at++);
}

static bool pattern_is(const u8 *p, unsigned int at, unsigned int len)
{
	while (len--)
		if (*p++ != pattern(at++))
			return false;
	return true;
}

/* @len bytes of payload in a page of their own, not at its start. */
static void add_frag(struct kunit *test, struct sample *s, struct sk_buff *skb,
		     unsigned int at, unsigned int len)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_COMP,
					get_order(FRAG_OFF + len));

	KUNIT_ASSERT_NOT_NULL(test, page);
	pattern_fill(page_address(page) + FRAG_OFF, at, len);
	skb_add_rx_frag(skb, skb_shinfo(skb)->nr_frags, page, FRAG_OFF, len,
			len);
	get_page(page);
	s->page[s->pages] = page;
	s->page_at[s->pages] = at;
	s->page_len[s->pages++] = len;
}

static struct sk_buff *new_skb(struct kunit *test, unsigned int room,
			       unsigned int len)
{
	struct sk_buff *skb = alloc_skb(room + len, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, skb);
	skb_reserve(skb, room);
	return skb;
}

static void build_headers(struct sample *s)
{
	struct sk_buff *skb = s->skb;
	struct tcphdr *th;

	skb_reset_network_header(skb);
	skb_reset_mac_header(skb);
	if (s->family == AF_INET) {
		struct iphdr *iph = skb_put_zero(skb, sizeof(*iph));

		iph->version = 4;
		iph->ihl = 5;
		iph->ttl = 64;
		iph->protocol = IPPROTO_TCP;
		iph->frag_off = htons(IP_DF);
		iph->saddr = htonl(0x0a010005);
		iph->daddr = htonl(0x0a020005);
		skb->protocol = htons(ETH_P_IP);
	} else {
		struct ipv6hdr *ip6h = skb_put_zero(skb, sizeof(*ip6h));

		ip6h->version = 6;
		ip6h->nexthdr = NEXTHDR_TCP;
		ip6h->hop_limit = 64;
		ip6h->saddr.s6_addr[0] = 0xfd;
		ip6h->daddr.s6_addr[0] = 0xfe;
		skb->protocol = htons(ETH_P_IPV6);
	}
	skb_set_transport_header(skb, skb->len);
	th = skb_put_zero(skb, s->hlen - skb->len);
	th->source = htons(40000);
	th->dest = htons(80);
	th->seq = htonl(s->seq);
	th->ack_seq = htonl(0x01020304);
	th->doff = (s->hlen - skb_transport_offset(skb)) / 4;
	th->ack = 1;
	th->window = htons(502);
	th->fin = !!(s->flags & TCPSEAL_F_FIN);
	th->psh = !!(s->flags & TCPSEAL_F_PSH);
	th->cwr = !!(s->flags & TCPSEAL_F_CWR);
	th->rst = s->rst;
	if (th->doff == 8)
		memcpy(th + 1, stamps, sizeof(stamps));
}

static void build(struct kunit *test, struct sample *s)
{
	const struct shape *shape = s->shape;
	unsigned int head, at, part, len, left, i;
	struct sk_buff **tail;
	struct tcpseal_seg seg;

	head = min(shape->head, s->len);
	s->skb = new_skb(test, shape->no_room ? 0 : 128, s->hlen + head);
	build_headers(s);
	pattern_fill(skb_put(s->skb, head), 0, head);
	at = head;
	left = s->len - head;
	part = DIV_ROUND_UP(left, max(1, shape->frags + shape->list));
	for (i = 0; i < shape->frags && left; i++, at += len, left -= len) {
		len = min(part, left);
		add_frag(test, s, s->skb, at, len);
	}
	tail = &skb_shinfo(s->skb)->frag_list;
	for (i = 0; i < shape->list && left; i++, at += len, left -= len) {
		struct sk_buff *skb = new_skb(test, 0, part / 2);

		len = min(part, left);
		head = min(part / 2, len);
		pattern_fill(skb_put(skb, head), at, head);
		if (len > head)
			add_frag(test, s, skb, at + head, len - head);
		*tail = skb;
		tail = &skb->next;
		s->skb->len += len;
		s->skb->data_len += len;
		s->skb->truesize += skb->truesize;
	}
	if (s->gso && s->len > s->gso) {
		skb_shinfo(s->skb)->gso_size = s->gso;
		skb_shinfo(s->skb)->gso_segs = DIV_ROUND_UP(s->len, s->gso);
		skb_shinfo(s->skb)->gso_type = s->family == AF_INET ?
					       SKB_GSO_TCPV4 : SKB_GSO_TCPV6;
	}
	tcpseal_parse(s->skb, s->family, &seg);
	tcpseal_seg_length(s->skb, &seg);
	tcpseal_seg_checksum(s->skb, &seg);
	s->skb->dev = all.dev;
	if (shape->shared)
		skb_shinfo(s->skb)->flags |= SKBFL_SHARED_FRAG;
	if (shape->owned)
		skb_set_owner_w(s->skb, all.sock->sk);
	if (shape->cloned) {
		s->clone = skb_clone(s->skb, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, s->clone);
	}
	s->truesize = s->skb->truesize;
}

/* Lengths and memory of an skb that the module made. */
static bool geometry_ok(const struct sample *s, struct sk_buff *skb)
{
	unsigned int sum = 0, i, iplen;
	const struct sk_buff *frag;

	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++)
		sum += skb_frag_size(&skb_shinfo(skb)->frags[i]);
	skb_walk_frags(skb, frag)
		sum += frag->len;
	if (sum != skb->data_len || skb_tail_pointer(skb) >
				    skb_end_pointer(skb))
		return false;
	iplen = s->family == AF_INET ? ntohs(ip_hdr(skb)->tot_len) :
		ntohs(ipv6_hdr(skb)->payload_len) + 40;
	if (iplen != skb->len || skb->ip_summed != CHECKSUM_PARTIAL)
		return false;
	/* who is charged for it gets back what he gave, no more and no less */
	if (skb->sk)
		return true;
	return skb->truesize == SKB_TRUESIZE(skb_end_offset(skb)) +
				skb->data_len;
}

static u32 seq_of(const struct sk_buff *skb, const struct tcpseal_seg *seg)
{
	return ntohl(tcpseal_th(skb, seg)->seq);
}

static bool sources_ok(const struct sample *s)
{
	const struct tcphdr *th;
	unsigned int i;

	for (i = 0; i < s->pages; i++)
		if (!pattern_is(page_address(s->page[i]) + FRAG_OFF, s->page_at[i],
				s->page_len[i]))
			return false;
	if (!s->clone)
		return true;
	th = tcp_hdr(s->clone);
	return th->seq == htonl(s->seq) &&
	       !skb_copy_bits(s->clone, s->hlen, bytes, s->len) &&
	       pattern_is(bytes, 0, s->len);
}

static int do_seal(struct sample *s)
{
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;
	enum tcpseal_verdict verdict;
	struct sk_buff *skb = s->skb;

	around_mtu = s->mtu;
	local_bh_disable();
	rcu_read_lock();
	skb_dst_set_noref(skb, &all.dst);
	if (tcpseal_parse(skb, s->family, &seg) != TCPSEAL_IS_TCP) {
		verdict = TCPSEAL_DROP;
	} else {
		tcpseal_seg_addrs(skb, &seg, true, &a);
		verdict = tcpseal_seal(&all.tn, &all.out, skb, &seg, &a,
				       skb->sk);
	}
	if (verdict == TCPSEAL_ACCEPT)
		skb_queue_tail(&around_sent, skb);
	else if (verdict == TCPSEAL_DROP)
		kfree_skb(skb);
	s->skb = NULL;
	skb_queue_walk(&around_sent, skb)
		skb_dst_drop(skb);
	skb_queue_splice_tail_init(&around_sent, &s->wire);
	rcu_read_unlock();
	local_bh_enable();
	return verdict == TCPSEAL_DROP ? -EIO : 0;
}

/* Each record of the skbs on the wire: shape, index, sequence number. */
static bool wire_ok(const struct sample *s)
{
	unsigned int at = 0, off, len, seglen;
	struct tcpseal_record r;
	struct tcpseal_seg seg;
	struct sk_buff *skb;
	u64 counter = 0;
	u32 true_seq;

	skb_queue_walk(&s->wire, skb) {
		if (tcpseal_parse(skb, s->family, &seg) != TCPSEAL_IS_TCP ||
		    !geometry_ok(s, skb))
			return false;
		if (skb_is_gso(skb) &&
		    (skb_shinfo(skb)->gso_size >= seg.payload ||
		     skb_shinfo(skb)->gso_segs !=
		     DIV_ROUND_UP(seg.payload, skb_shinfo(skb)->gso_size)))
			return false;
		seglen = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size :
					   seg.payload;
		if (seg.hlen + seglen > s->mtu)
			return false;
		for (off = 0; off < seg.payload; off += seglen) {
			len = min(seglen, seg.payload - off);
			if (skb_copy_bits(skb, seg.hlen + off, &r, sizeof(r)) ||
			    !tcpseal_record_shaped(&r, len))
				return false;
			true_seq = seq_of(skb, &seg) + off +
				   TCPSEAL_OVERHEAD * be16_to_cpu(r.index);
			if (true_seq != (u32)(s->seq + at) ||
			    !be16_to_cpu(r.index) != s->rst)
				return false;
			if (counter && tcpseal_record_counter(&r) != counter)
				return false;
			counter = tcpseal_record_counter(&r) + 1;
			at += be16_to_cpu(r.length);
		}
		/* a burst ends where TCP says it ends */
		if (!s->rst && seq_of(skb, &seg) + seg.payload !=
			       (u32)(s->seq + at))
			return false;
	}
	return at == s->len;
}

/* As a driver without TSO would, and as GRO without page frags. */
static int carry(struct sample *s, enum way way)
{
	struct sk_buff_head from;
	struct sk_buff *skb, *segs, *next, *first, **tail;
	struct tcpseal_seg seg;
	unsigned int n;

	__skb_queue_head_init(&from);
	skb_queue_splice_tail_init(&s->wire, &from);
	while ((skb = __skb_dequeue(&from))) {
		if (way == WHOLE || !skb_is_gso(skb)) {
			__skb_queue_tail(&s->wire, skb);
			continue;
		}
		segs = skb_gso_segment(skb, around_below(2) ? 0 :
				       NETIF_F_SG | NETIF_F_HW_CSUM);
		kfree_skb(skb);
		if (IS_ERR_OR_NULL(segs))
			return -EIO;
		first = segs;
		if (way == CUT) {
			skb_list_walk_safe(segs, skb, next) {
				skb_mark_not_on_list(skb);
				__skb_queue_tail(&s->wire, skb);
			}
			continue;
		}
		tcpseal_parse(first, s->family, &seg);
		next = first->next;
		skb_mark_not_on_list(first);
		if (skb_has_frag_list(first))
			return -EINVAL;
		tail = &skb_shinfo(first)->frag_list;
		for (n = 1; (skb = next); n++) {
			next = skb->next;
			skb_mark_not_on_list(skb);
			if (!next) {
				struct tcphdr *th = tcpseal_th(skb, &seg);

				tcpseal_th(first, &seg)->fin |= th->fin;
				tcpseal_th(first, &seg)->psh |= th->psh;
			}
			__skb_pull(skb, seg.hlen);
			*tail = skb;
			tail = &skb->next;
			first->len += skb->len;
			first->data_len += skb->len;
			first->truesize += skb->truesize;
		}
		skb_shinfo(first)->gso_size = seg.payload;
		skb_shinfo(first)->gso_segs = n;
		skb_shinfo(first)->gso_type = s->family == AF_INET ?
					      SKB_GSO_TCPV4 : SKB_GSO_TCPV6;
		tcpseal_parse(first, s->family, &seg);
		tcpseal_seg_length(first, &seg);
		tcpseal_seg_checksum(first, &seg);
		__skb_queue_tail(&s->wire, first);
	}
	return 0;
}

static int do_open(struct sample *s)
{
	struct nf_hook_state state = {};
	enum tcpseal_verdict verdict;
	struct tcpseal_record r;
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;
	struct sk_buff *skb;
	int err = 0;

	local_bh_disable();
	rcu_read_lock();
	while ((skb = __skb_dequeue(&s->wire))) {
		skb_orphan(skb);
		if (tcpseal_parse(skb, s->family, &seg) != TCPSEAL_IS_TCP ||
		    skb_copy_bits(skb, seg.hlen, &r, sizeof(r))) {
			kfree_skb(skb);
			err = -EIO;
			break;
		}
		tcpseal_seg_addrs(skb, &seg, false, &a);
		verdict = tcpseal_open(&all.tn, &all.in, r.lane, skb, &seg, &a,
				       &state);
		if (verdict == TCPSEAL_ACCEPT) {
			__skb_queue_tail(&s->plain, skb);
		} else if (verdict == TCPSEAL_DROP) {
			kfree_skb(skb);
			err = -EBADMSG;
		}
		skb_queue_splice_tail_init(&around_sent, &s->plain);
	}
	rcu_read_unlock();
	local_bh_enable();
	return err;
}

static bool plain_ok(const struct sample *s)
{
	struct tcpseal_seg seg;
	unsigned int at = 0;
	struct sk_buff *skb;
	bool ok = true;
	u8 flags;

	skb_queue_walk(&s->plain, skb) {
		struct tcphdr *th;

		if (tcpseal_parse(skb, s->family, &seg) != TCPSEAL_IS_TCP ||
		    !geometry_ok(s, skb) || seg.hlen != s->hlen ||
		    skb_copy_bits(skb, 0, bytes, skb->len)) {
			ok = false;
			break;
		}
		th = (struct tcphdr *)(bytes + seg.thoff);
		flags = (th->fin ? TCPSEAL_F_FIN : 0) |
			(th->psh ? TCPSEAL_F_PSH : 0) |
			(th->cwr ? TCPSEAL_F_CWR : 0);
		ok = ok && ntohl(th->seq) == (u32)(s->seq + at) &&
		     pattern_is(bytes + seg.hlen, at, seg.payload) &&
		     th->ack && th->rst == s->rst &&
		     th->window == htons(502) &&
		     (th->doff == 5 ||
		      !memcmp(th + 1, stamps, sizeof(stamps))) &&
		     /* the first CWR, the last FIN and PSH */
		     (flags & TCPSEAL_F_CWR) ==
		     (at ? 0 : s->flags & TCPSEAL_F_CWR) &&
		     (flags & ~TCPSEAL_F_CWR) ==
		     (skb_queue_is_last(&s->plain, skb) ?
		      s->flags & ~TCPSEAL_F_CWR : 0);
		at += seg.payload;
	}
	return ok && at == s->len;
}

static void sample_free(struct sample *s)
{
	kfree_skb(s->clone);
	__skb_queue_purge(&s->wire);
	__skb_queue_purge(&s->plain);
	while (s->pages)
		put_page(s->page[--s->pages]);
}

static void one(struct kunit *test, struct sample *s, enum way way)
{
	const char *wrong = NULL;

	around_reset();
	__skb_queue_head_init(&s->wire);
	__skb_queue_head_init(&s->plain);
	build(test, s);
	if (do_seal(s))
		wrong = "was not sealed";
	else if (!wire_ok(s))
		wrong = "is no good on the wire";
	else if (!sources_ok(s))
		wrong = "was written to by sealing";
	else if (s->shape->owned &&
		 skb_peek(&s->wire)->truesize != s->truesize)
		wrong = "has another truesize than its owner was charged for";
	else if (carry(s, way))
		wrong = "could not be carried";
	else if (do_open(s))
		wrong = "was not opened";
	else if (!plain_ok(s))
		wrong = "is not the same again";
	else if (!sources_ok(s))
		wrong = "was written to by opening";
	sample_free(s);
	if (wrong)
		KUNIT_FAIL(test,
			   "%s, %u bytes, hlen %u, gso %u, mtu %u, way %d, flags %x, rst %d: %s",
			   s->shape->name, s->len, s->hlen, s->gso, s->mtu,
			   way, s->flags, s->rst, wrong);
}

static void any_sample(struct sample *s, const struct shape *shape,
		       unsigned int len)
{
	bool v6 = around_below(2), options = around_below(2);

	memset(s, 0, sizeof(*s));
	s->shape = shape;
	s->family = v6 ? AF_INET6 : AF_INET;
	s->hlen = (v6 ? 60 : 40) + (options ? 12 : 0);
	s->len = min(len, IP_MAX - s->hlen);
	s->mtu = mtus[around_below(ARRAY_SIZE(mtus))];
	do {
		s->gso = chunks[around_below(ARRAY_SIZE(chunks))];
	} while (s->gso == 1 && len > 2000);
	/* about where sequence numbers wrap */
	s->seq = around_below(4) ? around_random() : -around_below(65536);
	s->flags = around_below(8);
	s->rst = !len && !around_below(4);
}

static void shapes_and_sizes(struct kunit *test)
{
	unsigned int i, j, way;
	struct sample *s;

	s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	for (i = 0; i < ARRAY_SIZE(shapes); i++) {
		for (j = 0; j < ARRAY_SIZE(sizes); j++) {
			any_sample(s, &shapes[i], sizes[j]);
			one(test, s, around_below(WAYS));
		}
		for (way = 0; way < WAYS; way++) {
			any_sample(s, &shapes[i], around_below(IP_MAX));
			one(test, s, way);
		}
	}
	/* all memory that was charged has been given back */
	KUNIT_EXPECT_EQ(test, 1U,
			refcount_read(&all.sock->sk->sk_wmem_alloc));
}

/* A byte altered anywhere costs its record, no other one. */
static void altered_byte(struct kunit *test)
{
	const unsigned int nr = 10, chunk = 1428;
	unsigned int i, at, good, bad;
	struct sample *s;
	struct sk_buff *skb;
	u8 *payload;

	s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	for (i = 0; i < 300; i++) {
		any_sample(s, &shapes[0], nr * chunk);
		s->hlen = s->family == AF_INET ? 40 : 60;
		s->mtu = s->hlen + chunk + TCPSEAL_OVERHEAD;
		s->gso = chunk;
		s->rst = false;
		around_reset();
		__skb_queue_head_init(&s->wire);
		__skb_queue_head_init(&s->plain);
		build(test, s);
		KUNIT_EXPECT_EQ(test, do_seal(s), 0);
		skb = skb_peek(&s->wire);
		KUNIT_EXPECT_EQ(test, skb_queue_len(&s->wire), 1U);
		at = around_below(nr * (chunk + TCPSEAL_OVERHEAD));
		/* lane and SPI of the first record say which key it is for */
		if (at < 8)
			at = 8;
		if (skb_linearize(skb)) {
			sample_free(s);
			continue;
		}
		payload = skb->data + s->hlen;
		payload[at] ^= 1 << around_below(8);
		KUNIT_EXPECT_EQ(test, do_open(s), 0);
		good = 0;
		skb_queue_walk(&s->plain, skb)
			good += skb->len - s->hlen;
		bad = around_drops[TCPSEAL_DROP_BAD_TAG] +
		      around_drops[TCPSEAL_DROP_MALFORMED] +
		      around_drops[TCPSEAL_DROP_TOO_OLD];
		KUNIT_EXPECT_EQ_MSG(test, good, (nr - 1) * chunk, "byte %u", at);
		KUNIT_EXPECT_EQ_MSG(test, bad, 1U, "byte %u", at);
		sample_free(s);
	}
}

/* A burst that ends in less than a record: that is lost, and nothing else. */
static void short_tail(struct kunit *test)
{
	unsigned int i, nr, chunk, size, good;
	struct sk_buff *skb;
	struct sample *s;

	s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	for (i = 0; i < 300; i++) {
		nr = 2 + around_below(9);
		chunk = 88 + around_below(1341);
		any_sample(s, &shapes[0], nr * chunk);
		s->hlen = s->family == AF_INET ? 40 : 60;
		s->mtu = s->hlen + chunk + TCPSEAL_OVERHEAD;
		s->gso = chunk;
		s->rst = false;
		around_reset();
		__skb_queue_head_init(&s->wire);
		__skb_queue_head_init(&s->plain);
		build(test, s);
		KUNIT_EXPECT_EQ(test, do_seal(s), 0);
		skb = skb_peek(&s->wire);
		nr = skb_shinfo(skb)->gso_segs;
		size = skb_shinfo(skb)->gso_size;
		if (nr < 2 || pskb_trim(skb, s->hlen + (nr - 1) * size + 1 +
					around_below(TCPSEAL_OVERHEAD - 1))) {
			KUNIT_FAIL(test, "%u records were not cut", nr);
			sample_free(s);
			continue;
		}
		KUNIT_EXPECT_EQ(test, do_open(s), 0);
		good = 0;
		skb_queue_walk(&s->plain, skb)
			good += skb->len - s->hlen;
		KUNIT_EXPECT_EQ_MSG(test, good,
				    (nr - 1) * (size - TCPSEAL_OVERHEAD),
				    "%u records of %u bytes", nr, size);
		KUNIT_EXPECT_EQ(test, around_drops[TCPSEAL_DROP_MALFORMED], 1U);
		sample_free(s);
	}
}

/* The vector of Documentation/protocol.rst, headers and all. */
static void documented_vector(struct kunit *test)
{
	static const u8 record[] =
		"\x42\x03\x00\x08\xde\xad\xbe\xef\x00\x01\x00\x01\x02\x03\x04\x05"
		"\x65\xe1\xe3\x25\xcb\xd2\x03\xbf"
		"\x5c\xea\x9d\x33\x43\xa9\x86\xf2\x04\xc9\xed\xd2\xbc\x23\x4a\x1d";
	struct sample *s;
	struct sk_buff *skb;
	struct tcpseal_seg seg;
	u8 got[sizeof(record)] = {};

	s = kunit_kzalloc(test, sizeof(*s), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, s);
	around_reset();
	__skb_queue_head_init(&s->wire);
	__skb_queue_head_init(&s->plain);
	s->shape = &shapes[0];
	s->family = AF_INET;
	s->hlen = 40;
	s->len = 8;
	s->mtu = 1500;
	s->seq = 10000;
	s->flags = TCPSEAL_F_PSH;
	build(test, s);
	memcpy(s->skb->data + 40, "tcpseal\n", 8);
	tcpseal_parse(s->skb, AF_INET, &seg);
	while (tcpseal_seg_lane(&all.tn, s->skb, &seg, LANES) != 3)
		all.tn.lane_seed++;
	atomic64_set(&all.out.tx[3].counter, 0x0102030405);
	KUNIT_EXPECT_EQ(test, do_seal(s), 0);
	skb = skb_peek(&s->wire);
	KUNIT_EXPECT_NOT_NULL(test, skb);
	if (skb) {
		KUNIT_EXPECT_EQ(test, skb->len, 40U + 40U);
		KUNIT_EXPECT_EQ(test, seq_of(skb, &seg), 9968U);
		KUNIT_EXPECT_EQ(test, 0, skb_copy_bits(skb, 40, got, 40));
		KUNIT_EXPECT_MEMEQ(test, got, record, 40);
	}
	sample_free(s);
}

static int skbs_init(struct kunit_suite *suite)
{
	u8 key[32], iv[TCPSEAL_IV_LEN], i;
	struct tcpseal_sa *sa;

	memset(&all, 0, sizeof(all));
	skb_queue_head_init(&around_sent);
	for (i = 0; i < sizeof(key); i++)
		key[i] = i;
	for (i = 0; i < sizeof(iv); i++)
		iv[i] = 0xa0 + i;
	tcpseal_wq = alloc_workqueue("tcpseal_kunit", WQ_UNBOUND, 0);
	all.dev = kzalloc(sizeof(*all.dev), GFP_KERNEL);
	if (!tcpseal_wq || !all.dev)
		return -ENOMEM;
	all.dev->gso_max_size = GSO_LEGACY_MAX_SIZE;
	all.dev->gso_max_segs = GSO_MAX_SEGS;
	all.dev->mtu = 1500;
	all.dst.dev = all.dev;
	all.dst.output = around_output;
	all.tn.net = &init_net;
	tcpseal_key_warm_up();
	for (sa = &all.out; sa; sa = sa == &all.out ? &all.in : NULL) {
		sa->tn = &all.tn;
		sa->spi = htonl(SPI);
		sa->lanes = LANES;
		sa->key = tcpseal_key_alloc(TCPSEAL_AEAD_AES256_GCM, "", key,
					    sizeof(key), iv, NULL);
		if (IS_ERR(sa->key))
			return PTR_ERR(sa->key);
	}
	all.out.dir = TCPSEAL_DIR_OUT;
	all.out.tx = kcalloc(LANES, sizeof(*all.out.tx), GFP_KERNEL);
	all.in.dir = TCPSEAL_DIR_IN;
	all.in.rx = kcalloc(LANES, sizeof(*all.in.rx), GFP_KERNEL);
	if (!all.out.tx || !all.in.rx)
		return -ENOMEM;
	for (i = 0; i < LANES; i++) {
		tcpseal_tx_lane_init(&all.out.tx[i], 1000);
		tcpseal_rx_lane_init(&all.in.rx[i]);
	}
	return sock_create_kern(&init_net, AF_INET, SOCK_STREAM, IPPROTO_TCP,
				&all.sock);
}

static void skbs_exit(struct kunit_suite *suite)
{
	unsigned int i;

	sock_release(all.sock);
	tcpseal_aead_wait(&all.out);
	tcpseal_aead_wait(&all.in);
	for (i = 0; i < LANES; i++)
		tcpseal_rx_lane_exit(&all.in.rx[i]);
	kfree(all.out.tx);
	kfree(all.in.rx);
	tcpseal_key_free(all.out.key);
	tcpseal_key_free(all.in.key);
	kfree(all.dev);
	destroy_workqueue(tcpseal_wq);
	tcpseal_aead_exit();
	tcpseal_skb_exit();
}

static struct kunit_case skb_cases[] = {
	KUNIT_CASE_SLOW(shapes_and_sizes),
	KUNIT_CASE(altered_byte),
	KUNIT_CASE(short_tail),
	KUNIT_CASE(documented_vector),
	{}
};

static struct kunit_suite skb_suite = {
	.name		= "tcpseal_skb",
	.suite_init	= skbs_init,
	.suite_exit	= skbs_exit,
	.test_cases	= skb_cases,
};

kunit_test_suite(skb_suite);
