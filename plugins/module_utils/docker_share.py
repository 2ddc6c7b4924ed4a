# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What running containers costs beside the containers: the engine's own processes and the journal's."""

from __future__ import annotations

import os
import re

# The kernel's name of a process (15 characters of it) -> what it is counted as.
_PROCESSES = {
    "dockerd": "dockerd",
    "containerd": "containerd",
    "containerd-shim": "shims",
    "docker-proxy": "proxies",
    "systemd-journal": "journald",
}
# A process whose cgroup carries a container's id: an engine within a container is that container's own use.
_IN_CONTAINER = re.compile(r"[/-][0-9a-f]{64}(\.scope)?(/|$)", re.MULTILINE)


def _text(*parts: str) -> str:
    try:
        with open(os.path.join(*parts), encoding="ascii", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def _bytes(folder: str) -> int:
    """The process's proportional share (shared pages divided among their users), or all of it where that is secret."""
    for name, label in (("smaps_rollup", "Pss"), ("status", "VmRSS")):
        match = re.search(rf"^{label}:\s+(\d+) kB", _text(folder, name), re.MULTILINE)
        if match:
            return int(match[1]) * 1024
    return 0


def measure(proc: str = "/proc") -> dict[str, int]:
    """Bytes of dockerd, containerd, its shims (one for each container), docker-proxy, journald, and their total."""
    found = dict.fromkeys(_PROCESSES.values(), 0)
    for name in os.listdir(proc):
        part = _PROCESSES.get(_text(proc, name, "comm").strip()) if name.isdigit() else None
        if part and not _IN_CONTAINER.search(_text(proc, name, "cgroup")):
            found[part] += _bytes(os.path.join(proc, name))
    return {**found, "total": sum(found.values())}
