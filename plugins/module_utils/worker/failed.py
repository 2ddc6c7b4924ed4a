# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A shorter life for RQ's failed jobs, those that failed before too. RQ itself fixes it when a job is queued."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.worker.jobs import Keys, ended_at, failed_queues

_PAGE = 500


@dataclass
class Pile:
    """What was found, and what became (or in check mode would become) of it. `queues`: failed jobs by queue."""

    queues: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    shortened: int = 0


def due(ended: float | None, kept_until: float, keep_seconds: float) -> float | None:
    """When the job is to go (seconds since the epoch), None where it goes early enough already, or never ended."""
    if ended is None:
        return None
    wanted = math.floor(ended + keep_seconds)
    return wanted if wanted < math.floor(kept_until) else None


def shorten(server: Keys, keep_seconds: float, now: float, check_mode: bool) -> Pile:
    """Go through the registries of failed jobs in all databases. Leaves database 0 selected. Raises RedisError."""
    pile = Pile()
    for database in sorted(server.keyspace()):
        server.run("SELECT", database)
        for registry in failed_queues(server):
            jobs = [(str(job), float(score)) for page in _pages(server, registry) for job, score in page]
            if jobs:
                name = registry[len("rq:failed:") :]
                pile.queues[name] = pile.queues.get(name, 0) + len(jobs)
                _shorten(server, registry, jobs, keep_seconds, now, check_mode, pile)
    server.run("SELECT", 0)
    return pile


def _pages(server: Keys, registry: str) -> Iterator[list[tuple[Any, Any]]]:
    start = 0
    while True:
        answer = server.run("ZRANGE", registry, start, start + _PAGE - 1, "WITHSCORES")
        # A client of RESP3 has paired members and scores up already.
        flat = [word for entry in answer or () for word in (entry if isinstance(entry, (tuple, list)) else [entry])]
        if not flat:
            return
        yield list(zip(flat[0::2], flat[1::2]))
        start += _PAGE


def _shorten(
    server: Keys,
    registry: str,
    jobs: list[tuple[str, float]],
    keep_seconds: float,
    now: float,
    check_mode: bool,
    pile: Pile,
) -> None:
    ends = server.run_all([("HGET", f"rq:job:{job}", "ended_at") for job, _score in jobs])
    commands: list[tuple[Any, ...]] = []
    for (job, score), end in zip(jobs, ends):
        wanted = due(ended_at(end), score, keep_seconds)
        if wanted is None:
            continue
        keys = (f"rq:job:{job}", f"rq:results:{job}")
        if wanted <= now:
            pile.dropped += 1
            commands += [("ZREM", registry, job), ("DEL", *keys, f"rq:job:{job}:dependents")]
        else:
            pile.shortened += 1
            commands += [("ZADD", registry, wanted, job), *(("EXPIREAT", key, int(wanted)) for key in keys)]
    if commands and not check_mode:
        failures = [answer for answer in server.run_all(commands) if isinstance(answer, Exception)]
        if failures:
            raise failures[0]
