# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-only
# The root file systems: one Debian release for each kernel, made by mmdebstrap
# and kept in the cache under a hash of what went into it.

suite_of()
{
	case $1 in
	6.1 | deb12) echo bookworm ;;
	6.12 | debug | coverage | deb13) echo trixie ;;
	next) echo forky ;;
	esac
}

# What all have is not for those that shall be like machines just installed
packages_of()
{
	local all=all

	[[ $1 != deb* ]] || all=deb
	sed -n -e "s/^$all: *//p" -e "s/^$1: *//p" "$LAB/packages" | tr -s ' \n' ','
}

# Host tools beyond what a bare Debian has, as command:package
HOST_TOOLS="mmdebstrap:mmdebstrap mksquashfs:squashfs-tools cpio:cpio rsync:rsync
	xz:xz-utils git:git make:make"

install_host_tools()
{
	local tool missing=()

	for tool in $HOST_TOOLS; do
		type "${tool%:*}" >/dev/null 2>&1 || missing+=("${tool#*:}")
	done
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ||
		missing+=(debian-archive-keyring)
	[ ${#missing[@]} = 0 ] && return

	say "this machine lacks: ${missing[*]}"
	slow "$CACHE/log/host-tools" "apt-get install ${missing[*]}" \
		install_packages "${missing[@]}"
}

install_packages()
{
	# An old keyring does not know the keys of later releases
	apt-get update &&
		DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
			"$@" debian-archive-keyring
}

# mirror WHAT: the archive "debian" or "debian-security" as APT on this machine
# has it, whichever way its sources are written. WHAT is "main" or "security".
mirror()
{
	local want=${VERSION_CODENAME:?}

	[ "$1" = security ] && want+=-security
	# Before the first apt-get update APT may know no targets; it always
	# prints the URI and the release as the sources name them.
	apt-get indextargets --format "\$(REPO_URI) \$(RELEASE) \$(COMPONENT)" |
		awk -v want="$want" '$2 == want && $3 == "main" { print $1; exit }'
}

# sources SUITE: one-line APT sources for that release
sources()
{
	local suite=$1 main security keyring

	# shellcheck disable=SC1091
	. /etc/os-release
	keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	main=$(mirror main)
	[ -n "$main" ] ||
		die "APT on this machine has no source for $VERSION_CODENAME main: where is a Debian mirror?"
	echo "deb [signed-by=$keyring] $main $suite main"

	# A release that is not out yet has no security archive
	security=$(mirror security)
	[ "$suite" = forky ] || [ -z "$security" ] ||
		echo "deb [signed-by=$keyring] $security $suite-security main"
}

# The machine's proxies and leniency with stale mirrors hold for the roots, too
apt_options()
{
	apt-config dump |
		grep -E '^Acquire::(https?::Proxy|Check-|Retries)' |
		sed 's/.*/--aptopt=&/'
	# The archive of the unreleased suite is often a frozen snapshot
	[ "$1" != forky ] ||
		echo '--aptopt=Acquire::Check-Valid-Until "false"'
}

root_key()
{
	{
		suite_of "$1"
		packages_of "$1"
		declare -f debootstrap
	} | hash_of -
}

# root_dir KERNEL: where its root is, or will be
root_dir()
{
	echo "$CACHE/root-$1-$(root_key "$1")"
}

# A root is a directory with:
#   root/          the tree, for builds by chroot
#   root.squashfs  what a VM mounts: the tree without compilers and headers
#   vmlinuz, modules/  the kernel, and what its initramfs loads, in order
#   release        uname -r
ensure_root()
{
	local dir
	dir=$(root_dir "$1")
	[ "$(cat "$dir/complete" 2>/dev/null)" = "$(images_key "$1")" ] ||
		locked "$CACHE/lock/root-$1" build_root "$1" "$dir" || return
	touch "$dir/complete"
}

images_key()
{
	{
		declare -f root_images
		echo "$BOOT_MODULES"
		[ "$1" != debug ] || kernel_key
	} | hash_of -
}

build_root()
{
	local kernel=$1 dir=$2 key

	[ -e "$dir/bootstrapped" ] || bootstrap_root "$kernel" "$dir" || return
	key=$(images_key "$kernel")
	[ "$(cat "$dir/complete" 2>/dev/null)" != "$key" ] || return 0
	[ "$kernel" != debug ] || install_kernel "$dir/root" || return
	slow "$CACHE/log/image-$kernel" "packing the root of kernel $kernel for VMs" \
		root_images "$dir" || return
	echo "$key" >"$dir/complete"

	# Roots of package lists of yesterday: two trees may share a cache, so
	# not those that someone still uses
	find "$CACHE" -maxdepth 2 -path "$CACHE/root-*/complete" -mmin +1440 -printf '%h\0' |
		xargs -0r rm -rf
}

bootstrap_root()
{
	local kernel=$1 dir=$2 suite sources opts=()

	suite=$(suite_of "$kernel")
	say "no root for kernel $kernel in $CACHE yet (or its package list changed)"
	say "building Debian $suite with kernel, compiler and test programs: about 70 s, 2 GB, kept"

	rm -rf "$dir"
	mkdir -p "$dir"
	sources=$(sources "$suite") || return
	mapfile -t opts < <(apt_options "$suite")
	slow "$CACHE/log/root-$kernel" "mmdebstrap $suite" \
		debootstrap "$suite" "$dir/root" "$kernel" "$sources" "${opts[@]}" || return
	touch "$dir/bootstrapped"
}

debootstrap()
{
	local suite=$1 root=$2 kernel=$3 sources=$4
	shift 4

	# No documents are kept, nothing is fsynced. PostgreSQL's packages would make a cluster.
	# shellcheck disable=SC2016
	mmdebstrap --mode=root --variant=apt --format=directory \
		--include="$(packages_of "$kernel")" \
		--dpkgopt=force-unsafe-io --dpkgopt=force-confold \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--essential-hook='mkdir -p "$1/etc/postgresql-common" &&
			echo "create_main_cluster = false" >"$1/etc/postgresql-common/createcluster.conf"' \
		--essential-hook='mkdir -p "$1/src"' \
		"$@" "$suite" "$root" - <<<"$sources"
}

# What the guest's initramfs loads: to mount its root and talk to the host
# (built in with some), and what udev would load for its processor and its cards
BOOT_MODULES="virtio_pci virtio_blk virtio_console squashfs overlay virtiofs
	virtio_net aesni_intel"

root_images()
{
	local dir=$1 root=$1/root release module file n=0

	release=$(basename "$root"/lib/modules/*-amd64) || return
	echo "$release" >"$dir/release"
	cp "$root/boot/vmlinuz-$release" "$dir/vmlinuz" || return

	rm -rf "$dir/modules"
	mkdir -p "$dir/modules"
	for module in $BOOT_MODULES; do
		chroot "$root" modprobe -S "$release" --show-depends "$module" || return
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$dir/modules.order"
	[ -s "$dir/modules.order" ] || return
	while read -r file; do
		n=$((n + 1))
		module=$(printf '%02d-%s' $n "$(basename "${file%%.ko*}").ko")
		case $file in
		*.xz) xz -dc "$root/$file" >"$dir/modules/$module" ;;
		*) cp "$root/$file" "$dir/modules/$module" ;;
		esac || return
	done <"$dir/modules.order"

	# Not compressed: the guest's processor is emulated, the disk is not
	mksquashfs "$root" "$dir/root.squashfs.new" -noappend -no-progress -quiet \
		-noI -noD -noF -noX -wildcards -e \
		'usr/src/*' 'usr/lib/gcc/*/*/cc1*' 'usr/libexec/gcc/*' 'boot/*' \
		'usr/bin/qemu-*' 'usr/share/qemu' 'usr/share/seabios' \
		'var/cache/apt/*' 'var/lib/apt/lists/*' 'proc/*' 'sys/*' 'dev/*' &&
		mv "$dir/root.squashfs.new" "$dir/root.squashfs"
}
