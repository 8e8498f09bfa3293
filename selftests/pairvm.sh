#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: pair
# kernels: 6.1+next
# timeout: 500
#
# Two machines with different kernels and libraries, negotiated keys: transfers of
# every size, both directions, IPv4 and IPv6, and a tap at both ends of the wire.
# The same script runs on both; they meet through files in their share.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# The machine with the clients
machine_a()
{
	local flows
	must await serving
	check "plain, for comparison: a transfer works" pat "$A" "$B4" -u 100000 -d 100000
	tap_stop plain
	check "plain, for comparison: the tap sees the marker" tap_some plain marker
	must required
	must meet sealing
	tap_start w "$A" w0
	must meet tapping
	for flows in 1 32; do
		every_size "$B4" 4 "$flows"
		every_size "$B6" 6 "$flows"
	done
	for flows in $B4 $B6; do
		check "$flows is sealed with $(peer A "$flows" tx.kex)" peer_is A "$flows" state sealed
	done
	must meet finish 200
}

machine_b()
{
	serve "$B"
	must tell serving
	must required
	must meet sealing 60
	tap_stop plain
	check "plain, for comparison: the tap sees the marker" tap_some plain marker
	tap_start w "$B" w0
	must meet tapping
	must meet finish 200
	serve_stop "$B"
	check "the server saw no wrong byte" pat_is '.error == 0 and .corrupt == 0 and .running == 0' "server-$B"
}

# Records sent there = records opened here, when nothing is on its way any more
same_count()
{
	is "$(jq .total.sealed_records "$SHARE/$THERE.stats")" "$(jq .total.opened_records "$TMP/stats")"
}

nothing_else()
{
	is "$(jq '.total.plain_in + .total.plain_out + .total.dropped + ([.drop[]] | add)' "$TMP/stats")" 0
}

begin
need_pair
ktap_print_msg "machine ${HERE,,}: $(uname -r), $(openssl version)"
load_module
must host_on_wire
must slowwait 30 other_answers
must certificates
tap_start plain "${!HERE}" w0
must meet begin
machine_${HERE,,}
must daemon_stop $HERE
must meet quiet
seal "${!HERE}" -j stats >"$TMP/stats"
must tell stats "$(cat "$TMP/stats")"
must await stats
check "records sent by machine $THERE = records opened by ${HERE,,}" same_count
check "no plaintext counted, nothing dropped" nothing_else
tap_stop w
check "every segment on the wire was sealed, the control connection aside" all_sealed w
must meet end 60
ktap_finished
