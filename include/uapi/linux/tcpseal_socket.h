/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/*
 * What the owner of a TCP socket may ask about its connection:
 *
 *	struct tcpseal_socket_info info;
 *	socklen_t len = sizeof(info);
 *
 *	getsockopt(fd, IPPROTO_IP, TCPSEAL_SO_INFO, &info, &len);
 *
 * with IPPROTO_IPV6 for a socket of AF_INET6, also where it talks IPv4. No
 * privilege is needed, and nothing in the answer is secret. ENOPROTOOPT: no
 * tcpseal in this kernel, or not a TCP socket; ENOTCONN: not connected.
 *
 * The structure may grow at its end. As many bytes are written as fit, and len
 * says how many.
 */
#ifndef _UAPI_LINUX_TCPSEAL_SOCKET_H
#define _UAPI_LINUX_TCPSEAL_SOCKET_H

#include <linux/types.h>

#define TCPSEAL_SO_INFO		7325

/**
 * enum tcpseal_socket_flag - What holds for a connection now.
 * @TCPSEAL_SOCKET_SEALS: What is sent leaves sealed, or not at all.
 * @TCPSEAL_SOCKET_REFUSES_PLAIN: What comes in is opened; plaintext is refused.
 * @TCPSEAL_SOCKET_FROM_START: So it was for all that came in before. Said only
 *	with the other two, and only where the kernel can tell: until the first
 *	byte was sent.
 * @TCPSEAL_SOCKET_KEY: There is a key to send with.
 * @TCPSEAL_SOCKET_MANUAL: It was typed in by hand; nobody was authenticated.
 * @TCPSEAL_SOCKET_GATEWAY: A gateway holds the keys, at this end or the other:
 *	between gateway and host the connection is in plain.
 * @TCPSEAL_SOCKET_PEER_MODE: The peer said its mode, or whoever typed the key in
 *	said it.
 */
enum tcpseal_socket_flag {
	TCPSEAL_SOCKET_SEALS = 1,
	TCPSEAL_SOCKET_REFUSES_PLAIN = 2,
	TCPSEAL_SOCKET_FROM_START = 4,
	TCPSEAL_SOCKET_KEY = 8,
	TCPSEAL_SOCKET_MANUAL = 16,
	TCPSEAL_SOCKET_GATEWAY = 32,
	TCPSEAL_SOCKET_PEER_MODE = 64,
};

/**
 * struct tcpseal_socket_info - What tcpseal knows of a connection.
 * @flags: enum tcpseal_socket_flag
 * @state: enum tcpseal_pair_state; 0 where no link covers the connection
 * @mode_local: enum tcpseal_mode of the link; none without one
 * @mode_peer: enum tcpseal_mode that the peer said
 * @aead: enum tcpseal_aead of the key to send with, or 0
 * @key_secs: age of that key
 * @clean_msecs: for so long no plaintext came in from the peer, on any of its
 *	connections
 * @cert_fingerprint: SHA-256 of the peer's certificate, or zeros
 * @cert_name: its name, or ""
 * @kex: key group of the handshake, or ""
 */
struct tcpseal_socket_info {
	__u32	flags;
	__u32	state;
	__u32	mode_local;
	__u32	mode_peer;
	__u32	aead;
	__u32	key_secs;
	__u64	clean_msecs;
	__u8	cert_fingerprint[32];
	char	cert_name[128];
	char	kex[32];
};

#endif /* _UAPI_LINUX_TCPSEAL_SOCKET_H */
