#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# What tcpseald tells Prometheus: in a format that promtool takes, the numbers that
# the kernel has, over TCP and a Unix socket. Whoever reads slowly, or asks slowly, or
# comes in crowds is cut off and keeps nobody from keys. Every metric that the
# dashboard and the alerts name is there.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

PORT=9325
EXAMPLES=$TOP/examples

# scrape: what A tells; leaves it in $TMP/metrics
scrape()
{
	on_a curl -sSf --max-time $((20 * SLOW)) "http://127.0.0.1:$PORT/metrics" >"$TMP/metrics"
}

# metric NAME-AND-LABELS: its value in the last scrape
metric()
{
	awk -v name="$1" 'index($0, name " ") == 1 { print $NF }' "$TMP/metrics"
}

metric_is()
{
	is "$(metric "$1")" "$2"
}

metric_at_least()
{
	at_least "$(metric "$1")" "$2"
}

tells_at_least()
{
	scrape && metric_at_least "$@"
}

# refuses_line TEXT LINE: it is refused, by its number and with this text
refuses_line()
{
	local text=$1
	shift
	{ echo "# one"; echo "$*"; } | conf_for C
	"$TCPSEALD" -t -c "$TMP/C.conf" >"$TMP/refused" 2>&1 && return 1
	grep -qE "C.conf:5: .*$text" "$TMP/refused" && return
	cat "$TMP/refused"
	return 1
}

# Every series' sum per direction is that of the kernel
same_as_kernel()
{
	seal_a -j stats >"$TMP/stats" && scrape || return
	metric_is tcpseal_sealed_bytes_total "$(jq .total.sealed_bytes "$TMP/stats")" &&
		metric_is tcpseal_opened_segments_total "$(jq .total.opened_records "$TMP/stats")" &&
		metric_is 'tcpseal_plain_segments_total{direction="out"}' "$(jq .total.plain_out "$TMP/stats")" &&
		jq -r '(.drop | to_entries[] | "tcpseal_drops_total{reason=\"\(.key)\"} \(.value)"),
			(.note | to_entries[] | "tcpseal_notes_total{event=\"\(.key)\"} \(.value)")' \
			"$TMP/stats" | sort >"$TMP/theirs" &&
		grep -E '^tcpseal_(drops|notes)_total' "$TMP/metrics" | sort | diff "$TMP/theirs" -
}

# COUNT connections that ask for nothing, letter by letter, or read nothing. Says when
# all are there, and when all but the deaf are cut off.
crowd()
{
	cat <<-'END'
	import socket, sys, time
	kind, count, port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
	sockets = []
	for i in range(count):
	    s = socket.socket()
	    if kind == 'deaf':
	        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
	    s.connect(('127.0.0.1', port))
	    if kind == 'deaf':
	        s.sendall(b'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n')
	    sockets.append(s)
	print('there', flush=True)
	while sockets:
	    time.sleep(0.2)
	    for s in list(sockets) if kind != 'deaf' else ():
	        try:
	            if kind == 'slow':
	                s.send(b'G')
	            if not s.recv(1, socket.MSG_DONTWAIT):
	                sockets.remove(s)
	        except BlockingIOError:
	            pass
	        except OSError:
	            sockets.remove(s)
	print('cut off', flush=True)
	END
}

# crowd_comes KIND COUNT
crowd_comes()
{
	ip netns exec "$A" python3 "$TMP/crowd.py" "$1" "$2" "$PORT" >"$TMP/crowd.out" &
	CROWD=$!
	disown "$CROWD"
	slowwait 60 grep -q there "$TMP/crowd.out"
}

descriptors()
{
	find "/proc/$(cat "$TMP/daemon-A.pid")/fd" -mindepth 1 | wc -l
}

# What is not the crowd's: FDS
crowd_cut_off()
{
	[ "$(descriptors)" -le "$FDS" ]
}

rekeyed()
{
	[ "$(peer A "$B4" tx.spi)" != "$1" ]
}

# Names of metrics in a file, without what PromQL and histograms add
names()
{
	grep -hoE '\btcpseal_[a-z_]+' "$@" | sed -E 's/_(bucket|sum|count)$//' | sort -u
}

told()
{
	awk '$1 == "#" && $2 == "TYPE" { print $3 }' "$TMP/metrics" | sort -u
}

# Reasons to drop that a file names
reasons_told()
{
	grep -hoE 'reason=~?\\?"[a-z|-]+' "$EXAMPLES"/* | sed 's/.*"//' | tr '|' '\n' | sort -u >"$TMP/named"
	[ -s "$TMP/named" ] || return 1
	comm -23 "$TMP/named" <(sed -nE 's/^tcpseal_drops_total\{reason="(.*)"\}.*/\1/p' "$TMP/metrics" | sort)  >"$TMP/unknown"
	cat "$TMP/unknown"
	[ ! -s "$TMP/unknown" ]
}

