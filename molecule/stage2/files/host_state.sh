#!/bin/sh
# What stage 2 can change on a host, as files, the kernel, systemd and the engine have it.
set -eu
for folder in /etc/docker /etc/sysctl.d /etc/tmpfiles.d /etc/systemd; do
    find "$folder" -type d -printf '%p %m\n'
    find "$folder" -type f -printf '%m ' -exec sha256sum {} \;
    find "$folder" -type l -printf '%p -> %l\n'
done | sort
cat /proc/swaps
for key in swappiness overcommit_memory dirty_background_bytes dirty_background_ratio dirty_bytes dirty_ratio \
    min_free_kbytes vfs_cache_pressure max_map_count; do
    echo "$key $(cat /proc/sys/vm/$key)"
done
cat /proc/sys/net/core/somaxconn /sys/kernel/mm/transparent_hugepage/enabled /sys/kernel/mm/transparent_hugepage/defrag
systemctl show --property=DefaultLimitNOFILE --property=DefaultLimitNOFILESoft --property=DefaultTasksMax
docker info --format '{{.LiveRestoreEnabled}} {{.LoggingDriver}}'
echo "docker-proxy processes: $(pgrep -c docker-proxy || true)"
