#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# smp on 6.12: 2
# timeout: 900
# long: 4
#
# Fifty rounds, or two hundred, under load: rmmod while pairs hold keys, which is
# refused; "link flush --force"; rmmod and insmod while streams go on; a device
# deleted; both namespaces deleted. Nothing complains, nothing is left behind, and
# the module loads again and works.
#
#	A a0 ------- b0 B        no router: the hosts are made quickly

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

ROUNDS=50
[ -z "${LONG-}" ] || ROUNDS=200

hosts_up()
{
	local ns
	for ns in "$A" "$B"; do
		ip netns add "$ns" && namespaces+=("$ns") || return
	done
	ip -n "$A" -batch - <<-END &&
		link set lo up
		link add a0 type veth peer name b0 netns $B
		addr add $A4/8 dev a0
		addr add $A6/16 dev a0 nodad
		link set a0 up
	END
		ip -n "$B" -batch - <<-END &&
			link set lo up
			addr add $B4/8 dev b0
			addr add $B6/16 dev b0 nodad
			link set b0 up
		END
		on_b "$TOOLS/tcp_pat" server -R -D -r 1000000 -q "$TMP/serve.pid" -o "$TMP/serve.json" 2>/dev/null
}

# commands_of NS LOCAL REMOTE NET-LOCAL NET-REMOTE IN OUT: a link and its keys
commands_of()
{
	"$TCPSEAL" -n "$1" -b - <<-END
		link add $4 $5 mode require keys manual
		sa add dir in local $2 peer $3 $6
		sa add dir out local $2 peer $3 $7
	END
}

keys_up()
{
	local a=A$F b=B$F na=NET_A$F nb=NET_B$F ab ba
	new_key _AB
	new_key _BA
	ab="spi $SPI_AB key $KEY_AB iv $IV_AB"
	ba="spi $SPI_BA key $KEY_BA iv $IV_BA"
	commands_of "$A" "${!a}" "${!b}" "${!na}" "${!nb}" "$ba" "$ab" &&
		commands_of "$B" "${!b}" "${!a}" "${!nb}" "${!na}" "$ab" "$ba"
}

# both directions, 4 flows, paced: what is tested is what runs while segments are
# on their way, not how many. They end by RST when they are killed, so that no
# orphan keeps its namespace.
load_up()
{
	local address=B$F
	on_a "$TOOLS/tcp_pat" client "${!address}" -R -D -n 4 -u 4000000000 -d 4000000000 -r 1000000 -T 60 \
		-q "$TMP/load.pid" -S "$TMP/stream-load.status" -o "$TMP/load.json" 2>/dev/null &&
		busywait 5000 stream_beyond load 100000
}

load_down()
{
	local load
	# what is still alive is of no interest any more
	read -r load <"$TMP/load.pid"
	kill -KILL "$load" 2>/dev/null
	rm -f "$TMP/stream-load.status"
}

rmmod_refused()
{
	! quietly rmmod tcpseal
}

flush_all()
{
	seal_a link flush --force --weaken && seal_b link flush --force --weaken
}

# no pair holds keys any more, and segments are on their way
unload()
{
	busywait 10000 quietly rmmod tcpseal && return
	rmmod tcpseal
	grep '^tcpseal' /proc/modules
	ip netns list
	return 1
}

reload()
{
	insmod "$TCPSEAL_KO"
}

# every other round the device goes first
cut()
{
	[ $((ROUND % 2)) = 0 ] || ip -n "$A" link del a0
}

# the names, then all that runs in them at one blow
delete_hosts()
{
	local load serve
	ip netns del "$B" && ip netns del "$A" || return
	read -r load <"$TMP/load.pid"
	read -r serve <"$TMP/serve.pid"
	kill -KILL "$load" "$serve" 2>/dev/null
	rm -f "$TMP/stream-load.status"
	namespaces=()
	slowwait 20 no_namespace_left
}

# One that something still refers to never goes, nor do its devices
no_namespace_left()
{
	[ "$(lsns -t net -n 2>/dev/null | wc -l)" -le "$NAMESPACES" ] &&
		[ "$(grep -c . /proc/net/dev)" -le "$DEVICES" ]
}

all_rounds()
{
	local step
	for ((ROUND = 1; ROUND <= ROUNDS; ROUND++)); do
		A=a-$ROUND-$$ B=b-$ROUND-$$ F=$((ROUND % 4 < 2 ? 4 : 6))
		for step in hosts_up keys_up load_up rmmod_refused flush_all unload load_down \
			reload keys_up load_up cut delete_hosts; do
			$step && continue
			echo "round $ROUND: $step failed"
			return 1
		done
		kernel_quiet || return
	done
}

# References to the module would keep it
unused()
{
	is "$(awk '$1 == "tcpseal" { print $3 }' /proc/modules)" 0
}

begin
need_own_module
NAMESPACES=$(lsns -t net -n | wc -l) DEVICES=$(grep -c . /proc/net/dev)
check "$ROUNDS rounds of flush, rmmod, ip link del and ip netns del under load" all_rounds
A='' B=''
check "no namespace is left" slowwait 20 no_namespace_left
check "nothing refers to the module" slowwait 20 unused
check "rmmod" unload
check "it is gone" refuses module_loaded
check "and loads again" reload

topo_up
sealed_pair require
serve "$B"
check "after all that a transfer is exact" pat "$A" $B4 -u 1000000 -d 1000000
serve_stop "$B"
ktap_finished
