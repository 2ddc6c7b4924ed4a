# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking within a budget, and judging policies; recognising each library's keys is tested against real servers."""

from __future__ import annotations

import time

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.queues import (
    LIBRARIES,
    POLICIES,
    Contents,
    Found,
    judge,
    look,
)

RQ = next(library for library in LIBRARIES if library.name == "RQ")
DRAMATIQ = next(library for library in LIBRARIES if library.name == "Dramatiq")


def holding(*libraries, keys=500, complete=True):
    found = [Found(library, 0, keys=320, waiting=300) for library in libraries]
    return Contents(found, keys=keys, looked_at=keys, complete=complete)


@pytest.mark.parametrize("purpose", ["auto", "queue", "cache", "mixed"])
@pytest.mark.parametrize("policy", [policy for policy in POLICIES if policy != "noeviction"])
def test_a_queue_of_rq_refuses_every_evicting_policy(policy, purpose):
    reason, _warnings = judge(policy, purpose, holding(RQ))
    assert policy in reason and "RQ (320 keys, 300 waiting jobs in database 0)" in reason and "noeviction" in reason


@pytest.mark.parametrize("purpose", ["auto", "queue", "cache", "mixed"])
@pytest.mark.parametrize("contents", [None, holding(), holding(RQ), holding(DRAMATIQ)])
def test_noeviction_is_always_safe(purpose, contents):
    assert judge("noeviction", purpose, contents) == (None, [])


def test_dramatiq_keeps_nothing_with_a_ttl():
    reason, warnings = judge("volatile-lru", "auto", holding(DRAMATIQ))
    assert reason is None and "Dramatiq" in warnings[0]
    assert "Dramatiq's jobs" in judge("allkeys-lru", "auto", holding(DRAMATIQ))[0]
    assert "RQ's worker registrations" in judge("volatile-lru", "auto", holding(DRAMATIQ, RQ))[0]


@pytest.mark.parametrize(
    "purpose, contents, refused",
    [
        ("auto", holding(keys=0), False),
        ("auto", holding(), False),
        ("cache", None, False),
        ("auto", None, True),
        ("queue", holding(keys=0), True),
        ("mixed", holding(), True),
    ],
)
def test_without_a_queue_s_keys_the_operator_s_word_counts(purpose, contents, refused):
    assert bool(judge("allkeys-lfu", purpose, contents)[0]) is refused


def test_a_budget_that_ran_out_is_said():
    assert "500 of 500 keys" in judge("allkeys-lfu", "auto", holding(complete=False))[1][0]
    assert judge("allkeys-lfu", "cache", holding(complete=False)) == (None, [])


@pytest.mark.parametrize(
    "contents, purpose",
    [(holding(keys=0), "empty"), (holding(keys=5), "cache"), (holding(RQ, keys=320), "queue"), (holding(RQ), "mixed")],
)
def test_purpose(contents, purpose):
    assert contents.purpose == purpose


class Keys:
    """Databases of plain strings, as a server that answers a page at a time. `sent`: every command that it got."""

    def __init__(self, databases, info=""):
        self.databases, self.info, self.selected, self.sent = databases, info, 0, []

    def keyspace(self):
        return {number: len(keys) for number, keys in self.databases.items()}

    def run(self, command, *words):
        self.sent.append(command)
        if command == "SELECT":
            self.selected = words[0]
        if command == "INFO":
            return self.info
        if command == "SCAN":
            cursor, count = words[0], words[2]
            names = sorted(self.databases[self.selected])
            end = cursor + count
            return (end if end < len(names) else 0), names[cursor:end]
        return None

    def run_all(self, commands):
        answers = []
        for command, name, *_more in commands:
            self.sent.append(command)
            kind = self.databases[self.selected].get(name)
            answers.append({"EXISTS": kind is not None, "TYPE": kind, "TTL": -1, "LLEN": 7}[command])
        return answers


def pages(count):
    return {f"page:{number}": "string" for number in range(count)}


def test_looking_has_a_budget_and_never_asks_for_all_keys():
    """Each database has its share, and what a library always has is asked for by name."""
    queue = {"rq:queues": "set", "zz": "string"}
    source = Keys({0: pages(30_000), 1: pages(30_000), 4: {**pages(30_000), **queue}})
    contents = look(source, keys=9000)
    assert 9000 <= contents.looked_at < 13_000 and contents.keys == 90_002 and not contents.complete
    assert [(one.library.name, one.database) for one in contents.found] == [("RQ", 4)]
    assert "KEYS" not in source.sent and source.sent.count("SCAN") < 15
    assert source.selected == 0


def test_looking_ends_with_its_time():
    class Slow(Keys):
        def run(self, command, *words):
            time.sleep(0.03 if command == "SCAN" else 0)
            return super().run(command, *words)

    contents = look(Slow({0: pages(20_000)}), seconds=0.1)
    assert contents.looked_at < 10_000 and not contents.complete


@pytest.mark.parametrize(
    "info, refused",
    [("cmdstat_get:calls=9\r\ncmdstat_bzpopmin:calls=2\r\n", True), ({"cmdstat_brpop": {}}, True), ("", False)],
)
def test_workers_that_wait_are_noticed_where_their_keys_were_not(info, refused):
    """BullMQ's and Celery's keys may have any name, so nothing can be asked for by name."""
    contents = look(Keys({0: pages(5000)}, info), keys=1000)
    assert bool(judge("allkeys-lfu", "auto", contents)[0]) is refused
    assert judge("allkeys-lfu", "cache", contents)[0] is None
    assert judge("noeviction", "auto", contents) == (None, [])


def test_waiting_workers_are_not_asked_for_where_every_key_was_seen():
    source = Keys({0: pages(500)})
    assert look(source).waiting_by == [] and "INFO" not in source.sent