# all_told FILE: every metric that it names
all_told()
{
	names "$1" >"$TMP/named"
	[ -s "$TMP/named" ] || return 1
	comm -23 "$TMP/named" <(told) >"$TMP/unknown"
	cat "$TMP/unknown"
	[ ! -s "$TMP/unknown" ]
}

begin curl nc python3
load_module
topo_up
crowd >"$TMP/crowd.py"
for bad in "not ADDRESS:PORT:metrics 127.0.0.1" \
	"not ADDRESS:PORT:metrics localhost:1" "not ADDRESS:PORT:metrics 127.0.0.1:0" \
	"reached from outside:metrics 10.1.0.5:1" "reached from outside:metrics [::]:1" \
	"absolute path:metrics unix:run/x" "too much:metrics unix:/run/x remote"; do
	check "refused: ${bad#*:metrics }" refuses_line "${bad%%:metrics*}" "metrics ${bad#*:metrics }"
done

serve "$B"
negotiated require "metrics 127.0.0.1:$PORT"
must daemon_stop A
must daemon_stop B
must "$TCPSEAL" ca crl --dir "$TMP/pki"
sed -i "s|^identity .*|& crl $TMP/pki/ca.crl|" "$TMP/A.conf"
sed -i "s|^metrics .*|metrics unix:$TMP/metrics.socket|" "$TMP/B.conf"
must daemon_start A B
check "a sealed connection" slowwait 20 pat "$A" $B4 -u 100000
check "the kernel's numbers" slowwait 10 same_as_kernel
check "the module answers" metric_is tcpseal_up 1
check "one pair, sealed" metric_is 'tcpseal_pairs{state="sealed"}' 1
LINK="local=\"$NET_A4\",remote=\"$NET_B4\""
check "the link, with its mode" metric_is "tcpseal_link_info{$LINK,mode=\"require\"}" 1
check "what the link sealed" metric_at_least "tcpseal_link_sealed_bytes_total{$LINK}" 100000
check "its pairs" metric_is "tcpseal_link_pairs{$LINK,state=\"sealed\"}" 1
check "a handshake begun, and done" metric_at_least \
	'tcpseal_handshakes_total{role="client",result="sealed"}' 1
check "how long it took" metric_at_least tcpseal_handshake_duration_seconds_count 1
check "the certificate's days" metric_at_least tcpseal_certificate_expiry_seconds $((89 * 86400))
check "the revocation list's days" metric_at_least tcpseal_crl_expiry_seconds $((29 * 86400))
check "the key's hours" metric_at_least tcpseal_fail_closed_seconds $((23 * 3600))
check "no series of a peer" refuses grep -qE "$B4\"|$A4\"" "$TMP/metrics"
if type promtool >/dev/null 2>&1; then
	check "promtool takes it" promtool check metrics <"$TMP/metrics"
else
	ktap_test_skip "promtool takes it" "no promtool"
fi
for file in "$EXAMPLES"/*.{json,yml}; do
	check "what ${file##*/} names is there" all_told "$file"
done
check "and so is every reason to drop" reasons_told
check "over a Unix socket, too" quietly curl -sSf --unix-socket "$TMP/metrics.socket" http://b/metrics
check "nothing else is served" refuses quietly on_a curl -sf "http://127.0.0.1:$PORT/"

FDS=$(descriptors)
for i in {0..255}; do
	echo "link add 10.1.7.$i/32 10.99.0.0/16 mode audit"
done >"$TMP/links"
must seal_a -b "$TMP/links"
for kind in mute slow deaf; do
	must crowd_comes $kind 30
	check "30 $kind connections: no more than two generations of them" \
		at_most "$(descriptors)" $((FDS + 32))
	spi=$(peer A $B4 tx.spi)
	must seal_a peer rekey $B4
	check "30 $kind connections: new keys meanwhile" slowwait 10 rekeyed "$spi"
	check "30 $kind connections: are cut off" slowwait 30 crowd_cut_off
	[ $kind = deaf ] || check "30 $kind connections: and see that" \
		slowwait 10 grep -q "cut off" "$TMP/crowd.out"
	quietly kill "$CROWD"
done
check "and then it answers again" slowwait 20 scrape

must daemon_stop B
must daemon_stop A
ip netns exec "$A" nc -l 127.0.0.1 $PORT >/dev/null &
NC=$!
disown $NC
must slowwait 10 listens "$A" $PORT
must daemon_start A
check "a port that is taken keeps nobody from keys, and is named" \
	slowwait 10 grep -q "A.conf:[0-9]*: metrics 127.0.0.1:$PORT: Address already in use" "$TMP/daemon-A.log"
must daemon_stop A
kill $NC
must seal_a sa flush
must daemon_start A
check "nobody there: no connection" refuses pat "$A" $B4 -u 1000 -T 10
check "handshakes that failed are counted" slowwait 20 tells_at_least \
	'tcpseal_handshakes_total{role="client",result="failed"}' 1
check "a pair without keys" is "$(($(metric 'tcpseal_pairs{state="waiting"}') + \
	$(metric 'tcpseal_pairs{state="blocked"}')))" 1
ktap_finished
