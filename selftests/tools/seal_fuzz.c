// SPDX-License-Identifier: GPL-2.0-only
/*
 * seal_fuzz - the attacker that tries everything: segments of live flows,
 * changed in ways that know what a record is, and records of a hostile peer,
 * whose keys are right and whose segments are not.
 *
 * It stands before the last hop and sends with virtio headers, so that bursts
 * arrive as receive offload would hand them up. It knows what must become of
 * each segment that it sends, and says in the end how many had to be opened
 * (those of the hostile peer that are authentic) and how many dropped.
 *
 * One seed makes one run. What belongs to live flows is of the moment; all
 * choices, and all of the hostile peer, come again with the seed.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_ether.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"
#include "packet.h"
#include "pattern.h"

#define BASES		64	/* live frames to choose from */
#define LANES		4
#define WAIT		60	/* seconds for the first live segment */
#define IP_MAX		65535
#define LISTENER	5001	/* of tcp_pat */

static struct {
	const char *device, *from, *to, *hostile, *other;
	unsigned int count, mtu;
	uint64_t seed;
	uint32_t spi;
	struct packet_key key;
} opt = { .count = 20000, .mtu = 1500 };

/* What is sent at once, and what must become of it. */
struct mutant {
	struct packet		p;
	struct virtio_net_hdr	vnet;
	unsigned int		segs;	/* that come to tcpseal */
	unsigned int		opens;	/* of which so many are authentic */
	bool			maybe;	/* or IP drops it before */
	bool			as_is;	/* lengths and checksums, too */
};

struct base {
	struct frame	f;
	unsigned int	segs;
};

static struct base bases[BASES];
static unsigned int nr_bases, next_base;
static uint8_t ether[ETH_HLEN];
static bool ether_known;
static struct mutant m;
static int tap = -1, family;
static uint8_t addr_to[16], addr_hostile[16], addr_other[16];
/* of the hostile peer: the next counter of each lane */
static uint64_t counters[LANES] = {
	0, 1000000, 1ULL << 32, TCPSEAL_COUNTER_MAX - (1ULL << 28)
};

/* and one that was opened there, if any: the last */
struct opened {
	uint64_t counter;
	bool any;
};

static struct opened opened[LANES], opened_before[LANES];

static struct {
	uint64_t sent, refused, segments, opens, drops_lo, drops_hi, bursts;
} total;

/*
 * Choices
 */

static uint64_t random_state;

static uint64_t rnd64(void)
{
	return pattern_word(random_state++);
}

/* 0 ... n - 1 */
static unsigned int rnd(unsigned int n)
{
	return rnd64() % n;
}

static bool one_in(unsigned int n)
{
	return !rnd(n);
}

static void rnd_bytes(uint8_t *p, unsigned int len)
{
	while (len--)
		*p++ = rnd64();
}

/* Small ones, those around @n, and any */
static unsigned int rnd_len(unsigned int n, unsigned int max)
{
	unsigned int len;

	switch (rnd(4)) {
	case 0:
		len = rnd(64);
		break;
	case 1:
		len = n + rnd(5) - 2;
		break;
	case 2:
		len = rnd(n + 1);
		break;
	default:
		len = rnd(max + 1);
	}
	return len > max ? max : len;
}

/*
 * Live flows
 */

static bool is_record(const uint8_t *p, unsigned int len)
{
	return len >= TCPSEAL_OVERHEAD &&
	       tcpseal_record_shaped((const void *)p, len);
}

static bool wanted(const struct frame *f)
{
	unsigned int len;
	const uint8_t *p;

	if (!f->outgoing || f->kind != FRAME_TCP ||
	    !frame_between(f, opt.from, opt.to) ||
	    f->sport == CTRL_PORT || f->dport == CTRL_PORT)
		return false;
	p = frame_segment(f, 0, &len);
	return is_record(p, len);
}

/* What waits in the socket: the newest are kept. */
static void follow(void)
{
	static struct frame f;

	if (!f.data)
		f.data = malloc(FRAME_MAX);
	if (!f.data)
		err(1, "frame");
	while (tap_read(tap, &f)) {
		struct base *b = &bases[next_base];
		uint8_t *keep = b->f.data;

		if (!wanted(&f) || f.len > IP_MAX)
			continue;
		if (!keep)
			keep = malloc(FRAME_MAX);
		if (!keep)
			err(1, "frame");
		memcpy(ether, f.data, sizeof(ether));
		ether_known = true;
		memcpy(keep, f.data, f.len);
		b->f = f;
		b->f.data = keep;
		frame_parse(&b->f);
		b->segs = frame_segments(&b->f);
		next_base = (next_base + 1) % BASES;
		if (nr_bases < BASES)
			nr_bases++;
	}
}

