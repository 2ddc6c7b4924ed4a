# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print what the kernel enforces for containers: their limits from the cgroup files, none of the collection's code.

Usage: kernel_view.py CONTAINER... Output: {name: {memory, memory_swap, reservation, quota, pids, oom_kills, version}}
with bytes and counts as numbers and null for "no limit".
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

UNLIMITED = 1 << 62


def read(folder: str, name: str) -> str:
    with open(os.path.join(folder, name), encoding="ascii") as stream:
        return stream.read().strip()


def number(folder: str, name: str) -> int | None:
    text = read(folder, name).split()[0]
    if text in ("max", "-1"):
        return None
    return None if int(text) >= UNLIMITED else int(text)


def kills(folder: str, name: str) -> int:
    total = 0
    for path, _folders, files in os.walk(folder):
        if name in files:
            for line in read(path, name).splitlines():
                key, _space, value = line.partition(" ")
                total += int(value) if key == "oom_kill" else 0
    return total


def view(container: str) -> dict[str, int | None]:
    answer = subprocess.run(
        ["docker", "inspect", "-f", "{{.State.Pid}}", container], capture_output=True, text=True, check=True
    )
    pid = int(answer.stdout)
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as stream:
        groups = dict(line.strip().split(":", 2)[1:] for line in stream)
    if "memory" in groups:
        memory = "/sys/fs/cgroup/memory" + groups["memory"]
        cpu = next("/sys/fs/cgroup/" + key + path for key, path in groups.items() if "cpu" in key.split(","))
        return {
            "version": 1,
            "memory": number(memory, "memory.limit_in_bytes"),
            "memory_swap": number(memory, "memory.memsw.limit_in_bytes"),
            "reservation": number(memory, "memory.soft_limit_in_bytes"),
            "quota": number(cpu, "cpu.cfs_quota_us"),
            "pids": number("/sys/fs/cgroup/pids" + groups["pids"], "pids.max"),
            "oom_kills": kills(memory, "memory.oom_control"),
        }
    folder = "/sys/fs/cgroup" + groups[""]
    memory, swap = number(folder, "memory.max"), number(folder, "memory.swap.max")
    return {
        "version": 2,
        "memory": memory,
        "memory_swap": None if memory is None or swap is None else memory + swap,
        "reservation": number(folder, "memory.low") or None,
        "quota": number(folder, "cpu.max"),
        "pids": number(folder, "pids.max"),
        "oom_kills": int(dict(line.split() for line in read(folder, "memory.events").splitlines())["oom_kill"]),
    }


if __name__ == "__main__":
    print(json.dumps({name: view(name) for name in sys.argv[1:]}))
