// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sealing: one skb of N chunks becomes one skb of N records.
 *
 * Whoever cuts the skb later, a NIC with TSO or the kernel, cuts at record
 * boundaries, because a segment's payload is the chunk plus TCPSEAL_OVERHEAD.
 * It advances the sequence number by that too, so on the wire the numbers of a
 * burst run ahead by the overhead a record. They are aligned at the end: of n
 * records, record k goes out with the true number minus overhead * (n - k),
 * and says n - k, its index. The burst ends where TCP says it ends, and
 * stateful firewalls on the way see no window overrun.
 */
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <net/dst.h>
#include <net/ip.h>
#include <net/tcp.h>
#include "aead.h"
#include "mtu.h"
#include "seal.h"
#include "stats.h"
#include "trace.h"

/* How an skb will be cut; the sizes are bytes of plaintext. */
struct plan {
	unsigned int	chunk;		/* of a full record */
	unsigned int	records;
	unsigned int	per_skb;	/* records in one skb */
	bool		alone;		/* each record in its own skb */
	bool		oversize;	/* larger than the path, not to be cut */
};

/**
 * tcpseal_xmit() - send on what was sealed outside of the hook's return
 * @net: namespace
 * @sk: as the hook had it
 * @skb: sealed, with its dst
 *
 * Back to the output function of the dst, which skips POST_ROUTING for a
 * packet that says it was there.
 */
void tcpseal_xmit(struct net *net, struct sock *sk, struct sk_buff *skb)
{
	if (!skb_dst(skb)) {
		kfree_skb(skb);
		return;
	}
	if (skb->protocol == htons(ETH_P_IPV6))
		IP6CB(skb)->flags |= IP6SKB_REROUTED;
	else
		IPCB(skb)->flags |= IPSKB_REROUTED;
	dst_output(net, sk, skb);
}

static unsigned int record_len(const struct tcpseal_job *job, unsigned int k)
{
	return min(job->chunk, job->seg.payload - k * job->chunk);
}

/* Place of record k in the skb that it goes into, and that skb's records. */
static unsigned int record_index(const struct tcpseal_job *job, unsigned int k)
{
	unsigned int first, n;

	if (unlikely(job->rst))
		return 0;
	if (likely(job->per_skb >= job->nr))
		return job->nr - k;
	first = k - k % job->per_skb;
	n = min(job->per_skb, job->nr - first);
	return first + n - k;
}

static u8 record_flags(const struct tcpseal_job *job, unsigned int k)
{
	u8 flags = 0;

	if (k == job->nr - 1)
		flags |= job->flags & (TCPSEAL_F_FIN | TCPSEAL_F_PSH);
	if (k == 0 || job->cwr_all)
		flags |= job->flags & TCPSEAL_F_CWR;
	return flags;
}

/* Bytes from the start of the destination to record k. */
static unsigned int record_off(const struct tcpseal_job *job, unsigned int k)
{
	return k * (job->chunk + TCPSEAL_OVERHEAD);
}

/*
 * The urgent pointer counts from the sequence number of its segment. One
 * behind us is none of ours.
 */
static void seal_urgent(struct tcphdr *th, u16 urg_ptr, unsigned int off)
{
	if (!th->urg)
		return;
	th->urg = urg_ptr > off;
	th->urg_ptr = htons(th->urg ? urg_ptr - off : 0);
}

static int seal_next(struct tcpseal_job *job)
{
	unsigned int k = job->cur, len = record_len(job, k);
	struct tcpseal_record *hdr = (struct tcpseal_record *)job->aad;
	unsigned int alen = job->seg.family == AF_INET ? 8 : 32;
	struct tcphdr *th = (struct tcphdr *)(job->aad + TCPSEAL_HDR_LEN +
					      alen);

	tcpseal_record_set(hdr, record_flags(job, k), job->lane, len,
			   job->sa->spi, record_index(job, k),
			   job->counter + k);
	th->seq = htonl(job->seq + k * job->chunk);
	seal_urgent(th, job->urg_ptr, k * job->chunk);
	tcpseal_key_nonce(job->sa->key, job->lane, job->counter + k,
			  job->nonce);
	tcpseal_cursor_write(&job->to, hdr, sizeof(*hdr));
	return len;
}

