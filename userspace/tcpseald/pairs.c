// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of pairs. The kernel has the truth about keys; this has what only
 * the daemon knows: times of attempts, and what was said to a peer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpseald.h"

#define BUCKETS		16384
#define PAIRS_MAX	1048576
#define FORGET_MS	600000		/* of a pair that nothing is known of */
#define CALM_MS		5000		/* from one handshake to the next */
#define SPREAD_MS	50		/* for each pair */
#define SPREAD_MAX_MS	30000

static struct pair *buckets[BUCKETS];
static struct pair *remotes[BUCKETS];	/* the same, by remote address */
static unsigned int pairs_n;
static uint32_t hash_seed;

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
	pair->timer = evtimer_new(loop, attempt_due, pair);
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

/*
 * Did this address ever prove who it is, as far as we remember? Then it goes
 * before strangers; but not with one handshake after the other.
 */
bool pairs_know(const struct tcpseal_addr *remote)
{
	const struct pair *pair = *remote_bucket_of(remote);
	uint64_t now = now_ms();

	for (; pair; pair = pair->remote_next)
		if (!tcpseal_addr_cmp(&pair->remote, remote) &&
		    (pair->live || pair->sticky || pair->told) &&
		    (!pair->served || now - pair->served > CALM_MS))
			return true;
	return false;
}

/* A while in which all pairs can have their turn */
uint64_t pairs_spread(void)
{
	uint64_t ms = (uint64_t)pairs_n * SPREAD_MS;

	return random_u32() % ((ms > SPREAD_MAX_MS ? SPREAD_MAX_MS : ms) + 1);
}

/* What the kernel is told of a pair; reason "" takes back what it was told */
void pairs_set_reason(struct pair *pair, const char *reason, int mode_peer,
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
		if (pair->refused) {
			set.flags = TCPSEAL_PAIR_FLAG_REFUSED;
			TCPSEAL_MARK(&set, PAIR_FLAGS);
		}
	}
	if (kernel_there() && tcpseal_pair_set(kernel, &set))
		log_debug("pair-set: %s", tcpseal_error(kernel));
}

void pairs_told(struct pair *pair, const struct tcpseal_link *link,
		uint32_t mode)
{
	pair->told = true;
	pair->told_mode = mode;
	pair->told_link = link ? link->id : 0;
	pair->told_aead = link && TCPSEAL_HAS(link, LINK_AEAD) ? link->aead : 0;
}

/* Does the peer know another mode than the link's of today? */
bool pairs_stale(const struct pair *pair)
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

/* The same sentence again and again is not news */
bool pairs_said(struct pair *pair, const char *reason)
{
	uint32_t hash = hash_seed;

	for (; *reason; reason++)
		hash = (hash ^ (unsigned char)*reason) * 16777619U;
	if (hash == pair->said)
		return true;
	pair->said = hash;
	return false;
}

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
