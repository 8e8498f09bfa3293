#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Sizes: a hop of MTU 1,300 between hosts that have 1,500, for local sockets and
# for a gateway that seals for a host behind it; 9,000 against 1,500; a flow that
# is older than the module; TFO, MD5 and URG. No stall over 3 s, byte-exact, and
# no packet that says "do not fragment" leaves above the MTU.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# small_hop MTU: the router forwards nothing larger, both ways
small_hop()
{
	small_hop_direct "$1" &&
		ip -n "$R" route replace 10.2.9.0/24 via "$B4" dev rb mtu lock "$1" &&
		ip -n "$R" -6 route replace fd00:2:9::/64 via "$B6" dev rb mtu lock "$1"
}

# IPv4 replaces the routes of the addresses; IPv6's would win, so they go
small_hop_direct()
{
	ip -n "$R" -6 route del fd00:1::/64 dev ra &&
		ip -n "$R" -6 route add fd00:1::/64 dev ra mtu lock "$1" &&
		ip -n "$R" -6 route del fd00:2::/64 dev rb &&
		ip -n "$R" -6 route add fd00:2::/64 dev rb mtu lock "$1" &&
		ip -n "$R" route replace 10.1.0.0/24 dev ra mtu lock "$1" &&
		ip -n "$R" route replace 10.2.0.0/24 dev rb mtu lock "$1"
}

# What hosts have learnt about paths
forget_paths()
{
	local ns
	for ns in "$A" "$B" ${D:+"$D"}; do
		ip -n "$ns" route flush cache
		ip -n "$ns" -6 route flush cache
		ip -n "$ns" tcp_metrics flush
	done
}

no_stall()
{
	at_most "$(jq .gap_ms "$TMP/${1:-pat}.json")" $((3000 * SLOW))
}

# exact TEXT NS ADDRESS OPTIONS...
exact()
{
	local text=$1
	shift
	check "$text: exact" pat "$@"
	check "$text: no stall over 3 s" no_stall
}

taps_up()
{
	tap_start a "$A" a0 -d out -M "$1"
	tap_start b "$B" b0 -d out -M "$2"
}

# taps_down TEXT
taps_down()
{
	local tap
	tap_stop a b
	for tap in a b; do
		check "$1: no DF packet above the MTU leaves $tap" tap_is $tap oversize 0
		check "$1: all that leaves $tap is sealed" tap_is $tap plain 0
	done
}

# both_ways TEXT NS ADDRESS
both_ways()
{
	exact "$1, up" "$2" "$3" -u 3000000
	exact "$1, down" "$2" "$3" -d 3000000
}

icmp_seen()
{
	at_least "$(of_stack "$R" IcmpOutDestUnreachs)" 1 &&
		at_least "$(on_r sed -n 's/^Icmp6OutPktTooBigs[[:space:]]*//p' /proc/net/snmp6)" 1
}

hop_1300_local()
{
	topo_up
	must small_hop_direct 1300
	sealed_pair require
	serve "$B"
	taps_up 1500 1500
	both_ways "MTU 1300 on the way, IPv4" "$A" $B4
	both_ways "MTU 1300 on the way, IPv6" "$A" $B6
	check "the router did say that packets were too big" icmp_seen
	taps_down "MTU 1300 on the way"
	# now both know the path
	taps_up 1300 1300
	exact "MTU 1300 known, IPv4, up" "$A" $B4 -u 3000000
	exact "MTU 1300 known, IPv4, down" "$A" $B4 -d 3000000
	exact "MTU 1300 known, IPv6, up" "$A" $B6 -u 3000000
	exact "MTU 1300 known, IPv6, down" "$A" $B6 -d 3000000
	taps_down "MTU 1300 known"
	special
	serve_stop "$B"
	check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
	check "URG: marks came, each at its place" pat_is '.marks > 0 and .marks_wrong == 0' "server-$B"
}

