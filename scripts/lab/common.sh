# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# shellcheck disable=SC2034	# these are for the others
# What every piece of the laboratory needs: where things are, how to say so.

TOP=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
LAB=$TOP/scripts/lab
BUILD=$TOP/build
CACHE=${TCPSEAL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcpseal}

# Kernels that a VM can run, oldest first; and "debug", see scripts/lab/kernel.sh, and
# "coverage", 6.12 with a project that counts its lines, see scripts/coverage
KERNELS="6.1 6.12 next"

# What is no kernel, but a machine: Debian 12 and 13 with systemd, on which the packages
# of this tree are built and installed, see scripts/lab/deb.sh
MACHINES="deb12 deb13"

# Progress goes to stderr: stdout belongs to the command in the VM
say()
{
	printf 'lab: %s\n' "$*" >&2
}

die()
{
	say "error: $*"
	exit 1
}

kernel_check()
{
	case $1 in
	6.1 | 6.12 | next | debug | coverage | deb12 | deb13) ;;
	*) die "no kernel '$1': choose one of: $KERNELS debug coverage $MACHINES" ;;
	esac
}

need_root()
{
	[ "$(id -u)" = 0 ] || die "the laboratory builds Debian roots by chroot: run it as root"
}

# hash_of FILE...: a short name for this content
hash_of()
{
	cat "$@" | sha256sum | cut -c 1-16
}

# locked LOCKFILE COMMAND...: two laboratories must not build the same thing.
# The lock goes with the subshell, however that ends.
locked()
{
	local lock=$1
	shift
	mkdir -p "${lock%/*}"
	(
		flock --nonblock 9 || {
			say "waiting for another scripts/vm (${lock##*/})"
			flock 9
		}
		"$@"
	) 9>"$lock"
}

# slow LOG WHAT COMMAND...: run something slow with its output in LOG, say what
# it is, where it is, and how long it took; show the log's end if it fails.
slow()
{
	local log=$1 what=$2 start=$SECONDS pid status=0
	shift 2
	mkdir -p "${log%/*}"
	say "$what ..."
	"$@" >"$log" 2>&1 9>&- </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if [ $(((SECONDS - start) % 10)) = 9 ]; then
			say "  $((SECONDS - start)) s: $(tail -c 300 "$log" | tr '\r' '\n' | grep -v '^ *$' | tail -n 1 | cut -c 1-90)"
			sleep 1
		fi
	done
	wait "$pid" || status=$?
	if [ "$status" != 0 ]; then
		tail -n 40 "$log" >&2
		say "FAILED after $((SECONDS - start)) s: $what (log: $log)"
		return "$status"
	fi
	say "  done in $((SECONDS - start)) s"
}
