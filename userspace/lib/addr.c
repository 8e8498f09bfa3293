// SPDX-License-Identifier: LGPL-2.1-or-later
/* Addresses and prefixes; numbers as people write them. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

int tcpseal_addr_parse(const char *text, struct tcpseal_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	if (inet_pton(AF_INET, text, addr->b) == 1)
		addr->len = 4;
	else if (inet_pton(AF_INET6, text, addr->b) == 1)
		addr->len = 16;
	else
		return -EINVAL;
	return 0;
}

const char *tcpseal_addr_format(const struct tcpseal_addr *addr, char *buf,
				size_t size)
{
	if (addr->len != 4 && addr->len != 16)
		snprintf(buf, size, "-");
	else if (!inet_ntop(addr->len == 4 ? AF_INET : AF_INET6, addr->b, buf,
			    size))
		snprintf(buf, size, "?");
	return buf;
}

int tcpseal_addr_cmp(const struct tcpseal_addr *a, const struct tcpseal_addr *b)
{
	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return memcmp(a->b, b->b, a->len);
}

bool tcpseal_addr_is_zero(const struct tcpseal_addr *addr)
{
	static const uint8_t zero[16];

	return !memcmp(addr->b, zero, addr->len);
}

/* Are the first `bits` of both the same? */
static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned int bits)
{
	unsigned int bytes = bits / 8;
	uint8_t mask = 0xff00 >> (bits % 8);

	return !memcmp(a, b, bytes) &&
	       (!(bits % 8) || !((a[bytes] ^ b[bytes]) & mask));
}

int tcpseal_prefix_parse(const char *text, struct tcpseal_prefix *prefix)
{
	char addr[TCPSEAL_PREFIX_STRLEN];
	const char *slash = strchr(text, '/');
	unsigned int i, max;
	uint8_t masked;
	uint32_t len;

	if (snprintf(addr, sizeof(addr), "%.*s",
		     slash ? (int)(slash - text) : 127, text) >=
	    (int)sizeof(addr))
		return -EINVAL;
	if (tcpseal_addr_parse(addr, &prefix->addr))
		return -EINVAL;
	max = prefix->addr.len * 8;
	len = max;
	if (slash) {
		char *end;

		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		errno = 0;
		len = strtoul(slash + 1, &end, 10);
		if (*end || errno || end - slash > 4 || len > max)
			return -EINVAL;
	}
	prefix->len = len;
	for (i = 0; i < prefix->addr.len; i++) {
		masked = prefix->addr.b[i];
		if (i * 8 + 8 > len)
			masked &= i * 8 >= len ? 0 : 0xff00 >> (len % 8);
		if (masked != prefix->addr.b[i])
			return -EDOM;
	}
	return 0;
}

const char *tcpseal_prefix_format(const struct tcpseal_prefix *prefix,
				  char *buf, size_t size)
{
	char addr[TCPSEAL_ADDR_STRLEN];

	tcpseal_addr_format(&prefix->addr, addr, sizeof(addr));
	snprintf(buf, size, "%s/%u", addr, prefix->len);
	return buf;
}

bool tcpseal_prefix_has(const struct tcpseal_prefix *prefix,
			const struct tcpseal_addr *addr)
{
	return addr->len == prefix->addr.len &&
	       prefix->len <= addr->len * 8 &&
	       same_bits(prefix->addr.b, addr->b, prefix->len);
}

int tcpseal_prefix_cmp(const struct tcpseal_prefix *a,
		       const struct tcpseal_prefix *b)
{
	int cmp = tcpseal_addr_cmp(&a->addr, &b->addr);

	return cmp ? cmp : (int)a->len - (int)b->len;
}

/* A decimal number and the unit behind it; units: pairs of letter, factor */
struct unit {
	char letter;
	uint64_t factor;
};

static int number_parse(const char *word, const struct unit *units,
			uint64_t max, uint64_t *value)
{
	unsigned long long n;
	char *end;

	if (*word < '0' || *word > '9')
		return -EINVAL;
	errno = 0;
	n = strtoull(word, &end, 10);
	if (errno)
		return -EINVAL;
	for (; *end && units->letter; units++) {
		if (units->letter != *end || end[1])
			continue;
		if (n > UINT64_MAX / units->factor)
			return -EINVAL;
		n *= units->factor;
		end++;
		break;
	}
	if (*end || n > max)
		return -EINVAL;
	*value = n;
	return 0;
}

int tcpseal_size_parse(const char *word, uint64_t *size)
{
	static const struct unit units[] = {
		{ 'K', 1ULL << 10 }, { 'M', 1ULL << 20 }, { 'G', 1ULL << 30 },
		{ 'T', 1ULL << 40 }, {},
	};

	return number_parse(word, units, UINT64_MAX, size);
}

int tcpseal_secs_parse(const char *word, uint32_t *secs)
{
	static const struct unit units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, {},
	};
	uint64_t value;
	int ret;

	ret = number_parse(word, units, UINT32_MAX, &value);
	if (!ret)
		*secs = value;
	return ret;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int tcpseal_hex_parse(const char *word, uint8_t *bytes, size_t len)
{
	size_t i;
	int high, low;

	for (i = 0; i < len; i++) {
		high = hex_digit(word[2 * i]);
		low = high < 0 ? -1 : hex_digit(word[2 * i + 1]);
		if (low < 0)
			return -EINVAL;
		bytes[i] = high << 4 | low;
	}
	return word[2 * len] ? -EINVAL : 0;
}
