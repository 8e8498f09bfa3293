#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# tcpseal audit: the plaintext of each talker agrees to the byte, and to the segment,
# with what was captured on the wire. With more talkers than slots the busiest stay, and
# nothing is missing from the sum. What require would make of it is what it makes of it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# Sums of a capture, "REMOTE SERVICE-PORT SIDE OUT-BYTES IN-BYTES OUT-SEGMENTS IN-SEGMENTS" a
# line as A sees them: sums.py FILE A-ADDRESS,... SERVICE-PORT,...
sums()
{
	cat <<-'END'
	import ipaddress, struct, sys
	data = open(sys.argv[1], 'rb').read()
	ours = [ipaddress.ip_address(a).packed for a in sys.argv[2].split(',')]
	services = [int(p) for p in sys.argv[3].split(',')]
	at, sums = 24, {}
	while at < len(data):
	    have, = struct.unpack_from('=I', data, at + 8)
	    ip = data[at + 16 + 14:at + 16 + have]
	    at += 16 + have
	    if ip[0] >> 4 == 4:
	        src, dst, tcp = ip[12:16], ip[16:20], (ip[0] & 15) * 4
	        total = struct.unpack_from('!H', ip, 2)[0]
	    else:
	        src, dst, tcp = ip[8:24], ip[24:40], 40
	        total = 40 + struct.unpack_from('!H', ip, 4)[0]
	    sport, dport = struct.unpack_from('!HH', ip, tcp)
	    payload = total - tcp - (ip[tcp + 12] >> 4) * 4
	    out = src in ours
	    here, there = (sport, dport) if out else (dport, sport)
	    side = 'local' if here in services and there not in services else 'remote'
	    remote = str(ipaddress.ip_address(dst if out else src))
	    s = sums.setdefault((remote, here if side == 'local' else there, side), [0] * 4)
	    s[0 if out else 1] += payload
	    s[2 if out else 3] += 1
	for key, s in sorted(sums.items()):
	    print(*key, *s)
	END
}

# The same lines from the kernel's list
talkers()
{
	seal_a -j audit show | jq -r '.links[].talkers[] | [.remote,
		.local_port // .remote_port, if .local_port then "local" else "remote" end,
		.plain_out_bytes, .plain_in_bytes, .plain_out, .plain_in] | join(" ")' | sort
}

capture_start()
{
	nsenter --net="/run/netns/$R" tcpdump -i ra -w "$TMP/wire.pcap" -B 65536 -s 128 -U --immediate-mode tcp >"$TMP/tcpdump" 2>&1 </dev/null &
	TCPDUMP=$!
	disown $TCPDUMP
	must slowwait 10 grep -q "listening on" "$TMP/tcpdump"
}

# Nothing was lost
capture_stop()
{
	kill $TCPDUMP
	must slowwait 10 gone_pid $TCPDUMP
	must grep -q "^0 packets dropped by kernel" "$TMP/tcpdump"
}

# agrees COLUMNS: the list and the capture, of those columns
agrees()
{
	python3 "$TMP/sums.py" "$TMP/wire.pcap" "$A4,$A6" 5001,5002,50051 | sort | cut -d ' ' -f "$1" >"$TMP/wire"
	talkers | cut -d ' ' -f "$1" | diff "$TMP/wire" -
}

# settled: nobody said anything for a second
settled()
{
	local said now
	said=$(talkers)
	now_ms now
	[ "$said" = "${SAID:-}" ] || {
		SAID=$said
		SINCE=$now
		return 1
	}
	[ $((now - SINCE)) -gt 1000 ]
}

# Both families, out and in, and a service whose port is above those of its clients
traffic()
{
	local address
	for address in $B4 $B6; do
		check "$1: A is the client of $address" pat "$A" "$address" -n 3 -u 200000 -d 70000
		check "$1: and of a service on a high port" pat "$A" "$address" -p 50051 -u 3000 -d 3000
	done
	for address in $A4 $A6; do
		check "$1: B is the client of $address" pat "$B" "$address" -p 5002 -n 2 -u 50000 -d 9000
	done
	check "$1: a port where nobody listens" refuses pat "$A" $B4 -p 4999 -u 10
}

# of_audit JQ: something that it says
of_audit()
{
	seal_a -j audit show | jq -e "$1" >/dev/null && return
	seal_a audit show | head -n 20
	return 1
}

# The list, those without a slot, and the link's own counters add up
adds_up()
{
	of_audit '([.links[].talkers[] | [.plain_out, .plain_out_bytes, .plain_in, .plain_in_bytes]] +
		[.audit_other | [.plain_out, .plain_out_bytes, .plain_in, .plain_in_bytes]] |
		transpose | map(add)) ==
		([.links[].stats | [.plain_out, .plain_out_bytes, .plain_in, .plain_in_bytes]] |
		transpose | map(add))'
}

# scan FROM TO: a SYN to each of these ports, and the answer that nobody is there
scan()
{
	on_a python3 - "$B4" "$1" "$2" <<-'END'
	import socket, sys
	for port in range(int(sys.argv[2]), int(sys.argv[3])):
	    s = socket.socket()
	    try:
	        s.connect((sys.argv[1], port))
	        sys.exit(f'port {port} is open')
	    except ConnectionRefusedError:
	        pass
	    s.close()
	END
}

