// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Pairs: when to open a handshake with whom, and what came of it. The kernel
 * has the truth about keys; this table has what only the daemon knows, the
 * times of attempts, and what was said to a peer.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpseald.h"

#define BUCKETS		16384
#define PAIRS_MAX	1048576
#define DIALS_MAX	256		/* at once */
#define BACKOFF_MIN_MS	1000
#define BACKOFF_MAX_MS	60000
#define BUSY_MS		2000
#define QUICK_MS	400		/* segments wait: try again before they fail */
#define QUICK_TRIES	2
#define HASTE_MIN_MS	200		/* after state loss */
#define HASTE_MAX_MS	2000
#define FORGET_MS	600000		/* of a pair that nothing is known of */
#define SPREAD_MS	50		/* between handshakes that many pairs need */
#define SPREAD_MAX_MS	30000
#define LOG_WINDOW_MS	10000
#define LOG_LINES	20

static struct pair *buckets[BUCKETS];
static struct pair *remotes[BUCKETS];	/* the same, by remote address */
static unsigned int pairs_n;
static uint32_t hash_seed;
static struct pair *queue;		/* waits for a free dial */
static struct pair **queue_tail = &queue;

int pairs_init(void)
{
	hash_seed = random_u32();
	return 0;
}

static uint32_t mix(uint32_t h, const struct tcpseal_addr *addr)
{
	unsigned int i;

	for (i = 0; i < addr->len; i++)
		h = (h ^ addr->b[i]) * 16777619U;
	return h ^ h >> 15;
}

static struct pair **bucket_of(const struct tcpseal_addr *local,
			       const struct tcpseal_addr *remote)
{
	return &buckets[mix(mix(hash_seed, local), remote) % BUCKETS];
}

static struct pair **remote_bucket_of(const struct tcpseal_addr *remote)
{
	return &remotes[mix(hash_seed, remote) % BUCKETS];
}

struct pair *pairs_find(const struct tcpseal_addr *local,
			const struct tcpseal_addr *remote)
{
	struct pair *pair = *bucket_of(local, remote);

	for (; pair; pair = pair->next)
		if (!tcpseal_addr_cmp(&pair->local, local) &&
		    !tcpseal_addr_cmp(&pair->remote, remote))
			return pair;
	return NULL;
}

void pairs_each(void (*fn)(struct pair *pair, void *data), void *data)
{
	struct pair *pair, *next;
	unsigned int i;

	for (i = 0; i < BUCKETS; i++) {
		for (pair = buckets[i]; pair; pair = next) {
			next = pair->next;
			fn(pair, data);
		}
	}
}

static void timer_fires(evutil_socket_t fd, short what, void *data);

struct pair *pairs_find_or_add(const struct tcpseal_addr *local,
			       const struct tcpseal_addr *remote)
{
	struct pair *pair = pairs_find(local, remote), **bucket;

	if (pair)
		return pair;
	if (pairs_n >= PAIRS_MAX)
		return NULL;
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return NULL;
	pair->timer = evtimer_new(loop, timer_fires, pair);
	if (!pair->timer) {
		free(pair);
		return NULL;
	}
	pair->local = *local;
	pair->remote = *remote;
	pair->mode_peer = -1;
	pair->last_used = now_ms();
	bucket = bucket_of(local, remote);
	pair->next = *bucket;
	*bucket = pair;
	bucket = remote_bucket_of(remote);
	pair->remote_next = *bucket;
	*bucket = pair;
	pairs_n++;
	return pair;
}

static void pair_free(struct pair *pair)
{
	struct pair **at = bucket_of(&pair->local, &pair->remote);

	for (; *at != pair; at = &(*at)->next)
		;
	*at = pair->next;
	at = remote_bucket_of(&pair->remote);
	for (; *at != pair; at = &(*at)->remote_next)
		;
	*at = pair->remote_next;
	pairs_n--;
	event_free(pair->timer);
	free(pair);
}

/* Did this address ever prove who it is, as far as we remember? */
bool pairs_know(const struct tcpseal_addr *remote)
{
	const struct pair *pair = *remote_bucket_of(remote);

	for (; pair; pair = pair->remote_next)
		if (!tcpseal_addr_cmp(&pair->remote, remote) &&
		    (pair->live || pair->sticky || pair->told))
			return true;
	return false;
}

