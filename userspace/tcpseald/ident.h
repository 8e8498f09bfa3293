/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What ident.c loads and judge.c judges by. */
#ifndef TCPSEALD_IDENT_H
#define TCPSEALD_IDENT_H

#include "tcpseald.h"

/* Never changed once it is loaded: workers read it without a lock */
struct ident {
	SSL_CTX *ctx;
	X509_STORE *store;
	X509 *leaf;
	STACK_OF(X509) *cas;
	STACK_OF(X509_CRL) *crls;
	ASN1_OBJECT *eku;
	bool eku_any;
	bool crl_stale_fails;
	uint32_t skew;
	uint8_t fingerprint[32];
};

#endif /* TCPSEALD_IDENT_H */
