#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 400
# long: 6
#
# All at once: bulk, requests and answers, sendfile, MSG_ZEROCOPY, TCP fast open, MPTCP
# and short connections on a link that requires sealing, while things go wrong at
# random: new keys, daemons killed, links that come, go and change their mode, a
# network that loses, delays, reorders and duplicates, other MTUs and offloads,
# interfaces down, conntrack emptied, a third host that comes and goes. Nothing is
# ever plain, every stream is exact or ends by an error that its application sees, and
# what arrived sealed is what was opened or counted as dropped.
#
# Each disturbance is printed with its time; most last for a while, several at once.
# CHAOS_SEED=N: other ones, CHAOS_SECONDS=N: for so long (50; 1800 if LONG).
#
#	A a0 ----- ra R rb ----- b0 B
#	              rc ----- c0 C, now and then

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

: "${CHAOS_SECONDS:=${LONG:+1800}}"
: "${CHAOS_SECONDS:=50}" "${CHAOS_SEED:=1}"
C4=10.3.0.5 NET_C4=10.3.0.0/16
chosen=0
ACTIONS=(rekey daemon links mode netem mtu offloads host_card router_card conntrack third)
WORKERS=(short file zerocopy fastopen mptcp)
FEATURES=(tso gso gro tx sg)

# choose N [VAR]: below N, in chosen. Not in a subshell, which would not move the seed on.
choose()
{
	printf -v "${2:-chosen}" %s $((RANDOM % $1))
}

# choose_of VAR WORD...
choose_of()
{
	local to=$1
	shift
	choose $#
	shift "$chosen"
	printf -v "$to" %s "$1"
}

# say TEXT: at once, whatever check() does with what else is printed
exec {said_fd}>&1
say()
{
	local now
	now_ms now
	now=$((now - BEGAN))
	printf '# [%d.%03d] %s\n' $((now / 1000)) $((now % 1000)) "$*" >&"$said_fd"
}

#
# What goes wrong. An action says in DOES what it did, in UNDO how it ends: nothing,
# if it is over.
#

on_host()
{
	case $1 in
	A) seal_a "${@:2}" ;;
	B) seal_b "${@:2}" ;;
	esac
}

act_rekey()
{
	local host other f here there
	choose_of host A B
	choose_of f 4 6
	other=$([ "$host" = A ] && echo B || echo A)
	here=$host$f there=$other$f
	DOES="$host asks for new keys with ${!there}"
	on_host "$host" peer rekey "${!there}" local "${!here}"
}

act_daemon()
{
	local host
	choose_of host A B
	DOES="daemon of $host killed" UNDO="daemon_back $host"
	daemon_stop "$host" KILL
}

daemon_back()
{
	daemon_start "$1" && disown "$(cat "$TMP/daemon-$1.pid")"
}

# beside the link in use, and inside of it, where nobody is
act_links()
{
	local host here inside
	choose_of host A B
	DOES="other links on $host" UNDO="links_gone $host"
	here=NET_${host}4
	inside_of "$host"
	on_host "$host" link add "${!here}" 10.7.0.0/16 mode require &&
		on_host "$host" link add "${!here}" "$inside" mode prefer --weaken
}

links_gone()
{
	local here=NET_${1}4 inside
	inside_of "$1"
	on_host "$1" link del "${!here}" 10.7.0.0/16 --weaken &&
		on_host "$1" link del "${!here}" "$inside"
}

inside_of()
{
	inside=10.2.77.0/24
	[ "$1" = A ] || inside=10.1.77.0/24
}

# A pair that is sealed stays so
act_mode()
{
	choose_of MODE_HOST A B "A B"
	DOES="mode prefer on $MODE_HOST" UNDO=mode_back
	mode_is prefer --weaken
}

mode_back()
{
	mode_is require
}

mode_is()
{
	local host other
	for host in $MODE_HOST; do
		other=$([ "$host" = A ] && echo B || echo A)
		add_links "${!host}" "$host" "$other" "$@" || return
	done
}

act_netem()
{
	local dev loss delay order twice
	choose_of dev ra rb
	choose 8 loss
	choose 40 delay
	choose_of order "" "reorder 25% 50%"
	choose_of twice "" "duplicate 3%"
	DOES="netem on $dev: loss $loss% delay ${delay}ms $order $twice" UNDO="netem_off $dev"
	# shellcheck disable=SC2086	# words, or none
	on_r tc qdisc replace dev "$dev" root netem limit 2000 loss $loss% delay ${delay}ms $order $twice
}

