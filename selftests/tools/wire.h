/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is on a wire: frames of an AF_PACKET socket, taken apart as far as the
 * tools of an eavesdropper and an injector need it.
 */
#ifndef WIRE_H
#define WIRE_H

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/virtio_net.h>

#define be16_to_cpu(x)	((unsigned int)be16toh(x))
#define be32_to_cpu(x)	be32toh(x)
#define cpu_to_be16(x)	htobe16(x)
#define cpu_to_be32(x)	htobe32(x)
#include "../../module/record.h"

#define FRAME_MAX	(256 * 1024)
#define CTRL_PORT	7325

#define TH_FIN	0x01
#define TH_SYN	0x02
#define TH_RST	0x04
#define TH_PSH	0x08
#define TH_ACK	0x10
#define TH_URG	0x20
#define TH_ECE	0x40
#define TH_CWR	0x80

enum frame_kind {
	FRAME_OTHER,		/* not IP, or IP of another protocol */
	FRAME_ICMP,		/* ICMP and ICMPv6 */
	FRAME_FRAGMENT,		/* of TCP */
	FRAME_TCP,
	FRAME_BROKEN,		/* TCP that cannot be parsed */
};

struct frame {
	struct virtio_net_hdr vnet;
	uint8_t		*data;		/* from the Ethernet header on */
	size_t		len;
	bool		outgoing;

	enum frame_kind	kind;
	int		family;
	union {
		struct in_addr	v4;
		struct in6_addr	v6;
	} src, dst;
	uint8_t		*ip, *th, *payload;
	unsigned int	ip_len, th_len, payload_len;	/* ip_len: headers */
	bool		df;
	/* of TCP */
	uint16_t	sport, dport;		/* host order */
	uint32_t	seq, ack;
	uint8_t		flags;
	unsigned int	gso_size;		/* 0: one segment */
};

/* An AF_PACKET socket for all protocols on a device, with virtio headers. */
int tap_open(const char *device, unsigned int buffer);
/* The next frame into @f, whose data is of FRAME_MAX. 0: none now */
int tap_read(int fd, struct frame *f);
uint64_t tap_drops(int fd);
void frame_parse(struct frame *f);
bool frame_between(const struct frame *f, const char *a, const char *b);
const char *frame_str(const struct frame *f, char *buf, size_t len);
void addr_str(const struct frame *f, bool src, char *buf, size_t len);

/* Number of wire segments in a frame, and the k-th one's payload. */
unsigned int frame_segments(const struct frame *f);
const uint8_t *frame_segment(const struct frame *f, unsigned int k,
			     unsigned int *len);

/*
 * Is the checksum of this TCP right? A partial one must be the pseudo header's,
 * with its place in the virtio header.
 */
bool frame_checksum_ok(const struct frame *f);

/* Make lengths and checksums of a single-segment frame right. */
void frame_finish(uint8_t *ip, unsigned int ip_hdr, unsigned int l4_len,
		  uint8_t protocol);

#endif /* WIRE_H */
