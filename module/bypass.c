// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tripwires: ways by which plaintext would leave past the hooks.
 *
 * A flowtable takes established flows from device to device and shows them to
 * no hook but its own. The route of a lightweight tunnel may take a packet
 * away between LOCAL_OUT and POST_ROUTING. And what was opened for this host
 * may be sent on by others (IPVS direct routing and tunnelling, nft dup).
 */
#include <linux/inetdevice.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/module.h>
#include <net/addrconf.h>
#include <net/lwtunnel.h>
#include <net/netfilter/nf_conntrack.h>
#include <net/netfilter/nf_flow_table.h>
#include "bypass.h"
#include "stats.h"

/**
 * tcpseal_bypass_opened() - would an opened segment leave again, in plain?
 * @tn: namespace
 * @skb: TCP at POST_ROUTING, not from a local socket
 * @seg: its shape
 * @out: device it leaves by
 *
 * On its way out it has the addresses of an incoming segment.
 *
 * Context: RCU. Return: true under a link that requires sealing, if @out is
 * not an inside device.
 */
bool tcpseal_bypass_opened(struct tcpseal_net *tn, const struct sk_buff *skb,
			   const struct tcpseal_seg *seg,
			   const struct net_device *out)
{
	struct tcpseal_link *link;
	struct tcpseal_addrs a;

	tcpseal_seg_addrs(skb, seg, false, &a);
	link = tcpseal_link_lookup(tn, &a);
	if (!link || link->mode != TCPSEAL_MODE_REQUIRE)
		return false;
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		return !tcpseal_link_inside(link, out->ifindex) &&
		       !tcpseal_link_inside(link, skb->skb_iif);
	return tcpseal_is_local(tn->net, NULL, &a);
}

/* Addresses of TCP in IPIP as if it came in; false for all else. */
static bool wrapped_addrs(const struct sk_buff *skb,
			  const struct tcpseal_seg *seg,
			  struct tcpseal_addrs *a)
{
	unsigned int off = seg->family == AF_INET ? ip_hdrlen(skb) :
						    seg->thoff;
	const struct ipv6hdr *ip6h;
	const struct iphdr *iph;
	struct ipv6hdr _ip6h;
	struct iphdr _iph;

	memset(a, 0, sizeof(*a));
	if (seg->proto == IPPROTO_IPIP) {
		iph = skb_header_pointer(skb, off, sizeof(_iph), &_iph);
		if (!iph || iph->protocol != IPPROTO_TCP)
			return false;
		a->family = AF_INET;
		a->local.ip = iph->daddr;
		a->remote.ip = iph->saddr;
		return true;
	}
	ip6h = skb_header_pointer(skb, off, sizeof(_ip6h), &_ip6h);
	if (!ip6h || ip6h->nexthdr != NEXTHDR_TCP)
		return false;
	a->family = AF_INET6;
	a->local.in6 = ip6h->daddr;
	a->remote.in6 = ip6h->saddr;
	return true;
}

/**
 * tcpseal_bypass_wrapped() - the same for an opened segment inside IPIP
 * @tn: namespace
 * @skb: not TCP, at POST_ROUTING, not from a local socket
 * @seg: its shape
 *
 * IPVS tunnels what is for an address of this host to another one.
 *
 * Context: RCU. Return: true under a link that requires sealing.
 */
bool tcpseal_bypass_wrapped(struct tcpseal_net *tn, const struct sk_buff *skb,
			    const struct tcpseal_seg *seg)
{
	struct tcpseal_link *link;
	struct tcpseal_addrs a;

	if ((seg->proto != IPPROTO_IPIP && seg->proto != IPPROTO_IPV6) ||
	    !wrapped_addrs(skb, seg, &a))
		return false;
	link = tcpseal_link_lookup(tn, &a);
	return link && link->mode == TCPSEAL_MODE_REQUIRE &&
	       tcpseal_is_local(tn->net, NULL, &a);
}

/**
 * tcpseal_bypass_route() - does a route lead past POST_ROUTING?
 * @skb: at LOCAL_OUT
 *
 * Some tunnels give the segment to POST_ROUTING after all, but none of them
 * promises it.
 *
 * Context: RCU. Return: true if a lightweight tunnel takes over at the output.
 */
bool tcpseal_bypass_route(const struct sk_buff *skb)
{
	const struct dst_entry *dst = skb_dst(skb);

	return dst && lwtunnel_output_redirect(dst->lwtstate);
}

#if IS_ENABLED(CONFIG_NF_CONNTRACK)
/**
 * tcpseal_bypass_keep() - keep a forwarded flow out of flowtables
 * @tn: namespace
 * @skb: sent on under a link, at POST_ROUTING
 *
 * A flowtable takes a flow when both directions have been seen, so one of its
 * segments has been here before. It leaves alone what has the mark of a NAT
 * clash, which means nothing else for TCP.
 *
 * Context: BH off, RCU. Return: false if a flowtable has the flow already; it
 * is being taken back, and what did not come by here was not sealed.
 */
