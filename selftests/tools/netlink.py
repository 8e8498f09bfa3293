#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Ask the kernel for what it must refuse, request by request from the spec.

Every attribute of every operation comes missing, too short, too long and out
of range; each must be refused with an errno and an extended ack, and nothing
may have changed. One line for each group: "ok TEXT" or "not ok TEXT: WHY".
"""
import ctypes
import errno
import os
import socket
import struct
import sys

import yaml

NETLINK_GENERIC = 16
SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK = 10, 11, 12
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_CAPPED, NLM_F_ACK_TLVS, NLM_F_DUMP_INTR = 0x100, 0x200, 0x10
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLA_F_NESTED, NLA_TYPE_MASK = 0x8000, 0x3fff
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8}


def padded(data):
    return data + b"\0" * (-len(data) % 4)


def nla(number, data):
    return padded(struct.pack("=HH", 4 + len(data), number) + data)


def attributes(data):
    while len(data) >= 4:
        length, number = struct.unpack_from("=HH", data)
        if length < 4:
            return
        yield number & NLA_TYPE_MASK, data[4:length]
        data = data[(length + 3) & ~3:]


class Answer:
    """errno (0 is success), what the extended ack said, and messages."""

    def __init__(self):
        self.errno = 0
        self.text = ""
        self.extack = False
        self.messages = []

    def error(self, payload, flags):
        self.errno = -struct.unpack_from("=i", payload)[0]
        original = struct.unpack_from("=I", payload, 4)[0]
        skip = 4 + (16 if flags & NLM_F_CAPPED else (original + 3) & ~3)
        if not flags & NLM_F_ACK_TLVS:
            return
        for number, data in attributes(payload[skip:]):
            # message, bad attribute, policy, missing attribute
            if number in (1, 2, 5, 6):
                self.extack = True
            if number == 1:
                self.text = data.rstrip(b"\0").decode()

    def __str__(self):
        name = errno.errorcode.get(self.errno, str(self.errno))
        return f"{name if self.errno else 'success'} '{self.text}'"


class Kernel:
    """A generic netlink socket of this namespace."""

    def __init__(self, family=None):
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                                  NETLINK_GENERIC)
        self.sock.bind((0, 0))
        self.sock.settimeout(30)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK):
            self.sock.setsockopt(SOL_NETLINK, option, 1)
        self.seq = 0
        self.family = 16
        if family:
            self.family = self.resolve(family)

    def resolve(self, name):
        answer = self.ask(3, nla(2, name.encode() + b"\0"), version=2)
        for message in answer.messages:
            for number, data in attributes(message):
                if number == 1:
                    return struct.unpack("=H", data)[0]
        sys.exit(f"no generic netlink family {name}: {answer}")

    def ask(self, command, payload=b"", dump=False, version=1):
        self.seq += 1
        flags = NLM_F_REQUEST | NLM_F_ACK | (NLM_F_DUMP if dump else 0)
        body = struct.pack("=BBH", command, version, 0) + payload
        self.sock.send(struct.pack("=IHHII", 16 + len(body), self.family, flags,
                                   self.seq, 0) + body)
        answer = Answer()
        while True:
            data = self.sock.recv(1 << 20)
            while len(data) >= 16:
                length, kind, flags, seq, _ = struct.unpack_from("=IHHII", data)
                message, data = data[16:length], data[(length + 3) & ~3:]
                if seq != self.seq:
                    continue
                if kind == NLMSG_ERROR or kind == NLMSG_DONE:
                    if kind == NLMSG_DONE and len(message) < 4:
                        return answer
                    if kind == NLMSG_DONE:
                        answer.errno = -struct.unpack_from("=i", message)[0]
                    else:
                        answer.error(message, flags)
                    return answer
                answer.messages.append(message[4:])


class Spec:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            spec = yaml.safe_load(file)
        self.enums = {}
        for d in spec["definitions"]:
            self.enums[d["name"]] = d
        self.sets = {}
        for s in spec["attribute-sets"]:
            table = {}
            for i, a in enumerate(s["attributes"]):
                a["number"] = i + 1
                table[a["name"]] = a
            self.sets[s["name"]] = table
        self.operations = {}
        for i, op in enumerate(spec["operations"]["list"]):
            op["number"] = i + 1
            op["table"] = self.sets[op["attribute-set"]]
            self.operations[op["name"]] = op

    def mask(self, name):
        return (1 << len(self.enums[name]["entries"])) - 1


def encode(attr, value):
    kind = attr["type"]
    if kind in SIZES:
        order = "big" if attr.get("byte-order") == "big-endian" else "little"
        return value.to_bytes(SIZES[kind], order)
    if kind == "string":
        return value.encode() + b"\0"
    if kind == "flag":
        return b""
    return value


def address(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET,
                            text)


class Request:
    """An operation and its attributes, as a dictionary of encoded values."""

    def __init__(self, op, **values):
        self.op = op
        self.values = {}
        for name, value in values.items():
            name = name.replace("_", "-")
            self.values[name] = encode(op["table"][name], value)

    def changed(self, name, data):
        other = Request(self.op)
        other.values = dict(self.values)
        if data is None:
            other.values.pop(name, None)
        else:
            other.values[name] = data
        return other

    def send(self, kernel):
        payload = b"".join(nla(self.op["table"][name]["number"], data)
                           for name, data in self.values.items())
        return kernel.ask(self.op["number"], payload, dump="dump" in self.op)


def lengths(attr):
    """(what, data) of values with a wrong length."""
    kind, checks = attr["type"], attr.get("checks", {})
    if kind in SIZES:
        size = SIZES[kind]
        yield "short", b"\1" * (size - 1)
        yield "long", b"\1" * (size + 1)
    elif kind == "flag":
        yield "long", b"\1"
    elif kind == "string" and "max-len" in checks:
        yield "long", b"x" * (checks["max-len"] + 1) + b"\0"
        yield "short", b""
    elif "exact-len" in checks:
        yield "short", b"\1" * (checks["exact-len"] - 1)
        yield "long", b"\1" * (checks["exact-len"] + 1)
    elif "max-len" in checks:
        yield "long", b"\1" * (checks["max-len"] + 1)
        yield "short", b"\1" * 3
        yield "short", b""
    elif kind == "binary":
        # an address: 4 bytes or 16
        for length in 0, 3, 15:
            yield "short", b"\1" * length
        for length in 5, 17:
            yield "long", b"\1" * length


def ranges(spec, attr):
    """Values of the right length that are out of range."""
    checks = attr.get("checks", {})
    if attr["type"] not in SIZES:
        return
    top = (1 << 8 * SIZES[attr["type"]]) - 1
    if "min" in checks and checks["min"] > 0:
        yield encode(attr, checks["min"] - 1)
    if "max" in checks:
        yield encode(attr, checks["max"] + 1)
        yield encode(attr, top)
    if "flags-mask" in checks:
        yield encode(attr, spec.mask(checks["flags-mask"]) + 1)
        yield encode(attr, top)


# what grows by itself, and says nothing about a change
VOLATILE = {
    "link": {"stats"}, "sa": {"stats", "age-secs", "soft-secs", "hard-secs"},
    "pair": {"stats", "backoff-secs", "why", "flags", "held",
             "reason-secs"}, "conf": set(),
}


class State:
    """All that an operation could change."""

    def __init__(self, spec, kernel):
        self.lists = []
        for name in ("link-get", "sa-get", "pair-get", "conf-get"):
            op = spec.operations[name]
            answer = Request(op).send(kernel)
            if answer.errno:
                self.lists.append(f"{name}: {answer}")
                continue
            skip = {op["table"][a]["number"]
                    for a in VOLATILE[op["attribute-set"]]}
            for message in answer.messages:
                self.lists.append((name, tuple(
                    (n, d) for n, d in attributes(message) if n not in skip)))

    def __eq__(self, other):
        return sorted(map(str, self.lists)) == sorted(map(str, other.lists))


def requests(spec, listener):
    """A good request of every operation, with the attributes it cannot lack."""
    ops = spec.operations
    a, b = address("10.1.0.5"), address("10.2.0.5")

    def fresh():
        return {"spi": int.from_bytes(os.urandom(4), "big") | 1,
                "key": os.urandom(32), "iv": os.urandom(12)}

    prefixes = {"local": address("10.1.0.0"), "local_len": 16,
                "remote": address("10.2.0.0"), "remote_len": 16}
    must = ["local", "local-len", "remote", "remote-len"]
    yield Request(ops["link-new"], **prefixes, mode=2, flags=8), must
    yield Request(ops["link-del"], **prefixes), must
    yield Request(ops["link-flush"]), []
    yield (Request(ops["sa-new"], dir=1, local=a, peer=b, aead=1, flags=1,
                   **fresh()), ["dir", "local", "peer", "spi", "key", "iv"])
    yield Request(ops["sa-del"], spi=77), ["spi"]
    yield Request(ops["sa-flush"]), []
    yield (Request(ops["sa-set"], local=a, peer=b, generation=1),
           ["local", "peer", "generation"])
    yield Request(ops["pair-get"], remote=b), []
    yield Request(ops["pair-set"], local=a, remote=b), ["local", "remote"]
    yield Request(ops["pair-forget"], remote=b), ["remote"]
    yield Request(ops["pair-rekey"], remote=b), ["remote"]
    yield Request(ops["ctrl-new"], fd=listener, port=7325), ["fd", "port"]
    yield Request(ops["ctrl-del"], fd=listener), ["fd"]
    yield Request(ops["conf-set"], hold_secs=3), []
    yield Request(ops["audit-get"], link_id=1), []


def special(spec, listener):
    """What only an operation itself can know to be wrong."""
    ops = spec.operations
    a, b, c = address("10.1.0.5"), address("10.2.0.5"), address("10.3.0.5")
    six = address("fd00:2::5")
    one, two = address("10.1.0.0"), address("10.2.0.0")

    def link(**change):
        values = {"local": one, "local_len": 16, "remote": two,
                  "remote_len": 16, "mode": 2, **change}
        return Request(ops["link-new"], **values)

    def sa(**change):
        values = {"dir": 1, "local": a, "peer": b, "aead": 1, "flags": 1,
                  "spi": int.from_bytes(os.urandom(4), "big") | 1,
                  "key": os.urandom(32), "iv": os.urandom(12), **change}
        return Request(ops["sa-new"], **values)

    yield "link-new: prefix longer than the address", link(local_len=33)
    yield "link-new: bits behind the prefix", link(local=a)
    yield "link-new: families mixed", link(remote=six, remote_len=64)
    yield "link-new: via without an identity", link(via=b)
    yield "link-new: via of another family", link(via=six, identity="gw")
    yield "link-new: inside devices without forward", link(inside=1)
    yield "link-new: forward without inside devices", link(flags=1)
    yield "link-new: no such inside device", link(flags=1, inside=4000000)
    yield "link-new: loopback", link(local=address("127.0.0.0"), local_len=8)
    yield "link-del: no such link", Request(
        ops["link-del"], local=two, local_len=16, remote=one, remote_len=16)
    yield "sa-new: key of aes256 too short", sa(key=os.urandom(31))
    yield "sa-new: key of aes256 is 16 bytes", sa(key=os.urandom(16))
    yield "sa-new: key of aes128 is 32 bytes", sa(aead=2)
    yield "sa-new: lanes not a power of two", sa(lanes=3)
    yield "sa-new: families mixed", sa(peer=six)
    yield "sa-new: no link for the pair", sa(peer=c)
    yield "link-commit: nothing begun", Request(ops["link-commit"])
    yield "link-abort: nothing begun", Request(ops["link-abort"])
    yield "sa-new: the link says keys manual", sa(flags=0, mode_local=2, mode_peer=2)
    yield "sa-new: manual and pending", sa(flags=3)
    yield "sa-new: a soft limit behind the hard one", sa(soft_bytes=2, hard_bytes=1)
    yield "sa-new: a soft time behind the hard one", sa(soft_secs=20, hard_secs=10)
    yield "sa-del: no such SPI", Request(ops["sa-del"], spi=424242)
    yield "sa-set: no such generation", Request(
        ops["sa-set"], local=a, peer=b, generation=987654)
    yield "pair-set: no link for the pair", Request(
        ops["pair-set"], local=a, remote=c, mode_peer=3)
    yield "pair-forget: families mixed", Request(
        ops["pair-forget"], local=a, remote=six)
    yield "ctrl-new: not a descriptor", Request(
        ops["ctrl-new"], fd=1 << 20, port=7325)
    yield "ctrl-new: not a socket", Request(
        ops["ctrl-new"], fd=os.open("/dev/null", os.O_RDONLY), port=7325)
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    # kept open: the request carries the number only
    special.udp = udp
    yield "ctrl-new: not TCP", Request(
        ops["ctrl-new"], fd=udp.fileno(), port=7325)
    yield "ctrl-new: it listens on another port", Request(
        ops["ctrl-new"], fd=listener, port=7326)
    yield "ctrl-del: not registered", Request(ops["ctrl-del"], fd=listener)
    yield "conf-set: no such driver", Request(
        ops["conf-set"], aead_driver="no-such-cipher(aes)")


class Report:
    def __init__(self):
        self.failed = False

    def group(self, text, wrong):
        if wrong:
            self.failed = True
            print(f"not ok {text}: {'; '.join(wrong)[:600]}")
        else:
            print(f"ok {text}")


def refused(kernel, request, what):
    """Why this is not a proper refusal, or None."""
    answer = request.send(kernel)
    if not answer.errno:
        return f"{what}: accepted"
    if not answer.extack and "dump" not in request.op:
        return f"{what}: {answer}, no extended ack"
    # without a word: for want of a privilege, not for what was asked
    if answer.errno == errno.EOPNOTSUPP or (answer.errno == errno.EPERM and not answer.text):
        return f"{what}: {answer}"
    return None


def each(report, text, kernel, cases):
    report.group(text, [w for w in (refused(kernel, r, what)
                                    for what, r in cases) if w])


def mistakes(spec, kernel, report, listener):
    for request, must in requests(spec, listener):
        op = request.op
        kind = "dump" if "dump" in op else "do"
        names = op[kind].get("request", {}).get("attributes", [])
        table, title = op["table"], op["name"]

        if must:
            each(report, f"{title}: each attribute missing", kernel,
                 [(n, request.changed(n, None)) for n in must])
        by_length = {"short": [], "long": []}
        for name in names:
            for what, data in lengths(table[name]):
                by_length[what].append((f"{name}[{len(data)}]",
                                        request.changed(name, data)))
        for what, cases in by_length.items():
            if cases:
                each(report, f"{title}: each attribute too {what}", kernel, cases)
        cases = [(f"{n}={d.hex()}", request.changed(n, d)) for n in names
                 for d in ranges(spec, table[n])]
        if cases:
            each(report, f"{title}: each attribute out of range", kernel, cases)
        cases = [(n, request.changed(n, b"\0" * SIZES.get(table[n]["type"], 8)))
                 for n in table if n not in names and table[n]["type"] != "pad"]
        beyond = dict(op)
        beyond["table"] = {**table, "beyond": {"number": 200, "type": "u32"}}
        strange = Request(beyond)
        strange.values = {**request.values, "beyond": b"\1\0\0\0"}
        each(report, f"{title}: attributes that it does not take", kernel,
             cases + [("number 200", strange)])
    for text, request in special(spec, listener):
        each(report, text, kernel, [(text, request)])


def comes_and_goes(spec, kernel, report, listener):
    """A control socket, once registered, can be taken back, once."""
    new = Request(spec.operations["ctrl-new"], fd=listener, port=7325)
    gone = Request(spec.operations["ctrl-del"], fd=listener)
    wrong = [f"{request.op['name']}: {answer}" for request in (new, gone)
             for answer in [request.send(kernel)] if answer.errno]
    again = refused(kernel, gone, "a second ctrl-del")
    report.group("a control socket comes and goes", wrong + ([again] if again else []))


def no_such_command(kernel, report):
    wrong = []
    for number in (0, 200):
        answer = kernel.ask(number)
        if answer.errno != errno.EOPNOTSUPP:
            wrong.append(f"command {number}: {answer}")
    report.group("unknown commands", wrong)


def permissions(spec, report, listener, unshare):
    """All operations of an unprivileged process, in a child."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.setgid(65534)
        os.setuid(65534)
        kernel = Kernel("tcpseal")
        if unshare:
            # CLONE_NEWUSER: all capabilities, but not over this namespace
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.unshare(0x10000000):
                os.write(write, b"SKIP")
                os._exit(0)
        wrong = []
        lists = [Request(spec.operations[n]) for n in
                 ("link-get", "sa-get", "pair-get", "stats-get", "conf-get",
                  "audit-flush")]
        for request in [r for r, _ in requests(spec, listener)] + lists:
            answer = request.send(kernel)
            if answer.errno != errno.EPERM:
                wrong.append(f"{request.op['name']}: {answer}")
        os.write(write, ("; ".join(wrong) or "OK").encode())
        os._exit(0)
    os.waitpid(pid, 0)
    text = os.read(read, 4096).decode()
    who = "root of another user namespace" if unshare else "unprivileged"
    if text == "SKIP":
        print(f"skip {who}: no user namespaces here")
        return
    report.group(f"{who}: every operation is refused",
                 [] if text == "OK" else [text or "no answer"])


