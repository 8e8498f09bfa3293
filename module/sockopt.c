// SPDX-License-Identifier: GPL-2.0-only
/*
 * getsockopt(2): what the owner of a socket may know of its connection.
 *
 * The unit of keys is a pair of hosts, so there is no state of a connection to
 * read. What can be said of one follows from its pair: what becomes of the next
 * segment; and, because the pair knows when plaintext was last let in, of all
 * segments of a connection that is younger than that.
 */
#include <linux/module.h>
#include <linux/tcp.h>
#include <linux/timekeeping.h>
#include <net/tcp.h>
#include <uapi/linux/tcpseal_socket.h>

#include "ctrl.h"
#include "sa.h"
#include "segment.h"
#include "sockopt.h"

/* A segment may be between our hook and TCP while the clock goes on */
#define IN_FLIGHT	2

/* What is asked of the socket itself, under its lock. */
struct sockopt_conn {
	struct tcpseal_addrs	a;
	int			bound_dev;
	bool			age_known;
	u32			age;		/* jiffies */
};

/*
 * TCP does not keep when a connection began, but when data was last sent, and
 * that is its beginning until there was any.
 */
static int conn_read(struct sock *sk, struct sockopt_conn *conn)
{
	const struct tcp_sock *tp = tcp_sk(sk);
	int err = 0;

	lock_sock(sk);
	if ((1 << sk->sk_state) & (TCPF_CLOSE | TCPF_LISTEN | TCPF_SYN_SENT))
		err = -ENOTCONN;
	tcpseal_sock_addrs(sk, &conn->a);
	conn->bound_dev = sk->sk_bound_dev_if;
	conn->age_known = !tp->bytes_sent;
	conn->age = tcp_jiffies32 - tp->lsndtime;
	release_sock(sk);
	return err;
}

/*
 * Both ends on this machine: never linked. A local address that is not ours
 * (transparent proxies): sealed on the way out, but not looked at coming in.
 */
static bool conn_is_ours(struct tcpseal_net *tn,
			 const struct sockopt_conn *conn)
{
	const struct net_device *dev = NULL;
	struct tcpseal_addrs back = {
		.local = conn->a.remote,
		.remote = conn->a.local,
		.family = conn->a.family,
	};

	if (conn->bound_dev)
		dev = dev_get_by_index_rcu(tn->net, conn->bound_dev);
	return tcpseal_is_local(tn->net, dev, &conn->a) &&
	       !tcpseal_is_local(tn->net, dev, &back);
}

/*
 * Since when did no plaintext come in? Pairs come and go, and before a pair was
 * made it noted nothing. Under require nothing was let in then either, as long
 * as the links are what they are now. Where several links share a pair, such a
 * change may have brought it connections that it did not see.
 */
static u64 clean_since(const struct tcpseal_net *tn,
		       const struct tcpseal_link *link,
		       const struct tcpseal_pair *pair)
{
	u64 links = READ_ONCE(rcu_dereference(tn->policy)->changed_at);
	u64 plain = pair ? READ_ONCE(pair->plain_at) : links;

	if (tcpseal_link_sharer(link))
		return time_after64(links, plain) ? links : plain;
	if (link->mode == TCPSEAL_MODE_REQUIRE && time_before64(links, plain))
		return links;
	return plain;
}

static void info_of_key(const struct tcpseal_sa *tx,
			struct tcpseal_socket_info *info)
{
	const struct tcpseal_sa_info *peer = tx->info;
	u64 age = ktime_get_boottime_ns() - tx->born_at;

	info->flags |= TCPSEAL_SOCKET_KEY;
	if (tx->flags & TCPSEAL_SA_FLAG_MANUAL)
		info->flags |= TCPSEAL_SOCKET_MANUAL;
	info->aead = tx->aead;
	info->key_secs = div_u64(age, NSEC_PER_SEC);
	if (peer->has_fingerprint)
		memcpy(info->cert_fingerprint, peer->fingerprint,
		       sizeof(info->cert_fingerprint));
	strscpy(info->cert_name, peer->name, sizeof(info->cert_name));
	strscpy(info->kex, peer->kex, sizeof(info->kex));
}

/* What is demanded of the next segments. */
static void info_of_demand(const struct tcpseal_link *link,
			   const struct tcpseal_pair *pair,
			   struct tcpseal_socket_info *info)
{
	bool sealed = link->mode == TCPSEAL_MODE_REQUIRE;

