#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Ciphers that answer later: cryptd, whose requests a kernel thread serves, and
# pcrypt, which spreads them over processors. All that is sealed and opened waits
# for a completion, in the order of its flow; keys, links, namespaces and the module
# go while requests are in flight. Not on 6.1: its own test of cryptd complains, and
# with pcrypt the module cannot be removed there.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${ROUNDS:=4}"

# driver_both NAME: of keys that come from now on
driver_both()
{
	seal_a conf set aead-driver "$1" && seal_b conf set aead-driver "$1"
}

# drivers_are WORD: that B's keys use
drivers_are()
{
	local all
	all=$(seal_b -j sa show | jq -r '.[] | select(.state == "current") | .driver' | sort -u)
	contains "$all" "$1"
}

# queued HOST SINCE: requests that were not answered at once
queued()
{
	has_grown "$1" "$2" note.async
}

# What is sealed out of order arrives so: TCP has to sort it
out_of_order()
{
	echo $(($(of_stack "$A" TCPOFOQueue) + $(of_stack "$B" TCPOFOQueue)))
}

# crossing NAME: the core: both families, both directions, many flows at once
crossing()
{
	local f address host sorted
	for f in 4 6; do
		address=B$f
		must snap before
		sorted=$(out_of_order)
		tap_start wire "$R" ra
		check "$1, IPv$f: 8 flows are exact" \
			pat "$A" "${!address}" -n 8 -u 300000 -d 300000
		check "$1, IPv$f: short ones, too" pat "$A" "${!address}" -n 20 -u 100 -d 2000
		tap_stop wire
		check "$1, IPv$f: all of it was sealed" all_sealed wire
		for host in A B; do
			check "$1, IPv$f: $host waited for completions" queued $host before
			check "$1, IPv$f: $host dropped nothing" is "$(grown $host before total.dropped)" 0
		done
		check "$1, IPv$f: nothing was overtaken" is "$(out_of_order)" "$sorted"
	done
}

# other_keys DRIVER: new ones under a running stream, of a cipher that answers at
# once; and back
other_keys()
{
	stream live "$A" "$B4" -i 5 -z 20000
	stream_moves live &&
		driver_both "" && sa_both 4 && stream_moves live &&
		driver_both "$1" && sa_both 4 && stream_moves live &&
		stream_end live && stream_is live '.exact == 1 and .corrupt == 0'
}

# load_up: flows of both families that fill what waits; they end by RST, so that no
# orphan keeps its namespace
load_up()
{
	local f address
	for f in 4 6; do
		address=B$f
		stream "load$f" "$A" "${!address}" -R -n 4 -u 400000000 -d 400000000
	done
	stream_moves load4 && stream_moves load6
}

load_down()
{
	local f
	for f in 4 6; do
		kill -KILL "$(cat "$TMP/stream-load$f.pid")" 2>/dev/null
		rm -f "$TMP/stream-load$f".*
	done
	return 0
}

# teardown_rounds: keys go by themselves, then links with what is left
teardown_rounds()
{
	local round
	for ((round = 1; round <= ROUNDS; round++)); do
		load_up || {
			echo "round $round: no load"
			return 1
		}
		case $((round % 2)) in
		0) seal_b sa flush && seal_a sa flush ;;
		1) seal_a link flush --force --weaken && seal_b link flush --force --weaken ;;
		esac || return
		load_down
		flush_both
		must link_both require keys manual
		must sa_both 4
		must sa_both 6
	done
}

# serve_anew [OPTIONS...]: the server of B, without a wrong byte so far
serve_anew()
{
	serve_stop "$B"
	pat_is '.corrupt == 0' "server-$B" && serve "$B" "$@"
}

transfers()
{
	serve_anew && pat "$A" "$B4" -u 100000 -d 100000 && pat "$A" "$B6" -u 100000 -d 100000
}

# Namespaces with all that runs in them, and the module behind them
all_gone()
{
	local ns server=$B
	serve_anew -R && load_up || return
	ip netns del "$B" && ip netns del "$A" || return
	load_down
	serve_stop "$server"
	pat_is '.corrupt == 0' "server-$server" || return
	for ns in "${namespaces[@]}"; do
		ip netns del "$ns" 2>/dev/null
	done
	namespaces=() A='' B=''
	slowwait 20 quietly rmmod tcpseal
}

# plain_driver: the synchronous cipher of this machine, by the name of its code:
# templates are found by that, "gcm(aes)" is not one
plain_driver()
{
	local all
	all=$(seal_b -j sa show | jq -r '.[] | select(.dir == "out") | .driver' | grep -F -m 1 + ||
		seal_b -j sa show | jq -r '.[0].driver')
	echo "${all#* + }"
}

two_ciphers()
{
	contains "$(seal_b -j sa show | jq -r '.[] | select(.dir == "out") | .driver')" " + "
}

# with TEMPLATE: around the synchronous cipher
with()
{
	local name=$1 driver
	need_own_module
	topo_up
	serve "$B"
	sealed_pair require
	must pat "$A" $B4 -u 1000
	# of an asynchronous one it comes with the first packet
	busywait 2000 two_ciphers
	driver=$(plain_driver)
	driver_both "$name($driver)" >"$TMP/driver.out" 2>&1 || {
		ktap_test_skip "$name" "no $name($driver) here: $(tail -n 1 "$TMP/driver.out")"
		return
	}
	ktap_print_msg "$name($driver)"
	flush_both
	sealed_pair require
	crossing "$name"
	check "$name: it was that driver" drivers_are "$name("
	check "$name: a stream lives through keys of other ciphers" other_keys "$name($driver)"
	must serve_anew -R
	check "$name: $ROUNDS rounds of keys and links that go under load" teardown_rounds
	check "$name: and transfers are exact" transfers
	check "$name: namespaces go under load, and the module" all_gone
}

begin
with cryptd
with pcrypt
load_module
ktap_finished
