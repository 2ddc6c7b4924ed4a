# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an audit has to know of a Redis in a container. Only commands that read are sent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container, Engine
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import endpoint as redis_endpoint
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import queues as redis_queues
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import reader as redis_reader
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import room as redis_room
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server

_PATIENCE = 5.0  # seconds to wait for a server that loads its data
_JOBS_LOOKED_AT = 500
_DAY = 86400
# What RQ keeps a failed job for where the job names nothing (rq/defaults.py, DEFAULT_FAILURE_TTL).
_RQ_DEFAULT_SECONDS = 31_536_000


class Keys(Protocol):
    """What is needed of a server to look at its jobs."""

    def run(self, *words: Any) -> Any: ...

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]: ...

    def keyspace(self) -> dict[int, int]: ...


def is_redis(container: Container) -> bool:
    """Whether the container's own command line starts a Redis or Valkey server."""
    line = redis_place.parse(container.argv, [])
    return line is not None and bool(line.words)


def read(engine: Engine, container: Container) -> dict[str, Any]:
    """Connect and look. Raises RedisError where the server cannot be reached."""
    around = redis_place.surroundings(container.data)
    inspected = redis_place.with_borrowed_network(container.data, engine.inspect)
    endpoints = redis_endpoint.endpoints(inspected, around, {})
    server = redis_reader.connect(endpoints, redis_endpoint.logins(container.data, around), _PATIENCE)
    try:
        return look(server, container, around.config_command or "CONFIG")
    finally:
        server.close()


def look(server: redis_reader.Reader, container: Container, config: str) -> dict[str, Any]:
    """The facts of a connected server. `config` is what its CONFIG is called."""
    contents: redis_queues.Contents | None = None
    rq = None
    # A user who may not look at the keys still sees INFO.
    with contextlib.suppress(redis_server.RedisError):
        contents = redis_queues.look(server)
        rq = retention(server, contents, time.time())
    place = redis_place.Place("", "", [server.endpoint], [], container=container)
    limit, source = redis_place.memory_limit(place, None, server.info)
    known = facts(server.info, server.config_get("save", config), contents, limit, source)
    return {"service": container.service or container.name, "rq": rq, **known}


def facts(
    info: Mapping[str, Any], save: str | None, contents: redis_queues.Contents | None, limit: int, source: str
) -> dict[str, Any]:
    """What the rules look at, from INFO, the `save` parameter, what the keys are, and the limit with its owner."""
    bound, saving = int(info.get("maxmemory", 0) or 0), redis_room.saves(info, save)
    room = redis_room.room(bound, limit, source, info, saving) if bound and limit else None
    policy = str(info.get("maxmemory_policy", ""))
    # Without a bound nothing is ever evicted.
    loses, _warnings = redis_queues.judge(policy, "auto", contents) if bound else (None, [])
    ours = sum(one.keys for one in contents.found) if contents else 0
    return {
        "policy": policy,
        "maxmemory": bound,
        "used": int(info.get("used_memory", 0) or 0),
        "limit": limit,
        "limit_source": source,
        "saving": saving,
        "no_room": redis_room.too_little(room, saving) if room and not room.fits else None,
        "purpose": contents.purpose if contents else None,
        "holds": contents.summary if contents else None,
        "other_keys": max(0, contents.looked_at - ours) if contents else 0,
        "policy_loses": loses,
    }


def retention(server: Keys, contents: redis_queues.Contents, now: float) -> dict[str, Any] | None:
    """How long RQ keeps failed jobs here: what jobs ask for, and what the registries of failed jobs have promised.

    None without RQ. A job hash without `failure_ttl` means RQ's default; `failed_kept_days` is None where no job was
    seen. Leaves database 0 selected.
    """
    databases = [one.database for one in contents.found if one.library.name == "RQ"]
    if not databases:
        return None
    looked_at = without = failed = 0
    longest = kept = 0.0
    for database in databases:
        server.run("SELECT", database)
        names = [str(name) for name in server.run("SMEMBERS", "rq:queues") or ()]
        queues = [name[len("rq:queue:") :] for name in names if name.startswith("rq:queue:")]
        for queue in queues:
            top = server.run("ZRANGE", f"rq:failed:{queue}", -1, -1, "WITHSCORES")
            failed += int(server.run("ZCARD", f"rq:failed:{queue}") or 0)
            kept = max([kept, *((float(score) - now) / _DAY for _job, score in _pairs(top))])
        asked = server.run_all([("HGET", job, "failure_ttl") for job in _jobs(server)])
        looked_at += len(asked)
        without += sum(1 for ttl in asked if ttl is None)
        longest = max([longest, *(_days(ttl) for ttl in asked if ttl is not None)])
    server.run("SELECT", 0)
    longest = max(longest, _RQ_DEFAULT_SECONDS / _DAY) if without else longest
    return {
        "failed_jobs": failed,
        "jobs_looked_at": looked_at,
        "jobs_without_ttl": without,
        "failed_kept_days": longest if looked_at else None,
        "longest_failure_days": kept,
    }


def _days(ttl: Any) -> float:
    """A job's own failure_ttl; -1 is RQ's word for ever."""
    try:
        return float("inf") if int(ttl) < 0 else int(ttl) / _DAY
    except (TypeError, ValueError):
        return 0.0


def _jobs(server: Keys) -> list[str]:
    """The keys of some jobs: a bounded SCAN, never KEYS."""
    found: list[str] = []
    cursor: Any = 0
    for _page in range(redis_queues.SCAN_KEYS // 1000):
        cursor, page = server.run("SCAN", cursor, "MATCH", "rq:job:*", "COUNT", 1000)
        found += [str(key) for key in page if str(key).count(":") == 2]  # rq:job:<id>:dependents is no job
        if int(cursor) == 0 or len(found) >= _JOBS_LOOKED_AT:
            break
    return found[:_JOBS_LOOKED_AT]


def _pairs(answer: Any) -> list[tuple[str, float]]:
    """Members with scores, whether the client has paired them up or not."""
    flat = [word for entry in answer or () for word in (entry if isinstance(entry, (tuple, list)) else [entry])]
    return [(str(member), float(score)) for member, score in zip(flat[0::2], flat[1::2])]
