#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
# not on debug: it has no WireGuard, which rollout.rst wants
#
# Documentation/quickstart.rst, then rollout.rst, line by line: the commands are typed
# into a shell on the host that the prompt names, and must end well and print what
# the document says. Hosts are namespaces with files of their own; "pki" is the
# router, and scp goes through sshd. The lines under "Install" have no prompt: make
# tools_install runs here, what a compiler does is for scripts/vm. No systemd runs
# here either: a stand-in for systemctl takes what it runs from the unit.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

DOCUMENTS="quickstart rollout"
ROOT=$TMP/root
BIN=$TMP/bin
UNIT=$ROOT/usr/local/lib/systemd/system/tcpseald.service
made_dirs=()

#
# Hosts as somebody at a keyboard has them
#

# As topo_up makes them, with the names of devices that servers have
network()
{
	setup_ns A R B
	must cable "$A" eth0 "$R" ra
	must cable "$R" rb "$B" eth0
	must host_up "$R" ra 10.1.0.1/24 fd00:1::1/64
	must host_up "$R" rb 10.2.0.1/24 fd00:2::1/64
	must host_up "$A" eth0 $A4/24 $A6/64 10.1.0.1 fd00:1::1
	must host_up "$B" eth0 $B4/24 $B6/64 10.2.0.1 fd00:2::1
	must router_on "$R"
	must busywait 5000 quietly on_a ping -c 1 -W 1 $B4
}

