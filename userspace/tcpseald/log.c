// SPDX-License-Identifier: GPL-2.0-or-later
/* Lines on stderr; with the journal's levels where it reads them. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tcpseald.h"

static _Atomic int log_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
	log_level = level;
}

/* Peers have a hand in some texts: no control characters in the log */
static void make_printable(char *line, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
}

/* One write a line, so that threads do not mix theirs */
void log_line(enum log_level level, const char *format, ...)
{
	static const char *const journal[] = { "<3>", "<4>", "<6>", "<7>" };
	static const char *const words[] = { "error: ", "warning: ", "",
					     "debug: " };
	char line[1024];
	va_list args;
	ssize_t put;
	int n, m;

	if ((int)level > log_level)
		return;
	if (getenv("JOURNAL_STREAM"))
		n = snprintf(line, sizeof(line), "%s", journal[level]);
	else
		n = snprintf(line, sizeof(line), "tcpseald: %s", words[level]);
	va_start(args, format);
	m = vsnprintf(line + n, sizeof(line) - n - 1, format, args);
	va_end(args);
	if (m < 0)
		return;
	make_printable(line + n, strlen(line + n));
	n = strlen(line);
	line[n++] = '\n';
	put = write(STDERR_FILENO, line, n);
	(void)put;
}

const char *text_of(const struct tcpseal_addr *addr, struct addr_text *text)
{
	return tcpseal_addr_format(addr, text->s, sizeof(text->s));
}
