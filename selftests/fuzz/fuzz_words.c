// SPDX-License-Identifier: GPL-2.0-only
/*
 * The command line: the input is the file of "tcpseal -b". No kernel answers, so each
 * command ends where it would be asked. What writes files is left out.
 */
#include <libmnl/libmnl.h>

#include "fuzz.h"

#define main tcpseal_main
#include "../../userspace/tcpseal/main.c"
#undef main

#define SIZE_MAX_HERE	4096

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	(void)bus, (void)flags;
	errno = EPROTONOSUPPORT;
	return NULL;
}

/*
 * "ca", "cert" and "capture" write files; "key" may name one, and "-" would wait for a
 * terminal
 */
static bool left_out(const char *line)
{
	while (*line == ' ' || *line == '\t' || *line == '\r')
		line++;
	return (*line == 'c' && line[1] != 'o') || strstr(line, "file") ||
	       strstr(line, "stdin");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char text[SIZE_MAX_HERE + 1], *line, *save;

	if (size > SIZE_MAX_HERE)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		if (left_out(line))
			continue;
		context_reset();
		run_line(line);
	}
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	must(freopen("/dev/null", "r", stdin));
	return 0;
}
