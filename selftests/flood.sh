#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 300
#
# Segments that look sealed, with SPIs that nobody knows, from thousands of addresses of
# a link that requires sealing. Each may come from a peer whose keys this host has lost,
# so some are asked; but no more than there is room for, and after those for whom
# programs wait: a connection to a new peer comes about meanwhile, keys that are in use
# stay as they are, and neither kernel nor daemon grows. (Beside a live key forged SPIs
# and tags are counted, and that is all: fuzz.sh.)
#
# FLOOD=N: how many segments (10,000), a thousand a second.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${FLOOD:=10000}"
# What the module may make of them, see STRANGERS_MAX; and what the test makes itself
STRANGERS=4096 OWN=16

# Nobody has these addresses
forger()
{
	cat <<-'END'
	import os, random, socket, struct, sys, time
	there, count = socket.inet_aton(sys.argv[1]), int(sys.argv[2])
	s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
	s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
	random.seed(int(sys.argv[3]))
	for n in range(count):
	    source = socket.inet_aton('10.1.%d.%d' % (128 + n // 250 % 128, n % 250 + 1))
	    record = struct.pack('!BBHIHHI', 0x40, n % 8, 32, random.randrange(1, 1 << 32), 1, 0, n)
	    tcp = struct.pack('!HHIIBBHHH', 40000, 5001, n, 1, 5 << 4, 0x18, 500, 0, 0)
	    payload = tcp + record + os.urandom(48)
	    ip = struct.pack('!BBHHHBBH', 0x45, 0, 20 + len(payload), 0, 0x4000, 64, 6, 0)
	    s.sendto(ip + source + there + payload, (sys.argv[1], 0))
	    if n % 50 == 49:
	        time.sleep(0.05)
	END
}

pairs()
{
	seal_b -j stats | jq .pairs
}

few_pairs()
{
	at_most "$(pairs)" "$1"
}

refused_all()
{
	at_least "$(grown B before drop.unknown-spi)" "$FLOOD"
}

keys_of_a()
{
	seal_b -j sa show | jq -c --arg a "$A4" '[.[] | select(.state != "tombstone" and
		(.local == $a or .peer == $a)) | [.id, .spi, .dir, .state]] | sort'
}

forged_out()
{
	gone_pid "$forger"
}

begin python3
load_module
topo_up
must ip -n "$R" route add blackhole 10.1.128.0/17
ktap_print_msg "FLOOD=$FLOOD, seed $((seed = SRANDOM))"
forger >"$TMP/forger.py"
negotiated require
serve "$A"
serve "$B"
must slowwait 10 pat "$A" $B4 -u 1000 -T 5
stream talk "$A" $B4 -i 20 -z 300
must stream_moves talk
keys=$(keys_of_a)
must snap before
ip netns exec "$R" python3 "$TMP/forger.py" "$B4" "$FLOOD" "$seed" &
forger=$!
disown "$forger"
must slowwait 10 has_grown B before drop.unknown-spi
check "meanwhile a connection to a peer that is new comes about" pat "$B" $A6 -u 1000 -T 20
ktap_print_msg "connected after $(jq .connect_ms "$TMP/pat.json") ms"
must slowwait $((60 + FLOOD / 500)) forged_out
check "all that was forged is refused" slowwait 10 refused_all
check "of those whom they pretend to come from few are asked" few_pairs $((STRANGERS + OWN))
ktap_print_msg "$(pairs) pairs, the daemon has $(resident B) KiB"
check "the daemon has less than 64 MiB" at_most "$(resident B)" $((64 * 1024))
check "the keys in use are the same" is "$(keys_of_a)" "$keys"
check "another connection to a new peer is held for its keys no longer than TCP waits" \
	pat "$A" $B6 -u 1000 -T 10
check "the stream goes on" stream_moves talk
check "it ends" stream_end talk
check "and was exact" stream_is talk '.exact == 1'
ktap_finished
