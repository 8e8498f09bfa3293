// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sticky memory on disk: pairs that once sealed, on which plaintext is
 * refused until they are released. A text file, replaced as a whole:
 *
 *	tcpseal-sticky 1
 *	LOCAL REMOTE FIRST LAST NAME
 *
 * with times in seconds since the Epoch and the certificate's name to the end
 * of the line. Beside it, "clock" has the latest time that was ever seen.
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

#define MAGIC		"tcpseal-sticky 1\n"
#define SAVE_MS		100
#define LINE_LEN	512
#define BUILT		1767225600	/* 2026: no clock is right before */

static struct event *save_event;
static unsigned int sticky_n;
static bool full_said;
static bool loaded;			/* or there was nothing to load */

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", setup_now->conf->state, name);
}

/* --- files --- */

static int sync_directory(void)
{
	int fd, ret;

	fd = open(setup_now->conf->state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

static FILE *begin_file(const char *name, char *temp, size_t size)
{
	FILE *file;
	int fd;

	path_of(name, temp, size - 4);
	strcat(temp, ".new");
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
		  0600);
	if (fd < 0)
		return NULL;
	file = fdopen(fd, "w");
	if (!file)
		close(fd);
	return file;
}

static int end_file(FILE *file, const char *name, const char *temp)
{
	char path[PATH_MAX];
	int ret = 0;

	if (fflush(file) || fsync(fileno(file)))
		ret = -errno;
	if (fclose(file) && !ret)
		ret = -errno;
	path_of(name, path, sizeof(path));
	if (!ret && rename(temp, path))
		ret = -errno;
	return ret ? ret : sync_directory();
}

/* --- the clock --- */

static void load_clock(void)
{
	unsigned long long seen = 0;
	char path[PATH_MAX];
	FILE *file;

	ident_set_clock_floor(BUILT);
	path_of("clock", path, sizeof(path));
	file = fopen(path, "re");
	if (!file)
		return;
	if (fscanf(file, "%llu", &seen) == 1)
		ident_set_clock_floor(seen);
	fclose(file);
	if (time(NULL) + 60 < (time_t)seen)
		log_error("the clock is behind the time of the last run, which %s has; certificates are judged by that",
			  path);
}

/*
 * Not while it is so wrong that we ourselves would be expired; and never an
 * earlier time than before: the clock may just have jumped back.
 */
static void save_clock(void)
{
	time_t now = ident_now();
	char temp[PATH_MAX];
	FILE *file;

	if (ident_seconds_left(setup_now->ident) <= 0)
		return;
	file = begin_file("clock", temp, sizeof(temp));
	if (!file)
		return;
	fprintf(file, "%llu\n", (unsigned long long)now);
	if (!end_file(file, "clock", temp))
		ident_set_clock_floor(now);
}

/* --- saving --- */

static void save_pair(struct pair *pair, void *data)
{
	char local[TCPSEAL_ADDR_STRLEN], remote[TCPSEAL_ADDR_STRLEN];
	FILE *file = data;

	if (!pair->sticky)
		return;
	fprintf(file, "%s %s %llu %llu %s\n",
		tcpseal_addr_format(&pair->local, local, sizeof(local)),
		tcpseal_addr_format(&pair->remote, remote, sizeof(remote)),
		(unsigned long long)pair->sticky_since,
		(unsigned long long)pair->last_sealed, pair->identity);
}

static void sticky_save(void)
{
	char temp[PATH_MAX];
	FILE *file = begin_file("sticky", temp, sizeof(temp));
	int ret = file ? 0 : -errno;

	if (file) {
		fputs(MAGIC, file);
		pairs_each(save_pair, file);
		ret = end_file(file, "sticky", temp);
	}
	if (ret)
		log_error("%s: the sticky memory is not saved: %s", temp,
			  strerror(-ret));
	save_clock();
}

static void save_now(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	sticky_save();
}

static void sticky_save_soon(void)
{
	struct timeval delay = ms_timeval(SAVE_MS);

	if (save_event && !evtimer_pending(save_event, NULL))
		evtimer_add(save_event, &delay);
}

/* --- loading --- */

static int load_line(char *line)
{
	struct tcpseal_addr local, remote;
	char *word[4], *save, *name;
	struct pair *pair;
	int i;

	line[strcspn(line, "\n")] = '\0';
	for (i = 0; i < 4; i++) {
		word[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!word[i])
			return -EINVAL;
	}
	name = save;
	if (tcpseal_addr_parse(word[0], &local) ||
	    tcpseal_addr_parse(word[1], &remote) || local.len != remote.len ||
	    strlen(name) >= sizeof(pair->identity))
		return -EINVAL;
	pair = pairs_find_or_add(&local, &remote);
	if (!pair)
		return -ENOMEM;
	sticky_n += !pair->sticky;
	pair->sticky = true;
	pair->sticky_since = strtoull(word[2], NULL, 10);
	pair->last_sealed = strtoull(word[3], NULL, 10);
	strcpy(pair->identity, name);
	return 0;
}

static int load_file(FILE *file, const char *path)
{
	char line[LINE_LEN];
	unsigned int number = 1;

	if (!fgets(line, sizeof(line), file) || strcmp(line, MAGIC)) {
		log_error("%s: not a sticky memory of this version", path);
		return -EINVAL;
	}
	while (fgets(line, sizeof(line), file)) {
		number++;
		if (!load_line(line))
			continue;
		log_error("%s:%u: not an entry of the sticky memory", path,
			  number);
		return -EINVAL;
	}
	return 0;
}

/*
 * A memory that cannot be read is no reason to forget: the daemon does not
 * start, and plaintext is not accepted in its place.
 */
int sticky_load(void)
{
	char path[PATH_MAX];
	FILE *file;
	int ret;

	if (mkdir(setup_now->conf->state, 0700) && errno != EEXIST) {
		ret = -errno;
		log_error("%s: %s", setup_now->conf->state, strerror(-ret));
		return ret;
	}
	save_event = evtimer_new(loop, save_now, NULL);
	if (!save_event)
		return -ENOMEM;
	load_clock();
	path_of("sticky", path, sizeof(path));
	file = fopen(path, "re");
	if (!file && errno == ENOENT) {
		loaded = true;
		return 0;
	}
	if (!file) {
		ret = -errno;
		log_error("%s: %s", path, strerror(-ret));
		return ret;
	}
	ret = load_file(file, path);
	fclose(file);
	loaded = !ret;
	return ret;
}

static void restore_pair(struct pair *pair, void *data)
{
	struct tcpseal_pair set = {
		.has = TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE) |
		       TCPSEAL_BIT(PAIR_FLAGS) |
		       TCPSEAL_BIT(PAIR_STICKY_SINCE) |
		       TCPSEAL_BIT(PAIR_LAST_SEALED) |
		       TCPSEAL_BIT(PAIR_IDENTITY),
		.local = pair->local,
		.remote = pair->remote,
		.flags = TCPSEAL_PAIR_FLAG_STICKY,
		.sticky_since = pair->sticky_since,
		.last_sealed = pair->last_sealed,
	};
	struct addr_text at;

	(void)data;
	if (!pair->sticky)
		return;
	memcpy(set.identity, pair->identity, sizeof(set.identity));
	pair->restored = !tcpseal_pair_set(kernel, &set);
	if (!pair->restored)
		log_debug("%s: sticky memory waits for a link: %s",
			  text_of(&pair->remote, &at), tcpseal_error(kernel));
}

