#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# status opens with each link, how much of it is sealed, and what stands in the way of
# require; link promote goes there only when nothing does. Under live traffic.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

STRANGER=10.2.0.20

# of_link JQ: something that status says of the IPv4 link
of_link()
{
	seal_a -j status | jq -e ".links[] | select(.local == \"10.1.0.0\" and .remote == \"10.2.0.0\") | $1" >/dev/null && return
	seal_a status | head -n 4
	return 1
}

# promote [WORDS...]: of the IPv4 link, in the file "said"
promote()
{
	seal_a link promote "$NET_A4" "$NET_B4" "$@" >"$TMP/said" 2>&1
}

# not_yet TEXT [WORDS...]: it is refused with this text, and nothing is changed
not_yet()
{
	local before after text=$1 status=0
	shift
	before=$(seal_a -j link show | jq -c '[.[] | del(.stats)]')
	promote "$@" || status=$?
	after=$(seal_a -j link show | jq -c '[.[] | del(.stats)]')
	is "$status" 1 && is "$after" "$before" && grep -qF -- "$text" "$TMP/said" && return
	cat "$TMP/said"
	return 1
}

mode_is()
{
	of_link ".mode == \"$1\""
}

# usage_error WORDS...
usage_error()
{
	local status=0
	"$TCPSEAL" -n "$A" link promote "$@" 2>"$TMP/said" || status=$?
	is "$status" 2
}

sealed_now()
{
	pat "$A" "$B4" -u 10000 && peer_is A "$B4" state sealed
}

# The share is what the counters say, rounded down
share_is_true()
{
	# shellcheck disable=SC2016	# jq's own
	of_link '.stats as $s | ($s.sealed_bytes + $s.opened_bytes) as $sealed |
		($sealed + $s.plain_out_bytes + $s.plain_in_bytes) as $all |
		.sealed_share == (1000 * $sealed / $all | floor) / 1000'
}

begin
load_module
topo_up
must ip -n "$B" addr add $STRANGER/24 dev b0
serve "$B"
negotiated audit
must pat "$A" $B4 -u 100000
check "audit: nothing is sealed" of_link '.mode == "audit" and .sealed_share == 0 and .plain_secs < 600'
check "audit: the peer's word is known" slowwait 20 of_link '.pairs.plain == 1 and
	(.obstacles | any(startswith("no key")) | not)'
check "audit: the plaintext is in the way, by service" of_link \
	".obstacles | any(test(\"^plaintext .* ago: $B4 port 5001\"))"
check "audit: and for how short it is known" of_link '.obstacles[0] | test("^in mode audit for .* only, not for 1 d$")'
check "the next mode is prefer" promote
check "so it is" mode_is prefer
check "the file is pointed to" grep -q "configuration file" "$TMP/said"
{ links_conf B A prefer; } | conf_for B
must daemon_reload B
check "a sealed connection" slowwait 30 sealed_now
stream sealed "$A" $B4 -i 50
must stream_moves sealed
stream plain "$A" $STRANGER -i 50
must stream_moves plain
check "prefer: the share of sealed bytes" busywait 5000 share_is_true
check "prefer: who cannot be sealed with is named, and why" slowwait 20 of_link \
	".obstacles | any(test(\"^plaintext .* ago: $STRANGER port 5001 .tcp_pat.: .*subjectAltName\"))"
check "prefer: and is without a key" of_link ".obstacles | any(test(\"^no key with $STRANGER: .*subjectAltName\"))"
check "for people, the answer comes first" grep -qE "^10.1.0.0/16 +10.2.0.0/16 +prefer .* plaintext .*$STRANGER" \
	<(seal_a status | head -n 3)
check "require: not yet, with address, port and process" not_yet "$STRANGER port 5001 (tcp_pat)" to require
check "require: not yet, whatever the time" not_yet "$STRANGER port 5001 (tcp_pat)" within 1s
check "require: not yet, the next mode" not_yet "in mode prefer for"
check "less than it is is refused" not_yet "--weaken" to audit
seal_a link promote 10.7.0.0/16 $NET_B4 2>/dev/null
check "no such link: status" is $? 1
check "the same mode is no error" promote to prefer
for words in "" "$NET_A4" "$NET_A4 rabbit" "$NET_A4 $NET_B4 to" "$NET_A4 $NET_B4 to clear" \
	"$NET_A4 $NET_B4 within soon" "$NET_A4 $NET_B4 gladly"; do
	# shellcheck disable=SC2086
	check "bad words: \"$words\"" usage_error $words
done

must stream_end plain
check "plaintext that has ended is still in the way" not_yet "port 5001 (-)" within 1h
must seal_a link add 10.1.0.0/16 $STRANGER/32 mode clear
check "once it is long enough ago, require" slowwait 30 promote within 3s
check "so it is" mode_is require
check "the sealed connection lives" stream_moves sealed
check "require: nothing is in the way any more" of_link '.obstacles == []'
check "the hole is in the answer, too" grep -qE "^10.1.0.0/16 +10.2.0.20/32 +clear .* mode clear" \
	<(seal_a status | head -n 5)
check "the hole is open" pat "$A" $STRANGER -u 1000
must stream_end sealed
check "not a byte was lost" stream_is sealed '.exact == 1'

must pat "$A" $B6 -u 1000
check "IPv6: not yet" refuses seal_a link promote $NET_A6 $NET_B6 to require
check "IPv6: with the word force" seal_a link promote $NET_A6 $NET_B6 to require force
check "IPv6: so it is" is "$(seal_a -j link show | jq -r '.[] | select(.local == "fd00:1::") | .mode')" require
ktap_finished
