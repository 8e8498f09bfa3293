#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# A good key does not speak for other addresses. C has keys with B, in order, and
# makes records under them that say they come from A; a gateway, which speaks
# for what is behind it, makes records from outside its prefix. They are
# dropped, and the event names whose key it was.
#
#	C 10.3.0.5, fd00:3::5 ---- rc R rb ---- b0 B
#
# C's kernel would refuse to seal for another address; so the records are made
# by a program that knows C's keys.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

C4=10.3.0.5 C6=fd00:3::5
SPEC=$TOP/Documentation/netlink/specs/tcpseal.yaml

third_host()
{
	setup_ns C
	must cable "$R" rc "$C" c0
	must host_up "$R" rc 10.3.0.1/24 fd00:3::1/64
	must host_up "$C" c0 $C4/24 $C6/64 10.3.0.1 fd00:3::1
}

# sa_named DIR LOCAL PEER SPI KEY IV NAME: on B, as its daemon would after a
# handshake with a peer whose certificate has that name
sa_named()
{
	on_b python3 "$TOOLS/netlink.py" "$SPEC" sa-new dir="$1" local="$2" peer="$3" \
		spi="$4" key="$5" iv="$6" aead=1 generation=1 mode-local=4 mode-peer=4 \
		cert-name="$7"
}

# keys_of_c FAMILY: B's links are negotiated ones
keys_of_c()
{
	local b=B$1 c=C$1
	new_key ""
	sa_named 1 "${!b}" "${!c}" "$SPI" "$KEY" "$IV" c.example
}

received()
{
	of_stack "$B" TcpInSegs
}

# record FROM TO COUNTER [OPTIONS...]
record()
{
	on_r "$TOOLS/seal_inject" -f "$1" -t "$2" -s 40000 -p 4999 -K "$KEY" -I "$IV" \
		-S "$SPI" -C "$3" "${@:4}" seal
}

# refused_for HOST COMMAND...: the record is dropped for its selector, not delivered
refused_for()
{
	local host=$1 had
	shift
	snap before
	had=$(received)
	"$@" || return
	busywait 3000 has_grown "$host" before drop.selector || {
		echo "counted:" "$(growth "$host" before)"
		return 1
	}
	[ "$host" != B ] || is "$(received)" "$had"
}

opened_by()
{
	local host=$1
	shift
	snap before
	"$@" && busywait 3000 has_grown "$host" before total.opened_records
}

# event_names FIELD VALUE SRC
event_names()
{
	jq -e --arg key "$1" --arg value "$2" --arg src "$3" \
		'select(.event | test("tamper")) | select(.reason == "selector" and
		.[$key] == $value and .src == $src)' "$TMP/events" >/dev/null || {
		cat "$TMP/events"
		return 1
	}
}

begin python3
python3 -c 'import yaml' 2>/dev/null || ktap_skip_all "python3 has no yaml"
load_module
topo_up
third_host
seal_b -j monitor tamper >"$TMP/events" 2>/dev/null &
monitor=$!

must add_links "$B" B A require
must seal_b link add $NET_B4 10.3.0.0/16 mode require
must seal_b link add $NET_B6 fd00:3::/32 mode require
for family in 4 6; do
	a=A$family b=B$family c=C$family
	must keys_of_c $family
	check "IPv$family: C speaks as C: opened" opened_by B record "${!c}" "${!b}" 1000000
	check "IPv$family: C, with valid keys, speaks as A: dropped" \
		refused_for B record "${!a}" "${!b}" 1000001
	check "IPv$family: the event names C by its certificate" \
		busywait 3000 event_names cert_name c.example "${!a}"
	check "IPv$family: and by its address" event_names remote "${!c}" "${!a}"
	check "IPv$family: C still speaks as C" opened_by B record "${!c}" "${!b}" 1000002
	check "IPv$family: the same with an address that no link covers" \
		refused_for B record "$([ $family = 4 ] && echo 10.9.0.9 || echo fd00:9::9)" "${!b}" 1000003
done
kill $monitor

# B becomes a gateway for 10.2.9.0/24 and fd00:2:9::/64, its peer is A
topo_up
behind_up
seal_a -j monitor tamper >"$TMP/events" 2>/dev/null &
monitor=$!
must seal_a link add $NET_A4 10.2.9.0/24 mode require via $B4 identity b keys manual
must seal_a link add $NET_A6 fd00:2:9::/64 mode require via $B6 identity b keys manual
for family in 4 6; do
	a=A$family b=B$family d=D$family
	new_key ""
	must seal_a sa add dir in local "${!a}" peer "${!b}" spi "$SPI" key "$KEY" iv "$IV"
	check "IPv$family: the gateway speaks for a host behind it: opened" \
		opened_by A record "${!d}" "${!a}" 1000000
	check "IPv$family: the gateway speaks from outside its prefix: dropped" \
		refused_for A record "$([ $family = 4 ] && echo 10.2.8.5 || echo fd00:2:8::5)" "${!a}" 1000001
	check "IPv$family: the event names the gateway" busywait 3000 event_names remote "${!b}" \
		"$([ $family = 4 ] && echo 10.2.8.5 || echo fd00:2:8::5)"
done
kill $monitor
ktap_finished
