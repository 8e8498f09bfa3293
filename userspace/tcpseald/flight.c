// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When both ends of a pair open a handshake at once, both install what they
 * receive with, and both send with the key of the one that was opened by the
 * numerically lower address. The other one, where it is ready first, waits (its
 * sending SA is pending) until the lower one has failed. Where that one has
 * not, or may have led to keys at the peer, it is left pending: only a record
 * of the peer can still say otherwise.
 *
 * What the peer receives is safe without this. But an end that hears two keys
 * takes the one that falls silent for the older one, and lets go of it, see
 * drain_end() in the module: so both ends must come to the same one, whichever
 * they were told of first.
 */
#include <pthread.h>
#include <stdlib.h>

#include "tcpseald.h"

struct flight {
	struct flight *next;
	struct tcpseal_addr local, remote;
	bool lower;			/* opened by the lower address */
	bool held;			/* waits for a lower one */
	bool lost;			/* a lower one decides */
	bool over;			/* its session has left it */
	uint64_t generation;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct flight *flights;		/* under lock */

static bool same_pair(const struct flight *a, const struct flight *b)
{
	return !tcpseal_addr_cmp(&a->local, &b->local) &&
	       !tcpseal_addr_cmp(&a->remote, &b->remote);
}

struct flight *flight_enter(const struct tcpseal_addr *local,
			    const struct tcpseal_addr *remote, bool lower)
{
	struct flight *flight = calloc(1, sizeof(*flight));

	if (!flight)
		return NULL;
	flight->local = *local;
	flight->remote = *remote;
	flight->lower = lower;
	pthread_mutex_lock(&lock);
	flight->next = flights;
	flights = flight;
	pthread_mutex_unlock(&lock);
	return flight;
}

static bool lower_runs(const struct flight *flight)
{
	const struct flight *other;

	for (other = flights; other; other = other->next)
		if (other->lower && same_pair(other, flight))
			return true;
	return false;
}

enum flight_turn flight_turn(struct flight *flight, uint64_t generation)
{
	enum flight_turn turn = FLIGHT_SENDS;

	pthread_mutex_lock(&lock);
	if (flight->lost)
		turn = FLIGHT_LOST;
	else if (!flight->lower && lower_runs(flight))
		turn = FLIGHT_WAITS;
	flight->held = turn == FLIGHT_WAITS;
	flight->generation = generation;
	pthread_mutex_unlock(&lock);
	return turn;
}

static void drop(struct flight *flight)
{
	struct flight **at;

	for (at = &flights; *at != flight; at = &(*at)->next)
		;
	*at = flight->next;
	free(flight);
}

/* It waits no more; what its session has left goes */
static void let_go(struct flight *flight)
{
	flight->held = false;
	if (flight->over)
		drop(flight);
}

/* The lower one is used, or may be: those beside it are not */
static void decide(const struct flight *lower)
{
	struct flight *other, *next;

	for (other = flights; other; other = next) {
		next = other->next;
		if (other->lower || !same_pair(other, lower))
			continue;
		other->lost = true;
		let_go(other);
	}
}

/* The generation of one that waited for this one, if no other lower one runs */
static uint64_t take_held(const struct flight *lower)
{
	struct flight *other;
	uint64_t generation;

	if (lower_runs(lower))
		return 0;
	for (other = flights; other; other = other->next) {
		if (!other->held || !same_pair(other, lower))
			continue;
		generation = other->generation;
		let_go(other);
		return generation;
	}
	return 0;
}

void flight_leave(struct flight *flight, bool failed,
		  void (*use)(uint64_t generation, void *data), void *data)
{
	struct flight lower;
	uint64_t generation;

	if (!flight)
		return;
	pthread_mutex_lock(&lock);
	lower = *flight;
	flight->over = true;
	if (!flight->held)
		drop(flight);
	if (lower.lower && !failed)
		decide(&lower);
	while (lower.lower && failed && (generation = take_held(&lower))) {
		pthread_mutex_unlock(&lock);
		use(generation, data);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
}
