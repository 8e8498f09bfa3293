// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal cert: certificates of hosts, signed by the CA of `tcpseal ca`. */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "pki.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal cert issue --name NAME --ip ADDR[,ADDR...] [--days DAYS]\n"
"                          [--dir DIR] [--out DIR] [--force]\n"
"                          [--not-before TIME] [--not-after TIME]\n"
"       tcpseal cert revoke FILE [--dir DIR] [--days DAYS]\n"
"\n"
"  The CA is in --dir, " PKI_DIR " unless given; NAME.crt and NAME.key\n"
"  go to --out, " PKI_OUT " unless given. TIME := 2026-11-21T20:15:00Z\n";

struct options {
	const char *dir;
	const char *out;
	const char *name;
	const char *file;		/* of revoke */
	GENERAL_NAMES *addresses;
	struct validity valid;
	bool force;
};

static int add_address(GENERAL_NAMES *names, const char *word)
{
	unsigned char addr[16] = { 0 };
	static const unsigned char any[16];
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *octets = ASN1_OCTET_STRING_new();
	int len = 0;

	if (!name || !octets)
		abort();
	if (inet_pton(AF_INET, word, addr) == 1)
		len = 4;
	else if (inet_pton(AF_INET6, word, addr) == 1)
		len = 16;
	if (!len || !memcmp(addr, any, len)) {
		ASN1_OCTET_STRING_free(octets);
		GENERAL_NAME_free(name);
		return bad_word(word, len ? "not the address of a host" :
				"not an IPv4 or IPv6 address");
	}
	if (!ASN1_OCTET_STRING_set(octets, addr, len))
		abort();
	GENERAL_NAME_set0_value(name, GEN_IPADD, octets);
	if (!sk_GENERAL_NAME_push(names, name))
		abort();
	return 0;
}

static int add_addresses(GENERAL_NAMES *names, const char *list)
{
	char *copy = strdup(list);
	char *rest = copy;
	char *word;
	int ret = 0;

	if (!copy)
		abort();
	while (!ret && (word = strsep(&rest, ",")))
		ret = add_address(names, word);
	free(copy);
	return ret;
}

static int add_dns(GENERAL_NAMES *names, const char *dns)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_IA5STRING *ia5 = ASN1_IA5STRING_new();

	if (!name || !ia5 || !ASN1_STRING_set(ia5, dns, -1))
		abort();
	GENERAL_NAME_set0_value(name, GEN_DNS, ia5);
	if (!sk_GENERAL_NAME_push(names, name))
		abort();
	return 0;
}

static int parse(int argc, char **argv, struct options *opts)
{
	static const struct option longopts[] = {
		{ "dir",	required_argument, NULL, 'd' },
		{ "out",	required_argument, NULL, 'o' },
		{ "name",	required_argument, NULL, 'n' },
		{ "ip",		required_argument, NULL, 'i' },
		{ "days",	required_argument, NULL, 'D' },
		{ "not-before",	required_argument, NULL, 'b' },
		{ "not-after",	required_argument, NULL, 'a' },
		{ "force",	no_argument,	   NULL, 'f' },
		{ }
	};
	int ret = 0;
	int c;

	optind = 0;
	opterr = 0;
	while (!ret) {
		/* "-": a word that is no option comes as 1 */
		c = getopt_long(argc, argv, "-:", longopts, NULL);
		if (c == -1)
			break;
		switch (c) {
		case 1:
			if (opts->file)
				return bad_word(optarg, "unexpected word");
			opts->file = optarg;
			break;
		case 'd':
			opts->dir = optarg;
			break;
		case 'o':
			opts->out = optarg;
			break;
		case 'n':
			opts->name = optarg;
			ret = pki_check_name(optarg);
			break;
		case 'i':
			ret = add_addresses(opts->addresses, optarg);
			break;
		case 'D':
			ret = parse_days(optarg, &opts->valid.days);
			break;
		case 'b':
			ret = parse_when(optarg, &opts->valid.not_before);
			break;
		case 'a':
			ret = parse_when(optarg, &opts->valid.not_after);
			break;
		case 'f':
			opts->force = true;
			break;
		case ':':
			return bad_word(argv[optind - 1], "needs a value");
		default:
			return bad_word(argv[optind - 1], "unknown option");
		}
	}
	return ret;
}

/* a leaf that outlives its CA would only look valid */
static int bound_by_ca(struct pki *pki, struct options *opts)
{
	time_t end = pki_time(X509_get0_notAfter(pki->cert));
	time_t now = time(NULL);
	char buf[32];

	if (opts->valid.not_before || opts->valid.not_after)
		return 0;
	if (end <= now)
		return refuse("the CA expired at %s",
			      fmt_when(buf, sizeof(buf), end));
	if ((time_t)(now + opts->valid.days * 86400) > end) {
		note("valid no longer than the CA, until %s",
		     fmt_when(buf, sizeof(buf), end));
		opts->valid.not_after = end;
	}
	return 0;
}

