// SPDX-License-Identifier: GPL-2.0-only
/*
 * Control connections: which plain TCP is the daemon's own.
 *
 * Clients are sockets that were registered. Of the listener's connections
 * those are exempt whose SYN came in plain: while a pair has a key, a peer
 * that still has it too seals even its SYN, and an injector cannot talk a
 * sealed connection back to plain.
 */
#include <linux/file.h>
#include <linux/hashtable.h>
#include <linux/net.h>
#include <linux/siphash.h>
#include <net/inet_hashtables.h>
#include <net/inet_timewait_sock.h>
#include <net/l3mdev.h>
#include <net/request_sock.h>
#include <net/tcp.h>

#include "ctrl.h"

#define CLIENT_BITS	8
#define CLIENTS_MAX	4096
/* Tuples of plain connections: sets of a few, so that a flood of SYNs evicts
 * at random and has little to walk through.
 */
#define TUPLE_SETS	1024
#define TUPLE_WAYS	16
#define TUPLE_LIFE	(60 * HZ)

struct client {
	struct hlist_node	node;
	struct rcu_head		rcu;
	struct sock		*sk;		/* a reference */
	__be16			port;		/* the peer's */
	u32			portid;
};

/* The first to go first: a SYN may come from nowhere */
enum tuple_state { TUPLE_BEGUN, TUPLE_ENDED, TUPLE_LIVE };

struct ctrl_tuple {
	struct tcpseal_addrs	a;
	__be16			local, remote;
	u8			state;
	unsigned long		used;		/* jiffies, 0 = free */
};

struct tcpseal_ctrl {
	spinlock_t		lock;		/* everything; readers: RCU */
	DECLARE_HASHTABLE(clients, CLIENT_BITS);
	unsigned int		nr_clients;
	__be16			client_port;	/* of any of them */
	struct sock __rcu	*listener[2];	/* v4, v6; references */
	u32			listener_portid[2];
	__be16			port;		/* the listeners' */
	spinlock_t		tuple_lock;
	struct ctrl_tuple	*tuples;	/* since the first ctrl-new */
};

int tcpseal_ctrl_init(struct tcpseal_net *tn)
{
	struct tcpseal_ctrl *ctrl;

	ctrl = kzalloc(sizeof(*ctrl), GFP_KERNEL_ACCOUNT);
	if (!ctrl)
		return -ENOMEM;
	spin_lock_init(&ctrl->lock);
	spin_lock_init(&ctrl->tuple_lock);
	hash_init(ctrl->clients);
	tn->ctrl = ctrl;
	return 0;
}

static struct client *client_find(const struct tcpseal_ctrl *ctrl,
				  const struct sock *sk)
{
	struct client *client;

	hash_for_each_possible_rcu(ctrl->clients, client, node,
				   (unsigned long)sk,
				   lockdep_is_held(&ctrl->lock))
		if (client->sk == sk)
			return client;
	return NULL;
}

/* Is it a registered listener that still listens? NULL: any of them. RCU. */
static bool is_listener(const struct tcpseal_ctrl *ctrl, const struct sock *sk)
{
	const struct sock *lsk;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(ctrl->listener); i++) {
		lsk = rcu_dereference(ctrl->listener[i]);
		if (lsk && (!sk || lsk == sk) &&
		    READ_ONCE(lsk->sk_state) == TCP_LISTEN)
			return true;
	}
	return false;
}

u16 tcpseal_ctrl_served(struct tcpseal_net *tn)
{
	u16 port;

	rcu_read_lock();
	port = is_listener(tn->ctrl, NULL) ?
	       ntohs(READ_ONCE(tn->ctrl->port)) : 0;
	rcu_read_unlock();
	return port;
}

