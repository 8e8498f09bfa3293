// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The control port. A connection is admitted only where a link lets its
 * address speak to us, waits for its first byte here and not in a worker, and
 * is turned away before any TLS work when there is too much to do. Being
 * turned away is said with a TLS alert in plain: access_denied where there is
 * no link, internal_error where we are busy. Both are hints that nothing but
 * the time of the next attempt depends on.
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

#define BACKLOG		1024
#define FIRST_BYTE_MS	3000
#define WAIT_MS		2000		/* for its turn; the peer gives up at 6000 */
#define PER_SOURCE_MAX	8		/* of one address */
#define PATIENCE_MS	1000		/* with what the peer gave up */
#define EVICT_MS	500		/* without a word, when there is no room */
#define LOAD_KNOWN	512		/* sessions in workers, a thread */
#define LOAD_NEW	64
#define TURNED_MAX	256		/* remembered, see listen_retry() */
#define REFRESH_MS	100

struct guest {
	struct guest *next;
	struct tcpseal_addr here, there;
	struct event *event;
	struct session *session;	/* once it is in a worker */
	uint64_t since;			/* of the state it is in */
	bool spoke;			/* waits for its turn */
	bool known;			/* its peer proved itself before */
	bool evicted;			/* makes room, is as good as gone */
	int fd;
};

/* One for both families: the kernel knows one listener a namespace */
static int listener = -1;
static struct event *listener_event;
static struct guest *guests;
static atomic_uint guests_n;
static uint64_t refreshed;		/* when a stranger made us look */

struct turned {
	struct tcpseal_addr here, there;
};

static struct turned turned[TURNED_MAX];
static unsigned int turned_n;

static int addr_of(const struct sockaddr_storage *ss, struct tcpseal_addr *addr)
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;

	memset(addr, 0, sizeof(*addr));
	switch (ss->ss_family) {
	case AF_INET:
		addr->len = 4;
		memcpy(addr->b, &in->sin_addr, 4);
		return 0;
	case AF_INET6:
		addr->len = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) ? 4 : 16;
		memcpy(addr->b, &in6->sin6_addr.s6_addr[16 - addr->len],
		       addr->len);
		return 0;
	}
	return -EAFNOSUPPORT;
}

static void turn_away(int fd, enum alert alert)
{
	metrics_turned_away(alert);
	talk_turn_away(fd, alert);
	close(fd);
}

static void guest_free(struct guest *guest)
{
	struct guest **at;

	for (at = &guests; *at != guest; at = &(*at)->next)
		;
	*at = guest->next;
	guests_n--;
	if (guest->event)
		event_free(guest->event);
	if (guest->fd >= 0)
		close(guest->fd);
	free(guest);
}

/* Who was turned away for want of a link is called when there is one */
static void remember_turned(const struct tcpseal_addr *here,
			    const struct tcpseal_addr *there)
{
	struct turned *t = &turned[turned_n % TURNED_MAX];
	unsigned int i;

	for (i = 0; i < turned_n && i < TURNED_MAX; i++)
		if (!tcpseal_addr_cmp(&turned[i].here, here) &&
		    !tcpseal_addr_cmp(&turned[i].there, there))
			return;
	t->here = *here;
	t->there = *there;
	turned_n++;
}

void listen_retry(void)
{
	unsigned int i, n = turned_n < TURNED_MAX ? turned_n : TURNED_MAX;
	const struct tcpseal_link *link;
	struct tcpseal_addr local;
	struct pair *pair;

	for (i = 0; i < n; i++) {
		link = links_admit(links_now, &turned[i].here,
				   &turned[i].there);
		if (!link)
			continue;
		local = links_pair_local(link, &turned[i].here);
		pair = pairs_find_or_add(&local, &turned[i].there);
		if (pair)
			attempt_want_in(pair, random_u32() % 50);
		turned[i] = turned[--n];
		turned_n = n;
		i--;
	}
}

/* A link may be younger than our list; strangers cannot make us look often */
static bool admitted(const struct tcpseal_addr *here,
		     const struct tcpseal_addr *there)
{
	uint64_t now = now_ms();

	if (links_admit(links_now, here, there))
		return true;
	if (now - refreshed < REFRESH_MS || !kernel_there())
		return false;
	refreshed = now;
	return !links_refresh() && links_admit(links_now, here, there);
}

