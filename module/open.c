// SPDX-License-Identifier: GPL-2.0-only
/*
 * Opening: the records that GRO merged into one skb become one plain skb.
 *
 * Each segment of the skb is one record. A record that is bad costs itself
 * only: the good ones around it are delivered. Normally all are good and their
 * true sequence numbers follow each other; otherwise the plaintext is
 * delivered in several skbs.
 */
#include <linux/netfilter_bridge.h>
#include <net/tcp.h>
#include "aead.h"
#include "mtu.h"
#include "seal.h"
#include "stats.h"
#include "trace.h"

/* What became of one record. */
struct tcpseal_opened {
	u32	seq;		/* true sequence number */
	u32	off;		/* of its plaintext in the destination */
	u16	len;
	u8	flags;
	u8	why;		/* 0: good */
	u64	counter;
	/* of the first record of a run, see open_run() */
	u32	run_len;
	u16	run;
	u8	run_flags;
};

/* Everything about a record that can be said before the tag is checked. */
static enum tcpseal_drop open_check(struct tcpseal_job *job,
				    const struct tcpseal_record *hdr,
				    unsigned int seglen, u64 counter)
{
	unsigned int index = be16_to_cpu(hdr->index);

	if (!tcpseal_record_shaped(hdr, seglen) || hdr->spi != job->sa->spi ||
	    hdr->lane != job->lane)
		return TCPSEAL_DROP_MALFORMED;
	/* a reset stands at its true number: index 0, and nothing else does */
	if (job->rst ? index : !index || index > TCPSEAL_BURST_MAX)
		return TCPSEAL_DROP_MALFORMED;
	switch (tcpseal_lane_peek(&job->sa->rx[job->lane], counter)) {
	case TCPSEAL_REPLAY_SEEN:
		return TCPSEAL_DROP_REPLAY;
	case TCPSEAL_REPLAY_OLD:
		/* the tag decides whether the window should grow */
	case TCPSEAL_REPLAY_FRESH:
		break;
	}
	return 0;
}

static int open_next(struct tcpseal_job *job)
{
	struct tcpseal_record *hdr = (struct tcpseal_record *)job->aad;
	unsigned int alen = job->seg.family == AF_INET ? 8 : 32;
	struct tcphdr *th = (struct tcphdr *)(job->aad + TCPSEAL_HDR_LEN +
					      alen);
	struct tcpseal_opened *rec = &job->recs[job->cur];
	unsigned int off = job->cur * job->seglen;
	unsigned int seglen = min(job->seglen, job->seg.payload - off);
	unsigned int len = seglen - TCPSEAL_OVERHEAD;
	u64 counter;
	u32 seq;

	if (seglen < TCPSEAL_OVERHEAD) {
		rec->why = TCPSEAL_DROP_MALFORMED;
		rec->counter = 0;
		tcpseal_cursor_skip(&job->from, seglen);
		return -EALREADY;
	}
	tcpseal_cursor_read(&job->from, hdr, sizeof(*hdr));
	counter = tcpseal_record_counter(hdr);
	seq = job->seq + off + TCPSEAL_OVERHEAD * be16_to_cpu(hdr->index);
	rec->counter = counter;
	rec->why = open_check(job, hdr, seglen, counter);
	if (rec->why) {
		tcpseal_cursor_skip(&job->from, seglen - sizeof(*hdr));
		return -EALREADY;
	}
	rec->len = len;
	rec->flags = hdr->ver_flags;
	rec->off = job->total;
	rec->seq = seq;
	th->seq = htonl(seq);
	job->total += len;
	tcpseal_key_nonce(job->sa->key, job->lane, counter, job->nonce);
	return len;
}

/* A wrong tag under a wrong TCP checksum is line noise, not tampering. */
static bool open_noise(struct tcpseal_job *job)
{
	struct sk_buff *skb = job->skb;

	if (!job->csum_known) {
		job->csum_known = true;
		job->csum_bad = skb->ip_summed != CHECKSUM_PARTIAL &&
				skb->ip_summed != CHECKSUM_UNNECESSARY &&
				nf_checksum(skb, NF_INET_PRE_ROUTING,
					    job->seg.thoff, IPPROTO_TCP,
					    job->seg.family);
	}
	return job->csum_bad;
}

static void open_failed(struct tcpseal_job *job, int err)
{
	struct tcpseal_opened *rec = &job->recs[job->cur];

	if (err == -EBADMSG)
		rec->why = open_noise(job) ? TCPSEAL_DROP_NOISE :
					     TCPSEAL_DROP_BAD_TAG;
	else if (err == -ENOMEM)
		rec->why = TCPSEAL_DROP_NO_MEMORY;
	else
		rec->why = TCPSEAL_DROP_CRYPTO;
}

