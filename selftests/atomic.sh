#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 300
#
# Many changes of links at once: all of them or none, whoever asks, dies or comes in
# between, and no packet sees a part of it.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

links()
{
	seal_a -j link show | jq -r 'map("\(.local)/\(.local_len) \(.remote)/\(.remote_len) \(.mode)") | sort | .[]'
}

# batch LINE...: as one transaction on A; what it says is in $TMP/said
batch()
{
	printf '%s\n' "$@" | seal_a link batch - 2>"$TMP/said"
}

# refused TEXT LINE...: refused, TEXT is said, and nothing has changed
refused()
{
	local text=$1 before
	shift
	before=$(links)
	if batch "$@"; then
		echo "accepted"
		return 1
	fi
	contains "$(cat "$TMP/said")" "$text" && is "$(links)" "$before"
}

all_or_none()
{
	must batch "add 10.1.0.0/16 10.2.0.0/16 mode require" "add 10.1.0.0/16 10.3.0.0/16"
	check "all of a batch" is "$(links)" "10.1.0.0/16 10.2.0.0/16 require
10.1.0.0/16 10.3.0.0/16 audit"
	check "a link that is none in the middle: nothing" refused "loopback is never linked" \
		"add 10.1.0.0/16 10.4.0.0/16" "add 10.1.0.0/16 127.0.0.0/8" "add 10.1.0.0/16 10.5.0.0/16"
	check "a word that is none in the middle: nothing" refused "gladly" \
		"add 10.1.0.0/16 10.4.0.0/16" "add 10.1.0.0/16 10.6.0.0/16 mode gladly" "del 10.1.0.0/16 10.3.0.0/16"
	check "one that crosses in the middle: nothing, and its name" \
		refused "10.0.0.0/8 10.3.7.0/24: neither inside nor around" \
		"add 10.1.0.0/16 10.4.0.0/16" "add 10.0.0.0/8 10.3.7.0/24" "add 10.1.0.0/16 10.5.0.0/16"
	check "one that is weaker in the middle: nothing, and its name" \
		refused "10.1.0.0/16 10.2.0.0/16: addresses that must be sealed" \
		"add 10.1.0.0/16 10.4.0.0/16" "add 10.1.0.0/16 10.2.0.0/16 mode prefer" "del 10.1.0.0/16 10.3.0.0/16"
	check "a hole in a link that requires: nothing" refused "10.1.0.0/16 10.2.7.0/24: addresses that must" \
		"add 10.1.0.0/16 10.4.0.0/16" "add 10.1.0.0/16 10.2.7.0/24 mode clear"
	check "one that requires goes: nothing" refused "addresses that must be sealed" \
		"add 10.1.0.0/16 10.4.0.0/16" "del 10.1.0.0/16 10.2.0.0/16"
	check "one goes that is not there: nothing" refused "10.1.0.0/16 10.8.0.0/16: no link has these" \
		"add 10.1.0.0/16 10.4.0.0/16" "del 10.1.0.0/16 10.8.0.0/16"
	check "one that requires goes, and another one around it comes" batch \
		"del 10.1.0.0/16 10.2.0.0/16" "add 10.1.0.0/16 10.2.0.0/15 mode require" "del 10.1.0.0/16 10.3.0.0/16"
	check "and so they are" is "$(links)" "10.1.0.0/16 10.2.0.0/15 require"
	# what counts is what comes out of it, not the order
	check "crossing links with what they have in common behind them" batch \
		"add 10.1.0.0/16 10.8.0.0/24" "add 10.1.0.0/24 10.8.0.0/16" "add 10.1.0.0/24 10.8.0.0/24"
	check "what they have in common cannot go" refused "10.1.0.0/24 10.8.0.0/24: " \
		"del 10.1.0.0/24 10.8.0.0/24"
	check "but with one of them" batch "del 10.1.0.0/24 10.8.0.0/24" "del 10.1.0.0/16 10.8.0.0/24"
	check "gone and back is a change" batch "del 10.1.0.0/24 10.8.0.0/16" "add 10.1.0.0/24 10.8.0.0/16 mode prefer"
	check "which keeps its number" is \
		"$(seal_a -j link show | jq '.[] | select(.mode == "prefer") | .id')" 5
	check "come and gone is nothing" batch "add 10.1.0.0/16 10.4.0.0/16" "del 10.1.0.0/16 10.4.0.0/16"
	check "and so they are, too" is "$(links)" "10.1.0.0/16 10.2.0.0/15 require
10.1.0.0/24 10.8.0.0/16 prefer"
	must seal_a link flush --weaken
}

# open_batch: one that stands open: it has begun, and waits for more in $TMP/fifo
open_batch()
{
	rm -f "$TMP/fifo"
	mkfifo "$TMP/fifo"
	nsenter --net="/run/netns/$A" "$TCPSEAL" link batch "$TMP/fifo" 2>"$TMP/open" &
	batch_pid=$!
	exec 7>"$TMP/fifo"
	printf '%s\n' "$@" >&7
	must slowwait 10 reads_on
}

# Every line has been read, and nothing but the file is waited for
reads_on()
{
	local number fd
	read -r number fd _ 2>/dev/null <"/proc/$batch_pid/syscall" || return
	[ "$number" = 0 ] && [ "$(readlink "/proc/$batch_pid/fd/$((fd))")" = "$TMP/fifo" ]
}

