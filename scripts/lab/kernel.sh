# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# The kernel "debug": Debian's source of 6.12 with every checker it has and few
# drivers, built by the compiler of the root that runs it, and kept in the cache
# under a hash of what went into it:
#   vmlinuz, modules/  as "make modules_install" leaves them
#   headers/           what modules are built with
#   release            uname -r

# What must be so; all else is off
kernel_config()
{
	cat "$LAB/debug.config" "$TOP/selftests/config"
}

kernel_key()
{
	{
		kernel_config
		declare -f build_kernel kernel_configure kernel_compile
		dpkg-query --admindir="$(root_dir debug)/root/var/lib/dpkg" -W \
			linux-source-6.12 gcc 2>/dev/null
	} | hash_of -
}

kernel_dir()
{
	echo "$CACHE/kernel-debug-$(kernel_key)"
}

build_kernel()
{
	local dir=$1 work=$1/work

	[ ! -e "$dir/complete" ] || return 0
	say "no debug kernel in $CACHE yet (or its configuration changed)"
	say "building it: 15 minutes on two processors, 4 GB while it lasts, kept"
	rm -rf "$dir"
	mkdir -p "$work"
	kernel_config >"$work/wanted"
	slow "$CACHE/log/kernel-config" "unpacking and configuring linux-source-6.12" \
		in_root debug "$work" /bin/bash -c "$(declare -f kernel_configure); kernel_configure" ||
		return
	slow "$CACHE/log/kernel" "compiling it" \
		in_root debug "$work" /bin/bash -c "$(declare -f kernel_compile); kernel_compile" ||
		return
	mv "$work"/out/* "$dir/"
	rm -rf "$work"
	touch "$dir/complete"
	find "$CACHE" -maxdepth 1 -name 'kernel-debug-*' ! -path "$dir" -mtime +1 \
		-exec rm -rf {} +
}

# In the chroot. An option that another one silently forbids is an error.
kernel_configure()
{
	local line status=0

	tar -xf /usr/src/linux-source-6.12.tar.xz --strip-components=1 &&
		make KCONFIG_ALLCONFIG=wanted allnoconfig || return
	while read -r line; do
		grep -qxF "$line" .config || {
			echo "not to be had: $line ($(grep -w "${line%%=*}" .config))"
			status=1
		}
	done < <(grep '^CONFIG' wanted)
	return $status
}

kernel_compile()
{
	local release

	nice make -j"$(nproc)" bzImage modules &&
		release=$(make -s kernelrelease) &&
		make INSTALL_MOD_PATH=out INSTALL_MOD_STRIP=1 modules_install &&
		make run-command KBUILD_RUN_COMMAND="scripts/package/install-extmod-build out/headers" &&
		mv "out/lib/modules/$release" out/modules &&
		rm -rf out/lib out/modules/build &&
		cp arch/x86/boot/bzImage out/vmlinuz &&
		echo "$release" >out/release
}

# install_kernel ROOT: in the place of the one that came with the root
install_kernel()
{
	local root=$1 dir release
	dir=$(kernel_dir)
	locked "$CACHE/lock/kernel" build_kernel "$dir" || return
	release=$(cat "$dir/release")

	rm -rf "${root:?}"/lib/modules/* "${root:?}"/boot/* "$root/usr/src/linux-headers-$release"
	cp -a "$dir/modules" "$root/lib/modules/$release" &&
		cp -a "$dir/headers" "$root/usr/src/linux-headers-$release" &&
		ln -s "/usr/src/linux-headers-$release" "$root/lib/modules/$release/build" &&
		cp "$dir/vmlinuz" "$root/boot/vmlinuz-$release"
}
