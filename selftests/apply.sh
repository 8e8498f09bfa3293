#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
#
# tcpseal apply: a file in the place of tcpseald's, all of it or nothing; on trial, so
# that it goes back by itself when nobody confirms it over a new connection: when it cuts
# off who applied it, when the daemon dies, when it is told to end.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

SSHD=$(command -v sshd || echo /usr/sbin/sshd)

# file LINK-LINES...: a new configuration, $TMP/new.conf
file()
{
	{
		grep -v '^link' "$TMP/A.conf"
		printf 'link %s\n' "$@"
	} >"$TMP/new.conf"
}

links()
{
	seal_a -j link show | jq -r '[.[] | "\(.remote)/\(.remote_len) \(.mode)"] | sort | join(", ")'
}

apply_file()
{
	seal_a apply "$@" conf "$TMP/A.conf" >"$TMP/said" 2>&1
}

apply()
{
	apply_file "$TMP/new.conf" "$@"
}

# refused TEXT COMMAND...: refused with TEXT, and neither links nor file have changed
refused()
{
	local text=$1 before
	shift
	before=$(links; cksum <"$TMP/A.conf")
	if "$@"; then
		echo "accepted"
		return 1
	fi
	contains "$(cat "$TMP/said")" "$text" && is "$(links; cksum <"$TMP/A.conf")" "$before"
}

in_force()
{
	[ "$(links)" = "$1" ]
}

at_once()
{
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode require keys manual" \
		"10.1.0.0/16 10.5.0.0/16"
	check "a file is applied" apply
	check "and said what it changes" contains "$(cat "$TMP/said")" "1 to add, 0 to change, 1 to remove"
	check "links are those of the file" is "$(links)" "10.3.0.0/16 require, 10.4.0.0/16 require, 10.5.0.0/16 audit"
	check "it is the file of the next start" cmp "$TMP/new.conf" "$TMP/A.conf"
	check "that file itself is nothing to apply" refused "is what tcpseald reads" \
		apply_file "$TMP/A.conf"

	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode require keys manual" \
		"10.1.0.0/16 10.6.0.0/16" "10.0.0.0/8 10.3.7.0/24"
	check "what only the kernel knows is refused by its line" \
		refused "new.conf:$(grep -n 10.3.7.0 "$TMP/new.conf" | cut -d : -f 1): " apply
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode require keys manual"
	sed -i 's/a.crt/nowhere.crt/' "$TMP/new.conf"
	check "a certificate that is not there is refused" refused nowhere.crt apply

	# a link that requires goes only if it is said, and takes its keys along
	must seal_a sa add dir in local $A4 peer 10.4.0.9 spi 4711 key "$(hex 32)" iv "$(hex 12)"
	must seal_a sa add dir out local $A4 peer 10.4.0.9 spi 4712 key "$(hex 32)" iv "$(hex 12)"
	file "10.1.0.0/16 10.3.0.0/16 mode require"
	check "a require line that is gone is refused" refused "REFUSED: its line did not say weaken" apply
	check "and its keys are counted" grep -q "pairs that lose their keys: 1" "$TMP/said"
	check "a reload refuses it as well" reload_refused "addresses that must be sealed"
	check "--weaken takes it" apply --weaken
	check "with its keys" in_force "10.3.0.0/16 require"

	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode require keys manual"
	must apply
	must seal_a sa add dir in local $A4 peer 10.4.0.9 spi 4713 key "$(hex 32)" iv "$(hex 12)"
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode clear keys manual"
	check "clear is refused where keys would go" refused REFUSED apply
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode clear keys manual weaken"
	cp "$TMP/new.conf" "$TMP/A.conf"
	daemon_reload A
	check "a reload makes a link clear if its line says weaken" \
		slowwait 10 in_force "10.3.0.0/16 require, 10.4.0.0/16 clear"
	file "10.1.0.0/16 10.3.0.0/16 mode require"
	must apply
}

reload_refused()
{
	local before said
	before=$(links)
	said=$(grep -c 'stays in force' "$TMP/daemon-A.log")
	cp "$TMP/A.conf" "$TMP/kept.conf"
	cp "$TMP/new.conf" "$TMP/A.conf"
	daemon_reload A
	slowwait 10 refused_more "$said"
	cp "$TMP/kept.conf" "$TMP/A.conf"
	contains "$(tail -n 8 "$TMP/daemon-A.log")" "$1" && is "$(links)" "$before"
}

refused_more()
{
	[ "$(grep -c 'stays in force' "$TMP/daemon-A.log")" -gt "$1" ]
}

# --- over ssh, from B

sshd_up()
{
	local options
	mkdir -p /run/sshd "$TMP/ssh"
	ssh-keygen -q -t ed25519 -N '' -f "$TMP/ssh/host" && ssh-keygen -q -t ed25519 -N '' -f "$TMP/ssh/key" ||
		return
	options="-h $TMP/ssh/host -o AuthorizedKeysFile=$TMP/ssh/key.pub -o StrictModes=no -o UsePAM=no"
	# shellcheck disable=SC2086
	on_a "$SSHD" -f /dev/null -p 22 -o PidFile=none -o PermitRootLogin=yes $options -E "$TMP/sshd.log"
	slowwait 10 listens "$A" 22
}

declare -A session_pid session_fd

