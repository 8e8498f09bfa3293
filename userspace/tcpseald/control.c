// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the command line asks of the daemon, over a socket in the state directory
 * that is root's alone. A request is its name, lines of words, an empty line,
 * and perhaps the text of a configuration; the caller shuts its end down behind
 * it. The answer is "ok" or "refused", and lines of words again.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "tcpseald.h"

#define BACKLOG		4
#define CALLERS_MAX	8
#define REQUEST_MAX	(32 * 1024 * 1024)
#define PATIENCE_SECS	10
#define CONFIRM_MAX	86400

static struct evconnlistener *listener;
static unsigned int callers;

struct request {
	char *head;			/* its lines, each with its newline */
	const char *text;
	size_t length;
	struct evbuffer *out;
};

/* The rest of the line that begins with this word, or NULL */
static const char *value_of(const struct request *r, const char *word,
			    char *value, size_t size)
{
	size_t n = strlen(word);
	const char *line, *end;

	for (line = r->head; *line; line = end + 1) {
		end = strchr(line, '\n');
		if (!end)
			break;
		if (strncmp(line, word, n) || line[n] != ' ')
			continue;
		if ((size_t)(end - line) - n > size)
			return NULL;
		memcpy(value, line + n + 1, end - line - n - 1);
		value[end - line - n - 1] = '\0';
		return value;
	}
	return NULL;
}

static uint32_t number_of(const struct request *r, const char *word)
{
	char value[16];

	return value_of(r, word, value, sizeof(value)) ?
	       strtoul(value, NULL, 10) : 0;
}

static void refuse(struct request *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void refuse(struct request *r, const char *format, ...)
{
	va_list args;

	evbuffer_add_printf(r->out, "refused ");
	va_start(args, format);
	evbuffer_add_vprintf(r->out, format, args);
	va_end(args);
	evbuffer_add_printf(r->out, "\n");
}

static void say_file(struct request *r)
{
	evbuffer_add_printf(r->out, "ok\nfile %s\n", conf_path());
}

static void apply(struct request *r)
{
	uint32_t seconds = number_of(r, "confirm");
	uint32_t change = number_of(r, "change");
	struct setup *setup, *old = setup_now;
	char name[PATH_MAX], error[512];
	int ret;

	if (trial_runs()) {
		refuse(r, "another one is on trial for %u seconds more: \"tcpseal apply confirm\" or \"tcpseal apply back\" first",
		       trial_seconds());
		return;
	}
	if (seconds > CONFIRM_MAX || !value_of(r, "name", name, sizeof(name))) {
		refuse(r, "the request makes no sense");
		return;
	}
	setup = setup_parse(name, r->text, r->length, error, sizeof(error));
	if (!setup) {
		refuse(r, "%s", error);
		return;
	}
	if (!kernel_there()) {
		snprintf(error, sizeof(error), "the module is not there");
		ret = -ENOENT;
	} else if (seconds) {
		ret = trial_begin(setup, r->text, r->length, change, seconds,
				  r->head, error, sizeof(error));
	} else {
		ret = setup_apply(setup, old->conf, change, error,
				  sizeof(error));
		if (!ret) {
			setup_put_in_force(setup);
			setup_put(old);
			log_info("%s is in force", name);
		}
	}
	if (ret) {
		refuse(r, "%s", error);
		setup_put(setup);
		return;
	}
	say_file(r);
}

static void may_confirm(struct request *r)
{
	char connection[200], why[512];
	const char *from;

	from = value_of(r, "connection", connection, sizeof(connection));
	if (!trial_runs()) {
		refuse(r, "nothing is on trial");
	} else if (!trial_allow(from, number_of(r, "force"), why, sizeof(why))) {
		log_warn("a confirmation is refused: %s", why);
		refuse(r, "%s", why);
	} else {
		say_file(r);
	}
}

static void confirmed(struct request *r)
{
	char why[512];

	if (!trial_runs())
		refuse(r, "nothing is on trial any more");
	else if (!trial_confirm(conf_path(), why, sizeof(why)))
		refuse(r, "%s", why);
	else
		say_file(r);
}

static void back(struct request *r)
{
	char error[512];

	if (!trial_runs())
		refuse(r, "nothing is on trial");
	else if (trial_back(error, sizeof(error)))
		refuse(r, "%s", error);
	else
		say_file(r);
}

static void answer(struct request *r)
{
	static const struct {
		const char *name;
		void (*run)(struct request *r);
	} table[] = {
		{ "apply\n", apply }, { "may-confirm\n", may_confirm },
		{ "confirmed\n", confirmed }, { "back\n", back },
		{ "file\n", say_file },
	};
	size_t i, n;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++) {
		n = strlen(table[i].name);
		if (!strncmp(r->head, table[i].name, n)) {
			table[i].run(r);
			return;
		}
	}
	refuse(r, "the request makes no sense");
}

