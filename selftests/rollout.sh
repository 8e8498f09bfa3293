#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12
# smp: 2
# mem: 3072
# timeout: 600
#
# A fleet of six hosts in three subnets goes from plaintext to require, with an
# application on all of them that counts what it loses: audit, prefer, require, new
# keys, a new authority, a host revoked. In each step taps in all three subnets say
# what is true, and "tcpseal status" on every host has to say the same.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

HOSTS="A B C D E F"
declare -A ADDRESS=([A]=10.1.0.5 [B]=10.1.0.6 [C]=10.2.0.5 [D]=10.2.0.6 [E]=10.3.0.5 [F]=10.3.0.6)
declare -A APP=()
living=$HOSTS asking=$HOSTS

# --- the network ---

subnet_up()
{
	local subnet=$1 host
	shift
	ip -n "$R" link add "n$subnet" type bridge &&
		ip -n "$R" addr add "10.$subnet.0.1/24" dev "n$subnet" &&
		ip -n "$R" link set "n$subnet" up || return
	for host; do
		attach "$host" "$subnet" || return
	done
}

# attach HOST SUBNET: with its address and a cable of its own
attach()
{
	local ns=${!1}
	cable "$ns" eth0 "$R" "to-${1,,}" &&
		ip -n "$R" link set "to-${1,,}" master "n$2" up &&
		ip -n "$ns" addr add "${ADDRESS[$1]}/24" dev eth0 &&
		ip -n "$ns" link set eth0 up &&
		ip -n "$ns" route add default via "10.$2.0.1"
}

# others HOST: addresses of the hosts that it shares a link with, and that are asked
others()
{
	local host
	for host in $asking; do
		[ "${ADDRESS[$host]%.*}" = "${ADDRESS[$1]%.*}" ] || echo "${ADDRESS[$host]}"
	done
}

# --- the application ---

app_start()
{
	local host
	for host; do
		mkdir -p "$TMP/app-$host"
		rm -f "$TMP/app-$host"/*
		ip netns exec "${!host}" python3 "$TOOLS/app.py" "$TMP/app-$host" "${ADDRESS[$host]}" \
			>"$TMP/app-$host.log" 2>&1 </dev/null &
		APP[$host]=$!
	done
	for host; do
		slowwait 30 listens "${!host}" 5030 && slowwait 10 test -s "$TMP/app-$host/state.json" || return
	done
}

app()
{
	jq -r ".$2" "$TMP/app-$1/state.json"
}

# How many answers each has had up to now
noted()
{
	local host
	for host in $asking; do
		echo "$host $(app "$host" answered)"
	done >"$TMP/noted"
}

answered_since()
{
	local host before
	while read -r host before; do
		[ "$(app "$host" answered)" -ge $((before + ${1:-20})) ] || return
	done <"$TMP/noted"
}

# works [N]: every application gets N more answers (20)
works()
{
	noted
	slowwait 40 answered_since "$@" && return
	tail -n 3 "$TMP"/app-*/state.json
	return 1
}

nothing_lost()
{
	local host lost
	lost=$(for host in $living; do app "$host" 'lost[]'; done)
	[ -z "$lost" ] && return
	echo "$lost"
	return 1
}

# ask_anew HOST...: these ask whoever is asked now
ask_anew()
{
	local host
	for host; do
		others "$host" >"$TMP/app-$host/peers"
		kill -HUP "${APP[$host]}" || return
	done
	for host; do
		slowwait 10 asks_these "$host" || return
	done
}

asks_these()
{
	is "$(app "$1" 'peers[]' | sort)" "$(sort "$TMP/app-$1/peers")" >/dev/null
}

# without HOST: nobody asks it any more, nor does it ask; it would answer
without()
{
	asking=${asking/$1/}
	# shellcheck disable=SC2086	# names
	ask_anew $asking && : >"$TMP/app-$1/peers" && kill -HUP "${APP[$1]}" &&
		slowwait 10 asks_these "$1"
}

