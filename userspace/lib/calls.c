// SPDX-License-Identifier: LGPL-2.1-or-later
/* One function for each operation of the family. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/genetlink.h>

#include "internal.h"

#define ALL	(~0ULL)

static int call(struct tcpseal *ts, uint8_t cmd, const struct attr_set *set,
		const void *from, uint64_t only)
{
	struct nlmsghdr *nlh = nl_request(ts, cmd, NLM_F_ACK);

	if (set)
		attr_encode(nlh, set, from, only);
	return nl_talk(ts, nlh, NULL, NULL);
}

/* --- links --- */

/* Either half of a prefix stands for both */
static struct tcpseal_link whole(const struct tcpseal_link *link)
{
	struct tcpseal_link l = *link;

	if (TCPSEAL_HAS(&l, LINK_LOCAL) || TCPSEAL_HAS(&l, LINK_LOCAL_LEN))
		l.has |= TCPSEAL_BIT(LINK_LOCAL) | TCPSEAL_BIT(LINK_LOCAL_LEN);
	if (TCPSEAL_HAS(&l, LINK_REMOTE) || TCPSEAL_HAS(&l, LINK_REMOTE_LEN))
		l.has |= TCPSEAL_BIT(LINK_REMOTE) |
			 TCPSEAL_BIT(LINK_REMOTE_LEN);
	return l;
}

#define LINK_PREFIXES \
	(TCPSEAL_BIT(LINK_LOCAL) | TCPSEAL_BIT(LINK_LOCAL_LEN) | \
	 TCPSEAL_BIT(LINK_REMOTE) | TCPSEAL_BIT(LINK_REMOTE_LEN))

int tcpseal_link_new(struct tcpseal *ts, const struct tcpseal_link *link)
{
	struct tcpseal_link l = whole(link);

	return call(ts, TCPSEAL_CMD_LINK_NEW, &attr_link, &l,
		    ~(TCPSEAL_BIT(LINK_ID) | TCPSEAL_BIT(LINK_SINCE) |
		      TCPSEAL_BIT(LINK_STATS)));
}

int tcpseal_link_del(struct tcpseal *ts, const struct tcpseal_link *link)
{
	struct tcpseal_link l = whole(link);

	return call(ts, TCPSEAL_CMD_LINK_DEL, &attr_link, &l,
		    LINK_PREFIXES | TCPSEAL_BIT(LINK_CHANGE));
}

int tcpseal_link_flush(struct tcpseal *ts, uint32_t change)
{
	struct tcpseal_link l = { .change = change };

	if (change)
		TCPSEAL_MARK(&l, LINK_CHANGE);
	return call(ts, TCPSEAL_CMD_LINK_FLUSH, &attr_link, &l, ALL);
}

int tcpseal_link_begin(struct tcpseal *ts)
{
	return call(ts, TCPSEAL_CMD_LINK_BEGIN, NULL, NULL, 0);
}

int tcpseal_link_commit(struct tcpseal *ts)
{
	return call(ts, TCPSEAL_CMD_LINK_COMMIT, NULL, NULL, 0);
}

int tcpseal_link_abort(struct tcpseal *ts)
{
	return call(ts, TCPSEAL_CMD_LINK_ABORT, NULL, NULL, 0);
}

struct link_walk {
	tcpseal_link_cb cb;
	void *data;
};

static int link_reply(const struct nlmsghdr *nlh, void *data)
{
	struct link_walk *walk = data;
	struct tcpseal_link link = {};

	attr_decode(nlh, &attr_link, &link);
	return walk->cb(&link, walk->data);
}

int tcpseal_link_dump(struct tcpseal *ts, tcpseal_link_cb cb, void *data)
{
	struct link_walk walk = { cb, data };

	return nl_talk(ts, nl_request(ts, TCPSEAL_CMD_LINK_GET, NLM_F_DUMP),
		       link_reply, &walk);
}

/* --- SAs --- */

int tcpseal_sa_new(struct tcpseal *ts, const struct tcpseal_sa *sa)
{
	return call(ts, TCPSEAL_CMD_SA_NEW, &attr_sa, sa,
		    ~(TCPSEAL_BIT(SA_ID) | TCPSEAL_BIT(SA_STATE) |
		      TCPSEAL_BIT(SA_DRIVER) | TCPSEAL_BIT(SA_AGE_SECS) |
		      TCPSEAL_BIT(SA_STATS)));
}

