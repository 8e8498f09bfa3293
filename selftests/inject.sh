#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: debug
# timeout: 300
#
# The kernel's own fault injection, limited to what the module's text asks for. Under
# traffic one allocation in some fails, of slabs and of pages: connections that must
# be sealed are exact or go on when it is over, and nothing leaves in plain. Then one
# allocation after the other of each netlink operation, of a new namespace and of
# loading the module: it is refused or done without, and works the next time.
#
# INJECT_LOADS=N: how many of the allocations of loading it, evenly spread (8)

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${INJECT_LOADS:=8}"
DEBUGFS=/sys/kernel/debug
SPEC=$TOP/Documentation/netlink/specs/tcpseal.yaml
# one in ten, and of pages, of which there are few, one in two
PERCENT_SLAB=10 PERCENT_PAGE=50

# fault NAME VALUE...: of both kinds of allocations
fault()
{
	local kind
	for kind in failslab fail_page_alloc; do
		echo "$2" >"$DEBUGFS/$kind/$1" || return
	done
}

# faults_up: nothing fails yet; then all that has the module on the stack may
faults_up()
{
	fault verbose 0 && fault probability 0 && fault times -1 && fault interval 1 &&
		fault space 0 && fault task-filter N && fault ignore-gfp-wait N &&
		fault stacktrace-depth 32 && echo 0 >"$DEBUGFS/fail_page_alloc/min-order" &&
		limit_to_module
}

# limit FIRST LAST: addresses, as kallsyms has them; one of them is on the stack
limit()
{
	fault require-start "0x$1" && fault require-end "0x$2"
}

# Its functions, from the first to the last
limit_to_module()
{
	local text
	text=$(awk '$4 == "[tcpseal]" && tolower($2) == "t" { print $1 }' /proc/kallsyms |
		sort)
	[ -n "$text" ] || return
	limit "$(head -n 1 <<<"$text")" "$(printf '%x' $((0x$(tail -n 1 <<<"$text") + 0x1000)))"
}

# A module's init function: its text is nowhere yet, but that of its caller
limit_to_init()
{
	local text
	text=$(awk '
		$3 == "do_one_initcall" { print first = $1 }
		first && $1 != first { print $1; exit }' /proc/kallsyms)
	# shellcheck disable=SC2086	# two words
	limit $text
}

failing()
{
	echo "$PERCENT_SLAB" >"$DEBUGFS/failslab/probability" &&
		echo "$PERCENT_PAGE" >"$DEBUGFS/fail_page_alloc/probability"
}

# under_faults ADDRESS FAMILY
under_faults()
{
	must snap before
	tap_start wire "$R" ra
	stream live "$A" "$1" -i 20 -z 20000
	must stream_moves live
	must failing
	check "IPv$2: transfers of a host that lacks memory are exact" \
		pat "$A" "$1" -n 4 -u 100000 -d 100000
	check "IPv$2: the connection from before goes on meanwhile" stream_moves live 30
	must fault probability 0
	check "IPv$2: and behind it" stream_moves live
	check "IPv$2: it ends well" stream_end live
	check "IPv$2: and was exact" stream_is live '.exact == 1 and .corrupt == 0'
	tap_stop wire
	check "IPv$2: nothing left in plain" none_plain wire
	check "IPv$2: there was no memory, and it was counted" counted
	check "IPv$2: as nothing else" is "$({ growth A before; growth B before; } |
		grep '^drop' | grep -v no-memory)" ""
	ktap_print_msg "$(growth A before | tr '\n' ' ')"
}

# The tap wants memory as well: it may have missed some
none_plain()
{
	pat_is '.sealed > 0 and .plain == 0 and .marker == 0 and .reuse == 0' "tap-$1"
}

counted()
{
	has_grown A before drop.no-memory || has_grown B before drop.no-memory
}

# Keys come and go while memory fails: by all means an errno, never a half of it
keys_under_faults()
{
	local done=0 tries
	must failing
	for ((tries = 0; tries < 20; tries++)); do
		seal_b sa flush >/dev/null 2>&1
		sa_both 4 >/dev/null 2>&1 && done=$((done + 1))
	done
	must fault probability 0
	ktap_print_msg "$done of 20 sets of keys were complete"
	must seal_a sa flush
	must seal_b sa flush
	must sa_both 4
	pat "$A" "$B4" -u 100000 -d 100000
}

nth()
{
	verdicts_of "fail-nth, $1" on_a timeout $((100 * SLOW)) \
		python3 "$TOOLS/failnth.py" "$SPEC" "$TCPSEAL_KO" "$@"
}

begin python3
[ -w $DEBUGFS/failslab/probability ] || ktap_skip_all "this kernel has no fault injection"
[ -e "$TCPSEAL_KO" ] || ktap_skip_all "no $TCPSEAL_KO"
need_own_module
topo_up
sealed_pair require
serve "$B"
must pat "$A" $B4 -u 1000
must pat "$A" $B6 -u 1000
must faults_up
under_faults $B4 4
under_faults $B6 6
check "keys come and go meanwhile, and all is well behind it" keys_under_faults
serve_stop "$B"
check "the server saw no wrong byte" pat_is '.corrupt == 0' "server-$B"

flush_both
must seal_b sa flush
nth netlink
nth netns

# loading it: nothing may be in use
must limit_to_init
remove_ns
setup_ns A
check "rmmod" slowwait 20 quietly rmmod tcpseal
nth insmod "$INJECT_LOADS"
must fault probability 0
load_module
check "it loads" module_loaded
ktap_finished
