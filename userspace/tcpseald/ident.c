// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Our identity: the certificate and key that we show, the authorities and
 * revocation lists that we believe, and the rules of TLS that we insist on.
 *
 * During the TLS handshake every certificate passes, so that a refusal can be
 * said in words over the connection; nothing that the peer says is looked at
 * before judge.c accepted it. That the peer holds the certificate's key is
 * proven by TLS itself.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "ident.h"

static const uint8_t alpn[] = { sizeof(WIRE_ALPN) - 1, 't', 'c', 'p', 's', 'e',
				'a', 'l', '/', '1' };

/* --- the clock --- */

static _Atomic int64_t clock_floor;

void ident_set_clock_floor(time_t floor)
{
	if (floor > clock_floor)
		clock_floor = floor;
}

/* A clock that is behind what was once seen is not believed */
time_t ident_now(void)
{
	time_t now = time(NULL);

	return now < clock_floor ? clock_floor : now;
}

/* --- loading --- */

/* The first error where the system had one, else the last */
static const char *ssl_reason(void)
{
	unsigned long code = ERR_peek_error();
	const char *text;

	if (ERR_SYSTEM_ERROR(code))
		return strerror(ERR_GET_REASON(code));
	text = ERR_reason_error_string(ERR_peek_last_error());
	return text ? text : "unknown error";
}

static int fail(char *error, size_t size, const char *what, const char *file)
{
	snprintf(error, size, "identity: %s %s: %s", what, file, ssl_reason());
	ERR_clear_error();
	return -EINVAL;
}

/* A daemon has nobody to ask */
static int no_passphrase(char *buf, int size, int rw, void *data)
{
	(void)buf, (void)size, (void)rw, (void)data;
	return -1;
}