/*
 * Most often a burst is in order and newer than all before. lane->lock.
 * Return: true when all its records were marked at once.
 */
static bool open_mark_new(struct tcpseal_job *job)
{
	const struct tcpseal_opened *rec = job->recs;
	u64 first = rec->counter;
	unsigned int i;

	if (unlikely(job->selector_bad))
		return false;
	for (i = 0; i < job->nr; i++, rec++)
		if (rec->why || rec->counter != first + i)
			return false;
	return tcpseal_lane_mark_new(&job->sa->rx[job->lane], first, i,
				     job->total);
}

/*
 * The tag of a record was right: may its sender speak for this address, and
 * was it opened before? lane->lock.
 */
static void open_mark(struct tcpseal_job *job, struct tcpseal_opened *rec)
{
	if (unlikely(job->selector_bad)) {
		rec->why = TCPSEAL_DROP_SELECTOR;
		return;
	}
	switch (tcpseal_lane_mark(job->tn, &job->sa->rx[job->lane],
				  rec->counter, rec->len)) {
	case TCPSEAL_REPLAY_SEEN:
		rec->why = TCPSEAL_DROP_REPLAY;
		break;
	case TCPSEAL_REPLAY_OLD:
		rec->why = TCPSEAL_DROP_TOO_OLD;
		break;
	case TCPSEAL_REPLAY_FRESH:
		break;
	}
}

/*
 * Records from @first on that make one skb: good, in sequence, none empty, all
 * of one size but for a shorter last one, and no more than @room bytes: with BIG
 * TCP receive offload merges more than an skb of single pages can hold.
 */
static void open_run(struct tcpseal_opened *first, unsigned int max,
		     unsigned int room)
{
	struct tcpseal_opened *prev = first, *rec;
	unsigned int n;

	first->run_flags = first->flags;
	for (n = 1; n < max; n++, prev = rec) {
		rec = prev + 1;
		if (rec->why || !rec->len || prev->len != first->len ||
		    rec->len > first->len ||
		    rec->seq != prev->seq + prev->len ||
		    rec->off + rec->len - first->off > room)
			break;
		first->run_flags |= rec->flags;
	}
	first->run = n;
	first->run_len = prev->off + prev->len - first->off;
}

/* One run as one skb: the headers as the sender's TCP made them. */
static void open_fill(struct tcpseal_job *job, struct sk_buff *skb,
		      const struct tcpseal_opened *rec)
{
	const struct tcpseal_seg *seg = &job->seg;
	unsigned int len = rec->run_len;
	u8 flags = rec->run_flags;
	struct tcphdr *th;

	if (job->small)
		tcpseal_skb_linear(skb, seg->hlen, job->small + rec->off, len);
	else
		tcpseal_skb_payload(skb, seg->hlen, job->dst, rec->off, len);
	th = tcpseal_th(skb, seg);
	th->seq = htonl(rec->seq);
	th->fin = !!(flags & TCPSEAL_F_FIN);
	th->psh = !!(flags & TCPSEAL_F_PSH);
	th->cwr = !!(flags & TCPSEAL_F_CWR);
	tcpseal_skb_gso(skb, seg->family, rec->len, rec->run);
	if (rec->run > 1 && th->cwr)
		skb_shinfo(skb)->gso_type |= SKB_GSO_TCP_ECN;
	tcpseal_seg_length(skb, seg);
	tcpseal_seg_checksum(skb, seg);
}

static void open_bad(struct tcpseal_job *job, enum tcpseal_drop why)
{
	struct tcpseal_addrs a;

	tcpseal_seg_addrs(job->skb, &job->seg, false, &a);
	tcpseal_drop(job->tn, job->pair, job->sa, &a, job->skb, why, 1);
	if (why == TCPSEAL_DROP_BAD_TAG)
		tcpseal_sa_tag_failed(job->sa);
}

/*
 * The verdict on all records: those seen before are out, the good ones fall
 * into runs. Return: how many are good; @skbs: in how many runs.
 */