bool tcpseal_ctrl_has(struct tcpseal_net *tn, const struct sock *sk)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;

	if (is_listener(ctrl, NULL) && READ_ONCE(sk->sk_state) != TCP_SYN_SENT &&
	    sk->sk_num == ntohs(READ_ONCE(ctrl->port)))
		return true;
	return client_find(ctrl, sk);
}

bool tcpseal_ctrl_port(const struct tcpseal_net *tn, const struct tcphdr *th)
{
	const struct tcpseal_ctrl *ctrl = tn->ctrl;
	__be16 port = READ_ONCE(ctrl->port);
	__be16 client = READ_ONCE(ctrl->client_port);

	return (port && (th->source == port || th->dest == port)) ||
	       (client && (th->source == client || th->dest == client));
}

static struct ctrl_tuple *tuple_set(struct tcpseal_net *tn,
				    const struct tcpseal_addrs *a,
				    __be16 local, __be16 remote)
{
	unsigned int len = tcpseal_addr_len(a->family);
	u32 ports = (__force u32)local << 16 | (__force u32)remote;
	u64 hash;

	hash = siphash_2u64(siphash(&a->local, len, &tn->ctrl_key),
			    siphash(&a->remote, len, &tn->ctrl_key) ^ ports,
			    &tn->ctrl_key);
	return &tn->ctrl->tuples[hash % TUPLE_SETS * TUPLE_WAYS];
}

static bool tuple_used(const struct ctrl_tuple *t)
{
	return t->used && time_before(jiffies, t->used + TUPLE_LIFE);
}

static bool tuple_is(const struct ctrl_tuple *t, const struct tcpseal_addrs *a,
		     __be16 local, __be16 remote)
{
	unsigned int len = tcpseal_addr_len(a->family);

	return tuple_used(t) && t->local == local && t->remote == remote &&
	       t->a.family == a->family &&
	       !memcmp(&t->a.local, &a->local, len) &&
	       !memcmp(&t->a.remote, &a->remote, len);
}

/* Of two that could make room, does @t go before @than? */
static bool tuple_goes(const struct ctrl_tuple *t,
		       const struct ctrl_tuple *than)
{
	if (!tuple_used(t) || !tuple_used(than))
		return tuple_used(than);
	if (t->state != than->state)
		return t->state < than->state;
	return time_before(t->used, than->used);
}

/* What comes in may be forged: this host's own segments say how far it is. */
static void tuple_saw(struct ctrl_tuple *t, const struct tcphdr *th, bool out)
{
	t->used = jiffies ?: 1;
	if (!out || th->syn)
		return;
	if (th->fin || th->rst)
		t->state = TUPLE_ENDED;
	else if (t->state == TUPLE_BEGUN)
		t->state = TUPLE_LIVE;
}

/*
 * Was the SYN of this segment's connection plain? @out: it leaves; @remember:
 * it was, just now.
 */
static bool tuple_plain(struct tcpseal_net *tn, const struct tcpseal_addrs *a,
			const struct tcphdr *th, bool out, bool remember)
{
	__be16 local = out ? th->source : th->dest;
	__be16 remote = out ? th->dest : th->source;
	struct tcpseal_ctrl *ctrl = tn->ctrl;
	struct ctrl_tuple *set, *t;
	unsigned int i;
	bool found = false;

	/* Pairs with the release in ctrl_tuples(): zeroed before seen */
	if (!smp_load_acquire(&ctrl->tuples))
		return false;
	set = tuple_set(tn, a, local, remote);
	t = set;
	spin_lock_bh(&ctrl->tuple_lock);
	for (i = 0; i < TUPLE_WAYS && !found; i++) {
		found = tuple_is(&set[i], a, local, remote);
		if (found || tuple_goes(&set[i], t))
			t = &set[i];
	}
	if (remember && (!found || th->syn)) {
		t->a = *a;
		t->local = local;
		t->remote = remote;
		t->state = TUPLE_BEGUN;
		found = true;
	}
	if (found)
		tuple_saw(t, th, out);
	spin_unlock_bh(&ctrl->tuple_lock);
	return found;
}