# What "make install" leaves, but for the module, which is loaded
install_programs()
{
	must make -s -C "$TOP" tools_install DESTDIR="$ROOT" PREFIX=/usr/local
	mkdir -p "$BIN"
	cat >"$BIN/systemctl" <<-'END'
		#!/bin/bash
		# Runs what the unit says, on the host whose files are in HERE
		of_unit() { sed -n "s/^$1=//p" "$UNIT"; }
		case $* in
		"enable --now tcpseald")
			"$DEST"$(of_unit ExecStart) >"$HERE/daemon.log" 2>&1 </dev/null &
			echo $! >"$HERE/daemon.pid"
			for ((i = 0; i < 400; i++)); do
				[ -z "$(ss -Hltn 'sport = :7325')" ] || exit 0
				kill -0 $! || break
				sleep 0.1
			done
			cat "$HERE/daemon.log"
			exit 1 ;;
		"reload tcpseald")
			MAINPID=$(cat "$HERE/daemon.pid") sh -c "$(of_unit ExecReload)" ;;
		*)
			echo "systemctl $*: not known here" >&2
			exit 1 ;;
		esac
	END
	# Where the machine has no such group, which "make install" makes
	getent group tcpseal >/dev/null || ln -s "$(type -P true)" "$BIN/chgrp"
	cat >"$BIN/scp" <<-END
		#!/bin/sh
		exec /usr/bin/scp -q -F $TMP/ssh_config "\$@"
	END
	chmod +x "$BIN"/*
}

# Directories to mount upon. Of those that were there before nothing is touched.
own_dirs()
{
	local dir
	for dir in /etc/tcpseal /var/lib/tcpseal /run/sshd; do
		[ ! -d "$dir" ] || continue
		mkdir -p "$dir" || return
		made_dirs+=("$dir")
	done
}

# keyboard HOST NS: a shell there. It reads lines that end with a zero byte from
# $TMP/HOST/keys, and leaves what each printed, and its status.
keyboard()
{
	local dir=$TMP/$1
	mkdir -p "$dir"/{etc,lib,home} && mkfifo "$dir/keys" || return
	# shellcheck disable=SC2016
	HERE=$dir DEST=$ROOT UNIT=$UNIT PATH=$BIN:$ROOT/usr/local/sbin:$PATH \
		on "$2" unshare --mount --uts bash -c '
		hostname "$1"
		mount --bind "$HERE/etc" /etc/tcpseal && mount --bind "$HERE/lib" /var/lib/tcpseal &&
			cd "$HERE/home" || exit
		while IFS= read -r -d "" line <&9; do
			eval "$line" >"$HERE/out" 2>&1 9<&- </dev/null
			echo $? >"$HERE/status.new"
			mv "$HERE/status.new" "$HERE/status"
		done 9<"$HERE/keys"
	' bash "$1" >"$dir/shell.log" 2>&1 </dev/null &
	# also open to read, so that this shell does not wait for one that died
	eval "exec {keys_$1}<>'$dir/keys'"
}

# enter HOST LINE: until the prompt is back
enter()
{
	local dir=$TMP/$1 fd=keys_$1
	rm -f "$dir/status"
	printf '%s\0' "$2" >&"${!fd}"
	slowwait 15 test -e "$dir/status" || {
		echo "$1: '$2' does not come back; so far:"
		cat "$dir/out" "$dir/shell.log"
		return 1
	}
}

ready()
{
	# TCP and packet sockets that listen
	on "$1" cat /proc/net/tcp /proc/net/tcp6 /proc/net/packet |
		awk '$4 == "0A" || $1 ~ /^[0-9a-f]{16}$/ { n++ } END { print n + 0 }'
}

more_ready()
{
	[ "$(ready "$1")" -gt "$2" ]
}

# type_line HOST NS LINE: whoever types waits until what runs in the background does
type_line()
{
	local before
	case $3 in
	*\&)
		before=$(ready "$2")
		enter "$1" "$3" && slowwait 15 more_ready "$2" "$before" && return
		echo "nothing listens after '$3'"
		return 1
		;;
	esac
	enter "$1" "$3"
}

ssh_up()
{
	local host ns
	ssh-keygen -q -t ed25519 -N '' -f "$TMP/ssh_key" &&
		cp "$TMP/ssh_key.pub" "$TMP/authorized" || return
	cat >"$TMP/sshd_config" <<-END
		HostKey $TMP/ssh_key
		AuthorizedKeysFile $TMP/authorized
		PermitRootLogin yes
		StrictModes no
		UsePAM no
		PidFile none
		Subsystem sftp internal-sftp
	END
	cat >"$TMP/ssh_config" <<-END
		IdentityFile $TMP/ssh_key
		StrictHostKeyChecking no
		UserKnownHostsFile /dev/null
		LogLevel ERROR
		ConnectTimeout 30
	END
	for host in A B; do
		ns=${!host}
		enter "$host" "/usr/sbin/sshd -f $TMP/sshd_config" && slowwait 10 listens "$ns" 22 ||
			return
	done
}

#
# What the document says
#

# read_document NAME: leaves hosts[], lines[] and promises[]: who types what, and
# what that prints
read_document()
{
	local text prompt='^    (A|B|both|pki)[#$] (.*)$' n=-1 open=''
	hosts=() lines=() promises=()
	while IFS= read -r text; do
		if [[ $text =~ $prompt ]]; then
			n=$((n + 1)) open=yes
			hosts[n]=${BASH_REMATCH[1]}
			lines[n]=${BASH_REMATCH[2]}
			promises[n]=''
		elif [[ -z $open || $text != '    '* ]]; then
			open=''
		elif [[ $text == '    > '* ]]; then
			lines[n]+=$'\n'${text#    > }
		else
			promises[n]+=${text#    }$'\n'
		fi
	done <"$TOP/Documentation/$1.rst"
}

# words TEXT: as they stand on a screen, whatever the columns
words()
{
	sed -E 's/[[:blank:]]+/ /g; s/^ //; s/ $//' <<<"$1"
}

# as_promised PROMISE FILE: "..." is anything of a line; alone, any number of lines
as_promised()
{
	local line said any="[^"$'\n'"]*" regex='^'
	said=$(words "$(cat "$2")")
	[ -z "$said" ] || said+=$'\n'
	while IFS= read -r line; do
		if [ "$line" = ... ]; then
			regex+="($any"$'\n'")*"
		else
			# shellcheck disable=SC2016	# of a regular expression
			line=$(sed -E 's/[][\.*^$(){}?+|]/\\&/g' <<<"$line")
			regex+=${line//'\.\.\.'/"$any"}$'\n'
		fi
	done < <(words "$1" | grep .)
	[[ $said =~ $regex$ ]] && return
	printf 'the document says:\n%s\nand it says:\n%s\n' "$1" "$(cat "$2")"
	return 1
}

well_ended()
{
	is "$(cat "$TMP/$1/status")" 0 && return
	cat "$TMP/$1/out"
	return 1
}

# Two ends agree within a second; who looks sooner looks again
looks_again()
{
	enter "$1" "$2" && as_promised "$3" "$TMP/$1/out" >"$TMP/last"
}

# step HOST NS LINE PROMISE
step()
{
	type_line "$1" "$2" "$3" && well_ended "$1" || return
	as_promised "$4" "$TMP/$1/out" >"$TMP/last" && return
	case $3 in
	tcpseal*) ! slowwait 10 looks_again "$1" "$3" "$4" || return 0 ;;
	esac
	cat "$TMP/last" "$TMP/$1/daemon.log"
	return 1
}

# play NAME: a document
play()
{
	local i host hosts_of ns title
	for i in "${!lines[@]}"; do
		case ${hosts[i]} in
		both) hosts_of="A B" ;;
		pki) hosts_of=R ;;
		*) hosts_of=${hosts[i]} ;;
		esac
		for host in $hosts_of; do
			ns=${!host}
			title=${lines[i]%%$'\n'*}
			check "$1: $host: ${title//\#/}" step "$host" "$ns" "${lines[i]}" "${promises[i]}" ||
				return
		done
	done
}

remove_dirs()
{
	[ ${#made_dirs[@]} = 0 ] || rmdir "${made_dirs[@]}"
}

begin make curl tcpdump python3 ssh-keygen ssh scp /usr/sbin/sshd nft wg
load_module
network
install_programs
must own_dirs
for host in A B R; do
	must keyboard $host "${!host}"
done
must ssh_up
for document in $DOCUMENTS; do
	read_document "$document"
	check "$document.rst has lines to type" at_least ${#lines[@]} 20
	play "$document" || break
done
remove_ns
remove_dirs
ktap_finished
