# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the kernel itself says about a container: memory, limits, processor time, and processes it had to kill.

Docker does not report a killed child process; the kernel's counters do. Both versions of cgroups are read; the roots
(`/proc`, `/sys/fs/cgroup`) can be given, so that tests run on recorded files. Files and units: Linux
Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

# cgroup v1 says "no limit" with a number rounded down from LLONG_MAX to a page; no machine has half of that.
_V1_UNLIMITED = 1 << 62

# memory.stat of cgroup v2 before Linux 5.18 has no "kernel" line; these add up to it.
_V2_KERNEL_PARTS = ("slab", "kernel_stack", "pagetables", "sec_pagetables", "percpu", "sock", "vmalloc")


class CgroupError(Exception):
    """The kernel's files for a process cannot be found from here."""


@dataclass(frozen=True)
class Memory:
    """Bytes, from the container's whole subtree; None where the kernel does not tell (or there is no limit)."""

    usage: int
    working_set: int
    anon: int
    shared: int
    kernel: int
    cache: int
    swap: int
    limit: int | None
    swap_limit: int | None  # memory and swap together, on both versions
    reservation: int | None
    peak: int | None
    oom_kills: int
    limit_hits: int


@dataclass(frozen=True)
class Activity:
    """Processor time and processes of a container's whole subtree, since it was started."""

    cpu_seconds: float
    throttled_periods: int
    throttled_seconds: float
    processes: int
    tasks: int | None


@dataclass(frozen=True)
class Group:
    """One container's cgroup: `version` 1 or 2 for memory, and the folder of each controller's files."""

    version: int
    folders: dict[str, str]

    @property
    def memory(self) -> str:
        """The folder with the memory files."""
        return self.folders["memory"]


# Reading single files


