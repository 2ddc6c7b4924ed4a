# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What containers and the host use now, as plain data for a module's result. Bytes and seconds throughout."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_share
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container


def log_size(container: Container) -> int | None:
    """Bytes of the container's log on disk, rotated files included; None where its driver keeps no file."""
    path = str(container.data.get("LogPath") or "")
    files = [path, *glob.glob(glob.escape(path) + ".*")] if path else []
    sizes = [os.path.getsize(name) for name in files if os.path.isfile(name)]
    return sum(sizes) if sizes else None


def describe(container: Container, group: cgroup.Group | None) -> dict[str, Any]:
    """One container: what the engine says of it and, where it runs, what the kernel does.

    `group` is None for a container that does not run. Raises cgroup.CgroupError where it ends meanwhile.
    """
    state = container.data["State"]
    found: dict[str, Any] = {
        "name": container.name,
        "id": container.id,
        "service": container.service,
        "running": container.running,
        "status": state.get("Status"),
        "started_at": state.get("StartedAt"),
        "health": container.health,
        "stop_timeout": container.stop_timeout,
        "restarts": container.restarts,
        "oom_killed": bool(state.get("OOMKilled")),
        "exit_code": None if container.running else state.get("ExitCode"),
        "log_size": log_size(container),
    }
    return {**found, **(_running(group) if group else _stopped(container))}


def _running(group: cgroup.Group) -> dict[str, Any]:
    memory, activity = asdict(cgroup.memory(group)), asdict(cgroup.activity(group))
    memory["memory_swap"] = memory.pop("swap_limit")
    extra = {
        "cpus": cgroup.cpu_limit(group),
        "pids_limit": cgroup.pids_limit(group),
        "pressure": cgroup.pressure(group),
    }
    return {**memory, **activity, **extra, "cpu_percent": None}


_NOTHING = (
    "usage",
    "working_set",
    "anon",
    "shared",
    "kernel",
    "cache",
    "swap",
    "peak",
    "oom_kills",
    "limit_hits",
    "cpu_seconds",
    "cpu_percent",
    "throttled_periods",
    "throttled_seconds",
    "processes",
    "tasks",
    "pressure",
)


def _stopped(container: Container) -> dict[str, Any]:
    limits = container.limits()
    return {
        **dict.fromkeys(_NOTHING),
        "limit": limits["memory"],
        "memory_swap": limits["memory_swap"],
        "reservation": limits["memory_reservation"],
        "cpus": limits["cpus"],
        "pids_limit": limits["pids"],
    }


def collect(containers: Sequence[Container], sample_seconds: float, warnings: list[str]) -> list[dict[str, Any]]:
    """All containers. With `sample_seconds` their processor use is measured over that time (100: one processor)."""
    groups: dict[str, cgroup.Group] = {}
    for entry in containers:
        if not entry.pid:
            continue
        try:
            groups[entry.id] = cgroup.find(entry.pid, entry.id)
        except cgroup.CgroupError as error:
            warnings.append(f"{entry.name} could not be measured: {error}")
    before, started = _cpu(groups), time.monotonic()
    if sample_seconds > 0 and groups:
        time.sleep(sample_seconds)
    found = []
    for entry in containers:
        try:
            figures = describe(entry, groups.get(entry.id))
        except cgroup.CgroupError:
            figures = describe(entry, None)
        found.append(figures)
    elapsed = time.monotonic() - started
    if sample_seconds > 0:
        for figures in found:
            if figures["cpu_seconds"] is not None:
                spent = figures["cpu_seconds"] - before[figures["id"]]
                figures["cpu_percent"] = round(100 * max(0.0, spent) / elapsed, 2)
    return found


def _cpu(groups: Mapping[str, cgroup.Group]) -> dict[str, float]:
    return {name: cgroup.activity(group).cpu_seconds for name, group in groups.items()}


def host(disk_path: str, proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> dict[str, Any]:
    """The host: memory, swap, the disk that `disk_path` is on, and all kernel OOM kills since it was started."""
    memory = cgroup.host_memory(proc, sys_root)
    disk = os.statvfs(disk_path)
    # Where the host is itself a container the kernel's counter is the whole machine's.
    root = cgroup.root_memory(proc, sys_root) if memory.source == "cgroup" else None
    return {
        "memory_total": memory.total,
        "memory_used": memory.used,
        "memory_available": memory.available,
        "memory_source": memory.source,
        "swap_total": memory.swap_total,
        "swap_used": memory.swap_used,
        "swap_counted": cgroup.counts_swap(proc, sys_root),
        "oom_kills": root.oom_kills if root else cgroup.host_oom_kills(proc),
        "pressure": cgroup.host_pressure(proc),
        "docker": docker_share.measure(proc),
        "cgroup_version": cgroup.version(proc, sys_root),
        "processors": len(os.sched_getaffinity(0)),
        "disk": {
            "path": disk_path,
            "total": disk.f_blocks * disk.f_frsize,
            "used": (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
            # What an ordinary process may still take: the file system keeps some blocks for root.
            "free": disk.f_bavail * disk.f_frsize,
        },
    }


def totals(containers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums over containers, and the names of those without a memory limit."""
    return {
        "working_set": sum(entry["working_set"] or 0 for entry in containers),
        "limits": sum(entry["limit"] or 0 for entry in containers),
        "reservations": sum(entry["reservation"] or 0 for entry in containers),
        "oom_kills": sum(entry["oom_kills"] or 0 for entry in containers),
        "unlimited": [entry["name"] for entry in containers if entry["running"] and not entry["limit"]],
    }