/* To a kernel that knows nothing yet */
void sticky_restore(void)
{
	pairs_each(restore_pair, NULL);
}

static void restore_again(struct pair *pair, void *data)
{
	if (!pair->restored)
		restore_pair(pair, data);
}

static void restore_missing(struct pair *pair, void *data)
{
	const struct tcpseal_link *link = data;

	if (pair->sticky && !pair->restored &&
	    (TCPSEAL_HAS(link, LINK_VIA) ||
	     tcpseal_prefix_has(&link->remote, &pair->remote)))
		restore_pair(pair, NULL);
}

/* A link is new: what is remembered of its pairs must hold at once */
void sticky_link(const struct tcpseal_link *link)
{
	if (link->mode >= TCPSEAL_MODE_AUDIT)
		pairs_each(restore_missing, (void *)link);
}

static void greet(struct pair *pair, void *data)
{
	unsigned int *n = data;

	if (!pair->sticky || pair->live)
		return;
	attempt_want_in(pair, *n < 16 ? 0 : random_u32() % (*n * 20));
	++*n;
}

/* Peers that sealed with us before we lost our keys wait for us */
void sticky_greet(void)
{
	unsigned int n = 0;

	pairs_each(greet, &n);
	if (n)
		log_info("greeting %u remembered peers", n);
}

