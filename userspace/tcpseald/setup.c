// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Configuration and identity as one thing that is replaced as a whole: a
 * reload either succeeds in every part or changes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tcpseald.h"

struct setup *setup_now;

/* Takes over conf; NULL means that error says why */
static struct setup *setup_of(struct conf *conf, char *error, size_t size)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	if (!conf || !setup) {
		if (conf)
			snprintf(error, size, "out of memory");
		conf_free(conf);
		free(setup);
		return NULL;
	}
	atomic_init(&setup->refs, 1);
	setup->conf = conf;
	setup->ident = ident_load(conf, error, size);
	if (setup->ident)
		return setup;
	setup_put(setup);
	return NULL;
}

struct setup *setup_read(const char *file, char *error, size_t size)
{
	return setup_of(conf_read(file, error, size), error, size);
}

struct setup *setup_parse(const char *name, const char *text, size_t length,
			  char *error, size_t size)
{
	return setup_of(conf_parse(name, text, length, error, size), error,
			size);
}

struct setup *setup_get(struct setup *setup)
{
	atomic_fetch_add(&setup->refs, 1);
	return setup;
}

void setup_put(struct setup *setup)
{
	if (!setup || atomic_fetch_sub(&setup->refs, 1) != 1)
		return;
	ident_free(setup->ident);
	conf_free(setup->conf);
	free(setup);
}

/* ------------------------------------------------- links, in one transaction */

#define TRIES	8		/* others may change links meanwhile */

/* Links in the order of their prefixes, to be found by them */
struct sorted {
	const struct tcpseal_link **link;
	size_t n;
};

static int by_prefixes(const void *a, const void *b)
{
	const struct tcpseal_link *one = *(const struct tcpseal_link *const *)a;
	const struct tcpseal_link *other =
		*(const struct tcpseal_link *const *)b;
	int ret = tcpseal_prefix_cmp(&one->local, &other->local);

	return ret ? ret : tcpseal_prefix_cmp(&one->remote, &other->remote);
}

static int sort_links(struct sorted *s, const struct tcpseal_link *link,
		      size_t step, size_t n)
{
	size_t i;

	s->n = n;
	s->link = calloc(n + 1, sizeof(*s->link));
	if (!s->link)
		return -ENOMEM;
	for (i = 0; i < n; i++)
		s->link[i] = (const void *)((const char *)link + i * step);
	qsort(s->link, n, sizeof(*s->link), by_prefixes);
	return 0;
}

static const struct tcpseal_link *find_link(const struct sorted *s,
					    const struct tcpseal_link *like)
{
	const struct tcpseal_link **found;

	found = bsearch(&like, s->link, s->n, sizeof(*s->link), by_prefixes);
	return found ? *found : NULL;
}

/* What an application works on */
struct apply {
	const struct conf *conf, *before;	/* before may be NULL */
	uint32_t change;		/* TCPSEAL_CHANGE_FLAG_* for all */
	struct sorted now, file;	/* of the kernel, of conf */
	char *error;
	size_t size;
};

/*
 * What a request may do beyond its words: who says weaken of a link that goes, or
 * becomes clear, knows that nothing of it can stay sealed.
 */
static void set_change(const struct apply *a, struct tcpseal_link *link,
		       bool ends)
{
	if (!TCPSEAL_HAS(link, LINK_CHANGE))
		link->change = 0;
	link->change |= a->change;
	if (ends && link->change & TCPSEAL_CHANGE_FLAG_WEAKEN)
		link->change |= TCPSEAL_CHANGE_FLAG_FORCE;
	if (link->change)
		TCPSEAL_MARK(link, LINK_CHANGE);
}

static int stage_set(const struct apply *a, const struct conf_link *line)
{
	const struct tcpseal_link *old = find_link(&a->now, &line->link);
	struct tcpseal_link link = line->link;
	int ret;

	if (old && tcpseal_link_same(old, &link))
		return 0;
	set_change(a, &link, link.mode == TCPSEAL_MODE_CLEAR);
	ret = tcpseal_link_new(kernel, &link);
	if (ret)
		snprintf(a->error, a->size, "%s:%u: the kernel refuses the link: %s",
			 a->conf->name, line->line, tcpseal_error(kernel));
	return ret;
}

/* Only what came from the file before */
static int stage_del(const struct apply *a, const struct conf_link *line)
{
	struct tcpseal_link link = line->link;
	int ret;

	if (find_link(&a->file, &link) || !find_link(&a->now, &link))
		return 0;
	set_change(a, &link, true);
	ret = tcpseal_link_del(kernel, &link);
	if (ret)
		snprintf(a->error, a->size, "the kernel keeps a link: %s",
			 tcpseal_error(kernel));
	return ret;
}

static int stage(const struct apply *a)
{
	int ret = 0;
	size_t i;

	for (i = 0; !ret && i < a->conf->links_n; i++)
		ret = stage_set(a, &a->conf->links[i]);
	for (i = 0; !ret && a->before && i < a->before->links_n; i++)
		ret = stage_del(a, &a->before->links[i]);
	return ret;
}

