# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The samples that the monitoring role's sampler has recorded, as plain data.

Files are text, and each says itself what its columns are (roles/monitoring/files/headroom_sampler/record.py writes
them). Three tiers overlap: where a finer one reaches back to, it is used, and before that the next coarser one. A line
stands for `seconds` of time, so whatever is counted over lines is weighted by them.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import unquote

# Where the sampler writes. Its role has no parameter for it, so readers need none either.
FOLDER = "/var/lib/headroom-sampler/samples"

CONTAINER, HOST, DISK, USERS, SERVICE = "c", "h", "d", "u", "s"

# Unit suffixes of columns -> factor to bytes or seconds.
_UNITS = {"_kib": 1024, "_ms": 0.001}

# Samples of users and of containers belong together when they fall into the same ten minutes: the coarsest tier's step.
_JOIN_SECONDS = 600

# A disk's trend out of less than this says nothing: nightly jobs come and go within a day.
_TREND_SECONDS = 24 * 3600


class HistoryError(Exception):
    """There are no recorded samples to be read."""


@dataclass(frozen=True)
class Sample:
    """One thing over `seconds` from `time` (seconds since the epoch) on.

    `values` are in bytes and seconds, under the columns' names without their units (`working_set`, `cpu`, `tasks`);
    what was not known is absent. `key` is `project/service/container` of a container, the mount point of a disk, the
    service's name.
    """

    time: int
    seconds: int
    kind: str
    key: str
    values: dict[str, float]


def parse(data: bytes) -> Iterator[tuple[Sample, dict[str, str]]]:
    """The samples of one file, each with the rules by which two values of a column become one. Damage is passed over.

    A last line without its newline is still being written, and is left for the next time.
    """
    step = start = 0
    columns: dict[str, list[tuple[str, str]]] = {}
    keys: dict[str, tuple[str, str]] = {}
    for line in data[: data.rfind(b"\n") + 1].decode("ascii", "replace").splitlines():
        words = line.split(" ")
        try:
            if words[0] == "#headroom-samples":
                facts = dict(word.split("=", 1) for word in words[2:])
                step, start = int(facts["step"]), int(facts["start"])
            elif line.startswith("#"):
                columns[words[0][1:]] = [
                    (name, rule) for name, _unused, rule in (word.partition(":") for word in words[1:])
                ]
            elif words[0] == "k":
                keys[words[1]] = (words[2], unquote(words[3]))
            elif len(words) - 3 == len(columns[words[0]]):
                values, rules = _values(columns[words[0]], words[3:])
                kind, key = keys[words[2]]
                if kind == words[0]:
                    yield Sample(start + int(words[1]), step, kind, key, values), rules
        except (ValueError, KeyError, IndexError):
            continue


def _values(columns: list[tuple[str, str]], words: list[str]) -> tuple[dict[str, float], dict[str, str]]:
    values, rules = {}, {}
    for (column, rule), word in zip(columns, words):
        name, factor = column, 1.0
        for suffix, times in _UNITS.items():
            if column.endswith(suffix):
                name, factor = column[: -len(suffix)], times
        if word != "-":
            values[name] = int(word) * factor
            rules[name] = rule
    return values, rules


def _fold(first: dict[str, float], second: dict[str, float], rules: dict[str, str]) -> dict[str, float]:
    folded = dict(first)
    for name, value in second.items():
        if name not in folded or rules.get(name) == "last":
            folded[name] = value
        else:
            folded[name] = folded[name] + value if rules.get(name) == "sum" else max(folded[name], value)
    return folded


def merge(parsed: Iterable[tuple[Sample, dict[str, str]]]) -> list[Sample]:
    """All samples in the order of time, each moment from the finest tier that reaches back to it, none counted twice.

    Lines of one thing for the same step (the clock was put back, the sampler started anew) are folded into one.
    """
    tiers: dict[int, dict[tuple[int, str, str], Sample]] = {}
    for one, rules in parsed:
        tier = tiers.setdefault(one.seconds, {})
        identity = (one.time, one.kind, one.key)
        old = tier.get(identity)
        values = one.values if old is None else _fold(old.values, one.values, rules)
        tier[identity] = Sample(one.time, one.seconds, one.kind, one.key, values)
    chosen: list[Sample] = []
    for step, tier in sorted(tiers.items()):
        # Files begin where a step of every tier begins, so a finer tier has all of such a step or nothing of it.
        covered = {one.time - one.time % step for one in chosen}
        chosen += [one for one in tier.values() if one.time not in covered]
    return sorted(chosen, key=lambda one: (one.time, one.kind, one.key))


def read(folder: str = FOLDER, since: float = 0, until: float | None = None) -> list[Sample]:
    """The recorded samples of a span of time (seconds since the epoch). Raises HistoryError where there are none."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".samples"))
    except OSError as error:
        raise HistoryError(
            f"No recorded samples in {folder} ({error.strerror}). The monitoring role records them; run the playbook "
            '"monitoring" and let it watch for some hours.'
        ) from error
    parsed: list[tuple[Sample, dict[str, str]]] = []
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as stream:
                parsed += parse(stream.read())
        except FileNotFoundError:
            continue  # Rotated out meanwhile.
    found = [one for one in merge(parsed) if one.time >= since and (until is None or one.time < until)]
    if not found:
        raise HistoryError(f"{folder} holds no samples of that time yet. Let the sampler watch for some hours.")
    return found


# What is made of samples


def percentile(weighted: Iterable[tuple[float, float]], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of the weight does not exceed; of (value, weight) pairs.

    Raises ValueError without any weight.
    """
    ordered = sorted(pair for pair in weighted if pair[1] > 0)
    if not ordered:
        raise ValueError("a percentile of nothing")
    wanted = share * sum(weight for _value, weight in ordered)
    seen = 0.0
    for value, weight in ordered:
        seen += weight
        if seen >= wanted - 1e-9:
            return value
    return ordered[-1][0]


