#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
#
# A configuration that the daemon must not take: each statement of tcpseal.conf with
# each mistake, and each file of the identity, is refused by the line and by name, before
# anything has changed. And one that says everything is taken without a word.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

CONF=$TMP/test.conf

# identity [WORD FILE...]: the line, with other files where told
identity()
{
	local cert=$TMP/pki/a.crt key=$TMP/pki/a.key ca=$TMP/pki/ca.crt crl=''
	while [ $# -gt 0 ]; do
		printf -v "$1" %s "$2"
		shift 2
	done
	echo "identity cert $cert key $key ca $ca${crl:+ crl $crl}"
}

# refused WHY: what the file has; the daemon says so and nothing else, and ends with 1
refused()
{
	local status
	"$TCPSEALD" -t -c "$CONF" >"$TMP/said" 2>&1
	status=$?
	cat "$TMP/said"
	is "$status" 1 && is "$(wc -l <"$TMP/said")" 1 && contains "$(cat "$TMP/said")" "$1"
}

# taken [WHAT IT SAYS]
taken()
{
	"$TCPSEALD" -t -c "$CONF" >"$TMP/said" 2>&1 || {
		cat "$TMP/said"
		return 1
	}
	if [ $# = 0 ]; then
		is "$(cat "$TMP/said")" ""
	else
		contains "$(cat "$TMP/said")" "$1"
	fi
}

# mistake LINE WHY: behind a good first line. \n in LINE begins another one, which is
# the one at fault.
mistake()
{
	{ identity; printf '%b\n' "$1"; } >"$CONF"
	check "${1//\\n/ / }" refused "$CONF:$(wc -l <"$CONF"): $2"
}

# too_long WHAT LINE WHY
too_long()
{
	{ identity; echo "$2"; } >"$CONF"
	check "$1" refused "$3"
}

statements()
{
	mistake 'nonsense 1' '"nonsense" is not a word that begins a line'
	mistake 'port' '"port" wants a value behind it'
	mistake 'port 1 2' '"2" is too much'
	mistake 'port 1\nport 1' '"port" is said twice'
	mistake 'port 0' '"0" is not a number from 1 to 65535'
	mistake 'port 65536' '"65536" is not a number from 1 to 65535'
	mistake 'port http' '"http" is not a number from 1 to 65535'
	mistake 'rotate time' '"time" wants a value behind it'
	mistake 'rotate time 0' '"0" is not a time from 1 to 2592000 seconds'
	mistake 'rotate time 31d' '"31d" is not a time from 1 to 2592000 seconds'
	mistake 'rotate volume 1' '"1" is not a volume from 64K to 1024T'
	mistake 'rotate volume 1025T' '"1025T" is not a volume from 64K to 1024T'
	mistake 'rotate volume much' '"much" is not a volume from 64K to 1024T'
	mistake 'rotate often 1' '"often" is not time or volume'
	mistake 'hard 5' '"5" is not "time SECONDS"'
	mistake 'hard volume 5' '"volume" is not "time SECONDS"'
	mistake 'hard time 1' '"1" is not a time from 2 to 2592000 seconds'
	mistake 'idle 31d' '"31d" is not a time from 0 to 2592000 seconds'
	mistake 'state lib' '"lib" is not an absolute directory'
	mistake 'clock-skew 2d' '"2d" is not a time from 0 to 86400 seconds'
	mistake 'crl-stale maybe' '"maybe" is not warn or fail'
	mistake 'eku nonsense' '"nonsense" is not any, nor the name or number of a key usage'
	mistake 'log debug' '"debug" is not "level LEVEL"'
	mistake 'log level loud' '"loud" is not error, warn, info or debug'
	mistake 'hold time' '"time" wants a value behind it'
	mistake 'hold time 4' '"4" is not a time from 1 to 3 seconds'
	mistake 'hold pair 1025' '"1025" is not a number from 1 to 1024'
	mistake 'hold user 0' '"0" is not a number from 1 to 1048576'
	mistake 'hold net 0' '"0" is not a number from 1 to 1048576'
	mistake 'hold some 1' '"some" is not time, pair, user or net'
	mistake 'grace-msecs 60001' '"60001" is not a number from 0 to 60000'
	mistake 'max-pairs 0' '"0" is not a number from 1 to 4194304'
	mistake 'tombstone 8d' '"8d" is not a time from 0 to 604800 seconds'
	mistake 'lanes 65' '"65" is not a number from 1 to 64'
	mistake 'lanes 3' '"3" is not a power of two'
	mistake 'workers 1' '"1" is not a number from 2 to 256'
	mistake 'control-connections 63' '"63" is not a number from 64 to 65536'
	mistake 'sticky-max 0' '"0" is not a number from 1 to 4194304'
	mistake 'metrics 127.0.0.1' '"127.0.0.1" is not ADDRESS:PORT, [ADDRESS]:PORT or unix:PATH'
	mistake 'metrics 127.0.0.1:0' '"127.0.0.1:0" is not ADDRESS:PORT'
	mistake 'metrics 10.1.0.5:9100' '"10.1.0.5:9100" can be reached from outside'
	mistake 'metrics [fd00::1]:9100' '"[fd00::1]:9100" can be reached from outside'
	mistake 'metrics 127.0.0.1:9100 local' '"local" is too much'
	mistake 'metrics 127.0.0.1:9100 remote x' '"x" is too much'
	mistake 'metrics unix:/x remote' '"remote" is too much'
	mistake 'metrics unix:x' '"x" is not an absolute path'
	too_long "a socket's path of 120 bytes" "metrics unix:/$(printf '%0119d' 0)" \
		'is not an absolute path of less than 108 bytes'
	too_long "a line of 65 words" "link$(printf ' a%.0s' {1..64})" '"a": more than 64 words'
	mistake 'link 10.1.0.0/16 10.2.0.0/16\nport 1\nlink 10.1.0.0/16 10.2.0.0/16' \
		'"10.1.0.0/16" "10.2.0.0/16": the same link as in line 2'
}

links()
{
	mistake 'link 10.1.0.0/16' 'the remote prefix is missing'
	mistake 'link 10.1.0.0/33 10.2.0.0/16' '"10.1.0.0/33" is not a local prefix'
	mistake 'link 10.1.0.0/16 fd00::/16' '"fd00::/16" is not of the same family as "10.1.0.0/16"'
	mistake 'link 10.1.0.0/16 10.2.0.0/16 mode strong' '"strong"'
	mistake 'link 10.1.0.0/16 10.2.0.0/16 mode' '"mode"'
	mistake 'link 10.1.0.0/16 10.2.0.0/16 nonsense' '"nonsense"'
	mistake 'link 10.1.0.0/16 10.2.0.0/16 via 10.2.0.1' '"via" wants "identity NAME"'
}

# not_that WORD FILE WHY: an identity with that file
not_that()
{
	identity "$1" "$2" >"$CONF"
	check "identity $1 ${2##*/}: refused" refused "identity: $3"
}

identities()
{
	local word
	echo 'identity cert' >"$CONF"
	check "identity: a word without a value" refused ':1: "cert" wants a value behind it'
	echo 'identity cert a ca b' >"$CONF"
	check "identity: without a key" refused ':1: "identity" wants cert, key and ca'
	echo 'identity cert a cert b' >"$CONF"
	check "identity: two certificates" refused ':1: "b" is said twice'
	echo 'identity nonsense a' >"$CONF"
	check "identity: a word that is none" refused ':1: "nonsense" is not cert, key, ca or crl'
	echo '# nothing' >"$CONF"
	check "no identity" refused 'there is no "identity cert FILE key FILE ca FILE"'

	for word in cert key ca crl; do
		not_that $word "$TMP/none" "$word $TMP/none: No such file or directory"
		not_that $word "$TMP/garbage" "$word $TMP/garbage: "
	done
	not_that key "$TMP/pki/b.key" "key $TMP/pki/b.key: key values mismatch"
	not_that key "$TMP/rsa.key" "key does not fit the certificate: $TMP/rsa.key: "
	not_that key "$TMP/locked.key" "key $TMP/locked.key: "
	# what follows a good one is looked at, too
	not_that ca "$TMP/half.crt" "ca $TMP/half.crt: "

	identity key "$TMP/open.key" >"$CONF"
	check "a key that others can read: taken, with a warning" taken \
		"key $TMP/open.key can be read or written by others"
	identity ca "$TMP/other/ca.crt" >"$CONF"
	check "an authority that did not sign us: taken, with a warning" taken \
		"our own identity would be refused here"
}

whole_files()
{
	check "no such file" refused_file "$TMP/none" "No such file or directory"
	check "a directory" refused_file "$TMP" "not a file of a sane size"
	truncate -s 17M "$TMP/big.conf"
	check "a file of 17 MB" refused_file "$TMP/big.conf" "not a file of a sane size"
	{ identity; printf 'port 1\0\n'; } >"$CONF"
	check "a zero byte" refused "there is a zero byte in it"
	{ identity; printf 'rotate time 2h\nhard time 1h\n'; } >"$CONF"
	check "keys that die before they are replaced" refused \
		'"hard time 3600" is not more than "rotate time 7200"'
}

refused_file()
{
	CONF=$1 refused "$1: $2"
}

usage_of()
{
	local status=$1
	shift
	"$TCPSEALD" "$@" >"$TMP/said" 2>&1
	is $? "$status" && contains "$(cat "$TMP/said")" "Usage: tcpseald"
}

everything()
{
	identity
	cat <<-END
		port 7326	# and a comment
		rotate time 30m volume 1T
		hard time 2h
		idle 10m
		state $TMP/state
		clock-skew 5m
		crl-stale fail
		eku 1.3.6.1.5.5.7.3.1
		log level warn
		hold time 2 pair 32 user 1024 net 2048
		grace-msecs 1000
		max-pairs 1000
		tombstone 1h
		lanes 16
		workers 4
		control-connections 128
		sticky-max 100
		metrics [::1]:9100

		link 10.1.0.0/16 10.2.0.0/16 mode require
		link fd00:1::/32 fd00:2::/32 mode prefer identity b
	END
}

# starts_not WHY: in A, where everything else is well. What the daemon remembers of its
# peers is not touched.
starts_not()
{
	on_a timeout $((20 * SLOW)) "$TCPSEALD" -c "$CONF" >"$TMP/said" 2>&1
	is $? 1 && contains "$(tail -n 1 "$TMP/said")" "$1" && remembers
}

remembers()
{
	cmp "$TMP/memory" "$TMP/state/sticky"
}

# memory [LINE]: of one peer, and what else is to be in the file
memory()
{
	printf '%s\n' "tcpseal-sticky 1" "10.1.0.5 10.2.0.5 1767225601 1767225602 b" "$@" |
		tee "$TMP/memory" >"$TMP/state/sticky"
}

no_links()
{
	is "$(seal_a -j link show)" '[]'
}

starts()
{
	load_module
	setup_ns A
	mkdir "$TMP/state"
	memory
	{ identity; echo "state $TMP/garbage"; } >"$CONF"
	check "it does not start: the state is no directory" starts_not "$TMP/garbage"
	{ identity; printf '%s\n' "state $TMP/state" "link 10.1.0.0/16 10.2.0.0/16 mode require" \
		"link 127.0.0.0/8 10.2.0.0/16 mode require"; } >"$CONF"
	check "it does not start: the kernel refuses a link; what it remembers stays" \
		starts_not "$CONF:4: "
	check "and then there is none" no_links

	{ identity; echo "state $TMP/state"; } >"$CONF"
	memory "10.1.0.5 nobody"
	check "it does not start: its memory is damaged, and stays as it is" \
		starts_not "the state in $TMP/state cannot be used"
	memory
	nsenter --net="/run/netns/$A" python3 -c 'import socket, time
s = socket.create_server(("::", 7325), family=socket.AF_INET6, dualstack_ipv6=True)
time.sleep(1000)' &
	must slowwait 10 listens "$A" 7325
	check "it does not start: the port is taken" starts_not "port 7325: Address already in use"
	kill %%
}

begin openssl python3
must pki_up
must "$TCPSEAL" ca init --dir "$TMP/other"
echo garbage >"$TMP/garbage"
must openssl genrsa -out "$TMP/rsa.key" 2048
must openssl ec -in "$TMP/pki/a.key" -aes128 -passout pass:secret -out "$TMP/locked.key"
install -m 666 "$TMP/pki/a.key" "$TMP/open.key"
{ cat "$TMP/pki/ca.crt"; head -n 3 "$TMP/pki/ca.crt"; } >"$TMP/half.crt"

everything >"$CONF"
check "a file with every statement is taken, without a word" taken
statements
links
identities
whole_files
check "-h: how to use it" usage_of 0 -h
check "no such option" usage_of 2 -x
check "both -t and -g" usage_of 2 -t -g
check "a word too much" usage_of 2 -t "$CONF"
starts
ktap_finished
