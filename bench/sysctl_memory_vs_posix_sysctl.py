# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty kernel settings that are as they should be: one task of ours against a loop of ansible.posix.sysctl.

Both see the same keys with the values they have. Nothing is written to the kernel, and the two drop-ins live in a
temporary folder. Prints both medians and the median ratio of the pairs; ends with 1 when ours is not at least TARGET
times faster. Needs root and, once, pip.
"""

from __future__ import annotations

import os
import sys
import tempfile

from rounds import enter, measure

TARGET = 10.0
ROUNDS = 5
KEYS = [
    "vm.swappiness",
    "vm.vfs_cache_pressure",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.page-cluster",
    "vm.dirty_expire_centisecs",
    "vm.dirty_writeback_centisecs",
    "vm.stat_interval",
    "vm.watermark_scale_factor",
    "vm.laptop_mode",
    "vm.oom_dump_tasks",
    "vm.panic_on_oom",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_tw_reuse",
    "kernel.panic",
    "kernel.pid_max",
]
OURS, THEIRS = "smallhost.headroom.sysctl_memory", "ansible.posix.sysctl"


def live_value(name: str) -> str:
    with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as stream:
        return " ".join(stream.read().split())


def tasks(work: str) -> tuple[dict, dict]:
    ours = {
        "settings": "{{ settings }}",
        "file": os.path.join(work, "ours.conf"),
        "state_dir": os.path.join(work, "state"),
    }
    theirs = {
        "name": "{{ item.name }}",
        "value": "{{ item.value }}",
        "sysctl_file": os.path.join(work, "theirs.conf"),
        "sysctl_set": True,
        "reload": False,
    }
    return {OURS: ours}, {THEIRS: theirs, "loop": "{{ settings }}"}


def main() -> None:
    before = {name: live_value(name) for name in KEYS}
    settings = [{"name": name, "value": value} for name, value in before.items()]
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work:
        seen = measure(work, *tasks(work), rounds=ROUNDS, needs=(), variables={"settings": settings})
    if before != {name: live_value(name) for name in KEYS}:
        sys.exit("A kernel setting changed during the run.")
    ours, theirs = seen.medians
    print(f"{len(KEYS)} settings, nothing to change, {ROUNDS} rounds in turns (medians):")
    print(f"  {OURS}: {ours:.2f} s (one task)")
    print(f"  {THEIRS}: {theirs:.2f} s (a loop of {len(KEYS)})")
    print(f"  {seen.ratio:.1f} times faster (median of the pairs; target: {TARGET:.0f})")
    if seen.ratio < TARGET:
        sys.exit(1)


if __name__ == "__main__":
    enter()
    main()
