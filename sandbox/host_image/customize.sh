#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Turns a fresh Debian root into the small host.
# usage: customize.sh ROOT KIND COMPOSE_DEB [KEY]
# KIND is container or vm; KEY is the file of a public key that may log in as root.
# mmdebstrap runs it; MMDEBSTRAP_APT_CONFIG lets the outer apt work on the root.
set -eu
root=$1
kind=$2
compose_deb=$3
key=${4:-}
here=$(dirname "$0")

# Packages that the collection's role `prerequisites` installs on a host: offered by a repository on the host itself,
# so that the role does its real work, fast and without a network.
later="python3-docker python3-redis python3-yaml"
repository=/usr/local/share/headroom-packages

install_compose() {
    cp "$compose_deb" "$root/tmp/compose.deb"
    chroot "$root" dpkg --install /tmp/compose.deb
    rm "$root/tmp/compose.deb"
}

offer_packages() {
    rm -f "$root"/var/cache/apt/archives/*.deb
    # shellcheck disable=SC2086
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get install --yes --quiet --download-only --no-install-recommends $later
    mkdir -p "$root$repository"
    mv "$root"/var/cache/apt/archives/*.deb "$root$repository/"
    for deb in "$root$repository"/*.deb; do
        dpkg-deb --field "$deb"
        echo "Filename: ./$(basename "$deb")"
        echo "Size: $(stat --format %s "$deb")"
        echo "SHA256: $(sha256sum "$deb" | cut -d ' ' -f 1)"
        echo
    done > "$root$repository/Packages"
    rm -rf "$root"/etc/apt/sources.list "$root"/etc/apt/sources.list.d/* "$root"/var/lib/apt/lists/*
    echo "deb [trusted=yes] file:$repository ./" > "$root/etc/apt/sources.list"
    chroot "$root" apt-get update --quiet
    rm -f "$root"/var/cache/apt/*.bin
}

silence_units() {
    for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \
        e2scrub_reap.service systemd-networkd-wait-online.service getty@tty1.service systemd-update-utmp.service; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
}

set_up_container() {
    install -m 755 "$here/init.sh" "$root/usr/local/sbin/headroom-init"
    # An inner engine that sees AppArmor switched on in the kernel must not try to load profiles into it.
    for unit in docker containerd; do
        mkdir -p "$root/etc/systemd/system/$unit.service.d"
        printf '[Service]\nEnvironment=container=docker\n' > "$root/etc/systemd/system/$unit.service.d/sandbox.conf"
    done
    for unit in systemd-udevd.service systemd-udev-trigger.service systemd-modules-load.service modprobe@.service \
        systemd-timesyncd.service dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
}

set_up_vm() {
    echo smallhost > "$root/etc/hostname"
    printf '127.0.0.1 localhost\n127.0.1.1 smallhost\n' > "$root/etc/hosts"
    echo '/dev/vda / ext4 defaults,noatime,noinit_itable 0 1' > "$root/etc/fstab"
    # The addresses of QEMU's user network.
    echo 'nameserver 10.0.2.3' > "$root/etc/resolv.conf"
    printf '[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' \
        > "$root/etc/systemd/network/10-nat.network"
    chroot "$root" systemctl enable systemd-networkd
    # Only the engine's own profile is needed, and the engine loads it by itself.
    ln -sf /dev/null "$root/etc/systemd/system/apparmor.service"
    make_initrd
}

# The drivers of the disk are modules in this kernel. Those and nothing else: an initrd of the usual kind takes longer to
# make than all the rest, and longer to unpack where the processor is emulated.
make_initrd() {
    version=$(ls "$root/lib/modules")
    tree=$root/tmp/initrd
    mkdir -p "$tree/bin" "$tree/dev" "$tree/modules" "$tree/root"
    cp "$root/bin/busybox" "$tree/bin/"
    number=10
    for module in virtio_pci virtio_blk crc32c_generic ext4; do
        chroot "$root" modprobe --set-version "$version" --show-depends "$module"
    done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' | while read -r file; do
        number=$((number + 1))
        cp "$root$file" "$tree/modules/$number-$(basename "$file")"
    done
    { echo "#!/bin/busybox sh"; cat "$here/initrd-init.sh"; } > "$tree/init"
    chmod 755 "$tree/init"
    chroot "$root" sh -c 'cd /tmp/initrd && find . | cpio --quiet --create --format newc' > "$root/boot/initrd"
    rm -rf "$tree"
    mv "$root/boot/vmlinuz-$version" "$root/boot/vmlinuz"
}

mkdir -p -m 700 "$root/root/.ssh"
if [ -n "$key" ]; then
    install -m 600 "$key" "$root/root/.ssh/authorized_keys"
fi
install_compose
silence_units
"set_up_$kind"
offer_packages
