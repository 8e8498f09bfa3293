// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal ca: a private certificate authority in one directory. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/ec.h>
#include <openssl/x509v3.h>

#include "pki.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal ca init [--dir DIR] [--name NAME] [--days DAYS] [--force]\n"
"                       [--not-before TIME] [--not-after TIME]\n"
"       tcpseal ca crl [--dir DIR] [--days DAYS]\n"
"\n"
"  DIR is " PKI_DIR " unless given. TIME := 2026-11-21T20:15:00Z\n";

struct options {
	const char *dir;
	const char *name;
	struct validity valid;
	bool force;
};

static int parse(int argc, char **argv, struct options *opts)
{
	static const struct option longopts[] = {
		{ "dir",	required_argument, NULL, 'd' },
		{ "name",	required_argument, NULL, 'n' },
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
		c = getopt_long(argc, argv, "+:", longopts, NULL);
		if (c == -1)
			break;
		switch (c) {
		case 'd':
			opts->dir = optarg;
			break;
		case 'n':
			opts->name = optarg;
			ret = pki_check_name(optarg);
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
	if (!ret && optind < argc)
		return bad_word(argv[optind], "unexpected word");
	return ret;
}

static int sign_ca(X509 *cert, EVP_PKEY *key)
{
	if (!X509_set_issuer_name(cert, X509_get_subject_name(cert)))
		return pki_fail("cannot name the issuer");
	if (pki_extend(cert, cert, NID_basic_constraints,
		       "critical,CA:TRUE,pathlen:0") ||
	    pki_extend(cert, cert, NID_key_usage,
		       "critical,keyCertSign,cRLSign") ||
	    pki_extend(cert, cert, NID_subject_key_identifier, "hash") ||
	    pki_extend(cert, cert, NID_authority_key_identifier,
		       "keyid:always"))
		return EXIT_REFUSED;
	return pki_sign(cert, key);
}

static int make_ca(const struct options *opts, EVP_PKEY *key,
		   const char *cert_path, const char *key_path)
{
	char name[PKI_NAME_MAX + 1];
	char host[32] = "";
	X509 *cert;
	int ret;

	gethostname(host, sizeof(host) - 1);
	snprintf(name, sizeof(name), "%s%s", opts->name ? opts->name :
		 "tcpseal CA ", opts->name ? "" : host);
	cert = pki_cert_new(key, name, &opts->valid);
	if (!cert)
		return EXIT_REFUSED;
	ret = sign_ca(cert, key);
	if (!ret)
		ret = pki_write_key(key_path, key, opts->force);
	if (ret)
		goto free_cert;
	ret = pki_write_cert(cert_path, cert, opts->force);
	if (!ret)
		ret = pki_print(cert, cert_path, key_path);
	else if (!opts->force)
		unlink(key_path);
free_cert:
	X509_free(cert);
	return ret;
}

static int ca_init(int argc, char **argv)
{
	struct options opts = {
		.dir = PKI_DIR,
		.valid.days = PKI_CA_DAYS,
	};
	char *cert_path, *key_path;
	EVP_PKEY *key = NULL;
	struct pki pki;
	int ret;

	if (wants_help(argc - 1, argv + 1))
		return print_usage(usage);
	ret = parse(argc, argv, &opts);
	if (ret)
		return ret;
	umask(022);
	ret = pki_mkdir(opts.dir);
	if (ret)
		return ret;
	ret = pki_lock(&pki, opts.dir);
	if (ret)
		return ret;
	cert_path = pki_path(opts.dir, "ca", ".crt");
	key_path = pki_path(opts.dir, "ca", ".key");
	if (pki_absent(key_path, opts.force) ||
	    pki_absent(cert_path, opts.force)) {
		ret = EXIT_REFUSED;
	} else {
		key = EVP_EC_gen("P-256");
		if (key)
			ret = make_ca(&opts, key, cert_path, key_path);
		else
			ret = pki_fail("cannot make a key");
	}
	EVP_PKEY_free(key);
	free(key_path);
	free(cert_path);
	pki_close(&pki);
	return ret;
}

static int ca_crl(int argc, char **argv)
{
	struct options opts = {
		.dir = PKI_DIR,
		.valid.days = PKI_CRL_DAYS,
	};
	struct pki pki;
	int ret;

	if (wants_help(argc - 1, argv + 1))
		return print_usage(usage);
	ret = parse(argc, argv, &opts);
	if (ret)
		return ret;
	ret = pki_open(&pki, opts.dir);
	if (ret)
		return ret;
	ret = pki_crl(&pki, &opts.valid);
	pki_close(&pki);
	return ret;
}

int ca_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "init", ca_init, "make a CA" },
		{ "crl", ca_crl, "sign a fresh list of revoked certificates" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
