# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every rule of the audit: a clean stack with one fact changed has that one finding, and without the change none."""

from __future__ import annotations

import copy

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.audit import findings
from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import SEVERITIES

MIB = 1024 * 1024
GIB = 1024 * MIB

ROW = {
    "name": "deploy-bot-1",
    "service": "bot",
    "running": True,
    "health": "healthy",
    "restarts": 0,
    "oom_killed": False,
    "oom_kills": 0,
    "log_size": 5 * MIB,
    "working_set": 100 * MIB,
    "limit": 150 * MIB,
    "memory_swap": 150 * MIB,
    "argv": ["python", "app/bot/main.py"],
    "web_concurrency": None,
    "restart_policy": "unless-stopped",
    "log_driver": "json-file",
    "log_max_size": "10m",
    "image": "bot:1",
    "image_size": 300 * MIB,
    "health_missing": [],
    "compilers": [],
}
REDIS = {
    "service": "redis",
    "policy": "noeviction",
    "maxmemory": 96 * MIB,
    "used": 2 * MIB,
    "limit": 128 * MIB,
    "limit_source": "the container deploy-redis-1",
    "saving": True,
    "no_room": None,
    "purpose": "queue",
    "holds": "RQ (12 keys, 3 waiting jobs in database 0)",
    "other_keys": 0,
    "policy_loses": None,
    "rq": {
        "failed_jobs": 0,
        "jobs_looked_at": 3,
        "jobs_without_ttl": 0,
        "failed_kept_days": 7.0,
        "longest_failure_days": 0.0,
    },
}
CLEAN = {
    "containers": [
        ROW,
        {**ROW, "name": "deploy-api-1", "service": "api", "argv": ["uvicorn", "app:app", "--workers", "1"]},
        {**ROW, "name": "deploy-worker-1", "service": "worker", "argv": ["rq", "worker", "--max-jobs", "500", "q"]},
        {**ROW, "name": "deploy-redis-1", "service": "redis", "argv": ["redis-server", "--appendonly", "yes"]},
    ],
    "redis": [REDIS],
    "host": {
        "memory_total": 2900 * MIB,
        "memory_available": 2000 * MIB,
        "swap_total": 2 * GIB,
        "swap_counted": True,
        "oom_kills": 0,
        "disk": {"path": "/opt/bot", "used": 20 * GIB, "free": 39 * GIB},
    },
    "kernel": {"vm.swappiness": "10", "vm.overcommit_memory": "1", "transparent_hugepage": "madvise"},
}
BOT, API, WORKER, STORE = range(4)


def audit(change=lambda facts: None):
    facts = copy.deepcopy(CLEAN)
    change(facts)
    return findings.audit(findings.Facts(**facts))


def row(index, **values):
    return lambda facts: facts["containers"][index].update(values)


def redis(**values):
    return lambda facts: facts["redis"][0].update(values)


def rq(**values):
    return lambda facts: facts["redis"][0]["rq"].update(values)


def host(**values):
    return lambda facts: facts["host"].update(values)


def disk(used, free):
    return host(disk={"path": "/opt/bot", "used": used * GIB, "free": free * GIB})


def kernel(**values):
    return lambda facts: facts["kernel"].update({name.replace("__", "."): value for name, value in values.items()})


def fact(**values):
    return lambda facts: facts.update(values)


def test_nothing_is_said_about_a_clean_stack():
    assert audit() == []


