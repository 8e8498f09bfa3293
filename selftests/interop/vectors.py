#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Test vectors of the record layer: Documentation/vectors/*.json.

vectors.py make DIRECTORY: write them.
vectors.py check DIRECTORY: are they, and the one in the document, what this
	implementation makes, and does it open them?
vectors.py lines DIRECTORY: KEY NONCE AAD SEALED PLAIN, a line a record in
	hexadecimal, for another AES-GCM.
vectors.py commands DIRECTORY: the SAs in the words of "tcpseal -batch".
vectors.py inject DIRECTORY DEVICE: send them through the TUN device to the
	module, which must open them to the byte, or refuse them as they say.
"""
import hashlib
import json
import os
import re
import select
import socket
import struct
import sys

from forge import FORGED
from judge import Wrong
from packet import ACK, AE, CWR, ECE, FIN, PSH, RST, SYN, URG, Segment
from record import (HEADER, SA, TAG, Receiver, Refused, aad, address, address_text,
                    cut, seal)
from wire import PATIENCE, Counters, Report, Wire

FAMILIES = {"ipv4": ("10.1.0.5", ("10.2.0.5", "10.2.0.6")),
            "ipv6": ("fd00:1::5", ("fd00:2::5", "fd00:2::6"))}
LANES, MTU = 64, 1500
STAMPS = b"\1\1\x08\x0a" + struct.pack("!II", 0x11223344, 0x55667788)
OPENING = b"\2\4\x05\xb4\4\2\x08\x0a" + struct.pack("!II", 7, 0) + b"\1\3\3\7"


def secret(name, size):
    return hashlib.sha256(f"tcpseal vector {name}".encode()).digest()[:size]


def associations(family):
    """Two that the host opens with, and the ways back; as JSON has them."""
    local, remotes = FAMILIES[family]
    sas = []
    for back in (False, True):
        for number, remote in enumerate(remotes):
            name = f"{family} {number} {back}"
            size = (32, 16)[number]
            sas.append({
                "spi": struct.unpack("!I", secret("spi " + name, 4))[0] & 0x7fffffff,
                "aead": ("aes256-gcm", "aes128-gcm")[number],
                "key": secret("key " + name, size).hex(),
                "iv": secret("iv " + name, 12).hex(),
                "lanes": LANES,
                "src": local if back else remote, "dst": remote if back else local})
    return sas


def text(size):
    return (b"tcpseal, byte by byte. " * (size // 23 + 1))[:size]


def segments():
    """name, chunk, lane, counter (or None), and what the segment has."""
    data = {"options": STAMPS, "flags": ACK}
    few = text(100)
    yield "SYN", 1400, 0, None, {"flags": SYN, "ack": 0, "options": OPENING}
    yield "SYN-ACK", 1400, 0, None, {"flags": SYN | ACK, "options": OPENING}
    yield "SYN for ECN", 1400, 0, None, {"flags": SYN | ECE | CWR, "ack": 0,
                                         "options": OPENING}
    yield "SYN for AccECN, no options", 1400, 0, None, {"flags": SYN | ECE | CWR | AE,
                                                        "ack": 0}
    yield "SYN with data (Fast Open)", 1400, 0, None, {
        "flags": SYN, "ack": 0, "options": OPENING + b"\x22\x0acookie78\1\1",
        "payload": few}
    yield "SYN, MSS behind other options and twice", 1400, 0, None, {
        "flags": SYN, "ack": 0, "options": b"\1\1\4\2\2\4\x05\xb4\2\4\x05\xa0"}
    yield "SYN, MSS behind the end of the options", 1400, 0, None, {
        "flags": SYN, "ack": 0, "options": b"\1\1\1\0\2\4\x05\xb4"}
    yield "bare ACK", 1400, 3, None, data
    yield "bare ACK with ECE", 1400, 3, None, {**data, "flags": ACK | ECE}
    yield "bare ACK, no options, window 0", 1400, 3, None, {"flags": ACK, "window": 0}
    yield "bare ACK with three SACK blocks", 1400, 3, None, {
        "flags": ACK, "options": STAMPS + b"\1\1\5\x1a" + bytes(range(24))}
    yield "one byte", 1400, 3, None, {**data, "payload": b"x"}
    yield "data with PSH", 1400, 3, None, {**data, "flags": ACK | PSH,
                                           "payload": b"tcpseal\n"}
    yield "data with CWR", 1400, 3, None, {**data, "flags": ACK | CWR, "payload": few}
    yield "data with AE, CWR and ECE", 1400, 3, None, {
        **data, "flags": ACK | AE | CWR | ECE, "payload": few}
    yield "urgent data", 1400, 3, None, {**data, "flags": ACK | PSH | URG, "urgent": 5,
                                         "payload": few}
    yield "40 bytes of options", 1400, 3, None, {
        "flags": ACK, "options": b"\xfd\x28" + bytes(range(38)), "payload": few}
    yield "number 0", 1400, 3, None, {**data, "seq": 0, "payload": few}
    yield "FIN", 1400, 3, None, {**data, "flags": ACK | FIN}
    yield "FIN and PSH with data", 1400, 3, None, {**data, "flags": ACK | FIN | PSH,
                                                   "payload": few}
    yield "RST", 1400, 3, None, {"flags": RST, "ack": 0, "window": 0}
    yield "RST with ACK", 1400, 3, None, {"flags": RST | ACK}
    yield "the last counter of the last lane", 1400, 63, 2**48 - 1, {**data,
                                                                     "payload": few}
    yield "burst of three, as in the document", 1416, 5, None, {
        **data, "seq": 10000, "payload": text(3000)}
    yield "burst of three with CWR, PSH and FIN, numbers wrap", 100, 5, None, {
        **data, "seq": 2**32 - 150, "flags": ACK | CWR | PSH | FIN,
        "payload": text(300)}
    yield "burst of twenty", 16, 5, None, {**data, "flags": ACK | PSH,
                                           "payload": text(20 * 16 - 1)}


def vector(sa, name, chunk, lane, counter, plain):
    """One, as JSON has it."""
    pieces, records = cut(plain, chunk), []
    sealed = seal(sa, plain, chunk, lane, counter)
    for at, (piece, each) in enumerate(zip(pieces, sealed)):
        records.append({
            "true_seq": piece.seq, "wire_seq": each.seq,
            "nonce": sa.nonce(lane, counter + at).hex(),
            "aad": aad(each.payload[:HEADER], piece).hex(),
            "plain": piece.pack().hex(), "sealed": each.pack().hex()})
    return {"name": name, "src": address_text(plain.src), "chunk": chunk, "lane": lane,
            "counter": counter, "records": records,
            **({"plain": plain.pack().hex()} if len(pieces) > 1 else {})}


def make(family):
    words = associations(family)
    sas = [SA.of(each) for each in words]
    vectors, forged, counter = [], [], 0x0102030405
    for sa in sas[:2]:
        for name, chunk, lane, number, fields in segments():
            fields = {"seq": 10000, "ack": 0x01020304, **fields}
            plain = Segment.build(sa.src, sa.dst, (40000, 80), **fields)
            vectors.append(vector(sa, name, chunk, lane,
                                  counter if number is None else number, plain))
            counter += 32
    # what may change on the way
    syn = Segment.parse(bytes.fromhex(vectors[0]["records"][0]["plain"]))
    changed = vector(sas[0], "SYN, the MSS lowered on the way", 1400, 0, counter, syn)
    sealed = Segment.parse(bytes.fromhex(changed["records"][0]["sealed"]))
    for key, segment in (("sealed", sealed), ("plain", syn)):
        lowered = segment.tcp[:22] + struct.pack("!H", 1200) + segment.tcp[24:]
        changed["records"][0][key] = Segment(segment.ip, lowered,
                                             segment.payload).pack().hex()
    vectors.append(changed)
    for number, (what, change, drop) in enumerate(FORGED):
        plain = Segment.build(sas[0].src, sas[0].dst, (40000, 80), 10000, 0x01020304,
                              ACK | PSH, text(100), options=STAMPS)
        sealed, = seal(sas[0], plain, 1400, 4, counter + 32 * number)
        forged.append({"name": "forged: " + what, "drop": drop.replace("_", "-"),
                       "sealed": change(sealed).hex()})
    forged.append({"name": "a record that was opened before", "drop": "replay",
                   "sealed": vectors[0]["records"][0]["sealed"]})
    return {"sas": words, "vectors": vectors, "refused": forged}


def load(directory, family):
    with open(os.path.join(directory, family + ".json"), encoding="ascii") as file:
        return json.load(file)


def write(directory):
    for family in FAMILIES:
        with open(os.path.join(directory, family + ".json"), "w",
                  encoding="ascii") as file:
            json.dump(make(family), file, indent=1)
            file.write("\n")


def document(directory):
    """The one that stands in the document, as {"nonce": hex, ...}."""
    with open(os.path.join(directory, "../protocol.rst"), encoding="utf-8") as file:
        text = file.read().split("\nTest vectors\n")[1]
    rows = re.findall(r"^ {4}([A-Za-z ]+?) {2,}([0-9a-f]+(?:\n +[0-9a-f]+)*)$", text, re.M)
    return {name: re.sub(r"\s", "", value) for name, value in rows}


def documented():
    """The same, made."""
    sa = SA(0xdeadbeef, bytes(range(32)), bytes.fromhex("a0a1a2a3a4a5a6a7a8a9aaab"), 8,
            address("10.1.0.5"), address("10.2.0.5"))
    plain = Segment.build(sa.src, sa.dst, (40000, 80), 10000, 0x01020304, ACK | PSH,
                          b"tcpseal\n")
    lane, counter = 3, 0x0102030405
    record = seal(sa, plain, 1400, lane, counter)[0].payload
    parts = {"record header": record[:HEADER], "nonce": sa.nonce(lane, counter),
             "AAD": aad(record[:HEADER], plain),
             "ciphertext": record[HEADER:-TAG], "tag": record[-TAG:]}
    return {name: value.hex() for name, value in parts.items()}


def check(directory):
    if document(directory) != documented():
        raise Wrong(f"protocol.rst has {document(directory)}, not {documented()}")
    for family in FAMILIES:
        stored = load(directory, family)
        if stored != make(family):
            raise Wrong(f"{family}.json is not what vectors.py makes")
        receiver = Receiver([SA.of(each) for each in stored["sas"]])
        for each in stored["vectors"]:
            for record in each["records"]:
                sealed = Segment.parse(bytes.fromhex(record["sealed"]))
                plain, _ = receiver.open(sealed)
                if plain.pack().hex() != record["plain"]:
                    raise Wrong(f"{family}: {each['name']}: opens to something else")


def lines(directory):
    for family in FAMILIES:
        stored = load(directory, family)
        keys = {sa["src"]: sa["key"] for sa in stored["sas"]}
        for each in stored["vectors"]:
            for record in each["records"]:
                sealed, plain = (Segment.parse(bytes.fromhex(record[key])).payload
                                 for key in ("sealed", "plain"))
                print(keys[each["src"]], record["nonce"], record["aad"],
                      sealed[HEADER:].hex(), plain.hex() or "-")


def commands(directory):
    for family, (local, _) in FAMILIES.items():
        for sa in load(directory, family)["sas"]:
            out = sa["src"] == local
            print(f"sa add dir {'out' if out else 'in'} local {local}",
                  f"peer {sa['dst' if out else 'src']} spi {sa['spi']} key {sa['key']}",
                  f"iv {sa['iv']} aead {sa['aead'][:6]} lanes {sa['lanes']}")


class Injector:
    """The module opens: what comes out at a raw socket is compared."""

    def __init__(self, directory, device):
        self.stored = {family: load(directory, family) for family in FAMILIES}
        sas = [SA.of(sa) for each in self.stored.values() for sa in each["sas"]]
        self.wire = Wire(device, sas, [address(local) for local, _ in FAMILIES.values()])
        self.report = Report()

    def run(self):
        for family, stored in self.stored.items():
            kind = socket.AF_INET if family == "ipv4" else socket.AF_INET6
            with socket.socket(kind, socket.SOCK_RAW, socket.IPPROTO_TCP) as self.raw:
                bursts = 0
                for each in stored["vectors"]:
                    bursts += "plain" in each
                    merge = "plain" in each and bursts % 2
                    self.report.run(f"{family}: {each['name']}, from {each['src']}"
                                    f"{', merged' if merge else ''}",
                                    self.opens, each, merge)
                for each in stored["refused"]:
                    self.report.run(f"{family}: {each['name']}: drop.{each['drop']}",
                                    self.refuses, each)
        return self.report.failed

    def opens(self, each, merge):
        sealed = [bytes.fromhex(record["sealed"]) for record in each["records"]]
        plain = [bytes.fromhex(record["plain"]) for record in each["records"]]
        if merge:
            plain = [bytes.fromhex(each["plain"])]
            self.wire.write_merged([Segment.parse(packet) for packet in sealed])
        else:
            for packet in sealed:
                self.wire.write(packet)
        for packet in plain:
            self.compare(Segment.parse(packet))
        # what TCP answered, which knows of no connection
        while self.wire.read(0):
            pass

    def compare(self, want):
        if not select.select([self.raw], [], [], PATIENCE)[0]:
            raise Wrong("it was not delivered")
        got = bytearray(self.raw.recv(70000))
        packet, start = bytearray(want.pack()), len(want.ip)
        if len(want.src) == 16:
            # this kind of socket hands out no IPv6 header
            packet, start = packet[start:], 0
        if want.flags & SYN and len(got) == len(packet):
            hinted(packet, got, start, MTU - len(want.ip) - 20)
        # the stack has yet to fill in the checksum of TCP
        packet[start + 16:start + 18] = got[start + 16:start + 18]
        if got != packet:
            raise Wrong(f"opened to {got.hex()}, not to {packet.hex()}")

    def refuses(self, each):
        counters = Counters()
        self.wire.write(bytes.fromhex(each["sealed"]))
        counters.expect(**{each["drop"].replace("-", "_"): 1})
        if select.select([self.raw], [], [], 0)[0]:
            raise Wrong("it was delivered")


def hinted(want, got, start, room):
    """The opener lowers the MSS of a SYN by 32, to what the path takes, and a bit."""
    at = start + 20 + want[start + 20:].find(b"\2\4")
    if at < start + 20 or b"\0" in want[start + 20:at]:
        return
    old, new = (struct.unpack_from("!H", each, at + 2)[0] for each in (want, got))
    most = min(old, room) - 32
    if not most - 16 < new <= most:
        raise Wrong(f"the MSS of {old} became {new}")
    want[at + 2:at + 4] = got[at + 2:at + 4]


def main():
    what, directory, *rest = sys.argv[1:]
    try:
        if what == "inject":
            return 1 if Injector(directory, *rest).run() else 0
        {"make": write, "check": check, "lines": lines,
         "commands": commands}[what](directory)
    except (Wrong, Refused) as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
