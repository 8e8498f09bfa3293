#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12 next
# mem: 512
# timeout: 300
# not on debug: no /proc/kcore there, and freed memory is poisoned
#
# Keys are where they have to be, and nowhere else. All of the machine's memory is
# searched for manual keys and IVs, for those that daemons agree on, and for the
# secrets of their TLS connections: while keys are in use (the search has to find
# something), after a rotation, after "sa flush", and after rmmod.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# searched FILE: what is found of it goes to $TMP/found
searched()
{
	local status
	"$TOOLS/key_search" "$1" >"$TMP/found" 2>"$TMP/search.err"
	status=$?
	[ "$status" -le 1 ] || must cat "$TMP/search.err"
}

# nowhere FILE: none of it is anywhere
nowhere()
{
	searched "$1"
	[ -s "$1" ] && ! [ -s "$TMP/found" ] && return
	cut -d ' ' -f 1,2 "$TMP/found" | sort | uniq -c
	cat "$TMP/found"
	return 1
}

# What went may be there for as long as a reader, a work item or a socket needs it
gone()
{
	slowwait 10 quietly nowhere "$1" || nowhere "$1"
}

# there FILE [GONE]: every line of it is somewhere, and none of GONE
there()
{
	cat "$@" >"$TMP/looked-for"
	searched "$TMP/looked-for"
	is "$(names "$TMP/found")" "$(names "$1")"
}

names()
{
	cut -d ' ' -f 1 "$1" | sort -u
}

# manual_keys NAME: new ones both ways, both families
manual_keys()
{
	local f
	for f in 4 6; do
		sa_both "$f" || return
		printf "$1-%s %s\n" "key-ab$f" "$KEY_AB" "iv-ab$f" "$IV_AB" \
			"key-ba$f" "$KEY_BA" "iv-ba$f" "$IV_BA"
	done >"$TMP/$1"
}

used()
{
	pat "$A" "$B4" -u 100000 -d 100000 && pat "$A" "$B6" -u 100000 -d 100000
}

sas()
{
	seal "${!1}" -j sa show | jq "[.[] | select(.state $2)] | length"
}

no_draining()
{
	[ "$(sas A '== "draining"')" = 0 ] && [ "$(sas B '== "draining"')" = 0 ]
}

flush_sas()
{
	seal_a sa flush && seal_b sa flush
}

unload()
{
	seal_a link flush --force --weaken && seal_b link flush --force --weaken &&
		slowwait 10 quietly rmmod tcpseal
}

# told FILE: what the daemons had told of so far
told()
{
	mv "$TMP/secrets" "$1"
}

generation()
{
	peer A "$B4" tx.generation
}

newer()
{
	[ "$(generation)" != "$1" ] && no_draining
}

rekeyed()
{
	local old
	old=$(generation)
	seal_a peer rekey "$B4" && seal_a peer rekey "$B6" && slowwait 15 newer "$old"
}

# Both daemons tell of their secrets, masked
telling_daemons()
{
	cat >"$TMP/tcpseald" <<-END
		#!/bin/sh
		TELL_SECRETS=$TMP/secrets LD_PRELOAD=$TOOLS/tell_secrets.so exec $TCPSEALD "\$@"
	END
	chmod +x "$TMP/tcpseald"
	TCPSEALD=$TMP/tcpseald
}

begin
need_own_module
echo "none 000102030405060708090a0b0c0d0e0f" >"$TMP/none"
"$TOOLS/key_search" "$TMP/none" >/dev/null 2>"$TMP/search.err"
[ $? != 4 ] || ktap_skip_all "$(cat "$TMP/search.err")"
topo_up

must link_both require keys manual
must manual_keys first
serve "$B"
check "manual keys work" used
check "while they are in use the search finds each of them" there "$TMP/first"
ktap_print_msg "$(cat "$TMP/search.err")"
must manual_keys second
check "new manual keys work" used
check "the old ones have drained" slowwait 10 no_draining
check "manual keys after a rotation: the new ones are found, the old ones nowhere" \
	slowwait 10 there "$TMP/second" "$TMP/first"
check "sa flush" flush_sas
check "manual keys after sa flush: nowhere" gone "$TMP/second"
must manual_keys third
check "once more manual keys work" used
check "rmmod" unload
cat "$TMP/first" "$TMP/second" "$TMP/third" >"$TMP/all"
check "manual keys after rmmod: nowhere" gone "$TMP/all"

load_module
telling_daemons
negotiated require
check "negotiated keys work" used
must told "$TMP/first"
for name in session-key CLIENT_HANDSHAKE_TRAFFIC_SECRET SERVER_HANDSHAKE_TRAFFIC_SECRET \
	CLIENT_TRAFFIC_SECRET_0 SERVER_TRAFFIC_SECRET_0 EXPORTER_SECRET; do
	check "the daemons tell of $name" contains "$(names "$TMP/first")" $name
done
grep session-key "$TMP/first" >"$TMP/keys"
grep -v session-key "$TMP/first" >"$TMP/tls"
check "while they are in use the search finds session keys" there "$TMP/keys"
check "secrets of the handshakes: nowhere" gone "$TMP/tls"
check "rotation" rekeyed
check "the new keys work" used
check "session keys after a rotation: nowhere" gone "$TMP/keys"
must told "$TMP/second"
check "daemons end" daemon_stop A
check "daemons end" daemon_stop B
check "rmmod" unload
cat "$TMP/first" "$TMP/second" >"$TMP/all"
check "session keys and secrets after the daemons' end and rmmod: nowhere" gone "$TMP/all"
ktap_finished
