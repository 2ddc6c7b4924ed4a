# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import facts as redis_facts
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.queues import LIBRARIES, Contents, Found

MB = 1024 * 1024
RQ = next(library for library in LIBRARIES if library.name == "RQ")
QUEUE = Contents([Found(RQ, 0, keys=12, waiting=3)], keys=12, looked_at=12)
MIXED = Contents([Found(RQ, 0, keys=12, waiting=3)], keys=50, looked_at=50)


def facts(maxmemory="96mb", policy="noeviction", contents=QUEUE, limit=128, save="60 1", **info):
    size = int(maxmemory[:-2]) * MB
    said = {"maxmemory": str(size), "maxmemory_policy": policy, "used_memory": str(2 * MB), "aof_enabled": "0", **info}
    return redis_facts.facts(said, save, contents, limit * MB, "the container r")


@pytest.mark.parametrize(
    ("more", "room"),
    [({}, True), ({"maxmemory": "97mb"}, False), ({"maxmemory": "110mb", "save": ""}, True), ({"limit": 100}, False)],
)
def test_whether_maxmemory_leaves_room_in_the_limit(more, room):
    assert (facts(**more)["no_room"] is None) == room


def test_a_server_that_writes_a_log_saves():
    assert not facts(save="")["saving"]
    assert facts(save="", aof_enabled="1")["saving"]


@pytest.mark.parametrize(
    ("policy", "contents", "lost"),
    [
        ("noeviction", QUEUE, False),
        ("allkeys-lru", QUEUE, True),
        ("volatile-lru", MIXED, True),
        ("allkeys-lfu", Contents(keys=9, looked_at=9), False),
        ("allkeys-lru", None, True),  # nobody may look, so nobody can say that it is safe
    ],
)
def test_whether_the_policy_loses_jobs(policy, contents, lost):
    assert bool(facts(policy=policy, contents=contents)["policy_loses"]) == lost


def test_without_a_bound_nothing_is_evicted():
    found = facts(maxmemory="0mb", policy="allkeys-lru")
    assert (found["policy_loses"], found["no_room"], found["maxmemory"]) == (None, None, 0)


def test_other_data_beside_a_queue_is_counted():
    assert (facts(contents=MIXED)["purpose"], facts(contents=MIXED)["other_keys"]) == ("mixed", 38)
    assert (facts()["purpose"], facts()["other_keys"]) == ("queue", 0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["docker-entrypoint.sh", "redis-server", "--save", ""], True),
        (["valkey-server", "/etc/valkey.conf"], True),
        (["sh", "-c", "exec redis-server --maxmemory 90mb"], True),
        (["python", "app/bot/main.py"], False),
        (["rq", "worker", "-u", "redis://redis:6379/0"], False),
        (["redis-cli", "monitor"], False),
    ],
)
def test_which_containers_are_a_redis(words, expected):
    assert redis_facts.is_redis(Container({"Path": words[0], "Args": words[1:]})) == expected
