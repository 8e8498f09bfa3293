// SPDX-License-Identifier: GPL-2.0-only
/*
 * A peer's certificate: the first byte of the input has flags, the rest is DER. It is
 * described and judged, as it is or newly signed by the authority that we believe. What
 * is accepted for an address or a name is looked for again, byte by byte.
 */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <strings.h>

#include "authority.h"
#include "fuzz.h"
#include "ident.h"

#define NAME	"gw.example"

enum { SIGN = 1, CLIENT = 2 };

struct setup *setup_now;
static struct ident *ident;
static struct authority authority;
static const struct tcpseal_addr ours = { .len = 4, .b = { 10, 2, 0, 5 } };

static bool is_name(const ASN1_STRING *s, bool fold)
{
	const char *text = (const char *)ASN1_STRING_get0_data(s);

	return ASN1_STRING_length(s) == (int)strlen(NAME) &&
	       !(fold ? strncasecmp(text, NAME, strlen(NAME)) :
			memcmp(text, NAME, strlen(NAME)));
}

static bool has_common_name(X509 *cert)
{
	const X509_NAME *name = X509_get_subject_name(cert);
	int i = -1;

	while ((i = X509_NAME_get_index_by_NID((X509_NAME *)name,
					       NID_commonName, i)) >= 0)
		if (is_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)),
			    false))
			return true;
	return false;
}

static bool has(X509 *cert, bool address)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name,
						NULL, NULL);
	const GENERAL_NAME *g;
	bool found = false;
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		g = sk_GENERAL_NAME_value(names, i);
		if (address)
			found |= g->type == GEN_IPADD && g->d.ip->length == 4 &&
				 !memcmp(g->d.ip->data, ours.b, 4);
		else if (g->type == GEN_DNS || g->type == GEN_URI)
			found |= is_name(g->d.ia5, g->type == GEN_DNS);
	}
	GENERAL_NAMES_free(names);
	return found || (!address && has_common_name(cert));
}

static void judge(X509 *cert, bool client)
{
	char why[REASON_LEN];
	struct cert_info info;

	judge_describe(cert, &info);
	must(printable(info.name) && printable(info.issuer) &&
	     printable(info.serial));
	if (judge_cert(ident, cert, NULL, client, why, sizeof(why)))
		must(*why && printable(why));
	if (judge_binding(cert, &ours, NULL, why, sizeof(why)))
		must(has(cert, true));
	else
		must(*why && printable(why));
	if (judge_binding(cert, &ours, NAME, why, sizeof(why)))
		must(has(cert, false));
	else
		must(*why && printable(why));
	judge_again(ident, ident, info.serial, info.issuer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const unsigned char *der = data + 1;
	X509 *cert;

	if (size < 2)
		return 0;
	cert = d2i_X509(NULL, &der, size - 1);
	if (cert && (*data & SIGN))
		authority_sign(&authority, cert);
	if (cert)
		judge(cert, *data & CLIENT);
	X509_free(cert);
	ERR_clear_error();
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct conf conf = { .clock_skew = 60 };
	char error[512];

	(void)argc, (void)argv;
	log_set_level(-1);
	authority_init(&authority);
	conf.cert = conf.ca = authority.cert_path;
	conf.key = authority.key_path;
	ident = ident_load(&conf, error, sizeof(error));
	must(ident);
	return 0;
}