/* Which line does the kernel mean? Its message begins with the prefixes */
static void blame_line(const struct apply *a, const char *message)
{
	char local[TCPSEAL_PREFIX_STRLEN], remote[TCPSEAL_PREFIX_STRLEN];
	struct conf_link *line;
	struct tcpseal_link link = { };
	size_t i;

	if (sscanf(message, "%49s %49[^ ]", local, remote) != 2 ||
	    strlen(remote) < 2)
		return;
	remote[strlen(remote) - 1] = '\0';	/* the colon */
	if (tcpseal_prefix_parse(local, &link.local) ||
	    tcpseal_prefix_parse(remote, &link.remote))
		return;
	for (i = 0; i < a->conf->links_n; i++) {
		line = &a->conf->links[i];
		if (tcpseal_link_same_prefixes(&line->link, &link))
			snprintf(a->error, a->size,
				 "%s:%u: the kernel refuses the link: %s",
				 a->conf->name, line->line, message);
	}
}

static int commit(const struct apply *a)
{
	int ret = tcpseal_link_commit(kernel);

	if (!ret)
		return 0;
	snprintf(a->error, a->size, "%s: the kernel refuses the links: %s",
		 a->conf->name, tcpseal_error(kernel));
	blame_line(a, tcpseal_error(kernel));
	return ret;
}

/* The links are read after the beginning: what changed since then is noticed */
static int try_links(struct apply *a)
{
	int ret;

	ret = tcpseal_link_begin(kernel);
	if (ret) {
		snprintf(a->error, a->size, "%s", tcpseal_error(kernel));
		return ret;
	}
	ret = links_refresh();
	if (ret)
		snprintf(a->error, a->size, "cannot read the links of the kernel");
	else
		ret = sort_links(&a->now, links_now->link,
				 sizeof(*links_now->link), links_now->n);
	if (!ret)
		ret = stage(a);
	if (!ret)
		ret = commit(a);
	else
		tcpseal_link_abort(kernel);
	free(a->now.link);
	a->now.link = NULL;
	return ret;
}

static int apply_links(const struct conf *conf, const struct conf *before,
		       uint32_t change, char *error, size_t size)
{
	struct apply a = {
		.conf = conf, .before = before, .change = change,
		.error = error, .size = size,
	};
	int ret, tries = 0;

	if (sort_links(&a.file, conf->links_n ? &conf->links->link : NULL,
		       sizeof(*conf->links), conf->links_n)) {
		snprintf(error, size, "out of memory");
		return -ENOMEM;
	}
	do {
		ret = try_links(&a);
	} while (ret == -EAGAIN && ++tries < TRIES);
	free(a.file.link);
	return ret;
}

int setup_apply(const struct setup *setup, const struct conf *before,
		uint32_t change, char *error, size_t size)
{
	const struct tcpseal_conf *limits = &setup->conf->kernel;
	struct tcpseal_conf old = { };
	int ret;

	if (limits->has && (tcpseal_conf_get(kernel, &old) ||
			    tcpseal_conf_set(kernel, limits))) {
		snprintf(error, size, "%s: the kernel refuses the limits: %s",
			 setup->conf->name, tcpseal_error(kernel));
		return -EINVAL;
	}
	ret = apply_links(setup->conf, before, change, error, size);
	if (ret && limits->has && tcpseal_conf_set(kernel, &old))
		log_error("the limits cannot be taken back: %s",
			  tcpseal_error(kernel));
	return ret ? ret : links_refresh();
}

static void warn_of_fixed(const struct conf *now, const struct conf *before)
{
	if (now->port != before->port)
		log_warn("port: takes effect with the next start");
	if (now->workers != before->workers)
		log_warn("workers: takes effect with the next start");
	if (strcmp(now->metrics.text ? now->metrics.text : "",
		   before->metrics.text ? before->metrics.text : ""))
		log_warn("metrics: takes effect with the next start");
	if (strcmp(now->state, before->state))
		log_warn("state: takes effect with the next start");
}

/* Values that only a start changes stay as they are */
static void keep_fixed(struct conf *now, struct conf *before)
{
	char *state = now->state;

	warn_of_fixed(now, before);
	now->port = before->port;
	now->state = before->state;
	before->state = state;
}

void setup_put_in_force(struct setup *setup)
{
	struct setup *before = setup_now;

	keep_fixed(setup->conf, before->conf);
	log_set_level(setup->conf->log_level);
	keylog_warn(setup->conf);
	setup_now = setup;
	metrics_identity(setup);
	notify("STATUS=%zu links from %s", setup->conf->links_n,
	       setup->conf->name);
	sas_judge(setup->ident, before->ident);
	attempt_links_changed();
}

void setup_reload(const char *file)
{
	struct setup *setup = NULL, *before = setup_now;
	char error[512];

	if (trial_runs())
		snprintf(error, sizeof(error),
			 "%s is on trial for %u seconds more: \"tcpseal apply confirm\" or \"tcpseal apply back\" first",
			 before->conf->name, trial_seconds());
	else
		setup = setup_read(file, error, sizeof(error));
	if (setup && kernel_there() &&
	    setup_apply(setup, before->conf, 0, error, sizeof(error))) {
		setup_put(setup);
		setup = NULL;
	}
	if (!setup) {
		log_error("%s", error);
		log_error("nothing is changed; the old configuration stays in force");
		notify("STATUS=reload refused: %s", error);
		return;
	}
	setup_put_in_force(setup);
	log_info("%s is in force", file);
	setup_put(before);
}
