// SPDX-License-Identifier: GPL-2.0-only
/// Key bytes are seen by key.c alone: others pass on where they lie in the request, to
/// functions of key.c, and wipe them. Ciphers are made and keyed nowhere else.
// Files: ^module/
// Not: ^module/key\.c$

@passed@
expression E, A;
position p;
@@
(
tcpseal_key_alloc(..., E->secret@p, ...)
|
tcpseal_key_once(..., E->secret@p, ...)
|
E->secret@p = A
)

@@
expression E;
position p != passed.p;
@@
* E->secret@p

@request@
expression E, A;
position p;
@@
E->secret = nla_data@p(A[TCPSEAL_A_SA_KEY])

@@
expression A;
position p != request.p;
@@
* nla_data@p(A[TCPSEAL_A_SA_KEY])

@@
@@
(
* crypto_aead_setkey(...)
|
* crypto_alloc_aead(...)
|
* crypto_alloc_sync_aead(...)
|
* crypto_alloc_shash(...)
|
* crypto_alloc_skcipher(...)
|
* crypto_alloc_cipher(...)
)
