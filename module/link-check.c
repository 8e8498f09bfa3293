// SPDX-License-Identifier: GPL-2.0-only
/*
 * What may not be configured: every refusal names what is in the way. All of it
 * in process context under tn->lock.
 */
#include <net/ipv6.h>

#include "link.h"
#include "netlink.h"

static bool overlap(u16 family, const union nf_inet_addr *a, u8 alen,
		    const union nf_inet_addr *b, u8 blen)
{
	return tcpseal_prefix_match(family, a, b, min(alen, blen));
}

static bool links_overlap(const struct tcpseal_link *a,
			  const struct tcpseal_link *b)
{
	return a->family == b->family &&
	       overlap(a->family, &a->local, a->local_len,
		       &b->local, b->local_len) &&
	       overlap(a->family, &a->remote, a->remote_len,
		       &b->remote, b->remote_len);
}

/* Two links that overlap: neither lies inside the other? */
static bool links_cross(const struct tcpseal_link *a,
			const struct tcpseal_link *b)
{
	return ((a->local_len < b->local_len && a->remote_len > b->remote_len) ||
		(a->local_len > b->local_len && a->remote_len < b->remote_len)) &&
	       links_overlap(a, b);
}

bool tcpseal_link_same_prefixes(const struct tcpseal_link *a,
				const struct tcpseal_link *b)
{
	return a->local_len == b->local_len &&
	       a->remote_len == b->remote_len && links_overlap(a, b);
}

/* Is @link exactly what two crossing links have in common? */
static bool is_intersection(const struct tcpseal_link *link,
			    const struct tcpseal_link *a,
			    const struct tcpseal_link *b)
{
	return link->local_len == max(a->local_len, b->local_len) &&
	       link->remote_len == max(a->remote_len, b->remote_len) &&
	       links_overlap(link, a) && links_overlap(link, b);
}

/**
 * tcpseal_link_shares() - may two links key with the same pair
 * @a: one link
 * @b: another one
 *
 * Plain links never do: where they overlap the inner one has the pair to
 * itself. Gateways, and hosts that seal for others, are one pair for all that
 * is behind them.
 *
 * Return: true if some pair may belong to both.
 */
bool tcpseal_link_shares(const struct tcpseal_link *a,
			 const struct tcpseal_link *b)
{
	bool forward = a->flags & TCPSEAL_LINK_FLAG_FORWARD;
	u8 full = a->family == AF_INET ? 32 : 128;

	if (a->family != b->family || a->mode == TCPSEAL_MODE_CLEAR ||
	    b->mode == TCPSEAL_MODE_CLEAR ||
	    (a->flags ^ b->flags) & TCPSEAL_LINK_FLAG_FORWARD)
		return false;
	if (!forward) {
		if (!a->has_via && !b->has_via)
			return false;
		if (!overlap(a->family, &a->local, a->local_len,
			     &b->local, b->local_len))
			return false;
	}
	return overlap(a->family, a->has_via ? &a->via : &a->remote,
		       a->has_via ? full : a->remote_len,
		       b->has_via ? &b->via : &b->remote,
		       b->has_via ? full : b->remote_len);
}

/* What decides who may have the key, and of which kind it is. */
static bool same_keying(const struct tcpseal_link *a,
			const struct tcpseal_link *b)
{
	return a->aead == b->aead && !strcmp(a->identity, b->identity) &&
	       !((a->flags ^ b->flags) & TCPSEAL_LINK_FLAG_KEYS_MANUAL);
}

/* Do the keys of a pair outlive its change from one link to another? */
bool tcpseal_link_keeps_keys(const struct tcpseal_link *old,
			     const struct tcpseal_link *link)
{
	unsigned int i;

	if (!same_keying(old, link) || old->has_via != link->has_via ||
	    (old->has_via && !nf_inet_addr_cmp(&old->via, &link->via)) ||
	    (old->flags ^ link->flags) & TCPSEAL_LINK_FLAG_FORWARD)
		return false;
	for (i = 0; i < old->nr_inside; i++)
		if (!tcpseal_link_inside(link, old->inside[i]))
			return false;
	return true;
}

static const char *bad_prefix4(__be32 ip, u8 len)
{
	if (len >= 8 && ipv4_is_loopback(ip))
		return "loopback is never linked";
	if (len >= 4 && ipv4_is_multicast(ip))
		return "multicast carries no TCP";
	if (len == 32 && ipv4_is_lbcast(ip))
		return "broadcast carries no TCP";
	if (len == 32 && ipv4_is_zeronet(ip))
		return "the unspecified address has no traffic";
	return NULL;
}

