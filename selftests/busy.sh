#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Daemons that have too much to do, or are kept busy. Programs that wait for a key
# are not told that there is none as long as a daemon sees to it. And whoever opens
# connections to the control port and then says nothing takes memory, of which there
# is little to have, but never a thread: a peer that nobody knows yet still gets
# its keys.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

PORT=7325
PLACES=128

# From 250 addresses of A's network that the router has, twice as many as there are
# places. Each begins a TLS record and stops in the middle of it; who is thrown out
# comes again, up to 100 a second.
staller()
{
	cat <<-'END'
	import selectors, socket, sys, time
	there, port = sys.argv[1], int(sys.argv[2])
	selector = selectors.DefaultSelector()
	idle = ["10.1.200.%d" % i for i in range(250)]

	def begin(address):
	    s = socket.socket()
	    s.bind((address, 0))
	    s.setblocking(False)
	    s.connect_ex((there, port))
	    selector.register(s, selectors.EVENT_WRITE, address)

	def end(s, address):
	    selector.unregister(s)
	    s.close()
	    idle.append(address)

	while True:
	    for address in idle[:10]:
	        begin(address)
	    del idle[:10]
	    for key, events in selector.select(0):
	        try:
	            if events & selectors.EVENT_WRITE:
	                key.fileobj.send(b"\x16\x03\x01\x02\x00\x01")
	                selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
	            elif not key.fileobj.recv(4096):
	                end(key.fileobj, key.data)
	        except OSError:
	            end(key.fileobj, key.data)
	    time.sleep(0.1)
	END
}

stall()
{
	staller >"$TMP/staller.py"
	must ip -n "$R" route add local 10.1.200.0/24 dev lo
	on "$R" python3 "$TMP/staller.py" "$B4" "$PORT" 2>"$TMP/staller.log" &
	staller_pid=$!
}

places_taken()
{
	local n
	n=$(on_b ss -Htn state established "sport = :$PORT" | wc -l)
	[ "$n" -ge $((PLACES * 19 / 20)) ] && return
	echo "$n are taken"
	return 1
}

new_spi()
{
	[ "$(peer A "$B4" tx.spi)" != "$spi" ]
}

# A local daemon that does not get round to it
slow_daemon()
{
	local pid
	pid=$(cat "$TMP/daemon-A.pid")
	snap slow
	kill -STOP "$pid"
	stream slow "$A" "$B4" -u 1000 -T 60
	slowwait 20 has_grown A slow drop.hold-timeout
	check "A's daemon stands still: its SYN was held, as long as it may be" \
		has_grown A slow drop.hold-timeout
	check "and the program was not told that there is no key" refuses stream_ended slow
	kill -CONT "$pid"
	check "it goes on: the connection comes about" slowwait 30 stream_ended slow
	check "and is exact" stream_is slow '.exact == 1'
}

begin
load_module
topo_up
tap_start rb "$R" rb -d in
negotiated require "control-connections $PLACES"
serve "$B"
stall
check "all places of B's control port are taken" slowwait 60 places_taken
check "a peer that nobody knows gets its keys all the same" pat "$A" "$B4" -u 1000 -T 30
ktap_print_msg "connected after $(jq .connect_ms "$TMP/pat.json") ms"
check "they were still taken" places_taken
check "another one, too" pat "$A" $B6 -u 1000 -T 30
check "B's daemon has its threads, and no more" at_most "$(daemon_status B Threads)" 20
check "and less than 100 MiB" at_most "$(resident B)" $((100 * 1024))
ktap_print_msg "it has $(resident B) KiB"
spi=$(peer A $B4 tx.spi)
must seal_a peer rekey $B4 local $A4
check "and so are new keys" slowwait 20 new_spi
kill "$staller_pid"
must seal_a sa flush
must seal_b sa flush
slow_daemon
tap_stop rb
check "nothing was plain, the control connections aside" tap_is rb plain 0
ktap_finished
