# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files of a folder have to go: by age, and where the disk is too full the oldest ones. Plain data in and out."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

NANO = 1_000_000_000
_AGE = re.compile(r"(?:\d+[wdhms])+")
_SECONDS = {"w": 7 * 86400, "d": 86400, "h": 3600, "m": 60, "s": 1}

AGE, DISK = "age", "disk"


def parse_age(text: Any) -> int:
    """Seconds of an age: `14d`, `36h`, `1d12h`, a number of seconds without a unit. Raises ValueError."""
    written = str(text).strip().lower()
    if written.isdigit():
        return int(written)
    if not _AGE.fullmatch(written):
        raise ValueError(f"{text!r} is not an age: write for example 14d, 36h or 30m.")
    return sum(int(number) * _SECONDS[unit] for number, unit in re.findall(r"(\d+)([wdhms])", written))


def parse_share(text: Any) -> float:
    """A share of the disk, 0 to 1, of `85%` or `85`. Raises ValueError."""
    try:
        share = float(str(text).strip().rstrip("%").strip()) / 100
    except ValueError:
        share = math.nan
    if not 0 < share <= 1:
        raise ValueError(f"{text!r} is not a share of the disk: write for example 85%.")
    return share


@dataclass(frozen=True)
class File:
    """One name of a regular file. `size` is what it takes on the disk in bytes, times are nanoseconds since 1970.

    `folder` are the names from the root folder to the one that it lies in.
    """

    folder: tuple[str, ...]
    name: str
    device: int
    inode: int
    links: int
    size: int
    length: int
    modified: int
    changed: int

    @property
    def identity(self) -> tuple[int, int]:
        """What all names of one file share."""
        return self.device, self.inode

    @property
    def newest(self) -> int:
        """When it was last written, moved, renamed or linked. Reading does not count: a backup reads everything."""
        return max(self.modified, self.changed)

    @property
    def path(self) -> str:
        """The path below the root folder."""
        return "/".join((*self.folder, self.name))


@dataclass(frozen=True)
class Rule:
    """`max_age` seconds (None: age alone is no reason); `keep` seconds: what is newer never goes.

    Once the disk is fuller than `high`, the oldest go until it is at `low` (shares; None: however full it is).
    """

    max_age: int | None
    keep: int
    high: float | None = None
    low: float | None = None

    @property
    def aged(self) -> int | None:
        """Seconds after which a file goes by its age alone; None where age is no reason."""
        return None if self.max_age is None else max(self.max_age, self.keep)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Rule:
        """From a folder's options. Raises ValueError for what contradicts itself."""
        age, high, low = entry.get("max_age"), entry.get("disk_high"), entry.get("disk_low")
        rule = cls(
            max_age=None if age is None else parse_age(age),
            keep=parse_age(entry.get("keep_newer") or 0),
            high=None if high is None else parse_share(high),
            low=None if low is None else parse_share(low),
        )
        if rule.max_age is None and rule.high is None:
            raise ValueError(f"{entry['path']}: give max_age, disk_high or both.")
        if (rule.high is None) != (rule.low is None):
            raise ValueError(f"{entry['path']}: disk_high and disk_low belong together.")
        if rule.high is not None and rule.low is not None and rule.low >= rule.high:
            raise ValueError(f"{entry['path']}: disk_low ({low}) has to be below disk_high ({high}).")
        return rule


@dataclass(frozen=True)
class Disk:
    """A file system in bytes: what is used, and what ordinary processes may still write (as `df` counts)."""

    used: int
    available: int

    @property
    def share(self) -> float:
        """How full it is, 0 to 1."""
        total = self.used + self.available
        return self.used / total if total else 0.0

    def excess(self, low: float) -> int:
        """Bytes to free until it is at the share `low`."""
        return max(0, math.ceil(self.used - low * (self.used + self.available)))


def freed(files: Collection[File]) -> int:
    """Bytes that come free when these go: nothing for a file that has another name left."""
    return sum(names[0].size for names in _by_identity(files).values() if len(names) >= names[0].links)


def _by_identity(files: Collection[File]) -> dict[tuple[int, int], list[File]]:
    groups: dict[tuple[int, int], list[File]] = {}
    for file in files:
        groups.setdefault(file.identity, []).append(file)
    return groups


def chosen(
    files: Sequence[File], rule: Rule, now: int, disk: Disk, in_use: Collection[tuple[int, int]] = ()
) -> list[tuple[File, str]]:
    """The files that have to go, each with the reason AGE or DISK. `now` in nanoseconds; `in_use`: identities."""
    free = [file for file in files if now - file.newest > rule.keep * NANO and file.identity not in in_use]
    limit = None if rule.max_age is None else rule.max_age * NANO
    aged = [file for file in free if limit is not None and now - file.newest > limit]
    found = [(file, AGE) for file in aged]
    if rule.high is None or rule.low is None or disk.share < rule.high:
        return found
    missing = disk.excess(rule.low) - freed(aged)
    gone = {file.identity for file in aged}
    rest = [names for identity, names in _by_identity(free).items() if identity not in gone]
    for names in sorted(rest, key=lambda names: names[0].newest):
        if missing <= 0:
            break
        if len(names) < names[0].links:
            continue  # it has a name elsewhere, so that removing this one frees nothing
        found += [(file, DISK) for file in names]
        missing -= names[0].size
    return found
