#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 700
#
# The matrix of modes, 5 x 5, and every transition of either end from each of its
# cells, under live connections. 25 pairs of addresses, half of them IPv6, begin in
# the 25 cells; every move takes one end of all pairs on by the same number of
# modes, so after eight moves all 200 transitions were made, each by one pair. In
# the end both ends move at the same moment.
#
# After every move both ends must come to the matrix's answer, the wire must show
# it, and each connection goes on or ends by an error that its program sees.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

MODES=(none clear audit prefer require)
PAIRS=25
# No move may stop a connection for longer, and all is settled by then
STALL=15
[ "$SLOW" = 1 ] || STALL=30
# Behind pairs 25 to 29 is a machine without tcpseal: R
STRANGER=10.3.0.1

declare -a AT_A AT_B WAS_A WAS_B LOCAL REMOTE MARK WHY

# Not slowwait: the limit is one, whatever the machine
within()
{
	busywait $((STALL * 1000 / SLOW)) "$@"
}

# want MODE MODE: the matrix; leaves WANT
want()
{
	case $1/$2 in
	require/none | require/clear | none/require | clear/require) WANT=blocked ;;
	require/* | */require | prefer/prefer) WANT=sealed ;;
	*) WANT=plain ;;
	esac
}

# Reads what passes the router: JSON of what every pair has sent since the last
# SIGUSR1, as [segments sealed, plain, plain with a payload] for each direction
sniffer()
{
	cat <<-'END'
	import json, os, select, signal, socket, struct, sys, time
	device, pairs_file, out = sys.argv[1:4]
	pairs = {}
	for line in open(pairs_file):
	    k, a, b = line.split()
	    family = socket.AF_INET6 if ':' in a else socket.AF_INET
	    a, b = socket.inet_pton(family, a), socket.inet_pton(family, b)
	    pairs[a, b], pairs[b, a] = (int(k), 0), (int(k), 1)
	def fresh(*_):
	    global seen, since
	    since = time.time()
	    seen = {k: [[0, 0, 0], [0, 0, 0]] for k, _ in pairs.values()}
	def records(p):
	    while p:
	        if len(p) < 32 or p[0] & 0xf8 != 0x40:
	            return False
	        n = 32 + int.from_bytes(p[2:4], 'big')
	        if n > len(p):
	            return False
	        p = p[n:]
	    return True
	def look(f):
	    kind, = struct.unpack('!H', f[12:14])
	    if kind == 0x800 and f[23] == 6:
	        at, end = 14 + (f[14] & 15) * 4, 14 + int.from_bytes(f[16:18], 'big')
	        key = f[26:30], f[30:34]
	    elif kind == 0x86dd and f[20] == 6:
	        at, end = 54, 54 + int.from_bytes(f[18:20], 'big')
	        key = f[22:38], f[38:54]
	    else:
	        return
	    if key not in pairs or len(f) < at + 20 or 7325 in struct.unpack('!HH', f[at:at + 4]):
	        return
	    payload = f[at + (f[at + 12] >> 4) * 4:end]
	    k, way = pairs[key]
	    count = seen[k][way]
	    if payload and records(payload):
	        count[0] += 1
	    else:
	        count[1] += 1
	        count[2] += bool(payload)
	fresh()
	signal.signal(signal.SIGUSR1, fresh)
	s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
	s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)
	s.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS: what waits is older
	s.bind((device, 0))
	s.setblocking(False)
	while True:
	    with open(out + '.new', 'w') as f:
	        json.dump(seen, f)
	    os.rename(out + '.new', out)
	    until = time.monotonic() + 0.5
	    while time.monotonic() < until:
	        if select.select([s], [], [], 0.1)[0]:
	            frame, extra, _, _ = s.recvmsg(1 << 17, 64)
	            secs, nanos = struct.unpack('@ll', extra[0][2][:16])
	            if secs + nanos / 1e9 >= since:
	                look(frame)
	END
}

