/* SPDX-License-Identifier: GPL-2.0-only */
/* An authority and an identity, made anew in each process and kept in memory. */
#ifndef TCPSEAL_FUZZ_AUTHORITY_H
#define TCPSEAL_FUZZ_AUTHORITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

struct authority {
	EVP_PKEY *key;
	X509 *cert;			/* its own, and our identity */
	char cert_path[64], key_path[64];
};

/* Ends the process where that is not possible */
void authority_init(struct authority *a);
/* Makes the certificate one that @a issued */
void authority_sign(const struct authority *a, X509 *cert);
/* A file in memory, by a path that ends with the process */
int memory_file(const void *data, size_t size, char *path, size_t path_size);

#endif /* TCPSEAL_FUZZ_AUTHORITY_H */
