# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# What the tests share: TAP, waiting for conditions, the usual topology, and
# short words for what tests do with it. A test begins
#
#	. "${0%/*}/lib.sh"
#
# ends with ktap_finished, and says in between, a line each, what must hold:
#
#	check "what must hold" COMMAND...
#
# The usual topology. State of tcpseal is per namespace; nothing is outside
# these, so a test also runs on a server that has the module in use.
#
#	host A                 router R                host B
#	a0 ----------------- ra        rb ----------------- b0
#	10.1.0.5/24    10.1.0.1        10.2.0.1     10.2.0.5/24
#	fd00:1::5/64  fd00:1::1        fd00:2::1   fd00:2::5/64
#
# and, where B is a gateway, D behind it: b1 --- d0 10.2.9.5, fd00:2:9::5

# shellcheck disable=SC2034	# what only tests use
set -u

SELFTESTS=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
TOP=${SELFTESTS%/*}
TOOLS=$SELFTESTS/tools
: "${TCPSEAL_KO:=$TOP/tcpseal.ko}"
: "${TCPSEAL:=$TOP/userspace/tcpseal/tcpseal}"
: "${TCPSEALD:=$TOP/userspace/tcpseald/tcpseald}"
[ -x "$TCPSEAL" ] || TCPSEAL=tcpseal
[ -x "$TCPSEALD" ] || TCPSEALD=tcpseald
TEST=$(basename "$0" .sh)
TMP=$(mktemp -d "${TMPDIR:-/tmp}/tcpseal-$TEST.XXXXXX")

A4=10.1.0.5 B4=10.2.0.5 A6=fd00:1::5 B6=fd00:2::5 D4=10.2.9.5 D6=fd00:2:9::5
NET_A4=10.1.0.0/16 NET_B4=10.2.0.0/16 NET_A6=fd00:1::/32 NET_B6=fd00:2::/32
MARKER='{tcpseal-selftest-plain-marker!}'

# An emulated machine gets more time, never other results
SLOW=1
[ "${KSFT_MACHINE_SLOW:-no}" != yes ] || SLOW=4

# So does a kernel that checks itself
KMEMLEAK=/sys/kernel/debug/kmemleak
[ ! -e $KMEMLEAK ] || SLOW=$((SLOW * 4))

#
# TAP
#

KSFT_FAIL=1 KSFT_SKIP=4
ktap_n=0 ktap_failed=0 ktap_skipped=0 ktap_done=''

ktap_print_header()
{
	echo "TAP version 13"
}

ktap_print_msg()
{
	echo "# ${*//$'\n'/$'\n'# }"
}

ktap_test_pass()
{
	ktap_n=$((ktap_n + 1))
	echo "ok $ktap_n $*"
}

ktap_test_fail()
{
	ktap_n=$((ktap_n + 1))
	ktap_failed=$((ktap_failed + 1))
	echo "not ok $ktap_n $*"
}

# ktap_test_skip DESC REASON
ktap_test_skip()
{
	ktap_n=$((ktap_n + 1))
	ktap_skipped=$((ktap_skipped + 1))
	echo "ok $ktap_n $1 # SKIP $2"
}

ktap_skip_all()
{
	echo "1..0 # SKIP $*"
	ktap_done=skip
	exit $KSFT_SKIP
}

# The plan comes last, as a script that died early then lacks it
ktap_finished()
{
	remove_ns
	[ ! -w $KMEMLEAK ] || check "no memory is lost" no_leaks
	check "no complaint from the kernel" kernel_quiet
	echo "1..$ktap_n"
	echo "# Totals: pass:$((ktap_n - ktap_failed - ktap_skipped)) fail:$ktap_failed xfail:0 xpass:0 skip:$ktap_skipped error:0"
	ktap_done=yes
	[ $ktap_failed = 0 ] || exit $KSFT_FAIL
	exit 0
}

bail_out()
{
	echo "Bail out! $*"
	ktap_done=bail
	exit $KSFT_FAIL
}

# check DESC COMMAND...: one assertion, one TAP line; the evidence if it fails
check()
{
	local desc=$1
	shift
	if "$@" >"$TMP/check.out" 2>&1; then
		ktap_test_pass "$desc"
		return 0
	fi
	ktap_test_fail "$desc"
	ktap_print_msg "failed: $*"
	head -n 30 "$TMP/check.out" | sed 's/^/#   /'
	evidence
	return 1
}