bool tcpseal_bypass_keep(struct tcpseal_net *tn, const struct sk_buff *skb)
{
	enum ip_conntrack_info ctinfo;
	struct nf_conn *ct = nf_ct_get(skb, &ctinfo);

	if (!ct)
		return true;
	if (unlikely(test_bit(IPS_OFFLOAD_BIT, &ct->status))) {
		if (!READ_ONCE(tn->dying))
			queue_work(tcpseal_wq, &tn->recall);
		return false;
	}
	if (!test_bit(IPS_NAT_CLASH_BIT, &ct->status))
		set_bit(IPS_NAT_CLASH_BIT, &ct->status);
	return true;
}

/*
 * Whoever sends to the source of @dir, does a link seal that for him? Or for
 * this host, in whose name he sends?
 */
static bool conn_covered(struct tcpseal_net *tn, const struct nf_conn *ct,
			 enum ip_conntrack_dir dir)
{
	const struct nf_conntrack_tuple *tuple = &ct->tuplehash[dir].tuple;
	const struct tcpseal_link *link;
	struct tcpseal_addrs a = {
		.local	= tuple->dst.u3,
		.remote	= tuple->src.u3,
		.family	= nf_ct_l3num(ct),
	};

	link = tcpseal_link_lookup(tn, &a);
	if (!link || link->mode == TCPSEAL_MODE_CLEAR)
		return false;
	return link->flags & TCPSEAL_LINK_FLAG_FORWARD ||
	       tcpseal_is_local(tn->net, NULL, &a);
}

/* Addresses may be translated: each direction as it leaves for outside. */
static int conn_bypasses(struct nf_conn *ct, void *data)
{
	struct tcpseal_net *tn = data;
	bool ret;

	if (!test_bit(IPS_OFFLOAD_BIT, &ct->status))
		return false;
	rcu_read_lock();
	ret = conn_covered(tn, ct, IP_CT_DIR_ORIGINAL) ||
	      conn_covered(tn, ct, IP_CT_DIR_REPLY);
	rcu_read_unlock();
	if (ret)
		tcpseal_note(tn, TCPSEAL_NOTE_FLOW_RECALLED, 1);
	return ret;
}

/*
 * Nobody has them where their module is not there. One that comes later finds
 * the conntrack entries marked.
 */
static bool any_flowtable(void)
{
#if IS_ENABLED(CONFIG_NF_FLOW_TABLE)
	if (symbol_get(nf_flow_table_init)) {
		symbol_put(nf_flow_table_init);
		return true;
	}
#endif
	return false;
}

/* Flowtables have flows where packets are forwarded only. */
static bool any_forwarding(struct net *net)
{
	const struct inet6_dev *in6;
	struct in_device *in4;
	struct net_device *dev;
	bool ret = false;

	rcu_read_lock();
	for_each_netdev_rcu(net, dev) {
		in4 = __in_dev_get_rcu(dev);
		in6 = __in6_dev_get(dev);
		ret = (in4 && IN_DEV_FORWARD(in4)) ||
		      (in6 && READ_ONCE(in6->cnf.forwarding));
		if (ret)
			break;
	}
	rcu_read_unlock();
	return ret;
}

/**
 * tcpseal_bypass_recall() - take flows of links from flowtables
 * @tn: namespace; its links changed
 *
 * A flowtable lets go of a flow at once when its conntrack entry dies. The
 * connection goes on with a new one.
 *
 * Context: process, may sleep, tn->lock.
 */
void tcpseal_bypass_recall(struct tcpseal_net *tn)
{
	typeof(nf_ct_iterate_cleanup_net) *iterate;
	struct nf_ct_iter_data iter = { .net = tn->net, .data = tn };

	lockdep_assert_held(&tn->lock);
	/* Each change of links asks; all of conntrack may be long */
	if (!any_flowtable() || !any_forwarding(tn->net))
		return;
	/* tcpseal does without conntrack where nobody else loads it */
	iterate = symbol_get(nf_ct_iterate_cleanup_net);
	if (!iterate)
		return;
	iterate(conn_bypasses, &iter);
	symbol_put(nf_ct_iterate_cleanup_net);
}
#else
bool tcpseal_bypass_keep(struct tcpseal_net *tn, const struct sk_buff *skb)
{
	return true;
}

void tcpseal_bypass_recall(struct tcpseal_net *tn)
{
}
#endif

static void recall_work(struct work_struct *work)
{
	struct tcpseal_net *tn = container_of(work, struct tcpseal_net, recall);

	mutex_lock(&tn->lock);
	if (!tn->dying)
		tcpseal_bypass_recall(tn);
	mutex_unlock(&tn->lock);
}

void tcpseal_bypass_init(struct tcpseal_net *tn)
{
	INIT_WORK(&tn->recall, recall_work);
}

void tcpseal_bypass_exit(struct tcpseal_net *tn)
{
	cancel_work_sync(&tn->recall);
}
