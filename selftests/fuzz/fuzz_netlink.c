// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the kernel says: the first byte of the input chooses a call of libtcpseal, the
 * rest are the datagrams that answer it, each behind its length (2 bytes, little
 * endian). Where one has no sequence number, it gets the right one. What comes out is
 * printed as the command line prints it.
 */
#include <errno.h>
#include <jansson.h>
#include <sys/socket.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "fuzz.h"
#include "internal.h"
#include "../../userspace/tcpseal/model.h"

#define FAMILY	0x21

static const uint8_t *at;
static size_t left;
static struct tcpseal *handle;

bool opt_json, opt_pretty;		/* of the command line */

/* --- instead of a socket --- */

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	static char nothing;

	(void)bus, (void)flags;
	return (struct mnl_socket *)&nothing;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	(void)nl, (void)groups, (void)pid;
	return 0;
}

int mnl_socket_setsockopt(const struct mnl_socket *nl, int type, void *buf,
			  socklen_t len)
{
	(void)nl, (void)type, (void)buf, (void)len;
	return 0;
}

int mnl_socket_get_fd(const struct mnl_socket *nl)
{
	(void)nl;
	return -1;
}

int mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	(void)fd, (void)level, (void)name, (void)value, (void)len;
	return 0;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf,
			  size_t len)
{
	(void)nl, (void)buf;
	return len;
}

static void number(void *buf, size_t size)
{
	struct nlmsghdr *nlh = buf;
	int rest = size;

	for (; nl_ok(nlh, rest); nlh = mnl_nlmsg_next(nlh, &rest))
		if (!nlh->nlmsg_seq && handle)
			nlh->nlmsg_seq = handle->seq;
}

ssize_t recvfrom(int fd, void *buf, size_t size, int flags,
		 struct sockaddr *addr, socklen_t *len)
{
	struct sockaddr_nl from = { .nl_family = AF_NETLINK };
	size_t n;

	(void)fd, (void)flags;
	if (left < 2) {
		errno = EAGAIN;
		return -1;
	}
	n = at[0] | at[1] << 8;
	at += 2, left -= 2;
	if (n > left)
		n = left;
	if (n > size)
		n = size;
	memcpy(buf, at, n);
	at += n, left -= n;
	number(buf, n);
	memcpy(addr, &from, sizeof(from));
	*len = sizeof(from);
	return n;
}

/* --- what is made of it --- */

static int shown(json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	must(text);
	free(text);
	json_decref(json);
	return 0;
}

static int on_link(const struct tcpseal_link *link, void *data)
{
	char text[4096];

	(void)data;
	tcpseal_link_format(link, text, sizeof(text));
	return shown(link_json(link));
}

static int on_sa(const struct tcpseal_sa *sa, void *data)
{
	(void)data;
	return shown(sa_json(sa));
}

static int on_pair(const struct tcpseal_pair *pair, void *data)
{
	(void)data;
	return shown(pair_json(pair));
}

static int on_event(const struct tcpseal_event *ev, void *data)
{
	(void)data;
	return shown(event_json(ev));
}

static void call(unsigned int which, struct tcpseal *ts)
{
	struct tcpseal_stats stats;
	struct tcpseal_conf conf;
	struct tcpseal *other;
	struct tcpseal_err err;

	switch (which % 7) {
	case 0:
		tcpseal_link_dump(ts, on_link, NULL);
		break;
	case 1:
		tcpseal_sa_dump(ts, on_sa, NULL);
		break;
	case 2:
		tcpseal_pair_dump(ts, NULL, on_pair, NULL);
		break;
	case 3:
		if (!tcpseal_stats_get(ts, &stats))
			shown(stats_json(&stats));
		break;
	case 4:
		tcpseal_conf_get(ts, &conf);
		break;
	case 5:
		tcpseal_event_read(ts, on_event, NULL);
		break;
	case 6:
		/* the handle is made in there; its first request is number 1 */
		if (!tcpseal_open_events(&other, &err))
			tcpseal_close(other);
		break;
	}
	must(memchr(ts->err.text, '\0', sizeof(ts->err.text)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct tcpseal *ts;

	if (!size)
		return 0;
	ts = calloc(1, sizeof(*ts));
	must(ts);
	ts->family = FAMILY;
	handle = *data % 7 == 6 ? NULL : ts;
	at = data + 1;
	left = size - 1;
	call(*data, ts);
	free(ts);
	return 0;
}
