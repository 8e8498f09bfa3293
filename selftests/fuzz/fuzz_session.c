// SPDX-License-Identifier: GPL-2.0-only
/*
 * A handshake of the control protocol, behind TLS: the first byte of the input chooses
 * the role, the link and the certificate, the second how much arrives at once, the rest
 * is what the peer says. No keys are made. Keys are agreed only with who said a HELLO
 * that allows it, and CONFIRM or READY.
 */
#include <errno.h>
#include <openssl/err.h>
#include <unistd.h>

#include "authority.h"
#include "fuzz.h"
#include "ident.h"
#include "run.h"

enum { CLIENT = 1, GATEWAY = 2, VIA = 4, PREFER = 8, STRANGER = 16, WAITS = 32 };

struct setup *setup_now;
struct tcpseal *kernel;

static struct setup setup;
static struct conf conf;
static struct ident ident;
static struct authority authority, stranger;
static const uint8_t *at;
static size_t left, most;
static bool waits, waited, installed, used;
static X509 *shown;

/* --- instead of a connection --- */

SSL *SSL_new(SSL_CTX *ctx)
{
	static char nothing;

	(void)ctx;
	return (SSL *)&nothing;
}

void SSL_free(SSL *ssl)
{
	(void)ssl;
}

int SSL_set_fd(SSL *ssl, int fd)
{
	(void)ssl, (void)fd;
	return 1;
}

int SSL_connect(SSL *ssl)
{
	(void)ssl;
	return 1;
}

int SSL_accept(SSL *ssl)
{
	(void)ssl;
	return 1;
}

int SSL_is_init_finished(const SSL *ssl)
{
	(void)ssl;
	return 1;
}

int SSL_version(const SSL *ssl)
{
	(void)ssl;
	return TLS1_3_VERSION;
}

void SSL_get0_alpn_selected(const SSL *ssl, const unsigned char **data,
			    unsigned int *len)
{
	(void)ssl;
	*data = (const void *)WIRE_ALPN;
	*len = strlen(WIRE_ALPN);
}

int SSL_session_reused(const SSL *ssl)
{
	(void)ssl;
	return 0;
}

long SSL_ctrl(SSL *ssl, int cmd, long number, void *data)
{
	(void)ssl, (void)cmd, (void)number, (void)data;
	return 0;
}

const char *SSL_group_to_name(SSL *ssl, int id)
{
	(void)ssl, (void)id;
	return "X25519";
}

X509 *SSL_get1_peer_certificate(const SSL *ssl)
{
	(void)ssl;
	X509_up_ref(shown);
	return shown;
}

STACK_OF(X509) *SSL_get_peer_cert_chain(const SSL *ssl)
{
	(void)ssl;
	return NULL;
}

int SSL_shutdown(SSL *ssl)
{
	(void)ssl;
	return 1;
}

int SSL_get_error(const SSL *ssl, int ret)
{
	(void)ssl, (void)ret;
	return waited ? SSL_ERROR_WANT_READ : SSL_ERROR_ZERO_RETURN;
}

int SSL_write(SSL *ssl, const void *buf, int num)
{
	(void)ssl, (void)buf;
	must(num >= WIRE_HEADER && num <= WIRE_MAX);
	return num;
}

int SSL_read(SSL *ssl, void *buf, int num)
{
	size_t n = num;

	(void)ssl;
	must(num > 0);
	waited = waits && !waited && left;
	if (waited)
		return -1;
	if (n > left)
		n = left;
	if (n > most)
		n = most;
	memcpy(buf, at, n);
	at += n, left -= n;
	return n;
}

/* --- instead of keys.c, and of what it needs --- */

int keys_begin(struct run *r)
{
	must(r->peer);
	return 0;
}

int keys_install(struct run *r)
{
	must(r->theirs.mode >= TCPSEAL_MODE_AUDIT && r->theirs.spi);
	must(tcpseal_aead_keylen(r->theirs.aead) && r->theirs.lanes);
	must(r->theirs.version_min <= WIRE_VERSION &&
	     r->theirs.version_max >= WIRE_VERSION);
	installed = true;
	return 0;
}

int keys_use(struct run *r)
{
	must(installed && r->promised);
	used = true;
	return 0;
}

void keys_end(struct run *r, bool ok)
{
	(void)r;
	must(!ok || used);
}

struct setup *setup_get(struct setup *s)
{
	return s;
}

void setup_put(struct setup *s)
{
	(void)s;
}

uint64_t now_ms(void)
{
	return 1000000;
}

uint32_t random_u32(void)
{
	return 0x5ea1;
}

bool kernel_lost(int err)
{
	(void)err;
	return false;
}

/* --- one handshake --- */

static void set_link(struct tcpseal_link *link, uint8_t how)
{
	link->mode = how & PREFER ? TCPSEAL_MODE_PREFER : TCPSEAL_MODE_REQUIRE;
	link->flags = how & GATEWAY ? TCPSEAL_LINK_FLAG_FORWARD : 0;
	link->has &= ~(TCPSEAL_BIT(LINK_VIA) | TCPSEAL_BIT(LINK_IDENTITY));
	if (!(how & VIA))
		return;
	link->has |= TCPSEAL_BIT(LINK_VIA) | TCPSEAL_BIT(LINK_IDENTITY);
	tcpseal_addr_parse("10.1.0.5", &link->via);
	strcpy(link->identity, "a.example");
}

static void check_result(const struct session *s, uint8_t how)
{
	must(printable(s->reason) && printable(s->peer.name));
	must(memchr(s->reason, '\0', sizeof(s->reason)));
	must((s->result == SESSION_SEALED) == (used && !*s->reason));
	must(!(how & STRANGER) || s->result != SESSION_SEALED);
	must(!installed || !(how & STRANGER));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct session *s;
	uint8_t how;

	if (size < 2)
		return 0;
	how = data[0];
	most = data[1] ? data[1] : WIRE_MAX;
	at = data + 2;
	left = size - 2;
	waits = how & WAITS;
	waited = installed = used = false;
	shown = how & STRANGER ? stranger.cert : authority.cert;
	set_link(&links_now->link[0], how);

	s = session_new(-1, how & CLIENT);
	must(s);
	s->submitted = now_ms();
	tcpseal_addr_parse("10.2.0.5", &s->here);
	tcpseal_addr_parse("10.1.0.5", &s->there);
	if (s->client)
		s->link = links_now->link[0];
	while (!session_run(s))
		must(s->wants);
	check_result(s, how);
	session_free(s);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set_level(-1);
	authority_init(&authority);
	authority_init(&stranger);
	conf.lanes = 8;
	conf.hard_secs = 86400;
	setup.conf = &conf;
	setup.ident = &ident;
	setup_now = &setup;
	ident.eku_any = true;
	ident.leaf = authority.cert;
	ident.store = X509_STORE_new();
	ident.cas = sk_X509_new_null();
	ident.crls = sk_X509_CRL_new_null();
	must(X509_STORE_add_cert(ident.store, authority.cert) == 1);
	must(sk_X509_push(ident.cas, authority.cert));
	links_now = calloc(1, sizeof(*links_now) + sizeof(links_now->link[0]));
	must(links_now);
	links_now->n = 1;
	atomic_init(&links_now->refs, 2);
	links_now->link[0].id = 1;
	tcpseal_prefix_parse("10.2.0.0/16", &links_now->link[0].local);
	tcpseal_prefix_parse("10.1.0.0/16", &links_now->link[0].remote);
	return 0;
}
