/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between the kernels that tcpseal is built for. Included before
 * everything else; no other file asks for a version. Every entry says with
 * which kernel it can go.
 */
#ifndef TCPSEAL_COMPAT_H
#define TCPSEAL_COMPAT_H

/* Before any header, and this one comes first */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/version.h>
#include <net/genetlink.h>
#include <net/inet_hashtables.h>
#include <net/inet6_hashtables.h>
#include <net/tcp.h>

#include "datapath.h"

/*
 * 6.1: no split operations. Each of our commands is either a do or a dump, so
 * that an entry of the older table says the same, policy included.
 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 2, 0)
#define genl_split_ops		genl_ops
#define split_ops		ops
#define n_split_ops		n_ops

/* Ranges in policies were not const */
#undef NLA_POLICY_FULL_RANGE
#define NLA_POLICY_FULL_RANGE(tp, _range) {				\
	.type = NLA_ENSURE_UINT_OR_BINARY_TYPE(tp),			\
	.validation_type = NLA_VALIDATE_RANGE_PTR,			\
	.range = (struct netlink_range_validation *)(_range),		\
}

static inline struct nlattr **
tcpseal_dump_attrs(struct netlink_callback *cb)
{
	return genl_dumpit_info(cb)->attrs;
}
#else
static inline struct nlattr **
tcpseal_dump_attrs(struct netlink_callback *cb)
{
	return genl_info_dump(cb)->attrs;
}
#endif

/* 6.12: the table of sockets is an argument no more since 6.18 */
#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 18, 0)
static inline struct sock *
tcpseal_lookup_established4(struct net *net, __be32 saddr, __be16 sport,
			    __be32 daddr, u16 hnum, int dif, int sdif)
{
	return __inet_lookup_established(net, net->ipv4.tcp_death_row.hashinfo,
					 saddr, sport, daddr, hnum, dif, sdif);
}

static inline struct sock *
tcpseal_lookup_established6(struct net *net, const struct in6_addr *saddr,
			    __be16 sport, const struct in6_addr *daddr,
			    u16 hnum, int dif, int sdif)
{
	return __inet6_lookup_established(net, net->ipv4.tcp_death_row.hashinfo,
					  saddr, sport, daddr, hnum, dif, sdif);
}
#else
#define tcpseal_lookup_established4	__inet_lookup_established
#define tcpseal_lookup_established6	__inet6_lookup_established
#endif

#endif /* TCPSEAL_COMPAT_H */