@dataclass(frozen=True)
class Spread:
    """How one figure was distributed over time."""

    p50: float
    p90: float
    p95: float
    p99: float
    maximum: float


def spread(weighted: Iterable[tuple[float, float]]) -> Spread | None:
    """Percentiles of (value, seconds) pairs, or None without any."""
    pairs = list(weighted)
    if not any(weight > 0 for _value, weight in pairs):
        return None
    return Spread(
        percentile(pairs, 0.5),
        percentile(pairs, 0.9),
        percentile(pairs, 0.95),
        percentile(pairs, 0.99),
        max(value for value, _weight in pairs),
    )


@dataclass(frozen=True)
class ServiceHistory:
    """One Compose service over the recorded time. Memory in bytes, CPU in cores; of its largest container at a time.

    `in_use` is what the service cannot do without: the larger of working set and anonymous + shared + kernel memory.
    """

    samples: int
    seconds: int
    working_set: Spread
    in_use: Spread
    cpu: Spread | None
    peak: float | None
    throttled_share: float
    oom_kills: int
    restarts: int


def in_use(values: dict[str, float]) -> float:
    """Bytes that a container cannot do without: inactive file cache left out, whatever its name in the kernel."""
    return max(
        values.get("working_set", 0),
        values.get("anon", 0) + values.get("shared", 0) + values.get("kernel", 0),
    )


def services(samples: Iterable[Sample], project: str) -> dict[str, ServiceHistory]:
    """Service -> its history, for one Compose project."""
    found: dict[str, list[Sample]] = {}
    for one in samples:
        if one.kind == CONTAINER:
            owner, service, _name = [*one.key.split("/", 2), "", ""][:3]
            if owner == project and service:
                found.setdefault(service, []).append(one)
    measured = {name: lines for name, lines in found.items() if any("working_set" in one.values for one in lines)}
    return {service: _service(lines) for service, lines in sorted(measured.items())}


def _service(lines: list[Sample]) -> ServiceHistory:
    largest: dict[tuple[int, int], dict[str, float]] = {}
    for one in lines:
        if "working_set" not in one.values:
            continue  # A container that was killed before it could be measured.
        best = largest.setdefault((one.time, one.seconds), {"working_set": 0, "in_use": 0})
        best["working_set"] = max(best["working_set"], one.values.get("working_set", 0))
        best["in_use"] = max(best["in_use"], in_use(one.values))
    working_set = spread((best["working_set"], seconds) for (_time, seconds), best in largest.items())
    needed = spread((best["in_use"], seconds) for (_time, seconds), best in largest.items())
    if working_set is None or needed is None:
        raise ValueError("a service without a sample")
    spans = [one.values.get("span", 0) for one in lines]
    peaks = [one.values["peak"] for one in lines if "peak" in one.values]
    return ServiceHistory(
        samples=len(largest),
        seconds=sum(seconds for _time, seconds in largest),
        working_set=working_set,
        in_use=needed,
        cpu=spread(
            (one.values["cpu"] / span, span) for one, span in zip(lines, spans) if span > 0 and "cpu" in one.values
        ),
        peak=max(peaks, default=None),
        throttled_share=sum(one.values.get("throttled", 0) for one in lines) / (sum(spans) or 1),
        oom_kills=int(sum(one.values.get("oom_kills", 0) for one in lines)),
        restarts=int(sum(one.values.get("restarts", 0) for one in lines)),
    )


def users_and_memory(
    samples: Iterable[Sample], project: str, window: str = "5m"
) -> dict[str, list[tuple[float, float]]]:
    """Service -> (active users, bytes in use) for each ten minutes that know both; the material of a projection.

    Memory is summed over the service's containers, users are those of `window` (5m, 1h, 24h).
    """
    users: dict[int, float] = {}
    memory: dict[tuple[str, int], dict[str, float]] = {}
    for one in samples:
        slot = one.time - one.time % _JOIN_SECONDS
        if one.kind == USERS and f"users_{window}" in one.values:
            users[slot] = max(users.get(slot, 0), one.values[f"users_{window}"])
        elif one.kind == CONTAINER and one.key.startswith(project + "/"):
            service = one.key.split("/")[1]
            each = memory.setdefault((service, slot), {})
            each[one.key] = max(each.get(one.key, 0), in_use(one.values))
    found: dict[str, list[tuple[float, float]]] = {}
    for (service, slot), each in sorted(memory.items()):
        if slot in users:
            found.setdefault(service, []).append((users[slot], sum(each.values())))
    return found


def days_until_full(samples: Iterable[Sample], mountpoint: str) -> float | None:
    """Days until the file system is full if it goes on as recorded; None where it does not grow, or within a day.

    The slope is the median of the slopes between hourly medians half the recorded time apart, so that one large file
    that came or went does not make a trend.
    """
    hours: dict[int, list[float]] = {}
    size = used = 0.0
    for one in samples:
        if one.kind == DISK and one.key == mountpoint and "used" in one.values:
            hours.setdefault(one.time // 3600, []).append(one.values["used"])
            size, used = one.values.get("size", size), one.values["used"]
    points = [(hour * 3600.0, statistics.median(values)) for hour, values in sorted(hours.items())]
    if not points or points[-1][0] - points[0][0] < _TREND_SECONDS:
        return None
    half = len(points) // 2
    slopes = [(later[1] - earlier[1]) / (later[0] - earlier[0]) for earlier, later in zip(points, points[half:])]
    slope = statistics.median(slopes)
    return max(0.0, size - used) / slope / 86400 if slope > 0 else None
