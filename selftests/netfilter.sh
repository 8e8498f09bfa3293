#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 500
#
# With what else hangs on netfilter: stateful firewalls on hosts and router,
# conntrack from before and from after the links, SNAT, DNAT, the FTP helper with
# its sequence adjustment, SYNPROXY, NFQUEUE behind everything else, a host's
# address on a bridge with call-iptables. All of it works, and nobody counts an
# INVALID segment.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

NAT4=10.1.0.66

# Strict on all three: what conntrack calls invalid is counted and dropped
firewall()
{
	local ns
	for ns in "$A" "$B"; do
		on "$ns" nft -f - <<-END || return
			table inet fw {
				counter invalid { }
				counter refused { }
				chain in {
					type filter hook input priority 0; policy accept;
					iif lo accept
					ct state invalid counter name invalid drop
					ct state established,related accept
					meta l4proto { icmp, ipv6-icmp } accept
					tcp dport { 21, 5001, 5002, 5090, 5080 } ct state new accept
					meta l4proto tcp counter name refused drop
				}
				chain out {
					type filter hook output priority 0; policy accept;
					ct state invalid counter name invalid drop
				}
			}
		END
		on "$ns" sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0 || return
	done
	on_r nft -f - <<-END || return
		table inet fw {
			counter invalid { }
			chain forward {
				type filter hook forward priority 0; policy accept;
				ct state invalid counter name invalid drop
			}
		}
	END
	on_r sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=0
}

# none_invalid: by rules and by conntrack's own count
none_invalid()
{
	local host sum
	for host in A B R; do
		sum=$(on "${!host}" nft -j list counters | jq '[.nftables[].counter? |
			select(. != null and .name == "invalid") | .packets] | add')
		[ "$sum" = 0 ] || {
			echo "$host counts $sum invalid"
			return 1
		}
		sum=$(on "${!host}" conntrack -S | grep -o '\<invalid=[0-9]*' | cut -d = -f 2 | paste -sd +)
		[ "$((${sum:-0}))" = 0 ] || {
			echo "conntrack of $host counts $((sum)) invalid"
			return 1
		}
	done
}

# Timer of the live connection to a port on a host, while it is idle
timer()
{
	on "$1" conntrack -L -p tcp --dport "$2" 2>/dev/null |
		awk '/ESTABLISHED/ && /ASSURED/ { print $3; exit }'
}

timer_established()
{
	local have
	have=$(timer "$1" "$2")
	at_least "${have:-0}" 431000
}

transfers()
{
	check "$1: IPv4 up" pat "$A" $B4 -u 5000000
	check "$1: IPv4 down" pat "$A" $B4 -d 5000000
	check "$1: IPv6 both ways" pat "$A" $B6 -u 5000000 -d 5000000
}

stateful()
{
	local what=$1 host
	serve "$B"
	transfers "$what"
	# bursts, then idle: what is acknowledged must be what was sent
	stream idle "$A" $B4 -i 600000 -z 60000
	must slowwait 10 stream_beyond idle 59999
	for host in A R B; do
		check "$what: an idle connection is ASSURED with the established timer on $host" \
			busywait 3000 timer_established "${!host}" 5001
	done
	check "$what: and is alive" kick idle
	check "$what: nobody counts an invalid segment" none_invalid
	check "$what: the idle connection ends" stream_end idle
	check "$what: exact" stream_is idle '.exact == 1'
	serve_stop "$B"
}

kick()
{
	kill -USR1 "$(cat "$TMP/stream-$1.pid")" && slowwait 10 stream_beyond "$1" 100000
}

nat()
{
	must on_b nft -f - <<-END
		table ip nat {
			chain pre {
				type nat hook prerouting priority dstnat
				tcp dport 5080 redirect to :5001
			}
		}
	END
	must on_a nft -f - <<-END
		table ip nat {
			chain out {
				type nat hook output priority dstnat
				ip daddr 10.2.0.77 dnat to $B4
			}
			chain post {
				type nat hook postrouting priority srcnat
				ip daddr $B4 tcp dport 5002 snat to $NAT4
				ip daddr $B4 tcp dport 21 snat to $NAT4
			}
		}
	END
	must ip -n "$A" addr add $NAT4/24 dev a0
	must sa_oneway "$A" $NAT4 "$B" $B4
	must sa_oneway "$B" $B4 "$A" $NAT4
	serve "$B"
	check "DNAT on the server (redirect to another port)" pat "$A" $B4 -p 5080 -u 1000000 -d 1000000
	check "DNAT on the client (another address)" pat "$A" 10.2.0.77 -u 1000000 -d 1000000
	serve_stop "$B"
	serve "$B" -p 5002
	check "SNAT on the client (another address)" pat "$A" $B4 -p 5002 -u 1000000 -d 1000000
	serve_stop "$B"
}

# Active FTP through SNAT: the helper rewrites the client's PORT command, which
# changes its length, so sequence numbers are adjusted from then on.
ftp()
{
	if ! type vsftpd >/dev/null 2>&1 || ! modprobe -a nf_conntrack_ftp nf_nat_ftp 2>/dev/null; then
		ktap_test_skip "FTP helper" "no vsftpd or no nf_nat_ftp"
		return
	fi
	mkdir -p "$TMP/ftp/root" "$TMP/ftp/empty"
	chmod 755 "$TMP" "$TMP/ftp" "$TMP/ftp/root"
	"$TOOLS/tcp_pat" file "$TMP/ftp/root/file" 3000000
	cat >"$TMP/ftp/conf" <<-END
		listen=YES
		anonymous_enable=YES
		local_enable=NO
		anon_root=$TMP/ftp/root
		secure_chroot_dir=$TMP/ftp/empty
		seccomp_sandbox=NO
		background=NO
		connect_from_port_20=YES
	END
	on_b vsftpd "$TMP/ftp/conf" >"$TMP/ftp/log" 2>&1 &
	must slowwait 10 listens "$B" 21
	must on_a nft -f - <<-END
		table ip help {
			ct helper ftp { type "ftp" protocol tcp; }
			chain out {
				type filter hook output priority 0
				tcp dport 21 ct helper set "ftp"
			}
		}
	END
	check "FTP, active, through SNAT: three files in one session" ftp_get
	check "FTP: the PORT command was rewritten, its sequence adjusted" \
		contains "$(cat "$TMP/ftp/said")" "PORT 10,1,0,5,"
	check "FTP: nobody counts an invalid segment" none_invalid
}

