#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# An application that sends payloads which look like records, each in a segment
# of its own, in plain: over no link, audit, and prefer without a willing peer.
# With an SPI that nobody knows, and with one that the receiver does have, for
# this pair or for another. All of it arrives unchanged, without a stall.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# shapes ADDRESS SPI: 60 records' shapes there and back, seen by the application
shapes()
{
	on_a timeout $((30 * SLOW)) python3 - "$1" "$2" 5005 <<-'END'
		import os, socket, struct, sys, time
		address, spi, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
		family = socket.AF_INET6 if ":" in address else socket.AF_INET
		s = socket.socket(family, socket.SOCK_STREAM)
		s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		s.settimeout(20)
		s.connect((address, port))
		worst = 0
		for i in range(60):
		    length = (0, 1, 100, 500, 1000)[i % 5]
		    record = struct.pack(">BBHIHHI", 1 << 6 | (i & 7), i & 7, length,
		                         spi, 1, 0, 1000 + i) + os.urandom(length + 16)
		    begun = time.monotonic()
		    # one segment each: the answer is waited for
		    s.sendall(record)
		    back = b""
		    while len(back) < len(record):
		        part = s.recv(65536)
		        if not part:
		            sys.exit(f"record {i}: end of file")
		        back += part
		    if back != record:
		        sys.exit(f"record {i}: came back changed")
		    worst = max(worst, time.monotonic() - begun)
		if worst > 3:
		    sys.exit(f"stalled for {worst:.1f} s")
	END
}

# An echo server: what it gets it sends as it is
echo_up()
{
	on_b python3 - <<-'END' >"$TMP/echo.log" 2>&1 &
		import socket, threading
		def serve(family, address):
		    listener = socket.create_server((address, 5005), family=family)
		    while True:
		        conn, _ = listener.accept()
		        conn.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
		        threading.Thread(target=echo, args=(conn,), daemon=True).start()
		def echo(conn):
		    while data := conn.recv(65536):
		        conn.sendall(data)
		for args in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
		    thread = threading.Thread(target=serve, args=args)
		    thread.start()
	END
	slowwait 10 listens "$B" 5005
}

nothing_refused()
{
	local host
	for host in A B; do
		! growth "$host" before | grep '^drop' || return
	done
}

# all_shapes TEXT: unknown, of this pair, of another pair
all_shapes()
{
	local f spi address
	for f in 4 6; do
		address=B$f
		must snap before
		check "$1, IPv$f: an unknown SPI" shapes "${!address}" 4711
		for spi in $2; do
			check "$1, IPv$f: an SPI that the receiver knows" shapes "${!address}" "$spi"
		done
		check "$1, IPv$f: nothing was dropped" nothing_refused
	done
}

begin python3
load_module
topo_up
must echo_up

# SPIs that B knows, of a pair that has nothing to do with A
must seal_b link add $NET_B4 10.77.0.0/16 mode require keys manual
OTHER=$(random_spi)
must seal_b sa add dir in local $B4 peer 10.77.0.1 spi "$OTHER" key "$(hex 32)" iv "$(hex 12)"
all_shapes "no link" "$OTHER"

must add_links "$B" B A audit keys manual
all_shapes "audit at the receiver" "$OTHER"

# keys are there as after a rehearsal, and not used
must add_links "$A" A B audit keys manual
must sa_both 4
OWN4=$SPI_AB
must sa_both 6
all_shapes "audit on both" "$OTHER $OWN4 $SPI_AB"

must seal_a sa flush
must seal_b sa flush
must seal_a link flush --force --weaken
must seal_b link flush --force --weaken
must add_links "$B" B A prefer keys manual
all_shapes "prefer at the receiver" ""
ktap_finished
