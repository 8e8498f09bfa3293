// SPDX-License-Identifier: GPL-2.0-only
/*
 * Known answers of the ciphers that key.c sets up, nonces included; and that no
 * bit of a record can be changed.
 */
#include "../../module/key.c"
#include "aead.h"
#include "around.h"

struct vector {
	const char	*name, *key, *iv, *aad, *text, *sealed;
	unsigned int	keylen, aadlen, len;
	u8		lane;
	u64		counter;
};

#include "vectors.h"

static struct tcpseal_key *vector_key(struct kunit *test,
				      const struct vector *v)
{
	struct tcpseal_key *key;

	key = tcpseal_key_alloc(v->keylen == 32 ? TCPSEAL_AEAD_AES256_GCM :
						  TCPSEAL_AEAD_AES128_GCM,
				"", v->key, v->keylen, v->iv, NULL);
	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, key);
	/* a test is no reason to wait for the other cipher */
	if (key->async)
		KUNIT_ASSERT_TRUE(test, sync_alloc(key));
	return key;
}

/* Both ciphers of a key, one after the other. */
static struct crypto_aead *vector_tfm(struct tcpseal_key *key, bool sync)
{
	struct crypto_aead *tfm;

	local_bh_disable();
	tfm = tcpseal_key_tfm(key, sync);
	local_bh_enable();
	return tfm;
}

/* Nothing of no length is in the list, unless all of it is. */
static void vector_sg(struct scatterlist sg[2], const u8 *aad,
		      unsigned int aadlen, const u8 *text, unsigned int len)
{
	unsigned int n = 0;

	sg_init_table(sg, !!aadlen + !!len ?: 1);
	if (aadlen)
		sg_set_buf(&sg[n++], aad, aadlen);
	if (len || !n)
		sg_set_buf(&sg[n], text, len);
}

