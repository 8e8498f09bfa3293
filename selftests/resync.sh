#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# A daemon that does not get round to the kernel's events loses some (ENOBUFS). It looks
# at the kernel's lists then: a peer that was released is forgotten on disk as well, a
# link that came has the memory of its pairs at once, and who waits for a key gets it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# A pair that A sealed with, long ago, for which it has no link now
C4=10.3.0.5
EVENTS=4000

remembers()
{
	grep -q " $1 " "$TMP/state-A/sticky"
}

sticky()
{
	contains "$(peer A "$1" 'flags | join(" ")')" sticky
}

# Of peers that prefer, the first contact may be plain
sticky_after_transfer()
{
	pat "$A" "$1" -u 1000 -T 5 && sticky "$1"
}

# Links that come and go: an event each time
noise()
{
	local i
	for ((i = 0; i < EVENTS / 2; i++)); do
		echo "link add 10.77.$((i % 250)).0/24 10.88.0.0/16 mode audit"
		echo "link del 10.77.$((i % 250)).0/24 10.88.0.0/16"
	done >"$TMP/noise"
	seal_a -batch "$TMP/noise"
}

lost_some()
{
	grep -q 'events of the kernel were lost' "$TMP/daemon-A.log"
}

begin
load_module
topo_up
must pki_up
links_conf A B prefer | conf_for A
links_conf B A prefer | conf_for B
printf 'tcpseal-sticky 1\n%s %s 1790000000 1790000000 c\n' $A4 $C4 >"$TMP/state-A/sticky"
must daemon_start A B
serve "$B"
for address in $B4 $B6; do
	must slowwait 20 sticky_after_transfer "$address"
	must slowwait 10 remembers "$address"
done
check "a pair without a link is remembered" remembers $C4

kill -STOP "$(cat "$TMP/daemon-A.pid")"
must noise
must seal_a peer forget $B6
must seal_a link add $NET_A4 10.3.0.0/16 mode prefer
must seal_a sa flush
must seal_b sa flush
stream held "$A" $B4 -u 1000 -T 60
kill -CONT "$(cat "$TMP/daemon-A.pid")"
check "events were lost" slowwait 10 lost_some
check "who was released is forgotten" slowwait 10 refuses remembers $B6
check "who was not is remembered" remembers $B4
check "what is remembered of the pairs of a new link holds" slowwait 10 sticky $C4
check "who waited for a key got it" slowwait 30 stream_ended held
check "and what it sent arrived" stream_is held '.exact == 1'
ktap_finished
