#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# "tcpseal check": each thing that may be in the way between two hosts, once, and the
# sentence that names it; and nothing is in the way when nothing is.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# finds STEP RESULT REGEX [STATUS]: what check says of a step; it ends with 1 unless said
finds()
{
	local got=0
	seal_a -j check "$B4" >"$TMP/check.json" || got=$?
	is "$got" "${4:-1}" && jq -e --arg step "$1" --arg result "$2" --arg text "$3" '
		any(.step == $step and .result == $result and (.text | test($text)))' \
		"$TMP/check.json" >/dev/null && return
	jq -r '.[] | "\(.step) \(.result) \(.text)"' "$TMP/check.json"
	return 1
}

# all_good: not even a note, but for key groups of older libraries
all_good()
{
	finds "$@" && jq -e 'all(.result == "good" or .step == "group")' "$TMP/check.json" >/dev/null
}

# when SECONDS-FROM-NOW: as the command line takes times
when()
{
	date -u -d "@$(($(date +%s) + $1))" +%Y-%m-%dT%H:%M:%SZ
}

# B takes its certificate anew; the old keys stay
new_cert()
{
	: >"$TMP/daemon-B.log"
	daemon_reload B && slowwait 20 grep -qF "is in force" "$TMP/daemon-B.log"
}

# no_firewall: what a router dropped passes again
no_firewall()
{
	on_r nft flush ruleset
}

begin nft
need_own_module
must rmmod tcpseal
setup_ns A
check "no module" finds module bad "is the module loaded"
remove_ns
loaded_module='' && load_module
topo_up

check "no link" finds link bad "no link covers 10.1.0.5 and 10.2.0.5"
check "no route" is "$(seal_a -j check 10.2.0.5 local 10.1.0.9 |
	jq -r '.[] | select(.step == "route") | .result')" bad
must seal_a link add $NET_A4 $NET_B4 mode clear
check "a clear link" finds link bad "a hole"
must seal_a link add $NET_A4 $NET_B4 mode require
check "no daemon here" finds daemon bad "no tcpseald runs here"
check "a closed port" finds port bad "refuses connections to port 7325"
flush_both

negotiated require
check "nothing is in the way" slowwait 30 all_good mode good "require here, require there: sealed" 0
check "the path" finds mtu good "packets of 1500 bytes arrive: 1416 bytes of payload" 0
check "the peer, by name" finds handshake good "the peer is b, certificate" 0
check "the key group" finds group good "post-quantum" 0
for words in "" "rabbit" "$B4 local" "$B4 local $A6" "$B4 local $A4 more"; do
	# shellcheck disable=SC2086
	seal_a check $words 2>"$TMP/usage"
	check "bad words: \"$words\"" is $? 2
done

must cert_for B $B4,$B6 --not-before "$(when -7200)" --not-after "$(when -3600)"
must new_cert
check "an expired certificate" finds handshake bad "expired at .* the clock here says"
must cert_for B $B4,$B6 --not-before "$(when 3600)" --not-after "$(when 7200)"
must new_cert
check "a clock that is behind" finds handshake bad "not valid before .* the clock here says"
must "$TCPSEAL" ca init --dir "$TMP/other" --name other
must "$TCPSEAL" cert issue --name b --ip $B4,$B6 --dir "$TMP/other" --out "$TMP/pki" --force
must new_cert
check "another authority" finds handshake bad "not among the configured authorities"
must cert_for B 10.2.0.6
must new_cert
check "an address that the certificate has not" finds handshake bad \
	"subjectAltName has not the address 10.2.0.5"
must cert_for B $B4,$B6
must new_cert
check "a good certificate again" slowwait 30 finds handshake good "the peer is b" 0

must on_r nft -f - <<-'END'
	table ip fw {
		chain passing {
			type filter hook forward priority 0
			tcp dport 7325 drop
		}
	}
END
check "a firewall" finds port bad "does not answer on port 7325.*firewall"
must no_firewall
must on_r nft -f - <<-'END'
	table ip fw {
		chain own {
			type filter hook output priority 0
			icmp type destination-unreachable icmp code 4 drop
		}
	}
END
must ip -n "$R" link set rb mtu 1300
must ip -n "$B" link set b0 mtu 1300
check "a black hole for large packets" finds mtu bad "packets of 1500 bytes vanish"
must no_firewall
check "a smaller MTU that is said" finds mtu good "packets of 1300 bytes arrive" 0

{ links_conf B A clear; } | conf_for B
must daemon_stop B
must seal_b link flush --force --weaken
must daemon_start B
check "the peer has a clear link" finds mode bad "require here, clear there: blocked"
check "and says so" finds handshake bad "the peer b says mode clear"
ktap_finished
