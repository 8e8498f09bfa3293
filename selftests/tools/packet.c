// SPDX-License-Identifier: GPL-2.0-only
#define _GNU_SOURCE
#include <err.h>
#include <openssl/evp.h>
#include <string.h>

#include "packet.h"

void packet_take(struct packet *p, const struct frame *f, unsigned int k)
{
	unsigned int n = frame_segments(f), len;
	const uint8_t *payload = frame_segment(f, k, &len);
	uint8_t *th;

	p->family = f->family;
	p->ip_len = f->ip_len;
	p->th_len = f->th_len;
	memcpy(p->data, f->ip, f->ip_len + f->th_len);
	memcpy(packet_payload(p), payload, len);
	p->len = f->ip_len + f->th_len + len;
	th = packet_th(p);
	put32(th + 4, f->seq + k * f->gso_size);
	if (k)
		th[13] &= ~TH_CWR;
	if (k + 1 < n)
		th[13] &= ~(TH_FIN | TH_PSH);
}

void packet_widen(struct packet *p, const uint8_t *extra, unsigned int n)
{
	memmove(p->data + p->ip_len + n, p->data + p->ip_len, p->len - p->ip_len);
	memcpy(p->data + p->ip_len, extra, n);
	p->ip_len += n;
	p->len += n;
}

void packet_start(struct packet *p, int family, const void *from, const void *to)
{
	memset(p->data, 0, 128);
	p->family = family;
	if (family == AF_INET) {
		p->ip_len = 20;
		p->data[0] = 0x45;
		p->data[8] = 64;
		p->data[9] = IPPROTO_TCP;
		memcpy(p->data + 12, from, 4);
		memcpy(p->data + 16, to, 4);
	} else {
		p->ip_len = 40;
		p->data[0] = 0x60;
		p->data[6] = IPPROTO_TCP;
		p->data[7] = 64;
		memcpy(p->data + 8, from, 16);
		memcpy(p->data + 24, to, 16);
	}
	p->th_len = 20;
	packet_th(p)[12] = 5 << 4;
	p->len = p->ip_len + p->th_len;
}

/* Of a SYN the value of its MSS option is not signed. */
static void mask_mss(uint8_t *th, unsigned int len)
{
	unsigned int i = 20;

	while (i < len && th[i]) {
		if (th[i] == 1) {
			i++;
			continue;
		}
		if (len - i < 2 || th[i + 1] < 2 || th[i + 1] > len - i)
			return;
		if (th[i] == 2 && th[i + 1] == 4) {
			put16(th + i + 2, 0);
			return;
		}
		i += th[i + 1];
	}
}

void packet_seal(const struct packet *p, uint8_t *r, const uint8_t *plain,
		 uint32_t seq, const struct packet_key *key)
{
	uint8_t aad[TCPSEAL_AAD_MAX], nonce[TCPSEAL_IV_LEN], *th;
	const struct tcpseal_record *hdr = (const void *)r;
	unsigned int alen = p->family == AF_INET ? 8 : 32, used, i;
	unsigned int len = be16toh(hdr->length);
	uint64_t n64 = (uint64_t)hdr->lane << 48 | tcpseal_record_counter(hdr);
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n;

	memcpy(aad, r, TCPSEAL_HDR_LEN);
	memcpy(aad + TCPSEAL_HDR_LEN,
	       p->data + (p->family == AF_INET ? 12 : 8), alen);
	th = aad + TCPSEAL_HDR_LEN + alen;
	memcpy(th, p->data + p->ip_len, p->th_len);
	put32(th + 4, seq);
	th[13] &= ~(TH_FIN | TH_PSH | TH_CWR);
	put16(th + 16, 0);
	if (th[13] & TH_SYN)
		mask_mss(th, p->th_len);
	used = TCPSEAL_HDR_LEN + alen + p->th_len;

	memcpy(nonce, key->iv, sizeof(nonce));
	for (i = 0; i < 8; i++)
		nonce[4 + i] ^= n64 >> (56 - 8 * i);
	if (!ctx || !EVP_EncryptInit_ex(ctx, key->len == 32 ?
					EVP_aes_256_gcm() : EVP_aes_128_gcm(),
					NULL, key->key, nonce) ||
	    !EVP_EncryptUpdate(ctx, NULL, &n, aad, used) ||
	    !EVP_EncryptUpdate(ctx, r + TCPSEAL_HDR_LEN, &n, plain, len) ||
	    !EVP_EncryptFinal_ex(ctx, r + TCPSEAL_HDR_LEN + len, &n) ||
	    !EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TCPSEAL_TAG_LEN,
				 r + TCPSEAL_HDR_LEN + len))
		errx(1, "AES-GCM");
	EVP_CIPHER_CTX_free(ctx);
}