	if (pair)
		sealed = tcpseal_pair_demand(pair) != TCPSEAL_MAY_PLAIN;
	if (!sealed)
		return;
	info->flags |= TCPSEAL_SOCKET_SEALS;
	/* What comes by an inside device, in any name, is for others to judge */
	if (!(link->flags & TCPSEAL_LINK_FLAG_FORWARD) &&
	    !(pair && tcpseal_pair_grace(pair)))
		info->flags |= TCPSEAL_SOCKET_REFUSES_PLAIN;
}

/* RCU. */
static void info_of_link(struct tcpseal_net *tn,
			 const struct tcpseal_link *link,
			 const struct sockopt_conn *conn,
			 struct tcpseal_socket_info *info)
{
	const u32 both = TCPSEAL_SOCKET_SEALS | TCPSEAL_SOCKET_REFUSES_PLAIN;
	const struct tcpseal_pair *pair = tcpseal_pair_find(tn, &conn->a, link);
	const struct tcpseal_sa *tx;
	u64 clean;

	info->mode_local = link->mode;
	info->state = TCPSEAL_PAIR_STATE_PLAIN;
	if (link->mode == TCPSEAL_MODE_CLEAR)
		return;
	if (tcpseal_link_sharer(link))
		info->flags |= TCPSEAL_SOCKET_GATEWAY;
	/* First: what is let in later does not change what is said of before */
	clean = get_jiffies_64() - clean_since(tn, link, pair);
	info->clean_msecs = jiffies64_to_msecs(clean);
	info_of_demand(link, pair, info);
	if (info->flags & TCPSEAL_SOCKET_SEALS)
		info->state = TCPSEAL_PAIR_STATE_WAITING;
	if ((info->flags & both) == both && conn->age_known &&
	    (u64)conn->age + IN_FLIGHT < clean)
		info->flags |= TCPSEAL_SOCKET_FROM_START;
	if (!pair)
		return;
	info->mode_local = READ_ONCE(link->pair_mode);
	info->state = tcpseal_pair_state(pair);
	if (READ_ONCE(pair->peer_mode_known)) {
		info->flags |= TCPSEAL_SOCKET_PEER_MODE;
		info->mode_peer = READ_ONCE(pair->peer_mode);
	}
	tx = rcu_dereference(pair->tx);
	if (tx)
		info_of_key(tx, info);
}

static int info_of_sock(struct sock *sk, struct tcpseal_socket_info *info)
{
	struct tcpseal_net *tn = tcpseal_net(sock_net(sk));
	const struct tcpseal_link *link;
	struct sockopt_conn conn;
	int err;

	err = conn_read(sk, &conn);
	if (err)
		return err;
	rcu_read_lock();
	/* The daemon's own connections may be plain: nothing is said of them */
	link = tcpseal_ctrl_has(tn, sk) || !conn_is_ours(tn, &conn) ? NULL :
	       tcpseal_link_lookup(tn, &conn.a);
	if (link)
		info_of_link(tn, link, &conn, info);
	rcu_read_unlock();
	return 0;
}

static int sockopt_get(struct sock *sk, int optval, void __user *user, int *len)
{
	struct tcpseal_socket_info info = {};
	unsigned int n = *len;
	int err;

	if (!sk_is_tcp(sk))
		return -ENOPROTOOPT;
	if (*len < 0)
		return -EINVAL;
	err = info_of_sock(sk, &info);
	if (err)
		return err;
	n = min_t(unsigned int, n, sizeof(info));
	if (copy_to_user(user, &info, n))
		return -EFAULT;
	*len = n;
	return 0;
}

static struct nf_sockopt_ops sockopt_ops[] = {
	{
		.pf		= PF_INET,
		.get_optmin	= TCPSEAL_SO_INFO,
		.get_optmax	= TCPSEAL_SO_INFO + 1,
		.get		= sockopt_get,
		.owner		= THIS_MODULE,
	}, {
		.pf		= PF_INET6,
		.get_optmin	= TCPSEAL_SO_INFO,
		.get_optmax	= TCPSEAL_SO_INFO + 1,
		.get		= sockopt_get,
		.owner		= THIS_MODULE,
	},
};

int __init tcpseal_sockopt_init(void)
{
	int err;

	err = nf_register_sockopt(&sockopt_ops[0]);
	if (err)
		return err;
	err = nf_register_sockopt(&sockopt_ops[1]);
	if (err)
		nf_unregister_sockopt(&sockopt_ops[0]);
	return err;
}

void tcpseal_sockopt_exit(void)
{
	nf_unregister_sockopt(&sockopt_ops[1]);
	nf_unregister_sockopt(&sockopt_ops[0]);
}
