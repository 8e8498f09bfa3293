// SPDX-License-Identifier: GPL-2.0-only
/*
 * Raw keys, ciphers and nonces: the only file that sees key bytes.
 *
 * They arrive in a netlink attribute, go into the crypto API, and are never
 * readable again. The caller wipes the attribute.
 */
#include <asm/simd.h>
#include <crypto/internal/simd.h>
#include <linux/hashtable.h>
#include <linux/siphash.h>
#include <linux/slab.h>
#include <linux/unaligned.h>
#include "key.h"

#define SYNC_RETRY	HZ

/*
 * @fast is what the crypto API prefers. On x86 it may be a wrapper that is
 * marked asynchronous because it queues to cryptd where SIMD registers cannot
 * be used; @sync, the same key in a synchronous cipher, serves those moments
 * at once, so that in practice nothing is queued. Its tables are large, and
 * most keys of a host are idle: it comes with the first packet, and until then
 * the raw key stays here.
 */
struct tcpseal_key {
	struct crypto_aead	*fast;
	struct crypto_aead	*sync;		/* NULL: not yet, or never */
	bool			async;		/* is @fast? */
	unsigned int		reqsize;	/* for either of them */
	unsigned long		asked;		/* bit 0: for @sync */
	struct delayed_work	sync_work;
	u8			iv[TCPSEAL_IV_LEN];
	u8			raw[32];	/* wiped when @sync has it */
	unsigned int		raw_len;
};

static unsigned int sync_reqsize;
/* Somebody could not wait for @sync: new keys have it from the start */
static bool sync_early;

static struct crypto_aead *cipher_alloc(const char *name, u32 mask,
					const u8 *key, unsigned int keylen)
{
	struct crypto_aead *tfm;
	int err;

	tfm = crypto_alloc_aead(name, 0, mask);
	if (IS_ERR(tfm))
		return tfm;
	err = -EINVAL;
	if (crypto_aead_ivsize(tfm) != TCPSEAL_IV_LEN)
		goto err_free;
	err = crypto_aead_setkey(tfm, key, keylen);
	if (err)
		goto err_free;
	err = crypto_aead_setauthsize(tfm, TCPSEAL_TAG_LEN);
	if (err)
		goto err_free;
	return tfm;

err_free:
	crypto_free_aead(tfm);
	return ERR_PTR(err);
}

/**
 * tcpseal_key_warm_up() - have the ciphers at hand
 *
 * The first allocation loads modules and runs their self-tests, which takes
 * longer than TCP waits for an answer to its SYN: not while one is held.
 *
 * Context: process, may sleep; at module init.
 */
void tcpseal_key_warm_up(void)
{
	static const u32 masks[] = { 0, CRYPTO_ALG_ASYNC };
	struct crypto_aead *tfm;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(masks); i++) {
		tfm = crypto_alloc_aead("gcm(aes)", 0, masks[i]);
		if (IS_ERR(tfm))
			continue;
		if (masks[i])
			sync_reqsize = crypto_aead_reqsize(tfm);
		crypto_free_aead(tfm);
	}
}

static int cipher_error(int err, struct netlink_ext_ack *extack)
{
	if (err == -ENOMEM)
		NL_SET_ERR_MSG(extack, "no memory for the cipher");
	else
		NL_SET_ERR_MSG(extack, "kernel crypto API has no such AEAD");
	return err;
}

/**
 * tcpseal_key_check_driver() - does the crypto API know an AEAD by this name?
 * @name: as for conf-set
 * @extack: says why not
 *
 * Context: process, may sleep. Return: 0, or what the crypto API answered.
 */
int tcpseal_key_check_driver(const char *name, struct netlink_ext_ack *extack)
{
	struct crypto_aead *tfm = crypto_alloc_aead(name, 0, 0);

	if (IS_ERR(tfm))
		return cipher_error(PTR_ERR(tfm), extack);
	crypto_free_aead(tfm);
	return 0;
}

/* Return: false if it should be tried again. */
static bool sync_alloc(struct tcpseal_key *key)
{
	struct crypto_aead *tfm = cipher_alloc("gcm(aes)", CRYPTO_ALG_ASYNC,
					       key->raw, key->raw_len);

	if (IS_ERR(tfm))
		return false;
	if (crypto_aead_reqsize(tfm) > key->reqsize) {
		/* another one than at init; jobs have no room for it */
		WRITE_ONCE(sync_reqsize, crypto_aead_reqsize(tfm));
		crypto_free_aead(tfm);
		return true;
	}
	/* pairs with tcpseal_key_tfm() */
	smp_store_release(&key->sync, tfm);
	memzero_explicit(key->raw, sizeof(key->raw));
	return true;
}

