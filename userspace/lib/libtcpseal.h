/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libtcpseal: the generic netlink family "tcpseal" as plain C calls, and the
 * words of the command line as data.
 *
 * Every structure has a bit mask `has`; bit N says that attribute N of the
 * set (TCPSEAL_A_LINK_..., TCPSEAL_A_SA_..., see linux/tcpseal.h) is present.
 * A request carries exactly the attributes whose bits are set, a reply sets
 * the bits of what the kernel said:
 *
 *	struct tcpseal_link link = {};
 *
 *	tcpseal_prefix_parse("10.1.0.0/16", &link.local);
 *	TCPSEAL_MARK(&link, LINK_LOCAL);
 *
 * The two halves of a prefix are marked together by either bit. Calls return
 * 0 or a negative errno; tcpseal_error() then has a sentence, the kernel's
 * own (extack) where it gave one. A handle belongs to one thread at a time.
 */
#ifndef LIBTCPSEAL_H
#define LIBTCPSEAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/tcpseal.h>
#include <linux/tcpseal_reasons.h>
#include <linux/tcpseal_socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TCPSEAL_BIT(attr)	(1ULL << TCPSEAL_A_##attr)
#define TCPSEAL_HAS(p, attr)	(!!((p)->has & TCPSEAL_BIT(attr)))
#define TCPSEAL_MARK(p, attr)	((p)->has |= TCPSEAL_BIT(attr))

#define TCPSEAL_PORT		7325
#define TCPSEAL_CONF_FILE	"/etc/tcpseal/tcpseal.conf"
#define TCPSEAL_ADDR_STRLEN	46	/* with the final zero byte */
#define TCPSEAL_PREFIX_STRLEN	50
#define TCPSEAL_LINK_STRLEN	1024
#define TCPSEAL_INSIDE_MAX	16	/* inside devices of one link */

/** A sentence about what went wrong, and where in the words, or -1. */
struct tcpseal_err {
	char text[256];
	int word;
};

/* ------------------------------------------------------- addresses */

/** An address; len is 4, 16, or 0 where there is none. */
struct tcpseal_addr {
	uint8_t len;
	uint8_t b[16];
};

struct tcpseal_prefix {
	struct tcpseal_addr addr;
	uint8_t len;			/* in bits */
};

/** 0, or -EINVAL where text is no IPv4 or IPv6 address. */
int tcpseal_addr_parse(const char *text, struct tcpseal_addr *addr);
/** Writes the address (at most TCPSEAL_ADDR_STRLEN bytes), returns buf. */
const char *tcpseal_addr_format(const struct tcpseal_addr *addr, char *buf,
				size_t size);
/** <0, 0, >0; IPv4 before IPv6, then numerically. */
int tcpseal_addr_cmp(const struct tcpseal_addr *a,
		     const struct tcpseal_addr *b);
/** All bytes zero, as the local address of a pair that seals for others. */
bool tcpseal_addr_is_zero(const struct tcpseal_addr *addr);

/**
 * "ADDR/len", or "ADDR" alone for the one address. -EINVAL: not a prefix;
 * -EDOM: bits set behind the length.
 */
int tcpseal_prefix_parse(const char *text, struct tcpseal_prefix *prefix);
const char *tcpseal_prefix_format(const struct tcpseal_prefix *prefix,
				  char *buf, size_t size);
bool tcpseal_prefix_has(const struct tcpseal_prefix *prefix,
			const struct tcpseal_addr *addr);
int tcpseal_prefix_cmp(const struct tcpseal_prefix *a,
		       const struct tcpseal_prefix *b);

/* ------------------------------------------------- what the kernel knows */

struct tcpseal_counters {
	uint64_t has;			/* TCPSEAL_A_COUNTERS_... */
	uint64_t sealed_records, sealed_bytes, sealed_skbs;
	uint64_t opened_records, opened_bytes, opened_skbs;
	uint64_t plain_out, plain_out_bytes, plain_in, plain_in_bytes;
	uint64_t nontcp_out_bytes, nontcp_in_bytes;
	uint64_t held, dropped;
};

struct tcpseal_link {
	uint64_t has;			/* TCPSEAL_A_LINK_... */
	uint32_t id;
	struct tcpseal_prefix local;
	struct tcpseal_prefix remote;
	uint32_t mode;			/* enum tcpseal_mode */
	struct tcpseal_addr via;
	char identity[128];
	uint32_t inside[TCPSEAL_INSIDE_MAX];	/* interface indices */
	unsigned int inside_n;
	uint32_t aead;			/* enum tcpseal_aead */
	uint32_t flags;			/* enum tcpseal_link_flag */
	uint32_t change;		/* enum tcpseal_change_flag, requests */
	uint64_t since;			/* seconds since the Epoch */
	struct tcpseal_counters stats;
};

