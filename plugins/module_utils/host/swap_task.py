# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Making a swap file, having it used now and at each boot, and taking it away again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file, cgroup
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, swap
from ansible_collections.smallhost.headroom.plugins.module_utils.host.swap import Area, SwapError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

_UNIT_FOLDER = "/etc/systemd/system"
_WANTS = _UNIT_FOLDER + "/swap.target.wants"  # `systemctl enable` makes it
_BLOCK = 4 * 1024 * 1024


@dataclass
class Task:
    """One run. `owner` is the key in the journal."""

    params: Mapping[str, Any]
    owner: str
    journal: Journal
    check_mode: bool
    warnings: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        """The swap file that an earlier run has made, whatever `path` says now; else where one is to be made."""
        return next(iter(self.made), os.path.realpath(self.params["path"]))

    @property
    def unit_path(self) -> str:
        return os.path.join(_UNIT_FOLDER, swap.unit_name(self.path))

    @property
    def made(self) -> list[str]:
        """The swap files that earlier runs have made."""
        return [key[len("swap:") :] for key in self.journal.owned(self.owner) if key.startswith("swap:")]


def _areas() -> list[Area]:
    return swap.areas((atomic_file.read("/proc/swaps") or b"").decode("utf-8", "surrogateescape"))


def _in_use(path: str, found: list[Area]) -> Area | None:
    """The file's line in /proc/swaps, where links in its path are resolved."""
    real = os.path.realpath(path)
    return next((area for area in found if area.path == real), None)


def _container() -> str | None:
    try:
        environ = atomic_file.read("/proc/1/environ") or b""
    except OSError:
        environ = b""
    return swap.container_kind(environ, os.path.exists("/.dockerenv"))


def present(task: Task) -> dict[str, Any]:
    """See to it that there is swap. Raises SwapError, DaemonError, OSError."""
    found = _areas()
    path = task.path
    mine = _in_use(path, found) if task.made else None
    kind = _container()
    # A container sees the machine's swap in /proc/swaps, and none of it is its own to change.
    if kind:
        return _result(found, f"this host is a container ({kind}): swap belongs to the machine underneath.")
    if found and not mine:
        return _result(found, f"there is swap already: {', '.join(area.path for area in found)}.")
    size = swap.wanted_size(task.params["size"], cgroup.host_memory().total)
    unit = swap.unit_text(path).encode()
    complete = mine is not None and atomic_file.read(task.unit_path) == unit and _enabled(task)
    if complete:
        return _result(found, "")
    if not task.made:
        _require_new(path, size)
    if not task.check_mode:
        _make(task, size, unit, in_use=mine is not None)
    return {**_result(found if task.check_mode else _areas(), ""), "changed": True}


def _require_new(path: str, size: int) -> None:
    folder = os.path.dirname(path)
    if os.path.lexists(path):
        raise SwapError(f"{path} exists and is not ours. Nothing was changed. Give another `path`.")
    if not os.path.isdir("/run/systemd/system"):
        raise SwapError("systemd does not run here, and it is what brings swap back at boot. Nothing was changed.")
    disk = os.statvfs(folder)
    swap.require_room(size, disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize, folder)


def _enabled(task: Task) -> bool:
    link = os.path.join(_WANTS, os.path.basename(task.unit_path))
    return os.path.realpath(link) == os.path.realpath(task.unit_path) and os.path.islink(link)


def _make(task: Task, size: int, unit: bytes, in_use: bool) -> None:
    """Every step can be met half done: by a run after one that was killed, and by an undo."""
    path = task.path
    task.journal.remember(task.owner, f"swap:{path}", {"wants": os.path.isdir(_WANTS)})
    try:
        if not in_use:
            _allocate(path, size)
            daemon.run(["mkswap", path])
            _use(path, size)
        task.journal.write_file(task.owner, task.unit_path, unit, mode=0o644)
        daemon.systemctl("daemon-reload")
        daemon.systemctl("enable", os.path.basename(task.unit_path))
    except (OSError, daemon.DaemonError):
        with contextlib.suppress(OSError, daemon.DaemonError, SwapError):
            _remove(task, path)
        raise


def _allocate(path: str, size: int, with_zeros: bool = False) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if not with_zeros:
            os.posix_fallocate(handle, 0, size)
            return
        for start in range(0, size, _BLOCK):
            os.write(handle, b"\0" * min(_BLOCK, size - start))
        os.fsync(handle)
    finally:
        os.close(handle)


def _use(path: str, size: int) -> None:
    """A few file systems do not swap to space that was reserved and never written: it is written then."""
    try:
        daemon.run(["swapon", path])
    except daemon.DaemonError:
        _allocate(path, size, with_zeros=True)
        daemon.run(["mkswap", path])
        daemon.run(["swapon", path])


def absent(task: Task) -> dict[str, Any]:
    """Take away what an earlier run has made. Raises SwapError where memory could not take it back."""
    made, found = task.made, _areas()
    if not made:
        return _result(found, "")
    available = cgroup.host_memory().available
    for area in filter(None, (_in_use(path, found) for path in made)):
        swap.require_return(area, available)
        available -= area.used
    if not task.check_mode:
        for path in made:
            _remove(task, path)
    return {**_result(found if task.check_mode else _areas(), ""), "changed": True}


def _remove(task: Task, path: str) -> None:
    if _in_use(path, _areas()):
        daemon.run(["swapoff", path], seconds=600)
    unit = os.path.join(_UNIT_FOLDER, swap.unit_name(path))
    if os.path.realpath(unit) in task.journal.files(task.owner):
        with contextlib.suppress(daemon.DaemonError):
            daemon.systemctl("disable", os.path.basename(unit))
        task.journal.undo_file(task.owner, unit, lambda _data: None)
        daemon.systemctl("daemon-reload")
    atomic_file.remove(path)
    if not (task.journal.recall(task.owner, f"swap:{path}") or {}).get("wants"):
        with contextlib.suppress(OSError):
            os.rmdir(_WANTS)  # which fails where somebody else's link lies in it
    task.journal.forget(task.owner, f"swap:{path}")


def _result(found: list[Area], reason: str) -> dict[str, Any]:
    return {
        "changed": False,
        "areas": [{"path": area.path, "type": area.kind, "size": area.size, "used": area.used} for area in found],
        "total": sum(area.size for area in found),
        "used": sum(area.used for area in found),
        "reason": reason,
    }
