// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a program may ask about its own connections. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "internal.h"

int tcpseal_socket_info(int fd, struct tcpseal_socket_info *info)
{
	socklen_t len = sizeof(int);
	int domain, level;

	/* An older kernel writes less of it */
	memset(info, 0, sizeof(*info));
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len))
		return -errno;
	if (domain != AF_INET && domain != AF_INET6)
		return -ENOPROTOOPT;
	level = domain == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	len = sizeof(*info);
	if (getsockopt(fd, level, TCPSEAL_SO_INFO, info, &len))
		return -errno;
	return 0;
}
