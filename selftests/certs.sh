#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# Certificates that must be refused, each with its own message, and never a
# plain byte: wrong CA, expired, not yet valid, address not in the SAN, revoked,
# revoked in the middle of a handshake, and a peer that speaks TLS 1.2 only. In
# between a good one is accepted, so that it was the certificate each time.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# when SECONDS-FROM-NOW: as the command line takes times
when()
{
	date -u -d "@$(($(date +%s) + $1))" +%Y-%m-%dT%H:%M:%SZ
}

# B starts anew with what is in its files; nothing is left of before
restart_b()
{
	[ ! -e "$TMP/daemon-B.pid" ] || daemon_stop B || return
	# A has backed off from B and must not wait for that
	daemon_stop A || return
	seal_a sa flush && seal_b sa flush &&
		daemon_start A B
}

connects()
{
	slowwait 20 pat "$A" "$B4" -u 1000 -T 5
}

fails()
{
	if pat "$A" "$B4" -u 1000 -T 20; then
		return 1
	fi
	pat_is '.corrupt == 0 and .stalled == 0'
}

reason_has()
{
	peer A "$B4" reason | grep -qE "$1" || {
		echo "reason: $(peer A "$B4" reason)"
		grep -hE 'session|refus|certificate' "$TMP/daemon-A.log" | tail -n 5
		return 1
	}
}

# log_has HOST REGEX: or in the daemon's words
log_has()
{
	grep -qE "$2" "$TMP/daemon-$1.log" || {
		tail -n 10 "$TMP/daemon-$1.log"
		return 1
	}
}

dials()
{
	[ -n "$(on_a ss -Htn state established "dport = :7325")" ]
}

# bad TEXT REGEX: B's certificate is what it is; A must not like it
bad()
{
	: >"$TMP/daemon-A.log"
	: >"$TMP/daemon-B.log"
	must restart_b
	check "$1: no connection" fails
	check "$1: the message says why" slowwait 5 reason_has "$2"
	check "$1: so does the daemon's log" log_has A "$2"
}

begin openssl
load_module
topo_up
tap_start ra "$R" ra
negotiated require
serve "$B"
check "a good certificate is accepted" connects

must "$TCPSEAL" ca init --dir "$TMP/other" --name other
must "$TCPSEAL" cert issue --name b --ip $B4,$B6 --dir "$TMP/other" --out "$TMP/pki" --force
bad "wrong CA" "not among the configured authorities|issuer"

must cert_for B $B4,$B6 --not-before "$(when -7200)" --not-after "$(when -3600)"
bad "expired" "expired"

must cert_for B $B4,$B6 --not-before "$(when 3600)" --not-after "$(when 7200)"
bad "not yet valid" "not (yet )?valid before|notBefore"

must cert_for B 10.2.0.6,fd00:2::6
bad "address not in the SAN" "subjectAltName has not the address 10.2.0.5"

must cert_for B $B4,$B6
must "$TCPSEAL" cert revoke "$TMP/pki/b.crt" --dir "$TMP/pki"
must sed -i "s|^identity .*|& crl $TMP/pki/ca.crl|" "$TMP/A.conf"
bad "revoked" "revoked"

# its own certificate is good: the other end refuses
must cert_for B $B4,$B6
must "$TCPSEAL" cert issue --name a --ip $A4,$A6 --dir "$TMP/other" --out "$TMP/pki" --force
: >"$TMP/daemon-B.log"
must restart_b
check "the client's certificate from a wrong CA: no connection" fails
check "the client's certificate from a wrong CA: the server's log says why" \
	log_has B "not among the configured authorities|issuer"
must cert_for A $A4,$A6
must restart_b
check "a good certificate is accepted again" connects

# Revoked while its handshake is on the way: that began when it was trusted
must seal_a sa flush
must seal_b sa flush
: >"$TMP/daemon-A.log"
must kill -STOP "$(cat "$TMP/daemon-B.pid")"
must seal_a peer rekey $B4
must slowwait 5 dials
must "$TCPSEAL" cert revoke "$TMP/pki/b.crt" --dir "$TMP/pki"
must daemon_reload A
must slowwait 5 quietly log_has A "is in force"
must kill -CONT "$(cat "$TMP/daemon-B.pid")"
check "revoked in between: the handshake comes to its end" slowwait 10 quietly log_has A ": keys with b"
check "revoked in between: its keys go at once" slowwait 5 log_has A "keys removed: .*revoked"
check "revoked in between: there are none" is "$(peer A $B4 tx.id)$(peer A $B4 rx.id)" ""
check "revoked in between: no connection" fails
must cert_for B $B4,$B6

# a peer of TLS 1.2: not tcpseal at all
must daemon_stop B
must seal_a sa flush
must seal_b link flush --force --weaken
on_b openssl s_server -quiet -accept 7325 -tls1_2 -cert "$TMP/pki/b.crt" -key "$TMP/pki/b.key" \
	-CAfile "$TMP/pki/ca.crt" >"$TMP/s_server.log" 2>&1 </dev/null &
server=$!
must slowwait 10 listens "$B" 7325
must daemon_stop A
must daemon_start A
check "TLS 1.2 only: no connection" fails
check "TLS 1.2 only: the message says why" slowwait 5 reason_has "TLS 1.3"
kill $server

tap_stop ra
check "nothing plain ever passed, the control connection aside" tap_is ra plain 0
check "nor the marker" tap_is ra marker 0
ktap_finished
