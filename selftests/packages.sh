#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: deb12 deb13
# timeout: 400
# mem: 3072
#
# The Debian packages on a machine that boots by systemd, as root of which this runs: what
# an installation brings and starts, an upgrade under traffic that must not show a byte of
# it, what a removal leaves, and what a purge does not. DKMS compiled the modules before,
# on the machine outside (scripts/lab/deb.sh), and takes them from there.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

DEBS=$TOP/packages
UNIT=tcpseald.service GUARD=tcpseal-guard.service
TCPSEAL=tcpseal TCPSEALD=/usr/sbin/tcpseald

# version now|next
version()
{
	dpkg-deb -f "$DEBS/$1"/tcpseal_*.deb Version
}

# bring now|next: its packages
bring()
{
	local debs=("$DEBS/$1"/{tcpseal,tcpseal-dkms,libtcpseal0,libtcpseal-dev}_*.deb) module
	module=/usr/share/tcpseal-dkms/tcpseal-$(version "$1").dkms.tar.gz
	mkdir -p "${module%/*}" && cp "$DEBS/$1.dkms.tar.gz" "$module" || return
	dpkg -i "${debs[@]}" </dev/null && rm -r "${module%/*}"
}

# unit UNIT PROPERTY VALUE
unit()
{
	is "$(systemctl show -P "$2" "$1")" "$3"
}

installed()
{
	is "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" installed
}

# As packed: dpkg has the hashes
unchanged()
{
	! dpkg -V tcpseal tcpseal-dkms libtcpseal0 libtcpseal-dev | grep .
}

module_file()
{
	modinfo -n tcpseal
}

# built now|next: by DKMS, for this kernel
built()
{
	local dkms
	dkms=$(dkms status -m tcpseal -k "$(uname -r)") &&
		contains "$dkms" "tcpseal/$(version "$1")" && contains "$dkms" installed &&
		is "$(modinfo -F version tcpseal)" "$(version "$1")"
}

loaded_version()
{
	is "$(cat /sys/module/tcpseal/version)" "$(version "$1")"
}

exists()
{
	ls -ld "$@"
}

# nothing FILE...: of these
nothing()
{
	local file
	for file; do
		[ ! -e "$file" ] || {
			echo "$file is there"
			return 1
		}
	done
}

connects()
{
	pat "$A" "$B4" -u 1000 -T 8
}

# zsh_completes COMMAND WORDS...: exactly those come after the command
zsh_completes()
{
	# shellcheck disable=SC2016	# zsh's
	is "$(zsh -f -c 'compadd() { print -r -- $found }
		words=(tcpseal "$1" "") CURRENT=3
		source /usr/share/zsh/vendor-completions/_tcpseal' zsh "$1")" "${*:2}"
}

# Its own namespace, whose links and daemon are what systemd manages, as host A
machine_up()
{
	A=machine
	mkdir -p /run/netns && touch /run/netns/$A &&
		mount --bind /proc/self/ns/net /run/netns/$A
	setup_ns R B
	must cable "$A" a0 "$R" ra
	must cable "$R" rb "$B" b0
	must host_up "$R" ra 10.1.0.1/24 fd00:1::1/64
	must host_up "$R" rb 10.2.0.1/24 fd00:2::1/64
	must host_up "$A" a0 $A4/24 $A6/64 10.1.0.1 fd00:1::1
	must host_up "$B" b0 $B4/24 $B6/64 10.2.0.1 fd00:2::1
	must router_on "$R"
	must busywait 5000 quietly ping -c 1 -W 1 $B4
}

# process FIELD VALUE: what the kernel says of the daemon
process()
{
	is "$(awk -v field="$1:" '$1 == field { print $2 }' \
		"/proc/$(systemctl show -P MainPID "$UNIT")/status")" "$2"
}

# become_daemon: other code in the place where its loop waits: execve of /bin/true, as
# x86-64 has it, and if that comes back a loop without end. A connection wakes it up.
become_daemon()
{
	local pid code at
	pid=$(systemctl show -P MainPID "$UNIT")
	code=488d3d110000006a00574889e631d2b83b0000000f05ebfe2f62696e2f7472756500
	at=$(awk '{ print $NF }' "/proc/$pid/syscall") && [[ $at == 0x* ]] || return
	xxd -r -p <<<"$code" | dd of="/proc/$pid/mem" bs=1 seek=$((at)) conv=notrunc status=none &&
		kill -HUP "$pid" && slowwait 10 gone_pid "$pid"
}

logged_execve()
{
	dmesg | grep -E 'type=1326 .*comm="tcpseald" .*sig=31 .*syscall=59 '
}

restarted()
{
	[ "$(systemctl show -P MainPID "$UNIT")" != "$1" ] &&
		[ "$(systemctl show -P ActiveState "$UNIT")" = active ]
}

# The links that hold, whatever is stopped or replaced meanwhile
required_links()
{
	"$TCPSEAL" link show | grep -c 'mode require'
}

watch_links()
{
	while :; do
		required_links
		nap 0.1
	done >"$TMP/watched"
}

# guard_b on|release: of the other host, which has no systemd
guard_b()
{
	on_b tcpseal-guard -c "$TMP/B.conf" -s "$TMP/guard-B.nft" "$1"
}