# verdicts_of WHO COMMAND...: a program that prints "ok TEXT", "not ok TEXT: WHY" or
# "skip TEXT: WHY", a line each, or "# TEXT" for the reader, and ends with 0, or 1 if
# anything failed
verdicts_of()
{
	local who=$1 verdict text pid
	shift
	# as they come: a program that waits in vain says where
	exec 8< <("$@" 2>"$TMP/verdicts.err")
	pid=$!
	while read -r verdict text <&8; do
		case $verdict in
		ok) ktap_test_pass "$text" ;;
		skip) ktap_test_skip "${text%%: *}" "${text#*: }" ;;
		not) ktap_test_fail "${text#ok }" ;;
		\#*) ktap_print_msg "${verdict#\#}$text" ;;
		esac
	done
	exec 8<&-
	wait "$pid"
	check "$who came to its end" at_most $? 1 && return
	ktap_print_msg "$(tail -n 5 "$TMP/verdicts.err")"
}

# must COMMAND...: a step of the set-up, without which nothing makes sense
must()
{
	"$@" >"$TMP/must.out" 2>&1 && return
	head -n 30 "$TMP/must.out" | sed 's/^/# /'
	evidence
	bail_out "$TEST: cannot set up: $*"
}

# Comparisons that say what they saw
is()
{
	[ "$1" = "$2" ] || {
		echo "is '$1', not '$2'"
		return 1
	}
}

at_least()
{
	[ "$1" -ge "$2" ] || {
		echo "is $1, less than $2"
		return 1
	}
}

at_most()
{
	[ "$1" -le "$2" ] || {
		echo "is $1, more than $2"
		return 1
	}
}

refuses()
{
	if "$@"; then
		echo "went through: $*"
		return 1
	fi
	return 0
}

contains()
{
	grep -qF -- "$2" <<<"$1" || {
		echo "'$1' does not contain '$2'"
		return 1
	}
}

#
# Waiting
#

# answer VALUE [VAR]: a subshell is a process, too, so what is asked often answers
# in a variable
answer()
{
	if [ -n "${2:-}" ]; then
		printf -v "$2" %s "$1"
	else
		echo "$1"
	fi
}

# now_ms [VAR]
now_ms()
{
	local t=$EPOCHREALTIME
	answer $((${t/[.,]/} / 1000)) "$@"
}

# nap SEC: as sleep, without a process. A pipe that nobody writes to never ends.
exec {nap_fd}<> <(:)
nap()
{
	read -rt "$1" -u "$nap_fd" _
	return 0
}

# busywait MS COMMAND...: until COMMAND succeeds, at most MS (more if SLOW)
busywait()
{
	local busy_now busy_end
	now_ms busy_end
	busy_end=$((busy_end + $1 * SLOW))
	shift
	until "$@"; do
		now_ms busy_now
		[ "$busy_now" -lt $busy_end ] || return 1
		nap 0.05
	done
}

slowwait()
{
	local secs=$1
	shift
	busywait $((secs * 1000)) "$@"
}

quietly()
{
	"$@" >/dev/null 2>&1
}

#
# Set-up and its mirror
#

namespaces=() loaded_module=''

need()
{
	local program
	for program; do
		type "$program" >/dev/null 2>&1 || ktap_skip_all "no program '$program'"
	done
}

begin()
{
	ktap_print_header
	trap cleanup EXIT
	trap 'exit 130' INT TERM HUP
	[ "$(id -u)" = 0 ] || ktap_skip_all "needs root"
	need ip jq tc nsenter "$@"
	[ -x "$TOOLS/tcp_pat" ] || make -s -C "$TOOLS" >&2 ||
		ktap_skip_all "cannot build selftests/tools"
	echo "tcpseal selftest $TEST $$ begins" >/dev/kmsg
	[ ! -w $KMEMLEAK ] || echo clear >$KMEMLEAK
}

module_loaded()
{
	grep -q '^tcpseal ' /proc/modules
}

