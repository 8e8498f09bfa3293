// SPDX-License-Identifier: GPL-2.0-or-later
/* The connection of a session: TLS and messages, with one deadline for all. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "run.h"

#define FAREWELL_MS	200

static int wait_for(struct run *r, short events)
{
	struct pollfd p = { .fd = r->s->fd, .events = events };
	uint64_t now = now_ms();
	int n;

	if (now >= r->deadline)
		return -ETIMEDOUT;
	n = poll(&p, 1, r->deadline - now);
	if (n < 0 && errno != EINTR)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

/* Sentences for what goes wrong between two that mean well */
static int tls_failed(struct run *r, const char *doing)
{
	unsigned long code = ERR_peek_error();
	struct session *s = r->s;
	const char *text;
	struct addr_text at;

	switch (ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0) {
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
	case SSL_R_UNKNOWN_PROTOCOL:
		return run_end(r, SESSION_REFUSED, "the peer does not speak TLS 1.3, and nothing older is accepted");
	case SSL_R_NO_APPLICATION_PROTOCOL:
	case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
		return run_end(r, SESSION_REFUSED,
			   "the peer does not speak " WIRE_ALPN " (ALPN)");
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return run_end(r, SESSION_REFUSED, "the peer showed no certificate");
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		s->no_link = true;
		return run_end(r, SESSION_REFUSED_BY_PEER,
			   "the peer has no link for %s", text_of(&s->here, &at));
	case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
		return run_end(r, SESSION_BUSY, "the peer is busy");
	}
	text = code ? ERR_reason_error_string(code) : NULL;
	if (!text)
		text = errno ? strerror(errno) : "closed by the peer";
	return run_end(r, SESSION_FAILED, "%s: %s", doing, text);
}

/* After an SSL_ function: 0: call it again; <0: the session has ended */
static int tls_wait(struct run *r, int ret, const char *doing)
{
	int err;

	switch (SSL_get_error(r->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		err = wait_for(r, POLLIN);
		break;
	case SSL_ERROR_WANT_WRITE:
		err = wait_for(r, POLLOUT);
		break;
	case SSL_ERROR_ZERO_RETURN:
		return run_end(r, SESSION_FAILED, "%s: closed by the peer", doing);
	default:
		return tls_failed(r, doing);
	}
	if (err)
		return run_end(r, SESSION_FAILED, "%s: %s", doing,
			   err == -ETIMEDOUT ? "no answer in time" :
					       strerror(-err));
	return 0;
}

int talk_send(struct run *r, const uint8_t *msg, size_t len)
{
	int ret;

	for (;;) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_write(r->ssl, msg, len);
		if (ret == (int)len)
			return 0;
		ret = tls_wait(r, ret, "sending");
		if (ret)
			return ret;
	}
}

static int read_exactly(struct run *r, uint8_t *buf, size_t from, size_t to,
			const char *doing)
{
	int ret;

	while (from < to) {
		ERR_clear_error();
		errno = 0;
		ret = SSL_read(r->ssl, buf + from, to - from);
		if (ret > 0) {
			from += ret;
			continue;
		}
		ret = tls_wait(r, ret, doing);
		if (ret)
			return ret;
	}
	return 0;
}

static int notice_came(struct run *r, const uint8_t *msg, size_t len)
{
	struct wire_notice notice;

	if (wire_get_notice(msg, len, &notice))
		return run_end(r, SESSION_FAILED, "the peer sent a malformed notice");
	switch (notice.code) {
	case WIRE_NOTICE_BUSY:
		r->s->retry_secs = notice.retry;
		return run_end(r, SESSION_BUSY, "the peer is busy");
	case WIRE_NOTICE_NO_LINK:
		r->s->no_link = true;
		/* fall through */
	case WIRE_NOTICE_REFUSED:
		return run_end(r, SESSION_REFUSED_BY_PEER, "the peer says: %.220s",
			   notice.text);
	}
	return run_end(r, SESSION_FAILED, "the peer says: %.220s", notice.text);
}

