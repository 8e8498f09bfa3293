#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
#
# What a program may ask about its own connections, and "tcpseal ss" about all: each
# answer where it is true, none where it is not. examples/refuse-plain.c, as a user
# without privileges, serves on the ones that are sealed and on no others.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

PORT=8080

# conn_open NAME ADDRESS [-m]: a connection of A that answers in $TMP/conn-NAME
conn_open()
{
	rm -f "$TMP/conn-$1" "$TMP/ask-$1"
	mkfifo "$TMP/ask-$1"
	on_a python3 "$TOOLS/sock_info.py" "${@:3}" "$2" 8000 <>"$TMP/ask-$1" \
		>"$TMP/conn-$1" 2>&1 &
	slowwait 20 grep -q connected "$TMP/conn-$1"
}

# conn_says NAME REQUEST: its answer
conn_says()
{
	local before
	before=$(wc -l <"$TMP/conn-$1")
	echo "$2" >"$TMP/ask-$1"
	slowwait 20 conn_beyond "$1" "$before" && tail -n 1 "$TMP/conn-$1"
}

conn_beyond()
{
	[ "$(wc -l <"$TMP/conn-$1")" -gt "$2" ]
}

# flags_are NAME FLAGS: just these, by name
flags_are()
{
	is "$(conn_says "$1" info | jq -r '.flags | join(" ")')" "$2"
}

# conn_is NAME JQ: something else that is said
conn_is()
{
	local said
	said=$(conn_says "$1" info)
	jq -e "$2" >/dev/null <<<"$said" && return
	echo "$said"
	return 1
}

# refuser [NAME]: examples/refuse-plain.c on B, as nobody
refuser()
{
	[ ! -e "$TMP/refuser.pid" ] || kill "$(cat "$TMP/refuser.pid")"
	slowwait 10 refuses listens "$B" "$PORT"
	nsenter --net="/run/netns/$B" setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$TOOLS/refuse_plain" "$PORT" "$@" >"$TMP/refuser.out" 2>&1 &
	echo $! >"$TMP/refuser.pid"
	slowwait 10 listens "$B" "$PORT"
}

# fetch ADDRESS: what the example answers
fetch()
{
	on_a timeout $((10 * SLOW)) python3 -c "
import socket
try:
    sock = socket.create_connection(('$1', $PORT), 20)
    print(sock.recv(100).decode(), end='')
except ConnectionResetError:
    print('reset')"
}

# fetches ADDRESS ANSWER LOG: what the client gets, and what the server says of it
fetches()
{
	: >"$TMP/refuser.out"
	is "$(fetch "$1")" "$2" && slowwait 5 grep -qF -- "$3" "$TMP/refuser.out" && return
	cat "$TMP/refuser.out"
	return 1
}

# seals FILTER... : of the connections that "ss" shows, the seal of each kind
seals()
{
	seal_a -j ss "$@" | jq -r '[.[].seal] | unique | join(" ")'
}

seals_are()
{
	is "$(seals "${@:2}")" "$1" && return
	seal_a ss "${@:2}"
	return 1
}

# ynl_peers: what examples/ynl-peers.py says, in the words of "peer show"
ynl_peers()
{
	on_a python3 "$TOP/examples/ynl-peers.py" "$TOP/Documentation/netlink/specs/tcpseal.yaml" |
		jq -sc '[.[] | {remote, state, mode_peer: .["mode-peer"]}] | sort'
}

serves="This went sealed."
begin python3 setpriv
need_own_module
topo_up
on_b python3 "$TOOLS/sock_info.py" -l 8000 &
on_a python3 "$TOOLS/sock_info.py" -l 8000 &
serve "$B"
must slowwait 20 listens "$B" 8000
must refuser

# No promise without a link, nor where the link leaves it plain
must conn_open unlinked $B4
check "no link: nothing is claimed" flags_are unlinked ""
check "no link: the example refuses" fetches $B4 reset "it is in plain"
check "no link: ss says plain" seals_are plain $B4
must link_both audit
check "audit: nothing is claimed" flags_are unlinked ""
check "audit: the example refuses" fetches $B4 reset "it is in plain"
check "ss: a filter that nothing passes" seals_are "" sealed

# Both ends here: it never meets the module
must seal_a link add 10.1.0.0/16 10.0.0.0/8 mode require
must slowwait 20 listens "$A" 8000
must conn_open local $A4
check "both ends on this host, in a require link: nothing is claimed" flags_are local ""
check "ss says so" is "$(seal_a -j ss $A4 local | jq length)" 2
must seal_a link del 10.1.0.0/16 10.0.0.0/8 --force --weaken