struct tcpseal_sa {
	uint64_t has;			/* TCPSEAL_A_SA_... */
	uint32_t id;
	uint32_t dir;			/* enum tcpseal_dir */
	struct tcpseal_addr local;
	struct tcpseal_addr peer;
	uint32_t spi;
	uint32_t aead;			/* enum tcpseal_aead */
	uint8_t key[32];		/* requests only; wipe it yourself */
	uint8_t key_len;
	uint8_t iv[12];
	uint32_t lanes;
	uint32_t flags;			/* enum tcpseal_sa_flag */
	uint32_t state;			/* enum tcpseal_sa_state */
	uint64_t generation;
	uint32_t mode_local, mode_peer;	/* enum tcpseal_mode */
	uint64_t soft_bytes, hard_bytes;
	uint32_t soft_secs, hard_secs, idle_secs;
	uint8_t cert_fingerprint[32];
	char cert_serial[64];
	char cert_issuer[256];
	char cert_name[128];
	char kex[32];
	char driver[256];
	uint32_t age_secs;
	struct tcpseal_counters stats;
};

struct tcpseal_pair {
	uint64_t has;			/* TCPSEAL_A_PAIR_... */
	struct tcpseal_addr local;	/* all zero: seals for others */
	struct tcpseal_addr remote;
	uint8_t remote_len;		/* tcpseal_pair_forget() only */
	uint32_t link_id;
	uint32_t mode_local, mode_peer;	/* enum tcpseal_mode */
	uint32_t state;			/* enum tcpseal_pair_state */
	uint32_t flags;			/* enum tcpseal_pair_flag */
	uint64_t sticky_since, last_sealed;
	char identity[128];
	char reason[256];
	uint32_t reason_secs;
	uint32_t backoff_secs;
	uint32_t tx_id, rx_id;
	uint32_t why;			/* enum tcpseal_acquire_why */
	bool want_only;			/* filter of tcpseal_pair_dump() */
	uint32_t held;
	uint32_t clean_secs;		/* since plaintext last came in */
	struct tcpseal_counters stats;
};

/** One reason to drop, or one note, and how often it was. */
struct tcpseal_drop_count {
	uint32_t reason;
	char name[32];
	uint64_t packets;
};

struct tcpseal_stats {
	uint64_t has;			/* TCPSEAL_A_STATS_... */
	struct tcpseal_counters total;
	struct tcpseal_drop_count drop[64];
	unsigned int drop_n;
	struct tcpseal_drop_count note[64];
	unsigned int note_n;
	uint32_t links, pairs, sas, tombstones;
	char version[32];
	uint32_t protocol;
	uint32_t ctrl_port;		/* where a daemon listens */
	uint32_t audit_secs;		/* talkers are listed since then */
	uint32_t audit_slots, audit_talkers;
	uint64_t audit_displaced;
	struct tcpseal_counters audit_other;
	uint32_t audit_other_secs;
};

/** Two hosts and a service that talk plaintext on a link in audit or prefer. */
struct tcpseal_talker {
	uint64_t has;			/* TCPSEAL_A_TALKER_... */
	uint32_t link_id;
	struct tcpseal_addr local, remote;
	uint16_t local_port, remote_port;	/* of the service: one of them */
	uint64_t plain_out, plain_out_bytes;
	uint64_t plain_in, plain_in_bytes;
	uint64_t missed;		/* at most so much more, before */
	uint32_t first_secs, last_secs;	/* ago */
};

struct tcpseal_conf {
	uint64_t has;			/* TCPSEAL_A_CONF_... */
	uint32_t hold_secs, hold_pair, hold_user, hold_net;
	uint32_t grace_msecs;
	uint32_t max_pairs;
	uint32_t tombstone_secs;
	char aead_driver[128];
};

/**
 * What the kernel announced. cmd says which part is filled: `link` with
 * TCPSEAL_CMD_LINK_NTF, `pair` with TCPSEAL_CMD_PAIR_NTF, the flat fields
 * (presence in has, TCPSEAL_A_EVENT_...) with the others.
 */
struct tcpseal_event {
	uint8_t cmd;			/* TCPSEAL_CMD_..._NTF */
	uint64_t has;
	struct tcpseal_addr local, remote;
	uint32_t spi;
	uint32_t dir;
	uint32_t reason;		/* enum tcpseal_drop */
	uint32_t why;			/* expire-why or acquire-why */
	bool hard;
	char cert_name[128];
	uint64_t count;
	uint64_t generation;
	struct tcpseal_addr src, dst;
	struct tcpseal_link link;
	struct tcpseal_pair pair;
};

/* --------------------------------------------------------------- calls */