/* A segment of a live flow; it was there before, so it is a replay at best. */
static void take_live(void)
{
	const struct base *b = &bases[rnd(nr_bases)];

	packet_take(&m.p, &b->f, rnd(b->segs));
	m.segs = 1;
}

static unsigned int payload_len(void)
{
	return m.p.len - m.p.ip_len - m.p.th_len;
}

static struct tcpseal_record *record(void)
{
	return (void *)packet_payload(&m.p);
}

/* With a counter that was not used yet, so that it is not a mere replay */
static void fresh_counter(void)
{
	struct tcpseal_record *r = record();
	uint64_t counter = tcpseal_record_counter(r) + 1 + rnd(1 << 20);

	r->counter_hi = htobe16(counter >> 32);
	r->counter_lo = htobe32(counter);
}

static void flip_bit(uint8_t *p, unsigned int len)
{
	p[rnd(len)] ^= 1 << rnd(8);
}

/*
 * Changes of one live segment
 */

static void record_bits(void)
{
	unsigned int n = 1 + rnd(3);

	take_live();
	if (one_in(2))
		fresh_counter();
	while (n--)
		flip_bit((uint8_t *)record(), TCPSEAL_HDR_LEN);
}

static void record_field(void)
{
	static const uint16_t odd[] = {
		0, 1, 2, 31, 32, 33, 1023, 1024, 1025, 32767, 32768, 65503,
		65504, 65534, 65535
	};
	unsigned int value = odd[rnd(sizeof(odd) / sizeof(*odd))];
	struct tcpseal_record *r;

	take_live();
	fresh_counter();
	r = record();
	switch (rnd(6)) {
	case 0:
		r->ver_flags = rnd(256);
		break;
	case 1:
		r->lane = rnd(256);
		break;
	case 2:
		r->length = htobe16(value);
		break;
	case 3:
		r->index = htobe16(value);
		break;
	case 4:
		r->counter_hi = htobe16(value);
		break;
	default:
		r->spi = rnd64();
	}
}

static void cipher_bits(void)
{
	take_live();
	fresh_counter();
	flip_bit((uint8_t *)record() + TCPSEAL_HDR_LEN,
		 payload_len() - TCPSEAL_HDR_LEN);
}

static void cut_payload(void)
{
	unsigned int len;

	take_live();
	if (one_in(2))
		fresh_counter();
	len = rnd_len(TCPSEAL_OVERHEAD, payload_len());
	m.p.len -= payload_len() - len;
	if (one_in(2) && len >= TCPSEAL_OVERHEAD)
		record()->length = htobe16(len - TCPSEAL_OVERHEAD);
}

static void longer_payload(void)
{
	unsigned int room, more;

	take_live();
	fresh_counter();
	room = opt.mtu > m.p.len ? opt.mtu - m.p.len : 0;
	more = rnd_len(TCPSEAL_OVERHEAD, room);
	/* garbage, or the record once more */
	if (one_in(2))
		rnd_bytes(m.p.data + m.p.len, more);
	else
		memcpy(m.p.data + m.p.len, record(),
		       more < payload_len() ? more : payload_len());
	m.p.len += more;
	if (one_in(2))
		record()->length = htobe16(payload_len() - TCPSEAL_OVERHEAD);
}

static void tcp_field(void)
{
	uint8_t *th;

	take_live();
	if (one_in(2))
		fresh_counter();
	th = packet_th(&m.p);
	switch (rnd(9)) {
	case 0:
		put16(th + 2 * rnd(2), rnd(65536));
		break;
	case 1:
		put32(th + 4, rnd64());
		break;
	case 2:
		put32(th + 8, rnd64());
		break;
	case 3:
		th[12] = rnd(256);
		break;
	case 4:
		th[13] = rnd(256);
		break;
	case 5:
		put16(th + 14, rnd(65536));
		break;
	case 6:
		th[13] |= TH_URG;
		put16(th + 18, rnd(65536));
		break;
	case 7:
		if (m.p.th_len > 20)
			rnd_bytes(th + 20, m.p.th_len - 20);
		break;
	default:
		if (m.p.th_len > 20)
			flip_bit(th + 20, m.p.th_len - 20);
	}
}

