// SPDX-License-Identifier: GPL-2.0-or-later
/* What came of a handshake: who is told, and when it is tried again. */
#include <stdio.h>
#include <string.h>

#include "tcpseald.h"

#define BACKOFF_MIN_MS	1000
#define BACKOFF_MAX_MS	60000
#define BUSY_MS		2000
#define QUICK_MS	400		/* segments wait: another look */
#define QUICK_TRIES	2
#define PATIENCE_MS	30000		/* with peers that are busy */
#define GREETINGS	8		/* of a remembered peer, unasked */
#define FAREWELLS	8		/* attempts to say one */
#define LOG_WINDOW_MS	10000
#define LOG_LINES	20

static uint64_t backoff(const struct pair *pair)
{
	unsigned int i;
	uint64_t ms = BACKOFF_MIN_MS;

	for (i = 1; i < pair->failures && ms < BACKOFF_MAX_MS; i++)
		ms *= 2;
	return jitter(ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ms);
}

static void log_result(struct pair *pair, const struct session *s)
{
	bool again = pairs_said(pair, s->reason);
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
	/*
	 * Of two handshakes at once each end may go by another one, and either
	 * may have been configured in between. So where one says another mode
	 * than last time one more follows; where ours failed so late that only
	 * the peer knows which key it took; and where the peer was shown a
	 * certificate that we have replaced in the meantime.
	 */
	bool again = pair->told &&
		     (s->mode_peer != pair->mode_peer ||
		      (s->lost && s->mode_local != pair->told_mode));

	if ((pair->unsure && !s->client) ||
	    memcmp(ident_fingerprint(s->setup->ident),
		   ident_fingerprint(setup_now->ident), 32))
		again = true;
	if (s->client)
		pair->unsure = false;
	pair->live = true;
	pair->judging = false;
	pair->failures = 0;
	pair->not_before = 0;
	pair->busy_since = 0;
	pair->generation = s->generation;
	pairs_told(pair, link, s->mode_local);
	pair->mode_peer = s->mode_peer;
	if (pair->complained)
		pairs_set_reason(pair, "", s->mode_peer, 0);
	/* The kernel asks in time; this is for an event that was lost */
	attempt_unplan(pair);
	attempt_plan(pair, again ? now_ms() + 50 :
				   now_ms() + s->soft_secs * 1250ULL + 10000);
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
	pairs_told(pair, link, s->mode_local);
	pairs_set_reason(pair, s->reason, s->mode_peer, up_to_secs(delay));
}

static bool plan_again(struct pair *pair, uint64_t delay)
{
	pair->urgent = true;
	pair->not_before = now_ms() + delay;
	attempt_plan(pair, pair->not_before);
	return true;
}

static uint64_t busy_delay(const struct session *s, uint64_t ms)
{
	if (s->retry_secs)
		ms = s->retry_secs * 1000;
	return jitter(ms < QUICK_MS ? QUICK_MS : ms > BUSY_MS ? BUSY_MS : ms);
}

/*
 * A peer that is busy is there: what waits for it goes on to wait, and TCP to
 * send it. The longer it takes the more rarely it is asked.
 */
static bool wait_for_busy(struct pair *pair, const struct session *s)
{
	uint64_t now = now_ms(), waited;

	if (s->result != SESSION_BUSY) {
		pair->busy_since = 0;
		return false;
	}
	if (!pair->busy_since)
		pair->busy_since = now;
	waited = now - pair->busy_since;
	if (pair->live || !pair->urgent_last || waited > PATIENCE_MS)
		return false;
	pairs_set_reason(pair, s->reason, -1, 0);
	return plan_again(pair, busy_delay(s, waited / 2));
}

/*
 * A peer that restarts its daemon is worth another look while segments are
 * still held; one that does not answer at all has used up their time.
 */
static bool try_again(struct pair *pair, const struct session *s)
{
	if (pair->live || pair->failures > QUICK_TRIES || !pair->urgent_last ||
	    s->result != SESSION_FAILED ||
	    now_ms() - pair->last_attempt > 2 * QUICK_MS)
		return false;
	return plan_again(pair, QUICK_MS);
}

/*
 * "No link" comes without proof. The kernel knows what it is worth: where
 * nothing passes anyway, programs are told at once, instead of waiting for
 * TCP's timers.
 */
static bool refused(const struct session *s)
{
	return s->no_link && s->mode_local >= TCPSEAL_MODE_AUDIT;
}

/* An attempt of ours that failed: when next, and what the kernel is told */
static void settle_failed(struct pair *pair, const struct session *s)
{
	uint64_t delay;

	pair->unsure = s->unsure;
	if (wait_for_busy(pair, s))
		return;
	if (s->result != SESSION_BUSY)
		pair->failures++;
	if (try_again(pair, s))
		return;
	delay = s->result == SESSION_BUSY ? busy_delay(s, BUSY_MS) :
					    backoff(pair);
	pair->not_before = now_ms() + delay;
	if (pair->judging && pair->live && s->chain_refused) {
		sas_remove(pair);
		pair->live = false;
		pair->judging = false;
	}
	pairs_set_reason(pair, s->reason, -1, pair->live && !pair->refused ?
					      0 : up_to_secs(delay));
	if (pair->live || pair->unsure ||
	    (pair->sticky && pair->failures <= GREETINGS))
		attempt_plan(pair, pair->not_before);
}

/* A peer that does not hear of it seals for nobody: once is not enough */
static void settle_farewell(struct pair *pair, const struct session *s,
			    const struct tcpseal_link *link)
{
	if ((s->result == SESSION_BUSY || s->result == SESSION_FAILED) &&
	    ++pair->failures <= FAREWELLS)
		attempt_plan(pair, now_ms() + backoff(pair));
	else
		pairs_told(pair, link, s->mode_local);
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
	pair->refused = refused(s);
	switch (s->result) {
	case SESSION_SEALED:
		settle_sealed(pair, s, link);
		/* It trusted whom one trusted when it began */
		if (s->setup != setup_now)
			sas_judge_pair(pair, s->setup->ident);
		break;
	case SESSION_PLAIN:
		settle_plain(pair, s, link);
		break;
	default:
		if (s->mode_local >= TCPSEAL_MODE_AUDIT)
			settle_failed(pair, s);
		else
			settle_farewell(pair, s, link);
	}
	log_result(pair, s);
}

void outcome_dialled(struct pair *pair, const struct session *session)
{
	metrics_ended(session);
	attempt_rest(pair);
	settle(pair, session);
	if (pair->again || (session->result == SESSION_SEALED &&
			    pairs_stale(pair)))
		attempt_plan(pair, now_ms() + 50);
	pair->again = false;
	attempt_next();
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

void outcome_served(const struct session *session)
{
	struct pair *pair = served_pair(session);
	struct addr_text at;

	metrics_ended(session);
	if (session->result < SESSION_PLAIN || !pair) {
		if (pair && !pair->live && pair->phase == PAIR_IDLE &&
		    !pairs_said(pair, session->reason))
			pairs_set_reason(pair, session->reason, -1, 0);
		if (may_log())
			log_warn("%s: its handshake led nowhere: %s",
				 text_of(&session->there, &at),
				 session->reason);
		return;
	}
	settle(pair, session);
	if (session->result != SESSION_SEALED)
		return;
	pair->served = now_ms();
	if (pairs_stale(pair))
		attempt_plan(pair, now_ms() + 50);
}