static bool has_tx(const struct tcpseal_pair *pair)
{
	return pair && rcu_access_pointer(pair->tx);
}

/* Is there a payload behind the TCP header? */
static bool has_payload(const struct sk_buff *skb, const struct tcphdr *th)
{
	return (const u8 *)th + th->doff * 4 - skb->data < skb->len;
}

/* Ports and addresses of a full or waiting TCP socket are the packet's. */
static bool sock_is(const struct sock *sk, const struct tcpseal_addrs *a,
		    const struct tcphdr *th)
{
	if (sk->sk_num != ntohs(th->source) || sk->sk_dport != th->dest)
		return false;
#if IS_ENABLED(CONFIG_IPV6)
	if (a->family == AF_INET6)
		return sk->sk_family == AF_INET6 &&
		       ipv6_addr_equal(&sk->sk_v6_daddr, &a->remote.in6) &&
		       ipv6_addr_equal(&sk->sk_v6_rcv_saddr, &a->local.in6);
#endif
	return sk->sk_daddr == a->remote.ip && sk->sk_rcv_saddr == a->local.ip;
}

/* Does the segment come from a connection of the registered listener? */
static bool from_listener(const struct tcpseal_ctrl *ctrl,
			  const struct tcpseal_addrs *a,
			  const struct sk_buff *skb, const struct tcphdr *th)
{
	const struct sock *sk = skb->sk;

	if (th->source != READ_ONCE(ctrl->port) || !is_listener(ctrl, NULL))
		return false;
	/* SYN cookies, and what the stack answers by itself, have no socket */
	if (!sk || sk->sk_state == TCP_LISTEN)
		return !has_payload(skb, th);
	if (sk->sk_state == TCP_NEW_SYN_RECV)
		return is_listener(ctrl,
				   inet_reqsk(skb->sk)->rsk_listener);
	if (sk->sk_state == TCP_TIME_WAIT)
		return sock_is(sk, a, th);
	/* A raw socket may write any port: that one is never exempt */
	return sk_is_tcp(sk) && sock_is(sk, a, th);
}

bool tcpseal_ctrl_out(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		      const struct tcpseal_addrs *a, const struct sk_buff *skb,
		      const struct tcphdr *th)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;
	const struct sock *sk = skb->sk;
	bool full = sk && sk_fullsock(sk) && sk_is_tcp(sk);

	if (full && client_find(ctrl, sk)) {
		/* For what the stack sends when the socket is gone */
		tuple_plain(tn, a, th, true, true);
		return true;
	}
	/*
	 * A full socket on the listener's port is its child only if the other
	 * end began: somebody else may have bound the port first.
	 */
	if (from_listener(ctrl, a, skb, th))
		return (!full && !has_tx(pair)) ||
		       tuple_plain(tn, a, th, true, false);
	/* The stack answers from a socket of its own, programs have raw ones */
	if (full || has_payload(skb, th) ||
	    (sk && sk_fullsock(sk) && !sk->sk_kern_sock))
		return false;
	/* Nobody listens: the peer learns at once, not after a timeout */
	if (th->rst && !has_tx(pair) && th->source == READ_ONCE(ctrl->port))
		return true;
	return tuple_plain(tn, a, th, true, false);
}

/*
 * The socket that a segment from outside is for, listeners aside. Needs
 * sock_gen_put(). A device in a VRF counts as both, like in the stack.
 */
static struct sock *ctrl_lookup(struct tcpseal_net *tn,
				const struct tcpseal_addrs *a,
				const struct sk_buff *skb,
				const struct tcphdr *th)
{
	int dif = skb->dev->ifindex, sdif = 0;

	if (netif_is_l3_slave(skb->dev)) {
		sdif = dif;
		dif = l3mdev_master_ifindex_rcu(skb->dev);
	}
#if IS_ENABLED(CONFIG_IPV6)
	if (a->family == AF_INET6)
		return tcpseal_lookup_established6(tn->net, &a->remote.in6,
						   th->source, &a->local.in6,
						   ntohs(th->dest), dif, sdif);
#endif
	return tcpseal_lookup_established4(tn->net, a->remote.ip, th->source,
					   a->local.ip, ntohs(th->dest), dif,
					   sdif);
}

