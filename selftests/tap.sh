#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# timeout: 400
#
# Eavesdroppers on both sides of the router look at all protocols, first with no
# links, to see that they can see, then with "require". Meanwhile connections
# begin and end in every way, and the host that opens is made to quote what it
# opened: a firewall there rejects segments of a running connection, and a
# network behind it has a smaller MTU.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# transfers that open, close and reset; $1 is the host's address
connections()
{
	pat "$A" "$1" -n 4 -u 100000 -d 100000 &&
		pat "$A" "$1" -n 2 -u 5000 -R || return
	# a port where nobody listens answers by RST
	! pat "$A" "$1" -p 4999 -u 10
}

# The firewall of B begins to reject while data comes in: its ICMP errors quote it
reject_running()
{
	local port=$1 address=$2
	serve "$B" -p "$port"
	stream reject "$A" "$address" -p "$port" -i 50 -z 400
	stream_moves reject || return
	on_b nft -f - <<-END
		table inet selftest {
			chain input {
				type filter hook input priority 0
				tcp dport $port counter reject
			}
		}
	END
	slowwait 10 rejected || {
		on_b nft list table inet selftest
		return 1
	}
	on_b nft delete table inet selftest
	stream_moves reject || return
	stream_end reject && stream_is reject '.exact == 1' && serve_stop "$B"
}

rejected()
{
	on_b nft -j list table inet selftest |
		jq -e '[.. | .counter? | .packets? // 0] | add >= 3' >/dev/null
}

run()
{
	local what=$1
	tap_start ra "$R" ra
	tap_start rb "$R" rb
	serve "$B"
	serve "$D"
	check "$what: IPv4 connections" connections $B4
	check "$what: IPv6 connections" connections $B6
	serve_stop "$B"
	check "$what: IPv4, B rejects segments of a live connection" reject_running 5002 $B4
	check "$what: IPv6, B rejects segments of a live connection" reject_running 5003 $B6
	check "$what: IPv4, a smaller MTU behind B" pat "$A" $D4 -u 300000
	check "$what: IPv6, a smaller MTU behind B" pat "$A" $D6 -u 300000
	serve_stop "$D"
	tap_stop ra rb
}

begin nft
load_module
topo_up
behind_up 1300

run plain
check "plain: the tap reads the marker in TCP" tap_some ra marker_tcp
check "plain: the tap reads the marker in ICMP errors" tap_some ra marker_icmp

must on_a ip route flush cache
must on_a ip -6 route flush cache
sealed_gateway require
must snap before
run require
for tap in ra rb; do
	check "require: $tap never saw the marker, in any protocol" tap_is $tap marker 0
	check "require: $tap saw only records" all_sealed $tap
	check "require: $tap saw SYN sealed" tap_some $tap syn
	check "require: $tap saw FIN sealed" tap_some $tap fin
	check "require: $tap saw RST sealed" tap_some $tap rst
	check "require: $tap saw bare ACK sealed" tap_some $tap bare
	check "require: $tap saw no TCP fragment" tap_is $tap fragments 0
	check "require: $tap saw ICMP errors" tap_some $tap icmp
done
check "B cut its quotes of opened segments" has_grown B before note.icmp-cut
ktap_finished
