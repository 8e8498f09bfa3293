// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The small private PKI: files, certificates, the index of what was issued.
 *
 * A CA directory holds ca.crt, ca.key (0600), ca.crl after the first
 * revocation, and "index", in the format of openssl-ca(1), so that a CA may
 * move to that tool. Every file appears whole, under its final name, or not
 * at all; none is overwritten unless asked for.
 */
#define _GNU_SOURCE 1	/* asprintf, mkostemp, strptime */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include "pki.h"
#include "tcpseal.h"

#define SERIAL_BYTES	16

/* like refuse(), and adds what OpenSSL has to say */
int pki_fail(const char *fmt, ...)
{
	unsigned long err = ERR_peek_last_error();
	const char *why = NULL;
	char what[1024];
	va_list ap;

	if (err)
		why = ERR_reason_error_string(err);
	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return refuse("%s%s%s", what, why ? ": " : "", why ? why : "");
}

char *pki_path(const char *dir, const char *name, const char *suffix)
{
	char *path;

	if (asprintf(&path, "%s/%s%s", dir, name, suffix) < 0)
		abort();
	return path;
}

int pki_mkdir(const char *dir)
{
	char path[4096];
	char *slash;

	if (snprintf(path, sizeof(path), "%s", dir) >= (int)sizeof(path))
		return refuse("%.64s...: name too long", dir);
	for (slash = path + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(path, 0755) && errno != EEXIST)
			return refuse("%s: %s", path, strerror(errno));
		*slash = '/';
	}
	if (mkdir(path, 0755) && errno != EEXIST)
		return refuse("%s: %s", path, strerror(errno));
	return 0;
}

int pki_absent(const char *path, bool force)
{
	struct stat st;

	if (force || lstat(path, &st))
		return 0;
	return refuse("%s: exists already (--force overwrites it)", path);
}

static int sync_parent(const char *path)
{
	char *copy = strdup(path);
	char *slash = copy ? strrchr(copy, '/') : NULL;
	int fd;

	if (slash)
		slash[slash == copy] = '\0';
	fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(copy);
	if (fd < 0)
		return -1;
	fsync(fd);
	return close(fd);
}

static int write_all(int fd, const char *data, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, data, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		data += n;
		len -= n;
	}
	return 0;
}

int pki_write(const char *path, mode_t mode, bool force, BIO *content)
{
	int ret = EXIT_REFUSED;
	char *data, *tmp;
	long len;
	int fd;

	len = BIO_get_mem_data(content, &data);
	if (asprintf(&tmp, "%s.XXXXXX", path) < 0)
		abort();
	fd = mkostemp(tmp, O_CLOEXEC);	/* O_EXCL, 0600 */
	if (fd < 0) {
		refuse("%s: %s", path, strerror(errno));
		goto free_tmp;
	}
	if (write_all(fd, data, len) || fchmod(fd, mode) || fsync(fd)) {
		refuse("%s: %s", path, strerror(errno));
		goto unlink_tmp;
	}
	if (force ? rename(tmp, path) : link(tmp, path)) {
		refuse("%s: %s", path, strerror(errno));
		goto unlink_tmp;
	}
	sync_parent(path);
	ret = 0;
unlink_tmp:
	close(fd);
	unlink(tmp);	/* gone already after a rename */
free_tmp:
	free(tmp);
	return ret;
}

int pki_write_cert(const char *path, X509 *cert, bool force)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int ret;

	if (bio && PEM_write_bio_X509(bio, cert))
		ret = pki_write(path, 0644, force, bio);
	else
		ret = pki_fail("%s", path);
	BIO_free(bio);
	return ret;
}

int pki_write_key(const char *path, EVP_PKEY *key, bool force)
{
	BIO *bio = BIO_new(BIO_s_secmem());	/* wiped when freed */
	int ret;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0,
						 NULL, NULL))
		ret = pki_write(path, 0600, force, bio);
	else
		ret = pki_fail("%s", path);
	BIO_free(bio);
	return ret;
}

X509 *pki_read_cert(const char *path)
{
	FILE *file = fopen(path, "re");
	X509 *cert;

	if (!file) {
		refuse("%s: %s", path, strerror(errno));
		return NULL;
	}
	cert = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	if (!cert)
		pki_fail("%s: not a certificate in PEM", path);
	return cert;
}

