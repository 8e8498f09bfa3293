#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# net: wire
# timeout: 500
#
# A burst stays one skb: bulk transfer on veth, which carries super-segments
# whole as a card with TSO does, and on a wire of two cards, where the driver
# cuts and GRO merges. By tcpseal's own counters.

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
	sealed_pair require
	# TCP makes smaller bursts the longer the round trip; here that would
	# measure how slow the emulation is
	on "$A" sysctl -qw net.ipv4.tcp_tso_rtt_log=16
	serve "$B"
	bulk "$1" $B4 4
	bulk "$1" $B6 6
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
