#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# net: wire
# timeout: 500
#
# A burst stays one skb: bulk transfer on veth, which carries super-segments
# whole as a card with TSO does, and on a wire of two cards, where the driver
# cuts and GRO merges. By tcpseal's own counters.
#
# One skb has 45 segments at most. In plain a write of 64 KiB is those, and less
# than a segment that Nagle's algorithm keeps for the next write; sealed, segments
# are smaller, and more than one remains, which goes out at once: half of the skbs
# are short. Writes of 45 segments show that a whole burst stays whole.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

BULK=67108864

# ratio HOST sealed|opened: records of an skb, times 10
ratio()
{
	local records skbs
	records=$(grown "$1" before "total.${2}_records")
	skbs=$(grown "$1" before "total.${2}_skbs")
	echo $((skbs ? records * 10 / skbs : 0))
}

# made: segments and skbs that host A has sent, whole skbs being on veth
made()
{
	of_stack "$A" TcpOutSegs
	on_a cat /proc/net/dev | awk '$1 == "a0:" { print $11 }'
}

# plain NAME: what TCP makes of the same writes when nobody seals
plain()
{
	local before after segs
	serve "$B"
	mapfile -t before < <(made)
	check "$1, plain: 64 MB arrive exact" pat "$A" $B4 -u $BULK
	mapfile -t after < <(made)
	serve_stop "$B"
	segs=$(((after[0] - before[0]) * 10 / (after[1] - before[1])))
	ktap_print_msg "$1, plain: $((segs / 10)).$((segs % 10)) segments per skb"
}

# bursts ADDRESS FAMILY CHUNK: writes that fill one skb each, with 45 chunks: what
# is left of the MTU by headers, timestamps and a record, in whole cipher blocks
bursts()
{
	local sealed opened
	must snap before
	check "veth, IPv$2: writes of 45 segments arrive exact" \
		pat "$A" "$1" -u $((2 * BULK)) -w $((45 * $3))
	sealed=$(ratio A sealed) opened=$(ratio B opened)
	ktap_print_msg "veth, IPv$2: $((sealed / 10)).$((sealed % 10)) records per sealed skb of" \
		"such a write, $((opened / 10)).$((opened % 10)) per opened skb"
	check "veth, IPv$2: at least 44 records per sealed skb" at_least "$sealed" 440
	check "veth, IPv$2: at least 40 records per opened skb" at_least "$opened" 400
}

# bulk NAME ADDRESS FAMILY
bulk()
{
	local sealed opened
	must snap before
	check "$1, IPv$3: 64 MB arrive exact" pat "$A" "$2" -u $BULK
	sealed=$(ratio A sealed) opened=$(ratio B opened)
	ktap_print_msg "$1, IPv$3: $((sealed / 10)).$((sealed % 10)) records per sealed skb," \
		"$((opened / 10)).$((opened % 10)) per opened skb"
	check "$1, IPv$3: at least 20 records per sealed skb" at_least "$sealed" 200
	check "$1, IPv$3: at least 10 records per opened skb" at_least "$opened" 100
}

# on_net NAME: both families over the topology that is up
on_net()
{
	# TCP makes smaller bursts the longer the round trip and the lower the
	# rate; it leaves slow start when round trips vary, and then cuts what is
	# more than a third of its window; and it cuts at half of the reader's.
	# Here all that would measure how slow the emulation is.
	on "$A" sysctl -qw net.ipv4.tcp_tso_rtt_log=16 \
		net.ipv4.tcp_min_tso_segs=45 \
		net.ipv4.tcp_congestion_control=reno \
		net.ipv4.tcp_no_metrics_save=1
	on "$B" sysctl -qw net.ipv4.tcp_rmem="4096 1048576 6291456"
	[ "$1" != veth ] || plain "$1"
	sealed_pair require
	serve "$B"
	bulk "$1" $B4 4
	bulk "$1" $B6 6
	[ "$1" != veth ] || {
		bursts $B4 4 1408
		bursts $B6 6 1392
	}
	serve_stop "$B"
}

begin
load_module
topo_up
on_net veth
if [ -d /sys/class/net/wire1 ]; then
	topo_wire
	on_net wire
else
	ktap_test_skip "wire" "this machine has no cards wire0 and wire1"
fi
ktap_finished