struct tcpseal;				/* a netlink socket */

/**
 * Opens the family in the network namespace of the calling thread. -ENOENT:
 * the module is not loaded. On failure *ts is NULL and err (if not NULL) has
 * the text.
 */
int tcpseal_open(struct tcpseal **ts, struct tcpseal_err *err);
/** As tcpseal_open(), and joined to the events; for tcpseal_event_read(). */
int tcpseal_open_events(struct tcpseal **ts, struct tcpseal_err *err);
void tcpseal_close(struct tcpseal *ts);
/** Why the last call on this handle failed; never NULL. */
const char *tcpseal_error(const struct tcpseal *ts);
/** To poll; of an events handle only. */
int tcpseal_fd(const struct tcpseal *ts);

/*
 * A callback returns 0 to go on; what else it returns ends the dump and is
 * returned by it. A dump that the kernel marks as interrupted (-EINTR) is
 * not repeated by the library.
 */
typedef int (*tcpseal_link_cb)(const struct tcpseal_link *link, void *data);
typedef int (*tcpseal_sa_cb)(const struct tcpseal_sa *sa, void *data);
typedef int (*tcpseal_pair_cb)(const struct tcpseal_pair *pair, void *data);
typedef int (*tcpseal_talker_cb)(const struct tcpseal_talker *talker,
				 void *data);
typedef int (*tcpseal_event_cb)(const struct tcpseal_event *ev, void *data);

/** Adds a link, or changes the one with the same two prefixes. */
int tcpseal_link_new(struct tcpseal *ts, const struct tcpseal_link *link);
/** Looks at local, remote and change. */
int tcpseal_link_del(struct tcpseal *ts, const struct tcpseal_link *link);
int tcpseal_link_flush(struct tcpseal *ts, uint32_t change);
/**
 * A transaction: between begin and commit tcpseal_link_new() and
 * tcpseal_link_del() on this handle only say what is wanted; commit does all of
 * it, or nothing. Read the links after begin: -EAGAIN from commit means that
 * somebody else has changed them since. Whatever commit returns, and after any
 * refusal, the transaction is over; so it is when the handle is closed.
 */
int tcpseal_link_begin(struct tcpseal *ts);
int tcpseal_link_commit(struct tcpseal *ts);
int tcpseal_link_abort(struct tcpseal *ts);
int tcpseal_link_dump(struct tcpseal *ts, tcpseal_link_cb cb, void *data);

/** The message is wiped after sending; the caller wipes sa. */
int tcpseal_sa_new(struct tcpseal *ts, const struct tcpseal_sa *sa);
/** Looks at dir, local, peer, spi and id, as marked. */
int tcpseal_sa_del(struct tcpseal *ts, const struct tcpseal_sa *sa);
/** flags 0: all; else those with one of these TCPSEAL_SA_FLAG_... */
int tcpseal_sa_flush(struct tcpseal *ts, uint32_t flags);
/** A pending sending SA becomes current. */
int tcpseal_sa_set(struct tcpseal *ts, const struct tcpseal_addr *local,
		   const struct tcpseal_addr *peer, uint64_t generation);
int tcpseal_sa_dump(struct tcpseal *ts, tcpseal_sa_cb cb, void *data);

/** filter: local, remote and want_only as marked; NULL for all. */
int tcpseal_pair_dump(struct tcpseal *ts, const struct tcpseal_pair *filter,
		      tcpseal_pair_cb cb, void *data);
int tcpseal_pair_set(struct tcpseal *ts, const struct tcpseal_pair *pair);
/** Looks at local (if marked), remote and remote_len. */
int tcpseal_pair_forget(struct tcpseal *ts, const struct tcpseal_pair *pair);
/** Looks at local (if marked) and remote. */
int tcpseal_pair_rekey(struct tcpseal *ts, const struct tcpseal_pair *pair);

int tcpseal_stats_get(struct tcpseal *ts, struct tcpseal_stats *stats);

/** Who talks plaintext on the link with this id; 0 for all links. */
int tcpseal_audit_dump(struct tcpseal *ts, uint32_t link_id,
		       tcpseal_talker_cb cb, void *data);
int tcpseal_audit_flush(struct tcpseal *ts);

/** port in host byte order. */
int tcpseal_ctrl_new(struct tcpseal *ts, int fd, uint16_t port);
int tcpseal_ctrl_del(struct tcpseal *ts, int fd);

int tcpseal_conf_set(struct tcpseal *ts, const struct tcpseal_conf *conf);
int tcpseal_conf_get(struct tcpseal *ts, struct tcpseal_conf *conf);

/**
 * Reads what has arrived on an events handle without waiting and calls cb
 * for each. 0: nothing (more) there; -ENOBUFS: events were lost, look at the
 * dumps; other: the socket is broken, or what cb returned.
 */
