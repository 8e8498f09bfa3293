// SPDX-License-Identifier: GPL-2.0-or-later
/* The links of the kernel, as a list that is replaced and never changed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tcpseald.h"

struct links *links_now;

struct links *links_get(struct links *links)
{
	atomic_fetch_add(&links->refs, 1);
	return links;
}

void links_put(struct links *links)
{
	if (links && atomic_fetch_sub(&links->refs, 1) == 1)
		free(links);
}

struct gather {
	struct links *links;
	size_t room;
};

static int gather_link(const struct tcpseal_link *link, void *data)
{
	struct gather *g = data;
	struct links *more;

	if (g->links->n == g->room) {
		more = realloc(g->links, sizeof(*more) +
			       2 * g->room * sizeof(*link));
		if (!more)
			return -ENOMEM;
		g->links = more;
		g->room *= 2;
	}
	g->links->link[g->links->n++] = *link;
	return 0;
}

int links_refresh(void)
{
	struct gather g = { .room = 8 };
	int ret, tries = 0;

	do {
		free(g.links);
		g.room = 8;
		g.links = calloc(1, sizeof(*g.links) +
				 g.room * sizeof(*g.links->link));
		if (!g.links)
			return -ENOMEM;
		ret = tcpseal_link_dump(kernel, gather_link, &g);
	} while (ret == -EINTR && ++tries < 5);
	if (ret) {
		free(g.links);
		if (!kernel_lost(ret))
			log_error("cannot read the links: %s",
				  tcpseal_error(kernel));
		return ret;
	}
	atomic_init(&g.links->refs, 1);
	links_put(links_now);
	links_now = g.links;
	return 0;
}

const struct tcpseal_link *links_by_id(const struct links *links, uint32_t id)
{
	size_t i;

	for (i = 0; i < links->n; i++)
		if (links->link[i].id == id)
			return &links->link[i];
	return NULL;
}

/* Links nest, so the longer prefixes are the inner ones */
static const struct tcpseal_link *inner(const struct tcpseal_link *a,
					const struct tcpseal_link *b)
{
	if (!a || b->local.len + b->remote.len > a->local.len + a->remote.len)
		return b;
	return a;
}

static bool forwards(const struct tcpseal_link *link)
{
	return link->flags & TCPSEAL_LINK_FLAG_FORWARD;
}

/* Is this the address that holds the keys on the far side of the link? */
static bool far_end(const struct tcpseal_link *link,
		    const struct tcpseal_addr *addr)
{
	if (TCPSEAL_HAS(link, LINK_VIA))
		return !tcpseal_addr_cmp(&link->via, addr);
	return tcpseal_prefix_has(&link->remote, addr);
}

/* here may be an address of this machine, or zero: it seals for others */
static bool near_end(const struct tcpseal_link *link,
		     const struct tcpseal_addr *here)
{
	if (forwards(link))
		return here->len == link->local.addr.len;
	return tcpseal_prefix_has(&link->local, here);
}

const struct tcpseal_link *links_of_pair(const struct links *links,
					 const struct tcpseal_addr *local,
					 const struct tcpseal_addr *remote)
{
	const struct tcpseal_link *best = NULL, *link;
	bool zero = tcpseal_addr_is_zero(local);
	size_t i;

	for (i = 0; i < links->n; i++) {
		link = &links->link[i];
		if (far_end(link, remote) && near_end(link, local) &&
		    forwards(link) == zero)
			best = inner(best, link);
	}
	return best;
}

static bool nest(const struct tcpseal_prefix *a, const struct tcpseal_prefix *b)
{
	return a->len <= b->len ? tcpseal_prefix_has(a, &b->addr) :
				  tcpseal_prefix_has(b, &a->addr);
}

/*
 * The two ends of a gateway's link mirror each other: who seals for others
 * is reached via its address, and says its prefix.
 */
static bool answers(const struct tcpseal_link *link,
		    const struct wire_hello *hello)
{
	bool via = TCPSEAL_HAS(link, LINK_VIA);

	if (hello->mode < TCPSEAL_MODE_AUDIT)
		return true;
	if (via != !!(hello->flags & WIRE_HELLO_FORWARD) ||
	    forwards(link) != !!(hello->flags & WIRE_HELLO_VIA))
		return false;
	if (via && !nest(&link->remote, &hello->local))
		return false;
	return !forwards(link) || nest(&link->local, &hello->remote);
}

const struct tcpseal_link *links_of_hello(const struct links *links,
					  const struct tcpseal_addr *here,
					  const struct tcpseal_addr *there,
					  const struct wire_hello *hello)
{
	const struct tcpseal_link *best = NULL, *link;
	size_t i;

	for (i = 0; i < links->n; i++) {
		link = &links->link[i];
		if (far_end(link, there) && near_end(link, here) &&
		    answers(link, hello))
			best = inner(best, link);
	}
	return best;
}

const struct tcpseal_link *links_admit(const struct links *links,
				       const struct tcpseal_addr *here,
				       const struct tcpseal_addr *there)
{
	size_t i;

	for (i = 0; i < links->n; i++)
		if (far_end(&links->link[i], there) &&
		    near_end(&links->link[i], here))
			return &links->link[i];
	return NULL;
}

struct tcpseal_addr links_pair_local(const struct tcpseal_link *link,
				     const struct tcpseal_addr *here)
{
	struct tcpseal_addr local = *here;

	if (forwards(link))
		memset(local.b, 0, sizeof(local.b));
	return local;
}