/* --- news --- */

static void become_sticky(const struct tcpseal_pair *kp)
{
	struct pair *pair = pairs_find_or_add(&kp->local, &kp->remote);
	struct addr_text at;

	if (!pair || (!pair->sticky &&
		      sticky_n >= setup_now->conf->sticky_max)) {
		log_line(full_said ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR,
			 "%s: the sticky memory is full (%u): this pair will be forgotten by a reboot",
			 text_of(&kp->remote, &at), sticky_n);
		if (!full_said)
			notify("STATUS=the sticky memory is full");
		full_said = true;
		return;
	}
	sticky_n += !pair->sticky;
	pair->sticky = true;
	pair->restored = true;
	pair->sticky_since = TCPSEAL_HAS(kp, PAIR_STICKY_SINCE) ?
			     kp->sticky_since : (uint64_t)time(NULL);
	if (TCPSEAL_HAS(kp, PAIR_LAST_SEALED))
		pair->last_sealed = kp->last_sealed;
	else if (!pair->last_sealed)
		pair->last_sealed = pair->sticky_since;
	if (TCPSEAL_HAS(kp, PAIR_IDENTITY))
		memcpy(pair->identity, kp->identity, sizeof(pair->identity));
}

static void release(struct pair *pair)
{
	pair->sticky = false;
	pair->restored = false;
	sticky_n--;
	full_said = false;
}

void sticky_event(const struct tcpseal_pair *kp)
{
	struct pair *pair = pairs_find(&kp->local, &kp->remote);

	if (!TCPSEAL_HAS(kp, PAIR_FLAGS))
		return;
	if (kp->flags & TCPSEAL_PAIR_FLAG_STICKY)
		become_sticky(kp);
	else if (pair && pair->sticky && pair->restored)
		release(pair);
	else
		return;
	sticky_save_soon();
}

static int refresh_pair(const struct tcpseal_pair *kp, void *data)
{
	bool sticky = kp->flags & TCPSEAL_PAIR_FLAG_STICKY;
	struct pair *pair;

	if (sticky)
		become_sticky(kp);
	pair = pairs_find(&kp->local, &kp->remote);
	if (!pair)
		return 0;
	pair->refreshed = *(uint64_t *)data;
	if (!sticky && pair->sticky && pair->restored)
		release(pair);
	return 0;
}

/* The kernel had it, and has no such pair any more: it was released, and idle */
static void release_gone(struct pair *pair, void *data)
{
	if (pair->sticky && pair->restored &&
	    pair->refreshed != *(uint64_t *)data)
		release(pair);
}

/*
 * Brings the times up to date, and what an event lost: a link whose pairs we
 * remember, a pair that sealed, a pair that was released. A daemon that ends
 * before it has read the memory, or because it could not, has nothing to write
 * in its place.
 */
void sticky_refresh(void)
{
	static uint64_t round;

	if (!loaded || !kernel_there())
		return;
	round++;
	pairs_each(restore_again, NULL);
	if (!tcpseal_pair_dump(kernel, NULL, refresh_pair, &round))
		pairs_each(release_gone, &round);
	sticky_save();
}

void sticky_stop(void)
{
	sticky_refresh();
	if (save_event)
		event_free(save_event);
	save_event = NULL;
}
