#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 4
# bare: yes
# not on debug: its locks are other ones, and it is too slow to meet at them
#
# Nothing on the path is shared by all flows of a peer: while many flows go both ways
# on four processors, nobody waits for a lock of ours, but for two flows of one lane that
# meet now and then. The kernel tells, with the
# stack, when a lock is waited for (lock:contention_begin); of a spinlock, when two
# wait, so two processors would not do; and not on a machine that says it is virtual,
# whose spinlocks have no queue.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

TRACING=/sys/kernel/tracing
EVENT=$TRACING/events/lock/contention_begin

# waits: who waited for a lock, a line each with how often, ours first. Of a stack
# that is the first function which is no part of locking itself.
waits()
{
	awk '
		/^{ / { caller = ""; inside = 1; next }
		inside && /^} hitcount:/ { times[caller] += $3; inside = 0; next }
		inside && caller == "" && $1 !~ /lock|contention|rwsem|mutex|trace|semaphore/ {
			caller = $0
			gsub(/^ +|\+0x[0-9a-f]+\/0x[0-9a-f]+/, "", caller)
		}
		END { for (caller in times) print times[caller], caller }' "$EVENT/hist" |
		sort -k 3,3r -k 1,1nr
}

begin
[ "$(nproc)" -ge 4 ] || ktap_skip_all "less than four processors"
mountpoint -q "$TRACING" || mount -t tracefs tracefs "$TRACING"
[ -e "$EVENT/trigger" ] || ktap_skip_all "this kernel does not trace its locks"
load_module
topo_up
sealed_pair require
serve "$B"
must pat "$A" $B4 -n 8 -u 100000 -d 100000
must snap before
echo 'hist:keys=common_stacktrace:size=4096' >"$EVENT/trigger"
for name in 1 2 3 4; do
	stream $name "$A" $B4 -n 4 -u 16000000 -d 4000000
done
for name in 1 2 3 4; do
	check "four flows both ways at a time, program $name" slowwait 60 stream_ended $name
	check "they are exact, program $name" stream_is $name '.exact == 4'
done
waits >"$TMP/waits"
echo '!hist:keys=common_stacktrace:size=4096' >"$EVENT/trigger"
while read -r line; do
	ktap_print_msg "waited: $line"
done < <(head -n 8 "$TMP/waits")
skbs=$(($(grown A before total.sealed_skbs) + $(grown B before total.opened_skbs)))
ours=$(awk '/\[tcpseal\]/ { n += $1 } END { print n + 0 }' "$TMP/waits")
ktap_print_msg "$ours of $skbs skbs sealed by A and opened by B waited for a lock of ours"
check "none in a thousand skbs waited for a lock of ours" at_most "$ours" $((skbs / 1000))
serve_stop "$B"
ktap_finished
