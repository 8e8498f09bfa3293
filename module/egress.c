// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a segment on its way out: policy, pair, promise table, key,
 * seal. The columns and rows named in comments are those of the promise table
 * in Documentation/protocol.rst.
 */
#include <linux/netfilter.h>
#include <net/addrconf.h>
#include <net/route.h>
#include "audit.h"
#include "bypass.h"
#include "ctrl.h"
#include "hold.h"
#include "mtu.h"
#include "sa.h"
#include "seal.h"
#include "stats.h"

/*
 * Which link covers an outgoing segment, and is it for us to seal? From a
 * local socket; from a device that a forwarding link calls inside; or sent on
 * in the name of this host (masquerading, answers behind DNAT or IPVS): to the
 * peer that is one of its segments. Other transit traffic belongs to others.
 */
static struct tcpseal_link *egress_link(struct tcpseal_net *tn,
					const struct sk_buff *skb,
					const struct tcpseal_addrs *a)
{
	struct tcpseal_link *link = tcpseal_link_lookup(tn, a);
	const struct dst_entry *dst = skb_dst(skb);

	if (!link || !skb->skb_iif ||
	    tcpseal_link_inside(link, skb->skb_iif))
		return link;
	/* the device knows which VRF's addresses count */
	return tcpseal_is_local(tn->net, dst ? dst->dev : NULL, a) ? link :
								     NULL;
}

/* Row "TCP out", column "pair is plain". */
static enum tcpseal_verdict egress_plain(struct tcpseal_net *tn,
					 struct tcpseal_pair *pair,
					 const struct sk_buff *skb,
					 const struct tcpseal_seg *seg)
{
	const struct tcpseal_link *link = rcu_dereference(pair->link);
	unsigned int segs = tcpseal_segs(skb);

	atomic64_add(segs, &pair->plain_out);
	atomic64_add(seg->payload, &pair->plain_out_bytes);
	tcpseal_count(tn, link, TCPSEAL_T_PLAIN_OUT, segs);
	tcpseal_count(tn, link, TCPSEAL_T_PLAIN_OUT_BYTES, seg->payload);
	tcpseal_audit(tn, link, skb, seg, true);
	if (link && link->mode >= TCPSEAL_MODE_AUDIT &&
	    !rcu_access_pointer(pair->tx))
		tcpseal_pair_acquire(pair, TCPSEAL_ACQUIRE_WHY_TRAFFIC);
	return TCPSEAL_ACCEPT;
}

/* No key for a segment that must be sealed: hold it, or drop it at once. */
static enum tcpseal_verdict egress_no_key(struct tcpseal_net *tn,
					  struct tcpseal_pair *pair,
					  struct sk_buff *skb,
					  struct sock *sk)
{
	if (tcpseal_pair_acquire(pair, TCPSEAL_ACQUIRE_WHY_TRAFFIC))
		tcpseal_hold(tn, pair, skb, sk);
	else
		tcpseal_hold_refuse(tn, pair, skb, sk, TCPSEAL_DROP_NO_KEY);
	return TCPSEAL_STOLEN;
}

/*
 * Behind all other hooks: nothing changes the segment any more. Decide and do.
 */
static enum tcpseal_verdict egress_decide(struct tcpseal_net *tn,
					  struct tcpseal_pair *pair,
					  struct sk_buff *skb,
					  struct tcpseal_seg *seg,
					  const struct tcpseal_addrs *a,
					  struct sock *sk)
{
	struct tcpseal_sa *sa;

