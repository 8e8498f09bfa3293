// SPDX-License-Identifier: GPL-2.0-or-later
/* Who talks plaintext, and what "require" would make of it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

uint64_t talker_bytes(const struct tcpseal_talker *talker)
{
	return talker->plain_out_bytes + talker->plain_in_bytes;
}

/* the busiest first; those that only knock by their segments */
static int by_bytes(const void *a, const void *b)
{
	const struct tcpseal_talker *one = a;
	const struct tcpseal_talker *other = b;
	uint64_t here = talker_bytes(one), there = talker_bytes(other);

	if (here == there) {
		here = one->plain_out + one->plain_in;
		there = other->plain_out + other->plain_in;
	}
	return (here < there) - (here > there);
}

static int pair_cmp(const struct tcpseal_pair *pair,
		    const struct tcpseal_addr *local,
		    const struct tcpseal_addr *remote)
{
	int ret = tcpseal_addr_cmp(&pair->remote, remote);

	return ret ? ret : tcpseal_addr_cmp(&pair->local, local);
}

static int by_addrs(const void *a, const void *b)
{
	const struct tcpseal_pair *one = *(const struct tcpseal_pair *const *)a;
	const struct tcpseal_pair *other =
		*(const struct tcpseal_pair *const *)b;

	return pair_cmp(one, &other->local, &other->remote);
}

/* @pairs must outlive it */
int talkers_take(struct tcpseal *ts, uint32_t link_id,
		 const struct tcpseal_stats *stats, const struct list *pairs,
		 struct talkers *talkers)
{
	const struct tcpseal_pair *pair = pairs->items;
	size_t i;
	int ret;

	memset(talkers, 0, sizeof(*talkers));
	ret = list_talkers(ts, link_id, &talkers->list);
	if (ret)
		return ret;
	if (talkers->list.n)
		qsort(talkers->list.items, talkers->list.n, talkers->list.size,
		      by_bytes);
	talkers->ctrl_port = stats->ctrl_port ? stats->ctrl_port : TCPSEAL_PORT;
	talkers->pairs_n = pairs->n;
	talkers->pairs = calloc(pairs->n + 1, sizeof(*talkers->pairs));
	if (!talkers->pairs)
		abort();
	for (i = 0; i < pairs->n; i++)
		talkers->pairs[i] = &pair[i];
	qsort(talkers->pairs, pairs->n, sizeof(*talkers->pairs), by_addrs);
	talkers->processes = processes_find(talkers->list.items,
					    talkers->list.n);
	return 0;
}

void talkers_release(struct talkers *talkers)
{
	processes_free(talkers->processes);
	free(talkers->pairs);
	list_free(&talkers->list);
}

/* the pair that keys for the talker on this link, or NULL */
static const struct tcpseal_pair *pair_of(const struct talkers *talkers,
					  const struct tcpseal_talker *talker,
					  const struct tcpseal_link *link)
{
	struct tcpseal_pair key = {
		.local = talker->local, .remote = talker->remote,
	};
	const struct tcpseal_pair *want = &key, **found;

	if (TCPSEAL_HAS(link, LINK_VIA))
		key.remote = link->via;
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		memset(key.local.b, 0, sizeof(key.local.b));
	found = bsearch(&want, talkers->pairs, talkers->pairs_n,
			sizeof(*talkers->pairs), by_addrs);
	return found ? *found : NULL;
}

enum outlook talker_outlook(const struct talkers *talkers,
			    const struct tcpseal_talker *talker,
			    const struct tcpseal_link *link, char *why,
			    size_t size)
{
	const struct tcpseal_pair *pair = pair_of(talkers, talker, link);

	*why = '\0';
	if (talker->local_port == talkers->ctrl_port ||
	    talker->remote_port == talkers->ctrl_port)
		return OUTLOOK_CONTROL;
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL) {
		if (pair && pair->tx_id && pair->rx_id)
			return OUTLOOK_SEAL;
		snprintf(why, size, "keys manual, and there is none");
		return OUTLOOK_DROP;
	}
	if (pair && TCPSEAL_HAS(pair, PAIR_MODE_PEER)) {
		if (tcpseal_matrix(TCPSEAL_MODE_REQUIRE, pair->mode_peer) !=
		    TCPSEAL_OUTCOME_BLOCKED)
			return OUTLOOK_SEAL;
		snprintf(why, size, "the peer says mode %s",
			 tcpseal_mode_name(pair->mode_peer));
		return OUTLOOK_DROP;
	}
	if (pair && *pair->reason)
		snprintf(why, size, "%s", pair->reason);
	else
		snprintf(why, size, "no word with the peer yet");
	return OUTLOOK_DROP;
}

static size_t index_of(const struct talkers *talkers,
		       const struct tcpseal_talker *talker)
{
	return talker - (const struct tcpseal_talker *)talkers->list.items;
}

const char *talker_processes(const struct talkers *talkers,
			     const struct tcpseal_talker *talker, char *buf,
			     size_t size)
{
	size_t i, at = 0, which = index_of(talkers, talker);
	const char *name;

	snprintf(buf, size, "-");
	for (i = 0; (name = process_of(talkers->processes, which, i)); i++) {
		if (at < size)
			at += snprintf(buf + at, size - at, "%s%s",
				       i ? "," : "", name);
	}
	return buf;
}

const char *talker_name(const struct talkers *talkers,
			const struct tcpseal_talker *talker, char *buf,
			size_t size)
{
	char addr[TCPSEAL_ADDR_STRLEN], names[256];

	talker_processes(talkers, talker, names, sizeof(names));
	tcpseal_addr_format(&talker->remote, addr, sizeof(addr));
	if (talker->remote_port)
		snprintf(buf, size, "%s port %u (%s)", addr,
			 talker->remote_port, names);
	else
		snprintf(buf, size, "%s to port %u here (%s)", addr,
			 talker->local_port, names);
	return buf;
}
