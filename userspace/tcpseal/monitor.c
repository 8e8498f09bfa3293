// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal monitor: events as they happen, one line each. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal monitor [ EVENT... ]\n"
"\n"
"EVENT := { acquire | expire | tamper | pair | link }, all unless given\n";

static const char *const kinds[] = {
	"acquire", "expire", "tamper", "pair", "link", NULL
};

struct watch {
	unsigned int kinds;	/* bits of kinds[]; 0: all */
};

static void now(char *buf, size_t len)
{
	struct timespec ts;
	char date[32];
	struct tm tm;

	clock_gettime(CLOCK_REALTIME, &ts);
	gmtime_r(&ts.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, len, "%s.%03uZ", date,
		 (unsigned int)(ts.tv_nsec / 1000000) % 1000);
}

static void print_value(const char *key, const json_t *value)
{
	json_t *item;
	size_t i;

	if (json_is_array(value)) {
		if (!json_array_size(value))
			return;
		printf(" %s ", key);
		json_array_foreach(value, i, item)
			printf("%s%s", i ? "," : "", json_string_value(item));
	} else if (!strcmp(key, "spi")) {
		printf(" spi 0x%08" PRIx64,
		       (uint64_t)json_integer_value(value));
	} else if (json_is_integer(value)) {
		printf(" %s %" PRIu64, key,
		       (uint64_t)json_integer_value(value));
	} else if (json_is_boolean(value)) {
		printf(" %s %s", key, json_is_true(value) ? "yes" : "no");
	} else if (json_is_string(value)) {
		printf(" %s %s", key, json_string_value(value));
	}
}

/* takes the reference of @event */
static void print_event(json_t *event)
{
	const char *key;
	json_t *value;
	char when[40];

	now(when, sizeof(when));
	if (opt_json) {
		json_object_set_new(event, "time", json_string(when));
		json_dumpf(event, stdout, JSON_COMPACT);
	} else {
		printf("%s %s", when, str(event, "event"));
		json_object_foreach(event, key, value) {
			if (strcmp(key, "event"))
				print_value(key, value);
		}
	}
	putchar('\n');
	json_decref(event);
}

static void announce(const char *what)
{
	print_event(json_pack("{ss}", "event", what));
}

static int on_event(const struct tcpseal_event *ev, void *data)
{
	const struct watch *watch = data;
	const char *kind = tcpseal_cmd_name(ev->cmd);
	int i;

	for (i = 0; watch->kinds && kinds[i]; i++) {
		if (!strcmp(kind, kinds[i]) && !(watch->kinds & (1U << i)))
			return 0;
	}
	print_event(event_json(ev));
	if (fflush(stdout) || ferror(stdout))
		return -EPIPE;
	return 0;
}

static int watch_events(struct tcpseal *ts, struct watch *watch)
{
	struct pollfd pfd = { .fd = tcpseal_fd(ts), .events = POLLIN };
	int ret;

	announce("listening");
	for (;;) {
		if (fflush(stdout) || ferror(stdout))
			return EXIT_REFUSED;
		if (poll(&pfd, 1, -1) < 0) {
			if (errno == EINTR)
				continue;
			return refuse("poll: %s", strerror(errno));
		}
		ret = tcpseal_event_read(ts, on_event, watch);
		if (ret == -ENOBUFS)
			announce("lost");
		else if (ret == -EPIPE)
			return EXIT_REFUSED;
		else if (ret)
			return kernel_refused(ts);
	}
}

int monitor_main(int argc, char **argv)
{
	struct tcpseal_err err = { };
	struct watch watch = { };
	struct tcpseal *ts;
	int found, ret, i;

	if (wants_help(argc, argv))
		return print_usage(usage);
	for (i = 0; i < argc; i++) {
		found = match_word(argv[i], kinds);
		if (found < 0)
			return EXIT_USAGE;
		watch.kinds |= 1U << found;
	}
	if (tcpseal_open_events(&ts, &err))
		return refuse("%s", err.text);
	ret = watch_events(ts, &watch);
	tcpseal_close(ts);
	return ret;
}
