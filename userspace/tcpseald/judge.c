// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The judgement of a peer's certificate. Every refusal names the certificate,
 * the field, and what was expected of it.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include "ident.h"

static void print_name(const X509_NAME *name, char *buf, size_t size)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n = 0;

	if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0)
		n = BIO_read(bio, buf, size - 1);
	buf[n > 0 ? n : 0] = '\0';
	BIO_free(bio);
}

static void print_serial(const ASN1_INTEGER *serial, char *buf, size_t size)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(serial, NULL);
	char *hex = bn ? BN_bn2hex(bn) : NULL;

	snprintf(buf, size, "%s", hex ? hex : "?");
	OPENSSL_free(hex);
	BN_free(bn);
}

static void print_time(const ASN1_TIME *t, char *buf, size_t size)
{
	struct tm tm;

	if (ASN1_TIME_to_tm(t, &tm) != 1 ||
	    !strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm))
		snprintf(buf, size, "?");
}

static void print_now(char *buf, size_t size)
{
	time_t now = ident_now();
	struct tm tm;

	gmtime_r(&now, &tm);
	strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

/* Names of certificates end up on terminals */
static void make_printable(char *text)
{
	for (; *text; text++)
		if (iscntrl((unsigned char)*text))
			*text = '?';
}

/* The first DNS or URI name, else the common name */
static void print_subject(X509 *leaf, char *buf, size_t size)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *name;
	int i;

	buf[0] = '\0';
	names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (i = 0; i < sk_GENERAL_NAME_num(names) && !*buf; i++) {
		name = sk_GENERAL_NAME_value(names, i);
		if (name->type == GEN_DNS || name->type == GEN_URI)
			snprintf(buf, size, "%.*s",
				 ASN1_STRING_length(name->d.ia5),
				 ASN1_STRING_get0_data(name->d.ia5));
	}
	GENERAL_NAMES_free(names);
	if (!*buf && X509_NAME_get_text_by_NID(X509_get_subject_name(leaf),
					       NID_commonName, buf, size) < 0)
		print_name(X509_get_subject_name(leaf), buf, size);
	make_printable(buf);
}

int64_t judge_left(const X509 *leaf)
{
	int days = 0, secs = 0;
	ASN1_TIME *now = ASN1_TIME_set(NULL, ident_now());

	if (!now || ASN1_TIME_diff(&days, &secs, now,
				   X509_get0_notAfter(leaf)) != 1)
		days = secs = 0;
	ASN1_TIME_free(now);
	return days * 86400LL + secs;
}

void judge_describe(X509 *leaf, struct cert_info *info)
{
	memset(info, 0, sizeof(*info));
	X509_digest(leaf, EVP_sha256(), info->fingerprint, NULL);
	print_serial(X509_get0_serialNumber(leaf), info->serial,
		     sizeof(info->serial));
	print_name(X509_get_issuer_name(leaf), info->issuer,
		   sizeof(info->issuer));
	print_subject(leaf, info->name, sizeof(info->name));
	info->seconds_left = judge_left(leaf);
}

/* --- judging --- */

struct judgement {
	const struct ident *id;
	X509 *leaf;
	char *why;
	size_t size;
	bool stale;
	bool timed;		/* refused for a time */
};

