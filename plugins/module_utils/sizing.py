# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How large a limit has to be, and whether all limits fit the host. Every constant is named here, with its reason.

Plain numbers in (bytes), plain numbers out: nothing here reads the system.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, units

MIB = 1024 * 1024

# A limit below what is in use is refused by cgroup v1 and answered with the OOM killer by v2 (OCI runtime-spec,
# config-linux.md, "memory"). A tenth on top: page cache and allocations move by that much between two looks.
SAFETY = 1.1

# Changes of a fitted limit under a tenth are noise, not news (Kubernetes VPA ignores recommendations within 10 %).
DEAD_BAND = 0.10

# What runs outside of containers, and room for it to grow: KRR's factor on memory, and 100 MiB for the kernel's own
# needs and for the operator's shell (VPA adds the same amount after an OOM kill).
RESERVE_FACTOR = 1.15
RESERVE_FLOOR = 100 * MIB

# Reservations are what the kernel protects when memory is short; a fifth is left to move around in.
RESERVATION_SHARE = 0.8

# The engine accepts no smaller limit (moby daemon_unix.go, linuxMinMemory since 20.10).
ENGINE_MINIMUM = 6 * MIB


class DoesNotFit(Exception):
    """The wanted limits would kill a container or outgrow the host. Nothing has been changed."""


def in_use(use: cgroup.Memory) -> int:
    """Bytes that the container cannot do without now: the larger of working set and anonymous + shared + kernel."""
    return max(use.working_set, use.anon + use.shared + use.kernel)


def needed(used: int) -> int:
    """The smallest limit, in bytes and whole MiB, that is safe for a container that uses so many bytes now."""
    return math.ceil(round(used * SAFETY) / MIB) * MIB


@dataclass(frozen=True)
class Fit:
    """What becomes of one service's wanted limit. `limit` in bytes; `needed` None where nothing runs to be measured."""

    limit: int
    needed: int | None
    target_met: bool
    fitted: bool


def fit(
    target: int,
    need: int | None,
    current: int | None,
    mode: str,
    fitted: bool = False,
) -> Fit:
    """Decide a limit.

    `target` is what the operator wants, `need` what the container needs (see `needed`), `current` the limit that file
    and containers agree on (else None). `mode`: `refuse` raises DoesNotFit where more is needed than wanted, `raise`
    takes what is needed, `force` takes the target whatever happens. `fitted`: `current` was raised above this very
    target by an earlier run, so it only moves when the need has left the dead band around it; once the need has
    fallen below, the limit comes down (never below the target): a ratchet. Where nothing runs to be measured (stopped,
    or waiting to be restarted), that need still holds.
    """
    if need is None and mode == "raise" and fitted and current is not None:
        return Fit(current, None, False, True)
    if mode == "force" or need is None:
        return Fit(target, need, True, False)
    if current == target and (mode == "refuse" or need <= target * (1 + DEAD_BAND) + MIB):
        # It is in place already: nothing new to refuse, and no news to raise it for.
        return Fit(target, need, True, False)
    if mode == "refuse":
        if need > target:
            raise DoesNotFit
        return Fit(target, need, True, False)
    if fitted and current is not None and current > target:
        slack = current * DEAD_BAND + MIB
        if current - slack <= need <= current + slack:
            return Fit(current, need, False, True)
    limit = max(target, need)
    return Fit(limit, need, limit == target, limit > target)


# The host's budget


@dataclass(frozen=True)
class Share:
    """One running (or wanted) container's part of the host, in bytes; None: without a limit."""

    name: str
    limit: int | None
    reservation: int | None
    used: int


@dataclass(frozen=True)
class Budget:
    """What the host has and what has been promised, in bytes. `left` is what more limits may take."""

    host_total: int
    reserve: int
    limits: int
    reservations: int

    @property
    def left(self) -> int:
        """Bytes that further limits may take; negative where too much has been promised."""
        return self.host_total - self.reserve - self.limits

    @property
    def reservations_left(self) -> int:
        """Bytes that further reservations may take."""
        return int((self.host_total - self.reserve) * RESERVATION_SHARE) - self.reservations

    def as_dict(self) -> dict[str, int]:
        """For a module's return value."""
        return {
            "host_total": self.host_total,
            "reserve": self.reserve,
            "limits": self.limits,
            "reservations": self.reservations,
            "left": self.left,
            "reservations_left": self.reservations_left,
        }


