// SPDX-License-Identifier: GPL-2.0-only
/*
 * Geometry and ownership of skbs.
 *
 * TCP's payload pages are shared with its retransmit queue, the page cache,
 * MSG_ZEROCOPY users and taps, and no flag says so reliably. So nothing here
 * ever writes to a payload page that came with an skb: results go to pages
 * allocated below, and the skb is re-pointed to them.
 */
#include <linux/ipv6.h>
#include <linux/local_lock.h>
#include <linux/skbuff_ref.h>
#include <net/ipv6.h>
#include <net/sock.h>
#include <net/tcp.h>
#include "skb.h"

#define BLOCK_ORDER	get_order(32768)
/* Kept for each CPU: what is on its way through a NIC, or to a reader */
#define BLOCKS_MAX	16

/*
 * Blocks from which pieces are cut, some for each CPU. A block whose pieces
 * are all gone is used again: a new one would have to be cleared first where
 * the kernel clears what it hands out (init_on_alloc), and costs at both ends.
 */
struct pool {
	local_lock_t	lock;
	struct page	*page;		/* in use; one reference */
	unsigned int	used;
	unsigned int	size;
	unsigned int	nr;
	struct page	*kept[BLOCKS_MAX];	/* one reference each */
};

static DEFINE_PER_CPU(struct pool, pools) = {
	.lock = INIT_LOCAL_LOCK(lock),
};

/* Only full sockets know whether reserves are theirs. */
static gfp_t owner_gfp(const struct sk_buff *skb)
{
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN;

	return skb->sk && sk_fullsock(skb->sk) ? sk_gfp_mask(skb->sk, gfp) :
						 gfp;
}

/**
 * tcpseal_skb_exit() - give back the blocks of all CPUs, at module exit
 */
void tcpseal_skb_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu) {
		struct pool *pool = per_cpu_ptr(&pools, cpu);

		if (pool->page)
			put_page(pool->page);
		pool->page = NULL;
		while (pool->nr)
			put_page(pool->kept[--pool->nr]);
	}
}

/*
 * The first kept block that is all ours again, so that no more of them are
 * kept warm than are needed. The one in use takes its place.
 */
static struct page *pool_swap(struct pool *pool, struct page *full)
{
	struct page *page;
	unsigned int i;

	for (i = 0; i < pool->nr; i++) {
		page = pool->kept[i];
		if (page_ref_count(page) != 1)
			continue;
		pool->kept[i] = full;
		return page;
	}
	if (pool->nr < BLOCKS_MAX)
		pool->kept[pool->nr++] = full;
	else
		put_page(full);
	return NULL;
}

/*
 * Another block: 32 KiB if there is one without touching reserves, else a
 * page, for which the socket's reserves may be used (swap over the network
 * must not deadlock). Single pages are not kept.
 */
static bool pool_refill(struct pool *pool, gfp_t gfp, bool *order0)
{
	struct page *page = NULL, *full = pool->page;

	pool->page = NULL;
	if (full && pool->size > PAGE_SIZE)
		page = pool_swap(pool, full);
	else if (full)
		put_page(full);
	pool->used = 0;
	pool->size = PAGE_SIZE << BLOCK_ORDER;
	if (!page)
		page = alloc_pages(GFP_NOWAIT | __GFP_COMP | __GFP_NOWARN |
				   __GFP_NORETRY | __GFP_NOMEMALLOC,
				   BLOCK_ORDER);
	if (!page) {
		*order0 = true;
		pool->size = PAGE_SIZE;
		page = alloc_page(gfp | __GFP_NOWARN);
	}
	pool->page = page;
	return page;
}

/**
 * tcpseal_pages_alloc() - memory of ours for a payload
 * @vec: pieces, each with a reference; contiguous to the caller
 * @max: most pieces
 * @len: bytes wanted
 * @skb: whose payload it is; its socket's reserves may be used for pages
 * @order0: set when single pages were used
 *
 * 64 KiB in single pages still fit TCPSEAL_PAGES_MAX pieces, because only the
 * first piece can be a partly used page.
 *
 * Context: BH off. Return: number of pieces, -ENOMEM.
 */
