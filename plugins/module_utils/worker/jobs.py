# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What RQ's own keys say about its jobs: how long they may take, and how long failed ones are kept.

Keys and fields: rq 3.0, job.py (`timeout`, `ended_at`, `failure_ttl`) and registry.py (a registry is a sorted set of
job ids by the time at which they are dropped).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, Protocol

from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container, Engine
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import endpoint as redis_endpoint
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import facts as redis_facts
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import reader as redis_reader
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import RedisError

_PATIENCE = 5.0
_PAGE = 1000
_MOST_JOBS = 20_000  # looked at; a longer queue's first jobs say as much about its timeouts


class Keys(Protocol):
    """What is needed of a connected server."""

    def run(self, *words: Any) -> Any: ...

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]: ...

    def keyspace(self) -> dict[int, int]: ...


def connect(engine: Engine, container: Container) -> redis_reader.Reader:
    """A connection to the Redis in a container. Raises RedisError."""
    around = redis_place.surroundings(container.data)
    inspected = redis_place.with_borrowed_network(container.data, engine.inspect)
    endpoints = redis_endpoint.endpoints(inspected, around, {})
    return redis_reader.connect(endpoints, redis_endpoint.logins(container.data, around), _PATIENCE)


def servers(containers: Sequence[Container]) -> list[Container]:
    """The containers that run a Redis."""
    return [entry for entry in containers if entry.running and redis_facts.is_redis(entry)]


def longest_timeout(engine: Engine, containers: Sequence[Container]) -> float | None:
    """Seconds that the most patient of RQ's known jobs may take; None where no job is known.

    A job without a limit counts as infinity.
    """
    found: list[float] = []
    for container in servers(containers):
        with contextlib.suppress(RedisError, OSError):
            server = connect(engine, container)
            try:
                found += timeouts(server)
            finally:
                server.close()
    return max(found, default=None)


def timeouts(server: Keys) -> list[float]:
    """The timeouts, in seconds, of all jobs in all databases. Leaves database 0 selected."""
    found: list[float] = []
    for database in sorted(server.keyspace()):
        server.run("SELECT", database)
        for page in _pages(server):
            answers = server.run_all([("HGET", key, "timeout") for key in page])
            found += [seconds for answer in answers for seconds in [_seconds(answer)] if seconds is not None]
    server.run("SELECT", 0)
    return found


def _pages(server: Keys) -> list[list[str]]:
    cursor: Any = 0
    pages: list[list[str]] = []
    while sum(map(len, pages)) < _MOST_JOBS:
        cursor, page = server.run("SCAN", cursor, "MATCH", "rq:job:*", "COUNT", _PAGE)
        # rq:job:<id>:dependents is no job.
        pages.append([str(key) for key in page if str(key).count(":") == 2])
        if int(cursor) == 0:
            break
    return pages


def _seconds(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return float("inf") if value < 0 else value


# Failed jobs


def time_of(text: Any) -> float | None:
    """RQ's time of day (UTC, with or without fractions) in seconds since the epoch; None where there is none."""
    for form in ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ"):
        with contextlib.suppress(TypeError, ValueError):
            return datetime.strptime(text, form).replace(tzinfo=timezone.utc).timestamp()
    return None


def failed_queues(server: Keys) -> list[str]:
    """The registries of failed jobs of all known queues."""
    names = [str(name) for name in server.run("SMEMBERS", "rq:queues") or ()]
    return [f"rq:failed:{name[len('rq:queue:') :]}" for name in sorted(names) if name.startswith("rq:queue:")]
