#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# The exemption of control connections is not for others. On host A a process with
# CAP_NET_RAW, and nothing else, sets marks, writes the control port into raw
# segments, binds it, listens on it: with keys, without, with and without a daemon.
# Nothing of it leaves A in plain. Then RSTs are injected into the control
# connections of a pair that rotates every second: it goes on rotating.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

PORT=7325
# Only the attacker uses these
FROM=20000 TO=20099

# What that process does. Whatever the kernel refuses is an answer, not a failure.
attacker()
{
	cat <<-'END'
	import os, socket, struct, sys, time
	what, here, there = sys.argv[1:4]
	CONTROL, MARKS = 7325, (0, 1, 7325, 0x7325, 0xffffffff)
	TEXT = b'{tcpseal-selftest-plain-marker!}'
	FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
	family = socket.AF_INET6 if ':' in here else socket.AF_INET
	SO_MARK, IP_TRANSPARENT, IPV6_TRANSPARENT = 36, 19, 75

	def attempt(action, *args):
	    try:
	        return action(*args) or True
	    except OSError as e:
	        print(what, action.__name__, e, file=sys.stderr)
	        return None

	def mark(s, value):
	    attempt(s.setsockopt, socket.SOL_SOCKET, SO_MARK, value & 0xffffffff if value < 1 << 31
	            else value - (1 << 32))

	def checksum(data):
	    data += b'\0' * (len(data) % 2)
	    total = sum(struct.unpack('!%dH' % (len(data) // 2), data))
	    while total >> 16:
	        total = (total & 0xffff) + (total >> 16)
	    return ~total & 0xffff

	def segment(sport, dport, flags, payload):
	    head = struct.pack('!HHIIBBHHH', sport, dport, 1000, 2000, 5 << 4, flags, 8192, 0, 0)
	    a, b = socket.inet_pton(family, here), socket.inet_pton(family, there)
	    pseudo = a + b + struct.pack('!II', 6, len(head + payload))
	    return head[:16] + struct.pack('!H', checksum(pseudo + head + payload)) + head[18:] + payload

	# Segments from nothing, with the control port at either side and at none
	def raw():
	    sockets = [socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_TCP)]
	    if family == socket.AF_INET:
	        sockets.append(socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
	    n = 0
	    for s in sockets:
	        attempt(s.bind, (here, 0))
	        for value in MARKS:
	            mark(s, value)
	            for sport, dport in ((CONTROL, 5001), (CONTROL, CONTROL), (CONTROL, 20001),
	                                 (20000, CONTROL), (20000, 5001)):
	                for flags, payload in ((SYN, b''), (SYN, TEXT), (ACK | PSH, TEXT), (ACK, b''),
	                                       (SYN | ACK, b''), (RST, b''), (RST | ACK, TEXT),
	                                       (FIN | ACK, TEXT)):
	                    packet = segment(sport, dport, flags, payload)
	                    if s.proto == socket.IPPROTO_RAW:
	                        packet = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(packet), 7, 0, 64, 6, 0) + \
	                                 socket.inet_aton(here) + socket.inet_aton(there) + packet
	                    n += bool(attempt(s.sendto, packet, (there, 0)))
	    print('sent', n)

	def connect(s, port, wait=1.5):
	    s.settimeout(wait)
	    # MSG_FASTOPEN: with data in the SYN
	    attempt(s.sendto, TEXT * 4, 0x20000000, (there, port))
	    attempt(s.send, TEXT * 4)
	    s.close()

	def tcp(port=0):
	    s = socket.socket(family, socket.SOCK_STREAM)
	    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
	    if port:
	        s.bind((here, port))
	    return s

	# Ordinary connections with marks, also to the control port
	def marked():
	    for value in MARKS:
	        for port in (5001, CONTROL):
	            s = tcp(20002 + MARKS.index(value) * 2 + (port == CONTROL))
	            mark(s, value)
	            connect(s, port, 0.7)

	# Every way to get at the port of a daemon that listens. Says how many worked.
	def steal():
	    n = 0
	    for address in (here, '::' if family == socket.AF_INET6 else '0.0.0.0'):
	        for option in (None, socket.SO_REUSEADDR, socket.SO_REUSEPORT):
	            for transparent in (0, 1):
	                s = socket.socket(family, socket.SOCK_STREAM)
	                if option:
	                    s.setsockopt(socket.SOL_SOCKET, option, 1)
	                if transparent and family == socket.AF_INET:
	                    attempt(s.setsockopt, socket.IPPROTO_IP, IP_TRANSPARENT, 1)
	                elif transparent:
	                    attempt(s.setsockopt, socket.IPPROTO_IPV6, IPV6_TRANSPARENT, 1)
	                if attempt(s.bind, (address, CONTROL)):
	                    n += bool(attempt(s.listen, 5))
	                s.close()
	    print('stolen', n)

	# Connections that come from the port
	def use():
	    for port in (5001, CONTROL):
	        for value in (0, CONTROL):
	            s = attempt(tcp, CONTROL)
	            if s:
	                mark(s, value)
	                connect(s, port)

	# Bound before the daemon listens, used when it does
	def keep():
	    sockets = []
	    for i in range(2):
	        sockets.append(tcp(CONTROL))
	    print('bound', flush=True)
	    sys.stdin.readline()
	    connect(sockets[0], 5001)
	    connect(sockets[1], CONTROL)
	    print('used', flush=True)

	# In the place of the daemon: answers whoever comes
	def listen():
	    s = tcp(CONTROL)
	    s.listen(5)
	    print('listening', flush=True)
	    s.settimeout(0.2)
	    while os.path.exists(sys.argv[4]):
	        try:
	            c, _ = s.accept()
	        except OSError:
	            continue
	        attempt(c.send, TEXT)
	        c.close()

	globals()[what]()
	END
}

# attack WHAT 4|6 [ARG]: as nobody, with that one capability
attack()
{
	local here=A$2 there=B$2
	on_a timeout $((30 * SLOW)) setpriv --reuid 65534 --regid 65534 --clear-groups \
		--inh-caps=-all,+net_raw --ambient-caps=-all,+net_raw --bounding-set=-all,+net_raw \
		python3 "$TMP/attacker.py" "$1" "${!here}" "${!there}" "${@:3}" 2>>"$TMP/attacker.log"
}

# capture NAME: all TCP that A sends from now on
capture()
{
	ip netns exec "$R" tcpdump -i ra -Q in -w "$TMP/$1.pcap" -U --immediate-mode \
		"tcp and (src host $A4 or src host $A6)" 2>"$TMP/$1.err" &
	CAPTURE=$!
	disown "$CAPTURE"
	must slowwait 10 grep -q '^tcpdump: listening' "$TMP/$1.err"
}

capture_ended()
{
	gone_pid "$CAPTURE"
}

capture_stop()
{
	kill -TERM "$CAPTURE"
	must slowwait 10 capture_ended
}

# none NAME [FILTER]: no such packet was captured
none()
{
	tcpdump -nr "$TMP/$1.pcap" "${@:2}" 2>/dev/null >"$TMP/$1.found"
	[ ! -s "$TMP/$1.found" ] || {
		echo "$(wc -l <"$TMP/$1.found") packets left in plain:"
		head -n 12 "$TMP/$1.found"
		return 1
	}
}

# Without keys A's daemon may knock, in plain: from no fixed port, with no data
daemon_only()
{
	local payload4='(ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2)) != 0'
	local payload6='(ip6[4:2] - ((ip6[52] & 0xf0) >> 2)) != 0'

	none "$1" "src port $PORT or not dst port $PORT or src portrange $FROM-$TO" &&
		none "$1" "ip and $payload4" && none "$1" "ip6 and $payload6"
}

all_attacks()
{
	local family
	for family in 4 6; do
		check "$1, IPv$family: raw segments" attack raw $family
		check "$1, IPv$family: marked connections" attack marked $family
	done
}

# The port belongs to the daemon
nothing_stolen()
{
	is "$(attack steal "$1")" "stolen 0"
}

no_keys()
{
	seal_a sa flush && seal_b sa flush
}

connects()
{
	slowwait 10 pat "$A" "$1" -u 1000 -T 5
}

spi()
{
	peer A "$1" tx.spi
}

key_changed()
{
	[ "$(spi "$1")" != "$2" ]
}

rekeyed()
{
	local old
	old=$(spi "$1")
	seal_a peer rekey "$1" && slowwait 10 key_changed "$1" "$old"
}

# rotates ADDRESS N: so many new keys
rotates()
{
	local i old
	for ((i = 0; i < $2; i++)); do
		old=$(spi "$1")
		slowwait 10 key_changed "$1" "$old" || {
			echo "no new key after $i"
			return 1
		}
	done
}

begin python3 setpriv tcpdump nstat
load_module
topo_up
# client, and data in the SYN without a cookie
must on_a sysctl -qw net.ipv4.tcp_fastopen=5
chmod 711 "$TMP"
attacker >"$TMP/attacker.py"
chmod 644 "$TMP/attacker.py"
negotiated require
serve "$B"
serve "$A"

# With keys, and both daemons: even the control port is sealed
must connects $B4
must connects $B6
tap_start keys "$R" ra -d in -p 1
all_attacks "with keys"
for family in 4 6; do
	check "with keys, IPv$family: nobody else gets the control port" nothing_stolen $family
	attack use $family
done
check "with keys: the daemons still rotate, IPv4" rekeyed $B4
check "with keys: the daemons still rotate, IPv6" rekeyed $B6
tap_stop keys
check "with keys: not even the control port was plain" tap_is keys plain 0
check "with keys: the attack was seen, sealed" tap_some keys sealed 100
check "with keys: no marker" tap_is keys marker 0

# No keys, and none to be had: B is silent. A's daemon knocks in plain.
must daemon_stop B
must no_keys
capture silent
all_attacks "without keys"
for family in 4 6; do
	check "without keys, IPv$family: nobody else gets the control port" nothing_stolen $family
	attack use $family
done
capture_stop
check "without keys: nothing but the daemon's knocks leaves" daemon_only silent

# The port is taken before the daemon comes back, and used when it is there
must daemon_stop A
mkfifo "$TMP/go4" "$TMP/go6"
for family in 4 6; do
	attack keep $family <"$TMP/go$family" >"$TMP/keep$family" &
done
exec 3>"$TMP/go4" 4>"$TMP/go6"
for family in 4 6; do
	must slowwait 10 grep -q bound "$TMP/keep$family"
done
must daemon_start A
capture kept
echo >&3
echo >&4
for family in 4 6; do
	must slowwait 20 grep -q used "$TMP/keep$family"
done
exec 3>&- 4>&-
capture_stop
check "bound before the daemon: it is no way around it" daemon_only kept

# No daemon: somebody listens in its place, and B knocks
must daemon_stop A
must daemon_start B
touch "$TMP/listening"
capture alone
for family in 4 6; do
	attack listen $family "$TMP/listening" >"$TMP/listen$family" &
	must slowwait 10 grep -q listening "$TMP/listen$family"
done
must snap before
for family in 4 6; do
	address=A$family
	check "no daemon, IPv$family: B gets no connection" refuses pat "$B" "${!address}" -u 100 -T 2
done
check "no daemon: B has knocked" slowwait 15 has_grown B before note.ctrl-plain
rm "$TMP/listening"
all_attacks "no daemon"
for family in 4 6; do
	attack use $family
done
capture_stop
check "no daemon: nothing leaves" none alone

# Resets injected into control connections that are sealed
must daemon_stop B
for host in A B; do
	echo "rotate time 1" >>"$TMP/$host.conf"
	must daemon_start $host
done
must connects $B4
must connects $B6
stream talk4 "$A" $B4 -n 2 -i 50
stream talk6 "$A" $B6 -n 2 -i 50
must stream_moves talk4
must stream_moves talk6
tap_start rotation "$R" ra -d in
must snap before
injectors=()
for family in 4 6; do
	a=A$family b=B$family
	inject ra "${!a}" "${!b}" -p $PORT -n 1000000 -W 20 rst >/dev/null 2>&1 &
	injectors+=($!)
	inject rb "${!b}" "${!a}" -s $PORT -n 1000000 -W 20 rst >/dev/null 2>&1 &
	injectors+=($!)
done
check "resets injected: IPv4 goes on to rotate" rotates $B4 8
check "resets injected: IPv6 goes on to rotate" rotates $B6 8
check "resets injected: refused by the server under their own name" \
	slowwait 20 has_grown B before drop.ctrl-inject
check "resets injected: and by the client" \
	slowwait 20 has_grown A before drop.ctrl-inject
kill "${injectors[@]}" 2>/dev/null
wait "${injectors[@]}" 2>/dev/null
tap_stop rotation
check "resets injected: nothing of A is plain, the control connection aside" \
	tap_is rotation plain 0
for family in 4 6; do
	check "resets injected: IPv$family streams end well" stream_end talk$family
	check "resets injected: IPv$family streams are exact" stream_is talk$family '.exact == 2'
done
ktap_finished
