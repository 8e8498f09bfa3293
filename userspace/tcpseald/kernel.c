// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel announces. Events are hints: after one was lost, and every
 * few seconds, the list of pairs that want a key is read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tcpseald.h"

#define POLL_MS		2000
#define SWEEP_POLLS	30		/* every minute */
#define REFRESH_POLLS	150		/* every five */
#define SETTLE_MS	50		/* links change in bunches */
#define TAMPER_LINES	10		/* a poll */
#define LOSSES_MAX	16		/* in a row */
#define RESYNC_MS	1000		/* not more often */

struct tcpseal *kernel;

static struct tcpseal *events;
static struct event *event_events, *event_poll, *event_settle, *event_resync;
static uint64_t resynced;
static unsigned int polls, tamper_lines;

/* --- events --- */

static void log_tamper(const struct tcpseal_event *ev)
{
	struct addr_text a, b, c;

	if (tamper_lines++ >= TAMPER_LINES)
		return;
	log_warn("tampering: %s (%s), %llu times, pair %s %s, seen from %s%s%s",
		 tcpseal_drop_name(ev->reason), tcpseal_drop_text(ev->reason),
		 (unsigned long long)(TCPSEAL_HAS(ev, EVENT_COUNT) ?
				      ev->count : 1),
		 text_of(&ev->local, &a), text_of(&ev->remote, &b),
		 text_of(&ev->src, &c), *ev->cert_name ? ", key of " : "",
		 ev->cert_name);
}

static void links_soon(void)
{
	struct timeval delay = ms_timeval(SETTLE_MS);

	if (!evtimer_pending(event_settle, NULL))
		evtimer_add(event_settle, &delay);
}

static void links_settled(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	if (kernel && !links_refresh())
		attempt_links_changed();
}

static int handle(const struct tcpseal_event *ev, void *data)
{
	(void)data;
	switch (ev->cmd) {
	case TCPSEAL_CMD_ACQUIRE_NTF:
		attempt_want(&ev->local, &ev->remote, ev->why);
		break;
	case TCPSEAL_CMD_EXPIRE_NTF:
		attempt_expired(ev);
		break;
	case TCPSEAL_CMD_TAMPER_NTF:
		log_tamper(ev);
		break;
	case TCPSEAL_CMD_PAIR_NTF:
		sticky_event(&ev->pair);
		break;
	case TCPSEAL_CMD_LINK_NTF:
		sticky_link(&ev->link);
		links_soon();
		break;
	}
	return 0;
}

/* Return: were some lost? */
static bool read_events(void)
{
	unsigned int losses = 0;

	while (tcpseal_event_read(events, handle, NULL) == -ENOBUFS &&
	       ++losses < LOSSES_MAX)
		;
	return losses;
}

/* What waits in the socket is older than what the lists say: it goes first */
static void resync(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	if (!kernel)
		return;
	resynced = now_ms();
	read_events();
	kernel_poll_wants();
	sticky_refresh();
}

/* A flood of events is no reason to do nothing else */
static void events_come(evutil_socket_t fd, short what, void *data)
{
	uint64_t now = now_ms(), next = resynced + RESYNC_MS;
	struct timeval delay = ms_timeval(next > now ? next - now : 0);

	(void)fd, (void)what, (void)data;
	if (!read_events() || evtimer_pending(event_resync, NULL))
		return;
	log_warn("events of the kernel were lost; looking at its lists");
	links_soon();
	evtimer_add(event_resync, &delay);
}

/* --- lists --- */

struct wants {
	struct tcpseal_pair pair[256];
	unsigned int n;
};

static bool after_loss(const struct tcpseal_pair *pair)
{
	return TCPSEAL_HAS(pair, PAIR_WHY) &&
	       pair->why == TCPSEAL_ACQUIRE_WHY_STATE_LOSS;
}