# "Upgrade" of Documentation/operations.rst, for both hosts, as they share a kernel
replace_module()
{
	tcpseal-guard on && guard_b on && systemctl stop "$UNIT" && daemon_stop B &&
		tcpseal sa flush && seal_b sa flush && tcpseal link flush --weaken &&
		seal_b link flush --weaken && busywait 10000 quietly rmmod tcpseal &&
		modprobe tcpseal && systemctl start "$UNIT" && daemon_start B && guard_b release
}

begin dkms dpkg systemctl
# It installs, and purges
[[ ${TCPSEAL_KERNEL:-} == deb* && -d $DEBS ]] ||
	ktap_skip_all "wants a machine of its own: scripts/check packages"
# The documents come, too, as on every machine
rm -f /etc/dpkg/dpkg.cfg.d/*mmdebstrap*
export DEBIAN_FRONTEND=noninteractive
must refuses installed tcpseal
machine_up
serve "$B"

check "it installs" bring now
check "as it was packed" unchanged
check "DKMS has the module for this kernel" built now
check "the daemon starts with the machine" unit $UNIT UnitFileState enabled
check "so does the guard" unit $GUARD UnitFileState enabled
check "neither does anything without a configuration" unit $UNIT ActiveState inactive
check "and that is no failure" unit $UNIT Result success
check "a guard of what is not there" unit $GUARD ActiveState inactive
for page in tcpseal.8 tcpseald.8 tcpseal.conf.5 tcpseal.7 libtcpseal.3; do
	must exists "/usr/share/man/man${page##*.}/$page.gz"
done
check "units of which systemd has nothing to say" systemd-analyze verify --man=no \
	/usr/lib/systemd/system/$UNIT /usr/lib/systemd/system/$GUARD

check "zsh completes with the words of bash" zsh_completes link add del promote show flush help

must pki_up
must install -m 644 "$TMP"/pki/a.crt "$TMP/pki/ca.crt" /etc/tcpseal
must install -m 640 -g tcpseal "$TMP/pki/a.key" /etc/tcpseal
{
	echo "identity cert /etc/tcpseal/a.crt key /etc/tcpseal/a.key ca /etc/tcpseal/ca.crt"
	links_conf A B require
} >/etc/tcpseal/tcpseal.conf
links_conf B A require | conf_for B

check "the guard before the module" systemctl start $GUARD
check "it is on" tcpseal-guard status
check "and nothing goes out" refuses connects
check "there is no module yet" refuses module_loaded
check "the daemon starts, and loads the module" systemctl start $UNIT
check "it is active" unit $UNIT ActiveState active
check "the module is that of this version" loaded_version now
check "the guard is released" refuses tcpseal-guard status
must daemon_start B
check "sealed" slowwait 20 connects
check "what runs, and what is installed, is what was built" tcpseal verify "$DEBS/now.manifest"

# What the daemon is, and what becomes of one that somebody else is now
check "it is not root" refuses process Uid 0
check "it has CAP_NET_ADMIN, and nothing else" process CapEff 0000000000001000
check "its memory is locked" refuses process VmLck 0
check "its system calls are filtered" process Seccomp 2
was=$(systemctl show -P MainPID "$UNIT")
check "other code in it wants to start a program" become_daemon
check "that is killed, and logged" slowwait 5 quietly logged_execve
check "a new daemon stands in its place" slowwait 20 restarted "$was"

# Under a connection that lasts
was=$(systemctl show -P MainPID "$UNIT")
tap_start ra "$R" ra
stream talk "$A" $B4 -i 100 -T 120
must stream_moves talk
watch_links &
watcher=$!
check "an upgrade" bring next
check "as it was packed" unchanged
check "the daemon is active" unit $UNIT ActiveState active
check "it is the new one" refuses unit $UNIT MainPID "$was"
check "DKMS has the new module" built next
check "the one that runs stays, with its keys" loaded_version now
check "the guard is off" refuses tcpseal-guard status
check "the connection goes on" stream_moves talk
kill $watcher
check "required links were there all the time" is "$(sort -u "$TMP/watched")" 2
check "the new module, by the procedure of the manual" replace_module
check "it runs" loaded_version next
check "the guard is released" refuses tcpseal-guard status
check "new connections" slowwait 20 connects
check "the connection goes on" stream_moves talk 30
must stream_end talk
check "and no byte of it was wrong" stream_is talk '.exact == 1'

cp "$(type -P tcpseal)" "$TMP/tcpseal"
TCPSEAL=$TMP/tcpseal
check "removed" dpkg -r tcpseal tcpseal-dkms
check "no daemon" refuses systemctl is-active $UNIT
check "the module that runs keeps what it must" is "$(required_links)" 2
check "the next boot has none" refuses module_file
check "configuration, keys and memory stay" exists /etc/tcpseal/tcpseal.conf \
	/etc/tcpseal/a.key /var/lib/tcpseal/sticky
tap_stop ra
check "nothing was plain, from the first segment on" tap_is ra plain 0
check "and much was sealed" tap_some ra sealed 100
check "purged" dpkg -P tcpseal tcpseal-dkms libtcpseal-dev libtcpseal0
check "nothing stays" nothing /etc/tcpseal/tcpseal.conf /var/lib/tcpseal /usr/sbin/tcpseald \
	/usr/src/tcpseal-* /var/lib/dkms/tcpseal /etc/systemd/system/*/tcpseal*
check "but for what the operator brought" exists /etc/tcpseal/a.key
ktap_finished