ftp_get()
{
	on_a timeout 60 python3 - "$B4" "$TMP/ftp/got" >"$TMP/ftp/said" <<-'END' || return
		import ftplib, sys
		ftp = ftplib.FTP(timeout=30)
		ftp.set_debuglevel(1)
		ftp.connect(sys.argv[1])
		ftp.login()
		ftp.set_pasv(False)
		for i in range(3):
		    with open(sys.argv[2], "wb") as out:
		        ftp.retrbinary("RETR file", out.write)
		ftp.quit()
	END
	cmp "$TMP/ftp/root/file" "$TMP/ftp/got"
}

# What is invalid to conntrack is what SYNPROXY lives on: not counted there
synproxy()
{
	must on_b nft insert rule inet fw in tcp dport 5090 accept
	must on_b nft insert rule inet fw out tcp sport 5090 accept
	must on_b nft -f - <<-END
		table inet proxy {
			chain pre {
				type filter hook prerouting priority raw
				tcp dport 5090 tcp flags syn notrack
			}
			chain in {
				type filter hook input priority -10
				tcp dport 5090 ct state invalid,untracked synproxy mss 1400 wscale 7 timestamp sack-perm
			}
		}
	END
	must on_b sysctl -qw net.netfilter.nf_conntrack_tcp_loose=0
	serve "$B" -p 5090
	check "SYNPROXY on the server, IPv4" pat "$A" $B4 -p 5090 -u 1000000 -d 1000000
	check "SYNPROXY on the server, IPv6" pat "$A" $B6 -p 5090 -u 1000000 -d 1000000
	serve_stop "$B"
	on_b sysctl -qw net.netfilter.nf_conntrack_tcp_loose=1
	on_b nft delete table inet proxy
}

# queue OPTIONS...: a program in the way of all that A sends and B receives, on A
# behind everything but tcpseal
queue()
{
	local what=$1 ns
	shift
	for ns in "$A" "$B"; do
		must on "$ns" "$TOOLS/nfq_accept" -D -q "$TMP/nfq-$ns.pid" -o "$TMP/nfq-$ns.json" "$@"
	done
	must on_a nft -f - <<-END
		table inet nfq {
			chain post {
				type filter hook postrouting priority 2147483646
				meta l4proto tcp queue num 0
			}
		}
	END
	must on_b nft -f - <<-END
		table inet nfq {
			chain pre {
				type filter hook prerouting priority -150
				meta l4proto tcp queue num 0
			}
		}
	END
	serve "$B"
	check "NFQUEUE at INT_MAX - 1, $what: IPv4" pat "$A" $B4 -u 2000000 -d 2000000
	check "NFQUEUE at INT_MAX - 1, $what: IPv6" pat "$A" $B6 -u 2000000 -d 2000000
	serve_stop "$B"
	for ns in "$A" "$B"; do
		on "$ns" nft delete table inet nfq
		stop_pid "$TMP/nfq-$ns.pid"
		must slowwait 10 test -e "$TMP/nfq-$ns.json"
		check "NFQUEUE, $what: packets went that way" at_least "$(jq .packets "$TMP/nfq-$ns.json")" 10
		rm "$TMP/nfq-$ns.json"
	done
}

bridge_up()
{
	on_b sh -e <<-END
		ip link add br0 type bridge
		ip addr flush dev b0
		ip link set b0 master br0
		ip link set br0 up
		ip addr add $B4/24 dev br0
		ip addr add $B6/64 dev br0 nodad
		ip route replace default via 10.2.0.1
		ip -6 route replace default via fd00:2::1
		sysctl -qw net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1
	END
	# the bridge has another hardware address than its port had
	ip -n "$R" neigh flush dev rb
	slowwait 10 quietly on_a ping -c 1 -W 1 "$B4" &&
		slowwait 10 quietly on_a ping -c 1 -W 1 "$B6"
}

taps_up()
{
	tap_start ra "$R" ra
	tap_start rb "$R" rb
}

taps_down()
{
	tap_stop ra rb
	check "$1: all that passes the router is sealed" all_sealed ra
	check "$1: the same on its other side" all_sealed rb
}

begin nft conntrack python3
modprobe -a nft_ct nft_nat nft_queue nft_synproxy nft_redir nfnetlink_queue \
	nft_chain_nat br_netfilter 2>/dev/null
load_module

topo_up
sealed_pair require
must firewall
taps_up
stateful "conntrack after the links"
taps_down "conntrack after the links"

topo_up
must firewall
sealed_pair require
taps_up
stateful "conntrack before the links"
nat
ftp
queue "cut"
queue "whole" -g
check "with all of that: nobody counts an invalid segment" none_invalid
synproxy
taps_down "with all of that"

topo_up
must bridge_up
sealed_pair require
must firewall
taps_up
serve "$B"
transfers "address on a bridge with call-iptables"
serve_stop "$B"
check "address on a bridge: nobody counts an invalid segment" none_invalid
taps_down "address on a bridge"
ktap_finished