static void seal_failed(struct tcpseal_job *job, int err)
{
	job->err = err;
	job->cur = job->nr - 1;		/* nothing of it goes out */
}

/* Headers of skb number @i: what TSO would give its first segment. */
static void seal_header(struct tcpseal_job *job, struct sk_buff *skb,
			unsigned int first, unsigned int n)
{
	const struct tcpseal_seg *seg = &job->seg;
	struct tcphdr *th = tcpseal_th(skb, seg);
	unsigned int off = first * job->chunk;
	bool last = first + n == job->nr;

	th->seq = htonl(job->seq + off -
			TCPSEAL_OVERHEAD * record_index(job, first));
	if (!last) {
		th->fin = 0;
		th->psh = 0;
	}
	if (first && !job->cwr_all)
		th->cwr = 0;
	/* GRO on the other end would hold back a bare segment without it */
	if (!record_len(job, first + n - 1))
		th->psh = 1;
	seal_urgent(th, job->urg_ptr, off);
	if (job->oversize && seg->family == AF_INET)
		((struct iphdr *)skb->data)->frag_off = 0;
	skb->ignore_df |= job->oversize;

	tcpseal_skb_gso(skb, seg->family, job->chunk + TCPSEAL_OVERHEAD, n);
	tcpseal_seg_length(skb, seg);
	tcpseal_seg_checksum(skb, seg);
}

static void seal_count(struct tcpseal_job *job)
{
	struct tcpseal_tx_lane *lane = &job->sa->tx[job->lane];
	unsigned int skbs = DIV_ROUND_UP(job->nr, job->per_skb);

	atomic64_add(job->nr, &lane->records);
	atomic64_add(job->seg.payload, &lane->bytes);
	atomic64_add(skbs, &lane->skbs);
	tcpseal_count_skbs(job->sa->pair, TCPSEAL_T_SEALED_RECORDS, job->nr,
			   job->seg.payload, skbs);
	if (skbs > 1)
		tcpseal_note(job->tn, TCPSEAL_NOTE_GSO_CAPPED, 1);
	trace_tcpseal_seal(job->sa, job->lane, job->counter, job->nr,
			   job->seg.payload);
}

/* Records @first to @first + @n go into @skb, which has the headers. */
static void seal_fill(struct tcpseal_job *job, struct sk_buff *skb,
		      unsigned int first, unsigned int n)
{
	unsigned int off = record_off(job, first);
	unsigned int len = record_off(job, first + n - 1) - off +
			   record_len(job, first + n - 1) + TCPSEAL_OVERHEAD;

	if (job->linear)
		tcpseal_skb_put(skb, job->seg.hlen, len);
	else
		tcpseal_skb_payload(skb, job->seg.hlen, job->dst, off, len);
	seal_header(job, skb, first, n);
}

/* More records than one skb can hold: others, with its headers, behind it. */
static int seal_split(struct tcpseal_job *job)
{
	struct sk_buff *skb = job->skb, *piece, **tail = &skb->next;
	unsigned int k, n;

	for (k = job->per_skb; k < job->nr; k += job->per_skb) {
		piece = tcpseal_skb_piece(skb, job->seg.hlen, 0);
		if (!piece) {
			kfree_skb_list(skb->next);
			skb->next = NULL;
			return -ENOMEM;
		}
		*tail = piece;
		tail = &piece->next;
	}
	for (k = 0, piece = skb; k < job->nr; k += n, piece = piece->next) {
		n = min(job->per_skb, job->nr - k);
		seal_fill(job, piece, k, n);
	}
	return 0;
}