	switch (tcpseal_pair_demand(pair)) {
	case TCPSEAL_MAY_PLAIN:
		return egress_plain(tn, pair, skb, seg);
	case TCPSEAL_MUST_SEAL:
		sa = rcu_dereference(pair->tx);
		if (!sa)
			return egress_no_key(tn, pair, skb, sk);
		if (tcpseal_sa_may_seal(sa, seg->payload))
			return tcpseal_seal(tn, sa, skb, seg, a, sk);
		tcpseal_pair_acquire(pair, TCPSEAL_ACQUIRE_WHY_REKEY);
		tcpseal_drop(tn, pair, NULL, NULL, skb, TCPSEAL_DROP_EXPIRED,
			     tcpseal_segs(skb));
		return TCPSEAL_DROP;
	case TCPSEAL_MUST_BLOCK:
		tcpseal_pair_acquire(pair, TCPSEAL_ACQUIRE_WHY_TRAFFIC);
		tcpseal_hold_refuse(tn, pair, skb, sk, TCPSEAL_DROP_BLOCKED);
		return TCPSEAL_STOLEN;
	}
	return TCPSEAL_DROP;
}

/*
 * The usual case at one look-up: a pair whose key is just these addresses and
 * whose link is the most specific one for them. A pair without a link, or one
 * that stands for a gateway, says nothing about them.
 */
