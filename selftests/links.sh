#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Which link covers what: nested, crossing and equal links, "clear" inside
# "require", the same prefix on both sides, the host's own address, two
# containers on one host, VRF, and "forward". For each: what leaves, as the
# router sees it, and that both ends give the same answer.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# refused_by_name TEXT COMMAND...: refused, and the message contains TEXT
refused_by_name()
{
	local text=$1 said
	shift
	if said=$("$@" 2>&1); then
		echo "accepted"
		return 1
	fi
	contains "$said" "$text"
}

# on_wire NS ADDRESS OPTIONS...: a connection, and what of it a tap on the router's
# ra saw, in $TMP/tap-wire.json
on_wire()
{
	tap_start wire "$R" ra
	pat "$@" -u 3000 -d 3000
	WIRE=$?
	tap_stop wire
	return "$WIRE"
}

goes_sealed()
{
	on_wire "$@" && all_sealed wire
}

goes_plain()
{
	on_wire "$@" && tap_is wire sealed 0 && tap_some wire plain
}

# answers A-ADDRESS B-ADDRESS STATE/STATE: what both ends say of the pair
answers()
{
	is "$(state_of A "$2" "$1")/$(state_of B "$1" "$2")" "$3"
}

state_of()
{
	seal "${!1}" -j peer show "$2" local "$3" | jq -r '.[0].state'
}

# Without what is not TCP: neighbours, redirects
tcp_growth()
{
	growth "$1" before | grep -v nontcp
}

nested()
{
	# on both ends: the inner one, whatever the order
	must seal_a link add 10.1.0.0/16 10.2.0.0/16 mode audit keys manual
	must seal_a link add 10.1.0.0/24 10.2.0.0/24 mode require keys manual
	must seal_b link add 10.2.0.0/24 10.1.0.0/24 mode require keys manual
	must seal_b link add 10.2.0.0/16 10.1.0.0/16 mode audit keys manual
	must seal_a link add 10.1.0.5/32 10.2.0.6/32 mode clear --weaken
	must seal_b link add 10.2.0.6/32 10.1.0.5/32 mode clear --weaken
	# before there is a key, which would say by itself what the pair is
	check "nested: without a key the inner link (require) holds" \
		refuses pat "$A" $B4 -u 100 -T 2
	must sa_both 4
	check "nested: the inner link (require) wins" goes_sealed "$A" $B4
	check "nested: both ends say sealed" answers $A4 $B4 sealed/sealed
	check "clear inside require: plain" goes_plain "$A" 10.2.0.6
	must snap before
	check "nested: what only the outer link (audit) covers is plain" goes_plain "$A" 10.2.1.5
	check "nested: and counted on A" has_grown A before total.plain_out
	check "nested: and counted on B" has_grown B before total.plain_in
	check "nested: both ends say plain" answers 10.1.0.5 10.2.1.5 plain/plain
	check "clear is listed as a hole" clear_is_listed
	flush_both
}

clear_is_listed()
{
	seal_a -j link show | jq -e '.[] | select(.mode == "clear") | .stats.plain_out > 0 and .stats.plain_in > 0' >/dev/null &&
		seal_a status | grep -q clear
}

weaker()
{
	must seal_a link add 10.1.0.0/16 10.2.0.0/16 mode require keys manual
	local inner
	for inner in clear audit prefer; do
		check "$inner inside require without --weaken is refused, naming the link" \
			refused_by_name 10.2.0.0/16 seal_a link add 10.1.0.0/24 10.2.0.0/24 mode $inner keys manual
	done
	check "weakening the link itself without --weaken is refused" \
		refused_by_name 10.2.0.0/16 seal_a link add 10.1.0.0/16 10.2.0.0/16 mode audit keys manual
	check "with --weaken it is not" seal_a link add 10.1.0.0/24 10.2.0.0/24 mode clear keys manual --weaken
	seal_a link flush --force --weaken
}

crossing()
{
	must seal_a link add 10.1.0.0/16 10.2.0.0/24 mode audit
	check "crossing links are refused by name" refused_by_name 10.2.0.0/24 \
		seal_a link add 10.1.0.0/24 10.2.0.0/16 mode audit
	must seal_a link add 10.1.0.0/24 10.2.0.0/24 mode audit
	check "unless their intersection is itself a link" \
		seal_a link add 10.1.0.0/24 10.2.0.0/16 mode audit
	check "the intersection cannot go before them" refused_by_name 10.2.0.0 \
		seal_a link del 10.1.0.0/24 10.2.0.0/24
	seal_a link flush --force --weaken
	must seal_a link add fd00:1::/32 fd00:2::/48 mode audit
	check "IPv6: crossing links are refused by name" refused_by_name fd00:2::/48 \
		seal_a link add fd00:1::/48 fd00:2::/32 mode audit
	seal_a link flush --force --weaken
}

