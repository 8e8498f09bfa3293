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
int list_talkers(struct tcpseal *ts, uint32_t link_id, struct list *list);
const struct tcpseal_sa *find_sa(const struct list *sas, uint32_t id);
/* the link of the same two prefixes, or NULL */
const struct tcpseal_link *find_link(const struct list *links,
				     const struct tcpseal_link *like);

const char *aead_name(uint32_t aead);

void put(json_t *object, const char *key, json_t *value);
void put_str(json_t *object, const char *key, const char *value);
void put_addr(json_t *object, const char *key, const struct tcpseal_addr *addr);
json_t *text_json(const char *text);
/* one more sentence in an array of them */
void say(json_t *list, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
json_t *counters_json(const struct tcpseal_counters *counters);
json_t *link_json(const struct tcpseal_link *link);
json_t *sa_json(const struct tcpseal_sa *sa);
json_t *pair_json(const struct tcpseal_pair *pair);
json_t *peer_json(const struct tcpseal_pair *pair, const struct list *sas);
json_t *stats_json(const struct tcpseal_stats *stats);
json_t *talker_json(const struct tcpseal_talker *talker);
json_t *event_json(const struct tcpseal_event *ev);

/* talker.c: who talks plaintext, and what would become of it */
enum outlook {
	OUTLOOK_SEAL,		/* the peer can and would */
	OUTLOOK_DROP,
	OUTLOOK_CONTROL,	/* tcpseald's own, which stays as it is */
};

struct talkers {
	struct list list;			/* of struct tcpseal_talker */
	const struct tcpseal_pair **pairs;	/* by addresses */
	size_t pairs_n;
	uint32_t ctrl_port;
	struct processes *processes;
};

int talkers_take(struct tcpseal *ts, uint32_t link_id,
		 const struct tcpseal_stats *stats, const struct list *pairs,
		 struct talkers *talkers);
void talkers_release(struct talkers *talkers);
/* why: for OUTLOOK_DROP, in buf */
enum outlook talker_outlook(const struct talkers *talkers,
			    const struct tcpseal_talker *talker,
			    const struct tcpseal_link *link, char *why,
			    size_t size);
/* the names of those whose sockets they are now, or "-" */
const char *talker_processes(const struct talkers *talkers,
			     const struct tcpseal_talker *talker, char *buf,
			     size_t size);
/* "10.2.0.5 port 5432 (postgres)" */
const char *talker_name(const struct talkers *talkers,
			const struct tcpseal_talker *talker, char *buf,
			size_t size);
uint64_t talker_bytes(const struct tcpseal_talker *talker);

/* ready.c: what stands between a link and mode "require" */
#define PROMOTE_SECS	86400	/* so long without plaintext, unless said */

struct state {
	struct tcpseal_stats stats;
	const struct tcpseal_pair **pairs;	/* by link */
	size_t pairs_n;
	struct talkers talkers;
	uint64_t now;
};

int state_take(struct tcpseal *ts, const struct list *pairs, struct state *s);
void state_release(struct state *s);
json_t *link_obstacles(const struct state *s, const struct tcpseal_link *link,
		       uint32_t within);
int64_t link_plain_secs(const struct state *s, const struct tcpseal_link *link);
int link_sealed_share(const struct tcpseal_link *link);
int link_promote(int argc, char **argv);

/* diag.c */
struct inet_diag_msg;

void diag_addr(struct tcpseal_addr *to, int family, const uint32_t *from);
bool diag_dump(uint32_t states,
	       void (*see)(const struct inet_diag_msg *d, void *data),
	       void *data);

/* why.c: what decides on a connection between two addresses */
bool is_here(const struct tcpseal_addr *addr);
const struct tcpseal_link *link_between(const struct list *links,
					const struct tcpseal_addr *local,
					const struct tcpseal_addr *remote);
struct tcpseal_pair pair_between(const struct tcpseal_link *link,
				 const struct tcpseal_addr *local,
				 const struct tcpseal_addr *remote);

/* process.c */
struct processes;

struct processes *processes_find(const struct tcpseal_talker *talkers,
				 size_t n);
/* the i-th of those that have sockets of this one, or NULL */
const char *process_of(const struct processes *processes, size_t talker,
		       size_t i);
void processes_free(struct processes *processes);

/* what several commands render */
void print_plain(const json_t *stats);
void print_sealed(const json_t *stats);
void print_traffic(const json_t *stats);
void print_link_text(const json_t *link);
void print_peer_text(const json_t *peer);

#endif /* TCPSEAL_MODEL_H */
