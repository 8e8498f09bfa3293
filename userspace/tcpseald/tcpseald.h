/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of tcpseald know of each other, one heading a file. */
#ifndef TCPSEALD_H
#define TCPSEALD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

#include <event2/event.h>
#include <openssl/ssl.h>

#include "libtcpseal.h"

#define REASON_LEN	256		/* a sentence, as the kernel keeps it */

/* main.c */
extern struct event_base *loop;

const char *conf_path(void);		/* what a start reads */
uint64_t now_ms(void);			/* CLOCK_BOOTTIME */
uint32_t random_u32(void);
/* value, less or more by up to a quarter of it */
uint64_t jitter(uint64_t value);
struct timeval ms_timeval(uint64_t ms);

/*
 * memory.c: secrets neither in core files nor in swap, nor in reach of a debugger,
 * nor in what OpenSSL has freed; before its first use
 */
int memory_discreet(void);

/* sandbox.c: from now on only the system calls that it needs, in all threads */
void sandbox_enter(void);

/* log.c */
enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
		 LOG_LEVEL_DEBUG };

void log_set_level(enum log_level level);
void log_line(enum log_level level, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

#define log_error(...)	log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)	log_line(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)	log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)	log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/* Two buffers for an address, for log lines */
struct addr_text {
	char s[TCPSEAL_ADDR_STRLEN];
};

const char *text_of(const struct tcpseal_addr *addr, struct addr_text *text);

/* conf.c */
struct conf_link {
	struct tcpseal_link link;
	unsigned int line;
};

/* Where metrics are asked for; len 0: nowhere */
struct metrics_at {
	struct sockaddr_storage addr;
	socklen_t len;
	char *text;			/* as the file says it */
	unsigned int line;
};

struct conf {
	char *name;			/* of the file, for errors */
	char *cert, *key, *ca, *crl;
	char *eku;			/* OID, "any", or NULL: TLS's own */
	char *keylog;			/* laboratory: keys go there, or NULL */
	char *state;			/* directory */
	struct conf_link *links;
	size_t links_n;
	struct metrics_at metrics;
	struct tcpseal_conf kernel;
	uint64_t rotate_bytes;
	uint32_t rotate_secs, hard_secs, idle_secs;
	uint32_t clock_skew;
	uint32_t lanes, workers, connections, sticky_max;
	uint16_t port;
	enum log_level log_level;
	bool crl_stale_fails;
};

/*
 * Reads a whole configuration from memory: no files are opened, but devices
 * are looked up. NULL: error has "NAME:LINE: reason".
 */
struct conf *conf_parse(const char *name, const char *text, size_t length,
			char *error, size_t size);
struct conf *conf_read(const char *file, char *error, size_t size);
void conf_free(struct conf *conf);

/* keylog.c */
void keylog_write(const struct conf *conf, struct tcpseal_sa *sa);
void keylog_warn(const struct conf *conf);

/* guard.c: to stdout, for nft(8); sorts the links */
int guard_print(struct conf *conf);

/* ident.c */
struct cert_info {
	uint8_t fingerprint[32];
	char serial[64];
	char issuer[256];
	char name[128];
	int64_t seconds_left;
};

struct ident;

struct ident *ident_load(const struct conf *conf, char *error, size_t size);
void ident_free(struct ident *ident);
SSL *ident_ssl(const struct ident *ident);
const uint8_t *ident_fingerprint(const struct ident *ident);
int64_t ident_seconds_left(const struct ident *ident);
int64_t ident_crl_end(const struct ident *ident);	/* epoch, 0: no list */
bool ident_same_trust(const struct ident *a, const struct ident *b);
/* Lowest time that can be true: of the build, of the last run */
void ident_set_clock_floor(time_t floor);
time_t ident_now(void);

/* judge.c */
void judge_describe(X509 *leaf, struct cert_info *info);
int64_t judge_left(const X509 *leaf);	/* seconds, without skew */
enum verdict { VERDICT_GOOD, VERDICT_REVOKED, VERDICT_UNTRUSTED,
	       VERDICT_UNKNOWN };
/*
 * Does this certificate chain to the configured authorities, now, unrevoked,
 * for this use? If not, why says what is wrong with which field. UNKNOWN: all
 * that is wrong is a time, perhaps that of the clock here.
 */
enum verdict judge_cert(const struct ident *ident, X509 *leaf,
			STACK_OF(X509) *chain, bool peer_is_client, char *why,
			size_t size);
/* Does it speak for this address, or carry this name where one is given? */
bool judge_binding(X509 *leaf, const struct tcpseal_addr *addr,
		   const char *name, char *why, size_t size);
/* What can be said of a certificate by its serial and issuer alone */
enum verdict judge_again(const struct ident *ident, const struct ident *before,
			 const char *serial, const char *issuer);

/* setup.c: configuration and identity, changed together, shared read-only */
struct setup {
	atomic_uint refs;
	struct conf *conf;
	struct ident *ident;
};

struct setup *setup_read(const char *file, char *error, size_t size);
struct setup *setup_parse(const char *name, const char *text, size_t length,
			  char *error, size_t size);
struct setup *setup_get(struct setup *setup);
void setup_put(struct setup *setup);
extern struct setup *setup_now;		/* the loop's; others hold references */
void setup_reload(const char *file);
/*
 * Puts the file's links and limits into the kernel, all or none. before may be
 * NULL; of its links those go that the file has no more. change: what
 * TCPSEAL_CHANGE_FLAG_... allow, beyond the words of the file.
 */
int setup_apply(const struct setup *setup, const struct conf *before,
		uint32_t change, char *error, size_t size);
/* After it was applied. What was in setup_now is the caller's again */
void setup_put_in_force(struct setup *setup);

/* trial.c: a configuration that is in force for a while */
bool trial_runs(void);
unsigned int trial_seconds(void);	/* left */
/* The file's links into the kernel, out of it what another daemon had on trial */
int trial_start(char *error, size_t size);
/* Applies setup. connections: lines, those that there are */
int trial_begin(struct setup *setup, const char *text, size_t length,
		uint32_t change, uint32_t seconds, const char *connections,
		char *error, size_t size);
int trial_back(char *error, size_t size);
/* connection: "CLIENT PORT SERVER PORT" as ssh has it, or NULL */
bool trial_allow(const char *connection, bool force, char *why, size_t size);
/* The file that a start reads has to say the same by now */
bool trial_confirm(const char *file, char *why, size_t size);
void trial_stop(void);

/* control.c: what the command line asks for */
void control_start(void);
void control_stop(void);

/* wire.c: the messages of the control protocol */
#define WIRE_VERSION	1
#define WIRE_MAX	4096
#define WIRE_HEADER	4
#define WIRE_HELLO_LEN	72		/* behind the header */
#define WIRE_ALPN	"tcpseal/1"

enum wire_type {
	WIRE_HELLO = 1,
	WIRE_CONFIRM,
	WIRE_READY,
	WIRE_NOTICE,
};

enum wire_hello_flag {
	WIRE_HELLO_FORWARD = 1,		/* seals for others: local prefix */
	WIRE_HELLO_VIA = 2,		/* to a gateway: remote prefix */
};

enum wire_notice_code {
	WIRE_NOTICE_REFUSED = 1,	/* the certificate is not accepted */
	WIRE_NOTICE_NO_LINK,
	WIRE_NOTICE_BUSY,		/* try again after retry seconds */
	WIRE_NOTICE_ERROR,
};

struct wire_hello {
	uint8_t version_min, version_max;
	uint8_t mode, flags;
	uint32_t spi;			/* of the SA that the sender opens */
	uint8_t aead, lanes;
	uint32_t hard_secs, idle_secs;
	uint8_t nonce[16];
	struct tcpseal_prefix local, remote;
};

struct wire_notice {
	uint8_t code;
	uint16_t retry;
	char text[REASON_LEN];
};

size_t wire_put_hello(uint8_t *buf, const struct wire_hello *hello);
size_t wire_put_empty(uint8_t *buf, enum wire_type type);
size_t wire_put_notice(uint8_t *buf, const struct wire_notice *notice);
/* Length of the whole message, 0: more of the header is needed, <0: wrong */
int wire_length(const uint8_t *buf, size_t have);
int wire_get_hello(const uint8_t *msg, size_t len, struct wire_hello *hello);
int wire_get_notice(const uint8_t *msg, size_t len, struct wire_notice *notice);

/* links.c: the kernel's links, a list that never changes once it is read */
struct links {
	atomic_uint refs;
	size_t n;
	struct tcpseal_link link[];
};

extern struct links *links_now;		/* the loop's; others hold references */

int links_refresh(void);
struct links *links_get(struct links *links);
void links_put(struct links *links);
const struct tcpseal_link *links_by_id(const struct links *links, uint32_t id);
/* The innermost link of a pair as the kernel names it */
const struct tcpseal_link *links_of_pair(const struct links *links,
					 const struct tcpseal_addr *local,
					 const struct tcpseal_addr *remote);
/* The innermost link that answers to what a client said on this connection */
const struct tcpseal_link *links_of_hello(const struct links *links,
					  const struct tcpseal_addr *here,
					  const struct tcpseal_addr *there,
					  const struct wire_hello *hello);
/* Does any link let this address speak to us at all? */
const struct tcpseal_link *links_admit(const struct links *links,
				       const struct tcpseal_addr *here,
				       const struct tcpseal_addr *there);
struct tcpseal_addr links_pair_local(const struct tcpseal_link *link,
				     const struct tcpseal_addr *here);

/* flight.c: handshakes of one pair that both ends opened at once */
struct flight;

struct flight *flight_enter(const struct tcpseal_addr *local,
			    const struct tcpseal_addr *remote, bool lower);
enum flight_turn {
	FLIGHT_SENDS,			/* with this handshake's key, now */
	FLIGHT_WAITS,			/* another one goes first */
	FLIGHT_LOST,			/* another one went */
};

enum flight_turn flight_turn(struct flight *flight, uint64_t generation);
/*
 * The handshake is over; @failed: the peer cannot use its keys. Then use is
 * called for each one that waited for it, which must be used after all.
 */
void flight_leave(struct flight *flight, bool failed,
		  void (*use)(uint64_t generation, void *data), void *data);

/* session.c: one handshake, in a worker */
enum session_result {
	SESSION_FAILED,			/* the connection; try again */
	SESSION_BUSY,			/* the peer says: later */
	SESSION_REFUSED,		/* we do not accept the peer */
	SESSION_REFUSED_BY_PEER,
	SESSION_PLAIN,			/* agreed that there is no key */
	SESSION_SEALED,
};

struct session {
	STAILQ_ENTRY(session) next;	/* in a queue */
	struct run *run;		/* once it has begun */
	short wants;			/* events that it waits for, 0: none */
	uint64_t deadline;		/* ms, of that */
	struct event *event;		/* the loop's, of that */
	uint64_t waits_since;		/* for its peer; ms, 0: it does not */
	/* from the loop */
	bool client;
	bool exempt;			/* the socket is registered */
	bool known;			/* the peer proved itself before */
	int fd;
	struct tcpseal_addr here, there;	/* of the connection */
	struct setup *setup;
	struct links *links;
	struct tcpseal_link link;	/* of the pair; client only */
	void *owner;			/* the loop's */
	uint64_t submitted;		/* ms; waits for a thread since */
	/* both */
	struct tcpseal_addr local;	/* of the pair; here, or zero */
	/* to the loop */
	bool paired;			/* local is known */
	enum session_result result;
	char reason[REASON_LEN];
	uint32_t mode_local;
	int mode_peer;			/* -1: not said */
	bool no_link;			/* the peer hints; not proved */
	uint64_t generation;
	uint32_t soft_secs, hard_secs;
	uint32_t retry_secs;
	struct cert_info peer;
	char kex[32];
	bool chain_refused;		/* and not for a time */
	bool unsure;			/* failed, and the peer may use its keys */
	bool lost;			/* led to keys, but others are used */
	uint32_t took_ms;
};

struct session *session_new(int fd, bool client);
/*
 * As far as it can go now. false: session->wants says what it waits for, until
 * session->deadline. true: it is over. From one thread at a time.
 */
bool session_run(struct session *session);
void session_free(struct session *session);

/* talk.c: turned away before TLS begins, with an alert in plain */
enum alert { ALERT_ACCESS_DENIED = 49, ALERT_INTERNAL_ERROR = 80 };

void talk_turn_away(int fd, enum alert alert);

/* worker.c: threads that run sessions */
int worker_start(unsigned int threads, void (*done)(struct session *session));
/* false: the queue is full */
bool worker_submit(struct session *session);
unsigned int worker_load(void);		/* queued and running; none that wait */
unsigned int worker_threads(void);
/* Ends a session that has begun, by its connection */
void worker_cancel(const struct session *session);
void worker_stop(void);

/* listen.c: connections that come in */
int listen_start(char *error, size_t size);
void listen_register(void);
void listen_done(struct session *session);
/* Calls those who were turned away and now have a link */
void listen_retry(void);
unsigned int listen_guests(void);	/* connections; from any thread */
void listen_stop(void);

/* dial.c: connections that go out */
struct pair;

/*
 * Ends with outcome_dialled(), perhaps before it returns 0. sealed: first try
 * without an exemption.
 */
int dial_start(struct pair *pair, const struct tcpseal_link *link,
	       uint32_t mode, bool sealed);
void dial_done(struct session *session);
unsigned int dial_running(void);	/* from any thread */

/* pairs.c: what the daemon knows of each pair; the loop's */
enum pair_phase { PAIR_IDLE, PAIR_QUEUED, PAIR_DIALLING };

struct pair {
	struct pair *next, *remote_next;	/* of its hash chains */
	STAILQ_ENTRY(pair) queue_next;
	struct tcpseal_addr local, remote;
	struct event *timer;		/* to the next attempt */
	enum pair_phase phase;
	bool urgent;			/* segments wait */
	bool urgent_last;		/* they did in the last attempt */
	bool doubtful;			/* what asks may be forged */
	bool again;			/* asked for while an attempt ran */
	bool live;			/* the kernel has keys */
	bool judging;			/* after a change of trust */
	bool complained;		/* the kernel holds a reason of ours */
	bool refused;			/* the last attempt: no link there */
	bool unsure;			/* the last attempt: who uses which key? */
	unsigned int failures;
	uint32_t said;			/* hash of the last sentence logged */
	uint64_t due;			/* of the timer, 0: none */
	uint64_t not_before, last_attempt, last_used;
	uint64_t busy_since;		/* in every attempt, 0: not */
	uint64_t served;		/* its last handshake that led to keys */
	uint64_t generation;
	/* what was last agreed, or said, in a handshake */
	bool told;
	uint32_t told_mode, told_aead, told_link;
	int mode_peer;			/* -1: not said */
	/* sticky memory */
	bool sticky;
	bool restored;			/* the kernel has it, too */
	uint64_t refreshed;		/* the last list that it was in */
	uint64_t sticky_since, last_sealed;
	char identity[128];
};

int pairs_init(void);
struct pair *pairs_find(const struct tcpseal_addr *local,
			const struct tcpseal_addr *remote);
struct pair *pairs_find_or_add(const struct tcpseal_addr *local,
			       const struct tcpseal_addr *remote);
void pairs_each(void (*fn)(struct pair *pair, void *data), void *data);
/* Did this address ever prove who it is, as far as we remember? */
bool pairs_know(const struct tcpseal_addr *remote);
/* A random while (ms) in which all pairs can have their turn */
uint64_t pairs_spread(void);
/*
 * Tells the kernel. mode_peer -1: not said. backoff_secs 0: none. reason "":
 * all is well again.
 */
void pairs_set_reason(struct pair *pair, const char *reason, int mode_peer,
		      uint32_t backoff_secs);
/* Notes what the peer was told; and whether the links say otherwise by now */
void pairs_told(struct pair *pair, const struct tcpseal_link *link,
		uint32_t mode);
bool pairs_stale(const struct pair *pair);
/* Is this what was last logged of the pair? Notes it. */
bool pairs_said(struct pair *pair, const char *reason);
void pairs_tick(void);
void pairs_stop(void);

/* attempt.c: when to open a handshake with whom */
void attempt_want(const struct tcpseal_addr *local,
		  const struct tcpseal_addr *remote, uint32_t why);
void attempt_want_in(struct pair *pair, uint64_t delay_ms);
/* The earlier of what is planned and this, by now_ms() */
void attempt_plan(struct pair *pair, uint64_t when);
void attempt_unplan(struct pair *pair);
/* It is over; and another may begin */
void attempt_rest(struct pair *pair);
void attempt_next(void);
void attempt_due(evutil_socket_t fd, short what, void *data);
/* Links changed: tell those peers whose mode is another one now */
void attempt_links_changed(void);
void attempt_expired(const struct tcpseal_event *ev);

/* outcome.c: what came of a handshake that we opened, that a peer opened */
void outcome_dialled(struct pair *pair, const struct session *session);
void outcome_served(const struct session *session);

/* sas.c: what the kernel holds */
void sas_adopt(void);
/* Identity or trust changed; before may be NULL */
void sas_judge(const struct ident *now, const struct ident *before);
/* Those of a handshake that began before they changed */
void sas_judge_pair(const struct pair *pair, const struct ident *before);
void sas_remove(const struct pair *pair);

/* kernel.c: events, dumps, and what to do when the module comes and goes */
extern struct tcpseal *kernel;		/* the loop's handle */

int kernel_open(char *error, size_t size);
int kernel_start(void);
void kernel_close(void);
/* Whether the error means that the module is gone; starts to wait for it */
bool kernel_lost(int err);
bool kernel_there(void);
void kernel_poll_wants(void);

/* metrics.c: for whoever watches; counted from any thread */
#define TCPSEALD_VERSION "0.1"
#define METRICS_BUCKETS	9
#define METRICS_RESULTS	(SESSION_SEALED + 1)

struct counts {
	atomic_ullong begun[2];		/* by session->client */
	atomic_ullong ended[2][METRICS_RESULTS];
	atomic_ullong took[METRICS_BUCKETS + 1], took_ms;
	atomic_ullong strangers, crowded;	/* turned away */
	atomic_llong cert_end, crl_end;	/* epoch; 0: no list */
	atomic_bool key_log;
};

extern struct counts metrics_counts;
extern const uint32_t metrics_bounds_ms[METRICS_BUCKETS];

void metrics_begun(bool client);
void metrics_ended(const struct session *session);
void metrics_turned_away(enum alert alert);
void metrics_identity(const struct setup *setup);
/* Where the configuration says so; keys do not depend on it */
void metrics_start(void);
void metrics_stop(void);

/* exposition.c: what metrics.c answers; in its thread alone */
struct evbuffer;

void exposition(struct evbuffer *out);
void exposition_stop(void);

/* sticky.c */
int sticky_load(void);
void sticky_event(const struct tcpseal_pair *pair);
void sticky_refresh(void);
void sticky_restore(void);
/* Peers that sealed with us before we lost our keys wait for us */
void sticky_greet(void);
void sticky_link(const struct tcpseal_link *link);
void sticky_stop(void);

/* notify.c */
void notify(const char *format, ...) __attribute__((format(printf, 1, 2)));
void notify_reloading(void);

#endif /* TCPSEALD_H */