equal()
{
	must seal_a link add 10.1.0.0/16 10.2.0.0/16 mode audit
	must seal_a link add 10.1.0.0/16 10.2.0.0/16 mode prefer
	check "an equal link changes the one that is there" is \
		"$(seal_a -j link show | jq -c '[.[].mode]')" '["prefer"]'
	check "bits behind the prefix are refused" refuses seal_a link add 10.1.0.5/16 10.2.0.0/16
	check "loopback is never linked" refuses seal_a link add 127.0.0.0/8 10.2.0.0/16
	seal_a link flush --force --weaken
}

# One prefix for both sides, 10.0.0.0/8; both ends see it alike
same_prefix()
{
	must seal_a link add 10.0.0.0/8 10.0.0.0/8 mode require keys manual
	must seal_b link add 10.0.0.0/8 10.0.0.0/8 mode require keys manual
	must sa_both 4
	check "the same prefix on both sides: sealed" goes_sealed "$A" $B4
	check "the same prefix on both sides: both ends say so" answers $A4 $B4 sealed/sealed
	serve "$A" -p 5003
	must snap before
	check "own address: a connection to itself works" pat "$A" $A4 -p 5003 -u 1000 -d 1000
	check "own address: over another address of its own" pat "$A" 10.1.0.6 -p 5003 -u 1000 -b $A4
	check "own address: tcpseal counts nothing" is "$(tcp_growth A)" ""
	serve_stop "$A"
	containers
	flush_both
}

# Two containers of A behind a bridge, both inside the prefix: transit, and not A's
containers()
{
	setup_ns ONE TWO
	must ip -n "$A" link add docker0 type bridge
	must cable "$A" v1 "$ONE" eth0
	must cable "$A" v2 "$TWO" eth0
	must ip -n "$A" link set v1 master docker0 up
	must ip -n "$A" link set v2 master docker0 up
	must host_up "$A" docker0 10.1.7.1/24 fd00:1:7::1/64
	must host_up "$ONE" eth0 10.1.7.2/24 fd00:1:7::2/64 10.1.7.1 fd00:1:7::1
	must host_up "$TWO" eth0 10.1.7.3/24 fd00:1:7::3/64 10.1.7.1 fd00:1:7::1
	must router_on "$A"
	serve "$TWO"
	must snap before
	check "two local containers talk plain, bridged" pat "$ONE" 10.1.7.3 -u 1000 -d 1000
	check "two local containers: tcpseal counts nothing" is "$(tcp_growth A)" ""
	must ip -n "$TWO" addr add 10.1.8.3/24 dev eth0
	must ip -n "$A" addr add 10.1.8.1/24 dev docker0
	check "two local containers talk plain, routed" pat "$ONE" 10.1.8.3 -u 1000 -d 1000
	check "two local containers: still nothing" is "$(tcp_growth A)" ""
	serve_stop "$TWO"
}

# A's card in a VRF: hooks see packets twice, tcpseal once
vrf()
{
	modprobe vrf 2>/dev/null
	if ! ip -n "$A" link add red type vrf table 100 2>/dev/null; then
		ktap_test_skip "VRF" "no vrf devices here"
		return
	fi
	must ip -n "$A" link set red up
	must ip -n "$A" link set a0 master red
	must ip -n "$A" addr replace $A6/64 dev a0 nodad
	must ip -n "$A" route replace default via 10.1.0.1 table 100
	must ip -n "$A" -6 route replace default via fd00:1::1 table 100
	sealed_pair require
	must on_a sysctl -qw net.ipv4.tcp_l3mdev_accept=1
	check "VRF, IPv4: out of it, sealed once" vrf_sealed $B4
	check "VRF, IPv6: out of it, sealed once" vrf_sealed $B6
	on_a ip vrf exec red "$TOOLS/tcp_pat" server -D -q "$TMP/vrf.pid" 2>/dev/null
	check "VRF, IPv4: into it, sealed once" goes_sealed "$B" $A4
	check "VRF, IPv6: into it, sealed once" goes_sealed "$B" $A6
	check "VRF: as many records opened as sealed" busywait 3000 vrf_even
	stop_pid "$TMP/vrf.pid"
	flush_both
	must ip -n "$A" link del red
	must ip -n "$A" addr replace $A6/64 dev a0 nodad
	must ip -n "$A" route replace default via 10.1.0.1
	must ip -n "$A" -6 route replace default via fd00:1::1
}

