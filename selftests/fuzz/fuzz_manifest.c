// SPDX-License-Identifier: GPL-2.0-only
/*
 * The manifest of "tcpseal verify": the input is the file. The files that it names are
 * not there.
 */
#include <stdio.h>

#include "fuzz.h"

#define fopen(path, mode) ((void)(path), errno = ENOENT, (FILE *)NULL)
#include "../../userspace/tcpseal/verify.c"
#undef fopen

bool opt_json, opt_pretty;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct verifier v = { .checks = json_array() };
	FILE *file = size ? fmemopen((void *)data, size, "r") : NULL;

	if (file) {
		if (!verify_all(&v, file, "manifest")) {
			must(json_array_size(v.checks));
			print_checks(&v, "manifest");
		}
		must(v.differ <= json_array_size(v.checks));
		fclose(file);
	}
	json_decref(v.checks);
	return 0;
}
