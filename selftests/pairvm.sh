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

SHARE=${TCPSEAL_SHARE:-/mnt/share}

case ${TCPSEAL_VM:-} in
a) HERE=A THERE=b ;;
b) HERE=B THERE=a ;;
*) HERE='' THERE='' ;;
esac

# tell WHAT: the other machine may go on
tell()
{
	echo "${2:-}" >"$SHARE/${HERE,,}.$1.new" && mv "$SHARE/${HERE,,}.$1.new" "$SHARE/${HERE,,}.$1"
}

# await WHAT [SEC]: until the other machine told
await()
{
	slowwait "${2:-30}" test -e "$SHARE/$THERE.$1" && return
	echo "the other machine never said '$1'"
	return 1
}

# meet WHAT: neither goes on alone
meet()
{
	tell "$1" && await "$1" "${2:-30}"
}

host_on_wire()
{
	local ns address4=${HERE}4 address6=${HERE}6
	setup_ns "$HERE"
	ns=${!HERE}
	ip link set wire0 netns "$ns" name w0 &&
		host_up "$ns" w0 "${!address4}/8" "${!address6}/16"
}

other_answers()
{
	if [ "$HERE" = A ]; then
		quietly on_a ping -c 1 -W 1 "$B4" && quietly on_a ping -c 1 -W 1 "$B6"
	else
		quietly on_b ping -c 1 -W 1 "$A4" && quietly on_b ping -c 1 -W 1 "$A6"
	fi
}

# One authority for both, as on two real machines
certificates()
{
	if [ "$HERE" = A ]; then
		pki_up && mkdir "$SHARE/pki" && cp "$TMP/pki/ca.crt" "$TMP/pki"/b.* "$SHARE/pki/" &&
			tell pki
	else
		await pki && cp -r "$SHARE/pki" "$TMP/pki"
	fi
}

required()
{
	if [ "$HERE" = A ]; then
		links_conf A B require | conf_for A
	else
		links_conf B A require | conf_for B
	fi
	daemon_start "$HERE" && meet daemon
}

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
if [ -z "$HERE" ] || [ ! -d "$SHARE" ] || [ ! -d /sys/class/net/wire0 ]; then
	ktap_skip_all "wants two machines: scripts/vm pair"
fi
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
