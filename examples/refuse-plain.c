// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server that refuses to serve on a connection that is not sealed.
 *
 *	cc refuse-plain.c $(pkg-config --cflags --libs libtcpseal) -o refuse-plain
 *	./refuse-plain PORT [NAME]
 *
 * With NAME the certificate of the other host must carry it. It asks the kernel
 * once, right after accept() and before its first byte: only then does the
 * kernel know whether all of the connection was sealed. A long connection would
 * ask again: where the link does not say require, both hosts may agree on less.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <libtcpseal.h>

/* NULL, or why this connection is not good enough */
static const char *objection(int fd, const char *name,
			     struct tcpseal_socket_info *info)
{
	int err = tcpseal_socket_info(fd, info);

	if (err == -ENOPROTOOPT)
		return "this kernel has no tcpseal";
	if (err)
		return strerror(-err);
	if (!(info->flags & TCPSEAL_SOCKET_SEALS))
		return "it is in plain";
	if (!(info->flags & TCPSEAL_SOCKET_REFUSES_PLAIN))
		return "plaintext may still come in";
	if (!(info->flags & TCPSEAL_SOCKET_FROM_START))
		return "what came in before may have been plain";
	if (!name)
		return NULL;
	if (info->flags & TCPSEAL_SOCKET_GATEWAY)
		return "the name is that of a gateway";
	return strcmp(info->cert_name, name) ? "that is somebody else" : NULL;
}

static void serve(int fd, const char *name)
{
	static const struct linger reset = { .l_onoff = 1 };
	struct tcpseal_socket_info info;
	const char *why = objection(fd, name, &info);

	if (why) {
		printf("refused: %s\n", why);
		/* what it has sent already gets no answer, not even a FIN */
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		return;
	}
	printf("served: %s, %s, key of %u s, group %s\n",
	       *info.cert_name ? info.cert_name : "nobody by name",
	       tcpseal_aead_name(info.aead), info.key_secs,
	       *info.kex ? info.kex : "none");
	dprintf(fd, "This went sealed.\n");
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	const char *name = argc == 3 ? argv[2] : NULL;
	int listener, fd, on = 1;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: %s PORT [NAME]\n", argv[0]);
		return 2;
	}
	setlinebuf(stdout);
	any.sin6_port = htons(strtoul(argv[1], NULL, 10));
	listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) ||
	    listen(listener, 16)) {
		perror(argv[1]);
		return 1;
	}
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		serve(fd, name);
		close(fd);
	}
}