/* To our listener. @sk: the connection that the segment would be for. */
static enum tcpseal_ctrl_verdict
to_listener(struct tcpseal_net *tn, struct tcpseal_pair *pair,
	    const struct tcpseal_addrs *a, const struct tcphdr *th,
	    const struct sock *sk)
{
	/* A SYN for a connection that exists is an attempt to disturb it */
	if (th->syn && !th->ack && (!sk || sk->sk_state == TCP_TIME_WAIT)) {
		tuple_plain(tn, a, th, false, true);
		return TCPSEAL_CTRL_PASS;
	}
	if (!has_tx(pair) ||
	    tuple_plain(tn, a, th, false, false))
		return TCPSEAL_CTRL_PASS;
	return sk ? TCPSEAL_CTRL_REFUSE : TCPSEAL_CTRL_NO;
}

enum tcpseal_ctrl_verdict
tcpseal_ctrl_in(struct tcpseal_net *tn, struct tcpseal_pair *pair,
		const struct tcpseal_addrs *a, const struct sk_buff *skb,
		const struct tcphdr *th)
{
	enum tcpseal_ctrl_verdict verdict = TCPSEAL_CTRL_NO;
	struct tcpseal_ctrl *ctrl = tn->ctrl;
	struct sock *sk;

	if (!skb->dev)
		return TCPSEAL_CTRL_NO;
	sk = ctrl_lookup(tn, a, skb, th);
	if (th->dest == READ_ONCE(ctrl->port) && is_listener(ctrl, NULL)) {
		verdict = to_listener(tn, pair, a, th, sk);
	} else if (sk && th->source == READ_ONCE(ctrl->client_port)) {
		if (client_find(ctrl, sk) ||
		    (sk->sk_state == TCP_TIME_WAIT &&
		     tuple_plain(tn, a, th, false, false)))
			verdict = TCPSEAL_CTRL_PASS;
		else
			verdict = TCPSEAL_CTRL_REFUSE;
	} else if (!sk && th->source == READ_ONCE(ctrl->client_port) &&
		   tuple_plain(tn, a, th, false, false)) {
		/*
		 * No alarm. The stack answers what is bare; the rest is for
		 * nobody, and the port may have a listener by now.
		 */
		verdict = th->syn || has_payload(skb, th) ?
			  TCPSEAL_CTRL_LATE : TCPSEAL_CTRL_PASS;
	}
	if (sk)
		sock_gen_put(sk);
	return verdict;
}

static struct sock *ctrl_sock(struct tcpseal_net *tn, int fd,
			      struct netlink_ext_ack *extack)
{
	struct socket *sock;
	struct sock *sk;
	int err;

	sock = sockfd_lookup(fd, &err);
	if (!sock) {
		NL_SET_ERR_MSG(extack, "the file descriptor is not a socket");
		return ERR_PTR(err);
	}
	sk = sock->sk;
	if (!sk_is_tcp(sk)) {
		NL_SET_ERR_MSG(extack, "the socket is not a TCP socket");
		err = -EPROTOTYPE;
	} else if (!net_eq(sock_net(sk), tn->net)) {
		NL_SET_ERR_MSG(extack,
			       "the socket is of another network namespace");
		err = -EXDEV;
	} else {
		sock_hold(sk);
	}
	sockfd_put(sock);
	return err ? ERR_PTR(err) : sk;
}

