#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# An injector on the router that sees every sequence number forges RST, FIN, bare
# ACK, SYN and data into a live sealed connection, replays what it captured,
# truncates records and flips bits in every field. Each is refused under its own
# counter, and the connection goes on. The same RST ends a plain connection: the
# injector is able.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

TIMES=3

# refused_as HOST TIMES COUNTER...: so many were dropped, under these counters
refused_as()
{
	local host=$1 times=$2 counter sum=0 seen
	shift 2
	seen=$(growth "$host" before)
	for counter; do
		counter=$(sed -n "s/^drop.$counter=//p" <<<"$seen")
		sum=$((sum + ${counter:-0}))
	done
	[ "$sum" -ge "$times" ] || {
		echo "$sum of $times dropped as $*; host $host counts:" "$(growth "$host" before)"
		return 1
	}
}

# injected HOST COUNTER[,COUNTER] TIMES INJECT-OPTIONS...: towards HOST
injected()
{
	local host=$1 counters=${2//,/ } times=$3 from to dev
	shift 3
	case $host in
	B) from=A$family to=B$family dev=ra ;;
	A) from=B$family to=A$family dev=rb ;;
	esac
	snap before
	inject "$dev" "${!from}" "${!to}" -n "$times" "$@" || return
	# shellcheck disable=SC2086
	busywait 3000 refused_as "$host" "$times" $counters && stream_moves live
}

# attack WHAT COUNTER[,COUNTER] INJECT-OPTIONS...: in both directions
attack()
{
	local what=$1 counters=$2 host
	shift 2
	for host in B A; do
		check "IPv$family: $what to $host is refused as ${counters//,/ or }, the connection goes on" \
			injected $host "$counters" $TIMES "$@"
	done
}

# change WHAT COUNTER[,COUNTER] INJECT-OPTIONS...: the changed copy comes instead of
# the record, which the router keeps: else it would be a replay first of all
change()
{
	local what=$1 counters=$2 host
	shift 2
	for host in B A; do
		must keep_originals $host
		check "IPv$family: $what to $host is refused as ${counters//,/ or }" \
			instead $host "$counters" "$@"
	done
}

keep_originals()
{
	local to=$1$family ip=ip
	[ "$family" = 4 ] || ip=ip6
	on_r nft -f - <<-END
		table inet keep {
			chain forward {
				type filter hook forward priority 0
				$ip daddr ${!to} meta length > 300 drop
			}
		}
	END
}

# the stream moves again only with the table gone
instead()
{
	local host=$1 counters=$2 status
	shift 2
	(
		stream_moves()
		{
			:
		}
		injected "$host" "$counters" 1 -m 200 "$@"
	)
	status=$?
	on_r nft delete table inet keep
	[ "$status" = 0 ] && stream_moves live
}

# family 4|6: all attacks; IPv6 differs in the header only
attacks()
{
	local field address=B$1
	family=$1
	stream live "$A" "${!address}" -i 20 -z 300
	must stream_moves live
	attack "a forged RST" plain-in rst
	attack "a forged FIN" plain-in fin
	attack "a forged bare ACK" plain-in ack
	attack "a forged SYN" plain-in syn
	attack "forged data" plain-in data
	attack "a replayed record" replay -m 200 replay
	attack "a record of an unknown SPI" unknown-spi -S 305419896 record
	attack "a made-up record of the live SPI" bad-tag,too-old,replay,malformed -S live -C 70000000 record
	change "a truncated record" malformed,plain-in -b 3 truncate
	for field in cipher tag flags window seq counter index; do
		change "a record with another $field" bad-tag -B $field flip
	done
	change "a record with another lane" bad-tag,too-old,replay,malformed -B lane flip
	change "a record with another SPI" unknown-spi -B spi flip
	for field in version reserved length; do
		change "a record with another $field" malformed,plain-in -B $field flip
	done
	change "a record hurt on the way (wrong checksum)" noise -B cipher -x checksum flip
	check "IPv$family: the connection ends well" stream_end live
	check "IPv$family: and was exact" stream_is live '.exact == 1 and .corrupt == 0'
}

# A record that stays behind until the replay window has moved on; the same
# attack after that is "too old", not "replayed".
too_old()
{
	local pid
	stream live "$A" "$B4" -i 20 -z 300
	must stream_moves live
	inject rb $A4 $B4 -m 200 -n $TIMES -W 60 -G "$TMP/gate" replay >"$TMP/replay.out" 2>&1 &
	pid=$!
	must slowwait 10 test -e "$TMP/gate"
	# more records than a window, in each lane
	check "window passes: many small records" pat "$A" $B4 -n 1 -M 300 -u 25000000
	must snap before
	rm "$TMP/gate"
	wait $pid || cat "$TMP/replay.out"
	# the first of them makes the window larger, as it is authentic
	check "a capture from before the window is refused as too-old, then as replayed" \
		busywait 3000 refused_as B $TIMES too-old replay
	check "the first of it as too-old" has_grown B before drop.too-old
	check "the connection goes on after it" stream_moves live
	check "and ends well" stream_end live
}

# an exact sequence number is a matter of the moment: again, until it fits
reset_plain()
{
	inject rb "$A4" "$B4" -W 1 rst
	stream_ended plain
}

begin nft
load_module
topo_up
serve "$B"

stream plain "$A" $B4 -i 20
must stream_moves plain
check "control: a forged RST ends a plain connection" slowwait 10 reset_plain
stream_end plain

must link_both require keys manual
must sa_both 4 lanes 1
must sa_both 6
attacks 4
attacks 6
too_old
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