exact_round()
{
	must seal_a link flush
	must add_links "$A" A B audit
	must seal_a audit flush
	capture_start
	traffic "$1"
	# to their last FIN, which may be on its way
	check "$1: each talker, as on the wire" slowwait 10 agrees "$2"
	capture_stop
	check "$1: the list and the link's counters add up" adds_up
}

begin tcpdump python3 ethtool
load_module
topo_up
sums >"$TMP/sums.py"
must on_a sysctl -qw net.ipv4.ip_local_port_range="40000 40999"
must on_b sysctl -qw net.ipv4.ip_local_port_range="41000 41999" net.ipv4.tcp_tw_reuse=0
serve "$B"
must on_b "$TOOLS/tcp_pat" server -D -q "$TMP/high.pid" -p 50051
must on_a "$TOOLS/tcp_pat" server -D -q "$TMP/a.pid" -p 5002

# Super-segments count as what the card makes of them, which a capture does not show
exact_round "super-segments, to the byte" 1-5
for ns in A B; do
	must on "${!ns}" ethtool -K "${ns,,}0" tso off gso off gro off
done
exact_round "single segments, to the byte and the segment" 1-7

check "whom it cannot reach, require would drop" of_audit '[.links[].talkers[].require] | unique == ["drop"]'
stream live "$A" $B4 -i 50
must stream_moves live
check "the process that talks is named" of_audit \
	'any(.links[].talkers[]; .remote_port == 5001 and .processes == ["tcp_pat"])'
check "and a listening one" of_audit \
	'any(.links[].talkers[]; .local_port == 5002 and .processes == ["tcp_pat"])'
must stream_end live
check "where nobody has the socket any more nobody is" of_audit \
	'any(.links[].talkers[]; .remote_port == 50051 and .processes == [])'
check "for people" contains "$(seal_a audit show $NET_A4 $NET_B4)" "drop: no word with the peer yet"
check "one link, by its prefixes" is \
	"$(seal_a -j audit show $NET_A6 $NET_B6 | jq -r '[.links[].local] | join(" ")')" fd00:1::
seal_a audit show 10.7.0.0/16 $NET_B4 2>/dev/null
check "no such link: status" is $? 1
seal_a audit show nowhere $NET_B4 2>/dev/null
check "no prefix: status" is $? 2

must seal_a link del $NET_A6 $NET_B6
check "a link that is removed takes its talkers along" \
	of_audit '(.links | length) == 1 and (.audit_talkers == (.links[0].talkers | length))'
must seal_a link add 10.1.0.0/24 10.2.0.0/24 mode clear
must seal_a audit flush
check "flushed: nobody" of_audit '.audit_talkers == 0 and .audit_secs < 600'
check "a connection on a clear link" pat "$A" $B4 -u 1000
check "is nobody's news" of_audit '.audit_talkers == 0'
must seal_a link flush

# More talkers than slots: ten busy ones, many that say nothing, and a busy one late
must seal_a link add $NET_A4 $NET_B4 mode audit
must seal_a audit flush
SLOTS=$(seal_a -j stats | jq .audit_slots)
for i in {10..20}; do
	must ip -n "$B" addr add "10.2.0.$i/24" dev b0
done
for i in {10..19}; do
	must pat "$A" "10.2.0.$i" -u 20000
done
must slowwait 20 settled
talkers | grep -w 5001 >"$TMP/busy"
check "ten busy talkers" is "$(wc -l <"$TMP/busy")" 10
must scan 6000 $((6000 + SLOTS + SLOTS / 4))
check "all slots are in use" of_audit ".audit_talkers == $SLOTS and .audit_displaced > 0"
check "the busy ones are there, and first" is \
	"$(seal_a -j audit show | jq '[.links[].talkers[:10][] | .remote_port] | unique | .[]')" 5001
check "with all that they said" diff "$TMP/busy" <(talkers | grep -w 5001)
check "nothing is missing from the sum" adds_up
must pat "$A" 10.2.0.20 -u 20000
must slowwait 20 settled
check "who is busy later gets a slot, and the bound of what it may have missed" of_audit \
	'any(.links[].talkers[]; .remote == "10.2.0.20" and .plain_out_bytes >= 20000 and
		.missed > 0 and .missed < 1000)'
must scan 6000 6500
check "and keeps it" of_audit 'any(.links[].talkers[]; .remote == "10.2.0.20")'
check "still nothing is missing" adds_up
check "and it is said that the slots were not enough" \
	contains "$(seal_a audit show)" "the slots were not enough"
flush_both

# With daemons: a peer that would seal, and the daemons' own connections
negotiated audit
must pat "$A" $B4 -u 1000
check "require would seal with a peer that audits" slowwait 20 of_audit \
	'any(.links[].talkers[]; .remote_port == 5001 and .require == "seal")'
check "tcpseald's own connection is told apart" of_audit \
	'any(.links[].talkers[]; .require == "control")'
must seal_a link add $NET_A4 $NET_B4 mode require
check "and so require does" slowwait 20 pat "$A" $B4 -u 1000
check "with a key" peer_is A $B4 state sealed
stop_pid "$TMP/high.pid"
stop_pid "$TMP/a.pid"
ktap_finished
