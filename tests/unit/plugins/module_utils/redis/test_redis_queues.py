# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judging policies; recognising keys is tested against real servers."""

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.queues import (
    LIBRARIES,
    POLICIES,
    Contents,
    Found,
    judge,
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
