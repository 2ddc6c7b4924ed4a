# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Gathering all facts of an audit from the engine, the kernel and Redis, and having them judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import facts as audit_facts
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import findings
from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import Finding
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container, Engine
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import facts as redis_facts
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server

Rows = Sequence[Mapping[str, Any]]


def host_budget(
    engine: Engine, containers: Sequence[Container], rows: Rows, host: Mapping[str, Any], reserve: str
) -> sizing.Budget:
    """What the limits of all running containers promise, other projects' too. Raises EngineError, units.SizeError.

    `rows` (`usage.collect` of `containers`) save a second look at the kernel's figures.
    """
    known = {row["id"]: row for row in rows}
    shares = [_share(row["name"], row["limit"], row["reservation"], row["working_set"]) for row in rows]
    for other in engine.containers(running_only=True):
        if other.id in known:
            continue
        limits = other.limits()
        try:
            use = other.memory()
        except cgroup.CgroupError:
            use = None
        shares.append(_share(other.name, limits["memory"], limits["memory_reservation"], use.working_set if use else 0))
    return sizing.budget(reserve, host["memory_total"], host["memory_used"], shares)


def _share(name: str, limit: Any, reservation: Any, used: Any) -> sizing.Share:
    return sizing.Share(name, limit and int(limit), reservation and int(reservation), used or 0)


def look(
    engine: Engine,
    containers: Sequence[Container],
    rows: Rows,
    host: Mapping[str, Any],
    budget: sizing.Budget,
    days_until_full: float | None,
    warnings: list[str],
) -> list[Finding]:
    """All findings. What could not be looked at is left out, and `warnings` says so. Raises EngineError."""
    images = audit_facts.Images(engine)
    merged = [{**row, **images.facts(container)} for container, row in zip(containers, rows)]
    found = findings.Facts(
        containers=merged,
        host=host,
        kernel=audit_facts.settings(),
        redis=_redis(engine, containers, warnings),
        over_budget=sizing.over_budget(budget),
        days_until_full=days_until_full,
    )
    return findings.audit(found)


def _redis(engine: Engine, containers: Sequence[Container], warnings: list[str]) -> list[dict[str, Any]]:
    servers = [container for container in containers if container.running and redis_facts.is_redis(container)]
    found = []
    for container in servers:
        try:
            found.append(redis_facts.read(engine, container))
        except redis_server.RedisError as error:
            warnings.append(f"{container.name} was not looked into: {error}")
    return found
