#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# "tcpseal capture" shows on the host what applications send and get, while an
# eavesdropper on the way reads nothing; its rules end with it, however it ends.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# capture_start WORDS...: on A, until its rules stand
capture_start()
{
	rm -f "$TMP/capture.out" "$TMP/capture.err"
	nsenter --net="/run/netns/$A" "$TCPSEAL" capture "$@" >"$TMP/capture.out" \
		2>"$TMP/capture.err" &
	capture=$!
	slowwait 20 grep -q 'listening on' "$TMP/capture.err" && return
	cat "$TMP/capture.err"
	return 1
}

capture_end()
{
	kill "-$1" "$capture"
	wait "$capture" 2>/dev/null
	slowwait 10 no_rules
}

no_rules()
{
	[ -z "$(on_a nft list tables)" ]
}

# seen TEXT: in the text of the capture
seen()
{
	slowwait 10 grep -qaF -- "$1" "$TMP/capture.out" && return
	head -c 2000 "$TMP/capture.out"
	return 1
}

# payload_of REGEX: a segment with payload
payload_of()
{
	grep -aq "^[0-9:.]* $1" "$TMP/capture.out" && return
	head -c 2000 "$TMP/capture.out"
	return 1
}

# echoed PORT TEXT: sent to B, and back
echoed()
{
	is "$(printf '%s' "$2" | on_a timeout $((10 * SLOW)) socat -t 5 - "TCP4:$B4:$1")" "$2"
}

begin nft tcpdump socat
load_module
topo_up
sealed_pair require
for port in 7001 7002; do
	on_b socat "TCP4-LISTEN:$port,fork,reuseaddr" EXEC:cat &
done
must slowwait 20 listens "$B" 7001
must slowwait 20 listens "$B" 7002

tap_start way "$R" ra
must capture_start -i a0 $B4 port 7001
check "a connection" echoed 7001 "spoken-aloud"
check "what it sends and gets can be read" seen spoken-aloud
check "a connection of another port" echoed 7002 "spoken-softly"
check "another connection of this port" echoed 7001 "the-end"
check "which can be read, too" seen the-end
check "the other port is not in it" refuses grep -qaF spoken-softly "$TMP/capture.out"
check "on the way out" payload_of "IP $A4.* > $B4.7001: .*length 12"
check "on the way in" payload_of "IP $B4.7001 > $A4.*: .*length 12"
must on_a nft flush ruleset
check "no other program takes the rules away" refuses no_rules
check "killed by force, its rules go" capture_end KILL
must capture_start -w "$TMP/capture.pcap"
check "into a file" echoed 7002 "written-down"
check "the file has it" slowwait 10 grep -qaF written-down "$TMP/capture.pcap"
check "ended, its rules go" capture_end TERM
check "the file is nobody else's to read" is "$(stat -c %a "$TMP/capture.pcap")" 600
tap_stop way
check "on the way nothing could be read" all_sealed way

for words in "-i" "-i rabbit0" "-c 0" "10.0.0.1/8" "rabbit" "port" "port 70000" \
	"$B4 port 1 more"; do
	# shellcheck disable=SC2086
	seal_a capture $words 2>"$TMP/usage"
	check "bad words: \"$words\"" is $? 2
done
ktap_finished