/* How long has it kept us waiting? */
static uint64_t silence(const struct guest *guest, uint64_t now)
{
	uint64_t since = guest->since;

	if (guest->evicted)
		return 0;
	if (guest->session)
		since = guest->session->waits_since;
	return since ? now - since : 0;
}

static bool goes_before(const struct guest *a, const struct guest *b,
			uint64_t now)
{
	if (a->known != b->known)
		return b->known;
	return silence(a, now) > silence(b, now);
}

/*
 * All places are taken. Whoever means well answers within a round trip, so
 * those who have been silent for longest make room: peers that did not prove
 * themselves before all others, and those only for their like.
 */
static bool make_room(bool for_known)
{
	struct guest *guest, *victim = NULL;
	uint64_t now = now_ms();

	for (guest = guests; guest; guest = guest->next)
		if (silence(guest, now) > EVICT_MS &&
		    (for_known || !guest->known) &&
		    (!victim || goes_before(guest, victim, now)))
			victim = guest;
	if (!victim)
		return false;
	if (victim->session) {
		victim->evicted = true;
		worker_cancel(victim->session);
		return true;
	}
	turn_away(victim->fd, ALERT_INTERNAL_ERROR);
	victim->fd = -1;
	guest_free(victim);
	return true;
}

/* 0, or the alert to turn it away with */
static int room_for(const struct tcpseal_addr *there, bool known)
{
	const struct guest *guest;
	unsigned int same = 0;

	for (guest = guests; guest; guest = guest->next)
		same += !tcpseal_addr_cmp(&guest->there, there);
	if (same >= PER_SOURCE_MAX ||
	    worker_load() > (known ? LOAD_KNOWN : LOAD_NEW) * worker_threads() ||
	    (guests_n >= setup_now->conf->connections && !make_room(known)))
		return ALERT_INTERNAL_ERROR;
	return 0;
}

/* The session of this address that is in a worker */
static struct guest *served_now(const struct tcpseal_addr *there)
{
	struct guest *guest;

	for (guest = guests; guest; guest = guest->next)
		if (guest->session &&
		    !tcpseal_addr_cmp(&guest->there, there))
			return guest;
	return NULL;
}

static void serve(struct guest *guest)
{
	struct session *session = session_new(guest->fd, false);

	event_del(guest->event);
	if (!session) {
		guest_free(guest);
		return;
	}
	guest->fd = -1;			/* the session's now */
	session->here = guest->here;
	session->there = guest->there;
	session->known = guest->known;
	session->owner = guest;
	guest->session = session;
	guest->since = now_ms();
	metrics_begun(false);
	if (worker_submit(session))
		return;
	session_free(session);
	guest_free(guest);
}

/* One at a time of each address; a peer that begins anew gave the old one up */
static void take_turn(struct guest *guest)
{
	struct guest *other = served_now(&guest->there);

	if (!other) {
		serve(guest);
		return;
	}
	if (!tcpseal_addr_cmp(&other->here, &guest->here) &&
	    now_ms() - other->since > PATIENCE_MS)
		worker_cancel(other->session);
}

/* The oldest of this address that waits; the list is newest first */
static void next_turn(const struct tcpseal_addr *there)
{
	struct guest *guest, *oldest = NULL;

	for (guest = guests; guest; guest = guest->next)
		if (guest->spoke && !guest->session &&
		    !tcpseal_addr_cmp(&guest->there, there))
			oldest = guest;
	if (oldest)
		serve(oldest);
}

/* It said something, hung up, said nothing for too long, or waits again */
static void guest_stirs(evutil_socket_t fd, short what, void *data)
{
	struct timeval again = ms_timeval(PATIENCE_MS / 4);
	struct guest *guest = data;
	uint8_t byte;

	if (!guest->spoke) {
		if (!(what & EV_READ) ||
		    recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
			guest_free(guest);
			return;
		}
		guest->spoke = true;
		guest->since = now_ms();
	}
	if (now_ms() - guest->since > WAIT_MS) {
		turn_away(guest->fd, ALERT_INTERNAL_ERROR);
		guest->fd = -1;
		guest_free(guest);
		return;
	}
	if (served_now(&guest->there)) {
		event_free(guest->event);
		guest->event = evtimer_new(loop, guest_stirs, guest);
		if (!guest->event || event_add(guest->event, &again) < 0) {
			guest_free(guest);
			return;
		}
	}
	take_turn(guest);
}