int tcpseal_sa_del(struct tcpseal *ts, const struct tcpseal_sa *sa)
{
	return call(ts, TCPSEAL_CMD_SA_DEL, &attr_sa, sa,
		    TCPSEAL_BIT(SA_DIR) | TCPSEAL_BIT(SA_LOCAL) |
		    TCPSEAL_BIT(SA_PEER) | TCPSEAL_BIT(SA_SPI) |
		    TCPSEAL_BIT(SA_ID));
}

int tcpseal_sa_flush(struct tcpseal *ts, uint32_t flags)
{
	struct tcpseal_sa sa = { .flags = flags };

	if (flags)
		TCPSEAL_MARK(&sa, SA_FLAGS);
	return call(ts, TCPSEAL_CMD_SA_FLUSH, &attr_sa, &sa, ALL);
}

int tcpseal_sa_set(struct tcpseal *ts, const struct tcpseal_addr *local,
		   const struct tcpseal_addr *peer, uint64_t generation)
{
	struct tcpseal_sa sa = {
		.has = TCPSEAL_BIT(SA_LOCAL) | TCPSEAL_BIT(SA_PEER) |
		       TCPSEAL_BIT(SA_GENERATION),
		.local = *local,
		.peer = *peer,
		.generation = generation,
	};

	return call(ts, TCPSEAL_CMD_SA_SET, &attr_sa, &sa, ALL);
}

struct sa_walk {
	tcpseal_sa_cb cb;
	void *data;
};

static int sa_reply(const struct nlmsghdr *nlh, void *data)
{
	struct sa_walk *walk = data;
	struct tcpseal_sa sa = {};

	attr_decode(nlh, &attr_sa, &sa);
	return walk->cb(&sa, walk->data);
}

int tcpseal_sa_dump(struct tcpseal *ts, tcpseal_sa_cb cb, void *data)
{
	struct sa_walk walk = { cb, data };

	return nl_talk(ts, nl_request(ts, TCPSEAL_CMD_SA_GET, NLM_F_DUMP),
		       sa_reply, &walk);
}

/* --- pairs --- */

struct pair_walk {
	tcpseal_pair_cb cb;
	void *data;
};

static int pair_reply(const struct nlmsghdr *nlh, void *data)
{
	struct pair_walk *walk = data;
	struct tcpseal_pair pair = {};

	attr_decode(nlh, &attr_pair, &pair);
	return walk->cb(&pair, walk->data);
}

int tcpseal_pair_dump(struct tcpseal *ts, const struct tcpseal_pair *filter,
		      tcpseal_pair_cb cb, void *data)
{
	struct nlmsghdr *nlh;
	struct pair_walk walk = { cb, data };

	nlh = nl_request(ts, TCPSEAL_CMD_PAIR_GET, NLM_F_DUMP);
	if (filter)
		attr_encode(nlh, &attr_pair, filter,
			    TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE) |
			    TCPSEAL_BIT(PAIR_WANT_ONLY));
	return nl_talk(ts, nlh, pair_reply, &walk);
}

int tcpseal_pair_set(struct tcpseal *ts, const struct tcpseal_pair *pair)
{
	return call(ts, TCPSEAL_CMD_PAIR_SET, &attr_pair, pair,
		    TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE) |
		    TCPSEAL_BIT(PAIR_MODE_PEER) | TCPSEAL_BIT(PAIR_FLAGS) |
		    TCPSEAL_BIT(PAIR_STICKY_SINCE) |
		    TCPSEAL_BIT(PAIR_LAST_SEALED) |
		    TCPSEAL_BIT(PAIR_IDENTITY) | TCPSEAL_BIT(PAIR_REASON) |
		    TCPSEAL_BIT(PAIR_BACKOFF_SECS));
}

int tcpseal_pair_forget(struct tcpseal *ts, const struct tcpseal_pair *pair)
{
	return call(ts, TCPSEAL_CMD_PAIR_FORGET, &attr_pair, pair,
		    TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE) |
		    TCPSEAL_BIT(PAIR_REMOTE_LEN));
}

int tcpseal_pair_rekey(struct tcpseal *ts, const struct tcpseal_pair *pair)
{
	return call(ts, TCPSEAL_CMD_PAIR_REKEY, &attr_pair, pair,
		    TCPSEAL_BIT(PAIR_LOCAL) | TCPSEAL_BIT(PAIR_REMOTE));
}

