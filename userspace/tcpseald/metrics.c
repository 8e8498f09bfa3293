// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Metrics over HTTP, for Prometheus: a thread of its own with an event loop
 * of its own, so that whoever asks keeps nobody from keys. What the daemon
 * counts are atomic variables here, what the kernel counts is asked for over a
 * netlink handle of that thread (exposition.c).
 *
 * A connection lives in a generation, an evhttp that takes a few connections
 * for a few seconds, and is freed with all that are left of it when the next
 * but one begins: nobody reads or asks slowly for longer than that.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "tcpseald.h"

#define BACKLOG		16
#define GENERATION_MS	5000
#define CONNECTIONS_MAX	16		/* of a generation */
#define HEADERS_MAX	8192
#define STACK_SIZE	(256 * 1024)

struct generation {
	struct evhttp *http;
	struct evhttp_bound_socket *bound;
	unsigned int connections;
};

struct counts metrics_counts;

static pthread_t thread;
static bool running;
static int listener = -1, bell = -1;	/* rings when it is to end */
/* the thread's */
static struct event_base *base;
static struct event *bell_event, *clock_event;
static struct generation now, before;

/* --- what the daemon counts --- */

const uint32_t metrics_bounds_ms[METRICS_BUCKETS] = {
	10, 25, 50, 100, 250, 500, 1000, 2500, 6000,
};

void metrics_begun(bool client)
{
	atomic_fetch_add(&metrics_counts.begun[client], 1);
}

void metrics_ended(const struct session *session)
{
	unsigned int i;

	atomic_fetch_add(&metrics_counts.ended[session->client]
					      [session->result], 1);
	if (session->result != SESSION_SEALED)
		return;
	atomic_fetch_add(&metrics_counts.took_ms, session->took_ms);
	for (i = 0; i < METRICS_BUCKETS; i++)
		if (session->took_ms <= metrics_bounds_ms[i])
			break;
	atomic_fetch_add(&metrics_counts.took[i], 1);
}

void metrics_turned_away(enum alert alert)
{
	atomic_fetch_add(alert == ALERT_ACCESS_DENIED ?
			 &metrics_counts.strangers : &metrics_counts.crowded, 1);
}

void metrics_identity(const struct setup *setup)
{
	/* What a peer with another clock may still accept does not count */
	metrics_counts.cert_end = ident_now() - setup->conf->clock_skew +
				  ident_seconds_left(setup->ident);
	metrics_counts.crl_end = ident_crl_end(setup->ident);
	metrics_counts.key_log = setup->conf->keylog;
}

/* --- the thread --- */

static void answer(struct evhttp_request *req, void *data)
{
	struct evbuffer *out = evbuffer_new();
	struct evkeyvalq *headers = evhttp_request_get_output_headers(req);

	(void)data;
	evhttp_add_header(headers, "Connection", "close");
	if (!out) {
		evhttp_send_error(req, HTTP_INTERNAL, "out of memory");
		return;
	}
	exposition(out);
	evhttp_add_header(headers, "Content-Type",
			  "text/plain; version=0.0.4; charset=utf-8");
	evhttp_send_reply(req, HTTP_OK, "OK", out);
	evbuffer_free(out);
}

/* A connection comes; NULL means the usual kind of buffer */
static struct bufferevent *one_more(struct event_base *its, void *data)
{
	struct generation *g = data;

	(void)its;
	if (++g->connections == CONNECTIONS_MAX)
		evconnlistener_disable(evhttp_bound_socket_get_listener(g->bound));
	return NULL;
}

static int begin_generation(void)
{
	struct timeval limit = ms_timeval(GENERATION_MS);
	struct evconnlistener *accepts;

	now.connections = 0;
	now.http = evhttp_new(base);
	if (!now.http)
		return -ENOMEM;
	evhttp_set_timeout_tv(now.http, &limit);
	evhttp_set_max_headers_size(now.http, HEADERS_MAX);
	evhttp_set_max_body_size(now.http, 0);
	evhttp_set_allowed_methods(now.http, EVHTTP_REQ_GET);
	evhttp_set_bevcb(now.http, one_more, &now);
	evhttp_set_cb(now.http, "/metrics", answer, NULL);
	accepts = evconnlistener_new(base, NULL, NULL, LEV_OPT_CLOSE_ON_EXEC,
				     0, listener);
	now.bound = accepts ? evhttp_bind_listener(now.http, accepts) : NULL;
	if (now.bound)
		return 0;
	if (accepts)
		evconnlistener_free(accepts);
	evhttp_free(now.http);
	now.http = NULL;
	return -ENOMEM;
}

static void end_generation(struct generation *g)
{
	if (g->http)
		evhttp_free(g->http);
	g->http = NULL;
}

/* Without memory for another one the clock comes again */
static void turn(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	end_generation(&before);
	if (now.http && !now.connections)
		return;
	if (now.http)
		evhttp_del_accept_socket(now.http, now.bound);
	before = now;
	now.http = NULL;
	begin_generation();
}

static void over(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what, (void)data;
	event_base_loopbreak(base);
}

static void *serve(void *data)
{
	(void)data;
	event_base_dispatch(base);
	return NULL;
}

/* --- start and stop --- */

/* A socket that another run left behind is in the way */
static void clear_path(const struct sockaddr_un *un)
{
	struct stat st;

	if (!lstat(un->sun_path, &st) && S_ISSOCK(st.st_mode))
		unlink(un->sun_path);
}

static int open_listener(const struct metrics_at *at)
{
	int fd, one = 1, err;

	fd = socket(at->addr.ss_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (at->addr.ss_family == AF_UNIX)
		clear_path((const struct sockaddr_un *)&at->addr);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(fd, (const struct sockaddr *)&at->addr, at->len) &&
	    !listen(fd, BACKLOG))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

static int start_thread(void)
{
	struct timeval every = ms_timeval(GENERATION_MS);
	sigset_t all, old;
	pthread_attr_t attr;
	int ret;

	base = event_base_new();
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!base || bell < 0)
		return -ENOMEM;
	bell_event = event_new(base, bell, EV_READ, over, NULL);
	clock_event = event_new(base, -1, EV_PERSIST, turn, NULL);
	if (!bell_event || event_add(bell_event, NULL) < 0 || !clock_event ||
	    event_add(clock_event, &every) < 0 || begin_generation())
		return -ENOMEM;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = -pthread_create(&thread, &attr, serve, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	running = !ret;
	return ret;
}

void metrics_start(void)
{
	const struct metrics_at *at = &setup_now->conf->metrics;
	int ret;

	if (!at->len)
		return;
	ret = open_listener(at);
	if (ret >= 0) {
		listener = ret;
		ret = start_thread();
	}
	if (!ret)
		return;
	log_error("%s:%u: metrics %s: %s", setup_now->conf->name, at->line,
		  at->text, strerror(-ret));
	metrics_stop();
}

void metrics_stop(void)
{
	uint64_t one = 1;

	if (running && write(bell, &one, sizeof(one)) == sizeof(one))
		pthread_join(thread, NULL);
	running = false;
	end_generation(&before);
	end_generation(&now);
	exposition_stop();
	if (clock_event)
		event_free(clock_event);
	if (bell_event)
		event_free(bell_event);
	if (base)
		event_base_free(base);
	clock_event = bell_event = NULL;
	base = NULL;
	if (bell >= 0)
		close(bell);
	if (listener >= 0)
		close(listener);
	bell = listener = -1;
}
