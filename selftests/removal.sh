#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# smp on 6.12: 2
# timeout: 500
#
# One end stops to seal while the other goes on, under 32 live streams: "link
# del", "link flush", rmmod, and an SA that expires. Every stream is exact or
# ends by an error that the application sees; no sealed byte reaches an
# application.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

STREAMS=32

# streams_up MODE: half of them IPv6; bulk in both directions, and talk
streams_up()
{
	local f address
	link_both require keys manual || return
	for f in 4 6; do
		sa_both "$f" "$@" || return
	done
	serve "$B"
	for f in 4 6; do
		address=B$f
		stream "bulk$f" "$A" "${!address}" -n $((STREAMS / 4)) -u 400000000 -d 400000000 -r 200000
		stream "talk$f" "$A" "${!address}" -n $((STREAMS / 4)) -i 30
		stream_moves "bulk$f" && stream_moves "talk$f" || return
	done
}

# streams_judged TEXT: all have ended, or go on; none was wrong or hangs
streams_judged()
{
	local name
	for name in bulk4 bulk6 talk4 talk6; do
		check "$1, $name: no stream just hangs" ends_or_moves "$name"
	done
	for name in bulk4 bulk6; do
		[ ! -e "$TMP/stream-$name.pid" ] || kill -KILL "$(cat "$TMP/stream-$name.pid")" 2>/dev/null
	done
	for name in talk4 talk6; do
		stream_end $name
		check "$1, $name: exact or an error" stream_is $name '.corrupt == 0 and .stalled == 0'
	done
	for name in bulk4 bulk6; do
		stream_ended $name || continue
		check "$1, $name: exact or an error" stream_is $name '.corrupt == 0 and .stalled == 0'
	done
	serve_stop "$B"
	check "$1: no sealed byte reached the server" pat_is '.corrupt == 0' "server-$B"
}

ends_or_moves()
{
	local had
	stream_bytes "$1" had
	slowwait 20 ended_or_beyond "$1" "$had" && return
	echo "stream $1 neither ends nor goes on from $had bytes"
	return 1
}

ended_or_beyond()
{
	stream_ended "$1" || stream_beyond "$1" "$2"
}

clean_links()
{
	seal_a link flush --force --weaken
	seal_b link flush --force --weaken
	return 0
}

# removed TEXT HOST COMMAND...: that host stops while the other seals
removed()
{
	local text=$1 host=$2
	shift 2
	must streams_up
	check "$text: done" "$@"
	streams_judged "$text"
	clean_links
}

del_links()
{
	seal_b link del "$NET_B4" "$NET_A4" --force --weaken &&
		seal_b link del "$NET_B6" "$NET_A6" --force --weaken
}

begin
need_own_module
topo_up
# TCP itself gives up in seconds
for ns in "$A" "$B"; do
	must on "$ns" sysctl -qw net.ipv4.tcp_retries2=4
done

must streams_up
check "link del while the pair holds keys is refused" refuses seal_b link del $NET_B4 $NET_A4
check "link flush while pairs hold keys is refused" refuses seal_b link flush
check "rmmod while pairs hold keys is refused" refuses rmmod tcpseal
check "the streams did not notice" stream_moves talk4
check "link del --force: done" del_links
streams_judged "link del"
clean_links

removed "link flush" B seal_b link flush --force --weaken

# SA expiry on one end: B's keys die after seconds, A's do not
expire()
{
	local f
	link_both require keys manual || return
	for f in 4 6; do
		local a=A$f b=B$f
		new_key _AB
		new_key _BA
		seal_b sa add dir in local "${!b}" peer "${!a}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" hard-secs $((3 * SLOW)) &&
			seal_a sa add dir in local "${!a}" peer "${!b}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" &&
			seal_a sa add dir out local "${!a}" peer "${!b}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" &&
			seal_b sa add dir out local "${!b}" peer "${!a}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" hard-secs $((3 * SLOW)) || return
		local address=B$f
		stream "talk$f" "$A" "${!address}" -n $((STREAMS / 2)) -i 30 -A 5
		stream_moves "talk$f" || return
	done
}

dropped_or_told()
{
	[ "$(($(grown B before drop.expired) + $(grown B before drop.tombstone)))" -gt 0 ]
}

serve "$B"
must snap before
must expire
check "SA expiry: what comes afterwards is dropped as expired or for its tombstone" \
	slowwait 20 dropped_or_told
tap_start late "$R" rb -d in -f $B4
for name in talk4 talk6; do
	# required, and no key will come: TCP gives up, on requests by
		# its retransmissions, on answers by its keepalives
	check "SA expiry, $name: every stream ends by an error" slowwait 60 stream_ended $name
	check "SA expiry, $name: none was wrong or just hung" stream_is $name '.corrupt == 0 and .stalled == 0'
done
tap_stop late
check "SA expiry: B sends nothing plain" tap_is late plain 0
serve_stop "$B"
check "SA expiry: no sealed byte reached the server" pat_is '.corrupt == 0' "server-$B"
clean_links

# rmmod on one end is a namespace here: the module is one, so both ends lose it;
# B's links go by force, then the module, while what A sealed is still on the way
unload()
{
	seal_b link flush --force --weaken && seal_a link flush --force --weaken &&
		slowwait 10 quietly rmmod tcpseal
}
must streams_up
check "rmmod: done" unload
streams_judged "rmmod"
check "rmmod: the module is gone" refuses module_loaded
ktap_finished