static EVP_PKEY *read_key(const char *path)
{
	FILE *file = fopen(path, "re");
	EVP_PKEY *key;
	struct stat st;

	if (!file) {
		refuse("%s: %s", path, strerror(errno));
		return NULL;
	}
	if (!fstat(fileno(file), &st) && st.st_mode & 077)
		note("warning: %s can be read by others (mode %04o)", path,
		     st.st_mode & 07777);
	key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	if (!key)
		pki_fail("%s: not a private key in PEM", path);
	return key;
}

int pki_lock(struct pki *pki, const char *dir)
{
	memset(pki, 0, sizeof(*pki));
	pki->dir = dir;
	pki->lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pki->lock < 0)
		return refuse("%s: %s", dir, strerror(errno));
	if (flock(pki->lock, LOCK_EX | LOCK_NB)) {
		refuse("%s: %s", dir, errno == EWOULDBLOCK ?
		       "another tcpseal works on this CA" : strerror(errno));
		pki_close(pki);
		return EXIT_REFUSED;
	}
	return 0;
}

int pki_open(struct pki *pki, const char *dir)
{
	char *cert_path = pki_path(dir, "ca", ".crt");
	char *key_path = pki_path(dir, "ca", ".key");
	int ret;

	if (access(cert_path, F_OK) && errno == ENOENT) {
		memset(pki, 0, sizeof(*pki));
		pki->lock = -1;
		ret = refuse("%s: no CA here, `tcpseal ca init` makes one",
			     dir);
		goto free_paths;
	}
	ret = pki_lock(pki, dir);
	if (ret)
		goto free_paths;

	ret = EXIT_REFUSED;
	pki->cert = pki_read_cert(cert_path);
	if (!pki->cert)
		goto close;
	pki->key = read_key(key_path);
	if (!pki->key)
		goto close;
	if (X509_check_private_key(pki->cert, pki->key) != 1) {
		ERR_clear_error();
		refuse("%s does not belong to %s", key_path, cert_path);
		goto close;
	}
	ret = 0;
close:
	if (ret)
		pki_close(pki);
free_paths:
	free(key_path);
	free(cert_path);
	return ret;
}

void pki_close(struct pki *pki)
{
	EVP_PKEY_free(pki->key);
	X509_free(pki->cert);
	if (pki->lock >= 0)
		close(pki->lock);
	pki->key = NULL;
	pki->cert = NULL;
	pki->lock = -1;
}

static int set_serial(X509 *cert)
{
	unsigned char bytes[SERIAL_BYTES];
	BIGNUM *bn = NULL;
	int ok;

	if (RAND_bytes(bytes, sizeof(bytes)) != 1)
		return 0;
	bytes[0] &= 0x7f;	/* positive, and still 16 octets in DER */
	bytes[0] |= 0x40;
	bn = BN_bin2bn(bytes, sizeof(bytes), NULL);
	ok = bn && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
	BN_free(bn);
	return ok;
}

static int set_validity(X509 *cert, const struct validity *valid)
{
	time_t from = valid->not_before;
	time_t until = valid->not_after;

	if (!from)
		from = time(NULL) - PKI_SKEW_SECS;
	if (!until)
		until = (valid->not_before ? from : time(NULL)) +
			valid->days * 86400;
	if (until <= from)
		return refuse("not-after lies before not-before");
	if (!ASN1_TIME_set(X509_getm_notBefore(cert), from) ||
	    !ASN1_TIME_set(X509_getm_notAfter(cert), until))
		return pki_fail("cannot set the time of validity");
	return 0;
}

/* version 3, a random serial, CN=@name, @key; issuer and extensions follow */
X509 *pki_cert_new(EVP_PKEY *key, const char *name,
		   const struct validity *valid)
{
	X509 *cert = X509_new();
	X509_NAME *subject;

	if (!cert || !X509_set_version(cert, X509_VERSION_3) ||
	    !set_serial(cert) || !X509_set_pubkey(cert, key))
		goto fail;
	subject = X509_get_subject_name(cert);
	if (!X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
					(const unsigned char *)name, -1, -1, 0))
		goto fail;
	if (set_validity(cert, valid)) {
		X509_free(cert);
		return NULL;
	}
	return cert;