/* Options that the stack knows, whole and cut short, in front of the record */
static unsigned int make_options(uint8_t *p, unsigned int max)
{
	static const uint8_t kinds[] = { 0, 1, 2, 3, 4, 5, 8, 19, 28, 29, 30, 34, 254 };
	static const uint8_t lens[] = { 0, 0, 4, 3, 2, 10, 10, 18, 4, 16, 12, 6, 8 };
	unsigned int n = 0;

	while (n < max && !one_in(4)) {
		unsigned int i = rnd(sizeof(kinds));
		unsigned int len = one_in(8) ? rnd(40) : lens[i];

		p[n++] = kinds[i];
		if (kinds[i] < 2 || n == max)
			continue;
		p[n++] = len;
		while (len-- > 2 && n < max)
			p[n++] = rnd64();
	}
	while (n % 4)
		p[n++] = one_in(2);
	return n;
}

static void tcp_options(void)
{
	uint8_t opts[40], *th;
	unsigned int n;

	take_live();
	fresh_counter();
	n = make_options(opts, sizeof(opts));
	if (m.p.len - m.p.th_len + 20 + n > opt.mtu)
		return;
	th = packet_th(&m.p);
	memmove(th + 20 + n, th + m.p.th_len, payload_len());
	memcpy(th + 20, opts, n);
	m.p.len = m.p.len - m.p.th_len + 20 + n;
	m.p.th_len = 20 + n;
	th[12] = m.p.th_len / 4 << 4;
}

static void bad_checksum(void)
{
	take_live();
	fresh_counter();
	frame_finish(m.p.data, m.p.ip_len, m.p.len - m.p.ip_len, IPPROTO_TCP);
	packet_th(&m.p)[16 + rnd(2)] ^= 1 + rnd(255);
	m.as_is = true;
}

/* The record also goes where an application's plaintext would */
static void plain(void)
{
	unsigned int len;

	take_live();
	len = rnd_len(TCPSEAL_OVERHEAD, payload_len());
	m.p.len -= payload_len() - len;
	rnd_bytes(packet_payload(&m.p), len);
	packet_th(&m.p)[13] = one_in(2) ? TH_ACK : rnd(256);
}

/*
 * Changes of the IP headers
 */

