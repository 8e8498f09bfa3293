#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# kernels: 6.1 6.12 next
# timeout: 120
#
# "tcpseal verify" with a manifest: it accepts what was built, and names the file that
# differs by one byte, the running module that is another one, and what is missing.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

HOST=$TMP/host MANIFEST=$TMP/manifest

# What a host has
put()
{
	mkdir -p "$HOST"
	cp "$TCPSEAL_KO" "$HOST/tcpseal.ko" && cp "$TCPSEAL" "$TCPSEALD" "$HOST"
}

# What its builder says of it: the same files, below another root
describe()
{
	mkdir -p "$TMP/stage/${HOST%/*}" && cp -r "$HOST" "$TMP/stage/${HOST%/*}" &&
		"$TOP/scripts/manifest" "$TMP/stage" >"$MANIFEST" && grep . "$MANIFEST"
}

# byte FILE OFFSET: becomes another one
byte()
{
	local value
	value=$(xxd -s "$2" -l 1 -p "$1")
	printf '%02x' $((0x$value ^ 1)) | xxd -r -p |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# section MODULE NAME: where it begins in the file
section()
{
	local offset
	offset=$(readelf -SW "$1" | sed 's/^ *\[ *[0-9]*\] *//' |
		awk -v name="$2" '$1 == name { print $4 }')
	echo "$((0x$offset))"
}

# names REGEX: it refuses, and one line says this
names()
{
	local status=0
	"$TCPSEAL" verify "$MANIFEST" >"$TMP/out" 2>&1 || status=$?
	cat "$TMP/out"
	[ "$status" = 1 ] && grep -qE "$1" "$TMP/out"
}

accepts()
{
	"$TCPSEAL" verify "$MANIFEST"
}

# another FROM TO: the module again, with other bytes in it, is the one that runs
another()
{
	LC_ALL=C sed "s/$1/$2/" "$HOST/tcpseal.ko" >"$TMP/other.ko"
	! cmp -s "$HOST/tcpseal.ko" "$TMP/other.ko" &&
		rmmod tcpseal && insmod "$TMP/other.ko"
}

begin xxd readelf sha256sum
need_own_module
must put
must describe
check "what was built is accepted" accepts
check "JSON says the same" sh -c \
	"'$TCPSEAL' -j verify '$MANIFEST' | jq -e 'length >= 6 and all(.same)'"

must byte "$HOST/tcpseal.ko" $(($(section "$HOST/tcpseal.ko" .text) + 64))
check "a module whose code differs by one byte" names "host/tcpseal.ko: [0-9a-f]{64} instead of"
check "and that alone" names "^1 of "
must put
must byte "$HOST/tcpseald" 4096
check "a daemon that differs by one byte" names "host/tcpseald: [0-9a-f]{64} instead of"
rm "$HOST/tcpseald"
check "a daemon that is not there" names "host/tcpseald: No such file"
must put
check "accepted again" accepts

version=$(modinfo -F srcversion "$TCPSEAL_KO")
must another "srcversion=$version" "srcversion=Z${version#?}"
check "another module runs: its sources" names "running module: srcversion: Z${version#?} instead of $version"
must rmmod tcpseal
must byte "$HOST/tcpseal.ko" $(($(section "$HOST/tcpseal.ko" .note.gnu.build-id) + 20))
must insmod "$HOST/tcpseal.ko"
must put
check "another module runs: its build id" names "running module: build id: [0-9a-f]+ instead of"
must rmmod tcpseal
check "no module runs" names "running module: srcversion: tcpseal is not loaded"
must insmod "$TCPSEAL_KO"
check "the right one again" accepts

echo "file" >>"$MANIFEST"
check "a manifest that is broken is refused" sh -c \
	"! '$TCPSEAL' verify '$MANIFEST' 2>&1 | grep -v 'not a line of a manifest'"
ktap_finished