static struct tcpseal_pair *egress_exact(struct tcpseal_net *tn,
					 const struct tcpseal_addrs *a)
{
	struct tcpseal_pair *pair = tcpseal_pair_find(tn, a, NULL);
	const struct tcpseal_link *link;

	if (!pair)
		return NULL;
	link = rcu_dereference(pair->link);
	if (!link || link->has_via ||
	    link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		return NULL;
	return pair;
}

/*
 * Not from a local socket. Return: false, counted, for a segment of a flow
 * that a flowtable sends on in plain.
 */
static bool egress_forwarded(struct tcpseal_net *tn,
			     const struct tcpseal_link *link,
			     const struct sk_buff *skb,
			     const struct tcpseal_addrs *a)
{
	if (link->mode == TCPSEAL_MODE_CLEAR || tcpseal_bypass_keep(tn, skb) ||
	    link->mode != TCPSEAL_MODE_REQUIRE)
		return true;
	tcpseal_drop(tn, NULL, NULL, a, skb, TCPSEAL_DROP_BYPASS,
		     tcpseal_segs(skb));
	return false;
}

/* The pair of an outgoing segment; @pass says what to do without one. */
static struct tcpseal_pair *egress_pair(struct tcpseal_net *tn,
					const struct sk_buff *skb,
					const struct tcpseal_seg *seg,
					const struct tcpseal_addrs *a,
					enum tcpseal_verdict *pass)
{
	struct tcpseal_pair *pair = NULL;
	struct tcpseal_link *link;

	*pass = TCPSEAL_ACCEPT;
	if (!skb->skb_iif)
		pair = egress_exact(tn, a);
	if (pair)
		return pair;
	link = egress_link(tn, skb, a);
	if (!link)
		return NULL;
	if (skb->skb_iif && !egress_forwarded(tn, link, skb, a)) {
		*pass = TCPSEAL_DROP;
		return NULL;
	}
	if (link->mode != TCPSEAL_MODE_CLEAR)
		pair = tcpseal_pair_make(tn, a, link);
	if (pair)
		return pair;
	if (link->mode != TCPSEAL_MODE_REQUIRE) {
		tcpseal_count(tn, link, TCPSEAL_T_PLAIN_OUT,
			      tcpseal_segs(skb));
		tcpseal_count(tn, link, TCPSEAL_T_PLAIN_OUT_BYTES,
			      seg->payload);
		/* Of fragments there are no ports */
		if (seg->hlen)
			tcpseal_audit(tn, link, skb, seg, true);
		return NULL;
	}
	tcpseal_drop(tn, NULL, NULL, a, skb, TCPSEAL_DROP_NO_PAIR,
		     tcpseal_segs(skb));
	*pass = TCPSEAL_DROP;
	return NULL;
}

/**
 * tcpseal_egress_again() - the whole egress decision for an skb of ours
 * @net: namespace
 * @sk: socket of the hook
 * @skb: went through all hooks of POST_ROUTING; consumed
 *
 * The continuation behind other hooks, and of held segments. Also an okfn, so
 * an NFQUEUE behind us cannot release plaintext.
 *
 * Return: 0, for callers that want an okfn.
 */
int tcpseal_egress_again(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	u16 family = skb->protocol == htons(ETH_P_IPV6) ? AF_INET6 : AF_INET;
	struct tcpseal_net *tn = tcpseal_net(net);
	enum tcpseal_verdict verdict = TCPSEAL_DROP;
	struct tcpseal_pair *pair;
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;

	local_bh_disable();
	rcu_read_lock();
	if (!skb_dst(skb) || READ_ONCE(tn->dying) ||
	    tcpseal_parse(skb, family, &seg) != TCPSEAL_IS_TCP) {
		tcpseal_drop(tn, NULL, NULL, NULL, skb, TCPSEAL_DROP_TEARDOWN,
			     tcpseal_segs(skb));
	} else {
		tcpseal_seg_addrs(skb, &seg, true, &a);
		pair = egress_pair(tn, skb, &seg, &a, &verdict);
		if (pair)
			verdict = egress_decide(tn, pair, skb, &seg, &a, sk);
	}
	if (verdict == TCPSEAL_ACCEPT)
		tcpseal_xmit(net, sk, skb);
	else if (verdict == TCPSEAL_DROP)
		kfree_skb(skb);
	rcu_read_unlock();
	local_bh_enable();
	return 0;
}

/* TCP that is a fragment, source routed or broken: refused by name. */
static enum tcpseal_verdict egress_odd(struct tcpseal_net *tn,
				       struct sk_buff *skb,
				       const struct tcpseal_seg *seg,
				       const struct tcpseal_addrs *a,
				       enum tcpseal_shape shape)
{
	static const enum tcpseal_drop why[] = {
		[TCPSEAL_IS_FRAGMENT]	= TCPSEAL_DROP_FRAGMENT,
		[TCPSEAL_IS_ROUTED]	= TCPSEAL_DROP_SOURCE_ROUTE,
		[TCPSEAL_IS_BROKEN]	= TCPSEAL_DROP_HEADER,
	};
	enum tcpseal_verdict verdict;
	struct tcpseal_pair *pair;

	pair = egress_pair(tn, skb, seg, a, &verdict);
	if (!pair)
		return verdict;
	if (tcpseal_pair_demand(pair) == TCPSEAL_MAY_PLAIN)
		return TCPSEAL_ACCEPT;
	tcpseal_drop(tn, pair, NULL, a, skb, why[shape], 1);
	return TCPSEAL_DROP;
}

/* Everything but TCP: counted where a link covers it, refused if it says so. */
static enum tcpseal_verdict egress_nontcp(struct tcpseal_net *tn,
					  struct sk_buff *skb,
					  const struct tcpseal_seg *seg,
					  const struct tcpseal_addrs *a)
{
	struct tcpseal_link *link = egress_link(tn, skb, a);

	if (!link)
		return TCPSEAL_ACCEPT;
	tcpseal_count(tn, link, TCPSEAL_T_NONTCP_OUT_BYTES, skb->len);
	if (!(link->flags & TCPSEAL_LINK_FLAG_NONTCP_DROP) ||
	    tcpseal_nontcp_vital(skb, seg))
		return TCPSEAL_ACCEPT;
	tcpseal_drop(tn, NULL, NULL, a, skb, TCPSEAL_DROP_NONTCP, 1);
	return TCPSEAL_DROP;
}

/*
 * What both looks at an outgoing packet begin with. Return: the pair of a TCP
 * segment that must not leave in plain; or NULL, with the verdict on all else.
 */
static struct tcpseal_pair *egress_begin(struct tcpseal_net *tn,
					 struct sk_buff *skb,
					 const struct nf_hook_state *state,
					 struct tcpseal_seg *seg,
					 struct tcpseal_addrs *a,
					 enum tcpseal_verdict *verdict)
{
	u16 family = state->pf == NFPROTO_IPV4 ? AF_INET : AF_INET6;
	enum tcpseal_shape shape = tcpseal_parse(skb, family, seg);
	struct tcpseal_pair *pair;

	tcpseal_seg_addrs(skb, seg, true, a);
	switch (shape) {
	case TCPSEAL_IS_ICMP:
		*verdict = tcpseal_icmp_out(tn, skb, seg);
		if (*verdict == TCPSEAL_ACCEPT)
			*verdict = egress_nontcp(tn, skb, seg, a);
		return NULL;
	case TCPSEAL_IS_OTHER:
		if (skb->skb_iif &&
		    unlikely(tcpseal_bypass_wrapped(tn, skb, seg)))
			goto err_bypass;
		*verdict = egress_nontcp(tn, skb, seg, a);
		return NULL;
	case TCPSEAL_IS_TCP:
		break;
	default:
		*verdict = egress_odd(tn, skb, seg, a, shape);
		return NULL;
	}
	if (skb->skb_iif &&
	    unlikely(tcpseal_bypass_opened(tn, skb, seg, state->out)))
		goto err_bypass;
	pair = egress_pair(tn, skb, seg, a, verdict);
	if (pair && tcpseal_pair_demand(pair) == TCPSEAL_MAY_PLAIN) {
		*verdict = egress_plain(tn, pair, skb, seg);
		return NULL;
	}
	return pair;

err_bypass:
	tcpseal_drop(tn, NULL, NULL, a, skb, TCPSEAL_DROP_BYPASS,
		     tcpseal_segs(skb));
	*verdict = TCPSEAL_DROP;
	return NULL;
}

/**
 * tcpseal_egress() - a packet at POST_ROUTING
 * @tn: namespace
 * @skb: at its IP header
 * @state: of the hook
 *
 * Context: BH off, RCU. Return: the verdict.
 */
enum tcpseal_verdict tcpseal_egress(struct tcpseal_net *tn,
				    struct sk_buff *skb,
				    const struct nf_hook_state *state)
{
	enum tcpseal_verdict verdict;
	struct tcpseal_pair *pair;
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;

	pair = egress_begin(tn, skb, state, &seg, &a, &verdict);
	if (!pair)
		return verdict;
	if (tcpseal_ctrl_port(tn, tcpseal_th(skb, &seg)) &&
	    tcpseal_ctrl_out(tn, pair, &a, skb, tcpseal_th(skb, &seg))) {
		tcpseal_note(tn, TCPSEAL_NOTE_CTRL_PLAIN, 1);
		return TCPSEAL_ACCEPT;
	}
	if (tcpseal_is_last(state))
		return egress_decide(tn, pair, skb, &seg, &a, state->sk);
	tcpseal_rest_then_seal(skb, state);
	return TCPSEAL_STOLEN;
}

/**
 * tcpseal_egress_redirect() - a packet that may never see POST_ROUTING
 * @tn: namespace
 * @skb: at its IP header, at LOCAL_OUT; its route leads past POST_ROUTING
 * @state: of the hook
 *
 * Nothing can be sealed here: the promise table, with a drop in the place of
 * sealing.
 *
 * Context: BH off, RCU. Return: the verdict.
 */
enum tcpseal_verdict tcpseal_egress_redirect(struct tcpseal_net *tn,
					     struct sk_buff *skb,
					     const struct nf_hook_state *state)
{
	enum tcpseal_verdict verdict;
	struct tcpseal_pair *pair;
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;

	pair = egress_begin(tn, skb, state, &seg, &a, &verdict);
	if (!pair)
		return verdict;
	tcpseal_hold_refuse(tn, pair, skb, state->sk, TCPSEAL_DROP_BYPASS);
	return TCPSEAL_STOLEN;
}
