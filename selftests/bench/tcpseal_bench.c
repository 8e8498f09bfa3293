// SPDX-License-Identifier: GPL-2.0-only
/*
 * For scripts/bench, in the laboratory only: what the cipher alone costs, and
 * where the instructions go.
 *
 * "CHUNK AAD COUNT" written to the parameter aead seals and opens COUNT bursts of
 * such chunks: 64 KiB, or 45 chunks; aead_ticks then has the ticks of the time
 * stamp counter, aead_bytes how many bytes that were. "PERIOD" (in
 * nanoseconds, 0 to end) written to the parameter profile samples the
 * interrupted instruction and its callers; tcpseal_bench in debugfs has them
 * when sampling has ended, as struct sample.
 */
#include <crypto/aead.h>
#include <linux/debugfs.h>
#include <linux/hrtimer.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/stacktrace.h>
#include <linux/version.h>
#include <linux/vmalloc.h>
#include <asm/irq_regs.h>
#include <asm/msr.h>
#include <asm/tsc.h>

#define TAG_LEN		16
#define IV_LEN		12
#define AAD_MAX		128
/* a record's header and tag: the space between two chunks when sealed */
#define OVERHEAD	32
/* in one super-segment, at the usual MTU; at most */
#define RECORDS		45U

#define FRAMES		30
#define SKIPPED		20	/* of the interrupt itself */
#define SAMPLES		(1 << 17)

struct sample {
	unsigned long frame[FRAMES];	/* the innermost first */
	char comm[8];			/* of a program, not of the kernel */
};

static struct sample *samples;
static struct debugfs_blob_wrapper blob;
static unsigned int nr_samples;
static unsigned int period;		/* on average; 0: do not sample */
static struct hrtimer timer;
static struct dentry *dir;
static unsigned long long aead_ticks, aead_bytes;
module_param(aead_ticks, ullong, 0444);
module_param(aead_bytes, ullong, 0444);

static int aead_setup(struct crypto_aead *tfm)
{
	static const u8 key[32] = "an example of a key, 32 bytes  ";

	return crypto_aead_setkey(tfm, key, sizeof(key)) ?:
	       crypto_aead_setauthsize(tfm, TAG_LEN);
}

/* One super-segment and the same sealed, each back to back as TCP has it */
struct burst {
	u8 *plain, *sealed, *opened;
	u8 aad[AAD_MAX], iv[IV_LEN];
	unsigned int chunk, nr;
	struct scatterlist from[2], to[2];
	struct aead_request *req;
};

static void burst_free(struct burst *b)
{
	free_pages((unsigned long)b->plain, get_order(SZ_64K));
	free_pages((unsigned long)b->sealed, get_order(SZ_128K));
	free_pages((unsigned long)b->opened, get_order(SZ_64K));
	aead_request_free(b->req);
	kfree(b);
}

static struct burst *burst_alloc(struct crypto_aead *tfm, unsigned int chunk,
				 unsigned int aad_len)
{
	struct burst *b = kzalloc(sizeof(*b), GFP_KERNEL);
	const gfp_t gfp = GFP_KERNEL | __GFP_ZERO;

	if (!b)
		return NULL;
	b->plain = (u8 *)__get_free_pages(gfp, get_order(SZ_64K));
	b->sealed = (u8 *)__get_free_pages(gfp, get_order(SZ_128K));
	b->opened = (u8 *)__get_free_pages(gfp, get_order(SZ_64K));
	b->req = aead_request_alloc(tfm, GFP_KERNEL);
	if (!b->plain || !b->sealed || !b->opened || !b->req) {
		burst_free(b);
		return NULL;
	}
	b->chunk = chunk;
	b->nr = min(SZ_64K / chunk, RECORDS);
	sg_init_table(b->from, 2);
	sg_set_buf(&b->from[0], b->aad, aad_len);
	sg_init_table(b->to, 2);
	sg_set_buf(&b->to[0], b->aad, aad_len);
	aead_request_set_callback(b->req, 0, NULL, NULL);
	aead_request_set_ad(b->req, aad_len);
	return b;
}

/*
 * The least that a caller of the crypto API can do: request and scatterlists
 * are set up once, only the pieces and the nonce change.
 */
static int burst_crypt(struct burst *b, bool seal, u32 nonce)
{
	unsigned int sealed = b->chunk + OVERHEAD, i;
	int err;

	for (i = 0; i < b->nr; i++) {
		u8 *record = b->sealed + i * sealed + OVERHEAD - TAG_LEN;

		*(u32 *)b->iv = nonce + i;
		if (seal) {
			sg_set_buf(&b->from[1], b->plain + i * b->chunk,
				   b->chunk);
			sg_set_buf(&b->to[1], record, b->chunk + TAG_LEN);
			aead_request_set_crypt(b->req, b->from, b->to,
					       b->chunk, b->iv);
			err = crypto_aead_encrypt(b->req);
		} else {
			sg_set_buf(&b->from[1], record, b->chunk + TAG_LEN);
			sg_set_buf(&b->to[1], b->opened + i * b->chunk,
				   b->chunk);
			aead_request_set_crypt(b->req, b->from, b->to,
					       b->chunk + TAG_LEN, b->iv);
			err = crypto_aead_decrypt(b->req);
		}
		if (err)
			return err;
	}
	return 0;
}

