#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The control protocol's client, written from Documentation/protocol.rst alone.

control.py DEVICE LOCAL REMOTE CERT KEY CA: one handshake with the tcpseald of
REMOTE, from the address LOCAL of this host, which has no tcpseal. Then a
segment goes there that is sealed with the key of one direction, and the answer
must be sealed with that of the other. One line for each verdict.

TLS is OpenSSL by ctypes: Python's ssl module has no exporter.
"""
import ctypes
import ctypes.util
import hashlib
import os
import socket
import struct
import sys
import time

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from judge import Judge, Wrong
from packet import RST, SYN, TCP, Segment
from record import SA, address, address_text, seal
from wire import PATIENCE, Report

PORT, VERSION, ALPN = 7325, 1, b"tcpseal/1"
HELLO, CONFIRM, READY, NOTICE = 1, 2, 3, 4
REQUIRE, AES256 = 4, 1
HELLO_BODY = struct.Struct("!BBBBIBBHII16s18s18s")
KEY, IV = 32, 12
TLS13, MIN_VERSION, VERIFY_PEER, PEM = 0x0304, 123, 1, 1


def libraries():
    """libssl and libcrypto; what is not an int is said here."""
    ssl, crypto = (ctypes.CDLL(ctypes.util.find_library(name))
                   for name in ("ssl", "crypto"))
    for name in ("TLS_client_method", "SSL_CTX_new", "SSL_new",
                 "SSL_get1_peer_certificate"):
        getattr(ssl, name).restype = ctypes.c_void_p
    ssl.SSL_CTX_ctrl.restype = ctypes.c_long
    return ssl, crypto


class Tls:
    """One connection of TLS 1.3 with both certificates."""

    def __init__(self, sock, cert, key, authority):
        self.ssl, self.crypto = libraries()
        ctx = ctypes.c_void_p(self.ssl.SSL_CTX_new(
            ctypes.c_void_p(self.ssl.TLS_client_method())))
        self.ssl.SSL_CTX_set_verify(ctx, VERIFY_PEER, None)
        self.must(self.ssl.SSL_CTX_ctrl(ctx, MIN_VERSION, ctypes.c_long(TLS13), None))
        self.must(self.ssl.SSL_CTX_use_certificate_chain_file(ctx, cert.encode()))
        self.must(self.ssl.SSL_CTX_use_PrivateKey_file(ctx, key.encode(), PEM))
        self.must(self.ssl.SSL_CTX_load_verify_locations(ctx, authority.encode(), None))
        names = bytes([len(ALPN)]) + ALPN
        # the one function that says success by 0
        self.must(not self.ssl.SSL_CTX_set_alpn_protos(ctx, names, len(names)))
        self.con = ctypes.c_void_p(self.ssl.SSL_new(ctx))
        self.must(self.ssl.SSL_set_fd(self.con, sock.fileno()))
        self.must(self.ssl.SSL_connect(self.con))

    @staticmethod
    def must(result):
        if result != 1:
            raise Wrong("OpenSSL refuses")

    def alpn(self):
        data, size = ctypes.c_void_p(), ctypes.c_uint()
        self.ssl.SSL_get0_alpn_selected(self.con, ctypes.byref(data), ctypes.byref(size))
        return ctypes.string_at(data, size.value)

    def peer_certificate(self):
        """DER."""
        cert = ctypes.c_void_p(self.ssl.SSL_get1_peer_certificate(self.con))
        der = ctypes.c_void_p()
        size = self.crypto.i2d_X509(cert, ctypes.byref(der))
        return ctypes.string_at(der, size)

    def export(self, label, context, size):
        out = ctypes.create_string_buffer(size)
        self.must(self.ssl.SSL_export_keying_material(
            self.con, out, ctypes.c_size_t(size), label, ctypes.c_size_t(len(label)),
            context, ctypes.c_size_t(len(context)), 1))
        return out.raw

    def send(self, data):
        if self.ssl.SSL_write(self.con, data, len(data)) != len(data):
            raise Wrong("the connection ended")

    def receive(self, size):
        data = b""
        while len(data) < size:
            buffer = ctypes.create_string_buffer(size - len(data))
            got = self.ssl.SSL_read(self.con, buffer, size - len(data))
            if got <= 0:
                raise Wrong("the connection ended")
            data += buffer.raw[:got]
        return data


def message(kind, body=b""):
    return struct.pack("!HBB", 4 + len(body), VERSION, kind) + body


class Client:
    """A host that requires, and seals for itself only."""

    def __init__(self, device, local, remote, files):
        self.device, self.local, self.remote = device, local, remote
        self.cert, self.key, self.authority = files
        self.sas = []

    def expect(self, tls, kind):
        """The next message, whole, which must be of that kind."""
        head = tls.receive(4)
        length, version, got = struct.unpack("!HBB", head)
        whole = head + tls.receive(length - 4)
        if got == NOTICE:
            raise Wrong(f"NOTICE {whole[4]}: {whole[8:].decode()}")
        if (version, got) != (VERSION, kind):
            raise Wrong(f"message {got} of version {version}, not {kind}")
        return whole

    def judge(self, der):
        """The name of the certificate: the very address of the connection."""
        names = x509.load_der_x509_certificate(der).extensions.get_extension_for_oid(
            ExtensionOID.SUBJECT_ALTERNATIVE_NAME).value
        addresses = names.get_values_for_type(x509.IPAddress)
        if address(self.remote) not in [each.packed for each in addresses]:
            raise Wrong(f"the certificate is for {addresses}")

    def context(self, ours, theirs, server):
        """What the keys are bound to."""
        with open(self.cert, "rb") as file:
            mine = x509.load_pem_x509_certificate(file.read())
        parts = [b"tcpseal-1 context\0"]
        for each in (self.local, self.remote):
            raw = address(each)
            parts.append(bytes([len(raw)]) + raw.ljust(16, b"\0"))
        parts += [ours, theirs]
        parts += [hashlib.sha256(der).digest()
                  for der in (mine.public_bytes(Encoding.DER), server)]
        return hashlib.sha256(b"".join(parts)).digest()

    def handshake(self):
        family = socket.AF_INET6 if ":" in self.local else socket.AF_INET
        with socket.socket(family) as sock:
            sock.bind((self.local, 0))
            sock.connect((self.remote, PORT))
            tls = Tls(sock, self.cert, self.key, self.authority)
            if tls.alpn() != ALPN:
                raise Wrong(f"ALPN {tls.alpn()}")
            server = tls.peer_certificate()
            self.judge(server)
            spi, lanes = struct.unpack("!I", os.urandom(4))[0] >> 1 | 1, 4
            ours = message(HELLO, HELLO_BODY.pack(
                VERSION, VERSION, REQUIRE, 0, spi, AES256, lanes, 0, 86400, 0,
                os.urandom(16), bytes(18), bytes(18)))
            tls.send(ours)
            theirs = self.expect(tls, HELLO)
            body = HELLO_BODY.unpack_from(theirs, 4)
            if len(theirs) != 76 or body[2] != REQUIRE or not body[4] or any(body[11]):
                raise Wrong(f"its HELLO is {theirs.hex()}")
            context = self.context(ours, theirs, server)
            out, back = (tls.export(b"EXPORTER-tcpseal-1 " + role, context, KEY + IV)
                         for role in (b"client", b"server"))
            tls.send(message(CONFIRM))
            if len(self.expect(tls, READY)) != 4:
                raise Wrong("READY has a body")
        here, there = address(self.local), address(self.remote)
        self.sas = [SA(body[4], out[:KEY], out[KEY:], body[6], here, there),
                    SA(spi, back[:KEY], back[KEY:], lanes, there, here)]

    def segments(self):
        """A sealed SYN goes out, to where nobody listens; a sealed RST comes back."""
        if not self.sas:
            raise Wrong("there are no keys")
        out, back = self.sas
        plain = Segment.build(out.src, out.dst, (4998, 4999), 1000, 0, SYN)
        family = socket.AF_INET6 if ":" in self.local else socket.AF_INET
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as tap, \
                socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
            tap.bind((self.device, 3))
            tap.settimeout(PATIENCE)
            raw.sendto(seal(out, plain, 1400, 0, 0)[0].pack(), (self.remote, 0))
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                packet = tap.recv(70000)
                version = packet[0] >> 4
                if packet[9 if version == 4 else 6] != TCP:
                    continue
                start = packet[0] % 16 * 4 if version == 4 else 40
                if packet[start:start + 4] == struct.pack("!HH", 4999, 4998):
                    answer = Judge([back]).open(packet)
                    if not answer.flags & RST or answer.ack != 1001:
                        raise Wrong(f"it answers {answer}")
                    return
        raise Wrong(f"no answer from {address_text(out.dst)}")


def main():
    device, local, remote, *files = sys.argv[1:]
    report, client = Report(), Client(device, local, remote, files)
    ip = "IPv6" if ":" in local else "IPv4"
    report.run(f"{ip}: a handshake with tcpseald by the document", client.handshake)
    report.run(f"{ip}: its keys seal and open both ways", client.segments)
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
