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

struct setup *setup_read(const char *file, char *error, size_t size)
{
	struct setup *setup = calloc(1, sizeof(*setup));

	if (!setup) {
		snprintf(error, size, "out of memory");
		return NULL;
	}
	atomic_init(&setup->refs, 1);
	setup->conf = conf_read(file, error, size);
	if (setup->conf)
		setup->ident = ident_load(setup->conf, error, size);
	if (setup->ident)
		return setup;
	setup_put(setup);
	return NULL;
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

static const struct tcpseal_link *in_kernel(const struct tcpseal_link *link)
{
	size_t i;

	for (i = 0; links_now && i < links_now->n; i++)
		if (tcpseal_link_same_prefixes(&links_now->link[i], link))
			return &links_now->link[i];
	return NULL;
}

static bool in_conf(const struct conf *conf, const struct tcpseal_link *link)
{
	size_t i;

	for (i = 0; i < conf->links_n; i++)
		if (tcpseal_link_same_prefixes(&conf->links[i].link, link))
			return true;
	return false;
}

/* What the kernel had before; a failure here can only be reported */
static void undo(const struct conf *conf, size_t n)
{
	struct tcpseal_link link;
	const struct tcpseal_link *old;
	int ret;

	while (n--) {
		link = conf->links[n].link;
		old = in_kernel(&link);
		if (old && tcpseal_link_same(old, &link))
			continue;
		if (old)
			link = *old;
		link.change = TCPSEAL_CHANGE_FLAG_WEAKEN;
		TCPSEAL_MARK(&link, LINK_CHANGE);
		ret = old ? tcpseal_link_new(kernel, &link) :
			    tcpseal_link_del(kernel, &link);
		if (ret)
			log_error("%s:%u: cannot be taken back: %s",
				  conf->name, conf->links[n].line,
				  tcpseal_error(kernel));
	}
}

static int add_links(const struct conf *conf, char *error, size_t size)
{
	const struct tcpseal_link *link, *old;
	int ret;
	size_t i;

	for (i = 0; i < conf->links_n; i++) {
		link = &conf->links[i].link;
		old = in_kernel(link);
		if (old && tcpseal_link_same(old, link))
			continue;
		ret = tcpseal_link_new(kernel, link);
		if (!ret)
			continue;
		snprintf(error, size, "%s:%u: the kernel refuses the link: %s",
			 conf->name, conf->links[i].line,
			 tcpseal_error(kernel));
		undo(conf, i);
		return ret;
	}
	return 0;
}

/* Only what came from the file; a pair that still holds keys keeps its link */
static void remove_links(const struct conf *conf, const struct conf *before)
{
	char words[TCPSEAL_LINK_STRLEN];
	const struct tcpseal_link *link;
	size_t i;

	for (i = 0; before && i < before->links_n; i++) {
		link = &before->links[i].link;
		if (in_conf(conf, link) || !in_kernel(link))
			continue;
		if (tcpseal_link_del(kernel, link))
			log_error("link %s stays although it is gone from the file: %s",
				  tcpseal_link_format(link, words,
						      sizeof(words)),
				  tcpseal_error(kernel));
	}
}

int setup_apply(const struct setup *setup, const struct setup *before,
		char *error, size_t size)
{
	int ret;

	ret = links_refresh();
	if (ret) {
		snprintf(error, size, "cannot read the links of the kernel");
		return ret;
	}
	ret = add_links(setup->conf, error, size);
	if (ret)
		return ret;
	if (setup->conf->kernel.has &&
	    tcpseal_conf_set(kernel, &setup->conf->kernel)) {
		snprintf(error, size, "%s: the kernel refuses the limits: %s",
			 setup->conf->name, tcpseal_error(kernel));
		undo(setup->conf, setup->conf->links_n);
		return -EINVAL;
	}
	remove_links(setup->conf, before ? before->conf : NULL);
	return links_refresh();
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

void setup_reload(const char *file)
{
	struct setup *setup, *before = setup_now;
	char error[512];

	setup = setup_read(file, error, sizeof(error));
	if (setup && kernel_there() &&
	    setup_apply(setup, before, error, sizeof(error))) {
		setup_put(setup);
		setup = NULL;
	}
	if (!setup) {
		log_error("%s", error);
		log_error("nothing is changed; the old configuration stays in force");
		notify("STATUS=reload refused: %s", error);
		return;
	}
	keep_fixed(setup->conf, before->conf);
	log_set_level(setup->conf->log_level);
	setup_now = setup;
	metrics_identity(setup);
	log_info("%s is in force", file);
	notify("STATUS=%zu links from %s", setup->conf->links_n, file);
	sas_judge(setup->ident, before->ident);
	attempt_links_changed();
	setup_put(before);
}
