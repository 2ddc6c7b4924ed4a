# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.load.statistics import Jobs, Tally, percentile, total


def test_percentile_is_the_nearest_rank():
    values = [15.0, 20.0, 35.0, 40.0, 50.0]
    assert [percentile(values, share) for share in (0.05, 0.30, 0.40, 0.50, 1.0)] == [15, 20, 20, 35, 50]


def test_percentile_of_nothing_is_none():
    assert percentile([], 0.5) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.0, 1.0))
def test_percentile_covers_its_share_with_a_measured_value(values, share):
    result = percentile(values, share)
    assert result in values
    assert sum(value <= result for value in values) >= share * len(values) - 1e-9


def test_tally_counts_what_was_neither_answered_nor_failed():
    row = Tally(sent=10, failed=2, seconds=[0.1, 0.2, 0.3]).as_dict()
    assert (row["answered"], row["failed"], row["unanswered"]) == (3, 2, 5)
    assert row["latency"] == {"p50": 0.2, "p95": 0.3, "p99": 0.3, "max": 0.3}


def test_total_is_taken_over_requests_not_over_kinds():
    fast, slow = Tally(sent=9, seconds=[0.1] * 9), Tally(sent=1, seconds=[9.0])
    assert total([fast, slow]).as_dict()["latency"]["p50"] == 0.1


@pytest.mark.parametrize(("empty", "lost", "unfinished"), [(True, 3, 0), (False, 0, 3)])
def test_a_silent_job_is_lost_only_when_the_queue_is_empty(empty, lost, unfinished):
    jobs = Jobs(enqueued=10, finished=6, failed=1)
    jobs.settle(queue_is_empty=empty)
    assert (jobs.lost, jobs.unfinished) == (lost, unfinished)
