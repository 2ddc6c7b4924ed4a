# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A shorter life for RQ's failed jobs, those that failed before too. RQ itself fixes it when a job is queued."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import RedisError
from ansible_collections.smallhost.headroom.plugins.module_utils.worker.jobs import Keys, failed_queues, time_of

_PAGE = 500
# What is over, of all that stands among the failed jobs: a job that was queued again under its id stands there, too.
_OVER = ("failed", "stopped")
# After the status, what says when it ended: where its worker was killed, nothing but its last heartbeat (rq 1.15 and
# 3.0, job.py). The score less RQ's own time to live would say so only once, as the score is what is changed here.
_FIELDS = ("status", "ended_at", "last_heartbeat", "started_at", "enqueued_at", "created_at")

# A job may be queued again at any moment: it is touched as it was looked at, or not at all. By a script, as RQ does it,
# and not by MULTI: a server that is full refuses whatever stands in there, and dropping jobs is what makes room.
# KEYS: the registry, the job, what else is the job's. ARGV: its id, when it is to go or 0 for now, values of _FIELDS.
_UNLESS_CHANGED = f"""
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
for index, value in ipairs(redis.call('HMGET', KEYS[2], '{"', '".join(_FIELDS)}')) do
  if (value or '') ~= ARGV[2 + index] then return 0 end
end
if ARGV[2] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('DEL', unpack(KEYS, 2))
else
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  for index = 2, #KEYS do redis.call('EXPIREAT', KEYS[index], ARGV[2]) end
end
return 1
"""


@dataclass
class Pile:
    """What was found, and what became (or in check mode would become) of it. `queues`: failed jobs by queue."""

    queues: dict[str, int] = field(default_factory=dict)
    dropped: int = 0
    shortened: int = 0


def due(status: str | None, times: Iterable[str | None], kept_until: float, keep_seconds: float) -> int | None:
    """When the job is to go (seconds since the epoch): so long after the first of its `times` that is known.

    None where it is not over, or goes early enough already. `kept_until` is its score: below 0 it is kept for ever.
    """
    ended = next((found for found in map(time_of, times) if found is not None), None)
    if status not in _OVER or ended is None:
        return None
    wanted = math.floor(ended + keep_seconds)
    return wanted if kept_until < 0 or wanted + 1 <= kept_until else None


def shorten(server: Keys, keep_seconds: float, now: float, check_mode: bool) -> Pile:
    """Go through the registries of failed jobs in all databases. Leaves database 0 selected. Raises RedisError."""
    pile = Pile()
    for database in sorted(server.keyspace()):
        server.run("SELECT", database)
        for registry in failed_queues(server):
            name = registry[len("rq:failed:") :]
            # All pages before the first job goes, which would let those of the next page move up.
            for page in list(_pages(server, registry)):
                jobs = [(str(job), float(score)) for job, score in page]
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
    found = server.run_all([("HMGET", f"rq:job:{job}", *_FIELDS) for job, _score in jobs])
    changes: list[tuple[int, tuple[Any, ...]]] = []
    for (job, score), values in zip(jobs, found):
        when = None if isinstance(values, Exception) else due(values[0], values[1:], score, keep_seconds)
        if when is not None:
            when = 0 if when <= now else when
            keys = (f"rq:job:{job}", f"rq:job:{job}:dependents", f"rq:job:{job}:dependencies", f"rq:results:{job}")
            seen = [value or "" for value in values]
            changes.append((when, ("EVAL", _UNLESS_CHANGED, 5, registry, *keys, job, when, *seen)))
    answers = [1] * len(changes) if check_mode else server.run_all([script for _when, script in changes])
    for (when, _script), answer in zip(changes, answers):
        if isinstance(answer, Exception):
            raise RedisError(f"a failed job could not be dropped or given a shorter life: {answer}") from answer
        if when:
            pile.shortened += answer
        else:
            pile.dropped += answer
