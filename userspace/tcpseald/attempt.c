// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Attempts: when to open a handshake with which peer. The kernel asks, a key
 * nears its end, a link changed, a peer lost its keys; failures make it rarer.
 */
#include <errno.h>
#include <string.h>

#include "tcpseald.h"

#define DIALS_MAX	256		/* at once */
#define LOAD_MAX	4		/* sessions a thread */
#define HASTE_MIN_MS	200		/* after state loss */
#define HASTE_MAX_MS	2000

/* Those that wait for a free dial */
STAILQ_HEAD(queue, pair);

static struct queue urgent = STAILQ_HEAD_INITIALIZER(urgent);
static struct queue others = STAILQ_HEAD_INITIALIZER(others);

static void attempt(struct pair *pair);

/* What anybody could have asked for by a forged segment is not waited for */
static struct queue *queue_of(const struct pair *pair)
{
	return pair->urgent && !pair->doubtful ? &urgent : &others;
}

static void enqueue(struct pair *pair)
{
	pair->phase = PAIR_QUEUED;
	STAILQ_INSERT_TAIL(queue_of(pair), pair, queue_next);
}

/* Somebody waits now for what is queued */
static void hasten(struct pair *pair)
{
	struct queue *before = queue_of(pair);

	pair->urgent = true;
	pair->doubtful = false;
	if (before == &urgent)
		return;
	STAILQ_REMOVE(before, pair, pair, queue_next);
	STAILQ_INSERT_TAIL(&urgent, pair, queue_next);
}

/* What is dialled while the threads have enough to do only gets late */
static bool may_dial(void)
{
	return dial_running() < DIALS_MAX &&
	       worker_load() < LOAD_MAX * worker_threads();
}

void attempt_next(void)
{
	struct queue *queue;
	struct pair *pair;

	while (may_dial()) {
		queue = STAILQ_EMPTY(&urgent) ? &others : &urgent;
		pair = STAILQ_FIRST(queue);
		if (!pair)
			return;
		STAILQ_REMOVE_HEAD(queue, queue_next);
		attempt(pair);
	}
}

void attempt_due(evutil_socket_t fd, short what, void *data)
{
	struct pair *pair = data;

	(void)fd, (void)what;
	pair->due = 0;
	if (pair->phase != PAIR_IDLE)
		return;
	enqueue(pair);
	attempt_next();
}

/* The earlier of what is planned and this */
void attempt_plan(struct pair *pair, uint64_t when)
{
	uint64_t now = now_ms();
	struct timeval delay = ms_timeval(when > now ? when - now : 0);

	if (pair->due && pair->due <= when)
		return;
	pair->due = when ? when : 1;
	event_add(pair->timer, &delay);
}

void attempt_unplan(struct pair *pair)
{
	pair->due = 0;
	event_del(pair->timer);
}

void attempt_want_in(struct pair *pair, uint64_t delay_ms)
{
	if (pair->phase == PAIR_IDLE)
		attempt_plan(pair, now_ms() + delay_ms);
	else
		pair->again = true;
}

/* Haste where the peer lost its keys: it is there, and waits */
static uint64_t haste(const struct pair *pair)
{
	uint64_t ms = HASTE_MIN_MS;
	unsigned int i;

	for (i = 0; i < pair->failures && ms < HASTE_MAX_MS; i++)
		ms *= 2;
	if (ms > HASTE_MAX_MS)
		ms = HASTE_MAX_MS;
	return pair->last_attempt + ms;
}

static uint64_t later_of(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * A segment that looks sealed, from an address that never proved anything, may
 * come from a peer whose keys went with our memory, or from anybody.
 */
static bool may_be_forged(const struct pair *pair, uint32_t why)
{
	return why == TCPSEAL_ACQUIRE_WHY_STATE_LOSS && !pair->live &&
	       !pair->told && !pair->sticky;
}

void attempt_want(const struct tcpseal_addr *local,
		  const struct tcpseal_addr *remote, uint32_t why)
{
	struct pair *pair = pairs_find_or_add(local, remote);
	uint64_t now = now_ms(), when = now;

	if (!pair) {
		log_error("too many pairs");
		return;
	}
	pair->last_used = now;
	if (pair->phase != PAIR_IDLE) {
		if (why == TCPSEAL_ACQUIRE_WHY_OPERATOR)
			pair->again = true;
		if (pair->phase == PAIR_QUEUED &&
		    why != TCPSEAL_ACQUIRE_WHY_REKEY && !may_be_forged(pair, why))
			hasten(pair);
		return;
	}
	if (!may_be_forged(pair, why))
		pair->doubtful = false;
	else if (!pair->urgent)
		pair->doubtful = true;
	switch (why) {
	case TCPSEAL_ACQUIRE_WHY_OPERATOR:
		pair->failures = 0;
		pair->urgent = true;
		break;
	case TCPSEAL_ACQUIRE_WHY_STATE_LOSS:
		when = later_of(now, haste(pair));
		pair->urgent = true;
		break;
	case TCPSEAL_ACQUIRE_WHY_REKEY:
		when = later_of(now, pair->not_before);
		break;
	default:
		when = later_of(now, pair->not_before);
		pair->urgent = true;
	}
	attempt_plan(pair, when);
}

/* --- one attempt --- */

struct look {
	struct tcpseal_pair pair;
	bool found;
};

static int look_cb(const struct tcpseal_pair *kernel_pair, void *data)
{
	struct look *look = data;

	look->pair = *kernel_pair;
	look->found = true;
	return 0;
}

/* What the kernel says of the pair now */
static void look_up(const struct pair *pair, struct look *look)
{
	struct tcpseal_pair filter = {
		.has = TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE),
		.local = pair->local,
		.remote = pair->remote,
	};

	memset(look, 0, sizeof(*look));
	tcpseal_pair_dump(kernel, &filter, look_cb, look);
}