netem_off()
{
	on_r tc qdisc del dev "$1" root
}

act_mtu()
{
	local side
	choose_of side a b
	choose 220
	DOES="MTU $((1280 + chosen)) on the side of $side" UNDO="mtu_is $side 1500"
	mtu_is "$side" $((1280 + chosen))
}

mtu_is()
{
	local host=${1^^}
	ip -n "${!host}" link set "${1}0" mtu "$2" && ip -n "$R" link set "r$1" mtu "$2"
}

act_offloads()
{
	local host dev=a0 feature state words=() off=()
	choose_of host A B
	[ "$host" = A ] || dev=b0
	for feature in "${FEATURES[@]}"; do
		choose_of state on off
		words+=("$feature" "$state")
		[ "$state" = on ] || off+=("$feature")
	done
	DOES="offloads off on $host: ${off[*]:-none}" UNDO="offloads_on $host $dev"
	on "${!host}" ethtool -K "$dev" "${words[@]}"
}

offloads_on()
{
	local feature words=()
	for feature in "${FEATURES[@]}"; do
		words+=("$feature" on)
	done
	on "${!1}" ethtool -K "$2" "${words[@]}"
}

# With it go its routes
act_host_card()
{
	DOES="a0 down" UNDO=host_card_up
	ip -n "$A" link set a0 down
}

host_card_up()
{
	ip -n "$A" link set a0 up && ip -n "$A" route replace default via 10.1.0.1 &&
		ip -n "$A" -6 route replace default via fd00:1::1
}

act_router_card()
{
	DOES="rb down" UNDO="ip -n $R link set rb up"
	ip -n "$R" link set rb down
}

act_conntrack()
{
	local host
	choose_of host A B
	DOES="conntrack of $host emptied"
	on "${!host}" conntrack -F
}

# C, with keys of its own, and a stream to it
act_third()
{
	DOES="C comes" UNDO=third_gone
	setup_ns C
	cable "$R" rc "$C" c0 &&
		host_up "$R" rc 10.3.0.1/24 fd00:3::1/64 &&
		host_up "$C" c0 "$C4/24" fd00:3::5/64 10.3.0.1 fd00:3::1 &&
		seal "$C" link add "$NET_C4" "$NET_A4" mode require keys manual &&
		seal_a link add "$NET_A4" "$NET_C4" mode require keys manual &&
		sa_oneway "$A" "$A4" "$C" "$C4" && sa_oneway "$C" "$C4" "$A" "$A4" &&
		on "$C" "$TOOLS/tcp_pat" server -D -R -q "$TMP/third.pid" 2>/dev/null &&
		stream third "$A" "$C4" -R -u 1000000000 -d 1000000000 -r 200000 -T 5
}

# In the midst of it; the link goes when nothing comes from there any more
third_gone()
{
	ip netns del "$C" && stop_third && slowwait 20 no_third || return
	namespaces=("$A" "$R" "$B")
	kill -KILL "$(cat "$TMP/stream-third.pid")" 2>/dev/null
	rm -f "$TMP/stream-third".*
	seal_a link del "$NET_A4" "$NET_C4" --weaken --force
}

stop_third()
{
	kill -KILL "$(cat "$TMP/third.pid")"
}

no_third()
{
	! ip -n "$R" link show rc >/dev/null 2>&1
}

#
# When
#

# disturb: one of them, that is not going on; for one to four turns
disturb()
{
	local action turns
	choose_of action "${ACTIONS[@]}"
	choose 4 turns
	[ -z "${undo[$action]:-}" ] || return 0
	DOES='' UNDO=''
	"act_$action" >"$TMP/act.out" 2>&1 || {
		say "$DOES: failed"
		return 1
	}
	say "$DOES"
	[ -n "$UNDO" ] || return 0
	undo[$action]=$UNDO due[$action]=$((TURN + turns + 1))
}

# settle [all]: what has lasted long enough ends
settle()
{
	local action
	for action in "${ACTIONS[@]}"; do
		[ -n "${undo[$action]:-}" ] || continue
		[ -n "${1:-}" ] || [ "${due[$action]}" -le "$TURN" ] || continue
		say "    over: $action"
		${undo[$action]} >"$TMP/act.out" 2>&1 || {
			say "    ${undo[$action]}: failed"
			return 1
		}
		unset "undo[$action]" "due[$action]"
	done
}

