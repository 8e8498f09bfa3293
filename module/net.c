// SPDX-License-Identifier: GPL-2.0-only
/*
 * Network namespaces: their state, their hooks, and what runs once a second.
 */
#include <linux/module.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/netfilter/ipv4/nf_defrag_ipv4.h>
#include <net/netfilter/ipv6/nf_defrag_ipv6.h>
#include <net/netns/generic.h>

#include "audit.h"
#include "bypass.h"
#include "ctrl.h"
#include "hold.h"
#include "mtu.h"
#include "net.h"
#include "sa.h"
#include "stats.h"
#include "txn.h"

unsigned int tcpseal_net_id;
struct workqueue_struct *tcpseal_wq;

struct tcpseal_net *tcpseal_net(const struct net *net)
{
	return net_generic(net, tcpseal_net_id);
}

void tcpseal_net_kick(struct tcpseal_net *tn)
{
	if (!READ_ONCE(tn->dying))
		mod_delayed_work(tcpseal_wq, &tn->gc, 0);
}

void tcpseal_net_pin(struct tcpseal_net *tn)
{
	bool live = atomic_read(&tn->nr_sas);

	lockdep_assert_held(&tn->lock);
	if (live == tn->pinned)
		return;
	tn->pinned = live;
	/* Its own code runs, so there is a reference, or a caller has one */
	if (live)
		__module_get(THIS_MODULE);
	else
		module_put(THIS_MODULE);
}

/* Merged segments of LRO cannot be told apart again; GRO's can. */
static void lro_off(struct work_struct *work)
{
	struct tcpseal_net *tn = container_of(work, struct tcpseal_net, lro);
	struct net_device *dev;

	rtnl_lock();
	for_each_netdev(tn->net, dev)
		if (dev->features & NETIF_F_LRO)
			dev_disable_lro(dev);
	rtnl_unlock();
}

/*
 * A device came, or got a feature back. From a work item, because who sends
 * the event may hold locks of the device.
 */
static int netdev_event(struct notifier_block *nb, unsigned long event,
			void *ptr)
{
	struct net_device *dev = netdev_notifier_info_to_dev(ptr);
	struct tcpseal_net *tn = tcpseal_net(dev_net(dev));

	switch (event) {
	case NETDEV_REGISTER:
	case NETDEV_UP:
	case NETDEV_FEAT_CHANGE:
		if (tn && READ_ONCE(tn->lro_off) && dev->features & NETIF_F_LRO)
			queue_work(tcpseal_wq, &tn->lro);
	}
	return NOTIFY_DONE;
}

static struct notifier_block netdev_notifier = {
	.notifier_call	= netdev_event,
};

static int defrag_enable(struct tcpseal_net *tn, bool v6)
{
	if (!v6)
		return nf_defrag_ipv4_enable(tn->net);
#if IS_ENABLED(CONFIG_IPV6)
	return nf_defrag_ipv6_enable(tn->net);
#else
	return -EAFNOSUPPORT;
#endif
}

static void defrag_disable(struct tcpseal_net *tn, bool v6)
{
	if (!v6)
		nf_defrag_ipv4_disable(tn->net);
#if IS_ENABLED(CONFIG_IPV6)
	else
		nf_defrag_ipv6_disable(tn->net);
#endif
}

static const struct nf_hook_ops *hook_ops(bool v6)
{
	return v6 ? tcpseal_hook_ops6 : tcpseal_hook_ops4;
}

/**
 * tcpseal_net_hook() - see the traffic of a family
 * @tn: namespace
 * @family: AF_INET or AF_INET6
 * @extack: says why not
 *
 * Context: process, tn->lock. Return: 0, also if it does already.
 */
int tcpseal_net_hook(struct tcpseal_net *tn, u16 family,
		     struct netlink_ext_ack *extack)
{
	bool v6 = family == AF_INET6;
	int err;

