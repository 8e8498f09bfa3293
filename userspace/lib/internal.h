/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of libtcpseal share. */
#ifndef LIBTCPSEAL_INTERNAL_H
#define LIBTCPSEAL_INTERNAL_H

#include <sys/types.h>
#include <libmnl/libmnl.h>

#include "libtcpseal.h"

#define NL_BUFSIZE	(32 * 1024)	/* a page of a dump */

struct tcpseal {
	struct mnl_socket *nl;
	uint16_t family;
	uint32_t group;			/* of the events */
	uint32_t seq;
	struct tcpseal_err err;
	char buf[NL_BUFSIZE];
};

/* nl.c */
typedef int (*nl_reply_cb)(const struct nlmsghdr *nlh, void *data);

struct nlmsghdr *nl_request(struct tcpseal *ts, uint8_t cmd, uint16_t flags);
int nl_talk(struct tcpseal *ts, struct nlmsghdr *nlh, nl_reply_cb cb,
	    void *data);
ssize_t nl_receive(struct tcpseal *ts, int flags);
bool nl_ok(const struct nlmsghdr *nlh, int left);
int nl_fail(struct tcpseal *ts, int err, const char *text);

/* attrs.c */
struct attr_field;

struct attr_set {
	const struct attr_field *fields;
	unsigned int n;
	size_t has;			/* offset of the bit mask */
};

extern const struct attr_set attr_link, attr_sa, attr_pair, attr_event,
	attr_stats, attr_conf, attr_talker;

void attr_encode(struct nlmsghdr *nlh, const struct attr_set *set,
		 const void *from, uint64_t only);
void attr_decode(const struct nlmsghdr *nlh, const struct attr_set *set,
		 void *to);

/* addr.c, parse.c */
int err_set(struct tcpseal_err *err, int word, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif /* LIBTCPSEAL_INTERNAL_H */