static int aead_measure(struct crypto_aead *tfm, unsigned int chunk,
			unsigned int aad_len, unsigned int count)
{
	struct burst *b = burst_alloc(tfm, chunk, aad_len);
	unsigned int i;
	int err = 0;
	u64 start;

	if (!b)
		return -ENOMEM;
	start = rdtsc_ordered();
	for (i = 0; i < count && !err; i++) {
		local_bh_disable();
		err = burst_crypt(b, true, i * b->nr) ?:
		      burst_crypt(b, false, i * b->nr);
		local_bh_enable();
	}
	aead_ticks = rdtsc_ordered() - start;
	aead_bytes = (u64)count * b->nr * chunk;
	burst_free(b);
	return err;
}

static int aead_set(const char *val, const struct kernel_param *kp)
{
	unsigned int chunk, aad_len, count;
	struct crypto_aead *tfm;
	int err;

	if (sscanf(val, "%u %u %u", &chunk, &aad_len, &count) != 3 ||
	    !chunk || chunk > SZ_16K || aad_len > AAD_MAX || !count)
		return -EINVAL;
	tfm = crypto_alloc_aead("gcm(aes)", 0, 0);
	if (IS_ERR(tfm))
		return PTR_ERR(tfm);
	err = aead_setup(tfm) ?: aead_measure(tfm, chunk, aad_len, count);
	if (!err)
		pr_info("tcpseal_bench: %s: %llu\n",
			crypto_tfm_alg_driver_name(crypto_aead_tfm(tfm)),
			aead_ticks);
	crypto_free_aead(tfm);
	return err;
}

static const struct kernel_param_ops aead_ops = { .set = aead_set };
module_param_cb(aead, &aead_ops, NULL, 0200);

static void take_sample(struct pt_regs *regs)
{
	unsigned long frames[FRAMES + SKIPPED];
	struct sample *s = &samples[nr_samples];
	unsigned int i, n;

	memset(s, 0, sizeof(*s));
	if (user_mode(regs)) {
		/* the spinner of bench_net: nobody's work */
		if (current->policy == SCHED_IDLE)
			return;
		strscpy(s->comm, current->comm, sizeof(s->comm));
		nr_samples++;
		return;
	}
	n = stack_trace_save(frames, ARRAY_SIZE(frames), 0);
	for (i = 0; i < n && frames[i] != regs->ip; i++)
		;
	if (i == n) {
		s->frame[0] = regs->ip;
	} else {
		n = min(n - i, (unsigned int)FRAMES);
		memcpy(s->frame, frames + i, n * sizeof(*frames));
	}
	nr_samples++;
}

static enum hrtimer_restart sample(struct hrtimer *t)
{
	struct pt_regs *regs = get_irq_regs();
	unsigned int now = READ_ONCE(period);

	if (!now)
		return HRTIMER_NORESTART;
	if (regs && nr_samples < SAMPLES)
		take_sample(regs);
	/*
	 * Never in step with what is measured. The time that the sample took is
	 * not in it: deep stacks take longer, and would be seen more often.
	 */
	hrtimer_set_expires(t, ktime_add_ns(ktime_get(), now / 2 +
					    get_random_u32() % now));
	return HRTIMER_RESTART;
}

static int profile_set(const char *val, const struct kernel_param *kp)
{
	unsigned int value;
	int err;

	err = kstrtouint(val, 0, &value);
	if (err)
		return err;
	WRITE_ONCE(period, 0);
	hrtimer_cancel(&timer);
	blob.size = nr_samples * sizeof(*samples);
	if (!value)
		return 0;
	if (value < 1000)
		return -ERANGE;
	nr_samples = 0;
	WRITE_ONCE(period, value);
	hrtimer_start(&timer, ns_to_ktime(value), HRTIMER_MODE_REL_PINNED_HARD);
	return 0;
}

static const struct kernel_param_ops profile_ops = { .set = profile_set };
module_param_cb(profile, &profile_ops, NULL, 0200);

static int __init bench_init(void)
{
	samples = vcalloc(SAMPLES, sizeof(*samples));
	if (!samples)
		return -ENOMEM;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
	hrtimer_setup(&timer, sample, CLOCK_MONOTONIC,
		      HRTIMER_MODE_REL_PINNED_HARD);
#else
	hrtimer_init(&timer, CLOCK_MONOTONIC, HRTIMER_MODE_REL_PINNED_HARD);
	timer.function = sample;
#endif
	blob.data = samples;
	dir = debugfs_create_blob("tcpseal_bench", 0400, NULL, &blob);
	return 0;
}

static void __exit bench_exit(void)
{
	WRITE_ONCE(period, 0);
	hrtimer_cancel(&timer);
	debugfs_remove(dir);
	vfree(samples);
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_DESCRIPTION("Measurements for scripts/bench of tcpseal");
MODULE_LICENSE("GPL");
