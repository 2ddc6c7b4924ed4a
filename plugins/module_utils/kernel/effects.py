# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a kernel memory setting does on this very machine, in a sentence with its figures.

Sources: Documentation/admin-guide/sysctl/vm.rst and net.rst, Documentation/admin-guide/mm/transhuge.rst and
Documentation/mm/overcommit-accounting.rst of Linux. What is not known for sure is not said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import PROC_SYS, THP_ENTRIES
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

# vm.rst: setting min_free_kbytes too high "will OOM your machine instantly"; below 1024 it "will become subtly broken,
# and prone to deadlock under high loads". 5 % is the kernel's own ceiling for what it picks for huge pages
# (mm/khugepaged.c: "don't ever allow to reserve more than 5% of the lowmem").
MIN_FREE_SHARE = 0.05
MIN_FREE_FLOOR_KB = 1024


@dataclass(frozen=True)
class Facts:
    """What the texts measure with. `memory` maps the names of /proc/meminfo to bytes; empty where unknown."""

    memory: Mapping[str, int] = field(default_factory=dict)
    cgroup_v1: bool = False
    live: Mapping[str, str] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return self.memory.get("MemTotal", 0)

    @property
    def swap(self) -> int | None:
        return self.memory.get("SwapTotal")


def parse_meminfo(text: str) -> dict[str, int]:
    """The lines of /proc/meminfo in bytes."""
    return {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def read_facts(root: str, live: Mapping[str, str]) -> Facts:
    """Measure under `root`. Files that are not there leave their part of the facts empty."""
    try:
        with open(os.path.join(root, "proc/meminfo"), encoding="ascii") as stream:
            memory = parse_meminfo(stream.read())
    except OSError:
        memory = {}
    v1 = os.path.exists(os.path.join(root, "sys/fs/cgroup/memory/memory.swappiness"))
    return Facts(memory, v1, live)


def _share(value: int, facts: Facts) -> str:
    return (
        f"{human_size(value)} ({value / facts.total:.1%} of {human_size(facts.total)} RAM)"
        if facts.total
        else (human_size(value))
    )


def _swappiness(number: int, facts: Facts) -> str:
    if facts.swap is None:
        return "acts only where there is swap"
    if facts.swap == 0:
        return "no swap: swappiness has no effect on anonymous memory"
    text = f"{human_size(facts.swap)} swap: "
    if number == 0:
        text += "anonymous memory is swapped only when free and file pages fall below the zone's high watermark"
    elif number < 100:
        text += f"reclaim weighs anonymous against file pages {number}:{200 - number}, so it drops page cache first"
    else:
        text += f"reclaim weighs anonymous against file pages {number}:{200 - number}, so it swaps at least as readily"
    if facts.cgroup_v1:
        text += "; cgroup v1: a container keeps the value of the moment it was started"
    return text


def _overcommit_memory(number: int, facts: Facts) -> str:
    if number == 0:
        # Since Linux 5.2 (commit 8c7829b04c52) it is compared with all RAM and swap, not with what is free.
        return "only a single allocation above RAM plus swap is refused (before Linux 5.2: above what looks free)"
    if number == 1:
        return "no allocation is refused, so a fork (Redis saving) succeeds; limits and the OOM killer still hold"
    if number != 2:
        return ""
    ratio = int(facts.live.get(PROC_SYS + "vm/overcommit_ratio", "50"))
    kbytes = int(facts.live.get(PROC_SYS + "vm/overcommit_kbytes", "0"))
    limit = (kbytes * 1024 or facts.total * ratio // 100) + (facts.swap or 0)
    committed = facts.memory.get("Committed_AS", 0)
    text = f"allocations beyond about {human_size(limit)} are refused; {human_size(committed)} are committed now"
    return text + (": NEW ALLOCATIONS FAIL AT ONCE" if committed > limit else "")


def _cache_pressure(number: int, facts: Facts) -> str:
    held = facts.memory.get("SReclaimable")
    size = f" ({human_size(held)} of reclaimable slab now)" if held is not None else ""
    if number == 0:
        return f"directory and inode caches{size} are never reclaimed: this can end in out of memory"
    if number == 100:
        return f"directory and inode caches{size} are reclaimed at the same rate as page cache and swap"
    more = "less" if number < 100 else "more"
    return f"directory and inode caches{size} are reclaimed {more} eagerly than page cache"


def _dirty_bytes(number: int, facts: Facts) -> str:
    share = _share(number, facts)
    return (
        f"a process that writes is made to write back itself from {share} of dirty pages on; switches dirty_ratio off"
    )


def _dirty_background_bytes(number: int, facts: Facts) -> str:
    share = _share(number, facts)
    text = f"write-back in the background starts at {share} of dirty pages; switches dirty_background_ratio off"
    ceiling = facts.live.get(PROC_SYS + "vm/dirty_bytes", "0")
    if ceiling.isdigit() and 0 < int(ceiling) <= number:
        text += f"; that is not below vm.dirty_bytes ({ceiling}), so the kernel uses half of that instead"
    return text


def _min_free(number: int, facts: Facts) -> str:
    text = f"{_share(number * 1024, facts)} kept free for allocations that cannot wait"
    if number < MIN_FREE_FLOOR_KB:
        return text + "; BELOW 1024 kB THE KERNEL IS PRONE TO DEADLOCK UNDER LOAD"
    if facts.total and number * 1024 > MIN_FREE_SHARE * facts.total:
        return text + f"; MORE THAN {MIN_FREE_SHARE:.0%} OF RAM: this can bring on the OOM killer by itself"
    if facts.live.get(THP_ENTRIES["enabled"], "never") != "never":
        text += "; with huge pages on, the kernel may raise it again when it starts khugepaged"
    return text


def _max_map_count(number: int, _facts: Facts) -> str:
    return f"a process may have {number} memory mappings; the ceiling itself takes no memory"


def _somaxconn(number: int, _facts: Facts) -> str:
    return (
        f"a listening socket's backlog is cut to {number} at most; counts in the host's network namespace, "
        "a container with its own starts from the kernel's default"
    )


def _page_cluster(number: int, facts: Facts) -> str:
    if facts.swap == 0:
        return "no swap: page-cluster has no effect"
    return f"{2**number} pages are read from swap at once"


def _overcommit_ratio(_number: int, facts: Facts) -> str:
    mode = facts.live.get(PROC_SYS + "vm/overcommit_memory")
    return "" if mode in (None, "2") else f"vm.overcommit_memory is {mode}: this counts only where it is 2"


def _watermark_scale(number: int, facts: Facts) -> str:
    return (
        f"the distance between the watermarks of kswapd is {_share(facts.total * number // 10000, facts)}"
        if (facts.total)
        else ""
    )


def _file_max(number: int, _facts: Facts) -> str:
    return f"all processes together may hold {number} open files"


_TEXTS: dict[str, Callable[[int, Facts], str]] = {
    "vm/swappiness": _swappiness,
    "vm/overcommit_memory": _overcommit_memory,
    "vm/overcommit_ratio": _overcommit_ratio,
    "vm/overcommit_kbytes": _overcommit_ratio,
    "vm/vfs_cache_pressure": _cache_pressure,
    "vm/dirty_bytes": _dirty_bytes,
    "vm/dirty_background_bytes": _dirty_background_bytes,
    "vm/min_free_kbytes": _min_free,
    "vm/max_map_count": _max_map_count,
    "vm/page-cluster": _page_cluster,
    "vm/watermark_scale_factor": _watermark_scale,
    "net/core/somaxconn": _somaxconn,
    "fs/file-max": _file_max,
}

_HUGEPAGES = {
    "always": "every large enough mapping gets huge pages: sparse heaps and copy-on-write (Redis saving) take more RAM",
    "madvise": "only programs that ask for huge pages (madvise) get them",
    "never": "no program gets huge pages",
}
_DEFRAG = {
    "always": "a page fault waits while memory is compacted for a huge page",
    "defer": "page faults never wait; kswapd and kcompactd make huge pages ready later",
    "defer+madvise": "only programs that ask for huge pages (madvise) may wait for compaction; others never do",
    "madvise": "only programs that ask for huge pages (madvise) may wait for compaction",
    "never": "no page fault waits for compaction",
}


def effect(entry: str, value: str, facts: Facts) -> str:
    """What the value does on this machine; empty where nothing sure can be said.

    Capital letters mark what the caller should warn about.
    """
    if entry == THP_ENTRIES["enabled"]:
        return _HUGEPAGES.get(value, "")
    if entry == THP_ENTRIES["defrag"]:
        off = facts.live.get(THP_ENTRIES["enabled"]) == "never"
        return "huge pages are off: defrag has no effect" if off else _DEFRAG.get(value, "")
    text = _TEXTS.get(entry[len(PROC_SYS) :])
    try:
        number = int(value, 0)
    except ValueError:
        return ""
    return text(number, facts) if text else ""


def alarming(text: str) -> bool:
    """Whether an effect is one to warn about."""
    return re.search(r"[A-Z]{3,} [A-Z]{3,} ", text) is not None
