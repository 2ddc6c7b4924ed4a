# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel, the engine and Redis of a host say of a Compose project, read without the collection's own code.

The file is sent to the host's Python as it is, so it uses the standard library only.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path("/sys/fs/cgroup")
V2 = (ROOT / "cgroup.controllers").exists()
FILES = {
    "usage": "memory.current" if V2 else "memory.usage_in_bytes",
    "limit": "memory.max" if V2 else "memory.limit_in_bytes",
    "limit_with_swap": "memory.swap.max" if V2 else "memory.memsw.limit_in_bytes",
    "reservation": "memory.low" if V2 else "memory.soft_limit_in_bytes",
}
KERNEL = (
    "proc/sys/vm/*",
    "proc/sys/net/core/*",
    "proc/sys/net/ipv4/tcp_*",
    "proc/sys/kernel/*_max",
    "sys/kernel/mm/transparent_hugepage/*",
)
TRIES = 3
UNLIMITED = 2**60  # version 1 writes "no limit" as the largest page-aligned number


def output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def folder(pid: int) -> Path:
    """Return the control group of a process as this host sees it."""
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        if V2 or "memory" in controllers.split(","):
            return (ROOT if V2 else ROOT / "memory") / path.lstrip("/")
    raise LookupError(f"process {pid} has no memory control group")


def number(path: Path) -> int | None:
    """Return the number in a control group's file; None for "no limit" and where the kernel has no such file."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return None
    return None if text == "max" or int(text) >= UNLIMITED else int(text)


def memory(group: Path) -> dict[str, Any]:
    """Return usage, working set (usage less inactive page cache), limits and kernel OOM kills, in bytes."""
    values: dict[str, Any] = {name: number(group / file) for name, file in FILES.items()}
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    inactive = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
    values["working_set"] = max(0, (values["usage"] or 0) - inactive)
    events = group / ("memory.events" if V2 else "memory.oom_control")
    counters = dict(line.split() for line in events.read_text().splitlines())
    values["oom_kills"] = int(counters.get("oom_kill", 0))
    return values


def asked(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the limits that the engine was asked for, in bytes, as `memory` does, of a container without a process."""
    names = {"limit": "Memory", "limit_with_swap": "MemorySwap", "reservation": "MemoryReservation"}
    limits = {name: settings[key] if settings[key] > 0 else None for name, key in names.items()}
    return {"usage": None, **limits, "working_set": 0, "oom_kills": 0}


def commands(container: str) -> list[str]:
    """Return the command line of every process in a container.

    The engine refuses where a process ends while it looks at them, so it is asked again.
    """
    for _unused in range(TRIES - 1):
        try:
            return _commands(container)
        except subprocess.CalledProcessError:
            time.sleep(0.5)
    return _commands(container)


def _commands(container: str) -> list[str]:
    return [line.strip() for line in output("docker", "top", container, "-eo", "pid,args").splitlines()[1:]]


def containers(project: str) -> list[dict[str, Any]]:
    """Return what runs in a project, a dictionary a container."""
    ids = output("docker", "ps", "-q", "--no-trunc", "--filter", f"label=com.docker.compose.project={project}").split()
    found = []
    for item in json.loads(output("docker", "inspect", *ids)) if ids else []:
        state = item["State"]
        # One that ends again and again has no process between two starts.
        kernel_says = memory(folder(state["Pid"])) if state["Pid"] else asked(item["HostConfig"])
        found.append(
            {
                "service": item["Config"]["Labels"]["com.docker.compose.service"],
                "id": item["Id"],
                "image": item["Image"],
                "started": state["StartedAt"],
                "restarts": item["RestartCount"],
                "health": (state.get("Health") or {}).get("Status", "none"),
                "processes": commands(item["Id"]) if state["Pid"] else [],
                **kernel_says,
            }
        )
    return sorted(found, key=lambda entry: entry["service"])


def redis_settings(container: str) -> dict[str, str]:
    """Return all parameters of CONFIG GET."""
    reply = output("docker", "exec", container, "redis-cli", "config", "get", "*").split("\n")
    return dict(zip(reply[::2], reply[1::2]))


def redis_counters(container: str) -> dict[str, str]:
    """Return the version, the memory in use and the counter of evicted keys."""
    found = {}
    for line in output("docker", "exec", container, "redis-cli", "info", "all").splitlines():
        name, _colon, value = line.partition(":")
        if name in ("evicted_keys", "used_memory", "redis_version"):
            found[name] = value
    return found


def host() -> dict[str, int]:
    """Return the host's memory in bytes: its control group's where it is a container itself, else the machine's.

    Page cache is not in use, as MemAvailable has it: an image that was built stays in it for hours.
    """
    lines = Path("/proc/meminfo").read_text().splitlines()
    meminfo = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
    top = ROOT if V2 else ROOT / "memory"
    limit = number(top / FILES["limit"])
    if limit is not None and limit < meminfo["MemTotal"]:
        stat = dict(line.split() for line in (top / "memory.stat").read_text().splitlines())
        cache = sum(int(stat.get(f"total_{name}", stat.get(name, 0))) for name in ("inactive_file", "active_file"))
        return {"total": limit, "used": max(0, (number(top / FILES["usage"]) or 0) - cache)}
    return {"total": meminfo["MemTotal"], "used": meminfo["MemTotal"] - meminfo["MemAvailable"]}


def kernel() -> dict[str, str]:
    """Return the host's settings of memory and network, huge pages, and swap in use; by the kernel's file."""
    found = {"/proc/swaps": " ".join(line.split()[0] for line in Path("/proc/swaps").read_text().splitlines()[1:])}
    for entry in KERNEL:
        for path in sorted(Path("/").glob(entry)):
            try:
                found[str(path)] = " ".join(path.read_text().split())
            except OSError:  # some can only be written
                continue
    return found


def probe(project: str) -> dict[str, Any]:
    running = containers(project)
    stores = [entry["id"] for entry in running if entry["service"] == "redis"]
    return {
        "host": host(),
        "containers": running,
        "redis": {**redis_settings(stores[0]), **redis_counters(stores[0])} if stores else {},
        "kernel": kernel(),
    }


if __name__ == "__main__":
    print(json.dumps(probe(sys.argv[1])))
