/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small private PKI behind `tcpseal ca` and `tcpseal cert`. */
#ifndef TCPSEAL_PKI_H
#define TCPSEAL_PKI_H

#include <stdbool.h>
#include <time.h>
#include <sys/types.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define PKI_DIR		"/etc/tcpseal/ca"
#define PKI_OUT		"/etc/tcpseal"
#define PKI_CA_DAYS	3650
#define PKI_LEAF_DAYS	90
#define PKI_CRL_DAYS	30
#define PKI_SKEW_SECS	300	/* clocks that are behind ours */
#define PKI_NAME_MAX	64	/* ub-common-name of X.509 */

/* a CA directory, locked against other commands while it is open */
struct pki {
	const char *dir;
	int lock;
	X509 *cert;
	EVP_PKEY *key;
};

/* notBefore and notAfter, from --days, --not-before and --not-after */
struct validity {
	uint64_t days;
	time_t not_before;	/* 0: now, less the skew */
	time_t not_after;	/* 0: after the days */
};

int pki_open(struct pki *pki, const char *dir);
int pki_lock(struct pki *pki, const char *dir);
void pki_close(struct pki *pki);

int pki_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *pki_path(const char *dir, const char *name, const char *suffix);
int pki_mkdir(const char *dir);
int pki_absent(const char *path, bool force);
int pki_write(const char *path, mode_t mode, bool force, BIO *content);
int pki_write_cert(const char *path, X509 *cert, bool force);
int pki_write_key(const char *path, EVP_PKEY *key, bool force);
X509 *pki_read_cert(const char *path);

X509 *pki_cert_new(EVP_PKEY *key, const char *name,
		   const struct validity *valid);
int pki_extend(X509 *cert, X509 *issuer, int nid, const char *value);
int pki_sign(X509 *cert, EVP_PKEY *key);

int pki_index_add(struct pki *pki, X509 *cert);
int pki_index_revoke(struct pki *pki, X509 *cert);
int pki_crl(struct pki *pki, const struct validity *valid);

int pki_check_name(const char *name);
int parse_days(const char *word, uint64_t *days);
int parse_when(const char *word, time_t *when);
time_t pki_time(const ASN1_TIME *time);
int pki_print(X509 *cert, const char *cert_path, const char *key_path);

#endif /* TCPSEAL_PKI_H */
