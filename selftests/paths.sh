#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12
# timeout: 300
#
# The ways that a segment may take through a host: by a mark and a table of its own,
# into a transparent proxy, out of a masquerading host or one that passes connections
# on (DNAT, IPVS), by VRF, bond, VLAN, VXLAN and GRE. The links require sealing; taps
# on what lies between the hosts read nothing.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

taps_up()
{
	tap_start ra "$R" ra
	tap_start rb "$R" rb
}

taps_down()
{
	tap_stop ra rb
	check "$1: all that passed the router was sealed" all_sealed ra
	check "$1: the same on its other side" all_sealed rb
}

# exact TEXT NS ADDRESS4 ADDRESS6 OPTIONS...
exact()
{
	local text=$1 ns=$2 four=$3 six=$4
	shift 4
	check "$text: IPv4" pat "$ns" "$four" -u 300000 -d 300000 "$@"
	check "$text: IPv6" pat "$ns" "$six" -u 300000 -d 300000 "$@"
}

# A mark, set behind the first look at the routes, leads by another card
policy_routing()
{
	must cable "$A" a1 "$R" ra1
	must host_up "$R" ra1 10.1.1.1/24 fd00:1:1::1/64
	must host_up "$A" a1 10.1.1.5/24 fd00:1:1::5/64
	must ip -n "$A" route add default via 10.1.1.1 dev a1 table 7
	must ip -n "$A" -6 route add default via fd00:1:1::1 dev a1 table 7
	must ip -n "$A" rule add fwmark 7 table 7
	must ip -n "$A" -6 rule add fwmark 7 table 7
	must on_a nft -f - <<-END
		table inet marks {
			chain out {
				type route hook output priority mangle
				tcp dport 5001 meta mark set 7
			}
		}
	END
	tap_start other "$R" ra1
	exact "policy routing" "$A" $B4 $B6
	tap_stop other
	check "policy routing: the other card sent it, sealed" all_sealed other
	must on_a nft delete table inet marks
	must ip -n "$A" link del a1
}

# B's proxy takes connections to any port
transparent_proxy()
{
	must ip -n "$B" rule add fwmark 1 table 100
	must ip -n "$B" route add local default dev lo table 100
	must ip -n "$B" -6 rule add fwmark 1 table 100
	must ip -n "$B" -6 route add local default dev lo table 100
	must on_b nft -f - <<-END
		table inet proxy {
			chain pre {
				type filter hook prerouting priority mangle
				tcp dport 5030 tproxy to :5031 meta mark set 1 accept
			}
		}
	END
	serve "$B" -p 5031 -X transparent
	exact "TPROXY" "$A" $B4 $B6 -p 5030
	serve_stop "$B"
	must on_b nft delete table inet proxy
	must ip -n "$B" rule del fwmark 1
	must ip -n "$B" -6 rule del fwmark 1
}

# B speaks for D: what D sends leaves with B's address, so it is of B's pair. No
# flowtable takes it past the hooks.
masquerade()
{
	must on_b nft -f - <<-END
		table inet nat {
			chain pre {
				type nat hook prerouting priority dstnat
				meta nfproto ipv4 tcp dport 5040 dnat ip to $D4:5001
				meta nfproto ipv6 tcp dport 5040 dnat ip6 to [$D6]:5001
			}
			chain post {
				type nat hook postrouting priority srcnat
				oif b0 ip saddr $D4 masquerade
				oif b0 ip6 saddr $D6 masquerade
			}
		}
	END
	must flowtable_up
	serve "$A"
	serve "$D"
	exact "masquerading for a host behind" "$D" $A4 $A6
	exact "passing on to a host behind, by DNAT" "$A" $B4 $B6 -p 5040
	must on_b nft delete table inet nat
	must on_b nft delete table inet fast
	serve_stop "$A"
	serve_stop "$D"
}

virtual_server()
{
	if ! modprobe -a ip_vs ip_vs_rr 2>/dev/null || ! type ipvsadm >/dev/null 2>&1; then
		ktap_test_skip "IPVS" "no ip_vs, or no ipvsadm"
		return
	fi
	must on_b ipvsadm -A -t $B4:5050 -s rr
	must on_b ipvsadm -a -t $B4:5050 -r $D4:5001 -m
	must on_b ipvsadm -A -t "[$B6]:5050" -s rr
	must on_b ipvsadm -a -t "[$B6]:5050" -r "[$D6]:5001" -m
	serve "$D"
	exact "IPVS, translating" "$A" $B4 $B6 -p 5050
	serve_stop "$D"
	must on_b ipvsadm -C

	# the real server has the address, too, and would answer by itself
	must ip -n "$D" addr add $B4/32 dev lo
	must ip -n "$D" addr add $B6/128 dev lo nodad
	leads_nowhere "direct routing" 5051 -g
	leads_nowhere "tunnelling" 5052 -i
}

# leads_nowhere WHAT PORT OPTION: IPVS would send on what was opened, as it is
leads_nowhere()
{
	local f a d
	for f in 4 6; do
		a=B$f d=D$f a=${!a} d=${!d}
		[ $f = 4 ] || a=[$a] d=[$d]
		must on_b ipvsadm -A -t "$a:$2" -s rr
		must on_b ipvsadm -a -t "$a:$2" -r "$d:$2" "$3"
	done
	# the last that B says of it before it leaves, and the first that D says
	must seen_by "$B" "hook postrouting priority srcnat" "oif b1"
	must seen_by "$D" "hook prerouting priority raw" "iif d0"
	serve "$D" -p "$2"
	must snap before
	check "IPVS, $1: no connection, IPv4" refuses pat "$A" $B4 -p "$2" -u 1000 -T 2
	check "IPVS, $1: no connection, IPv6" refuses pat "$A" $B6 -p "$2" -u 1000 -T 2
	check "IPVS, $1: it wanted to send on" at_least "$(seen "$B")" 4
	check "IPVS, $1: what was opened does not leave" is "$(seen "$D")" 0
	check "IPVS, $1: counted" has_grown B before drop.bypass
	serve_stop "$D"
	must on_b nft delete table inet seen
	must on "$D" nft delete table inet seen
	must on_b ipvsadm -C
}

