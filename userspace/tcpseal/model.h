/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel said: lists of it, and the JSON of each. */
#ifndef TCPSEAL_MODEL_H
#define TCPSEAL_MODEL_H

#include <jansson.h>
#include <stddef.h>

#include "libtcpseal.h"

/* a whole dump; SAs are sorted by id */
struct list {
	void *items;
	size_t size;		/* of one item */
	size_t n;
	size_t room;
};

struct tcpseal *kernel_open(void);
int kernel_refused(struct tcpseal *ts);

int list_links(struct tcpseal *ts, struct list *list);
int list_sas(struct tcpseal *ts, struct list *list);
int list_pairs(struct tcpseal *ts, const struct tcpseal_pair *filter,
	       struct list *list);
int list_peers(struct tcpseal *ts, const struct tcpseal_pair *filter,
	       struct list *pairs, struct list *sas);
void list_free(struct list *list);
const struct tcpseal_sa *find_sa(const struct list *sas, uint32_t id);

const char *aead_name(uint32_t aead);

void put(json_t *object, const char *key, json_t *value);
void put_str(json_t *object, const char *key, const char *value);
void put_addr(json_t *object, const char *key, const struct tcpseal_addr *addr);
json_t *counters_json(const struct tcpseal_counters *counters);
json_t *link_json(const struct tcpseal_link *link);
json_t *sa_json(const struct tcpseal_sa *sa);
json_t *pair_json(const struct tcpseal_pair *pair);
json_t *peer_json(const struct tcpseal_pair *pair, const struct list *sas);
json_t *stats_json(const struct tcpseal_stats *stats);
json_t *event_json(const struct tcpseal_event *ev);

/* what several commands render */
void print_plain(const json_t *stats);
void print_sealed(const json_t *stats);
void print_traffic(const json_t *stats);
void print_link_text(const json_t *link);
void print_peer_text(const json_t *peer);

#endif /* TCPSEAL_MODEL_H */