static int ctrl_tuples(struct tcpseal_ctrl *ctrl)
{
	struct ctrl_tuple *tuples;

	if (ctrl->tuples)
		return 0;
	tuples = kvcalloc(TUPLE_SETS * TUPLE_WAYS, sizeof(*tuples),
			  GFP_KERNEL_ACCOUNT);
	if (!tuples)
		return -ENOMEM;
	/* Pairs with the acquire in tuple_plain() */
	smp_store_release(&ctrl->tuples, tuples);
	return 0;
}

/* One a family: without IPV6_V6ONLY a single one of IPv6 serves both. */
static int ctrl_add_listener(struct tcpseal_ctrl *ctrl, struct sock *sk,
			     __be16 port, u32 portid,
			     struct netlink_ext_ack *extack)
{
	unsigned int i = sk->sk_family == AF_INET6;
	struct sock *old;

	if (sk->sk_num != ntohs(port)) {
		NL_SET_ERR_MSG(extack, "the socket listens on another port");
		return -EINVAL;
	}
	old = rcu_dereference_protected(ctrl->listener[i],
					lockdep_is_held(&ctrl->lock));
	if (old && old != sk && READ_ONCE(old->sk_state) == TCP_LISTEN) {
		NL_SET_ERR_MSG(extack,
			       "another listener of this family is registered");
		return -EBUSY;
	}
	if (rcu_access_pointer(ctrl->listener[!i]) && ctrl->port != port) {
		NL_SET_ERR_MSG(extack,
			       "the listener of the other family has another port");
		return -EBUSY;
	}
	rcu_assign_pointer(ctrl->listener[i], sk);
	WRITE_ONCE(ctrl->port, port);
	ctrl->listener_portid[i] = portid;
	if (old)
		sock_put(old);
	return 0;
}

static int ctrl_add_client(struct tcpseal_ctrl *ctrl, struct sock *sk,
			   struct client *client,
			   struct netlink_ext_ack *extack)
{
	if (client_find(ctrl, sk)) {
		NL_SET_ERR_MSG(extack, "the socket is registered already");
		return -EEXIST;
	}
	if (ctrl->nr_clients >= CLIENTS_MAX) {
		NL_SET_ERR_MSG(extack, "too many control sockets");
		return -ENOSPC;
	}
	client->sk = sk;
	hash_add_rcu(ctrl->clients, &client->node, (unsigned long)sk);
	ctrl->nr_clients++;
	WRITE_ONCE(ctrl->client_port, client->port);
	return 0;
}

/**
 * tcpseal_ctrl_add() - register a control socket of the caller
 * @tn: namespace
 * @fd: of the calling process; a listener, or a socket that will connect
 * @port: of the control protocol, the listener's or the peer's
 * @portid: genl socket of the caller; when it goes, so does this
 * @extack: says why not
 *
 * Context: process, of the caller; tn->lock. Return: 0 or a negative error.
 */
int tcpseal_ctrl_add(struct tcpseal_net *tn, int fd, __be16 port, u32 portid,
		     struct netlink_ext_ack *extack)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;
	struct client *client;
	struct sock *sk;
	int err;

	lockdep_assert_held(&tn->lock);
	sk = ctrl_sock(tn, fd, extack);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	client = kzalloc(sizeof(*client), GFP_KERNEL_ACCOUNT);
	if (!client || ctrl_tuples(ctrl)) {
		NL_SET_ERR_MSG(extack, "no memory for the control socket");
		err = -ENOMEM;
		goto put_sock;
	}
	client->port = port;
	client->portid = portid;
	spin_lock_bh(&ctrl->lock);
	if (READ_ONCE(sk->sk_state) == TCP_LISTEN) {
		err = ctrl_add_listener(ctrl, sk, port, portid, extack);
		spin_unlock_bh(&ctrl->lock);
		kfree(client);
		client = NULL;
	} else {
		err = ctrl_add_client(ctrl, sk, client, extack);
		spin_unlock_bh(&ctrl->lock);
	}
	if (err)
		goto put_sock;
	tcpseal_net_kick(tn);
	return 0;