static unsigned int open_judge(struct tcpseal_job *job, unsigned int *skbs)
{
	struct tcpseal_rx_lane *lane = &job->sa->rx[job->lane];
	unsigned int i, n, good = 0, bytes = 0;

	*skbs = 0;
	spin_lock(&lane->lock);
	if (!open_mark_new(job))
		for (i = 0; i < job->nr; i++)
			if (!job->recs[i].why)
				open_mark(job, &job->recs[i]);
	for (i = 0; i < job->nr; i += n) {
		struct tcpseal_opened *rec = &job->recs[i];

		n = 1;
		if (rec->why)
			continue;
		open_run(rec, job->nr - i, TCPSEAL_SKB_MAX - job->seg.hlen);
		n = rec->run;
		good += n;
		bytes += rec->run_len;
		(*skbs)++;
	}
	lane->skbs += *skbs;
	spin_unlock(&lane->lock);
	if (good != job->nr)
		for (i = 0; i < job->nr; i++)
			if (job->recs[i].why)
				open_bad(job, job->recs[i].why);
	if (!good)
		return 0;
	tcpseal_count_skbs(job->sa->pair, TCPSEAL_T_OPENED_RECORDS, good,
			   bytes, *skbs);
	if (*skbs > 1)
		tcpseal_note(job->tn, TCPSEAL_NOTE_SPLIT, 1);
	trace_tcpseal_open(job->sa, job->lane, job->recs[0].counter, good,
			   bytes);
	return good;
}

/* More runs than one: each its skb, the original first. */
static int open_split(struct tcpseal_job *job, unsigned int skbs,
		      unsigned int room)
{
	struct sk_buff *skb = job->skb, *piece, **tail = &skb->next;
	unsigned int i, n;

	while (--skbs) {
		piece = tcpseal_skb_piece(skb, job->seg.hlen, room);
		if (!piece) {
			kfree_skb_list(skb->next);
			skb->next = NULL;
			return -ENOMEM;
		}
		*tail = piece;
		tail = &piece->next;
	}
	for (i = 0, piece = skb; i < job->nr; i += n) {
		n = 1;
		if (job->recs[i].why)
			continue;
		n = job->recs[i].run;
		open_fill(job, piece, &job->recs[i]);
		piece = piece->next;
	}
	return 0;
}

/*
 * All records went through: make the plain skbs. Returns the list, the
 * original first, or NULL when nothing is to be delivered (counted; the
 * original is the caller's to free).
 */
static struct sk_buff *open_emit(struct tcpseal_job *job)
{
	unsigned int room = job->small ? job->total : 0, good, skbs;
	struct sk_buff *skb = job->skb;

	if (job->err)
		goto err_drop;
	good = open_judge(job, &skbs);
	if (!good)
		return NULL;
	if (tcpseal_skb_own(skb, room))
		goto err_drop;
	skb->next = NULL;
	if (likely(good == job->nr && skbs == 1))
		open_fill(job, skb, job->recs);
	else if (open_split(job, skbs, room))
		goto err_drop;
	return skb;

err_drop:
	tcpseal_drop(job->tn, job->pair, job->sa, NULL, skb,
		     TCPSEAL_DROP_NO_MEMORY, job->nr);
	return NULL;
}

static void open_deliver(struct tcpseal_job *job, struct sk_buff *list)
{
	struct sk_buff *skb, *next;

	skb_list_walk_safe(list, skb, next) {
		skb_mark_not_on_list(skb);
		tcpseal_rest(skb, &job->state);
	}
}

/* What the SYN says of sizes, and what the SA says of its peer. */
static void open_after(struct tcpseal_job *job, struct sk_buff *list)
{
	struct tcpseal_addrs a;

	if (tcpseal_th(list, &job->seg)->syn) {
		tcpseal_seg_addrs(list, &job->seg, false, &a);
		tcpseal_mss_hint(job->tn, list, &job->seg, &a);
	}
	tcpseal_sa_opened(job->sa);
}

/*
 * Nothing in it was made with the key, and not because of noise: it may be
 * plaintext that happens to look sealed.
 */
static bool open_none(const struct tcpseal_job *job)
{
	unsigned int i;

	if (job->err)
		return false;
	for (i = 0; i < job->nr; i++)
		if (job->recs[i].why != TCPSEAL_DROP_BAD_TAG &&
		    job->recs[i].why != TCPSEAL_DROP_MALFORMED)
			return false;
	return true;
}

static void open_finish(struct tcpseal_job *job)
{
	struct sk_buff *list;

	if (open_none(job) && tcpseal_ingress_plain(job->tn, job->skb,
						    &job->seg,
						    job->state.in)) {
		tcpseal_rest(job->skb, &job->state);
		return;
	}
	list = open_emit(job);

	if (!list) {
		kfree_skb(job->skb);
		return;
	}
	open_after(job, list);
	open_deliver(job, list);
}

static const struct tcpseal_job_ops open_ops = {
	.next	= open_next,
	.failed	= open_failed,
	.finish	= open_finish,
};

/*
 * Most plaintext there can be. The last segment of a burst may be shorter than
 * an empty record: then it has none, and takes nothing from the others.
 */
static unsigned int open_bytes(unsigned int payload, unsigned int seglen,
			       unsigned int nr)
{
	unsigned int last = payload - (nr - 1) * seglen;

	return (nr - 1) * (seglen - TCPSEAL_OVERHEAD) + last -
	       min_t(unsigned int, last, TCPSEAL_OVERHEAD);
}

