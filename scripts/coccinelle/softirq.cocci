// SPDX-License-Identifier: GPL-2.0-only
/// What runs for each segment does so in softirq: it does not sleep, nor ask for memory
/// that might. Set-up and teardown of these files, by their names, may.
// Files: ^module/(egress|ingress|segment|seal|open|aead|skb|lane|hold|hook|mtu)\.c$

@@
identifier f !~ "_\(init\|exit\|wait\|purge\)$";
identifier gfp =~ "^GFP_\(KERNEL\|KERNEL_ACCOUNT\|USER\|NOFS\|NOIO\)$";
@@
f(...)
{
<+...
* gfp
...+>
}

@@
identifier f !~ "_\(init\|exit\|wait\|purge\)$";
identifier sleeps =~ "^\(mutex_lock\|mutex_lock_interruptible\|msleep\|usleep_range\|might_sleep\|synchronize_rcu\|synchronize_net\|rcu_barrier\|cancel_work_sync\|cancel_delayed_work_sync\|flush_work\|flush_delayed_work\|flush_workqueue\|wait_event.*\|wait_var_event\|wait_for_completion.*\|kvmalloc\|kvzalloc\|kvcalloc\|vmalloc\|schedule\|rtnl_lock\)$";
@@
f(...)
{
<+...
* sleeps(...)
...+>
}