int tcpseal_pages_alloc(struct bio_vec *vec, unsigned int max,
			unsigned int len, const struct sk_buff *skb,
			bool *order0)
{
	unsigned int n = 0, part;
	struct pool *pool;

	local_lock(&pools.lock);
	pool = this_cpu_ptr(&pools);
	while (len) {
		if (n == max)
			goto err_put;
		if ((!pool->page || pool->used == pool->size) &&
		    !pool_refill(pool, owner_gfp(skb), order0))
			goto err_put;
		part = min(len, pool->size - pool->used);
		get_page(pool->page);
		vec[n].bv_page = pool->page;
		vec[n].bv_offset = pool->used;
		vec[n].bv_len = part;
		pool->used += part;
		if (pool->used < pool->size)	/* keep pieces aligned */
			pool->used = min(pool->size,
					 ALIGN(pool->used, SMP_CACHE_BYTES));
		len -= part;
		n++;
	}
	local_unlock(&pools.lock);
	return n;

err_put:
	local_unlock(&pools.lock);
	tcpseal_pages_put(vec, n);
	return -ENOMEM;
}

/**
 * tcpseal_pages_put() - drop the references of pieces
 * @vec: from tcpseal_pages_alloc()
 * @n: how many
 */
void tcpseal_pages_put(const struct bio_vec *vec, unsigned int n)
{
	while (n--)
		put_page(vec[n].bv_page);
}

/**
 * tcpseal_skb_nvec() - upper bound of the pieces of an skb
 * @skb: linear part, frags, and one level of frag_list
 */
unsigned int tcpseal_skb_nvec(const struct sk_buff *skb)
{
	unsigned int n = 1 + skb_shinfo(skb)->nr_frags;
	const struct sk_buff *frag;

	skb_walk_frags(skb, frag)
		n += tcpseal_skb_nvec(frag);
	return n;
}

/**
 * tcpseal_skb_readable() - can the CPU read all payload, and is it for us?
 * @skb: about to be sealed
 *
 * No for device memory, and for sockets whose device encrypts (kTLS offload,
 * PSP): their payload is not yet what goes on the wire.
 */
bool tcpseal_skb_readable(const struct sk_buff *skb)
{
	const struct sk_buff *frag;

	if (!skb_frags_readable(skb) || skb_is_decrypted(skb))
		return false;
	skb_walk_frags(skb, frag)
		if (!tcpseal_skb_readable(frag))
			return false;
	return true;
}

static unsigned int vec_add(struct bio_vec *vec, unsigned int n,
			    struct page *page, unsigned int off,
			    unsigned int len)
{
	struct bio_vec *last = n ? &vec[n - 1] : NULL;

	if (last && last->bv_page == page &&
	    last->bv_offset + last->bv_len == off) {
		last->bv_len += len;
		return n;
	}
	vec[n].bv_page = page;
	vec[n].bv_offset = off;
	vec[n].bv_len = len;
	return n + 1;
}

/**
 * tcpseal_skb_vec() - the bytes of an skb as pieces of pages
 * @skb: read only
 * @off: bytes to leave out at the front (the headers)
 * @vec: filled in, no references taken
 * @max: room in @vec, at least tcpseal_skb_nvec()
 *
 * Return: number of pieces.
 */
int tcpseal_skb_vec(const struct sk_buff *skb, unsigned int off,
		    struct bio_vec *vec, unsigned int max)
{
	unsigned int head = skb_headlen(skb);
	const struct sk_buff *frag;
	unsigned int n = 0;
	int i;

	if (off < head)
		n = vec_add(vec, n, virt_to_page(skb->data + off),
			    offset_in_page(skb->data + off), head - off);
	off -= min(off, head);
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		const skb_frag_t *f = &skb_shinfo(skb)->frags[i];
		unsigned int size = skb_frag_size(f);

		if (off < size)
			n = vec_add(vec, n, skb_frag_page(f),
				    skb_frag_off(f) + off, size - off);
		off -= min(off, size);
	}
	skb_walk_frags(skb, frag) {
		if (off < frag->len)
			n += tcpseal_skb_vec(frag, off, vec + n, max - n);
		off -= min(off, frag->len);
	}
	return n;
}