static void refuse(struct judgement *j, X509 *cert, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* "certificate NAME (serial N): " and the reason; the first one stays */
static void refuse(struct judgement *j, X509 *cert, const char *format, ...)
{
	struct cert_info info;
	va_list args;
	int n;

	if (*j->why)
		return;
	judge_describe(cert ? cert : j->leaf, &info);
	n = snprintf(j->why, j->size, "certificate %.60s (serial %.40s): ",
		     info.name, info.serial);
	va_start(args, format);
	vsnprintf(j->why + n, j->size - n, format, args);
	va_end(args);
	make_printable(j->why);
}

/* Within the skew that the configuration allows? */
static bool in_time(const struct judgement *j, const ASN1_TIME *t, int after)
{
	time_t bound = ident_now() + (after ? -(time_t)j->id->skew :
					      (time_t)j->id->skew);
	int cmp = ASN1_TIME_cmp_time_t(t, bound);

	return cmp != -2 && (after ? cmp > 0 : cmp <= 0);
}

static int time_error(struct judgement *j, X509 *cert, bool after)
{
	const ASN1_TIME *t = after ? X509_get0_notAfter(cert) :
				     X509_get0_notBefore(cert);
	char then[32], now[32];

	if (in_time(j, t, after))
		return 1;
	print_time(t, then, sizeof(then));
	print_now(now, sizeof(now));
	j->timed = true;
	refuse(j, cert, after ? "expired at %s (notAfter); the clock here says %s" :
				"not valid before %s (notBefore); the clock here says %s",
	       then, now);
	return 0;
}

static int crl_error(struct judgement *j, X509 *cert, int error)
{
	j->stale = true;
	if (!j->id->crl_stale_fails)
		return 1;
	j->timed = error != X509_V_ERR_UNABLE_TO_GET_CRL;
	refuse(j, cert, error == X509_V_ERR_UNABLE_TO_GET_CRL ?
	       "no CRL of its issuer is configured (crl-stale fail)" :
	       "the CRL of its issuer is out of date (crl-stale fail); is the clock right?");
	return 0;
}

static const char *issuer_of(X509 *cert, char *buf, size_t size)
{
	print_name(X509_get_issuer_name(cert), buf, size);
	return buf;
}

static bool has_authority(const struct ident *id, const char *issuer)
{
	char name[256];
	int i;

	for (i = 0; i < sk_X509_num(id->cas); i++) {
		print_name(X509_get_subject_name(sk_X509_value(id->cas, i)),
			   name, sizeof(name));
		if (!strcmp(name, issuer))
			return true;
	}
	return false;
}

/* No authority signed it; perhaps one of the same name, and another key */
static int issuer_error(struct judgement *j, X509 *cert)
{
	char issuer[256];

	issuer_of(cert, issuer, sizeof(issuer));
	refuse(j, cert, has_authority(j->id, issuer) ?
	       "its issuer has the name \"%.100s\" of a configured authority, but another key" :
	       "its issuer \"%.100s\" is not among the configured authorities",
	       issuer);
	return 0;
}

static int chain_error(int ok, X509_STORE_CTX *ctx)
{
	struct judgement *j = X509_STORE_CTX_get_app_data(ctx);
	X509 *cert = X509_STORE_CTX_get_current_cert(ctx);
	int error = X509_STORE_CTX_get_error(ctx);
	char issuer[100];

	if (ok)
		return 1;
	if (!cert)
		cert = j->leaf;
	switch (error) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return time_error(j, cert, true);
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return time_error(j, cert, false);
	case X509_V_ERR_UNABLE_TO_GET_CRL:
		/* Of intermediates only where there is one */
		if (X509_STORE_CTX_get_error_depth(ctx))
			return 1;
		/* fallthrough */
	case X509_V_ERR_CRL_HAS_EXPIRED:
	case X509_V_ERR_CRL_NOT_YET_VALID:
		return crl_error(j, cert, error);
	case X509_V_ERR_CERT_REVOKED:
		refuse(j, cert, "revoked by the CRL of its issuer \"%s\"",
		       issuer_of(cert, issuer, sizeof(issuer)));
		return 0;
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
		return issuer_error(j, cert);
	}
	refuse(j, cert, "%s", X509_verify_cert_error_string(error));
	return 0;
}

static bool eku_has(X509 *leaf, const ASN1_OBJECT *want, bool absent_ok)
{
	EXTENDED_KEY_USAGE *eku;
	bool found = false;
	int i, crit;

	eku = X509_get_ext_d2i(leaf, NID_ext_key_usage, &crit, NULL);
	if (!eku)
		return crit == -1 && absent_ok;
	for (i = 0; i < sk_ASN1_OBJECT_num(eku) && !found; i++)
		found = !OBJ_cmp(sk_ASN1_OBJECT_value(eku, i), want);
	EXTENDED_KEY_USAGE_free(eku);
	return found;
}

/* Fits the role in TLS, or the configured usage, which must be there */
static bool fits_use(struct judgement *j, bool peer_is_client)
{
	int nid = peer_is_client ? NID_client_auth : NID_server_auth;
	char text[64];

	if (j->id->eku_any)
		return true;
	if (j->id->eku) {
		if (eku_has(j->leaf, j->id->eku, false))
			return true;
		OBJ_obj2txt(text, sizeof(text), j->id->eku, 0);
		refuse(j, NULL, "extendedKeyUsage lacks %s (eku)", text);
		return false;
	}
	if (eku_has(j->leaf, OBJ_nid2obj(nid), true) ||
	    eku_has(j->leaf, OBJ_nid2obj(NID_anyExtendedKeyUsage), true))
		return true;
	refuse(j, NULL, "extendedKeyUsage lacks %s", OBJ_nid2ln(nid));
	return false;
}

enum verdict judge_cert(const struct ident *id, X509 *leaf,
			STACK_OF(X509) *chain, bool peer_is_client, char *why,
			size_t size)
{
	struct judgement j = { .id = id, .leaf = leaf, .why = why,
			       .size = size };
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	X509_VERIFY_PARAM *param;
	bool good = false;

	why[0] = '\0';
	if (!ctx || X509_STORE_CTX_init(ctx, id->store, leaf, chain) != 1) {
		snprintf(why, size, "out of memory");
		goto out;
	}
	X509_STORE_CTX_set_app_data(ctx, &j);
	X509_STORE_CTX_set_verify_cb(ctx, chain_error);
	param = X509_STORE_CTX_get0_param(ctx);
	X509_VERIFY_PARAM_set_time(param, ident_now());
	X509_VERIFY_PARAM_set_auth_level(param, 2);
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
	if (sk_X509_CRL_num(id->crls))
		X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_CRL_CHECK |
					    X509_V_FLAG_CRL_CHECK_ALL);
	good = X509_verify_cert(ctx) == 1 && !*why;
	if (!good && !*why)
		refuse(&j, NULL, "%s", X509_verify_cert_error_string(
				X509_STORE_CTX_get_error(ctx)));
	good = good && fits_use(&j, peer_is_client);
	if (good && j.stale)
		log_warn("the CRL of a peer's issuer is missing or out of date");
