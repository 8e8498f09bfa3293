#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Random netlink requests, made from the spec and then spoiled.

    nlfuzz.py SPEC SEED COUNT [WORKERS]

Attributes that belong there, are missing, come twice, are of another operation,
of a wrong length, nested where nothing nests; messages cut short, several in one
send, of unknown commands. Some of them are good, so that there is state, and it
changes. The kernel may answer what it likes, but it answers; the lists agree with
the counters all the while; no key that was ever sent comes back, in no answer and
in no event; and in the end a flush leaves nothing but tombstones.

One worker asks and checks; then several at once. A seed makes one run of each.
"""
import collections
import errno
import os
import random
import select
import socket
import struct
import sys

from netlink import (Kernel, Report, Request, Spec, SIZES, SOL_NETLINK, address,
                     attributes, encode, nla, padded)

NETLINK_ADD_MEMBERSHIP, NETLINK_NO_ENOBUFS = 1, 5
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
FORCE_WEAKEN = 3
LOOK = 250		# requests between two looks at all lists

PREFIXES = [("10.1.0.0", 16), ("10.2.0.0", 16), ("10.1.0.5", 32), ("10.2.0.0", 24),
            ("10.2.0.5", 32), ("fd00:1::", 32), ("fd00:2::", 32), ("fd00:2::5", 128),
            ("0.0.0.0", 0), ("::", 0), ("127.0.0.0", 8)]
HOSTS = ["10.1.0.5", "10.2.0.5", "10.2.0.6", "fd00:1::5", "fd00:2::5", "0.0.0.0", "::"]
DRIVERS = ["", "gcm(aes)", "cryptd(gcm(aes))", "pcrypt(gcm(aes))", "ccm(aes)",
           "rfc4106(gcm(aes))", "no-such(aes)"]
# seldom: each may start a program of the host's, or wait for its answers
RARE = {"aead-driver"}


class Wrong(Exception):
    pass


class Source:
    """All that is random, and what of it must stay secret."""

    def __init__(self, spec, seed):
        self.random = random.Random(seed)
        self.spec = spec
        # the last ones; who asked for them first is long gone
        self.secrets = collections.deque(maxlen=300)
        self.spis = [self.random.randrange(1, 1 << 31) for _ in range(12)]
        self.fds = []

    def chance(self, n):
        return self.random.randrange(n) == 0

    def noise(self, most=64):
        return self.random.randbytes(self.random.randrange(most + 1))

    def key(self, length):
        data = self.random.randbytes(length)
        self.secrets.append(data)
        return data

    def number(self, attr):
        checks, top = attr.get("checks", {}), (1 << 8 * SIZES[attr["type"]]) - 1
        kind = self.random.randrange(6)
        if "flags-mask" in checks and kind < 4:
            return self.random.randrange(self.spec.mask(checks["flags-mask"]) + 1)
        if kind < 4:
            return self.random.randint(checks.get("min", 0), min(checks.get("max", 5), top))
        if kind == 4:
            return self.random.choice([0, 1, top, top >> 1, checks.get("max", 7) + 1]) & top
        return self.random.randint(0, top)

    def good(self, name, attr):
        """A value that often makes sense."""
        choose = self.random.choice
        if name in ("key", "iv"):
            return self.key(12 if name == "iv" else choose([32, 32, 32, 16]))
        if name == "spi":
            return encode(attr, choose(self.spis))
        if name == "fd":
            return encode(attr, choose(self.fds + [self.random.randrange(1 << 16)]))
        if name == "aead-driver":
            return encode(attr, choose(DRIVERS))
        if name == "cert-fingerprint":
            return self.random.randbytes(32)
        kind = attr["type"]
        if kind in SIZES:
            return encode(attr, self.number(attr))
        if kind == "string":
            return self.noise(30).hex().encode() + b"\0"
        if kind == "flag":
            return b""
        if kind == "binary":
            return address(choose(HOSTS))
        return self.noise()

    def values(self, op):
        """Attributes of an operation: (number, data), more or less right."""
        table = op["table"]
        names = list((op.get("do") or op["dump"]).get("request", {}).get("attributes", []))
        values = []
        prefixes = {}
        if "local-len" in names:
            for side, (text, length) in (("local", self.random.choice(PREFIXES)),
                                         ("remote", self.random.choice(PREFIXES))):
                prefixes[side] = address(text)
                prefixes[side + "-len"] = bytes([length])
        for name in names:
            if name in RARE and not self.chance(50):
                continue
            if name not in prefixes and name not in ("key", "iv", "spi", "dir", "aead", "peer",
                                                     "local", "remote") and self.chance(2):
                continue
            if self.chance(40):
                continue
            values.append((name, prefixes.get(name) or self.good(name, table[name])))
        if self.chance(8):
            name = self.random.choice([n for n in table if n not in RARE])
            values.append((name, self.good(name, table[name])))
        return [(table[name]["number"], data) for name, data in values]

    def spoil(self, number, data):
        """One attribute, perhaps not as it should be."""
        if not self.chance(12):
            return nla(number, data)
        kind = self.random.randrange(8)
        if kind == 0:
            return nla(number, self.noise(300))
        if kind == 1:
            return nla(number, data[:self.random.randrange(len(data) + 1)])
        if kind == 2:
            return nla(number, data + self.noise(40))
        if kind == 3:
            return nla(number | self.random.choice([0x8000, 0x4000, 0xc000]), data)
        if kind == 4:
            return nla(number | 0x8000, b"".join(
                nla(self.random.randrange(30), self.noise(20)) for _ in range(5)))
        if kind == 5:
            return nla(number, data) + nla(number, data)
        if kind == 6:
            return nla(self.random.randrange(1 << 14), data)
        # its length is a lie
        return padded(struct.pack("=HH", self.random.randrange(len(data) + 40), number) + data)

    def message(self, family, seq):
        op = self.random.choice(list(self.spec.operations.values()))
        if "event" in op:
            op = self.random.choice([o for o in self.spec.operations.values() if "event" not in o])
        # what takes everything away, not too often
        if op["name"].endswith(("-flush", "-forget")) and not self.chance(6):
            op = self.spec.operations[self.random.choice(["link-new", "sa-new"])]
        command, version = op["number"], 1
        values = self.values(op)
        if self.chance(4):
            self.random.shuffle(values)
        payload = b"".join(self.spoil(*value) for value in values)
        flags = NLM_F_REQUEST | NLM_F_ACK
        if "dump" in op:
            flags |= NLM_F_DUMP
        if self.chance(40):
            command = self.random.randrange(256)
        if self.chance(40):
            version = self.random.randrange(256)
        if self.chance(40):
            flags ^= self.random.choice([NLM_F_DUMP, 0x100, 0x200, 0x400, 0x800])
        if self.chance(60):
            payload = payload[:self.random.randrange(len(payload) + 1)]
        if self.chance(60):
            payload += self.noise(200)
        body = struct.pack("=BBH", command, version, 0) + payload
        return struct.pack("=IHHII", 16 + len(body), family, flags | NLM_F_ACK, seq, 0) + padded(body)


class Fuzzer:
    def __init__(self, spec, seed):
        self.spec, self.source = spec, Source(spec, seed)
        self.kernel = Kernel("tcpseal")
        self.kernel.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self.events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16)
        self.events.bind((0, 0))
        self.events.setsockopt(SOL_NETLINK, NETLINK_NO_ENOBUFS, 1)
        self.events.setsockopt(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, self.group())
        self.asked = self.good = 0
        self.sockets = []
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("0.0.0.0", 0))
        listener.listen()
        self.kept = [listener, socket.socket(socket.AF_INET, socket.SOCK_STREAM),
                     socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
                     socket.socket(socket.AF_INET, socket.SOCK_DGRAM), self.events]
        self.source.fds = [each.fileno() for each in self.kept]

    def group(self):
        control = Kernel()
        for message in control.ask(3, nla(2, b"tcpseal\0"), version=2).messages:
            for number, data in attributes(message):
                if number != 7:
                    continue
                for _, group in attributes(data):
                    for inner, value in attributes(group):
                        if inner == 2:
                            return struct.unpack("=I", value)[0]
        raise Wrong("the family has no multicast group")

    def no_secret(self, data, what):
        # keys are 16 bytes at least, of which no 8 come by accident
        for secret in self.source.secrets:
            if secret[:8] in data:
                raise Wrong(f"{what} has a key in it: {secret.hex()}")

    def hear(self):
        while select.select([self.events], [], [], 0)[0]:
            self.no_secret(self.events.recv(1 << 16), "an event")

    def answered(self, count):
        """Until that many messages were answered, by their numbers."""
        while count:
            try:
                data = self.kernel.sock.recv(1 << 20)
            except socket.timeout:
                raise Wrong("the kernel does not answer") from None
            self.no_secret(data, "an answer")
            while len(data) >= 16:
                length, kind, _, seq, _ = struct.unpack_from("=IHHII", data)
                if kind in (NLMSG_ERROR, NLMSG_DONE) and seq in count:
                    if kind == NLMSG_ERROR and not struct.unpack_from("=i", data, 16)[0]:
                        self.good += 1
                    count.discard(seq)
                data = data[(length + 3) & ~3:]

    def connect(self):
        """Traffic: pairs come to be, segments are held."""
        text = self.source.random.choice(["10.2.0.5", "10.2.0.6", "10.2.7.7", "fd00:2::5"])
        s = socket.socket(socket.AF_INET6 if ":" in text else socket.AF_INET, socket.SOCK_STREAM)
        s.setblocking(False)
        s.connect_ex((text, 4000 + self.source.random.randrange(100)))
        self.sockets.append(s)
        if len(self.sockets) > 20:
            self.sockets.pop(0).close()

    def ask(self):
        batch = 1 if not self.source.chance(10) else 5
        messages, numbers = b"", set()
        for _ in range(batch):
            self.kernel.seq += 1
            message = self.source.message(self.kernel.family, self.kernel.seq)
            numbers.add(self.kernel.seq)
            messages += message
        try:
            self.kernel.sock.send(messages)
        except OSError as error:
            raise Wrong(f"send: {errno.errorcode[error.errno]}") from None
        self.asked += batch
        # a dump of several at once is refused while one is under way
        self.answered(numbers)
        if self.source.chance(10):
            self.connect()
        if self.source.chance(10):
            self.hear()

    def dump(self, name):
        answer = Request(self.spec.operations[name]).send(self.kernel)
        if answer.errno:
            raise Wrong(f"{name}: {answer}")
        for message in answer.messages:
            self.no_secret(message, name)
        return answer.messages

    def sas(self):
        """Numbers of live ones and of tombstones."""
        state = self.spec.sets["sa"]["state"]["number"]
        states = [struct.unpack("=I", dict(attributes(m))[state])[0] for m in self.dump("sa-get")]
        dead = self.spec.enums["sa-state"]["entries"].index("tombstone") + 1
        return sum(s != dead for s in states), sum(s == dead for s in states)

    def look(self):
        """Lists and counters agree."""
        stats = self.spec.sets["stats"]
        values = dict(attributes(self.dump("stats-get")[0]))

        def counted(name):
            return struct.unpack("=I", values[stats[name]["number"]])[0]
        live, dead = self.sas()
        seen = {"links": len(self.dump("link-get")), "sas": live}
        for name, number in seen.items():
            if counted(name) != number:
                raise Wrong(f"{number} {name} listed, {counted(name)} counted")
        # those go by themselves
        if dead > counted("tombstones"):
            raise Wrong(f"{dead} tombstones listed, {counted('tombstones')} counted")
        self.dump("conf-get")
        self.dump("pair-get")

    def run(self, count, alone):
        while self.asked < count:
            before = self.asked // LOOK
            self.ask()
            if self.asked // LOOK != before and alone:
                self.look()

    def flush(self):
        answer = Request(self.spec.operations["link-flush"], change=FORCE_WEAKEN).send(self.kernel)
        if answer.errno:
            raise Wrong(f"link-flush: {answer}")
        answer = Request(self.spec.operations["sa-flush"]).send(self.kernel)
        if answer.errno:
            raise Wrong(f"sa-flush: {answer}")
        links, (live, _) = len(self.dump("link-get")), self.sas()
        if links or live:
            raise Wrong(f"{links} links and {live} SAs outlive a flush")


def work(spec, seed, count, alone):
    fuzzer = Fuzzer(spec, seed)
    fuzzer.run(count, alone)
    fuzzer.hear()
    print(f"# seed {seed}: {fuzzer.asked} requests, {fuzzer.good} of them accepted", flush=True)
    return fuzzer


def alone(spec, seed, count):
    fuzzer = work(spec, seed, count, True)
    fuzzer.look()
    fuzzer.flush()
    if not fuzzer.good:
        raise Wrong("not one request was good: nothing was tried")


def together(spec, seed, count, workers):
    pids = []
    sys.stdout.flush()
    for i in range(workers):
        pid = os.fork()
        if not pid:
            status = 1
            try:
                work(spec, seed + 1 + i, count // workers, False)
                status = 0
            except Wrong as wrong:
                print(f"# worker {i}: {wrong}", flush=True)
            finally:
                os._exit(status)
        pids.append(pid)
    failed = [i for i, pid in enumerate(pids) if os.waitpid(pid, 0)[1]]
    if failed:
        raise Wrong(f"workers {failed}")
    fuzzer = Fuzzer(spec, seed)
    fuzzer.look()
    fuzzer.flush()


def main():
    spec, seed, count = Spec(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    workers = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    report = Report()
    for text, function, args in (
            (f"{count} requests, one by one", alone, ()),
            (f"{count} requests of {workers} at once", together, (workers,))):
        wrong = []
        try:
            function(spec, seed, count, *args)
        except Wrong as error:
            wrong = [str(error)]
        report.group(text, wrong)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
