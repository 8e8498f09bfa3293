// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * When both ends of a pair open a handshake at once, both install what they
 * receive with, and both send with the key of the one that was opened by the
 * numerically lower address. So the other one, where it is ready first, waits
 * (its sending SA is pending) until the lower one has won, or failed.
 *
 * This is a matter of taste, not of safety: a key that is ever sent with is
 * one that the peer receives with.
 */
#include <pthread.h>
#include <stdlib.h>

#include "tcpseald.h"

struct flight {
	struct flight *next;
	struct tcpseal_addr local, remote;
	bool lower;			/* opened by the lower address */
	bool held;			/* over, waits for a lower one */
	uint64_t generation;
	uint32_t tx_spi;
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

bool flight_may_send(struct flight *flight, uint64_t generation,
		     uint32_t tx_spi)
{
	bool go;

	pthread_mutex_lock(&lock);
	go = flight->lower || !lower_runs(flight);
	flight->held = !go;
	flight->generation = generation;
	flight->tx_spi = tx_spi;
	pthread_mutex_unlock(&lock);
	return go;
}

static void unlink_flight(struct flight *flight)
{
	struct flight **at;

	for (at = &flights; *at != flight; at = &(*at)->next)
		;
	*at = flight->next;
}

/* One that waited for this one, if no other lower one runs */
static struct flight *take_held(const struct flight *winner)
{
	struct flight *other;

	if (!winner->lower || lower_runs(winner))
		return NULL;
	for (other = flights; other; other = other->next) {
		if (!other->held || !same_pair(other, winner))
			continue;
		unlink_flight(other);
		return other;
	}
	return NULL;
}

void flight_leave(struct flight *flight, bool ok,
		  void (*done)(bool won, uint64_t generation, uint32_t tx_spi,
			       void *data), void *data)
{
	struct flight *held;

	if (!flight)
		return;
	pthread_mutex_lock(&lock);
	if (flight->held) {
		pthread_mutex_unlock(&lock);
		return;			/* goes with the one it waits for */
	}
	unlink_flight(flight);
	while ((held = take_held(flight))) {
		pthread_mutex_unlock(&lock);
		done(ok, held->generation, held->tx_spi, data);
		free(held);
		pthread_mutex_lock(&lock);
	}
	pthread_mutex_unlock(&lock);
	free(flight);
}
