// SPDX-License-Identifier: GPL-2.0-or-later
/* The TCP sockets of this network namespace, by sock_diag. */
#include <errno.h>
#include <string.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <libmnl/libmnl.h>

#include "model.h"

struct dump {
	void (*see)(const struct inet_diag_msg *d, void *data);
	void *data;
};

/* IPv4 in an IPv6 socket is IPv4 on the wire */
void diag_addr(struct tcpseal_addr *to, int family, const uint32_t *from)
{
	memset(to, 0, sizeof(*to));
	to->len = family == AF_INET ? 4 : 16;
	memcpy(to->b, from, to->len);
	if (family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)from)) {
		to->len = 4;
		memcpy(to->b, from + 3, 4);
		memset(to->b + 4, 0, sizeof(to->b) - 4);
	}
}

static int see_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct dump *dump = data;

	if (mnl_nlmsg_get_payload_len(nlh) >= sizeof(struct inet_diag_msg))
		dump->see(mnl_nlmsg_get_payload(nlh), dump->data);
	return MNL_CB_OK;
}

static bool dump_family(struct mnl_socket *nl, int family, uint32_t states,
			struct dump *dump)
{
	char buf[32 * 1024];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;
	int ret = MNL_CB_OK;
	ssize_t n;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = family;
	req = mnl_nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_states = states;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return false;
	do {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		ret = mnl_cb_run(buf, n, family, mnl_socket_get_portid(nl),
				 see_socket, dump);
	} while (ret > MNL_CB_STOP);
	return ret == MNL_CB_STOP;
}

/* Sockets in these states, a bit each. False: not all of them could be seen. */
bool diag_dump(uint32_t states,
	       void (*see)(const struct inet_diag_msg *d, void *data),
	       void *data)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG,
						 SOCK_CLOEXEC);
	struct dump dump = { .see = see, .data = data };
	bool all;

	if (!nl)
		return false;
	all = !mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) &&
	      dump_family(nl, AF_INET, states, &dump) &&
	      dump_family(nl, AF_INET6, states, &dump);
	mnl_socket_close(nl);
	return all;
}