/*
 * All records are sealed: put them into the skb, and into further ones where
 * one cannot hold them all. Returns the list of skbs, the first being the
 * original, or NULL when nothing may be sent (counted, the original is the
 * caller's to free).
 */
static struct sk_buff *seal_emit(struct tcpseal_job *job)
{
	enum tcpseal_drop why = TCPSEAL_DROP_NO_MEMORY;
	struct sk_buff *skb = job->skb;

	if (job->err) {
		if (job->err != -ENOMEM && job->err != -EMSGSIZE)
			why = TCPSEAL_DROP_CRYPTO;
		goto err_drop;
	}
	if (tcpseal_skb_own(skb, 0))
		goto err_drop;
	skb->next = NULL;
	if (likely(job->per_skb >= job->nr))
		seal_fill(job, skb, 0, job->nr);
	else if (seal_split(job))
		goto err_drop;
	seal_count(job);
	return skb;

err_drop:
	tcpseal_drop(job->tn, job->pair, job->sa, NULL, skb, why,
		     tcpseal_segs(skb));
	return NULL;
}

static void seal_send(struct net *net, struct sock *sk, struct sk_buff *list)
{
	struct sk_buff *skb, *next;

	skb_list_walk_safe(list, skb, next) {
		skb_mark_not_on_list(skb);
		tcpseal_xmit(net, sk, skb);
	}
}

static void seal_finish(struct tcpseal_job *job)
{
	struct sk_buff *list = seal_emit(job);

	if (list)
		seal_send(job->tn->net, job->state.sk, list);
	else
		kfree_skb(job->skb);
}

static const struct tcpseal_job_ops seal_ops = {
	.next	= seal_next,
	.failed	= seal_failed,
	.finish	= seal_finish,
};

/*
 * SYN data that does not fit beside a record: TCP sends it again after the
 * handshake, so it is cut off here.
 */
static int seal_cut_syn(struct tcpseal_net *tn, struct sk_buff *skb,
			struct tcpseal_seg *seg, unsigned int room)
{
	if (seg->payload <= room)
		return 0;
	if (tcpseal_skb_own(skb, 0) ||
	    pskb_trim(skb, seg->hlen + room))
		return -ENOMEM;
	seg->payload = room;
	tcpseal_note(tn, TCPSEAL_NOTE_TFO_CUT, 1);
	return 0;
}

/*
 * Choose the chunk. Correctness never depends on what TCP thought the MSS is:
 * flows older than the module, a changed path MTU and forwarded traffic are
 * cut into more records here.
 */
static enum tcpseal_drop seal_plan(struct tcpseal_net *tn,
				   const struct tcpseal_addrs *a,
				   struct sk_buff *skb,
				   struct tcpseal_seg *seg,
				   const struct sock *sk, struct plan *p)
{
	const struct tcphdr *th = tcpseal_th(skb, seg);
	const struct net_device *dev = skb_dst(skb)->dev;
	unsigned int mtu = tcpseal_mtu(tn, skb, sk, a);
	unsigned int cap = min(TCPSEAL_SKB_MAX, READ_ONCE(dev->gso_max_size));
	unsigned int room, want;

	p->oversize = false;
	p->alone = false;
	if (mtu < seg->hlen + TCPSEAL_OVERHEAD + 8)
		return TCPSEAL_DROP_MTU;
	room = mtu - seg->hlen - TCPSEAL_OVERHEAD;
	if (th->syn && seal_cut_syn(tn, skb, seg, room))
		return TCPSEAL_DROP_NO_MEMORY;
	want = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size : seg->payload;
	p->chunk = min(want, room);
	if (want > room) {
		if (!skb_is_gso(skb) && tcpseal_seg_signed(th)) {
			p->chunk = seg->payload;
			p->oversize = true;
			tcpseal_note(tn, TCPSEAL_NOTE_OVERSIZE, 1);
		} else {
			if (room > TCPSEAL_BLOCK)
				p->chunk = round_down(room, TCPSEAL_BLOCK);
			tcpseal_note(tn, TCPSEAL_NOTE_RECHUNKED, 1);
		}
	}
	p->chunk = max(p->chunk, 1U);
	p->records = max(1U, DIV_ROUND_UP(seg->payload, p->chunk));
	p->alone = th->urg && p->records > 1;
	p->per_skb = (cap - seg->hlen) / (p->chunk + TCPSEAL_OVERHEAD);
	p->per_skb = min3(p->per_skb, (unsigned int)dev->gso_max_segs,
			  (unsigned int)TCPSEAL_BURST_MAX);
	p->per_skb = p->alone ? 1 : clamp(p->per_skb, 1U, p->records);
	return 0;
}

