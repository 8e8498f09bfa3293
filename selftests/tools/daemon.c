// SPDX-License-Identifier: GPL-2.0-only
#include <err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"

static int ready_fd = -1;

void background_start(void)
{
	int fds[2], status;
	char byte;
	pid_t pid;

	if (pipe(fds))
		err(1, "pipe");
	pid = fork();
	if (pid < 0)
		err(1, "fork");
	if (!pid) {
		close(fds[0]);
		ready_fd = fds[1];
		setsid();
		return;
	}
	close(fds[1]);
	if (read(fds[0], &byte, 1) == 1)
		_exit(0);
	/* it ended before it was ready, and has said why */
	if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		_exit(WEXITSTATUS(status) ? WEXITSTATUS(status) : 1);
	_exit(1);
}

void background_ready(const char *path)
{
	if (path)
		result_write(path, "%d\n", getpid());
	if (ready_fd < 0)
		return;
	if (write(ready_fd, "r", 1) != 1)
		err(1, "parent is gone");
	close(ready_fd);
	ready_fd = -1;
}

void result_write(const char *path, const char *fmt, ...)
{
	char temp[4096];
	va_list ap;
	FILE *file;

	va_start(ap, fmt);
	if (!path) {
		vprintf(fmt, ap);
		fflush(stdout);
		va_end(ap);
		return;
	}
	snprintf(temp, sizeof(temp), "%s.new", path);
	file = fopen(temp, "w");
	if (!file)
		err(1, "%s", temp);
	vfprintf(file, fmt, ap);
	va_end(ap);
	if (fclose(file) || rename(temp, path))
		err(1, "%s", path);
}