static int select_alpn(SSL *ssl, const unsigned char **out,
		       unsigned char *outlen, const unsigned char *in,
		       unsigned int inlen, void *data)
{
	(void)ssl, (void)data;
	if (SSL_select_next_proto((unsigned char **)out, outlen, alpn,
				  sizeof(alpn), in, inlen) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Judged after the handshake, see above */
static int later(X509_STORE_CTX *ctx, void *data)
{
	(void)data;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

/* The newest list that this library knows; '*': send a share at once */
static bool set_groups(SSL_CTX *ctx)
{
	return SSL_CTX_set1_groups_list(ctx,
					"*X25519MLKEM768:*X25519:P-256") == 1 ||
	       SSL_CTX_set1_groups_list(ctx,
					"X25519MLKEM768:X25519:P-256") == 1 ||
	       SSL_CTX_set1_groups_list(ctx, "X25519:P-256") == 1;
}

static SSL_CTX *new_ctx(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (!ctx)
		return NULL;
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
				 SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER |
				SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_cert_verify_callback(ctx, later, NULL);
	SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
	SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
	if (SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION) == 1 &&
	    SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
	    SSL_CTX_set_max_early_data(ctx, 0) == 1 &&
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_256_GCM_SHA384:"
					  "TLS_AES_128_GCM_SHA256") == 1 &&
	    set_groups(ctx) &&
	    SSL_CTX_set_alpn_protos(ctx, alpn, sizeof(alpn)) == 0) {
		ERR_clear_error();
		return ctx;
	}
	SSL_CTX_free(ctx);
	return NULL;
}

static int load_own(struct ident *id, const struct conf *conf, char *error,
		    size_t size)
{
	struct stat st;

	if (SSL_CTX_use_certificate_chain_file(id->ctx, conf->cert) != 1)
		return fail(error, size, "cert", conf->cert);
	if (SSL_CTX_use_PrivateKey_file(id->ctx, conf->key,
					SSL_FILETYPE_PEM) != 1)
		return fail(error, size, "key", conf->key);
	if (SSL_CTX_check_private_key(id->ctx) != 1)
		return fail(error, size, "key does not fit the certificate:",
			    conf->key);
	if (!stat(conf->key, &st) && (st.st_mode & (S_IRWXO | S_IWGRP)))
		log_warn("identity: key %s can be read or written by others",
			 conf->key);
	id->leaf = SSL_CTX_get0_certificate(id->ctx);
	X509_up_ref(id->leaf);
	if (X509_digest(id->leaf, EVP_sha256(), id->fingerprint, NULL) != 1)
		return fail(error, size, "cert", conf->cert);
	return 0;
}

static int load_cas(struct ident *id, const struct conf *conf, char *error,
		    size_t size)
{
	BIO *bio = BIO_new_file(conf->ca, "r");
	X509 *ca;

	if (!bio)
		return fail(error, size, "ca", conf->ca);
	while ((ca = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL))) {
		if (X509_STORE_add_cert(id->store, ca) != 1 ||
		    !sk_X509_push(id->cas, ca)) {
			X509_free(ca);
			break;
		}
	}
	BIO_free(bio);
	if (ca || !sk_X509_num(id->cas) ||
	    ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return fail(error, size, "ca", conf->ca);
	ERR_clear_error();
	return 0;
}

static int load_crls(struct ident *id, const struct conf *conf, char *error,
		     size_t size)
{
	X509_CRL *crl;
	BIO *bio;

	if (!conf->crl)
		return 0;
	bio = BIO_new_file(conf->crl, "r");
	if (!bio)
		return fail(error, size, "crl", conf->crl);
	while ((crl = PEM_read_bio_X509_CRL(bio, NULL, no_passphrase, NULL))) {
		if (X509_STORE_add_crl(id->store, crl) != 1 ||
		    !sk_X509_CRL_push(id->crls, crl)) {
			X509_CRL_free(crl);
			break;
		}
	}
	BIO_free(bio);
	if (crl || !sk_X509_CRL_num(id->crls) ||
	    ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return fail(error, size, "crl", conf->crl);
	ERR_clear_error();
	return 0;
}

/* What peers with the same authorities will say of us; only a warning */
static void warn_of_own(const struct ident *id)
{
	STACK_OF(X509) *chain = NULL;
	char why[REASON_LEN];

	SSL_CTX_get0_chain_certs(id->ctx, &chain);
	if (judge_cert(id, id->leaf, chain, true, why, sizeof(why)) ||
	    judge_cert(id, id->leaf, chain, false, why, sizeof(why)))
		log_warn("our own identity would be refused here: %s", why);
}

/* Two ends in memory, a step of each in turn until both are done */
static bool handshake_with(SSL *client, SSL *server)
{
	int i, c = 0, s = 0;

	for (i = 0; i < 10 && (c != 1 || s != 1); i++) {
		c = SSL_do_handshake(client);
		if (c != 1 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ)
			return false;
		s = SSL_do_handshake(server);
		if (s != 1 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ)
			return false;
	}
	return c == 1 && s == 1;
}

/*
 * Shakes hands with itself: what can work with nobody is found at once, and
 * the first peer does not wait for the library to get ready.
 */
static int try_out(struct ident *id, const struct conf *conf, char *error,
		   size_t size)
{
	SSL *client = SSL_new(id->ctx), *server = SSL_new(id->ctx);
	BIO *one = NULL, *two = NULL;
	bool ok = false;

	if (client && server && BIO_new_bio_pair(&one, 0, &two, 0) == 1) {
		SSL_set_bio(client, one, one);
		SSL_set_bio(server, two, two);
		SSL_set_connect_state(client);
		SSL_set_accept_state(server);
		ok = handshake_with(client, server);
	}
	SSL_free(client);
	SSL_free(server);
	return ok ? 0 : fail(error, size, "TLS 1.3 is not possible with",
			     conf->cert);
}

struct ident *ident_load(const struct conf *conf, char *error, size_t size)
{
	struct ident *id = calloc(1, sizeof(*id));
	int ret = -ENOMEM;

	snprintf(error, size, "identity: out of memory");
	if (!id)
		return NULL;
	ERR_clear_error();
	id->ctx = new_ctx();
	id->store = X509_STORE_new();
	id->cas = sk_X509_new_null();
	id->crls = sk_X509_CRL_new_null();
	id->skew = conf->clock_skew;
	id->crl_stale_fails = conf->crl_stale_fails;
	if (conf->eku && !strcmp(conf->eku, "any"))
		id->eku_any = true;
	else if (conf->eku)
		id->eku = OBJ_txt2obj(conf->eku, 0);
	if (id->ctx && id->store && id->cas && id->crls)
		ret = load_own(id, conf, error, size);
	if (!ret)
		ret = load_cas(id, conf, error, size);
	if (!ret)
		ret = load_crls(id, conf, error, size);
	if (!ret)
		ret = try_out(id, conf, error, size);
	if (!ret) {
		warn_of_own(id);
		return id;
	}
	ident_free(id);
	return NULL;
}

void ident_free(struct ident *id)
{
	if (!id)
		return;
	X509_free(id->leaf);
	ASN1_OBJECT_free(id->eku);
	sk_X509_pop_free(id->cas, X509_free);
	sk_X509_CRL_pop_free(id->crls, X509_CRL_free);
	X509_STORE_free(id->store);
	SSL_CTX_free(id->ctx);
	free(id);
}

SSL *ident_ssl(const struct ident *id)
{
	return SSL_new(id->ctx);
}

const uint8_t *ident_fingerprint(const struct ident *id)
{
	return id->fingerprint;
}

int64_t ident_seconds_left(const struct ident *id)
{
	return judge_left(id->leaf) + id->skew;
}

/* By when a new list of revoked certificates is due, 0: there is none */
int64_t ident_crl_end(const struct ident *ident)
{
	int64_t end = 0, this;
	const ASN1_TIME *next;
	struct tm tm;
	int i;

	for (i = 0; i < sk_X509_CRL_num(ident->crls); i++) {
		next = X509_CRL_get0_nextUpdate(sk_X509_CRL_value(ident->crls,
								  i));
		if (!next || ASN1_TIME_to_tm(next, &tm) != 1)
			continue;
		this = timegm(&tm);
		if (!end || this < end)
			end = this;
	}
	return end;
}

bool ident_same_trust(const struct ident *a, const struct ident *b)
{
	int i;

	if (sk_X509_num(a->cas) != sk_X509_num(b->cas))
		return false;
	for (i = 0; i < sk_X509_num(a->cas); i++)
		if (X509_cmp(sk_X509_value(a->cas, i),
			     sk_X509_value(b->cas, i)))
			return false;
	return true;
}
