/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Tools that run beside a test go to the background themselves when they are
 * ready, so that a script need not wait and guess.
 */
#ifndef DAEMON_H
#define DAEMON_H

/* Returns in the child; the parent waits for background_ready(). */
void background_start(void);
/* Write our pid to @path and let the parent end with status 0. */
void background_ready(const char *path);
/* Open a file that appears under its name only when complete. */
void result_write(const char *path, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif /* DAEMON_H */
