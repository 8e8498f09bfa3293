// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that run sessions; the loop submits, and is told when one is over.
 * Peers that proved who they are before go first, and those that did not never
 * have more than a quarter of the threads: whoever only keeps us waiting cannot
 * keep others from new keys. Clients have no more than half of them: a client
 * waits for a thread of its server, and two hosts that open many handshakes
 * with each other at once must not wait for each other. A server only waits
 * for a client that runs.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tcpseald.h"

#define THREADS_MAX	256
#define STACK_SIZE	(512 * 1024)
#define QUEUE_MAX	4096

struct queue {
	struct session *head, **tail;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
/* under lock */
static struct queue clients, known, strangers, finished;
static unsigned int clients_run, strangers_run;
static struct session *running[THREADS_MAX];
static unsigned int load;
static bool stopping;
static unsigned int threads_n;
/* the loop's */
static pthread_t threads[THREADS_MAX];
static int bell = -1;			/* rings when `finished` has some */
static struct event *bell_event;
static void (*on_done)(struct session *session);

static void put(struct queue *q, struct session *session)
{
	session->next = NULL;
	*q->tail = session;
	q->tail = &session->next;
}

static struct session *take(struct queue *q)
{
	struct session *session = q->head;

	if (!session)
		return NULL;
	q->head = session->next;
	if (!q->head)
		q->tail = &q->head;
	return session;
}

static void ring(void)
{
	uint64_t one = 1;
	ssize_t n = write(bell, &one, sizeof(one));

	(void)n;
}

static struct queue *queue_of(const struct session *session)
{
	if (session->client)
		return &clients;
	return session->known ? &known : &strangers;
}

static unsigned int share(unsigned int divisor)
{
	return threads_n > divisor ? threads_n / divisor : 1;
}

/* The next that may run now */
static struct session *next_session(void)
{
	struct session *session = take(&known);

	if (!session && clients_run < share(2)) {
		session = take(&clients);
		clients_run += !!session;
	}
	if (!session && strangers_run < share(4)) {
		session = take(&strangers);
		strangers_run += !!session;
	}
	return session;
}

static void has_run(const struct session *session)
{
	if (session->client)
		clients_run--;
	else if (!session->known)
		strangers_run--;
	/* Its share may be what another one waits for */
	pthread_cond_signal(&work);
}

static void *worker(void *slot)
{
	struct session *session;

	pthread_mutex_lock(&lock);
	for (;;) {
		session = NULL;
		while (!stopping && !(session = next_session()))
			pthread_cond_wait(&work, &lock);
		if (!session)
			break;
		*(struct session **)slot = session;
		pthread_mutex_unlock(&lock);
		session_run(session);
		pthread_mutex_lock(&lock);
		*(struct session **)slot = NULL;
		/* Out of reach of worker_cancel() */
		close(session->fd);
		session->fd = -1;
		load--;
		has_run(session);
		put(&finished, session);
		ring();
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

static void collect(evutil_socket_t fd, short what, void *data)
{
	struct session *session;
	uint64_t count;
	ssize_t n;

	(void)what, (void)data;
	n = read(fd, &count, sizeof(count));
	(void)n;
	for (;;) {
		pthread_mutex_lock(&lock);
		session = take(&finished);
		pthread_mutex_unlock(&lock);
		if (!session)
			return;
		on_done(session);
	}
}

int worker_start(unsigned int n, void (*done)(struct session *session))
{
	pthread_attr_t attr;
	int ret = 0;

	clients.tail = &clients.head;
	known.tail = &known.head;
	strangers.tail = &strangers.head;
	finished.tail = &finished.head;
	on_done = done;
	bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (bell < 0)
		return -errno;
	bell_event = event_new(loop, bell, EV_READ | EV_PERSIST, collect, NULL);
	if (!bell_event || event_add(bell_event, NULL) < 0)
		return -ENOMEM;
	if (n > THREADS_MAX)
		n = THREADS_MAX;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_mutex_lock(&lock);
	for (threads_n = 0; threads_n < n && !ret; threads_n += !ret)
		ret = pthread_create(&threads[threads_n], &attr, worker,
				     &running[threads_n]);
	pthread_mutex_unlock(&lock);
	pthread_attr_destroy(&attr);
	return threads_n ? 0 : -ret;
}

bool worker_submit(struct session *session)
{
	bool room;

	pthread_mutex_lock(&lock);
	room = load < QUEUE_MAX;
	if (room) {
		put(queue_of(session), session);
		load++;
		pthread_cond_signal(&work);
	}
	pthread_mutex_unlock(&lock);
	return room;
}

unsigned int worker_load(void)
{
	unsigned int n;

	pthread_mutex_lock(&lock);
	n = load;
	pthread_mutex_unlock(&lock);
	return n;
}

unsigned int worker_threads(void)
{
	return threads_n;
}

/* The descriptor is closed under lock, so it is the session's or -1 */
static void hang_up(const struct session *session)
{
	if (session->fd >= 0)
		shutdown(session->fd, SHUT_RDWR);
}

void worker_cancel(const struct session *session)
{
	pthread_mutex_lock(&lock);
	hang_up(session);
	pthread_mutex_unlock(&lock);
}

static void cancel_all(void)
{
	struct session *session;
	unsigned int i;

	for (i = 0; i < threads_n; i++)
		if (running[i])
			hang_up(running[i]);
	while ((session = take(&clients)) || (session = take(&known)) ||
	       (session = take(&strangers)))
		put(&finished, session);
}

/* What ran is finished, what waited is not begun; none is reported */
void worker_stop(void)
{
	struct session *session;
	unsigned int i;

	pthread_mutex_lock(&lock);
	stopping = true;
	cancel_all();
	pthread_cond_broadcast(&work);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < threads_n; i++)
		pthread_join(threads[i], NULL);
	threads_n = 0;
	while (finished.tail && (session = take(&finished)))
		session_free(session);
	if (bell_event)
		event_free(bell_event);
	bell_event = NULL;
	if (bell >= 0)
		close(bell);
	bell = -1;
}