def read_text(path: str) -> str | None:
    """A file of the kernel's as text; None where there is none, or none that may be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return None


def _number(path: str) -> int | None:
    """The file's number; None for `max`, for cgroup v1's way of saying so, and where there is no such file."""
    text = (read_text(path) or "").strip()
    if not text.isdigit():
        return None
    number = int(text)
    return None if number >= _V1_UNLIMITED else number


def _pairs(path: str) -> dict[str, int]:
    found = {}
    for line in (read_text(path) or "").splitlines():
        name, _separator, value = line.partition(" ")
        if value.strip().isdigit():
            found[name] = int(value)
    return found


def _subtree(folder: str) -> Iterator[str]:
    """The folder and all cgroups below it. One that goes away meanwhile is passed over."""
    for path, _folders, _files in os.walk(folder):
        yield path


# Finding a container's files


def _mounts(proc: str, sys_root: str) -> dict[str, tuple[str, str]]:
    """Controller (or "unified") -> (mount point, the cgroup that is mounted there), from /proc/self/mountinfo."""
    found: dict[str, tuple[str, str]] = {}
    for line in (read_text(os.path.join(proc, "self", "mountinfo")) or "").splitlines():
        fields = line.split()
        if "-" not in fields:
            continue
        kind, options = fields[fields.index("-") + 1], fields[-1].split(",")
        root, point = fields[3], fields[4]
        if not point.startswith("/sys/fs/cgroup"):
            continue
        point = sys_root + point[len("/sys/fs/cgroup") :]
        if kind == "cgroup2":
            found.setdefault("unified", (point, root))
        elif kind == "cgroup":
            for option in options:
                found.setdefault(option, (point, root))
    return found


def _container_path(path: str, container: str) -> str | None:
    """The cgroup of the container itself: cut below the part that carries its id (a process may be in a child)."""
    parts = path.split("/")
    for index, part in enumerate(parts):
        if container in part:
            return "/".join(parts[: index + 1])
    return None


def _below(path: str, mounted: str) -> str:
    """`path` seen from the mount point when the cgroup `mounted` is what is mounted there."""
    if mounted in ("/", "") or mounted.startswith("/.."):
        return path
    return path[len(mounted) :] if path == mounted or path.startswith(mounted + "/") else path


def find(pid: int, container: str, proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> Group:
    """The cgroup of the container with this id, one of whose processes has this pid.

    Raises CgroupError where the process is not seen from here, or is not the container's: that is so when the engine
    is on another host, or when this runs in a container that only has the engine's socket.
    """
    text = read_text(os.path.join(proc, str(pid), "cgroup"))
    if text is None:
        raise CgroupError(f"process {pid} of container {container[:12]} is not visible on this host.")
    mounts = _mounts(proc, sys_root)
    folders: dict[str, str] = {}
    version = 2
    for line in text.splitlines():
        _id, controllers, path = line.split(":", 2)
        for name in controllers.split(",") if controllers else ["unified"]:
            own = _container_path(path, container)
            if own is None or name not in mounts:
                continue
            point, mounted = mounts[name]
            folders[name] = point + _below(own, mounted)
            if name == "memory":
                version = 1
    if version == 2 and "unified" in folders:
        folders = dict.fromkeys(("memory", "cpu", "cpuacct", "pids"), folders["unified"])
    if "memory" not in folders or not os.path.isdir(folders["memory"]):
        raise CgroupError(
            f"process {pid} is not in the memory cgroup of container {container[:12]} as seen from here. Run on the "
            "host of the engine itself, not in a container that shares its socket."
        )
    return Group(version, folders)


# What the files say


def memory(group: Group) -> Memory:
    """Memory figures of a container. Raises CgroupError where it has gone away meanwhile."""
    if not os.path.isdir(group.memory):
        raise CgroupError(f"the cgroup {group.memory} has gone away.")
    return _memory_v1(group.memory) if group.version == 1 else _memory_v2(group.memory)


def _memory_v1(folder: str) -> Memory:
    def value(name: str) -> int | None:
        return _number(os.path.join(folder, "memory." + name))

    stat = _pairs(os.path.join(folder, "memory.stat"))
    usage = value("usage_in_bytes") or 0
    with_swap = value("memsw.usage_in_bytes")
    shared = stat.get("total_shmem", stat.get("shmem", 0))
    # oom_kill counts in the killed process's own cgroup only on v1: the children's are added here.
    kills = sum(_pairs(os.path.join(path, "memory.oom_control")).get("oom_kill", 0) for path in _subtree(folder))
    return Memory(
        usage=usage,
        working_set=max(0, usage - stat.get("total_inactive_file", 0)),
        anon=stat.get("total_rss", 0),
        shared=shared,
        kernel=value("kmem.usage_in_bytes") or 0,
        cache=max(0, stat.get("total_cache", 0) - shared),
        swap=stat.get("total_swap", max(0, with_swap - usage) if with_swap is not None else 0),
        limit=value("limit_in_bytes"),
        swap_limit=value("memsw.limit_in_bytes"),
        reservation=value("soft_limit_in_bytes"),
        peak=value("max_usage_in_bytes"),
        oom_kills=kills,
        # Where memory and memory+swap have the same limit, the second is the one that is hit.
        # Newer kernels (seen on 6.18) no longer count here and say 0: oom_kills and the peak still tell.
        limit_hits=(value("failcnt") or 0) + (value("memsw.failcnt") or 0),
    )


def _memory_v2(folder: str) -> Memory:
    def value(name: str) -> int | None:
        return _number(os.path.join(folder, "memory." + name))

    stat = _pairs(os.path.join(folder, "memory.stat"))
    events = _pairs(os.path.join(folder, "memory.events"))
    usage, limit, swap_max = value("current") or 0, value("max"), value("swap.max")
    shared = stat.get("shmem", 0)
    return Memory(
        usage=usage,
        working_set=max(0, usage - stat.get("inactive_file", 0)),
        anon=stat.get("anon", 0),
        shared=shared,
        kernel=stat.get("kernel", sum(stat.get(part, 0) for part in _V2_KERNEL_PARTS)),
        cache=max(0, stat.get("file", 0) - shared),
        swap=value("swap.current") or 0,
        limit=limit,
        swap_limit=None if limit is None or swap_max is None else limit + swap_max,
        reservation=value("low") or None,
        peak=value("peak"),
        oom_kills=events.get("oom_kill", 0),
        limit_hits=events.get("max", 0),
    )


def cpu_limit(group: Group) -> float | None:
    """Processors' worth of time that the container may use, or None without a limit."""
    if group.version == 1:
        folder = group.folders.get("cpu", "")
        quota = read_text(os.path.join(folder, "cpu.cfs_quota_us"))
        period = _number(os.path.join(folder, "cpu.cfs_period_us"))
        share = int(quota) if quota and quota.strip().lstrip("-").isdigit() else -1
        return share / period if share > 0 and period else None
    words = (read_text(os.path.join(group.folders["cpu"], "cpu.max")) or "max").split()
    return int(words[0]) / int(words[1]) if len(words) == 2 and words[0].isdigit() else None


def pids_limit(group: Group) -> int | None:
    """How many processes and threads the container may have, or None without a limit."""
    return _number(os.path.join(group.folders.get("pids", ""), "pids.max"))


def activity(group: Group) -> Activity:
    """Processor time, throttling and processes of the container's subtree."""
    stat = _pairs(os.path.join(group.folders.get("cpu", ""), "cpu.stat"))
    if group.version == 1:
        used = (_number(os.path.join(group.folders.get("cpuacct", ""), "cpuacct.usage")) or 0) / 1e9
        throttled = stat.get("throttled_time", 0) / 1e9
    else:
        used, throttled = stat.get("usage_usec", 0) / 1e6, stat.get("throttled_usec", 0) / 1e6
    listed = (read_text(os.path.join(path, "cgroup.procs")) or "" for path in _subtree(group.memory))
    return Activity(
        cpu_seconds=used,
        throttled_periods=stat.get("nr_throttled", 0),
        throttled_seconds=throttled,
        processes=sum(len(text.split()) for text in listed),
        tasks=_number(os.path.join(group.folders.get("pids", ""), "pids.current")),
    )


