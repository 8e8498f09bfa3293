// SPDX-License-Identifier: GPL-2.0-or-later
/* tcpseal link: which subnets are sealed, and how. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal link add LOCAL/len REMOTE/len [mode MODE]\n"
"                        [via ADDR identity NAME] [forward dev NAME...]\n"
"                        [aead aes256|aes128] [nontcp pass|drop]\n"
"                        [keys negotiated|manual]\n"
"                        [old-connections keep|reset]\n"
"                        [--force] [--weaken]\n"
"       tcpseal link del LOCAL/len REMOTE/len [--force] [--weaken]\n"
"       tcpseal link promote LOCAL/len REMOTE/len [to MODE] [within TIME]\n"
"                        [force]\n"
"       tcpseal link batch FILE\n"
"       tcpseal link show\n"
"       tcpseal link flush [--force] [--weaken]\n"
"\n"
"MODE := { clear | audit | prefer | require }, audit unless given\n"
"\n"
"batch: what stands behind \"link\" in each line of FILE (- is standard input),\n"
"add and del, all of it at once or nothing\n"
"\n"
"promote: to the next mode, or to MODE. To require only if the link had its\n"
"mode, and nobody talked plaintext, within TIME (1d), and no pair lacks a key\n";

/* takes --force and --weaken out of the words, returns the flags they mean */
static uint32_t take_change(int *argc, char **argv)
{
	uint32_t change = 0;
	int i, kept = 0;

	for (i = 0; i < *argc; i++) {
		if (!strcmp(argv[i], "--force"))
			change |= TCPSEAL_CHANGE_FLAG_FORCE;
		else if (!strcmp(argv[i], "--weaken"))
			change |= TCPSEAL_CHANGE_FLAG_WEAKEN;
		else
			argv[kept++] = argv[i];
	}
	*argc = kept;
	return change;
}

static const char *const link_words[] = {
	"mode", "via", "identity", "forward", "dev", "aead", "nontcp", "keys",
	"old-connections", "weaken", NULL
};