/**
 * tcpseal_skb_own() - make headers and fragment list of an skb private
 * @skb: may be a clone
 * @tail: bytes of linear room that must exist behind the data
 *
 * truesize of an owned skb stays as it was: the owner was charged for it, and
 * its destructor will give back what it finds there.
 *
 * Return: 0, -ENOMEM.
 */
int tcpseal_skb_own(struct sk_buff *skb, unsigned int tail)
{
	unsigned int room = skb_end_offset(skb) - skb_headroom(skb) -
			    skb_headlen(skb);

	if (!skb_cloned(skb) && room >= tail)
		return 0;
	return pskb_expand_head(skb, 0, tail > room ? tail - room : 0,
				owner_gfp(skb));
}

/**
 * tcpseal_skb_unbig() - take the jumbo option out of a BIG TCP skb
 * @skb: passed tcpseal_parse()
 * @seg: its shape; follows
 *
 * Older kernels mark IPv6 above 64 KiB by a hop-by-hop option, and take it out
 * where such an skb is cut. What is sealed or opened goes on in skbs below
 * 64 KiB: nobody would take it out of those, and every host refuses an option
 * that contradicts the length.
 *
 * Return: 0, -ENOMEM.
 */
int tcpseal_skb_unbig(struct sk_buff *skb, struct tcpseal_seg *seg)
{
	const unsigned int optlen = 8;
	struct ipv6hdr *ip6h;
	u8 *opt, *from;

	if (likely(skb->len <= GRO_LEGACY_MAX_SIZE) ||
	    seg->family != AF_INET6)
		return 0;
	ip6h = (struct ipv6hdr *)skb->data;
	opt = (u8 *)(ip6h + 1);
	if (ip6h->nexthdr != NEXTHDR_HOP || opt[1] || opt[2] != IPV6_TLV_JUMBO)
		return 0;
	if (tcpseal_skb_own(skb, 0))
		return -ENOMEM;
	ip6h = (struct ipv6hdr *)skb->data;
	ip6h->nexthdr = *(u8 *)(ip6h + 1);
	from = skb->data;
	if (skb_mac_header_was_set(skb) && skb_mac_header(skb) < from) {
		from = skb_mac_header(skb);
		skb->mac_header += optlen;
	}
	memmove(from + optlen, from, skb->data + sizeof(*ip6h) - from);
	__skb_pull(skb, optlen);
	skb_reset_network_header(skb);
	IP6CB(skb)->nhoff = offsetof(struct ipv6hdr, nexthdr);
	IP6CB(skb)->flags &= ~IP6SKB_HOPBYHOP;
	seg->thoff -= optlen;
	seg->hlen -= optlen;
	return 0;
}

/* Forget all payload: linear bytes behind @hlen, frags, frag_list. */
static void skb_strip(struct sk_buff *skb, unsigned int hlen)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);
	int i;

	skb_zcopy_clear(skb, true);
	for (i = 0; i < shinfo->nr_frags; i++)
		skb_frag_unref(skb, i);
	shinfo->nr_frags = 0;
	if (shinfo->frag_list) {
		kfree_skb_list(shinfo->frag_list);
		shinfo->frag_list = NULL;
	}
	shinfo->flags &= ~SKBFL_SHARED_FRAG;
	skb->data_len = 0;
	skb->len = hlen;
	skb_set_tail_pointer(skb, hlen);
	if (!skb->sk)
		skb->truesize = SKB_TRUESIZE(skb_end_offset(skb));
}

/**
 * tcpseal_skb_payload() - replace the payload by pages of ours
 * @skb: passed tcpseal_skb_own()
 * @hlen: bytes of headers, linear
 * @vec: from tcpseal_pages_alloc(); a reference is taken for each piece used
 * @off: where the payload begins in @vec
 * @len: bytes of payload
 */