static void guest_new(int fd, const struct tcpseal_addr *here,
		      const struct tcpseal_addr *there, bool known)
{
	struct timeval patience = ms_timeval(FIRST_BYTE_MS);
	struct guest *guest = calloc(1, sizeof(*guest));
	int one = 1;

	if (!guest) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	guest->fd = fd;
	guest->here = *here;
	guest->there = *there;
	guest->known = known;
	guest->since = now_ms();
	guest->next = guests;
	guests = guest;
	guests_n++;
	guest->event = event_new(loop, fd, EV_READ, guest_stirs, guest);
	if (!guest->event || event_add(guest->event, &patience) < 0)
		guest_free(guest);
}

static void admit(int fd, const struct sockaddr_storage *from)
{
	struct tcpseal_addr here, there;
	struct sockaddr_storage to;
	socklen_t size = sizeof(to);
	struct addr_text a, b;
	bool known;
	int alert;

	if (getsockname(fd, (struct sockaddr *)&to, &size) < 0 ||
	    addr_of(&to, &here) || addr_of(from, &there)) {
		close(fd);
		return;
	}
	if (!admitted(&here, &there)) {
		log_debug("%s knocks at %s: no link", text_of(&there, &a),
			  text_of(&here, &b));
		remember_turned(&here, &there);
		turn_away(fd, ALERT_ACCESS_DENIED);
		return;
	}
	known = pairs_know(&there);
	alert = room_for(&there, known);
	if (alert) {
		log_debug("%s knocks: busy", text_of(&there, &a));
		turn_away(fd, alert);
		return;
	}
	guest_new(fd, &here, &there, known);
}

static void knock(evutil_socket_t from_fd, short what, void *data)
{
	struct sockaddr_storage from;
	socklen_t size;
	int fd, n;

	(void)what, (void)data;
	/* A flood of knocks must not keep the loop from all else */
	for (n = 0; n < 64; n++) {
		size = sizeof(from);
		fd = accept4(from_fd, (struct sockaddr *)&from, &size,
			     SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd < 0)
			return;
		admit(fd, &from);
	}
}

void listen_done(struct session *session)
{
	guest_free(session->owner);
	outcome_served(session);
	next_turn(&session->there);
	session_free(session);
}

static int bind_port(int family, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port) };
	int fd, err, on = 1, off = 0;

	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if ((family == AF_INET6 ?
	     bind(fd, (struct sockaddr *)&in6, sizeof(in6)) :
	     bind(fd, (struct sockaddr *)&in, sizeof(in))) < 0 ||
	    listen(fd, BACKLOG) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* The kernel exempts the listener, and what it accepts, from sealing */
void listen_register(void)
{
	if (tcpseal_ctrl_new(kernel, listener, setup_now->conf->port))
		log_error("the control port is not exempt from sealing: %s",
			  tcpseal_error(kernel));
}

int listen_start(char *error, size_t size)
{
	uint16_t port = setup_now->conf->port;
	int fd;

	fd = bind_port(AF_INET6, port);
	if (fd == -EAFNOSUPPORT || fd == -EADDRNOTAVAIL)
		fd = bind_port(AF_INET, port);	/* a host without IPv6 */
	if (fd < 0) {
		snprintf(error, size, "port %u: %s", port, strerror(-fd));
		return fd;
	}
	listener = fd;
	listener_event = event_new(loop, fd, EV_READ | EV_PERSIST, knock, NULL);
	if (!listener_event || event_add(listener_event, NULL) < 0) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	listen_register();
	return 0;
}

unsigned int listen_guests(void)
{
	return guests_n;
}

/* After worker_stop(): guests belong to sessions */
void listen_stop(void)
{
	while (guests)
		guest_free(guests);
	if (listener_event)
		event_free(listener_event);
	listener_event = NULL;
	if (listener >= 0)
		close(listener);
	listener = -1;
}