sniff_start()
{
	sniffer >"$TMP/sniffer.py"
	ip netns exec "$R" python3 "$TMP/sniffer.py" ra "$TMP/pairs" "$TMP/wire.json" \
		2>"$TMP/sniffer.log" &
	SNIFFER=$!
	disown "$SNIFFER"
	slowwait 10 test -e "$TMP/wire.json"
}

addresses_up()
{
	local k a b list=()
	for ((k = 0; k < PAIRS; k++)); do
		AT_A[k]=$((k / 5)) AT_B[k]=$((k % 5))
		if (((AT_A[k] + AT_B[k]) % 2)); then
			a=fd00:1::$((100 + k)) b=fd00:2::$((100 + k))
			echo "addr add $a/64 dev a0 nodad" >>"$TMP/batch-a"
			echo "addr add $b/64 dev b0 nodad" >>"$TMP/batch-b"
		else
			a=10.1.0.$((100 + k)) b=10.2.0.$((100 + k))
			echo "addr add $a/24 dev a0" >>"$TMP/batch-a"
			echo "addr add $b/24 dev b0" >>"$TMP/batch-b"
		fi
		LOCAL[k]=$a REMOTE[k]=$b
		echo "$k $a $b" >>"$TMP/pairs"
	done
	for ((; k < PAIRS + 5; k++)); do
		AT_A[k]=$((k - PAIRS)) AT_B[k]=0
		LOCAL[k]=10.1.0.$((100 + k)) REMOTE[k]=$STRANGER
		echo "addr add ${LOCAL[k]}/24 dev a0" >>"$TMP/batch-a"
		echo "$k ${LOCAL[k]} ${REMOTE[k]}" >>"$TMP/pairs"
	done
	ip -n "$A" -batch "$TMP/batch-a" && ip -n "$B" -batch "$TMP/batch-b" &&
		ip -n "$R" addr add "$STRANGER"/32 dev lo || return
	list=("${LOCAL[@]}")
	cert_for A "$(IFS=,; echo "${list[*]}")" &&
		cert_for B "$(IFS=,; echo "${REMOTE[*]:0:PAIRS}")"
}

# link_line LOCAL REMOTE FROM TO: what an operator types to change the mode
link_line()
{
	local len=32
	[[ $1 != *:* ]] || len=128
	case $3/$4 in
	0/0) ;;
	*/0) echo "link del $1/$len $2/$len --force --weaken" ;;
	*) echo "link add $1/$len $2/$len mode ${MODES[$4]} --force --weaken" ;;
	esac
}

# apply A|B: what stdin says, "PAIR FROM TO" each
apply()
{
	local k from to
	while read -r k from to; do
		if [ "$1" = A ]; then
			link_line "${LOCAL[k]}" "${REMOTE[k]}" "$from" "$to"
		else
			link_line "${REMOTE[k]}" "${LOCAL[k]}" "$from" "$to"
		fi
	done >"$TMP/apply-$1"
	seal "${!1}" -batch "$TMP/apply-$1"
}

# Where the pairs are now, for jq
cells()
{
	local k
	for ((k = $1; k < $2; k++)); do
		want "${MODES[AT_A[k]]}" "${MODES[AT_B[k]]}"
		printf '{"k":"%s","local":"%s","remote":"%s","a":"%s","b":"%s","want":"%s","was":"%s/%s"}\n' \
			$k "${LOCAL[k]}" "${REMOTE[k]}" "${MODES[AT_A[k]]}" "${MODES[AT_B[k]]}" \
			$WANT \
			"${MODES[WAS_A[k]]}" "${MODES[WAS_B[k]]}"
	done | jq -s . >"$TMP/cells.json"
}