out:
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	if (good)
		return VERDICT_GOOD;
	return j.timed ? VERDICT_UNKNOWN : VERDICT_UNTRUSTED;
}

static bool same_name(const ASN1_STRING *s, const char *name, bool fold)
{
	size_t length = ASN1_STRING_length(s);
	const char *data = (const char *)ASN1_STRING_get0_data(s);

	if (length != strlen(name) || memchr(data, '\0', length))
		return false;
	return fold ? !strncasecmp(data, name, length) :
		      !memcmp(data, name, length);
}

/* The names of the certificate, for the refusal; and whether one is `name` */
static bool walk_names(X509 *leaf, const char *name, char *list, size_t size)
{
	GENERAL_NAMES *names;
	const GENERAL_NAME *g;
	char addr[INET6_ADDRSTRLEN], one[128];
	bool found = false;
	size_t n = 0;
	int i;

	list[0] = '\0';
	names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		one[0] = '\0';
		if (g->type == GEN_DNS || g->type == GEN_URI) {
			found |= name && same_name(g->d.ia5, name,
						   g->type == GEN_DNS);
			snprintf(one, sizeof(one), "%.*s",
				 ASN1_STRING_length(g->d.ia5),
				 ASN1_STRING_get0_data(g->d.ia5));
		} else if (g->type == GEN_IPADD &&
			   (g->d.ip->length == 4 || g->d.ip->length == 16) &&
			   inet_ntop(g->d.ip->length == 4 ? AF_INET : AF_INET6,
				     g->d.ip->data, addr, sizeof(addr))) {
			snprintf(one, sizeof(one), "%s", addr);
		}
		if (*one && n < size)
			n += snprintf(list + n, size - n, "%s%s",
				      n ? ", " : "", one);
	}
	GENERAL_NAMES_free(names);
	return found;
}

/* Whole, where X509_NAME_get_text_by_NID() cuts, and would stop at a zero */
static bool has_common_name(X509 *leaf, const char *name)
{
	const X509_NAME *subject = X509_get_subject_name(leaf);
	int i = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return i >= 0 &&
	       same_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject,
								      i)),
			 name, false);
}

bool judge_binding(X509 *leaf, const struct tcpseal_addr *addr,
		   const char *name, char *why, size_t size)
{
	struct judgement j = { .leaf = leaf, .why = why, .size = size };
	struct addr_text text;
	char list[128], cn[128] = "";

	why[0] = '\0';
	if (!name) {
		if (X509_check_ip(leaf, addr->b, addr->len, 0) == 1)
			return true;
		walk_names(leaf, NULL, list, sizeof(list));
		refuse(&j, NULL, "subjectAltName has not the address %s; it has %s",
		       text_of(addr, &text), *list ? list : "nothing");
		return false;
	}
	if (walk_names(leaf, name, list, sizeof(list)))
		return true;
	if (has_common_name(leaf, name))
		return true;
	X509_NAME_get_text_by_NID(X509_get_subject_name(leaf), NID_commonName,
				  cn, sizeof(cn));
	refuse(&j, NULL, "is not in the name of \"%.60s\", as the link demands; it has CN %.40s, %s",
	       name, cn, *list ? list : "no subjectAltName");
	return false;
}

/* --- again, from what the kernel keeps --- */

static bool revoked(const struct ident *id, const char *serial,
		    const char *issuer)
{
	char name[256], number[64];
	STACK_OF(X509_REVOKED) *list;
	X509_CRL *crl;
	int i, k;

	for (i = 0; i < sk_X509_CRL_num(id->crls); i++) {
		crl = sk_X509_CRL_value(id->crls, i);
		print_name(X509_CRL_get_issuer(crl), name, sizeof(name));
		if (strcmp(name, issuer))
			continue;
		list = X509_CRL_get_REVOKED(crl);
		for (k = 0; k < sk_X509_REVOKED_num(list); k++) {
			print_serial(X509_REVOKED_get0_serialNumber(
				     sk_X509_REVOKED_value(list, k)),
				     number, sizeof(number));
			if (!strcmp(number, serial))
				return true;
		}
	}
	return false;
}

/* UNKNOWN: issued by an intermediate; only a new handshake can tell */
enum verdict judge_again(const struct ident *id, const struct ident *before,
			 const char *serial, const char *issuer)
{
	if (revoked(id, serial, issuer))
		return VERDICT_REVOKED;
	if (has_authority(id, issuer))
		return before && !ident_same_trust(id, before) ?
		       VERDICT_UNKNOWN : VERDICT_GOOD;
	if (before && has_authority(before, issuer))
		return VERDICT_UNTRUSTED;
	return VERDICT_UNKNOWN;
}
