// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guard: firewall rules that stand in for the module while it is not
 * there. They drop TCP between the prefixes of "require" links, and nothing
 * else: what another link says of an inner prefix stays as it says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tcpseald.h"

#define TABLE	"inet tcpseal-guard"

/* Before everything but defragmentation: nobody's rules accept first */
#define PRIORITY	(-350)

static bool forwards(const struct tcpseal_link *link)
{
	return link->flags & TCPSEAL_LINK_FLAG_FORWARD;
}

static bool required(const struct tcpseal_link *link)
{
	return link->mode == TCPSEAL_MODE_REQUIRE;
}

/* Links nest: of two that cover an address, the longer prefixes are inside */
static int inner_first(const void *a, const void *b)
{
	const struct tcpseal_link *one = &((const struct conf_link *)a)->link;
	const struct tcpseal_link *other = &((const struct conf_link *)b)->link;

	return (int)(other->local.len + other->remote.len) -
	       (int)(one->local.len + one->remote.len);
}

/* where: what else must hold, with a blank behind it */
static void print_rule(const char *where, const struct tcpseal_link *link,
		       const struct tcpseal_prefix *from,
		       const struct tcpseal_prefix *to)
{
	const char *ip = from->addr.len == 4 ? "ip" : "ip6";
	char saddr[TCPSEAL_PREFIX_STRLEN], daddr[TCPSEAL_PREFIX_STRLEN];

	printf("\t\t%s%s saddr %s %s daddr %s %s\n", where, ip,
	       tcpseal_prefix_format(from, saddr, sizeof(saddr)), ip,
	       tcpseal_prefix_format(to, daddr, sizeof(daddr)),
	       required(link) ? "counter drop" : "accept");
}

static void begin_chain(const char *hook)
{
	printf("\tchain %s {\n"
	       "\t\ttype filter hook %s priority %d; policy accept;\n"
	       "\t\tmeta l4proto != tcp accept\n", hook, hook, PRIORITY);
}

static void print_out(const struct conf *conf)
{
	const struct tcpseal_link *link;
	size_t i;

	begin_chain("output");
	/* Between two addresses of one machine nothing is ever sealed */
	printf("\t\toifname \"lo\" accept\n");
	for (i = 0; i < conf->links_n; i++) {
		link = &conf->links[i].link;
		print_rule("", link, &link->local, &link->remote);
	}
	printf("\t}\n");
}

/*
 * Where a packet arrives: for this machine, or, where a link seals for others,
 * on its way through, in either direction.
 */
static void print_in(const struct conf *conf)
{
	const struct tcpseal_link *link;
	size_t i;

	begin_chain("prerouting");
	printf("\t\tiifname \"lo\" accept\n");
	for (i = 0; i < conf->links_n; i++) {
		link = &conf->links[i].link;
		print_rule(forwards(link) ? "" : "fib daddr type local ", link,
			   &link->remote, &link->local);
		if (forwards(link))
			print_rule("", link, &link->local, &link->remote);
	}
	printf("\t}\n");
}

/* One line for each link that has to be in the kernel before this may go */
static void print_required(const struct conf *conf)
{
	char local[TCPSEAL_PREFIX_STRLEN], remote[TCPSEAL_PREFIX_STRLEN];
	const struct tcpseal_link *link;
	size_t i;

	for (i = 0; i < conf->links_n; i++) {
		link = &conf->links[i].link;
		if (!required(link))
			continue;
		tcpseal_prefix_format(&link->local, local, sizeof(local));
		tcpseal_prefix_format(&link->remote, remote, sizeof(remote));
		printf("# %s %s mode require\n", local, remote);
	}
}

int guard_print(struct conf *conf)
{
	qsort(conf->links, conf->links_n, sizeof(*conf->links), inner_first);
	printf("# The guard of %s\n", conf->name);
	print_required(conf);
	/* Replaces the one that is there, in one transaction */
	printf("table " TABLE "\ndelete table " TABLE "\ntable " TABLE " {\n");
	print_out(conf);
	print_in(conf);
	printf("}\n");
	return fflush(stdout) || ferror(stdout) ? -EIO : 0;
}
