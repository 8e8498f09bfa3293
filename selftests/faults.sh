#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Want of memory, in each place where the data path needs some: every third call
# fails for a while under a connection that must be sealed. It goes on and is
# exact, what failed is counted, and nothing of it left in plain. A connection that
# may be plain does not depend on any of it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${FAULT_KO:=$TOP/selftests/test_modules/tcpseal_fault.ko}"
PARAMETERS=/sys/module/tcpseal_fault/parameters
FAILURES=20

# fault FUNCTION RESULT COMMAND...: while the function fails. Says how often it did.
fault()
{
	local status
	insmod "$FAULT_KO" function="$1" result="$2" left="$FAILURES" || return
	shift 2
	"$@"
	status=$?
	HITS=$(cat "$PARAMETERS/hits")
	rmmod tcpseal_fault || return
	return "$status"
}

transfer()
{
	pat "$A" "$1" -n 4 -u 500000 -d 500000
}

counted()
{
	has_grown A before "$1" || has_grown B before "$1"
}

# sealed FUNCTION RESULT: both families
sealed()
{
	local f address
	for f in 4 6; do
		address=B$f
		snap before
		tap_start wire "$R" ra
		check "$1 fails, IPv$f: the connections are exact" \
			fault "$1" "$2" transfer "${!address}"
		tap_stop wire
		check "$1 fails, IPv$f: it did" at_least "$HITS" $((FAILURES / 2))
		check "$1 fails, IPv$f: counted" counted drop.no-memory
		check "$1 fails, IPv$f: nothing plain left" all_sealed wire
	done
}

# The pair itself: without one, nothing goes either way
no_pair()
{
	local f address
	for f in 4 6; do
		address=B$f
		snap before
		tap_start wire "$R" ra -d in
		check "tcpseal_pair_make fails, IPv$f: no connection at first" \
			fault tcpseal_pair_make 0 all_calls refuses pat "$A" "${!address}" -u 1000 -T 2
		tap_stop wire
		check "tcpseal_pair_make fails, IPv$f: counted" has_grown A before drop.no-pair
		check "tcpseal_pair_make fails, IPv$f: nothing plain left" tap_is wire plain 0
	done
}

all_calls()
{
	echo 1 >"$PARAMETERS/every"
	echo 1000 >"$PARAMETERS/left"
	"$@"
}

# Plain pairs have neither jobs nor pages
plain()
{
	local f address function
	for f in 4 6; do
		address=B$f
		for function in tcpseal_job_alloc tcpseal_pages_alloc tcpseal_pair_make; do
			check "$function fails, IPv$f, audit: plain as before" \
				fault $function 0 transfer "${!address}"
		done
	done
}

# drivers: that A's sending keys encrypt with
drivers()
{
	seal_a -j sa show | jq -r '.[] | select(.dir == "out") | .driver'
}

two_ciphers()
{
	contains "$(drivers)" " + "
}

begin
[ -e "$FAULT_KO" ] || ktap_skip_all "no $FAULT_KO: make test_modules"
load_module
topo_up
serve "$B"
must link_both audit keys manual
plain
flush_both
must link_both require keys manual
no_pair
must sa_both 4
must sa_both 6
check "a key that was never used has one cipher" refuses two_ciphers
check "its first packet" pat "$A" $B4 -u 1000
check "brings one for packets that cannot wait" slowwait 5 two_ciphers
sealed tcpseal_job_alloc 0
sealed tcpseal_pages_alloc -12
sealed tcpseal_skb_own -12
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
