#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# smp on 6.12: 2
# timeout: 400
#
# Transfers of every interesting size on a "require" link, both directions, IPv4
# and IPv6, 1 and 32 flows: byte-exact, and records sent = records opened.
# A tap on the router watches all of it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# same SENDER RECEIVER
same()
{
	is "$(counter "${!1}" total.sealed_records)" "$(counter "${!2}" total.opened_records)"
}

nothing_else()
{
	local ns sum
	for ns in "$A" "$B"; do
		sum=$(seal "$ns" -j stats |
			jq '.total.plain_in + .total.plain_out + .total.dropped + ([.drop[]] | add)')
		is "$sum" 0 || return
	done
}

# free_kb: without what is only cached
free_kb()
{
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sed -n 's/^MemFree: *\([0-9]*\) kB$/\1/p' /proc/meminfo
}

begin
load_module
topo_up
sealed_pair require
tap_start r "$R" ra
serve "$B"
check "a first transfer" pat "$A" $B4 -n 32 -u 1000000 -d 1000000
free=$(free_kb)

for flows in 1 32; do
	every_size $B4 4 $flows
	every_size $B6 6 $flows
done

# 512 MB both ways: what KASAN keeps of freed memory is 128
[ ! -e $KMEMLEAK ] || free=$((free - 131072))
check "memory of pages was given back" at_least "$(free_kb)" $((free - 32768))
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.error == 0 and .corrupt == 0 and .running == 0' "server-$B"
# what was sent last may still be on its way
check "records sent by A = records opened by B" busywait 3000 same A B
check "records sent by B = records opened by A" busywait 3000 same B A
check "no plaintext counted, nothing dropped" nothing_else
tap_stop r
check "every segment that the router saw was sealed" all_sealed r
ktap_finished
