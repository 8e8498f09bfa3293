// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal sa: keys in use, and keys typed in by hand. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal sa add dir in|out local ADDR peer ADDR spi N key KEY iv HEX\n"
"                      [aead aes256|aes128] [lanes N] [generation N]\n"
"                      [soft-secs N] [hard-secs N] [idle-secs N]\n"
"                      [soft-bytes N] [hard-bytes N]\n"
"       tcpseal sa del spi N [dir in|out] [local ADDR] [peer ADDR]\n"
"       tcpseal sa del id N\n"
"       tcpseal sa show\n"
"       tcpseal sa flush [manual]\n"
"\n"
"KEY := { HEX | @FILE | - }; only on links that say \"keys manual\"\n";

#define KEY_TEXT_MAX	256

/* the key is never repeated in a message */
static int bad_key(const char *why)
{
	refuse("key: %s", why);
	return EXIT_USAGE;
}

static int key_from_text(char *text, struct tcpseal_sa *sa)
{
	size_t len = strlen(text);

	while (len && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	if (len != 64 && len != 32)
		return bad_key("neither 64 (aes256) nor 32 (aes128) digits");
	if (tcpseal_hex_parse(text, sa->key, len / 2))
		return bad_key("not hexadecimal");
	sa->key_len = len / 2;
	TCPSEAL_MARK(sa, SA_KEY);
	return 0;
}

static int key_from_file(const char *path, struct tcpseal_sa *sa)
{
	char text[KEY_TEXT_MAX] = "";
	FILE *file = stdin;
	int ret;

	if (path)
		file = fopen(path, "re");
	if (!file)
		return refuse("key: %s: %s", path, strerror(errno));
	setvbuf(file, NULL, _IONBF, 0);	/* no copy left in a buffer */
	if (fgets(text, sizeof(text), file))
		ret = key_from_text(text, sa);
	else
		ret = bad_key(ferror(file) ? strerror(errno) : "empty");
	explicit_bzero(text, sizeof(text));
	if (path)
		fclose(file);
	return ret;
}

/* what was on the command line is gone from /proc/PID/cmdline afterwards */
static int parse_key(char *word, struct tcpseal_sa *sa)
{
	int ret;

	if (!strcmp(word, "-"))
		return key_from_file(NULL, sa);
	if (*word == '@')
		return key_from_file(word + 1, sa);
	ret = key_from_text(word, sa);
	explicit_bzero(word, strlen(word));
	return ret;
}

#define FIGURE(word, ATTR, field, min) {				\
	word, TCPSEAL_BIT(SA_##ATTR),					\
	offsetof(struct tcpseal_sa, field),				\
	sizeof(((struct tcpseal_sa *)0)->field), min,			\
}

static const struct {
	const char *word;
	uint64_t bit;
	size_t offset;
	size_t size;
	uint64_t min;
} figures[] = {
	FIGURE("id", ID, id, 1),
	FIGURE("spi", SPI, spi, 1),
	FIGURE("lanes", LANES, lanes, 1),
	FIGURE("generation", GENERATION, generation, 0),
	FIGURE("soft-secs", SOFT_SECS, soft_secs, 0),
	FIGURE("hard-secs", HARD_SECS, hard_secs, 0),
	FIGURE("idle-secs", IDLE_SECS, idle_secs, 0),
	FIGURE("soft-bytes", SOFT_BYTES, soft_bytes, 0),
	FIGURE("hard-bytes", HARD_BYTES, hard_bytes, 0),
};

static int parse_figure(const char *word, const char *value,
			struct tcpseal_sa *sa)
{
	uint64_t n;
	size_t i;
	void *to;
	int ret;

	for (i = 0; i < ARRAY_SIZE(figures); i++) {
		if (!strcmp(word, figures[i].word))
			break;
	}
	if (i == ARRAY_SIZE(figures))
		return bad_word(word, "unknown word");
	ret = parse_number(value, figures[i].min, figures[i].size == 8 ?
			   UINT64_MAX : UINT32_MAX, &n);
	if (ret)
		return ret;
	to = (char *)sa + figures[i].offset;
	if (figures[i].size == 8)
		*(uint64_t *)to = n;
	else
		*(uint32_t *)to = n;
	sa->has |= figures[i].bit;
	return 0;
}

static int parse_one(const char *word, char *value, struct tcpseal_sa *sa)
{
	static const char *const dirs[] = { "in", "out", NULL };
	static const char *const aeads[] = { "aes256", "aes128", NULL };
	int found;

	if (!strcmp(word, "dir")) {
		found = match_word(value, dirs);
		if (found < 0)
			return EXIT_USAGE;
		sa->dir = found ? TCPSEAL_DIR_OUT : TCPSEAL_DIR_IN;
		TCPSEAL_MARK(sa, SA_DIR);
		return 0;
	}
	if (!strcmp(word, "aead")) {
		found = match_word(value, aeads);
		if (found < 0)
			return EXIT_USAGE;
		sa->aead = found ? TCPSEAL_AEAD_AES128_GCM :
				   TCPSEAL_AEAD_AES256_GCM;
		TCPSEAL_MARK(sa, SA_AEAD);
		return 0;
	}
	if (!strcmp(word, "local")) {
		TCPSEAL_MARK(sa, SA_LOCAL);
		return parse_addr(value, &sa->local);
	}
	if (!strcmp(word, "peer")) {
		TCPSEAL_MARK(sa, SA_PEER);
		return parse_addr(value, &sa->peer);
	}
	if (!strcmp(word, "key"))
		return parse_key(value, sa);
	if (!strcmp(word, "iv")) {
		if (tcpseal_hex_parse(value, sa->iv, sizeof(sa->iv)))
			return bad_word(value, "not 24 hexadecimal digits");
		TCPSEAL_MARK(sa, SA_IV);
		return 0;
	}
	return parse_figure(word, value, sa);
}

/* pairs of word and value, each word at most once */
static int parse_words(int argc, char **argv, const char *const *words,
		       struct tcpseal_sa *sa)
{
	uint64_t seen = 0;
	int found, ret, i;

	for (i = 0; i < argc; i += 2) {
		found = match_word(argv[i], words);
		if (found < 0)
			return EXIT_USAGE;
		if (seen & (1ULL << found))
			return bad_word(argv[i], "given twice");
		seen |= 1ULL << found;
		if (i + 1 == argc)
			return bad_word(argv[i], "needs a value");
		ret = parse_one(words[found], argv[i + 1], sa);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_added(struct tcpseal_sa *sa)
{
	uint32_t aead = sa->key_len == 16 ? TCPSEAL_AEAD_AES128_GCM :
					    TCPSEAL_AEAD_AES256_GCM;

	if (!TCPSEAL_HAS(sa, SA_DIR))
		return missing("dir in|out");
	if (!TCPSEAL_HAS(sa, SA_LOCAL))
		return missing("local ADDR");
	if (!TCPSEAL_HAS(sa, SA_PEER))
		return missing("peer ADDR");
	if (!TCPSEAL_HAS(sa, SA_SPI))
		return missing("spi N");
	if (!TCPSEAL_HAS(sa, SA_KEY))
		return missing("key KEY");
	if (!TCPSEAL_HAS(sa, SA_IV))
		return missing("iv HEX");
	if (sa->local.len != sa->peer.len)
		return bad_word("peer", "not of the same family as local");
	if (TCPSEAL_HAS(sa, SA_AEAD) && sa->aead != aead)
		return bad_key(sa->key_len == 16 ?
			       "of 128 bits, but aead aes256" :
			       "of 256 bits, but aead aes128");
	sa->aead = aead;
	TCPSEAL_MARK(sa, SA_AEAD);
	sa->flags = TCPSEAL_SA_FLAG_MANUAL;
	TCPSEAL_MARK(sa, SA_FLAGS);
	return 0;
}

static int sa_add(int argc, char **argv)
{
	static const char *const words[] = {
		"dir", "local", "peer", "spi", "key", "iv", "aead", "lanes",
		"generation", "soft-secs", "hard-secs", "idle-secs",
		"soft-bytes", "hard-bytes", NULL
	};
	struct tcpseal_sa sa = { };
	struct tcpseal *ts;
	int ret;

	ret = parse_words(argc - 1, argv + 1, words, &sa);
	if (!ret)
		ret = check_added(&sa);
	if (ret)
		goto wipe;
	ret = EXIT_REFUSED;
	ts = kernel_open();
	if (!ts)
		goto wipe;
	ret = 0;
	if (tcpseal_sa_new(ts, &sa))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
wipe:
	explicit_bzero(&sa, sizeof(sa));
	return ret;
}

static int sa_del(int argc, char **argv)
{
	static const char *const words[] = {
		"spi", "dir", "local", "peer", "id", NULL
	};
	struct tcpseal_sa sa = { };
	struct tcpseal *ts;
	int ret;

	ret = parse_words(argc - 1, argv + 1, words, &sa);
	if (ret)
		return ret;
	if (!TCPSEAL_HAS(&sa, SA_SPI) && !TCPSEAL_HAS(&sa, SA_ID))
		return missing("spi N");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_sa_del(ts, &sa))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

static int sa_flush(int argc, char **argv)
{
	static const char *const words[] = { "manual", NULL };
	uint32_t flags = 0;
	struct tcpseal *ts;
	int ret = 0;

	if (argc > 1 && match_word(argv[1], words) < 0)
		return EXIT_USAGE;
	if (argc > 2)
		return bad_word(argv[2], "unexpected word");
	if (argc > 1)
		flags = TCPSEAL_SA_FLAG_MANUAL;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_sa_flush(ts, flags))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

static void print_limit(const char *what, uint64_t secs)
{
	char buf[32];

	printf(", %s %s", what, fmt_age(buf, sizeof(buf), secs));
}

static void print_sa_text(const json_t *sa)
{
	const json_t *stats = json_object_get(sa, "stats");
	bool out = !strcmp(str(sa, "dir"), "out");
	json_t *flag;
	char buf[32];
	size_t i;

	printf("%s%s local %s peer %s spi 0x%08" PRIx64 "%s %s", paint("head"),
	       str(sa, "dir"), str(sa, "local"), str(sa, "peer"),
	       num(sa, "spi"), paint(""), str(sa, "state"));
	json_array_foreach(json_object_get(sa, "flags"), i, flag)
		printf(" %s", json_string_value(flag));
	printf("\n    id %" PRIu64, num(sa, "id"));
	if (has(sa, "aead"))
		printf(", %s, %" PRIu64 " lanes", str(sa, "aead"),
		       num(sa, "lanes"));
	if (has(sa, "kex"))
		printf(", group %s", str(sa, "kex"));
	if (has(sa, "driver"))
		printf(", driver %s", str(sa, "driver"));
	if (has(sa, "generation") && strcmp(str(sa, "generation"), "0"))
		printf(", generation %s", str(sa, "generation"));
	putchar('\n');
	if (has(sa, "cert_name"))
		printf("    certificate %s, serial %s, issuer %s\n",
		       str(sa, "cert_name"), str(sa, "cert_serial"),
		       str(sa, "cert_issuer"));
	if (!strcmp(str(sa, "state"), "tombstone"))
		return;
	printf("    age %s", fmt_age(buf, sizeof(buf), num(sa, "age_secs")));
	if (has(sa, "soft_secs"))
		print_limit("rotation in", num(sa, "soft_secs"));
	if (has(sa, "hard_secs"))
		print_limit("dead in", num(sa, "hard_secs"));
	if (num(sa, "idle_secs"))
		print_limit("idle limit", num(sa, "idle_secs"));
	putchar('\n');
	printf("    %s %s records", out ? "sealed" : "opened",
	       fmt_count(buf, sizeof(buf),
			 num(stats, out ? "sealed_records" :
					  "opened_records")));
	printf(", %s\n",
	       fmt_bytes(buf, sizeof(buf),
			 num(stats, out ? "sealed_bytes" : "opened_bytes")));
}

static int sa_show(int argc, char **argv)
{
	const struct tcpseal_sa *sas;
	struct tcpseal *ts;
	struct list list;
	json_t *sa;
	size_t i;
	int ret;

	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = list_sas(ts, &list);
	tcpseal_close(ts);
	if (ret)
		return ret;
	sas = list.items;
	if (opt_json)
		json_open(NULL, '[');
	for (i = 0; i < list.n; i++) {
		sa = sa_json(&sas[i]);
		if (opt_json) {
			json_put(NULL, sa);
			continue;
		}
		print_sa_text(sa);
		json_decref(sa);
	}
	if (opt_json)
		json_close();
	list_free(&list);
	return print_end();
}

int sa_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "add", sa_add, "install a key by hand" },
		{ "del", sa_del, "remove SAs" },
		{ "delete", sa_del, "remove SAs" },
		{ "show", sa_show, "list SAs and tombstones" },
		{ "list", sa_show, "the same" },
		{ "flush", sa_flush, "remove every SA" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
