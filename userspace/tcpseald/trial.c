// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A configuration on trial: it is in force, and after a while, unless somebody
 * confirms it, what was before is in force again. The file that a start reads is
 * not touched by a trial; the trial's text lies in the state directory, so that
 * the next daemon knows what it has to take back when this one has died.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tcpseald.h"

#define AGAIN_MS	2000
/* Nobody confirmed it: then the way back needs no words of its own */
#define BACK		(TCPSEAL_CHANGE_FLAG_WEAKEN | TCPSEAL_CHANGE_FLAG_FORCE)

static struct setup *before;		/* NULL: no trial */
static struct event *timer;
static uint64_t ends;			/* by now_ms() */
static char *known;			/* connections that there were */
static bool allowed;			/* to confirm, by connection or force */

bool trial_runs(void)
{
	return before;
}

static void trial_path(const struct conf *conf, char *path, size_t size)
{
	snprintf(path, size, "%s/trial.conf", conf->state);
}

static int write_all(int fd, const char *text, size_t length)
{
	ssize_t n;

	while (length) {
		n = write(fd, text, length);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		length -= n;
	}
	return fsync(fd) ? -errno : 0;
}

static int sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	if (fsync(fd))
		ret = -errno;
	close(fd);
	return ret;
}

/* It must be known for good before the kernel hears of it */
static int keep(const struct conf *conf, const char *text, size_t length)
{
	char path[PATH_MAX], fresh[PATH_MAX + 4];
	int fd, ret;

	trial_path(conf, path, sizeof(path));
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = write_all(fd, text, length);
	close(fd);
	if (!ret && rename(fresh, path))
		ret = -errno;
	return ret ? ret : sync_dir(conf->state);
}

static void drop(const struct conf *conf)
{
	char path[PATH_MAX];

	trial_path(conf, path, sizeof(path));
	unlink(path);
	sync_dir(conf->state);
}

static void forget(void)
{
	if (timer)
		event_free(timer);
	timer = NULL;
	free(known);
	known = NULL;
	before = NULL;
	allowed = false;
}

static void over(evutil_socket_t fd, short what, void *data)
{
	char error[512];
	struct timeval again = ms_timeval(AGAIN_MS);

	(void)fd, (void)what, (void)data;
	log_warn("nobody confirmed %s: going back", setup_now->conf->name);
	if (!trial_back(error, sizeof(error)))
		return;
	log_error("cannot go back yet: %s", error);
	evtimer_add(timer, &again);
}

int trial_begin(struct setup *setup, const char *text, size_t length,
		uint32_t change, uint32_t seconds, const char *connections,
		char *error, size_t size)
{
	struct timeval delay = { .tv_sec = seconds };
	int ret;

	timer = evtimer_new(loop, over, NULL);
	known = strdup(connections);
	ret = timer && known ? keep(setup_now->conf, text, length) : -ENOMEM;
	if (ret) {
		snprintf(error, size, "the trial cannot be noted in %s: %s",
			 setup_now->conf->state, strerror(-ret));
		forget();
		return ret;
	}
	ret = setup_apply(setup, setup_now->conf, change, error, size);
	if (ret) {
		drop(setup_now->conf);
		forget();
		return ret;
	}
	before = setup_now;
	setup_put_in_force(setup);
	ends = now_ms() + seconds * 1000ULL;
	evtimer_add(timer, &delay);
	log_warn("%s is on trial for %u seconds", setup->conf->name, seconds);
	return 0;
}

int trial_back(char *error, size_t size)
{
	struct setup *trial = setup_now, *old = before;
	int ret;

	if (!kernel_there()) {
		snprintf(error, size, "the module is not there");
		return -ENOENT;
	}
	ret = setup_apply(old, trial->conf, BACK, error, size);
	if (ret)
		return ret;
	forget();
	setup_put_in_force(old);
	drop(old->conf);
	log_warn("%s is in force again", old->conf->name);
	setup_put(trial);
	return 0;
}

unsigned int trial_seconds(void)
{
	uint64_t now = now_ms();

	return before && ends > now ? (ends - now + 999) / 1000 : 0;
}

/* A line of what was known when the trial began? */
static bool line_known(const char *line)
{
	const char *found = known;
	size_t length = strlen(line);

	while ((found = strstr(found, line))) {
		if ((found == known || found[-1] == '\n') &&
		    found[length] == '\n')
			return true;
		found++;
	}
	return false;
}

/* connection: "CLIENT PORT SERVER PORT" as ssh has it, or NULL */
bool trial_allow(const char *connection, bool force, char *why, size_t size)
{
	char line[256];
	const char *port;

	if (force) {
		allowed = true;
		return true;
	}
	if (!connection) {
		snprintf(why, size,
			 "it does not come over ssh, so it does not show that the host can still be reached; --force confirms anyway");
		return false;
	}
	port = strrchr(connection, ' ');
	snprintf(line, sizeof(line), "port%s", port ? port : "");
	if (!port || !line_known(line)) {
		snprintf(why, size,
			 "it comes by a port whose connections were not noted when the trial began; --force confirms anyway");
		return false;
	}
	snprintf(line, sizeof(line), "connection %s", connection);
	if (line_known(line)) {
		snprintf(why, size,
			 "its connection (%s) is older than the trial, so it does not show that a new one can be made; log in anew, or --force",
			 connection);
		return false;
	}
	allowed = true;
	return true;
}

static bool same_file(const char *a, const char *b)
{
	FILE *one = fopen(a, "re"), *other = fopen(b, "re");
	bool same = one && other;
	int c;

	while (same) {
		c = getc(one);
		same = c == getc(other);
		if (c == EOF)
			break;
	}
	if (one)
		fclose(one);
	if (other)
		fclose(other);
	return same;
}

/* The file that a start reads has to say the same by now */
bool trial_confirm(const char *file, char *why, size_t size)
{
	struct setup *old = before;
	char path[PATH_MAX];

	if (!allowed) {
		snprintf(why, size, "nobody asked whether it may be confirmed");
		return false;
	}
	trial_path(setup_now->conf, path, sizeof(path));
	if (!same_file(path, file)) {
		snprintf(why, size, "%s is not what is on trial", file);
		return false;
	}
	forget();
	drop(setup_now->conf);
	log_info("%s is confirmed", setup_now->conf->name);
	setup_put(old);
	return true;
}

void trial_stop(void)
{
	char error[512];

	if (before && trial_back(error, sizeof(error)))
		log_error("cannot go back, the next start will: %s", error);
}

/*
 * At the start: the links of the file into the kernel; and if another daemon died
 * with something on trial, that out of it.
 */
int trial_start(char *error, size_t size)
{
	const struct conf *conf = setup_now->conf;
	struct conf *left = NULL;
	char path[PATH_MAX];
	int ret;

	trial_path(conf, path, sizeof(path));
	if (!access(path, F_OK)) {
		left = conf_read(path, error, size);
		if (!left)
			log_error("what was on trial cannot be read, its links stay: %s",
				  error);
	}
	ret = setup_apply(setup_now, left, left ? BACK : 0, error, size);
	conf_free(left);
	if (ret || !left)
		return ret;
	log_warn("a trial was not over when tcpseald ended: %s is in force again",
		 conf->name);
	drop(conf);
	return 0;
}
