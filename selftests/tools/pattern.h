/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes that tests send: every position of a stream has its own value,
 * and every 128 bytes begin with a marker that an eavesdropper looks for.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MARKER		"{tcpseal-selftest-plain-marker!}"
#define MARKER_LEN	32
#define CELL		128

static inline uint64_t pattern_word(uint64_t x)
{
	/* splitmix64 */
	x += 0x9e3779b97f4a7c15ULL;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

static inline void pattern_cell(uint64_t seed, uint64_t n, uint8_t *cell)
{
	const unsigned int words = (CELL - MARKER_LEN) / 8;
	unsigned int i;

	memcpy(cell, MARKER, MARKER_LEN);
	for (i = 0; i < words; i++) {
		uint64_t word = pattern_word(seed ^ (n * words + i));

		memcpy(cell + MARKER_LEN + 8 * i, &word, 8);
	}
}

static inline void pattern(uint64_t seed, uint64_t pos, uint8_t *buf, size_t len)
{
	uint8_t cell[CELL];

	while (len) {
		size_t off = pos % CELL, n = CELL - off;

		if (n > len)
			n = len;
		if (n == CELL) {
			pattern_cell(seed, pos / CELL, buf);
		} else {
			pattern_cell(seed, pos / CELL, cell);
			memcpy(buf, cell + off, n);
		}
		buf += n;
		pos += n;
		len -= n;
	}
}

#endif /* PATTERN_H */
