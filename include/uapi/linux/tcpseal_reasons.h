/* SPDX-License-Identifier: ((GPL-2.0 WITH Linux-syscall-note) OR BSD-3-Clause) */
/*
 * Every reason for which tcpseal drops a segment, and every event worth
 * counting that drops nothing. One line each: number, name as `tcpseal stats`
 * prints it, and what it means. Numbers never change their meaning.
 */
#ifndef _UAPI_LINUX_TCPSEAL_REASONS_H
#define _UAPI_LINUX_TCPSEAL_REASONS_H

/* X(number, NAME, "name", "meaning") */
#define TCPSEAL_DROP_REASONS(X)						\
	X(1, PLAIN_IN, "plain-in",					\
	  "plaintext TCP arrived on a sealed or required pair")		\
	X(2, NO_KEY, "no-key",						\
	  "no key in time for a segment that must be sealed")		\
	X(3, NO_KEY_IN, "no-key-in",					\
	  "plaintext arrived for a required pair that has no key")	\
	X(4, UNKNOWN_SPI, "unknown-spi",				\
	  "sealed segment with an SPI that this host does not know")	\
	X(5, TOMBSTONE, "tombstone",					\
	  "sealed segment for an SA that was removed")			\
	X(6, BAD_TAG, "bad-tag",					\
	  "authentication failed although the TCP checksum was right")	\
	X(7, NOISE, "noise",						\
	  "authentication failed and the TCP checksum was wrong")	\
	X(8, REPLAY, "replay",						\
	  "record with a counter that was already opened")		\
	X(9, TOO_OLD, "too-old",					\
	  "record with a counter behind the replay window")		\
	X(10, SELECTOR, "selector",					\
	  "good record from an address that its key does not cover")	\
	X(11, MALFORMED, "malformed",					\
	  "record header, length or geometry is not exact")		\
	X(12, FRAGMENT, "fragment",					\
	  "IP fragment of TCP on a sealed pair")			\
	X(13, HEADER, "header",						\
	  "IP or TCP header cannot be parsed")				\
	X(14, SOURCE_ROUTE, "source-route",				\
	  "source route or IPv6 routing header on a sealed pair")	\
	X(15, NO_MEMORY, "no-memory",					\
	  "no memory to seal or open")					\
	X(16, UNREADABLE, "unreadable",					\
	  "payload that the CPU cannot read, or a device seals itself")	\
	X(17, EXPIRED, "expired",					\
	  "SA beyond its hard limit of time or volume")			\
	X(18, HOLD_FULL, "hold-full",					\
	  "too many segments already wait for a key")			\
	X(19, HOLD_TIMEOUT, "hold-timeout",				\
	  "segment waited too long for a key")				\
	X(20, BLOCKED, "blocked",					\
	  "the peer refuses to seal and the pair must be sealed")	\
	X(21, NONTCP, "nontcp",						\
	  "traffic other than TCP on a link that says nontcp drop")	\
	X(22, MTU, "mtu",						\
	  "the path is too small for a record")				\
	X(23, CHECKSUM, "checksum",					\
	  "wrong TCP checksum in a segment to be sealed for others")	\
	X(24, BYPASS, "bypass",						\
	  "segment on a way past the hooks, in plain")			\
	X(25, CRYPTO, "crypto",						\
	  "the kernel crypto API failed for another reason")		\
	X(26, ICMP_FORGED, "icmp-forged",				\
	  "ICMP error about a sealed pair that is not plausible")	\
	X(27, ICMP_HARD, "icmp-hard",					\
	  "hard ICMP error about a sealed pair, ignored")		\
	X(28, NO_PAIR, "no-pair",					\
	  "too many pairs in this namespace")				\
	X(29, OLD_CONNECTION, "old-connection",				\
	  "connections from before sealing, reset where the link says so")	\
	X(30, COUNTER, "counter",					\
	  "record counter of a lane is used up")			\
	X(31, TEARDOWN, "teardown",					\
	  "namespace, link or module went away meanwhile")		\
	X(32, CTRL_INJECT, "ctrl-inject",				\
	  "plaintext for a control connection that is sealed")		\
	X(33, CTRL_LATE, "ctrl-late",					\
	  "plain remains of a control connection that is closed here")

#define TCPSEAL_NOTES(X)						\
	X(1, RECHUNKED, "rechunked",					\
	  "segments cut into more records because of size")		\
	X(2, ORDER0, "order0",						\
	  "single pages used for want of larger ones")			\
	X(3, ASYNC, "async",						\
	  "AEAD requests that completed later")				\
	X(4, SYNC_CIPHER, "sync-cipher",				\
	  "AEAD requests to the slow cipher, SIMD not usable")	\
	X(5, SPLIT, "split",						\
	  "opened skbs that were delivered in more than one piece")	\
	X(6, TFO_CUT, "tfo-cut",					\
	  "SYN data cut because it would not fit")			\
	X(7, OVERSIZE, "oversize",					\
	  "signed (MD5, AO) segments sent in fragments")		\
	X(8, PMTU_LEARNT, "pmtu-learnt",				\
	  "path MTU learnt from an ICMP error about a sealed segment")	\
	X(9, HELD, "held",						\
	  "segments that waited for a key")				\
	X(10, HELD_REPLACED, "held-replaced",				\
	  "held segments replaced by a later one of their flow")	\
	X(11, MSS_HINT, "mss-hint",					\
	  "MSS options lowered to leave room for a record")		\
	X(12, ICMP_CUT, "icmp-cut",					\
	  "ICMP quotes of opened segments cut to the header")		\
	X(13, CTRL_PLAIN, "ctrl-plain",					\
	  "segments of exempt control connections")			\
	X(14, GRACE, "grace",						\
	  "plaintext in flight accepted while a pair became sealed")	\
	X(15, WINDOW_GROWN, "window-grown",				\
	  "replay windows enlarged")					\
	X(16, GSO_CAPPED, "gso-capped",					\
	  "super-segments sealed in more than one skb")			\
	X(17, FLOW_RECALLED, "flow-recalled",				\
	  "forwarded flows taken back from a flowtable")

enum tcpseal_drop {
#define X(nr, id, name, text) TCPSEAL_DROP_##id = nr,
	TCPSEAL_DROP_REASONS(X)
#undef X
	__TCPSEAL_DROP_MAX
};

enum tcpseal_note {
#define X(nr, id, name, text) TCPSEAL_NOTE_##id = nr,
	TCPSEAL_NOTES(X)
#undef X
	__TCPSEAL_NOTE_MAX
};

#endif /* _UAPI_LINUX_TCPSEAL_REASONS_H */
