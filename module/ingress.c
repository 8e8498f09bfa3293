// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a segment on its way in: is it sealed, by which SA, open it; or
 * is it plain, and may it be? The mirror of egress.c.
 */
#include "audit.h"
#include "ctrl.h"
#include "mtu.h"
#include "sa.h"
#include "seal.h"
#include "stats.h"

/*
 * Does the link speak of this incoming packet? It arrives for an address of
 * this machine; on a forwarding link, on an outside device.
 */
static bool ingress_ours(struct tcpseal_net *tn,
			 const struct tcpseal_link *link,
			 const struct tcpseal_addrs *a,
			 const struct net_device *in)
{
	if (link->flags & TCPSEAL_LINK_FLAG_FORWARD)
		return !tcpseal_link_inside(link, in->ifindex);
	return tcpseal_is_local(tn->net, in, a);
}

/* What the promise table demands of a segment that came in. */
struct ingress_want {
	struct tcpseal_link	*link;
	struct tcpseal_pair	*pair;	/* may be NULL: none yet */
	enum tcpseal_demand	demand;
};

/* Return: false when no link speaks of the segment. */
static bool ingress_want(struct tcpseal_net *tn, const struct tcpseal_addrs *a,
			 const struct net_device *in, struct ingress_want *w)
{
	w->link = tcpseal_link_lookup(tn, a);
	if (!w->link || !ingress_ours(tn, w->link, a, in))
		return false;
	w->pair = tcpseal_pair_find(tn, a, w->link);
	if (w->pair)
		w->demand = tcpseal_pair_demand(w->pair);
	else
		w->demand = w->link->mode == TCPSEAL_MODE_REQUIRE ?
			    TCPSEAL_MUST_SEAL : TCPSEAL_MAY_PLAIN;
	return true;
}

static enum tcpseal_verdict ingress_accept(struct tcpseal_net *tn,
					   const struct ingress_want *w,
					   const struct sk_buff *skb,
					   const struct tcpseal_seg *seg)
{
	unsigned int segs = tcpseal_segs(skb);

	tcpseal_count(tn, w->link, TCPSEAL_T_PLAIN_IN, segs);
	tcpseal_count(tn, w->link, TCPSEAL_T_PLAIN_IN_BYTES, seg->payload);
	tcpseal_audit(tn, w->link, skb, seg, false);
	if (w->pair) {
		atomic64_add(segs, &w->pair->plain_in);
		atomic64_add(seg->payload, &w->pair->plain_in_bytes);
		WRITE_ONCE(w->pair->plain_at, get_jiffies_64());
	}
	return TCPSEAL_ACCEPT;
}

/**
 * tcpseal_ingress_plain() - a segment that only looks sealed: is it plaintext?
 * @tn: namespace
 * @skb: as it came
 * @seg: its shape
 * @in: device it came in by
 *
 * Its SPI is known and its tag is wrong. On a pair that may be plain that is
 * what an application chose to send, and it passes: injecting plaintext there
 * needs no such disguise.
 *
 * Context: BH off, RCU. Return: true if it passes, and is counted.
 */
bool tcpseal_ingress_plain(struct tcpseal_net *tn, const struct sk_buff *skb,
			   const struct tcpseal_seg *seg,
			   const struct net_device *in)
{
	struct tcpseal_addrs a;
	struct ingress_want w;

	tcpseal_seg_addrs(skb, seg, false, &a);
	if (!ingress_want(tn, &a, in, &w))
		return true;
	if (w.demand != TCPSEAL_MAY_PLAIN)
		return false;
	ingress_accept(tn, &w, skb, seg);
	return true;
}

/*
 * A segment that looks sealed, on a pair that must be, and nobody here knows
 * its SPI: this host may have lost its state. Say so once, only where no
 * receiving SA lives: forged SPIs beside a live one are only counted.
 */
static void ingress_state_loss(struct tcpseal_net *tn,
			       struct ingress_want *w,
			       const struct tcpseal_addrs *a)
{
	if (!w->pair)
		w->pair = tcpseal_pair_meet(tn, a, w->link);
	if (w->pair && !tcpseal_pair_has_rx(w->pair))
		tcpseal_pair_acquire(w->pair, TCPSEAL_ACQUIRE_WHY_STATE_LOSS);
}

