# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the audit has to say about a stack: every rule, applied to plain facts. Nothing here reads the system.

A rule is silent where a fact is not known (None): an audit that guesses is not read twice. Facts of the containers and
their images come from `audit_facts`, of Redis from `redis_facts`, of the host from `usage` and `audit_facts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit import containers as findings_containers
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import host as findings_host
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import images as findings_images
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import redis as findings_redis
from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import Finding, ordered


@dataclass(frozen=True)
class Facts:
    """All that the rules look at.

    `containers`: rows of `usage.collect` with `audit_facts.container` merged in; `redis`: rows of `redis_facts.read`;
    `host`: `usage.host`; `kernel`: `audit_facts.kernel`; `over_budget`: `sizing.over_budget` of the limits in force;
    `days_until_full`: of the project's disk, None where no history tells or it does not grow.
    """

    containers: Sequence[Mapping[str, Any]]
    host: Mapping[str, Any]
    kernel: Mapping[str, str | None]
    redis: Sequence[Mapping[str, Any]] = field(default=())
    over_budget: str | None = None
    days_until_full: float | None = None


def audit(facts: Facts) -> list[Finding]:
    """Everything that is wrong, the gravest first; empty for a clean stack."""
    rows, host = facts.containers, facts.host
    found = [
        *findings_containers.limit_missing(rows),
        *findings_containers.swap_beyond_limit(rows, host),
        *findings_containers.killed_for_memory(rows),
        *findings_containers.log_unbounded(rows),
        *findings_containers.api_workers(rows),
        *findings_containers.max_jobs(rows),
        *findings_containers.recycling_without_restart(rows),
        *findings_images.health_command_missing(rows),
        *findings_images.compilers(rows),
        *findings_redis.maxmemory(facts.redis),
        *findings_redis.eviction_policy(facts.redis),
        *findings_redis.queue_and_cache(facts.redis),
        *findings_redis.failed_jobs_kept(facts.redis),
        *findings_host.swap_missing(host),
        *findings_host.swappiness(host, facts.kernel),
        *findings_host.huge_pages(facts.kernel, facts.redis),
        *findings_host.overcommit(facts.kernel, facts.redis),
        *findings_host.disk_filling(host, facts.days_until_full),
        *findings_host.killed_elsewhere(host, rows),
        *findings_host.beyond_budget(facts.over_budget),
    ]
    return ordered(found)