def reserve(setting: str, host_total: int, host_used: int, limited_used: int) -> int:
    """Bytes of the host to keep for what no limit holds.

    `setting`: `auto`, a size, or a percentage of the host. `auto` is 1.15 x what is in use outside of limited
    containers (`host_used` less `limited_used`) and 100 MiB. Raises units.SizeError.
    """
    if setting == "auto":
        outside = max(0, host_used - limited_used)
        return math.ceil(outside * RESERVE_FACTOR) + RESERVE_FLOOR
    share = units.parse_percent(setting)
    return int(host_total * share) if share is not None else units.parse_compose_size(setting)


def budget(setting: str, host_total: int, host_used: int, shares: Iterable[Share]) -> Budget:
    """Add up the limits of all containers. Raises units.SizeError for a wrong `setting`."""
    listed = list(shares)
    limited = [share for share in listed if share.limit is not None]
    return Budget(
        host_total=host_total,
        reserve=reserve(setting, host_total, host_used, sum(share.used for share in limited)),
        limits=sum(share.limit or 0 for share in limited),
        reservations=sum(share.reservation or 0 for share in listed),
    )


def over_budget(planned: Budget) -> str | None:
    """Why the planned limits do not fit the host, with figures; None where they fit."""
    size = units.human_size
    room = planned.host_total - planned.reserve
    if planned.left < 0:
        return (
            f"the limits of all containers add up to {size(planned.limits)}, but the host has {size(room)} for them "
            f"({size(planned.host_total)} less a reserve of {size(planned.reserve)}): {size(-planned.left)} too much"
        )
    if planned.reservations_left < 0:
        return (
            f"the reservations of all containers add up to {size(planned.reservations)}, more than "
            f"{RESERVATION_SHARE:.0%} of the {size(room)} that the host has for containers"
        )
    return None


# From recorded use

# KRR's limit: the largest working set and 15 % on top, from at least 100 samples (robusta-dev/krr, strategies/
# simple.py: memory_buffer_percentage, points_required); taken as often as they are here, also from at least 3 hours.
LIMIT_FACTOR = 1.15
FEWEST_SAMPLES = 100
SHORTEST_SECONDS = 3 * 3600

# VPA's target: the 90th percentile of peaks and 15 % on top, an observation counting half after 24 hours (kubernetes/
# autoscaler, vertical-pod-autoscaler, recommender/logic and model/aggregations_config.go). Here it is the reservation.
RESERVATION_PERCENTILE = 0.9
RESERVATION_FACTOR = 1.15
HALF_LIFE = 24 * 3600

# After an OOM kill what was in use says too little: a fifth more, at least 100 MiB more (VPA, OOMBumpUpRatio and
# OOMMinBumpUp).
OOM_FACTOR = 1.2
OOM_FLOOR = 100 * MIB

# VPA's floor of 250 MB a pod would be most of a small host: an idle Python process with a client or two fits in 32 MiB.
SMALLEST_LIMIT = 32 * MIB


@dataclass(frozen=True)
class Recommendation:
    """Bytes in whole MiB. `keep`: the limit in force is within the dead band, so it is recommended as it is.

    `low_confidence` says why the samples do not carry it, and is empty where they do.
    """

    limit: int
    reservation: int
    keep: bool
    low_confidence: str


def too_few(samples: int, seconds: float) -> str:
    """Why so many samples over so long do not carry a recommendation; empty where they do."""
    if samples < FEWEST_SAMPLES or seconds < SHORTEST_SECONDS:
        return (
            f"{samples} samples over {seconds / 3600:.1f} hours, of at least {FEWEST_SAMPLES} over "
            f"{SHORTEST_SECONDS / 3600:.0f} hours"
        )
    return ""


def whole(size: float) -> int:
    """Rounded up to whole MiB."""
    return math.ceil(size / MIB) * MIB


def limit_for(largest: float) -> int:
    """The limit for a container that used so many bytes at most."""
    return max(SMALLEST_LIMIT, whole(largest * LIMIT_FACTOR))


def recommend(
    largest: float, typical: float, samples: int, seconds: float, oom_kills: int, limit: int | None
) -> Recommendation:
    """A service's limit and reservation, per container.

    `largest` bytes in use at most, `typical` the RESERVATION_PERCENTILE of them, `oom_kills` while it was recorded,
    `limit` the one in force (None: none).
    """
    wanted = limit_for(largest)
    if oom_kills:
        killed_at = max(largest, limit or 0)
        wanted = max(wanted, whole(max(killed_at * OOM_FACTOR, killed_at + OOM_FLOOR)))
    keep = not oom_kills and limit is not None and abs(wanted - limit) <= limit * DEAD_BAND
    if keep and limit is not None:
        wanted = limit
    reservation = min(wanted, whole(typical * RESERVATION_FACTOR))
    return Recommendation(wanted, reservation, keep, too_few(samples, seconds))
