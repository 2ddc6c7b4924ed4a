# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which memory allocators a running service could use, and which of those that were tried is worth keeping.

No allocator is better for every process (jemalloc halved one FastAPI service and made another larger), so each is tried
on the running service, and what wins clearly is kept.
"""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NONE, ARENAS, JEMALLOC, MIMALLOC = "none", "arenas", "jemalloc", "mimalloc"
ORDER = (ARENAS, JEMALLOC, MIMALLOC)
JEMALLOC_IN_CONTAINER = "/opt/headroom/site/lib/libjemalloc.so.2"

# A smaller gain is noise: Kubernetes' VPA ignores differences of less than a tenth too. A service that is too small for
# a tenth to be a megabyte is not worth a variable.
DEAD_BAND = 0.10
SMALLEST_GAIN = 1024 * 1024

# One arena, because Python's threads take turns anyway, and freed pages go back after a second.
JEMALLOC_CONF = "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0"
_GLIBC = re.compile(rb"GNU C Library [^\n]*?version (\d+)\.(\d+)")
_NEEDS = re.compile(rb"GLIBC_(\d+)\.(\d+)")
# What each sets, HEADROOM_ALLOCATOR beside it: by that an earlier trial's variables are known from the operator's.
_OWN = {ARENAS: ("MALLOC_ARENA_MAX",), JEMALLOC: ("LD_PRELOAD", "MALLOC_CONF"), MIMALLOC: ("PYTHONMALLOC",)}
_PYTHON = re.compile(r"python3\.(\d+)")

Version = "tuple[int, int]"
Variables = "list[dict[str, str]]"


@dataclass(frozen=True)
class Process:
    """A service's main process as the kernel shows it. `glibc` None: another C library, or none that is known.

    `sees_site`: the folder of the Python parts is mounted there.
    """

    glibc: tuple[int, int] | None
    python: int | None
    has_libstdcxx: bool
    sees_site: bool
    environment: Mapping[str, str]


def look(pid: int, proc: str = "/proc") -> Process:
    """Look at a process. Raises OSError where it has ended, or this user may not."""
    base = f"{proc}/{pid}"
    with open(f"{base}/maps", encoding="utf-8", errors="surrogateescape") as stream:
        mapped = sorted({line.split(None, 5)[5].strip() for line in stream if line.count("/")})
    with open(f"{base}/environ", "rb") as stream:
        pairs = [os.fsdecode(part).partition("=") for part in stream.read().split(b"\0")]
    libc = next((path for path in mapped if re.search(r"/libc(\.so\.6|-2\.\d+\.so)$", path)), None)
    programs = [os.readlink(f"{base}/exe"), *mapped]
    python = next((int(found[1]) for found in map(_PYTHON.search, programs) if found), None)
    root = f"{base}/root"
    folders = {os.path.dirname(libc)} if libc else set()
    return Process(
        glibc=_glibc(root + libc) if libc else None,
        python=python,
        has_libstdcxx=any(os.path.exists(f"{root}{folder}/libstdc++.so.6") for folder in folders | {"/usr/lib"})
        or any(os.path.exists(f"{root}/usr{folder}/libstdc++.so.6") for folder in folders),
        sees_site=os.path.isdir(f"{root}{os.path.dirname(os.path.dirname(JEMALLOC_IN_CONTAINER))}"),
        environment={name: value for name, _equals, value in pairs if name},
    )


def _glibc(path: str) -> tuple[int, int] | None:
    with open(path, "rb") as stream:
        found = _GLIBC.search(stream.read())
    return (int(found[1]), int(found[2])) if found else None


def glibc_needed(library: bytes) -> tuple[int, int]:
    """The newest version of glibc's symbols that a library asks for."""
    return max(((int(one), int(two)) for one, two in _NEEDS.findall(library)), default=(2, 0))


