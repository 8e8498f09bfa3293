# SPDX-License-Identifier: GPL-2.0-only
"""The wire of a sealed peer: a TUN device of the host that has the module.

What the module sends comes out of it cut and with checksums, as a card sends
it, and each segment is judged by the document before anybody else sees it.
"""
import fcntl
import os
import select
import struct
import subprocess
import time

from judge import Judge, Wrong
from packet import TCP, checksum
from record import seal

TUNSETIFF, IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x400454ca, 1, 0x1000, 0x4000
VNET = struct.Struct("=BBHHHH")
NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6 = 1, 1, 4

# Where so much is wrong, each further look waits in vain
ENOUGH = 5
# For all waiting: far more than an emulated machine takes
PATIENCE = 60


def until(what, condition, pause=0.05):
    """Wait for condition, and return what it returned."""
    end = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Wrong(f"waited in vain: {what}")
        time.sleep(pause)


class Report:
    """One line a verdict, for the script that runs this."""

    def __init__(self):
        self.failed = 0

    def run(self, what, function, *args):
        try:
            if self.failed >= ENOUGH:
                raise Wrong("not tried, after so many that failed")
            function(*args)
        except (Wrong, OSError) as error:
            self.failed += 1
            print(f"not ok {what}: {error}", flush=True)
        else:
            print(f"ok {what}", flush=True)


class Counters:
    """The module's counters of this namespace, and what has grown since."""

    def __init__(self):
        self.before = self.read()

    @staticmethod
    def read():
        out = subprocess.run([os.environ["TCPSEAL"], "stats"], check=True,
                             capture_output=True, text=True).stdout
        words = (line.split() for line in out.splitlines())
        return {each[0]: int(each[1]) for each in words
                if len(each) > 1 and each[1].isdigit()}

    def expect(self, **drops):
        """Exactly these have grown since: bad_tag=1 is drop.bad-tag."""
        want = {"drop." + name.replace("_", "-"): n for name, n in drops.items()}
        grown = {}

        def enough():
            now = self.read()
            grown.clear()
            grown.update({name: now[name] - self.before[name] for name in now
                          if name.startswith("drop.") and now[name] != self.before[name]})
            return sum(grown.values()) >= sum(want.values())
        try:
            until("drops", enough)
        except Wrong:
            pass
        if grown != want:
            raise Wrong(f"counted {grown}, not {want}")


class Wire:
    """The peers that live behind the TUN device, sealed."""

    def __init__(self, name, sas, local):
        self.fd = os.open("/dev/net/tun", os.O_RDWR)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack(
            "16sH22x", name.encode(), IFF_TUN | IFF_NO_PI | IFF_VNET_HDR))
        # by the address that seals
        self.out = {sa.src: sa for sa in sas if sa.src not in local}
        self.judge = Judge([sa for sa in sas if sa.src in local])
        self.counters = {}

    def counter(self, sa, lane, count):
        """The next ones of the lane, taken."""
        first = self.counters.get((sa.spi, lane), 0)
        self.counters[sa.spi, lane] = first + count
        return first

    def seal(self, plain, chunk=1400, lane=0):
        sa = self.out[plain.src]
        records = max(1, -(-len(plain.payload) // chunk))
        return seal(sa, plain, chunk, lane, self.counter(sa, lane, records))

    def send(self, *segments):
        for segment in segments:
            self.write(segment.pack())

    def write(self, packet):
        os.write(self.fd, bytes(VNET.size) + packet)

    def write_merged(self, segments):
        """A burst as one super-segment, as receive offload hands it up."""
        first = segments[0]
        joined = first.changed(
            payload=b"".join(segment.payload for segment in segments),
            flags=first.flags | segments[-1].flags)
        packet = bytearray(joined.pack())
        start = len(first.ip)
        struct.pack_into("!H", packet, start + 16, 0xffff ^ checksum(joined.pseudo()))
        kind = GSO_TCPV4 if len(first.src) == 4 else GSO_TCPV6
        os.write(self.fd, VNET.pack(NEEDS_CSUM, kind, start + len(first.tcp),
                                    len(first.payload), start, 16) + packet)

    def read(self, seconds):
        """The next plain segment of the module within that time, or None."""
        end = time.monotonic() + seconds
        while True:
            left = end - time.monotonic()
            if not select.select([self.fd], [], [], max(left, 0))[0]:
                return None
            data = os.read(self.fd, 70000)
            if any(data[:2]):
                raise Wrong("the device left offload work to us")
            packet = data[VNET.size:]
            protocol = packet[9] if packet[0] >> 4 == 4 else packet[6]
            if protocol == TCP:
                return self.judge.open(packet)
