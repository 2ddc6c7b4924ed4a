# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel's control groups say about a container and about the host, cgroup v1 and v2.

Files and units: Linux Documentation/admin-guide/cgroup-v1/memory.rst, cgroup-v2.rst and accounting/psi.rst. The
collection's module_utils/cgroup.py gives the same figures to modules; this one is made for being called every few
seconds and for being loaded by a bare interpreter.
"""

from __future__ import annotations

import posix

from headroom_sampler.files import content, exists, number, pairs

# cgroup v1 says "no limit" with a number just below LLONG_MAX.
V1_UNLIMITED = 1 << 62

# memory.stat of cgroup v2 before Linux 5.18 has no "kernel" line; these add up to it.
V2_KERNEL_PARTS = (b"slab", b"kernel_stack", b"pagetables", b"sec_pagetables", b"percpu", b"sock", b"vmalloc")


def mounts(mountinfo: bytes, sys_root: str) -> dict[str, tuple[str, str]]:
    """Controller (or "unified") -> (mount point, the cgroup that is mounted there), from /proc/self/mountinfo."""
    found: dict[str, tuple[str, str]] = {}
    for line in mountinfo.decode("utf-8", "replace").split("\n"):
        left, _unused, right = line.partition(" - ")
        fields, kind = left.split(), right.partition(" ")[0]
        if len(fields) < 5 or not fields[4].startswith("/sys/fs/cgroup"):
            continue
        place = (sys_root + fields[4][len("/sys/fs/cgroup") :], fields[3])
        if kind == "cgroup2":
            found.setdefault("unified", place)
        elif kind == "cgroup":
            for option in right.split()[-1].split(","):
                found.setdefault(option, place)
    return found


def own_path(path: str, container: str) -> str | None:
    """The cgroup of the container itself: cut below the part that carries its id (a process may be in a child)."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if container in part:
            return "/".join(parts[: index + 1])
    return None


def folders(memberships: bytes, container: str, mounted: dict[str, tuple[str, str]]) -> tuple[int, dict[str, str]]:
    """(version of memory's cgroup, controller -> folder), from the text of /proc/<pid>/cgroup.

    The version is 0 where the process is not in a cgroup of the container as far as can be seen from here.
    """
    found = {}
    for line in memberships.decode("utf-8", "replace").split("\n"):
        _unused, _unused, rest = line.partition(":")
        controllers, _unused, path = rest.partition(":")
        path = own_path(path, container) or ""
        for name in controllers.split(",") if controllers else ["unified"]:
            if path and name in mounted:
                point, root = mounted[name]
                # A host that is a container itself sees its own cgroup mounted as if it were the root.
                below = path[len(root) :] if root != "/" and path.startswith(root + "/") else path
                found[name] = point + below
    if "memory" in found:
        return 1, found
    if "unified" in found:
        return 2, dict.fromkeys(("memory", "cpu", "cpuacct", "pids"), found["unified"])
    return 0, {}


def oom_kills_v1(folder: str) -> int:
    """Kernel OOM kills of a cgroup and of those below it: v1 counts each kill in the victim's own cgroup only."""
    kills = pairs(folder + "/memory.oom_control").get(b"oom_kill", 0)
    try:
        if posix.stat(folder).st_nlink > 2:
            kills += sum(oom_kills_v1(entry.path) for entry in posix.scandir(folder) if entry.is_dir())
    except OSError:
        pass  # The cgroup has gone away; so have its kills.
    return kills


def memory_v1(folder: str) -> dict[str, int | None]:
    """Bytes and counts of a memory cgroup and those below it; None where the kernel does not say."""
    stat = pairs(folder + "/memory.stat")
    usage = number(folder + "/memory.usage_in_bytes") or 0
    limit = number(folder + "/memory.limit_in_bytes")
    shared = stat.get(b"total_shmem", stat.get(b"shmem", 0))
    return {
        "working_set": max(0, usage - stat.get(b"total_inactive_file", 0)),
        "anon": stat.get(b"total_rss", 0),
        "shared": shared,
        "kernel": number(folder + "/memory.kmem.usage_in_bytes") or 0,
        "cache": max(0, stat.get(b"total_cache", 0) - shared),
        "swap": stat.get(b"total_swap", 0),
        "limit": None if limit is None or limit >= V1_UNLIMITED else limit,
        "peak": number(folder + "/memory.max_usage_in_bytes"),
        "oom_kills": oom_kills_v1(folder),
        "waiting_us": None,
    }


