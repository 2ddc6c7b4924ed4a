#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# A base image out of this machine's Python and busybox: no registry is needed. $1: an empty folder, $2: the image.
set -eu
root=$1
python=$(readlink -f /usr/bin/python3)
library=/usr/lib/$(basename "$python")
mkdir -p "$root/bin" "$root/usr/bin" "$root/sbin" "$root/tmp" "$root/root" "$root/etc" "$root/usr/local$(echo "$library" | cut -c5-)/dist-packages"
cp /bin/busybox "$root/bin/busybox"
for name in sh cat chmod env mkdir printf rm sleep test true id; do ln -s busybox "$root/bin/$name"; done
cp "$python" "$root/usr/bin/python3"
mkdir -p "$root$library"
tar -C "$library" --exclude=test --exclude=__pycache__ --exclude='config-*' --exclude=idlelib -c . | tar -C "$root$library" -x
for file in "$python" "$library"/lib-dynload/*.so; do
    ldd "$file" | grep -o '/[^ ]*' || true
done | sort -u | while read -r file; do
    mkdir -p "$root$(dirname "$file")"
    cp -L "$file" "$root$file"
done
cp /sbin/ldconfig "$root/sbin/ldconfig"
# The original Dockerfiles call it; there is nothing to install here.
printf '#!/bin/sh\nexit 0\n' > "$root/bin/apt-get"
chmod 755 "$root/bin/apt-get"
tar -C "$root" -c . | docker import --change 'CMD ["sh"]' - "$2" > /dev/null
