// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What the kernel said, as lists and as JSON.
 *
 * The names are those of Documentation/netlink/specs/tcpseal.yaml, with "_"
 * for "-"; what the kernel did not say is absent. Addresses are strings,
 * enumerations their names, flags arrays of names, binary data hexadecimal.
 */
#include <errno.h>
#include <inttypes.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

#define DUMP_TRIES	10

struct tcpseal *kernel_open(void)
{
	struct tcpseal_err err = { };
	struct tcpseal *ts;

	if (tcpseal_open(&ts, &err)) {
		refuse("%s", err.text);
		return NULL;
	}
	return ts;
}

int kernel_refused(struct tcpseal *ts)
{
	return refuse("%s", tcpseal_error(ts));
}

/* ------------------------------------------------------------- lists */

static int list_add(struct list *list, const void *item)
{
	void *items;
	size_t room;

	if (list->n == list->room) {
		room = list->room ? 2 * list->room : 64;
		items = reallocarray(list->items, room, list->size);
		if (!items)
			return -ENOMEM;
		list->items = items;
		list->room = room;
	}
	memcpy((char *)list->items + list->n++ * list->size, item, list->size);
	return 0;
}

static int add_link(const struct tcpseal_link *link, void *data)
{
	return list_add(data, link);
}

static int add_sa(const struct tcpseal_sa *sa, void *data)
{
	return list_add(data, sa);
}

static int add_pair(const struct tcpseal_pair *pair, void *data)
{
	return list_add(data, pair);
}

static int add_talker(const struct tcpseal_talker *talker, void *data)
{
	return list_add(data, talker);
}

enum dump_of { LINKS, SAS, PAIRS, TALKERS };

/* filter: a pair, or the id of a link; or NULL */
static int dump(struct tcpseal *ts, enum dump_of what, const void *filter,
		struct list *list)
{
	switch (what) {
	case LINKS:
		return tcpseal_link_dump(ts, add_link, list);
	case SAS:
		return tcpseal_sa_dump(ts, add_sa, list);
	case PAIRS:
		return tcpseal_pair_dump(ts, filter, add_pair, list);
	case TALKERS:
		return tcpseal_audit_dump(ts, *(const uint32_t *)filter,
					  add_talker, list);
	}
	return -EINVAL;
}

/* a dump that something changed meanwhile is asked for again */
static int dump_whole(struct tcpseal *ts, enum dump_of what, size_t size,
		      const void *filter, struct list *list)
{
	int tries = DUMP_TRIES;
	int ret;

	memset(list, 0, sizeof(*list));
	list->size = size;
	do {
		list->n = 0;
		ret = dump(ts, what, filter, list);
	} while (ret == -EINTR && --tries);
	if (!ret)
		return 0;
	if (ret == -EINTR) {
		note("the kernel's list changed while it was read");
		return 0;
	}
	list_free(list);
	if (ret == -ENOMEM)
		return refuse("out of memory");
	return kernel_refused(ts);
}

int list_links(struct tcpseal *ts, struct list *list)
{
	return dump_whole(ts, LINKS, sizeof(struct tcpseal_link), NULL, list);
}

static int by_id(const void *a, const void *b)
{
	const struct tcpseal_sa *sa = a;
	const struct tcpseal_sa *other = b;

	return (sa->id > other->id) - (sa->id < other->id);
}

int list_sas(struct tcpseal *ts, struct list *list)
{
	int ret;

	ret = dump_whole(ts, SAS, sizeof(struct tcpseal_sa), NULL, list);
	if (!ret && list->n)
		qsort(list->items, list->n, list->size, by_id);
	return ret;
}

int list_pairs(struct tcpseal *ts, const struct tcpseal_pair *filter,
	       struct list *list)
{
	return dump_whole(ts, PAIRS, sizeof(struct tcpseal_pair), filter,
			  list);
}

