#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12 next
# timeout: 500
#
# Ways past the hooks. A flowtable on a gateway takes no flow of a link, and gives
# back those that it had before the link came. A lightweight tunnel at the output
# does not carry off what must be sealed, nor does a rule that sends copies of
# opened segments. Each way is first shown to be one, without a link.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# offloaded ADDRESS: has the flowtable a connection to it?
offloaded()
{
	local family=ipv4
	[ "$1" = "${1#*:}" ] || family=ipv6
	on_b conntrack -L -f "$family" -p tcp -d "$1" 2>/dev/null | grep -q OFFLOAD
}

none_offloaded()
{
	! offloaded "$D4" && ! offloaded "$D6"
}

streams_move()
{
	stream_moves four && stream_moves six
}

# Both ends of the gateway's link while the flowtable has connections of it
flowtable_before()
{
	serve "$D"
	tap_start plain "$R" ra
	stream four "$A" $D4 -i 100 -z 20000
	stream six "$A" $D6 -i 100 -z 20000
	check "without a link the flowtable has the connection, IPv4" slowwait 10 offloaded $D4
	check "without a link the flowtable has the connection, IPv6" slowwait 10 offloaded $D6
	check "and it works" streams_move
	tap_stop plain
	check "in plain" tap_some plain marker
	snap before
	sealed_gateway require
	check "a link comes: the flowtable gives them back" has_grown B before note.flow-recalled
	check "it has none" none_offloaded
	check "they go on" streams_move
	tap_start sealed "$R" ra
	check "and on" streams_move
	tap_stop sealed
	check "sealed, all of it" all_sealed sealed
	check "and are not offloaded again" none_offloaded
	check "they end, IPv4" stream_end four
	check "they end, IPv6" stream_end six
	check "exact" stream_is four '.corrupt == 0'
	check "exact" stream_is six '.corrupt == 0'
}

flowtable_after()
{
	serve "$A"
	snap before
	tap_start sealed "$R" ra
	check "a new connection, IPv4, from outside" pat "$A" $D4 -u 3000000 -d 3000000
	check "a new connection, IPv6, from outside" pat "$A" $D6 -u 3000000 -d 3000000
	check "a new connection, IPv4, from inside" pat "$D" $A4 -u 3000000 -d 3000000
	check "a new connection, IPv6, from inside" pat "$D" $A6 -u 3000000 -d 3000000
	check "the flowtable has none of them" none_offloaded
	tap_stop sealed
	check "all of it sealed" all_sealed sealed
	check "nothing was dropped for it" refuses has_grown B before drop.bypass
	serve_stop "$A"
	serve_stop "$D"
	flush_both
	must on_b nft flush ruleset
}

# Segment routing takes packets for B away at the output. The router counts them;
# it takes no part, so nobody ever answers.
tunnel_up()
{
	on_r nft -f - <<-END || return
		table ip6 seen {
			counter routed { }
			chain pre {
				type filter hook prerouting priority -300
				iif ra ip6 nexthdr 43 counter name routed drop
			}
		}
	END
	ip -n "$A" route add "$B4/32" encap seg6 mode encap segs fd00:1::1 dev a0 &&
		ip -n "$A" -6 route add "$B6/128" encap seg6 mode encap segs fd00:1::1 dev a0
}

routed()
{
	on_r nft -j list counters | jq '[.nftables[].counter? | select(. != null) | .packets] | add'
}

# Segments that went the tunnel's way while a program tried to connect
try_tunnel()
{
	local had
	had=$(routed)
	on_a timeout $((10 * SLOW)) "$TOOLS/tcp_pat" client "$1" -T "$2" -o "$TMP/tunnel.json" 2>/dev/null
	ROUTED=$(($(routed) - had))
}

goes_through()
{
	try_tunnel "$1" 1
	at_least "$ROUTED" 1
}

refused_there()
{
	try_tunnel "$1" $((8 * SLOW))
	is "$ROUTED" 0 && contains "$(jq -r .why "$TMP/tunnel.json")" "No route to host"
}

tunnel()
{
	local f address
	must tunnel_up
	for f in 4 6; do
		address=B$f
		check "a tunnel at the output, IPv$f, no link: leads past POST_ROUTING" \
			goes_through "${!address}"
	done
	sealed_pair require
	for f in 4 6; do
		address=B$f
		snap before
		check "a tunnel at the output, IPv$f: nothing leaves, the program is told" \
			refused_there "${!address}"
		check "a tunnel at the output, IPv$f: counted" has_grown A before drop.bypass
	done
	flush_both
	must ip -n "$A" route del $B4/32
	must ip -n "$A" -6 route del $B6/128
}

# B sends copies of what it receives to the router, which would bring them back
copies_up()
{
	on_r nft -f - <<-END || return
		table netdev copies {
			chain in {
				type filter hook ingress device rb priority 0
				ip saddr $A4 drop
				ip6 saddr $A6 drop
			}
		}
	END
	on_b nft -f - <<-END
		table ip copies {
			chain pre {
				type filter hook prerouting priority 0
				iif b0 tcp dport 5001 dup to 10.2.0.1 device b0
			}
		}
		table ip6 copies {
			chain pre {
				type filter hook prerouting priority 0
				iif b0 tcp dport 5001 dup to fd00:2::1 device b0
			}
		}
	END
}

# copied ADDRESS: does the router see what A sent to it come back from B?
copied()
{
	tap_start copies "$R" rb -d in -f "$1"
	pat "$A" "$2" -u 100000 || return
	tap_stop copies
}

copies()
{
	local f a b
	must copies_up
	serve "$B"
	for f in 4 6; do
		a=A$f b=B$f
		check "copies, IPv$f, no link" copied "${!a}" "${!b}"
		check "copies, IPv$f, no link: leave" tap_some copies marker
	done
	sealed_pair require
	for f in 4 6; do
		a=A$f b=B$f
		snap before
		check "copies of opened segments, IPv$f: the connection works" copied "${!a}" "${!b}"
		check "copies of opened segments, IPv$f: do not leave" tap_is copies tcp_frames 0
		check "copies of opened segments, IPv$f: counted" has_grown B before drop.bypass
	done
	serve_stop "$B"
	flush_both
}

begin nft conntrack
load_module
topo_up
behind_up
must flowtable_up
flowtable_before
flowtable_after
tunnel
copies
ktap_finished
