#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# timeout: 600
#
# Module and daemon against a second implementation of the protocol, which was
# written from Documentation/protocol.rst: interop/. First it is the peer: host A
# has the module, B is that program behind a TUN device. Then it checks what two
# modules said to each other, byte by byte. And the module opens the vectors of
# Documentation/vectors, which it made. At last a client by the same document
# agrees on keys with tcpseald.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

INTEROP=$SELFTESTS/interop
VECTORS=$TOP/Documentation/vectors
export TCPSEAL PYTHONDONTWRITEBYTECODE=1

# tun_up: host A, alone, and the device that B is behind
tun_up()
{
	setup_ns A
	modprobe -q tun
	must ip -n "$A" tuntap add dev tun0 mode tun vnet_hdr
	must host_up "$A" tun0 $A4/8 $A6/16
}

# keys_to FILE FAMILY: the SAs of that family between A and B, as sa_both left them
keys_to()
{
	local a=A$2 b=B$2
	cat >>"$1" <<-KEYS
		{"spi": $SPI_AB, "key": "$KEY_AB", "iv": "$IV_AB", "lanes": 8,
		 "src": "${!a}", "dst": "${!b}"},
		{"spi": $SPI_BA, "key": "$KEY_BA", "iv": "$IV_BA", "lanes": 8,
		 "src": "${!b}", "dst": "${!a}"}
	KEYS
}

# sa_of_a 4|6: what sa_both does, where B has no module
sa_of_a()
{
	local a=A$1 b=B$1
	new_key _AB
	new_key _BA
	seal_a sa add dir in local "${!a}" peer "${!b}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" &&
		seal_a sa add dir out local "${!a}" peer "${!b}" \
			spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB"
}

# keys_by COMMAND FILE: manual keys of both families by that, and in FILE
keys_by()
{
	must "$1" 4
	echo '[' >"$2"
	keys_to "$2" 4
	echo , >>"$2"
	must "$1" 6
	keys_to "$2" 6
	echo ']' >>"$2"
}

# capture_start: of all that passes the router
capture_start()
{
	# not by on_r, which would be the process that is known
	nsenter --net="/run/netns/$R" tcpdump --immediate-mode -s 2000 -i ra -U \
		-w "$TMP/capture" 2>"$TMP/tcpdump.log" &
	capture=$!
	must slowwait 10 grep -q 'listening on' "$TMP/tcpdump.log"
}

# in_capture FILTER
in_capture()
{
	tcpdump -nr "$TMP/capture" "$1" 2>/dev/null | grep -q .
}

# capture_stop: when it has an echo that was asked for now, it has all before
capture_stop()
{
	on_a ping -q -c 1 "$B4" && slowwait 10 in_capture 'icmp[0] == 0' || return
	kill "$capture"
	wait "$capture"
	grep -q '^0 packets dropped by kernel' "$TMP/tcpdump.log" || {
		cat "$TMP/tcpdump.log"
		return 1
	}
}

# traffic ADDRESS: transfers, and connections that are reset or refused
traffic()
{
	pat "$A" "$1" -n 2 -u 60000 -d 60000 && pat "$A" "$1" -u 5000 -R &&
		! pat "$A" "$1" -p 4999 -u 10
}

vectors()
{
	python3 "$INTEROP/vectors.py" "$1" "$VECTORS" "${@:2}"
}

# vectors_by_openssl: by a program that shares nothing with the one that made them
vectors_by_openssl()
{
	vectors lines >"$TMP/lines" && at_least "$(wc -l <"$TMP/lines")" 100 &&
		"$TOOLS/gcm_check" <"$TMP/lines"
}

begin python3 tcpdump ethtool
python3 -c 'import cryptography' 2>/dev/null || ktap_skip_all "python3 has no cryptography"
[ -d "$VECTORS" ] || ktap_skip_all "no $VECTORS"
load_module
tun_up
must add_links "$A" A B require keys manual
check "the vectors are what the second implementation makes and opens" vectors check
check "OpenSSL seals them to the same bytes" vectors_by_openssl
vectors commands >"$TMP/commands"
must seal_a -batch "$TMP/commands"
verdicts_of "the injector" on_a python3 "$INTEROP/vectors.py" inject \
	"$VECTORS" tun0
must seal_a sa flush
keys_by sa_of_a "$TMP/keys"
verdicts_of "the peer" on_a python3 "$INTEROP/peer.py" tun0 "$TMP/keys" \
	$A4 $B4 $A6 $B6

# Cut, and with checksums, before the capture
topo_up
must on_a ethtool -K a0 tx off tso off gso off
must on_b ethtool -K b0 tx off tso off gso off
must link_both require keys manual
keys_by sa_both "$TMP/keys"
serve "$B"
capture_start
check "IPv4: traffic to capture" traffic $B4
check "IPv6: traffic to capture" traffic $B6
check "the capture is complete" capture_stop
serve_stop "$B"
check "the capture is what the document says" \
	python3 "$INTEROP/verify.py" "$TMP/keys" "$TMP/capture"
check "and would not be with any bit of it changed" \
	python3 "$INTEROP/verify.py" --mutate "$TMP/keys" "$TMP/capture"

# A host without tcpseal agrees on keys with a daemon
topo_up
must on_a ethtool -K a0 tx off
must pki_up
links_conf A B require | conf_for A
must daemon_start A
for family in 4 6; do
	remote=A$family local=B$family
	verdicts_of "the client" on_b python3 "$INTEROP/control.py" b0 "${!local}" "${!remote}" \
		"$TMP/pki/b.crt" "$TMP/pki/b.key" "$TMP/pki/ca.crt"
done
must daemon_stop A
ktap_finished