fail:
	pki_fail("cannot make a certificate");
	X509_free(cert);
	return NULL;
}

int pki_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	int ok;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	ext = X509V3_EXT_nconf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1);
	X509_EXTENSION_free(ext);
	if (!ok)
		return pki_fail("extension %s", OBJ_nid2sn(nid));
	return 0;
}

int pki_sign(X509 *cert, EVP_PKEY *key)
{
	if (!X509_sign(cert, key, EVP_sha256()))
		return pki_fail("cannot sign");
	return 0;
}

time_t pki_time(const ASN1_TIME *time)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return 0;
	return timegm(&tm);
}

static char *serial_hex(const ASN1_INTEGER *serial)
{
	BIGNUM *bn = ASN1_INTEGER_to_BN(serial, NULL);
	char *hex = bn ? BN_bn2hex(bn) : NULL;

	BN_free(bn);
	if (!hex)
		abort();
	return hex;
}

/* YYMMDDHHMMSSZ, or YYYYMMDDHHMMSSZ from 2050 on, as openssl-ca writes it */
static void index_time(char *buf, size_t len, time_t when)
{
	char full[32];
	struct tm tm;

	gmtime_r(&when, &tm);
	strftime(full, sizeof(full), "%Y%m%d%H%M%SZ", &tm);
	snprintf(buf, len, "%s", full + (tm.tm_year < 150 ? 2 : 0));
}

static void index_line(BIO *bio, X509 *cert, bool revoked)
{
	char *serial = serial_hex(X509_get0_serialNumber(cert));
	char *subject = X509_NAME_oneline(X509_get_subject_name(cert),
					  NULL, 0);
	char until[32], now[32] = "";

	index_time(until, sizeof(until),
		   pki_time(X509_get0_notAfter(cert)));
	if (revoked)
		index_time(now, sizeof(now), time(NULL));
	BIO_printf(bio, "%c\t%s\t%s\t%s\tunknown\t%s\n", revoked ? 'R' : 'V',
		   until, now, serial, subject ? subject : "/CN=?");
	OPENSSL_free(subject);
	OPENSSL_free(serial);
}

/* the index as one string; empty where there is none yet */
static char *index_read(struct pki *pki)
{
	char *path = pki_path(pki->dir, "index", "");
	char *text = NULL;
	size_t size = 0;
	FILE *file;

	file = fopen(path, "re");
	if (!file && errno == ENOENT) {
		text = strdup("");
	} else if (!file) {
		refuse("%s: %s", path, strerror(errno));
	} else if (getdelim(&text, &size, '\0', file) < 0) {
		free(text);
		text = NULL;
		if (feof(file) && !ferror(file))
			text = strdup("");
		else
			refuse("%s: %s", path, strerror(errno));
	}
	if (file)
		fclose(file);
	free(path);
	return text;
}

static int index_write(struct pki *pki, BIO *bio)
{
	char *path = pki_path(pki->dir, "index", "");
	int ret = pki_write(path, 0644, true, bio);

	free(path);
	return ret;
}

int pki_index_add(struct pki *pki, X509 *cert)
{
	char *text = index_read(pki);
	BIO *bio;
	int ret;

	if (!text)
		return EXIT_REFUSED;
	bio = BIO_new(BIO_s_mem());
	if (!bio)
		abort();
	BIO_puts(bio, text);
	index_line(bio, cert, false);
	ret = index_write(pki, bio);
	BIO_free(bio);
	free(text);
	return ret;
}

/* the fields of one line of the index; false for a line that is not one */
static bool index_split(char *line, char *field[6])
{
	int i;

	for (i = 0; i < 6; i++) {
		field[i] = strsep(&line, "\t");
		if (!field[i])
			return false;
	}
	return true;
}

/*
 * Marks @cert as revoked. One that was revoked before keeps its date, one that
 * the index does not know is added: what matters is that the CRL names it.
 */
