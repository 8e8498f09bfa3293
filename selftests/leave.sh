#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# A host leaves: peers that remember it as sealed are asked to forget that, prove it
# by who asks, and its addresses go to a machine without tcpseal. Who cannot be
# asked, or requires to seal, is named. Without leaving, that machine is refused.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

sticky()
{
	peer_is "$1" "$2" 'flags | index("sticky") != null' true
}

forgotten()
{
	! sticky "$1" "$2" >/dev/null
}

both_sticky()
{
	sticky A "$B4" && sticky B "$A4" && sticky A "$B6" && sticky B "$A6"
}

# talked: connections until both have opened records of the other one
talked()
{
	pat "$A" "$B4" -u 1000 -T 5 && pat "$A" "$B6" -u 1000 -T 5 && both_sticky
}

# leaves STATUS JQ [WORDS...]: what B's "tcpseal leave" answers
leaves()
{
	local status=$1 filter=$2 got=0
	shift 2
	seal_b -j leave "$@" >"$TMP/leave.json" 2>"$TMP/leave.err" || got=$?
	is "$got" "$status" && { [ -z "$filter" ] || jq -e "$filter" "$TMP/leave.json" >/dev/null; } && return
	cat "$TMP/leave.json" "$TMP/leave.err"
	return 1
}

refusal_has()
{
	contains "$(cat "$TMP/leave.err")" "$1"
}

reloaded()
{
	links_conf "$1" "$2" "$3" | conf_for "$1"
	kill -HUP "$(cat "$TMP/daemon-$1.pid")"
	slowwait 10 mode_is "$1" "$3"
}

mode_is()
{
	is "$(seal "${!1}" -j link show | jq -r '[.[].mode] | unique | join(" ")')" "$2"
}

# again MODE-A MODE-B: with the certificates that they have
again()
{
	links_conf A B "$1" | conf_for A
	links_conf B A "$2" | conf_for B
	daemon_start A B
}

# The addresses of B in the hands of a machine that has no tcpseal
given_away()
{
	daemon_stop B && seal_b link flush --force --weaken
}

begin
load_module
topo_up
serve "$B"
negotiated prefer
check "both seal, and remember it" slowwait 20 talked

check "a host that still prefers to seal does not leave" leaves 1 ""
check "and is told why" refusal_has "its link is prefer here"
check "nothing was asked" both_sticky
for words in rabbit "10.1.0.0/99" "wait" "wait rabbit" "wait 5 more"; do
	# shellcheck disable=SC2086
	check "bad words: \"$words\"" leaves 2 "" $words
done

# A does not hear of it
must daemon_stop A
must seal_a sa flush
must seal_b sa flush
must reloaded B A audit
check "the peer cannot be asked: it is named, with the reason" \
	leaves 1 '.asked == 2 and .released == 0 and
		([.left[].remote] | sort) == ["10.1.0.5", "fd00:1::5"] and
		all(.left[]; .reason | length > 5)' wait 2
check "it still remembers" both_sticky
check "an address that nobody has: nothing to do" leaves 0 '.asked == 0' 10.77.0.0/16 wait 2

must daemon_start A
check "the peer can be asked: it forgets, IPv4" leaves 0 '.released == .asked and .left == []' $A4
check "A has forgotten" slowwait 10 forgotten A $B4
check "all others" leaves 0 '.left == []'
check "A has forgotten, IPv6" slowwait 10 forgotten A $B6
check "so has its file" refuses grep -q " $B4 \| $B6 " "$TMP/state-A/sticky"
must given_away
check "the new owner of the address is reached, in plain" slowwait 20 pat "$A" $B4 -u 1000 -T 5
check "the new owner of the address is reached, IPv6" slowwait 20 pat "$A" $B6 -u 1000 -T 5

# Who goes without leaving
must daemon_stop A
must again prefer prefer
check "both seal again" slowwait 20 talked
must daemon_stop B KILL
must seal_b link flush --force --weaken
check "whoever has the address of a host that did not leave is refused" \
	refuses pat "$A" $B4 -u 1000 -T 5

# A peer that requires it
must daemon_stop A
must seal_a link flush --force --weaken
must again require prefer
check "both seal once more" slowwait 20 talked
must reloaded B A audit
check "a peer that requires to seal stays, and is named" \
	leaves 1 '.released == 0 and (.left[0].reason | test("requires to seal"))' $A4 wait 3
check "text" contains "$(seal_b leave $A4 wait 1)" "0 of 1 peers have released this host"
ktap_finished
