// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One handshake, run by a worker from the connected socket to the keys in
 * the kernel:
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
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sslerr.h>

#include "tcpseald.h"

#define DEADLINE_MS	6000		/* of the whole handshake */
#define RX_MARGIN_SECS	60		/* a receiver outlives its sender */
#define IV_LEN		12
#define KEY_MAX		32

#define LABEL_CLIENT	"EXPORTER-tcpseal-1 client"
#define LABEL_SERVER	"EXPORTER-tcpseal-1 server"
#define CONTEXT_TITLE	"tcpseal-1 context"

/* What lives only as long as the worker is at it */
struct run {
	struct session *s;
	struct tcpseal *ts;
	SSL *ssl;
	X509 *peer;			/* leaf */
	struct flight *flight;
	uint64_t deadline;
	struct wire_hello ours, theirs;
	uint8_t our_msg[WIRE_MAX], their_msg[WIRE_MAX];
	size_t our_len, their_len;
	uint8_t in_key[KEY_MAX + IV_LEN], out_key[KEY_MAX + IV_LEN];
	uint32_t aead;
	bool in_installed, out_installed, promised;
};

static const struct tcpseal_link no_link = { .mode = TCPSEAL_MODE_NONE };

/* Ends the session: what it came to, and why in words */
static int end(struct run *r, enum session_result result, const char *format,
	       ...) __attribute__((format(printf, 3, 4)));

static int end(struct run *r, enum session_result result, const char *format,
	       ...)
{
	va_list args;

	r->s->result = result;
	va_start(args, format);
	vsnprintf(r->s->reason, sizeof(r->s->reason), format, args);
	va_end(args);
	return -ECANCELED;
}

/* --- the connection --- */

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
		return end(r, SESSION_REFUSED, "the peer does not speak TLS 1.3, and nothing older is accepted");
	case SSL_R_NO_APPLICATION_PROTOCOL:
	case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL:
		return end(r, SESSION_REFUSED,
			   "the peer does not speak " WIRE_ALPN " (ALPN)");
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return end(r, SESSION_REFUSED, "the peer showed no certificate");
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
		return end(r, SESSION_REFUSED_BY_PEER,
			   "the peer has no link for %s", text_of(&s->here, &at));
	case SSL_R_TLSV1_ALERT_INTERNAL_ERROR:
		return end(r, SESSION_BUSY, "the peer is busy");
	}
	text = code ? ERR_reason_error_string(code) : NULL;
	if (!text)
		text = errno ? strerror(errno) : "closed by the peer";
	return end(r, SESSION_FAILED, "%s: %s", doing, text);
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
		return end(r, SESSION_FAILED, "%s: closed by the peer", doing);
	default:
		return tls_failed(r, doing);
	}
	if (err)
		return end(r, SESSION_FAILED, "%s: %s", doing,
			   err == -ETIMEDOUT ? "no answer in time" :
					       strerror(-err));
	return 0;
}

static int send_message(struct run *r, const uint8_t *msg, size_t len)
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
		return end(r, SESSION_FAILED, "the peer sent a malformed notice");
	switch (notice.code) {
	case WIRE_NOTICE_BUSY:
		r->s->retry_secs = notice.retry;
		return end(r, SESSION_BUSY, "the peer is busy");
	case WIRE_NOTICE_REFUSED:
	case WIRE_NOTICE_NO_LINK:
		return end(r, SESSION_REFUSED_BY_PEER, "the peer says: %.220s",
			   notice.text);
	}
	return end(r, SESSION_FAILED, "the peer says: %.220s", notice.text);
}

/* The next message, which must be of this type; length in *len */
static int receive(struct run *r, enum wire_type type, uint8_t *msg,
		   size_t *len, const char *doing)
{
	int ret;

	ret = read_exactly(r, msg, 0, WIRE_HEADER, doing);
	if (ret)
		return ret;
	ret = wire_length(msg, WIRE_HEADER);
	if (ret < 0)
		return end(r, SESSION_FAILED, "%s: malformed message", doing);
	*len = ret;
	ret = read_exactly(r, msg, WIRE_HEADER, *len, doing);
	if (ret)
		return ret;
	if (msg[3] == WIRE_NOTICE)
		return notice_came(r, msg, *len);
	if (msg[3] != type)
		return end(r, SESSION_FAILED, "%s: message %u instead of %u",
			   doing, msg[3], type);
	return 0;
}