	lockdep_assert_held(&tn->lock);
	if (tn->hooked[v6])
		return 0;
	if (tn->dying) {
		NL_SET_ERR_MSG(extack, "the network namespace is going away");
		return -ENONET;
	}
	err = defrag_enable(tn, v6);
	if (err) {
		NL_SET_ERR_MSG(extack, "cannot enable defragmentation");
		return err;
	}
	/* Not here: rtnl comes first elsewhere. Netlink waits for it */
	WRITE_ONCE(tn->lro_off, true);
	queue_work(tcpseal_wq, &tn->lro);
	err = nf_register_net_hooks(tn->net, hook_ops(v6),
				    TCPSEAL_HOOKS);
	if (err) {
		defrag_disable(tn, v6);
		WRITE_ONCE(tn->lro_off, tn->hooked[!v6]);
		NL_SET_ERR_MSG(extack, "cannot register netfilter hooks");
		return err;
	}
	tn->hooked[v6] = true;
	return 0;
}

void tcpseal_net_unhook(struct tcpseal_net *tn, u16 family)
{
	bool v6 = family == AF_INET6;

	lockdep_assert_held(&tn->lock);
	if (!tn->hooked[v6])
		return;
	nf_unregister_net_hooks(tn->net, hook_ops(v6),
				TCPSEAL_HOOKS);
	defrag_disable(tn, v6);
	tn->hooked[v6] = false;
	WRITE_ONCE(tn->lro_off, tn->hooked[!v6]);
}

/* Hooks stay while removed keys are to be refused, not just passed by. */
static bool unhook_unused(struct tcpseal_net *tn, const bool used[2])
{
	if (!used[0] && !tcpseal_link_any(tn, AF_INET))
		tcpseal_net_unhook(tn, AF_INET);
	if (!used[1] && !tcpseal_link_any(tn, AF_INET6))
		tcpseal_net_unhook(tn, AF_INET6);
	return tn->hooked[0] || tn->hooked[1];
}

/*
 * Once a second while there is anything to look after, and at once when a
 * record brought news.
 */
static void net_gc(struct work_struct *work)
{
	struct tcpseal_net *tn = container_of(to_delayed_work(work),
					      struct tcpseal_net, gc);
	bool used[2] = {}, more;

	mutex_lock(&tn->lock);
	if (tn->dying) {
		mutex_unlock(&tn->lock);
		return;
	}
	tcpseal_sa_news(tn);
	/* News may come often; the rest is looked at once a second */
	if (time_before(jiffies, tn->next_gc)) {
		more = true;
		goto unlock;
	}
	tn->next_gc = jiffies + HZ;
	more = tcpseal_sa_gc(tn, used);
	tcpseal_pair_gc(tn);
	tcpseal_pmtu_gc(tn);
	more |= tcpseal_ctrl_gc(tn);
	more |= unhook_unused(tn, used);
	more |= atomic_read(&tn->nr_pairs);
unlock:
	if (more)
		queue_delayed_work(tcpseal_wq, &tn->gc,
				   time_before(jiffies, tn->next_gc) ?
				   tn->next_gc - jiffies : 0);
	mutex_unlock(&tn->lock);
}

static void conf_init(struct tcpseal_conf *conf)
{
	conf->hold_secs = 3;
	conf->hold_pair = 64;
	conf->hold_user = 4096;
	conf->hold_net = 8192;
	conf->grace_msecs = 3000;
	conf->max_pairs = 262144;
	conf->tombstone_secs = 86400;
}

static int __net_init net_init(struct net *net)
{
	struct tcpseal_net *tn = tcpseal_net(net);
	int err;

	tn->net = net;
	mutex_init(&tn->lock);
	INIT_LIST_HEAD(&tn->txns);
	INIT_DELAYED_WORK(&tn->gc, net_gc);
	INIT_WORK(&tn->lro, lro_off);
	tcpseal_bypass_init(tn);
	tn->lane_seed = get_random_u32();
	get_random_bytes(&tn->ctrl_key, sizeof(tn->ctrl_key));
	conf_init(&tn->conf);
	tn->next_gc = jiffies;

	err = tcpseal_stats_init(tn);
	if (err)
		return err;
	err = tcpseal_policy_init(tn);
	if (err)
		goto exit_stats;
	err = tcpseal_pair_init(tn);
	if (err)
		goto exit_policy;
	err = tcpseal_sa_init(tn);
	if (err)
		goto exit_pair;
	err = tcpseal_ctrl_init(tn);
	if (err)
		goto exit_sa;
	err = tcpseal_hold_init(tn);
	if (err)
		goto exit_ctrl;
	err = tcpseal_pmtu_init(tn);
	if (err)
		goto exit_hold;
	return 0;

exit_hold:
	tcpseal_hold_exit(tn);
exit_ctrl:
	tcpseal_ctrl_exit(tn);
exit_sa:
	tcpseal_sa_exit(tn);
exit_pair:
	tcpseal_pair_exit(tn);
exit_policy:
	tcpseal_policy_exit(tn);
exit_stats:
	tcpseal_stats_exit(tn);
	return err;
}