/*
 * TCP should not build super-segments that do not fit when sealed: tell it the
 * size that does. sk_setup_caps() may reset this, so it is only a hint.
 */
static void seal_cap_socket(struct sock *sk, const struct tcpseal_seg *seg,
			    const struct plan *p)
{
	unsigned int n = (TCPSEAL_SKB_MAX - seg->hlen) /
			 (p->chunk + TCPSEAL_OVERHEAD);
	unsigned int cap = n * p->chunk;

	if (sk && sk_fullsock(sk) && sk_is_tcp(sk) && cap &&
	    READ_ONCE(sk->sk_gso_max_size) > cap)
		WRITE_ONCE(sk->sk_gso_max_size, cap);
}

/* What a gateway seals for others must be what they sent. */
static bool seal_checksum_ok(struct sk_buff *skb,
			     const struct tcpseal_seg *seg)
{
	if (!skb->skb_iif || skb->ip_summed == CHECKSUM_PARTIAL ||
	    skb->ip_summed == CHECKSUM_UNNECESSARY)
		return true;
	return !nf_checksum(skb, NF_INET_PRE_ROUTING, seg->thoff, IPPROTO_TCP,
			    seg->family);
}

/*
 * Where the records go: a small one into the head, which has to be a new one
 * anyway, behind the headers; all others into pages.
 */
static int seal_room(struct tcpseal_job *job, unsigned int max,
		     unsigned int bytes)
{
	struct sk_buff *skb = job->skb;
	bool order0 = false;
	int n;

	job->linear = bytes <= TCPSEAL_SMALL && job->nr == 1 &&
		      skb_headlen(skb) == job->seg.hlen;
	if (job->linear) {
		if (tcpseal_skb_own(skb, bytes))
			return -ENOMEM;
		tcpseal_skb_tail(skb, job->dst, bytes);
		tcpseal_cursor_start(&job->to, job->dst, 1);
		return 0;
	}
	n = tcpseal_pages_alloc(job->dst, max, bytes, skb, &order0);
	if (order0)
		tcpseal_note(job->tn, TCPSEAL_NOTE_ORDER0, 1);
	if (n < 0)
		return n;
	job->nr_dst = n;
	tcpseal_cursor_start(&job->to, job->dst, n);
	return 0;
}

static struct tcpseal_job *seal_job(struct tcpseal_sa *sa,
				    struct sk_buff *skb,
				    const struct tcpseal_seg *seg,
				    const struct plan *p)
{
	unsigned int bytes = seg->payload + p->records * TCPSEAL_OVERHEAD;
	unsigned int dst = bytes / PAGE_SIZE + 2, src = tcpseal_skb_nvec(skb);
	struct tcpseal_job *job = tcpseal_job_alloc(sa, src, dst, 0);

	if (!job)
		return NULL;
	job->ops = &seal_ops;
	job->seal = true;
	job->pair = sa->pair;
	job->skb = skb;
	job->seg = *seg;
	job->nr = p->records;
	job->chunk = p->chunk;
	job->per_skb = p->per_skb;
	job->oversize = p->oversize;
	if (seal_room(job, dst, bytes)) {
		tcpseal_job_free(job);
		return NULL;
	}
	src = tcpseal_skb_vec(skb, seg->hlen, job->src, src);
	tcpseal_cursor_start(&job->from, job->src, src);
	return job;
}