/* Tells the peer the sentence that ended the session here */
static void say_why(struct run *r, enum wire_notice_code code)
{
	struct wire_notice notice = { .code = code };
	char kept[REASON_LEN];
	uint8_t msg[WIRE_HEADER + 4 + REASON_LEN];
	enum session_result result = r->s->result;

	memcpy(kept, r->s->reason, sizeof(kept));
	snprintf(notice.text, sizeof(notice.text), "%s", kept);
	send_message(r, msg, wire_put_notice(msg, &notice));
	r->s->result = result;
	memcpy(r->s->reason, kept, sizeof(kept));
}

/* --- TLS --- */

static int tls_handshake(struct run *r)
{
	struct session *s = r->s;
	int ret;

	r->ssl = ident_ssl(s->setup->ident);
	if (!r->ssl || SSL_set_fd(r->ssl, s->fd) != 1)
		return end(r, SESSION_FAILED, "out of memory");
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
		return end(r, SESSION_REFUSED,
			   "the peer does not speak TLS 1.3, and nothing older is accepted");
	SSL_get0_alpn_selected(r->ssl, &proto, &len);
	if (len != strlen(WIRE_ALPN) || memcmp(proto, WIRE_ALPN, len))
		return end(r, SESSION_REFUSED,
			   "the peer does not speak " WIRE_ALPN " (ALPN)");
	if (SSL_session_reused(r->ssl))
		return end(r, SESSION_REFUSED, "the peer resumed a session");
	group = SSL_group_to_name(r->ssl, SSL_get_negotiated_group(r->ssl));
	snprintf(r->s->kex, sizeof(r->s->kex), "%s", group ? group : "?");
	r->peer = SSL_get1_peer_certificate(r->ssl);
	if (!r->peer)
		return end(r, SESSION_REFUSED, "the peer showed no certificate");
	ident_describe(r->peer, &r->s->peer);
	return 0;
}

static int judge_chain(struct run *r)
{
	struct session *s = r->s;
	char why[REASON_LEN];

	if (ident_judge(s->setup->ident, r->peer,
			SSL_get_peer_cert_chain(r->ssl), !s->client, why,
			sizeof(why)))
		return 0;
	s->chain_refused = true;
	return end(r, SESSION_REFUSED, "%s", why);
}

static int judge_name(struct run *r, const struct tcpseal_link *link)
{
	const char *name = NULL;
	char why[REASON_LEN];

	if (TCPSEAL_HAS(link, LINK_IDENTITY) && *link->identity)
		name = link->identity;
	if (ident_binds(r->peer, &r->s->there, name, why, sizeof(why)))
		return 0;
	return end(r, SESSION_REFUSED, "%s", why);
}

/* --- keys --- */

static int hash_addr(EVP_MD_CTX *md, const struct tcpseal_addr *addr)
{
	uint8_t b[17] = { addr->len };

	memcpy(b + 1, addr->b, addr->len);
	return EVP_DigestUpdate(md, b, sizeof(b));
}

/*
 * All that both ends must agree on: the title with its zero byte, address of
 * client and server (length, then 16 bytes), the whole HELLO of client and
 * server, fingerprint of client's and server's leaf.
 */
