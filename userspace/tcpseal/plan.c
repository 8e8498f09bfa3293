// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpseal plan: what the links of a configuration file would change, before
 * tcpseald is told to reload. Nothing is changed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"
#include "tcpseal.h"

static const char usage[] =
"Usage: tcpseal plan FILE [from FILE]\n"
"\n"
"What a reload of tcpseald with FILE would do to the links of the kernel. Links\n"
"that are in the file which tcpseald has now (from, " TCPSEAL_CONF_FILE "\n"
"unless given) and not in the new one go; those that are in neither stay.\n"
"Only lines that begin with \"link\" are looked at.\n";

#define WORDS_MAX	64		/* of a line, as tcpseald has it */

struct line {
	struct tcpseal_link link;
	unsigned int number;
};

struct conf {
	const char *name;
	struct line *lines;
	size_t n;
};

static const struct line *line_of(const struct conf *conf,
				  const struct tcpseal_link *like)
{
	size_t i;

	for (i = 0; i < conf->n; i++) {
		if (tcpseal_link_same_prefixes(&conf->lines[i].link, like))
			return &conf->lines[i];
	}
	return NULL;
}

static const struct tcpseal_link *in_conf(const struct conf *conf,
					  const struct tcpseal_link *like)
{
	const struct line *line = line_of(conf, like);

	return line ? &line->link : NULL;
}

static int bad_line(const struct conf *conf, unsigned int number,
		    const char *text)
{
	return refuse("%s:%u: %s", conf->name, number, text);
}

static int add_line(struct conf *conf, unsigned int number, int argc,
		    char **argv)
{
	struct tcpseal_err err = { };
	const struct line *same;
	struct tcpseal_link link;
	struct line *lines;
	char text[64];

	if (tcpseal_link_parse(argc, argv, &link, &err))
		return bad_line(conf, number, err.text);
	same = line_of(conf, &link);
	if (same) {
		snprintf(text, sizeof(text), "the same link as in line %u",
			 same->number);
		return bad_line(conf, number, text);
	}
	lines = reallocarray(conf->lines, conf->n + 1, sizeof(*lines));
	if (!lines)
		abort();
	conf->lines = lines;
	conf->lines[conf->n].link = link;
	conf->lines[conf->n++].number = number;
	return 0;
}

static int read_line(struct conf *conf, unsigned int number, char *text)
{
	static const char blanks[] = " \t\r\n\f\v";
	char *argv[WORDS_MAX], *word, *rest = NULL;
	int argc = 0;

	for (word = strtok_r(text, blanks, &rest); word && *word != '#';
	     word = strtok_r(NULL, blanks, &rest)) {
		if (argc == WORDS_MAX)
			return bad_line(conf, number, "too many words");
		argv[argc++] = word;
	}
	if (!argc || strcmp(argv[0], "link"))
		return 0;
	return add_line(conf, number, argc - 1, argv + 1);
}

static int read_conf(struct conf *conf, const char *name)
{
	FILE *file = fopen(name, "re");
	unsigned int number = 0;
	char *text = NULL;
	size_t size = 0;
	int ret = 0;

	conf->name = name;
	if (!file)
		return refuse("\"%s\": %s", name, strerror(errno));
	while (!ret && getline(&text, &size, file) > 0)
		ret = read_line(conf, ++number, text);
	if (!ret && ferror(file))
		ret = refuse("\"%s\": %s", name, strerror(errno));
	free(text);
	fclose(file);
	return ret;
}

/* ------------------------------------------------------------ changes */

static bool inside(const struct tcpseal_link *inner,
		   const struct tcpseal_link *outer)
{
	return inner->local.len >= outer->local.len &&
	       inner->remote.len >= outer->remote.len &&
	       tcpseal_prefix_has(&outer->local, &inner->local.addr) &&
	       tcpseal_prefix_has(&outer->remote, &inner->remote.addr);
}

enum change { ADD, CHANGE, REMOVE, STAY };

static const char *const change_names[] = {
	[ADD] = "add", [CHANGE] = "change", [REMOVE] = "remove",
	[STAY] = "stay",
};

struct plan {
	struct conf new, old;
	struct list links;		/* of the kernel */
	struct list pairs;
	unsigned int n[STAY + 1];
	unsigned int weaker, refused;
};

static bool staying(const struct plan *p, const struct tcpseal_link *link)
{
	return !in_conf(&p->new, link) && !in_conf(&p->old, link);
}

/* Of @best and @other the one that is closer around @link */
static const struct tcpseal_link *nearer(const struct tcpseal_link *best,
					 const struct tcpseal_link *other,
					 const struct tcpseal_link *link)
{
	if (!inside(link, other) || tcpseal_link_same_prefixes(link, other))
		return best;
	return !best || inside(other, best) ? other : best;
}

/*
 * The mode that the addresses of @link would get from the links around it
 * afterwards, or have now: TCPSEAL_MODE_NONE without one.
 */
static uint32_t around(const struct plan *p, const struct tcpseal_link *link,
		       bool afterwards)
{
	const struct tcpseal_link *best = NULL, *other = p->links.items;
	size_t i;

	for (i = 0; i < p->links.n; i++, other++) {
		if (!afterwards || staying(p, other))
			best = nearer(best, other, link);
	}
	for (i = 0; afterwards && i < p->new.n; i++)
		best = nearer(best, &p->new.lines[i].link, link);
	return best ? best->mode : TCPSEAL_MODE_NONE;
}

