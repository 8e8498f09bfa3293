#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Writes vectors.h: known answers of AES-GCM.

The first are test cases of "The Galois/Counter Mode of Operation" (McGrew,
Viega; NIST's submission), as far as they have IVs of 96 bits. All others, and a
check of the first, come from OpenSSL (python3-cryptography), from inputs that
a hash makes: the same in each run.

    selftests/kunit/vectors.py >selftests/kunit/vectors.h
"""

import hashlib
import struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY = "feffe9928665731c6d6a8f9467308308"
IV = "cafebabefacedbaddecaf888"
TEXT = ("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255")
AAD = "feedfacedeadbeeffeedfacedeadbeefabaddad2"

# case, key, IV, AAD, plaintext, ciphertext and tag
PUBLISHED = [
    (1, "00" * 16, "00" * 12, "", "", "58e2fccefa7e3061367f1d57a4e7455a"),
    (2, "00" * 16, "00" * 12, "", "00" * 16,
     "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf"),
    (3, KEY, IV, "", TEXT,
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
     "4d5c2af327cd64a62cf35abd2ba6fab4"),
    (4, KEY, IV, AAD, TEXT[:120],
     "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
     "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
     "5bc94fbc3221a5db94fae95ae7121a47"),
    (13, "00" * 32, "00" * 12, "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    (14, "00" * 32, "00" * 12, "", "00" * 16,
     "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"),
    (15, KEY * 2, IV, "", TEXT,
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad"
     "b094dac5d93471bdec1a502270e3cc6c"),
    (16, KEY * 2, IV, AAD, TEXT[:120],
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
     "76fc6ece0f4e1768cddf8853bb2d551b"),
]

# bytes of plaintext: around blocks, GHASH's strides, and payloads of segments
SIZES = [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 257, 1448]
# of AAD: header and addresses, IPv4 or IPv6, TCP header without and with options
AAD_SIZES = [44, 56, 84, 68, 80, 108]


def some(label, n):
    """N bytes that depend on LABEL only"""
    return hashlib.shake_128(label.encode()).digest(n)


def literal(data):
    """DATA as a C string"""
    lines = [data[i:i + 16] for i in range(0, len(data), 16)] or [b""]
    return "\n\t\t  ".join(
        '"' + "".join(f"\\x{byte:02x}" for byte in line) + '"' for line in lines)


def entry(name, key, iv, lane, counter, aad, text, sealed):
    """One vector; NONCE is IV XOR (lane, counter)"""
    number = struct.pack(">IQ", 0, lane << 48 | counter)
    nonce = bytes(a ^ b for a, b in zip(iv, number))
    assert AESGCM(key).encrypt(nonce, text, aad) == sealed, name
    print(f"""	{{
		.name	= "{name}",
		.keylen	= {len(key)},
		.lane	= {lane},
		.counter = {counter:#x},
		.aadlen	= {len(aad)},
		.len	= {len(text)},
		.key	= {literal(key)},
		.iv	= {literal(iv)},
		.aad	= {literal(aad)},
		.text	= {literal(text)},
		.sealed	= {literal(sealed)},
	}},""")


def main():
    print("""/* SPDX-License-Identifier: GPL-2.0-only */
/* Made by selftests/kunit/vectors.py */
static const struct vector vectors[] = {""")
    for case, key, iv, aad, text, sealed in PUBLISHED:
        entry(f"published case {case}", bytes.fromhex(key), bytes.fromhex(iv),
              0, 0, bytes.fromhex(aad), bytes.fromhex(text),
              bytes.fromhex(sealed))
    for i, size in enumerate(SIZES):
        for keylen in (16, 32):
            name = f"OpenSSL, AES-{8 * keylen}, {size} bytes"
            key, iv = some(name + "key", keylen), some(name + "iv", 12)
            lane = some(name, 1)[0] % 64
            counter = int.from_bytes(some(name + "counter", 6), "big")
            if i == 0:
                lane, counter = 63, (1 << 48) - 1
            aad = some(name + "aad", AAD_SIZES[i % len(AAD_SIZES)])
            text = some(name + "text", size)
            number = struct.pack(">IQ", 0, lane << 48 | counter)
            nonce = bytes(a ^ b for a, b in zip(iv, number))
            entry(name, key, iv, lane, counter, aad, text,
                  AESGCM(key).encrypt(nonce, text, aad))
    print("};")


if __name__ == "__main__":
    main()