static int make_context(const struct run *r, uint8_t context[32])
{
	const struct session *s = r->s;
	const uint8_t *own = ident_fingerprint(s->setup->ident);
	const uint8_t *other = s->peer.fingerprint;
	const struct tcpseal_addr *addr[2] = { &s->here, &s->there };
	const uint8_t *msg[2] = { r->our_msg, r->their_msg };
	const size_t len[2] = { r->our_len, r->their_len };
	const uint8_t *leaf[2] = { own, other };
	int c = s->client ? 0 : 1;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ok;

	ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) &&
	     EVP_DigestUpdate(md, CONTEXT_TITLE, sizeof(CONTEXT_TITLE)) &&
	     hash_addr(md, addr[c]) && hash_addr(md, addr[!c]) &&
	     EVP_DigestUpdate(md, msg[c], len[c]) &&
	     EVP_DigestUpdate(md, msg[!c], len[!c]) &&
	     EVP_DigestUpdate(md, leaf[c], 32) &&
	     EVP_DigestUpdate(md, leaf[!c], 32) &&
	     EVP_DigestFinal_ex(md, context, NULL);
	EVP_MD_CTX_free(md);
	return ok ? 0 : -ENOMEM;
}

static int export_key(struct run *r, const char *label,
		      const uint8_t context[32], uint8_t *key)
{
	size_t len = tcpseal_aead_keylen(r->aead) + IV_LEN;

	if (SSL_export_keying_material(r->ssl, key, len, label, strlen(label),
				       context, 32, 1) == 1)
		return 0;
	return -EIO;
}

/* Two keys of 16 bytes only where both ends ask for them */
static int derive(struct run *r)
{
	bool client = r->s->client;
	uint8_t context[32];
	int ret;

	r->aead = TCPSEAL_AEAD_AES256_GCM;
	if (r->ours.aead == TCPSEAL_AEAD_AES128_GCM &&
	    r->theirs.aead == TCPSEAL_AEAD_AES128_GCM)
		r->aead = TCPSEAL_AEAD_AES128_GCM;
	ret = make_context(r, context);
	if (!ret)
		ret = export_key(r, client ? LABEL_CLIENT : LABEL_SERVER,
				 context, r->out_key);
	if (!ret)
		ret = export_key(r, client ? LABEL_SERVER : LABEL_CLIENT,
				 context, r->in_key);
	OPENSSL_cleanse(context, sizeof(context));
	return ret ? end(r, SESSION_FAILED, "keys cannot be derived") : 0;
}

/* --- the kernel --- */

