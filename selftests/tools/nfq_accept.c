// SPDX-License-Identifier: GPL-2.0-only
/*
 * nfq_accept - the program behind an NFQUEUE: takes packets, counts them, and
 * lets them go. Without -g the kernel cuts super-segments before queueing.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_queue.h>
#include <linux/netlink.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon.h"

static volatile sig_atomic_t stopping;
static int fd;

struct request {
	struct nlmsghdr nlh;
	struct nfgenmsg nfg;
	char data[128];
};

static void *put(struct request *req, int type, const void *data, size_t len)
{
	struct nlattr *nla = (void *)((char *)req + NLMSG_ALIGN(req->nlh.nlmsg_len));

	nla->nla_type = type;
	nla->nla_len = NLA_HDRLEN + len;
	memcpy((char *)nla + NLA_HDRLEN, data, len);
	req->nlh.nlmsg_len = NLMSG_ALIGN(req->nlh.nlmsg_len) +
			     NLA_ALIGN(nla->nla_len);
	return nla;
}

static void start(struct request *req, int type, int queue, bool ack)
{
	memset(req, 0, sizeof(*req));
	req->nlh.nlmsg_len = NLMSG_LENGTH(sizeof(req->nfg));
	req->nlh.nlmsg_type = NFNL_SUBSYS_QUEUE << 8 | type;
	req->nlh.nlmsg_flags = NLM_F_REQUEST | (ack ? NLM_F_ACK : 0);
	req->nfg.res_id = htons(queue);
}

static void ask(struct request *req)
{
	char buf[4096];
	struct nlmsghdr *nlh = (void *)buf;

	if (send(fd, req, req->nlh.nlmsg_len, 0) < 0)
		err(1, "send");
	if (recv(fd, buf, sizeof(buf), 0) < 0)
		err(1, "recv");
	if (nlh->nlmsg_type != NLMSG_ERROR)
		errx(1, "no answer");
	errno = -((struct nlmsgerr *)NLMSG_DATA(nlh))->error;
	if (errno)
		err(4, "nfnetlink_queue");
}

static void accept_packet(int queue, uint32_t id)
{
	struct nfqnl_msg_verdict_hdr verdict = { htonl(NF_ACCEPT), id };
	struct request req;

	start(&req, NFQNL_MSG_VERDICT, queue, false);
	put(&req, NFQA_VERDICT_HDR, &verdict, sizeof(verdict));
	if (send(fd, &req, req.nlh.nlmsg_len, 0) < 0)
		warn("verdict");
}

static bool packet_id(const struct nlmsghdr *nlh, uint32_t *id)
{
	const struct nlattr *nla = (void *)((char *)NLMSG_DATA(nlh) +
					    NLMSG_ALIGN(sizeof(struct nfgenmsg)));
	const char *end = (char *)nlh + nlh->nlmsg_len;

	while ((char *)nla + NLA_HDRLEN <= end && nla->nla_len >= NLA_HDRLEN) {
		if ((nla->nla_type & NLA_TYPE_MASK) == NFQA_PACKET_HDR) {
			memcpy(id, (char *)nla + NLA_HDRLEN, 4);
			return true;
		}
		nla = (void *)((char *)nla + NLA_ALIGN(nla->nla_len));
	}
	return false;
}

static void on_stop(int sig)
{
	(void)sig;
	stopping = 1;
}

int main(int argc, char **argv)
{
	struct nfqnl_msg_config_params params = { htonl(0), NFQNL_COPY_META };
	struct nfqnl_msg_config_cmd bind_queue = { .command = NFQNL_CFG_CMD_BIND };
	uint32_t flags = htonl(NFQA_CFG_F_GSO), length = htonl(65536);
	struct sigaction stop = { .sa_handler = on_stop };
	const char *pidfile = NULL, *result = NULL;
	static char buf[1 << 20];
	unsigned long packets = 0;
	bool background = false;
	struct request req;
	int queue = 0, size = 32 << 20, c;
	bool gso = false;

	while ((c = getopt(argc, argv, "n:gDq:o:")) >= 0) {
		switch (c) {
		case 'n': queue = atoi(optarg); break;
		case 'g': gso = true; break;
		case 'D': background = true; break;
		case 'q': pidfile = optarg; break;
		case 'o': result = optarg; break;
		default:
			errx(2, "Usage: nfq_accept [-n QUEUE] [-g] [-D] [-q PIDFILE] [-o RESULT]");
		}
	}
	sigaction(SIGTERM, &stop, NULL);
	if (background)
		background_start();
	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	if (fd < 0)
		err(4, "nfnetlink");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));

	start(&req, NFQNL_MSG_CONFIG, queue, true);
	put(&req, NFQA_CFG_CMD, &bind_queue, sizeof(bind_queue));
	ask(&req);
	start(&req, NFQNL_MSG_CONFIG, queue, true);
	put(&req, NFQA_CFG_PARAMS, &params, sizeof(params));
	put(&req, NFQA_CFG_QUEUE_MAXLEN, &length, sizeof(length));
	if (gso) {
		put(&req, NFQA_CFG_FLAGS, &flags, sizeof(flags));
		put(&req, NFQA_CFG_MASK, &flags, sizeof(flags));
	}
	ask(&req);
	background_ready(pidfile);

	while (!stopping) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		struct nlmsghdr *nlh = (void *)buf;
		ssize_t n;
		uint32_t id;

		if (poll(&p, 1, 200) <= 0)
			continue;
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		for (; n > 0 && NLMSG_OK(nlh, (size_t)n); nlh = NLMSG_NEXT(nlh, n)) {
			if (nlh->nlmsg_type == NLMSG_ERROR || !packet_id(nlh, &id))
				continue;
			packets++;
			accept_packet(queue, id);
		}
	}
	result_write(result, "{\"packets\":%lu}\n", packets);
	return 0;
}
