// SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause)
/* Do not edit directly, auto-generated from: */
/*	Documentation/netlink/specs/tcpseal.yaml */
/* YNL-GEN kernel source */

#include <net/netlink.h>
#include <net/genetlink.h>

#include "netlink-gen.h"

#include <uapi/linux/tcpseal.h>

/* Integer value ranges */
static const struct netlink_range_validation tcpseal_a_conf_hold_net_range = {
	.min	= 1ULL,
	.max	= 1048576ULL,
};

static const struct netlink_range_validation tcpseal_a_conf_grace_msecs_range = {
	.max	= 60000ULL,
};

static const struct netlink_range_validation tcpseal_a_conf_max_pairs_range = {
	.min	= 1ULL,
	.max	= 4194304ULL,
};

static const struct netlink_range_validation tcpseal_a_conf_tombstone_secs_range = {
	.max	= 604800ULL,
};

static const struct netlink_range_validation tcpseal_a_conf_hold_user_range = {
	.min	= 1ULL,
	.max	= 1048576ULL,
};

/* TCPSEAL_CMD_LINK_NEW - do */
static const struct nla_policy tcpseal_link_new_nl_policy[TCPSEAL_A_LINK_CHANGE + 1] = {
	[TCPSEAL_A_LINK_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_LINK_LOCAL_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[TCPSEAL_A_LINK_REMOTE] = { .type = NLA_BINARY, },
	[TCPSEAL_A_LINK_REMOTE_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[TCPSEAL_A_LINK_MODE] = NLA_POLICY_RANGE(NLA_U32, 1, 4),
	[TCPSEAL_A_LINK_VIA] = { .type = NLA_BINARY, },
	[TCPSEAL_A_LINK_IDENTITY] = { .type = NLA_NUL_STRING, .len = 127, },
	[TCPSEAL_A_LINK_INSIDE] = NLA_POLICY_MIN(NLA_U32, 1),
	[TCPSEAL_A_LINK_AEAD] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[TCPSEAL_A_LINK_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0xf),
	[TCPSEAL_A_LINK_CHANGE] = NLA_POLICY_MASK(NLA_U32, 0x3),
};

/* TCPSEAL_CMD_LINK_DEL - do */
static const struct nla_policy tcpseal_link_del_nl_policy[TCPSEAL_A_LINK_CHANGE + 1] = {
	[TCPSEAL_A_LINK_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_LINK_LOCAL_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[TCPSEAL_A_LINK_REMOTE] = { .type = NLA_BINARY, },
	[TCPSEAL_A_LINK_REMOTE_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
	[TCPSEAL_A_LINK_CHANGE] = NLA_POLICY_MASK(NLA_U32, 0x3),
};

/* TCPSEAL_CMD_LINK_FLUSH - do */
static const struct nla_policy tcpseal_link_flush_nl_policy[TCPSEAL_A_LINK_CHANGE + 1] = {
	[TCPSEAL_A_LINK_CHANGE] = NLA_POLICY_MASK(NLA_U32, 0x3),
};

/* TCPSEAL_CMD_SA_NEW - do */
static const struct nla_policy tcpseal_sa_new_nl_policy[TCPSEAL_A_SA_KEX + 1] = {
	[TCPSEAL_A_SA_DIR] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[TCPSEAL_A_SA_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_PEER] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_SPI] = NLA_POLICY_MIN(NLA_U32, 1),
	[TCPSEAL_A_SA_AEAD] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[TCPSEAL_A_SA_KEY] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_IV] = NLA_POLICY_EXACT_LEN(12),
	[TCPSEAL_A_SA_LANES] = NLA_POLICY_RANGE(NLA_U32, 1, 64),
	[TCPSEAL_A_SA_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0xf),
	[TCPSEAL_A_SA_GENERATION] = { .type = NLA_U64, },
	[TCPSEAL_A_SA_MODE_LOCAL] = NLA_POLICY_MAX(NLA_U32, 4),
	[TCPSEAL_A_SA_MODE_PEER] = NLA_POLICY_MAX(NLA_U32, 4),
	[TCPSEAL_A_SA_SOFT_BYTES] = { .type = NLA_U64, },
	[TCPSEAL_A_SA_HARD_BYTES] = { .type = NLA_U64, },
	[TCPSEAL_A_SA_SOFT_SECS] = { .type = NLA_U32, },
	[TCPSEAL_A_SA_HARD_SECS] = { .type = NLA_U32, },
	[TCPSEAL_A_SA_IDLE_SECS] = { .type = NLA_U32, },
	[TCPSEAL_A_SA_CERT_FINGERPRINT] = NLA_POLICY_EXACT_LEN(32),
	[TCPSEAL_A_SA_CERT_SERIAL] = { .type = NLA_NUL_STRING, .len = 63, },
	[TCPSEAL_A_SA_CERT_ISSUER] = { .type = NLA_NUL_STRING, .len = 255, },
	[TCPSEAL_A_SA_CERT_NAME] = { .type = NLA_NUL_STRING, .len = 127, },
	[TCPSEAL_A_SA_KEX] = { .type = NLA_NUL_STRING, .len = 31, },
};

/* TCPSEAL_CMD_SA_DEL - do */
static const struct nla_policy tcpseal_sa_del_nl_policy[TCPSEAL_A_SA_SPI + 1] = {
	[TCPSEAL_A_SA_DIR] = NLA_POLICY_RANGE(NLA_U32, 1, 2),
	[TCPSEAL_A_SA_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_PEER] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_SPI] = NLA_POLICY_MIN(NLA_U32, 1),
	[TCPSEAL_A_SA_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* TCPSEAL_CMD_SA_FLUSH - do */
static const struct nla_policy tcpseal_sa_flush_nl_policy[TCPSEAL_A_SA_FLAGS + 1] = {
	[TCPSEAL_A_SA_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0xf),
};

/* TCPSEAL_CMD_SA_SET - do */
static const struct nla_policy tcpseal_sa_set_nl_policy[TCPSEAL_A_SA_GENERATION + 1] = {
	[TCPSEAL_A_SA_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_PEER] = { .type = NLA_BINARY, },
	[TCPSEAL_A_SA_GENERATION] = { .type = NLA_U64, },
};

/* TCPSEAL_CMD_PAIR_GET - dump */
static const struct nla_policy tcpseal_pair_get_nl_policy[TCPSEAL_A_PAIR_WANT_ONLY + 1] = {
	[TCPSEAL_A_PAIR_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_REMOTE] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_WANT_ONLY] = { .type = NLA_FLAG, },
};

/* TCPSEAL_CMD_PAIR_SET - do */
static const struct nla_policy tcpseal_pair_set_nl_policy[TCPSEAL_A_PAIR_BACKOFF_SECS + 1] = {
	[TCPSEAL_A_PAIR_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_REMOTE] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_MODE_PEER] = NLA_POLICY_MAX(NLA_U32, 4),
	[TCPSEAL_A_PAIR_FLAGS] = NLA_POLICY_MASK(NLA_U32, 0x1f),
	[TCPSEAL_A_PAIR_STICKY_SINCE] = { .type = NLA_U64, },
	[TCPSEAL_A_PAIR_LAST_SEALED] = { .type = NLA_U64, },
	[TCPSEAL_A_PAIR_IDENTITY] = { .type = NLA_NUL_STRING, .len = 127, },
	[TCPSEAL_A_PAIR_REASON] = { .type = NLA_NUL_STRING, .len = 255, },
	[TCPSEAL_A_PAIR_BACKOFF_SECS] = NLA_POLICY_MAX(NLA_U32, 3600),
};

/* TCPSEAL_CMD_PAIR_FORGET - do */
static const struct nla_policy tcpseal_pair_forget_nl_policy[TCPSEAL_A_PAIR_REMOTE_LEN + 1] = {
	[TCPSEAL_A_PAIR_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_REMOTE] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_REMOTE_LEN] = NLA_POLICY_MAX(NLA_U8, 128),
};

