#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
#
# An injector on the router that sees every sequence number forges RST, FIN, bare
# ACK, SYN and data into a live sealed connection, replays what it captured,
# truncates records and flips bits in every field. Each is refused under its own
# counter, and the connection goes on. The same RST ends a plain connection: the
# injector is able.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

TIMES=5

# refused_as HOST COUNTER...: all were dropped, under these counters
refused_as()
{
	local host=$1 counter sum=0 seen
	shift
	seen=$(growth "$host" before)
	for counter; do
		sum=$((sum + $(grown "$host" before "drop.$counter")))
	done
	[ "$sum" -ge "$TIMES" ] || {
		echo "$sum of $TIMES dropped as $*; host $host counts:"
		echo "$seen"
		return 1
	}
}

# attack FAMILY WHAT COUNTER[,COUNTER] INJECT-OPTIONS...: in both directions
attack()
{
	local family=$1 what=$2 counters=${3//,/ } a=A$1 b=B$1
	shift 3
	must snap before
	check "IPv$family: $what to B is sent" inject rb "${!a}" "${!b}" -n $TIMES "$@"
	# shellcheck disable=SC2086
	check "IPv$family: $what to B is refused as ${counters// / or }" \
		busywait 3000 refused_as B $counters
	must snap before
	check "IPv$family: $what to A is sent" inject ra "${!b}" "${!a}" -n $TIMES "$@"
	# shellcheck disable=SC2086
	check "IPv$family: $what to A is refused as ${counters// / or }" \
		busywait 3000 refused_as A $counters
	check "IPv$family: the connection goes on after $what" stream_moves live
}

# family 4|6 ADDRESS
family()
{
	local f=$1 field
	stream live "$A" "$2" -i 20 -z 300
	must stream_moves live
	attack "$f" "a forged RST" plain-in rst
	attack "$f" "a forged FIN" plain-in fin
	attack "$f" "a forged bare ACK" plain-in ack
	attack "$f" "a forged SYN" plain-in syn
	attack "$f" "forged data" plain-in data
	attack "$f" "a replayed record" replay -m 200 replay
	attack "$f" "a truncated record" malformed,plain-in -m 200 -b 3 truncate
	attack "$f" "a record of an unknown SPI" unknown-spi -S 305419896 record
	attack "$f" "a made-up record of the live SPI" bad-tag -S live -C 70000000 record
	for field in cipher tag flags window seq counter; do
		attack "$f" "a record with another $field" bad-tag -m 200 -B $field flip
	done
	attack "$f" "a record with another lane" bad-tag,replay,too-old,malformed -m 200 -B lane flip
	attack "$f" "a record with another index" bad-tag,malformed -m 200 -B index flip
	attack "$f" "a record with another SPI" unknown-spi -m 200 -B spi flip
	for field in version reserved length; do
		attack "$f" "a record with another $field" malformed,plain-in -m 200 -B $field flip
	done
	attack "$f" "a record hurt on the way (wrong checksum)" noise -m 200 -B cipher -x checksum flip
	check "IPv$f: the connection ends well" stream_end live
	check "IPv$f: and was exact" stream_is live '.exact == 1 and .corrupt == 0'
}

# A record that stays behind until the replay window has moved on; the same
# attack after that is "too old", not "replayed".
too_old()
{
	local pid
	stream live "$A" $B4 -i 20 -z 300
	must stream_moves live
	inject rb $A4 $B4 -m 200 -n $TIMES -W 60 -G "$TMP/gate" replay >"$TMP/replay.out" 2>&1 &
	pid=$!
	must slowwait 10 test -e "$TMP/gate"
	# more records than a window, in each lane
	check "window passes: many small records" pat "$A" $B4 -n 1 -M 300 -u 25000000
	must snap before
	rm "$TMP/gate"
	wait $pid || cat "$TMP/replay.out"
	check "a capture from before the window is refused as too-old" \
		busywait 3000 refused_as B too-old
	check "the connection goes on after it" stream_moves live
	check "and ends well" stream_end live
}

begin
load_module
topo_up
serve "$B"

stream plain "$A" $B4 -i 20
must stream_moves plain
must inject rb $A4 $B4 -n $TIMES rst
check "control: a forged RST ends a plain connection" slowwait 10 stream_ended plain
stream_end plain

must link_both require keys manual
must sa_both 4 lanes 1
must sa_both 6
family 4 $B4
family 6 $B6
too_old
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