def pressure(group: Group) -> dict[str, float] | None:
    """Memory pressure of a container (some/full, share of the last 10 s and 60 s in percent), where the kernel has it.

    Only cgroup v2 keeps it per container (Documentation/accounting/psi.rst); beside v1 too, where systemd mounts the
    unified hierarchy as well ("hybrid").
    """
    folder = group.memory if group.version == 2 else group.folders.get("unified")
    return parse_pressure(read_text(os.path.join(folder, "memory.pressure"))) if folder else None


def host_pressure(proc: str = "/proc") -> dict[str, float] | None:
    """The host's memory pressure, as `pressure`; None before Linux 4.20 and where the kernel was told not to keep it.

    Independent of the version of cgroups. Inside a container it is the whole machine's.
    """
    return parse_pressure(read_text(os.path.join(proc, "pressure", "memory")))


def parse_pressure(text: str | None) -> dict[str, float] | None:
    """`some avg10=0.00 avg60=... total=...` as {"some_avg10": 0.0, ...}; None where there is no such file."""
    found: dict[str, float] = {}
    for line in (text or "").splitlines():
        kind, *fields = line.split()
        for entry in fields:
            name, _separator, value = entry.partition("=")
            if name in ("avg10", "avg60"):
                found[f"{kind}_{name}"] = float(value)
    return found or None


# The host


@dataclass(frozen=True)
class HostMemory:
    """Bytes of the host as far as it may use them. `source` says where the total comes from."""

    total: int
    used: int
    available: int
    swap_total: int
    swap_used: int
    source: str


def host_memory(proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> HostMemory:
    """The host's memory: the machine's, or less where this "host" is itself a container with a limit.

    The root cgroup as seen from here carries a limit only in such a case (on a real machine the root has none), and
    /proc/meminfo may then still show the whole machine.
    """
    info = {
        name: int(value.split()[0]) * 1024
        for name, _separator, value in (
            line.partition(":") for line in (read_text(os.path.join(proc, "meminfo")) or "").splitlines()
        )
        if value.split()
    }
    total = info.get("MemTotal", 0)
    available = info.get("MemAvailable", info.get("MemFree", 0))
    swap_total = info.get("SwapTotal", 0)
    swap_used = swap_total - info.get("SwapFree", 0)
    root = root_memory(proc, sys_root)
    if root and root.limit and root.limit < total:
        swap_total = min(swap_total, max(0, (root.swap_limit or 1 << 62) - root.limit))
        return HostMemory(
            root.limit,
            root.working_set,
            max(0, root.limit - root.working_set),
            swap_total,
            min(root.swap, swap_total),
            "cgroup",
        )
    return HostMemory(total, max(0, total - available), available, swap_total, swap_used, "meminfo")


def root_memory(proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> Memory | None:
    """The memory figures of the root cgroup as seen from here, or None where it has none."""
    mounts = _mounts(proc, sys_root)
    if "memory" in mounts:
        return _memory_v1(mounts["memory"][0])
    if "unified" in mounts and os.path.exists(os.path.join(mounts["unified"][0], "memory.max")):
        return _memory_v2(mounts["unified"][0])
    return None


def host_oom_kills(proc: str = "/proc") -> int | None:
    """All processes that the kernel has killed for lack of memory since it was started; None before Linux 4.13."""
    return _pairs(os.path.join(proc, "vmstat")).get("oom_kill")


def version(proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> int:
    """1 or 2: which one holds memory on this host."""
    return 1 if "memory" in _mounts(proc, sys_root) else 2


def counts_swap(proc: str = "/proc", sys_root: str = "/sys/fs/cgroup") -> bool:
    """Whether the kernel keeps an account of swap, without which memory+swap cannot be limited (swapaccount=0)."""
    mounts = _mounts(proc, sys_root)
    if "memory" in mounts:
        return os.path.exists(os.path.join(mounts["memory"][0], "memory.memsw.limit_in_bytes"))
    # The root of cgroup v2 has no such file; a kernel that boots with v2 counts swap unless it is told not to.
    return "swapaccount=0" not in (read_text(os.path.join(proc, "cmdline")) or "")


# The two things that the engine cannot undo through its API


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as stream:
        stream.write(text)


def lift_cpu_limit(group: Group) -> None:
    """Take a CPU quota away. Raises OSError."""
    if group.version == 1:
        _write(os.path.join(group.folders["cpu"], "cpu.cfs_quota_us"), "-1")
    else:
        _write(os.path.join(group.folders["cpu"], "cpu.max"), "max")


def lift_reservation(group: Group) -> None:
    """Take a memory reservation away. Raises OSError."""
    if group.version == 1:
        _write(os.path.join(group.memory, "memory.soft_limit_in_bytes"), "-1")
    else:
        _write(os.path.join(group.memory, "memory.low"), "0")
