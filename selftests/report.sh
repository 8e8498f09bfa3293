#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# "tcpseal report": of two hosts that say the truth, and of what one of them might say
# that is not true.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# status HOST [JQ]: what it says of itself, changed by that. In a namespace the name is
# that of the machine, and each VM lacks a generation ID
status()
{
	seal "${!1}" -j status | jq ".host = \"host-$1\" | .warnings = [] | ${2:-.}" >"$TMP/$1.json"
}

# says STATUS JQ FILE...: of the report
says()
{
	local want=$1 filter=$2 got=0
	shift 2
	"$TCPSEAL" -j report "$@" >"$TMP/report.json" || got=$?
	is "$got" "$want" && jq -e "$filter" "$TMP/report.json" >/dev/null && return
	jq . "$TMP/report.json"
	return 1
}

# finds REGEX FILE...
finds()
{
	local regex=$1
	shift
	says 1 ".findings | any(test(\"$regex\"))" "$@"
}

both_sealed()
{
	status A && status B && says 0 '.findings == [] and (.pairs | length) == 2 and
		all(.pairs[]; .agreed and .peer != null)' "$TMP/A.json" "$TMP/B.json"
}

begin
load_module
topo_up
must ip -n "$A" -6 addr flush scope global
must ip -n "$B" -6 addr flush scope global
serve "$B"
must pki_up
echo "link $NET_A4 $NET_B4 mode require" | conf_for A
echo "link $NET_B4 $NET_A4 mode require" | conf_for B
must daemon_start A B
must slowwait 20 pat "$A" $B4 -u 1000
check "two hosts, sealed by the word of both" slowwait 20 both_sealed
check "for people" contains "$("$TCPSEAL" report "$TMP/A.json" "$TMP/B.json")" "Findings: 0"
check "the real name is there" is "$(seal_a -j status | jq -r .host)" "$(uname -n)"
check "of a peer there is no report" finds "no report of the other end" "$TMP/A.json"
must status B '.peers[0].state = "plain"'
check "the ends contradict each other" finds "contradict" "$TMP/A.json" "$TMP/B.json"
must status B '.peers = []'
check "one end knows nothing of it" finds "knows nothing" "$TMP/A.json" "$TMP/B.json"
must status B '.peers[0].rx.spi = 1 | .peers[0].rx.state = "draining" | del(.peers[0].tx)'
check "no key in common" finds "no key in common" "$TMP/A.json" "$TMP/B.json"
must status B '.peers[0].mode_local = "audit"'
check "not the modes that were agreed on" finds "modes are not" "$TMP/A.json" "$TMP/B.json"
must status B '.warnings = ["something is loud"]'
check "warnings of a host" finds "host-B: something is loud" "$TMP/A.json" "$TMP/B.json"
must ip -n "$A" addr add fd00:1::5/64 dev a0 nodad
must status A
must status B
check "an address that no link covers" finds "host-A: no link covers its address fd00:1::5" \
	"$TMP/A.json" "$TMP/B.json"
must seal_a link add 10.1.0.0/16 10.2.9.0/24 mode clear --weaken
must status A
check "what is clear" says 1 '.clear | length == 1 and .[0].remote == "10.2.9.0"' \
	"$TMP/A.json" "$TMP/B.json"
echo '{"links": 1}' >"$TMP/odd.json"
for file in "" "$TMP/nowhere" "$TMP/odd.json" "$0"; do
	# shellcheck disable=SC2086
	"$TCPSEAL" report $file >"$TMP/usage" 2>&1
	check "bad file: \"${file##*/}\"" at_least $? 1
done
ktap_finished
