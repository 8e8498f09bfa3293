// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal conf: the limits of this network namespace. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal conf show\n"
"       tcpseal conf set [hold-secs N] [hold-pair N] [hold-user N]\n"
"                        [hold-net N] [grace-msecs N] [max-pairs N]\n"
"                        [tombstone-secs N] [aead-driver NAME]\n"
"\n"
"What tcpseald has in its configuration file it sets again when it reloads.\n";

#define LIMIT(word, ATTR, field, text) {				\
	word, #field, TCPSEAL_BIT(CONF_##ATTR),				\
	offsetof(struct tcpseal_conf, field), text,			\
}

static const struct {
	const char *word;
	const char *key;	/* in JSON */
	uint64_t bit;
	size_t offset;
	const char *text;
} limits[] = {
	LIMIT("hold-secs", HOLD_SECS, hold_secs,
	      "a segment waits for a key at most"),
	LIMIT("hold-pair", HOLD_PAIR, hold_pair,
	      "segments held for one pair"),
	LIMIT("hold-user", HOLD_USER, hold_user,
	      "segments held for one user, or one host behind"),
	LIMIT("hold-net", HOLD_NET, hold_net,
	      "segments held in the namespace"),
	LIMIT("grace-msecs", GRACE_MSECS, grace_msecs,
	      "plaintext in flight is still accepted"),
	LIMIT("max-pairs", MAX_PAIRS, max_pairs,
	      "pairs in the namespace"),
	LIMIT("tombstone-secs", TOMBSTONE_SECS, tombstone_secs,
	      "a removed SPI is remembered at least"),
};

#define LIMITS	ARRAY_SIZE(limits)

static uint32_t *limit_of(const struct tcpseal_conf *conf, size_t i)
{
	return (uint32_t *)((char *)conf + limits[i].offset);
}

static int set_one(size_t which, const char *value, struct tcpseal_conf *conf)
{
	uint64_t n;
	int ret;

	if (which == LIMITS) {		/* aead-driver, behind the numbers */
		if (strlen(value) >= sizeof(conf->aead_driver))
			return bad_word(value, "name too long");
		snprintf(conf->aead_driver, sizeof(conf->aead_driver), "%s",
			 value);
		TCPSEAL_MARK(conf, CONF_AEAD_DRIVER);
		return 0;
	}
	ret = parse_number(value, 0, UINT32_MAX, &n);
	if (ret)
		return ret;
	*limit_of(conf, which) = n;
	conf->has |= limits[which].bit;
	return 0;
}

static int conf_set(int argc, char **argv)
{
	const char *words[LIMITS + 2] = { NULL };
	struct tcpseal_conf conf = { };
	struct tcpseal *ts;
	int found, ret, i;

	if (argc < 2)
		return missing("what to set");
	for (i = 0; i < (int)LIMITS; i++)
		words[i] = limits[i].word;
	words[LIMITS] = "aead-driver";
	for (i = 1; i < argc; i += 2) {
		found = match_word(argv[i], words);
		if (found < 0)
			return EXIT_USAGE;
		if (i + 1 == argc)
			return bad_word(argv[i], "needs a value");
		ret = set_one(found, argv[i + 1], &conf);
		if (ret)
			return ret;
	}
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = 0;
	if (tcpseal_conf_set(ts, &conf))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

static json_t *conf_json(const struct tcpseal_conf *conf)
{
	json_t *o = json_object();
	size_t i;

	for (i = 0; i < LIMITS; i++)
		json_object_set_new(o, limits[i].key,
				    json_integer(*limit_of(conf, i)));
	json_object_set_new(o, "aead_driver", json_string(conf->aead_driver));
	return o;
}

static void print_conf(const struct tcpseal_conf *conf)
{
	size_t i;

	for (i = 0; i < LIMITS; i++)
		printf("%-14s %8" PRIu32 "  # %s\n", limits[i].word,
		       *limit_of(conf, i), limits[i].text);
	printf("aead-driver    %8s  # for laboratories\n",
	       *conf->aead_driver ? conf->aead_driver : "-");
}

static int conf_show(int argc, char **argv)
{
	struct tcpseal_conf conf = { };
	struct tcpseal *ts;
	int ret = 0;

	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_conf_get(ts, &conf))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	if (ret)
		return ret;
	if (opt_json)
		print_document(conf_json(&conf));
	else
		print_conf(&conf);
	return print_end();
}

int conf_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "show", conf_show, "show limits" },
		{ "set", conf_set, "change limits" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
