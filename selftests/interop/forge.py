# SPDX-License-Identifier: GPL-2.0-only
"""What an attacker does to a record, and what the document says of it."""
import struct

from packet import ECE, RST, Segment
from record import BURST_MAX, HEADER, OVERHEAD


def with_byte(at, change):
    """The change of a record: its byte at that place, by a function."""
    def alter(sealed):
        payload = bytearray(sealed.payload)
        payload[at] = change(payload[at]) % 256
        return sealed.changed(payload=payload).pack()
    return alter


def flip(at):
    return with_byte(at, lambda byte: byte ^ 1)


def with_index(index, move=True):
    """Another index, and a sequence number that goes with it."""
    def alter(sealed):
        old = struct.unpack_from("!H", sealed.payload, 8)[0]
        payload = sealed.payload[:8] + struct.pack("!H", index) + sealed.payload[10:]
        seq = sealed.seq + OVERHEAD * (old - index) if move else sealed.seq
        return sealed.changed(payload=payload, seq=seq).pack()
    return alter


def field(name, change):
    def alter(sealed):
        return sealed.changed(**{name: change(getattr(sealed, name))}).pack()
    return alter


def bad_checksum(packet):
    at = 36 if packet[0] >> 4 == 4 else 56
    return packet[:at] + bytes([packet[at] ^ 1]) + packet[at + 1:]


def other_source(segment):
    """The IP header with another source address of the link's subnet."""
    ip = bytearray(segment.ip)
    ip[15 if len(segment.src) == 4 else 23] ^= 2
    return ip


# what is changed; how, of a sealed segment that makes a packet; counted as
FORGED = (
    ("a bit of the ciphertext", flip(HEADER + 5), "bad_tag"),
    ("a bit of the tag", flip(-1), "bad_tag"),
    ("the flags of the record", flip(0), "bad_tag"),
    ("the lane", flip(1), "bad_tag"),
    ("the counter", flip(15), "bad_tag"),
    ("the index", with_index(2, move=False), "bad_tag"),
    ("the index and the number that goes with it", with_index(2), "bad_tag"),
    ("the greatest index", with_index(BURST_MAX), "bad_tag"),
    ("an index beyond that", with_index(BURST_MAX + 1), "malformed"),
    ("index 0 without RST", with_index(0), "malformed"),
    ("RST set with index 1", field("flags", lambda flags: flags | RST), "malformed"),
    ("the sequence number", field("seq", lambda seq: seq + 1), "bad_tag"),
    ("the acknowledgement number", field("ack", lambda ack: ack + 1), "bad_tag"),
    ("the window", field("window", lambda window: window ^ 1), "bad_tag"),
    ("ECE", field("flags", lambda flags: flags ^ ECE), "bad_tag"),
    ("a timestamp",
     lambda sealed: Segment(sealed.ip, sealed.tcp[:-1] +
                            bytes([sealed.tcp[-1] ^ 1]), sealed.payload).pack(),
     "bad_tag"),
    ("the port it comes from",
     field("ports", lambda ports: (ports[0] ^ 1, ports[1])), "bad_tag"),
    ("the address it comes from",
     lambda sealed: Segment(other_source(sealed), sealed.tcp, sealed.payload).pack(),
     "bad_tag"),
    ("a bit, and a checksum that shows it", lambda sealed: bad_checksum(
        flip(HEADER)(sealed)), "noise"),
    ("a lane that the SA has not", with_byte(1, lambda lane: 64), "malformed"),
    ("the length", flip(3), "malformed"),
    ("the version", with_byte(0, lambda first: first ^ 0xc0), "malformed"),
    ("a reserved bit", with_byte(0, lambda first: first ^ 8), "malformed"),
    ("no record at all", lambda sealed: sealed.changed(payload=b"plain").pack(),
     "plain_in"),
    ("the SPI", flip(7), "unknown_spi"),
)
