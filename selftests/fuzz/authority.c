// SPDX-License-Identifier: GPL-2.0-only
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "authority.h"
#include "fuzz.h"

int memory_file(const void *data, size_t size, char *path, size_t path_size)
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	must(fd >= 0);
	must(write(fd, data, size) == (ssize_t)size);
	snprintf(path, path_size, "/proc/self/fd/%d", fd);
	return fd;
}

static void keep(BIO *bio, char *path, size_t size)
{
	char *text;
	long length = BIO_get_mem_data(bio, &text);

	memory_file(text, length, path, size);
	BIO_free(bio);
}

static void extension(X509 *cert, int nid, const char *value)
{
	X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, NULL, nid, value);

	must(ext && X509_add_ext(cert, ext, -1) == 1);
	X509_EXTENSION_free(ext);
}

void authority_init(struct authority *a)
{
	BIO *cert = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());

	a->key = EVP_EC_gen("P-256");
	a->cert = X509_new();
	must(cert && key && a->key && a->cert);
	X509_set_version(a->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(a->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(a->cert), -86400);
	X509_gmtime_adj(X509_getm_notAfter(a->cert), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(a->cert), "CN",
				   MBSTRING_ASC, (const void *)"authority",
				   -1, -1, 0);
	extension(a->cert, NID_basic_constraints, "critical,CA:TRUE");
	extension(a->cert, NID_subject_alt_name, "IP:10.1.0.5,DNS:a.example");
	authority_sign(a, a->cert);
	must(PEM_write_bio_X509(cert, a->cert) == 1);
	must(PEM_write_bio_PKCS8PrivateKey(key, a->key, NULL, NULL, 0, NULL,
					   NULL) == 1);
	keep(cert, a->cert_path, sizeof(a->cert_path));
	keep(key, a->key_path, sizeof(a->key_path));
}

void authority_sign(const struct authority *a, X509 *cert)
{
	X509_set_issuer_name(cert, X509_get_subject_name(a->cert));
	if (!X509_get0_pubkey(cert))
		X509_set_pubkey(cert, a->key);
	X509_sign(cert, a->key, EVP_sha256());
}