static uint32_t min_nonzero(uint32_t a, uint32_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* The end with the lower address asks for the next key first */
static bool lower_here(const struct session *s)
{
	return tcpseal_addr_cmp(&s->here, &s->there) < 0;
}

static uint32_t soft_secs(const struct session *s, uint32_t hard)
{
	uint32_t secs = s->setup->conf->rotate_secs;
	uint32_t spread = secs / 8;

	if (lower_here(s))
		secs -= spread ? random_u32() % (spread + 1) : 0;
	else
		secs += spread + 1 + random_u32() % (spread + 1);
	if (secs > hard / 4 * 3)
		secs = hard / 4 * 3;
	return secs ? secs : 1;
}

/* What both directions say of the handshake */
static void describe_sa(const struct run *r, struct tcpseal_sa *sa)
{
	const struct session *s = r->s;

	memset(sa, 0, sizeof(*sa));
	sa->local = s->local;
	sa->peer = s->there;
	sa->aead = r->aead;
	sa->key_len = tcpseal_aead_keylen(r->aead);
	sa->flags = s->client ? TCPSEAL_SA_FLAG_INITIATOR : 0;
	sa->generation = s->generation;
	sa->mode_local = r->ours.mode;
	sa->mode_peer = r->theirs.mode;
	memcpy(sa->cert_fingerprint, s->peer.fingerprint, 32);
	strcpy(sa->cert_serial, s->peer.serial);
	strcpy(sa->cert_issuer, s->peer.issuer);
	strcpy(sa->cert_name, s->peer.name);
	strcpy(sa->kex, s->kex);
	sa->has = TCPSEAL_BIT(SA_DIR) | TCPSEAL_BIT(SA_LOCAL) |
		  TCPSEAL_BIT(SA_PEER) | TCPSEAL_BIT(SA_SPI) |
		  TCPSEAL_BIT(SA_AEAD) | TCPSEAL_BIT(SA_KEY) |
		  TCPSEAL_BIT(SA_IV) | TCPSEAL_BIT(SA_LANES) |
		  TCPSEAL_BIT(SA_FLAGS) | TCPSEAL_BIT(SA_GENERATION) |
		  TCPSEAL_BIT(SA_MODE_LOCAL) | TCPSEAL_BIT(SA_MODE_PEER) |
		  TCPSEAL_BIT(SA_HARD_SECS) | TCPSEAL_BIT(SA_IDLE_SECS) |
		  TCPSEAL_BIT(SA_CERT_FINGERPRINT) |
		  TCPSEAL_BIT(SA_CERT_SERIAL) | TCPSEAL_BIT(SA_CERT_ISSUER) |
		  TCPSEAL_BIT(SA_CERT_NAME) | TCPSEAL_BIT(SA_KEX);
}

static void put_key(struct tcpseal_sa *sa, const uint8_t *key)
{
	memcpy(sa->key, key, sa->key_len);
	memcpy(sa->iv, key + sa->key_len, IV_LEN);
}

static int install_in(struct run *r)
{
	struct tcpseal_sa sa;
	int ret;

	describe_sa(r, &sa);
	put_key(&sa, r->in_key);
	sa.dir = TCPSEAL_DIR_IN;
	sa.spi = r->ours.spi;
	sa.lanes = r->ours.lanes;
	sa.hard_secs = r->s->hard_secs + RX_MARGIN_SECS;
	sa.idle_secs = min_nonzero(r->ours.idle_secs, r->theirs.idle_secs);
	if (sa.idle_secs)
		sa.idle_secs += RX_MARGIN_SECS;
	ret = tcpseal_sa_new(r->ts, &sa);
	OPENSSL_cleanse(&sa, sizeof(sa));
	r->in_installed = !ret;
	return ret;
}

static int install_out(struct run *r)
{
	const struct conf *conf = r->s->setup->conf;
	struct tcpseal_sa sa;
	int ret;

	describe_sa(r, &sa);
	put_key(&sa, r->out_key);
	sa.dir = TCPSEAL_DIR_OUT;
	sa.spi = r->theirs.spi;
	sa.lanes = r->theirs.lanes;
	sa.flags |= TCPSEAL_SA_FLAG_PENDING;
	sa.hard_secs = r->s->hard_secs;
	sa.soft_secs = r->s->soft_secs;
	sa.idle_secs = min_nonzero(r->ours.idle_secs, r->theirs.idle_secs);
	sa.soft_bytes = conf->rotate_bytes;
	sa.hard_bytes = conf->rotate_bytes * 3;
	sa.has |= TCPSEAL_BIT(SA_SOFT_SECS) | TCPSEAL_BIT(SA_SOFT_BYTES) |
		  TCPSEAL_BIT(SA_HARD_BYTES);
	ret = tcpseal_sa_new(r->ts, &sa);
	OPENSSL_cleanse(&sa, sizeof(sa));
	r->out_installed = !ret;
	return ret;
}

static void remove_sa(struct run *r, uint32_t dir, uint32_t spi)
{
	struct tcpseal_sa sa = {
		.has = TCPSEAL_BIT(SA_DIR) | TCPSEAL_BIT(SA_LOCAL) |
		       TCPSEAL_BIT(SA_PEER) | TCPSEAL_BIT(SA_SPI),
		.dir = dir,
		.local = r->s->local,
		.peer = r->s->there,
		.spi = spi,
	};

	if (tcpseal_sa_del(r->ts, &sa) && tcpseal_error(r->ts)[0])
		log_debug("removing SPI 0x%08x: %s", spi, tcpseal_error(r->ts));
}

static int install(struct run *r)
{
	int64_t own = ident_seconds_left(r->s->setup->ident);
	int64_t hard = r->s->setup->conf->hard_secs;

	if (hard > r->theirs.hard_secs)
		hard = r->theirs.hard_secs;
	if (hard > own)
		hard = own;
	if (hard > r->s->peer.seconds_left + r->s->setup->conf->clock_skew)
		hard = r->s->peer.seconds_left + r->s->setup->conf->clock_skew;
	if (hard < 1)
		return end(r, SESSION_REFUSED, "a certificate expires at once");
	r->s->hard_secs = hard;
	r->s->soft_secs = soft_secs(r->s, hard);
	if (install_in(r) || install_out(r))
		return end(r, SESSION_FAILED, "the kernel refuses the key: %s",
			   tcpseal_error(r->ts));
	return 0;
}

/* Numbers that rise, also over restarts as long as the clock does */
static uint64_t next_generation(void)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static uint64_t last;
	struct timespec now;
	uint64_t g;

	clock_gettime(CLOCK_REALTIME, &now);
	g = now.tv_sec * 1000000000ULL + now.tv_nsec;
	pthread_mutex_lock(&lock);
	last = g > last ? g : last + 1;
	g = last;
	pthread_mutex_unlock(&lock);
	return g;
}

