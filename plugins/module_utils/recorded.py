# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is on record about a project, small enough to be shown: memory over time, response times, what was changed.

Recorded samples and journals in, plain JSON data out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import history
from ansible_collections.smallhost.headroom.plugins.module_utils.history import Sample


def bucket_seconds(samples: Sequence[Sample], points: int) -> int:
    """Seconds of one point of a curve of at most `points` points; a whole number of the coarsest samples' steps."""
    if not samples:
        return 60
    step = max(one.seconds for one in samples)
    span = max(one.time + one.seconds for one in samples) - min(one.time for one in samples)
    return max(1, -(-span // (step * points))) * step


def memory_over_time(samples: Iterable[Sample], project: str, points: int = 200) -> list[dict[str, Any]]:
    """For each service of the project a curve of what it could not do without: `points` of [time, bytes, limit].

    Times are the beginnings of `step` seconds, in seconds since the epoch. A service's containers are added up, and of
    the moments in a step the highest counts: a limit has to carry the peak. `limit` is None where there was none.
    """
    mine = [
        one
        for one in samples
        if one.kind == history.CONTAINER and one.key.startswith(project + "/") and "working_set" in one.values
    ]
    step = bucket_seconds(mine, points)
    moments: dict[str, dict[int, list[float]]] = {}
    for one in mine:
        sums = moments.setdefault(one.key.split("/")[1], {}).setdefault(one.time, [0.0, 0.0])
        sums[0] += history.in_use(one.values)
        sums[1] += one.values.get("limit", 0)
    curves = []
    for service, times in sorted(moments.items()):
        highest: dict[int, list[float]] = {}
        for time, (used, limit) in sorted(times.items()):
            best = highest.setdefault(time - time % step, [0.0, 0.0])
            best[0], best[1] = max(best[0], used), limit
        values = [[time, int(used), int(limit) or None] for time, (used, limit) in highest.items()]
        curves.append({"service": service, "step": step, "points": values})
    return curves


def spreads(samples: Iterable[Sample], project: str) -> list[dict[str, Any]]:
    """For each service the median, 95th percentile and maximum of its bytes in use, and how long it was watched."""
    return [
        {
            "service": service,
            "seconds": found.seconds,
            "p50": int(found.in_use.p50),
            "p95": int(found.in_use.p95),
            "maximum": int(found.in_use.maximum),
            "oom_kills": found.oom_kills,
            "restarts": found.restarts,
        }
        for service, found in history.services(samples, project).items()
    ]


def answers(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """For each probed service how often it was asked, how often that failed, and its mean and worst answer in ms."""
    found: dict[str, dict[str, float]] = {}
    for one in samples:
        if one.kind == history.SERVICE and one.values.get("probes"):
            sums = found.setdefault(one.key, {"probes": 0, "errors": 0, "total": 0, "worst": 0})
            sums["probes"] += one.values["probes"]
            sums["errors"] += one.values.get("probe_errors", 0)
            sums["total"] += one.values.get("probe", 0)
            sums["worst"] = max(sums["worst"], one.values.get("probe_max", 0))
    return [
        {
            "service": service,
            "probes": int(sums["probes"]),
            "errors": int(sums["errors"]),
            "mean_ms": round(sums["total"] * 1000 / sums["probes"], 1),
            "worst_ms": round(sums["worst"] * 1000, 1),
        }
        for service, sums in sorted(found.items())
    ]


def changes(stored: Iterable[tuple[str, Mapping[str, Any], Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What is changed now and can be undone, from (scope, values by owner, layers by file) of undo journals.

    Names only: what stood in a file before may hold a secret.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}

    def entry(scope: str, owner: str) -> dict[str, Any]:
        return found.setdefault((owner, scope), {"owner": owner, "scope": scope, "values": [], "files": []})

    for scope, values, files in stored:
        for owner, owned in values.items():
            entry(scope, owner)["values"] = sorted(owned)
        for path, layers in sorted(files.items()):
            for owner in sorted({layer["owner"] for layer in layers}):
                entry(scope, owner)["files"].append(path)
    return [found[key] for key in sorted(found)]
