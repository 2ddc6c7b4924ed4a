# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the audit says about Redis and the queues in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import HIGH, LOW, MEDIUM, Finding
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

Row = Mapping[str, Any]

# RQ's own default is a year (rq/defaults.py, DEFAULT_FAILURE_TTL); who has not looked at a failed job for a month
# will not look at it any more.
FAILED_JOBS_DAYS = 30


def maxmemory(rows: Sequence[Row]) -> list[Finding]:
    """A bound above what the container may have, too close to it, or none at all."""
    found = []
    for row in rows:
        limit, bound = row["limit"], row["maxmemory"]
        if not bound:
            found.append(_unbounded(row))
        elif limit and bound > limit:
            figure = f"maxmemory {human_size(bound)}, but {row['limit_source']} allows {human_size(limit)}"
            found.append(_past_limit(row, HIGH, figure))
        elif row["no_room"]:
            figure = f"maxmemory {human_size(bound)} of the {human_size(limit)} that {row['limit_source']} allows"
            found.append(_past_limit(row, MEDIUM, figure))
    return found


def _past_limit(row: Row, severity: str, figure: str) -> Finding:
    return Finding(
        "redis_maxmemory_above_limit",
        severity,
        row["service"],
        figure,
        row["no_room"] or "The kernel kills Redis before Redis evicts or refuses anything.",
        "Set maxmemory so that copies while saving, client buffers and fragmentation fit beside it (stage 1).",
        3,
    )


def _unbounded(row: Row) -> Finding:
    return Finding(
        "redis_maxmemory_missing",
        MEDIUM,
        row["service"],
        f"maxmemory 0 (no bound), {human_size(row['used'])} in use",
        "Redis takes memory until the kernel kills it, and what it had not saved is lost.",
        "Set maxmemory below the container's limit (stage 1).",
        3,
    )


def eviction_policy(rows: Sequence[Row]) -> list[Finding]:
    """A policy that may throw away what a queue needs."""
    return [
        Finding(
            "eviction_policy_loses_jobs",
            HIGH,
            row["service"],
            f"maxmemory-policy {row['policy']}; {row['holds'] or 'what it holds cannot be seen'}",
            row["policy_loses"],
            "Set noeviction on the instance that holds the queue (stage 1).",
            3,
        )
        for row in rows
        if row["policy_loses"]
    ]


def queue_and_cache(rows: Sequence[Row]) -> list[Finding]:
    """One instance for jobs and for other data: no eviction policy is right for both."""
    return [
        Finding(
            "queue_and_cache_in_one_redis",
            MEDIUM,
            row["service"],
            f"{row['holds']}; keys of other data: {row['other_keys']}",
            "A queue needs noeviction, a cache needs eviction: with one instance either jobs are evicted, or a full "
            "cache makes every new job fail.",
            "Run a second Redis for the cache, about 3 MB when empty (stage 3).",
            9,
        )
        for row in rows
        if row["purpose"] == "mixed"
    ]


def failed_jobs_kept(rows: Sequence[Row]) -> list[Finding]:
    """Jobs that RQ would keep for long when they fail, or keeps already."""
    found = []
    for row in rows:
        rq = row["rq"]
        if not rq:
            continue
        days = max(rq["failed_kept_days"] or 0, rq["longest_failure_days"] or 0)
        if days <= FAILED_JOBS_DAYS:
            continue
        span = f"for {days:.0f} days" if math.isfinite(days) else "for ever"
        found.append(
            Finding(
                "failed_jobs_kept",
                LOW,
                row["service"],
                f"failed jobs are kept {span}; {rq['failed_jobs']} are kept now, and "
                f"{rq['jobs_without_ttl']} of {rq['jobs_looked_at']} jobs looked at name no failure_ttl",
                "RQ keeps a failed job with its arguments for a year unless it is told otherwise: in a Redis that "
                "must not evict, they pile up.",
                "Give jobs a failure_ttl of days, and clear the registry of failed jobs (stage 2).",
                6,
            )
        )
    return found
