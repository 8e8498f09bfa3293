// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One handshake, from the connected socket to the keys in the kernel:
 *
 *	client                              server
 *	      TLS 1.3, both certificates; each judges the other's
 *	HELLO ------------------------------>
 *	                                    installs in; out, pending
 *	      <------------------------------ HELLO
 *	installs in; out, pending
 *	CONFIRM ---------------------------->
 *	                                    sends with out from now on
 *	      <------------------------------ READY
 *	sends with out from now on
 *
 * So nobody sends with a key before the other receives with it. A pending
 * SA also wakes when the first record of its generation is opened, so a lost
 * message costs nothing. The server may take its SAs back as long as CONFIRM
 * has not come: then nobody uses them. The client may not once it sent it.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "run.h"

#define DEADLINE_MS	6000		/* of the whole handshake */
#define LATE_MS		2000		/* nobody waits for it any more */
#define FAREWELL_MS	200		/* for the end of the connection */

static const struct tcpseal_link no_link = { .mode = TCPSEAL_MODE_NONE };

int run_end(struct run *r, enum session_result result, const char *format, ...)
{
	va_list args;

	r->s->result = result;
	va_start(args, format);
	vsnprintf(r->s->reason, sizeof(r->s->reason), format, args);
	va_end(args);
	return -1;
}

/* --- who is it? --- */

static int judge_chain(struct run *r)
{
	struct session *s = r->s;
	enum verdict verdict;
	char why[REASON_LEN];

	verdict = judge_cert(s->setup->ident, r->peer,
			     SSL_get_peer_cert_chain(r->ssl), !s->client, why,
			     sizeof(why));
	if (verdict == VERDICT_GOOD)
		return 0;
	s->chain_refused = verdict != VERDICT_UNKNOWN;
	return run_end(r, SESSION_REFUSED, "%s", why);
}

static int judge_name(struct run *r, const struct tcpseal_link *link)
{
	const char *name = NULL;
	char why[REASON_LEN];

	if (TCPSEAL_HAS(link, LINK_IDENTITY) && *link->identity)
		name = link->identity;
	if (judge_binding(r->peer, &r->s->there, name, why, sizeof(why)))
		return 0;
	return run_end(r, SESSION_REFUSED, "%s", why);
}

/* --- HELLO --- */

static int fill_hello(struct run *r, const struct tcpseal_link *link)
{
	const struct conf *conf = r->s->setup->conf;
	struct wire_hello *h = &r->ours;

	memset(h, 0, sizeof(*h));
	h->version_min = h->version_max = WIRE_VERSION;
	h->mode = link->mode;
	r->s->mode_local = link->mode;
	if (RAND_bytes(h->nonce, sizeof(h->nonce)) != 1)
		return run_end(r, SESSION_FAILED, "no random numbers");
	if (h->mode >= TCPSEAL_MODE_AUDIT) {
		while (!h->spi)
			h->spi = random_u32();
		h->aead = TCPSEAL_HAS(link, LINK_AEAD) ? link->aead :
			  TCPSEAL_AEAD_AES256_GCM;
		h->lanes = conf->lanes;
		h->hard_secs = conf->hard_secs;
		h->idle_secs = conf->idle_secs;
		if (link->flags & TCPSEAL_LINK_FLAG_FORWARD) {
			h->flags |= WIRE_HELLO_FORWARD;
			h->local = link->local;
		}
		if (TCPSEAL_HAS(link, LINK_VIA)) {
			h->flags |= WIRE_HELLO_VIA;
			h->remote = link->remote;
		}
	}
	r->our_len = wire_put_hello(r->our_msg, h);
	return 0;
}

static int receive_hello(struct run *r)
{
	int ret = talk_receive(r, WIRE_HELLO, "waiting for HELLO");

	if (ret)
		return ret;
	memcpy(r->their_msg, r->msg, r->msg_len);
	r->their_len = r->msg_len;
	r->msg_len = 0;
	if (wire_get_hello(r->their_msg, r->their_len, &r->theirs))
		return run_end(r, SESSION_FAILED, "the peer sent a malformed HELLO");
	if (r->theirs.version_min > WIRE_VERSION ||
	    r->theirs.version_max < WIRE_VERSION)
		return run_end(r, SESSION_REFUSED,
			   "the peer speaks versions %u to %u of the protocol, not %u",
			   r->theirs.version_min, r->theirs.version_max,
			   WIRE_VERSION);
	r->s->mode_peer = r->theirs.mode;
	return 0;
}

/* Does one of the modes say that there is nothing to agree on? */
static int check_modes(struct run *r)
{
	struct session *s = r->s;
	struct addr_text at;

	if (r->theirs.mode == TCPSEAL_MODE_NONE)
		return run_end(r, SESSION_PLAIN, "the peer %s has no link for %s",
			   s->peer.name, text_of(&s->here, &at));
	if (r->theirs.mode == TCPSEAL_MODE_CLEAR)
		return run_end(r, SESSION_PLAIN, "the peer %s says mode clear",
			   s->peer.name);
	if (r->ours.mode < TCPSEAL_MODE_AUDIT)
		return run_end(r, SESSION_PLAIN, "our mode is %s",
			   tcpseal_mode_name(r->ours.mode));
	return 0;
}

/* --- the two roles --- */

static int send_empty(struct run *r, enum wire_type type)
{
	uint8_t msg[WIRE_HEADER];
	size_t length = wire_put_empty(msg, type);

	return talk_send(r, msg, length);
}