rages()
{
	local end
	end=$((BEGAN + CHAOS_SECONDS * 1000))
	for ((TURN = 0; ; TURN++)); do
		settle || break
		disturb || break
		choose 1000
		nap "0.$(printf %03d "$chosen")"
		now_ms now
		[ "$now" -lt "$end" ] || break
	done
	[ "$now" -ge "$end" ] && settle all && return
	cat "$TMP/act.out"
	return 1
}

#
# Traffic: streams that live through all of it, and connections one after the other
#

streams_up()
{
	stream bulk4 "$A" "$B4" -u 4000000000 -d 4000000000 -r 300000 -T "$CALM"
	stream bulk6 "$A" "$B6" -u 4000000000 -d 4000000000 -r 300000 -T "$CALM"
	stream talk4 "$A" "$B4" -i 30 -z 5000 -T "$CALM"
	stream talk6 "$A" "$B6" -i 30 -z 5000 -T "$CALM"
	streams_move
}

streams_move()
{
	local name
	for name in bulk4 bulk6 talk4 talk6; do
		stream_moves "$name" 30 || return
	done
}

# worker KIND: until $TMP/stop; a result for each connection
worker()
{
	local n address words
	case $1 in
	short) words=(-n 5 -u 100 -d 2000) ;;
	file) words=(-m sendfile -f "$TMP/file" -s 7 -u 300000) ;;
	zerocopy) words=(-m zerocopy -u 300000 -d 10000) ;;
	fastopen) words=(-F -n 3 -u 3000 -d 3000) ;;
	mptcp) words=(-X mptcp -p 5012 -u 100000 -d 100000) ;;
	esac
	for ((n = 0; ; n++)); do
		[ ! -e "$TMP/stop" ] || return
		address=B$((n % 2 ? 6 : 4))
		on_a "$TOOLS/tcp_pat" client "${!address}" "${words[@]}" -T "$CALM" \
			-o "$TMP/result-$1.json" 2>>"$TMP/worker-$1.log"
		jq -c . "$TMP/result-$1.json" >>"$TMP/results-$1"
		nap 0.2
	done
}

workers_up()
{
	local kind
	for kind in "${WORKERS[@]}"; do
		worker "$kind" &
		workers+=($!)
	done
}

# tally KIND: leaves EXACT, ERROR, STALLED, CORRUPT
tally()
{
	read -r EXACT ERROR STALLED CORRUPT < <(jq -rs \
		'[map(.exact), map(.error), map(.stalled), map(.corrupt)] | map(add) | join(" ")' \
		"$TMP/results-$1")
}

judged()
{
	local kind
	for kind in "${WORKERS[@]}"; do
		tally "$kind"
		ktap_print_msg "$kind: $EXACT exact, $ERROR ended by an error"
		check "$kind: some were exact" at_least "$EXACT" 1
		check "$kind: all others ended by an error" is "$STALLED stalled, $CORRUPT corrupt" \
			"0 stalled, 0 corrupt"
	done
}

#
# What must hold
#

none_plain()
{
	pat_is '.drops == 0 and .sealed > 0 and .plain == 0 and .marker == 0 and .reuse == 0 and
		.index_wrong == 0 and .rst_wrong == 0' "tap-$1"
}

# inbound HOST: sealed segments that it got and refused
inbound()
{
	seal "${!1}" stats | awk '
		/^drop\.(unknown-spi|tombstone|bad-tag|noise|replay|too-old|selector|malformed|header) / ||
		/^drop\.(no-key-in|unreadable|checksum|crypto) / { n += $2 }
		END { print n + 0 }'
}

# Nobody sends any more: two looks, a second apart
stands_still()
{
	local seen=$STOOD
	STOOD="$(counter "$A" total.sealed_records) $(counter "$B" total.opened_records)"
	[ "$STOOD" != "$seen" ] || return 0
	nap 1
	return 1
}

# What the tap saw arrive at B, one way or the other
account()
{
	ARRIVED=$(tapped at-b sealed)
	OPENED=$(counter "$B" total.opened_records) REFUSED=$(inbound B)
	ktap_print_msg "A sealed $(counter "$A" total.sealed_records); at B $ARRIVED arrived," \
		"$OPENED opened, $REFUSED dropped"
	ktap_print_msg "all that B dropped: $(growth B begin | grep '^drop' | tr '\n' ' ')"
}

