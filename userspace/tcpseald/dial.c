// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Connections to peers: the loop waits for TCP, a worker does the rest. With
 * a pair that has keys the connection is sealed like any other, so that
 * nobody can reset a rotation; only when that leads nowhere, the next try
 * uses a socket that the kernel exempts.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpseald.h"

#define SEALED_MS	1000		/* for a connection through the keys */
#define TOTAL_MS	2500		/* held segments wait for 3 s */

struct dial {
	struct pair *pair;
	struct tcpseal_link link;
	struct event *event;
	uint64_t since;
	bool exempt;
	int fd;
};

static atomic_uint dials_n;

static socklen_t make_sockaddr(const struct tcpseal_addr *addr, uint16_t port,
			       struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *in6 = (void *)ss;
	struct sockaddr_in *in = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (addr->len == 4) {
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr->b, 4);
		return sizeof(*in);
	}
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->b, 16);
	return sizeof(*in6);
}

static int local_of(int fd, struct tcpseal_addr *addr)
{
	struct sockaddr_storage ss = { };
	socklen_t size = sizeof(ss);
	const struct sockaddr_in6 *in6 = (void *)&ss;
	const struct sockaddr_in *in = (void *)&ss;

	memset(addr, 0, sizeof(*addr));
	if (getsockname(fd, (struct sockaddr *)&ss, &size) < 0)
		return -errno;
	addr->len = ss.ss_family == AF_INET ? 4 : 16;
	if (addr->len == 4)
		memcpy(addr->b, &in->sin_addr, 4);
	else
		memcpy(addr->b, &in6->sin6_addr, 16);
	return 0;
}

static void hang_up(struct dial *dial)
{
	if (dial->event)
		event_free(dial->event);
	dial->event = NULL;
	if (dial->fd >= 0)
		close(dial->fd);
	dial->fd = -1;
}

static void finish(struct dial *dial, const struct session *session)
{
	struct pair *pair = dial->pair;

	hang_up(dial);
	free(dial);
	dials_n--;
	outcome_dialled(pair, session);
}

/* Ends without having got as far as a session */
static void give_up(struct dial *dial, const char *doing, int err)
{
	struct session session = {
		.client = true,
		.result = SESSION_FAILED,
		.mode_peer = -1,
		.mode_local = dial->link.mode,
		.there = dial->pair->remote,
		.local = dial->pair->local,
		.paired = true,
		.fd = -1,
	};

	if (err == -ECONNREFUSED)
		snprintf(session.reason, sizeof(session.reason),
			 "%s: connection refused; no tcpseald there?", doing);
	else
		snprintf(session.reason, sizeof(session.reason), "%s: %s",
			 doing, err == -ETIMEDOUT ? "no answer in time" :
						    strerror(-err));
	finish(dial, &session);
}

static void connected(evutil_socket_t fd, short what, void *data);

static int begin(struct dial *dial)
{
	const struct tcpseal_addr *remote = &dial->pair->remote;
	const struct tcpseal_addr *local = &dial->pair->local;
	uint16_t port = setup_now->conf->port;
	uint64_t spent = now_ms() - dial->since;
	struct sockaddr_storage ss;
	struct timeval patience;
	socklen_t size;
	int one = 1;

	dial->fd = socket(remote->len == 4 ? AF_INET : AF_INET6,
			  SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (dial->fd < 0)
		return -errno;
	setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (!tcpseal_addr_is_zero(local)) {
		size = make_sockaddr(local, 0, &ss);
		if (bind(dial->fd, (struct sockaddr *)&ss, size) < 0)
			return -errno;
	}
	if (dial->exempt && kernel_there() &&
	    tcpseal_ctrl_new(kernel, dial->fd, port))
		log_warn("a control connection is not exempt: %s",
			 tcpseal_error(kernel));
	size = make_sockaddr(remote, port, &ss);
	if (connect(dial->fd, (struct sockaddr *)&ss, size) < 0 &&
	    errno != EINPROGRESS)
		return -errno;
	patience = ms_timeval(!dial->exempt ? SEALED_MS :
			      spent < TOTAL_MS / 2 ? TOTAL_MS - spent :
						     TOTAL_MS / 2);
	dial->event = event_new(loop, dial->fd, EV_WRITE, connected, dial);
	if (!dial->event || event_add(dial->event, &patience) < 0)
		return -ENOMEM;
	return 0;
}

/* false: there is no other way left */
static bool try_exempt(struct dial *dial)
{
	if (dial->exempt)
		return false;
	hang_up(dial);
	dial->exempt = true;
	return !begin(dial);
}

static void hand_over(struct dial *dial)
{
	struct session *session = session_new(dial->fd, true);
	int fd = dial->fd;

	if (!session) {
		give_up(dial, "connecting", -ENOMEM);
		return;
	}
	event_free(dial->event);
	dial->event = NULL;
	dial->fd = -1;
	session->exempt = dial->exempt;
	session->known = pairs_know(&dial->pair->remote);
	session->link = dial->link;
	session->mode_local = dial->link.mode;
	session->local = dial->pair->local;
	session->there = dial->pair->remote;
	session->paired = true;
	session->owner = dial;
	if (!local_of(fd, &session->here) && worker_submit(session))
		return;
	session_free(session);
	give_up(dial, "connecting", -EAGAIN);
}

static void connected(evutil_socket_t fd, short what, void *data)
{
	struct dial *dial = data;
	socklen_t size = sizeof(int);
	int err = ETIMEDOUT;

	if (what & EV_WRITE)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size);
	if (!err)
		hand_over(dial);
	else if (!try_exempt(dial))
		give_up(dial, "connecting", -err);
}

int dial_start(struct pair *pair, const struct tcpseal_link *link,
	       uint32_t mode, bool sealed)
{
	struct dial *dial = calloc(1, sizeof(*dial));
	int ret;

	if (!dial)
		return -ENOMEM;
	dials_n++;
	metrics_begun(true);
	dial->pair = pair;
	if (link)
		dial->link = *link;
	dial->link.mode = mode;
	dial->exempt = !sealed;
	dial->fd = -1;
	dial->since = now_ms();
	ret = begin(dial);
	if (ret && !try_exempt(dial))
		give_up(dial, "connecting", ret);
	return 0;
}

void dial_done(struct session *session)
{
	struct dial *dial = session->owner;

	/* The keys that carried it may be the trouble */
	if (session->result == SESSION_FAILED && !session->exempt &&
	    session->mode_peer < 0 && try_exempt(dial)) {
		session_free(session);
		return;
	}
	finish(dial, session);
	session_free(session);
}

unsigned int dial_running(void)
{
	return dials_n;
}