# A connection that began in plain is not one that was sealed from its start
sealed_pair require
all="seals refuses-plain from-start key manual peer-mode"
check "it began in plain: sealed now, not from its start" \
	flags_are unlinked "seals refuses-plain key manual peer-mode"
must conn_open sealed $B4
check "sealed from its start" flags_are sealed "$all"
check "suite, modes, state" conn_is sealed '.aead == 1 and .mode_local == 4 and .state == 2'
check "as much as there is room for" is "$(conn_says sealed short)" 4
must conn_says sealed send
check "once it has sent, TCP does not know its age" \
	flags_are sealed "seals refuses-plain key manual peer-mode"
must conn_open sealed6 $B6
check "IPv6" flags_are sealed6 "$all"
must conn_open mapped $B4 -m
check "IPv4 in a socket of IPv6" flags_are mapped "$all"
check "the example serves" fetches $B4 "$serves" "served: nobody by name"
check "the example serves, IPv6" fetches $B6 "$serves" "served: nobody by name"
check "ss: sealed" seals_are sealed $B4
check "ss: all of them" is "$(seal_a -j ss $B4 port 8000 | jq length)" 3
check "ss: no other address" is "$(seal_a -j ss 10.2.0.9 | jq length)" 0
check "ss: for people" contains "$(seal_a ss sealed)" "$B4:8000"
for words in "port" "port 0" "rabbit" "$B4 10.1.0.5"; do
	# shellcheck disable=SC2086
	seal_a ss $words 2>"$TMP/usage"
	check "ss: bad words: \"$words\"" is $? 2
done

# A key is gone, the demand is not
must seal_a sa flush
check "no key: what is sent is held, not plain" flags_are sealed "seals refuses-plain peer-mode"
check "ss: held" seals_are held $B4
check "what cannot be asked" is "$(on_a python3 "$TOOLS/sock_info.py" -k | paste -sd ' ')" \
	"unconnected ENOTCONN unconnected6 ENOTCONN listening ENOTCONN udp ENOPROTOOPT unix ENOTSUP"
must seal_a link add $NET_A4 $NET_B4 mode clear --weaken
check "clear: nothing is claimed" flags_are sealed ""
flush_both

# With daemons, and while plaintext that was in flight may still come in
negotiated prefer "grace-msecs 60000"
must slowwait 20 fetch $B4
must slowwait 20 peer_is A $B4 state sealed
must conn_open grace $B4
check "in the grace of prefer: plaintext may come in" flags_are grace "seals key peer-mode"
check "in the grace of prefer: the example refuses" \
	fetches $B4 reset "plaintext may still come in"
must seal_a conf set grace-msecs 0
must seal_b conf set grace-msecs 0
check "after it: sealed" flags_are grace "seals refuses-plain from-start key peer-mode"
check "with whom, and by which handshake" conn_is grace '.cert_name == "b" and
	(.kex | length) > 3 and (.cert_fingerprint | test("^0{64}$") | not)'
check "the example names the peer" fetches $B4 "$serves" "served: a, aes256"
must refuser a
check "the example wants that peer" fetches $B4 "$serves" "served: a"
must refuser c
check "the example wants another peer" fetches $B4 reset "somebody else"
check "ss: peer, suite, group" is "$(seal_a -j ss $B4 sealed | jq -r '.[0] |
	[.cert_name, .aead, .mode_local, .mode_peer, (.kex != null)] | join(" ")')" \
	"b aes256-gcm prefer prefer true"
if python3 -c 'import yaml' 2>/dev/null; then
	check "the example without a library lists the same pairs" is "$(ynl_peers)" \
		"$(seal_a -j peer show | jq -c '[.[] | {remote, state, mode_peer}] | sort')"
fi
stream busy "$A" $B4 -i 100
must stream_moves busy
check "ss: while it moves" seals_are sealed $B4 port 5001
must stream_end busy

# The module goes under a connection that asks
daemon_stop A
daemon_stop B
flush_both
must slowwait 20 rmmod tcpseal
echo info >"$TMP/ask-grace"
check "without the module: no such option" slowwait 20 grep -q "Protocol not available" \
	"$TMP/conn-grace"
kill "$(cat "$TMP/refuser.pid")"
ktap_finished
