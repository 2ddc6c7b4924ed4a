# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What recorded samples say about each service: its limit, its reservation, and what it will use with more users."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import history, projection, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import Project

Rows = Sequence[Mapping[str, Any]]


def look_back(folder: str, project: Project, users: int, rows: Rows, budget: sizing.Budget) -> dict[str, Any]:
    """`history`, `recommendations` and `outlook` for a module's result; without samples the first says why."""
    try:
        samples = history.read(folder)
        missing = None
    except history.HistoryError as error:
        samples, missing = [], str(error)
    found = recommendations(samples, project.name, users, rows)
    return {
        "history": {
            "folder": folder,
            "samples": len(samples),
            "first": samples[0].time if samples else None,
            "last": samples[-1].time if samples else None,
            "missing": missing,
            "days_until_full": history.days_until_full(samples, mount_point(project.src)),
        },
        "recommendations": found,
        "outlook": outlook(found, budget, rows, samples, project.name),
    }


def mount_point(path: str) -> str:
    """Where the file system that holds the path is mounted, which is what disks are recorded under."""
    path = os.path.realpath(path)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


def recommendations(samples: Sequence[history.Sample], project: str, users: int, rows: Rows) -> list[dict[str, Any]]:
    """One dictionary for each service with samples. `rows`: the containers as they are now (`usage.collect`)."""
    points = history.users_and_memory(samples, project)
    peaks = _typical(samples, project)
    found = []
    for service, past in history.services(samples, project).items():
        mine = [row for row in rows if row["service"] == service and row["running"]]
        limit = max((row["limit"] or 0 for row in mine), default=0) or None
        advice = sizing.recommend(
            past.in_use.maximum, peaks[service], past.samples, past.seconds, past.oom_kills, limit
        )
        found.append(
            {
                "service": service,
                "containers": len(mine),
                "samples": past.samples,
                "seconds": past.seconds,
                "in_use": {name: int(value) for name, value in asdict(past.in_use).items()},
                "working_set": {name: int(value) for name, value in asdict(past.working_set).items()},
                "cpu": asdict(past.cpu) if past.cpu else None,
                "throttled_share": past.throttled_share,
                "oom_kills": past.oom_kills,
                "restarts": past.restarts,
                "current_limit": limit,
                **asdict(advice),
                "low_confidence": bool(advice.low_confidence),
                "reason": advice.low_confidence,
                "projection": _projection(points.get(service, []), users, past, max(1, len(mine))),
            }
        )
    return found


def _typical(samples: Sequence[history.Sample], project: str) -> dict[str, float]:
    """Service -> the percentile of its largest container's memory that a reservation covers, older samples fading."""
    newest = max((one.time for one in samples), default=0)
    largest: dict[str, dict[tuple[int, int], float]] = {}
    for one in samples:
        if one.kind == history.CONTAINER and one.key.startswith(project + "/") and "working_set" in one.values:
            times = largest.setdefault(one.key.split("/")[1], {})
            moment = (one.time, one.seconds)
            times[moment] = max(times.get(moment, 0.0), history.in_use(one.values))
    return {
        service: history.percentile(
            ((value, seconds * 0.5 ** ((newest - at) / sizing.HALF_LIFE)) for (at, seconds), value in times.items()),
            sizing.RESERVATION_PERCENTILE,
        )
        for service, times in largest.items()
    }


def _projection(
    points: Sequence[projection.Point], users: int, past: history.ServiceHistory, containers: int
) -> dict[str, Any] | None:
    line = projection.fit(points)
    if line is None:
        return None
    reason = projection.doubt(line, users, past.seconds, past.samples)
    used = max(line.at(users), past.in_use.maximum * containers)
    return {
        "users": users,
        "most_users_seen": line.most_users,
        "base": int(line.intercept),
        "per_user": int(line.slope),
        "in_use": int(used),
        "limit": sizing.limit_for(used / containers),
        "low_confidence": bool(reason),
        "reason": reason,
    }


def _limits_at(row: Mapping[str, Any], line: projection.Line | None, users: int) -> int:
    """What the limits of a service's containers take together with so many users."""
    containers = max(1, row["containers"])
    if line is None:
        return row["limit"] * containers
    return sizing.limit_for(max(line.at(users) / containers, row["in_use"]["maximum"])) * containers


def outlook(
    found: Sequence[Mapping[str, Any]],
    budget: sizing.Budget,
    rows: Rows,
    samples: Sequence[history.Sample],
    project: str,
) -> dict[str, Any]:
    """Whether the recommended limits, and those with more users, fit the host, and how many users it carries.

    Services without a projection keep their recommended limit.
    """
    listed = {row["service"] for row in found}
    now = sum(row["limit"] or 0 for row in rows if row["running"] and row["service"] in listed)
    room = budget.left + now
    recommended = sum(row["limit"] * max(1, row["containers"]) for row in found)
    later = sum((row["projection"] or row)["limit"] * max(1, row["containers"]) for row in found)
    lines = {service: projection.fit(each) for service, each in history.users_and_memory(samples, project).items()}

    def cost(users: int) -> int:
        return sum(_limits_at(row, lines.get(row["service"]), users) for row in found)

    carried = projection.carries(cost, room)
    doubtful = [row["service"] for row in found if not row["projection"] or row["projection"]["low_confidence"]]
    return {
        "room": room,
        "recommended": recommended,
        "recommended_fits": recommended <= room,
        "projected": later,
        "projected_fits": later <= room,
        "users_carried": carried,
        "low_confidence": bool(doubtful),
    }