put_sock:
	kfree(client);
	sock_put(sk);
	return err;
}

static void client_free(struct rcu_head *rcu)
{
	struct client *client = container_of(rcu, struct client, rcu);

	sock_put(client->sk);
	kfree(client);
}

/* ctrl->lock. */
static void client_del(struct tcpseal_ctrl *ctrl, struct client *client)
{
	hash_del_rcu(&client->node);
	ctrl->nr_clients--;
	call_rcu(&client->rcu, client_free);
}

/* ctrl->lock. TCP frees listening sockets by RCU. */
static void listener_del(struct tcpseal_ctrl *ctrl, unsigned int i)
{
	struct sock *sk;

	sk = rcu_replace_pointer(ctrl->listener[i], NULL,
				 lockdep_is_held(&ctrl->lock));
	if (!rcu_access_pointer(ctrl->listener[!i]))
		WRITE_ONCE(ctrl->port, 0);
	if (sk)
		sock_put(sk);
}

int tcpseal_ctrl_del(struct tcpseal_net *tn, int fd,
		     struct netlink_ext_ack *extack)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;
	struct client *client;
	struct sock *sk;
	int err = 0;

	lockdep_assert_held(&tn->lock);
	sk = ctrl_sock(tn, fd, extack);
	if (IS_ERR(sk))
		return PTR_ERR(sk);
	spin_lock_bh(&ctrl->lock);
	client = client_find(ctrl, sk);
	if (client)
		client_del(ctrl, client);
	else if (rcu_access_pointer(ctrl->listener[0]) == sk)
		listener_del(ctrl, 0);
	else if (rcu_access_pointer(ctrl->listener[1]) == sk)
		listener_del(ctrl, 1);
	else
		err = -ENOENT;
	spin_unlock_bh(&ctrl->lock);
	if (err)
		NL_SET_ERR_MSG(extack, "the socket is not registered");
	sock_put(sk);
	return err;
}

/* Remove what @portid registered; 0: what is closed; all: everything. */
static void ctrl_sweep(struct tcpseal_ctrl *ctrl, u32 portid, bool all)
{
	struct hlist_node *next;
	struct client *client;
	unsigned int i;
	struct sock *sk;

	spin_lock_bh(&ctrl->lock);
	hash_for_each_safe(ctrl->clients, i, next, client, node)
		if (all || (portid ? client->portid == portid :
			    !client->sk->sk_socket &&
			    READ_ONCE(client->sk->sk_state) == TCP_CLOSE))
			client_del(ctrl, client);
	for (i = 0; i < ARRAY_SIZE(ctrl->listener); i++) {
		sk = rcu_dereference_protected(ctrl->listener[i],
					       lockdep_is_held(&ctrl->lock));
		if (sk && (all || (portid ?
				   ctrl->listener_portid[i] == portid :
				   READ_ONCE(sk->sk_state) != TCP_LISTEN)))
			listener_del(ctrl, i);
	}
	spin_unlock_bh(&ctrl->lock);
}

bool tcpseal_ctrl_gc(struct tcpseal_net *tn)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;

	ctrl_sweep(ctrl, 0, false);
	return ctrl->nr_clients || rcu_access_pointer(ctrl->listener[0]) ||
	       rcu_access_pointer(ctrl->listener[1]);
}

void tcpseal_ctrl_release(struct tcpseal_net *tn, u32 portid)
{
	if (portid)
		ctrl_sweep(tn->ctrl, portid, false);
}

/* Hooks are gone, and a grace period is over. */
void tcpseal_ctrl_exit(struct tcpseal_net *tn)
{
	struct tcpseal_ctrl *ctrl = tn->ctrl;

	ctrl_sweep(ctrl, 0, true);
	kvfree(ctrl->tuples);
	kfree(ctrl);
}
