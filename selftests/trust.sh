#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Whom the daemon trusts changes while it runs: the name that a link demands, the
# revocation list and how old it may be, the key usage, the authorities. What was agreed
# with a certificate that is revoked, or whose authority is gone, ends with the reload;
# what is only asked of new handshakes leaves keys alone. Nothing leaves in plain.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# conf_a IDENTITY-WORDS NAME [LINE...]: A demands that name of its peers for IPv6
conf_a()
{
	local words=$1 name=$2
	shift 2
	{
		echo "link $NET_A4 $NET_B4 mode require identity b"
		echo "link $NET_A6 $NET_B6 mode require identity $name"
		[ $# = 0 ] || printf '%s\n' "$@"
	} | conf_for A
	[ -z "$words" ] || sed -i "s|^identity .*|& $words|" "$TMP/A.conf"
}

# reload HOST: and the daemon has read it
reload()
{
	local lines
	lines=$(grep -c ' is in force' "$TMP/daemon-$1.log")
	daemon_reload "$1" && slowwait 10 said_more "$1" "$lines"
}

said_more()
{
	[ "$(grep -c ' is in force' "$TMP/daemon-$1.log")" -gt "$2" ]
}

connects()
{
	slowwait 20 pat "$A" "$1" -u 1000 -T 5
}

fails()
{
	refuses pat "$A" "$1" -u 1000 -T 4
}

reason_has()
{
	contains "$(peer A "$1" reason)" "$2"
}

log_has()
{
	grep -qF -- "$2" "$TMP/daemon-$1.log" || {
		tail -n 10 "$TMP/daemon-$1.log"
		return 1
	}
}

# keys ADDRESS: live ones, both ways
keys()
{
	seal_a -j sa show | jq --arg peer "$1" \
		'[.[] | select(.peer == $peer and .state != "tombstone")] | length'
}

keys_gone()
{
	[ "$(keys "$B4")" = 0 ] && [ "$(keys "$B6")" = 0 ]
}

# new_handshake TEXT REASON: it is refused for that; the keys that there are go on
new_handshake()
{
	must reload A
	must seal_a peer rekey $B4
	check "$1: a new handshake is refused" slowwait 10 reason_has $B4 "$2"
	check "$1: keys that were good before go on" pat "$A" $B4 -u 1000
}

# ended TEXT REASON: with the reload
ended()
{
	must reload A
	check "$1: the keys are gone at once" slowwait 5 keys_gone
	check "$1: no connection" fails $B4
	check "$1: the message says why" reason_has $B4 "$2"
	check "$1: so does the daemon's log" log_has A "keys removed: certificate b (serial"
}

begin openssl
load_module
topo_up
tap_start ra "$R" ra
must pki_up
must "$TCPSEAL" ca init --dir "$TMP/other" --name other
must "$TCPSEAL" ca crl --dir "$TMP/other"
links_conf B A require | conf_for B
conf_a "" nobody
must daemon_start A B
serve "$B"
check "the name that the link demands: a connection" connects $B4
check "another name: none" fails $B6
check "another name: the message says which" slowwait 5 reason_has $B6 \
	'is not in the name of "nobody", as the link demands; it has CN b'
conf_a "" b
must reload A
check "the right name after a reload: a connection" connects $B6

# The list is one of another issuer
conf_a "crl $TMP/other/ca.crl" b "crl-stale warn"
must reload A
must seal_a peer rekey $B4
check "no list of this issuer, crl-stale warn: it is said" slowwait 10 \
	log_has A "the CRL of a peer's issuer is missing or out of date"
conf_a "crl $TMP/other/ca.crl" b "crl-stale fail"
new_handshake "no list of this issuer, crl-stale fail" "no CRL of its issuer is configured"
conf_a "" b "eku 1.3.6.1.4.1.99999.1"
new_handshake "another key usage" "extendedKeyUsage lacks 1.3.6.1.4.1.99999.1"

must "$TCPSEAL" cert revoke "$TMP/pki/b.crt" --dir "$TMP/pki"
conf_a "crl $TMP/pki/ca.crl" b
ended "revoked" "revoked by the CRL of its issuer"
must cert_for B $B4,$B6
must reload B
check "another certificate, after a reload: a connection" connects $B4
: >"$TMP/daemon-A.log"
conf_a "" b
sed -i "s|$TMP/pki/ca.crt|$TMP/other/ca.crt|" "$TMP/A.conf"
ended "another authority" "among the configured authorities"
conf_a "" b
must reload A
check "the authority is back: a connection" connects $B4

tap_stop ra
check "nothing plain ever passed, the control connection aside" tap_is ra plain 0
ktap_finished
