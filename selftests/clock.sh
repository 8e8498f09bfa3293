#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# Clocks that jump: to 1970, where daemons go by the latest time that they saw; a year
# ahead, where certificates are bad; and back, all under live connections. Keys that are
# in use live on, also over a restart of the daemon, and with certificates of an
# intermediate authority, which only a handshake can judge. New ones wait for the right
# time, and the reason says so. Where there is no key nothing gets through in plain,
# neither what is required nor what was sealed before.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

YEAR=$((365 * 86400))

# jump TIME: the clock says that, in seconds since 1970
jump()
{
	# what went by in between comes back with the clock
	offset=$((offset + $(date +%s) - $1))
	date -u -s "@$1" >/dev/null
}

# right: the clock says again what it should
right()
{
	jump $(($(date +%s) + offset))
}

started()
{
	: >"$TMP/daemon-$1.log"
	daemon_start "$1" && disown "$(cat "$TMP/daemon-$1.pid")" &&
		slowwait 10 grep -q 'ready,' "$TMP/daemon-$1.log"
}

restarted()
{
	local host
	for host in A B; do
		daemon_stop "$host" || return
	done
	started A && started B
}

keys()
{
	local ns
	for ns in "$A" "$B"; do
		seal "$ns" -j sa show |
			jq -c '[.[] | select(.state == "current") | [.dir, .local, .peer, .spi]] | sort'
	done
}

same_keys()
{
	is "$(keys)" "$1"
}

streams_move()
{
	stream_moves talk4 && stream_moves talk6
}

new_spi()
{
	[ "$(peer A "$B4" tx.spi)" != "$1" ]
}

rekeyed()
{
	local old
	old=$(peer A "$B4" tx.spi)
	seal_a peer rekey "$B4" && slowwait 15 new_spi "$old"
}

# Both daemons know both pairs, and what time it was then
remembers()
{
	[ "$(cat "$TMP"/state-[AB]/sticky 2>/dev/null | grep -c "$A4\|$A6")" = 4 ]
}

reason_has()
{
	grep -qE "$1" <<<"$(peer A "$B4" reason)" && return
	echo "reason: $(peer A "$B4" reason)"
	return 1
}

# no_new_keys REGEX: it is asked for some, and says why not
no_new_keys()
{
	seal_a peer rekey "$B4" && slowwait 15 reason_has "$1"
}

connects()
{
	slowwait 20 pat "$A" "$1" -u 1000 -T 5
}

# lives_on WHAT REGEX: with a clock that makes certificates bad for that reason
lives_on()
{
	check "$1: the streams go on" streams_move
	check "$1: a new connection works, IPv4" pat "$A" $B4 -u 20000
	check "$1: no new keys, and the reason says why" no_new_keys "$2"
	check "$1: the keys are those from before" same_keys "$KEYS"
}

# Nothing but mode and memory is left to keep plaintext from passing
nothing_plain()
{
	must seal_a sa flush
	must seal_b sa flush
	check "$1: without keys what is required does not connect" \
		refuses pat "$A" $B4 -u 1000 -T 3
	check "$1: nor does what was sealed once" refuses pat "$A" $B6 -u 1000 -T 3
}

links()
{
	echo "link ${!1} ${!2} mode require"
	echo "link ${!3} ${!4} mode prefer"
}

# Certificates whose issuer is no authority of the configuration, but has one
intermediate()
{
	local dir=$TMP/pki host addresses
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
		-subj "/CN=root" -keyout "$dir/root.key" -out "$dir/ca.crt" &&
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
			-subj "/CN=middle" -keyout "$dir/middle.key" -out "$dir/middle.csr" &&
		openssl x509 -req -in "$dir/middle.csr" -CA "$dir/ca.crt" -CAkey "$dir/root.key" \
			-days 90 -out "$dir/middle.crt" -extfile <(echo "basicConstraints=critical,CA:true") ||
		return
	for host in a b; do
		addresses="IP:$A4,IP:$A6"
		[ "$host" = a ] || addresses="IP:$B4,IP:$B6"
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$host" \
			-keyout "$dir/$host.key" -out "$dir/$host.csr" &&
			openssl x509 -req -in "$dir/$host.csr" -CA "$dir/middle.crt" \
				-CAkey "$dir/middle.key" -days 30 -out "$dir/$host.crt" \
				-extfile <(echo "subjectAltName=$addresses") &&
			cat "$dir/middle.crt" >>"$dir/$host.crt" || return
	done
}

# up: daemons and streams, sealed; leaves the keys
up()
{
	must started A
	must started B
	must connects $B4
	must connects $B6
	stream talk4 "$A" $B4 -i 50 -A 60
	stream talk6 "$A" $B6 -i 50 -A 60
	must streams_move
	must slowwait 10 peer_is A $B6 state sealed
	must slowwait 10 remembers
	KEYS=$(keys)
}

down()
{
	local name
	for name in talk4 talk6; do
		check "$1: $name ends" stream_end $name
		check "$1: $name was exact" stream_is $name '.exact == 1 and .corrupt == 0'
	done
}

begin openssl
[ -n "${TCPSEAL_KERNEL:-}" ] ||
	ktap_skip_all "sets the clock of the machine: in the laboratory only"
offset=0
load_module
topo_up
must pki_up
links NET_A4 NET_B4 NET_A6 NET_B6 | conf_for A
links NET_B4 NET_A4 NET_B6 NET_A6 | conf_for B
serve "$B"

up
tap_start ra "$R" ra
jump 86400
check "1970: the streams go on" streams_move
check "1970: a new connection works" pat "$A" $B4 -u 20000
check "1970: the daemons know a later time, so new keys come" rekeyed
must restarted
check "1970, daemons restarted: they still know it" rekeyed
right
check "the right time: new keys come" rekeyed
down "1970"

must daemon_stop A
must daemon_stop B
up
jump $(($(date +%s) + YEAR))
lives_on "a year ahead" "expired at .*the clock here says"
must restarted
lives_on "a year ahead, daemons restarted" "expired at .*the clock here says"
nothing_plain "a year ahead"
right
check "the right time, daemons not restarted: keys come" connects $B4
check "and the streams go on" streams_move
must restarted
check "nor was the other one remembered: keys come after a restart" rekeyed
down "a year ahead"

must daemon_stop A
must daemon_stop B
must seal_a sa flush
must seal_b sa flush
must intermediate
up
jump $(($(date +%s) + YEAR))
must restarted
lives_on "an intermediate authority, a year ahead" "expired at .*the clock here says"
right
check "the right time: new keys come by the intermediate authority" rekeyed
down "an intermediate authority"

tap_stop ra
check "nothing was plain, the control connections aside" tap_is ra plain 0
check "nor had anything the marker" tap_is ra marker 0
ktap_finished
