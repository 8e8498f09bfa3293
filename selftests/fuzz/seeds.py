#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""The seeds of the corpus: one well-formed input of each kind, and a few bad ones.

seeds.py DIRECTORY: writes DIRECTORY/TARGET/seed-NAME. What the fuzzers found beyond is
in the corpus beside them (scripts/fuzz --merge).
"""

import datetime
import ipaddress
import re
import struct
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

TOP = Path(__file__).resolve().parents[2]
out = Path(sys.argv[1])


def seed(target, name, data):
    directory = out / target
    directory.mkdir(parents=True, exist_ok=True)
    if isinstance(data, str):
        data = data.encode()
    (directory / f"seed-{name}").write_bytes(data)


# --- words ---

IDENTITY = "identity cert /a.crt key /a.key ca /ca.crt\n"
LINKS = {
    "plain": "10.1.0.0/16 10.2.0.0/16",
    "require": "10.1.0.0/16 10.2.0.0/16 mode require nontcp drop keys manual",
    "v6": "fd00:1::/64 fd00:2::/64 mode prefer aead aes128 old-connections reset",
    "via": "10.1.0.0/16 10.2.0.0/16 mode require via 192.0.2.1 identity gw.example",
    "forward": "10.1.0.0/16 10.2.0.0/16 mode require forward dev dev1 dev2 weaken",
}
example = (TOP / "userspace/systemd/tcpseal.conf.example").read_text()
seed("conf", "example", example)
seed("conf", "example-all", re.sub(r"^# ?([a-z-]+ )", r"\1", example, flags=re.M))
for name, words in LINKS.items():
    seed("conf", f"link-{name}", IDENTITY + f"link {words}\n")
seed("conf", "limits", IDENTITY + """port 7325
rotate time 1h volume 64G
hard time 24h
idle 10m
state /var/lib/tcpseal
clock-skew 60
crl-stale fail
eku serverAuth
log level debug
hold time 3 pair 16 user 64 net 1024
grace-msecs 1000
max-pairs 65536
tombstone 1h
lanes 8
workers 4
control-connections 1024
sticky-max 65536
metrics [::1]:9100
""")
seed("conf", "metrics", IDENTITY + "metrics 0.0.0.0:9100 remote\n")
seed("conf", "metrics-unix", IDENTITY + "metrics unix:/run/tcpseal/metrics\n")

for name, words in LINKS.items():
    seed("words", f"link-{name}", f"link add {words}\nlink del {words}\n")
seed("words", "peer", """peer show 10.2.0.5
peer forget 10.2.0.0/16
peer rekey 10.2.0.5 local 10.1.0.5
why 10.1.0.5 10.2.0.5 port 80
status
stats
link show
link flush force
""")
seed("words", "sa", "sa add dir in spi 0x1234 local 10.1.0.5 peer 10.2.0.5 key " +
     "00" * 32 + " iv " + "11" * 12 + "\nsa del dir in spi 0x1234\nsa flush\nsa show\n")
seed("words", "conf", "show\n# comment\nmonitor\ntop\nconf set max-pairs 10\n")

seed("manifest", "all", "tcpseal-manifest 1\nmodule 580CD2B768A71C2B7C5A368 " + "ab" * 20 +
     " 6.12.1\nfile " + "0" * 64 + " /usr/local/sbin/tcpseald\n")
seed("manifest", "no-path", "tcpseal-manifest 1\nfile " + "0" * 64 + " tcpseald\n")
seed("manifest", "short", "tcpseal-manifest 1\nmodule 580CD2B768A71C2B7C5A368\n")

seed("sticky", "two", "tcpseal-sticky 1\n"
     "10.1.0.5 10.2.0.5 1767225600 1767225700 b.example\n"
     "fd00:1::5 fd00:2::5 1 18446744073709551615 \n")
seed("sticky", "other", "tcpseal-sticky 2\n")

# --- messages of the control protocol ---


def message(kind, body=b""):
    return struct.pack(">HBB", 4 + len(body), 1, kind) + body


def hello(mode=4, flags=0, spi=0x11223344, aead=1, lanes=8, local=bytes(18),
          remote=bytes(18), versions=(1, 1), extra=b""):
    return message(1, struct.pack(">BBBBIBBHII", *versions, mode, flags, spi, aead, lanes, 0,
                                  86400, 0) + bytes(range(16)) + local + remote + extra)


def prefix(text):
    net = ipaddress.ip_network(text)
    address = net.network_address.packed
    return bytes((len(address), net.prefixlen)) + address.ljust(16, b"\0")


def notice(code, retry, text):
    return message(4, struct.pack(">BBH", code, 0, retry) + text)


CLIENT, GATEWAY, VIA, PREFER, STRANGER, WAITS = 1, 2, 4, 8, 16, 32
CONFIRM, READY = message(2), message(3)
for role, end in ((0, CONFIRM), (CLIENT, READY)):
    for how in (0, PREFER, STRANGER, WAITS):
        seed("session", f"{role | how}", bytes((role | how, 0)) + hello() + end)
    seed("session", f"{role}-bytes", bytes((role | WAITS, 1)) + hello() + end)
    seed("session", f"{role}-later", bytes((role, 0)) + hello(versions=(1, 2), extra=b"x" * 9) + end)
    seed("session", f"{role}-version", bytes((role, 0)) + hello(versions=(2, 3)))
    for mode in range(5):
        seed("session", f"{role}-mode-{mode}", bytes((role, 0)) + hello(mode=mode) + end)
    for code in range(1, 6):
        seed("session", f"{role}-notice-{code}", bytes((role, 0)) + notice(code, 30, b"no\x1b[2J"))
    seed("session", f"{role}-via", bytes((role | VIA, 0)) +
         hello(flags=1, local=prefix("10.1.0.0/16")) + end)
    seed("session", f"{role}-forward", bytes((role | GATEWAY, 0)) +
         hello(flags=2, remote=prefix("10.2.0.0/16")) + end)
    seed("session", f"{role}-v6", bytes((role | VIA, 0)) +
         hello(flags=1, local=prefix("fd00:1::/64")) + end)

# --- what the kernel says ---

FAMILY, ERROR, DONE, MULTI = 0x21, 2, 3, 2


def attr(kind, data):
    return (struct.pack("<HH", 4 + len(data), kind) + data).ljust((len(data) + 7) & ~3, b"\0")


def nlmsg(kind, flags, body):
    return struct.pack("<IHHII", 16 + len(body), kind, flags, 0, 0) + body


def genl(cmd, attrs, flags=MULTI):
    return nlmsg(FAMILY, flags, struct.pack("<BBH", cmd, 1, 0) + attrs)


def datagrams(which, *messages):
    return bytes((which,)) + b"".join(struct.pack("<H", len(m)) + m for m in messages)


def numbers(prefix_of):
    """Values of the enumeration whose names begin so, from the header."""
    text = (TOP / "include/uapi/linux/tcpseal.h").read_text()
    for block in re.findall(r"enum[^{]*\{([^}]*)\}", text):
        value, found = -1, {}
        for word in filter(None, (w.strip() for w in block.split(","))):
            name, _, given = word.partition("=")
            value = int(given, 0) if re.fullmatch(r"\s*\w+\s*", given) and \
                given.strip().isdigit() else value + 1
            found[name.strip()] = value
        if any(n.startswith(prefix_of) for n in found):
            return {n: v for n, v in found.items() if n.startswith(prefix_of)}
    raise KeyError(prefix_of)


ack = nlmsg(ERROR, 0, struct.pack("<i", 0) + bytes(16))
done = nlmsg(DONE, MULTI, struct.pack("<i", 0))
refusal = nlmsg(ERROR, 0x300, struct.pack("<i", -22) + bytes(16) + attr(1, b"no such link\0"))
truncated = nlmsg(DONE, MULTI | 0x200, struct.pack("<i", -12) + attr(1, b"no memory\0"))
ADDRESS = {4: bytes((10, 2, 0, 5)), 16: ipaddress.ip_address("fd00:2::5").packed}
for which, enum in enumerate(("LINK", "SA", "PAIR", "STATS", "CONF", "EVENT")):
    kinds = sorted(v for n, v in numbers(f"TCPSEAL_A_{enum}_").items()
                   if v > 0 and not n.endswith("MAX"))
    end = (ack,) if which in (3, 4) else (done,)
    # One attribute of each kind in each form that one can have: the right one is among them
    for name, value in (("u8", b"\1"), ("u32", struct.pack("<I", 3)), ("u64", struct.pack("<Q", 7)),
                        ("v4", ADDRESS[4]), ("v6", ADDRESS[16]), ("text", b"b.example\0"),
                        ("bytes", bytes(range(32))), ("flag", b""),
                        ("nest", b"".join(attr(k, struct.pack("<Q", k)) for k in range(1, 12)))):
        seed("netlink", f"{enum.lower()}-{name}",
             datagrams(which, genl(1, b"".join(attr(k, value) for k in kinds)), *end))
    seed("netlink", f"{enum.lower()}-error", datagrams(which, refusal))
    seed("netlink", f"{enum.lower()}-truncated", datagrams(which, genl(1, b"") + truncated))
# What no kernel says: an error that is no errno
for value in (-2**31, -4096, 1, 2**31 - 1):
    body = struct.pack("<i", value) + bytes(16)
    seed("netlink", f"error-{value}", datagrams(3, nlmsg(ERROR, 0, body)))
    seed("netlink", f"done-{value}", datagrams(0, nlmsg(DONE, MULTI, body)))
for cmd in range(1, 32):
    seed("netlink", f"event-{cmd}", datagrams(5, genl(cmd, attr(1, ADDRESS[4]) + attr(2, ADDRESS[16]), 0)))
group = attr(1, attr(1, b"events\0") + attr(2, struct.pack("<I", 5)))
family = genl(1, attr(1, struct.pack("<H", FAMILY)) + attr(2, b"tcpseal\0") + attr(7, group), 0)
seed("netlink", "family", datagrams(6, *(m[:8] + struct.pack("<I", 1) + m[12:] for m in (family, ack))))

# --- certificates ---

key = ec.derive_private_key(0x5ea1, ec.SECP256R1())
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)


def certificate(common="b.example", names=(), eku=None, days=36500, ca=False, serial=7):
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)] if common else [])
    builder = (x509.CertificateBuilder().subject_name(subject)
               .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
               .public_key(key.public_key()).serial_number(serial)
               .not_valid_before(START).not_valid_after(START + datetime.timedelta(days=days)))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
    return builder.sign(key, hashes.SHA256())


SERVER, PEER = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
IPS = [x509.IPAddress(ipaddress.ip_address("10.2.0.5")),
       x509.IPAddress(ipaddress.ip_address("fd00:2::5"))]
certificates = {
    "address": certificate(names=IPS, eku=[SERVER, PEER]),
    "dns": certificate(names=[x509.DNSName("GW.example")], eku=[SERVER]),
    "uri": certificate(names=[x509.UniformResourceIdentifier("gw.example")], eku=[PEER]),
    "mail": certificate(names=[x509.RFC822Name("root@gw.example"), *IPS]),
    "cn": certificate("gw.example"),
    "cn-zero": certificate("gw.example\0.evil"),
    "cn-escape": certificate("gw\x1b[2J"),
    "dns-escape": certificate(names=[x509.DNSName("gw\x1b[2J\n")]),
    "no-name": certificate(""),
    "expired": certificate(days=1),
    "ca": certificate(ca=True),
}
for name, cert in certificates.items():
    der = cert.public_bytes(serialization.Encoding.DER)
    for flags in (0, 1, 3):
        seed("cert", f"{name}-{flags}", bytes((flags,)) + der)

pem = certificates["ca"].public_bytes(serialization.Encoding.PEM)
own = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                        serialization.NoEncryption())
locked = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                           serialization.BestAvailableEncryption(b"x"))
crl = (x509.CertificateRevocationListBuilder()
       .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
       .last_update(START).next_update(START + datetime.timedelta(days=3650))
       .add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(1)
                                .revocation_date(START).build())
       .sign(key, hashes.SHA256())).public_bytes(serialization.Encoding.PEM)
BETWEEN = b"----\n"
seed("ident", "all", BETWEEN.join((pem, own, pem, crl)))
seed("ident", "crl", BETWEEN.join((b"", b"", b"", crl + crl)))
seed("ident", "ca", BETWEEN.join((b"", b"", pem + pem)))
seed("ident", "key", BETWEEN.join((b"", locked)))
seed("ident", "cert", pem)
