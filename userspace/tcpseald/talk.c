// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The connection of a session: TLS and messages. Nothing waits here: what has
 * to says for what, and is called again then.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <openssl/err.h>
#include <openssl/sslerr.h>

#include "run.h"

/* Data that nobody read would make a reset of the close, and lose the alert */
void talk_turn_away(int fd, enum alert alert)
{
	const uint8_t record[] = { 21, 3, 3, 0, 2, 2, alert };
	uint8_t unread[4096];

	while (recv(fd, unread, sizeof(unread), MSG_DONTWAIT) > 0)
		;
	if (send(fd, record, sizeof(record), MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
		shutdown(fd, SHUT_WR);
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

/* An SSL_ function did not do it */
static int tls_wait(struct run *r, int ret, const char *doing)
{
	switch (SSL_get_error(r->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		r->s->wants = EV_READ;
		break;
	case SSL_ERROR_WANT_WRITE:
		r->s->wants = EV_WRITE;
		break;
	case SSL_ERROR_ZERO_RETURN:
		return run_end(r, SESSION_FAILED, "%s: closed by the peer", doing);
	default:
		return tls_failed(r, doing);
	}
	if (now_ms() >= r->s->deadline)
		return run_end(r, SESSION_FAILED, "%s: no answer in time", doing);
	return RUN_WAITS;
}

/* A few bytes always fit into the buffers of a connection that is this young */
int talk_send(struct run *r, const uint8_t *msg, size_t len)
{
	int ret;

	ERR_clear_error();
	errno = 0;
	ret = SSL_write(r->ssl, msg, len);
	if (ret == (int)len)
		return 0;
	ret = tls_wait(r, ret, "sending");
	if (ret == RUN_WAITS)
		return run_end(r, SESSION_FAILED, "sending: the peer takes nothing");
	return ret;
}

/* 0 when all of r->msg is there, which may take more than one call */
static int read_message(struct run *r, const char *doing)
{
	int ret, length;

	for (;;) {
		length = wire_length(r->msg, r->msg_len);
		if (length < 0)
			return run_end(r, SESSION_FAILED, "%s: malformed message",
				   doing);
		if (!length)
			length = WIRE_HEADER;
		else if (r->msg_len == (size_t)length)
			return 0;
		ERR_clear_error();
		errno = 0;
		ret = SSL_read(r->ssl, r->msg + r->msg_len, length - r->msg_len);
		if (ret <= 0)
			return tls_wait(r, ret, doing);
		r->msg_len += ret;
	}
}

static int notice_came(struct run *r)
{
	struct wire_notice notice;

	if (wire_get_notice(r->msg, r->msg_len, &notice))
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

int talk_receive(struct run *r, enum wire_type type, const char *doing)
{
	int ret = read_message(r, doing);

	if (ret)
		return ret;
	if (r->msg[3] == WIRE_NOTICE)
		return notice_came(r);
	if (r->msg[3] != type)
		return run_end(r, SESSION_FAILED, "%s: message %u instead of %u",
			   doing, r->msg[3], type);
	return 0;
}

void talk_why(struct run *r, enum wire_notice_code code)
{
	struct wire_notice notice = { .code = code };
	char kept[REASON_LEN];
	uint8_t msg[WIRE_HEADER + 4 + REASON_LEN];
	enum session_result result = r->s->result;
	size_t length;

	if (!r->ssl || !SSL_is_init_finished(r->ssl))
		return;
	memcpy(kept, r->s->reason, sizeof(kept));
	snprintf(notice.text, sizeof(notice.text), "%s", kept);
	length = wire_put_notice(msg, &notice);
	talk_send(r, msg, length);
	r->s->result = result;
	memcpy(r->s->reason, kept, sizeof(kept));
}

static int tls_handshake(struct run *r)
{
	struct session *s = r->s;
	int ret;

	if (!r->ssl) {
		r->ssl = ident_ssl(s->setup->ident);
		if (!r->ssl || SSL_set_fd(r->ssl, s->fd) != 1)
			return run_end(r, SESSION_FAILED, "out of memory");
	}
	ERR_clear_error();
	errno = 0;
	ret = s->client ? SSL_connect(r->ssl) : SSL_accept(r->ssl);
	return ret == 1 ? 0 : tls_wait(r, ret, "TLS handshake");
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
static int ended_by_peer(struct run *r)
{
	uint8_t buf[256];
	ssize_t n;

	do {
		n = recv(r->s->fd, buf, sizeof(buf), MSG_DONTWAIT);
	} while (n > 0);
	if (!n || errno != EAGAIN)
		return 0;
	if (now_ms() >= r->s->deadline)
		return -ETIMEDOUT;
	r->s->wants = EV_READ;
	return RUN_WAITS;
}

int talk_end(struct run *r)
{
	int ret = -ETIMEDOUT;

	ERR_clear_error();
	if (r->s->client && r->promised)
		ret = ended_by_peer(r);
	if (ret == RUN_WAITS)
		return ret;
	if (ret && r->ssl && SSL_is_init_finished(r->ssl))
		SSL_shutdown(r->ssl);
	SSL_free(r->ssl);
	X509_free(r->peer);
	ERR_clear_error();
	return 0;
}
