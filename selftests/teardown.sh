#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# timeout: 400
#
# Fifty times under load: links flushed by force, a device deleted, the module
# unloaded, a namespace deleted. While pairs hold keys rmmod is refused. Nothing
# complains, nothing is left behind, and the module loads again.
#
#	A a0 ------- b0 B        no router: two namespaces are made quickly

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

ROUNDS=50

cable_up()
{
	cable "$A" a0 "$B" b0 &&
		host_up "$A" a0 "$A4"/8 "$A6"/16 && host_up "$B" b0 "$B4"/8 "$B6"/16
}

keys_up()
{
	link_both require keys manual && sa_both 4 && sa_both 6
}

load_up()
{
	local n
	for n in 4 6; do
		local address=B$n
		on_a "$TOOLS/tcp_pat" client "${!address}" -D -n 4 -u 4000000000 -d 4000000000 -T 60 \
			-q "$TMP/load$n.pid" -S "$TMP/stream-load$n.status" -o "$TMP/load$n.json" 2>/dev/null
	done
	stream_moves load4 && stream_moves load6
}

load_down()
{
	local n
	for n in 4 6; do
		# what is still alive is of no interest any more
		kill -KILL "$(cat "$TMP/load$n.pid")" 2>/dev/null
		rm -f "$TMP/load$n.pid" "$TMP/stream-load$n.status"
	done
}

flush_all()
{
	seal_a link flush --force --weaken && seal_b link flush --force --weaken
}

serve_quickly()
{
	on_b "$TOOLS/tcp_pat" server -D -q "$TMP/serve.pid" -o "$TMP/serve.json" 2>/dev/null
}

# One round; what fails is said by its name
round()
{
	A=a-$1-$$ B=b-$1-$$
	local step
	for step in hosts_up cable_up serve_quickly keys_up load_up rmmod_refused \
		flush_all load_down keys_up load_up cut load_down flush_all cable_up keys_up \
		load_up flush_all unloads load_down reloads keys_up load_up delete_hosts; do
		$step && continue
		echo "round $1: $step failed"
		return 1
	done
}

hosts_up()
{
	local ns
	for ns in "$A" "$B"; do
		ip netns add "$ns" && ip -n "$ns" link set lo up &&
			on "$ns" sysctl -qw net.ipv6.conf.default.accept_dad=0 || return
		namespaces+=("$ns")
	done
}

rmmod_refused()
{
	! quietly rmmod tcpseal
}

# the device goes while segments are on their way
cut()
{
	ip -n "$A" link del a0
}

# traffic goes on, plain now: no pair holds keys
unloads()
{
	busywait 10000 quietly rmmod tcpseal && ! module_loaded
}

reloads()
{
	insmod "$TCPSEAL_KO"
}

# the namespaces go under load, hosts and keys in them
delete_hosts()
{
	local ns
	ip netns del "$B" && ip netns del "$A" || return
	load_down
	stop_pid "$TMP/serve.pid"
	for ns in "$A" "$B"; do
		refuses quietly ip netns exec "$ns" true || return
	done
	namespaces=()
}

all_rounds()
{
	local i
	for ((i = 1; i <= ROUNDS; i++)); do
		round "$i" || return
		splats && return 1
	done
	return 0
}

# A namespace that something still refers to never goes; its devices would stay
no_namespace_left()
{
	[ "$(lsns -t net -n 2>/dev/null | wc -l)" -le "$NAMESPACES" ]
}

# References to the module would keep it
unused()
{
	is "$(awk '$1 == "tcpseal" { print $3 }' /proc/modules)" 0
}

begin
need_own_module
NAMESPACES=$(lsns -t net -n | wc -l)
check "$ROUNDS rounds of flush, ip link del, rmmod and ip netns del under load" all_rounds
check "no namespace is left" slowwait 20 no_namespace_left
check "nothing refers to the module" slowwait 20 unused
check "rmmod" busywait 10000 quietly rmmod tcpseal
check "it is gone" refuses module_loaded
check "and loads again" reloads

# and works
topo_up
sealed_pair require
serve "$B"
check "after all that a transfer is exact" pat "$A" $B4 -u 1000000 -d 1000000
serve_stop "$B"
ktap_finished
