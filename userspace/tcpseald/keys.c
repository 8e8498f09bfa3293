// SPDX-License-Identifier: GPL-2.0-or-later
/* Keys: derived from the TLS connection, described, put into the kernel. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "run.h"

#define RX_MARGIN_SECS	60		/* a receiver outlives its sender */

#define LABEL_CLIENT	"EXPORTER-tcpseal-1 client"
#define LABEL_SERVER	"EXPORTER-tcpseal-1 server"
#define CONTEXT_TITLE	"tcpseal-1 context"

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
	return ret ? run_end(r, SESSION_FAILED, "keys cannot be derived") : 0;
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
	memcpy(sa->cert_serial, s->peer.serial, sizeof(sa->cert_serial));
	memcpy(sa->cert_issuer, s->peer.issuer, sizeof(sa->cert_issuer));
	memcpy(sa->cert_name, s->peer.name, sizeof(sa->cert_name));
	memcpy(sa->kex, s->kex, sizeof(sa->kex));
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
	keylog_write(r->s->setup->conf, &sa);
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
	keylog_write(conf, &sa);
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

static int install_both(struct run *r)
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
		return run_end(r, SESSION_REFUSED, "a certificate expires at once");
	r->s->hard_secs = hard;
	r->s->soft_secs = soft_secs(r->s, hard);
	if (install_in(r) || install_out(r))
		return run_end(r, SESSION_FAILED, "the kernel refuses the key: %s",
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

int keys_begin(struct run *r)
{
	struct tcpseal_err err;

	if (tcpseal_open(&r->ts, &err))
		return run_end(r, SESSION_FAILED, "%s", err.text);
	r->s->generation = next_generation();
	r->flight = flight_enter(&r->s->local, &r->s->there,
				 lower_here(r->s) == r->s->client);
	return r->flight ? 0 : run_end(r, SESSION_FAILED, "out of memory");
}

int keys_install(struct run *r)
{
	int ret = derive(r);

	return ret ? ret : install_both(r);
}

int keys_use(struct run *r)
{
	struct session *s = r->s;
	enum flight_turn turn = flight_turn(r->flight, s->generation);
	int ret;

	s->lost = turn == FLIGHT_LOST;
	if (turn != FLIGHT_SENDS)
		return 0;
	ret = tcpseal_sa_set(r->ts, &s->local, &s->there, s->generation);
	if (!ret || ret == -ENOENT || ret == -EALREADY || ret == -EEXIST)
		return 0;		/* a record was faster */
	return run_end(r, SESSION_FAILED, "the kernel does not send with the key: %s",
		   tcpseal_error(r->ts));
}

/* A handshake that waited for this one: its key after all */
static void use_held(uint64_t generation, void *data)
{
	struct run *r = data;

	tcpseal_sa_set(r->ts, &r->s->local, &r->s->there, generation);
}

void keys_end(struct run *r, bool ok)
{
	/* Nobody uses its keys as long as nothing was promised */
	bool failed = !ok && !r->promised;

	if (failed && r->in_installed)
		remove_sa(r, TCPSEAL_DIR_IN, r->ours.spi);
	if (failed && r->out_installed)
		remove_sa(r, TCPSEAL_DIR_OUT, r->theirs.spi);
	flight_leave(r->flight, failed, use_held, r);
	tcpseal_close(r->ts);
}
