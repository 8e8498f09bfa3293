// SPDX-License-Identifier: GPL-2.0-only
/* Netlink: security associations. Keys come in here and never go out. */
#include <linux/timekeeping.h>

#include "netlink-gen.h"
#include "nl.h"

/* The request's own copy of key and IV, however the request ends. */
static void wipe_secrets(struct genl_info *info)
{
	struct nlattr *attr;
	int rem;

	/* All of them, also a second one that hides the first */
	nlmsg_for_each_attr(attr, info->nlhdr, GENL_HDRLEN, rem)
		if (nla_type(attr) == TCPSEAL_A_SA_KEY ||
		    nla_type(attr) == TCPSEAL_A_SA_IV)
			memzero_explicit(nla_data(attr), nla_len(attr));
}

static u32 get_u32(const struct nlattr *attr)
{
	return attr ? nla_get_u32(attr) : 0;
}

static u64 get_u64(const struct nlattr *attr)
{
	return attr ? nla_get_u64(attr) : 0;
}

static u64 get_deadline(const struct nlattr *attr)
{
	return attr && nla_get_u32(attr) ? ktime_get_boottime_ns() +
	       (u64)nla_get_u32(attr) * NSEC_PER_SEC : 0;
}

/* A copy at @at, which moves on behind it. */
static const char *get_string(const struct nlattr *attr, char **at)
{
	char *to = *at;

	if (attr)
		nla_strscpy(to, attr, nla_len(attr) + 1);
	*at += strlen(to) + 1;
	return to;
}

static struct tcpseal_sa_info *get_info(struct nlattr **attrs)
{
	static const int strings[] = {
		TCPSEAL_A_SA_CERT_SERIAL, TCPSEAL_A_SA_CERT_ISSUER,
		TCPSEAL_A_SA_CERT_NAME, TCPSEAL_A_SA_KEX,
	};
	const struct nlattr *print = attrs[TCPSEAL_A_SA_CERT_FINGERPRINT];
	struct tcpseal_sa_info *to;
	unsigned int i, len = 0;
	char *at;

	for (i = 0; i < ARRAY_SIZE(strings); i++)
		len += 1 + (attrs[strings[i]] ? nla_len(attrs[strings[i]]) : 0);
	to = kzalloc(struct_size(to, text, len), GFP_KERNEL_ACCOUNT);
	if (!to)
		return NULL;
	to->has_fingerprint = print;
	if (print)
		memcpy(to->fingerprint, nla_data(print),
		       sizeof(to->fingerprint));
	at = to->text;
	to->serial = get_string(attrs[TCPSEAL_A_SA_CERT_SERIAL], &at);
	to->issuer = get_string(attrs[TCPSEAL_A_SA_CERT_ISSUER], &at);
	to->name = get_string(attrs[TCPSEAL_A_SA_CERT_NAME], &at);
	to->kex = get_string(attrs[TCPSEAL_A_SA_KEX], &at);
	return to;
}