static const char *bad_prefix6(const struct in6_addr *ip, u8 len)
{
	if (len == 128 && ipv6_addr_loopback(ip))
		return "loopback is never linked";
	if (len >= 8 && ipv6_addr_is_multicast(ip))
		return "multicast carries no TCP";
	if (len >= 10 && ipv6_addr_type(ip) & IPV6_ADDR_LINKLOCAL)
		return "link-local addresses mean another host on each device";
	if (len >= 96 && ipv6_addr_v4mapped(ip))
		return "IPv4-mapped addresses are IPv4 on the wire";
	if (len == 128 && ipv6_addr_any(ip))
		return "the unspecified address has no traffic";
	return NULL;
}

static int prefix_check(u16 family, const union nf_inet_addr *a, u8 len,
			const char *which, struct netlink_ext_ack *extack)
{
	union nf_inet_addr masked = {};
	const char *why;

	if (len > 8 * tcpseal_addr_len(family)) {
		tcpseal_nl_err(extack, "%s prefix is longer than %u bits", which,
			       8 * tcpseal_addr_len(family));
		return -EINVAL;
	}
	if (family == AF_INET)
		masked.ip = len ? a->ip & htonl(~0U << (32 - len)) : 0;
	else
		ipv6_addr_prefix(&masked.in6, &a->in6, len);
	if (!nf_inet_addr_cmp(&masked, a)) {
		tcpseal_nl_err(extack,
			       "%s prefix has bits set behind its length",
			       which);
		return -EINVAL;
	}
	why = family == AF_INET ? bad_prefix4(a->ip, len) :
				  bad_prefix6(&a->in6, len);
	if (why) {
		tcpseal_nl_err(extack, "%s prefix: %s", which, why);
		return -EINVAL;
	}
	return 0;
}

int tcpseal_link_check(const struct tcpseal_link *link,
		       struct netlink_ext_ack *extack)
{
	bool forward = link->flags & TCPSEAL_LINK_FLAG_FORWARD;
	bool manual = link->flags & TCPSEAL_LINK_FLAG_KEYS_MANUAL;
	int err;

	err = prefix_check(link->family, &link->local, link->local_len,
			   "local", extack);
	if (!err)
		err = prefix_check(link->family, &link->remote,
				   link->remote_len, "remote", extack);
	if (!err && link->has_via)
		err = prefix_check(link->family, &link->via,
				   8 * tcpseal_addr_len(link->family), "via",
				   extack);
	if (err)
		return err;
	if (link->has_via && !manual && !link->identity[0]) {
		NL_SET_ERR_MSG(extack,
			       "via needs the identity of the gateway, or else any host with a certificate could speak for the prefix");
		return -EINVAL;
	}
	if (forward && !link->nr_inside) {
		NL_SET_ERR_MSG(extack,
			       "forward needs at least one inside device");
		return -EINVAL;
	}
	if (!forward && link->nr_inside) {
		NL_SET_ERR_MSG(extack, "inside devices need forward");
		return -EINVAL;
	}
	if (overlap(link->family, &link->local, link->local_len,
		    &link->remote, link->remote_len) && forward) {
		NL_SET_ERR_MSG(extack,
			       "local and remote prefix of a forwarding link overlap");
		return -EINVAL;
	}
	return 0;
}

/* "10.0.0.0/8 - 10.1.0.0/16" for a message, with another @dash if need be. */
static void link_name(const struct tcpseal_link *link, const char *dash,
		      char *buf, size_t len)
{
	if (link->family == AF_INET)
		snprintf(buf, len, "%pI4/%u%s%pI4/%u", &link->local.ip,
			 link->local_len, dash, &link->remote.ip,
			 link->remote_len);
	else
		snprintf(buf, len, "%pI6c/%u%s%pI6c/%u", &link->local.in6,
			 link->local_len, dash, &link->remote.in6,
			 link->remote_len);
}

#define LINK_NAME_LEN	96

static int refuse(struct netlink_ext_ack *extack,
		  const struct tcpseal_link *link, const char *what)
{
	char name[LINK_NAME_LEN];

	link_name(link, " - ", name, sizeof(name));
	tcpseal_nl_err(extack, "%s %s", what, name);
	return -EINVAL;
}

