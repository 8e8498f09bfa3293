// SPDX-License-Identifier: GPL-2.0-only
/* Arithmetic of records: the header, its shape, lanes of flows, the MSS. */
/* around.c has one that tests can set */
#define tcpseal_mtu	mtu_of_path
#include "../../module/segment.c"
#include "../../module/mtu.c"
#undef tcpseal_mtu
#include "around.h"

#define STEPS		100000

static void header_fields(struct kunit *test)
{
	unsigned int i, wrong = 0;
	struct tcpseal_record r;

	for (i = 0; i < STEPS; i++) {
		u64 counter = ((u64)around_random() << 32 | around_random()) &
			      TCPSEAL_COUNTER_MAX;
		__be32 spi = (__force __be32)around_random();
		u16 length = around_random(), index = around_random();
		u8 flags = around_below(8), lane = around_random();

		tcpseal_record_set(&r, flags, lane, length, spi, index,
				   counter);
		wrong += r.ver_flags != (0x40 | flags) || r.lane != lane ||
			 be16_to_cpu(r.length) != length || r.spi != spi ||
			 be16_to_cpu(r.index) != index ||
			 tcpseal_record_counter(&r) != counter;
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	static_assert(sizeof(r) == TCPSEAL_HDR_LEN);
}

/* Of all first bytes and lengths, exactly the documented ones look sealed. */
static void header_shape(struct kunit *test)
{
	struct tcpseal_record r = { .spi = htonl(1) };
	unsigned int byte, len, said, i, wrong = 0;
	static const int off[] = { -1, 0, 1 };

	for (byte = 0; byte < 256; byte++) {
		for (len = TCPSEAL_HDR_LEN; len < 65536; len += 97) {
			for (i = 0; i < ARRAY_SIZE(off); i++) {
				bool want = byte >= 0x40 && byte <= 0x47 &&
					    len >= 32 && !off[i];

				said = len - 32 + off[i];
				r.ver_flags = byte;
				r.length = cpu_to_be16(said);
				wrong += tcpseal_record_shaped(&r, len) != want;
			}
		}
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	r.ver_flags = 0x40;
	for (len = TCPSEAL_HDR_LEN; len < 65536 + 32; len++) {
		r.length = cpu_to_be16(len - 32);
		wrong += tcpseal_record_shaped(&r, len) != (len >= 32);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
	r.spi = 0;
	r.length = 0;
	KUNIT_EXPECT_FALSE(test, tcpseal_record_shaped(&r, 32));
}

static struct sk_buff *packet_skb(struct kunit *test, struct tcpseal_seg *seg)
{
	struct sk_buff *skb = alloc_skb(256, GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, skb);
	memset(skb_put(skb, seg->hlen), 0, seg->hlen);
	tcpseal_th(skb, seg)->doff = (seg->hlen - seg->thoff) / 4;
	return skb;
}

/* A flow keeps its lane whatever its segments say; flows use all lanes. */
static void lanes_of_flows(struct kunit *test)
{
	struct tcpseal_net *tn = kunit_kzalloc(test, sizeof(*tn), GFP_KERNEL);
	unsigned int i, moved = 0, used[8] = {}, family;

	KUNIT_ASSERT_NOT_NULL(test, tn);
	tn->lane_seed = around_random();
	for (family = 0; family < 2; family++) {
		struct tcpseal_seg seg = {
			.family	= family ? AF_INET6 : AF_INET,
			.thoff	= family ? 40 : 20,
			.hlen	= family ? 60 : 40,
		};
		struct sk_buff *skb = packet_skb(test, &seg);
		struct tcphdr *th = tcpseal_th(skb, &seg);

		for (i = 0; i < 8000; i++) {
			u8 lane;

			th->source = (__force __be16)around_random();
			th->dest = (__force __be16)around_random();
			lane = tcpseal_seg_lane(tn, skb, &seg, 8);
			KUNIT_ASSERT_LT(test, lane, 8);
			used[lane]++;
			th->seq = (__force __be32)around_random();
			th->ack_seq = (__force __be32)around_random();
			th->window = (__force __be16)around_random();
			th->psh ^= 1;
			/* ECN is no part of the class */
			skb->data[1] ^= family ? 3 << 4 : 3;
			skb->hash = around_random();
			moved += tcpseal_seg_lane(tn, skb, &seg, 8) != lane;
			KUNIT_ASSERT_EQ(test, 0,
					tcpseal_seg_lane(tn, skb, &seg, 1));
		}
		kfree_skb(skb);
	}
	KUNIT_EXPECT_EQ(test, moved, 0U);
	for (i = 0; i < 8; i++) {
		KUNIT_EXPECT_GT(test, used[i], 1800U);
		KUNIT_EXPECT_LT(test, used[i], 2200U);
	}
}

/* TCP options made at random: never read beyond the header. */
static void options_random(struct kunit *test)
{
	unsigned int i, j, len, wrong = 0;
	struct tcphdr *th;
	u8 *opt, kind;

	for (i = 0; i < STEPS / 10; i++) {
		/* at the end of an object, so that KASAN sees a byte too many */
		len = 20 + 4 * around_below(11);
		th = kmalloc(len, GFP_KERNEL);
		KUNIT_ASSERT_NOT_NULL(test, th);
		for (j = 0; j < len; j++)
			((u8 *)th)[j] = around_below(2) ? around_below(12) :
							  around_random();
		th->doff = len / 4;
		kind = around_below(12);
		opt = tcpseal_tcp_option(th, kind, 0);
		if (opt)
			wrong += *opt != kind || opt[1] < 2 ||
				 opt + opt[1] > (u8 *)th + len;
		opt = tcpseal_tcp_option(th, TCPOPT_MSS, TCPOLEN_MSS);
		if (opt)
			wrong += *opt != TCPOPT_MSS || opt[1] != TCPOLEN_MSS ||
				 opt + 4 > (u8 *)th + len;
		tcpseal_seg_signed(th);
		kfree(th);
	}
	KUNIT_EXPECT_EQ(test, wrong, 0U);
}

/* What is hinted fits with its record, and never is more than was said. */
static void mss_hints(struct kunit *test)
{
	unsigned int i, hdrs, opts, mss, mtu, hint, lowered = 0, kept = 0;
	struct tcpseal_net *tn = kunit_kzalloc(test, sizeof(*tn), GFP_KERNEL);
	struct net_device *dev = kunit_kzalloc(test, sizeof(*dev), GFP_KERNEL);
	struct tcpseal_addrs a = {};
	struct tcpseal_seg seg = {};
	struct sk_buff *skb;
	bool stamps, md5;
	u8 *opt;

	KUNIT_ASSERT_NOT_NULL(test, tn);
	KUNIT_ASSERT_NOT_NULL(test, dev);
	KUNIT_ASSERT_EQ(test, tcpseal_pmtu_init(tn), 0);
	for (i = 0; i < STEPS / 10; i++) {
		seg.family = i & 1 ? AF_INET6 : AF_INET;
		a.family = seg.family;
		seg.thoff = i & 1 ? 40 : 20;
		hdrs = seg.thoff + 20;
		seg.hlen = hdrs + 40;
		stamps = around_below(2);
		md5 = !around_below(10);
		mss = around_below(8) ? around_below(9200) : around_below(65536);
		mtu = 68 + around_below(around_below(8) ? 9200 : 65536);
		dev->mtu = mtu;
		skb = packet_skb(test, &seg);
		skb->dev = dev;
		opt = (u8 *)(tcpseal_th(skb, &seg) + 1);
		memset(opt, TCPOPT_NOP, 40);
		opt[0] = TCPOPT_MSS;
		opt[1] = TCPOLEN_MSS;
		put_unaligned_be16(mss, opt + 2);
		if (stamps) {
			opt[4] = TCPOPT_TIMESTAMP;
			opt[5] = TCPOLEN_TIMESTAMP;
		}
		if (md5) {
			opt[20] = TCPOPT_MD5SIG;
			opt[21] = TCPOLEN_MD5SIG;
		}
		tcpseal_mss_hint(tn, skb, &seg, &a);
		hint = get_unaligned_be16(opt + 2);
		kfree_skb(skb);
		KUNIT_ASSERT_LE(test, hint, mss);
		if (md5 || hint == mss) {
			kept++;
			KUNIT_ASSERT_TRUE(test, md5 || mss <= MSS_FLOOR);
			continue;
		}
		lowered++;
		KUNIT_ASSERT_GE(test, hint, (unsigned int)MSS_FLOOR);
		if (hint == MSS_FLOOR)
			continue;
		KUNIT_ASSERT_LE(test, hint + TCPSEAL_OVERHEAD + hdrs, mtu);
		KUNIT_ASSERT_LE(test, hint + TCPSEAL_OVERHEAD, mss);
		opts = stamps ? TCPOLEN_TSTAMP_ALIGNED : 0;
		KUNIT_ASSERT_EQ(test, (hint - opts) % TCPSEAL_BLOCK, 0U);
		/* no more than a block is given away */
		KUNIT_ASSERT_GT(test, hint + TCPSEAL_OVERHEAD + TCPSEAL_BLOCK,
				min(mss, mtu - hdrs));
	}
	KUNIT_EXPECT_GT(test, lowered, 1000U);
	KUNIT_EXPECT_GT(test, kept, 500U);
	tcpseal_pmtu_exit(tn);
}

static struct kunit_case record_cases[] = {
	KUNIT_CASE(header_fields),
	KUNIT_CASE(header_shape),
	KUNIT_CASE(lanes_of_flows),
	KUNIT_CASE(options_random),
	KUNIT_CASE(mss_hints),
	{}
};

static struct kunit_suite record_suite = {
	.name		= "tcpseal_record",
	.test_cases	= record_cases,
};

kunit_test_suite(record_suite);