def memory_v2(folder: str) -> dict[str, int | None]:
    """The same from cgroup v2, and the microseconds that some task has waited for memory."""
    stat = pairs(folder + "/memory.stat")
    usage = number(folder + "/memory.current") or 0
    shared = stat.get(b"shmem", 0)
    return {
        "working_set": max(0, usage - stat.get(b"inactive_file", 0)),
        "anon": stat.get(b"anon", 0),
        "shared": shared,
        "kernel": stat.get(b"kernel", sum(stat.get(part, 0) for part in V2_KERNEL_PARTS)),
        "cache": max(0, stat.get(b"file", 0) - shared),
        "swap": number(folder + "/memory.swap.current") or 0,
        "limit": number(folder + "/memory.max"),
        "peak": number(folder + "/memory.peak"),
        "oom_kills": pairs(folder + "/memory.events").get(b"oom_kill", 0),
        "waiting_us": waiting(content(folder + "/memory.pressure")),
    }


def waiting(text: bytes) -> int | None:
    """Microseconds that some task has waited: `total` of the `some` line of a pressure file."""
    first = text.partition(b"\n")[0]
    total = first.rpartition(b"total=")[2]
    return int(total) if first.startswith(b"some ") and total.isdigit() else None


def activity(version: int, found: dict[str, str]) -> dict[str, int | None]:
    """Processor time and throttled time in microseconds, and the number of processes and threads."""
    stat = pairs(found.get("cpu", "") + "/cpu.stat")
    if version == 1:
        used = number(found.get("cpuacct", "") + "/cpuacct.usage")
        cpu, throttled = (None if used is None else used // 1000), stat.get(b"throttled_time", 0) // 1000
    else:
        cpu, throttled = stat.get(b"usage_usec"), stat.get(b"throttled_usec", 0)
    tasks = number(found["pids"] + "/pids.current") if "pids" in found else None
    return {"cpu_us": cpu, "throttled_us": throttled, "tasks": tasks}


def container(version: int, found: dict[str, str]) -> dict[str, int | None] | None:
    """All figures of one container, or None where its cgroup is not there (any more)."""
    if not version or not exists(found["memory"]):
        return None
    figures = memory_v1(found["memory"]) if version == 1 else memory_v2(found["memory"])
    figures.update(activity(version, found))
    return figures


def host(proc: str, mounted: dict[str, tuple[str, str]]) -> dict[str, int | None]:
    """Memory and swap in bytes, processor time in microseconds, waiting time in microseconds, kernel OOM kills.

    The root cgroup as seen from here carries a memory limit only where this "host" is itself a container; then its
    figures are the host's, and those of /proc are the whole machine's.
    """
    info = {}
    for line in content(proc + "/meminfo").split(b"\n"):
        name, _unused, value = line.partition(b":")
        if value:
            info[name] = int(value.split()[0]) * 1024
    total, free = info.get(b"MemTotal", 0), info.get(b"MemAvailable", info.get(b"MemFree", 0))
    figures: dict[str, int | None] = {
        "memory": total,
        "available": free,
        "swap": info.get(b"SwapTotal", 0),
        "swap_used": info.get(b"SwapTotal", 0) - info.get(b"SwapFree", 0),
    }
    root, version = root_group(mounted)
    if root.get("memory"):
        seen = memory_v1(root["memory"]) if version == 1 else memory_v2(root["memory"])
        limit = seen["limit"]
        if limit and limit < total:
            figures["memory"], figures["available"] = limit, max(0, limit - (seen["working_set"] or 0))
            figures["swap_used"] = seen["swap"]
    figures["cpu_us"] = activity(version, root)["cpu_us"] if root.get("cpuacct") else None
    figures["cpus"] = len(posix.sched_getaffinity(0))
    for kind in ("cpu", "memory", "io"):
        figures[kind + "_waiting_us"] = waiting(content(proc + "/pressure/" + kind))
    figures["oom_kills"] = pairs(proc + "/vmstat").get(b"oom_kill")
    return figures


def root_group(mounted: dict[str, tuple[str, str]]) -> tuple[dict[str, str], int]:
    """(controller -> folder of the root cgroup as seen from here, version)."""
    if "memory" in mounted:
        return {name: place[0] for name, place in mounted.items()}, 1
    point = mounted["unified"][0] if "unified" in mounted else ""
    return dict.fromkeys(("memory", "cpu", "cpuacct"), point) if point else {}, 2


def disk(path: str) -> dict[str, int]:
    """Bytes of the file system at `path`: all, and what an ordinary user's process may still write."""
    seen = posix.statvfs(path)
    return {"size": seen.f_blocks * seen.f_frsize, "available": seen.f_bavail * seen.f_frsize}
