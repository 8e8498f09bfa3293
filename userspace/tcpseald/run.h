/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A session that has begun: what session.c, talk.c, keys.c share. */
#ifndef TCPSEALD_RUN_H
#define TCPSEALD_RUN_H

#include "tcpseald.h"

#define RUN_WAITS	1
#define KEY_MAX		32
#define IV_LEN		12

struct run {
	struct session *s;
	struct tcpseal *ts;
	SSL *ssl;
	X509 *peer;			/* leaf */
	struct flight *flight;
	unsigned int step;		/* that comes next */
	bool over;			/* but for the end of the connection */
	uint64_t begun;
	uint8_t msg[WIRE_MAX];		/* that comes in */
	size_t msg_len;
	struct wire_hello ours, theirs;
	uint8_t our_msg[WIRE_MAX], their_msg[WIRE_MAX];
	size_t our_len, their_len;
	uint8_t in_key[KEY_MAX + IV_LEN], out_key[KEY_MAX + IV_LEN];
	uint32_t aead;
	bool in_installed, out_installed, promised;
};

/* session.c. Ends the session: what it came to, and why in words. */
int run_end(struct run *r, enum session_result result, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * All that follows return 0, or a negative value after run_end(). Those that
 * need the peer may return RUN_WAITS, and are called again when it stirs, or
 * time is up.
 *
 * talk.c: the connection.
 */
int talk_tls(struct run *r);		/* handshake, and its rules */
int talk_send(struct run *r, const uint8_t *msg, size_t len);
/* The next message, which must be of this type, into r->msg; doing: in words */
int talk_receive(struct run *r, enum wire_type type, const char *doing);
/* Tells the peer the sentence that ended the session here */
void talk_why(struct run *r, enum wire_notice_code code);
int talk_end(struct run *r);

/* keys.c: from the two HELLOs to keys in the kernel. */
int keys_begin(struct run *r);		/* the pair is known */
int keys_install(struct run *r);
/* The peer receives: send with the new key, unless another goes first */
int keys_use(struct run *r);
/* Back out, as far as nothing was promised; and let others go on */
void keys_end(struct run *r, bool ok);

#endif /* TCPSEALD_RUN_H */