int talk_receive(struct run *r, enum wire_type type, uint8_t *msg, size_t *len,
		 const char *doing)
{
	int ret;

	ret = read_exactly(r, msg, 0, WIRE_HEADER, doing);
	if (ret)
		return ret;
	ret = wire_length(msg, WIRE_HEADER);
	if (ret < 0)
		return run_end(r, SESSION_FAILED, "%s: malformed message", doing);
	*len = ret;
	ret = read_exactly(r, msg, WIRE_HEADER, *len, doing);
	if (ret)
		return ret;
	if (msg[3] == WIRE_NOTICE)
		return notice_came(r, msg, *len);
	if (msg[3] != type)
		return run_end(r, SESSION_FAILED, "%s: message %u instead of %u",
			   doing, msg[3], type);
	return 0;
}

void talk_why(struct run *r, enum wire_notice_code code)
{
	struct wire_notice notice = { .code = code };
	char kept[REASON_LEN];
	uint8_t msg[WIRE_HEADER + 4 + REASON_LEN];
	enum session_result result = r->s->result;

	if (!r->ssl || !SSL_is_init_finished(r->ssl))
		return;
	memcpy(kept, r->s->reason, sizeof(kept));
	snprintf(notice.text, sizeof(notice.text), "%s", kept);
	talk_send(r, msg, wire_put_notice(msg, &notice));
	r->s->result = result;
	memcpy(r->s->reason, kept, sizeof(kept));
}

static int tls_handshake(struct run *r)
{
	struct session *s = r->s;
	int ret;

	r->ssl = ident_ssl(s->setup->ident);
	if (!r->ssl || SSL_set_fd(r->ssl, s->fd) != 1)
		return run_end(r, SESSION_FAILED, "out of memory");
	for (;;) {
		ERR_clear_error();
		errno = 0;
		ret = s->client ? SSL_connect(r->ssl) : SSL_accept(r->ssl);
		if (ret == 1)
			return 0;
		ret = tls_wait(r, ret, "TLS handshake");
		if (ret)
			return ret;
	}
}

static int check_tls(struct run *r)
{
	const unsigned char *proto;
	unsigned int len;
	const char *group;

	if (SSL_version(r->ssl) != TLS1_3_VERSION)
		return run_end(r, SESSION_REFUSED,
			   "the peer does not speak TLS 1.3, and nothing older is accepted");
	SSL_get0_alpn_selected(r->ssl, &proto, &len);
	if (len != strlen(WIRE_ALPN) || memcmp(proto, WIRE_ALPN, len))
		return run_end(r, SESSION_REFUSED,
			   "the peer does not speak " WIRE_ALPN " (ALPN)");
	if (SSL_session_reused(r->ssl))
		return run_end(r, SESSION_REFUSED, "the peer resumed a session");
	group = SSL_group_to_name(r->ssl, SSL_get_negotiated_group(r->ssl));
	snprintf(r->s->kex, sizeof(r->s->kex), "%s", group ? group : "?");
	r->peer = SSL_get1_peer_certificate(r->ssl);
	if (!r->peer)
		return run_end(r, SESSION_REFUSED, "the peer showed no certificate");
	judge_describe(r->peer, &r->s->peer);
	return 0;
}

int talk_tls(struct run *r)
{
	int ret = tls_handshake(r);

	return ret ? ret : check_tls(r);
}

/*
 * The server ends the connection when it has said all. Who closes before that
 * arrives leaves it to a socket that is gone, on a pair that may be sealed by
 * now.
 */
static bool ended_by_peer(struct run *r)
{
	struct pollfd p = { .fd = r->s->fd, .events = POLLIN };
	uint64_t end = now_ms() + FAREWELL_MS;
	uint8_t buf[256];

	while (now_ms() < end && poll(&p, 1, end - now_ms()) > 0)
		if (recv(r->s->fd, buf, sizeof(buf), MSG_DONTWAIT) <= 0)
			return true;
	return false;
}

void talk_end(struct run *r)
{
	ERR_clear_error();
	if (r->ssl && SSL_is_init_finished(r->ssl) &&
	    !(r->s->client && r->promised && ended_by_peer(r)))
		SSL_shutdown(r->ssl);
	SSL_free(r->ssl);
	X509_free(r->peer);
	ERR_clear_error();
}