def candidates(process: Process, jemalloc_needs: tuple[int, int] | None) -> dict[str, list[dict[str, str]]]:
    """The variables of each allocator that the process could use, and of NONE: as it is without any of them.

    A variable that the operator has set is left alone, and with it the allocator. `jemalloc_needs`: see `glibc_needed`,
    None where there is no such library for this host's processor.
    """
    ours = process.environment.get("HEADROOM_ALLOCATOR", "")
    preload = [part for part in re.split(r"[ :]+", process.environment.get("LD_PRELOAD", "")) if part]
    theirs = [part for part in preload if part != JEMALLOC_IN_CONTAINER]

    def free(name: str, allocator: str) -> bool:
        return name not in process.environment or ours == allocator

    able: dict[str, dict[str, str]] = {}
    if process.glibc and free("MALLOC_ARENA_MAX", ARENAS):
        able[ARENAS] = {"MALLOC_ARENA_MAX": "1"}
    fits = process.glibc and jemalloc_needs and process.glibc >= jemalloc_needs
    if fits and process.has_libstdcxx and process.sees_site and free("MALLOC_CONF", JEMALLOC) and _no_malloc(theirs):
        able[JEMALLOC] = {"LD_PRELOAD": ":".join([JEMALLOC_IN_CONTAINER, *theirs]), "MALLOC_CONF": JEMALLOC_CONF}
    if process.python and process.python >= 13 and free("PYTHONMALLOC", MIMALLOC):
        able[MIMALLOC] = {"PYTHONMALLOC": "mimalloc"}
    names = {name for variables in able.values() for name in variables} | set(_OWN.get(ours, ()))
    back: dict[str, str | None] = dict.fromkeys(sorted(names))
    if theirs and "LD_PRELOAD" in back:
        back["LD_PRELOAD"] = ":".join(theirs)
    found = {NONE: _entries({**back, "HEADROOM_ALLOCATOR": None})}
    for allocator, variables in able.items():
        found[allocator] = _entries({**back, **variables, "HEADROOM_ALLOCATOR": allocator})
    return found


def _no_malloc(preloaded: Sequence[str]) -> bool:
    return not any("malloc" in os.path.basename(path) for path in preloaded)


def _entries(variables: Mapping[str, str | None]) -> list[dict[str, str]]:
    """As compose_service takes them: every one that another candidate sets is taken out, or as it was before."""
    return [
        {"name": name, "state": "absent"} if value is None else {"name": name, "value": value}
        for name, value in variables.items()
    ]


@dataclass(frozen=True)
class Choice:
    """`before` and `after` are working sets in bytes; `saved` is a share of `before`."""

    allocator: str
    before: int
    after: int

    @property
    def saved(self) -> float:
        """The share of memory that it saves."""
        return 1 - self.after / self.before if self.before else 0.0


def choose(windows: Sequence[Mapping[str, Any]], kept: Mapping[str, str]) -> dict[str, Choice]:
    """What each service should use. `windows`: `candidate`, `well`, `samples` (lists of service -> bytes), in order.

    `kept`: what an earlier trial has chosen, which stays unless another is better by the dead band. The smallest window
    without an allocator is what a candidate has to beat, so that a load which moves is not taken for a gain.
    """
    services = {name for window in windows for sample in window["samples"] for name in sample}
    return {name: _choose_one(name, windows, kept.get(name, NONE)) for name in sorted(services)}


def _median(service: str, window: Mapping[str, Any]) -> float | None:
    found = [sample[service] for sample in window["samples"] if service in sample]
    return statistics.median(found) if found else None


def _choose_one(service: str, windows: Sequence[Mapping[str, Any]], kept: str) -> Choice:
    base = [_median(service, window) for window in windows if window["candidate"] == NONE]
    before = min((value for value in base if value is not None), default=0.0)
    sizes: dict[str, float] = {}
    for window in windows:
        value = _median(service, window)
        if window["candidate"] != NONE and window["well"] and value is not None:
            sizes[window["candidate"]] = max(value, sizes.get(window["candidate"], 0.0))
    won = {name: size for name, size in sizes.items() if _is_worth(before, size)}
    if not won:
        return Choice(NONE, int(before), int(before))
    best = min(won, key=lambda name: won[name])
    if kept in won and not _is_worth(won[kept], won[best]):
        best = kept
    return Choice(best, int(before), int(won[best]))


def _is_worth(before: float, after: float) -> bool:
    return after <= before * (1 - DEAD_BAND) and before - after >= SMALLEST_GAIN
