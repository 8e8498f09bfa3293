#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""One allocation after the other fails, in what a process asks of the module.

    failnth.py SPEC MODULE.ko netlink|netns|insmod [MOST]

The kernel's fault injection lets the n-th allocation of this task fail
(/proc/thread-self/fail-nth); the caller has limited it to those under the module's
text, or, for insmod, under the call of its init function. Each operation is tried
with n from 1 on, until it goes through without meeting a failure. It may do without
the memory; or it fails, then nothing of it stays, and the very same operation,
tried again, succeeds. One line a verdict.
"""
import ctypes
import errno
import os
import socket
import struct
import sys

from netlink import Kernel, Report, Request, Spec, State, address

CLONE_NEWNET = 0x40000000
FAR = 1 << 30		# further than any operation allocates
LIMIT = 2000
FORCE_WEAKEN = 3

libc = ctypes.CDLL(None, use_errno=True)


class FailNth:
    """with FailNth(n) as f: ...; f.hit tells whether it came to the n-th."""

    def __init__(self, n):
        self.n, self.hit, self.left = n, False, 0

    def __enter__(self):
        self.fd = os.open("/proc/thread-self/fail-nth", os.O_RDWR)
        os.write(self.fd, b"%d" % self.n)
        return self

    def __exit__(self, *_):
        self.left = int(os.pread(self.fd, 20, 0))
        self.hit = not self.left
        os.pwrite(self.fd, b"0", 0)
        os.close(self.fd)


class Operations:
    """Each netlink operation, with what it needs to succeed."""

    def __init__(self, spec):
        self.spec, self.kernel = spec, Kernel("tcpseal")
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.listener.bind(("0.0.0.0", 7325))
        self.listener.listen()
        self.client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.generation = 0
        self.tried = set()

    def request(self, name, **values):
        return Request(self.spec.operations[name], **values)

    def prefixes(self):
        return {"local": address("10.1.0.0"), "local_len": 16,
                "remote": address("10.2.0.0"), "remote_len": 16}

    def pair(self):
        return {"local": address("10.1.0.5"), "remote": address("10.2.0.5")}

    def link(self, **values):
        return self.request("link-new", **{**self.prefixes(), "mode": 4, **values})

    def inner(self, **values):
        return self.link(remote=address("10.2.0.5"), remote_len=32, **values)

    def known(self):
        return self.request("pair-set", **self.pair(), mode_peer=4, flags=1, identity="first",
                            sticky_since=1000, reason="first")

    def ctrl(self, sock):
        return self.request("ctrl-new", fd=sock.fileno(), port=7325)

    def sa(self, direction):
        self.generation += 1
        return self.request(
            "sa-new", dir=direction, local=address("10.1.0.5"), peer=address("10.2.0.5"), aead=1,
            spi=int.from_bytes(os.urandom(4), "big") >> 1 | 1, key=os.urandom(32),
            iv=os.urandom(12), generation=self.generation, cert_name="peer", lanes=8,
            mode_local=4, mode_peer=4, flags=2 if direction == 2 else 0)

    def all(self):
        """name, what goes before, and the request: a function, for fresh keys."""
        receive, send = lambda: self.sa(1), lambda: self.sa(2)
        yield "link-new", [], self.link
        yield "link-new, of two", [self.link], lambda: self.inner(mode=3, change=FORCE_WEAKEN)
        yield ("link-new, and keys go", [self.link, receive, send],
               lambda: self.inner(mode=1, change=FORCE_WEAKEN))
        yield ("link-new, another mode", [self.link, receive, send],
               lambda: self.link(mode=2, change=FORCE_WEAKEN))
        yield ("link-new, keys of another kind", [self.link, receive, send],
               lambda: self.link(aead=2, change=FORCE_WEAKEN))
        yield "link-del", [self.link, self.inner, receive, send], lambda: self.request(
            "link-del", **self.prefixes(), change=FORCE_WEAKEN)
        yield "link-flush", [self.link, self.inner, receive], lambda: self.request(
            "link-flush", change=FORCE_WEAKEN)
        yield "sa-new, to receive", [self.link], receive
        yield "sa-new, to send", [self.link], send
        yield "sa-new, the next one", [self.link, receive, send], receive
        yield "sa-del", [self.link, receive, send], lambda: self.request("sa-del", **{
            "local": address("10.1.0.5"), "peer": address("10.2.0.5")})
        yield "sa-flush", [self.link, receive, send], lambda: self.request("sa-flush")
        yield "sa-set", [self.link, send], lambda: self.request(
            "sa-set", local=address("10.1.0.5"), peer=address("10.2.0.5"),
            generation=self.generation)
        yield "pair-set", [self.link], lambda: self.request(
            "pair-set", **self.pair(), mode_peer=4, flags=1, sticky_since=1000, last_sealed=1000,
            identity="peer", reason="a reason")
        yield "pair-set, once more", [self.link, self.known], lambda: self.request(
            "pair-set", **self.pair(), mode_peer=3, identity="peer", reason="a reason")
        yield "pair-rekey", [self.link, receive], lambda: self.request(
            "pair-rekey", **self.pair())
        yield "pair-forget", [self.link, self.known], lambda: self.request(
            "pair-forget", **self.pair())
        yield "ctrl-new, a listener", [], lambda: self.ctrl(self.listener)
        yield "ctrl-new, a client", [], lambda: self.ctrl(self.client)
        yield "ctrl-del", [lambda: self.ctrl(self.client)], lambda: self.request(
            "ctrl-del", fd=self.client.fileno())
        yield "conf-set", [], lambda: self.request("conf-set", hold_secs=3,
                                                   aead_driver="gcm(aes)")
        yield "audit-flush", [lambda: self.link(mode=2)], lambda: self.request("audit-flush")
        for name in ("link-get", "sa-get", "pair-get", "stats-get", "conf-get", "audit-get"):
            yield name, [self.link, receive, send], lambda name=name: self.request(name)

    def untried(self):
        """Operations of the spec that all() has forgotten."""
        return [name for name, op in self.spec.operations.items()
                if ("do" in op or "dump" in op) and name not in self.tried]

    def reset(self, before):
        for request in (self.request("link-flush", change=FORCE_WEAKEN), self.request("sa-flush"),
                        self.request("conf-set", aead_driver="")):
            answer = request.send(self.kernel)
            if answer.errno:
                return f"{request.op['name']}: {answer}"
        # a pair that is sticky outlives its link
        self.request("pair-forget", remote=address("10.2.0.5")).send(self.kernel)
        for fd in self.listener.fileno(), self.client.fileno():
            self.request("ctrl-del", fd=fd).send(self.kernel)
        for make in before:
            answer = make().send(self.kernel)
            if answer.errno:
                return f"before it, {answer}"
        return None

    def state(self):
        """What is configured: without tombstones, which end by themselves, and without
        bare pairs, which whoever names one makes, as any packet does."""
        state = State(self.spec, self.kernel)
        sa, pair = (self.spec.operations[name]["table"] for name in ("sa-get", "pair-get"))
        tombstone = self.spec.enums["sa-state"]["entries"].index("tombstone") + 1
        dead = (sa["state"]["number"], struct.pack("=I", tombstone))
        says = {pair[name]["number"] for name in
                ("tx-id", "rx-id", "identity", "reason", "sticky-since", "mode-peer")}
        return {entry for entry in state.lists if
                entry[0] == "sa-get" and dead not in entry[1] or
                entry[0] == "pair-get" and says & {number for number, _ in entry[1]} or
                entry[0] not in ("sa-get", "pair-get")}

    def once(self, n, before, make):
        """Return: what was wrong, or None; was it hit; did it succeed."""
        wrong = self.reset(before)
        if wrong:
            return wrong, False, False
        request, was = make(), self.state()
        self.tried.add(request.op["name"])
        with FailNth(n) as fail:
            answer = request.send(self.kernel)
        if not answer.errno:
            return None, fail.hit, True
        if not answer.text or (answer.errno != errno.ENOMEM and "memory" not in answer.text):
            return f"it says {answer}", fail.hit, False
        now = self.state()
        if now != was:
            return f"after {answer} there is {now - was}, no more {was - now}", fail.hit, False
        # with other keys: these count as used
        again = make().send(self.kernel)
        if again.errno:
            return f"after {answer}, once more: {again}", fail.hit, False
        return None, fail.hit, False


def netlink(spec, report, _):
    operations = Operations(spec)
    for name, before, make in operations.all():
        wrong, failed, n = [], 0, 0
        for n in range(1, LIMIT):
            problem, hit, good = operations.once(n, before, make)
            if problem:
                wrong.append(f"allocation {n}: {problem}")
            failed += hit and not good
            if not hit:
                if not good and not problem:
                    wrong.append("without a failure it fails")
                break
        report.group(f"{name}: {n - 1} allocations fail, {failed} times it does, too", wrong)
    operations.reset([])
    report.group("every operation of the spec", operations.untried())


def try_netns(n):
    """In a child, which leaves it again: errno, was it hit."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        with FailNth(n) as fail:
            status = libc.unshare(CLONE_NEWNET)
            error = ctypes.get_errno() if status else 0
        os.write(write, b"%d %d" % (error, fail.hit))
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    error, hit = os.read(read, 100).split()
    os.close(read)
    return int(error), bool(int(hit))