void tcpseal_skb_payload(struct sk_buff *skb, unsigned int hlen,
			 const struct bio_vec *vec, unsigned int off,
			 unsigned int len)
{
	unsigned int n = 0, part;

	skb_strip(skb, hlen);
	if (!len)
		return;
	while (off >= vec->bv_len) {
		off -= vec->bv_len;
		vec++;
	}
	skb->len += len;
	skb->data_len += len;
	if (!skb->sk)
		skb->truesize += len;
	while (len) {
		part = min(len, vec->bv_len - off);
		get_page(vec->bv_page);
		skb_fill_page_desc(skb, n++, vec->bv_page,
				   vec->bv_offset + off, part);
		len -= part;
		off = 0;
		vec++;
	}
}

/**
 * tcpseal_skb_linear() - replace the payload by linear bytes
 * @skb: passed tcpseal_skb_own() with room for @hlen + @len
 * @hlen: bytes of headers
 * @from: payload, copied
 * @len: bytes of it
 *
 * For small payloads: a remote sender must not pin a 32 KiB block by one byte.
 */
void tcpseal_skb_linear(struct sk_buff *skb, unsigned int hlen,
			const void *from, unsigned int len)
{
	skb_strip(skb, hlen);
	skb_put_data(skb, from, len);
}

/**
 * tcpseal_skb_tail() - the linear room behind the data as a piece
 * @skb: passed tcpseal_skb_own() with room for @len
 * @vec: filled in, no reference taken
 * @len: bytes of it
 */
void tcpseal_skb_tail(const struct sk_buff *skb, struct bio_vec *vec,
		      unsigned int len)
{
	const void *tail = skb_tail_pointer(skb);

	vec->bv_page = virt_to_page(tail);
	vec->bv_offset = offset_in_page(tail);
	vec->bv_len = len;
}

/**
 * tcpseal_skb_put() - replace the payload by what is in the room behind
 * @skb: linear up to @hlen; tcpseal_skb_tail() said where the room is
 * @hlen: bytes of headers
 * @len: bytes of payload
 */
void tcpseal_skb_put(struct sk_buff *skb, unsigned int hlen, unsigned int len)
{
	skb_strip(skb, hlen);
	skb_put(skb, len);
}

/**
 * tcpseal_skb_piece() - a second skb with the headers of a first
 * @skb: stays as it is
 * @hlen: bytes of headers, linear
 * @tail: linear room for payload
 *
 * The piece is charged to the same socket, when there is a full one.
 *
 * Context: RCU, when the dst is not counted. Return: the skb with no payload,
 * or NULL.
 */
struct sk_buff *tcpseal_skb_piece(const struct sk_buff *skb,
				  unsigned int hlen, unsigned int tail)
{
	unsigned int headroom = skb_headroom(skb);
	struct sk_buff *piece;

	piece = alloc_skb(headroom + hlen + tail, owner_gfp(skb));
	if (!piece)
		return NULL;
	/* same headroom, link-layer header included: all offsets stay right */
	memcpy(piece->head, skb->head, headroom);
	skb_reserve(piece, headroom);
	skb_put_data(piece, skb->data, hlen);
	skb_copy_header(piece, skb);
	piece->dev = skb->dev;
	if (skb->sk && sk_fullsock(skb->sk) && skb->destructor &&
	    skb->destructor != sock_edemux)
		skb_set_owner_w(piece, skb->sk);
	return piece;
}

/**
 * tcpseal_skb_gso() - say how the payload is to be cut
 * @skb: its shared info is private
 * @family: AF_INET or AF_INET6
 * @size: payload of one segment
 * @segs: how many; 1 makes it an ordinary skb
 *
 * The type is assigned, not or-ed: FRAGLIST, DODGY or FIXEDID left over from
 * before would crash or stall.
 */
void tcpseal_skb_gso(struct sk_buff *skb, u16 family, unsigned int size,
		     unsigned int segs)
{
	struct skb_shared_info *shinfo = skb_shinfo(skb);
	unsigned int ecn = shinfo->gso_type & TCPSEAL_GSO_ECN;

	if (segs > 1) {
		shinfo->gso_size = size;
		shinfo->gso_segs = segs;
		shinfo->gso_type = ecn | (family == AF_INET ? SKB_GSO_TCPV4 :
							      SKB_GSO_TCPV6);
	} else {
		shinfo->gso_size = 0;
		shinfo->gso_segs = skb->sk ? 1 : 0;
		shinfo->gso_type = 0;
	}
}
