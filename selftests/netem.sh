#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 500
#
# A bad network: loss, reordering, duplicates, corruption; flows of very
# different speed in one lane, paced by fq or on paths 10 ms apart. Byte-exact,
# no slow flow stalls, and no nonce is ever used twice. Taps look at what the
# hosts send, before the network spoils it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

taps_up()
{
	tap_start ra "$R" ra -d in -f $A4
	tap_start rb "$R" rb -d in -f $B4
	tap_start ra6 "$R" ra -d in -f $A6
}

# taps_down WHAT
taps_down()
{
	local tap
	tap_stop ra rb ra6
	for tap in ra rb ra6; do
		ktap_print_msg "$1, $tap: $(tapped $tap nonces) nonces, $(tapped $tap duplicates) duplicates"
		check "$1, $tap: every (SPI, nonce) is unique" tap_is $tap reuse 0
		check "$1, $tap: all sealed" tap_is $tap plain 0
	done
}

# netem WORDS...: in both directions; segments one by one, as on a wire
netem()
{
	local dev
	for dev in ra rb; do
		on_r tc qdisc replace dev "$dev" root netem limit 20000 "$@" || return
	done
}

no_stall()
{
	at_most "$(jq .gap_ms "$TMP/$1.json")" $((3000 * SLOW))
}

chaos()
{
	local f address
	must netem loss 2% delay 5ms reorder 25% 50% duplicate 1% corrupt 0.5%
	taps_up
	must snap before
	for f in 4 6; do
		address=B$f
		check "chaos, IPv$f: 4 flows up exact" pat "$A" "${!address}" -n 4 -u 1500000 -T 60
		check "chaos, IPv$f: 4 flows down exact" pat "$A" "${!address}" -n 4 -d 1500000 -T 60
	done
	check "chaos: corruption is counted as noise, not as tampering" has_grown B before drop.noise
	check "chaos: B saw no bad tag under a right checksum" is "$(grown B before drop.bad-tag)" 0
	check "chaos: A saw no bad tag under a right checksum" is "$(grown A before drop.bad-tag)" 0
	check "chaos: duplicates were refused as replays" has_grown B before drop.replay
	taps_down chaos
}

# slow_beside_bulk WHAT: a flow of 1 Mbit/s beside one that takes all, one lane
slow_beside_bulk()
{
	must snap before
	taps_up
	stream bulk "$A" $B4 -u 4000000000
	stream slow "$A" $B4 -p 5002 -u 500000 -r 125000 -B 30000
	check "$1: the slow flow ends" slowwait 30 stream_ended slow
	check "$1: the slow flow is exact" stream_is slow '.exact == 1'
	check "$1: the slow flow never stalled" no_stall stream-slow
	check "$1: the bulk flow goes on" bulk_moves
	# it is endless: taken away, not judged by its end
	kill -KILL "$(cat "$TMP/stream-bulk.pid")"
	check "$1: nothing came too late for its window" is "$(grown B before drop.too-old)" 0
	taps_down "$1"
}

bulk_moves()
{
	local had
	had=$(counter "$B" total.opened_bytes)
	slowwait 10 more_opened "$had"
}

more_opened()
{
	[ "$(counter "$B" total.opened_bytes)" -gt $(($1 + 1000000)) ]
}

# Two paths: a class for the slow flow's port that takes 10 ms longer
two_paths()
{
	on_r tc qdisc replace dev rb root handle 1: prio bands 2 priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 &&
		on_r tc qdisc add dev rb parent 1:2 netem limit 20000 delay 10ms &&
		on_r tc filter add dev rb parent 1: protocol ip prio 1 u32 \
			match ip protocol 6 0xff match ip dport 5002 0xffff flowid 1:2
}

begin ethtool
modprobe -a sch_netem sch_fq sch_prio cls_u32 2>/dev/null
load_module
topo_up
# one packet each, cut by the sender's driver: netem must not lose whole bursts
for ns in "$A" "$B"; do
	on "$ns" ethtool -K "$([ "$ns" = "$A" ] && echo a0 || echo b0)" tso off >/dev/null
done
must link_both require keys manual
must sa_both 4 lanes 1
must sa_both 6
serve "$B"
serve_slow()
{
	on_b "$TOOLS/tcp_pat" server -D -p 5002 -q "$TMP/slow.pid" -o "$TMP/slow.json" 2>/dev/null
}
must serve_slow

chaos
for dev in ra rb; do
	on_r tc qdisc del dev $dev root
done
must on_a tc qdisc replace dev a0 root fq
slow_beside_bulk "fq pacing"
must two_paths
slow_beside_bulk "two paths"
# each packet by itself on one of the paths
must netem delay 10ms reorder 50%
check "two paths for the packets of one flow: exact" pat "$A" $B4 -n 4 -u 1500000 -T 60
stop_pid "$TMP/slow.pid"
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
