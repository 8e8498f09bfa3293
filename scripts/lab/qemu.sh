# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# One virtual machine, from its initramfs to its verdict.

# QEMU comes from the Debian 13 root, started by that root's own loader so that
# it sees this machine's files. Never Debian 12's QEMU 7.2: it miscompiles
# cmpxchg16b, and 6.12 kernels crash under it at random.
# Sets PROGRAM to the command that runs one of its programs, and that dies with us.
qemu_program()
{
	local root
	root=$(root_dir 6.12)/root
	PROGRAM=(setpriv --pdeathsig KILL "$root/lib64/ld-linux-x86-64.so.2"
		--library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/$1")
	QEMU_DATA=(-L "$root/usr/share/qemu" -L "$root/usr/share/seabios")
}

# A processor that has all that ciphers and Debian want, and no wide registers
LEAN=qemu64,+aes,+pclmulqdq,+ssse3,+sse4.1,+sse4.2,+popcnt,+rdrand,+fsgsbase

# What the kernel says when something is broken
SPLAT='WARNING:|BUG:|Call Trace:|RIP:|KASAN|suspicious RCU|refcount_t|possible recursive locking'
SPLAT+='|blocked for more than|unreferenced object|new suspected memory leaks|ref_tracker:'
SPLAT+='|unregister_netdevice: waiting|Oops|soft lockup|hard LOCKUP|self-detected stall'
SPLAT+='|detected stalls on CPUs|Kernel panic'

# make_initrd DIR COMMAND...: the guest's first program, modules and the command,
# as cpio. Only the command differs between runs; it all takes a blink, so no cache.
make_initrd()
{
	local dir=$1 tree=$1/tree root
	root=$(root_dir "$VM_KERNEL")
	shift

	mkdir -p "$tree"/{bin,dev,proc,sys,modules,lab,ro,src,rw,new}
	cp "$root/root/usr/bin/busybox" "$tree/bin/busybox"
	cp "$root"/modules/*.ko "$tree/modules/"
	cp "$LAB/guest/init" "$tree/init"
	cp "$LAB/guest/main" "$tree/lab/main"
	echo "$NONCE" >"$tree/lab/nonce"
	echo "${VM_NAME:-lab}" >"$tree/lab/name"
	[ -z "$VM_SHARE" ] || touch "$tree/lab/share"
	[ -z "$VM_PAIR" ] || touch "$tree/lab/stay"
	[[ $VM_KERNEL != deb* ]] || cp "$LAB/guest/lab.service" "$tree/lab/systemd"
	{
		# An emulated machine is slow: tests relax times, never results
		echo "export KSFT_MACHINE_SLOW=yes"
		echo "export TCPSEAL_KERNEL=$VM_KERNEL TCPSEAL_VM=$VM_NAME"
		printf 'exec'
		printf ' %q' "$@"
		echo
	} >"$tree/lab/command"
	chmod 755 "$tree/init"
	(cd "$tree" && find . | cpio --quiet -o -H newc) >"$dir/initrd"
}

# vm_once COMMAND...: one VM as VM_* describe it:
#   VM_KERNEL VM_NET VM_SMP VM_MEM VM_ICOUNT VM_BARE VM_SHARE VM_TIMEOUT VM_CONSOLE
#   VM_NAME VM_PAIR  in a pair: "a" or "b", and the directory of the pair
# The status is COMMAND's; 124 after a timeout, 125 when the VM gave no verdict
# or its kernel complained. It ends the shell: what it started dies with it, also
# when that shell is killed.
vm_once()
{
	local dir root accel processor append='' opts=() readers=() status word nonce verdict
	local qemu card try

	dir=$(mktemp -d "${TMPDIR:-/tmp}/tcpseal-vm.XXXXXX")
	root=$(root_dir "$VM_KERNEL")
	NONCE=$(od -An -N8 -tx8 /dev/urandom | tr -d ' ')
	# shellcheck disable=SC2064
	trap "vm_end '$dir'" EXIT
	trap 'exit 130' INT TERM HUP

	make_initrd "$dir" "$@"
	cp "$BUILD/$VM_KERNEL/src.squashfs" "$dir/src"
	mkfifo "$dir/out" "$dir/err"
	: >"$dir/verdict"
	mkdir -p "${VM_CONSOLE%/*}"
	: >"$VM_CONSOLE"

	case ${VM_ACCEL:-tcg} in
	# Said explicitly: /dev/kvm may exist and hang. Wide registers are what costs
	# most to emulate, in each context switch; one kernel has them, for the sake
	# of the ciphers that use them.
	tcg)
		accel=tcg,thread=multi processor=$LEAN
		[ "$VM_KERNEL" != next ] || processor=max
		;;
	*) accel=$VM_ACCEL processor=host ;;
	esac
	[ -z "$VM_ICOUNT" ] || {
		# "rep movsb" and "rep stosb" would count one instruction for each byte
		accel=tcg,thread=single processor=max,-erms,-fsrm,-fsrs VM_SMP=1
		opts+=(-icount "shift=0,sleep=off")
	}
	[ "$VM_KERNEL" != debug ] || append=panic_on_warn=1
	[ -z "$VM_BARE" ] || processor+=,-hypervisor
	opts+=(-accel "$accel" -cpu "$processor" -smp "$VM_SMP" -m "$VM_MEM")

	[ -z "$VM_SHARE" ] ||
		opts+=(-object "memory-backend-memfd,id=mem,size=${VM_MEM}M,share=on"
			-machine memory-backend=mem
			-chardev "socket,id=fs,path=$dir/fs.sock"
			-device "vhost-user-fs-pci,chardev=fs,tag=share,queue-size=1024")

	# Both cards of a wire on one hub: a segment passes a real driver's
	# transmit, and NAPI and GRO on receive; the hub itself knows no TSO
	[ "$VM_NET" != wire ] ||
		for card in 0 1; do
			opts+=(-netdev "hubport,id=wire$card,hubid=0"
				-device "virtio-net-pci,netdev=wire$card,mac=52:54:00:77:00:0$card,romfile=")
		done
	case $VM_NAME in
	a) opts+=(-netdev "stream,id=wire0,server=on,addr.type=unix,addr.path=$VM_PAIR/wire") ;;
	b) opts+=(-netdev "stream,id=wire0,server=off,addr.type=unix,addr.path=$VM_PAIR/wire,reconnect-ms=100") ;;
	esac
	[ -z "$VM_NAME" ] ||
		opts+=(-device "virtio-net-pci,netdev=wire0,mac=52:54:00:77:0$VM_NAME:00,romfile=")

	for try in 1 2 3; do
		start_qemu
		hangs_at_boot "$qemu" || break
		[ $try != 3 ] || break
		say "${VM_NAME:+$VM_NAME: }the machine hung while it booted: once more"
		kill "$qemu"
		wait "$qemu" "${readers[@]}" 2>/dev/null
	done
	[ -z "$VM_PAIR" ] || end_together "$dir/verdict" "$qemu" &

	wait "$qemu"
	status=$?
	# A QEMU that never opened its pipes leaves their readers waiting
	[ -s "$VM_CONSOLE" ] || kill "${readers[@]}" 2>/dev/null
	wait "${readers[@]}" 2>/dev/null

	read -r word nonce verdict <"$dir/verdict" || :
	if [ "$word $nonce" != "verdict $NONCE" ]; then
		[ -z "$VM_PAIR" ] || echo 125 >"$VM_PAIR/$VM_NAME.done"
		if [ $status = 124 ]; then
			say "${VM_NAME:+$VM_NAME: }no verdict: the VM did not end within $VM_TIMEOUT s"
			verdict=124
		else
			say "${VM_NAME:+$VM_NAME: }no verdict: the VM died (QEMU's status $status)"
			cat "$dir/qemu.log" >&2
			verdict=125
		fi
		tail -n 20 "$VM_CONSOLE" | sed 's/^/console: /' >&2
	fi
	if grep -aqE "$SPLAT" "$VM_CONSOLE"; then
		say "${VM_NAME:+$VM_NAME: }the kernel complained ($VM_CONSOLE):"
		grep -aE -A 25 "$SPLAT" "$VM_CONSOLE" | head -n 60 | sed 's/^/console: /' >&2
		[ "$verdict" != 0 ] || verdict=125
	fi
	exit "$verdict"
}

# start_qemu: of vm_once(), whose variables it uses. Sets qemu and readers.
start_qemu()
{
	: >"$VM_CONSOLE"
	readers=()
	cat <"$dir/out" &
	readers+=($!)
	cat <"$dir/err" >&2 &
	readers+=($!)
	# It serves one machine, and ends with it
	[ -z "$VM_SHARE" ] || start_virtiofsd "$dir" ||
		die "virtiofsd did not start: $(cat "$dir/virtiofsd.log")"

	qemu_program bin/qemu-system-x86_64
	setpriv --pdeathsig TERM timeout --kill-after=5 "$VM_TIMEOUT" \
		"${PROGRAM[@]}" "${QEMU_DATA[@]}" -nodefaults -no-user-config -display none \
		-machine q35 "${opts[@]}" -no-reboot \
		-kernel "$root/vmlinuz" -initrd "$dir/initrd" \
		-append "console=ttyS0 loglevel=7 panic=-1 oops=panic softlockup_panic=1 \
watchdog_thresh=60 rcupdate.rcu_cpu_stall_timeout=120 workqueue.watchdog_thresh=120 \
sysctl.kernel.hung_task_timeout_secs=240 $append ${VM_APPEND:-}" \
		-chardev "file,id=console,path=$VM_CONSOLE" -serial chardev:console \
		-drive "file=$root/root.squashfs,format=raw,if=virtio,readonly=on" \
		-drive "file=$dir/src,format=raw,if=virtio,readonly=on" \
		-device virtio-serial-pci \
		-chardev "file,id=out,path=$dir/out,append=on" -device virtserialport,chardev=out,name=out \
		-chardev "file,id=err,path=$dir/err,append=on" -device virtserialport,chardev=err,name=err \
		-chardev "file,id=verdict,path=$dir/verdict" -device virtserialport,chardev=verdict,name=verdict \
		>"$dir/qemu.log" 2>&1 </dev/null 9>&- &
	qemu=$!
}

# hangs_at_boot QEMU: emulated processors lose a timer now and then, and then the
# kernel waits for ever before its first program
hangs_at_boot()
{
	local end=$((SECONDS + 60))
	until grep -aqF "lab: up" "$VM_CONSOLE"; do
		kill -0 "$1" 2>/dev/null || return
		[ $SECONDS -lt $end ] || return 0
		sleep 0.2
	done
	return 1
}

vm_end()
{
	local jobs
	trap - EXIT
	jobs=$(jobs -p)
	# shellcheck disable=SC2086
	[ -z "$jobs" ] || kill $jobs 2>/dev/null
	rm -rf "$1"
}

start_virtiofsd()
{
	local dir=$1 cache=auto _

	qemu_program libexec/virtiofsd
	rm -f "$dir/fs.sock"
	# A pair talks through its share: no stale answers there
	[ -z "$VM_PAIR" ] || cache=never
	"${PROGRAM[@]}" --socket-path="$dir/fs.sock" --shared-dir="$VM_SHARE" \
		--sandbox=none --seccomp=none --cache="$cache" \
		>"$dir/virtiofsd.log" 2>&1 </dev/null 9>&- &
	for _ in {1..100}; do
		[ ! -S "$dir/fs.sock" ] || return 0
		sleep 0.05
	done
	return 1
}

# end_together VERDICT QEMU: a VM of a pair lives until both have spoken, so that
# neither loses its peer; when one has failed the other gets 20 s to notice.
end_together()
{
	local verdict=$1 qemu=$2 other=b grace=100
	[ "$VM_NAME" = a ] || other=a

	while kill -0 "$qemu" 2>/dev/null; do
		sleep 0.2
		[ ! -s "$verdict" ] || cut -d ' ' -f 3 "$verdict" >"$VM_PAIR/$VM_NAME.done"
		[ -s "$VM_PAIR/$other.done" ] || continue
		[ "$(cat "$VM_PAIR/$other.done")" = 0 ] || grace=$((grace - 1))
		if [ -s "$verdict" ] || [ $grace = 0 ]; then
			kill "$qemu"
			return
		fi
	done
}