# session NAME: a shell on A, by a connection of its own
session()
{
	local fd
	mkfifo "$TMP/in-$1"
	on_b ssh -q -T -F /dev/null -i "$TMP/ssh/key" -o StrictHostKeyChecking=no -o BatchMode=yes \
		-o UserKnownHostsFile=/dev/null "root@$A4" bash <"$TMP/in-$1" >"$TMP/out-$1" 2>&1 &
	session_pid[$1]=$!
	exec {fd}>"$TMP/in-$1"
	session_fd[$1]=$fd
	types "$1" true
}

# types NAME COMMAND...: there; its status is ours, what it says is in $TMP/said
types()
{
	local fd=${session_fd[$1]} text
	shift
	printf -v text '%q ' "$@"
	rm -f "$TMP/status"
	echo "$text >$TMP/said 2>&1; echo \$? >$TMP/status.new; mv $TMP/status.new $TMP/status" >&"$fd"
	slowwait 20 test -e "$TMP/status" || {
		echo "no answer from the session"
		return 99
	}
	return "$(cat "$TMP/status")"
}

# try NAME SECONDS: apply the new file on trial, in that session
try()
{
	types "$1" "$TCPSEAL" apply "$TMP/new.conf" --confirm "$2" conf "$TMP/A.conf"
}

confirm_from()
{
	types "$1" "$TCPSEAL" apply confirm conf "$TMP/A.conf" "${@:2}"
}

GONE_BACK="10.3.0.0/16 require"
TRIED="10.3.0.0/16 require, 10.7.0.0/16 audit"

on_trial()
{
	session old
	must grep -q . "$TMP/status"
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.7.0.0/16"
	must try old $((5 * SLOW))
	check "on trial: in force" in_force "$TRIED"
	check "on trial: a start would read the file from before" refuses grep -q 10.7.0.0 "$TMP/A.conf"
	check "a second one is refused" refused "another one is on trial" apply
	check "and a reload" reload_refused "stays in force"
	check "nobody confirms it: it goes back" slowwait 15 in_force "$GONE_BACK"
	check "and the log says so" grep -q "nobody confirmed" "$TMP/daemon-A.log"

	must try old 300
	confirm_from old
	check "who was there before cannot confirm it" is $? 1
	check "and is told why" grep -q "is older than the trial" "$TMP/said"
	seal_a apply confirm conf "$TMP/A.conf" >"$TMP/said" 2>&1
	check "nor who comes over no connection" grep -q "does not come over ssh" "$TMP/said"
	check "it is still on trial" in_force "$TRIED"
	session fresh
	check "a new connection confirms it" confirm_from fresh
	check "then it is the file of the next start" cmp "$TMP/new.conf" "$TMP/A.conf"
	check "and no trial any more" refuses test -e "$TMP/state-A/trial.conf"
	must daemon_stop A
	must daemon_start A
	check "which the next daemon reads" in_force "$TRIED"

	file "10.1.0.0/16 10.3.0.0/16 mode require"
	must try old 300
	check "back at once" seal_a apply back conf "$TMP/A.conf"
	check "is back" in_force "$TRIED"
	must try old 300
	check "old, but --force" confirm_from old --force
	check "is confirmed" cmp "$TMP/new.conf" "$TMP/A.conf"
}

# It cuts off who applied it: B has no tcpseald. What was typed, and where, is dead
cut_off()
{
	file "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.2.0.0/16 mode require"
	session doomed
	echo "$TCPSEAL apply $TMP/new.conf --confirm $((5 * SLOW)) conf $TMP/A.conf >/dev/null 2>&1; sleep 600" >&"${session_fd[doomed]}"
	must slowwait 20 in_force "10.2.0.0/16 require, $GONE_BACK"
	kill -KILL "${session_pid[doomed]}"
	check "cut off: nobody gets in" refuses on_b timeout 3 bash -c "exec 3<>/dev/tcp/$A4/22"
	check "cut off: it comes back by itself" slowwait 20 in_force "$GONE_BACK"
	rm -f "$TMP/in-again"
	check "cut off: and who was cut off, too" session again
}

# The daemon dies, or ends, in the middle: the next one, or its end, goes back
daemon_ends()
{
	file "10.1.0.0/16 10.3.0.0/16 mode prefer weaken" "10.1.0.0/16 10.7.0.0/16 mode require"
	must apply --confirm 300
	check "the daemon is killed: as it was tried" in_force "10.3.0.0/16 prefer, 10.7.0.0/16 require"
	must daemon_stop A KILL
	must daemon_start A
	check "the next daemon goes back" in_force "$GONE_BACK"
	check "and says so" grep -q "a trial was not over" "$TMP/daemon-A.log"
	check "once" refuses test -e "$TMP/state-A/trial.conf"
	must apply --confirm 300
	must daemon_stop A
	check "a daemon that is told to end goes back before" in_force "$GONE_BACK"
	apply
	check "no daemon: nothing is applied" is $? 1
	check "no daemon: and why" grep -q "tcpseald cannot be asked" "$TMP/said"
}

begin ssh ssh-keygen
[ -x "$SSHD" ] || ktap_skip_all "no sshd"
load_module
topo_up
must pki_up
printf 'link %s\n' "10.1.0.0/16 10.3.0.0/16 mode require" "10.1.0.0/16 10.4.0.0/16 mode require keys manual" \
	"10.1.0.0/16 10.9.0.0/16" | conf_for A
must daemon_start A
at_once
must sshd_up
on_trial
cut_off
daemon_ends
ktap_finished
