#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.12
# timeout: 300
#
# What TCP and its neighbours do besides moving data: SYN cookies, a closed window
# and its probes, keepalives, a SYN for a connection in TIME_WAIT, MPTCP with two
# subflows and checksums of its own, TLS in the kernel, NFQUEUE in front of the
# opener, copies by tc, a router that clamps the MSS. All of it works on a link that
# requires sealing, and taps on the way read nothing. A router that translates
# addresses breaks the connection, and nothing gets out for that.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

A4_2=10.1.0.6

both()
{
	local text=$1
	shift
	check "$text: IPv4" pat "$A" $B4 "$@"
	check "$text: IPv6" pat "$A" $B6 "$@"
}

# counted NS NAME MIN: the stack's own counter
counted()
{
	at_least "$(of_stack "$1" "$2")" "$3"
}

syn_cookies()
{
	must on_b sysctl -qw net.ipv4.tcp_syncookies=2
	both "SYN cookies" -u 200000 -d 200000
	check "SYN cookies: they were in use" counted "$B" TcpExtSyncookiesRecv 2
	must on_b sysctl -qw net.ipv4.tcp_syncookies=1
}

# The reader sleeps until it is told; what it then reads is whole
closed_window()
{
	on_b timeout $((60 * SLOW)) python3 - "$B4" "$TMP/read" <<-'END' >"$TMP/reader.log" 2>&1 &
		import os, socket, sys, time
		listener = socket.socket()
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
		listener.bind((sys.argv[1], 5010))
		listener.listen()
		reader, _ = listener.accept()
		while not os.path.exists(sys.argv[2]):
		    time.sleep(0.05)
		got = b""
		while part := reader.recv(65536):
		    got += part
		sys.exit(got != bytes(range(256)) * 2000)
	END
	local reader=$! writer
	slowwait 10 listens "$B" 5010 || return
	on_a timeout $((60 * SLOW)) python3 - "$B4" <<-'END' >"$TMP/writer.log" 2>&1 &
		import socket, sys
		with socket.create_connection((sys.argv[1], 5010)) as s:
		    s.sendall(bytes(range(256)) * 2000)
	END
	writer=$!
	slowwait 20 quietly counted "$A" TcpExtTCPWinProbe 3 || {
		echo "no probes of a closed window"
		return 1
	}
	touch "$TMP/read"
	wait "$writer" && wait "$reader" && return
	cat "$TMP/reader.log" "$TMP/writer.log"
	return 1
}

# The server closes first, so it has the TIME_WAIT that each next SYN meets
time_wait()
{
	on_b timeout $((60 * SLOW)) python3 - "$B4" <<-'END' >"$TMP/reader.log" 2>&1 &
		import socket, sys
		listener = socket.socket()
		listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		listener.bind((sys.argv[1], 5011))
		listener.listen()
		for i in range(10):
		    s, _ = listener.accept()
		    s.sendall(bytes([i]) * 3000)
		    s.close()
	END
	slowwait 10 listens "$B" 5011 || return
	on_a timeout $((60 * SLOW)) python3 - "$A4" "$B4" <<-'END'
		import socket, sys
		for i in range(10):
		    with socket.socket() as s:
		        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
		        s.bind((sys.argv[1], 40001))
		        s.settimeout(20)
		        s.connect((sys.argv[2], 5011))
		        got = b""
		        while part := s.recv(65536):
		            got += part
		        if got != bytes([i]) * 3000:
		            sys.exit(f"connection {i}: {len(got)} bytes")
	END
}

keep_alive()
{
	check "keepalives are sent" slowwait 20 counted "$A" TcpExtTCPKeepAlive 2
	check "keepalives: the connection is there" kick alive
	check "keepalives: it ends" stream_end alive
	check "keepalives: exact" stream_is alive '.exact == 1'
}

kick()
{
	local had
	stream_bytes "$1" had
	kill -USR1 "$(cat "$TMP/stream-$1.pid")" && slowwait 10 stream_beyond "$1" "$had"
}

mptcp()
{
	local ns
	for ns in "$A" "$B"; do
		on "$ns" sysctl -qw net.mptcp.enabled=1 net.mptcp.checksum_enabled=1 2>/dev/null || {
			ktap_test_skip "MPTCP" "this kernel has none"
			return
		}
		must ip -n "$ns" mptcp limits set subflow 2 add_addr_accepted 2
	done
	must ip -n "$A" addr add $A4_2/24 dev a0
	must ip -n "$A" mptcp endpoint add $A4_2 dev a0 subflow
	must sa_oneway "$A" $A4_2 "$B" $B4
	must sa_oneway "$B" $B4 "$A" $A4_2
	must on_b "$TOOLS/tcp_pat" server -D -p 5012 -X mptcp -q "$TMP/mptcp.pid" 2>/dev/null
	tap_start second "$R" ra -f $A4_2
	check "MPTCP: exact" pat "$A" $B4 -p 5012 -X mptcp -u 20000000 -d 20000000
	tap_stop second
	check "MPTCP: both ends spoke it" counted "$B" MPTcpExtMPCapableSYNRX 1
	check "MPTCP: a second subflow joined" counted "$B" MPTcpExtMPJoinAckRx 1
	check "MPTCP: the second subflow carried data, sealed" tap_some second data 20
	for ns in "$A" "$B"; do
		check "MPTCP: its checksums were right" is "$(of_stack "$ns" MPTcpExtDataCsumErr)" 0
	done
	stop_pid "$TMP/mptcp.pid"
}

