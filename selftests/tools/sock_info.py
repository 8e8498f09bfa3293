#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel says of a connection to its owner, asked without any library.

sock_info.py [-m] ADDRESS PORT

Connects (with -m by an IPv4-mapped address), prints "connected", and obeys: a line
"info" prints JSON, "send" sends a byte, the end of input ends it.

sock_info.py -l PORT

Accepts connections, and keeps them.

sock_info.py -k

What is not a connected TCP socket: how it is refused, a line each.
"""
import errno
import json
import socket
import struct
import sys

TCPSEAL_SO_INFO = 7325
LAYOUT = "=6IQ32s128s32s"
FLAGS = ("seals", "refuses-plain", "from-start", "key", "manual", "gateway", "peer-mode")
FIELDS = ("flags", "state", "mode_local", "mode_peer", "aead", "key_secs", "clean_msecs",
          "cert_fingerprint", "cert_name", "kex")


def ask(sock, length=struct.calcsize(LAYOUT)):
    level = socket.IPPROTO_IPV6 if sock.family == socket.AF_INET6 else socket.IPPROTO_IP
    return sock.getsockopt(level, TCPSEAL_SO_INFO, length)


def info(sock):
    said = dict(zip(FIELDS, struct.unpack(LAYOUT, ask(sock))))
    for name in ("cert_name", "kex"):
        said[name] = said[name].split(b"\0")[0].decode()
    said["cert_fingerprint"] = said["cert_fingerprint"].hex()
    said["flags"] = [name for bit, name in enumerate(FLAGS) if said["flags"] >> bit & 1]
    return said


def refusals():
    for what, family, kind in (("unconnected", socket.AF_INET, socket.SOCK_STREAM),
                               ("unconnected6", socket.AF_INET6, socket.SOCK_STREAM),
                               ("listening", socket.AF_INET, socket.SOCK_STREAM),
                               ("udp", socket.AF_INET, socket.SOCK_DGRAM),
                               ("unix", socket.AF_UNIX, socket.SOCK_STREAM)):
        sock = socket.socket(family, kind)
        if what == "listening":
            sock.bind(("127.0.0.1", 0))
            sock.listen()
        try:
            ask(sock)
            print(what, "answered")
        except OSError as err:
            print(what, errno.errorcode[err.errno])


def keep(port):
    listener = socket.create_server(("", int(port)), family=socket.AF_INET6,
                                    dualstack_ipv6=True, backlog=16)
    kept = []
    while True:
        kept.append(listener.accept())


def main():
    if sys.argv[1:] == ["-k"]:
        refusals()
        return
    if sys.argv[1] == "-l":
        keep(sys.argv[2])
    mapped = sys.argv[1] == "-m"
    address, port = sys.argv[-2:]
    if mapped:
        address = "::ffff:" + address
    sock = socket.create_connection((address, int(port)), 20)
    print("connected", flush=True)
    for line in sys.stdin:
        if line == "send\n":
            sock.send(b"x")
            print("sent", flush=True)
        elif line == "short\n":
            print(len(ask(sock, 4)), flush=True)
        else:
            print(json.dumps(info(sock)), flush=True)


main()
