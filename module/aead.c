// SPDX-License-Identifier: GPL-2.0-only
/*
 * AEAD requests: records are sealed and opened one after the other, each at
 * once or, when the crypto API says -EINPROGRESS, later.
 *
 * A job that did not complete at once is parked: it takes references on all
 * that it needs, and its place in the queue of its lane. What comes behind it
 * in the lane is parked too, until its turn: nothing overtakes its flow.
 */
#include <linux/slab.h>
#include <linux/wait_bit.h>
#include <net/inet_hashtables.h>
#include "aead.h"
#include "stats.h"

/* One job's memory is kept for each CPU: the next one is set up in it. */
static DEFINE_PER_CPU(struct tcpseal_job *, spare);

/**
 * tcpseal_aead_exit() - free the spare jobs, at module exit
 */
void tcpseal_aead_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(per_cpu(spare, cpu));
}

/**
 * tcpseal_aead_wait() - wait until no parked job uses an SA
 * @sa: unlinked, and a grace period has passed
 *
 * Context: process, may sleep.
 */
void tcpseal_aead_wait(struct tcpseal_sa *sa)
{
	wait_var_event(&sa->parked, !atomic_read_acquire(&sa->parked));
}

/**
 * tcpseal_job_free() - free a job and its references on pages
 * @job: not parked; its skb is the caller's
 *
 * Context: BH off.
 */
void tcpseal_job_free(struct tcpseal_job *job)
{
	tcpseal_pages_put(job->dst, job->nr_dst);
	kfree(this_cpu_xchg(spare, job));
}

/* Take all that must stay while the job waits; give it its place. */
static void job_park(struct tcpseal_job *job)
{
	struct tcpseal_queue *queue = job->queue;

	if (job->parked)
		return;
	job->parked = true;
	atomic_inc(&job->sa->parked);
	if (job->state.sk)
		sock_hold(job->state.sk);
	netdev_hold(job->state.in, &job->tracker, GFP_ATOMIC);
	if (skb_dst(job->skb))
		skb_dst_force(job->skb);
	spin_lock_bh(&queue->lock);
	list_add_tail(&job->node, &queue->list);
	spin_unlock_bh(&queue->lock);
}

static void job_unpark(struct tcpseal_job *job)
{
	struct tcpseal_sa *sa = job->sa;

	rcu_read_lock();
	job->ops->finish(job);
	rcu_read_unlock();
	netdev_put(job->state.in, &job->tracker);
	/* a SYN-ACK's is a request */
	if (job->state.sk)
		sock_gen_put(job->state.sk);
	tcpseal_job_free(job);
	/* last: the SA may go now; only its address is used to wake */
	if (atomic_dec_return_release(&sa->parked) == 0)
		wake_up_var(&sa->parked);
}

/* A parked job is through: finish it, and all behind it that are, in order. */
static void job_done(struct tcpseal_job *job)
{
	struct tcpseal_queue *queue = job->queue;
	struct tcpseal_sa *sa = job->sa;

	/* the queue lives in the SA */
	atomic_inc(&sa->parked);
	spin_lock_bh(&queue->lock);
	job->done = true;
	if (queue->draining)
		goto out;
	WRITE_ONCE(queue->draining, true);
	while ((job = list_first_entry_or_null(&queue->list,
					       struct tcpseal_job, node)) &&
	       job->done) {
		list_del(&job->node);
		spin_unlock(&queue->lock);
		job_unpark(job);
		spin_lock(&queue->lock);
	}
	WRITE_ONCE(queue->draining, false);
out:
	spin_unlock_bh(&queue->lock);
	if (atomic_dec_return_release(&sa->parked) == 0)
		wake_up_var(&sa->parked);
}

static noinline int sg_fill_pieces(struct tcpseal_cursor *c, unsigned int len)
{
	unsigned int n = 0;

	while (len) {
		unsigned int part;

		if (++n == TCPSEAL_SG_MAX)
			return -EMSGSIZE;
		if (!c->left) {
			c->vec++;
			c->off = c->vec->bv_offset;
			c->left = c->vec->bv_len;
		}
		part = min(len, c->left);
		sg_set_page(&c->sg[n], c->vec->bv_page, part, c->off);
		tcpseal_cursor_move(c, part);
		len -= part;
	}
	sg_unmark_end(&c->sg[c->end]);
	sg_mark_end(&c->sg[n]);
	c->end = n;
	return 0;
}

/* The next @len bytes at the cursor, behind the AAD; mostly in one piece. */
static __always_inline int sg_fill(struct tcpseal_cursor *c, unsigned int len)
{
	/* of several pieces, sg[1] was not the last */
	if (unlikely(c->end != 1 || len > c->left || !len))
		return sg_fill_pieces(c, len);
	c->sg[1].offset = c->off;
	c->sg[1].length = len;
	tcpseal_cursor_move(c, len);
	return 0;
}

/*
 * One function for what completes now and what completes later: takes the
 * result of record job->cur and moves on.
 */
static void job_post(struct tcpseal_job *job, int err)
{
	if (unlikely(err))
		job->ops->failed(job, err);
	job->cur++;
}

static int job_loop(struct tcpseal_job *job);

