#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# tcpseal why: for every fate of a connection the answer, its reason and its exit
# status, and then a connection that meets just that fate. What the peer said last,
# and the lives of the keys, are there when no daemon is.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# why_is HOST STATUS FATE REGEX ADDRESSES [WORDS...]
why_is()
{
	local ns=$1 status=$2 fate=$3 regex=$4 said got=0
	shift 4
	said=$(seal "${!ns}" -j why "$@") || got=$?
	is "$got" "$status" && is "$(jq -r .now <<<"$said")" "$fate" &&
		jq -r .because <<<"$said" | grep -qE "$regex" && return
	echo "$said"
	seal "${!ns}" why "$@"
	return 1
}

# of_why HOST JQ ADDRESSES...: something else that it says
of_why()
{
	local ns=$1 filter=$2
	shift 2
	seal "${!ns}" -j why "$@" | jq -e "$filter" >/dev/null && return
	seal "${!ns}" why "$@"
	return 1
}

# Only the kernel's memory is left
no_daemons()
{
	daemon_stop A KILL && daemon_stop B KILL &&
		slowwait 10 of_why A 'has("ctrl_port") | not' "$A4" "$B4"
}

text_has()
{
	contains "$(seal_a why "$A4" "$B4")" "$1"
}

begin
load_module
topo_up
serve "$B"

check "no link: plain" why_is A 3 plain "no link covers" $A4 $B4
must seal_a link add 10.0.0.0/8 10.0.0.0/8 mode require
check "require, no daemon: dropped" why_is A 4 dropped "no tcpseald runs here" $A4 $B4
check "and so it is" refuses pat "$A" $B4 -u 1000 -T 5
check "an address of somebody else: not ours to seal" \
	why_is A 3 plain "not one of this host" 10.1.0.9 $B4
must seal_a link add $NET_A4 $NET_B4 mode clear --weaken
check "clear inside require: plain" why_is A 3 plain "mode clear" $A4 $B4
check "and the link around it is named" \
	of_why A '.link.mode == "clear" and (.outer | length) == 1 and .outer[0].mode == "require"' $A4 $B4
check "and so it is" pat "$A" $B4 -u 1000
must seal_a link add $NET_A4 $NET_B4 mode prefer --weaken
check "prefer, no word yet: plain" why_is A 3 plain "no word with the peer" $A4 $B4

check "and so it is" pat "$A" $B4 -u 1000
# Two connections passed by this link, the first one when it was clear and had no pairs
check "the link counts what its pair sends in plain" \
	of_why A '.pair.stats.plain_in > 0 and .pair.stats.plain_out > 0 and
		.link.stats.plain_out > 1.5 * .pair.stats.plain_out' $A4 $B4
must seal_a link add $NET_A4 $NET_B4 mode require keys manual
check "manual keys, none there: dropped" why_is A 4 dropped "keys manual" $A4 $B4
flush_both
for words in "" "10.1.0.5" "10.1.0.5 fd00:2::5" "$A4 $B4 port" "$A4 $B4 port 70000" \
	"$A4 $B4 port 1 more" "$A4 rabbit"; do
	# shellcheck disable=SC2086
	seal_a why $words 2>"$TMP/usage"
	check "bad words: \"$words\"" is $? 2
done

negotiated require
check "require, daemons, no pair: held" why_is A 0 held "asks for one" $A4 $B4
check "a sealed connection" slowwait 20 pat "$A" $B4 -u 100000
check "sealed" why_is A 0 sealed "mode require here, and there is a key" $A4 $B4
check "sealed, at the other end" why_is B 0 sealed "mode require here" $B4 $A4
check "both directions, their ages and what is left" of_why A '
	[.sas[] | select(.state == "current")] | (map(.dir) | sort) == ["in", "out"]
	and all(.age_secs < 3600 and .hard_secs > 80000) and any(.soft_secs > 0)' $A4 $B4
check "both modes, and what they agreed on" of_why A '.pair.mode_peer == "require" and
	(.pair.flags | index("agreed") and index("sticky"))' $A4 $B4
check "the link counts what its pair seals and opens" of_why A '
	.link.stats.sealed_bytes > 100000 and .link.stats.opened_records > 0 and
	.link.stats.sealed_records == .pair.stats.sealed_records' $A4 $B4
stream busy "$A" $B4 -i 100
must stream_moves busy
check "top: the busy pair comes first, and moves bytes" is "$(seal_a -j top -n 2 -d 1 |
	jq -c 'select(.[0].remote == "10.2.0.5" and .[0].sealed_bytes > 0) | length' | tail -n 1)" 1
check "top: for people" contains "$(seal_a top -n 1 -d 1)" "$B4 "
must stream_end busy
check "the control port is pointed out" \
	contains "$(seal_a why $A4 $B4 port 7325)" "control port"
must no_daemons
check "sealed without a daemon" why_is A 0 sealed "there is a key" $A4 $B4
check "that none runs is said" text_has "no tcpseald runs here"

# The peer's no, in its words, is still there when the daemons are gone
must seal_a sa flush
must seal_b link flush --force --weaken
{ links_conf B A clear; } | conf_for B
must daemon_start B A
check "the peer says clear: no connection" refuses pat "$A" $B4 -u 1000 -T 10
check "refused: the peer said so" slowwait 20 of_why A '.pair.mode_peer == "clear"' $A4 $B4
check "refused" why_is A 4 dropped "the peer refuses .mode clear there" $A4 $B4
must no_daemons
check "refused: the peer's answer stays, without a daemon" of_why A '
	.pair.mode_peer == "clear" and (.pair.flags | index("refused")) and
	(.pair.reason | contains("says mode clear")) and .pair.reason_secs < 600' $A4 $B4
check "refused: for people, too" text_has "ago: the peer b says mode clear"

# Gateways key for others
flush_both
behind_up
sealed_gateway
check "through a gateway: sealed" why_is A 0 sealed "there is a key" $A4 $D4
check "through a gateway: by the gateway's pair" of_why A ".pair.remote == \"$B4\"" $A4 $D4
check "on the gateway: sealed, for an address that is not its own" \
	why_is B 0 sealed "there is a key" $D4 $A4
ktap_finished