int list_talkers(struct tcpseal *ts, uint32_t link_id, struct list *list)
{
	return dump_whole(ts, TALKERS, sizeof(struct tcpseal_talker), &link_id,
			  list);
}

static bool resolved(const struct list *pairs, const struct list *sas)
{
	const struct tcpseal_pair *pair = pairs->items;
	size_t i;

	for (i = 0; i < pairs->n; i++, pair++) {
		if ((pair->tx_id && !find_sa(sas, pair->tx_id)) ||
		    (pair->rx_id && !find_sa(sas, pair->rx_id)))
			return false;
	}
	return true;
}

/*
 * Pairs and the SAs they use. Those are two dumps: where a rotation came
 * between them, both are asked for again.
 */
int list_peers(struct tcpseal *ts, const struct tcpseal_pair *filter,
	       struct list *pairs, struct list *sas)
{
	int tries = DUMP_TRIES;
	int ret;

	for (;;) {
		ret = list_pairs(ts, filter, pairs);
		if (ret)
			return ret;
		ret = list_sas(ts, sas);
		if (ret) {
			list_free(pairs);
			return ret;
		}
		if (resolved(pairs, sas) || !--tries)
			return 0;
		list_free(pairs);
		list_free(sas);
	}
}

void list_free(struct list *list)
{
	free(list->items);
	list->items = NULL;
	list->n = 0;
	list->room = 0;
}

const struct tcpseal_sa *find_sa(const struct list *sas, uint32_t id)
{
	const struct tcpseal_sa key = { .id = id };

	if (!id || !sas->n)
		return NULL;
	return bsearch(&key, sas->items, sas->n, sas->size, by_id);
}

const struct tcpseal_link *find_link(const struct list *links,
				     const struct tcpseal_link *like)
{
	const struct tcpseal_link *link = links->items;
	size_t i;

	for (i = 0; i < links->n; i++, link++) {
		if (tcpseal_link_same_prefixes(link, like))
			return link;
	}
	return NULL;
}

/* -------------------------------------------------------------- JSON */

const char *aead_name(uint32_t aead)
{
	switch (aead) {
	case TCPSEAL_AEAD_AES256_GCM:
		return "aes256-gcm";
	case TCPSEAL_AEAD_AES128_GCM:
		return "aes128-gcm";
	}
	return "?";
}

void put(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, value))
		abort();	/* out of memory */
}

/* jansson's integers are signed: "no limit" becomes the largest of them */
static void put_num(json_t *object, const char *key, uint64_t value)
{
	if (value > INT64_MAX)
		value = INT64_MAX;
	put(object, key, json_integer((json_int_t)value));
}

static void make_ascii(char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text >= 0x80)
			*text = '?';
	}
}

/* what a newer kernel counts has names of its own, and no key may be no UTF-8 */
static void put_count(json_t *object, const struct tcpseal_drop_count *count)
{
	char name[sizeof(count->name)];

	memcpy(name, count->name, sizeof(name));
	make_ascii(name);
	put_num(object, name, count->packets);
}

/* names come from certificates: what is not UTF-8 must not be lost */
json_t *text_json(const char *text)
{
	json_t *string = json_string(text);
	char *copy;

	if (string)
		return string;
	copy = strdup(text);
	if (!copy)
		abort();
	make_ascii(copy);
	string = json_string(copy);
	free(copy);
	return string;
}

void put_str(json_t *object, const char *key, const char *value)
{
	put(object, key, text_json(value));
}

void say(json_t *list, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (json_array_append_new(list, text_json(text)))
		abort();	/* out of memory */
}

/* a name, not a quantity; as a number it would be rounded by many readers */
static void put_generation(json_t *object, uint64_t generation)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%" PRIu64, generation);
	put_str(object, "generation", buf);
}

void put_addr(json_t *object, const char *key, const struct tcpseal_addr *addr)
{
	char buf[TCPSEAL_ADDR_STRLEN];

	put_str(object, key, tcpseal_addr_format(addr, buf, sizeof(buf)));
}