/* Is the gateway of @a hidden from @b by a more specific link around it? */
static bool gateway_hidden(struct tcpseal_policy *policy,
			   const struct tcpseal_link *a,
			   const struct tcpseal_link *b)
{
	struct tcpseal_addrs gw = {
		.local = a->local, .remote = a->via, .family = a->family,
	};
	struct tcpseal_link *link;

	if (!a->has_via || b->has_via)
		return false;
	if (tcpseal_link_covers(a, &gw) &&
	    tcpseal_link_weight(a) > tcpseal_link_weight(b))
		return true;
	list_for_each_entry(link, &policy->links, list)
		if (link != b && link->local_len <= a->local_len &&
		    tcpseal_link_weight(link) > tcpseal_link_weight(b) &&
		    tcpseal_link_covers(link, &gw))
			return true;
	return false;
}

/*
 * Who proved to be the gateway of one link must not thereby speak for what is
 * behind another one that asks for more.
 */
int tcpseal_link_check_sharing(struct tcpseal_policy *policy,
			       const struct tcpseal_link *link,
			       struct netlink_ext_ack *extack)
{
	struct tcpseal_link *other;

	if (!tcpseal_link_sharer(link) && list_empty(&policy->sharers))
		return 0;
	list_for_each_entry(other, &policy->links, list)
		if (tcpseal_link_shares(link, other) &&
		    !tcpseal_link_same_prefixes(other, link) &&
		    !same_keying(link, other) &&
		    !gateway_hidden(policy, link, other) &&
		    !gateway_hidden(policy, other, link))
			return refuse(extack, other,
				      "identity, AEAD and kind of keys must be as in the link with the same gateway,");
	return 0;
}

/* A link that goes may have hidden gateways from a wider one. */
int tcpseal_link_check_unhiding(struct tcpseal_policy *policy,
				struct tcpseal_link *gone,
				struct netlink_ext_ack *extack)
{
	struct list_head *before = gone->list.prev;
	struct tcpseal_link *link;
	int err = 0;

	list_del(&gone->list);

	list_for_each_entry(link, &policy->sharers, sharer) {
		struct tcpseal_addrs gw = {
			.local = link->local, .remote = link->via,
			.family = link->family,
		};

		if (link == gone || !link->has_via ||
		    !tcpseal_link_covers(gone, &gw))
			continue;
		err = tcpseal_link_check_sharing(policy, link, extack);
		if (err)
			break;
	}
	list_add(&gone->list, before);
	return err;
}

int tcpseal_link_check_crossing(struct tcpseal_policy *policy,
				const struct tcpseal_link *link,
				struct netlink_ext_ack *extack)
{
	struct tcpseal_link *other, *third;
	bool settled;

	if (!tcpseal_link_may_cross(policy, link))
		return 0;
	list_for_each_entry(other, &policy->links, list) {
		if (!links_cross(link, other))
			continue;
		settled = false;
		list_for_each_entry(third, &policy->links, list)
			settled |= is_intersection(third, link, other);
		if (!settled)
			return refuse(extack, other,
				      "neither inside nor around the link that it overlaps, add their intersection first:");
	}
	return 0;
}

/* A link for the intersection of two crossing ones must stay. */
int tcpseal_link_check_leave(struct tcpseal_policy *policy,
			     const struct tcpseal_link *link,
			     struct netlink_ext_ack *extack)
{
	struct tcpseal_link *a, *b;

	if (!tcpseal_link_may_settle(policy, link))
		return 0;
	list_for_each_entry(a, &policy->links, list) {
		if (a == link || a->local_len > link->local_len ||
		    a->remote_len > link->remote_len ||
		    !links_overlap(a, link))
			continue;
		list_for_each_entry(b, &policy->links, list)
			if (b != link && links_cross(a, b) &&
			    is_intersection(link, a, b))
				return refuse(extack, a,
					      "the link settles what two crossing links have in common, remove one of them first:");
	}
	return 0;
}

int tcpseal_link_refuse_weaker(struct netlink_ext_ack *extack,
			       const struct tcpseal_link *link)
{
	refuse(extack, link,
	       "addresses that must be sealed would become weaker (weaken was not given):");
	return -EPERM;
}

/* Of several links in one request: which one does the message mean? */
void tcpseal_link_blame(struct netlink_ext_ack *extack,
			const struct tcpseal_link *link)
{
	char name[LINK_NAME_LEN];

	if (!extack || !extack->_msg)
		return;
	link_name(link, " ", name, sizeof(name));
	tcpseal_nl_err(extack, "%s: %s", name, extack->_msg);
}
