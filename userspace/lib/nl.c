// SPDX-License-Identifier: LGPL-2.1-or-later
/* The netlink socket: requests, acknowledgements, and what the kernel says. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "internal.h"

/* A kernel that does not answer must not hang its callers */
#define ANSWER_SECS	10
/* What the kernel takes for an errno at most */
#define MAX_ERRNO	4095

int err_set(struct tcpseal_err *err, int word, const char *format, ...)
{
	va_list args;

	if (!err)
		return -EINVAL;
	err->word = word;
	va_start(args, format);
	vsnprintf(err->text, sizeof(err->text), format, args);
	va_end(args);
	return -EINVAL;
}

int nl_fail(struct tcpseal *ts, int err, const char *text)
{
	err_set(&ts->err, -1, "%s", text ? text : strerror(-err));
	return err;
}

/* An answer's error as it may be returned: a negative errno, whatever came */
static int answer_errno(int err)
{
	return err < 0 && err >= -MAX_ERRNO ? err : -EBADMSG;
}

const char *tcpseal_error(const struct tcpseal *ts)
{
	return ts->err.text;
}

int tcpseal_fd(const struct tcpseal *ts)
{
	return mnl_socket_get_fd(ts->nl);
}

static struct nlmsghdr *request_of(struct tcpseal *ts, uint16_t type,
				   uint8_t cmd, uint8_t version, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(ts->buf);
	struct genlmsghdr *genl;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++ts->seq;
	genl = mnl_nlmsg_put_extra_header(nlh, sizeof(*genl));
	genl->cmd = cmd;
	genl->version = version;
	return nlh;
}

/* Begins a request in the handle's buffer; flags: NLM_F_ACK or NLM_F_DUMP */
struct nlmsghdr *nl_request(struct tcpseal *ts, uint8_t cmd, uint16_t flags)
{
	return request_of(ts, ts->family, cmd, TCPSEAL_FAMILY_VERSION, flags);
}

/* The kernel's own sentence, where it gave one */
static void extack(struct tcpseal *ts, const struct nlmsghdr *nlh,
		   const struct nlmsgerr *err)
{
	const struct nlattr *attr;
	size_t skip = sizeof(*nlh) + sizeof(*err);

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED))
		skip += MNL_ALIGN(err->msg.nlmsg_len) - sizeof(err->msg);
	for (attr = (const void *)nlh + skip;
	     skip < nlh->nlmsg_len &&
	     mnl_attr_ok(attr, (const char *)nlh + nlh->nlmsg_len -
			       (const char *)attr);
	     attr = mnl_attr_next(attr)) {
		if (mnl_attr_get_type(attr) != NLMSGERR_ATTR_MSG ||
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			continue;
		err_set(&ts->err, -1, "%s", mnl_attr_get_str(attr));
	}
}

static int answer_error(struct tcpseal *ts, const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(nlh);
	int error;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*err))
		return nl_fail(ts, -EBADMSG, NULL);
	if (!err->error)
		return 0;
	error = nl_fail(ts, answer_errno(err->error), NULL);
	extack(ts, nlh, err);
	return error;
}

static int answer_done(struct tcpseal *ts, const struct nlmsghdr *nlh)
{
	const int *err = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	int left, error;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*err) || *err >= 0)
		return 0;
	error = nl_fail(ts, answer_errno(*err), NULL);
	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return error;
	attr = (const void *)(err + 1);
	left = mnl_nlmsg_get_payload_len(nlh) - sizeof(*err);
	for (; mnl_attr_ok(attr, left);
	     left -= MNL_ALIGN(attr->nla_len), attr = mnl_attr_next(attr))
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			err_set(&ts->err, -1, "%s", mnl_attr_get_str(attr));
	return error;
}

/* What the kernel sent; what any other process sent is passed over */
ssize_t nl_receive(struct tcpseal *ts, int flags)
{
	struct sockaddr_nl from = { };
	socklen_t size;
	ssize_t n;

	do {
		size = sizeof(from);
		n = recvfrom(tcpseal_fd(ts), ts->buf, sizeof(ts->buf), flags,
			     (struct sockaddr *)&from, &size);
	} while (n >= 0 && (size != sizeof(from) || from.nl_pid));
	return n;
}

/* mnl_nlmsg_ok() takes a length above 2 GB for a negative one, which fits */
bool nl_ok(const struct nlmsghdr *nlh, int left)
{
	return mnl_nlmsg_ok(nlh, left) && nlh->nlmsg_len <= (uint32_t)left;
}

/*
 * Sends the request and reads to the end of its answer, also after the
 * callback had enough: a half-read dump would block the next one.
 */