int pki_index_revoke(struct pki *pki, X509 *cert)
{
	char *serial = serial_hex(X509_get0_serialNumber(cert));
	char *text = index_read(pki);
	char *rest = text;
	char *line, *copy;
	char *field[6];
	bool known = false;
	int ret = EXIT_REFUSED;
	BIO *bio;

	if (!text)
		goto free_serial;
	bio = BIO_new(BIO_s_mem());
	if (!bio)
		abort();
	while ((line = strsep(&rest, "\n"))) {
		if (!*line)
			continue;
		copy = strdup(line);
		if (!copy)
			abort();
		if (index_split(copy, field) && !strcmp(field[3], serial)) {
			known = true;
			if (*field[0] == 'R') {
				note("serial %s was revoked before", serial);
				BIO_printf(bio, "%s\n", line);
			} else {
				index_line(bio, cert, true);
			}
		} else {
			BIO_printf(bio, "%s\n", line);
		}
		free(copy);
	}
	if (!known)
		index_line(bio, cert, true);
	ret = index_write(pki, bio);
	BIO_free(bio);
	free(text);
free_serial:
	OPENSSL_free(serial);
	return ret;
}

static int crl_entry(X509_CRL *crl, const char *serial, const char *date)
{
	X509_REVOKED *revoked = X509_REVOKED_new();
	ASN1_TIME *when = ASN1_TIME_new();
	ASN1_INTEGER *number = NULL;
	BIGNUM *bn = NULL;
	int ok;

	if (BN_hex2bn(&bn, serial))
		number = BN_to_ASN1_INTEGER(bn, NULL);
	ok = revoked && when && number &&
	     ASN1_TIME_set_string(when, date) &&
	     X509_REVOKED_set_serialNumber(revoked, number) &&
	     X509_REVOKED_set_revocationDate(revoked, when) &&
	     X509_CRL_add0_revoked(crl, revoked);
	if (!ok)
		X509_REVOKED_free(revoked);
	ASN1_INTEGER_free(number);
	ASN1_TIME_free(when);
	BN_free(bn);
	return ok;
}

static int crl_fill(struct pki *pki, X509_CRL *crl)
{
	char *text = index_read(pki);
	char *rest = text;
	char *field[6];
	char *line;
	int ret = 0;

	if (!text)
		return EXIT_REFUSED;
	while (!ret && (line = strsep(&rest, "\n"))) {
		if (*line != 'R' || !index_split(line, field))
			continue;
		field[2][strcspn(field[2], ",")] = '\0';	/* reason */
		if (!crl_entry(crl, field[3], field[2]))
			ret = pki_fail("%s/index: bad entry of serial %s",
				       pki->dir, field[3]);
	}
	free(text);
	return ret;
}

static int crl_finish(struct pki *pki, X509_CRL *crl,
		      const struct validity *valid)
{
	time_t from = valid->not_before;
	time_t until = valid->not_after;
	ASN1_INTEGER *number = ASN1_INTEGER_new();
	ASN1_TIME *when = ASN1_TIME_new();
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	int ret = 0;

	if (!from)
		from = time(NULL) - PKI_SKEW_SECS;
	if (!until)
		until = time(NULL) + valid->days * 86400;
	X509V3_set_ctx(&ctx, pki->cert, NULL, NULL, crl, 0);
	ext = X509V3_EXT_nconf_nid(NULL, &ctx, NID_authority_key_identifier,
				   "keyid:always");
	if (!number || !when ||
	    !X509_CRL_set_version(crl, X509_CRL_VERSION_2) ||
	    !X509_CRL_set_issuer_name(crl,
				      X509_get_subject_name(pki->cert)) ||
	    !ASN1_TIME_set(when, from) ||
	    !X509_CRL_set1_lastUpdate(crl, when) ||
	    !ASN1_TIME_set(when, until) ||
	    !X509_CRL_set1_nextUpdate(crl, when) ||
	    /* a number that grows: the time of signing */
	    !ASN1_INTEGER_set_int64(number, time(NULL)) ||
	    !X509_CRL_add1_ext_i2d(crl, NID_crl_number, number, 0, 0) ||
	    !ext || !X509_CRL_add_ext(crl, ext, -1) ||
	    !X509_CRL_sort(crl) ||
	    !X509_CRL_sign(crl, pki->key, EVP_sha256()))
		ret = pki_fail("cannot sign the CRL");
	X509_EXTENSION_free(ext);
	ASN1_TIME_free(when);
	ASN1_INTEGER_free(number);
	return ret;
}

