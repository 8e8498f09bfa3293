// SPDX-License-Identifier: GPL-2.0-only
/*
 * Events. They are hints: who was not listening, or not fast enough, asks for
 * the state of things instead.
 */
#include "netlink-gen.h"
#include "nl.h"

struct event {
	struct sk_buff	*msg;
	void		*hdr;
	struct net	*net;
};

/* Return: false if nobody listens, or there is no memory. */
static bool event_begin(struct event *event, struct tcpseal_net *tn, u8 cmd)
{
	event->net = tn->net;
	if (!genl_has_listeners(&tcpseal_nl_family, tn->net,
				TCPSEAL_NLGRP_EVENTS))
		return false;
	event->msg = genlmsg_new(GENLMSG_DEFAULT_SIZE, GFP_ATOMIC);
	if (!event->msg)
		return false;
	event->hdr = genlmsg_put(event->msg, 0, 0, &tcpseal_nl_family, 0, cmd);
	if (event->hdr)
		return true;
	nlmsg_free(event->msg);
	return false;
}

static void event_end(struct event *event, bool failed)
{
	if (failed) {
		nlmsg_free(event->msg);
		return;
	}
	genlmsg_end(event->msg, event->hdr);
	genlmsg_multicast_netns(&tcpseal_nl_family, event->net, event->msg, 0,
				TCPSEAL_NLGRP_EVENTS, GFP_ATOMIC);
}

static bool put_addrs(struct sk_buff *msg, const struct tcpseal_addrs *a)
{
	return tcpseal_nl_put_addr(msg, TCPSEAL_A_EVENT_LOCAL, a->family,
				   &a->local) ||
	       tcpseal_nl_put_addr(msg, TCPSEAL_A_EVENT_REMOTE, a->family,
				   &a->remote);
}

void tcpseal_notify_acquire(struct tcpseal_pair *pair, u32 why, __be32 spi)
{
	struct event event;

	if (!event_begin(&event, pair->tn, TCPSEAL_CMD_ACQUIRE_NTF))
		return;
	event_end(&event, put_addrs(event.msg, &pair->key) ||
		  nla_put_u32(event.msg, TCPSEAL_A_EVENT_WHY, why) ||
		  (spi && nla_put_u32(event.msg, TCPSEAL_A_EVENT_SPI,
				      be32_to_cpu(spi))));
}

void tcpseal_notify_expire(struct tcpseal_sa *sa, u32 why, bool hard)
{
	struct event event;

	if (!event_begin(&event, sa->tn, TCPSEAL_CMD_EXPIRE_NTF))
		return;
	event_end(&event, put_addrs(event.msg, &sa->pair->key) ||
		  nla_put_u32(event.msg, TCPSEAL_A_EVENT_SPI,
			      be32_to_cpu(sa->spi)) ||
		  nla_put_u32(event.msg, TCPSEAL_A_EVENT_DIR, sa->dir) ||
		  nla_put_u32(event.msg, TCPSEAL_A_EVENT_WHY, why) ||
		  (hard && nla_put_flag(event.msg, TCPSEAL_A_EVENT_HARD)) ||
		  tcpseal_nl_put_u64(event.msg, TCPSEAL_A_EVENT_GENERATION,
				     sa->generation));
}

/* RCU: what is live when looked at keeps its names till the end of it. */
static bool put_offender(struct sk_buff *msg, const struct tcpseal_sa *sa)
{
	const struct tcpseal_sa_info *info = NULL;

	if (READ_ONCE(sa->state) != TCPSEAL_SA_STATE_TOMBSTONE)
		info = sa->info;

	return nla_put_u32(msg, TCPSEAL_A_EVENT_SPI, be32_to_cpu(sa->spi)) ||
	       (info && info->name[0] &&
		nla_put_string(msg, TCPSEAL_A_EVENT_CERT_NAME, info->name));
}

void tcpseal_notify_tamper(struct tcpseal_net *tn, struct tcpseal_pair *pair,
			   struct tcpseal_sa *sa,
			   const struct tcpseal_addrs *a, u32 reason,
			   u64 count)
{
	struct event event;

	if (!event_begin(&event, tn, TCPSEAL_CMD_TAMPER_NTF))
		return;
	if (!pair && sa)
		pair = sa->pair;
	event_end(&event, (pair && put_addrs(event.msg, &pair->key)) ||
		  (sa && put_offender(event.msg, sa)) ||
		  (a && (tcpseal_nl_put_addr(event.msg, TCPSEAL_A_EVENT_SRC,
					     a->family, &a->remote) ||
			 tcpseal_nl_put_addr(event.msg, TCPSEAL_A_EVENT_DST,
					     a->family, &a->local))) ||
		  nla_put_u32(event.msg, TCPSEAL_A_EVENT_REASON, reason) ||
		  tcpseal_nl_put_u64(event.msg, TCPSEAL_A_EVENT_COUNT, count));
}

/* tn->lock. */
void tcpseal_notify_pair(struct tcpseal_pair *pair, u32 state)
{
	bool sticky = test_bit(TCPSEAL_PAIR_STICKY, &pair->bits);
	struct event event;
	struct sk_buff *msg;

	if (!event_begin(&event, pair->tn, TCPSEAL_CMD_PAIR_NTF))
		return;
	msg = event.msg;
	event_end(&event, tcpseal_nl_put_addr(msg, TCPSEAL_A_PAIR_LOCAL,
					      pair->key.family,
					      &pair->key.local) ||
		  tcpseal_nl_put_addr(msg, TCPSEAL_A_PAIR_REMOTE,
				      pair->key.family, &pair->key.remote) ||
		  nla_put_u32(msg, TCPSEAL_A_PAIR_STATE, state) ||
		  nla_put_u32(msg, TCPSEAL_A_PAIR_FLAGS,
			      sticky ? TCPSEAL_PAIR_FLAG_STICKY : 0) ||
		  (sticky &&
		   tcpseal_nl_put_u64(msg, TCPSEAL_A_PAIR_STICKY_SINCE,
				      pair->sticky_since)) ||
		  (pair->identity &&
		   nla_put_string(msg, TCPSEAL_A_PAIR_IDENTITY,
				  pair->identity)));
}

void tcpseal_notify_link(struct tcpseal_net *tn,
			 const struct tcpseal_link *link, bool removed)
{
	struct event event;

	if (!event_begin(&event, tn, TCPSEAL_CMD_LINK_NTF))
		return;
	event_end(&event, tcpseal_nl_put_link(event.msg, link, removed ?
					      TCPSEAL_MODE_NONE : link->mode));
}
