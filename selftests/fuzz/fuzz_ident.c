// SPDX-License-Identifier: GPL-2.0-only
/*
 * The files of an identity: certificate, key, authorities and revocation list, one
 * behind the other with a line "----" between them; an empty one is the good one.
 */
#include <openssl/err.h>
#include <unistd.h>

#include "authority.h"
#include "fuzz.h"
#include "ident.h"

#define PARTS	4
#define BETWEEN	"----\n"

struct setup *setup_now;
static struct authority authority;

static size_t cut(const uint8_t *data, size_t size)
{
	const uint8_t *end = memmem(data, size, BETWEEN, strlen(BETWEEN));

	return end ? (size_t)(end - data) : size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char path[PARTS][64], error[512] = "";
	int fd[PARTS], i;
	struct conf conf = { .clock_skew = 60 };
	struct ident *ident;
	size_t n;

	for (i = 0; i < PARTS; i++) {
		n = cut(data, size);
		fd[i] = n ? memory_file(data, n, path[i], sizeof(path[i])) : -1;
		data += n, size -= n;
		n = size < strlen(BETWEEN) ? size : strlen(BETWEEN);
		data += n, size -= n;
	}
	conf.cert = fd[0] < 0 ? authority.cert_path : path[0];
	conf.key = fd[1] < 0 ? authority.key_path : path[1];
	conf.ca = fd[2] < 0 ? authority.cert_path : path[2];
	conf.crl = fd[3] < 0 ? NULL : path[3];
	ident = ident_load(&conf, error, sizeof(error));
	if (ident) {
		ident_seconds_left(ident);
		ident_crl_end(ident);
		judge_again(ident, NULL, "01", "CN=authority");
	} else {
		must(!strncmp(error, "identity:", 9));
	}
	must(!ERR_peek_error());
	ident_free(ident);
	for (i = 0; i < PARTS; i++)
		if (fd[i] >= 0)
			close(fd[i]);
	return 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	log_set_level(-1);
	authority_init(&authority);
	return 0;
}