static int get_sa(struct genl_info *info, struct tcpseal_sa_req *req)
{
	static const int needed[] = {
		TCPSEAL_A_SA_DIR, TCPSEAL_A_SA_SPI, TCPSEAL_A_SA_AEAD,
		TCPSEAL_A_SA_KEY, TCPSEAL_A_SA_IV,
	};
	struct nlattr **attrs = info->attrs;
	struct tcpseal_sa *sa = req->sa;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(needed); i++) {
		if (!GENL_REQ_ATTR_CHECK(info, needed[i]))
			continue;
		NL_SET_ERR_MSG(info->extack,
			       "dir, spi, aead, key and iv are needed");
		return -EINVAL;
	}
	sa->dir = nla_get_u32(attrs[TCPSEAL_A_SA_DIR]);
	sa->spi = cpu_to_be32(nla_get_u32(attrs[TCPSEAL_A_SA_SPI]));
	sa->aead = nla_get_u32(attrs[TCPSEAL_A_SA_AEAD]);
	req->secret = nla_data(attrs[TCPSEAL_A_SA_KEY]);
	req->secret_len = nla_len(attrs[TCPSEAL_A_SA_KEY]);
	req->iv = nla_data(attrs[TCPSEAL_A_SA_IV]);
	if (attrs[TCPSEAL_A_SA_LANES])
		sa->lanes = nla_get_u32(attrs[TCPSEAL_A_SA_LANES]);
	sa->flags = get_u32(attrs[TCPSEAL_A_SA_FLAGS]);
	sa->generation = get_u64(attrs[TCPSEAL_A_SA_GENERATION]);
	req->has_modes = attrs[TCPSEAL_A_SA_MODE_LOCAL] &&
			 attrs[TCPSEAL_A_SA_MODE_PEER];
	sa->mode_local = get_u32(attrs[TCPSEAL_A_SA_MODE_LOCAL]);
	sa->mode_peer = get_u32(attrs[TCPSEAL_A_SA_MODE_PEER]);
	sa->born_at = ktime_get_boottime_ns();
	sa->soft_bytes = get_u64(attrs[TCPSEAL_A_SA_SOFT_BYTES]);
	sa->hard_bytes = get_u64(attrs[TCPSEAL_A_SA_HARD_BYTES]);
	sa->soft_at = get_deadline(attrs[TCPSEAL_A_SA_SOFT_SECS]);
	sa->hard_at = get_deadline(attrs[TCPSEAL_A_SA_HARD_SECS]);
	sa->idle_secs = get_u32(attrs[TCPSEAL_A_SA_IDLE_SECS]);
	sa->info = get_info(attrs);
	if (!sa->info) {
		NL_SET_ERR_MSG(info->extack, "no memory for the SA");
		return -ENOMEM;
	}
	return 0;
}

int tcpseal_nl_sa_new_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_sa_req req = {};
	int err;

	req.sa = tcpseal_sa_alloc(tn);
	if (!req.sa) {
		NL_SET_ERR_MSG(info->extack, "no memory for the SA");
		err = -ENOMEM;
		goto wipe;
	}
	err = tcpseal_nl_pair(info, TCPSEAL_A_SA_LOCAL, TCPSEAL_A_SA_PEER,
			      &req.key);
	if (!err)
		err = get_sa(info, &req);
	if (!err) {
		mutex_lock(&tn->lock);
		err = tcpseal_sa_add(tn, &req, info->extack);
		mutex_unlock(&tn->lock);
	}
	if (err)
		tcpseal_sa_free(req.sa);
	else
		tcpseal_net_kick(tn);
wipe:
	wipe_secrets(info);
	return err;
}

/* Which SAs sa-del means: every attribute that is there must fit. */
struct sa_filter {
	u32			id, dir;
	__be32			spi;
	bool			has_local, has_peer;
	struct tcpseal_addrs	key;
};

static bool sa_fits(const struct tcpseal_sa *sa, const struct sa_filter *f)
{
	const struct tcpseal_addrs *key = &sa->pair->key;
	unsigned int len = tcpseal_addr_len(key->family);

	if ((f->id && sa->id != f->id) || (f->dir && sa->dir != f->dir) ||
	    (f->spi && sa->spi != f->spi))
		return false;
	if ((f->has_local || f->has_peer) && f->key.family != key->family)
		return false;
	return (!f->has_local || !memcmp(&f->key.local, &key->local, len)) &&
	       (!f->has_peer || !memcmp(&f->key.remote, &key->remote, len));
}

static int get_filter(struct genl_info *info, struct sa_filter *f)
{
	struct nlattr **attrs = info->attrs;
	int err;

	err = tcpseal_nl_addr(attrs[TCPSEAL_A_SA_LOCAL], &f->key.local,
			      &f->key.family, info->extack);
	if (err && err != -ENOENT)
		return err;
	f->has_local = !err;
	err = tcpseal_nl_addr(attrs[TCPSEAL_A_SA_PEER], &f->key.remote,
			      &f->key.family, info->extack);
	if (err && err != -ENOENT)
		return err;
	f->has_peer = !err;
	f->id = get_u32(attrs[TCPSEAL_A_SA_ID]);
	f->dir = get_u32(attrs[TCPSEAL_A_SA_DIR]);
	f->spi = cpu_to_be32(get_u32(attrs[TCPSEAL_A_SA_SPI]));
	if (!f->id && !f->spi && !(f->has_local && f->has_peer)) {
		NL_SET_ERR_MSG(info->extack,
			       "id, spi, or both addresses are needed");
		return -EINVAL;
	}
	return 0;
}

