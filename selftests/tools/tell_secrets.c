// SPDX-License-Identifier: GPL-2.0-only
/*
 * tell_secrets.so - for tests only, preloaded into tcpseald: writes the secrets of
 * its TLS connections and all that it derives from them to the file that
 * TELL_SECRETS names, masked, so that the file itself has none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mask.h"

#define LINE	512

static const char hex[] = "0123456789abcdef";

static void tell(const char *line, size_t len)
{
	const char *path = getenv("TELL_SECRETS");
	int fd = -1;

	if (path)
		fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return;
	if (write(fd, line, len) < 0)
		_exit(1);
	close(fd);
}

/* LABEL RANDOM SECRET, as SSLKEYLOGFILE has them; digit by digit */
static void on_secret(const SSL *ssl, const char *from)
{
	size_t n = strcspn(from, " "), i;
	const char *secret = strrchr(from, ' ');
	char line[LINE];

	(void)ssl;
	if (!secret || n + strlen(secret) + 3 > LINE)
		return;
	memcpy(line, from, n);
	line[n++] = ' ';
	line[n++] = '~';
	for (i = 0; *++secret; i++)
		line[n++] = hex[(strchr(hex, *secret) - hex) ^
				(i & 1 ? MASK & 15 : MASK >> 4)];
	line[n++] = '\n';
	tell(line, n);
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
	SSL_CTX *(*real)(const SSL_METHOD *) = dlsym(RTLD_NEXT, "SSL_CTX_new");
	SSL_CTX *ctx = real(method);

	if (ctx)
		SSL_CTX_set_keylog_callback(ctx, on_secret);
	return ctx;
}

int SSL_export_keying_material(SSL *ssl, unsigned char *out, size_t len,
			       const char *label, size_t label_len,
			       const unsigned char *context, size_t context_len,
			       int use_context)
{
	int (*real)(SSL *, unsigned char *, size_t, const char *, size_t,
		    const unsigned char *, size_t, int) =
		dlsym(RTLD_NEXT, "SSL_export_keying_material");
	int ret = real(ssl, out, len, label, label_len, context, context_len,
		       use_context);
	char line[LINE] = "session-key +";
	size_t n = strlen(line), i;

	if (ret != 1 || n + 2 * len + 1 > LINE)
		return ret;
	for (i = 0; i < len; i++) {
		line[n++] = hex[(out[i] ^ MASK) >> 4];
		line[n++] = hex[(out[i] ^ MASK) & 15];
	}
	line[n++] = '\n';
	tell(line, n);
	return ret;
}
