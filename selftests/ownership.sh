#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-only
# smp: 2
# timeout: 400
#
# Pages that are not tcpseal's: sendfile, splice and MSG_ZEROCOPY send pages of a
# file, both hosts share one page cache, and an injector adds records with bad
# tags. File, cached and on disk, and what arrives must be exact; a tap at the
# receiver must go on seeing records.

# shellcheck source=lib.sh source-path=SCRIPTDIR
. "${0%/*}/lib.sh"

SIZE=16000000
SEED=7

# The file on a disk of its own where possible: there the cache can be dropped
disk_up()
{
	FILE=$TMP/file
	if type mkfs.ext4 >/dev/null 2>&1 && modprobe loop 2>/dev/null; then
		truncate -s 64M "$TMP/disk" && mkfs.ext4 -q "$TMP/disk" &&
			mkdir "$TMP/mnt" && mount -o loop "$TMP/disk" "$TMP/mnt" &&
			FILE=$TMP/mnt/file
	fi
	"$TOOLS/tcp_pat" file "$FILE" "$SIZE" -s "$SEED" && sync && HASH=$(hash_file)
}

hash_file()
{
	sha256sum <"$FILE"
}

disk_hash()
{
	sync
	echo 1 >/proc/sys/vm/drop_caches
	hash_file
}

# send MODE ADDRESS FAMILY [OPTIONS...]
send()
{
	local mode=$1 address=$2 family=$3 a=A$3 b=B$3 pid
	shift 3
	must snap before
	inject rb "${!a}" "${!b}" -m 500 -n 100000 -W 5 -B counter flip >/dev/null 2>&1 &
	pid=$!
	check "IPv$family, $mode: exact with bad tags among it" \
		pat "$A" "$address" -n 2 -m "$mode" -u $SIZE -s $SEED "$@"
	kill $pid 2>/dev/null
	wait $pid
	check "IPv$family, $mode: bad tags were injected" busywait 3000 has_grown B before drop.bad-tag
	check "IPv$family, $mode: the cached file is unchanged" is "$(hash_file)" "$HASH"
}

umount_disk()
{
	mountpoint -q "$TMP/mnt" && umount "$TMP/mnt"
	return 0
}

begin
load_module
topo_up
must disk_up
sealed_pair require
tap_start b "$B" b0 -f $A4
serve "$B"
for family in 4 6; do
	address=B$family
	send sendfile "${!address}" $family -f "$FILE"
	send splice "${!address}" $family -f "$FILE"
	send zerocopy "${!address}" $family -f "$FILE"
	check "IPv$family, zerocopy of memory: exact, pages unchanged, all returned" \
		pat "$A" "${!address}" -m zerocopy -u 8000000
done
serve_stop "$B"
tap_stop b
check "the file on disk is unchanged" is "$(disk_hash)" "$HASH"
check "the server saw no wrong byte" pat_is '.error == 0 and .corrupt == 0' "server-$B"
check "the receiver's tap saw records only" tap_is b plain 0
check "and no marker" tap_is b marker 0
umount_disk
ktap_finished