/* TCPSEAL_CMD_PAIR_REKEY - do */
static const struct nla_policy tcpseal_pair_rekey_nl_policy[TCPSEAL_A_PAIR_REMOTE + 1] = {
	[TCPSEAL_A_PAIR_LOCAL] = { .type = NLA_BINARY, },
	[TCPSEAL_A_PAIR_REMOTE] = { .type = NLA_BINARY, },
};

/* TCPSEAL_CMD_CTRL_NEW - do */
static const struct nla_policy tcpseal_ctrl_new_nl_policy[TCPSEAL_A_CTRL_PORT + 1] = {
	[TCPSEAL_A_CTRL_FD] = { .type = NLA_U32, },
	[TCPSEAL_A_CTRL_PORT] = NLA_POLICY_MIN(NLA_U16, 1),
};

/* TCPSEAL_CMD_CTRL_DEL - do */
static const struct nla_policy tcpseal_ctrl_del_nl_policy[TCPSEAL_A_CTRL_FD + 1] = {
	[TCPSEAL_A_CTRL_FD] = { .type = NLA_U32, },
};

/* TCPSEAL_CMD_CONF_SET - do */
static const struct nla_policy tcpseal_conf_set_nl_policy[TCPSEAL_A_CONF_HOLD_USER + 1] = {
	[TCPSEAL_A_CONF_HOLD_SECS] = NLA_POLICY_RANGE(NLA_U32, 1, 3),
	[TCPSEAL_A_CONF_HOLD_PAIR] = NLA_POLICY_RANGE(NLA_U32, 1, 1024),
	[TCPSEAL_A_CONF_HOLD_USER] = NLA_POLICY_FULL_RANGE(NLA_U32, &tcpseal_a_conf_hold_user_range),
	[TCPSEAL_A_CONF_HOLD_NET] = NLA_POLICY_FULL_RANGE(NLA_U32, &tcpseal_a_conf_hold_net_range),
	[TCPSEAL_A_CONF_GRACE_MSECS] = NLA_POLICY_FULL_RANGE(NLA_U32, &tcpseal_a_conf_grace_msecs_range),
	[TCPSEAL_A_CONF_MAX_PAIRS] = NLA_POLICY_FULL_RANGE(NLA_U32, &tcpseal_a_conf_max_pairs_range),
	[TCPSEAL_A_CONF_TOMBSTONE_SECS] = NLA_POLICY_FULL_RANGE(NLA_U32, &tcpseal_a_conf_tombstone_secs_range),
	[TCPSEAL_A_CONF_AEAD_DRIVER] = { .type = NLA_NUL_STRING, .len = 127, },
};