/* --- the namespace --- */

static int stats_reply(const struct nlmsghdr *nlh, void *data)
{
	attr_decode(nlh, &attr_stats, data);
	return 0;
}

int tcpseal_stats_get(struct tcpseal *ts, struct tcpseal_stats *stats)
{
	memset(stats, 0, sizeof(*stats));
	return nl_talk(ts, nl_request(ts, TCPSEAL_CMD_STATS_GET, NLM_F_ACK),
		       stats_reply, stats);
}

struct talker_walk {
	tcpseal_talker_cb cb;
	void *data;
};

static int talker_reply(const struct nlmsghdr *nlh, void *data)
{
	struct talker_walk *walk = data;
	struct tcpseal_talker talker = {};

	attr_decode(nlh, &attr_talker, &talker);
	return walk->cb(&talker, walk->data);
}

int tcpseal_audit_dump(struct tcpseal *ts, uint32_t link_id,
		       tcpseal_talker_cb cb, void *data)
{
	struct talker_walk walk = { cb, data };
	struct nlmsghdr *nlh;

	nlh = nl_request(ts, TCPSEAL_CMD_AUDIT_GET, NLM_F_DUMP);
	if (link_id)
		mnl_attr_put_u32(nlh, TCPSEAL_A_TALKER_LINK_ID, link_id);
	return nl_talk(ts, nlh, talker_reply, &walk);
}

int tcpseal_audit_flush(struct tcpseal *ts)
{
	return call(ts, TCPSEAL_CMD_AUDIT_FLUSH, NULL, NULL, 0);
}

int tcpseal_ctrl_new(struct tcpseal *ts, int fd, uint16_t port)
{
	struct nlmsghdr *nlh;

	nlh = nl_request(ts, TCPSEAL_CMD_CTRL_NEW, NLM_F_ACK);
	mnl_attr_put_u32(nlh, TCPSEAL_A_CTRL_FD, fd);
	mnl_attr_put_u16(nlh, TCPSEAL_A_CTRL_PORT, htons(port));
	return nl_talk(ts, nlh, NULL, NULL);
}

int tcpseal_ctrl_del(struct tcpseal *ts, int fd)
{
	struct nlmsghdr *nlh;

	nlh = nl_request(ts, TCPSEAL_CMD_CTRL_DEL, NLM_F_ACK);
	mnl_attr_put_u32(nlh, TCPSEAL_A_CTRL_FD, fd);
	return nl_talk(ts, nlh, NULL, NULL);
}

int tcpseal_conf_set(struct tcpseal *ts, const struct tcpseal_conf *conf)
{
	return call(ts, TCPSEAL_CMD_CONF_SET, &attr_conf, conf, ALL);
}

static int conf_reply(const struct nlmsghdr *nlh, void *data)
{
	attr_decode(nlh, &attr_conf, data);
	return 0;
}

int tcpseal_conf_get(struct tcpseal *ts, struct tcpseal_conf *conf)
{
	memset(conf, 0, sizeof(*conf));
	return nl_talk(ts, nl_request(ts, TCPSEAL_CMD_CONF_GET, NLM_F_ACK),
		       conf_reply, conf);
}

/* --- events --- */

static int deliver(const struct nlmsghdr *nlh, tcpseal_event_cb cb, void *data)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(nlh);
	struct tcpseal_event ev = {};

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*genl))
		return 0;
	ev.cmd = genl->cmd;
	switch (ev.cmd) {
	case TCPSEAL_CMD_LINK_NTF:
		attr_decode(nlh, &attr_link, &ev.link);
		break;
	case TCPSEAL_CMD_PAIR_NTF:
		attr_decode(nlh, &attr_pair, &ev.pair);
		break;
	default:
		attr_decode(nlh, &attr_event, &ev);
	}
	return cb(&ev, data);
}

int tcpseal_event_read(struct tcpseal *ts, tcpseal_event_cb cb, void *data)
{
	const struct nlmsghdr *nlh;
	int left, ret;
	ssize_t n;

	for (;;) {
		n = nl_receive(ts, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			return nl_fail(ts, -errno, NULL);
		left = n;
		for (nlh = (const void *)ts->buf; nl_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			if (nlh->nlmsg_type != ts->family)
				continue;
			ret = deliver(nlh, cb, data);
			if (ret)
				return nl_fail(ts, ret, NULL);
		}
	}
}
