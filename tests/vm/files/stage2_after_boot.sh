#!/bin/sh
# What must hold after a boot, one answer a line, in the order in which stage2.yml asks.
set -eu
cat /proc/sys/vm/swappiness
awk 'NR > 1 { print $1, $3 }' /proc/swaps
docker info --format '{{.LiveRestoreEnabled}}'
pgrep -c docker-proxy || true
systemctl show --property=DefaultTasksMax --value
journalctl -b -o cat -u systemd-journald -g 'System Journal.*max' --no-pager -n 1
docker run --rm --entrypoint sh redis:7-alpine -c 'ulimit -Sn; ulimit -Hn'
