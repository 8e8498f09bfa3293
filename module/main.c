// SPDX-License-Identifier: GPL-2.0-only
/* tcpseal: transparent encryption of TCP between subnets. */
#include <linux/module.h>

#include "aead.h"
#include "key.h"
#include "net.h"
#include "netlink.h"
#include "power.h"
#include "skb.h"
#include "sockopt.h"

static int __init tcpseal_init(void)
{
	int err;

	tcpseal_key_warm_up();
	err = tcpseal_net_init();
	if (err)
		return err;
	err = tcpseal_power_init();
	if (err)
		goto exit_net;
	err = tcpseal_netlink_init();
	if (err)
		goto exit_power;
	err = tcpseal_sockopt_init();
	if (err)
		goto exit_netlink;
	return 0;

exit_netlink:
	tcpseal_netlink_exit();
exit_power:
	tcpseal_power_exit();
exit_net:
	tcpseal_net_exit();
	tcpseal_aead_exit();
	tcpseal_skb_exit();
	return err;
}

static void __exit tcpseal_exit(void)
{
	tcpseal_sockopt_exit();
	tcpseal_netlink_exit();
	tcpseal_power_exit();
	tcpseal_net_exit();
	tcpseal_aead_exit();
	tcpseal_skb_exit();
	tcpseal_key_once_exit();
}

module_init(tcpseal_init);
module_exit(tcpseal_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The tcpseal authors");
MODULE_DESCRIPTION("Transparent encryption of TCP between subnets");
MODULE_VERSION(TCPSEAL_VERSION);
MODULE_ALIAS_GENL_FAMILY(TCPSEAL_FAMILY_NAME);
MODULE_SOFTDEP("pre: nf_defrag_ipv4 nf_defrag_ipv6 gcm aesni_intel");
