// SPDX-License-Identifier: GPL-2.0-only
/*
 * mishap.so - for tests only, preloaded into tcpseald: something happens to a
 * handshake just before one of its steps, once. The file that MISHAP names says
 * "STEP ACTION" and is taken away by it. Steps, by the role that this end has:
 *
 *	client-hello client-in client-out client-confirm client-use
 *	server-in server-out server-hello server-use server-ready
 *
 * where "in" and "out" install the key of one direction and "use" sends with it.
 *
 *	kill	the daemon dies, as by kill -9
 *	cut	the connection ends, whatever is under way on it
 *	hold	until somebody takes MISHAP.held away, which is made here
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <linux/tcpseal.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOLD_MAX_MS	5000
#define HOLD_STEP_MS	5

struct mnl_socket;

/* What this thread has in hand: whoever takes a connection calls one of these first */
static __thread SSL *now;

static const char *const messages[] = {
	[1] = "hello", [2] = "confirm", [3] = "ready"
};

static void hold(const char *path)
{
	char held[4096];
	int fd, i;

	snprintf(held, sizeof(held), "%s.held", path);
	fd = open(held, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	for (i = 0; i < HOLD_MAX_MS / HOLD_STEP_MS && !access(held, F_OK); i++)
		usleep(HOLD_STEP_MS * 1000);
}

static void act(const char *action, const char *path)
{
	if (!strcmp(action, "kill"))
		kill(getpid(), SIGKILL);
	else if (!strcmp(action, "cut"))
		shutdown(SSL_get_fd(now), SHUT_RDWR);
	else if (!strcmp(action, "hold"))
		hold(path);
}

static void step(const char *what)
{
	const char *path = getenv("MISHAP");
	char name[32], wanted[32], action[32];
	FILE *file;
	int n;

	file = path && now ? fopen(path, "re") : NULL;
	if (!file)
		return;
	n = fscanf(file, "%31s %31s", wanted, action);
	fclose(file);
	snprintf(name, sizeof(name), "%s-%s",
		 SSL_is_server(now) ? "server" : "client", what);
	/* of two threads that are there at once it happens to one */
	if (n == 2 && !strcmp(name, wanted) && !unlink(path))
		act(action, path);
}

int SSL_write(SSL *ssl, const void *buf, int num)
{
	int (*real)(SSL *, const void *, int) = dlsym(RTLD_NEXT, "SSL_write");
	const unsigned char *message = buf;

	now = ssl;
	if (num >= 4 && message[3] >= 1 && message[3] <= 3)
		step(messages[message[3]]);
	return real(ssl, buf, num);
}

int SSL_read(SSL *ssl, void *buf, int num)
{
	int (*real)(SSL *, void *, int) = dlsym(RTLD_NEXT, "SSL_read");

	now = ssl;
	return real(ssl, buf, num);
}

int SSL_connect(SSL *ssl)
{
	int (*real)(SSL *) = dlsym(RTLD_NEXT, "SSL_connect");

	now = ssl;
	return real(ssl);
}

int SSL_accept(SSL *ssl)
{
	int (*real)(SSL *) = dlsym(RTLD_NEXT, "SSL_accept");

	now = ssl;
	return real(ssl);
}

/* Which direction does the SA have that is installed? */
static unsigned int direction(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr = NLMSG_DATA(nlh) + GENL_HDRLEN;
	int left = NLMSG_PAYLOAD(nlh, GENL_HDRLEN);

	for (; left >= NLA_HDRLEN && attr->nla_len >= NLA_HDRLEN;
	     left -= NLA_ALIGN(attr->nla_len),
	     attr = (const void *)attr + NLA_ALIGN(attr->nla_len))
		if (attr->nla_type == TCPSEAL_A_SA_DIR)
			return *(const unsigned int *)(attr + 1);
	return 0;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *buf,
			  size_t len)
{
	ssize_t (*real)(const struct mnl_socket *, const void *, size_t) =
		dlsym(RTLD_NEXT, "mnl_socket_sendto");
	const struct nlmsghdr *nlh = buf;
	const struct genlmsghdr *genl = NLMSG_DATA(nlh);

	if (now && nlh->nlmsg_type > GENL_ID_CTRL) {
		if (genl->cmd == TCPSEAL_CMD_SA_NEW)
			step(direction(nlh) == TCPSEAL_DIR_IN ? "in" : "out");
		else if (genl->cmd == TCPSEAL_CMD_SA_SET)
			step("use");
	}
	return real(nl, buf, len);
}