def netns(_spec, report, _module):
    wrong, n, failed = [], 0, 0
    for n in range(1, LIMIT):
        error, hit = try_netns(n)
        failed += bool(hit and error)
        if error and error != errno.ENOMEM:
            wrong.append(f"allocation {n}: {os.strerror(error)}")
        if not hit:
            if error:
                wrong.append("without a failure it fails")
            break
    report.group(f"a network namespace: {n - 1} allocations fail, {failed} times it does, too",
                 wrong)


def load(module, n):
    """errno, what was left of n."""
    fd = os.open(module, os.O_RDONLY | os.O_CLOEXEC)
    with FailNth(n) as fail:
        # finit_module
        status = libc.syscall(313, fd, b"", 0)
        error = ctypes.get_errno() if status else 0
    os.close(fd)
    return error, fail.left


def unload():
    # delete_module
    return libc.syscall(176, b"tcpseal", os.O_NONBLOCK) and ctypes.get_errno()


def insmod(_spec, report, module, most=LIMIT):
    """At most so many of all, evenly spread."""
    error, left = load(module, FAR)
    total = FAR - left
    if error or unload():
        report.group("insmod", [f"without a failure: {os.strerror(error)}"])
        return
    wrong, failed = [], 0
    tries = sorted({1 + i * total // min(most, total) for i in range(min(most, total))})
    for n in tries:
        error, _ = load(module, n)
        failed += bool(error)
        if error and error != errno.ENOMEM:
            wrong.append(f"allocation {n}: {os.strerror(error)}")
        if not error:
            error = unload()
            if error:
                wrong.append(f"allocation {n}: rmmod: {os.strerror(error)}")
                break
    report.group(f"insmod: {len(tries)} of {total} allocations fail, {failed} times it does, too",
                 wrong)


def main():
    spec, report = Spec(sys.argv[1]), Report()
    {"netlink": netlink, "netns": netns, "insmod": insmod}[sys.argv[3]](
        spec, report, sys.argv[2], *map(int, sys.argv[4:]))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
