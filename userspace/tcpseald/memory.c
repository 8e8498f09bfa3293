// SPDX-License-Identifier: GPL-2.0-or-later
/* Memory that holds secrets. */
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <openssl/crypto.h>

#include "tcpseald.h"

/*
 * OpenSSL wipes most of what is secret, but frees a connection with its traffic
 * secrets and its exporter secret inside, from which session keys follow. So
 * nothing that it frees keeps its contents.
 */
static void *get(size_t size, const char *file, int line)
{
	(void)file, (void)line;
	return malloc(size);
}

static void put(void *old, const char *file, int line)
{
	(void)file, (void)line;
	if (old)
		explicit_bzero(old, malloc_usable_size(old));
	free(old);
}

static void *get_other(void *old, size_t size, const char *file, int line)
{
	size_t had = old ? malloc_usable_size(old) : 0;
	void *new;

	if (size && size <= had)
		return old;
	new = size ? malloc(size) : NULL;
	if (size && !new)
		return NULL;
	if (old && new)
		memcpy(new, old, had);
	put(old, file, line);
	return new;
}

int memory_discreet(void)
{
	struct rlimit none = { 0, 0 };

	prctl(PR_SET_DUMPABLE, 0);
	setrlimit(RLIMIT_CORE, &none);
	if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) < 0)
		log_debug("memory is not locked: %s", strerror(errno));
	return CRYPTO_set_mem_functions(get, get_other, put) ? 0 : -EBUSY;
}
