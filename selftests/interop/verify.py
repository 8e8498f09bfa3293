#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Is every byte of a capture what the document says?

verify.py KEYS CAPTURE: the packets of one wire, complete, cut as they are there
and with checksums; KEYS are the SAs. Every TCP segment must be sealed, and
exactly what the document makes of its plaintext: lengths, checksums, header,
nonce, sequence number, ciphertext and tag. No nonce comes twice. No plaintext
of any segment is anywhere in the capture.

verify.py --mutate KEYS CAPTURE: is that so? The same after a bit was flipped,
everywhere, with checksums as they were and corrected; each must be refused.
"""
import struct
import sys

from forge import other_source
from judge import Judge, Wrong
from packet import ICMP, ICMP6, SYN, TCP, Malformed, Segment, read_pcap
from record import SA, seal_one

UDP = 17
PIECE = 16


def protocol(packet):
    """As the packet says; MLD stands behind a hop-by-hop header, 0."""
    if packet[0] >> 4 == 4:
        return packet[9]
    return packet[6] or packet[40]


def verify(sas, packets):
    """The judge, who has seen it all; Wrong if anything is."""
    judge, pieces = Judge(sas), set()
    for number, packet in enumerate(packets):
        if protocol(packet) in (ICMP, ICMP6, UDP):
            continue
        try:
            plain = judge.open(packet)
        except Wrong as error:
            raise Wrong(f"packet {number}: {error}") from None
        if len(plain.payload) >= PIECE:
            pieces.add(plain.payload[:PIECE])
    judge.done()
    everything = b"".join(packets)
    for piece in pieces:
        if piece in everything:
            raise Wrong(f"plaintext in the capture: {piece.hex()}")
    return judge


def kinds(sas, packets):
    """The shortest packet of each kind that the capture has."""
    judge, found = Judge(sas), {}
    for packet in packets:
        if protocol(packet) == TCP:
            plain = judge.open(packet)
            sealed = Segment.parse(packet)
            index = struct.unpack_from("!H", sealed.payload, 8)[0]
            kind = len(plain.src), plain.flags, bool(plain.payload), min(index, 2)
            found[kind] = min(found.get(kind, packet), packet, key=len)
    return found


def uncovered(packet, corrected):
    """Bits, as byte * 8 + bit, whose change need not be noticed."""
    free = set()

    def add(first, last, bits=range(8)):
        free.update(byte * 8 + bit for byte in range(first, last) for bit in bits)
    if packet[0] >> 4 == 6:
        # traffic class, flow label, hop limit
        add(0, 1, range(4))
        add(1, 4)
        add(7, 8)
    elif corrected:
        # TOS, ID, DF, TTL
        add(1, 2)
        add(4, 6)
        add(6, 7, (6,))
        add(8, 9)
    if not corrected:
        return free
    segment = Segment.parse(packet)
    start = len(segment.ip)
    # what is computed anew
    add(start + 16, start + 18)
    if len(segment.src) == 4:
        add(2, 4)
        add(10, 12)
    else:
        add(4, 6)
    if segment.flags & SYN and segment.options[:2] == b"\2\4":
        add(start + 22, start + 24)
    return free


def places(packet):
    """Each bit of headers, of the record's header and of its ends; else one a byte."""
    head, end = len(packet) - len(Segment.parse(packet).payload) + 32, len(packet) - 24
    for byte in range(len(packet)):
        for bit in range(8) if byte < head or byte >= end else (byte % 8,):
            yield byte, bit


def flipped(packet, byte, bit, corrected):
    mutant = bytearray(packet)
    mutant[byte] ^= 1 << bit
    if not corrected:
        return bytes(mutant)
    # by the old shape, so that whatever can be made right is
    segment = Segment.parse(packet)
    a, b = len(segment.ip), len(segment.ip) + len(segment.tcp)
    return Segment(mutant[:a], mutant[a:b], mutant[b:]).pack()


def refused(function, *args):
    try:
        function(*args)
    except (Wrong, Malformed):
        return True
    return False


def mutate_bits(sas, found):
    """How many bits were flipped; Wrong if one was not noticed."""
    count = 0
    for (family, flags, payload, index), packet in found.items():
        for corrected in (False, True):
            free = uncovered(packet, corrected)
            for byte, bit in places(packet):
                if byte * 8 + bit in free:
                    continue
                count += 1
                mutant = flipped(packet, byte, bit, corrected)
                if not refused(Judge(sas).open, mutant):
                    raise Wrong(f"bit {bit} of byte {byte} can be flipped, checksums "
                                f"{'' if corrected else 'not '}corrected, in a packet of "
                                f"{len(packet)} bytes, addresses of {family}, flags "
                                f"{flags:#x}, payload {payload}, index {index}")
    return count


def mutate_order(sas, packets):
    """The same with whole packets."""
    judge = Judge(sas)
    plains = {}
    for number, packet in enumerate(packets):
        if protocol(packet) == TCP:
            plains[number] = judge.open(packet), Segment.parse(packet)
    first = next(number for number, (_, sealed) in plains.items()
                 if sealed.payload[8:10] > b"\0\2")
    plain = plains[first][0]
    quote = Segment(plain.ip, plain.tcp, plain.payload).pack()
    sa = Judge(sas).sas[int.from_bytes(plains[first][1].payload[4:8], "big")]
    strange = Segment(other_source(plain), plain.tcp, plain.payload)
    icmp = bytearray(quote[:len(plain.ip)])
    icmp[9 if len(plain.src) == 4 else 6] = ICMP
    for what, mutant in (
            ("a record twice", packets[:first + 1] + packets[first:]),
            ("a record twice, much later", packets + [packets[next(iter(plains))]]),
            ("a burst without its middle", packets[:first + 1] + packets[first + 2:]),
            ("a burst in another order", packets[:first] +
             [packets[first + 1], packets[first]] + packets[first + 2:]),
            ("a capture that ends in a burst", packets[:first + 1]),
            ("a plain segment", packets + [quote]),
            ("an address that the key is not for",
             packets + [seal_one(sa, strange, 1, 0, 0).pack()]),
            ("an ICMP message that quotes plaintext", packets + [bytes(icmp) + quote])):
        if not refused(verify, sas, mutant):
            raise Wrong(f"not noticed: {what}")


def main():
    *mode, keys, capture = sys.argv[1:]
    sas, packets = SA.load(keys), read_pcap(capture)
    found = kinds(sas, packets) if mode else {}
    try:
        judge = verify(sas, packets)
        if mode:
            print(f"{mutate_bits(sas, found)} bits in {len(found)} kinds of segments")
            mutate_order(sas, packets)
        else:
            print(f"{judge.records} segments, {judge.bursts} bursts")
    except Wrong as error:
        print(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