# Nothing is on its way any more: what one seals the other opens
at_rest()
{
	local host
	must snap rest
	serve_b || return
	pat "$A" "$B4" -n 4 -u 500000 -d 500000 && pat "$A" "$B6" -n 4 -u 500000 -d 500000 || return
	slowwait 5 same A B && slowwait 5 same B A || return
	for host in A B; do
		is "$(growth "$host" rest | grep '^drop')" "" || return
	done
}

# same SENDER RECEIVER: records since then
same()
{
	is "$(grown "$1" rest total.sealed_records)" "$(grown "$2" rest total.opened_records)"
}

# What the module and the network have of the kernel's memory, in KiB
memory()
{
	awk '$1 == "SUnreclaim:" || $1 == "Percpu:" { n += $2 } END { print n }' /proc/meminfo
}

serve_b()
{
	serve "$B" -T "$CALM"
}

begin ethtool conntrack nft
modprobe -a sch_netem nf_conntrack nft_ct 2>/dev/null
declare -A undo=() due=()
workers=()
# How long a stream may stand still: TCP waits longer each time
CALM=$((40 * SLOW))
ktap_print_msg "CHAOS_SEED=$CHAOS_SEED CHAOS_SECONDS=$CHAOS_SECONDS"
RANDOM=$CHAOS_SEED
load_module
topo_up
for ns in "$A" "$R" "$B"; do
	must on "$ns" sysctl -qw net.ipv6.conf.all.keep_addr_on_down=1 net.ipv4.tcp_fastopen=3 \
		net.mptcp.enabled=1
done
for ns in "$A" "$B"; do
	must on "$ns" nft add table inet track
	must on "$ns" nft add chain inet track in "{ type filter hook input priority 0; }"
	must on "$ns" nft add rule inet track in ct state new,established counter
done
must "$TOOLS/tcp_pat" file "$TMP/file" 300000 -s 7
tap_start wire "$R" ra
tap_start at-b "$B" b0 -d in
negotiated require "rotate time 30"
must snap begin
must serve_b
must slowwait 10 pat "$A" "$B4" -u 1000
must slowwait 10 pat "$A" "$B6" -u 1000
must on_b "$TOOLS/tcp_pat" server -D -p 5012 -X mptcp -q "$TMP/mptcp.pid" \
	-o "$TMP/server-mptcp.json" 2>/dev/null
must streams_up
workers_up
before=$(memory)
now_ms BEGAN

check "$CHAOS_SECONDS s of it" rages
say "all is well again"
check "every stream goes on" streams_move
touch "$TMP/stop"
wait "${workers[@]}"
judged
for name in talk4 talk6; do
	check "$name, through all of it: ends" stream_end $name
	check "$name, through all of it: exact" stream_is $name '.exact == 1'
done
for name in bulk4 bulk6; do
	refuses stream_ended $name || cat "$TMP/stream-$name.json"
	check "$name, through all of it: goes on" stream_moves $name
	kill -KILL "$(cat "$TMP/stream-$name.pid")"
done
stop_pid "$TMP/mptcp.pid"
must slowwait 20 test -e "$TMP/server-mptcp.json"
serve_stop "$B"
check "the servers saw no wrong byte" pat_is '.corrupt == 0' "server-$B"
check "the servers saw no wrong byte, MPTCP" pat_is '.corrupt == 0' server-mptcp
must daemon_stop A
must daemon_stop B
STOOD=''
check "it comes to rest" slowwait 30 stands_still
tap_stop at-b
check "at B, nothing plain arrived" none_plain at-b
account
check "what arrived sealed was opened, or dropped and counted" is $((OPENED + REFUSED)) "$ARRIVED"
check "at rest, what one seals the other opens" at_rest
tap_stop wire
check "nothing was plain, all the time" none_plain wire
serve_stop "$B"
after=$(memory)
ktap_print_msg "memory of the kernel: $before KiB before, $after KiB after"
# there it keeps what was freed, and the search for lost memory says more
[ -e $KMEMLEAK ] || check "and no memory has gone" at_most "$after" $((before + 16384))
ktap_finished