static void ip4_checksum(uint8_t *ip)
{
	uint32_t sum = 0;
	unsigned int i;

	put16(ip + 10, 0);
	for (i = 0; i < 20; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	put16(ip + 10, ~((sum & 0xffff) + (sum >> 16)));
}

static void ip_field(void)
{
	uint8_t *ip = m.p.data;

	take_live();
	if (one_in(2))
		fresh_counter();
	frame_finish(ip, m.p.ip_len, m.p.len - m.p.ip_len, IPPROTO_TCP);
	m.as_is = true;
	m.maybe = true;
	if (m.p.family == AF_INET) {
		switch (rnd(8)) {
		case 0:
			ip[0] = rnd(256);
			break;
		case 1:
			ip[1] = rnd(256);
			break;
		case 2:
			put16(ip + 2, rnd_len(m.p.len, IP_MAX));
			break;
		case 3:
			ip[4 + rnd(2)] = rnd64();
			break;
		case 4:
			/* never of what could be reassembled with others */
			put16(ip + 6, rnd(65536));
			put16(ip + 4, rnd(65536));
			break;
		case 5:
			ip[8] = rnd(256);
			break;
		case 6:
			ip[9] = rnd(256);
			break;
		default:
			ip[10] ^= 1 + rnd(255);
			return;
		}
		/* its checksum is right again, if there is a header at all */
		if ((ip[0] & 15) == 5)
			ip4_checksum(ip);
		return;
	}
	switch (rnd(5)) {
	case 0:
		ip[0] = rnd(256);
		break;
	case 1:
		rnd_bytes(ip + 1, 3);
		break;
	case 2:
		put16(ip + 4, rnd_len(m.p.len - 40, IP_MAX));
		break;
	case 3:
		ip[6] = rnd(256);
		break;
	default:
		ip[7] = rnd(256);
	}
}

static void ip4_options(void)
{
	static const uint8_t kinds[] = { 0, 1, 7, 68, 130, 131, 134, 136, 137, 148, 255 };
	unsigned int n = 0, max = 4 * (1 + rnd(10));
	uint8_t opts[40];

	while (n < max) {
		opts[n++] = kinds[rnd(sizeof(kinds))];
		if (n < max && !one_in(4))
			opts[n++] = rnd(max + 2);
		while (n < max && !one_in(4))
			opts[n++] = rnd(16);
	}
	packet_widen(&m.p, opts, max);
	m.p.data[0] = 0x40 | m.p.ip_len / 4;
}

static void ip6_extensions(void)
{
	static const uint8_t kinds[] = { 0, 43, 44, 51, 59, 60, 135, 139, 140, 50, 6, 41 };
	unsigned int n = 1 + rnd(4);
	uint8_t next = IPPROTO_TCP;

	/* from the last one to the first */
	while (n--) {
		uint8_t kind = kinds[rnd(one_in(4) ? sizeof(kinds) : 6)];
		uint8_t eh[40] = { next };
		unsigned int len = 8 * (1 + rnd(4));

		switch (kind) {
		case 44:	/* mostly one that is whole */
			len = 8;
			if (one_in(4))
				put16(eh + 2, rnd(65536));
			put32(eh + 4, rnd64());
			break;
		case 51:
			eh[1] = len / 4 - 2;
			rnd_bytes(eh + 4, len - 4);
			break;
		case 43:
			eh[1] = len / 8 - 1;
			eh[2] = rnd(6);
			eh[3] = rnd(3);
			break;
		default:
			eh[1] = len / 8 - 1;
			/* PadN, or whatever */
			eh[2] = 1;
			eh[3] = len - 4;
			if (one_in(4))
				rnd_bytes(eh + 2, len - 2);
		}
		if (one_in(8))
			eh[1] = rnd(256);
		packet_widen(&m.p, eh, len);
		/* the newest stands first, behind the fixed header */
		memmove(m.p.data + 40 + len, m.p.data + 40, m.p.ip_len - len - 40);
		memcpy(m.p.data + 40, eh, len);
		next = kind;
	}
	m.p.data[6] = next;
}

static void ip_extra(void)
{
	take_live();
	if (one_in(2))
		fresh_counter();
	if (m.p.family == AF_INET)
		ip4_options();
	else
		ip6_extensions();
	m.maybe = true;
	/* what does not fit any more is cut off */
	if (m.p.len > opt.mtu)
		m.p.len = opt.mtu;
}

static void transmit(void);

/* Two parts: whole, with a hole, overlapping, or one of them only */
static void fragments(void)
{
	static struct packet whole;
	unsigned int l4, cut, back, i, lost;
	uint8_t fh[8] = { IPPROTO_TCP };

	take_live();
	if (one_in(2))
		fresh_counter();
	frame_finish(m.p.data, m.p.ip_len, m.p.len - m.p.ip_len, IPPROTO_TCP);
	whole = m.p;
	l4 = whole.len - whole.ip_len;
	cut = 8 * (1 + rnd(l4 / 8));
	if (cut >= l4)
		cut = 8;
	back = one_in(4) ? 8 * rnd(cut / 8) : 0;
	/* seldom: what is never whole stays for half a minute */
	lost = one_in(16) ? rnd(2) : 2;
	rnd_bytes(fh + 4, 4);
	for (i = 0; i < 2; i++) {
		unsigned int start = i ? cut - back : 0;
		unsigned int n = i ? l4 - start : cut;

		if (i == lost)
			continue;
		m.p.len = whole.ip_len + n;
		m.p.ip_len = whole.ip_len;
		memcpy(m.p.data, whole.data, whole.ip_len);
		memcpy(m.p.data + whole.ip_len, whole.data + whole.ip_len + start, n);
		if (m.p.family == AF_INET) {
			put16(m.p.data + 6, start / 8 | (i ? 0 : 0x2000));
			memcpy(m.p.data + 4, fh + 4, 2);
		} else {
			put16(fh + 2, start | !i);
			packet_widen(&m.p, fh, sizeof(fh));
			m.p.data[6] = IPPROTO_FRAGMENT;
		}
		frame_finish(m.p.data, m.p.ip_len, m.p.len - m.p.ip_len, IPPROTO_RAW);
		if (m.p.family == AF_INET)
			m.p.data[9] = IPPROTO_TCP;
		m.as_is = true;
		m.maybe = true;
		m.segs = 1;
		if (!i)
			transmit();
	}
	/* the last part was not sent: nothing is left to do */
	if (lost == 1)
		m.p.len = 0;
}

/*
 * Bursts
 */

/* What receive offload says of one: TCP's checksum is left to be made */
static void merged(unsigned int size)
{
	unsigned int start = m.p.ip_len, l4 = m.p.len - m.p.ip_len;
	uint8_t *th = packet_th(&m.p);
	uint16_t pseudo;

	m.vnet.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	m.vnet.csum_start = ETH_HLEN + start;
	m.vnet.csum_offset = 16;
	m.vnet.hdr_len = ETH_HLEN + start + m.p.th_len;
	m.vnet.gso_size = size;
	m.vnet.gso_type = m.p.family == AF_INET ? VIRTIO_NET_HDR_GSO_TCPV4 :
						  VIRTIO_NET_HDR_GSO_TCPV6;
	if (one_in(8))
		m.vnet.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	/* the kernel may trust the length of the headers for how it copies */
	if (one_in(8))
		m.vnet.hdr_len = ETH_HLEN + rnd(l4);
	frame_finish(m.p.data, start, l4, IPPROTO_TCP);
	if (m.p.len > IP_MAX) {
		put16(m.p.data + 2, 0);
		ip4_checksum(m.p.data);
	}
	rnd_bytes((uint8_t *)&pseudo, sizeof(pseudo));
	put16(th + 16, pseudo);
	m.as_is = true;
	total.bursts++;
}

/* How many segments the receiver sees in what was merged() */
static unsigned int pieces(unsigned int size)
{
	if (!size || payload_len() <= size) {
		m.vnet.gso_type = VIRTIO_NET_HDR_GSO_NONE;
		m.vnet.gso_size = 0;
		return 1;
	}
	return (payload_len() + size - 1) / size;
}

/* A live record @n times, each with a number of its own, and one is odd */
static void live_burst(void)
{
	unsigned int size, n, i, tail, odd;

	take_live();
	size = payload_len();
	n = 2 + rnd(IP_MAX / (size + 60) < 44 ? IP_MAX / (size + 60) : 44);
	while (m.p.ip_len + m.p.th_len + n * size > IP_MAX)
		n--;
	odd = rnd(n);
	for (i = 1; i < n; i++)
		memcpy(packet_payload(&m.p) + i * size, packet_payload(&m.p), size);
	for (i = 0; i < n; i++) {
		struct tcpseal_record *r = (void *)(packet_payload(&m.p) + i * size);
		uint64_t counter = tcpseal_record_counter(r) + i + 1;

		/* the very one, or one that was not there yet */
		if (one_in(8))
			continue;
		r->counter_hi = htobe16(counter >> 32);
		r->counter_lo = htobe32(counter);
		r->index = htobe16(n - i);
		if (i == odd)
			flip_bit((uint8_t *)r, one_in(2) ? TCPSEAL_HDR_LEN : size);
	}
	m.p.len += (n - 1) * size;
	/* the last one may be of any length */
	if (one_in(2)) {
		tail = one_in(2) ? rnd(TCPSEAL_OVERHEAD) : rnd(size);
		m.p.len -= tail;
		if (one_in(2) && size - tail >= TCPSEAL_OVERHEAD)
			((struct tcpseal_record *)(packet_payload(&m.p) + (n - 1) * size))->length =
				htobe16(size - tail - TCPSEAL_OVERHEAD);
	}
	/* the size may be a lie */
	if (one_in(4)) {
		size = rnd_len(size, one_in(2) ? IP_MAX : 64);
		m.maybe = true;
	}
	merged(size);
	m.segs = pieces(size);
}

/* Records of several sizes, whose first says what all are cut by */
static void uneven_burst(void)
{
	const struct base *b = &bases[rnd(nr_bases)];
	unsigned int size, n, i, at;

	packet_take(&m.p, &b->f, 0);
	size = payload_len();
	at = m.p.len;
	n = 1 + rnd(10);
	for (i = 0; i < n; i++) {
		const struct base *other = &bases[rnd(nr_bases)];
		unsigned int len;
		const uint8_t *p;

		p = frame_segment(&other->f, rnd(other->segs), &len);
		if (at + len > IP_MAX)
			break;
		memcpy(m.p.data + at, p, len);
		at += len;
	}
	m.p.len = at;
	fresh_counter();
	merged(size);
	m.segs = pieces(size);
	m.maybe = true;
}

/*
 * The hostile peer
 */

static void hostile_start(void)
{
	uint8_t opts[40], *th;
	unsigned int n = 0;

	packet_start(&m.p, family, addr_hostile, addr_to);
	th = packet_th(&m.p);
	if (one_in(2)) {
		n = make_options(opts, sizeof(opts));
		memcpy(th + 20, opts, n);
	}
	m.p.th_len = 20 + n;
	m.p.len = m.p.ip_len + m.p.th_len;
	th[12] = m.p.th_len / 4 << 4 | rnd(16);
	put16(th, 1024 + rnd(60000));
	put16(th + 2, one_in(8) ? LISTENER : 10000 + rnd(50000));
	put32(th + 4, rnd64());
	put32(th + 8, rnd64());
	th[13] = one_in(2) ? TH_ACK : rnd(256);
	put16(th + 14, rnd(65536));
	put16(th + 18, rnd(65536));
}

static uint32_t seq_of(void)
{
	uint32_t seq;

	memcpy(&seq, packet_th(&m.p) + 4, sizeof(seq));
	return be32toh(seq);
}

enum wrong { RIGHT, TAG, AGAIN, INDEX, LANE, SPI, VERSION, LENGTH, WRONGS };

static unsigned int any_index(void)
{
	return 1 + rnd(one_in(2) ? 45 : TCPSEAL_BURST_MAX);
}

/*
 * A record for a segment whose wire sequence number is @seq, @len bytes of
 * payload, into @r. Return: is it authentic?
 */
static bool hostile_record(uint8_t *r, unsigned int lane, uint32_t seq,
			   unsigned int index, unsigned int len,
			   enum wrong wrong)
{
	struct tcpseal_record *hdr = (void *)r;
	bool rst = packet_th(&m.p)[13] & TH_RST;
	static uint8_t text[IP_MAX];
	uint64_t counter;

	if (len < TCPSEAL_OVERHEAD) {
		rnd_bytes(r, len);
		return false;
	}
	if (rst)
		index = 0;
	if (wrong == AGAIN && !opened[lane].any)
		wrong = TAG;
	if (wrong == AGAIN) {
		counter = opened[lane].counter;
	} else {
		/* holes in it, but less than a window */
		counters[lane] += one_in(8) ? rnd(100) : 0;
		counter = counters[lane]++;
	}
	if (wrong == INDEX)
		index = rst ? 1 + rnd(65535) :
			one_in(2) ? 0 : TCPSEAL_BURST_MAX + 1 + rnd(60000);
	tcpseal_record_set(hdr, rnd(8), lane, len - TCPSEAL_OVERHEAD,
			   htobe32(opt.spi), index, counter);
	if (wrong == SPI)
		hdr->spi ^= 1 + rnd64() % UINT32_MAX;
	if (wrong == VERSION)
		hdr->ver_flags ^= 8 << rnd(5);
	packet_seal(&m.p, r, text, seq + TCPSEAL_OVERHEAD * index, &opt.key);
	if (wrong == TAG)
		flip_bit(r + TCPSEAL_HDR_LEN, len - TCPSEAL_HDR_LEN);
	if (wrong == LENGTH)
		hdr->length ^= htobe16(1 << rnd(16));
	if (wrong == LANE)
		hdr->lane = one_in(2) ? (lane + 1) % LANES : LANES + rnd(250);
	if (wrong != RIGHT)
		return false;
	opened[lane].counter = counter;
	opened[lane].any = true;
	return true;
}

static void hostile_segment(void)
{
	unsigned int room, len;

	hostile_start();
	room = opt.mtu - m.p.len;
	len = TCPSEAL_OVERHEAD + rnd_len(TCPSEAL_BLOCK, room - TCPSEAL_OVERHEAD);
	m.p.len += len;
	m.segs = 1;
	m.opens = hostile_record(packet_payload(&m.p), rnd(LANES), seq_of(), any_index(),
				 len, one_in(4) ? rnd(WRONGS) : RIGHT);
}

/* Who holds a key speaks for its own address only. */
static void hostile_address(void)
{
	unsigned int at = m.p.family == AF_INET ? 12 : 8;

	hostile_start();
	m.p.len += 100;
	m.segs = 1;
	memcpy(m.p.data + at, addr_other, family == AF_INET ? 4 : 16);
	hostile_record(packet_payload(&m.p), rnd(LANES), seq_of(), any_index(), 100,
		       RIGHT);
	memcpy(opened, opened_before, sizeof(opened));
}

/*
 * All records of a burst, and which of them must be opened: those in the lane
 * of the first, if that one has the shape of a record and its SPI is known.
 */
static void hostile_burst(void)
{
	unsigned int size, n, i, last, lane = rnd(LANES), odd, opens = 0;
	/* longer than IP can say, as BIG TCP merges them; IPv6 wants an option */
	bool big = family == AF_INET && one_in(8);
	/* in sequence, as an honest sender does, so that they become one skb */
	bool even = big || one_in(2), sealed = true;
	uint32_t seq;

	hostile_start();
	size = TCPSEAL_OVERHEAD + rnd_len(TCPSEAL_BLOCK, one_in(4) ? 9000 : 1500);
	n = 2 + rnd(45);
	if (big)
		n = 1 + PACKET_MAX / 2 / size + rnd(PACKET_MAX / 4 / size);
	if (n > TCPSEAL_BURST_MAX)
		n = TCPSEAL_BURST_MAX;
	while (m.p.len + n * size > (big ? PACKET_MAX : IP_MAX))
		n--;
	last = one_in(2) ? size : 1 + rnd(size);
	seq = seq_of();
	odd = one_in(2) ? 4 : 1000;
	for (i = 0; i < n; i++) {
		enum wrong wrong = one_in(odd) ? rnd(WRONGS) : RIGHT;

		if (!i && (wrong == LANE || wrong == SPI || wrong == VERSION ||
			   wrong == LENGTH))
			sealed = false;
		opens += hostile_record(packet_payload(&m.p) + i * size, lane,
					seq + i * size,
					even ? n - i : any_index(),
					i + 1 == n ? last : size, wrong);
	}
	m.p.len += (n - 1) * size + last;
	if (n == 1)
		size = last;
	merged(size);
	m.segs = pieces(size);
	m.opens = sealed ? opens : 0;
	if (!sealed)
		memcpy(opened, opened_before, sizeof(opened));
}

static const struct {
	const char *name;
	void (*make)(void);
	bool hostile;
	unsigned int weight;
} kinds[] = {
	{ "record-bits", record_bits, false, 10 },
	{ "record-field", record_field, false, 10 },
	{ "cipher-bits", cipher_bits, false, 4 },
	{ "cut", cut_payload, false, 6 },
	{ "longer", longer_payload, false, 6 },
	{ "tcp-field", tcp_field, false, 10 },
	{ "tcp-options", tcp_options, false, 6 },
	{ "checksum", bad_checksum, false, 3 },
	{ "plain", plain, false, 5 },
	{ "ip-field", ip_field, false, 6 },
	{ "ip-extra", ip_extra, false, 8 },
	{ "fragments", fragments, false, 3 },
	{ "live-burst", live_burst, false, 10 },
	{ "uneven-burst", uneven_burst, false, 5 },
	{ "hostile", hostile_segment, true, 10 },
	{ "hostile-address", hostile_address, true, 2 },
	{ "hostile-burst", hostile_burst, true, 10 },
};
#define KINDS	(sizeof(kinds) / sizeof(*kinds))

static unsigned int by_kind[KINDS];

/* Out, and into the account. */
static void transmit(void)
{
	struct iovec iov[3] = {
		{ &m.vnet, sizeof(m.vnet) }, { ether, sizeof(ether) },
		{ m.p.data, m.p.len },
	};
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 3 };
	uint16_t proto = m.p.family == AF_INET ? ETH_P_IP : ETH_P_IPV6;

	put16(ether + 12, proto);
	if (!m.as_is)
		frame_finish(m.p.data, m.p.ip_len, m.p.len - m.p.ip_len,
			     IPPROTO_TCP);
	if (sendmsg(tap, &msg, 0) < 0) {
		/* longer than a card takes, or nothing that one could say */
		if (errno != EMSGSIZE && errno != EINVAL && errno != ENOBUFS)
			err(1, "send of %u bytes", m.p.len);
		total.refused++;
		memcpy(opened, opened_before, sizeof(opened));
		return;
	}
	total.sent++;
	total.segments += m.segs;
	total.opens += m.opens;
	total.drops_hi += m.segs - m.opens;
	total.drops_lo += m.maybe ? 0 : m.segs - m.opens;
}