/* --- when --- */

/* A while in which all pairs can have their turn */
static uint64_t spread(void)
{
	uint64_t ms = (uint64_t)pairs_n * SPREAD_MS;

	return random_u32() % ((ms > SPREAD_MAX_MS ? SPREAD_MAX_MS : ms) + 1);
}

static void attempt(struct pair *pair);

static void enqueue(struct pair *pair)
{
	pair->phase = PAIR_QUEUED;
	if (pair->urgent) {
		pair->queue_next = queue;
		if (!queue)
			queue_tail = &pair->queue_next;
		queue = pair;
		return;
	}
	pair->queue_next = NULL;
	*queue_tail = pair;
	queue_tail = &pair->queue_next;
}

static void run_queue(void)
{
	struct pair *pair;

	while (queue && dial_running() < DIALS_MAX) {
		pair = queue;
		queue = pair->queue_next;
		if (!queue)
			queue_tail = &queue;
		attempt(pair);
	}
}

static void timer_fires(evutil_socket_t fd, short what, void *data)
{
	struct pair *pair = data;

	(void)fd, (void)what;
	pair->due = 0;
	if (pair->phase != PAIR_IDLE)
		return;
	enqueue(pair);
	run_queue();
}

/* The earlier of what is planned and this */
static void plan(struct pair *pair, uint64_t when)
{
	uint64_t now = now_ms();
	struct timeval delay = ms_timeval(when > now ? when - now : 0);

	if (pair->due && pair->due <= when)
		return;
	pair->due = when ? when : 1;
	event_add(pair->timer, &delay);
}

static void unplan(struct pair *pair)
{
	pair->due = 0;
	event_del(pair->timer);
}

void pairs_want_in(struct pair *pair, uint64_t delay_ms)
{
	if (pair->phase == PAIR_IDLE)
		plan(pair, now_ms() + delay_ms);
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

void pairs_want(const struct tcpseal_addr *local,
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
		if (pair->phase == PAIR_QUEUED)
			pair->urgent |= why != TCPSEAL_ACQUIRE_WHY_REKEY;
		return;
	}
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
	plan(pair, when);
}