/* a fresh ca.crl of every revoked serial in the index */
int pki_crl(struct pki *pki, const struct validity *valid)
{
	char *path = pki_path(pki->dir, "ca", ".crl");
	BIO *bio = BIO_new(BIO_s_mem());
	X509_CRL *crl = X509_CRL_new();
	int ret;

	if (!bio || !crl)
		abort();
	ret = crl_fill(pki, crl);
	if (!ret)
		ret = crl_finish(pki, crl, valid);
	if (!ret && !PEM_write_bio_X509_CRL(bio, crl))
		ret = pki_fail("%s", path);
	if (!ret)
		ret = pki_write(path, 0644, true, bio);
	X509_CRL_free(crl);
	BIO_free(bio);
	free(path);
	return ret;
}

/* a name goes into a file name, a CN and a DNS name */
int pki_check_name(const char *name)
{
	static const char allowed[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		"0123456789.-_";

	if (!*name)
		return bad_word(name, "empty name");
	if (strlen(name) > PKI_NAME_MAX)
		return bad_word(name, "name longer than %d characters",
				PKI_NAME_MAX);
	if (name[strspn(name, allowed)])
		return bad_word(name, "a name has only letters, digits, "
				"\".\", \"-\", \"_\"");
	if (strchr(".-", *name))
		return bad_word(name, "a name does not begin with \"%c\"",
				*name);
	return 0;
}

int parse_days(const char *word, uint64_t *days)
{
	return parse_number(word, 1, 36500, days);
}

/* 2026-11-21, 2026-11-21T20:15:00Z (always UTC), or @seconds since the Epoch */
int parse_when(const char *word, time_t *when)
{
	static const char *const formats[] = {
		"%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S",
		"%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%MZ", "%Y-%m-%dT%H:%M",
		"%Y-%m-%d",
	};
	struct tm tm;
	uint64_t secs;
	size_t i;
	char *end;

	if (*word == '@') {
		if (parse_number(word + 1, 1, 253402300799, &secs))
			return EXIT_USAGE;
		*when = secs;
		return 0;
	}
	for (i = 0; i < ARRAY_SIZE(formats); i++) {
		memset(&tm, 0, sizeof(tm));
		end = strptime(word, formats[i], &tm);
		if (end && !*end) {
			*when = timegm(&tm);
			return 0;
		}
	}
	return bad_word(word, "not a time such as 2026-11-21T20:15:00Z");
}

static char *fingerprint_hex(X509 *cert)
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int len = 0;
	unsigned int i;
	char *hex;

	if (!X509_digest(cert, EVP_sha256(), md, &len))
		abort();
	hex = calloc(1, 2 * len + 1);
	if (!hex)
		abort();
	for (i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", md[i]);
	return hex;
}

/* what was made, and where it lies */
int pki_print(X509 *cert, const char *cert_path, const char *key_path)
{
	char *fingerprint = fingerprint_hex(cert);
	char *serial = serial_hex(X509_get0_serialNumber(cert));
	time_t from = pki_time(X509_get0_notBefore(cert));
	time_t until = pki_time(X509_get0_notAfter(cert));
	char a[32], b[32];

	if (opt_json) {
		print_document(json_pack("{ss, ss, ss, ss, sI, sI}",
					 "certificate", cert_path,
					 "key", key_path,
					 "serial", serial,
					 "fingerprint", fingerprint,
					 "not_before", (json_int_t)from,
					 "not_after", (json_int_t)until));
	} else {
		printf("certificate  %s\n", cert_path);
		printf("key          %s\n", key_path);
		printf("serial       %s\n", serial);
		printf("sha-256      %s\n", fingerprint);
		printf("valid        %s to %s\n",
		       fmt_when(a, sizeof(a), from),
		       fmt_when(b, sizeof(b), until));
	}
	OPENSSL_free(serial);
	free(fingerprint);
	return print_end();
}