int tcpseal_event_read(struct tcpseal *ts, tcpseal_event_cb cb, void *data);

/* --------------------------------------------------------- connections */

/** Flags of a connection that is sealed both ways, and was from its start. */
#define TCPSEAL_SOCKET_SEALED						\
	(TCPSEAL_SOCKET_SEALS | TCPSEAL_SOCKET_REFUSES_PLAIN |		\
	 TCPSEAL_SOCKET_FROM_START)

/**
 * Is the connection of this TCP socket sealed, and with whom? Needs neither a
 * handle nor a privilege. -ENOPROTOOPT: the module is not loaded, or fd is no
 * TCP socket; -ENOTCONN: it is not connected.
 */
int tcpseal_socket_info(int fd, struct tcpseal_socket_info *info);

/* --------------------------------------------------------------- words */

/*
 * Names as the command line prints and reads them. ..._name() never returns
 * NULL: what it does not know is "?". ..._parse() returns 0 or -EINVAL.
 */
const char *tcpseal_mode_name(uint32_t mode);
int tcpseal_mode_parse(const char *word, uint32_t *mode);
const char *tcpseal_aead_name(uint32_t aead);	/* "aes256", "aes128" */
int tcpseal_aead_parse(const char *word, uint32_t *aead);
unsigned int tcpseal_aead_keylen(uint32_t aead);	/* 0: unknown */
const char *tcpseal_dir_name(uint32_t dir);	/* "in", "out" */
int tcpseal_dir_parse(const char *word, uint32_t *dir);
const char *tcpseal_sa_state_name(uint32_t state);
const char *tcpseal_pair_state_name(uint32_t state);
const char *tcpseal_expire_why_name(uint32_t why);
const char *tcpseal_acquire_why_name(uint32_t why);
const char *tcpseal_cmd_name(uint8_t cmd);	/* "acquire", "tamper"... */
const char *tcpseal_drop_name(uint32_t reason);
const char *tcpseal_drop_text(uint32_t reason);
const char *tcpseal_note_name(uint32_t note);
const char *tcpseal_note_text(uint32_t note);

/** What two modes make of a pair; the same on both ends. */
enum tcpseal_outcome {
	TCPSEAL_OUTCOME_PLAIN,
	TCPSEAL_OUTCOME_SEALED,
	TCPSEAL_OUTCOME_SEALED_STICKY,
	TCPSEAL_OUTCOME_BLOCKED,
};
/** peer may be -1: a host without tcpseal. */
enum tcpseal_outcome tcpseal_matrix(uint32_t local, int peer);
const char *tcpseal_outcome_name(enum tcpseal_outcome outcome);

/**
 * The words behind "link add":
 *
 *	LOCAL/len REMOTE/len [mode clear|audit|prefer|require]
 *		[via ADDR] [identity NAME] [forward dev NAME...]
 *		[aead aes256|aes128] [nontcp pass|drop]
 *		[keys negotiated|manual] [old-connections keep|reset]
 *		[weaken]
 *
 * Fills link with everything marked that the words say; mode is audit where
 * they do not. -EINVAL: err->text names the bad word, err->word is its index.
 * Devices are looked up in the namespace of the caller (-ENODEV).
 */
int tcpseal_link_parse(int argc, char *const argv[], struct tcpseal_link *link,
		       struct tcpseal_err *err);
/** LOCAL/len REMOTE/len alone, as behind "link del". */
int tcpseal_link_prefixes_parse(int argc, char *const argv[],
				struct tcpseal_link *link,
				struct tcpseal_err *err);
/** The link in the words that tcpseal_link_parse() reads. Returns buf. */
const char *tcpseal_link_format(const struct tcpseal_link *link, char *buf,
				size_t size);
/** Its AEAD; the default where it does not say one. */
uint32_t tcpseal_link_aead(const struct tcpseal_link *link);
/** Do both stand for the same addresses? */
bool tcpseal_link_same_prefixes(const struct tcpseal_link *a,
				const struct tcpseal_link *b);
/** Do both say the same of them? Ids, counters and what is asked aside. */
bool tcpseal_link_same(const struct tcpseal_link *a,
		       const struct tcpseal_link *b);
/** Decimal number with K, M, G, T behind it (powers of 1024). */
int tcpseal_size_parse(const char *word, uint64_t *size);
/** Decimal seconds, or with s, m, h, d behind them. */
int tcpseal_secs_parse(const char *word, uint32_t *secs);
/** Hexadecimal bytes, exactly as many as there is room for in len. */
int tcpseal_hex_parse(const char *word, uint8_t *bytes, size_t len);

#ifdef __cplusplus
}
#endif

#endif /* LIBTCPSEAL_H */
