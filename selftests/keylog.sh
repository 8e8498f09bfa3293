#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# The key log of a laboratory: off unless the configuration says so, loud where it does,
# nobody else's to read; and what it says opens a capture of the wire, byte by byte.
# With CAPTURE_TO=DIR capture and keys are left there, for scripts/dissector.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

KEYS=$TMP/keys

# loud WORDS...: status warns of keys in a file
loud()
{
	seal_a -j status | jq -e '.warnings | any(test("KEY LOG"))' >/dev/null
}

logged()
{
	grep -qF "$1" "$TMP/daemon-A.log"
}

# lines N: the key log has that many SAs at least
lines()
{
	[ "$(grep -c '^SA ' "$KEYS" 2>/dev/null)" -ge "$1" ]
}

# spoken TEXT: sent to B, and back
spoken()
{
	is "$(printf '%s' "$1" | on_a timeout $((10 * SLOW)) socat -t 5 - "TCP4:$B4:7001")" "$1"
}

# opened TEXT: the capture has that, by the keys of the log
opened()
{
	(cd "$SELFTESTS/interop" && python3 - "$KEYS" "$TMP/wire.pcap" "$1") <<-'END'
		import sys
		from packet import Segment, TCP, read_pcap
		from record import SA, address, open_one
		keys, capture, text = sys.argv[1:]
		sas = {}
		for line in open(keys, encoding="ascii"):
		    _, spi, aead, src, dst, key, iv = line.split()
		    sas[int(spi, 16)] = SA(int(spi, 16), bytes.fromhex(key), bytes.fromhex(iv), 64,
		                           address(src), address(dst))
		found = sealed = 0
		for packet in read_pcap(capture):
		    if packet[0] >> 4 != 4 or packet[9] != TCP:
		        continue
		    segment = Segment.parse(packet)
		    sa = sas.get(int.from_bytes(segment.payload[4:8], "big"))
		    if not sa:
		        continue
		    plain, _ = open_one(sa, segment)
		    sealed += 1
		    found += text.encode() in plain.payload
		print(sealed, "sealed segments,", found, "with the text")
		sys.exit(found < 2)
	END
}

named()
{
	seal_a peer show "$B4" | grep -qF "key written to a key log"
}

# Each end may still seal with its last key for a moment
read_back()
{
	spoken "$1" && opened "$1"
}

reloads()
{
	[ "$(grep -cF "is in force" "$TMP/daemon-A.log")" -ge "$1" ]
}

begin python3 tcpdump socat ethtool
load_module
topo_up
on_b socat TCP4-LISTEN:7001,fork,reuseaddr EXEC:cat &
must slowwait 20 listens "$B" 7001

negotiated require
check "a sealed connection" slowwait 20 spoken "quietly"
check "not asked for: no warning" refuses loud
check "not asked for: no word in the log" refuses logged "KEYS ARE WRITTEN"
{ links_conf A B require; echo "key-log $KEYS"; } | conf_for A
: >"$KEYS"
chmod 640 "$KEYS"
must daemon_reload A
check "asked for: the daemon says so" slowwait 20 logged "KEYS ARE WRITTEN TO A FILE"
must seal_a peer rekey $B4
check "a file that others may read is refused" slowwait 20 logged "not a file of this user alone"
check "and nothing is written to it" is "$(stat -c %s "$KEYS")" 0
check "nor is it said that it was" refuses loud
rm "$KEYS"
ln -s /dev/null "$KEYS"
must seal_a peer rekey $B4
check "nor is a link followed" slowwait 20 logged "Too many levels of symbolic links"
rm "$KEYS"

# As on a wire: checksums are there, and nothing is left to a card to cut
must on_a ethtool -K a0 tx off tso off gso off
must on_b ethtool -K b0 tx off tso off gso off
must on_r sh -c "exec tcpdump -Z root -i ra -w '$TMP/wire.pcap' -U --immediate-mode tcp 2>'$TMP/tcpdump.err' &"
must slowwait 20 grep -q '^tcpdump: listening' "$TMP/tcpdump.err"
must seal_a peer rekey $B4
check "both keys of a handshake" slowwait 20 lines 2
check "for its owner alone" is "$(stat -c %a "$KEYS")" 600
check "status is loud" slowwait 20 loud
check "and names the key" slowwait 20 named
check "with the key log the wire can be read, both ways" slowwait 20 read_back said-in-the-open
check "and not without" refuses grep -qaF said-in-the-open "$TMP/wire.pcap"
[ -z "${CAPTURE_TO:-}" ] || cp "$KEYS" "$TMP/wire.pcap" "$CAPTURE_TO/"

links_conf A B require | conf_for A
must daemon_reload A
must slowwait 20 reloads 2
before=$(wc -l <"$KEYS")
must seal_a peer rekey $B4
check "no longer asked for: status is quiet once the keys are new" slowwait 30 refuses loud
check "and nothing more is written" is "$(wc -l <"$KEYS")" "$before"
ktap_finished