# A file by TLS that the kernel encrypts and decrypts
kernel_tls()
{
	modprobe tls 2>/dev/null || {
		ktap_test_skip "kernel TLS" "this kernel has none"
		return
	}
	must openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
		-subj /CN=b -keyout "$TMP/tls.key" -out "$TMP/tls.crt"
	"$TOOLS/tcp_pat" file "$TMP/file" 2000000
	(cd "$TMP" && on_b timeout $((60 * SLOW)) openssl s_server -accept 4433 -ktls -sendfile \
		-HTTP -cert tls.crt -key tls.key -naccept 1) >"$TMP/s_server.log" 2>&1 &
	must slowwait 10 listens "$B" 4433
	check "kernel TLS: a file comes" tls_get
	check "kernel TLS: the sender's kernel encrypted" \
		at_least "$(encrypted)" 1
}

# Connections whose sender is the kernel of B
encrypted()
{
	on_b cat /proc/net/tls_stat | awk '$1 == "TlsTxSw" { print $2 }'
}

tls_get()
{
	printf 'GET /file HTTP/1.0\r\n\r\n' | on_a timeout $((30 * SLOW)) \
		openssl s_client -connect "$B4:4433" -ktls -quiet >"$TMP/got" 2>"$TMP/s_client.log"
	cmp "$TMP/file" "$TMP/got" && return
	cat "$TMP/s_server.log" "$TMP/s_client.log"
	return 1
}

# queue WHAT OPTIONS...: a program takes what arrives at B before it is opened
queue()
{
	local what=$1
	shift
	must on_b "$TOOLS/nfq_accept" -D -q "$TMP/nfq.pid" -o "$TMP/nfq.json" "$@"
	must on_b nft -f - <<-END
		table inet nfq {
			chain pre {
				type filter hook prerouting priority -500
				meta l4proto tcp queue num 0
			}
		}
	END
	both "NFQUEUE in front of the opener, $what" -u 1000000 -d 100000
	must on_b nft delete table inet nfq
	stop_pid "$TMP/nfq.pid"
	must slowwait 10 test -e "$TMP/nfq.json"
	check "NFQUEUE, $what: packets went that way" at_least "$(jq .packets "$TMP/nfq.json")" 10
	rm "$TMP/nfq.json"
}

clamped()
{
	must on_r nft -f - <<-END
		table inet clamp {
			chain forward {
				type filter hook forward priority 0
				tcp flags syn tcp option maxseg size set 900
			}
		}
	END
	both "a router clamps the MSS" -u 500000 -d 500000
	must on_r nft delete table inet clamp
}

# tc copies what a card sends or receives to another, that is tapped
copies_up()
{
	ip -n "$1" link add copy type dummy && ip -n "$1" link set copy up &&
		tc -n "$1" qdisc add dev "$2" clsact &&
		tc -n "$1" filter add dev "$2" "$3" matchall action mirred egress mirror dev copy
}

copies()
{
	modprobe -a act_mirred cls_matchall dummy 2>/dev/null
	must copies_up "$A" a0 egress
	must copies_up "$B" b0 ingress
	tap_start copies-a "$A" copy
	tap_start copies-b "$B" copy
	both "tc mirrors" -u 200000 -d 200000
	tap_stop copies-a copies-b
	check "tc mirrors: at A it copies what is sealed already" all_sealed copies-a
	check "tc mirrors: at B it copies what is sealed still" all_sealed copies-b
	must tc -n "$A" qdisc del dev a0 clsact
	must tc -n "$B" qdisc del dev b0 clsact
}

translated()
{
	must on_r nft -f - <<-END
		table inet nat {
			chain post {
				type nat hook postrouting priority srcnat
				oif rb meta nfproto ipv4 tcp dport 5001 snat ip to 10.1.0.77
				oif rb meta nfproto ipv6 tcp dport 5001 snat ip6 to fd00:1::77
			}
		}
	END
	must snap before
	check "a router translates addresses: no connection, IPv4" refuses pat "$A" $B4 -u 1000 -T 2
	check "a router translates addresses: no connection, IPv6" refuses pat "$A" $B6 -u 1000 -T 2
	check "a router translates addresses: what it changed is refused by its tag" \
		has_grown B before drop.bad-tag
	must on_r nft delete table inet nat
}

begin nft openssl python3
modprobe -a nfnetlink_queue nft_queue nft_nat nft_chain_nat 2>/dev/null
load_module
topo_up
sealed_pair require
must snap all
tap_start ra "$R" ra
tap_start rb "$R" rb
serve "$B"
stream alive "$A" $B4 -i 10000000 -A 50
syn_cookies
check "a closed window is probed, and opens" closed_window
check "SYN upon TIME_WAIT: ten connections from one port" time_wait
mptcp
kernel_tls
queue "cut"
queue "whole" -g
clamped
copies
keep_alive
check "until here nothing was dropped" is "$({ growth A all; growth B all; } | grep '^drop')" ""
translated
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
tap_stop ra rb
check "all that passed the router was sealed" all_sealed ra
check "the same on its other side" all_sealed rb
ktap_finished