close_batch()
{
	exec 7>&-
	wait "$batch_pid"
}

in_the_middle()
{
	open_batch "add 10.1.0.0/16 10.4.0.0/16" "del 10.1.0.0/16 10.2.0.0/16"
	check "open: nobody sees it" is "$(links)" "10.1.0.0/16 10.2.0.0/16 audit"
	kill -KILL "$batch_pid"
	close_batch 2>/dev/null
	check "killed: nothing was done" is "$(links)" "10.1.0.0/16 10.2.0.0/16 audit"

	open_batch "add 10.1.0.0/16 10.4.0.0/16"
	check "two at once: the second one ends first" batch "add 10.1.0.0/16 10.5.0.0/16"
	close_batch
	check "two at once: the first one is refused" is $? 1
	check "two at once: and told why" grep -q "the links changed since" "$TMP/open"
	open_batch "add 10.1.0.0/16 10.4.0.0/16"
	must seal_a link add 10.1.0.0/16 10.6.0.0/16
	close_batch
	check "so it is where a single link came in between" is $? 1
	open_batch "add 10.1.0.0/16 10.4.0.0/16"
	check "undisturbed it comes through" close_batch
	check "links of those who came through" is "$(links | cut -d ' ' -f 2 | tr '\n' ' ')" \
		"10.2.0.0/16 10.4.0.0/16 10.5.0.0/16 10.6.0.0/16 "
	must seal_a link flush --weaken
}

# flood: segments with a text that anyone could read, each from nothing: where no link
# that requires covers them, they leave
flood()
{
	on_a "$TOOLS/seal_inject" -f $A4 -t 10.2.0.99 -s 40000 -p 4999 -F A -b 64 \
		-n 1000000 plain >/dev/null 2>&1 &
	flood_pid=$!
}

# While it goes on, and a stream: A's links become others that cover the same, again
# and again. With one pair at most, each segment asks the links themselves.
no_packet_between()
{
	local i=0 end now
	must seal_a link add 10.1.0.0/16 10.2.0.0/24 mode require keys manual
	must seal_a link add 10.1.0.0/16 10.9.0.0/24 mode require keys manual
	must seal_b link add 10.2.0.0/16 10.1.0.0/16 mode require keys manual
	must seal_a conf set max-pairs 1
	must sa_both 4
	printf '%s\n' "add 10.1.0.0/16 10.9.0.0/25 mode require keys manual" \
		"del 10.1.0.0/16 10.2.0.0/24" "del 10.1.0.0/16 10.9.0.0/24 --weaken" \
		"add 10.1.0.0/16 10.2.0.0/23 mode require keys manual" >"$TMP/there"
	printf '%s\n' "del 10.1.0.0/16 10.2.0.0/23 --weaken" "del 10.1.0.0/16 10.9.0.0/25" \
		"add 10.1.0.0/16 10.2.0.0/24 mode require keys manual" \
		"add 10.1.0.0/16 10.9.0.0/24 mode require keys manual" >"$TMP/back"
	serve "$B"
	tap_start swap "$R" ra
	stream swap "$A" $B4 -i 5 -z 20000
	must stream_moves swap
	flood
	must snap before
	now_ms end
	end=$((end + 12000))
	while now_ms now; [ "$now" -lt "$end" ]; do
		must seal_a link batch "$TMP/there"
		must seal_a link batch "$TMP/back"
		i=$((i + 2))
	done
	check "links changed under traffic" at_least "$i" 10
	check "the stream goes on" stream_moves swap
	kill "$flood_pid" 2>/dev/null
	wait "$flood_pid" 2>/dev/null
	must stream_end swap
	tap_stop swap
	ktap_print_msg "$i commits, $(grown A before drop.no-pair) segments refused meanwhile"
	check "the stream was exact" stream_is swap '.exact == 1 and .corrupt == 0'
	check "segments came all the time" at_least "$(grown A before drop.no-pair)" 1000
	check "none left in plain" all_sealed swap
	serve_stop "$B"
	must seal_a conf set max-pairs 262144
	flush_both
}

# many N MODE: lines for so many links
many()
{
	seq "$1" | awk -v mode="$2" '{
		printf "add 10.1.0.0/16 11.%d.%d.%d/32 mode %s\n", $1 / 65536, $1 / 256 % 256, $1 % 256, mode
	}'
}

# takes N MODE: milliseconds for so many at once
takes()
{
	local begin end
	many "$1" "$2" >"$TMP/many"
	now_ms begin
	seal_a link batch "$TMP/many" || return
	now_ms end
	echo $((end - begin))
}

very_many()
{
	local few all
	few=$(takes 2500 audit)
	must seal_a link flush
	all=$(takes 10000 audit)
	check "10,000 links at once" is "$(seal_a stats | awk '$1 == "links" { print $2 }')" 10000
	check "10,000 links change at once" quietly takes 10000 prefer
	ktap_print_msg "2,500 links: $few ms, 10,000: $all ms"
	check "four times as many take less than eight times as long" at_most "$all" $((8 * few))
	must seal_a link flush
}

begin
load_module
topo_up
all_or_none
must seal_a link add 10.1.0.0/16 10.2.0.0/16
in_the_middle
no_packet_between
very_many
ktap_finished
