#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# A key that was replaced drains. Its records that come late, behind the first one of
# the next key, are opened; it goes 3 s after the last of them, while nobody speaks,
# too; and the key that is in use never goes in its place, in whichever pause. Then
# what was withheld for longer is refused under the name of the old key.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

# That many ms behind the first record of the next key the withheld one comes. It has
# to be more than the second in which gc comes once, and less than DRAIN: a machine
# that is too slow for that tries again.
LATE=1200 DRAIN=3000

kick()
{
	kill -USR1 "$(cat "$TMP/stream-talk.pid")"
}

answered()
{
	local had
	stream_bytes talk had
	kick && slowwait 10 stream_beyond talk "$had"
}

passed()
{
	[ "$(now_ms)" -ge "$1" ]
}

# sa_state SPI: of a receiving SA of B
sa_state()
{
	seal_b -j sa show | jq -r --argjson spi "$1" \
		'.[] | select(.dir == "in" and .spi == $spi) | .state'
}

sa_is()
{
	is "$(sa_state "$1")" "$2"
}

# What A sends stays at the router; who follows the flow on ra sees it
withhold()
{
	on_r nft -f - <<-END
		table inet keep {
			chain forward {
				type filter hook forward priority 0
				ip daddr $B4 meta length > 300 drop
			}
		}
	END
}

# keep NAME: the next record that A sends, until the gate of that name is taken away
keep()
{
	inject ra "$A4" "$B4" -m 200 -W 60 -G "$TMP/gate-$1" replay >"$TMP/kept-$1" 2>&1 &
	echo $! >"$TMP/keeper-$1"
}

# deliver NAME: what was kept goes on to B
deliver()
{
	rm "$TMP/gate-$1" || return
	wait "$(cat "$TMP/keeper-$1")" && return
	cat "$TMP/kept-$1"
	return 1
}

all_kept()
{
	[ -e "$TMP/gate-soon" ] && [ -e "$TMP/gate-never" ]
}

# A record of the old key is kept twice over, A gets the next key, and what TCP sends
# again comes with that. Leaves the time when B was seen to open it.
replace_key()
{
	OLD=$SPI
	must withhold
	keep soon
	keep never
	kick
	must slowwait 20 all_kept
	must sa_oneway "$A" "$A4" "$B" "$B4"
	must on_r nft delete table inet keep
	slowwait 20 sa_is "$SPI" current || return
	since=$(now_ms)
}

# The usual order of a rotation, but for one late record. Was it late by as much as it
# should be, whoever else had the machine?
late_record()
{
	local try
	for try in 1 2 3; do
		replace_key || return
		must snap before
		must busywait 5000 passed $((since + LATE))
		deliver soon || return
		[ "$(now_ms)" -ge $((since + DRAIN - 500)) ] || return 0
		ktap_print_msg "try $try: $(($(now_ms) - since)) ms, too slow"
		deliver never
	done
	echo "this machine is too slow"
	return 1
}

opened()
{
	busywait 2000 has_grown B before total.opened_records
}

begin nft
load_module
topo_up
must link_both require keys manual
must sa_both 4
SPI=$SPI_AB
serve "$B"
stream talk "$A" $B4 -i 10000000 -z 400
must slowwait 10 stream_beyond talk 0
check "a record of the old key comes late" late_record
check "it is opened" opened
check "not refused" is "$(grown B before drop.tombstone)" 0
# nobody speaks from here on
check "the old key goes" slowwait 15 sa_is "$OLD" tombstone
check "the key in use is the current one" sa_is "$SPI" current
must busywait 8000 passed $((since + 3 * DRAIN))
check "and is so after a pause as long as draining takes" sa_is "$SPI" current
must snap before
check "the connection goes on with it" answered
check "and nothing of that is refused" is "$(growth B before | grep '^drop')" ""
must snap before
must deliver never
check "a record that was withheld for longer is refused by its tombstone" \
	busywait 3000 has_grown B before drop.tombstone
check "the connection ends well" stream_end talk
check "and was exact" stream_is talk '.exact == 1 and .corrupt == 0'
ktap_finished
