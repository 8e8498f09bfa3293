/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets that tools make or change: one TCP segment, or several joined, from
 * the IP header on.
 */
#ifndef PACKET_H
#define PACKET_H

#include "wire.h"

/* More than IP can say: BIG TCP */
#define PACKET_MAX	(160 * 1024)

struct packet {
	uint8_t data[PACKET_MAX];
	unsigned int ip_len, th_len, len;	/* ip_len: all IP headers */
	int family;
};

/* What a record is sealed with. */
struct packet_key {
	uint8_t key[32], iv[TCPSEAL_IV_LEN];
	unsigned int len;
};

static inline void put16(uint8_t *p, uint16_t value)
{
	p[0] = value >> 8;
	p[1] = value;
}

static inline void put32(uint8_t *p, uint32_t value)
{
	put16(p, value >> 16);
	put16(p + 2, value);
}

static inline uint8_t *packet_th(struct packet *p)
{
	return p->data + p->ip_len;
}

static inline uint8_t *packet_payload(struct packet *p)
{
	return p->data + p->ip_len + p->th_len;
}

/* Segment @k of a frame as a packet of its own. */
void packet_take(struct packet *p, const struct frame *f, unsigned int k);
/* @n bytes of IP options or extension header go in front of TCP. */
void packet_widen(struct packet *p, const uint8_t *extra, unsigned int n);
/* Of a TCP header without addresses: no IP options, no TCP options. */
void packet_start(struct packet *p, int family, const void *from, const void *to);
/*
 * Encrypt and sign the record at @r, whose header is complete, as part of the
 * segment that begins with @p's headers; @seq is the true sequence number.
 */
void packet_seal(const struct packet *p, uint8_t *r, const uint8_t *plain,
		 uint32_t seq, const struct packet_key *key);

#endif /* PACKET_H */
