#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# smp on 6.12: 2
# timeout: 400
# long: 20
#
# New keys every second for 60 s under 8 flows, or a thousand of them: no reset, no
# lost byte, nothing plain, and the old keys are gone.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

SECS=60 ROTATIONS=0
[ -z "${LONG-}" ] || SECS=7000 ROTATIONS=1000

# live SAs of the pair that the flows use, on a host
live_sas()
{
	seal "${!1}" -j sa show | jq '[.[] | select(.state != "tombstone")] | length'
}

# number of the newest generation's SA; counts up with each key
newest()
{
	seal "${!1}" -j sa show | jq '[.[].id] | max'
}

few_sas()
{
	# both families: each way current, perhaps next or draining
	at_most "$(live_sas "$1")" 12
}

all_move()
{
	local name
	for name in bulk4 bulk6 talk4 talk6; do
		stream_moves $name || return
	done
}

enough()
{
	[ $SECONDS -ge $((begun + SECS)) ] ||
		{ [ $ROTATIONS != 0 ] && [ "$rotations" -ge $ROTATIONS ]; }
}

two_current()
{
	# 2 pairs, each way one
	is "$(seal "${!1}" -j sa show | jq '[.[] | select(.state == "current")] | length')" 4
}

# No SA that lives is older than the one in use. A newer one may wait: of the
# handshake that was cut off when the daemons ended.
at_rest()
{
	seal "${!1}" -j sa show | jq -e '
		[.[] | select(.state != "tombstone")] | group_by([.local, .dir]) |
		all((map(select(.state == "current")) | .[0].id) as $now | all(.id >= $now))' >/dev/null && return
	seal "${!1}" -j sa show | jq -c '.[] | select(.state != "tombstone") |
		{dir, local, state, id, flags, generation, age_secs}'
	return 1
}

begin
load_module
topo_up
tap_start ra "$R" ra
negotiated require "rotate time 1"
serve "$B" -r 400000
stream bulk4 "$A" $B4 -n 2 -u 2000000000 -d 2000000000 -r 400000
stream bulk6 "$A" $B6 -n 2 -u 2000000000 -d 2000000000 -r 400000
stream talk4 "$A" $B4 -n 2 -i 20
stream talk6 "$A" $B6 -n 2 -i 20
must all_move
first=$(newest A)
begun=$SECONDS rotations=0 moving=yes
until enough; do
	all_move >"$TMP/moves" || {
		moving=''
		break
	}
	few_sas A >"$TMP/few" || break
	rotations=$((($(newest A) - first) / 4))
	nap 1
done
check "every flow moved all the time" test -n "$moving"
check "keys never piled up" few_sas A
took=$((SECONDS - begun))
ktap_print_msg "$rotations new keys for each pair in $took s"
check "keys did rotate" at_least $rotations $((ROTATIONS ? ROTATIONS : SECS / (2 * SLOW)))
for name in talk4 talk6; do
	check "$name ends" stream_end $name
	check "$name: exact, no error" stream_is $name '.exact == 2 and .gap_ms < 3000'
done
for name in bulk4 bulk6; do
	refuses stream_ended $name || cat "$TMP/stream-$name.json"
	check "$name goes on to the end" stream_moves $name
	kill -KILL "$(cat "$TMP/stream-$name.pid")"
done
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0 and .stalled == 0' "server-$B"
check "no segment was refused for its key on A" is \
	$(($(counter "$A" drop.unknown-spi) + $(counter "$A" drop.tombstone) + $(counter "$A" drop.bad-tag))) 0
check "no segment was refused for its key on B" is \
	$(($(counter "$B" drop.unknown-spi) + $(counter "$B" drop.tombstone) + $(counter "$B" drop.bad-tag))) 0
tap_stop ra
check "all that passed was sealed" all_sealed ra
# the last rotation's remains go, and no more come without daemons
must daemon_stop A
must daemon_stop B
for host in A B; do
	check "old keys are gone on $host" slowwait 15 at_rest $host
	check "one key each way is in use on $host" two_current $host
done
ktap_finished