static void put_flags(json_t *object, uint32_t flags,
		      const char *const *names, size_t n)
{
	json_t *array = json_array();
	char unknown[16];
	size_t i;

	for (i = 0; i < 32; i++) {
		if (!(flags & (1U << i)))
			continue;
		snprintf(unknown, sizeof(unknown), "bit-%zu", i);
		json_array_append_new(array, json_string(i < n ? names[i] :
							 unknown));
	}
	put(object, "flags", array);
}

static void put_hex(json_t *object, const char *key, const uint8_t *bytes,
		    size_t len)
{
	char hex[2 * 32 + 1];
	size_t i;

	for (i = 0; i < len && i < 32; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
	put_str(object, key, hex);
}

/* @p->has and the attribute decide; names are the attribute's */
#define NUM(set, attr, field)						\
	do {								\
		if (TCPSEAL_HAS(p, set##_##attr))			\
			put_num(o, #field, p->field);			\
	} while (0)
#define STR(set, attr, field)						\
	do {								\
		if (TCPSEAL_HAS(p, set##_##attr))			\
			put_str(o, #field, p->field);			\
	} while (0)
#define ADDR(set, attr, field)						\
	do {								\
		if (TCPSEAL_HAS(p, set##_##attr))			\
			put_addr(o, #field, &p->field);			\
	} while (0)
#define NAME(set, attr, field, name)					\
	do {								\
		if (TCPSEAL_HAS(p, set##_##attr))			\
			put_str(o, #field, name(p->field));		\
	} while (0)

/* always all of them: a counter that is absent is a zero */
json_t *counters_json(const struct tcpseal_counters *p)
{
	json_t *o = json_object();

#define COUNTER(field) put_num(o, #field, p->field)
	COUNTER(sealed_records);
	COUNTER(sealed_bytes);
	COUNTER(sealed_skbs);
	COUNTER(opened_records);
	COUNTER(opened_bytes);
	COUNTER(opened_skbs);
	COUNTER(plain_out);
	COUNTER(plain_out_bytes);
	COUNTER(plain_in);
	COUNTER(plain_in_bytes);
	COUNTER(nontcp_out_bytes);
	COUNTER(nontcp_in_bytes);
	COUNTER(held);
	COUNTER(dropped);
#undef COUNTER
	return o;
}

json_t *link_json(const struct tcpseal_link *p)
{
	static const char *const flags[] = {
		"forward", "nontcp-drop", "old-reset", "keys-manual",
	};
	char name[IF_NAMESIZE];
	json_t *o = json_object();
	json_t *inside;
	unsigned int i;

	NUM(LINK, ID, id);
	put_addr(o, "local", &p->local.addr);
	put_num(o, "local_len", p->local.len);
	put_addr(o, "remote", &p->remote.addr);
	put_num(o, "remote_len", p->remote.len);
	NAME(LINK, MODE, mode, tcpseal_mode_name);
	ADDR(LINK, VIA, via);
	STR(LINK, IDENTITY, identity);
	if (TCPSEAL_HAS(p, LINK_INSIDE)) {
		inside = json_array();
		for (i = 0; i < p->inside_n; i++) {
			if (!if_indextoname(p->inside[i], name))
				snprintf(name, sizeof(name), "if%u",
					 p->inside[i]);
			json_array_append_new(inside, json_string(name));
		}
		put(o, "inside", inside);
	}
	NAME(LINK, AEAD, aead, aead_name);
	put_flags(o, p->flags, flags, ARRAY_SIZE(flags));
	if (TCPSEAL_HAS(p, LINK_STATS))
		put(o, "stats", counters_json(&p->stats));
	NUM(LINK, SINCE, since);
	return o;
}

json_t *sa_json(const struct tcpseal_sa *p)
{
	static const char *const flags[] = {
		"manual", "pending", "initiator", "logged",
	};
	json_t *o = json_object();

	NUM(SA, ID, id);
	NAME(SA, DIR, dir, tcpseal_dir_name);
	ADDR(SA, LOCAL, local);
	ADDR(SA, PEER, peer);
	NUM(SA, SPI, spi);
	NAME(SA, AEAD, aead, aead_name);
	NUM(SA, LANES, lanes);
	put_flags(o, p->flags, flags, ARRAY_SIZE(flags));
	NAME(SA, STATE, state, tcpseal_sa_state_name);
	if (TCPSEAL_HAS(p, SA_GENERATION))
		put_generation(o, p->generation);
	NAME(SA, MODE_LOCAL, mode_local, tcpseal_mode_name);
	NAME(SA, MODE_PEER, mode_peer, tcpseal_mode_name);
	NUM(SA, SOFT_BYTES, soft_bytes);
	NUM(SA, HARD_BYTES, hard_bytes);
	NUM(SA, SOFT_SECS, soft_secs);
	NUM(SA, HARD_SECS, hard_secs);
	NUM(SA, IDLE_SECS, idle_secs);
	if (TCPSEAL_HAS(p, SA_CERT_FINGERPRINT))
		put_hex(o, "cert_fingerprint", p->cert_fingerprint,
			sizeof(p->cert_fingerprint));
	STR(SA, CERT_SERIAL, cert_serial);
	STR(SA, CERT_ISSUER, cert_issuer);
	STR(SA, CERT_NAME, cert_name);
	STR(SA, KEX, kex);
	STR(SA, DRIVER, driver);
	NUM(SA, AGE_SECS, age_secs);
	if (TCPSEAL_HAS(p, SA_STATS))
		put(o, "stats", counters_json(&p->stats));
	return o;
}

json_t *pair_json(const struct tcpseal_pair *p)
{
	static const char *const flags[] = {
		"sticky", "want", "held", "refused", "agreed",
	};
	json_t *o = json_object();

	ADDR(PAIR, LOCAL, local);
	ADDR(PAIR, REMOTE, remote);
	NUM(PAIR, LINK_ID, link_id);
	NAME(PAIR, MODE_LOCAL, mode_local, tcpseal_mode_name);
	NAME(PAIR, MODE_PEER, mode_peer, tcpseal_mode_name);
	NAME(PAIR, STATE, state, tcpseal_pair_state_name);
	put_flags(o, p->flags, flags, ARRAY_SIZE(flags));
	NUM(PAIR, STICKY_SINCE, sticky_since);
	NUM(PAIR, LAST_SEALED, last_sealed);
	STR(PAIR, IDENTITY, identity);
	STR(PAIR, REASON, reason);
	NUM(PAIR, REASON_SECS, reason_secs);
	NUM(PAIR, BACKOFF_SECS, backoff_secs);
	NUM(PAIR, TX_ID, tx_id);
	NUM(PAIR, RX_ID, rx_id);
	if (TCPSEAL_HAS(p, PAIR_STATS))
		put(o, "stats", counters_json(&p->stats));
	NAME(PAIR, WHY, why, tcpseal_acquire_why_name);
	NUM(PAIR, HELD, held);
	NUM(PAIR, CLEAN_SECS, clean_secs);
	return o;
}

/* a pair, and the SAs that it uses now */
json_t *peer_json(const struct tcpseal_pair *pair, const struct list *sas)
{
	json_t *o = pair_json(pair);
	const struct tcpseal_sa *sa;

	sa = find_sa(sas, pair->tx_id);
	if (sa)
		put(o, "tx", sa_json(sa));
	sa = find_sa(sas, pair->rx_id);
	if (sa)
		put(o, "rx", sa_json(sa));
	return o;
}

json_t *talker_json(const struct tcpseal_talker *p)
{
	json_t *o = json_object();

	NUM(TALKER, LINK_ID, link_id);
	ADDR(TALKER, LOCAL, local);
	ADDR(TALKER, REMOTE, remote);
	NUM(TALKER, LOCAL_PORT, local_port);
	NUM(TALKER, REMOTE_PORT, remote_port);
	NUM(TALKER, PLAIN_OUT, plain_out);
	NUM(TALKER, PLAIN_OUT_BYTES, plain_out_bytes);
	NUM(TALKER, PLAIN_IN, plain_in);
	NUM(TALKER, PLAIN_IN_BYTES, plain_in_bytes);
	NUM(TALKER, MISSED, missed);
	NUM(TALKER, FIRST_SECS, first_secs);
	NUM(TALKER, LAST_SECS, last_secs);
	return o;
}

/* every reason that this program or the kernel knows, zeros included */
json_t *stats_json(const struct tcpseal_stats *p)
{
	json_t *drop = json_object();
	json_t *note = json_object();
	json_t *o = json_object();
	unsigned int i;

#define X(nr, id, name, text) put_num(drop, name, 0);
	TCPSEAL_DROP_REASONS(X)
#undef X
#define X(nr, id, name, text) put_num(note, name, 0);
	TCPSEAL_NOTES(X)
#undef X
	for (i = 0; i < p->drop_n; i++)
		put_count(drop, &p->drop[i]);
	for (i = 0; i < p->note_n; i++)
		put_count(note, &p->note[i]);

	STR(STATS, VERSION, version);
	NUM(STATS, PROTOCOL, protocol);
	NUM(STATS, CTRL_PORT, ctrl_port);
	NUM(STATS, LINKS, links);
	NUM(STATS, PAIRS, pairs);
	NUM(STATS, SAS, sas);
	NUM(STATS, TOMBSTONES, tombstones);
	NUM(STATS, AUDIT_SECS, audit_secs);
	NUM(STATS, AUDIT_SLOTS, audit_slots);
	NUM(STATS, AUDIT_TALKERS, audit_talkers);
	NUM(STATS, AUDIT_DISPLACED, audit_displaced);
	if (TCPSEAL_HAS(p, STATS_AUDIT_OTHER))
		put(o, "audit_other", counters_json(&p->audit_other));
	NUM(STATS, AUDIT_OTHER_SECS, audit_other_secs);
	put(o, "total", counters_json(&p->total));
	put(o, "drop", drop);
	put(o, "note", note);
	return o;
}

json_t *event_json(const struct tcpseal_event *p)
{
	json_t *o = json_object();
	json_t *more = NULL;

	put_str(o, "event", tcpseal_cmd_name(p->cmd));
	switch (p->cmd) {
	case TCPSEAL_CMD_LINK_NTF:
		more = link_json(&p->link);
		break;
	case TCPSEAL_CMD_PAIR_NTF:
		more = pair_json(&p->pair);
		break;
	}
	if (more) {
		json_object_update(o, more);
		json_decref(more);
		return o;
	}
	ADDR(EVENT, LOCAL, local);
	ADDR(EVENT, REMOTE, remote);
	NUM(EVENT, SPI, spi);
	NAME(EVENT, DIR, dir, tcpseal_dir_name);
	NAME(EVENT, REASON, reason, tcpseal_drop_name);
	if (p->cmd == TCPSEAL_CMD_EXPIRE_NTF)
		NAME(EVENT, WHY, why, tcpseal_expire_why_name);
	else
		NAME(EVENT, WHY, why, tcpseal_acquire_why_name);
	if (p->cmd == TCPSEAL_CMD_EXPIRE_NTF)
		put(o, "hard", json_boolean(TCPSEAL_HAS(p, EVENT_HARD)));
	STR(EVENT, CERT_NAME, cert_name);
	ADDR(EVENT, SRC, src);
	ADDR(EVENT, DST, dst);
	NUM(EVENT, COUNT, count);
	if (TCPSEAL_HAS(p, EVENT_GENERATION))
		put_generation(o, p->generation);
	return o;
}