FOUND = [
    (row(BOT, limit=None, memory_swap=None), "memory_limit_missing", "high", "bot", 2),
    (row(BOT, memory_swap=300 * MIB), "swap_beyond_limit", "medium", "bot", 2),
    (row(BOT, memory_swap=None), "swap_beyond_limit", "medium", "bot", 2),
    (row(API, log_max_size=None), "log_unbounded", "medium", "api", 5),
    (row(API, argv=["uvicorn", "app:app", "--workers", "2"]), "api_workers", "medium", "api", 1),
    (row(API, argv=["gunicorn", "-w", "4", "app:app"]), "api_workers", "medium", "api", 1),
    (row(API, argv=["uvicorn", "app:app"], web_concurrency="3"), "api_workers", "medium", "api", 1),
    (
        row(WORKER, argv=["rq", "worker", "--max-jobs", "2", "q"]),
        "max_jobs_taken_for_concurrency",
        "medium",
        "worker",
        6,
    ),
    (row(WORKER, restart_policy="no"), "recycling_without_restart_policy", "high", "worker", 6),
    # The worker ends with exit code 0, which on-failure does not restart.
    (row(WORKER, restart_policy="on-failure"), "recycling_without_restart_policy", "high", "worker", 6),
    (
        row(API, argv=["uvicorn", "app:app", "--limit-max-requests", "1000"], restart_policy="no"),
        "recycling_without_restart_policy",
        "high",
        "api",
        6,
    ),
    (row(BOT, health_missing=["pgrep"], health="unhealthy"), "health_command_missing", "high", "bot", 4),
    (row(BOT, compilers=["gcc"]), "compilers_in_image", "medium", "bot", 4),
    (redis(maxmemory=256 * MIB, no_room="Too much."), "redis_maxmemory_above_limit", "high", "redis", 3),
    (redis(maxmemory=120 * MIB, no_room="Too much."), "redis_maxmemory_above_limit", "medium", "redis", 3),
    (redis(maxmemory=0), "redis_maxmemory_missing", "medium", "redis", 3),
    (redis(policy="allkeys-lru", policy_loses="It evicts jobs."), "eviction_policy_loses_jobs", "high", "redis", 3),
    (redis(purpose="mixed", other_keys=40), "queue_and_cache_in_one_redis", "medium", "redis", 9),
    (rq(failed_kept_days=365.0, jobs_without_ttl=3), "failed_jobs_kept", "low", "redis", 6),
    (rq(longest_failure_days=364.0, failed_jobs=9), "failed_jobs_kept", "low", "redis", 6),
    (host(swap_total=0), "swap_missing", "medium", "host", 5),
    (kernel(vm__swappiness="60"), "swappiness", "low", "host", 5),
    (kernel(transparent_hugepage="always"), "huge_pages_always", "medium", "host", 5),
    (kernel(vm__overcommit_memory="0"), "overcommit_refuses_fork", "medium", "host", 5),
    (kernel(vm__overcommit_memory="2"), "overcommit_refuses_fork", "medium", "host", 5),
    (disk(57, 2), "disk_filling", "high", "/opt/bot", 11),
    (disk(53, 6), "disk_filling", "medium", "/opt/bot", 11),
    (fact(days_until_full=3.0), "disk_filling", "high", "/opt/bot", 11),
    (fact(days_until_full=20.0), "disk_filling", "medium", "/opt/bot", 11),
    (host(oom_kills=4), "oom_kills_on_host", "medium", "host", 2),
    (fact(over_budget="the limits add up to too much"), "limits_exceed_host", "high", "host", 2),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name", "severity", "subject", "item"), FOUND)
def test_each_fault_is_found_and_nothing_else(change, name, severity, subject, item):
    (found,) = audit(change)
    assert (found.id, found.severity, found.subject, found.item) == (name, severity, subject, item)
    assert found.figure and found.why.endswith(".") and found.remedy.endswith(".")


def test_a_kill_in_a_container_counts_for_the_container_and_not_for_the_host_again():
    def kill(facts):
        facts["containers"][WORKER]["oom_kills"] = 3
        facts["host"]["oom_kills"] = 3

    (found,) = audit(kill)
    assert (found.id, found.subject, found.severity) == ("oom_kills", "worker", "high")
    assert "was started: 3; limit 150.0 MB" in found.figure
    assert "Docker knows nothing of it" in found.why


NOT_FOUND = [
    row(BOT, running=False, limit=None),  # nothing runs that could take memory
    row(BOT, memory_swap=200 * MIB),  # somebody chose this much
    fact(containers=[{**ROW, "memory_swap": None}], host={**CLEAN["host"], "swap_counted": False}),
    row(BOT, log_driver="local", log_max_size=None),
    row(BOT, log_driver="journald", log_max_size=None),
    row(API, argv=["uvicorn", "app:app"], web_concurrency="1"),
    row(API, argv=["uvicorn", "app:app", "--workers", "1"], web_concurrency="4"),  # the flag wins
    row(API, argv=["gunicorn", "app:app", "--max-requests", "1000"], restart_policy="no"),  # restarts by itself
    row(WORKER, argv=["rq", "worker", "q"], restart_policy="no"),
    row(WORKER, argv=["other", "--max-jobs", "2"]),
    redis(rq=None),
    redis(purpose="cache", policy="allkeys-lfu"),
    rq(failed_kept_days=None, jobs_looked_at=0),
    kernel(vm__swappiness="1"),
    kernel(vm__swappiness=None, vm__overcommit_memory=None, transparent_hugepage=None),
    fact(redis=[], kernel={"vm.swappiness": "10", "vm.overcommit_memory": "0", "transparent_hugepage": "never"}),
    disk(40, 19),
    fact(days_until_full=90.0),
    host(oom_kills=None),  # a kernel that does not count
]


@pytest.mark.parametrize("change", NOT_FOUND)
def test_what_is_no_fault_is_not_reported(change):
    assert audit(change) == []


def test_limits_on_some_services_are_told_from_limits_on_none():
    def without(*indices):
        def change(facts):
            for index in indices:
                facts["containers"][index].update(limit=None, memory_swap=None)

        return audit(change)[0]

    some, none = without(BOT, API), without(BOT, API, WORKER, STORE)
    assert some.figure.startswith("2 of 4 services") and some.subject == "api, bot"
    assert none.figure.startswith("4 of 4 services")
    assert some.why != none.why


def test_jobs_that_are_kept_for_ever_are_said_to_be():
    (found,) = audit(rq(failed_kept_days=float("inf")))
    assert "kept for ever" in found.figure


def test_an_image_of_two_services_is_one_finding():
    def change(facts):
        for index in (BOT, API):
            facts["containers"][index]["compilers"] = ["gcc", "g++"]

    (found,) = audit(change)
    assert found.subject == "api, bot"
    assert "gcc, g++ in bot:1, 300.0 MB" in found.figure


def test_the_gravest_comes_first_and_then_the_plans_order():
    def change(facts):
        for each, *_expected in FOUND:
            each(facts)

    found = audit(change)
    order = [(SEVERITIES.index(one.severity), one.item) for one in found]
    assert order == sorted(order)
    assert len(found) > 10
    assert all(1 <= one.item <= 12 for one in found)
