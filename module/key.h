/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Raw key bytes, ciphers and nonces. key.c is the only file that sees key
 * bytes or makes a nonce; they leave it only into the crypto API.
 */
#ifndef TCPSEAL_KEY_H
#define TCPSEAL_KEY_H

#include <crypto/aead.h>
#include "tcpseal.h"

struct tcpseal_key;

void tcpseal_key_warm_up(void);
int tcpseal_key_check_driver(const char *name, struct netlink_ext_ack *extack);
/**
 * tcpseal_key_alloc() - set up the ciphers of one SA
 * @aead: AES-256-GCM or AES-128-GCM
 * @driver: name for the crypto API, "" for gcm(aes)
 * @key: key bytes; the caller wipes its copy
 * @keylen: must be 32 or 16 as @aead says
 * @iv: TCPSEAL_IV_LEN bytes
 * @extack: says what was wrong
 *
 * Context: process, may sleep. Return: the key or an ERR_PTR.
 */
struct tcpseal_key *tcpseal_key_alloc(enum tcpseal_aead aead,
				      const char *driver, const u8 *key,
				      unsigned int keylen, const u8 *iv,
				      struct netlink_ext_ack *extack);
/* Wipe and free. Process context, may sleep: callers use a work item. */
void tcpseal_key_free(struct tcpseal_key *key);
/*
 * The cipher for this CPU now: SIMD if usable, else the synchronous one. NULL
 * if @must_sync and that is not there yet. BH off.
 */
struct crypto_aead *tcpseal_key_tfm(struct tcpseal_key *key, bool must_sync);
bool tcpseal_key_is_slow(const struct tcpseal_key *key,
			 const struct crypto_aead *tfm);
/* Largest crypto_aead_reqsize() of its ciphers. */
unsigned int tcpseal_key_reqsize(const struct tcpseal_key *key);
/* Nonce of (lane, counter) into TCPSEAL_IV_LEN bytes. */
void tcpseal_key_nonce(const struct tcpseal_key *key, u8 lane, u64 counter,
		       u8 *nonce);
/* "driver", or "driver + driver of the synchronous one" when that is there. */
void tcpseal_key_driver(const struct tcpseal_key *key, char *buf, size_t len);
/*
 * Same key used before in this namespace since load, in either direction?
 * Keeps only a keyed hash. Process context. Return: 0, -EKEYREJECTED, -ENOMEM.
 */
int tcpseal_key_once(const struct net *net, const u8 *key,
		     unsigned int keylen);
void tcpseal_key_once_exit(void);

#endif /* TCPSEAL_KEY_H */
