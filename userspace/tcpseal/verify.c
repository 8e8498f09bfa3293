// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal verify: are the running module and the installed files those of a
 * manifest, which "make manifest" wrote where they were built?
 *
 *	tcpseal-manifest 1
 *	module SRCVERSION BUILD-ID KERNEL
 *	file SHA-256 PATH
 *
 * The kernel says what the module's sources and its link were, not what its
 * memory is now; and who controls the host controls what is said here.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <openssl/evp.h>

#include "model.h"
#include "tcpseal.h"

#define MANIFEST	"/etc/tcpseal/manifest"
#define MAGIC		"tcpseal-manifest 1\n"
#define MODULE		"/sys/module/tcpseal"
#define LINE_LEN	4608		/* a path, and what stands before it */
#define HEX_MAX		(2 * EVP_MAX_MD_SIZE + 1)

static const char usage[] =
"Usage: tcpseal verify [MANIFEST]\n";

struct verifier {
	json_t *checks;
	unsigned int differ;
};

static void to_hex(const unsigned char *bytes, size_t n, char *hex)
{
	size_t i;

	for (i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", bytes[i]);
}

/* found: NULL where there is nothing, and why says so */
static void compare(struct verifier *v, const char *what, const char *expected,
		    const char *found, const char *why)
{
	bool same = found && !strcmp(expected, found);
	json_t *check = json_object();

	v->differ += !same;
	put_str(check, "what", what);
	put_str(check, "expected", expected);
	put(check, "same", json_boolean(same));
	if (found)
		put_str(check, "found", found);
	else
		put_str(check, "error", why);
	if (json_array_append_new(v->checks, check))
		abort();	/* out of memory */
}

/* --- files --- */

static int hash_stream(FILE *file, char *hex)
{
	unsigned char md[EVP_MAX_MD_SIZE], buf[65536];
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned int length = 0;
	int ret = -ENOMEM;
	size_t n;

	if (!ctx || EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) != 1)
		goto out;
	do {
		n = fread(buf, 1, sizeof(buf), file);
		if (EVP_DigestUpdate(ctx, buf, n) != 1)
			goto out;
	} while (n == sizeof(buf));
	ret = ferror(file) ? -EIO : 0;
	if (!ret && EVP_DigestFinal_ex(ctx, md, &length) != 1)
		ret = -ENOMEM;
	to_hex(md, length, hex);
out:
	EVP_MD_CTX_free(ctx);
	return ret;
}

static void verify_file(struct verifier *v, const char *expected,
			const char *path)
{
	char hex[HEX_MAX] = "";
	FILE *file = fopen(path, "re");
	int ret = file ? hash_stream(file, hex) : -errno;

	if (file)
		fclose(file);
	compare(v, path, expected, ret ? NULL : hex, strerror(-ret));
}

/* --- the module --- */

static void verify_srcversion(struct verifier *v, const char *expected)
{
	FILE *file = fopen(MODULE "/srcversion", "re");
	char text[64] = "";

	if (file && fgets(text, sizeof(text), file))
		text[strcspn(text, "\n")] = '\0';
	compare(v, "running module: srcversion", expected, file ? text : NULL,
		"tcpseal is not loaded");
	if (file)
		fclose(file);
}

/* An ELF note: three numbers, "GNU", and the bytes to the end */
static void verify_build_id(struct verifier *v, const char *expected)
{
	FILE *file = fopen(MODULE "/notes/.note.gnu.build-id", "re");
	unsigned char note[16 + EVP_MAX_MD_SIZE];
	const char *why = "tcpseal is not loaded";
	char hex[HEX_MAX] = "";
	size_t n = 0;

	if (file) {
		n = fread(note, 1, sizeof(note), file);
		fclose(file);
		why = "it has none";
	}
	if (n > 16)
		to_hex(note + 16, n - 16, hex);
	compare(v, "running module: build id", expected, n > 16 ? hex : NULL,
		why);
}

/* --- the manifest --- */

static int verify_line(struct verifier *v, char *line)
{
	char *word[4] = { NULL }, *save = NULL;
	struct utsname name;
	int i;

	line[strcspn(line, "\n")] = '\0';
	word[0] = strtok_r(line, " ", &save);
	if (!word[0])
		return -EINVAL;
	if (!strcmp(word[0], "file")) {
		word[1] = strtok_r(NULL, " ", &save);
		if (!word[1] || *save != '/')
			return -EINVAL;
		verify_file(v, word[1], save);
		return 0;
	}
	for (i = 1; i < 4; i++)
		word[i] = strtok_r(NULL, " ", &save);
	if (strcmp(word[0], "module") || !word[3] || uname(&name))
		return -EINVAL;
	compare(v, "running kernel", word[3], name.release, NULL);
	verify_srcversion(v, word[1]);
	verify_build_id(v, word[2]);
	return 0;
}

static int verify_all(struct verifier *v, FILE *file, const char *path)
{
	char line[LINE_LEN];
	unsigned int number = 1;

	if (!fgets(line, sizeof(line), file) || strcmp(line, MAGIC))
		return refuse("%s: not a manifest of this version", path);
	while (fgets(line, sizeof(line), file)) {
		number++;
		if (verify_line(v, line))
			return refuse("%s:%u: not a line of a manifest", path,
				      number);
	}
	if (!json_array_size(v->checks))
		return refuse("%s: it names nothing", path);
	return 0;
}

static void print_checks(const struct verifier *v, const char *path)
{
	json_t *check;
	size_t i;

	json_array_foreach(v->checks, i, check) {
		if (json_is_true(json_object_get(check, "same")))
			continue;
		if (has(check, "error"))
			printf("%s: %s\n", str(check, "what"),
			       str(check, "error"));
		else
			printf("%s: %s instead of %s\n", str(check, "what"),
			       str(check, "found"), str(check, "expected"));
	}
	if (v->differ)
		printf("%u of %zu are not as in %s\n", v->differ,
		       json_array_size(v->checks), path);
	else
		printf("all %zu are as in %s\n", json_array_size(v->checks),
		       path);
}

static int verify(const char *path, struct verifier *v)
{
	FILE *file = fopen(path, "re");
	int ret;

	if (!file)
		return refuse("%s: %s", path, strerror(errno));
	ret = verify_all(v, file, path);
	fclose(file);
	if (ret)
		return ret;
	if (opt_json)
		print_document(json_incref(v->checks));
	else
		print_checks(v, path);
	ret = print_end();
	return ret ? ret : v->differ ? EXIT_REFUSED : EXIT_OK;
}

int verify_main(int argc, char **argv)
{
	struct verifier v = { };
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	v.checks = json_array();
	ret = verify(argc ? argv[0] : MANIFEST, &v);
	json_decref(v.checks);
	return ret;
}