static int vector_run(struct kunit *test, struct tcpseal_key *key, bool sync,
		      const struct vector *v, const u8 *aad, const u8 *from,
		      u8 *to, bool seal)
{
	struct crypto_aead *tfm = vector_tfm(key, sync);
	unsigned int in = v->len + (seal ? 0 : TCPSEAL_TAG_LEN);
	unsigned int out = v->len + (seal ? TCPSEAL_TAG_LEN : 0);
	struct scatterlist src[2], dst[2];
	struct aead_request *req;
	u8 nonce[TCPSEAL_IV_LEN];
	DECLARE_CRYPTO_WAIT(wait);
	int err;

	req = aead_request_alloc(tfm, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	tcpseal_key_nonce(key, v->lane, v->counter, nonce);
	vector_sg(src, aad, v->aadlen, from, in);
	vector_sg(dst, aad, v->aadlen, to, out);
	aead_request_set_callback(req, CRYPTO_TFM_REQ_MAY_SLEEP |
				  CRYPTO_TFM_REQ_MAY_BACKLOG, crypto_req_done,
				  &wait);
	aead_request_set_ad(req, v->aadlen);
	aead_request_set_crypt(req, src, dst, in, nonce);
	err = crypto_wait_req(seal ? crypto_aead_encrypt(req) :
				     crypto_aead_decrypt(req), &wait);
	aead_request_free(req);
	return err;
}

static void known_answers(struct kunit *test)
{
	u8 *aad = kunit_kzalloc(test, TCPSEAL_AAD_MAX, GFP_KERNEL);
	u8 *from = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u8 *to = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned int i, sync;

	KUNIT_ASSERT_NOT_NULL(test, aad);
	KUNIT_ASSERT_NOT_NULL(test, from);
	KUNIT_ASSERT_NOT_NULL(test, to);
	for (i = 0; i < 2 * ARRAY_SIZE(vectors); i++) {
		const struct vector *v = &vectors[i / 2];
		struct tcpseal_key *key = vector_key(test, v);
		int err;

		sync = i & 1;
		memcpy(aad, v->aad, v->aadlen);
		memcpy(from, v->text, v->len);
		memset(to, 0, PAGE_SIZE);
		err = vector_run(test, key, sync, v, aad, from, to, true);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", v->name);
		KUNIT_EXPECT_MEMEQ_MSG(test, to, v->sealed,
				       v->len + TCPSEAL_TAG_LEN, "%s", v->name);
		memcpy(from, v->sealed, v->len + TCPSEAL_TAG_LEN);
		memset(to, 0, PAGE_SIZE);
		err = vector_run(test, key, sync, v, aad, from, to, false);
		KUNIT_EXPECT_EQ_MSG(test, err, 0, "%s", v->name);
		KUNIT_EXPECT_EQ_MSG(test, memcmp(to, v->text, v->len), 0, "%s",
				    v->name);
		tcpseal_key_free(key);
	}
}

/* Another bit anywhere, or another lane or counter: -EBADMSG. */
static void altered(struct kunit *test)
{
	u8 *aad = kunit_kzalloc(test, TCPSEAL_AAD_MAX, GFP_KERNEL);
	u8 *from = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	u8 *to = kunit_kzalloc(test, PAGE_SIZE, GFP_KERNEL);
	unsigned int i, bit, bits, passed = 0;

	KUNIT_ASSERT_NOT_NULL(test, aad);
	KUNIT_ASSERT_NOT_NULL(test, from);
	KUNIT_ASSERT_NOT_NULL(test, to);
	for (i = 0; i < ARRAY_SIZE(vectors); i++) {
		struct vector v = vectors[i];
		struct tcpseal_key *key;

		if (v.len > 129)
			continue;
		key = vector_key(test, &v);
		memcpy(aad, v.aad, v.aadlen);
		memcpy(from, v.sealed, v.len + TCPSEAL_TAG_LEN);
		bits = 8 * (v.aadlen + v.len + TCPSEAL_TAG_LEN);
		for (bit = 0; bit < bits; bit++) {
			u8 *byte = bit / 8 < v.aadlen ?
				   aad + bit / 8 : from + bit / 8 - v.aadlen;

			*byte ^= 1 << bit % 8;
			passed += vector_run(test, key, false, &v, aad, from,
					     to, false) != -EBADMSG;
			*byte ^= 1 << bit % 8;
		}
		for (bit = 0; bit < 48; bit++) {
			v.counter ^= BIT_ULL(bit);
			passed += vector_run(test, key, false, &v, aad, from,
					     to, false) != -EBADMSG;
			v.counter ^= BIT_ULL(bit);
		}
		for (bit = 0; bit < 6; bit++) {
			v.lane ^= 1 << bit;
			passed += vector_run(test, key, false, &v, aad, from,
					     to, false) != -EBADMSG;
			v.lane ^= 1 << bit;
		}
		tcpseal_key_free(key);
	}
	KUNIT_EXPECT_EQ(test, passed, 0U);
}

static void nonces_differ(struct kunit *test)
{
	struct tcpseal_key key = { .iv = "abcdefghijkl" };
	u8 nonce[TCPSEAL_IV_LEN], other[TCPSEAL_IV_LEN];
	unsigned int i, same = 0;

	for (i = 0; i < 100000; i++) {
		u64 a = ((u64)around_random() << 32 | around_random()) &
			TCPSEAL_COUNTER_MAX;
		u64 b = around_below(2) ? a : a ^ BIT_ULL(around_below(48));
		u8 lane_a = around_below(64), lane_b = around_below(64);

		tcpseal_key_nonce(&key, lane_a, a, nonce);
		tcpseal_key_nonce(&key, lane_b, b, other);
		same += !memcmp(nonce, other, sizeof(nonce)) !=
			(a == b && lane_a == lane_b);
	}
	KUNIT_EXPECT_EQ(test, same, 0U);
}

static void wrong_lengths(struct kunit *test)
{
	static const u8 bytes[64];
	struct tcpseal_key *key;
	unsigned int len;

	for (len = 0; len <= sizeof(bytes); len++) {
		if (len == 16 || len == 32)
			continue;
		key = tcpseal_key_alloc(TCPSEAL_AEAD_AES256_GCM, "", bytes,
					len, bytes, NULL);
		KUNIT_EXPECT_EQ(test, PTR_ERR(key), -EINVAL);
		key = tcpseal_key_alloc(TCPSEAL_AEAD_AES128_GCM, "", bytes,
					len, bytes, NULL);
		KUNIT_EXPECT_EQ(test, PTR_ERR(key), -EINVAL);
	}
	key = tcpseal_key_alloc(TCPSEAL_AEAD_AES128_GCM, "", bytes, 32, bytes,
				NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(key), -EINVAL);
	key = tcpseal_key_alloc(TCPSEAL_AEAD_AES256_GCM, "no-such(aes)", bytes,
				32, bytes, NULL);
	KUNIT_EXPECT_EQ(test, PTR_ERR(key), -ENOENT);
}

static int aead_init(struct kunit_suite *suite)
{
	tcpseal_wq = alloc_workqueue("tcpseal_kunit", WQ_UNBOUND, 0);
	if (!tcpseal_wq)
		return -ENOMEM;
	tcpseal_key_warm_up();
	return 0;
}

static void aead_exit(struct kunit_suite *suite)
{
	destroy_workqueue(tcpseal_wq);
}

static struct kunit_case aead_cases[] = {
	KUNIT_CASE(known_answers),
	KUNIT_CASE_SLOW(altered),
	KUNIT_CASE(nonces_differ),
	KUNIT_CASE(wrong_lengths),
	{}
};

static struct kunit_suite aead_suite = {
	.name		= "tcpseal_aead",
	.suite_init	= aead_init,
	.suite_exit	= aead_exit,
	.test_cases	= aead_cases,
};

kunit_test_suite(aead_suite);