static uint64_t backoff(const struct pair *pair)
{
	unsigned int i;
	uint64_t ms = BACKOFF_MIN_MS;

	for (i = 1; i < pair->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return jitter(ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms);
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

static void rest(struct pair *pair)
{
	pair->phase = PAIR_IDLE;
	pair->urgent_last = pair->urgent;
	pair->urgent = false;
}

static void set_reason(struct pair *pair, const char *reason, int mode_peer,
		       uint32_t backoff_secs)
{
	struct tcpseal_pair set = {
		.has = TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE) |
		       TCPSEAL_BIT(PAIR_REASON),
		.local = pair->local,
		.remote = pair->remote,
	};

	snprintf(set.reason, sizeof(set.reason), "%s", reason);
	pair->complained = *reason;
	if (mode_peer >= 0) {
		set.mode_peer = mode_peer;
		TCPSEAL_MARK(&set, PAIR_MODE_PEER);
	}
	if (backoff_secs) {
		set.backoff_secs = backoff_secs;
		TCPSEAL_MARK(&set, PAIR_BACKOFF_SECS);
	}
	if (tcpseal_pair_set(kernel, &set))
		log_debug("pair-set: %s", tcpseal_error(kernel));
}

static void remember_told(struct pair *pair, const struct tcpseal_link *link,
			  uint32_t mode)
{
	pair->told = true;
	pair->told_mode = mode;
	pair->told_link = link ? link->id : 0;
	pair->told_aead = link && TCPSEAL_HAS(link, LINK_AEAD) ? link->aead : 0;
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
	unplan(pair);
	look_up(pair, &look);
	pair->live = look.found && TCPSEAL_HAS(&look.pair, PAIR_TX_ID);
	link = link_of(pair, &look);
	if (pointless(pair, link)) {
		rest(pair);
		return;
	}
	mode = link ? link->mode : TCPSEAL_MODE_NONE;
	sealed = carried_sealed(pair, &look);
	pair->last_attempt = now_ms();
	if (mode < TCPSEAL_MODE_AUDIT)
		remember_told(pair, link, mode);	/* said once */
	if (dial_start(pair, link, mode, sealed))
		rest(pair);
}

/* --- what came of it --- */

/* The same sentence again and again is not news */
static bool said_before(struct pair *pair, const char *reason)
{
	uint32_t hash = hash_seed;

	for (; *reason; reason++)
		hash = (hash ^ (unsigned char)*reason) * 16777619U;
	if (hash == pair->said)
		return true;
	pair->said = hash;
	return false;
}

static void log_result(struct pair *pair, const struct session *s)
{
	bool again = said_before(pair, s->reason);
	struct addr_text at;
	const char *who = text_of(&pair->remote, &at);

	switch (s->result) {
	case SESSION_SEALED:
		log_info("%s: %s with %s, mode %s here, %s there, %s, %u ms",
			 who, s->client ? "keys" : "keys, as it asked,",
			 s->peer.name, tcpseal_mode_name(s->mode_local),
			 tcpseal_mode_name(s->mode_peer), s->kex, s->took_ms);
		break;
	case SESSION_PLAIN:
		log_line(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO,
			 "%s: no keys: %s", who, s->reason);
		break;
	case SESSION_REFUSED:
		log_line(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
			 "%s: refused: %s", who, s->reason);
		break;
	case SESSION_REFUSED_BY_PEER:
		log_line(again ? LOG_LEVEL_DEBUG : LOG_LEVEL_WARN,
			 "%s: refused by the peer: %s", who, s->reason);
		break;
	case SESSION_BUSY:
	case SESSION_FAILED:
		log_line(again && !pair->live ? LOG_LEVEL_DEBUG :
						LOG_LEVEL_WARN,
			 "%s: no %skeys: %s", who, pair->live ? "new " : "",
			 s->reason);
	}
}

static void settle_sealed(struct pair *pair, const struct session *s,
			  const struct tcpseal_link *link)
{
	pair->live = true;
	pair->judging = false;
	pair->failures = 0;
	pair->not_before = 0;
	pair->generation = s->generation;
	remember_told(pair, link, s->mode_local);
	pair->mode_peer = s->mode_peer;
	if (pair->complained)
		set_reason(pair, "", s->mode_peer, 0);
	/* The kernel asks in time; this is for an event that was lost */
	unplan(pair);
	plan(pair, now_ms() + s->soft_secs * 1250ULL + 10000);
}

static uint32_t up_to_secs(uint64_t ms)
{
	return (ms + 999) / 1000;
}

static void settle_plain(struct pair *pair, const struct session *s,
			 const struct tcpseal_link *link)
{
	uint64_t delay = jitter(BACKOFF_MAX_MS);

	pair->mode_peer = s->mode_peer;
	pair->not_before = now_ms() + delay;
	pair->failures = 0;
	remember_told(pair, link, s->mode_local);
	set_reason(pair, s->reason, s->mode_peer, up_to_secs(delay));
}

static void remove_keys(const struct pair *pair);

/*
 * A peer that restarts its daemon, or is busy, is worth another look while
 * segments are still held; one that does not answer at all has used up their
 * time.
 */
static bool try_again(struct pair *pair, const struct session *s)
{
	if (pair->live || pair->failures > QUICK_TRIES || !pair->urgent_last ||
	    (s->result != SESSION_BUSY && s->result != SESSION_FAILED) ||
	    now_ms() - pair->last_attempt > 2 * QUICK_MS)
		return false;
	pair->urgent = true;
	pair->not_before = now_ms() + QUICK_MS;
	plan(pair, pair->not_before);
	return true;
}

/* An attempt of ours that failed: when next, and what the kernel is told */
static void settle_failed(struct pair *pair, const struct session *s)
{
	uint64_t delay;

	pair->failures++;
	if (try_again(pair, s))
		return;
	delay = s->result == SESSION_BUSY ?
		jitter(s->retry_secs ? s->retry_secs * 1000 : BUSY_MS) :
		backoff(pair);
	pair->not_before = now_ms() + delay;
	if (pair->judging && pair->live && s->chain_refused) {
		remove_keys(pair);
		pair->live = false;
		pair->judging = false;
	}
	set_reason(pair, s->reason, -1, pair->live ? 0 : up_to_secs(delay));
	if (pair->live)
		plan(pair, pair->not_before);
}

/*
 * Somebody at the peer's address who is not believed is no reason to give up
 * what a believed peer agreed on: live keys stay.
 */
static void settle(struct pair *pair, const struct session *s)
{
	const struct tcpseal_link *link;

	link = links_of_pair(links_now, &pair->local, &pair->remote);
	pair->last_used = now_ms();
	switch (s->result) {
	case SESSION_SEALED:
		settle_sealed(pair, s, link);
		break;
	case SESSION_PLAIN:
		settle_plain(pair, s, link);
		break;
	default:
		/* A farewell is said once, whatever becomes of it */
		if (s->mode_local >= TCPSEAL_MODE_AUDIT)
			settle_failed(pair, s);
	}
	log_result(pair, s);
}

static bool mode_stale(const struct pair *pair);

void pairs_dialled(struct pair *pair, const struct session *session)
{
	rest(pair);
	settle(pair, session);
	if (pair->again || (session->result == SESSION_SEALED &&
			    mode_stale(pair)))
		plan(pair, now_ms() + 50);
	pair->again = false;
	run_queue();
}

/* The pair that a peer asked for, as far as it came to be known */
static struct pair *served_pair(const struct session *s)
{
	const struct tcpseal_link *link;
	struct tcpseal_addr local;

	if (s->paired && s->result >= SESSION_PLAIN)
		return pairs_find_or_add(&s->local, &s->there);
	if (s->paired)
		return pairs_find(&s->local, &s->there);
	link = links_admit(links_now, &s->here, &s->there);
	if (!link)
		return NULL;
	local = links_pair_local(link, &s->here);
	return pairs_find(&local, &s->there);
}

/* Whoever can knock could fill the log */
static bool may_log(void)
{
	static uint64_t window;
	static unsigned int lines;
	uint64_t now = now_ms() / LOG_WINDOW_MS;

	if (now != window) {
		if (lines > LOG_LINES)
			log_warn("%u failed handshakes more were not written",
				 lines - LOG_LINES);
		lines = 0;
		window = now;
	}
	return lines++ < LOG_LINES;
}

void pairs_served(const struct session *session)
{
	struct pair *pair = served_pair(session);
	struct addr_text at;

	if (session->result < SESSION_PLAIN || !pair) {
		if (pair && !pair->live && pair->phase == PAIR_IDLE &&
		    !said_before(pair, session->reason))
			set_reason(pair, session->reason, -1, 0);
		if (may_log())
			log_warn("%s: its handshake led nowhere: %s",
				 text_of(&session->there, &at),
				 session->reason);
		return;
	}
	settle(pair, session);
	if (session->result == SESSION_SEALED && mode_stale(pair))
		plan(pair, now_ms() + 50);
}

/* --- links --- */

/* Does the peer know another mode than the link's of today? */
static bool mode_stale(const struct pair *pair)
{
	const struct tcpseal_link *link;

	if (!pair->told)
		return false;
	link = links_of_pair(links_now, &pair->local, &pair->remote);
	if (!link)
		return pair->told_mode != TCPSEAL_MODE_NONE;
	return link->mode != pair->told_mode || link->id != pair->told_link ||
	       (TCPSEAL_HAS(link, LINK_AEAD) ? link->aead : 0) !=
	       pair->told_aead;
}

static void check_link(struct pair *pair, void *data)
{
	(void)data;
	pair->not_before = 0;
	if (!mode_stale(pair))
		return;
	pair->failures = 0;
	pair->urgent = true;
	pairs_want_in(pair, pairs_n > 100 ? random_u32() % pairs_n : 0);
}

void pairs_links_changed(void)
{
	pairs_each(check_link, NULL);
	listen_retry();
	kernel_poll_wants();
}

/* --- expiry --- */

void pairs_expired(const struct tcpseal_event *ev)
{
	struct pair *pair = pairs_find(&ev->local, &ev->remote);
	struct addr_text at;

	if (!ev->hard) {
		pairs_want(&ev->local, &ev->remote, TCPSEAL_ACQUIRE_WHY_REKEY);
		return;
	}
	if (!pair || ev->dir != TCPSEAL_DIR_OUT ||
	    (TCPSEAL_HAS(ev, EVENT_GENERATION) &&
	     ev->generation != pair->generation))
		return;
	pair->live = false;
	if (ev->why == TCPSEAL_EXPIRE_WHY_IDLE) {
		unplan(pair);
		return;
	}
	log_line(ev->why == TCPSEAL_EXPIRE_WHY_REMOVED ? LOG_LEVEL_INFO :
							 LOG_LEVEL_ERROR,
		 "%s: the key is at its end (%s)", text_of(&ev->remote, &at),
		 tcpseal_expire_why_name(ev->why));
}

/* --- the kernel's SAs --- */

struct sa_note {
	uint32_t id, dir;
	struct tcpseal_addr local, peer;
	char serial[64], issuer[256], name[128];
};

struct sa_list {
	struct sa_note *note;
	size_t n, room;
};

static int note_sa(const struct tcpseal_sa *sa, struct sa_list *list)
{
	struct sa_note *note;

	if (list->n == list->room) {
		list->room = list->room ? list->room * 2 : 64;
		note = realloc(list->note, list->room * sizeof(*note));
		if (!note)
			return -ENOMEM;
		list->note = note;
	}
	note = &list->note[list->n++];
	note->id = sa->id;
	note->dir = sa->dir;
	note->local = sa->local;
	note->peer = sa->peer;
	strcpy(note->serial, sa->cert_serial);
	strcpy(note->issuer, sa->cert_issuer);
	strcpy(note->name, sa->cert_name);
	return 0;
}

static bool judged_by_cert(const struct tcpseal_sa *sa)
{
	return sa->state != TCPSEAL_SA_STATE_TOMBSTONE &&
	       !(sa->flags & TCPSEAL_SA_FLAG_MANUAL) &&
	       TCPSEAL_HAS(sa, SA_CERT_SERIAL) &&
	       TCPSEAL_HAS(sa, SA_CERT_ISSUER);
}

static int gather_sa(const struct tcpseal_sa *sa, void *data)
{
	return judged_by_cert(sa) ? note_sa(sa, data) : 0;
}

/* The dump is over before SAs are removed: they move under it */
static void gather_sas(struct sa_list *list)
{
	int ret, tries = 0;

	do {
		list->n = 0;
		ret = tcpseal_sa_dump(kernel, gather_sa, list);
	} while (ret == -EINTR && ++tries < 5);
	if (ret && ret != -EINTR)
		log_error("cannot read the SAs: %s", tcpseal_error(kernel));
}

static void remove_sa(const struct sa_note *note)
{
	struct tcpseal_sa sa = {
		.has = TCPSEAL_BIT(SA_ID) | TCPSEAL_BIT(SA_DIR) |
		       TCPSEAL_BIT(SA_LOCAL) | TCPSEAL_BIT(SA_PEER),
		.id = note->id,
		.dir = note->dir,
		.local = note->local,
		.peer = note->peer,
	};

	if (tcpseal_sa_del(kernel, &sa))
		log_warn("cannot remove an SA: %s", tcpseal_error(kernel));
}

static void remove_keys(const struct pair *pair)
{
	struct sa_list list = {};
	size_t i;

	gather_sas(&list);
	for (i = 0; i < list.n; i++)
		if (!tcpseal_addr_cmp(&list.note[i].local, &pair->local) &&
		    !tcpseal_addr_cmp(&list.note[i].peer, &pair->remote))
			remove_sa(&list.note[i]);
	free(list.note);
}

static void judge_sa(const struct sa_note *note, const struct ident *now,
		     const struct ident *before)
{
	struct pair *pair = pairs_find_or_add(&note->local, &note->peer);
	char reason[REASON_LEN];
	enum verdict verdict;
	struct addr_text at;

	verdict = ident_judge_again(now, before, note->serial, note->issuer);
	if (verdict == VERDICT_GOOD || !pair)
		return;
	if (verdict == VERDICT_UNKNOWN) {
		pair->judging = true;
		pairs_want_in(pair, spread());
		return;
	}
	snprintf(reason, sizeof(reason), "certificate %.60s (serial %.40s): %s",
		 note->name, note->serial, verdict == VERDICT_REVOKED ?
		 "revoked by the CRL of its issuer" :
		 "its issuer is no longer among the configured authorities");
	if (!said_before(pair, reason))
		log_warn("%s: keys removed: %s", text_of(&note->peer, &at),
			 reason);
	remove_sa(note);
	pair->live = false;
	set_reason(pair, reason, -1, 0);
}

static void renew(struct pair *pair, void *data)
{
	(void)data;
	if (pair->live)
		pairs_want_in(pair, spread());
}

static void retry_now(struct pair *pair, void *data)
{
	(void)data;
	pair->not_before = 0;
	pair->failures = 0;
}

void pairs_judge(const struct ident *now, const struct ident *before)
{
	struct sa_list list = {};
	size_t i;

	if (!kernel_there())
		return;
	gather_sas(&list);
	for (i = 0; i < list.n; i++)
		judge_sa(&list.note[i], now, before);
	free(list.note);
	if (!before)
		return;
	pairs_each(retry_now, NULL);
	if (memcmp(ident_fingerprint(now), ident_fingerprint(before), 32))
		pairs_each(renew, NULL);
}

/* --- restart --- */

static int adopt_sa(const struct tcpseal_sa *sa, void *data)
{
	struct pair *pair;
	uint64_t when;

	(void)data;
	if (sa->dir != TCPSEAL_DIR_OUT || sa->flags & TCPSEAL_SA_FLAG_MANUAL ||
	    sa->state != TCPSEAL_SA_STATE_CURRENT)
		return 0;
	pair = pairs_find_or_add(&sa->local, &sa->peer);
	if (!pair)
		return 0;
	pair->live = true;
	pair->told = true;
	pair->told_mode = sa->mode_local;
	pair->mode_peer = sa->mode_peer;
	pair->generation = sa->generation;
	when = sa->soft_secs * 1250ULL + 10000;
	if (TCPSEAL_HAS(sa, SA_SOFT_SECS) && !sa->soft_secs)
		when = random_u32() % 5000;
	plan(pair, now_ms() + when);
	return 0;
}

static int adopt_pair(const struct tcpseal_pair *kp, void *data)
{
	const struct tcpseal_link *link;
	struct pair *pair;

	(void)data;
	pair = pairs_find(&kp->local, &kp->remote);
	if (!pair)
		return 0;
	link = links_of_pair(links_now, &kp->local, &kp->remote);
	if (pair->told && link) {
		pair->told_link = link->id;
		pair->told_aead = TCPSEAL_HAS(link, LINK_AEAD) ? link->aead : 0;
	}
	if (TCPSEAL_HAS(kp, PAIR_REASON) && *kp->reason)
		pair->complained = true;
	return 0;
}

void pairs_adopt(void)
{
	int ret, tries = 0;

	do {
		ret = tcpseal_sa_dump(kernel, adopt_sa, NULL);
	} while (ret == -EINTR && ++tries < 5);
	tcpseal_pair_dump(kernel, NULL, adopt_pair, NULL);
	pairs_judge(setup_now->ident, NULL);
}

static void greet(struct pair *pair, void *data)
{
	unsigned int *n = data;

	if (!pair->sticky || pair->live)
		return;
	pairs_want_in(pair, *n < 16 ? 0 : random_u32() % (*n * 20));
	++*n;
}

/* Peers that sealed with us before we lost our keys wait for us */
void pairs_greet(void)
{
	unsigned int n = 0;

	pairs_each(greet, &n);
	if (n)
		log_info("greeting %u remembered peers", n);
}

/* --- upkeep --- */

static void sweep(struct pair *pair, void *data)
{
	uint64_t *now = data;

	if (pair->phase == PAIR_IDLE && !pair->live && !pair->sticky &&
	    !pair->due && *now - pair->last_used > FORGET_MS)
		pair_free(pair);
}

void pairs_tick(void)
{
	uint64_t now = now_ms();

	pairs_each(sweep, &now);
}

static void drop(struct pair *pair, void *data)
{
	(void)data;
	pair_free(pair);
}

void pairs_stop(void)
{
	pairs_each(drop, NULL);
}
