#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
# long: 2
#
# New keys under live connections, and something happens to the handshake, at each of
# its steps and at either end: the daemon is killed, the connection ends, or it takes
# so long that the other end opens one of its own meanwhile, which goes all the way.
# (What the models search for the logic of it, Documentation/models.rst, happens here.)
# At last segments get lost, come twice, and out of order, while both ends rotate every
# second. Each time both ends come to keys that the other one has, by themselves; no
# connection notices, and not a segment is refused for its key.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

STEPS=(client-hello client-in client-out client-confirm client-use
	server-in server-out server-hello server-use server-ready)
# Those with something to take back, or to choose; all of them if LONG
CUT=(client-out client-confirm server-out server-hello server-use server-ready)
CROSS=(client-in client-out client-confirm client-use server-hello server-use server-ready)
[ -z "${LONG-}" ] || CUT=("${STEPS[@]}") CROSS=("${STEPS[@]}")
ROTATIONS=6

# Their daemons are prone to mishaps
prone_daemons()
{
	cat >"$TMP/tcpseald" <<-END
		#!/bin/sh
		MISHAP="\${2%.conf}.mishap" LD_PRELOAD=$TOOLS/mishap.so exec $TCPSEALD "\$@"
	END
	chmod +x "$TMP/tcpseald"
	TCPSEALD=$TMP/tcpseald
}

started()
{
	: >"$TMP/daemon-$1.log"
	daemon_start "$1" && disown "$(cat "$TMP/daemon-$1.pid")" &&
		slowwait 10 grep -q 'ready,' "$TMP/daemon-$1.log"
}

# of HOST HOST: the address of the second one
of()
{
	local address=${2}4
	echo "${!address}"
}

# rekey HOST: it opens a handshake with the other one
rekey()
{
	local ns=${!1}
	seal "$ns" peer rekey "$(of "$1" "$(other "$1")")" local "$(of "$1" "$1")"
}

other()
{
	[ "$1" = A ] && echo B || echo A
}

# arm HOST STEP ACTION
arm()
{
	rm -f "$TMP/$1.mishap" "$TMP/$1.mishap.held"
	echo "$2 $3" >"$TMP/$1.mishap.new"
	mv "$TMP/$1.mishap.new" "$TMP/$1.mishap"
}

# came HOST: the step did
came()
{
	[ ! -e "$TMP/$1.mishap" ]
}

killed()
{
	gone_pid "$(cat "$TMP/daemon-$1.pid")"
}

# Both send with what the other one takes for the current key
agreed()
{
	local a b
	a=$(seal_a -j sa show) b=$(seal_b -j sa show)
	jq -ne --argjson a "$a" --argjson b "$b" --arg at "$A4" '
		def current(dir): [.[] | select(.state == "current" and .dir == dir and
			(.local == $at or .peer == $at)) | .spi];
		($a | current("out")) == ($b | current("in")) and
		($b | current("out")) == ($a | current("in")) and
		($a | current("out") | length) == 1 and
		($b | current("out") | length) == 1' >/dev/null && return
	printf '%s\n' "$a" "$b" | jq -c '.[] | select(.state != "tombstone") |
		{local, dir, state, spi, flags, generation, age_secs}'
	return 1
}

spi_of()
{
	peer A "$B4" tx.spi
}

# newer SPI: A sends with another key than that
newer()
{
	[ "$(spi_of)" != "$1" ]
}

streams_move()
{
	stream_moves ab 20 && stream_moves ba 20
}

# settled: whatever happened, by themselves
settled()
{
	streams_move && slowwait 20 agreed
}

# end CLIENT STEP: whose end of the handshake that CLIENT opens has that step; in END
end()
{
	END=$1
	[ "${2%-*}" = client ] || END=$(other "$1")
}

# happens CLIENT STEP ACTION: to the handshake that CLIENT opens
happens()
{
	end "$1" "$2"
	arm "$END" "$2" "$3"
	rekey "$1" || return
	slowwait 10 came "$END" || {
		echo "no handshake came to $2"
		return 1
	}
	if [ "$3" = kill ]; then
		slowwait 10 killed "$END" && streams_move && started "$END" || return
	fi
	settled
}

# happens_each STEP ACTION: the ends take turns to open the handshake
happens_each()
{
	local client=A
	turn=$((turn + 1))
	[ $((turn % 2)) = 0 ] || client=B
	check "$2 before $1, opened by $client: both come to keys" happens $client "$@"
}

# crosses CLIENT STEP: its handshake stops there, until the other end's is over
crosses()
{
	local spi
	end "$1" "$2"
	arm "$END" "$2" hold
	spi=$(spi_of)
	rekey "$1" && slowwait 10 test -e "$TMP/$END.mishap.held" || return
	# 5 s at most it stays there, and a handshake has 6 s
	rekey "$(other "$1")"
	busywait $((1500 / SLOW)) newer "$spi"
	rm -f "$TMP/$END.mishap.held"
	slowwait 10 newer "$spi" && settled
}

# rotates N: so many new keys
rotates()
{
	local i old
	for ((i = 0; i < $1; i++)); do
		old=$(spi_of)
		slowwait 20 newer "$old" || {
			echo "no new key after $i"
			return 1
		}
	done
}

bad_network()
{
	local dev
	for dev in ra rb; do
		on_r tc qdisc replace dev "$dev" root netem limit 20000 \
			loss 5% delay 5ms reorder 25% 50% duplicate 5% || return
	done
}

refused()
{
	local host
	for host in A B; do
		growth $host all | grep -E 'drop\.(unknown-spi|tombstone|bad-tag|malformed|expired|no-key|no-key-in)='
	done
}

begin
modprobe -q sch_netem
load_module
topo_up
tap_start ra "$R" ra
prone_daemons
negotiated require "rotate time 1h"
disown "$(cat "$TMP/daemon-A.pid")" "$(cat "$TMP/daemon-B.pid")"
serve "$A"
serve "$B"
stream ab "$A" $B4 -i 50 -A 60
stream ba "$B" $A4 -i 50 -A 60
must settled
must snap all
turn=0
for step in "${STEPS[@]}"; do
	happens_each "$step" kill
done
for step in "${CUT[@]}"; do
	happens_each "$step" cut
done
for client in A B; do
	for step in "${CROSS[@]}"; do
		check "$client's handshake waits before $step, the other end opens one: both come to keys" \
			crosses $client "$step"
	done
done
check "until here no segment was refused for its key" is "$(refused)" ""
for host in A B; do
	sed -i 's/^rotate .*/rotate time 1/' "$TMP/$host.conf"
	must daemon_reload $host
	must rekey $host
done
must bad_network
check "segments are lost, doubled and out of order: keys rotate" rotates $ROTATIONS
for dev in ra rb; do
	must on_r tc qdisc del dev $dev root
done
check "and the streams go on" settled
check "no segment was refused for its key then" is "$(refused)" ""
for name in ab ba; do
	check "$name ends" stream_end $name
	check "$name: exact" stream_is $name '.exact == 1 and .corrupt == 0'
done
tap_stop ra
check "all that passed was sealed" all_sealed ra
ktap_finished
