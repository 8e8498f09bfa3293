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
	uint32_t change;		/* allowed beyond the words of the file */
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
 * The link that the addresses of @link would get from those around it
 * afterwards, or have now; or NULL.
 */
static const struct tcpseal_link *around(const struct plan *p,
					 const struct tcpseal_link *link,
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
	return best;
}

static uint32_t mode_of(const struct tcpseal_link *link)
{
	return link ? link->mode : TCPSEAL_MODE_NONE;
}

static bool has_device(const struct tcpseal_link *link, uint32_t device)
{
	unsigned int i;

	for (i = 0; i < link->inside_n; i++) {
		if (link->inside[i] == device)
			return true;
	}
	return false;
}

/* Do pairs keep their keys when they go from one link to the other? */
static bool keeps_keys(const struct tcpseal_link *old,
		       const struct tcpseal_link *new)
{
	const uint32_t keying = TCPSEAL_LINK_FLAG_FORWARD |
				TCPSEAL_LINK_FLAG_KEYS_MANUAL;
	unsigned int i;

	if (!new || new->mode == TCPSEAL_MODE_CLEAR ||
	    tcpseal_link_aead(old) != tcpseal_link_aead(new) ||
	    strcmp(old->identity, new->identity) ||
	    tcpseal_addr_cmp(&old->via, &new->via) ||
	    (old->flags ^ new->flags) & keying)
		return false;
	for (i = 0; i < old->inside_n; i++) {
		if (!has_device(new, old->inside[i]))
			return false;
	}
	return true;
}

/* Of the pairs with keys that @link has now, those for addresses of @of */
static unsigned int keyed_pairs(const struct plan *p,
				const struct tcpseal_link *link,
				const struct tcpseal_link *of)
{
	bool shares = TCPSEAL_HAS(link, LINK_VIA) ||
		      link->flags & TCPSEAL_LINK_FLAG_FORWARD;
	const struct tcpseal_pair *pair = p->pairs.items;
	unsigned int n = 0;
	size_t i;

	for (i = 0; i < p->pairs.n; i++, pair++) {
		if (pair->link_id == link->id && (pair->tx_id || pair->rx_id) &&
		    (shares || (tcpseal_prefix_has(&of->local, &pair->local) &&
				tcpseal_prefix_has(&of->remote, &pair->remote))))
			n++;
	}
	return n;
}

/* What is said of one link, the old one (in the kernel) or the new one or both */
struct entry {
	enum change what;
	const struct tcpseal_link *old, *new;
	uint32_t was, will;		/* modes, of the links around, too */
	bool weaker, unsaid, ends, refused;
	unsigned int keyed;		/* pairs that lose their keys */
};

static struct entry judge(const struct plan *p, enum change what,
			  const struct tcpseal_link *old,
			  const struct tcpseal_link *new)
{
	const struct tcpseal_link *link = new ? new : old, *said, *before;
	const struct tcpseal_link *after;
	struct entry e = { .what = what, .old = old, .new = new };
	uint32_t change;

	if (!link)
		return e;
	before = old ? old : around(p, link, false);
	after = new ? new : around(p, link, true);
	/* what is removed is removed with the words that it came with */
	said = new ? new : in_conf(&p->old, link);
	e.was = mode_of(before);
	e.will = what == STAY ? e.was : mode_of(after);
	e.weaker = e.will < e.was;
	if (what == STAY || !said)
		return e;
	change = said->change | p->change;
	if (before && !keeps_keys(before, after))
		e.keyed = keyed_pairs(p, before, link);
	/* as tcpseald has it */
	e.ends = change & TCPSEAL_CHANGE_FLAG_FORCE ||
		 (change & TCPSEAL_CHANGE_FLAG_WEAKEN &&
		  (!new || new->mode == TCPSEAL_MODE_CLEAR));
	e.unsaid = e.was == TCPSEAL_MODE_REQUIRE &&
		   e.will != TCPSEAL_MODE_REQUIRE &&
		   !(change & TCPSEAL_CHANGE_FLAG_WEAKEN);
	e.refused = e.unsaid || (e.keyed && !e.ends);
	return e;
}

static void tell_json(const struct entry *e, const char *words)
{
	json_t *o = json_object();

	put_str(o, "change", change_names[e->what]);
	put_str(o, "link", words);
	put_str(o, "mode_before", tcpseal_mode_name(e->was));
	put_str(o, "mode_after", tcpseal_mode_name(e->will));
	put(o, "weaker", json_boolean(e->weaker));
	put(o, "refused", json_boolean(e->refused));
	put(o, "keyed_pairs", json_integer(e->keyed));
	json_put(NULL, o);
}

static void tell_refused(const char *why)
{
	printf("        %sREFUSED%s: %s\n", paint("bad"), paint(""), why);
}

static void tell_text(const struct entry *e, const char *words)
{
	char before[TCPSEAL_LINK_STRLEN];

	printf("%-6s  %s\n", change_names[e->what], words);
	if (e->what == CHANGE)
		printf("        now %s\n",
		       tcpseal_link_format(e->old, before, sizeof(before)));
	if (e->what == STAY)
		printf("        is in neither file\n");
	if (e->weaker)
		printf("        %sWEAKER%s: mode %s becomes %s\n",
		       paint("bad"), paint(""), tcpseal_mode_name(e->was),
		       e->will ? tcpseal_mode_name(e->will) : "no link at all");
	if (e->keyed)
		printf("        pairs that lose their keys: %u; their connections end by a reset\n",
		       e->keyed);
	if (e->unsaid)
		tell_refused(e->what == REMOVE ?
			     "its line did not say weaken; \"tcpseal apply ... --weaken\" removes it" :
			     "the line does not say weaken");
	else if (e->refused)
		tell_refused(e->what == REMOVE || e->will == TCPSEAL_MODE_CLEAR ?
			     "it was not said that keys may go; \"tcpseal apply ... --weaken\" does it" :
			     "it was not said that keys may go; \"tcpseal apply ... --force\" does it");
}

static void tell(struct plan *p, enum change what,
		 const struct tcpseal_link *old,
		 const struct tcpseal_link *new)
{
	struct entry e = judge(p, what, old, new);
	char words[TCPSEAL_LINK_STRLEN];

	p->n[what]++;
	p->weaker += e.weaker;
	p->refused += e.refused;
	tcpseal_link_format(new ? new : old, words, sizeof(words));
	if (opt_json)
		tell_json(&e, words);
	else
		tell_text(&e, words);
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

int plan_show(const char *file, const char *from, uint32_t change)
{
	struct plan p = { .change = change };
	int ret;

	ret = read_conf(&p.new, file);
	if (!ret && from)
		ret = read_conf(&p.old, from);
	if (!ret)
		ret = take(&p);
	if (!ret) {
		print_plan(&p);
		if (p.refused)
			ret = EXIT_REFUSED;
	}
	list_free(&p.pairs);
	list_free(&p.links);
	free(p.old.lines);
	free(p.new.lines);
	return ret;
}

int plan_main(int argc, char **argv)
{
	static const char *const words[] = { "from", NULL };
	const char *from = NULL;
	int ret, end;

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
	ret = plan_show(argv[0], from, 0);
	end = print_end();
	return ret ? ret : end;
}
