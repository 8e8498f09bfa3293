#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# The guard: what "require" links cover stays silent where the module is not there,
# before it came, while it is replaced, and where it never comes; nothing else does.
# It goes when the kernel has the links, not before, and connections go on.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# The programs that it calls, as they were built
PATH=${TCPSEAL%/*}:${TCPSEALD%/*}:$TOP/userspace/systemd:$PATH
CLEAR4=10.2.3.5

# guard HOST VERB
guard()
{
	on "${!1}" tcpseal-guard -c "$TMP/$1.conf" -s "$TMP/guard-$1.nft" "$2"
}

# state HOST on|off
state()
{
	is "$(guard "$1" status | head -n 1)" "$2"
}

connects()
{
	pat "$A" "$1" -u 1000 -T 4 "${@:2}"
}

# unheard ADDRESS: B does not even see that somebody wanted to
unheard()
{
	local heard
	heard=$(of_stack "$B" TcpInSegs)
	refuses connects "$1" && is "$(of_stack "$B" TcpInSegs)" "$heard"
}

# back NS ADDRESS: to A, from there
back()
{
	pat "$1" "$2" -u 1000 -T 4
}

dropped()
{
	at_least "$(guard "$1" status | sed -n 's/ segments dropped//p')" 1
}

# unguarded_unload: as Documentation/operations.rst says
replace_module()
{
	daemon_stop A && daemon_stop B && seal_a link flush --force --weaken &&
		seal_b link flush --force --weaken && busywait 10000 quietly rmmod tcpseal
}

begin nft
need_own_module
must quietly rmmod tcpseal
topo_up
must on_b ip addr add $CLEAR4/32 dev b0
must on_r ip route add $CLEAR4/32 via $B4
must pki_up
{
	links_conf A B require
	echo "link $NET_A4 10.2.3.0/24 mode clear weaken"
} | conf_for A
links_conf B A require | conf_for B
serve "$B"
serve "$A"
tap_start ra "$R" ra

check "without module and guard a connection is plain" connects $B4
check "the guard is off" state A off
check "on" guard A on
check "it is" state A on
check "nothing goes out, IPv4" unheard $B4
check "nothing goes out, IPv6" unheard $B6
check "nothing comes in, IPv4" refuses back "$B" $A4
check "nothing comes in, IPv6" refuses back "$B" $A6
check "it counts what it drops" dropped A
check "ping is none of its business" on_a ping -q -c 1 -W 5 $B4
check "nor what an inner link calls clear" connects $CLEAR4
check "nor other addresses" connects 10.1.0.5
check "on once more changes nothing" guard A on

check "the module is not there: it is not released" refuses guard A release
check "and is on" state A on
must cp "$TMP/A.conf" "$TMP/A.good"
echo rabbit >>"$TMP/A.conf"
check "a wrong configuration: the last good rules" guard A on
check "and nothing goes out" unheard $B4
must rm "$TMP/guard-A.nft"
check "neither configuration nor rules: an error" refuses guard A on
check "and what is on stays on" state A on
must cp "$TMP/A.good" "$TMP/A.conf"

must insmod "$TCPSEAL_KO"
check "the module without links: not released" refuses guard A release
must daemon_start A B
check "the module has the links: released" guard A release
check "it is off" state A off
check "sealed, IPv4" slowwait 20 connects $B4
check "sealed, IPv6" slowwait 20 connects $B6

# Another module, under a connection that lasts
stream talk "$A" $B4 -i 100 -T 60
must stream_moves talk
tap_stop ra
check "plaintext there was, before" tap_some ra marker
tap_start rb "$R" ra
for host in A B; do
	check "upgrade: on, $host" guard $host on
done
must replace_module
check "upgrade: no module, nothing goes out" unheard $B4
must insmod "$TCPSEAL_KO"
must daemon_start A B
for host in A B; do
	check "upgrade: released, $host" guard $host release
done
check "upgrade: new connections, IPv4" slowwait 20 connects $B4
check "upgrade: new connections, IPv6" slowwait 20 connects $B6
check "upgrade: old ones go on or end by an error" slowwait 30 stream_ended talk
tap_stop rb
check "upgrade: nothing plain, the control connections and inner links aside" \
	tap_is rb plain 0
check "off is off" guard A off
ktap_finished