/* TCPSEAL_CMD_AUDIT_GET - dump */
static const struct nla_policy tcpseal_audit_get_nl_policy[TCPSEAL_A_TALKER_LINK_ID + 1] = {
	[TCPSEAL_A_TALKER_LINK_ID] = NLA_POLICY_MIN(NLA_U32, 1),
};

/* Ops table for tcpseal */
const struct genl_split_ops tcpseal_nl_ops[23] = {
	{
		.cmd		= TCPSEAL_CMD_LINK_NEW,
		.doit		= tcpseal_nl_link_new_doit,
		.policy		= tcpseal_link_new_nl_policy,
		.maxattr	= TCPSEAL_A_LINK_CHANGE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_LINK_DEL,
		.doit		= tcpseal_nl_link_del_doit,
		.policy		= tcpseal_link_del_nl_policy,
		.maxattr	= TCPSEAL_A_LINK_CHANGE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_LINK_GET,
		.dumpit	= tcpseal_nl_link_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= TCPSEAL_CMD_LINK_FLUSH,
		.doit		= tcpseal_nl_link_flush_doit,
		.policy		= tcpseal_link_flush_nl_policy,
		.maxattr	= TCPSEAL_A_LINK_CHANGE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_SA_NEW,
		.doit		= tcpseal_nl_sa_new_doit,
		.policy		= tcpseal_sa_new_nl_policy,
		.maxattr	= TCPSEAL_A_SA_KEX,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_SA_DEL,
		.doit		= tcpseal_nl_sa_del_doit,
		.policy		= tcpseal_sa_del_nl_policy,
		.maxattr	= TCPSEAL_A_SA_SPI,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_SA_GET,
		.dumpit	= tcpseal_nl_sa_get_dumpit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= TCPSEAL_CMD_SA_FLUSH,
		.doit		= tcpseal_nl_sa_flush_doit,
		.policy		= tcpseal_sa_flush_nl_policy,
		.maxattr	= TCPSEAL_A_SA_FLAGS,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_SA_SET,
		.doit		= tcpseal_nl_sa_set_doit,
		.policy		= tcpseal_sa_set_nl_policy,
		.maxattr	= TCPSEAL_A_SA_GENERATION,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_PAIR_GET,
		.dumpit		= tcpseal_nl_pair_get_dumpit,
		.policy		= tcpseal_pair_get_nl_policy,
		.maxattr	= TCPSEAL_A_PAIR_WANT_ONLY,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd		= TCPSEAL_CMD_PAIR_SET,
		.doit		= tcpseal_nl_pair_set_doit,
		.policy		= tcpseal_pair_set_nl_policy,
		.maxattr	= TCPSEAL_A_PAIR_BACKOFF_SECS,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_PAIR_FORGET,
		.doit		= tcpseal_nl_pair_forget_doit,
		.policy		= tcpseal_pair_forget_nl_policy,
		.maxattr	= TCPSEAL_A_PAIR_REMOTE_LEN,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_PAIR_REKEY,
		.doit		= tcpseal_nl_pair_rekey_doit,
		.policy		= tcpseal_pair_rekey_nl_policy,
		.maxattr	= TCPSEAL_A_PAIR_REMOTE,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_STATS_GET,
		.doit	= tcpseal_nl_stats_get_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_CTRL_NEW,
		.doit		= tcpseal_nl_ctrl_new_doit,
		.policy		= tcpseal_ctrl_new_nl_policy,
		.maxattr	= TCPSEAL_A_CTRL_PORT,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_CTRL_DEL,
		.doit		= tcpseal_nl_ctrl_del_doit,
		.policy		= tcpseal_ctrl_del_nl_policy,
		.maxattr	= TCPSEAL_A_CTRL_FD,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_CONF_SET,
		.doit		= tcpseal_nl_conf_set_doit,
		.policy		= tcpseal_conf_set_nl_policy,
		.maxattr	= TCPSEAL_A_CONF_HOLD_USER,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_CONF_GET,
		.doit	= tcpseal_nl_conf_get_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd		= TCPSEAL_CMD_AUDIT_GET,
		.dumpit		= tcpseal_nl_audit_get_dumpit,
		.policy		= tcpseal_audit_get_nl_policy,
		.maxattr	= TCPSEAL_A_TALKER_LINK_ID,
		.flags		= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DUMP,
	},
	{
		.cmd	= TCPSEAL_CMD_AUDIT_FLUSH,
		.doit	= tcpseal_nl_audit_flush_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_LINK_BEGIN,
		.doit	= tcpseal_nl_link_begin_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_LINK_COMMIT,
		.doit	= tcpseal_nl_link_commit_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
	{
		.cmd	= TCPSEAL_CMD_LINK_ABORT,
		.doit	= tcpseal_nl_link_abort_doit,
		.flags	= GENL_UNS_ADMIN_PERM | GENL_CMD_CAP_DO,
	},
};

static const struct genl_multicast_group tcpseal_nl_mcgrps[] = {
	[TCPSEAL_NLGRP_EVENTS] = { "events", },
};
