// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The messages of the control protocol, inside TLS. Numbers are big endian.
 *
 *	0        2        3        4
 *	+--------+--------+--------+
 *	| length | version| type   | body ...
 *	+--------+--------+--------+
 *
 * length is that of the whole message. HELLO, 72 bytes of body:
 *
 *	 0  lowest and highest version spoken (1 + 1)
 *	 2  mode of the sender's link (1), flags (1)
 *	 4  SPI of the SA that the sender opens with; 0 where it wants no key
 *	 8  AEAD that the sender asks for (1), lanes of that SA (1), zero (2)
 *	12  seconds after which the sender stops to send with a key
 *	16  seconds without a record after which it gives a key up, 0: never
 *	20  random bytes (16)
 *	36  local prefix of a sender that seals for others:
 *	    bytes of address (1), length in bits (1), address (16)
 *	54  remote prefix of a sender to which the receiver is a gateway
 *
 * What a later version adds stands behind. CONFIRM and READY have no body.
 * NOTICE: code (1), zero (1), retry seconds (2), a sentence in UTF-8.
 */
#include <errno.h>
#include <string.h>

#include "tcpseald.h"

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static size_t put_header(uint8_t *buf, enum wire_type type, size_t body)
{
	put16(buf, WIRE_HEADER + body);
	buf[2] = WIRE_VERSION;
	buf[3] = type;
	return WIRE_HEADER + body;
}

static void put_prefix(uint8_t *p, const struct tcpseal_prefix *prefix)
{
	p[0] = prefix->addr.len;
	p[1] = prefix->len;
	memcpy(p + 2, prefix->addr.b, 16);
}

size_t wire_put_hello(uint8_t *buf, const struct wire_hello *hello)
{
	uint8_t *p = buf + WIRE_HEADER;

	memset(p, 0, WIRE_HELLO_LEN);
	p[0] = hello->version_min;
	p[1] = hello->version_max;
	p[2] = hello->mode;
	p[3] = hello->flags;
	put32(p + 4, hello->spi);
	p[8] = hello->aead;
	p[9] = hello->lanes;
	put32(p + 12, hello->hard_secs);
	put32(p + 16, hello->idle_secs);
	memcpy(p + 20, hello->nonce, sizeof(hello->nonce));
	put_prefix(p + 36, &hello->local);
	put_prefix(p + 54, &hello->remote);
	return put_header(buf, WIRE_HELLO, WIRE_HELLO_LEN);
}

size_t wire_put_empty(uint8_t *buf, enum wire_type type)
{
	return put_header(buf, type, 0);
}

size_t wire_put_notice(uint8_t *buf, const struct wire_notice *notice)
{
	size_t length = strnlen(notice->text, sizeof(notice->text) - 1);
	uint8_t *p = buf + WIRE_HEADER;

	p[0] = notice->code;
	p[1] = 0;
	put16(p + 2, notice->retry);
	memcpy(p + 4, notice->text, length);
	return put_header(buf, WIRE_NOTICE, 4 + length);
}

int wire_length(const uint8_t *buf, size_t have)
{
	unsigned int length;

	if (have < WIRE_HEADER)
		return 0;
	length = get16(buf);
	if (length < WIRE_HEADER || length > WIRE_MAX)
		return -EBADMSG;
	return length;
}

/* Absent: all zero. Present: of a known family, no bits behind the length */
static int get_prefix(const uint8_t *p, bool wanted,
		      struct tcpseal_prefix *prefix)
{
	static const uint8_t zero[18];
	char text[TCPSEAL_PREFIX_STRLEN];
	struct tcpseal_prefix again;

	memset(prefix, 0, sizeof(*prefix));
	if (!wanted)
		return memcmp(p, zero, sizeof(zero)) ? -EBADMSG : 0;
	if ((p[0] != 4 && p[0] != 16) || p[1] > p[0] * 8 ||
	    memcmp(p + 2 + p[0], zero, 16 - p[0]))
		return -EBADMSG;
	prefix->addr.len = p[0];
	prefix->len = p[1];
	memcpy(prefix->addr.b, p + 2, p[0]);
	tcpseal_prefix_format(prefix, text, sizeof(text));
	return tcpseal_prefix_parse(text, &again) ? -EBADMSG : 0;
}

int wire_get_hello(const uint8_t *msg, size_t len, struct wire_hello *hello)
{
	const uint8_t *p = msg + WIRE_HEADER;

	memset(hello, 0, sizeof(*hello));
	if (len < WIRE_HEADER + WIRE_HELLO_LEN || msg[3] != WIRE_HELLO)
		return -EBADMSG;
	hello->version_min = p[0];
	hello->version_max = p[1];
	hello->mode = p[2];
	hello->flags = p[3];
	hello->spi = get32(p + 4);
	hello->aead = p[8];
	hello->lanes = p[9];
	hello->hard_secs = get32(p + 12);
	hello->idle_secs = get32(p + 16);
	memcpy(hello->nonce, p + 20, sizeof(hello->nonce));
	if (hello->mode > TCPSEAL_MODE_REQUIRE)
		return -EBADMSG;
	if (get_prefix(p + 36, hello->flags & WIRE_HELLO_FORWARD,
		       &hello->local) ||
	    get_prefix(p + 54, hello->flags & WIRE_HELLO_VIA, &hello->remote))
		return -EBADMSG;
	if (hello->mode < TCPSEAL_MODE_AUDIT)
		return 0;
	if (!tcpseal_aead_keylen(hello->aead) || !hello->lanes ||
	    hello->lanes > 64 || (hello->lanes & (hello->lanes - 1)) ||
	    !hello->spi || !hello->hard_secs)
		return -EBADMSG;
	return 0;
}

int wire_get_notice(const uint8_t *msg, size_t len, struct wire_notice *notice)
{
	const uint8_t *p = msg + WIRE_HEADER;
	size_t i, text;

	memset(notice, 0, sizeof(*notice));
	if (len < WIRE_HEADER + 4 || msg[3] != WIRE_NOTICE)
		return -EBADMSG;
	notice->code = p[0];
	notice->retry = get16(p + 2);
	text = len - WIRE_HEADER - 4;
	if (text >= sizeof(notice->text))
		text = sizeof(notice->text) - 1;
	memcpy(notice->text, p + 4, text);
	for (i = 0; i < text; i++)
		if ((unsigned char)notice->text[i] < ' ' ||
		    notice->text[i] == 0x7f)
			notice->text[i] = '?';
	return 0;
}