# states_wrong true|false: what both kernels say of the pairs, where it is not the
# matrix's answer; true: also what they are to remember once records were opened
states_wrong()
{
	seal_a -j peer show >"$TMP/peers.A" && seal_b -j peer show >"$TMP/peers.B" || return
	jq -r --slurpfile pa "$TMP/peers.A" --slurpfile pb "$TMP/peers.B" \
		--argjson remembered "$1" '
		def pair($peers; $local; $remote):
			([$peers[0][] | select(.local == $local and .remote == $remote)][0]) //
			{state: "none", flags: []};
		def right($mode; $want; $sticky; $pair):
			if $pair.state == "none" then
				$want != "sealed"
			elif $mode == "none" or $mode == "clear" then
				$pair.state == "plain"
			elif $want == "blocked" then
				($pair.state == "blocked" or $pair.state == "waiting") and
				($pair.reason // "") != ""
			elif $want == "plain" then
				$pair.state == "plain"
			else
				$pair.state == "sealed" and
				(($sticky | not) or ($pair.flags | index("sticky") != null))
			end;
		.[] as $c | pair($pa; $c.local; $c.remote) as $a |
		pair($pb; $c.remote; $c.local) as $b |
		($remembered and $c.a != "audit" and $c.b != "audit") as $sticky |
		select((right($c.a; $c.want; $sticky; $a) and
			right($c.b; $c.want; $sticky; $b)) | not) |
		"\($c.was) -> \($c.a)/\($c.b) (\($c.local) - \($c.remote)): \($c.want), but A says \($a.state) \($a.flags | join(",")) \($a.reason // ""), B says \($b.state) \($b.flags | join(",")) \($b.reason // "")"
	' "$TMP/cells.json" >"$TMP/states"
	[ -s "$TMP/states" ]
}

# The machine needs its time to get there, not to answer
states_right()
{
	! states_wrong "$1" || {
		nap 0.8
		return 1
	}
}

matrix_answers()
{
	slowwait "$STALL" states_right "$1" || {
		cat "$TMP/states"
		return 1
	}
}

# The wire, since the last reset: enough of the right kind, and none of the other.
# Blocked: the end without a link may try in vain, nobody else says anything.
wire_wrong()
{
	jq -r --slurpfile wire "$TMP/wire.json" '
		def right($mode; $want; $n):
			if $want == "sealed" then $n[0] >= 3 and $n[1] == 0
			elif $want == "plain" then $n[0] == 0 and $n[2] >= 3
			else $n[0] == 0 and ($mode != "require" or $n[1] == 0) end;
		.[] as $c | $wire[0][$c.k] as $n |
		select((right($c.a; $c.want; $n[0]) and right($c.b; $c.want; $n[1])) | not) |
		"\($c.was) -> \($c.a)/\($c.b) (\($c.local) - \($c.remote)): \($c.want), but the wire has \($n | tojson) [sealed, plain, plain with bytes] from A and B"
	' "$TMP/cells.json" >"$TMP/wire"
	[ -s "$TMP/wire" ]
}

wire_right()
{
	! wire_wrong || {
		nap 0.5
		return 1
	}
}

wire_agrees()
{
	kill -USR1 "$SNIFFER"
	slowwait "$STALL" wire_right || {
		cat "$TMP/wire"
		return 1
	}
}

# begin_stream K: a connection for the pair
begin_stream()
{
	stream "p$1" "$A" "${REMOTE[$1]}" -b "${LOCAL[$1]}" -i 600 -T $STALL
}

# moved K BYTES: as stream_beyond, and cheap enough to ask 25 at a time
moved()
{
	local bytes=0
	[ ! -e "$TMP/stream-p$1.status" ] || read -r bytes <"$TMP/stream-p$1.status"
	[ "${bytes:-0}" -gt "$2" ]
}

# One end requires, and the other has no link or a clear one
blocked()
{
	((AT_A[$1] == 4 && AT_B[$1] < 2 || AT_B[$1] == 4 && AT_A[$1] < 2))
}

transition()
{
	echo "${MODES[WAS_A[$1]]}/${MODES[WAS_B[$1]]} -> ${MODES[AT_A[$1]]}/${MODES[AT_B[$1]]} (${LOCAL[$1]} - ${REMOTE[$1]})"
}

# Bytes of the pairs' connections so far; "-" where there is none
mark_streams()
{
	local k
	for ((k = 0; k < PAIRS; k++)); do
		MARK[k]=-
		[ ! -e "$TMP/stream-p$k.pid" ] || stream_bytes p$k "MARK[$k]"
	done
}

stream_lives()
{
	[ "${MARK[$1]}" != - ]
}

went_on()
{
	moved "$1" "${MARK[$1]}"
}

# Nor does the kernel know, where the program's own host has no link or a clear one
told_nothing()
{
	blocked "$1" && [ "${AT_A[$1]}" -lt 2 ]
}

# Where the pair is blocked nothing goes on; the program must be told
settled()
{
	told_nothing "$1" || stream_ended "p$1" || { ! blocked "$1" && went_on "$1"; }
}

streams_settled()
{
	local k
	for ((k = 0; k < PAIRS; k++)); do
		stream_lives "$k" || continue
		settled "$k" || return
	done
}

no_silence()
{
	local k bad=0
	slowwait "$STALL" streams_settled
	for ((k = 0; k < PAIRS; k++)); do
		if ! stream_lives "$k" || told_nothing "$k"; then
			continue
		fi
		if ! settled "$k"; then
			echo "$(transition "$k"): the connection neither goes on nor ends"
			bad=1
		elif stream_ended p"$k" && ! stream_is p"$k" '.error == 1' >/dev/null; then
			echo "$(transition "$k"): $(jq -r .why "$TMP/stream-p$k.json")"
			bad=1
		fi
	done
	return "$bad"
}

# New connections where one ended, and none where the pair is blocked
renew_streams()
{
	local k ended=0 kept=0 left=0
	for ((k = 0; k < PAIRS; k++)); do
		if stream_ended p$k; then
			ended=$((ended + 1))
			rm -f "$TMP/stream-p$k".*
		elif blocked $k && [ -e "$TMP/stream-p$k.pid" ]; then
			# no answer can come: TCP would find out, in time
			left=$((left + 1))
			kill -KILL "$(cat "$TMP/stream-p$k.pid")"
			rm -f "$TMP/stream-p$k".*
		elif [ -e "$TMP/stream-p$k.pid" ]; then
			kept=$((kept + 1))
		fi
		blocked $k || [ -e "$TMP/stream-p$k.pid" ] || begin_stream $k
	done
	ktap_print_msg "$kept connections went on, $ended were ended, $left were left to TCP's timers"
}

# A program tries again when its connection fails: a key may take a moment
one_works()
{
	moved "$1" 0 && return
	if stream_ended "p$1"; then
		WHY[$1]=$(jq -r .why "$TMP/stream-p$1.json")
		begin_stream "$1"
	fi
	return 1
}

new_ones_work()
{
	local k bad=0
	for ((k = 0; k < $1; k++)); do
		blocked "$k" && continue
		within one_works "$k" && continue
		echo "$(transition "$k"): a new connection does not work: ${WHY[k]:-}"
		bad=1
	done
	return "$bad"
}

# one_refused HOST FROM TO: a program of the end that requires is told at once
one_refused()
{
	on "${!1}" "$TOOLS/tcp_pat" client "$3" -b "$2" -u 100 -T "$STALL" -o "$TMP/refused-$2.json" \
		2>/dev/null
	jq -e '.error == 1 and (.why | contains("timed out") | not)' "$TMP/refused-$2.json" >/dev/null &&
		return
	echo "$2 to $3: $(jq -r .why "$TMP/refused-$2.json")"
	return 1
}

blocked_refused()
{
	local k pids=() bad=0
	for ((k = $1; k < $2; k++)); do
		blocked "$k" || continue
		if [ "${MODES[AT_A[k]]}" = require ]; then
			one_refused A "${LOCAL[k]}" "${REMOTE[k]}" &
		else
			one_refused B "${REMOTE[k]}" "${LOCAL[k]}" &
		fi
		pids+=($!)
	done
	for k in "${pids[@]}"; do
		wait "$k" || bad=1
	done
	return "$bad"
}

# judge TEXT: all that must be so after a move
judge()
{
	local begun=$SECONDS
	cells 0 $PAIRS
	check "$1: both ends come to the matrix's answer" matrix_answers false
	mark_streams
	check "$1: every connection goes on, or ends by an error" no_silence
	renew_streams
	check "$1: new connections work where they may" new_ones_work $PAIRS
	check "$1: the wire agrees" wire_agrees
	check "$1: both ends remember who sealed" matrix_answers true
	check "$1: blocked ones are refused, not left waiting" blocked_refused 0 $PAIRS
	ktap_print_msg "$1: $((SECONDS - begun)) s"
}

# step A|B SHIFT: changes of the modes of one end, as lines for apply
step()
{
	local k
	for ((k = 0; k < PAIRS; k++)); do
		if [ "$1" = A ]; then
			echo "$k $(((AT_A[k] + 5 - $2) % 5)) ${AT_A[k]}"
		else
			echo "$k $(((AT_B[k] + 5 - $2) % 5)) ${AT_B[k]}"
		fi
	done
}

# shift_modes SHIFT-A SHIFT-B
shift_modes()
{
	local k
	for ((k = 0; k < PAIRS; k++)); do
		WAS_A[k]=${AT_A[k]} WAS_B[k]=${AT_B[k]}
		AT_A[k]=$(((AT_A[k] + $1) % 5)) AT_B[k]=$(((AT_B[k] + $2) % 5))
	done
}

# first_modes A|B COUNT: links where there were none
first_modes()
{
	local k
	for ((k = 0; k < $2; k++)); do
		if [ "$1" = A ]; then
			echo "$k 0 ${AT_A[k]}"
		else
			echo "$k 0 ${AT_B[k]}"
		fi
	done | apply "$1"
}

begin python3
load_module
topo_up
must "$TCPSEAL" ca init --dir "$TMP/pki"
must addresses_up
conf_for A <<<"${TCPSEAL_TEST_CONF:-}"
conf_for B <<<"${TCPSEAL_TEST_CONF:-}"
must daemon_start A B
disown -a
must sniff_start
serve "$B"
serve "$R"
for ((k = 0; k < PAIRS + 5; k++)); do
	WAS_A[k]=0 WAS_B[k]=0
done
must first_modes A $((PAIRS + 5))
must first_modes B $PAIRS
for ((k = 0; k < PAIRS + 5; k++)); do
	blocked $k || begin_stream $k
done
check "programs can talk where the matrix lets them" new_ones_work $((PAIRS + 5))
judge "the matrix"

# Nobody there to negotiate with
cells $PAIRS $((PAIRS + 5))
check "a peer without tcpseal: the matrix's answer" matrix_answers false
check "a peer without tcpseal: the wire agrees" wire_agrees
check "a peer without tcpseal: refused where sealing is required" \
	blocked_refused $PAIRS $((PAIRS + 5))
for ((k = PAIRS; k < PAIRS + 5; k++)); do
	stop_pid "$TMP/stream-p$k.pid"
done

for shift in 1 2 3 4; do
	for end in A B; do
		if [ $end = A ]; then
			shift_modes $shift 0
		else
			shift_modes 0 $shift
		fi
		step $end $shift >"$TMP/step"
		must apply $end <"$TMP/step"
		judge "$end moves by $shift"
	done
done

shift_modes 2 3
step A 2 >"$TMP/step"
step B 3 >"$TMP/step-b"
apply A <"$TMP/step" &
must apply B <"$TMP/step-b"
must wait $!
judge "both move at once"

for ((k = 0; k < PAIRS; k++)); do
	stop_pid "$TMP/stream-p$k.pid"
done
kill "$SNIFFER"
serve_stop "$B"
check "no server saw a wrong byte" pat_is '.corrupt == 0' "server-$B"
ktap_finished