vrf_sealed()
{
	tap_start wire "$R" ra
	on_a ip vrf exec red timeout 60 "$TOOLS/tcp_pat" client "$1" -u 300000 -d 300000 || return
	tap_stop wire
	all_sealed wire
}

vrf_even()
{
	is "$(counter "$A" total.sealed_records)" "$(counter "$B" total.opened_records)" &&
		is "$(counter "$B" total.sealed_records)" "$(counter "$A" total.opened_records)"
}

forward()
{
	behind_up
	serve "$D"
	# a link without "forward" covers B itself only
	must seal_b link add 10.2.0.0/16 10.1.0.0/16 mode require keys manual
	check "transit without forward is left alone: plain" goes_plain "$A" $D4
	must seal_b link flush --force --weaken
	check "forward names its inside devices" refuses \
		seal_b link add 10.2.0.0/16 10.1.0.0/16 mode require forward keys manual
	sealed_gateway require
	for f in 4 6; do
		address=D$f
		check "forward, IPv$f: to the host behind, sealed" goes_sealed "$A" "${!address}"
	done
	serve "$A"
	for f in 4 6; do
		address=A$f
		check "forward, IPv$f: from the host behind, sealed" goes_sealed "$D" "${!address}"
	done
	check "forward: to the gateway itself, sealed" goes_sealed "$A" $B4
	tap_start inside "$D" d0
	check "forward: once more" goes_sealed "$A" $D4
	tap_stop inside
	check "forward: the host behind gets it plain" tap_is inside sealed 0
	# plaintext that claims to come from inside, on the outside device
	must snap before
	must on_r "$TOOLS/seal_inject" -f $A4 -t $D4 -s 40000 -p 4999 plain
	check "forward: plaintext from outside is refused" \
		busywait 3000 has_grown B before drop.plain-in
	serve_stop "$A"
	serve_stop "$D"
	flush_both
}

# behind NET MODE [WORDS...]: A's link to a subnet behind B
behind()
{
	seal_a link add 10.1.0.0/16 "$1" via 10.2.0.6 identity gw mode "$2" keys manual "${@:3}"
}

# A pair of several links: some more of them do not change it, others do
gateway_modes()
{
	must behind 10.2.9.0/24 audit
	must seal_a sa add dir in local $A4 peer 10.2.0.6 spi 4711 key "$(hex 32)" iv "$(hex 12)"
	check "one gateway, audit: so is the pair" peer_is A 10.2.0.6 mode_local audit
	must behind 10.2.8.0/24 prefer
	check "a second link prefers: so does the pair" peer_is A 10.2.0.6 mode_local prefer
	must behind 10.2.7.0/24 require
	check "a third link requires: so does the pair" peer_is A 10.2.0.6 mode_local require
	must behind 10.2.7.0/24 audit --weaken
	check "the third requires no more: the pair prefers" peer_is A 10.2.0.6 mode_local prefer
	must seal_a link add 10.1.0.0/16 10.9.0.0/16 mode require keys manual
	check "a link of others requires: the pair prefers" peer_is A 10.2.0.6 mode_local prefer
	must seal_a link add 10.1.0.0/16 10.2.0.0/24 identity gw mode require keys manual --force
	check "the gateway's own subnet requires: so does the pair" peer_is A 10.2.0.6 mode_local require
	must seal_a link del 10.1.0.0/16 10.2.0.0/24 --weaken --force
	check "its link is gone: the pair prefers" peer_is A 10.2.0.6 mode_local prefer
	must seal_a link del 10.1.0.0/16 10.2.8.0/24
	check "who preferred is gone: the pair is for audit" peer_is A 10.2.0.6 mode_local audit
	must seal_a link flush --force --weaken

	# who seals for others has its pairs in common with all that overlap
	must seal_a link add 10.1.0.0/16 10.2.0.0/16 mode audit forward dev a0 keys manual
	must seal_a sa add dir in local 0.0.0.0 peer 10.2.0.6 spi 4712 key "$(hex 32)" iv "$(hex 12)"
	check "forward, audit: the pair is plain" peer_is A 10.2.0.6 state plain
	must seal_a link add 10.1.0.0/16 10.2.9.0/24 mode require forward dev a0 keys manual
	check "another within requires: the pair waits for keys" peer_is A 10.2.0.6 state waiting
	must seal_a link flush --force --weaken
}

begin
load_module
topo_up
must ip -n "$A" addr add 10.1.0.6/24 dev a0
must ip -n "$B" addr add 10.2.0.6/24 dev b0
must ip -n "$B" addr add 10.2.1.5/24 dev b0
must ip -n "$R" route add 10.2.1.0/24 via $B4
serve "$B"
nested
weaker
crossing
equal
same_prefix
vrf
forward
gateway_modes
ktap_finished