static int sign_leaf(struct pki *pki, X509 *cert, GENERAL_NAMES *names)
{
	if (!X509_set_issuer_name(cert, X509_get_subject_name(pki->cert)))
		return pki_fail("cannot name the issuer");
	if (pki_extend(cert, pki->cert, NID_basic_constraints,
		       "critical,CA:FALSE") ||
	    pki_extend(cert, pki->cert, NID_key_usage,
		       "critical,digitalSignature") ||
	    pki_extend(cert, pki->cert, NID_ext_key_usage,
		       "serverAuth,clientAuth") ||
	    pki_extend(cert, pki->cert, NID_subject_key_identifier, "hash") ||
	    pki_extend(cert, pki->cert, NID_authority_key_identifier,
		       "keyid:always"))
		return EXIT_REFUSED;
	if (!X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0))
		return pki_fail("extension subjectAltName");
	return pki_sign(cert, pki->key);
}

static int make_leaf(struct pki *pki, struct options *opts,
		     const char *cert_path, const char *key_path)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = NULL;
	int ret = EXIT_REFUSED;

	if (!key) {
		pki_fail("cannot make a key");
		goto out;
	}
	cert = pki_cert_new(key, opts->name, &opts->valid);
	if (!cert || sign_leaf(pki, cert, opts->addresses))
		goto out;
	/* first in the index: what exists can always be revoked */
	if (pki_index_add(pki, cert) ||
	    pki_write_key(key_path, key, opts->force))
		goto out;
	ret = pki_write_cert(cert_path, cert, opts->force);
	if (ret && !opts->force)
		unlink(key_path);
	if (!ret)
		ret = pki_print(cert, cert_path, key_path);
out:
	X509_free(cert);
	EVP_PKEY_free(key);
	return ret;
}

static int issue(struct options *opts)
{
	char *cert_path, *key_path;
	struct pki pki;
	int ret;

	umask(022);
	ret = pki_open(&pki, opts->dir);
	if (ret)
		return ret;
	cert_path = pki_path(opts->out, opts->name, ".crt");
	key_path = pki_path(opts->out, opts->name, ".key");
	if (bound_by_ca(&pki, opts) ||
	    pki_mkdir(opts->out) ||
	    pki_absent(cert_path, opts->force) ||
	    pki_absent(key_path, opts->force))
		ret = EXIT_REFUSED;
	else
		ret = make_leaf(&pki, opts, cert_path, key_path);
	free(key_path);
	free(cert_path);
	pki_close(&pki);
	return ret;
}

static int cert_issue(int argc, char **argv)
{
	struct options opts = {
		.dir = PKI_DIR,
		.out = PKI_OUT,
		.addresses = GENERAL_NAMES_new(),
		.valid.days = PKI_LEAF_DAYS,
	};
	int ret;

	if (wants_help(argc - 1, argv + 1)) {
		ret = print_usage(usage);
		goto out;
	}
	ret = parse(argc, argv, &opts);
	if (ret)
		goto out;
	if (opts.file)
		ret = bad_word(opts.file, "unexpected word");
	else if (!opts.name)
		ret = missing("--name NAME");
	else if (!sk_GENERAL_NAME_num(opts.addresses))
		ret = missing("--ip ADDR");
	if (ret)
		goto out;
	add_dns(opts.addresses, opts.name);
	ret = issue(&opts);
out:
	GENERAL_NAMES_free(opts.addresses);
	return ret;
}

static int revoke_file(struct pki *pki, const struct options *opts)
{
	X509 *cert = pki_read_cert(opts->file);
	EVP_PKEY *ca_key;
	int ret;

	if (!cert)
		return EXIT_REFUSED;
	ca_key = X509_get0_pubkey(pki->cert);
	if (X509_check_issued(pki->cert, cert) != X509_V_OK ||
	    X509_verify(cert, ca_key) != 1) {
		ERR_clear_error();
		ret = refuse("%s: not signed by the CA in %s", opts->file,
			     opts->dir);
	} else {
		ret = pki_index_revoke(pki, cert);
		if (!ret)
			ret = pki_crl(pki, &opts->valid);
	}
	X509_free(cert);
	return ret;
}

static int cert_revoke(int argc, char **argv)
{
	struct options opts = {
		.dir = PKI_DIR,
		.addresses = GENERAL_NAMES_new(),
		.valid.days = PKI_CRL_DAYS,
	};
	struct pki pki;
	int ret;

	if (wants_help(argc - 1, argv + 1)) {
		ret = print_usage(usage);
		goto out;
	}
	ret = parse(argc, argv, &opts);
	if (ret)
		goto out;
	if (opts.name || opts.out || sk_GENERAL_NAME_num(opts.addresses)) {
		ret = bad_word(opts.name ? "--name" : opts.out ? "--out" :
			       "--ip", "not an option of revoke");
		goto out;
	}
	if (!opts.file) {
		ret = missing("FILE");
		goto out;
	}
	umask(022);
	ret = pki_open(&pki, opts.dir);
	if (ret)
		goto out;
	ret = revoke_file(&pki, &opts);
	pki_close(&pki);
out:
	GENERAL_NAMES_free(opts.addresses);
	return ret;
}

int cert_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "issue", cert_issue, "make a key and a certificate" },
		{ "revoke", cert_revoke, "revoke a certificate, renew ca.crl" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