load_module()
{
	local depends
	module_loaded && return
	if [ -e "$TCPSEAL_KO" ]; then
		depends=$(modinfo -F depends "$TCPSEAL_KO" | tr ',' ' ')
		# shellcheck disable=SC2086
		[ -z "$depends" ] || modprobe -a $depends
		insmod "$TCPSEAL_KO" || ktap_skip_all "cannot load $TCPSEAL_KO"
	else
		modprobe tcpseal 2>/dev/null || ktap_skip_all "no module tcpseal"
	fi
	loaded_module=yes
}

# For tests that unload it
need_own_module()
{
	load_module
	[ -n "$loaded_module" ] ||
		ktap_skip_all "the module was loaded already, somebody may use it"
}

splats()
{
	dmesg | sed "1,/tcpseal selftest $TEST $$ begins/d" |
		grep -E 'WARNING:|BUG:|Call Trace:|RIP:|KASAN|suspicious RCU|refcount_t|blocked for more than|unregister_netdevice: waiting|ref_tracker:|Oops|soft lockup|self-detected stall'
}

kernel_quiet()
{
	! splats
}

# What was allocated under our eyes and nothing points to any more, after the
# namespaces are gone and before the module is, whose symbols name it
no_leaks()
{
	# it is silent about what is younger than 5 s, and wrong about what moves
	nap 6
	echo scan >$KMEMLEAK
	echo scan >$KMEMLEAK
	! grep . $KMEMLEAK
}

