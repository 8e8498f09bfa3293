#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# timeout: 500
#
# Negotiated keys: the first connection to a new peer. Its first SYN is held, not
# lost, not leaked, and the connection is there without a SYN retransmission.
# Where no key can be had the socket gets an error at once.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# first TEXT CLIENT SERVER-ADDRESS
first()
{
	local text=$1 client=$2 address=$3
	must snap before
	check "$text: the first connection to a new peer" pat "${!client}" "$address" -u 100000 -d 100000
	ktap_print_msg "$text: connected after $(jq .connect_ms "$TMP/pat.json") ms"
	check "$text: its SYN was held" has_grown "$client" before note.held
	check "$text: nothing was retransmitted" pat_is '.retrans == 0'
	check "$text: no SYN retransmission" is "$(of_stack "${!client}" TcpExtTCPSynRetrans)" 0
	check "$text: the pair is sealed" peer_is "$client" "$address" state sealed
	check "$text: with TLS's key group" contains "$(peer "$client" "$address" tx.kex)" 25519
	check "$text: the certificate's name is known" contains /a/b/ "/$(peer "$client" "$address" tx.cert_name)/"
	check "$text: and what was held has gone" peer_is "$client" "$address" held 0
}

# both hosts begin at the same moment
both_at_once()
{
	seal_a sa flush && seal_b sa flush || return
	stream ab "$A" "$B4" -u 100000
	stream ba "$B" "$A4" -u 100000
	slowwait 20 stream_ended ab && slowwait 20 stream_ended ba &&
		stream_is ab '.exact == 1' && stream_is ba '.exact == 1'
}

refused_at_once()
{
	local error
	pat "$A" "$B4" -T 30 >"$TMP/refused" && return 1
	error=$(jq -r .why "$TMP/pat.json")
	contains "$error" "No route to host" && at_most "$(jq .connect_ms "$TMP/pat.json")" $((10000 * SLOW))
}

begin
load_module
topo_up
tap_start ra "$R" ra
negotiated require
serve "$A"
serve "$B"
first "IPv4" A $B4
first "IPv6" B $A6
serve_stop "$A"
serve "$A"
# whatever the order of the two handshakes
check "both hosts begin at once" both_at_once
tap_stop ra
check "all that passed was sealed, the control connection aside" all_sealed ra
check "the control connection was there" tap_some ra ctrl

# nobody answers at the peer
tap_start ra "$R" ra
must daemon_stop B
must seal_a sa flush
must seal_b sa flush
check "no daemon at the peer: the socket gets an error" refused_at_once
check "and the reason is known" at_least "$(peer A $B4 reason | wc -c)" 5
tap_stop ra
check "nothing leaked" tap_is ra plain 0
check "and no marker" tap_is ra marker 0

must daemon_start B
check "the daemon is back" slowwait 30 pat "$A" $B4 -u 1000 -T 5
check "the daemon is back, IPv6" slowwait 30 pat "$A" $B6 -u 1000 -T 5
# Who hears of it first goes back to plain in the middle of a sealed connection
must snap before
must add_links "$A" A B audit --weaken
must add_links "$B" B A audit --weaken
check "both weaken: plain on A" slowwait 30 peer_is A $B4 state plain
check "both weaken: plain on B" slowwait 30 peer_is B $A4 state plain
for host in A B; do
	check "both weaken: no false alarm on $host" refuses has_grown $host before drop.ctrl-inject
done
ktap_finished