static void sync_work(struct work_struct *work)
{
	struct tcpseal_key *key = container_of(to_delayed_work(work),
					       struct tcpseal_key, sync_work);

	if (!sync_alloc(key))
		queue_delayed_work(tcpseal_wq, &key->sync_work, SYNC_RETRY);
}

/**
 * tcpseal_key_alloc() - set up the ciphers of one SA
 * @aead: AES-256-GCM or AES-128-GCM
 * @driver: name for the crypto API, "" for gcm(aes)
 * @key: key bytes; the caller wipes its copy
 * @keylen: must be 32 or 16 bytes as @aead says
 * @iv: TCPSEAL_IV_LEN bytes
 * @extack: says what was wrong
 *
 * Context: process, may sleep. Return: the key, or an ERR_PTR: -EINVAL for a
 * wrong length, else what the crypto API answered.
 */
struct tcpseal_key *tcpseal_key_alloc(enum tcpseal_aead aead,
				      const char *driver, const u8 *key,
				      unsigned int keylen, const u8 *iv,
				      struct netlink_ext_ack *extack)
{
	const char *name = *driver ? driver : "gcm(aes)";
	struct tcpseal_key *k;
	int err;

	if (keylen != (aead == TCPSEAL_AEAD_AES256_GCM ? 32 : 16)) {
		NL_SET_ERR_MSG(extack, "key length does not fit the AEAD");
		return ERR_PTR(-EINVAL);
	}
	k = kzalloc(sizeof(*k), GFP_KERNEL_ACCOUNT);
	if (!k)
		return ERR_PTR(cipher_error(-ENOMEM, extack));
	memcpy(k->iv, iv, TCPSEAL_IV_LEN);

	k->fast = cipher_alloc(name, 0, key, keylen);
	if (IS_ERR(k->fast)) {
		err = cipher_error(PTR_ERR(k->fast), extack);
		goto err_free;
	}
	k->reqsize = crypto_aead_reqsize(k->fast);
	k->async = crypto_aead_alg(k->fast)->base.cra_flags & CRYPTO_ALG_ASYNC;
	if (!k->async)
		return k;
	INIT_DELAYED_WORK(&k->sync_work, sync_work);
	k->reqsize = max(k->reqsize, READ_ONCE(sync_reqsize));
	memcpy(k->raw, key, keylen);
	k->raw_len = keylen;
	if (READ_ONCE(sync_early))
		sync_alloc(k);
	return k;

err_free:
	kfree_sensitive(k);
	return ERR_PTR(err);
}

/**
 * tcpseal_key_free() - wipe and free
 * @key: no request is in flight with it
 *
 * Context: process, may sleep (drivers may unmap); call it from a work item.
 */
void tcpseal_key_free(struct tcpseal_key *key)
{
	might_sleep();
	if (key->async)
		cancel_delayed_work_sync(&key->sync_work);
	if (key->sync)
		crypto_free_aead(key->sync);
	crypto_free_aead(key->fast);
	kfree_sensitive(key);
}

static noinline void sync_ask(struct tcpseal_key *key)
{
	if (!test_and_set_bit(0, &key->asked))
		queue_delayed_work(tcpseal_wq, &key->sync_work, 0);
}

/**
 * tcpseal_key_tfm() - the cipher to use on this CPU now
 * @key: the key
 * @must_sync: the caller cannot wait for a completion
 *
 * Context: BH off, so that the answer stays right until the request is made.
 * Return: the cipher, or NULL if @must_sync and there is none yet.
 */
struct crypto_aead *tcpseal_key_tfm(struct tcpseal_key *key, bool must_sync)
{
	struct crypto_aead *sync;

	if (!key->async)
		return key->fast;
	/* pairs with sync_alloc() */
	sync = smp_load_acquire(&key->sync);
	if (unlikely(!sync)) {
		sync_ask(key);
		if (!must_sync)
			return key->fast;
		WRITE_ONCE(sync_early, true);
		return NULL;
	}
	return must_sync || !crypto_simd_usable() ? sync : key->fast;
}

