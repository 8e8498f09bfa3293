#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# The promise table, cell by cell, IPv4 and IPv6. B is the host under test; each
# column has a peer of its own, an address behind the router at which nobody
# answers, and a link of its own on B:
#
#	column                     peer           link
#	nolink                     10.1.9.7       none
#	clear                      10.1.1.7       clear
#	audit, prefer (no peer)    10.1.2.7 .3.7  pair is plain
#	sealed                     10.1.4.7       require, keys both ways
#	nokey                      10.1.5.7       require, no key, and nobody negotiates
#	manual                     10.1.8.7       require, no key was typed in
#	rxonly                     10.1.7.7       require, no key to send
#	inner                      10.1.10.7      clear, inside a link whose key covers it
#
# Events come from the router as raw packets; each in-row is one segment to a
# closed port. "Delivered" means that TCP on B counted it as received.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

declare -A NUMBER=([clear]=1 [audit]=2 [prefer]=3 [sealed]=4 [nokey]=5 [expired]=6 [rxonly]=7 [manual]=8 [nolink]=9 [inner]=10)
declare -A SPIS KEYS IVS COUNTERS TOMBS
PORT=4001

# peer_of COLUMN: its address in the family under test
peer_of()
{
	if [ "$family" = 4 ]; then
		echo "10.1.${NUMBER[$1]}.7"
	else
		echo "fd00:1:${NUMBER[$1]}::7"
	fi
}

# prefix COLUMN: of its link
prefix()
{
	if [ "$family" = 4 ]; then
		echo "10.1.${NUMBER[$1]}.0/24"
	else
		echo "fd00:1:${NUMBER[$1]}::/64"
	fi
}

# key_in COLUMN [WORDS...]: B receives from that peer
key_in()
{
	local column=$1
	shift
	SPIS[$column]=$(random_spi) KEYS[$column]=$(hex 32) IVS[$column]=$(hex 12)
	COUNTERS[$column]=4000000
	seal_b sa add dir in local "${LOCAL:-$b}" peer "$(peer_of "$column")" spi "${SPIS[$column]}" \
		key "${KEYS[$column]}" iv "${IVS[$column]}" "$@"
}

key_out()
{
	local column=$1
	shift
	seal_b sa add dir out local "$b" peer "$(peer_of "$column")" spi "$(random_spi)" \
		key "$(hex 32)" iv "$(hex 12)" "$@"
}

# tombstone COLUMN: of a key that B had with that peer
tombstone()
{
	TOMBS[$1]=$(random_spi)
	seal_b sa add dir in local "$b" peer "$(peer_of "$1")" spi "${TOMBS[$1]}" \
		key "$(hex 32)" iv "$(hex 12)" && seal_b sa del spi "${TOMBS[$1]}"
}

columns_up()
{
	local column mode keys
	b=B$family b=${!b}
	local_net=NET_B$family local_net=${!local_net}
	for column in clear audit prefer sealed nokey manual rxonly expired nolink; do
		must ip -n "$R" route add blackhole "$(prefix $column)"
		mode=$column keys=manual
		case $column in
		nolink) continue ;;
		nokey) mode=require keys=negotiated ;;
		sealed | manual | rxonly | expired) mode=require ;;
		esac
		must seal_b link add "$local_net" "$(prefix $column)" mode $mode keys $keys
	done
	must key_in audit
	must key_in sealed
	must key_out sealed
	must key_in rxonly
	for column in audit sealed rxonly; do
		must tombstone $column
	done
	inner_up
}

# The keys of a gateway's link stay where a clear link inside it takes addresses
# out. Nothing is behind in0, only B's own address matters.
inner_up()
{
	local host=32 any=0.0.0.0
	[ "$family" = 4 ] || host=128 any=::
	[ "$family" = 6 ] || must ip -n "$B" link add in0 type dummy
	must ip -n "$R" route add blackhole "$(prefix inner)"
	must seal_b link add "$local_net" "$(prefix inner)" mode require keys manual forward dev in0
	LOCAL=$any must key_in inner
	must seal_b link add "$b/$host" "$(peer_of inner)/$host" mode clear forward dev in0 --weaken
}

# raw COLUMN OPTIONS...: one packet of that peer to B
raw()
{
	local column=$1
	shift
	PORT=$((PORT + 1))
	on_r "$TOOLS/seal_inject" -f "$(peer_of "$column")" -t "$b" -s 40000 -p "$PORT" -n 1 "$@"
}

