// SPDX-License-Identifier: GPL-2.0-only
/// Who takes a reference or a job, and returns without having passed it on, gives it back.
// Files: ^module/

@@
expression x, e;
statement S;
@@
(
x = tcpseal_job_alloc(...);
|
x = sockfd_lookup(...);
)
if (!x) S
... when != tcpseal_job_free(x)
    when != sockfd_put(x)
    when != e = x
(
return x;
|
* return ...;
)

@@
identifier x;
type T;
expression e;
statement S;
@@
T x = tcpseal_job_alloc(...);
... when != x
if (!x) S
... when != tcpseal_job_free(x)
    when != e = x
(
return x;
|
* return ...;
)

@@
expression x, e;
statement S;
@@
if (!tcpseal_sa_get_live(x)) S
... when != tcpseal_sa_put(x)
    when != llist_add(&x->opened_node, ...)
    when != e = x
* return ...;

@@
expression x, e, r;
identifier f;
@@
tcpseal_pair_get(x);
... when != tcpseal_pair_put(x)
    when != e = x
    when != f(..., x, ...)
(
return x;
|
* return r;
)
