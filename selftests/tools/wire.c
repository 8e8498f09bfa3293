// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "wire.h"

int tap_open(const char *device, unsigned int buffer)
{
	struct sockaddr_ll ll = {
		.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL),
	};
	int fd, one = 1;

	ll.sll_ifindex = if_nametoindex(device);
	if (!ll.sll_ifindex)
		err(1, "%s", device);
	/* protocol 0: nothing arrives before everything is set up */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		err(4, "AF_PACKET");
	if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)))
		err(4, "PACKET_VNET_HDR");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)))
		err(1, "SO_RCVBUFFORCE");
	if (bind(fd, (void *)&ll, sizeof(ll)))
		err(1, "bind to %s", device);
	return fd;
}

int tap_read(int fd, struct frame *f)
{
	struct sockaddr_ll from;
	struct iovec iov[2] = {
		{ &f->vnet, sizeof(f->vnet) }, { f->data, FRAME_MAX },
	};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from),
		.msg_iov = iov, .msg_iovlen = 2,
	};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_TRUNC);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < (ssize_t)sizeof(f->vnet))
		err(1, "recvmsg");
	if (n - sizeof(f->vnet) > FRAME_MAX)
		errx(1, "a frame of %zd bytes", n);
	f->len = n - sizeof(f->vnet);
	f->outgoing = from.sll_pkttype == PACKET_OUTGOING;
	frame_parse(f);
	return 1;
}

uint64_t tap_drops(int fd)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	getsockopt(fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len);
	return stats.tp_drops;
}

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static void parse_tcp(struct frame *f, size_t len)
{
	f->kind = FRAME_BROKEN;
	if (len < 20)
		return;
	f->th_len = (f->th[12] >> 4) * 4;
	if (f->th_len < 20 || f->th_len > len)
		return;
	f->kind = FRAME_TCP;
	f->sport = get16(f->th);
	f->dport = get16(f->th + 2);
	f->seq = get32(f->th + 4);
	f->ack = get32(f->th + 8);
	f->flags = f->th[13];
	f->payload = f->th + f->th_len;
	f->payload_len = len - f->th_len;
	if (f->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN)
		f->gso_size = f->vnet.gso_size;
}

static void parse_ipv4(struct frame *f, size_t len)
{
	uint8_t *ip = f->ip;
	unsigned int total;
	uint16_t off;

	if (len < 20)
		return;
	f->family = AF_INET;
	f->ip_len = (ip[0] & 15) * 4;
	memcpy(&f->src, ip + 12, 4);
	memcpy(&f->dst, ip + 16, 4);
	total = get16(ip + 2);
	/* BIG TCP says 0; short frames are padded */
	if (total && total < len)
		len = total;
	if (f->ip_len < 20 || f->ip_len > len)
		return;
	off = get16(ip + 6);
	f->df = off & 0x4000;
	f->th = ip + f->ip_len;
	f->payload = f->th;
	f->payload_len = len - f->ip_len;
	if (ip[9] == IPPROTO_ICMP)
		f->kind = FRAME_ICMP;
	if (ip[9] != IPPROTO_TCP)
		return;
	if (off & 0x3fff)
		f->kind = FRAME_FRAGMENT;
	else
		parse_tcp(f, len - f->ip_len);
}

static void parse_ipv6(struct frame *f, size_t len)
{
	uint8_t *ip = f->ip, next;
	unsigned int total, off = 40;

	if (len < 40)
		return;
	f->family = AF_INET6;
	memcpy(&f->src, ip + 8, 16);
	memcpy(&f->dst, ip + 24, 16);
	total = get16(ip + 4);
	if (total && total + 40 < len)
		len = total + 40;
	next = ip[6];
	f->df = true;
	while (next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS ||
	       next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT) {
		bool fragment = next == IPPROTO_FRAGMENT;

		if (off + 8 > len)
			return;
		next = ip[off];
		if (fragment) {
			if (next == IPPROTO_TCP)
				f->kind = FRAME_FRAGMENT;
			return;
		}
		off += (ip[off + 1] + 1) * 8;
	}
	if (off > len)
		return;
	f->ip_len = off;
	f->th = ip + off;
	f->payload = f->th;
	f->payload_len = len - off;
	if (next == IPPROTO_ICMPV6)
		f->kind = FRAME_ICMP;
	if (next == IPPROTO_TCP)
		parse_tcp(f, len - off);
}

void frame_parse(struct frame *f)
{
	uint16_t type;

	f->kind = FRAME_OTHER;
	f->family = 0;
	f->gso_size = 0;
	f->ip_len = 0;
	f->th_len = 0;
	f->payload_len = 0;
	if (f->len < ETH_HLEN)
		return;
	type = get16(f->data + 12);
	f->ip = f->data + ETH_HLEN;
	if (type == ETH_P_IP)
		parse_ipv4(f, f->len - ETH_HLEN);
	else if (type == ETH_P_IPV6)
		parse_ipv6(f, f->len - ETH_HLEN);
}

