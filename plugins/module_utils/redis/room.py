# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much of a memory limit maxmemory may take, and what has to stay free beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.units import (
    format_redis_size,
    human_size,
    parse_percent,
    parse_redis_size,
)

MB = 1024**2

# A server that saves forks, and pages written meanwhile exist twice. Share of the limit to keep free for that and for
# the rest: 25 % is the default of Amazon ElastiCache (reserved-memory-percent), which sizes it for a save under load.
RESERVE_SHARE_SAVING = 0.25
# Without any save or append-only file there is no fork: buffers and fragmentation remain. 10 % is the default of Azure
# Cache for Redis (maxfragmentationmemory-reserved).
RESERVE_SHARE_NOT_SAVING = 0.10
# What an empty server occupies beside its data (measured: Redis 7.0 to 8.0 and Valkey 8.1 stand at 3 to 8 MB when
# empty).
BASE_BYTES = 3 * MB
# The copies seen at the last save grow with the data and the writes of a busier day: half again as much.
COW_MARGIN = 1.5
# Allocator overhead above the server's own count, used where the server's ratio says nothing yet (it is far off on an
# empty instance, whose base outweighs the data).
FRAGMENTATION_SHARE = 0.05
_RATIO_MEANS_SOMETHING_FROM = 32 * MB


@dataclass(frozen=True)
class Room:
    """Bytes. `limit` is what the server may occupy, `source` says whose limit that is.

    The reserve is the larger of the sum of its parts and its share of the limit.
    """

    limit: int
    source: str
    maxmemory: int
    reserve: int
    copy_on_write: int
    clients: int
    fragmentation: int
    share: float

    @property
    def fits(self) -> bool:
        """Whether maxmemory and its reserve stay within the limit."""
        return 0 < self.maxmemory <= self.limit - self.reserve

    @property
    def most(self) -> int:
        """The largest maxmemory that fits, in whole MB where that is more than one."""
        most = max(0, self.limit - self.reserve)
        return most - most % MB if most > MB else most

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a module's result."""
        return {**asdict(self), "fits": self.fits}


def saves(info: Mapping[str, Any], save: str | None) -> bool:
    """Whether the server forks to write its data. `save` is the parameter's value, None where it is not known."""
    if int(info.get("aof_enabled", 0) or 0):
        return True
    return bool(save.strip()) if save is not None else True


def wanted_bytes(maxmemory: str, limit: int) -> int:
    """Bytes meant by the wanted maxmemory: redis.conf's dialect, or a share of the limit in whole MB.

    Raises SizeError.
    """
    share = parse_percent(maxmemory)
    if share is None:
        return parse_redis_size(maxmemory)
    size = int(limit * share)
    return size - size % MB if size > 16 * MB else size


def spelled(size: str) -> str:
    """Bytes as they are written into a file: `100663296` is `96mb`."""
    return format_redis_size(int(size))


def room(maxmemory: int, limit: int, source: str, info: Mapping[str, Any], saving: bool) -> Room:
    """What has to stay free beside `maxmemory` bytes within `limit` bytes, from what INFO has seen so far."""
    seen = max(int(info.get("rdb_last_cow_size", 0) or 0), int(info.get("aof_last_cow_size", 0) or 0))
    cow = int(seen * COW_MARGIN) if saving else 0
    clients = int(info.get("mem_clients_normal", 0) or 0) + int(info.get("mem_clients_slaves", 0) or 0)
    clients += int(info.get("mem_not_counted_for_evict", 0) or 0)
    ratio = float(info.get("mem_fragmentation_ratio", 0) or 0)
    large = int(info.get("used_memory", 0) or 0) >= _RATIO_MEANS_SOMETHING_FROM
    fragmentation = int(maxmemory * (max(0.0, ratio - 1) if large and ratio > 0 else FRAGMENTATION_SHARE))
    share = RESERVE_SHARE_SAVING if saving else RESERVE_SHARE_NOT_SAVING
    reserve = max(int(limit * share), BASE_BYTES + cow + clients + fragmentation)
    return Room(limit, source, maxmemory, reserve, cow, clients, fragmentation, share)


def too_little(found: Room, saving: bool) -> str:
    """Why maxmemory does not fit, with the figures and the way out."""
    cause = "it saves to disk, and a save copies what is written meanwhile" if saving else "it does not save to disk"
    parts = (
        f"copies {human_size(found.copy_on_write)}, clients {human_size(found.clients)}, "
        f"fragmentation {human_size(found.fragmentation)}, at least {found.share:.0%} of the limit"
    )
    enough = max(found.maxmemory / (1 - found.share), found.maxmemory + found.reserve)
    return (
        f"maxmemory {human_size(found.maxmemory)} leaves too little of the {human_size(found.limit)} that "
        f"{found.source} allows: {human_size(found.reserve)} have to stay free beside it ({cause}; {parts}). Past the "
        "limit the kernel kills Redis before Redis evicts or refuses anything. "
        f"Set maxmemory to at most {human_size(found.most)}, or raise the limit to {human_size(enough)}."
    )


def below_use(maxmemory: int, used: int, policy: str) -> str:
    """What a maxmemory below the present use does under the policy."""
    bound, gap = human_size(maxmemory), human_size(used - maxmemory)
    if policy == "noeviction":
        return (
            f"maxmemory {bound} is below the {human_size(used)} in use now: with noeviction every write would fail at "
            f"once. Free {gap} first, or raise maxmemory to at least {human_size(used * 1.1)}."
        )
    return f"maxmemory {bound} is below the {human_size(used)} in use: about {gap} of keys will be evicted."