TCPSEAL_CRYPTO_DONE(job_callback)
{
	struct tcpseal_job *job = data;

	if (err == -EINPROGRESS)	/* left the backlog, runs now */
		return;
	job->req_err = err;
	/* whoever comes second, submitter or completion, goes on */
	if (!atomic_dec_and_test(&job->handoff))
		return;
	local_bh_disable();
	/* the next record is looked at as it would be in the hook */
	rcu_read_lock();
	job_post(job, err);
	err = job_loop(job);
	rcu_read_unlock();
	if (err != -EINPROGRESS)
		job_done(job);
	local_bh_enable();
}

static struct tcpseal_job *job_new(unsigned int size)
{
	struct tcpseal_job *job = kmalloc(size, GFP_ATOMIC | __GFP_NOWARN);

	if (!job)
		return NULL;
	job->size = size;
	sg_init_table(job->from.sg, TCPSEAL_SG_MAX);
	sg_init_table(job->to.sg, TCPSEAL_SG_MAX);
	sg_set_buf(&job->from.sg[0], job->aad, 0);
	sg_set_buf(&job->to.sg[0], job->aad, 0);
	job->from.end = TCPSEAL_SG_MAX - 1;
	job->to.end = TCPSEAL_SG_MAX - 1;
	aead_request_set_callback(&job->req, CRYPTO_TFM_REQ_MAY_BACKLOG,
				  job_callback, job);
	return job;
}

/**
 * tcpseal_job_alloc() - a job with room for its parts
 * @sa: its key decides how much memory a request needs
 * @src: most pieces of the source
 * @dst: most pieces of the destination
 * @extra: bytes more, not zeroed, at job->extra
 *
 * Context: BH off. Return: the job, or NULL. Only the fields named here are
 * set, and the request's callback.
 */
struct tcpseal_job *tcpseal_job_alloc(struct tcpseal_sa *sa, unsigned int src,
				      unsigned int dst, unsigned int extra)
{
	unsigned int ctx = ALIGN(tcpseal_key_reqsize(sa->key), 8);
	unsigned int size = sizeof(struct tcpseal_job) + ctx +
			    (src + dst) * sizeof(struct bio_vec) + extra;
	struct tcpseal_job *job = this_cpu_xchg(spare, NULL);
	unsigned int had = job ? job->size : 0;

	if (had < size) {
		kfree(job);
		job = job_new(kmalloc_size_roundup(size));
		if (!job)
			return NULL;
	}
	job->sa = sa;
	job->tn = sa->tn;
	job->seal = false;
	job->must_sync = false;
	job->parked = false;
	job->done = false;
	job->err = 0;
	job->cur = 0;
	job->nr_dst = 0;
	job->src = (void *)(&job->req + 1) + ctx;
	job->dst = job->src + src;
	job->extra = job->dst + dst;
	return job;
}

/* The request of the next record: @len bytes of plaintext. */
static __always_inline int job_request(struct tcpseal_job *job,
				       unsigned int len)
{
	unsigned int src_len = len, dst_len = len;
	int err;

	if (job->seal)
		dst_len += TCPSEAL_TAG_LEN;
	else
		src_len += TCPSEAL_TAG_LEN;
	err = sg_fill(&job->from, src_len) ?: sg_fill(&job->to, dst_len);
	if (err)
		return err;
	aead_request_set_crypt(&job->req, job->from.sg, job->to.sg, src_len,
			       job->nonce);
	return 0;
}

/* Which cipher can be used here does not change while BH is off. */
static int job_cipher(struct tcpseal_job *job)
{
	struct crypto_aead *tfm = tcpseal_key_tfm(job->sa->key,
						  job->must_sync);

	if (unlikely(!tfm))
		return -ENOMEM;
	aead_request_set_tfm(&job->req, tfm);
	if (unlikely(tcpseal_key_is_slow(job->sa->key, tfm)))
		tcpseal_note(job->tn, TCPSEAL_NOTE_SYNC_CIPHER,
			     job->nr - job->cur);
	return 0;
}

/* Returns 0 when through (job->err set or not), or -EINPROGRESS. */
static int job_loop(struct tcpseal_job *job)
{
	int err = job_cipher(job), len;

	if (unlikely(err)) {
		job->err = err;
		return 0;
	}
	while (job->cur < job->nr) {
		len = job->ops->next(job);
		if (len < 0) {
			job->cur++;
			continue;
		}
		err = job_request(job, len);
		if (err) {
			job->err = err;
			return 0;
		}
		atomic_set(&job->handoff, 2);
		err = job->seal ? crypto_aead_encrypt(&job->req) :
				  crypto_aead_decrypt(&job->req);
		if (err == -EINPROGRESS || err == -EBUSY) {
			job_park(job);
			tcpseal_note(job->tn, TCPSEAL_NOTE_ASYNC, 1);
			if (!atomic_dec_and_test(&job->handoff))
				return -EINPROGRESS;
			err = job->req_err;
		}
		job_post(job, err);
	}
	return 0;
}

/**
 * tcpseal_job_run() - seal or open all records of a job
 * @job: complete
 *
 * Context: BH off, RCU.
 *
 * Return: 0 when the job is through: job->err tells how, and the caller goes
 * on with it. -EINPROGRESS when it was parked: job->ops->finish() will be
 * called, perhaps was already, and the caller must not touch the job nor its
 * skb any more.
 */
int tcpseal_job_run(struct tcpseal_job *job)
{
	if (job_loop(job) == -EINPROGRESS)
		return -EINPROGRESS;
	if (likely(!job->parked && list_empty_careful(&job->queue->list) &&
		   !READ_ONCE(job->queue->draining)))
		return 0;
	job_park(job);
	job_done(job);
	return -EINPROGRESS;
}
