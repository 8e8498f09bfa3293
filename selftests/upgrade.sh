#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: pair
# timeout: 300
#
# A new module and a new daemon, under traffic, as Documentation/operations.rst says
# ("Upgrade"): first on one machine, then on the other. Connections live on, the other
# machine learns of it by itself, and a tap at both ends of the wire reads nothing.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# The programs that it calls, as they were built
PATH=${TCPSEAL%/*}:${TCPSEALD%/*}:$TOP/userspace/systemd:$PATH

guard()
{
	on "${!HERE}" tcpseal-guard -c "$TMP/$HERE.conf" -s "$TMP/guard.nft" "$@"
}

unload()
{
	seal "${!HERE}" sa flush && seal "${!HERE}" link flush --weaken &&
		busywait 5000 quietly rmmod tcpseal
}

# The next one, when the old one is gone
reload()
{
	! module_loaded && insmod "$TCPSEAL_KO" && daemon_start "$HERE" && slowwait 10 ready
}

ready()
{
	grep -q 'ready,' "$TMP/daemon-$HERE.log"
}

upgrade()
{
	check "the guard is on" guard on
	check "the old daemon ends" daemon_stop "$HERE"
	check "the old module goes, and ends no connection for it" unload
	: >"$TMP/daemon-$HERE.log"
	check "the new ones are there" reload
	check "the guard was needed" at_least "$(guard status | sed -n 's/ segments dropped//p')" 1
	check "the guard is released" guard release
	must tell upgraded
}

# the other machine does it, and nobody here is told
upgraded_there()
{
	must await upgraded 60
}

streams_move()
{
	stream_moves talk4 30 && stream_moves talk6 30 &&
		stream_moves bulk4 30 && stream_moves bulk6 30
}

streams_exact()
{
	local name
	for name in talk4 talk6 bulk4 bulk6; do
		[ -e "$TMP/stream-$name.json" ] && {
			echo "stream $name has ended"
			return 1
		}
	done
	for name in talk4 talk6; do
		stream_end "$name" && stream_is "$name" '.exact == 1' || return
	done
}

machine_a()
{
	must await serving
	for f in 4 6; do
		address=B$f
		stream "talk$f" "$A" "${!address}" -i 20 -A 60
		stream "bulk$f" "$A" "${!address}" -u 4000000000 -d 4000000000 -r 200000 -A 60
	done
	check "streams are there" streams_move
	must meet streams 60
	upgraded_there
	check "the other machine was upgraded: the streams go on" streams_move
	must meet swapped 120
	upgrade
	check "this one was, too: the streams go on" streams_move
	check "a new connection works" pat "$A" "$B4" -u 100000 -d 100000
	check "the streams were exact" streams_exact
	kill -KILL "$(cat "$TMP/stream-bulk4.pid")" "$(cat "$TMP/stream-bulk6.pid")"
	must meet finish 120
}

machine_b()
{
	serve "$B" -r 200000
	must tell serving
	must meet streams 60
	upgrade
	must meet swapped 120
	upgraded_there
	must meet finish 120
	serve_stop "$B"
	check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
}

begin nft
need_pair
need_own_module
must host_on_wire
must slowwait 30 other_answers
must certificates
must required
tap_start w "${!HERE}" w0
must meet tapping
machine_${HERE,,}
tap_stop w
check "every segment on the wire was sealed, the control connection aside" all_sealed w
must daemon_stop "$HERE"
must meet end 60
ktap_finished