void addr_str(const struct frame *f, bool src, char *buf, size_t len)
{
	if (!inet_ntop(f->family, src ? &f->src : &f->dst, buf, len))
		snprintf(buf, len, "?");
}

/* From @a to @b, either may be NULL for any */
bool frame_between(const struct frame *f, const char *a, const char *b)
{
	char text[INET6_ADDRSTRLEN];

	addr_str(f, true, text, sizeof(text));
	if (a && strcmp(a, text))
		return false;
	addr_str(f, false, text, sizeof(text));
	return !b || !strcmp(b, text);
}

const char *frame_str(const struct frame *f, char *buf, size_t len)
{
	static const char *const kinds[] = {
		"other", "icmp", "fragment", "tcp", "broken"
	};
	char src[INET6_ADDRSTRLEN], dst[INET6_ADDRSTRLEN];
	char flags[9] = "";
	unsigned int i, n = 0;

	addr_str(f, true, src, sizeof(src));
	addr_str(f, false, dst, sizeof(dst));
	for (i = 0; i < 8; i++) {
		if (f->flags & 1 << i)
			flags[n++] = "FSRPAUEC"[i];
	}
	flags[n] = '\0';
	if (f->kind == FRAME_TCP)
		snprintf(buf, len, "%s:%u > %s:%u %s seq %u ack %u len %u gso %u",
			 src, f->sport, dst, f->dport, flags, f->seq, f->ack,
			 f->payload_len, f->gso_size);
	else
		snprintf(buf, len, "%s %s > %s len %zu", kinds[f->kind], src, dst,
			 f->len);
	return buf;
}

unsigned int frame_segments(const struct frame *f)
{
	if (!f->gso_size || f->payload_len <= f->gso_size)
		return 1;
	return (f->payload_len + f->gso_size - 1) / f->gso_size;
}

const uint8_t *frame_segment(const struct frame *f, unsigned int k,
			     unsigned int *len)
{
	unsigned int size = f->gso_size ? f->gso_size : f->payload_len;
	unsigned int start = k * size;

	*len = f->payload_len - start < size ? f->payload_len - start : size;
	return f->payload + start;
}

static uint32_t sum(uint32_t acc, const uint8_t *p, unsigned int len)
{
	for (; len > 1; p += 2, len -= 2)
		acc += get16(p);
	return len ? acc + (p[0] << 8) : acc;
}

static uint16_t fold(uint32_t acc)
{
	while (acc >> 16)
		acc = (acc & 0xffff) + (acc >> 16);
	return ~acc;
}

void frame_finish(uint8_t *ip, unsigned int ip_hdr, unsigned int l4_len,
		  uint8_t protocol)
{
	uint8_t *l4 = ip + ip_hdr;
	uint32_t acc = protocol + l4_len;
	unsigned int at;

	if (ip[0] >> 4 == 4) {
		put16(ip + 2, ip_hdr + l4_len);
		put16(ip + 10, 0);
		put16(ip + 10, fold(sum(0, ip, ip_hdr)));
		acc = protocol == IPPROTO_ICMP ? 0 : sum(acc, ip + 12, 8);
	} else {
		put16(ip + 4, ip_hdr - 40 + l4_len);
		acc = sum(acc, ip + 8, 32);
	}
	at = protocol == IPPROTO_TCP ? 16 : 2;
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_ICMP &&
	    protocol != IPPROTO_ICMPV6)
		return;
	put16(l4 + at, 0);
	put16(l4 + at, fold(sum(acc, l4, l4_len)));
}

/* The pseudo header's sum, for a segment of that much payload */
static uint32_t pseudo(const struct frame *f, unsigned int len)
{
	uint32_t acc = IPPROTO_TCP + f->th_len + len;

	if (f->family == AF_INET)
		return sum(acc, f->ip + 12, 8);
	return sum(acc, f->ip + 8, 32);
}

static bool partial_ok(const struct frame *f, unsigned int len)
{
	uint16_t want = ~fold(pseudo(f, len));

	return f->vnet.csum_start == f->th - f->data &&
	       f->vnet.csum_offset == 16 && get16(f->th + 16) == want;
}

bool frame_checksum_ok(const struct frame *f)
{
	unsigned int first;

	/* receive offload may list segments as they are: this is the first's */
	frame_segment(f, 0, &first);
	if (f->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
		return partial_ok(f, f->payload_len) ||
		       (!f->outgoing && partial_ok(f, first));
	return !fold(sum(pseudo(f, first), f->th, f->th_len + first));
}
