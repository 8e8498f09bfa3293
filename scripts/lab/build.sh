# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# The project, built once for each kernel inside the root of its release, from
# a copy of the sources: releases share no object files, and a VM never sees
# the tree change under it.

# in_root KERNEL SRC COMMAND...: run COMMAND in the chroot of that root with SRC
# at /src. The root is read-only; its mounts vanish with the namespace.
in_root()
{
	local root=$1 src=$2
	root=$(root_dir "$1")/root
	shift 2

	# objtool of newer kernels needs /proc
	# shellcheck disable=SC2016
	unshare --mount --pid --fork --kill-child --propagation private \
		/bin/sh -c '
			root=$1 src=$2
			shift 2
			mount --bind "$root" "$root" &&
			mount -o remount,bind,ro "$root" &&
			mount --bind "$src" "$root/src" &&
			mount --rbind /dev "$root/dev" &&
			mount -t proc proc "$root/proc" &&
			mount -t tmpfs tmpfs "$root/tmp" || exit 125
			exec chroot "$root" /usr/bin/env -i HOME=/root LC_ALL=C.UTF-8 \
				PATH=/usr/sbin:/usr/bin:/sbin:/bin \
				/bin/sh -c "cd /src && exec \"\$@\"" sh "$@"
		' sh "$root" "$src" "$@"
}

kdir_of()
{
	echo "/lib/modules/$(cat "$(root_dir "$1")/release")/build"
}

# Every file that belongs to the tree: what git knows or would take
list_sources()
{
	local file
	git -C "$TOP" -c safe.directory='*' ls-files -co --exclude-standard -z |
		while IFS= read -r -d '' file; do
			# Not what is removed, but not yet committed so
			[ ! -f "$TOP/$file" ] || printf '%s\n' "$file"
		done | sort -u
}

# ensure_built KERNEL: build/KERNEL/src is built, build/KERNEL/src.squashfs has it
ensure_built()
{
	mkdir -p "$BUILD/$1"
	case $1 in
	deb*) locked "$BUILD/$1/lock" build_machine "$1" ;;
	*) locked "$BUILD/$1/lock" build_project "$1" ;;
	esac
}

# ensure_copied KERNEL: build/KERNEL/src has the sources as they are now
ensure_copied()
{
	mkdir -p "$BUILD/$1"
	locked "$BUILD/$1/lock" copy_sources "$1"
}

copy_sources()
{
	local kernel=$1 dir=$BUILD/$1

	mkdir -p "$dir/src"
	list_sources >"$dir/files.new" || return

	# Another compiler or kernel: nothing of the old build is of use
	if [ "$(root_dir "$kernel")" != "$(cat "$dir/root" 2>/dev/null)" ]; then
		rm -rf "$dir/src"
		mkdir -p "$dir/src"
		root_dir "$kernel" >"$dir/root"
	fi

	# Copy what changed, remove what is no longer in the tree
	[ ! -e "$dir/files" ] || comm -23 "$dir/files" "$dir/files.new" |
		(cd "$dir/src" && tr '\n' '\0' | xargs -0r rm -f)
	rsync -a --files-from="$dir/files.new" "$TOP/" "$dir/src/" || return
	mv "$dir/files.new" "$dir/files"
}

# sources_key KERNEL: of what copy_sources has copied, and where it is built
sources_key()
{
	{
		root_dir "$1"
		cd "$BUILD/$1/src" && tr '\n' '\0' <../files | xargs -0 stat -c '%n %s %y %a'
	} | hash_of -
}

# squash_sources DIR: DIR/src as what a VM mounts
squash_sources()
{
	mksquashfs "$1/src" "$1/src.squashfs.new" -keep-as-directory -noappend \
		-no-progress -quiet -noI -noD -noF -noX >"$1/image.log" &&
		mv "$1/src.squashfs.new" "$1/src.squashfs"
}

build_project()
{
	local kernel=$1 dir=$BUILD/$1 key command=(make -j2 --no-print-directory all test_modules)

	copy_sources "$kernel" || return
	key=$(sources_key "$kernel")
	[ "$key" = "$(cat "$dir/key" 2>/dev/null)" ] && [ -e "$dir/src.squashfs" ] && return
	rm -f "$dir/key"

	[ "$kernel" != coverage ] || command=(scripts/lab/coverage-build)
	slow "$dir/build.log" "building the project for kernel $kernel" \
		in_root "$kernel" "$dir/src" \
		"${command[@]}" KDIR="$(kdir_of "$kernel")" || return
	grep -E 'warning:|WARNING:' "$dir/build.log" >&2 || :
	# A tenth of what each insmod has to read
	in_root "$kernel" "$dir/src" find . -name '*.ko' -exec strip --strip-debug {} + || return

	squash_sources "$dir" || return
	echo "$key" >"$dir/key"
}
