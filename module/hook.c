// SPDX-License-Identifier: GPL-2.0-only
/*
 * Netfilter hooks: who is asked, where, and what the verdicts mean there.
 *
 * Opening comes right behind defragmentation and before raw and conntrack, so
 * everything above sees the plain segment. Sealing comes behind everything at
 * POST_ROUTING, conntrack's confirmation with its helpers and sequence
 * adjustment at INT_MAX included. No priority gives that: among equals, the
 * hook registered last runs first. So the hook looks whether it is the last;
 * if not, it runs the rest itself, with an okfn that seals. At LOCAL_OUT, behind
 * everything that may change the route, is a look at routes that lead past
 * POST_ROUTING.
 */
#include <linux/netfilter_bridge.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6.h>
#include <linux/rcupdate.h>
#include "bypass.h"

static const struct nf_hook_entries *
hook_entries(const struct nf_hook_state *state)
{
	const struct netns_nf *nf = &state->net->nf;

	if (state->pf == NFPROTO_IPV4)
		return rcu_dereference(nf->hooks_ipv4[state->hook]);
	return rcu_dereference(nf->hooks_ipv6[state->hook]);
}

static nf_hookfn tcpseal_out, tcpseal_in;

/* Our place among the hooks; the number of hooks when we are not there. */
static unsigned int hook_index(const struct nf_hook_entries *e,
			       const struct nf_hook_state *state)
{
	nf_hookfn *fn = state->hook == NF_INET_POST_ROUTING ? tcpseal_out :
							      tcpseal_in;
	unsigned int i;

	if (!e)
		return 0;
	for (i = 0; i < e->num_hook_entries; i++)
		if (e->hooks[i].hook == fn)
			break;
	return i;
}

/**
 * tcpseal_is_last() - does no hook come behind ours?
 * @state: of our hook
 *
 * Context: RCU.
 */
bool tcpseal_is_last(const struct nf_hook_state *state)
{
	const struct nf_hook_entries *e = hook_entries(state);

	return !e || hook_index(e, state) + 1 >= e->num_hook_entries;
}

/* Run the hooks behind ours, then @okfn. Consumes @skb. RCU. */
static void hook_rest(struct sk_buff *skb, const struct nf_hook_state *state,
		      int (*okfn)(struct net *, struct sock *,
				  struct sk_buff *))
{
	const struct nf_hook_entries *e = hook_entries(state);
	unsigned int next = hook_index(e, state) + 1;
	struct nf_hook_state rest = *state;

	rest.okfn = okfn;
	if (!e || next >= e->num_hook_entries ||
	    nf_hook_slow(skb, &rest, e, next) == 1)
		okfn(state->net, state->sk, skb);
}

/**
 * tcpseal_rest() - let an skb go on behind our hook
 * @skb: consumed
 * @state: of our hook; devices in it are held by the caller
 *
 * For what does not go on by the hook's return: pieces of a split, results
 * of asynchronous requests. Through the rest of the chain, never straight to
 * its end.
 *
 * Context: BH off, RCU.
 */
void tcpseal_rest(struct sk_buff *skb, const struct nf_hook_state *state)
{
	hook_rest(skb, state, state->okfn);
}

/**
 * tcpseal_rest_then_seal() - the hooks behind ours first, then seal
 * @skb: consumed
 * @state: of our hook at POST_ROUTING
 *
 * Context: BH off, RCU.
 */
void tcpseal_rest_then_seal(struct sk_buff *skb,
			    const struct nf_hook_state *state)
{
	hook_rest(skb, state, tcpseal_egress_again);
}

/*
 * What is never linked: loopback; the passes on an l3 master, because the
 * packet passes the hooks on its real device as well.
 */
static bool hook_ignores(const struct net_device *dev)
{
	return dev->flags & IFF_LOOPBACK || netif_is_l3_master(dev);
}

/*
 * br_netfilter shows bridged frames. At POST_ROUTING they are in transit. At
 * PRE_ROUTING the bridge pass is the only one for frames to the bridge's own
 * address; all others are in transit.
 */
static bool hook_transit(const struct sk_buff *skb,
			 const struct nf_hook_state *state)
{
#if IS_ENABLED(CONFIG_BRIDGE_NETFILTER)
	const struct nf_bridge_info *info = nf_bridge_info_get(skb);

	if (!info)
		return false;
	if (state->hook == NF_INET_POST_ROUTING)
		return info->physoutdev;
	return !ether_addr_equal(eth_hdr(skb)->h_dest, state->in->dev_addr);
#else
	return false;
#endif
}

/* The one place where verdicts become netfilter's. */
static unsigned int hook_verdict(enum tcpseal_verdict verdict)
{
	switch (verdict) {
	case TCPSEAL_ACCEPT:
		return NF_ACCEPT;
	case TCPSEAL_STOLEN:
		return NF_STOLEN;
	case TCPSEAL_DROP:
		break;
	}
	return NF_DROP;
}

static unsigned int tcpseal_out(void *priv, struct sk_buff *skb,
				const struct nf_hook_state *state)
{
	enum tcpseal_verdict verdict;

	if (hook_ignores(state->out) || hook_transit(skb, state))
		return NF_ACCEPT;
	local_bh_disable();
	verdict = tcpseal_egress(tcpseal_net(state->net), skb, state);
	local_bh_enable();
	return hook_verdict(verdict);
}

static unsigned int tcpseal_in(void *priv, struct sk_buff *skb,
			       const struct nf_hook_state *state)
{
	enum tcpseal_verdict verdict;

	if (hook_ignores(state->in) || hook_transit(skb, state))
		return NF_ACCEPT;
	local_bh_disable();
	verdict = tcpseal_ingress(tcpseal_net(state->net), skb, state);
	local_bh_enable();
	return hook_verdict(verdict);
}

static unsigned int tcpseal_local_out(void *priv, struct sk_buff *skb,
				      const struct nf_hook_state *state)
{
	enum tcpseal_verdict verdict;

	if (likely(!tcpseal_bypass_route(skb)))
		return NF_ACCEPT;
	local_bh_disable();
	verdict = tcpseal_egress_redirect(tcpseal_net(state->net), skb, state);
	local_bh_enable();
	return hook_verdict(verdict);
}

const struct nf_hook_ops tcpseal_hook_ops4[TCPSEAL_HOOKS] = {
	{
		.hook		= tcpseal_in,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_PRE_ROUTING,
		.priority	= NF_IP_PRI_CONNTRACK_DEFRAG + 1,
	}, {
		.hook		= tcpseal_local_out,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_LOCAL_OUT,
		.priority	= NF_IP_PRI_LAST,
	}, {
		.hook		= tcpseal_out,
		.pf		= NFPROTO_IPV4,
		.hooknum	= NF_INET_POST_ROUTING,
		.priority	= NF_IP_PRI_LAST,
	},
};

const struct nf_hook_ops tcpseal_hook_ops6[TCPSEAL_HOOKS] = {
	{
		.hook		= tcpseal_in,
		.pf		= NFPROTO_IPV6,
		.hooknum	= NF_INET_PRE_ROUTING,
		.priority	= NF_IP6_PRI_CONNTRACK_DEFRAG + 1,
	}, {
		.hook		= tcpseal_local_out,
		.pf		= NFPROTO_IPV6,
		.hooknum	= NF_INET_LOCAL_OUT,
		.priority	= NF_IP6_PRI_LAST,
	}, {
		.hook		= tcpseal_out,
		.pf		= NFPROTO_IPV6,
		.hooknum	= NF_INET_POST_ROUTING,
		.priority	= NF_IP6_PRI_LAST,
	},
};
