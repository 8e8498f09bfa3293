// SPDX-License-Identifier: GPL-2.0-only
/*
 * key_search - does all of this machine's memory hold these bytes anywhere?
 *
 * Reads the kernel's direct map, which has every page: of the kernel, of
 * programs, and the free ones. It must not find itself, so nothing here holds
 * the bytes as they are: what is looked for is masked while it is parsed, and
 * memory is masked in place before it is compared.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <elf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mask.h"

#define CHUNK		(1 << 16)
#define PIECE		16	/* half a key is a find, too */
#define NEEDLES		512
#define SEGMENTS	64

/* Of a name: its bytes, in pieces, and the same as text, if that matters */
static struct needle {
	char name[64];
	const char *what;
	uint8_t masked[2 * PIECE];
	unsigned int len;
	unsigned long found;
	uint64_t at;		/* the last one, a physical address */
} needles[NEEDLES];

static unsigned int nr_needles;
static uint8_t first[1 << 16];		/* do any begin with these two bytes? */
static uint8_t buf[CHUNK + 2 * PIECE];	/* a chunk, and what was before it */

static void add(const char *name, const char *what, const uint8_t *masked,
		unsigned int len)
{
	struct needle *n = &needles[nr_needles++];

	if (nr_needles > NEEDLES)
		errx(2, "too many to look for");
	snprintf(n->name, sizeof(n->name), "%s", name);
	n->what = what;
	n->len = len;
	memcpy(n->masked, masked, len);
	first[masked[0] << 8 | masked[1]] = 1;
}

/* The same in lower and upper case digits */
static void add_text(const char *name, const uint8_t *masked, unsigned int len)
{
	static const char *const digits[] = {
		"0123456789abcdef", "0123456789ABCDEF"
	};
	uint8_t text[2 * PIECE];
	unsigned int i, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < len; i++) {
			uint8_t byte = masked[i] ^ MASK;

			text[2 * i] = digits[k][byte >> 4] ^ MASK;
			text[2 * i + 1] = digits[k][byte & 15] ^ MASK;
		}
		add(name, "text", text, 2 * len);
	}
}

static unsigned int digit(char c)
{
	return isdigit(c) ? c - '0' : (c | 32) - 'a' + 10;
}

/* See usage: what somebody has typed is not looked for as text */
static void parse(char *line)
{
	char *name = strtok(line, " \n"), *text = strtok(NULL, " \n");
	bool as_text = text && *text == '+';
	bool masked = as_text || (text && *text == '~');
	uint8_t piece[PIECE];
	unsigned int n;

	if (!text)
		return;
	text += masked;
	for (n = 0; *text; text += 2) {
		if (!isxdigit(text[0]) || !isxdigit(text[1]))
			errx(2, "%s: not hexadecimal", name);
		piece[n++] = (digit(text[0]) << 4 | digit(text[1])) ^
			     (masked ? 0 : MASK);
		if (n < PIECE && text[2])
			continue;
		if (n >= 12) {
			add(name, "bytes", piece, n);
			if (as_text)
				add_text(name, piece, n);
		}
		n = 0;
	}
}

/* Mask a chunk. Return: false if it is all zero, as most of an idle machine is */
static bool mask(uint8_t *p, size_t len)
{
	uint64_t word, any = 0, m;
	size_t i;

	memset(&m, MASK, sizeof(m));
	for (i = 0; i < len; i += 8) {
		memcpy(&word, p + i, 8);
		any |= word;
		word ^= m;
		memcpy(p + i, &word, 8);
	}
	return any;
}

static void look(const uint8_t *p, size_t len, uint64_t at)
{
	unsigned int k;
	size_t i;

	for (i = 0; i + 12 <= len; i++) {
		if (!first[p[i] << 8 | p[i + 1]])
			continue;
		for (k = 0; k < nr_needles; k++) {
			struct needle *n = &needles[k];

			if (i + n->len > len || memcmp(p + i, n->masked, n->len))
				continue;
			n->found++;
			n->at = at + i;
		}
	}
}

/* Each chunk begins with the end of the one before, so nothing hides between */
static uint64_t search(int fd, uint64_t off, uint64_t size, uint64_t at)
{
	uint64_t done, bytes = 0;
	uint8_t *new = buf + 2 * PIECE;

	memset(buf, MASK, 2 * PIECE);
	for (done = 0; done < size; done += CHUNK) {
		size_t want = size - done < CHUNK ? size - done : CHUNK;
		ssize_t got = pread(fd, new, want, off + done);

		/* holes of the direct map */
		if (got <= 0)
			continue;
		memset(new + got, 0, CHUNK - got);
		if (mask(new, CHUNK))
			look(buf, 2 * PIECE + CHUNK, at + done - 2 * PIECE);
		memmove(buf, buf + CHUNK, 2 * PIECE);
		bytes += got;
	}
	return bytes;
}

int main(int argc, char **argv)
{
	Elf64_Phdr ph[SEGMENTS];
	FILE *list = argc == 2 ? fopen(argv[1], "re") : NULL;
	unsigned int i, status = 0;
	uint64_t bytes = 0;
	char line[1024];
	Elf64_Ehdr eh;
	int fd;

	if (!list) {
		fputs("Usage: key_search FILE, of lines:\n"
		      "  NAME DIGITS     bytes, in hexadecimal\n"
		      "  NAME ~DIGITS    the same, masked\n"
		      "  NAME +DIGITS    masked, and to be looked for as text as well\n",
		      stderr);
		return 2;
	}
	while (fgets(line, sizeof(line), list))
		parse(line);
	fd = open("/proc/kcore", O_RDONLY | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == EPERM)) {
		fputs("no /proc/kcore\n", stderr);
		return 4;
	}
	if (fd < 0 || pread(fd, &eh, sizeof(eh), 0) != sizeof(eh))
		err(2, "/proc/kcore");
	if (eh.e_phnum > SEGMENTS ||
	    pread(fd, ph, eh.e_phnum * sizeof(*ph), eh.e_phoff) < 0)
		err(2, "/proc/kcore");
	for (i = 0; i < eh.e_phnum; i++) {
		/* what is not memory says so by its address */
		if (ph[i].p_type == PT_LOAD && ph[i].p_paddr &&
		    ph[i].p_paddr != (Elf64_Addr)-1)
			bytes += search(fd, ph[i].p_offset, ph[i].p_memsz,
					ph[i].p_paddr);
	}
	for (i = 0; i < nr_needles; i++) {
		if (!needles[i].found)
			continue;
		printf("%s %s %lu at %llx\n", needles[i].name,
		       needles[i].what, needles[i].found,
		       (unsigned long long)needles[i].at);
		status = 1;
	}
	fprintf(stderr, "%u pieces, %llu MiB\n", nr_needles,
		(unsigned long long)bytes >> 20);
	return status;
}
