// SPDX-License-Identifier: GPL-2.0-only
/*
 * gcm_check - AES-GCM by OpenSSL, for test vectors
 *
 * Each line of standard input is KEY NONCE AAD SEALED PLAIN in hexadecimal,
 * PLAIN being "-" where it is empty. PLAIN must seal to SEALED, ciphertext and
 * tag. Says how many did, and ends with 1 at the first that did not.
 */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <openssl/evp.h>

#define TAG	16
#define MAX	4096

struct bytes {
	unsigned char	data[MAX];
	int		len;
};

static void from_hex(struct bytes *b, const char *word)
{
	size_t len = strcmp(word, "-") ? strlen(word) : 0, i;

	if (len % 2 || len / 2 > MAX)
		errx(1, "not bytes: %s", word);
	for (i = 0; i < len / 2; i++)
		if (sscanf(word + 2 * i, "%2hhx", &b->data[i]) != 1)
			errx(1, "not hexadecimal: %s", word);
	b->len = len / 2;
}

static int seal(const struct bytes *key, const struct bytes *nonce,
		const struct bytes *aad, const struct bytes *plain,
		struct bytes *out)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int n = 0, ok;

	ok = ctx && nonce->len == 12 && plain->len <= MAX - TAG &&
	     EVP_EncryptInit_ex(ctx, key->len == 32 ? EVP_aes_256_gcm() :
				EVP_aes_128_gcm(), NULL, key->data,
				nonce->data) &&
	     EVP_EncryptUpdate(ctx, NULL, &n, aad->data, aad->len) &&
	     EVP_EncryptUpdate(ctx, out->data, &n, plain->data, plain->len) &&
	     EVP_EncryptFinal_ex(ctx, out->data + plain->len, &n) &&
	     EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG,
				 out->data + plain->len);
	out->len = plain->len + TAG;
	EVP_CIPHER_CTX_free(ctx);
	return ok;
}

int main(void)
{
	static struct bytes key, nonce, aad, sealed, plain, out;
	struct bytes *words[] = { &key, &nonce, &aad, &sealed, &plain };
	static char word[2 * MAX + 1];
	unsigned int n = 0;

	while (scanf("%8192s", word) == 1) {
		from_hex(words[n % 5], word);
		if (++n % 5)
			continue;
		if (!seal(&key, &nonce, &aad, &plain, &out) ||
		    out.len != sealed.len ||
		    memcmp(out.data, sealed.data, out.len))
			errx(1, "record %u: sealed to something else", n / 5);
	}
	if (n % 5)
		errx(1, "the last line is not complete");
	printf("%u records\n", n / 5);
	return 0;
}
