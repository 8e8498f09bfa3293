// SPDX-License-Identifier: GPL-2.0-only
/*
 * Keys die when the machine may wake up as something else: on suspend and
 * hibernation, because memory leaves our hands, and when a virtual machine
 * finds itself cloned or rolled back, because two that go on with the same
 * counters would repeat nonces. What was sealed between the snapshot and the
 * notice is the window that remains.
 */
#include <linux/notifier.h>
#include <linux/random.h>
#include <linux/suspend.h>

#include "power.h"
#include "sa.h"

/* From the notice of a suspend to the end of it, or of the attempt */
static bool asleep;

/**
 * tcpseal_power_asleep() - is the machine about to suspend, or suspended
 *
 * The daemon goes on for a while after the keys were removed. A key that it
 * brought then would be in the image of a hibernation, with its counters.
 *
 * Context: under the tn->lock of whoever would add a key: either this is seen,
 * or the removal, which comes after it and takes that lock, sees the key.
 *
 * Return: true if it is.
 */
bool tcpseal_power_asleep(void)
{
	return READ_ONCE(asleep);
}

static void wipe_all(const char *why)
{
	struct net *net;

	pr_info("%s: all keys are removed\n", why);
	down_read(&net_rwsem);
	for_each_net(net)
		tcpseal_sa_flush(tcpseal_net(net), 0);
	up_read(&net_rwsem);
	/* the raw bytes go behind a grace period */
	rcu_barrier();
	flush_workqueue(tcpseal_wq);
}

static int pm_event(struct notifier_block *nb, unsigned long event, void *ptr)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
		WRITE_ONCE(asleep, true);
		wipe_all("suspend");
		break;
	case PM_POST_SUSPEND:
	case PM_POST_HIBERNATION:
		WRITE_ONCE(asleep, false);
		break;
	}
	return NOTIFY_DONE;
}

static int vmfork_event(struct notifier_block *nb, unsigned long event,
			void *ptr)
{
	wipe_all("this virtual machine was cloned");
	return NOTIFY_DONE;
}

static struct notifier_block pm_notifier = {
	.notifier_call	= pm_event,
};

static struct notifier_block vmfork_notifier = {
	.notifier_call	= vmfork_event,
};

int tcpseal_power_init(void)
{
	int err;

	err = register_pm_notifier(&pm_notifier);
	if (err)
		return err;
	err = register_random_vmfork_notifier(&vmfork_notifier);
	if (err)
		unregister_pm_notifier(&pm_notifier);
	return err;
}

void tcpseal_power_exit(void)
{
	unregister_random_vmfork_notifier(&vmfork_notifier);
	unregister_pm_notifier(&pm_notifier);
}
