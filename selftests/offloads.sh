#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12 next
# timeout: 300
# long: 16
#
# What cards do for TCP, on and off on both ends: TSO, GSO, GRO (into one skb and
# into a list), checksums both ways, scatter-gather, and the sizes that a device
# announces (BIG TCP, few segments). B is a host, and a gateway for D, whose cards have
# everything and whose segments are as large as they get. In every state both
# families carry bursts both ways, exact, and every segment on the wire has a record
# and a right checksum. A connection that is older than that lives through all of it.
#
# Eight states, in which every two switches meet in all four ways: each is on in the
# first state and in three of the others, no two of them in the same three.
# OFFLOADS_SEED chooses which; OFFLOADS=N takes N others instead, of the 1,024 states of
# TSO, GSO, GRO, transmit checksum and scatter-gather on both ends: 128 if LONG.
#
#	A a0 ------- b0 B b1 ------- d0 D

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

SWITCHES=(tso gso gro tx sg rx rx-gro-list big few)
SEED=${OFFLOADS_SEED:-1}
STATES=${OFFLOADS:-${LONG:+128}}
BULK=300000

hosts_up()
{
	setup_ns A B D
	must cable "$A" a0 "$B" b0
	must cable "$B" b1 "$D" d0
	must host_up "$A" a0 $A4/24 $A6/64
	must host_up "$B" b0 $B4/24 $B6/64
	must ip -n "$A" route add 10.2.0.0/16 dev a0
	must ip -n "$A" -6 route add fd00:2::/64 dev a0
	must ip -n "$A" route add 10.2.9.0/24 via $B4
	must ip -n "$A" -6 route add fd00:2:9::/64 via $B6
	must ip -n "$B" route add 10.1.0.0/16 dev b0
	must ip -n "$B" -6 route add fd00:1::/64 dev b0
	must host_up "$B" b1 10.2.9.1/24 fd00:2:9::1/64
	must host_up "$D" d0 $D4/24 $D6/64 10.2.9.1 fd00:2:9::1
	must router_on "$B"
	must slowwait 5 quietly on_a ping -c 1 -W 1 $D4
	must slowwait 5 quietly on_a ping -c 1 -W 1 $D6
}

# Sizes of IPv4 have a name of their own from 6.3 on
set_size()
{
	ip -n "$1" link set "$2" gso_max_segs "$4" gso_max_size "$3" gro_max_size "$3" &&
		{ ip -n "$1" link set "$2" gso_ipv4_max_size "$3" gro_ipv4_max_size "$3" ||
			[ "$(uname -r | cut -d . -f 1-2)" = 6.1 ]; }
}

# set_device NS DEVICE ON...: those switches on, all others off
set_device()
{
	local ns=$1 device=$2 switch features=() size=65536 segs=65535
	shift 2
	for switch in "${SWITCHES[@]}"; do
		case "$switch $* " in
		"big "*" big "*) size=190000 ;;
		"few "*" few "*) segs=5 ;;
		"big "* | "few "*) ;;
		*" $switch "*) features+=("$switch" on) ;;
		*) features+=("$switch" off) ;;
		esac
	done
	set_size "$ns" "$device" "$size" "$segs" 2>/dev/null &&
		on "$ns" ethtool -K "$device" "${features[@]}" >/dev/null
}

# on_in N STATE: of the triples of the states 1 to 7, is STATE in the Nth?
on_in()
{
	local n=$(($1 % 35)) i j k
	for ((i = 1; i < 6; i++)); do
		for ((j = i + 1; j < 7; j++)); do
			for ((k = j + 1; k < 8; k++)); do
				[ $((n--)) = 0 ] || continue
				[ "$2" = 0 ] || [ "$2" = $i ] || [ "$2" = $j ] || [ "$2" = $k ]
				return
			done
		done
	done
}

# pairwise STATE: what is on then, in ON_A and ON_B
pairwise()
{
	local i count=${#SWITCHES[@]}
	ON_A=() ON_B=()
	for ((i = 0; i < count; i++)); do
		! on_in $((SEED + 12 * i)) "$1" || ON_A+=("${SWITCHES[i]}")
		! on_in $((SEED + 12 * (count + i))) "$1" || ON_B+=("${SWITCHES[i]}")
	done
}

# one of 1,024, no two of them alike
one_of_all()
{
	local i state=$(((SEED + 389 * $1) % 1024))
	ON_A=() ON_B=()
	for ((i = 0; i < 5; i++)); do
		[ $((state >> i & 1)) = 0 ] || ON_A+=("${SWITCHES[i]}")
		[ $((state >> (5 + i) & 1)) = 0 ] || ON_B+=("${SWITCHES[i]}")
	done
}

# bursts of several flows, so that GRO and the devices' queues see them mixed
exchange()
{
	pat "$A" "$1" -n 2 -u "$BULK" -d "$BULK" && pat "$A" "$2" -n 2 -u "$BULK" -d "$BULK"
}

state()
{
	local text="on at A: ${ON_A[*]:-none}; at B: ${ON_B[*]:-none}"
	must set_device "$A" a0 "${ON_A[@]}"
	must set_device "$B" b0 "${ON_B[@]}"
	must set_device "$B" b1 "${ON_A[@]}"
	check "$text" exchange $B4 $B6
	check "$text: through the gateway" exchange $D4 $D6
}

begin ethtool
load_module
hosts_up
must set_device "$D" d0 "${SWITCHES[@]/few/}"
sealed_gateway require
must snap before
serve "$B"
serve "$D"
stream four "$A" $B4 -i 20 -z 60000
stream six "$A" $B6 -i 20 -z 60000
tap_start a "$A" a0 -c
tap_start b "$B" b0 -c
ktap_print_msg "OFFLOADS_SEED=$SEED"
for ((s = 0; s < ${STATES:-8}; s++)); do
	if [ -n "$STATES" ]; then
		one_of_all $s
	else
		pairwise $s
	fi
	state
done
for name in four six; do
	check "the connection that saw it all, $name: still moves" stream_moves $name
	check "the connection that saw it all, $name: ends" stream_end $name
	check "the connection that saw it all, $name: exact" stream_is $name '.exact == 1'
done
tap_stop a b
for tap in a b; do
	check "$tap: all of it sealed" all_sealed $tap
	check "$tap: no wrong checksum" tap_is $tap csum_wrong 0
	check "$tap: some were for the card to fill in" tap_some $tap csum_partial
	check "$tap: some were full" tap_some $tap csum_full
	check "$tap: super-segments left whole" tap_some $tap super
done
for ns in "$B" "$D"; do
	serve_stop "$ns"
	check "no server saw a wrong byte" pat_is '.corrupt == 0' "server-$ns"
done
check "nothing was dropped" is "$({ growth A before; growth B before; } | grep '^drop')" ""
ktap_finished