# Programs that count their lines (scripts/coverage) write that down when they end by
# themselves
end_programs()
{
	local ns pids=()
	for ns in "${namespaces[@]}"; do
		mapfile -t -O ${#pids[@]} pids < <(ip netns pids "$ns" 2>/dev/null)
	done
	[ ${#pids[@]} != 0 ] || return
	kill -TERM "${pids[@]}" 2>/dev/null
	busywait 1000 all_gone "${pids[@]}"
}

all_gone()
{
	local pid
	for pid; do
		gone_pid "$pid" || return
	done
}

remove_ns()
{
	local ns
	[ -z "${TCPSEAL_COVERAGE:-}" ] || end_programs
	for ns in "${namespaces[@]}"; do
		ip netns pids "$ns" 2>/dev/null | xargs -r kill -KILL 2>/dev/null
		ip netns del "$ns" 2>/dev/null
	done
	namespaces=()
}

cleanup()
{
	local status=$?
	trap - EXIT
	[ -n "$ktap_done" ] || {
		echo "Bail out! $TEST ended early"
		status=$KSFT_FAIL
	}
	remove_ns
	if [ -n "$loaded_module" ] && module_loaded; then
		busywait 5000 quietly rmmod tcpseal
	fi
	if [ -n "${KEEP:-}" ]; then
		ktap_print_msg "kept: $TMP"
	else
		rm -rf "$TMP"
	fi
	exit $status
}

# setup_ns VAR...: namespaces of random names, in these variables
setup_ns()
{
	local var ns
	for var; do
		ns=$(mktemp -u "${var,,}-XXXXXX")
		ip netns add "$ns" || bail_out "cannot make namespace $ns"
		namespaces+=("$ns")
		printf -v "$var" %s "$ns"
		ip -n "$ns" link set lo up
		# addresses are there at once
		on "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 \
			net.ipv6.conf.default.accept_dad=0
	done
}

# on NS COMMAND...: like "ip netns exec", but does not mount anything
on()
{
	nsenter --net="/run/netns/$1" "${@:2}"
}

on_a() { on "$A" "$@"; }
on_b() { on "$B" "$@"; }
on_r() { on "$R" "$@"; }

# The command line on a host
seal() { "$TCPSEAL" -n "$1" "${@:2}"; }
seal_a() { seal "$A" "$@"; }
seal_b() { seal "$B" "$@"; }

# host_up NS DEVICE ADDRESS4/LEN ADDRESS6/LEN [GATEWAY4 GATEWAY6]
host_up()
{
	ip -n "$1" addr add "$3" dev "$2" &&
		ip -n "$1" addr add "$4" dev "$2" nodad &&
		ip -n "$1" link set "$2" up || return
	[ $# -gt 4 ] || return 0
	ip -n "$1" route add default via "$5" &&
		ip -n "$1" -6 route add default via "$6"
}

router_on()
{
	on "$1" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
}

# cable NS DEVICE NS DEVICE [MTU]
cable()
{
	ip link add "$2" netns "$1" mtu "${5:-1500}" type veth \
		peer name "$4" netns "$3" mtu "${5:-1500}"
}

# topo_up [MTU of A's side [MTU of B's side]]
topo_up()
{
	setup_ns A R B
	must cable "$A" a0 "$R" ra "${1:-1500}"
	must cable "$R" rb "$B" b0 "${2:-${1:-1500}}"
	must host_up "$R" ra 10.1.0.1/24 fd00:1::1/64
	must host_up "$R" rb 10.2.0.1/24 fd00:2::1/64
	must host_up "$A" a0 $A4/24 $A6/64 10.1.0.1 fd00:1::1
	must host_up "$B" b0 $B4/24 $B6/64 10.2.0.1 fd00:2::1
	must router_on "$R"
	must busywait 5000 quietly on_a ping -c 1 -W 1 $B4
	must busywait 5000 quietly on_a ping -c 1 -W 1 $B6
}

# The same two hosts on the two cards of a VM with "--net wire"
topo_wire()
{
	[ -d /sys/class/net/wire1 ] ||
		ktap_skip_all "no wire: this machine has no cards wire0 and wire1"
	setup_ns A B
	ip link set wire0 netns "$A" name a0
	ip link set wire1 netns "$B" name b0
	must host_up "$A" a0 $A4/8 $A6/16
	must host_up "$B" b0 $B4/8 $B6/16
	must busywait 5000 quietly on_a ping -c 1 -W 1 $B4
	must busywait 5000 quietly on_a ping -c 1 -W 1 $B6
}

# behind_up [MTU]: a host D behind B, whose network has that MTU (1500), which
# only B knows
behind_up()
{
	setup_ns D
	must cable "$B" b1 "$D" d0 "${1:-1500}"
	must host_up "$B" b1 10.2.9.1/24 fd00:2:9::1/64
	must host_up "$D" d0 $D4/24 $D6/64 10.2.9.1 fd00:2:9::1
	must ip -n "$D" link set d0 mtu 1500
	must router_on "$B"
	must ip -n "$R" route add 10.2.9.0/24 via $B4
	must ip -n "$R" -6 route add fd00:2:9::/64 via $B6
	must busywait 5000 quietly on_a ping -c 1 -W 1 $D4
	must busywait 5000 quietly on_a ping -c 1 -W 1 $D6
}

#
# tcpseal
#

# add_links NS LOCAL-HOST REMOTE-HOST MODE [WORDS...]: both families; hosts are A, B
add_links()
{
	local ns=$1 local4=NET_${2}4 local6=NET_${2}6 remote4=NET_${3}4 remote6=NET_${3}6
	shift 3
	seal "$ns" link add "${!local4}" "${!remote4}" mode "$@" &&
		seal "$ns" link add "${!local6}" "${!remote6}" mode "$@"
}

# link_both MODE [WORDS...]: on both hosts
link_both()
{
	add_links "$A" A B "$@" && add_links "$B" B A "$@"
}

# Links and keys of both hosts go
flush_both()
{
	must seal_a link flush --force --weaken
	must seal_b link flush --force --weaken
}

# hex BYTES [VAR]
hex()
{
	local part all=''
	while [ ${#all} -lt $((2 * $1)) ]; do
		printf -v part '%08x' "$SRANDOM"
		all+=$part
	done
	answer "${all:0:2 * $1}" "${2:-}"
}

# random_spi [VAR]: neither 0 nor negative
random_spi()
{
	answer $((SRANDOM % 2147483647 + 1)) "$@"
}

# new_key [SUFFIX]: leaves SPI, KEY and IV
new_key()
{
	random_spi "SPI$1"
	hex 32 "KEY$1"
	hex 12 "IV$1"
}

# sa_oneway NS-SENDER ADDRESS NS-RECEIVER ADDRESS [WORDS...]: one direction of
# one pair, the receiver first. Leaves SPI, KEY and IV.
sa_oneway()
{
	local from=$1 src=$2 to=$3 dst=$4
	shift 4
	new_key ""
	seal "$to" sa add dir in local "$dst" peer "$src" spi "$SPI" key "$KEY" iv "$IV" "$@" &&
		seal "$from" sa add dir out local "$src" peer "$dst" spi "$SPI" key "$KEY" iv "$IV" "$@"
}

# sa_both 4|6 [WORDS...]: keys both ways between A and B. Leaves SPI_AB, KEY_AB,
# IV_AB and the same with _BA.
sa_both()
{
	local a=A$1 b=B$1
	shift
	# both receivers before any sender
	new_key _AB
	new_key _BA
	seal_b sa add dir in local "${!b}" peer "${!a}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" "$@" &&
		seal_a sa add dir in local "${!a}" peer "${!b}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" "$@" &&
		seal_a sa add dir out local "${!a}" peer "${!b}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" "$@" &&
		seal_b sa add dir out local "${!b}" peer "${!a}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" "$@"
}

# sealed_pair [MODE]: links with manual keys on both, both families
sealed_pair()
{
	must link_both "${1:-require}" keys manual
	must sa_both 4
	must sa_both 6
}

# sa_gateway 4|6: the same where B is a gateway, which keys as "any" address
sa_gateway()
{
	local a=A$1 b=B$1 any=0.0.0.0
	[ "$1" = 4 ] || any=::
	new_key _AB
	new_key _BA
	seal_b sa add dir in local $any peer "${!a}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" &&
		seal_a sa add dir in local "${!a}" peer "${!b}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA" &&
		seal_a sa add dir out local "${!a}" peer "${!b}" spi "$SPI_AB" key "$KEY_AB" iv "$IV_AB" &&
		seal_b sa add dir out local $any peer "${!a}" spi "$SPI_BA" key "$KEY_BA" iv "$IV_BA"
}

# B forwards established TCP by a flowtable, whatever else is there
flowtable_up()
{
	on_b nft -f - <<-END
		table inet fast {
			flowtable f {
				hook ingress priority 0
				devices = { b0, b1 }
			}
			chain forward {
				type filter hook forward priority 0
				meta l4proto tcp flow add @f
			}
		}
	END
}

# sealed_gateway [MODE]: B seals for itself and for what is behind it
sealed_gateway()
{
	local mode=${1:-require}
	must seal_a link add $NET_A4 $NET_B4 mode "$mode" via $B4 identity b keys manual
	must seal_a link add $NET_A6 $NET_B6 mode "$mode" via $B6 identity b keys manual
	must seal_b link add $NET_B4 $NET_A4 mode "$mode" forward dev b1 keys manual
	must seal_b link add $NET_B6 $NET_A6 mode "$mode" forward dev b1 keys manual
	must sa_gateway 4
	must sa_gateway 6
}

# The daemon. Hosts are named by the variables of their namespaces: A, B, ...

# pki_up: a CA of this test, and certificates a and b for the usual hosts
pki_up()
{
	"$TCPSEAL" ca init --dir "$TMP/pki" && cert_for A $A4,$A6 && cert_for B $B4,$B6
}

# cert_for HOST ADDRESSES [WORDS...]: HOST's certificate and key
cert_for()
{
	"$TCPSEAL" cert issue --name "${1,,}" --ip "$2" --dir "$TMP/pki" --out "$TMP/pki" \
		--force "${@:3}"
}

# conf_for HOST: its configuration from what stdin has, and what is always the same
conf_for()
{
	mkdir -p "$TMP/state-$1"
	{
		echo "identity cert $TMP/pki/${1,,}.crt key $TMP/pki/${1,,}.key ca $TMP/pki/ca.crt"
		echo "state $TMP/state-$1"
		echo "log level debug"
		cat
	} >"$TMP/$1.conf"
}

# links_conf HOST OTHER MODE: lines for both families
links_conf()
{
	local net
	for net in 4 6; do
		local here=NET_$1$net there=NET_$2$net
		echo "link ${!here} ${!there} mode $3"
	done
}

# daemon_start HOST...: until it listens
daemon_start()
{
	local host
	for host; do
		ip netns exec "${!host}" "$TCPSEALD" -c "$TMP/$host.conf" >>"$TMP/daemon-$host.log" 2>&1 </dev/null &
		echo $! >"$TMP/daemon-$host.pid"
		slowwait 10 listens "${!host}" 7325 || {
			echo "tcpseald of $host does not listen"
			tail -n 20 "$TMP/daemon-$host.log"
			return 1
		}
	done
}

# daemon_status HOST FIELD: what the kernel says of its process
daemon_status()
{
	awk -v field="$2:" '$1 == field { print $2 }' "/proc/$(cat "$TMP/daemon-$1.pid")/status"
}

# resident HOST: KiB of memory that its daemon has
resident()
{
	daemon_status "$1" VmRSS
}

# daemon_stop HOST [SIGNAL]: until it is gone
daemon_stop()
{
	local pid
	pid=$(cat "$TMP/daemon-$1.pid") || return
	kill "-${2:-TERM}" "$pid"
	# wait reaps it, and knows no timeout; it is our child
	slowwait 10 gone_pid "$pid" || return
	rm "$TMP/daemon-$1.pid"
}

gone_pid()
{
	! kill -0 "$1" 2>/dev/null || grep -q '^State:\s*Z' "/proc/$1/status" 2>/dev/null
}

daemon_reload()
{
	kill -HUP "$(cat "$TMP/daemon-$1.pid")"
}

listens()
{
	[ -n "$(on "$1" ss -Hltn "sport = :$2")" ]
}

# negotiated MODE [CONF-LINE...]: daemons and links on both hosts
negotiated()
{
	local mode=$1
	shift
	must pki_up
	{ links_conf A B "$mode"; printf '%s\n' "$@"; } | conf_for A
	{ links_conf B A "$mode"; printf '%s\n' "$@"; } | conf_for B
	must daemon_start A B
}

# peer HOST ADDRESS KEY: what it knows of the pair with that address
peer()
{
	seal "${!1}" -j peer show "$2" | jq -r ".[0].$3 // empty"
}

peer_is()
{
	is "$(peer "$1" "$2" "$3")" "$4"
}

# counter NS SET.NAME: one, as in "counter $A drop.plain-in". The text form and
# awk, not JSON and jq: tests ask often, and a start of jq takes a while.
counter()
{
	seal "$1" stats | awk -v name="$2" '$1 == name { print $2 }'
}

# snap FILE: all counters of A and B, to see later what has grown
snap()
{
	local host
	for host in A B; do
		[ -z "${!host:-}" ] || seal "${!host}" stats >"$TMP/$1.$host" || return
	done
}

# growth A|B FILE: every counter that has grown since snap FILE, as NAME=N words
growth()
{
	seal "${!1}" stats | awk '
		$1 !~ /^(total|drop|note)\./ { next }
		NR == FNR { now[$1] = $2; next }
		now[$1] > $2 { print $1 "=" now[$1] - $2 }' - "$TMP/$2.$1"
}

# grown A|B FILE SET.NAME: by how much one has
grown()
{
	growth "$1" "$2" | awk -F = -v name="$3" '$1 == name { n = $2 } END { print n + 0 }'
}

has_grown()
{
	[ "$(grown "$1" "$2" "$3")" -gt 0 ]
}

# What both hosts say, for a failed check
evidence()
{
	local host log
	for log in "$TMP"/server-*.log "$TMP"/stream-*.log; do
		[ ! -s "$log" ] || tail -n 3 "$log" | sed "s/^/#   ${log##*/}: /"
	done
	for host in A B; do
		[ -n "${!host:-}" ] || continue
		[ ! -e "$TMP/daemon-$host.log" ] ||
			tail -n 6 "$TMP/daemon-$host.log" | sed "s/^/#   tcpseald $host: /"
		echo "# host $host:"
		seal "${!host}" -j stats 2>&1 | jq -c '
			def used: with_entries(select(.value != 0));
			{total: .total | used, drop: .drop | used, note: .note | used}' |
			fold -w 100 | sed 's/^/#   /'
		seal "${!host}" -j peer show 2>&1 |
			jq -c '.[]? | {local, remote, state, flags, reason}' |
			head -n 4 | sed 's/^/#   /'
	done
}

# of_stack NS NAME: a counter of the host's own stack, as nstat names it; not its
# own program, that is quicker
of_stack()
{
	on "$1" cat /proc/net/snmp /proc/net/netstat | awk -v name="$2" '
		NR % 2 { split($0, names); next }
		{
			for (i = 2; i <= NF; i++)
				if (substr($1, 1, length($1) - 1) names[i] == name)
					print $i
		}'
}

#
# Two machines (# vm: pair), each with one of the hosts, HERE. The same script runs
# on both; they meet through files in their share.
#

SHARE=${TCPSEAL_SHARE:-/mnt/share}

case ${TCPSEAL_VM:-} in
a) HERE=A THERE=b ;;
b) HERE=B THERE=a ;;
*) HERE='' THERE='' ;;
esac

# tell WHAT: the other machine may go on
tell()
{
	echo "${2:-}" >"$SHARE/${HERE,,}.$1.new" && mv "$SHARE/${HERE,,}.$1.new" "$SHARE/${HERE,,}.$1"
}

# await WHAT [SEC]: until the other machine told
await()
{
	slowwait "${2:-30}" test -e "$SHARE/$THERE.$1" && return
	echo "the other machine never said '$1'"
	return 1
}

# meet WHAT: neither goes on alone
meet()
{
	tell "$1" && await "$1" "${2:-30}"
}

host_on_wire()
{
	local ns address4=${HERE}4 address6=${HERE}6
	setup_ns "$HERE"
	ns=${!HERE}
	ip link set wire0 netns "$ns" name w0 &&
		host_up "$ns" w0 "${!address4}/8" "${!address6}/16"
}

other_answers()
{
	if [ "$HERE" = A ]; then
		quietly on_a ping -c 1 -W 1 "$B4" && quietly on_a ping -c 1 -W 1 "$B6"
	else
		quietly on_b ping -c 1 -W 1 "$A4" && quietly on_b ping -c 1 -W 1 "$A6"
	fi
}

# One authority for both, as on two real machines
certificates()
{
	if [ "$HERE" = A ]; then
		pki_up && mkdir "$SHARE/pki" && cp "$TMP/pki/ca.crt" "$TMP/pki"/b.* "$SHARE/pki/" &&
			tell pki
	else
		await pki && cp -r "$SHARE/pki" "$TMP/pki"
	fi
}

# Links that require sealing, and daemons, on both
required()
{
	if [ "$HERE" = A ]; then
		links_conf A B require | conf_for A
	else
		links_conf B A require | conf_for B
	fi
	daemon_start "$HERE" && meet daemon
}

need_pair()
{
	if [ -z "$HERE" ] || [ ! -d "$SHARE" ] || [ ! -d /sys/class/net/wire0 ]; then
		ktap_skip_all "wants two machines: scripts/vm pair"
	fi
}

#
# Tools
#

# tap_start NAME NS DEVICE [OPTIONS...]: an eavesdropper from now on
tap_start()
{
	local name=$1 ns=$2 device=$3
	shift 3
	rm -f "$TMP/tap-$name.json"
	must on "$ns" "$TOOLS/seal_tap" -i "$device" -D -q "$TMP/tap-$name.pid" \
		-o "$TMP/tap-$name.json" "$@"
}

tap_stop()
{
	local name
	for name; do
		stop_pid "$TMP/tap-$name.pid"
		must slowwait 20 test -e "$TMP/tap-$name.json"
	done
}

# tapped NAME KEY: what it saw
tapped()
{
	jq -r ".$2" "$TMP/tap-$1.json"
}

# tap_is NAME KEY VALUE, with what the tap saw if not
tap_is()
{
	is "$(tapped "$1" "$2")" "$3" && return
	jq -c 'del(.flows)' "$TMP/tap-$1.json"
	return 1
}

tap_some()
{
	at_least "$(tapped "$1" "$2")" "${3:-1}" && return
	jq -c 'del(.flows)' "$TMP/tap-$1.json"
	return 1
}

# all_sealed NAME: every TCP segment carried a record, nothing readable passed
all_sealed()
{
	jq -e '.drops == 0 and .sealed > 0 and .plain == 0 and .marker == 0 and
		.reuse == 0 and .index_wrong == 0 and .rst_wrong == 0' \
		"$TMP/tap-$1.json" >/dev/null && return
	jq -c 'del(.flows)' "$TMP/tap-$1.json"
	return 1
}

stop_pid()
{
	[ -e "$1" ] || return 0
	kill -TERM "$(cat "$1")" 2>/dev/null
	rm -f "$1"
}

# serve NS [OPTIONS...]: tcp_pat's server in the background
serve()
{
	local ns=$1
	shift
	rm -f "$TMP/server-$ns.json"
	must on "$ns" "$TOOLS/tcp_pat" server -D -F -q "$TMP/server-$ns.pid" \
		-o "$TMP/server-$ns.json" "$@" 2>"$TMP/server-$ns.log"
}

serve_stop()
{
	stop_pid "$TMP/server-$1.pid"
	must slowwait 20 test -e "$TMP/server-$1.json"
}

# served NS KEY: what the server counted
served()
{
	jq -r ".$2" "$TMP/server-$1.json"
}

# pat NS ADDRESS [OPTIONS...]: one client run; result in $TMP/pat.json
pat()
{
	local ns=$1 address=$2
	shift 2
	on "$ns" timeout $((100 * SLOW)) "$TOOLS/tcp_pat" client "$address" \
		-T $((10 * SLOW)) -o "$TMP/pat.json" "$@" && return
	cat "$TMP/pat.json"
	return 1
}

pat_is()
{
	jq -e "$1" "$TMP/${2:-pat}.json" >/dev/null && return
	cat "$TMP/${2:-pat}.json"
	return 1
}

# every_size ADDRESS FAMILY FLOWS: transfers from A, of sizes around the payload
# of one segment with and without a record, and of 64 MB, which all flows share
every_size()
{
	local size bulk=$((67108864 / $3))
	for size in 1 1024 1428 1429 1460 1461 65536; do
		check "IPv$2, $3 flow(s), $size bytes up" pat "$A" "$1" -n "$3" -u "$size"
		check "IPv$2, $3 flow(s), $size bytes down" pat "$A" "$1" -n "$3" -d "$size"
	done
	check "IPv$2, $3 flow(s), 64 MB up" pat "$A" "$1" -n "$3" -u $bulk
	check "IPv$2, $3 flow(s), 64 MB down" pat "$A" "$1" -n "$3" -d $bulk
}

# stream NAME NS ADDRESS [OPTIONS...]: a client in the background
stream()
{
	local name=$1 ns=$2 address=$3
	shift 3
	rm -f "$TMP/stream-$name".*
	must on "$ns" "$TOOLS/tcp_pat" client "$address" -D -q "$TMP/stream-$name.pid" \
		-T $((10 * SLOW)) -o "$TMP/stream-$name.json" -S "$TMP/stream-$name.status" \
		"$@" 2>"$TMP/stream-$name.log"
}

# stream_bytes NAME VAR: that a stream has moved so far
stream_bytes()
{
	local bytes_read=0
	[ ! -e "$TMP/stream-$1.status" ] || read -r bytes_read <"$TMP/stream-$1.status"
	printf -v "$2" %s "${bytes_read:-0}"
}

stream_beyond()
{
	local have_now
	stream_bytes "$1" have_now
	[ "$have_now" -gt "$2" ]
}

# stream_moves NAME [SEC]: does it still carry bytes?
stream_moves()
{
	local have
	stream_bytes "$1" have
	slowwait "${2:-10}" stream_beyond "$1" "$have" && return
	echo "stream $1 stays at $have bytes"
	cat "$TMP/stream-$1.log" "$TMP/stream-$1.json" 2>/dev/null
	return 1
}

stream_ended()
{
	[ -e "$TMP/stream-$1.json" ]
}

# stream_end NAME: ask it to finish (those with -i), wait until it has
stream_end()
{
	stop_pid "$TMP/stream-$1.pid"
	slowwait 30 stream_ended "$1" || {
		echo "stream $1 does not end"
		return 1
	}
}

stream_is()
{
	pat_is "$2" "stream-$1"
}

# inject DEVICE FROM TO [OPTIONS...] ACTION, on the router
inject()
{
	local device=$1 from=$2 to=$3
	shift 3
	on_r timeout $((30 * SLOW)) "$TOOLS/seal_inject" -i "$device" -f "$from" -t "$to" "$@"
}