/* Why a plain segment is refused: it may be a sealed one that is damaged. */
static enum tcpseal_drop ingress_why(struct tcpseal_net *tn,
				     const struct sk_buff *skb,
				     const struct tcpseal_seg *seg,
				     const struct ingress_want *w)
{
	const struct tcpseal_record *hdr;
	struct tcpseal_record _hdr;

	hdr = skb_header_pointer(skb, seg->hlen, sizeof(_hdr), &_hdr);
	if (hdr && seg->payload >= sizeof(*hdr)) {
		unsigned int len = skb_is_gso(skb) ?
				   skb_shinfo(skb)->gso_size : seg->payload;

		if (tcpseal_sa_find(tn, hdr->spi))
			return TCPSEAL_DROP_MALFORMED;
		if (tcpseal_record_shaped(hdr, len))
			return TCPSEAL_DROP_UNKNOWN_SPI;
	}
	return w->pair && tcpseal_pair_has_rx(w->pair) ?
	       TCPSEAL_DROP_PLAIN_IN : TCPSEAL_DROP_NO_KEY_IN;
}

/* Row "plain TCP in", and "looks sealed, SPI unknown". */
static enum tcpseal_verdict ingress_plain(struct tcpseal_net *tn,
					  struct sk_buff *skb,
					  const struct tcpseal_seg *seg,
					  const struct tcpseal_addrs *a,
					  const struct nf_hook_state *state)
{
	const struct tcphdr *th = tcpseal_th(skb, seg);
	struct ingress_want w;
	enum tcpseal_drop why;

	if (!ingress_want(tn, a, state->in, &w))
		return TCPSEAL_ACCEPT;
	if (w.demand == TCPSEAL_MAY_PLAIN)
		return ingress_accept(tn, &w, skb, seg);
	why = ingress_why(tn, skb, seg, &w);
	if (tcpseal_ctrl_port(tn, th) && why != TCPSEAL_DROP_UNKNOWN_SPI) {
		switch (tcpseal_ctrl_in(tn, w.pair, a, skb, th)) {
		case TCPSEAL_CTRL_PASS:
			tcpseal_note(tn, TCPSEAL_NOTE_CTRL_PLAIN, 1);
			return TCPSEAL_ACCEPT;
		case TCPSEAL_CTRL_REFUSE:
			why = TCPSEAL_DROP_CTRL_INJECT;
			break;
		case TCPSEAL_CTRL_LATE:
			why = TCPSEAL_DROP_CTRL_LATE;
			break;
		case TCPSEAL_CTRL_NO:
			break;
		}
	}
	if (why == TCPSEAL_DROP_UNKNOWN_SPI) {
		ingress_state_loss(tn, &w, a);
	} else if (w.pair && tcpseal_pair_grace(w.pair)) {
		tcpseal_note(tn, TCPSEAL_NOTE_GRACE, 1);
		return ingress_accept(tn, &w, skb, seg);
	}
	tcpseal_drop(tn, w.pair, NULL, a, skb, why, tcpseal_segs(skb));
	return TCPSEAL_DROP;
}

/*
 * The SA of a sealed segment: exact shape of the first record and an SPI that
 * is known, or has a tombstone. Everything else is plaintext.
 */
static struct tcpseal_sa *ingress_sa(struct tcpseal_net *tn,
				     const struct sk_buff *skb,
				     const struct tcpseal_seg *seg, u8 *lane)
{
	const struct tcpseal_record *hdr;
	struct tcpseal_record _hdr;
	unsigned int len = seg->payload;
	struct tcpseal_sa *sa;

	if (len < TCPSEAL_OVERHEAD)
		return NULL;
	if (skb_is_gso(skb))
		len = min_t(unsigned int, len, skb_shinfo(skb)->gso_size);
	hdr = skb_header_pointer(skb, seg->hlen, sizeof(_hdr), &_hdr);
	if (!hdr || !tcpseal_record_shaped(hdr, len))
		return NULL;
	*lane = hdr->lane;
	sa = tcpseal_sa_find(tn, hdr->spi);
	return sa && *lane < sa->lanes ? sa : NULL;
}

