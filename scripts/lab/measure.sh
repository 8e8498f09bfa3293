# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# What measurements in a virtual machine have in common, beside selftests/lib.sh.

# lib.sh's must speaks TAP, which nobody reads here. fail() is the program's own.
must()
{
	"$@" >"$TMP/must.out" 2>&1 && return
	cat "$TMP/must.out" >&2
	fail "cannot set up: $*"
}