/* --- the socket --- */

static void hang_up(struct bufferevent *bev)
{
	bufferevent_free(bev);
	callers--;
}

static void written(struct bufferevent *bev, void *data)
{
	(void)data;
	hang_up(bev);
}

static void hear_all(struct bufferevent *bev)
{
	struct evbuffer *in = bufferevent_get_input(bev);
	struct request r = { .out = bufferevent_get_output(bev) };
	size_t length = evbuffer_get_length(in);
	struct evbuffer_ptr end;
	char *all;

	end = evbuffer_search(in, "\n\n", 2, NULL);
	all = end.pos < 0 ? NULL : (char *)evbuffer_pullup(in, -1);
	if (!all) {
		hang_up(bev);
		return;
	}
	r.head = strndup(all, end.pos + 1);
	r.text = all + end.pos + 2;
	r.length = length - end.pos - 2;
	bufferevent_setcb(bev, NULL, written, NULL, NULL);
	if (r.head)
		answer(&r);
	else
		refuse(&r, "out of memory");
	free(r.head);
}

static void heard(struct bufferevent *bev, void *data)
{
	(void)data;
	if (evbuffer_get_length(bufferevent_get_input(bev)) > REQUEST_MAX)
		hang_up(bev);
}

static void happened(struct bufferevent *bev, short what, void *data)
{
	(void)data;
	if (what & BEV_EVENT_EOF)
		hear_all(bev);
	else
		hang_up(bev);
}

static bool may_ask(evutil_socket_t fd)
{
	struct ucred who;
	socklen_t size = sizeof(who);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) &&
	       (!who.uid || who.uid == geteuid());
}

static void accepted(struct evconnlistener *its, evutil_socket_t fd,
		     struct sockaddr *from, int size, void *data)
{
	const struct timeval patience = { .tv_sec = PATIENCE_SECS };
	struct bufferevent *bev = NULL;

	(void)its, (void)from, (void)size, (void)data;
	if (callers < CALLERS_MAX && may_ask(fd))
		bev = bufferevent_socket_new(loop, fd, BEV_OPT_CLOSE_ON_FREE);
	if (!bev) {
		evutil_closesocket(fd);
		return;
	}
	callers++;
	bufferevent_setcb(bev, heard, NULL, happened, NULL);
	bufferevent_set_timeouts(bev, &patience, &patience);
	bufferevent_enable(bev, EV_READ | EV_WRITE);
}

/* Without it keys come and go as ever; only "tcpseal apply" has nobody to ask */
void control_start(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const unsigned int flags = LEV_OPT_CLOSE_ON_FREE |
				   LEV_OPT_CLOSE_ON_EXEC;
	mode_t mask;
	int n;

	n = snprintf(at.sun_path, sizeof(at.sun_path), "%s/control",
		     setup_now->conf->state);
	if (n >= (int)sizeof(at.sun_path)) {
		log_warn("\"state\" is too long a name for the socket of \"tcpseal apply\"");
		return;
	}
	unlink(at.sun_path);
	mask = umask(0177);
	listener = evconnlistener_new_bind(loop, accepted, NULL, flags, BACKLOG,
					   (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (!listener)
		log_warn("%s: %s; \"tcpseal apply\" has nobody to ask",
			 at.sun_path, strerror(errno));
}

void control_stop(void)
{
	if (!listener)
		return;
	evconnlistener_free(listener);
	listener = NULL;
}