static void one(unsigned int weights)
{
	unsigned int at = rnd(weights), i;

	for (i = 0; at >= kinds[i].weight; i++)
		at -= kinds[i].weight;
	if (kinds[i].hostile && !opt.key.len)
		return;
	memset(&m.vnet, 0, sizeof(m.vnet));
	m.segs = 0;
	m.opens = 0;
	m.maybe = false;
	m.as_is = false;
	memcpy(opened_before, opened, sizeof(opened));
	kinds[i].make();
	by_kind[i]++;
	if (m.p.len)
		transmit();
}

static void run(void)
{
	struct pollfd p = { .fd = tap, .events = POLLIN };
	time_t end = time(NULL) + WAIT;
	unsigned int weights = 0, i;

	for (i = 0; i < KINDS; i++)
		weights += kinds[i].weight;
	while (!nr_bases) {
		if (time(NULL) > end)
			errx(3, "no sealed segment of such a flow in %u s", WAIT);
		poll(&p, 1, 100);
		follow();
	}
	random_state = opt.seed;
	while (total.sent + total.refused < opt.count) {
		one(weights);
		if (one_in(16))
			follow();
	}
}

static void report(void)
{
	char text[1024];
	unsigned int i, n = 0;

	for (i = 0; i < KINDS; i++)
		n += snprintf(text + n, sizeof(text) - n, "%s\"%s\":%u",
			      i ? "," : "", kinds[i].name, by_kind[i]);
	result_write(NULL,
		     "{\"seed\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"refused\":%" PRIu64
		     ",\"segments\":%" PRIu64 ",\"bursts\":%" PRIu64
		     ",\"opens\":%" PRIu64 ",\"drops_least\":%" PRIu64
		     ",\"drops_most\":%" PRIu64 ",\"kinds\":{%s}}\n",
		     opt.seed, total.sent, total.refused, total.segments,
		     total.bursts, total.opens, total.drops_lo, total.drops_hi,
		     text);
}