static const struct tcpseal_link *link_of(const struct pair *pair,
					  const struct look *look)
{
	const struct tcpseal_link *link = NULL;

	if (look->found && TCPSEAL_HAS(&look->pair, PAIR_LINK_ID))
		link = links_by_id(links_now, look->pair.link_id);
	return link ? link :
		      links_of_pair(links_now, &pair->local, &pair->remote);
}

void attempt_rest(struct pair *pair)
{
	pair->phase = PAIR_IDLE;
	pair->urgent_last = pair->urgent && !pair->doubtful;
	pair->urgent = false;
	pair->doubtful = false;
}

/* Nothing to say to the peer, or the very thing that it knows already */
static bool pointless(struct pair *pair, const struct tcpseal_link *link)
{
	if (link && link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		return true;
	if (link && link->mode >= TCPSEAL_MODE_AUDIT)
		return false;
	if (!pair->told)
		return true;
	return pair->told_mode == (link ? link->mode : TCPSEAL_MODE_NONE);
}

/*
 * Would the peer answer sealed? Keys that were only rehearsed do not carry a
 * connection to a peer that sends in plain.
 */
static bool carried_sealed(const struct pair *pair, const struct look *look)
{
	uint32_t here = pair->told_mode;
	int there = pair->mode_peer;

	if (!pair->live)
		return false;
	if (!pair->told) {
		here = look->pair.mode_local;
		there = TCPSEAL_HAS(&look->pair, PAIR_MODE_PEER) ?
			(int)look->pair.mode_peer : -1;
	}
	switch (tcpseal_matrix(here, there)) {
	case TCPSEAL_OUTCOME_SEALED:
	case TCPSEAL_OUTCOME_SEALED_STICKY:
		return true;
	default:
		return false;
	}
}

static void attempt(struct pair *pair)
{
	const struct tcpseal_link *link;
	struct look look;
	uint32_t mode;
	bool sealed;

	pair->phase = PAIR_DIALLING;
	pair->again = false;
	attempt_unplan(pair);
	if (!kernel_there()) {
		attempt_rest(pair);
		return;
	}
	look_up(pair, &look);
	pair->live = look.found && TCPSEAL_HAS(&look.pair, PAIR_TX_ID);
	link = link_of(pair, &look);
	if (pointless(pair, link)) {
		attempt_rest(pair);
		return;
	}
	mode = link ? link->mode : TCPSEAL_MODE_NONE;
	sealed = carried_sealed(pair, &look);
	pair->last_attempt = now_ms();
	if (dial_start(pair, link, mode, sealed))
		attempt_rest(pair);
}

/* --- reasons of our own --- */

static void check_link(struct pair *pair, void *data)
{
	(void)data;
	pair->not_before = 0;
	if (!pairs_stale(pair)) {
		/* The kernel asked before we heard of the link */
		if (pair->due && !pair->live)
			attempt_plan(pair, now_ms() + pairs_spread() / 8);
		return;
	}
	pair->failures = 0;
	pair->urgent = true;
	attempt_want_in(pair, pairs_spread() / 8);
}

void attempt_links_changed(void)
{
	pairs_each(check_link, NULL);
	listen_retry();
	kernel_poll_wants();
}

void attempt_expired(const struct tcpseal_event *ev)
{
	struct pair *pair = pairs_find(&ev->local, &ev->remote);
	struct addr_text at;

	if (!ev->hard) {
		attempt_want(&ev->local, &ev->remote,
			     TCPSEAL_ACQUIRE_WHY_REKEY);
		return;
	}
	if (!pair || ev->dir != TCPSEAL_DIR_OUT ||
	    (TCPSEAL_HAS(ev, EVENT_GENERATION) &&
	     ev->generation != pair->generation))
		return;
	pair->live = false;
	if (ev->why == TCPSEAL_EXPIRE_WHY_IDLE) {
		attempt_unplan(pair);
		return;
	}
	log_line(ev->why == TCPSEAL_EXPIRE_WHY_REMOVED ? LOG_LEVEL_INFO :
							 LOG_LEVEL_ERROR,
		 "%s: the key is at its end (%s)", text_of(&ev->remote, &at),
		 tcpseal_expire_why_name(ev->why));
}