/**
 * tcpseal_key_is_slow() - is this the cipher for moments without SIMD?
 * @key: the key
 * @tfm: from tcpseal_key_tfm()
 */
bool tcpseal_key_is_slow(const struct tcpseal_key *key,
			 const struct crypto_aead *tfm)
{
	return tfm != key->fast;
}

/**
 * tcpseal_key_reqsize() - bytes of private request memory its ciphers need
 * @key: the key
 */
unsigned int tcpseal_key_reqsize(const struct tcpseal_key *key)
{
	return key->reqsize;
}

/**
 * tcpseal_key_nonce() - the nonce of a record
 * @key: the key
 * @lane: lane of the record
 * @counter: its counter, at most TCPSEAL_COUNTER_MAX
 * @nonce: TCPSEAL_IV_LEN bytes, IV XOR (lane, counter) as in RFC 8446 5.3
 */
void tcpseal_key_nonce(const struct tcpseal_key *key, u8 lane, u64 counter,
		       u8 *nonce)
{
	u64 seq = (u64)lane << 48 | counter;

	memcpy(nonce, key->iv, TCPSEAL_IV_LEN);
	put_unaligned_be64(get_unaligned_be64(nonce + 4) ^ seq, nonce + 4);
}

/**
 * tcpseal_key_driver() - which code encrypts, for people
 * @key: the key
 * @buf: gets "driver", or "driver + synchronous driver" once that is there
 * @len: size of @buf
 */
void tcpseal_key_driver(const struct tcpseal_key *key, char *buf, size_t len)
{
	const char *fast = crypto_aead_alg(key->fast)->base.cra_driver_name;
	/* pairs with sync_alloc() */
	struct crypto_aead *sync = smp_load_acquire(&key->sync);

	if (sync)
		scnprintf(buf, len, "%s + %s", fast,
			  crypto_aead_alg(sync)->base.cra_driver_name);
	else
		scnprintf(buf, len, "%s", fast);
}

/*
 * Keys seen since load, as keyed hashes: a key that comes a second time would
 * reuse nonces. Bounded; the oldest go.
 */
#define ONCE_MAX	65536

struct once {
	struct hlist_node	node;
	struct list_head	list;
	u64			hash[2];
};

static DEFINE_MUTEX(once_lock);
static DEFINE_HASHTABLE(once_table, 10);
static LIST_HEAD(once_list);
static unsigned int once_nr;
static siphash_key_t once_key[2];

/**
 * tcpseal_key_once() - refuse a key that was used before
 * @net: namespace; its neighbour on the same machine may be the other end
 * @key: key bytes
 * @keylen: how many
 *
 * Context: process. Return: 0, -EKEYREJECTED when the key was installed before
 * in this namespace since the module was loaded, in whatever direction;
 * -ENOMEM.
 */
int tcpseal_key_once(const struct net *net, const u8 *key,
		     unsigned int keylen)
{
	struct once *o, *new;
	int err = 0;
	u64 h[2];

	get_random_once(once_key, sizeof(once_key));
	h[0] = siphash(key, keylen, &once_key[0]) ^ net->net_cookie;
	h[1] = siphash(key, keylen, &once_key[1]);

	new = kmalloc(sizeof(*new), GFP_KERNEL_ACCOUNT);
	if (!new)
		return -ENOMEM;
	mutex_lock(&once_lock);
	hash_for_each_possible(once_table, o, node, h[0]) {
		if (o->hash[0] == h[0] && o->hash[1] == h[1]) {
			err = -EKEYREJECTED;
			kfree(new);
			goto out;
		}
	}
	memcpy(new->hash, h, sizeof(h));
	hash_add(once_table, &new->node, h[0]);
	list_add_tail(&new->list, &once_list);
	if (++once_nr > ONCE_MAX) {
		o = list_first_entry(&once_list, struct once, list);
		hash_del(&o->node);
		list_del(&o->list);
		kfree(o);
		once_nr--;
	}
out:
	mutex_unlock(&once_lock);
	return err;
}

/**
 * tcpseal_key_once_exit() - forget all hashes, at module exit
 */
void tcpseal_key_once_exit(void)
{
	struct once *o, *tmp;

	list_for_each_entry_safe(o, tmp, &once_list, list)
		kfree_sensitive(o);
	memzero_explicit(once_key, sizeof(once_key));
}
