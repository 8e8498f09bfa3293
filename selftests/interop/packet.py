# SPDX-License-Identifier: GPL-2.0-only
"""TCP segments in IPv4 and IPv6 packets, and captures of them."""
import struct

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, AE = (1 << bit for bit in range(9))
FLAGS = {"F": FIN, "S": SYN, "R": RST, "P": PSH, "A": ACK, "U": URG,
         "E": ECE, "C": CWR, "N": AE}
TCP, ICMP, ICMP6 = 6, 1, 58


class Malformed(Exception):
    """Not a TCP segment as it must be; says why."""


def checksum(data):
    """What the Internet checksum of data is: 0 if data contains its own."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total ^ 0xffff


class Segment:
    """A TCP segment and the IP header in front of it: three pieces of bytes.

    Lengths and checksums in them are not looked at: pack() writes them anew,
    and parse() refuses wrong ones.
    """

    def __init__(self, ip, tcp, payload=b""):
        self.ip, self.tcp, self.payload = bytes(ip), bytes(tcp), bytes(payload)

    @classmethod
    def build(cls, src, dst, ports, seq, ack, flags, payload=b"", window=502,
              urgent=0, options=b"", ttl=64, ident=0):
        """One from nothing; addresses are bytes, 4 or 16."""
        if len(src) == 4:
            ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, ident, 0x4000, ttl, TCP, 0)
        else:
            ip = struct.pack("!IHBB", 6 << 28, 0, TCP, ttl)
        tcp = struct.pack("!HHIIHHHH", *ports, seq % 2**32, ack % 2**32,
                          (20 + len(options)) // 4 << 12 | flags, window, 0, urgent)
        return cls(ip + src + dst, tcp + options, payload)

    @classmethod
    def parse(cls, packet):
        """From a whole packet; Malformed if a length or a checksum is wrong."""
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= 20:
            ihl, total = packet[0] % 16 * 4, struct.unpack_from("!H", packet, 2)[0]
            if ihl < 20 or total != len(packet) or total < ihl:
                raise Malformed("length of the IPv4 header or packet")
            if checksum(packet[:ihl]):
                raise Malformed("checksum of the IPv4 header")
            if packet[9] != TCP:
                raise Malformed("not TCP")
            if struct.unpack_from("!H", packet, 6)[0] & 0xbfff:
                raise Malformed("fragment")
        elif version == 6 and len(packet) >= 40:
            ihl = 40
            if struct.unpack_from("!H", packet, 4)[0] != len(packet) - 40:
                raise Malformed("length of the IPv6 packet")
            if packet[6] != TCP:
                raise Malformed("not TCP")
        else:
            raise Malformed("not an IP packet")
        rest = packet[ihl:]
        doff = rest[12] >> 2 & 0x3c if len(rest) >= 20 else 0
        if not 20 <= doff <= len(rest):
            raise Malformed("length of the TCP header")
        segment = cls(packet[:ihl], rest[:doff], rest[doff:])
        if checksum(segment.pseudo() + rest):
            raise Malformed("checksum of TCP")
        return segment

    def pseudo(self):
        """The header that the checksum of TCP covers besides the segment."""
        return self.src + self.dst + struct.pack(
            "!II", TCP, len(self.tcp) + len(self.payload))

    def pack(self):
        """The packet, with lengths and checksums right."""
        ip, length = bytearray(self.ip), len(self.tcp) + len(self.payload)
        tcp = self.tcp[:16] + b"\0\0" + self.tcp[18:]
        if len(self.src) == 4:
            struct.pack_into("!H", ip, 2, len(ip) + length)
            struct.pack_into("!H", ip, 10, 0)
            struct.pack_into("!H", ip, 10, checksum(bytes(ip)))
        else:
            struct.pack_into("!H", ip, 4, length)
        check = checksum(self.pseudo() + tcp + self.payload)
        return bytes(ip) + tcp[:16] + struct.pack("!H", check) + tcp[18:] + self.payload

    def changed(self, payload=None, **fields):
        """A copy with other contents: seq, ack, flags, window, urgent, ports."""
        tcp = bytearray(self.tcp)
        for name, value in fields.items():
            if name == "ports":
                struct.pack_into("!HH", tcp, 0, *value)
            elif name == "flags":
                word = struct.unpack_from("!H", tcp, 12)[0] & ~0x1ff
                struct.pack_into("!H", tcp, 12, word | value)
            elif name in ("seq", "ack"):
                struct.pack_into("!I", tcp, 4 if name == "seq" else 8, value % 2**32)
            else:
                struct.pack_into("!H", tcp, 14 if name == "window" else 18, value)
        return Segment(self.ip, tcp, self.payload if payload is None else payload)

    @property
    def src(self):
        return self.ip[12:16] if self.ip[0] >> 4 == 4 else self.ip[8:24]

    @property
    def dst(self):
        return self.ip[16:20] if self.ip[0] >> 4 == 4 else self.ip[24:40]

    @property
    def ports(self):
        return struct.unpack_from("!HH", self.tcp)

    @property
    def seq(self):
        return struct.unpack_from("!I", self.tcp, 4)[0]

    @property
    def ack(self):
        return struct.unpack_from("!I", self.tcp, 8)[0]

    @property
    def flags(self):
        return struct.unpack_from("!H", self.tcp, 12)[0] & 0x1ff

    @property
    def window(self):
        return struct.unpack_from("!H", self.tcp, 14)[0]

    @property
    def options(self):
        return self.tcp[20:]

    @property
    def space(self):
        """How far it advances the sequence number."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)

    @property
    def flow(self):
        return self.src, self.dst, self.ports

    def __str__(self):
        letters = "".join(name for name, bit in FLAGS.items() if self.flags & bit)
        return (f"{self.ports[0]}>{self.ports[1]} [{letters}] seq {self.seq}"
                f" ack {self.ack} length {len(self.payload)}")


def read_pcap(path):
    """The IP packets of a capture; Malformed if one was cut short."""
    with open(path, "rb") as file:
        data = file.read()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">",
             b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\x3c\x4d": ">"}.get(data[:4])
    if order is None:
        raise Malformed("not a pcap file")
    link = struct.unpack_from(order + "I", data, 20)[0]
    packets, offset = [], 24
    while offset < len(data):
        have, whole = struct.unpack_from(order + "II", data, offset + 8)
        frame, offset = data[offset + 16:offset + 16 + have], offset + 16 + have
        if have != whole or len(frame) != have:
            raise Malformed("the capture has only the beginning of a packet")
        if link == 1:
            kind, frame = frame[12:14], frame[14:]
            if kind not in (b"\x08\x00", b"\x86\xdd"):
                continue
        elif link not in (12, 101):
            raise Malformed(f"link type {link}")
        packets.append(frame)
    return packets
