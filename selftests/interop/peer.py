#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A sealed TCP peer of the module that has nothing of the module.

peer.py DEVICE KEYS LOCAL REMOTE [LOCAL REMOTE...]: LOCAL is an address of this
host, REMOTE lives behind the TUN device DEVICE, and is spoken by this program.
KEYS holds the SAs of both directions. Connections are opened by either end,
carry data both ways, are attacked, and end. One line for each verdict: "ok
TEXT" or "not ok TEXT: WHY".
"""
import concurrent.futures
import os
import socket
import struct
import sys

from forge import FORGED, bad_checksum, flip, other_source
from judge import Wrong
from packet import ACK, FIN, PSH, RST, SYN, Segment
from record import HEADER, SA, WINDOW, WINDOW_SPARE, address, seal_one
from wire import PATIENCE, Counters, Report, Wire

CHUNK, MSS = 1400, 1460


class Connection:
    """The TCP of the sealed peer: no more than this test needs."""

    def __init__(self, wire, local, remote, lport, rport=0):
        self.wire, self.local, self.remote = wire, local, remote
        self.lport, self.rport = lport, rport
        self.lane = lport % 8
        # soon wraps
        self.una = self.next = 2**32 - 3000
        self.expected = self.window = self.clock = self.echo = 0
        self.got, self.early = bytearray(), {}
        self.finished = self.reset = False

    def segment(self, flags, payload=b""):
        self.clock += 1
        stamps = struct.pack("!BBII", 8, 10, self.clock, self.echo)
        if flags & SYN:
            options = struct.pack("!BBHBB", 2, 4, MSS, 4, 2) + stamps
        else:
            options = b"\1\1" + stamps
        return Segment.build(self.local, self.remote, (self.lport, self.rport), self.next,
                             self.expected if flags & ACK else 0, flags, payload,
                             window=65535, options=options)

    def sealed(self, flags, payload=b""):
        """The records of a burst, which count as sent."""
        plain = self.segment(flags, payload)
        self.next = (self.next + plain.space) % 2**32
        return self.wire.seal(plain, CHUNK, self.lane)

    def send(self, flags, payload=b""):
        self.wire.send(*self.sealed(flags, payload))

    def flight(self):
        return (self.next - self.una) % 2**32

    def take(self):
        """The next segment for this connection, after what it does here."""
        while True:
            plain = self.wire.read(PATIENCE)
            if plain is None:
                raise Wrong("the module falls silent")
            if plain.dst != self.local or plain.ports[1] != self.lport:
                continue
            if not self.rport:
                self.rport = plain.ports[0]
            if plain.ports[0] == self.rport:
                break
        if plain.flags & RST:
            self.reset = True
            return plain
        if plain.flags & SYN:
            self.expected = plain.seq
        if plain.flags & ACK and (plain.ack - self.una) % 2**32 <= self.flight():
            self.una = plain.ack
        self.window = plain.window
        stamps = plain.options.find(b"\x08\x0a")
        if stamps >= 0:
            self.echo = struct.unpack_from("!I", plain.options, stamps + 2)[0]
        if plain.space:
            self.early[plain.seq] = plain
        while self.expected in self.early:
            piece = self.early.pop(self.expected)
            self.got += piece.payload
            self.finished |= bool(piece.flags & FIN)
            self.expected = (self.expected + piece.space) % 2**32
        return plain

    def settle(self):
        """Until all is acknowledged."""
        while self.flight():
            if self.take().flags & RST:
                raise Wrong("the connection was reset")

    def connect(self):
        syn, = self.sealed(SYN)
        # as a router in front of a tunnel may
        at = syn.tcp.index(struct.pack("!BBH", 2, 4, MSS)) + 2
        self.wire.send(Segment(syn.ip, syn.tcp[:at] + struct.pack("!H", 1300) +
                               syn.tcp[at + 2:], syn.payload))
        self.settle()
        self.send(ACK)

    def accept(self):
        while not self.take().flags & SYN:
            pass
        self.send(SYN | ACK)
        self.settle()

    def exchange(self, data):
        """Send data and FIN, in bursts; receive until the other end has finished."""
        at, ended = 0, False
        while not (self.finished and ended and not self.flight()):
            while at < len(data) and self.flight() + 10000 <= self.window:
                self.send(ACK | PSH, data[at:at + 10000])
                at += 10000
            if at >= len(data) and not ended:
                self.send(ACK | FIN)
                ended = True
            if self.take().space:
                self.send(ACK)
            if self.reset:
                raise Wrong("the connection was reset")
        return bytes(self.got)


def pattern(size, seed):
    """Bytes that look different at every place."""
    return b"".join(struct.pack("!I", (seed * 2654435761 + at * 40503) % 2**32)
                    for at in range(size // 4))


def receive_all(sock):
    pieces = []
    while piece := sock.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


class Test:
    """What both addresses of a pair go through."""

    def __init__(self, wire, report, local, remote):
        self.wire, self.report = wire, report
        self.local, self.remote = local, remote
        self.family = socket.AF_INET6 if ":" in local else socket.AF_INET
        self.port = 5000
        self.pool = concurrent.futures.ThreadPoolExecutor()

    def listen(self):
        listener = socket.socket(self.family)
        listener.settimeout(PATIENCE)
        listener.bind((self.local, 0))
        listener.listen()
        return listener

    def connection(self, rport=0):
        self.port += 1
        return Connection(self.wire, address(self.remote), address(self.local), self.port,
                          rport)

    def run(self):
        ip = "IPv6" if self.family == socket.AF_INET6 else "IPv4"
        for what, test in (
                ("the module connects, both send 300,000 bytes, it closes first",
                 self.module_connects),
                ("the peer connects, both send 300,000 bytes, it closes first",
                 self.peer_connects),
                ("the module refuses a connection, by a sealed RST", self.module_refuses),
                ("the peer refuses a connection, by a sealed RST", self.peer_refuses)):
            self.report.run(f"{ip}: {what}", test)
        Attacks(self, ip).run()

    # The programs on the host with the module
    def client(self, port, data):
        with socket.create_connection((self.remote, port), PATIENCE) as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            return receive_all(sock)

    def server(self, listener, data):
        with listener, listener.accept()[0] as sock:
            got = receive_all(sock)
            sock.sendall(data)
            return got

    def compare(self, ours, theirs, there, here):
        got = there.result(PATIENCE)
        if here != theirs or got != ours:
            raise Wrong(f"{len(here)} and {len(got)} bytes arrived, or other ones")

    def module_connects(self):
        ours, theirs = pattern(300000, 1), pattern(300000, 2)
        peer = self.connection()
        there = self.pool.submit(self.client, peer.lport, theirs)
        bursts = self.wire.judge.bursts
        peer.accept()
        self.compare(ours, theirs, there, peer.exchange(ours))
        if self.wire.judge.bursts == bursts:
            raise Wrong("the module sent no burst")

    def peer_connects(self):
        ours, theirs = pattern(300000, 3), pattern(300000, 4)
        listener = self.listen()
        peer = self.connection(listener.getsockname()[1])
        there = self.pool.submit(self.server, listener, theirs)
        peer.connect()
        self.compare(ours, theirs, there, peer.exchange(ours))

    def module_refuses(self):
        listener = self.listen()
        peer = self.connection(listener.getsockname()[1])
        listener.close()
        peer.send(SYN)
        if not peer.take().flags & RST:
            raise Wrong("something else came")

    def peer_refuses(self):
        peer = self.connection()
        there = self.pool.submit(self.client, peer.lport, b"")
        while not peer.take().flags & SYN:
            pass
        peer.send(RST | ACK)
        try:
            there.result(PATIENCE)
        except ConnectionRefusedError:
            return
        raise Wrong("the program was not told")


class Attacks:
    """A connection that stays while records are replayed, reordered and forged."""

    def __init__(self, test, ip):
        self.test, self.ip, self.wire = test, ip, test.wire
        self.sent = bytearray()

    def run(self):
        report = self.test.report
        listener = self.test.listen()
        self.peer = self.test.connection(listener.getsockname()[1])
        accepted = self.test.pool.submit(listener.accept)
        report.run(f"{self.ip}: a connection to attack", self.peer.connect)
        self.app = accepted.result(PATIENCE)[0]
        self.app.settimeout(PATIENCE)
        for what, change, drop in FORGED:
            report.run(f"{self.ip}: forged: {what}: drop.{drop.replace('_', '-')}",
                       self.forged, change, drop)
        for what, test in (
                ("a record of an address that the key is not for: drop.selector",
                 self.selector),
                ("a record that comes again: drop.replay", self.replay),
                ("a burst in the reverse order arrives", self.reorder),
                ("a merged burst arrives", self.merged),
                ("a merged burst that comes again: every record drop.replay",
                 self.merged_again),
                ("a merged burst, one record forged: that one costs itself only",
                 self.merged_forged),
                ("FIN, PSH and CWR of the header do not count", self.masked),
                ("a true record arrives under a wrong checksum of TCP",
                 self.wrong_checksum),
                ("the window of a lane, to the record: drop.too-old", self.too_old),
                ("the last counter of a lane", self.last_counter),
                ("what arrived is what was sent, the peer resets the connection",
                 self.end)):
            report.run(f"{self.ip}: {what}", test)
        listener.close()

    def fresh(self, size=100):
        """The next data, as one burst; counts as sent."""
        data = pattern(size, len(self.sent))
        self.sent += data
        return self.peer.sealed(ACK | PSH, data)

    def forged(self, change, drop):
        sealed, = self.fresh()
        counters = Counters()
        self.wire.write(change(sealed))
        counters.expect(**{drop: 1})
        # the forgery has used up nothing
        self.wire.send(sealed)
        self.peer.settle()

    def selector(self):
        counters = Counters()
        plain = self.peer.segment(ACK, b"from whom?")
        sa = self.wire.out[plain.src]
        lying = Segment(other_source(plain), plain.tcp, plain.payload)
        self.wire.send(seal_one(sa, lying, 1, 0, self.wire.counter(sa, 0, 1)))
        counters.expect(selector=1)

    def replay(self):
        sealed, = self.fresh()
        self.wire.send(sealed)
        self.peer.settle()
        counters = Counters()
        for _ in range(3):
            self.wire.send(sealed)
        counters.expect(replay=3)

    def reorder(self):
        counters = Counters()
        self.wire.send(*reversed(self.fresh(10000)))
        self.peer.settle()
        counters.expect()

    def merged(self):
        counters = Counters()
        self.wire.write_merged(self.fresh(10000))
        self.peer.settle()
        counters.expect()

    def merged_again(self):
        burst = self.fresh(10000)
        self.wire.write_merged(burst)
        self.peer.settle()
        counters = Counters()
        self.wire.write_merged(burst)
        counters.expect(replay=len(burst))

    def merged_forged(self):
        burst = self.fresh(10000)
        counters = Counters()
        forged = Segment.parse(flip(HEADER)(burst[3]))
        self.wire.write_merged(burst[:3] + [forged] + burst[4:])
        counters.expect(bad_tag=1)
        self.wire.send(burst[3])
        self.peer.settle()
        counters.expect(bad_tag=1)

    def masked(self):
        counters = Counters()
        sealed, = self.fresh()
        self.wire.send(sealed.changed(flags=sealed.flags ^ PSH | FIN))
        self.peer.settle()
        counters.expect()

    def wrong_checksum(self):
        counters = Counters()
        sealed, = self.fresh()
        self.wire.write(bad_checksum(sealed.pack()))
        self.peer.settle()
        counters.expect()

    def numbered(self, counter, lane=7):
        """A record of the next data with that counter."""
        data = pattern(100, len(self.sent))
        plain = self.peer.segment(ACK | PSH, data)
        return seal_one(self.wire.out[plain.src], plain, 1, lane, counter), data

    def accepts(self, counter, lane=7):
        sealed, data = self.numbered(counter, lane)
        self.sent += data
        self.peer.next = (self.peer.next + len(data)) % 2**32
        self.wire.send(sealed)
        self.peer.settle()

    def too_old(self):
        top, size = 5 * WINDOW, WINDOW - WINDOW_SPARE
        counters = Counters()
        self.accepts(top)
        self.accepts(top - size + 1)
        counters.expect()
        late, _ = self.numbered(top - size)
        self.wire.send(late)
        counters.expect(too_old=1)
        # now the window is four times as large, and knows nothing of before
        self.wire.send(late)
        counters.expect(too_old=1, replay=1)
        self.accepts(top + 3 * WINDOW)
        self.accepts(top + 1)
        counters.expect(too_old=1, replay=1)

    def last_counter(self):
        counters = Counters()
        self.accepts(2**48 - 1, lane=6)
        counters.expect()
        sealed, _ = self.numbered(0, lane=6)
        self.wire.send(sealed)
        counters.expect(too_old=1)

    def end(self):
        got = b""
        while len(got) < len(self.sent):
            got += self.app.recv(65536)
        if got != self.sent:
            raise Wrong("other bytes")
        self.peer.send(RST | ACK)
        try:
            if self.app.recv(1) == b"":
                raise Wrong("it ended, but was not reset")
        except ConnectionResetError:
            self.app.close()


def main():
    device, keys, *pairs = sys.argv[1:]
    locals_ = pairs[::2]
    wire = Wire(device, SA.load(keys), [address(each) for each in locals_])
    report = Report()
    for local, remote in zip(locals_, pairs[1::2]):
        Test(wire, report, local, remote).run()
    report.run(f"each of {wire.judge.records} segments of the module is what this one "
               "would have sealed", wire.judge.done)
    return 1 if report.failed else 0


if __name__ == "__main__":
    # threads that wait for what never comes must not keep this
    code = main()
    sys.stdout.flush()
    os._exit(code)
