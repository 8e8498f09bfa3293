// SPDX-License-Identifier: GPL-2.0-only
/*
 * busy_clock - a clock of instructions, for scripts
 *
 *	busy_clock FILE		runs it, for ever
 *	busy_clock -r FILE	prints what was executed so far
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "spin.h"

int main(int argc, char **argv)
{
	volatile uint64_t *idle;
	int fd, spins = argc == 2;

	if (!spins && (argc != 3 || strcmp(argv[1], "-r")))
		errx(2, "usage: busy_clock [-r] FILE");
	fd = open(argv[argc - 1], O_RDWR | O_CLOEXEC | (spins ? O_CREAT : 0),
		  0600);
	if (fd < 0 || (spins && ftruncate(fd, sizeof(*idle))))
		err(1, "%s", argv[argc - 1]);
	idle = mmap(NULL, sizeof(*idle), PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		    0);
	if (idle == MAP_FAILED)
		err(1, "memory");
	if (spins)
		spin(idle);
	printf("%" PRIu64 "\n", (uint64_t)__rdtsc() - *idle);
	return 0;
}