int tcpseal_nl_sa_del_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct sa_filter filter = {};
	struct tcpseal_sa *sa;
	unsigned long id;
	int err;

	err = get_filter(info, &filter);
	if (err)
		return err;
	err = -ENOENT;
	mutex_lock(&tn->lock);
	xa_for_each(&tn->sa_ids, id, sa) {
		cond_resched();
		if (sa->state == TCPSEAL_SA_STATE_TOMBSTONE ||
		    !sa_fits(sa, &filter))
			continue;
		tcpseal_sa_remove(sa, TCPSEAL_REMOVE_FORCED);
		err = 0;
	}
	mutex_unlock(&tn->lock);
	if (err)
		NL_SET_ERR_MSG(info->extack, "no such SA");
	return err;
}

int tcpseal_nl_sa_flush_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	u32 flags = get_u32(info->attrs[TCPSEAL_A_SA_FLAGS]);

	tcpseal_sa_flush(tn, flags);
	return 0;
}

int tcpseal_nl_sa_set_doit(struct sk_buff *skb, struct genl_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(genl_info_net(info));
	struct tcpseal_pair *pair;
	struct tcpseal_addrs key;
	int err;

	err = tcpseal_nl_pair(info, TCPSEAL_A_SA_LOCAL, TCPSEAL_A_SA_PEER,
			      &key);
	if (err)
		return err;
	if (GENL_REQ_ATTR_CHECK(info, TCPSEAL_A_SA_GENERATION)) {
		NL_SET_ERR_MSG(info->extack, "generation is needed");
		return -EINVAL;
	}
	mutex_lock(&tn->lock);
	pair = tcpseal_pair_by_key(tn, &key, false, info->extack);
	err = -ENOENT;
	if (pair) {
		err = tcpseal_sa_activate(pair,
					  get_u64(info->attrs[TCPSEAL_A_SA_GENERATION]));
		if (err)
			NL_SET_ERR_MSG(info->extack,
				       "no sending SA of this generation");
	}
	mutex_unlock(&tn->lock);
	return err;
}

static int put_sa_id(struct sk_buff *msg, const struct tcpseal_sa *sa)
{
	const struct tcpseal_addrs *key = &sa->pair->key;

	if (nla_put_u32(msg, TCPSEAL_A_SA_ID, sa->id) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_DIR, sa->dir) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_SA_LOCAL, key->family,
				&key->local) ||
	    tcpseal_nl_put_addr(msg, TCPSEAL_A_SA_PEER, key->family,
				&key->remote) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_SPI, be32_to_cpu(sa->spi)) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_AEAD, sa->aead) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_LANES, sa->lanes) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_FLAGS, sa->flags) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_STATE, sa->state) ||
	    tcpseal_nl_put_u64(msg, TCPSEAL_A_SA_GENERATION,
			       sa->generation) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_MODE_LOCAL, sa->mode_local) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_MODE_PEER, sa->mode_peer))
		return -EMSGSIZE;
	return 0;
}

static u32 secs_left(u64 at, u64 now)
{
	return at > now ? div_u64(at - now + NSEC_PER_SEC - 1, NSEC_PER_SEC) :
			  0;
}

static int put_sa_limits(struct sk_buff *msg, const struct tcpseal_sa *sa)
{
	bool tombstone = sa->state == TCPSEAL_SA_STATE_TOMBSTONE;
	u64 hard = tombstone ? sa->tombstone_until : sa->hard_at;
	u64 now = ktime_get_boottime_ns();

	if ((sa->soft_bytes &&
	     tcpseal_nl_put_u64(msg, TCPSEAL_A_SA_SOFT_BYTES,
				sa->soft_bytes)) ||
	    (sa->hard_bytes &&
	     tcpseal_nl_put_u64(msg, TCPSEAL_A_SA_HARD_BYTES,
				sa->hard_bytes)) ||
	    (sa->soft_at && nla_put_u32(msg, TCPSEAL_A_SA_SOFT_SECS,
					secs_left(sa->soft_at, now))) ||
	    (hard && nla_put_u32(msg, TCPSEAL_A_SA_HARD_SECS,
				 secs_left(hard, now))) ||
	    (sa->idle_secs && nla_put_u32(msg, TCPSEAL_A_SA_IDLE_SECS,
					  sa->idle_secs)) ||
	    nla_put_u32(msg, TCPSEAL_A_SA_AGE_SECS,
			div_u64(now - sa->born_at, NSEC_PER_SEC)))
		return -EMSGSIZE;
	return 0;
}

