# SPDX-License-Identifier: GPL-3.0-or-later
#
# First process of the virtual machine: loads the disk's drivers, mounts the root, becomes systemd.
b=/bin/busybox
$b mount -t devtmpfs dev /dev
for module in /modules/*; do
    $b insmod "$module"
done
for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -b /dev/vda ] && break
    $b sleep 0.2
done
$b mount -t ext4 -o noatime,noinit_itable /dev/vda /root
$b umount /dev
exec $b switch_root /root /sbin/init
