// SPDX-License-Identifier: GPL-2.0-only
/// Who takes a lock gives it back on each way out.
// Files: ^module/

@@
expression E;
@@
(
* spin_lock_bh(E)
|
* spin_lock(E)
|
* mutex_lock(E)
|
* local_lock(E)
|
* read_lock_bh(E)
|
* write_lock_bh(E)
)
... when != \(spin_unlock_bh\|spin_unlock\|mutex_unlock\|local_unlock\|read_unlock_bh\|write_unlock_bh\)(E)
* return ...;

@@
@@
* rcu_read_lock()
... when != rcu_read_unlock()
* return ...;

@@
@@
* rcu_read_lock_bh()
... when != rcu_read_unlock_bh()
* return ...;

@@
@@
* local_bh_disable()
... when != local_bh_enable()
* return ...;
