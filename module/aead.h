/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only file that makes AEAD requests. A job is the sealing or opening of
 * all records of one skb; its requests run one after the other, and each may
 * complete at once or later. What knows about records fills in the next
 * request and takes each result; what knows about packets finishes the job.
 */
#ifndef TCPSEAL_AEAD_H
#define TCPSEAL_AEAD_H

#include <linux/highmem.h>
#include <linux/scatterlist.h>
#include "sa.h"
#include "skb.h"

/* AAD, then one record: frags of a full skb, linear part, a piece cut. */
#define TCPSEAL_SG_MAX		(1 + MAX_SKB_FRAGS + 2)

/*
 * A list of pieces, where in it the next record begins, and the scatterlist of
 * that: set up once, sg[0] is the AAD. A record mostly lies in one piece, and
 * sg[1] points to the page of the piece at hand, so that then only offset and
 * length change.
 */
struct tcpseal_cursor {
	const struct bio_vec	*vec;	/* the piece at hand */
	unsigned int		off;	/* in its page */
	unsigned int		left;	/* bytes of it */
	unsigned int		end;	/* last entry of @sg in use */
	struct scatterlist	sg[TCPSEAL_SG_MAX];
};

struct tcpseal_job;

/**
 * struct tcpseal_job_ops - one kind of job
 * @next: nonce and AAD of record job->cur, the cursors to where its ciphertext
 *	and plaintext begin. Return: bytes of plaintext, or -EALREADY to leave
 *	this record out
 * @failed: result of record job->cur; -EBADMSG (tag) or another error
 * @finish: all records are done; job->err is the error that ended it, or 0.
 *	Frees or passes on job->skb. BH off. Only for jobs that were parked.
 */
struct tcpseal_job_ops {
	int  (*next)(struct tcpseal_job *job);
	void (*failed)(struct tcpseal_job *job, int err);
	void (*finish)(struct tcpseal_job *job);
};

struct tcpseal_job {
	struct list_head		node;	/* lane queue, once parked */
	const struct tcpseal_job_ops	*ops;
	struct tcpseal_net		*tn;
	struct tcpseal_sa		*sa;
	struct tcpseal_pair		*pair;	/* may be NULL */
	struct tcpseal_queue		*queue;
	struct sk_buff			*skb;
	struct tcpseal_seg		seg;
	struct nf_hook_state		state;
	netdevice_tracker		tracker;	/* of state.in */
	bool				seal;
	bool				must_sync;	/* result wanted at once */
	bool				parked;
	bool				done;		/* queue->lock */
	int				err;		/* ended the job */
	int				req_err;	/* of the last request */
	atomic_t			handoff;	/* submitter, completion */

	unsigned int			nr;	/* records */
	unsigned int			cur;
	unsigned int			chunk;	/* plaintext of a full record */
	u32				seq;	/* true seq of the first byte */
	u64				counter; /* of the first record */
	u8				lane;
	u8				flags;	/* FIN, PSH, CWR as on the skb */
	bool				rst;
	union {
		struct {			/* sealing */
			unsigned int	per_skb; /* records in one skb */
			u16		urg_ptr;
			bool		cwr_all; /* AccECN */
			bool		oversize;
			bool		linear;	/* into the head of the skb */
		};
		struct {			/* opening */
			struct tcpseal_opened *recs;
			unsigned int	seglen;	/* payload of a segment */
			unsigned int	total;	/* plaintext so far */
			u8		*small;	/* destination when small */
			bool		selector_bad;
			bool		csum_known;
			bool		csum_bad;
		};
	};

	void				*extra;
	struct bio_vec			*src;	/* no references */
	struct bio_vec			*dst;	/* our pages, references */
	unsigned int			nr_dst;
	u8				nonce[TCPSEAL_IV_LEN];

	u8				aad[TCPSEAL_AAD_MAX] __aligned(8);
	struct tcpseal_cursor		from, to;
	unsigned int			size;	/* of the allocation */
	struct aead_request		req CRYPTO_MINALIGN_ATTR;
	/* request context, then src, dst and recs */
};

void tcpseal_aead_exit(void);
void tcpseal_aead_wait(struct tcpseal_sa *sa);

struct tcpseal_job *tcpseal_job_alloc(struct tcpseal_sa *sa, unsigned int src,
				      unsigned int dst, unsigned int extra);
void tcpseal_job_free(struct tcpseal_job *job);
int tcpseal_job_run(struct tcpseal_job *job);

/* @len bytes at job->aad are the AAD of each record. */
static inline void tcpseal_job_aad(struct tcpseal_job *job, unsigned int len)
{
	job->from.sg[0].length = len;
	job->to.sg[0].length = len;
	aead_request_set_ad(&job->req, len);
}

static inline void tcpseal_cursor_piece(struct tcpseal_cursor *c,
					const struct bio_vec *vec)
{
	c->vec = vec;
	c->off = vec->bv_offset;
	c->left = vec->bv_len;
	sg_assign_page(&c->sg[1], vec->bv_page);
}

/* At the first of @nr pieces; there may be none. */
static inline void tcpseal_cursor_start(struct tcpseal_cursor *c,
					const struct bio_vec *vec,
					unsigned int nr)
{
	c->left = 0;
	if (nr)
		tcpseal_cursor_piece(c, vec);
}

/* How much of @len bytes is in one piece? There is at least one byte more. */
static inline unsigned int tcpseal_cursor_part(struct tcpseal_cursor *c,
					       unsigned int len)
{
	if (!c->left)
		tcpseal_cursor_piece(c, c->vec + 1);
	return min(len, c->left);
}

static inline void tcpseal_cursor_move(struct tcpseal_cursor *c,
				       unsigned int len)
{
	c->off += len;
	c->left -= len;
}

static inline void tcpseal_cursor_skip(struct tcpseal_cursor *c,
				       unsigned int len)
{
	while (len) {
		unsigned int part = tcpseal_cursor_part(c, len);

		tcpseal_cursor_move(c, part);
		len -= part;
	}
}

/* Copy the next bytes out of the pieces. */
static __always_inline void tcpseal_cursor_read(struct tcpseal_cursor *c,
						void *to, unsigned int len)
{
	/* lowmem, and most often in one piece of one page */
	if (likely(!IS_ENABLED(CONFIG_HIGHMEM) && len <= c->left)) {
		memcpy(to, page_address(c->vec->bv_page) + c->off, len);
		tcpseal_cursor_move(c, len);
		return;
	}
	while (len) {
		unsigned int part = tcpseal_cursor_part(c, len);

		part = min_t(unsigned int, part,
			     PAGE_SIZE - offset_in_page(c->off));
		memcpy_from_page(to, c->vec->bv_page + (c->off >> PAGE_SHIFT),
				 offset_in_page(c->off), part);
		tcpseal_cursor_move(c, part);
		to += part;
		len -= part;
	}
}

/* Copy into the pieces, which are pages of ours. */
static __always_inline void tcpseal_cursor_write(struct tcpseal_cursor *c,
						 const void *from,
						 unsigned int len)
{
	if (likely(len <= c->left)) {
		memcpy(page_address(c->vec->bv_page) + c->off, from, len);
		tcpseal_cursor_move(c, len);
		return;
	}
	while (len) {
		unsigned int part = tcpseal_cursor_part(c, len);

		memcpy(page_address(c->vec->bv_page) + c->off, from, part);
		tcpseal_cursor_move(c, part);
		from += part;
		len -= part;
	}
}

#endif /* TCPSEAL_AEAD_H */