static unsigned int parse_hex(const char *text, uint8_t *out, unsigned int max)
{
	unsigned int n = strlen(text) / 2, i, byte;

	if (n > max || strlen(text) % 2)
		errx(2, "hexadecimal of a wrong length");
	for (i = 0; i < n; i++) {
		if (sscanf(text + 2 * i, "%2x", &byte) != 1)
			errx(2, "not hexadecimal");
		out[i] = byte;
	}
	return n;
}

static int usage(void)
{
	fputs("Usage: seal_fuzz -i DEVICE -f FROM -t TO -n COUNT -r SEED\n"
	      "                 [-H HOSTILE -O OTHER -S SPI -K KEY -I IV]\n"
	      "  -i DEVICE   the last hop to TO; flows from FROM to TO pass\n"
	      "  -H HOSTILE  address of a peer whose key (SPI, KEY, IV, 4 lanes) is known\n"
	      "  -O OTHER    an address that it may not speak for\n"
	      "  -M MTU of the device (1500)\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	int c;

	while ((c = getopt(argc, argv, "i:f:t:n:r:H:O:S:K:I:M:")) >= 0) {
		switch (c) {
		case 'i': opt.device = optarg; break;
		case 'f': opt.from = optarg; break;
		case 't': opt.to = optarg; break;
		case 'n': opt.count = atoi(optarg); break;
		case 'r': opt.seed = strtoull(optarg, NULL, 0); break;
		case 'H': opt.hostile = optarg; break;
		case 'O': opt.other = optarg; break;
		case 'S': opt.spi = strtoul(optarg, NULL, 0); break;
		case 'K': opt.key.len = parse_hex(optarg, opt.key.key, 32); break;
		case 'I': parse_hex(optarg, opt.key.iv, TCPSEAL_IV_LEN); break;
		case 'M': opt.mtu = atoi(optarg); break;
		default: return usage();
		}
	}
	if (!opt.device || !opt.from || !opt.to || optind != argc)
		return usage();
	family = strchr(opt.to, ':') ? AF_INET6 : AF_INET;
	if (!inet_pton(family, opt.to, addr_to) ||
	    (opt.key.len && (!opt.hostile || !opt.other ||
			     !inet_pton(family, opt.hostile, addr_hostile) ||
			     !inet_pton(family, opt.other, addr_other))))
		return usage();
	tap = tap_open(opt.device, 64 << 20);
	run();
	report();
	return 0;
}