static int client_judge(struct run *r)
{
	int ret = judge_chain(r);

	/* A farewell tells nothing that another could use */
	if (!ret && r->s->link.mode >= TCPSEAL_MODE_CLEAR)
		ret = judge_name(r, &r->s->link);
	return ret;
}

static int client_hello(struct run *r)
{
	int ret = keys_begin(r);

	if (!ret)
		ret = fill_hello(r, &r->s->link);
	return ret ? ret : talk_send(r, r->our_msg, r->our_len);
}

static int client_confirm(struct run *r)
{
	int ret = check_modes(r);

	if (!ret)
		ret = keys_install(r);
	if (ret)
		return ret;
	r->promised = true;
	return send_empty(r, WIRE_CONFIRM);
}

static int client_use(struct run *r)
{
	int ret = talk_receive(r, WIRE_READY, "waiting for READY");

	return ret ? ret : keys_use(r);
}

/* Which link answers, if one does; what the peer may be told of it */
static int server_link(struct run *r)
{
	struct session *s = r->s;
	const struct tcpseal_link *link;
	int ret;

	link = links_of_hello(s->links, &s->here, &s->there, &r->theirs);
	if (!link) {
		ret = judge_name(r, &no_link);
		if (ret)
			return ret;
		return fill_hello(r, &no_link);
	}
	ret = judge_name(r, link);
	if (ret)
		return ret;
	s->local = links_pair_local(link, &s->here);
	s->paired = true;
	if (link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL)
		return run_end(r, SESSION_REFUSED, "the link says keys manual");
	return fill_hello(r, link);
}

static int server_hello(struct run *r)
{
	int ret = server_link(r);

	if (ret)
		return ret;
	ret = check_modes(r);
	if (ret) {
		talk_send(r, r->our_msg, r->our_len);
		/* the sentence stays check_modes()'s own */
		return check_modes(r);
	}
	ret = keys_begin(r);
	if (!ret)
		ret = keys_install(r);
	return ret ? ret : talk_send(r, r->our_msg, r->our_len);
}

static int server_use(struct run *r)
{
	int ret = talk_receive(r, WIRE_CONFIRM, "waiting for CONFIRM");

	if (ret)
		return ret;
	r->promised = true;
	ret = keys_use(r);
	if (ret)
		return ret;
	/* Lost or not: the first record tells the client as well */
	send_empty(r, WIRE_READY);
	return 0;
}

/*
 * With more to do than can be done, what waited longest is given up by its
 * peer first: work on that would be for nothing, and all others late, too.
 */
static int check_time(struct run *r)
{
	struct session *s = r->s;

	if (r->begun - s->submitted < LATE_MS)
		return 0;
	if (!s->client)
		talk_turn_away(s->fd, ALERT_INTERNAL_ERROR);
	return run_end(r, SESSION_BUSY, "this host is busy");
}

/* Each to its end before the next; a step is what the peer may keep waiting */
static int (*const client_steps[])(struct run *r) = {
	check_time, talk_tls, client_judge, client_hello, receive_hello,
	client_confirm, client_use, NULL
};

static int (*const server_steps[])(struct run *r) = {
	check_time, talk_tls, judge_chain, receive_hello, server_hello,
	server_use, NULL
};

static int run_steps(struct run *r)
{
	int (*const *steps)(struct run *r) = r->s->client ? client_steps :
							    server_steps;
	int ret;

	for (; steps[r->step]; r->step++) {
		ret = steps[r->step](r);
		if (ret)
			return ret;
	}
	return 0;
}

static void settle(struct run *r, int ret)
{
	struct session *s = r->s;

	if (!ret) {
		s->result = SESSION_SEALED;
		s->reason[0] = '\0';
	} else if (s->result == SESSION_REFUSED) {
		talk_why(r, WIRE_NOTICE_REFUSED);
	} else if (s->result == SESSION_FAILED && !r->promised) {
		talk_why(r, WIRE_NOTICE_ERROR);
	}
	s->unsure = ret && s->client && r->promised;
	keys_end(r, !ret);
	s->took_ms = now_ms() - r->begun;
	r->over = true;
	s->deadline = now_ms() + FAREWELL_MS;
}

static struct run *begin(struct session *session)
{
	struct run *r = calloc(1, sizeof(*r));

	session->result = SESSION_FAILED;
	session->mode_peer = -1;
	if (!r) {
		snprintf(session->reason, sizeof(session->reason),
			 "out of memory");
		return NULL;
	}
	r->s = session;
	r->begun = now_ms();
	session->deadline = r->begun + DEADLINE_MS;
	return r;
}

bool session_run(struct session *session)
{
	struct run *r = session->run;
	int ret;

	session->wants = 0;
	if (!r)
		r = session->run = begin(session);
	if (!r)
		return true;
	if (!r->over) {
		ret = run_steps(r);
		if (ret == RUN_WAITS)
			return false;
		settle(r, ret);
	}
	if (talk_end(r) == RUN_WAITS)
		return false;
	OPENSSL_cleanse(r, sizeof(*r));
	free(r);
	session->run = NULL;
	return true;
}

struct session *session_new(int fd, bool client)
{
	struct session *session = calloc(1, sizeof(*session));

	if (!session)
		return NULL;
	session->fd = fd;
	session->client = client;
	session->mode_peer = -1;
	session->setup = setup_get(setup_now);
	session->links = links_get(links_now);
	return session;
}

void session_free(struct session *session)
{
	if (!session)
		return;
	if (session->fd >= 0)
		close(session->fd);
	setup_put(session->setup);
	links_put(session->links);
	free(session);
}
