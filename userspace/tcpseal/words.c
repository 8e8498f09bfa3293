// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The words of the grammar: matching them, and naming the one that is bad.
 *
 * Every message reads "tcpseal: link add: "WORD": why". Functions that print
 * one return the exit status, so that a caller says `return bad_word(...)`.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "libtcpseal.h"
#include "tcpseal.h"

static char where[128] = "tcpseal";

void context_push(const char *word)
{
	size_t len = strlen(where);

	snprintf(where + len, sizeof(where) - len, "%s%s",
		 strchr(where, ':') ? " " : ": ", word);
}

void context_reset(void)
{
	strcpy(where, "tcpseal");
}

const char *context(void)
{
	return where;
}

int refuse(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", where);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_REFUSED;
}

int bad_word(const char *word, const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: \"%s\": ", where, word);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return EXIT_USAGE;
}

int missing(const char *what)
{
	fflush(stdout);
	fprintf(stderr, "%s: %s is missing\n", where, what);
	return EXIT_USAGE;
}

void note(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	fprintf(stderr, "%s: ", where);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
}

bool wants_help(int argc, char **argv)
{
	return argc > 0 && (!strcmp(argv[0], "help") ||
			    !strcmp(argv[0], "-h") ||
			    !strcmp(argv[0], "--help"));
}

int print_usage(const char *usage)
{
	fputs(usage, stdout);
	return EXIT_OK;
}

/*
 * The index of @word in @vocabulary (ended by NULL): itself, or an unambiguous
 * beginning of it. Otherwise says what is wrong and returns -1.
 */
int match_word(const char *word, const char *const *vocabulary)
{
	size_t len = strlen(word);
	int found = -1;
	int i;

	for (i = 0; vocabulary[i]; i++) {
		if (!strcmp(word, vocabulary[i]))
			return i;
	}
	for (i = 0; len && vocabulary[i]; i++) {
		if (strncmp(word, vocabulary[i], len))
			continue;
		/* "del" and "delete" are one: the longer goes on from it */
		if (found >= 0 && !strncmp(vocabulary[i], vocabulary[found],
					   strlen(vocabulary[found])))
			continue;
		if (found >= 0) {
			bad_word(word, "ambiguous, is it \"%s\" or \"%s\"?",
				 vocabulary[found], vocabulary[i]);
			return -1;
		}
		found = i;
	}
	if (found < 0) {
		fflush(stdout);
		fprintf(stderr, "%s: \"%s\": unknown word, not one of",
			where, word);
		for (i = 0; vocabulary[i]; i++)
			fprintf(stderr, " %s", vocabulary[i]);
		fputc('\n', stderr);
	}
	return found;
}

/* decimal, or hexadecimal after 0x; never octal */
int parse_number(const char *word, uint64_t min, uint64_t max, uint64_t *val)
{
	unsigned long long n;
	int base = 10;
	char *end;

	if (!strncasecmp(word, "0x", 2))
		base = 16;
	errno = 0;
	n = strtoull(word, &end, base);
	if (end == word || *end || *word == '-' || *word == '+' ||
	    *word == ' ' || *word == '\t')
		return bad_word(word, "not a number");
	if (errno || n < min || n > max)
		return bad_word(word, "not between %llu and %llu",
				(unsigned long long)min,
				(unsigned long long)max);
	*val = n;
	return 0;
}

int parse_addr(const char *word, struct tcpseal_addr *addr)
{
	if (tcpseal_addr_parse(word, addr))
		return bad_word(word, "not an IPv4 or IPv6 address");
	return 0;
}
