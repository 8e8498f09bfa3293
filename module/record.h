/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The record: what one TCP segment of a sealed pair carries as its payload.
 *
 *  0        1        2                 4
 *  +--------+--------+-----------------+-----------------------------------+
 *  |ver|flag| lane   | length          | SPI                               |
 *  +--------+--------+-----------------+-----------------------------------+
 *  | index           | counter (48 bits)                                   |
 *  +-----------------+-----------------------------------------------------+
 *  | ciphertext (length bytes) ...                                         |
 *  +-----------------------------------------------------------------------+
 *  | tag (16)                                                              |
 *  +-----------------------------------------------------------------------+
 *
 * No skb and no socket in here: the file also compiles in user space.
 */
#ifndef TCPSEAL_RECORD_H
#define TCPSEAL_RECORD_H

#include <linux/types.h>

#define TCPSEAL_RECORD_VERSION	1
#define TCPSEAL_HDR_LEN		16
#define TCPSEAL_TAG_LEN		16
#define TCPSEAL_OVERHEAD	(TCPSEAL_HDR_LEN + TCPSEAL_TAG_LEN)
#define TCPSEAL_IV_LEN		12
#define TCPSEAL_BLOCK		16	/* of the cipher */
#define TCPSEAL_LANES_MAX	64
#define TCPSEAL_COUNTER_MAX	((1ULL << 48) - 1)
/* most records in one burst: the wire sequence drifts by 32 a record */
#define TCPSEAL_BURST_MAX	1024

/* header byte 0: version in the two high bits, three reserved bits, flags */
#define TCPSEAL_VER_SHIFT	6
#define TCPSEAL_RESERVED	0x38
#define TCPSEAL_F_FIN		0x01
#define TCPSEAL_F_PSH		0x02
#define TCPSEAL_F_CWR		0x04

struct tcpseal_record {
	__u8	ver_flags;
	__u8	lane;
	__be16	length;
	__be32	spi;
	__be16	index;
	__be16	counter_hi;
	__be32	counter_lo;
};

/*
 * Additional authenticated data: the record header, both addresses, the TCP
 * header with its options; checksum zero, true sequence number, FIN, PSH and
 * CWR zero (they travel in the record's flags), value of an MSS option zero.
 */
#define TCPSEAL_AAD_MAX		(TCPSEAL_HDR_LEN + 2 * 16 + 60)

static inline __u64 tcpseal_record_counter(const struct tcpseal_record *r)
{
	return (__u64)be16_to_cpu(r->counter_hi) << 32 |
	       be32_to_cpu(r->counter_lo);
}

static inline void tcpseal_record_set(struct tcpseal_record *r, __u8 flags,
				      __u8 lane, __u16 length, __be32 spi,
				      __u16 index, __u64 counter)
{
	r->ver_flags = TCPSEAL_RECORD_VERSION << TCPSEAL_VER_SHIFT | flags;
	r->lane = lane;
	r->length = cpu_to_be16(length);
	r->spi = spi;
	r->index = cpu_to_be16(index);
	r->counter_hi = cpu_to_be16(counter >> 32);
	r->counter_lo = cpu_to_be32((__u32)counter);
}

/**
 * tcpseal_record_shaped() - does a TCP payload have the exact shape of a record
 * @r: first bytes of the payload
 * @len: bytes of payload in this segment, at least TCPSEAL_HDR_LEN
 *
 * Version, reserved bits and length must be exact. Whether the SPI is known is
 * for the caller: only both together make a segment sealed, so no payload that
 * an application chooses can break a plain connection.
 */
static inline bool tcpseal_record_shaped(const struct tcpseal_record *r,
					 unsigned int len)
{
	return len >= TCPSEAL_OVERHEAD &&
	       (r->ver_flags & ~(TCPSEAL_F_FIN | TCPSEAL_F_PSH |
				 TCPSEAL_F_CWR)) ==
	       TCPSEAL_RECORD_VERSION << TCPSEAL_VER_SHIFT &&
	       be16_to_cpu(r->length) + TCPSEAL_OVERHEAD == len && r->spi;
}

#endif /* TCPSEAL_RECORD_H */
