#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The segments of Documentation/vectors as a capture, and their keys as a key log.

vectors_pcap.py VECTORS.json CAPTURE KEYLOG: also prints what a dissector has to say of
each segment: SPI, lane, index, counter, true sequence number, plaintext in hexadecimal.
"""
import json
import struct
import sys


def headers(packet):
    """Bytes of the IP and TCP headers of a packet without extension headers."""
    start = 4 * (packet[0] & 15) if packet[0] >> 4 == 4 else 40
    return start + (packet[start + 12] >> 4) * 4


def main():
    vectors, capture, keylog = sys.argv[1:]
    with open(vectors, encoding="ascii") as file:
        words = json.load(file)
    with open(keylog, "w", encoding="ascii") as file:
        for sa in words["sas"]:
            print("SA", f"{sa['spi']:08x}", sa["aead"], sa["src"], sa["dst"], sa["key"], sa["iv"],
                  file=file)
    with open(capture, "wb") as file:
        # LINKTYPE_RAW
        file.write(struct.pack("=IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 101))
        for vector in words["vectors"]:
            for record in vector["records"]:
                packet = bytes.fromhex(record["sealed"])
                file.write(struct.pack("=IIII", 0, 0, len(packet), len(packet)) + packet)
                plain = bytes.fromhex(record["plain"])
                sealed = packet[headers(packet):]
                spi, rest = struct.unpack_from("!IQ", sealed, 4)
                print(f"0x{spi:08x}", sealed[1], rest >> 48, rest % (1 << 48),
                      record["true_seq"] % (1 << 32), plain[headers(plain):].hex() or "-")


main()
