# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import math

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.worker import decide
from ansible_collections.smallhost.headroom.plugins.module_utils.worker.decide import Measured
from ansible_collections.smallhost.headroom.plugins.module_utils.worker.programs import WORKERS, parallel_jobs
from hypothesis import given
from hypothesis import strategies as st

MIB = 1024 * 1024
sizes = st.integers(0, 4096 * MIB)


def measured(base, peak, room, jobs=1):
    return Measured(base * MIB, None if peak is None else peak * MIB, room * MIB, jobs, "recorded")


@pytest.mark.parametrize(
    ("command", "jobs"),
    [
        ("rq worker img_queue", 1),
        ("rq worker-pool -n 4 img_queue", 4),
        ("rq worker-pool img_queue", 1),
        ("celery -A app worker", 3),
        ("celery -A app worker --concurrency=8", 8),
        ("arq app.WorkerSettings", 10),
        ("dramatiq app.tasks", 24),
        ("dramatiq app.tasks -p 2 -t 4", 8),
    ],
)
def test_jobs_at_once_of_a_command_line(command, jobs):
    line = CommandLine.parse(command)
    assert parallel_jobs(WORKERS[line.program], line, lambda: 3) == jobs


def test_what_fits_is_chosen_and_said_with_figures():
    # 200 MB of room less a tenth, less 34 at rest, in jobs of 70.
    found = decide.concurrency(4, None, measured(34, 314, 200, jobs=4))
    assert (found.chosen, found.fits, found.per_job) == (2, 2, 70 * MIB)
    assert "a job takes up to 70.0 MB (recorded)" in found.reason
    assert "2 at once fit, and not 4" in found.reason


def test_more_at_once_only_where_it_was_asked_for_and_fits():
    roomy = measured(34, 104, 1000)
    assert decide.concurrency(1, None, roomy).chosen == 1
    assert decide.concurrency(1, 3, roomy).chosen == 3
    assert decide.concurrency(1, 3, measured(34, 104, 200)).chosen == 2


def test_without_a_measured_job_the_operators_number_stands():
    found = decide.concurrency(4, None, measured(34, None, 200))
    assert (found.chosen, found.fits) == (4, None)
    assert "no job has been measured yet" in found.reason


def test_a_worker_keeps_one_job_even_where_it_does_not_fit():
    assert decide.concurrency(1, None, measured(34, 500, 200)).chosen == 1


@given(sizes, sizes, sizes, st.integers(1, 64), st.none() | st.integers(1, 64))
def test_what_is_chosen_fits_or_is_one(base, extra, room, current, wanted):
    found = decide.concurrency(current, wanted, Measured(base, base + extra, room, current, "recorded"))
    assert 1 <= found.chosen <= (wanted or current)
    if found.chosen > 1:
        assert (base + found.chosen * found.per_job) * 1.1 <= room * 1.001


def test_a_stop_takes_as_long_as_the_longest_job_and_a_little():
    assert decide.stop_seconds(180, present=10) == 195
    assert decide.stop_seconds(None, present=10) == 615
    assert decide.stop_seconds(math.inf, present=10) == 3615
    assert decide.stop_seconds(180, present=900) == 900


@pytest.mark.parametrize(
    ("policy", "comes_back"),
    [(None, False), ("no", False), ("on-failure", False), ("on-failure:5", False), ("always", True)],
)
def test_a_worker_that_ends_without_an_error_comes_back_under_few_policies(policy, comes_back):
    assert decide.restarts_by_itself(policy) is comes_back
    assert decide.restarts_by_itself("unless-stopped")