int nl_talk(struct tcpseal *ts, struct nlmsghdr *nlh, nl_reply_cb cb,
	    void *data)
{
	size_t length = nlh->nlmsg_len;
	bool dump = nlh->nlmsg_flags & NLM_F_DUMP;
	bool ack = nlh->nlmsg_flags & NLM_F_ACK;
	const struct nlmsghdr *in;
	int ret = 0, err, left;
	ssize_t n;

	ts->err.text[0] = '\0';
	n = mnl_socket_sendto(ts->nl, nlh, length);
	err = -errno;
	explicit_bzero(ts->buf, length);	/* it may have held a key */
	if (n < 0)
		return nl_fail(ts, err, NULL);

	for (;;) {
		n = nl_receive(ts, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return nl_fail(ts, errno == EAGAIN ? -ETIMEDOUT :
							     -errno, NULL);
		left = n;
		for (in = (const void *)ts->buf; nl_ok(in, left);
		     in = mnl_nlmsg_next(in, &left)) {
			if (in->nlmsg_seq != ts->seq)
				continue;
			if (in->nlmsg_type == NLMSG_ERROR) {
				err = answer_error(ts, in);
				return err ? err : ret;
			}
			if (dump && (in->nlmsg_flags & NLM_F_DUMP_INTR) && !ret)
				ret = nl_fail(ts, -EINTR,
					      "the list changed meanwhile");
			if (in->nlmsg_type == NLMSG_DONE) {
				err = answer_done(ts, in);
				return err ? err : ret;
			}
			if (in->nlmsg_type < NLMSG_MIN_TYPE)
				continue;
			if (cb && (!ret || ret == -EINTR)) {
				err = cb(in, data);
				if (err)
					ret = err;
			}
			if (!dump && !ack)
				return ret;
		}
	}
}

static int group_cb(const struct nlattr *group, struct tcpseal *ts)
{
	const struct nlattr *attr;
	const char *name = NULL;
	uint32_t id = 0;

	mnl_attr_for_each_nested(attr, group) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_NAME &&
		    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0)
			name = mnl_attr_get_str(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GRP_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
			id = mnl_attr_get_u32(attr);
	}
	if (name && !strcmp(name, TCPSEAL_MCGRP_EVENTS))
		ts->group = id;
	return 0;
}

static int family_cb(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *attr, *group;
	struct tcpseal *ts = data;

	mnl_attr_for_each(attr, nlh, sizeof(struct genlmsghdr)) {
		if (mnl_attr_get_type(attr) == CTRL_ATTR_FAMILY_ID &&
		    mnl_attr_validate(attr, MNL_TYPE_U16) >= 0)
			ts->family = mnl_attr_get_u16(attr);
		if (mnl_attr_get_type(attr) == CTRL_ATTR_MCAST_GROUPS)
			mnl_attr_for_each_nested(group, attr)
				group_cb(group, ts);
	}
	return 0;
}

static int resolve(struct tcpseal *ts)
{
	struct nlmsghdr *nlh;
	int ret;

	nlh = request_of(ts, GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1, NLM_F_ACK);
	mnl_attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, TCPSEAL_FAMILY_NAME);
	ret = nl_talk(ts, nlh, family_cb, ts);
	if (ret == -ENOENT || (!ret && !ts->family))
		return nl_fail(ts, -ENOENT,
			       "this kernel has no tcpseal; is the module loaded?");
	return ret;
}

static int open_socket(struct tcpseal *ts)
{
	struct timeval patience = { .tv_sec = ANSWER_SECS };
	int on = 1;

	ts->nl = mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC);
	if (!ts->nl)
		return nl_fail(ts, -errno, NULL);
	if (mnl_socket_bind(ts->nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return nl_fail(ts, -errno, NULL);
	mnl_socket_setsockopt(ts->nl, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(ts->nl, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(ts->nl, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	if (setsockopt(mnl_socket_get_fd(ts->nl), SOL_SOCKET, SO_RCVTIMEO,
		       &patience, sizeof(patience)) < 0)
		return nl_fail(ts, -errno, NULL);
	return resolve(ts);
}

int tcpseal_open(struct tcpseal **tsp, struct tcpseal_err *err)
{
	struct tcpseal *ts = calloc(1, sizeof(*ts));
	int ret;

	*tsp = NULL;
	if (!ts) {
		err_set(err, -1, "out of memory");
		return -ENOMEM;
	}
	ret = open_socket(ts);
	if (ret) {
		err_set(err, -1, "%s", ts->err.text);
		tcpseal_close(ts);
		return ret;
	}
	*tsp = ts;
	return 0;
}

int tcpseal_open_events(struct tcpseal **tsp, struct tcpseal_err *err)
{
	struct tcpseal *ts;
	int ret, size = 1024 * 1024;

	ret = tcpseal_open(&ts, err);
	*tsp = NULL;
	if (ret)
		return ret;
	setsockopt(tcpseal_fd(ts), SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_setsockopt(ts->nl, NETLINK_ADD_MEMBERSHIP, &ts->group,
				  sizeof(ts->group)) < 0) {
		ret = -errno;
		err_set(err, -1, "events: %s", strerror(-ret));
		tcpseal_close(ts);
		return ret;
	}
	*tsp = ts;
	return 0;
}

void tcpseal_close(struct tcpseal *ts)
{
	if (!ts)
		return;
	if (ts->nl)
		mnl_socket_close(ts->nl);
	explicit_bzero(ts, sizeof(*ts));
	free(ts);
}