/* The peer receives: send with the new key, unless another goes first */
static int start_sending(struct run *r)
{
	struct session *s = r->s;
	int ret;

	if (!flight_may_send(r->flight, s->generation, r->theirs.spi))
		return 0;
	ret = tcpseal_sa_set(r->ts, &s->local, &s->there, s->generation);
	if (!ret || ret == -ENOENT || ret == -EALREADY || ret == -EEXIST)
		return 0;		/* a record was faster */
	return end(r, SESSION_FAILED, "the kernel does not send with the key: %s",
		   tcpseal_error(r->ts));
}

/* A handshake that waited for this one: use its key after all, or never */
static void release_held(bool won, uint64_t generation, uint32_t tx_spi,
			 void *data)
{
	struct run *r = data;

	if (won)
		remove_sa(r, TCPSEAL_DIR_OUT, tx_spi);
	else
		tcpseal_sa_set(r->ts, &r->s->local, &r->s->there, generation);
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
		return end(r, SESSION_FAILED, "no random numbers");
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

static int read_hello(struct run *r)
{
	int ret;

	ret = receive(r, WIRE_HELLO, r->their_msg, &r->their_len,
		      "waiting for HELLO");
	if (ret)
		return ret;
	if (wire_get_hello(r->their_msg, r->their_len, &r->theirs))
		return end(r, SESSION_FAILED, "the peer sent a malformed HELLO");
	if (r->theirs.version_min > WIRE_VERSION ||
	    r->theirs.version_max < WIRE_VERSION)
		return end(r, SESSION_REFUSED,
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
		return end(r, SESSION_PLAIN, "the peer %s has no link for %s",
			   s->peer.name, text_of(&s->here, &at));
	if (r->theirs.mode == TCPSEAL_MODE_CLEAR)
		return end(r, SESSION_PLAIN, "the peer %s says mode clear",
			   s->peer.name);
	if (r->ours.mode < TCPSEAL_MODE_AUDIT)
		return end(r, SESSION_PLAIN, "our mode is %s",
			   tcpseal_mode_name(r->ours.mode));
	return 0;
}

/* --- the two roles --- */

static int enter_flight(struct run *r)
{
	r->flight = flight_enter(&r->s->local, &r->s->there,
				 lower_here(r->s) == r->s->client);
	return r->flight ? 0 : end(r, SESSION_FAILED, "out of memory");
}

static int client_steps(struct run *r)
{
	struct session *s = r->s;
	uint8_t msg[WIRE_MAX];
	size_t len;
	int ret;

	ret = enter_flight(r);
	if (!ret)
		ret = fill_hello(r, &s->link);
	if (!ret)
		ret = send_message(r, r->our_msg, r->our_len);
	if (!ret)
		ret = read_hello(r);
	if (!ret)
		ret = check_modes(r);
	if (!ret)
		ret = derive(r);
	if (!ret)
		ret = install(r);
	if (ret)
		return ret;
	r->promised = true;
	len = wire_put_empty(msg, WIRE_CONFIRM);
	ret = send_message(r, msg, len);
	if (!ret)
		ret = receive(r, WIRE_READY, msg, &len, "waiting for READY");
	if (!ret)
		ret = start_sending(r);
	return ret;
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
		return end(r, SESSION_REFUSED, "the link says keys manual");
	return fill_hello(r, link);
}

static int server_steps(struct run *r)
{
	uint8_t msg[WIRE_MAX];
	size_t len;
	int ret;

	ret = read_hello(r);
	if (!ret)
		ret = server_link(r);
	if (ret)
		return ret;
	ret = check_modes(r);
	if (ret) {
		send_message(r, r->our_msg, r->our_len);
		/* the sentence stays check_modes()'s own */
		return check_modes(r);
	}
	ret = enter_flight(r);
	if (!ret)
		ret = derive(r);
	if (!ret)
		ret = install(r);
	if (!ret)
		ret = send_message(r, r->our_msg, r->our_len);
	if (!ret)
		ret = receive(r, WIRE_CONFIRM, msg, &len,
			      "waiting for CONFIRM");
	if (ret)
		return ret;
	r->promised = true;
	ret = start_sending(r);
	if (ret)
		return ret;
	len = wire_put_empty(msg, WIRE_READY);
	/* Lost or not: the first record tells the client as well */
	send_message(r, msg, len);
	return 0;
}

static int authorise(struct run *r)
{
	int ret;

	ret = check_tls(r);
	if (!ret)
		ret = judge_chain(r);
	/* A farewell tells nothing that another could use */
	if (!ret && r->s->client && r->s->link.mode >= TCPSEAL_MODE_CLEAR)
		ret = judge_name(r, &r->s->link);
	return ret;
}

static int run_steps(struct run *r)
{
	struct session *s = r->s;
	struct tcpseal_err err;
	int ret;

	if (tcpseal_open(&r->ts, &err))
		return end(r, SESSION_FAILED, "%s", err.text);
	s->generation = next_generation();
	ret = tls_handshake(r);
	if (ret)
		return ret;
	ret = authorise(r);
	if (!ret)
		ret = s->client ? client_steps(r) : server_steps(r);
	if (ret && s->result == SESSION_REFUSED)
		say_why(r, WIRE_NOTICE_REFUSED);
	else if (ret && s->result == SESSION_FAILED &&
		 SSL_is_init_finished(r->ssl) && !r->promised)
		say_why(r, WIRE_NOTICE_ERROR);
	return ret;
}

static void clean_up(struct run *r, bool ok)
{
	/* Nobody uses them as long as nothing was promised */
	if (!ok && !r->promised && r->in_installed)
		remove_sa(r, TCPSEAL_DIR_IN, r->ours.spi);
	if (!ok && !r->promised && r->out_installed)
		remove_sa(r, TCPSEAL_DIR_OUT, r->theirs.spi);
	flight_leave(r->flight, ok, release_held, r);
	if (r->ssl) {
		ERR_clear_error();
		if (SSL_is_init_finished(r->ssl))
			SSL_shutdown(r->ssl);
		SSL_free(r->ssl);
	}
	X509_free(r->peer);
	tcpseal_close(r->ts);
	ERR_clear_error();
}

void session_run(struct session *session)
{
	struct run *r = calloc(1, sizeof(*r));
	uint64_t start = now_ms();
	bool ok;

	session->result = SESSION_FAILED;
	session->mode_peer = -1;
	if (!r) {
		snprintf(session->reason, sizeof(session->reason),
			 "out of memory");
		return;
	}
	r->s = session;
	r->deadline = start + DEADLINE_MS;
	ok = !run_steps(r);
	if (ok) {
		session->result = SESSION_SEALED;
		session->reason[0] = '\0';
	}
	clean_up(r, ok);
	session->took_ms = now_ms() - start;
	OPENSSL_cleanse(r, sizeof(*r));
	free(r);
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