# good COLUMN [FROM [OPTIONS...]]: a good record under the key of that column,
# said to come from FROM's peer
good()
{
	local column=$1 from=${2:-$1}
	shift $(($# < 2 ? $# : 2))
	COUNTERS[$column]=$((COUNTERS[$column] + 1))
	raw "$from" -K "${KEYS[$column]}" -I "${IVS[$column]}" -S "${SPIS[$column]}" \
		-C "${COUNTERS[$column]}" "$@" seal
}

received()
{
	# Tcp and Tcp6 are counted together
	of_stack "$B" TcpInSegs
}

# expect TEXT delivered|refused COUNTER[,COUNTER]|- COMMAND...: verdict and counter
# of a cell
expect()
{
	local text="IPv$family: $1" verdict=$2 counter=$3
	shift 3
	check "$text: $verdict, ${counter//,/ or }" cell "$verdict" "$counter" "$@"
}

cell()
{
	local verdict=$1 counter=$2 had
	shift 2
	# what an earlier cell left waiting for a key would be counted here
	busywait 5000 none_held || return
	seal_b stats >"$TMP/cell.B"
	had=$(received)
	"$@" || return
	if [ "$verdict" = delivered ]; then
		busywait 2000 beyond "$had" || {
			echo "not delivered; B counts:" "$(growth B cell)"
			return 1
		}
	fi
	if [ "$counter" = - ]; then
		[ -z "$(growth B cell)" ] || {
			echo "B counts what it should not:" "$(growth B cell)"
			return 1
		}
	else
		busywait 2000 one_has_grown "$counter" || {
			echo "no $counter; B counts:" "$(growth B cell)"
			return 1
		}
	fi
	if [ "$verdict" = refused ]; then
		is "$(received)" "$had" || {
			echo "delivered; B counts:" "$(growth B cell)"
			return 1
		}
	fi
}

none_held()
{
	seal_b -j peer show | jq -e 'all(.[]; (.held // 0) == 0)' >/dev/null
}

one_has_grown()
{
	local counter
	for counter in ${1//,/ }; do
		! has_grown B cell "$counter" || return 0
	done
	return 1
}

beyond()
{
	[ "$(received)" -gt "$1" ]
}

# connect COLUMN: a local socket of B to that peer; the error it sees
connect()
{
	on_b timeout $((20 * SLOW)) "$TOOLS/tcp_pat" client "$(peer_of "$1")" -T $((8 * SLOW)) \
		-o "$TMP/connect.json"
	return 0
}

# out COLUMN KEY: the first segment on the wire, as the router sees it
out()
{
	tap_start out "$R" rb -d in -f "$b" -t "$(peer_of "$1")"
	on_b timeout 1 "$TOOLS/tcp_pat" client "$(peer_of "$1")" -o "$TMP/connect.json" 2>/dev/null
	tap_stop out
	tap_some out "$2"
}

# error_said COLUMN COUNTERS: the socket is told, the segments are counted
error_said()
{
	seal_b stats >"$TMP/cell.B"
	connect "$1"
	contains "$(jq -r .why "$TMP/connect.json")" "No route to host" || return
	one_has_grown "$2" && return
	echo "none of $2; B counts:" "$(growth B cell)"
	return 1
}

nothing_out()
{
	tap_start out "$R" rb -d in -f "$b" -t "$(peer_of "$1")"
	connect "$1"
	tap_stop out
	tap_is out tcp_frames 0
}

rows_in()
{
	local column
	# plain TCP in
	expect "plain in, no link" delivered - raw nolink plain
	expect "plain in, clear" delivered total.plain_in raw clear plain
	expect "plain in, audit" delivered total.plain_in raw audit plain
	expect "plain in, prefer without a peer" delivered total.plain_in raw prefer plain
	expect "plain in, sealed" refused drop.plain-in raw sealed plain
	expect "plain in, required without a key" refused drop.no-key-in raw nokey plain

	# good records, addresses match
	expect "good record, clear (the key exists)" delivered total.opened_records good inner
	expect "good record, audit" delivered total.opened_records good audit
	expect "good record, sealed" delivered total.opened_records good sealed
	expect "good record, required without a sending key" delivered total.opened_records good rxonly

	# good tag, other addresses
	for column in nolink audit sealed nokey; do
		[ $column != sealed ] || continue
		expect "good record of another pair, $column" refused drop.selector \
			good sealed $column
	done
	expect "good record of another pair, sealed" refused drop.selector good audit sealed

	# what is wrong with records of a known SPI. Where plaintext may pass, a record
	# that no key made is plaintext which happens to look so.
	expect "wrong tag, no link" delivered - good sealed nolink -x tag
	expect "wrong tag, audit" delivered total.plain_in good audit audit -x tag
	expect "malformed (index 0), audit" delivered total.plain_in good audit audit -X 0
	for column in sealed rxonly; do
		expect "wrong tag, $column" refused drop.bad-tag good $column $column -x tag
		expect "malformed (index 0), $column" refused drop.malformed \
			good $column $column -X 0
		expect "noise (tag and checksum wrong), $column" refused drop.noise \
			good $column $column -x tag -x checksum
	done
	for column in audit sealed rxonly; do
		COUNTERS[$column]=$((COUNTERS[$column] + 10))
		must good $column
		COUNTERS[$column]=$((COUNTERS[$column] - 1))
		expect "replayed, $column" refused drop.replay good $column
		expect "too old, $column" refused drop.too-old old $column
	done

	# shaped like a record, SPI unknown
	expect "unknown SPI, no link" delivered - raw nolink -S 4711 shaped
	expect "unknown SPI, clear" delivered total.plain_in raw clear -S 4711 shaped
	expect "unknown SPI, audit" delivered total.plain_in raw audit -S 4711 shaped
	expect "unknown SPI, prefer without a peer" delivered total.plain_in raw prefer -S 4711 shaped
	expect "unknown SPI, sealed" refused drop.unknown-spi raw sealed -S 4711 shaped
	expect "unknown SPI, required without a key" refused drop.unknown-spi raw nokey -S 4711 shaped

	# tombstones, of that very pair; elsewhere an SPI that means nothing
	for column in audit sealed rxonly; do
		expect "SPI with a tombstone, $column" refused drop.tombstone \
			raw $column -S "${TOMBS[$column]}" shaped
	done
	expect "SPI with another pair's tombstone, no link" delivered - \
		raw nolink -S "${TOMBS[sealed]}" shaped
	expect "SPI with another pair's tombstone, clear" delivered total.plain_in \
		raw clear -S "${TOMBS[sealed]}" shaped
	expect "SPI with another pair's tombstone, required without a key" \
		refused drop.tombstone,drop.unknown-spi,drop.malformed \
		raw nokey -S "${TOMBS[sealed]}" shaped

	# fragments, unparsable
	for column in nolink audit; do
		expect "fragments, $column" delivered "$([ $column = audit ] && echo total.plain_in || echo -)" \
			raw $column -F PA -b 200 -x fragment plain
	done
	for column in sealed nokey; do
		# put together in front of tcpseal, or refused as they are
		expect "fragments, $column" refused drop.fragment,drop.plain-in,drop.no-key-in \
			raw $column -F PA -b 200 -x fragment plain
		expect "data offset below 5, $column" refused drop.header raw $column -x doff plain
		expect "source route, $column" refused drop.source-route raw $column -x route plain
	done
}

old()
{
	local column=$1 now=${COUNTERS[$1]} status
	# far behind every window
	COUNTERS[$column]=10
	good "$column"
	status=$?
	COUNTERS[$column]=$now
	return "$status"
}

rows_out()
{
	local column
	for column in nolink clear audit prefer; do
		check "IPv$family: TCP out, $column: plain" out $column plain_syn
	done
	check "IPv$family: TCP out, sealed: a record" out sealed syn
	check "IPv$family: TCP out, sealed: nothing plain" tap_is out plain 0
	must busywait 5000 none_held
	must seal_b conf set hold-user 2
	check "IPv$family: a user who uses up his share of the queue leaves others theirs" user_share
	must seal_b conf set hold-user 4096
	check "IPv$family: fragments out of a raw socket, sealed: nothing plain" fragments_out
	check "IPv$family: TCP out, required without a key: held, dropped, the socket told" \
		error_said nokey drop.hold-timeout
	check "IPv$family: TCP out, required without a manual key: dropped, the socket told" \
		error_said manual drop.no-key,drop.hold-timeout
	check "IPv$family: TCP out, required without a key: nothing leaves" nothing_out nokey
	check "IPv$family: TCP out, required without a manual key: nothing leaves" nothing_out manual
}

# Two segments of a user may wait. His third is refused, root's first is not.
user_share()
{
	local status=1 pids=()
	snap share
	on_b setpriv --reuid 65534 --clear-groups timeout $((20 * SLOW)) "$TOOLS/tcp_pat" \
		client "$(peer_of nokey)" -n 3 >/dev/null 2>&1 &
	pids+=($!)
	if slowwait 5 has_grown B share drop.hold-full && is "$(held_now)" 2; then
		connect nokey &
		pids+=($!)
		slowwait 5 three_held && status=0
	fi
	[ "$status" = 0 ] || echo "held: $(held_now); B counts:" "$(growth B share)"
	wait "${pids[@]}"
	return "$status"
}

held_now()
{
	seal_b -j peer show | jq 'map(.held // 0) | add'
}

three_held()
{
	[ "$(held_now)" = 3 ]
}

# A raw socket of B's own that sends fragments, to a peer that must be sealed
fragments_out()
{
	tap_start out "$R" rb -d in -f "$b" -t "$(peer_of sealed)" -m "<<injected by"
	on_b "$TOOLS/seal_inject" -f "$b" -t "$(peer_of sealed)" -s 40000 -p 4999 -F PA -b 200 \
		-x fragment plain
	tap_stop out
	# what leaves in fragments may be a record that was cut again
	tap_is out plain 0 && tap_is out marker 0 && tap_is out broken 0
}

# hard limits: an SA of one second; and one of 100 KB, from A, which has a real
# peer to use it up
limits()
{
	local a=A$family
	must key_in expired hard-secs 1
	check "IPv$family: the receiving SA reaches its hard time" slowwait 10 gone expired
	expect "record of an expired SA" refused drop.expired,drop.tombstone good expired
	must seal_b link add "$local_net" "${!a}/$([ "$family" = 4 ] && echo 32 || echo 128)" mode require keys manual
	must add_links "$A" A B require keys manual
	new_key _AB
	new_key _BA
	must seal_b sa add dir in local "$b" peer "${!a}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB"
	must seal_a sa add dir in local "${!a}" peer "$b" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA"
	must seal_b sa add dir out local "$b" peer "${!a}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA"
	must seal_a sa add dir out local "${!a}" peer "$b" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" \
		hard-bytes 100000
	check "IPv$family: volume used up: dropped and counted, nothing plain" out_of_volume
	# nothing of that pair is to be counted in what follows
	must seal_a link flush --force --weaken
	must seal_b link del "$local_net" "${!a}/$([ "$family" = 4 ] && echo 32 || echo 128)" --force --weaken
}

# is the SA of that column no longer one that opens?
gone()
{
	seal_b -j sa show | jq -e --argjson spi "${SPIS[$1]}" \
		'[.[] | select(.spi == $spi and .state != "tombstone" and .hard_secs != 0)] | length == 0' >/dev/null
}

out_of_volume()
{
	local sent
	snap volume
	serve "$B" -R
	tap_start out "$R" ra -d in
	stream volume "$A" "$b" -R -u 1000000
	slowwait 10 volume_refused
	sent=$(grown A volume total.sealed_bytes)
	kill -KILL "$(cat "$TMP/stream-volume.pid")"
	tap_stop out
	serve_stop "$B"
	volume_refused || {
		echo "A counts:" "$(growth A volume)"
		return 1
	}
	at_most "$sent" 110000 && tap_is out plain 0
}

volume_refused()
{
	[ "$(grown A volume drop.expired)" -gt 0 ]
}

# The daemon would hear of it: one event each
events()
{
	seal_b -j monitor >"$TMP/events" 2>/dev/null &
	MONITOR=$!
	must busywait 5000 monitoring
}

# it listens when an event that we provoke arrives
monitoring()
{
	seal_b link add 10.77.0.0/16 10.78.0.0/16 mode audit keys manual
	seal_b link del 10.77.0.0/16 10.78.0.0/16
	[ -s "$TMP/events" ]
}

event_seen()
{
	grep -q "$1" "$TMP/events" || {
		cut -d '"' -f 4 "$TMP/events" | sort | uniq -c
		return 1
	}
}

begin
load_module
topo_up
events
for family in 4 6; do
	columns_up
	rows_in
	rows_out
	limits
done
check "an event about plaintext on a sealed pair" event_seen '"reason": *"plain-in"'
check "an event about a key used for another address" event_seen '"reason": *"selector"'
check "an event about the unknown SPI where there is no key" event_seen '"why": *"state-loss"'
kill $MONITOR
ktap_finished