/* Destination: a buffer of the job when small, else pages. */
static struct tcpseal_job *open_job(struct tcpseal_sa *sa,
				    struct sk_buff *skb,
				    const struct tcpseal_seg *seg,
				    unsigned int seglen, unsigned int nr)
{
	unsigned int bytes = open_bytes(seg->payload, seglen, nr);
	unsigned int recs = nr * sizeof(struct tcpseal_opened);
	bool small = bytes <= TCPSEAL_SMALL, order0 = false;
	unsigned int src = tcpseal_skb_nvec(skb);
	unsigned int dst = small ? 1 : bytes / PAGE_SIZE + 2;
	struct tcpseal_job *job;
	int n = 1;

	job = tcpseal_job_alloc(sa, src, dst, recs + (small ? bytes : 0));
	if (!job)
		return NULL;
	job->recs = job->extra;
	job->small = NULL;
	job->total = 0;
	job->csum_known = false;
	if (small) {
		job->small = (u8 *)job->extra + recs;
		job->dst[0].bv_page = virt_to_page(job->small);
		job->dst[0].bv_offset = offset_in_page(job->small);
		job->dst[0].bv_len = bytes;
	} else {
		n = tcpseal_pages_alloc(job->dst, dst, bytes, skb, &order0);
		if (order0)
			tcpseal_note(sa->tn, TCPSEAL_NOTE_ORDER0, 1);
		if (n < 0) {
			tcpseal_job_free(job);
			return NULL;
		}
		job->nr_dst = n;
	}
	job->ops = &open_ops;
	job->pair = sa->pair;
	job->skb = skb;
	job->seg = *seg;
	job->nr = nr;
	src = tcpseal_skb_vec(skb, seg->hlen, job->src, src);
	tcpseal_cursor_start(&job->from, job->src, src);
	tcpseal_cursor_start(&job->to, job->dst, n);
	return job;
}

/**
 * tcpseal_open() - open all records of an skb
 * @tn: namespace
 * @sa: receiving SA of the first record
 * @lane: of the first record, one that @sa has
 * @skb: at PRE_ROUTING
 * @seg: its shape; follows when BIG TCP's jumbo option goes
 * @a: its addresses
 * @state: of the hook
 *
 * Context: BH off, RCU.
 *
 * Return: TCPSEAL_ACCEPT when @skb is now plain, whole; TCPSEAL_STOLEN when it
 * goes on by itself, in pieces or later; TCPSEAL_DROP (counted).
 */
enum tcpseal_verdict tcpseal_open(struct tcpseal_net *tn,
				  struct tcpseal_sa *sa, u8 lane,
				  struct sk_buff *skb, struct tcpseal_seg *seg,
				  const struct tcpseal_addrs *a,
				  const struct nf_hook_state *state)
{
	unsigned int seglen = skb_is_gso(skb) ? skb_shinfo(skb)->gso_size :
						seg->payload;
	unsigned int nr = DIV_ROUND_UP(seg->payload, seglen);
	enum tcpseal_verdict verdict = TCPSEAL_DROP;
	struct tcpseal_job *job = NULL;
	struct sk_buff *list;

	if (!tcpseal_skb_unbig(skb, seg))
		job = open_job(sa, skb, seg, seglen, nr);
	if (!job) {
		tcpseal_drop(tn, sa->pair, sa, a, skb, TCPSEAL_DROP_NO_MEMORY,
			     nr);
		return TCPSEAL_DROP;
	}
	job->seglen = seglen;
	job->lane = lane;
	job->queue = &sa->rx[job->lane].queue;
	job->seq = ntohl(tcpseal_th(skb, seg)->seq);
	job->selector_bad = !tcpseal_sa_covers(sa, a);
	job->rst = tcpseal_th(skb, seg)->rst;
	job->must_sync = nf_bridge_info_exists(skb);
	job->state = *state;
	tcpseal_job_aad(job, tcpseal_seg_aad(skb, seg, job->aad));

	if (tcpseal_job_run(job) == -EINPROGRESS)
		return TCPSEAL_STOLEN;
	if (open_none(job) &&
	    tcpseal_ingress_plain(tn, skb, seg, state->in)) {
		tcpseal_job_free(job);
		return TCPSEAL_ACCEPT;
	}
	list = open_emit(job);
	if (list) {
		open_after(job, list);
		verdict = TCPSEAL_ACCEPT;
		if (list->next) {
			open_deliver(job, list);
			verdict = TCPSEAL_STOLEN;
		}
	}
	tcpseal_job_free(job);
	return verdict;
}
