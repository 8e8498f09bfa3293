// SPDX-License-Identifier: GPL-2.0-only
/// Nothing writes to a page that the module did not allocate. What the stack has to write
/// into payload is not called; a cipher and a cursor write to job->dst alone, which
/// tcpseal_pages_alloc() fills.
// Files: ^module/

@@
@@
(
* skb_cow_data(...)
|
* skb_linearize(...)
|
* __skb_linearize(...)
|
* skb_linearize_cow(...)
|
* skb_to_sgvec(...)
|
* skb_to_sgvec_nomark(...)
|
* skb_store_bits(...)
|
* skb_frag_address(...)
|
* skb_frag_address_safe(...)
|
* memcpy_to_page(...)
|
* memset_page(...)
|
* memzero_page(...)
|
* copy_page_from_iter(...)
|
* kmap(...)
|
* kmap_atomic(...)
|
* kmap_local_page(...)
)

@crypt@
expression J, S, N;
position p;
@@
aead_request_set_crypt@p(&J->req, J->from.sg, J->to.sg, S, N)

@@
position p != crypt.p;
@@
* aead_request_set_crypt@p(...)

@cursor@
expression J, N;
position p;
@@
(
tcpseal_cursor_start@p(&J->to, J->dst, N)
|
tcpseal_cursor_start@p(&J->from, J->src, N)
)

@@
position p != cursor.p;
@@
* tcpseal_cursor_start@p(...)

@write@
expression J, F, N;
position p;
@@
tcpseal_cursor_write@p(&J->to, F, N)

@@
position p != write.p;
@@
* tcpseal_cursor_write@p(...)

// A cursor reads and writes; nobody else has the address of a page
@depends on !(file in "module/aead.h")@
@@
* page_address(...)