static void seal_job_headers(struct tcpseal_net *tn, struct tcpseal_job *job)
{
	const struct tcphdr *th = tcpseal_th(job->skb, &job->seg);

	job->seq = ntohl(th->seq);
	job->rst = th->rst;
	job->urg_ptr = th->urg ? ntohs(th->urg_ptr) : 0;
	job->cwr_all = skb_shinfo(job->skb)->gso_type & TCPSEAL_GSO_ACCECN;
	job->flags = (th->fin ? TCPSEAL_F_FIN : 0) |
		     (th->psh ? TCPSEAL_F_PSH : 0) |
		     (th->cwr ? TCPSEAL_F_CWR : 0);
	job->lane = tcpseal_seg_lane(tn, job->skb, &job->seg, job->sa->lanes);
	job->queue = &job->sa->tx[job->lane].queue;
	tcpseal_job_aad(job, tcpseal_seg_aad(job->skb, &job->seg, job->aad));
}

/**
 * tcpseal_seal() - seal one skb of a pair
 * @tn: namespace
 * @sa: sending SA that may seal
 * @skb: at POST_ROUTING, or behind it
 * @seg: its shape; payload shrinks when SYN data is cut, headers when BIG TCP's
 *	jumbo option goes
 * @a: its addresses
 * @sk: socket of the hook
 *
 * Context: BH off, RCU.
 *
 * Return: TCPSEAL_ACCEPT when @skb is sealed, whole; TCPSEAL_STOLEN when it
 * goes out by itself, in pieces or later; TCPSEAL_DROP when it could not be
 * sealed (counted).
 */
enum tcpseal_verdict tcpseal_seal(struct tcpseal_net *tn,
				  struct tcpseal_sa *sa, struct sk_buff *skb,
				  struct tcpseal_seg *seg,
				  const struct tcpseal_addrs *a,
				  struct sock *sk)
{
	enum tcpseal_drop why = TCPSEAL_DROP_UNREADABLE;
	struct tcpseal_job *job;
	struct sk_buff *list;
	struct plan plan;

	if (!tcpseal_skb_readable(skb) || tcpseal_sk_seals(skb->sk))
		goto drop;
	why = TCPSEAL_DROP_NO_MEMORY;
	if (tcpseal_skb_unbig(skb, seg))
		goto drop;
	why = TCPSEAL_DROP_CHECKSUM;
	if (!seal_checksum_ok(skb, seg))
		goto drop;
	why = seal_plan(tn, a, skb, seg, sk, &plan);
	if (why)
		goto drop;
	if (skb_is_gso(skb))
		seal_cap_socket(skb->sk, seg, &plan);

	why = TCPSEAL_DROP_NO_MEMORY;
	job = seal_job(sa, skb, seg, &plan);
	if (!job)
		goto drop;
	seal_job_headers(tn, job);
	job->state.in = NULL;
	job->state.sk = sk;
	job->counter = tcpseal_lane_take(&sa->tx[job->lane], job->nr);
	if (job->counter > TCPSEAL_COUNTER_MAX) {
		tcpseal_job_free(job);
		why = TCPSEAL_DROP_COUNTER;
		goto drop;
	}
	if (tcpseal_job_run(job) == -EINPROGRESS)
		return TCPSEAL_STOLEN;
	list = seal_emit(job);
	tcpseal_job_free(job);
	if (!list)
		return TCPSEAL_DROP;
	if (!list->next)
		return TCPSEAL_ACCEPT;
	seal_send(tn->net, sk, list);
	return TCPSEAL_STOLEN;

drop:
	tcpseal_drop(tn, sa->pair, sa, NULL, skb, why, tcpseal_segs(skb));
	return TCPSEAL_DROP;
}