# --- tcpseal ---

# One file for the whole fleet: links of other subnets cover nobody here
fleet_file()
{
	local one two
	for one in 1 2 3; do
		for two in 1 2 3; do
			[ "$one" = "$two" ] || echo "link 10.$one.0.0/16 10.$two.0.0/16 mode $*"
		done
	done
}

# configure HOST: from the file of the fleet
configure()
{
	conf_for "$1" <"$TMP/fleet"
	[ -z "${crl:-}" ] || sed -i "/^identity/s,\$, crl $crl," "$TMP/$1.conf"
}

# fleet_says WORDS...: of every link, on all hosts, one after the other
fleet_says()
{
	fleet_file "$@" >"$TMP/fleet"
	reload_all
}

reload_all()
{
	local host
	for host in $living; do
		configure "$host" || return
		reloaded "$host" || return
	done
}

in_force()
{
	[ "$(grep -c 'is in force' "$TMP/daemon-$1.log")" -gt "$2" ]
}

reloaded()
{
	local before
	before=$(grep -c 'is in force' "$TMP/daemon-$1.log")
	daemon_reload "$1"
	slowwait 10 in_force "$1" "$before" && return
	tail -n 3 "$TMP/daemon-$1.log"
	return 1
}

# status HOST EXPRESSION
status()
{
	seal "${!1}" -j status >"$TMP/status-$1.json" && jq -e "$2" "$TMP/status-$1.json" >/dev/null
}

# all_say EXPRESSION: of its own links, on every living host
all_say()
{
	local host
	for host in $living; do
		status "$host" "def own: [.links[] |
				select(.local == \"${ADDRESS[$host]%.?.?}.0.0\")];
			def peers: .peers[]; $1" && continue
		echo "$host does not:"
		jq -c '(.links[] | del(.stats)), (.peers[] | {remote, state, reason})' "$TMP/status-$host.json"
		return 1
	done
}

peers_sealed()
{
	all_say "([peers | select(.state == \"sealed\")] | length) >= $1"
}

taps_on()
{
	local subnet
	for subnet in 1 2 3; do
		tap_start "n$subnet" "$R" "n$subnet"
	done
}

taps_off()
{
	tap_stop n1 n2 n3
}

# taps_say EXPRESSION: of each
taps_say()
{
	local subnet
	for subnet in 1 2 3; do
		pat_is "$1" "tap-n$subnet" || return
	done
}

# step NAME MODE EXPRESSION-OF-TAPS EXPRESSION-OF-STATUS: what it is like now
step()
{
	taps_on
	check "$1: the application works" works
	taps_off
	check "$1: the wire" taps_say "$3"
	check "$1: status, on every host" all_say "(own | all(.mode == \"$2\")) and ($4)"
	check "$1: no request was lost" nothing_lost
}

SEALED='.sealed > 0 and .plain == 0 and .marker == 0 and .reuse == 0'
PLAIN='.sealed == 0 and .marker > 0'

# generations: of all keys for sending, on all hosts
generations()
{
	local host
	for host in $living; do
		seal "${!host}" -j peer show | jq -r '.[] | .tx.generation // empty'
	done | sort -u
}

none_of_before()
{
	[ -z "$(comm -12 <(generations) "$TMP/generations")" ] && peers_sealed 4
}

rekey_all()
{
	local host peer
	generations >"$TMP/generations"
	for host in $living; do
		for peer in $(others "$host"); do
			seal "${!host}" peer rekey "$peer" || return
		done
	done
	slowwait 30 none_of_before
}

# certified_by DIRECTORY: certificates for all hosts
certified_by()
{
	local host
	for host in $living; do
		"$TCPSEAL" cert issue --name "${host,,}" --ip "${ADDRESS[$host]}" \
			--dir "$1" --out "$TMP/pki" --force || return
	done
}

issued_by()
{
	all_say "[peers | select(.tx) | .tx.cert_issuer | contains(\"$1\")] | length >= 4 and all"
}

# each COMMAND [WORD...]: COMMAND HOST [WORD...] on all
each()
{
	local host
	for host in $living; do
		"$1" "$host" "${@:2}" || return
	done
}

# reaches HOST ADDRESS: a new connection, one request
reaches()
{
	on "${!1}" timeout $((5 * SLOW)) python3 - "$2" <<-'END'
		import socket, sys
		with socket.create_connection((sys.argv[1], 5030), 4) as s:
		    s.sendall(b"1 \n")
		    sys.exit(not s.recv(1))
	END
}

begin python3
need_own_module
must quietly rmmod tcpseal
setup_ns R A B C D E F
must router_on "$R"
must subnet_up 1 A B
must subnet_up 2 C D
must subnet_up 3 E F
must "$TCPSEAL" ca init --dir "$TMP/pki" --name "first-authority"
must certified_by "$TMP/pki"
must app_start A B C D E F
must ask_anew A B C D E F
check "before: the application works" works

fleet_file audit >"$TMP/fleet"
load_module
must each configure
# shellcheck disable=SC2086
must daemon_start $HOSTS
check "audit: every host has a word of its four peers" slowwait 30 all_say \
	'([peers | select(.mode_peer == "audit")] | length) >= 4'
step audit audit "$PLAIN" 'own | all(.sealed_share == 0 and .plain_secs < 60 and (.obstacles | length) > 0)'

check "prefer: one host after the other" fleet_says prefer
check "prefer: all pairs have keys" slowwait 40 peers_sealed 4
step prefer prefer "$SEALED" 'own | all(.sealed_share > 0)'

promoted()
{
	local subnet
	for subnet in 1 2 3; do
		case ${ADDRESS[$1]} in
		10.$subnet.*) continue ;;
		esac
		seal "${!1}" link promote "${ADDRESS[$1]%.?.?}.0.0/16" "10.$subnet.0.0/16" \
			to require within 5s || return
	done
}
check "require: nothing is in its way, says promote" slowwait 40 each promoted
check "require: and the file" fleet_says require
step require require "$SEALED" 'own | all(.obstacles == [])'