# seen_by NS HOOK WHERE: count TCP there, wrapped or not
seen_by()
{
	on "$1" nft -f - <<-END
		table inet seen {
			counter seen { }
			chain seen {
				type filter $2
				$3 meta l4proto { tcp, 4, 41 } counter name seen
			}
		}
	END
}

seen()
{
	on "$1" nft -j list counters table inet seen |
		jq '[.nftables[].counter? | select(. != null) | .packets] | add'
}

# Two cables, bonded on both ends; a VLAN on the bond; tunnels on the VLAN. Links for
# the addresses of the VLAN, and for those in the tunnels.
layers()
{
	local ns own other i
	modprobe -a bonding 8021q vxlan ip_gre ip6_gre 2>/dev/null
	setup_ns A B
	for i in 0 1; do
		must cable "$A" a$i "$B" b$i
	done
	for ns in A B; do
		own=1 other=2
		[ $ns = A ] || own=2 other=1
		ip -n "${!ns}" -batch - <<-END || bail_out "no bond, VLAN or tunnel"
			link add bond0 type bond mode balance-rr miimon 100
			link set ${ns,,}0 master bond0
			link set ${ns,,}1 master bond0
			link set bond0 up
			link add link bond0 name vlan type vlan id 7
			addr add 10.$own.0.5/8 dev vlan
			addr add fd00:$own::5/16 dev vlan nodad
			link set vlan up
			link add vx type vxlan id 42 dstport 4789 local 10.$own.0.5 remote 10.$other.0.5 dev vlan
			addr add 172.16.$own.5/16 dev vx
			addr add fd01:$own::5/16 dev vx nodad
			link set vx up
			link add gre type gre local 10.$own.0.5 remote 10.$other.0.5
			addr add 172.17.$own.5/16 dev gre
			addr add fd02:$own::5/16 dev gre nodad
			link set gre up
		END
	done
	must slowwait 10 quietly on_a ping -c 1 -W 1 $B4
	must slowwait 10 quietly on_a ping -c 1 -W 1 172.16.2.5
	must slowwait 10 quietly on_a ping -c 1 -W 1 172.17.2.5
	for i in "10.1.0.5 10.2.0.5" "fd00:1::5 fd00:2::5" "172.16.1.5 172.16.2.5" \
		"fd01:1::5 fd01:2::5" "172.17.1.5 172.17.2.5" "fd02:1::5 fd02:2::5"; do
		own=${i% *} other=${i#* }
		must seal_a link add "$own" "$other" mode require keys manual
		must seal_b link add "$other" "$own" mode require keys manual
		must sa_oneway "$A" "$own" "$B" "$other"
		must sa_oneway "$B" "$other" "$A" "$own"
	done
	serve "$B"
	for i in a0 a1 vx gre; do
		tap_start $i "$A" $i
	done
	# bonds deal frames to the cards by turns: that reorders
	exact "a VLAN on a bond" "$A" $B4 $B6
	exact "VXLAN on that" "$A" 172.16.2.5 fd01:2::5
	exact "GRE on that" "$A" 172.17.2.5 fd02:2::5
	for i in a0 a1 vx gre; do
		tap_stop $i
		check "$i: the tap reads nothing" tap_is $i marker 0
		check "$i: but saw much" tap_some $i frames 50
	done
	check "in the tunnel vx everything is sealed" all_sealed vx
	check "nobody refused a record" is "$(growth_of_drops)" ""
	serve_stop "$B"
}

growth_of_drops()
{
	{ seal_a stats; seal_b stats; } | awk '/^drop\./ && $2 { print }'
}

# B's card is in a VRF; its server listens outside, its client is inside
vrf()
{
	modprobe vrf 2>/dev/null || {
		ktap_test_skip "VRF" "this kernel has none"
		return
	}
	topo_up
	ip -n "$B" -batch - <<-END || bail_out "no VRF"
		link add red type vrf table 10
		link set red up
		link set b0 master red
		addr flush dev b0
	END
	must host_up "$B" b0 $B4/24 $B6/64
	must ip -n "$B" route add default via 10.2.0.1 vrf red
	must ip -n "$B" -6 route add default via fd00:2::1 vrf red
	must on_b sysctl -qw net.ipv4.tcp_l3mdev_accept=1
	must slowwait 10 quietly on_a ping -c 1 -W 1 $B4
	must slowwait 10 quietly on_a ping -c 1 -W 1 $B6
	sealed_pair require
	taps_up
	serve "$A"
	serve "$B"
	exact "VRF, towards it" "$A" $B4 $B6
	exact "VRF, out of it" "$B" $A4 $A6 -I red
	serve_stop "$A"
	serve_stop "$B"
	taps_down "VRF"
}

begin nft
modprobe -a nft_tproxy nft_nat nft_chain_nat nft_masq nft_ct nft_flow_offload 2>/dev/null
load_module
topo_up
behind_up
sealed_pair require
taps_up
serve "$B"
policy_routing
serve_stop "$B"
transparent_proxy
masquerade
virtual_server
taps_down "policy routing, proxies, translation"
layers
vrf
ktap_finished
