// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Threads that run sessions; the loop submits, and is told when one is over.
 * No thread waits for a peer: a session that has to goes back to the loop, and
 * comes again when the peer has said something or time is up. So whoever keeps
 * us waiting costs memory, and listen.c says how much.
 *
 * Peers that proved who they are before go first, and those that did not never
 * have more than a quarter of the threads, clients never more than half.
 * Within each, what has begun is brought to its end before something new is.
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

STAILQ_HEAD(queue, session);

/* Of one class; what has begun comes first */
struct class {
	struct queue begun, fresh;
	unsigned int running;
};

#define CLASS(name)	{ .begun = STAILQ_HEAD_INITIALIZER((name).begun), \
			  .fresh = STAILQ_HEAD_INITIALIZER((name).fresh) }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
/* under lock */
static struct class clients = CLASS(clients);
static struct class known = CLASS(known);
static struct class strangers = CLASS(strangers);
/* to the loop: over, or waiting */
static struct queue returned = STAILQ_HEAD_INITIALIZER(returned);
static struct session *running[THREADS_MAX];
static unsigned int load;
static bool stopping;
static unsigned int threads_n;
/* the loop's */
static pthread_t threads[THREADS_MAX];
static int bell = -1;			/* rings when `returned` has some */
static struct event *bell_event;
static void (*on_done)(struct session *session);
static struct queue waiting = STAILQ_HEAD_INITIALIZER(waiting);

static struct session *take(struct queue *q)
{
	struct session *session = STAILQ_FIRST(q);

	if (session)
		STAILQ_REMOVE_HEAD(q, next);
	return session;
}

static void ring(void)
{
	uint64_t one = 1;
	ssize_t n = write(bell, &one, sizeof(one));

	(void)n;
}

static struct class *class_of(const struct session *session)
{
	if (session->client)
		return &clients;
	return session->known ? &known : &strangers;
}

static unsigned int share(unsigned int divisor)
{
	return threads_n > divisor ? threads_n / divisor : 1;
}

static struct session *take_of(struct class *class, unsigned int most)
{
	struct session *session;

	if (class->running >= most)
		return NULL;
	session = take(&class->begun);
	if (!session)
		session = take(&class->fresh);
	class->running += !!session;
	return session;
}

/* The next that may run now */
static struct session *next_session(void)
{
	struct session *session = take_of(&known, threads_n);

	if (!session)
		session = take_of(&clients, share(2));
	if (!session)
		session = take_of(&strangers, share(4));
	return session;
}

/* Out of reach of worker_cancel() from now on */
static void hang_up(struct session *session)
{
	close(session->fd);
	session->fd = -1;
}

static void *worker(void *slot)
{
	struct session *session;
	bool over;

	pthread_mutex_lock(&lock);
	for (;;) {
		session = NULL;
		while (!stopping && !(session = next_session()))
			pthread_cond_wait(&work, &lock);
		if (!session)
			break;
		*(struct session **)slot = session;
		pthread_mutex_unlock(&lock);
		over = session_run(session);
		pthread_mutex_lock(&lock);
		*(struct session **)slot = NULL;
		if (over)
			hang_up(session);
		load--;
		class_of(session)->running--;
		/* Its share may be what another one waits for */
		pthread_cond_signal(&work);
		STAILQ_INSERT_TAIL(&returned, session, next);
		ring();
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

/* Those that have begun are never turned away */
static void submit_again(struct session *session)
{
	pthread_mutex_lock(&lock);
	STAILQ_INSERT_TAIL(&class_of(session)->begun, session, next);
	load++;
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&lock);
}

static void waits_no_more(struct session *session)
{
	STAILQ_REMOVE(&waiting, session, session, next);
	if (session->event)
		event_free(session->event);
	session->event = NULL;
	session->waits_since = 0;
}

static void peer_stirs(evutil_socket_t fd, short what, void *data)
{
	(void)fd, (void)what;
	waits_no_more(data);
	submit_again(data);
}

static void wait_for_peer(struct session *session)
{
	uint64_t now = now_ms();
	struct timeval patience;

	patience = ms_timeval(session->deadline > now ?
			      session->deadline - now : 0);
	session->event = event_new(loop, session->fd, session->wants,
				   peer_stirs, session);
	session->waits_since = now;
	STAILQ_INSERT_TAIL(&waiting, session, next);
	/* Without memory it finds out that nothing came, and waits again */
	if (!session->event || event_add(session->event, &patience) < 0)
		peer_stirs(session->fd, EV_TIMEOUT, session);
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
		session = take(&returned);
		pthread_mutex_unlock(&lock);
		if (!session)
			return;
		if (session->fd >= 0)
			wait_for_peer(session);
		else
			on_done(session);
	}
}

int worker_start(unsigned int n, void (*done)(struct session *session))
{
	pthread_attr_t attr;
	int ret = 0;

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

	session->submitted = now_ms();
	pthread_mutex_lock(&lock);
	room = load < QUEUE_MAX;
	if (room) {
		STAILQ_INSERT_TAIL(&class_of(session)->fresh, session, next);
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
static void cut(const struct session *session)
{
	if (session->fd >= 0)
		shutdown(session->fd, SHUT_RDWR);
}

void worker_cancel(const struct session *session)
{
	pthread_mutex_lock(&lock);
	cut(session);
	pthread_mutex_unlock(&lock);
}

/* To its end, which is near: nothing comes from its peer any more */
static void finish(struct session *session)
{
	cut(session);
	if (session->run)
		while (!session_run(session))
			;
	session_free(session);
}

static void finish_all(struct queue *queue)
{
	struct session *session;

	while ((session = take(queue)))
		finish(session);
}

static void finish_class(struct class *class)
{
	finish_all(&class->begun);
	finish_all(&class->fresh);
}

/* What has begun is finished, what waited is not begun; none is reported */
void worker_stop(void)
{
	struct session *session;
	unsigned int i;

	pthread_mutex_lock(&lock);
	stopping = true;
	for (i = 0; i < threads_n; i++)
		if (running[i])
			cut(running[i]);
	pthread_cond_broadcast(&work);
	pthread_mutex_unlock(&lock);
	for (i = 0; i < threads_n; i++)
		pthread_join(threads[i], NULL);
	threads_n = 0;
	while ((session = STAILQ_FIRST(&waiting))) {
		waits_no_more(session);
		finish(session);
	}
	finish_class(&clients);
	finish_class(&known);
	finish_class(&strangers);
	finish_all(&returned);
	if (bell_event)
		event_free(bell_event);
	bell_event = NULL;
	if (bell >= 0)
		close(bell);
	bell = -1;
}
