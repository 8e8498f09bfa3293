// SPDX-License-Identifier: LGPL-2.1-or-later
/* Attribute sets as tables: which attribute is which member of the struct. */
#include <string.h>
#include <linux/genetlink.h>

#include "internal.h"

enum kind {
	U8, U16, U32, U64, FLAG, ADDR, STR, BYTES, KEY, INSIDE, COUNTERS, DROPS,
};

struct attr_field {
	uint16_t attr;
	uint8_t kind;
	uint32_t offset;
	uint32_t size;
};

#define F(s, member, attr, kind) \
	{ TCPSEAL_A_##attr, kind, offsetof(struct tcpseal_##s, member), \
	  sizeof(((struct tcpseal_##s *)0)->member) }
#define SET(s, table) \
	{ table, sizeof(table) / sizeof(*(table)), \
	  offsetof(struct tcpseal_##s, has) }

static const struct attr_field counters_fields[] = {
	F(counters, sealed_records, COUNTERS_SEALED_RECORDS, U64),
	F(counters, sealed_bytes, COUNTERS_SEALED_BYTES, U64),
	F(counters, sealed_skbs, COUNTERS_SEALED_SKBS, U64),
	F(counters, opened_records, COUNTERS_OPENED_RECORDS, U64),
	F(counters, opened_bytes, COUNTERS_OPENED_BYTES, U64),
	F(counters, opened_skbs, COUNTERS_OPENED_SKBS, U64),
	F(counters, plain_out, COUNTERS_PLAIN_OUT, U64),
	F(counters, plain_out_bytes, COUNTERS_PLAIN_OUT_BYTES, U64),
	F(counters, plain_in, COUNTERS_PLAIN_IN, U64),
	F(counters, plain_in_bytes, COUNTERS_PLAIN_IN_BYTES, U64),
	F(counters, nontcp_out_bytes, COUNTERS_NONTCP_OUT_BYTES, U64),
	F(counters, nontcp_in_bytes, COUNTERS_NONTCP_IN_BYTES, U64),
	F(counters, held, COUNTERS_HELD, U64),
	F(counters, dropped, COUNTERS_DROPPED, U64),
};

static const struct attr_set attr_counters = SET(counters, counters_fields);

static const struct attr_field link_fields[] = {
	F(link, id, LINK_ID, U32),
	F(link, local.addr, LINK_LOCAL, ADDR),
	F(link, local.len, LINK_LOCAL_LEN, U8),
	F(link, remote.addr, LINK_REMOTE, ADDR),
	F(link, remote.len, LINK_REMOTE_LEN, U8),
	F(link, mode, LINK_MODE, U32),
	F(link, via, LINK_VIA, ADDR),
	F(link, identity, LINK_IDENTITY, STR),
	F(link, inside, LINK_INSIDE, INSIDE),
	F(link, aead, LINK_AEAD, U32),
	F(link, flags, LINK_FLAGS, U32),
	F(link, change, LINK_CHANGE, U32),
	F(link, stats, LINK_STATS, COUNTERS),
	F(link, since, LINK_SINCE, U64),
};

static const struct attr_field sa_fields[] = {
	F(sa, id, SA_ID, U32),
	F(sa, dir, SA_DIR, U32),
	F(sa, local, SA_LOCAL, ADDR),
	F(sa, peer, SA_PEER, ADDR),
	F(sa, spi, SA_SPI, U32),
	F(sa, aead, SA_AEAD, U32),
	F(sa, key, SA_KEY, KEY),
	F(sa, iv, SA_IV, BYTES),
	F(sa, lanes, SA_LANES, U32),
	F(sa, flags, SA_FLAGS, U32),
	F(sa, state, SA_STATE, U32),
	F(sa, generation, SA_GENERATION, U64),
	F(sa, mode_local, SA_MODE_LOCAL, U32),
	F(sa, mode_peer, SA_MODE_PEER, U32),
	F(sa, soft_bytes, SA_SOFT_BYTES, U64),
	F(sa, hard_bytes, SA_HARD_BYTES, U64),
	F(sa, soft_secs, SA_SOFT_SECS, U32),
	F(sa, hard_secs, SA_HARD_SECS, U32),
	F(sa, idle_secs, SA_IDLE_SECS, U32),
	F(sa, cert_fingerprint, SA_CERT_FINGERPRINT, BYTES),
	F(sa, cert_serial, SA_CERT_SERIAL, STR),
	F(sa, cert_issuer, SA_CERT_ISSUER, STR),
	F(sa, cert_name, SA_CERT_NAME, STR),
	F(sa, kex, SA_KEX, STR),
	F(sa, driver, SA_DRIVER, STR),
	F(sa, age_secs, SA_AGE_SECS, U32),
	F(sa, stats, SA_STATS, COUNTERS),
};

static const struct attr_field pair_fields[] = {
	F(pair, local, PAIR_LOCAL, ADDR),
	F(pair, remote, PAIR_REMOTE, ADDR),
	F(pair, remote_len, PAIR_REMOTE_LEN, U8),
	F(pair, link_id, PAIR_LINK_ID, U32),
	F(pair, mode_local, PAIR_MODE_LOCAL, U32),
	F(pair, mode_peer, PAIR_MODE_PEER, U32),
	F(pair, state, PAIR_STATE, U32),
	F(pair, flags, PAIR_FLAGS, U32),
	F(pair, sticky_since, PAIR_STICKY_SINCE, U64),
	F(pair, last_sealed, PAIR_LAST_SEALED, U64),
	F(pair, identity, PAIR_IDENTITY, STR),
	F(pair, reason, PAIR_REASON, STR),
	F(pair, backoff_secs, PAIR_BACKOFF_SECS, U32),
	F(pair, tx_id, PAIR_TX_ID, U32),
	F(pair, rx_id, PAIR_RX_ID, U32),
	F(pair, stats, PAIR_STATS, COUNTERS),
	F(pair, why, PAIR_WHY, U32),
	F(pair, want_only, PAIR_WANT_ONLY, FLAG),
	F(pair, held, PAIR_HELD, U32),
	F(pair, reason_secs, PAIR_REASON_SECS, U32),
	F(pair, clean_secs, PAIR_CLEAN_SECS, U32),
};

static const struct attr_field event_fields[] = {
	F(event, local, EVENT_LOCAL, ADDR),
	F(event, remote, EVENT_REMOTE, ADDR),
	F(event, spi, EVENT_SPI, U32),
	F(event, dir, EVENT_DIR, U32),
	F(event, reason, EVENT_REASON, U32),
	F(event, why, EVENT_WHY, U32),
	F(event, hard, EVENT_HARD, FLAG),
	F(event, cert_name, EVENT_CERT_NAME, STR),
	F(event, count, EVENT_COUNT, U64),
	F(event, generation, EVENT_GENERATION, U64),
	F(event, src, EVENT_SRC, ADDR),
	F(event, dst, EVENT_DST, ADDR),
};

static const struct attr_field stats_fields[] = {
	F(stats, total, STATS_TOTAL, COUNTERS),
	F(stats, drop, STATS_DROP, DROPS),
	F(stats, note, STATS_NOTE, DROPS),
	F(stats, links, STATS_LINKS, U32),
	F(stats, pairs, STATS_PAIRS, U32),
	F(stats, sas, STATS_SAS, U32),
	F(stats, tombstones, STATS_TOMBSTONES, U32),
	F(stats, version, STATS_VERSION, STR),
	F(stats, protocol, STATS_PROTOCOL, U32),
	F(stats, ctrl_port, STATS_CTRL_PORT, U32),
	F(stats, audit_secs, STATS_AUDIT_SECS, U32),
	F(stats, audit_slots, STATS_AUDIT_SLOTS, U32),
	F(stats, audit_talkers, STATS_AUDIT_TALKERS, U32),
	F(stats, audit_displaced, STATS_AUDIT_DISPLACED, U64),
	F(stats, audit_other, STATS_AUDIT_OTHER, COUNTERS),
	F(stats, audit_other_secs, STATS_AUDIT_OTHER_SECS, U32),
};

static const struct attr_field talker_fields[] = {
	F(talker, link_id, TALKER_LINK_ID, U32),
	F(talker, local, TALKER_LOCAL, ADDR),
	F(talker, remote, TALKER_REMOTE, ADDR),
	F(talker, local_port, TALKER_LOCAL_PORT, U16),
	F(talker, remote_port, TALKER_REMOTE_PORT, U16),
	F(talker, plain_out, TALKER_PLAIN_OUT, U64),
	F(talker, plain_out_bytes, TALKER_PLAIN_OUT_BYTES, U64),
	F(talker, plain_in, TALKER_PLAIN_IN, U64),
	F(talker, plain_in_bytes, TALKER_PLAIN_IN_BYTES, U64),
	F(talker, missed, TALKER_MISSED, U64),
	F(talker, first_secs, TALKER_FIRST_SECS, U32),
	F(talker, last_secs, TALKER_LAST_SECS, U32),
};

static const struct attr_field conf_fields[] = {
	F(conf, hold_secs, CONF_HOLD_SECS, U32),
	F(conf, hold_pair, CONF_HOLD_PAIR, U32),
	F(conf, hold_user, CONF_HOLD_USER, U32),
	F(conf, hold_net, CONF_HOLD_NET, U32),
	F(conf, grace_msecs, CONF_GRACE_MSECS, U32),
	F(conf, max_pairs, CONF_MAX_PAIRS, U32),
	F(conf, tombstone_secs, CONF_TOMBSTONE_SECS, U32),
	F(conf, aead_driver, CONF_AEAD_DRIVER, STR),
};

const struct attr_set attr_link = SET(link, link_fields);
const struct attr_set attr_sa = SET(sa, sa_fields);
const struct attr_set attr_pair = SET(pair, pair_fields);
const struct attr_set attr_event = SET(event, event_fields);
const struct attr_set attr_stats = SET(stats, stats_fields);
const struct attr_set attr_conf = SET(conf, conf_fields);
const struct attr_set attr_talker = SET(talker, talker_fields);

static void encode_inside(struct nlmsghdr *nlh, const struct tcpseal_link *link)
{
	unsigned int i;

	for (i = 0; i < link->inside_n && i < TCPSEAL_INSIDE_MAX; i++)
		mnl_attr_put_u32(nlh, TCPSEAL_A_LINK_INSIDE, link->inside[i]);
}

static void encode_key(struct nlmsghdr *nlh, const struct tcpseal_sa *sa)
{
	size_t len = sa->key_len;

	if (len > sizeof(sa->key))
		len = sizeof(sa->key);
	mnl_attr_put(nlh, TCPSEAL_A_SA_KEY, len, sa->key);
}

static void encode_one(struct nlmsghdr *nlh, const struct attr_field *f,
		       const void *from)
{
	const void *p = from + f->offset;
	const struct tcpseal_addr *addr = p;

	switch (f->kind) {
	case U8:
		mnl_attr_put_u8(nlh, f->attr, *(const uint8_t *)p);
		break;
	case U16:
		mnl_attr_put_u16(nlh, f->attr, *(const uint16_t *)p);
		break;
	case U32:
		mnl_attr_put_u32(nlh, f->attr, *(const uint32_t *)p);
		break;
	case U64:
		mnl_attr_put_u64(nlh, f->attr, *(const uint64_t *)p);
		break;
	case FLAG:
		if (*(const bool *)p)
			mnl_attr_put(nlh, f->attr, 0, NULL);
		break;
	case ADDR:
		mnl_attr_put(nlh, f->attr,
			     addr->len > 16 ? 16 : addr->len, addr->b);
		break;
	case STR:
		mnl_attr_put_strz(nlh, f->attr, p);
		break;
	case BYTES:
		mnl_attr_put(nlh, f->attr, f->size, p);
		break;
	case KEY:
		encode_key(nlh, from);
		break;
	case INSIDE:
		encode_inside(nlh, from);
		break;
	}
}

/* Puts the members that are marked and among `only` */
void attr_encode(struct nlmsghdr *nlh, const struct attr_set *set,
		 const void *from, uint64_t only)
{
	uint64_t has = *(const uint64_t *)(from + set->has) & only;
	unsigned int i;

	for (i = 0; i < set->n; i++)
		if (has >> set->fields[i].attr & 1)
			encode_one(nlh, &set->fields[i], from);
}

static void decode_attr(const struct nlattr *attr, const struct attr_set *set,
			void *to);

static void copy_string(char *to, size_t size, const struct nlattr *attr)
{
	size_t len = strnlen(mnl_attr_get_payload(attr),
			     mnl_attr_get_payload_len(attr));

	if (len >= size)
		len = size - 1;
	memcpy(to, mnl_attr_get_payload(attr), len);
	to[len] = '\0';
}

static void decode_drop(const struct nlattr *nest, struct tcpseal_drop_count *d)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, nest) {
		switch (mnl_attr_get_type(attr)) {
		case TCPSEAL_A_DROP_REASON:
			if (mnl_attr_get_payload_len(attr) == 4)
				d->reason = mnl_attr_get_u32(attr);
			break;
		case TCPSEAL_A_DROP_NAME:
			copy_string(d->name, sizeof(d->name), attr);
			break;
		case TCPSEAL_A_DROP_PACKETS:
			if (mnl_attr_get_payload_len(attr) == 8)
				d->packets = mnl_attr_get_u64(attr);
			break;
		}
	}
}

static void decode_drops(const struct nlattr *attr, struct tcpseal_stats *stats)
{
	struct tcpseal_drop_count *list = stats->drop;
	unsigned int *n = &stats->drop_n;

	if (mnl_attr_get_type(attr) == TCPSEAL_A_STATS_NOTE) {
		list = stats->note;
		n = &stats->note_n;
	}
	if (*n < sizeof(stats->drop) / sizeof(*stats->drop))
		decode_drop(attr, &list[(*n)++]);
}

static void decode_inside(const struct nlattr *attr, struct tcpseal_link *link)
{
	if (link->inside_n < TCPSEAL_INSIDE_MAX)
		link->inside[link->inside_n++] = mnl_attr_get_u32(attr);
}

/* false: not of the form it should have; the member counts as absent */
static bool decode_one(const struct nlattr *attr, const struct attr_field *f,
		       void *to)
{
	size_t len = mnl_attr_get_payload_len(attr);
	struct tcpseal_addr *addr = to + f->offset;
	const struct nlattr *inner;
	void *p = to + f->offset;

	switch (f->kind) {
	case U8:
	case U16:
	case U32:
	case U64:
		if (len != f->size)
			return false;
		memcpy(p, mnl_attr_get_payload(attr), len);
		return true;
	case BYTES:
		if (len != f->size)
			return false;
		memcpy(p, mnl_attr_get_payload(attr), len);
		return true;
	case FLAG:
		*(bool *)p = true;
		return true;
	case ADDR:
		if (len != 4 && len != 16)
			return false;
		addr->len = len;
		memcpy(addr->b, mnl_attr_get_payload(attr), len);
		return true;
	case STR:
		copy_string(p, f->size, attr);
		return true;
	case INSIDE:
		if (len != 4)
			return false;
		decode_inside(attr, to);
		return true;
	case DROPS:
		decode_drops(attr, to);
		return true;
	case COUNTERS:
		mnl_attr_for_each_nested(inner, attr)
			decode_attr(inner, &attr_counters, p);
		return true;
	}
	return false;
}

static void decode_attr(const struct nlattr *attr, const struct attr_set *set,
			void *to)
{
	uint16_t type = mnl_attr_get_type(attr);
	unsigned int i;

	for (i = 0; i < set->n; i++) {
		if (set->fields[i].attr != type)
			continue;
		if (decode_one(attr, &set->fields[i], to))
			*(uint64_t *)(to + set->has) |= 1ULL << type;
		return;
	}
}

/* Attributes that this library is too old for are passed over */
void attr_decode(const struct nlmsghdr *nlh, const struct attr_set *set,
		 void *to)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr))
		decode_attr(attr, set, to);
}