/* Those that somebody here waits for go before what may be forged */
static int gather_want(const struct tcpseal_pair *pair, void *data)
{
	struct wants *wants = data;
	unsigned int i;

	if (wants->n < sizeof(wants->pair) / sizeof(*wants->pair)) {
		wants->pair[wants->n++] = *pair;
		return 0;
	}
	if (after_loss(pair))
		return 0;
	for (i = 0; i < wants->n; i++) {
		if (!after_loss(&wants->pair[i]))
			continue;
		wants->pair[i] = *pair;
		break;
	}
	return 0;
}

void kernel_poll_wants(void)
{
	struct tcpseal_pair filter = {
		.has = TCPSEAL_BIT(PAIR_WANT_ONLY),
		.want_only = true,
	};
	static struct wants wants;
	const struct tcpseal_pair *pair;
	unsigned int i;
	int ret;

	if (!kernel)
		return;
	wants.n = 0;
	ret = tcpseal_pair_dump(kernel, &filter, gather_want, &wants);
	if (ret && kernel_lost(ret))
		return;
	for (i = 0; i < wants.n; i++) {
		pair = &wants.pair[i];
		attempt_want(&pair->local, &pair->remote,
			     TCPSEAL_HAS(pair, PAIR_WHY) ? pair->why :
			     TCPSEAL_ACQUIRE_WHY_TRAFFIC);
	}
}

/* --- the module comes and goes --- */

bool kernel_there(void)
{
	return kernel;
}

void kernel_close(void)
{
	if (event_events)
		event_free(event_events);
	event_events = NULL;
	tcpseal_close(events);
	tcpseal_close(kernel);
	events = kernel = NULL;
}

bool kernel_lost(int err)
{
	if (err != -ENOENT && err != -EOPNOTSUPP)
		return false;
	log_error("the module is gone; waiting for it");
	kernel_close();
	return true;
}

int kernel_open(char *error, size_t size)
{
	struct tcpseal_err err;
	int ret;

	ret = tcpseal_open(&kernel, &err);
	if (!ret)
		ret = tcpseal_open_events(&events, &err);
	if (!ret)
		return 0;
	snprintf(error, size, "%s", err.text);
	kernel_close();
	return ret;
}

static int watch_events(void)
{
	event_events = event_new(loop, tcpseal_fd(events),
				 EV_READ | EV_PERSIST, events_come, NULL);
	if (!event_events || event_add(event_events, NULL) < 0)
		return -ENOMEM;
	return 0;
}

/* Everything that the kernel must be told, and what it holds already */
static int begin_again(void)
{
	char error[512];

	if (kernel_open(error, sizeof(error)))
		return -ENOENT;
	if (setup_apply(setup_now, NULL, 0, error, sizeof(error))) {
		log_error("%s", error);
		kernel_close();
		return -EINVAL;
	}
	log_info("the module is here again");
	sticky_restore();
	listen_register();
	if (watch_events()) {
		kernel_close();
		return -ENOMEM;
	}
	attempt_links_changed();
	sticky_greet();
	return 0;
}

static void poll_kernel(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	if (tamper_lines > TAMPER_LINES)
		log_warn("tampering: %u lines more were not written",
			 tamper_lines - TAMPER_LINES);
	tamper_lines = 0;
	if (!kernel && begin_again())
		return;
	kernel_poll_wants();
	polls++;
	if (!(polls % SWEEP_POLLS))
		pairs_tick();
	if (!(polls % REFRESH_POLLS))
		sticky_refresh();
}

int kernel_start(void)
{
	struct timeval every = ms_timeval(POLL_MS);

	event_poll = event_new(loop, -1, EV_PERSIST, poll_kernel, NULL);
	event_settle = evtimer_new(loop, links_settled, NULL);
	event_resync = evtimer_new(loop, resync, NULL);
	if (!event_poll || !event_settle || !event_resync ||
	    event_add(event_poll, &every) < 0)
		return -ENOMEM;
	return watch_events();
}