def send_one(spec, name, words):
    """OPERATION NAME=VALUE...: for what the command line has no words for."""
    op = spec.operations[name]
    values = {}
    for word in words:
        key, text = word.split("=", 1)
        attr = op["table"][key]
        value = text
        if attr["type"] in SIZES:
            value = int(text, 0)
        elif attr["type"] == "binary":
            is_address = key != "key" and not attr.get("checks")
            value = address(text) if is_address else bytes.fromhex(text)
        values[key.replace("-", "_")] = value
    answer = Request(op, **values).send(Kernel("tcpseal"))
    if answer.errno:
        sys.exit(f"{name}: {answer}")


def main():
    spec = Spec(sys.argv[1])
    if len(sys.argv) > 2:
        return send_one(spec, sys.argv[2], sys.argv[3:])
    kernel, report = Kernel("tcpseal"), Report()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("0.0.0.0", 7325))
    listener.listen()

    # a link and an SA that the mistakes could damage
    wrong = []
    for request, _ in requests(spec, listener.fileno()):
        if request.op["name"] in ("link-new", "sa-new", "conf-set", "pair-get"):
            answer = request.send(kernel)
            if answer.errno:
                wrong.append(f"{request.op['name']}: {answer}")
    report.group("the requests without a mistake are accepted", wrong)

    before = State(spec, kernel)
    mistakes(spec, kernel, report, listener.fileno())
    comes_and_goes(spec, kernel, report, listener.fileno())
    no_such_command(kernel, report)
    permissions(spec, report, listener.fileno(), False)
    permissions(spec, report, listener.fileno(), True)
    after = State(spec, kernel)
    wrong = []
    if before != after:
        wrong = [str(set(map(str, before.lists)) ^ set(map(str, after.lists)))]
    report.group("after all that nothing has changed", wrong)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
