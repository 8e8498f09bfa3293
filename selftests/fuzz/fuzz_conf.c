// SPDX-License-Identifier: GPL-2.0-only
/*
 * tcpseal.conf: the input is the file. A refusal names a line; each link of a file
 * that is accepted can be printed, read again, and is then the same.
 */
#include "fuzz.h"
#include "tcpseald.h"

#define WORDS	64

static void again(const struct tcpseal_link *link)
{
	char text[2048], other[2048], copy[2048];
	struct tcpseal_link back;
	struct tcpseal_err err;
	char *argv[WORDS], *word, *save;
	int argc = 0;

	tcpseal_link_format(link, text, sizeof(text));
	must(strlen(text) < sizeof(text) - 1);
	strcpy(copy, text);
	for (word = strtok_r(copy, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		must(argc < WORDS);
		argv[argc++] = word;
	}
	must(!tcpseal_link_parse(argc, argv, &back, &err));
	tcpseal_link_format(&back, other, sizeof(other));
	must(!strcmp(text, other));
	must(back.mode == link->mode && back.flags == link->flags);
	must(!tcpseal_prefix_cmp(&back.local, &link->local));
	must(!tcpseal_prefix_cmp(&back.remote, &link->remote));
	must(!strcmp(back.identity, link->identity));
	must(back.inside_n == link->inside_n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[512] = "";
	struct conf *conf;
	size_t i;

	conf = conf_parse("file", (const char *)data, size, error,
			  sizeof(error));
	if (!conf) {
		must(!strncmp(error, "file:", 5));
		return 0;
	}
	must(conf->cert && conf->key && conf->ca && conf->state);
	must(conf->hard_secs > conf->rotate_secs);
	must(conf->lanes && !(conf->lanes & (conf->lanes - 1)));
	for (i = 0; i < conf->links_n; i++)
		again(&conf->links[i].link);
	conf_free(conf);
	return 0;
}