static bool put_string(struct sk_buff *msg, int attr, const char *value)
{
	return value[0] && nla_put_string(msg, attr, value);
}

static int put_sa_info(struct sk_buff *msg, const struct tcpseal_sa_info *info)
{
	if ((info->has_fingerprint &&
	     nla_put(msg, TCPSEAL_A_SA_CERT_FINGERPRINT,
		     sizeof(info->fingerprint), info->fingerprint)) ||
	    put_string(msg, TCPSEAL_A_SA_CERT_SERIAL, info->serial) ||
	    put_string(msg, TCPSEAL_A_SA_CERT_ISSUER, info->issuer) ||
	    put_string(msg, TCPSEAL_A_SA_CERT_NAME, info->name) ||
	    put_string(msg, TCPSEAL_A_SA_KEX, info->kex))
		return -EMSGSIZE;
	return 0;
}

static int put_sa_stats(struct sk_buff *msg, const struct tcpseal_sa *sa)
{
	u64 value[TCPSEAL_A_COUNTERS_MAX + 1] = {};
	unsigned int first = TCPSEAL_A_COUNTERS_OPENED_RECORDS;
	struct tcpseal_sa_volume sum;

	if (sa->dir == TCPSEAL_DIR_OUT)
		first = TCPSEAL_A_COUNTERS_SEALED_RECORDS;
	tcpseal_sa_volume(sa, &sum);
	value[first] = sum.records;
	value[first + 1] = sum.bytes;
	value[first + 2] = sum.skbs;
	value[TCPSEAL_A_COUNTERS_DROPPED] = atomic64_read(&sa->tag_failures);
	return tcpseal_nl_put_counters(msg, TCPSEAL_A_SA_STATS, value);
}

/* Key, lanes and names of a tombstone may go at any time. tn->lock. */
static int put_sa_live(struct sk_buff *msg, const struct tcpseal_sa *sa)
{
	char driver[256];

	if (sa->state == TCPSEAL_SA_STATE_TOMBSTONE)
		return 0;
	tcpseal_key_driver(sa->key, driver, sizeof(driver));
	if (put_sa_info(msg, sa->info) ||
	    put_string(msg, TCPSEAL_A_SA_DRIVER, driver))
		return -EMSGSIZE;
	return put_sa_stats(msg, sa);
}

static int dump_sa(struct sk_buff *skb, struct netlink_callback *cb,
		   const struct tcpseal_sa *sa)
{
	void *hdr;

	hdr = genlmsg_put(skb, NETLINK_CB(cb->skb).portid, cb->nlh->nlmsg_seq,
			  &tcpseal_nl_family, NLM_F_MULTI,
			  TCPSEAL_CMD_SA_GET);
	if (!hdr)
		return -EMSGSIZE;
	if (put_sa_id(skb, sa) || put_sa_limits(skb, sa) ||
	    put_sa_live(skb, sa)) {
		genlmsg_cancel(skb, hdr);
		return -EMSGSIZE;
	}
	genlmsg_end(skb, hdr);
	return 0;
}

/*
 * The cursor is the id to go on with. What comes and goes meanwhile is in the
 * dump or not; nothing that stays is left out, or told twice.
 */
int tcpseal_nl_sa_get_dumpit(struct sk_buff *skb, struct netlink_callback *cb)
{
	struct tcpseal_net *tn = tcpseal_net(sock_net(skb->sk));
	struct tcpseal_sa *sa;
	unsigned long id;
	int err = 0;

	mutex_lock(&tn->lock);
	xa_for_each_start(&tn->sa_ids, id, sa, cb->args[0]) {
		err = dump_sa(skb, cb, sa);
		if (err)
			break;
		cb->args[0] = id + 1;
	}
	mutex_unlock(&tn->lock);
	return err && !skb->len ? err : skb->len;
}