static enum tcpseal_verdict ingress_odd(struct tcpseal_net *tn,
					struct sk_buff *skb,
					const struct tcpseal_addrs *a,
					const struct nf_hook_state *state,
					enum tcpseal_shape shape)
{
	static const enum tcpseal_drop why[] = {
		[TCPSEAL_IS_FRAGMENT]	= TCPSEAL_DROP_FRAGMENT,
		[TCPSEAL_IS_ROUTED]	= TCPSEAL_DROP_SOURCE_ROUTE,
		[TCPSEAL_IS_BROKEN]	= TCPSEAL_DROP_HEADER,
	};
	struct ingress_want w;

	if (!ingress_want(tn, a, state->in, &w) ||
	    w.demand == TCPSEAL_MAY_PLAIN)
		return TCPSEAL_ACCEPT;
	tcpseal_drop(tn, w.pair, NULL, a, skb, why[shape], 1);
	return TCPSEAL_DROP;
}

static enum tcpseal_verdict ingress_nontcp(struct tcpseal_net *tn,
					   struct sk_buff *skb,
					   const struct tcpseal_seg *seg,
					   const struct tcpseal_addrs *a,
					   const struct nf_hook_state *state)
{
	struct tcpseal_link *link = tcpseal_link_lookup(tn, a);

	if (!link || !ingress_ours(tn, link, a, state->in))
		return TCPSEAL_ACCEPT;
	tcpseal_count(tn, link, TCPSEAL_T_NONTCP_IN_BYTES, skb->len);
	if (!(link->flags & TCPSEAL_LINK_FLAG_NONTCP_DROP) ||
	    tcpseal_nontcp_vital(skb, seg))
		return TCPSEAL_ACCEPT;
	tcpseal_drop(tn, NULL, NULL, a, skb, TCPSEAL_DROP_NONTCP, 1);
	return TCPSEAL_DROP;
}

/**
 * tcpseal_ingress() - a packet at PRE_ROUTING
 * @tn: namespace
 * @skb: at its IP header
 * @state: of the hook
 *
 * Context: BH off, RCU. Return: the verdict.
 */
enum tcpseal_verdict tcpseal_ingress(struct tcpseal_net *tn,
				     struct sk_buff *skb,
				     const struct nf_hook_state *state)
{
	u16 family = state->pf == NFPROTO_IPV4 ? AF_INET : AF_INET6;
	enum tcpseal_drop why = TCPSEAL_DROP_TOMBSTONE;
	enum tcpseal_verdict verdict;
	enum tcpseal_shape shape;
	struct tcpseal_addrs a;
	struct tcpseal_seg seg;
	struct tcpseal_sa *sa;
	u8 lane;

	shape = tcpseal_parse(skb, family, &seg);
	tcpseal_seg_addrs(skb, &seg, false, &a);
	if (shape == TCPSEAL_IS_ICMP) {
		verdict = tcpseal_icmp_in(tn, skb, &seg);
		if (verdict != TCPSEAL_ACCEPT)
			return verdict;
		/* its addresses may belong to a router: not of the link */
	}
	if (shape == TCPSEAL_IS_ICMP || shape == TCPSEAL_IS_OTHER)
		return ingress_nontcp(tn, skb, &seg, &a, state);
	if (shape != TCPSEAL_IS_TCP)
		return ingress_odd(tn, skb, &a, state, shape);

	sa = ingress_sa(tn, skb, &seg, &lane);
	if (!sa || (READ_ONCE(sa->state) == TCPSEAL_SA_STATE_TOMBSTONE &&
		    !tcpseal_sa_covers(sa, &a)))
		return ingress_plain(tn, skb, &seg, &a, state);
	if (READ_ONCE(sa->state) != TCPSEAL_SA_STATE_TOMBSTONE) {
		if (tcpseal_sa_may_open(sa))
			return tcpseal_open(tn, sa, lane, skb, &seg, &a,
					    state);
		why = TCPSEAL_DROP_EXPIRED;
	}
	tcpseal_drop(tn, sa->pair, sa, &a, skb, why, tcpseal_segs(skb));
	return TCPSEAL_DROP;
}
