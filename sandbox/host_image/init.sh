#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
#
# First process of the container host: prepares what a machine would have, then becomes systemd.
# Environment: HEADROOM_KEY, the public key that may log in as root.
set -eu

# The engine mounts the cgroup tree read-only for a container without --privileged. systemd needs it writable, and the
# inner engine nests its containers in it: all of them together stay inside this host's memory limit.
for tree in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    if mountpoint --quiet "$tree"; then
        mount -o remount,rw,bind "$tree"
    fi
done

# Kernel settings belong to the machine underneath. Copies over the kernel's files take every write in here.
# (/proc/sys/net stays: the network settings are this container's own.)
shadow() {
    copy=/run/headroom-shadow$1
    mkdir -p "$copy"
    # Some files can only be written, and refuse to be copied.
    cp -r --preserve=mode --one-file-system "$1/." "$copy/" 2> /dev/null || true
    (cd "$1" && find . -xdev -type f) | while read -r file; do
        [ -e "$copy/$file" ] || : > "$copy/$file"
    done
    mount --bind "$copy" "$1"
}
# A random number is no setting, and a copy would always be the same one.
mkdir /run/headroom-random
mount --bind /proc/sys/kernel/random /run/headroom-random
mount -o remount,ro,bind /run/headroom-random
for tree in vm kernel fs dev debug abi; do
    if [ -d "/proc/sys/$tree" ]; then
        shadow "/proc/sys/$tree"
    fi
done
if [ -d /sys/kernel/mm/transparent_hugepage ]; then
    shadow /sys/kernel/mm/transparent_hugepage
fi
mount --bind /run/headroom-random /proc/sys/kernel/random
# A write of "b" to this file would restart the machine underneath.
if [ -e /proc/sysrq-trigger ]; then
    mount --bind /dev/null /proc/sysrq-trigger
fi

printf '%s\n' "${HEADROOM_KEY:-}" > /root/.ssh/authorized_keys
chmod 600 /root/.ssh/authorized_keys
unset HEADROOM_KEY
exec /lib/systemd/systemd