check "new keys for all" rekey_all
step "new keys" require "$SEALED" 'own | all(.pairs.sealed >= 2)'

must "$TCPSEAL" ca init --dir "$TMP/pki2" --name "second-authority"
must tee -a "$TMP/pki/ca.crt" <"$TMP/pki2/ca.crt"
check "authority: both are trusted" reload_all
must certified_by "$TMP/pki2"
check "authority: new certificates" reload_all
check "authority: all keys are by them" slowwait 90 issued_by "second-authority"
must cp "$TMP/pki2/ca.crt" "$TMP/pki/ca.crt"
check "authority: the first one is not trusted any more" reload_all
step authority require "$SEALED" 'own | all(.pairs.sealed >= 2)'

check "revoked: nobody needs F any more" without F
must "$TCPSEAL" cert revoke "$TMP/pki/f.crt" --dir "$TMP/pki2"
crl=$TMP/pki2/ca.crl living=${living/F/}
check "revoked: the list is everywhere" reload_all
check "revoked: nobody has keys with F" slowwait 20 all_say \
	'[peers | select(.remote == "10.3.0.6" and (.tx or .rx))] == []'
check "revoked: nobody talks to it" refuses reaches A "${ADDRESS[F]}"
check "revoked: and says why" slowwait 10 status A \
	'.peers[] | select(.remote == "10.3.0.6") | .reason | contains("revoked")'
step revoked require "$SEALED" 'own | all(.pairs.sealed >= 1)'

ktap_print_msg "$(for host in $asking; do echo "$host: $(app "$host" asked) asked," \
	"$(app "$host" opened) connections, slowest $(app "$host" slowest_ms) ms"; done)"
ktap_finished