/*
 * First step: nothing new starts. Hooks which run just now have ended when
 * synchronize_net() returns.
 */
static void __net_exit net_pre_exit(struct net *net)
{
	struct tcpseal_net *tn = tcpseal_net(net);

	mutex_lock(&tn->lock);
	WRITE_ONCE(tn->dying, true);
	tcpseal_net_unhook(tn, AF_INET);
	tcpseal_net_unhook(tn, AF_INET6);
	mutex_unlock(&tn->lock);
	cancel_work_sync(&tn->lro);
	tcpseal_bypass_exit(tn);
	cancel_delayed_work_sync(&tn->gc);
	/* Held segments have references on devices and sockets: not for long */
	synchronize_net();
	tcpseal_hold_purge(tn);
}

/*
 * Second step. Who may still hold something: requests to the crypto API (the
 * work that frees their SA waits for them), and RCU callbacks and work items of
 * SAs and pairs (waited for between the two purges, for all namespaces of a
 * batch at once).
 */
static void __net_exit net_exit_batch(struct list_head *nets)
{
	struct tcpseal_net *tn;
	struct net *net;

	list_for_each_entry(net, nets, exit_list) {
		tn = tcpseal_net(net);
		cancel_delayed_work_sync(&tn->gc);
		tcpseal_hold_exit(tn);
		tcpseal_sa_purge(tn);
	}
	/* call_rcu() of rcu_work first, then what it queued */
	rcu_barrier();
	flush_workqueue(tcpseal_wq);
	list_for_each_entry(net, nets, exit_list) {
		tn = tcpseal_net(net);
		tcpseal_sa_purge(tn);
		tcpseal_pmtu_exit(tn);
		tcpseal_ctrl_exit(tn);
		tcpseal_sa_exit(tn);
		tcpseal_pair_exit(tn);
		tcpseal_txn_exit(tn);
		tcpseal_policy_exit(tn);
		tcpseal_audit_exit(tn);
		tcpseal_stats_exit(tn);
	}
}

static struct pernet_operations net_ops = {
	.init		= net_init,
	.pre_exit	= net_pre_exit,
	.exit_batch	= net_exit_batch,
	.id		= &tcpseal_net_id,
	.size		= sizeof(struct tcpseal_net),
};

/* A socket went away: so does what it had registered, or not yet committed. */
static int netlink_event(struct notifier_block *nb, unsigned long event,
			 void *ptr)
{
	struct netlink_notify *n = ptr;

	if (event != NETLINK_URELEASE || n->protocol != NETLINK_GENERIC)
		return NOTIFY_DONE;
	tcpseal_ctrl_release(tcpseal_net(n->net), n->portid);
	tcpseal_txn_release(tcpseal_net(n->net), n->portid);
	return NOTIFY_DONE;
}

static struct notifier_block netlink_notifier = {
	.notifier_call	= netlink_event,
};

int __init tcpseal_net_init(void)
{
	int err;

	tcpseal_wq = alloc_workqueue("tcpseal", WQ_UNBOUND, 0);
	if (!tcpseal_wq)
		return -ENOMEM;
	err = register_pernet_subsys(&net_ops);
	if (err)
		goto destroy_wq;
	err = register_netdevice_notifier(&netdev_notifier);
	if (err)
		goto unregister_pernet;
	err = netlink_register_notifier(&netlink_notifier);
	if (err)
		goto unregister_netdevice;
	return 0;

unregister_netdevice:
	unregister_netdevice_notifier(&netdev_notifier);
unregister_pernet:
	unregister_pernet_subsys(&net_ops);
destroy_wq:
	destroy_workqueue(tcpseal_wq);
	return err;
}

void tcpseal_net_exit(void)
{
	netlink_unregister_notifier(&netlink_notifier);
	unregister_netdevice_notifier(&netdev_notifier);
	unregister_pernet_subsys(&net_ops);
	/* Memory of pairs, links and sockets goes by call_rcu() */
	rcu_barrier();
	destroy_workqueue(tcpseal_wq);
}