static unsigned int keyed_pairs(const struct plan *p,
				const struct tcpseal_link *link)
{
	const struct tcpseal_pair *pair = p->pairs.items;
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < p->pairs.n; i++, pair++) {
		if (pair->link_id == link->id && (pair->tx_id || pair->rx_id))
			n++;
	}
	return n;
}

/* One line of the plan, of @old (in the kernel) and @new; one may be NULL */
static void tell(struct plan *p, enum change what,
		 const struct tcpseal_link *old,
		 const struct tcpseal_link *new)
{
	const struct tcpseal_link *link = new ? new : old;
	uint32_t was = old ? old->mode : around(p, link, false);
	uint32_t will = new ? new->mode : around(p, link, true);
	char words[TCPSEAL_LINK_STRLEN], before[TCPSEAL_LINK_STRLEN];
	bool weaker = what != STAY && will < was;
	/* what is removed is removed with the words that it came with */
	const struct tcpseal_link *said = new ? new : in_conf(&p->old, old);
	bool refused = said && was == TCPSEAL_MODE_REQUIRE &&
		       will != TCPSEAL_MODE_REQUIRE &&
		       !(said->change & TCPSEAL_CHANGE_FLAG_WEAKEN);
	unsigned int keyed = old && what == REMOVE ? keyed_pairs(p, old) : 0;
	json_t *o;

	p->n[what]++;
	p->weaker += weaker;
	p->refused += refused;
	tcpseal_link_format(link, words, sizeof(words));
	if (opt_json) {
		o = json_object();
		put_str(o, "change", change_names[what]);
		put_str(o, "link", words);
		put_str(o, "mode_before", tcpseal_mode_name(was));
		put_str(o, "mode_after", tcpseal_mode_name(what == STAY ? was :
								     will));
		put(o, "weaker", json_boolean(weaker));
		put(o, "refused", json_boolean(refused));
		put(o, "keyed_pairs", json_integer(keyed));
		json_put(NULL, o);
		return;
	}
	printf("%-6s  %s\n", change_names[what], words);
	if (what == CHANGE)
		printf("        now %s\n",
		       tcpseal_link_format(old, before, sizeof(before)));
	if (what == STAY)
		printf("        is in neither file\n");
	if (weaker)
		printf("        %sWEAKER%s: mode %s becomes %s\n",
		       paint("bad"), paint(""), tcpseal_mode_name(was),
		       will ? tcpseal_mode_name(will) : "no link at all");
	if (refused)
		printf("        %sREFUSED%s: %s\n", paint("bad"), paint(""),
		       what == REMOVE ?
		       "its line did not say weaken; \"tcpseal link del ... --weaken\" removes it" :
		       "the line does not say weaken");
	if (keyed)
		printf("        pairs that hold keys: %u; it goes when those are gone, or by \"tcpseal link del ... --force\"\n",
		       keyed);
}

static void compare(struct plan *p)
{
	const struct tcpseal_link *link = p->links.items, *new;
	size_t i, k;

	for (i = 0; i < p->new.n; i++) {
		new = &p->new.lines[i].link;
		for (k = 0; k < p->links.n; k++) {
			if (tcpseal_link_same_prefixes(&link[k], new))
				break;
		}
		if (k == p->links.n)
			tell(p, ADD, NULL, new);
		else if (!tcpseal_link_same(&link[k], new))
			tell(p, CHANGE, &link[k], new);
	}
	for (i = 0; i < p->links.n; i++) {
		if (in_conf(&p->new, &link[i]))
			continue;
		tell(p, in_conf(&p->old, &link[i]) ? REMOVE : STAY, &link[i],
		     NULL);
	}
}

static void print_plan(struct plan *p)
{
	if (opt_json)
		json_open(NULL, '[');
	compare(p);
	if (opt_json)
		json_close();
	else
		printf("%u to add, %u to change, %u to remove, %u to stay; weaker: %u, refused: %u\n",
		       p->n[ADD], p->n[CHANGE], p->n[REMOVE], p->n[STAY],
		       p->weaker, p->refused);
}

static int take(struct plan *p)
{
	struct tcpseal *ts = kernel_open();
	int ret;

	if (!ts)
		return EXIT_REFUSED;
	ret = list_links(ts, &p->links);
	if (!ret)
		ret = list_pairs(ts, NULL, &p->pairs);
	tcpseal_close(ts);
	return ret;
}

int plan_main(int argc, char **argv)
{
	static const char *const words[] = { "from", NULL };
	const char *from = NULL;
	struct plan p = { };
	int ret;

	if (wants_help(argc, argv))
		return print_usage(usage);
	if (!argc)
		return missing("FILE");
	if (argc > 1) {
		if (match_word(argv[1], words) < 0)
			return EXIT_USAGE;
		if (argc == 2)
			return bad_word(argv[1], "needs a value");
		from = argv[2];
	}
	if (argc > 3)
		return bad_word(argv[3], "unexpected word");
	if (!from && !access(TCPSEAL_CONF_FILE, F_OK))
		from = TCPSEAL_CONF_FILE;
	ret = read_conf(&p.new, argv[0]);
	if (!ret && from)
		ret = read_conf(&p.old, from);
	if (!ret)
		ret = take(&p);
	if (!ret) {
		print_plan(&p);
		ret = print_end();
		if (!ret && p.refused)
			ret = EXIT_REFUSED;
	}
	list_free(&p.pairs);
	list_free(&p.links);
	free(p.old.lines);
	free(p.new.lines);
	return ret;
}
