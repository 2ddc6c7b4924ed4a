# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the audit says about the host: kernel settings, swap, disk, and the sum of all limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import HIGH, LOW, MEDIUM, Finding
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

Row = Mapping[str, Any]
Kernel = Mapping[str, "str | None"]

# The plan's value. The kernel's default is 60 (Documentation/admin-guide/sysctl/vm.rst).
SWAPPINESS = 10

# Docker stops starting containers, and Redis stops saving, on a full disk: a week is the time to act in without haste,
# a month the time to plan. Without a history, the share in use has to speak.
DISK_DAYS_HIGH, DISK_DAYS_MEDIUM = 7, 30
DISK_SHARE_HIGH, DISK_SHARE_MEDIUM = 0.95, 0.85


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else None


def swap_missing(host: Mapping[str, Any]) -> list[Finding]:
    """No swap at all."""
    if host["swap_total"]:
        return []
    return [
        Finding(
            "swap_missing",
            MEDIUM,
            "host",
            f"no swap beside {human_size(host['memory_total'])} of memory, {human_size(host['memory_available'])} "
            "available",
            "Without swap every page that a process once wrote stays in memory for ever, used or not, and a short "
            "peak ends with a kill.",
            "Add a swap file (stage 2).",
            5,
        )
    ]


def swappiness(host: Mapping[str, Any], kernel: Kernel) -> list[Finding]:
    """Higher than the plan wants it."""
    value = _number(kernel.get("vm.swappiness"))
    if value is None or value <= SWAPPINESS:
        return []
    without = "" if host["swap_total"] else " It has no effect until there is swap, so add that first."
    return [
        Finding(
            "swappiness",
            LOW,
            "host",
            f"vm.swappiness {value}",
            f"The kernel swaps the services' memory out to keep file cache; the plan wants {SWAPPINESS}.{without}",
            f"Set vm.swappiness to {SWAPPINESS} (stage 2).",
            5,
        )
    ]


def huge_pages(kernel: Kernel, redis: Sequence[Row]) -> list[Finding]:
    """Transparent huge pages for everyone."""
    if kernel.get("transparent_hugepage") != "always":
        return []
    also = "; while Redis saves, each write copies 2 MB instead of 4 KB" if redis else ""
    return [
        Finding(
            "huge_pages_always",
            MEDIUM if redis else LOW,
            "host",
            "transparent_hugepage/enabled is always",
            f"Small processes get 2 MB pages that they use little of{also}.",
            "Set it to madvise (stage 2).",
            5,
        )
    ]


def overcommit(kernel: Kernel, redis: Sequence[Row]) -> list[Finding]:
    """A kernel that may refuse the fork with which Redis saves (Redis' own start-up warning)."""
    value = kernel.get("vm.overcommit_memory")
    saving = [row for row in redis if row["saving"]]
    if value in (None, "1") or not saving:
        return []
    return [
        Finding(
            "overcommit_refuses_fork",
            MEDIUM,
            "host",
            f"vm.overcommit_memory {value}; {', '.join(sorted(row['service'] for row in saving))} saves to disk",
            "Redis forks to save, and the kernel may refuse that when memory is short: then Redis refuses writes.",
            "Set vm.overcommit_memory to 1 (stage 2).",
            5,
        )
    ]


def disk_filling(host: Mapping[str, Any], days: float | None) -> list[Finding]:
    """By the recorded trend where there is one, and by the share in use."""
    disk = host["disk"]
    usable = disk["used"] + disk["free"]
    share = disk["used"] / usable if usable else 0.0
    if share > DISK_SHARE_HIGH or (days is not None and days < DISK_DAYS_HIGH):
        severity = HIGH
    elif share > DISK_SHARE_MEDIUM or (days is not None and days < DISK_DAYS_MEDIUM):
        severity = MEDIUM
    else:
        return []
    left = f"; full in {days:.0f} days if it goes on so" if days is not None else ""
    return [
        Finding(
            "disk_filling",
            severity,
            str(disk["path"]),
            f"{human_size(disk['used'])} of {human_size(usable)} in use ({share:.0%}), {human_size(disk['free'])} "
            f"left{left}",
            "On a full disk Redis stops saving and refuses writes, uploads fail, and no container starts.",
            "Let old media files go (the media_cleanup role), cap the logs, remove unused images.",
            11,
        )
    ]


def killed_elsewhere(host: Mapping[str, Any], rows: Sequence[Row]) -> list[Finding]:
    """Kernel kills since boot that no container of the project accounts for any more."""
    counted = sum(row["oom_kills"] or 0 for row in rows)
    others = (host["oom_kills"] or 0) - counted
    if others <= 0:
        return []
    return [
        Finding(
            "oom_kills_on_host",
            MEDIUM,
            "host",
            f"processes killed since boot: {others}, beside {counted} in the containers as they run now",
            "The kernel killed them for lack of memory: in containers that were since started anew, in other "
            "containers, or outside of any.",
            "Look at `journalctl -k -g 'Killed process'`; keep the sum of all limits within the host (stage 1).",
            2,
        )
    ]


def beyond_budget(reason: str | None) -> list[Finding]:
    """Limits that together promise more than the host has."""
    if not reason:
        return []
    return [
        Finding(
            "limits_exceed_host",
            HIGH,
            "host",
            reason,
            "When all use what they may, the host is out of memory, and limits do not decide any more who is killed.",
            "Give smaller limits; the recommended ones tell where there is room (stage 1).",
            2,
        )
    ]
