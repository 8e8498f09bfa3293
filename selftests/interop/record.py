# SPDX-License-Identifier: GPL-2.0-only
"""The record layer of tcpseal, written from Documentation/protocol.rst alone.

It shares nothing with the module, so that where both agree the document is
right. The names of its parts are those of the document's sections.
"""
import json
import socket
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from packet import CWR, FIN, PSH, RST, SYN

VERSION, HEADER, TAG = 1, 16, 16
OVERHEAD = HEADER + TAG
BURST_MAX, WINDOW, WINDOW_MAX, WINDOW_SPARE = 1024, 1 << 16, 1 << 20, 64
COUNTER_END = 1 << 48
MASKED = FIN | PSH | CWR
RECORD_FLAGS = ((CWR, 4), (PSH, 2), (FIN, 1))


class Refused(Exception):
    """A segment that a receiver must not take; args[0] is the counter's name."""


class SA:
    """One direction of one pair: one SPI, one key, one IV."""

    def __init__(self, spi, key, iv, lanes, src, dst):
        self.spi, self.key, self.iv, self.lanes = spi, key, iv, lanes
        self.src, self.dst = src, dst
        self.aead = AESGCM(key)

    @classmethod
    def load(cls, path):
        """All those of a file: an array of objects."""
        with open(path, encoding="ascii") as file:
            return [cls.of(each) for each in json.load(file)]

    @classmethod
    def of(cls, words):
        return cls(words["spi"], bytes.fromhex(words["key"]),
                   bytes.fromhex(words["iv"]), words["lanes"],
                   address(words["src"]), address(words["dst"]))

    def nonce(self, lane, counter):
        number = lane << 48 | counter
        return self.iv[:4] + struct.pack(
            "!Q", struct.unpack("!Q", self.iv[4:])[0] ^ number)


def address(text):
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_pton(family, text)


def address_text(raw):
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


#
# The sealed segment
#

class Header:
    """The first 16 bytes of a record."""

    def __init__(self, flags, lane, length, spi, index, counter):
        self.flags, self.lane, self.length = flags, lane, length
        self.spi, self.index, self.counter = spi, index, counter

    def pack(self):
        return struct.pack("!BBHIQ", VERSION << 6 | self.flags, self.lane, self.length,
                           self.spi, self.index << 48 | self.counter)

    @classmethod
    def parse(cls, payload):
        """None unless it looks sealed."""
        if len(payload) < OVERHEAD:
            return None
        first, lane, length, spi, rest = struct.unpack_from("!BBHIQ", payload)
        if first >> 6 != VERSION or first & 0x38 or not spi:
            return None
        if length + OVERHEAD != len(payload):
            return None
        return cls(first & 7, lane, length, spi, rest >> 48, rest % COUNTER_END)


def mss_masked(options):
    """The options of a SYN as they are authenticated."""
    out, at = bytearray(options), 0
    while at < len(out) and out[at] != 0:
        if out[at] == 1:
            at += 1
            continue
        if at + 1 >= len(out) or out[at + 1] < 2 or at + out[at + 1] > len(out):
            break
        if out[at] == 2 and out[at + 1] == 4:
            out[at + 2:at + 4] = b"\0\0"
            break
        at += out[at + 1]
    return bytes(out)


def aad(header, plain):
    """What a record authenticates besides its ciphertext; plain has true numbers."""
    tcp = plain.changed(flags=plain.flags & ~MASKED).tcp
    options = mss_masked(tcp[20:]) if plain.flags & SYN else tcp[20:]
    return (header + plain.src + plain.dst + tcp[:16] + b"\0\0" + tcp[18:20] +
            options)


def seal_one(sa, plain, index, lane, counter):
    """One record, for one segment that fits."""
    flags = sum(bit for flag, bit in RECORD_FLAGS if plain.flags & flag)
    header = Header(flags, lane, len(plain.payload), sa.spi, index, counter).pack()
    body = sa.aead.encrypt(sa.nonce(lane, counter), plain.payload, aad(header, plain))
    return plain.changed(payload=header + body, seq=plain.seq - OVERHEAD * index,
                         flags=plain.flags | (0 if plain.payload else PSH))


def cut(plain, chunk):
    """A super-segment as a card cuts it: FIN and PSH go last, CWR first."""
    pieces = []
    for at in range(0, max(len(plain.payload), 1), chunk):
        flags = plain.flags
        if at:
            flags &= ~CWR
        if at + chunk < len(plain.payload):
            flags &= ~(FIN | PSH)
        pieces.append(plain.changed(payload=plain.payload[at:at + chunk],
                                    seq=plain.seq + at, flags=flags))
    return pieces


def seal(sa, plain, chunk, lane, counter):
    """A burst: the records of a super-segment, with counters from counter on."""
    pieces = cut(plain, chunk)
    return [seal_one(sa, piece, 0 if piece.flags & RST else len(pieces) - at, lane,
                     counter + at) for at, piece in enumerate(pieces)]


#
# What the receiver checks
#

def open_one(sa, sealed):
    """(plain segment, record header); Refused if it is not a record of the SA."""
    header = Header.parse(sealed.payload)
    if header is None or header.spi != sa.spi or header.lane >= sa.lanes:
        raise Refused("plain")
    if sealed.flags & RST:
        if header.index:
            raise Refused("malformed")
    elif not 1 <= header.index <= BURST_MAX:
        raise Refused("malformed")
    if (sealed.src, sealed.dst) != (sa.src, sa.dst):
        raise Refused("selector")
    flags = sealed.flags & ~MASKED
    flags |= sum(flag for flag, bit in RECORD_FLAGS if header.flags & bit)
    plain = sealed.changed(payload=b"", flags=flags,
                           seq=sealed.seq + OVERHEAD * header.index)
    try:
        text = sa.aead.decrypt(sa.nonce(header.lane, header.counter),
                               sealed.payload[HEADER:],
                               aad(sealed.payload[:HEADER], plain))
    except InvalidTag:
        raise Refused("bad-tag") from None
    return plain.changed(payload=text), header


class Window:
    """The counters of one lane that were seen."""

    def __init__(self):
        self.size, self.top, self.seen = WINDOW, 0, set()

    def take(self, counter):
        if counter in self.seen:
            raise Refused("replay")
        if counter + self.size - WINDOW_SPARE <= self.top:
            self.size = min(4 * self.size, WINDOW_MAX)
            raise Refused("too-old")
        self.seen.add(counter)
        self.top = max(self.top, counter)


class Receiver:
    """All that one host opens with."""

    def __init__(self, sas):
        self.sas = {sa.spi: sa for sa in sas}
        self.windows = {}

    def open(self, sealed):
        header = Header.parse(sealed.payload)
        if header is None or header.spi not in self.sas:
            raise Refused("plain")
        plain, header = open_one(self.sas[header.spi], sealed)
        self.windows.setdefault((header.spi, header.lane), Window()).take(header.counter)
        return plain, header