# TFO, MD5 and URG, over the small hop too
special()
{
	local f address own ns
	for ns in "$A" "$B"; do
		# data in the SYN and no cookies needed
		must on "$ns" sysctl -qw net.ipv4.tcp_fastopen=1543
	done
	for f in 4 6; do
		address=B$f address=${!address} own=A$f
		forget_paths
		exact "TFO, IPv$f, first" "$A" "$address" -F -u 200000
		exact "TFO, IPv$f, again" "$A" "$address" -F -u 200000
		check "TFO, IPv$f: the SYN's data was taken" pat_is '.syn_data == 1'
		exact "URG, IPv$f" "$A" "$address" -m urg -w 700 -u 200000
		must on_b "$TOOLS/tcp_pat" server -D -p 5009 -k secret -P "${!own}" -q "$TMP/md5.pid" 2>/dev/null
		exact "MD5, IPv$f, up" "$A" "$address" -p 5009 -k secret -u 200000
		exact "MD5, IPv$f, down" "$A" "$address" -p 5009 -k secret -d 200000
		stop_pid "$TMP/md5.pid"
	done
}

hop_1300_gateway()
{
	topo_up
	behind_up
	must small_hop 1300
	sealed_gateway require
	serve "$A"
	serve "$D"
	tap_start ra "$R" ra -d in -f $A4
	tap_start rb "$R" rb -d in -f $D4
	both_ways "gateway, MTU 1300 on the way, IPv4, to the host behind" "$A" $D4
	both_ways "gateway, MTU 1300 on the way, IPv6, to the host behind" "$A" $D6
	forget_paths
	both_ways "gateway, MTU 1300 on the way, IPv4, from the host behind" "$D" $A4
	both_ways "gateway, MTU 1300 on the way, IPv6, from the host behind" "$D" $A6
	tap_stop ra rb
	check "gateway: all sealed towards it" all_sealed ra
	check "gateway: all sealed from it" all_sealed rb
	serve_stop "$A"
	serve_stop "$D"
	check "gateway: the server behind saw no wrong byte" pat_is '.corrupt == 0' "server-$D"
	check "gateway: the server at A saw no wrong byte" pat_is '.corrupt == 0' "server-$A"
}

jumbo()
{
	topo_up 9000 1500
	sealed_pair require
	serve "$B"
	taps_up 9000 1500
	both_ways "9000 against 1500, IPv4" "$A" $B4
	both_ways "9000 against 1500, IPv6" "$A" $B6
	taps_down "9000 against 1500"
	topo_up 9000 9000
	sealed_pair require
	serve "$B"
	taps_up 9000 9000
	both_ways "9000 on both, IPv4" "$A" $B4
	both_ways "9000 on both, IPv6" "$A" $B6
	taps_down "9000 on both"
}

# On a slow machine it may be through before it is asked, or while it is
moves_or_ended()
{
	stream_ended "$1" || stream_moves "$1" || stream_ended "$1"
}

# Connections that begin before there is a module, with segments of 1448 bytes:
# no room was left for records.
older()
{
	local f address
	topo_up
	serve "$B"
	for f in 4 6; do
		address=B$f
		stream "old$f" "$A" "${!address}" -u 20000000 -d 20000000 -r 3000000
		must stream_moves "old$f"
	done
	load_module
	sealed_pair require
	taps_up 1500 1500
	for f in 4 6; do
		check "older than the module, IPv$f: goes on" moves_or_ended "old$f"
		check "older than the module, IPv$f: ends" slowwait 30 stream_ended "old$f"
		check "older than the module, IPv$f: exact" stream_is "old$f" '.exact == 1'
		check "older than the module, IPv$f: no stall over 3 s" no_stall "stream-old$f"
	done
	taps_down "older than the module"
	check "its segments were cut into more records" at_least "$(counter "$A" note.rechunked)" 1
	serve_stop "$B"
	check "older than the module: the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
}

begin
older
hop_1300_local
hop_1300_gateway
jumbo
ktap_finished