static const char *const *values_of(const char *word)
{
	static const struct {
		const char *word;
		const char *const values[5];
	} table[] = {
		{ "mode", { "clear", "audit", "prefer", "require" } },
		{ "aead", { "aes256", "aes128" } },
		{ "nontcp", { "pass", "drop" } },
		{ "keys", { "negotiated", "manual" } },
		{ "old-connections", { "keep", "reset" } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(table); i++) {
		if (!strcmp(word, table[i].word))
			return table[i].values;
	}
	return NULL;
}

/*
 * Writes out the abbreviations behind the two prefixes, so that the parser in
 * the library, which reads configuration files too, sees whole words only.
 */
static int write_out(int argc, char **argv)
{
	const char *const *values;
	bool devices = false;
	int i, found;

	for (i = 2; i < argc; i++) {
		if (devices) {
			/* devices, until a whole word of the grammar */
			for (found = 0; link_words[found]; found++) {
				if (!strcmp(argv[i], link_words[found]))
					break;
			}
			if (!link_words[found])
				continue;
			devices = false;
		} else {
			found = match_word(argv[i], link_words);
			if (found < 0)
				return EXIT_USAGE;
		}
		argv[i] = (char *)link_words[found];
		if (!strcmp(argv[i], "dev")) {
			devices = true;
			i++;	/* the first is a name whatever it says */
			continue;
		}
		if (!strcmp(argv[i], "via") || !strcmp(argv[i], "identity")) {
			i++;
			continue;
		}
		values = values_of(argv[i]);
		if (!values || ++i >= argc)
			continue;
		found = match_word(argv[i], values);
		if (found < 0)
			return EXIT_USAGE;
		argv[i] = (char *)values[found];
	}
	return 0;
}

/* says exactly what is wrong with a prefix; the parser says the rest */
static int check_prefixes(int argc, char **argv)
{
	struct tcpseal_prefix prefix;
	char addr[64];
	char *slash;
	int i, ret;

	if (argc < 2)
		return missing(argc ? "REMOTE/len" : "LOCAL/len");
	for (i = 0; i < 2; i++) {
		ret = tcpseal_prefix_parse(argv[i], &prefix);
		if (!ret)
			continue;
		if (ret == -EDOM)
			return bad_word(argv[i],
					"bits set behind the prefix length");
		snprintf(addr, sizeof(addr), "%s", argv[i]);
		slash = strchr(addr, '/');
		if (slash)
			*slash = '\0';
		if (tcpseal_addr_parse(addr, &prefix.addr))
			return bad_word(argv[i],
					"not a prefix, such as 10.1.0.0/16");
		if (!slash || strspn(slash + 1, "0123456789") !=
			      strlen(slash + 1) || !slash[1])
			return bad_word(argv[i], "bad prefix length");
		return bad_word(argv[i], "prefix length beyond %d",
				8 * prefix.addr.len);
	}
	return 0;
}

/* what the words behind "add" say; 0 or an exit status */
static int read_add(int argc, char **argv, struct tcpseal_link *link)
{
	uint32_t change = take_change(&argc, argv);
	struct tcpseal_err err = { };
	int ret;

	ret = check_prefixes(argc - 1, argv + 1);
	if (!ret)
		ret = write_out(argc - 1, argv + 1);
	if (ret)
		return ret;
	if (tcpseal_link_parse(argc - 1, argv + 1, link, &err)) {
		refuse("%s", err.text);
		return EXIT_USAGE;
	}
	if (change) {
		link->change |= change;
		TCPSEAL_MARK(link, LINK_CHANGE);
	}
	return 0;
}

static int read_del(int argc, char **argv, struct tcpseal_link *link)
{
	uint32_t change = take_change(&argc, argv);
	struct tcpseal_err err = { };
	int ret;

	ret = check_prefixes(argc - 1, argv + 1);
	if (ret)
		return ret;
	if (argc > 3)
		return bad_word(argv[3], "unexpected word");
	if (tcpseal_link_prefixes_parse(argc - 1, argv + 1, link, &err)) {
		refuse("%s", err.text);
		return EXIT_USAGE;
	}
	if (change) {
		link->change = change;
		TCPSEAL_MARK(link, LINK_CHANGE);
	}
	return 0;
}

static int link_add(int argc, char **argv)
{
	struct tcpseal_link link = { };
	struct tcpseal *ts;
	int ret;

	ret = read_add(argc, argv, &link);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_link_new(ts, &link))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

static int link_del(int argc, char **argv)
{
	struct tcpseal_link link = { };
	struct tcpseal *ts;
	int ret;

	ret = read_del(argc, argv, &link);
	if (ret)
		return ret;
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_link_del(ts, &link))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

#define BATCH_WORDS	64		/* of a line */

/* one line of a batch, as a request of the transaction */
static int batch_line(struct tcpseal *ts, char *line)
{
	static const char *const verbs[] = { "add", "del", NULL };
	char *argv[BATCH_WORDS], *word, *rest = NULL;
	struct tcpseal_link link = { };
	int argc = 0, verb, ret;

	for (word = strtok_r(line, " \t\r\n", &rest); word && *word != '#';
	     word = strtok_r(NULL, " \t\r\n", &rest)) {
		if (argc == BATCH_WORDS - 1)
			return bad_word(word, "too many words");
		argv[argc++] = word;
	}
	argv[argc] = NULL;
	if (!argc)
		return 0;
	verb = match_word(argv[0], verbs);
	if (verb < 0)
		return EXIT_USAGE;
	ret = verb ? read_del(argc, argv, &link) : read_add(argc, argv, &link);
	if (ret)
		return ret;
	if (verb ? tcpseal_link_del(ts, &link) : tcpseal_link_new(ts, &link))
		return kernel_refused(ts);
	return 0;
}

static int batch_file(struct tcpseal *ts, FILE *file, const char *name)
{
	unsigned int number = 0;
	char *line = NULL;
	size_t size = 0;
	int ret = 0;

	if (tcpseal_link_begin(ts))
		return kernel_refused(ts);
	while (!ret && getline(&line, &size, file) > 0) {
		number++;
		ret = batch_line(ts, line);
	}
	free(line);
	if (ret)
		note("%s:%u: nothing was changed", name, number);
	else if (ferror(file))
		ret = refuse("\"%s\": %s", name, strerror(errno));
	else if (tcpseal_link_commit(ts))
		ret = kernel_refused(ts);
	return ret;
}

static int link_batch(int argc, char **argv)
{
	struct tcpseal *ts;
	bool opened;
	FILE *file;
	int ret;

	if (argc < 2)
		return missing("FILE");
	if (argc > 2)
		return bad_word(argv[2], "unexpected word");
	opened = strcmp(argv[1], "-");
	file = opened ? fopen(argv[1], "re") : stdin;
	if (!file)
		return refuse("\"%s\": %s", argv[1], strerror(errno));
	ts = kernel_open();
	ret = ts ? batch_file(ts, file, argv[1]) : EXIT_REFUSED;
	/* what was not committed goes with the handle */
	tcpseal_close(ts);
	if (opened)
		fclose(file);
	return ret;
}

static int link_flush(int argc, char **argv)
{
	uint32_t change = take_change(&argc, argv);
	struct tcpseal *ts;
	int ret = 0;

	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	if (tcpseal_link_flush(ts, change))
		ret = kernel_refused(ts);
	tcpseal_close(ts);
	return ret;
}

/* what was not sealed */
void print_plain(const json_t *stats)
{
	char n[32], b[32];

	printf("    plain    %s segments out, %s",
	       fmt_count(n, sizeof(n), num(stats, "plain_out")),
	       fmt_bytes(b, sizeof(b), num(stats, "plain_out_bytes")));
	printf("; %s in, %s\n",
	       fmt_count(n, sizeof(n), num(stats, "plain_in")),
	       fmt_bytes(b, sizeof(b), num(stats, "plain_in_bytes")));
	if (num(stats, "nontcp_out_bytes") || num(stats, "nontcp_in_bytes")) {
		printf("    not TCP  %s out",
		       fmt_bytes(b, sizeof(b), num(stats, "nontcp_out_bytes")));
		printf(", %s in (not covered)\n",
		       fmt_bytes(b, sizeof(b), num(stats, "nontcp_in_bytes")));
	}
}

void print_sealed(const json_t *stats)
{
	char n[32], b[32];

	printf("    sealed   %s records, %s\n",
	       fmt_count(n, sizeof(n), num(stats, "sealed_records")),
	       fmt_bytes(b, sizeof(b), num(stats, "sealed_bytes")));
	printf("    opened   %s records, %s\n",
	       fmt_count(n, sizeof(n), num(stats, "opened_records")),
	       fmt_bytes(b, sizeof(b), num(stats, "opened_bytes")));
}

/* one line each for what was sealed, opened, and what was not */
void print_traffic(const json_t *stats)
{
	char n[32];

	print_sealed(stats);
	if (num(stats, "plain_out") || num(stats, "plain_in") ||
	    num(stats, "nontcp_out_bytes") || num(stats, "nontcp_in_bytes"))
		print_plain(stats);
	if (num(stats, "dropped"))
		printf("    dropped  %s\n",
		       fmt_count(n, sizeof(n), num(stats, "dropped")));
}

/* in the words of "link add" */
void print_link_text(const json_t *link)
{
	json_t *value;
	char when[32];
	size_t i;

	printf("%s%s/%" PRIu64 " %s/%" PRIu64 "%s mode %s", paint("head"),
	       str(link, "local"), num(link, "local_len"),
	       str(link, "remote"), num(link, "remote_len"), paint(""),
	       str(link, "mode"));
	if (has(link, "via"))
		printf(" via %s", str(link, "via"));
	if (has(link, "identity"))
		printf(" identity %s", str(link, "identity"));
	if (has_flag(link, "forward")) {
		printf(" forward");
		json_array_foreach(json_object_get(link, "inside"), i, value)
			printf("%s %s", i ? "" : " dev",
			       json_string_value(value));
	}
	if (!strcmp(str(link, "aead"), "aes128-gcm"))
		printf(" aead aes128");
	if (has_flag(link, "nontcp-drop"))
		printf(" nontcp drop");
	if (has_flag(link, "keys-manual"))
		printf(" keys manual");
	if (has_flag(link, "old-reset"))
		printf(" old-connections reset");
	printf("\n    id %" PRIu64, num(link, "id"));
	if (has(link, "since"))
		printf(", in this mode since %s",
		       fmt_when(when, sizeof(when), num(link, "since")));
	putchar('\n');
}

static int link_show(int argc, char **argv)
{
	const struct tcpseal_link *links;
	struct tcpseal *ts;
	struct list list;
	json_t *link;
	size_t i;
	int ret;

	if (argc > 1)
		return bad_word(argv[1], "unexpected word");
	ts = kernel_open();
	if (!ts)
		return EXIT_REFUSED;
	ret = list_links(ts, &list);
	tcpseal_close(ts);
	if (ret)
		return ret;
	links = list.items;
	if (opt_json)
		json_open(NULL, '[');
	for (i = 0; i < list.n; i++) {
		link = link_json(&links[i]);
		if (opt_json) {
			json_put(NULL, link);
			continue;
		}
		print_link_text(link);
		print_sealed(json_object_get(link, "stats"));
		print_plain(json_object_get(link, "stats"));
		json_decref(link);
	}
	if (opt_json)
		json_close();
	list_free(&list);
	return print_end();
}

int link_main(int argc, char **argv)
{
	static const struct command table[] = {
		{ "add", link_add, "add a link, or change it" },
		{ "del", link_del, "remove a link" },
		{ "delete", link_del, "the same" },
		{ "batch", link_batch, "add and remove many, all or none" },
		{ "promote", link_promote, "to the next mode, if it may" },
		{ "show", link_show, "list links" },
		{ "list", link_show, "the same" },
		{ "flush", link_flush, "remove every link" },
		{ }
	};

	return dispatch(table, usage, argc, argv);
}
