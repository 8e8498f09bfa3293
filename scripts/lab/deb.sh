# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# The packages: built for Debian 12 and 13 (deb12, deb13) inside the roots of those, and
# installed there by chroot, where DKMS compiles as fast as the machine does.

# in_machine DIR COMMAND...: as in_root, but all of it may be written to, and is gone
# afterwards. MACHINE is the release.
in_machine()
{
	local src=$1
	shift

	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child --propagation private \
		/bin/sh -c '
			root=$1 src=$2
			shift 2
			new=/run/tcpseal-machine
			mkdir -p $new && mount -t tmpfs -o size=4g tmpfs $new &&
			mkdir $new/upper $new/work $new/root &&
			mount -t overlay overlay $new/root \
				-o "lowerdir=$root,upperdir=$new/upper,workdir=$new/work" &&
			mount --bind "$src" $new/root/src &&
			mount --rbind /dev $new/root/dev &&
			mount -t proc proc $new/root/proc &&
			mount -t tmpfs tmpfs $new/root/tmp || exit 125
			# It has the documents, as machines have
			rm -f $new/root/etc/dpkg/dpkg.cfg.d/*mmdebstrap*
			exec chroot $new/root /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
				PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
				/bin/sh -c "cd /src && exec \"\$@\"" sh "$@"
		' sh "$(root_dir "$MACHINE")/root" "$src" "$@"
}

# tree_into DIR: the sources as they are
tree_into()
{
	mkdir -p "$1"
	list_sources | rsync -a --files-from=- "$TOP/" "$1/"
}

# deb_next: in the sources' directory, they become those of an upgrade
deb_next()
{
	local next by
	next=$(dpkg-parsechangelog -S Version)+next
	by=$(grep -m 1 '^ -- ' debian/changelog)

	printf '%s\n\n%s\n\n%s\n\n' "tcpseal ($next) unstable; urgency=medium" \
		"  * The next one." "$by" | cat - debian/changelog >changelog.new &&
		mv changelog.new debian/changelog &&
		sed -i "s/\(VERSION[=[:space:]]*\"\)[^\"]*\"/\1$next\"/" \
			dkms.conf module/tcpseal.h userspace/tcpseal/main.c
}

# deb_both: this version into now, the next one into next
deb_both()
{
	umask 022
	mkdir now next &&
		cd tcpseal && dpkg-buildpackage -us -uc -b -j2 && mv ../*.* ../now/ &&
		deb_next && dh_clean && dpkg-buildpackage -us -uc -b -nc -j2 &&
		mv ../*.* ../next/
}

# deb_install VERSION: its packages onto the machine, with a real build by DKMS; what that
# built, as DKMS hands it on; and what "tcpseal verify" compares a machine with
deb_install()
{
	local kernel debs=("$1"/{tcpseal,tcpseal-dkms,libtcpseal0,libtcpseal-dev}_*.deb) deb
	kernel=$(basename /lib/modules/*-amd64)

	dpkg -i "${debs[@]}" || return
	dkms status
	dkms mktarball "tcpseal/$(dpkg-deb -f "$1"/tcpseal_*.deb Version)" -k "$kernel" \
		--binaries-only --archive "/src/$1.dkms.tar.gz" || return
	for deb in "${debs[@]}"; do
		dpkg -x "$deb" /tmp/stage || return
	done
	{
		tcpseal/scripts/manifest "/lib/modules/$kernel/updates" | grep -v '^file' &&
			tcpseal/scripts/manifest /tmp/stage | grep '^file'
	} >"$1.manifest"
}

# script FUNCTION...: these for another shell
script()
{
	declare -f "$@"
	echo '"$@"'
}

# build_machine KERNEL: build/KERNEL/src is the tree with its test programs, and in
# packages/ those of this version and the next
build_machine()
{
	local dir=$BUILD/$1 work=$BUILD/$1/work key version

	MACHINE=$1
	copy_sources "$1" || return
	key=$(sources_key "$1")
	[ "$key" = "$(cat "$dir/key" 2>/dev/null)" ] && [ -e "$dir/src.squashfs" ] && return
	rm -rf "$dir/key" "$work"
	mkdir -p "$work/tcpseal"
	rsync -a --files-from="$dir/files" "$dir/src/" "$work/tcpseal/" || return

	slow "$dir/packages.log" "building the packages for $1" \
		in_root "$1" "$work" bash -c "$(script deb_next deb_both)" bash deb_both || return
	for version in now next; do
		slow "$dir/dkms-$version.log" "installing those of this tree, $version, on $1" \
			in_machine "$work" bash -c "$(script deb_install)" bash \
			deb_install $version || return
	done
	slow "$dir/build.log" "building the programs of the tests for $1" \
		in_root "$1" "$dir/src" make -j2 -C selftests/tools || return
	rm -rf "$work/tcpseal" "$dir/src/packages"
	mv "$work" "$dir/src/packages" || return
	squash_sources "$dir" || return
	echo "$key" >"$dir/key"
}
