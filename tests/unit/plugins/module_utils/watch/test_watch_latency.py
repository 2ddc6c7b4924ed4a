# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes: errors and slowness, on the answers of real probes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import latency as watch_latency
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.latency import faults
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Thresholds

RECORDING = Path(__file__).parent / "watch_samples" / "test_used_stack_passes.json"
URL = "http://api:8000/health"
LIMITS = Thresholds()


def answers(times, status=200, error=None, url=URL):
    return [
        {"service": "api", "url": url, "at": 0.5 * index, "ms": ms, "status": status, "error": error, "bytes": 200}
        for index, ms in enumerate(times)
    ]


def real() -> list[dict]:
    """Half-second probes of a service that takes 50 ms, on a machine with ten times more work than processors."""
    return [answer for answer in json.loads(RECORDING.read_text())["answers"] if not answer.get("grace")]


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 95, None), ([7], 50, 7), ([1, 2, 3, 4], 50, 2), (list(range(1, 101)), 95, 95), (list(range(1, 21)), 95, 19)],
)
def test_percentile(values, share, expected):
    assert watch_latency.percentile(values, share) == expected
    random.shuffle(values)
    assert watch_latency.percentile(values, share) == expected


def test_real_answers_against_themselves():
    baseline = watch_latency.summary(real())
    assert baseline["samples"] >= 20 and 50 < baseline["p50_ms"] <= baseline["p95_ms"]
    assert faults(real(), baseline, LIMITS) == []


def test_real_answers_twice_as_slow_trip_within_ten():
    baseline = watch_latency.summary(real())
    slow = [{**answer, "ms": 2 * answer["ms"]} for answer in real()]
    first = next(count for count in range(1, len(slow)) if faults(slow[:count], baseline, LIMITS))
    assert first <= 20
    (fault,) = faults(slow, baseline, LIMITS)
    assert fault.check == "latency" and "2.0 times as slowly" in fault.text and "in the baseline" in fault.text


@pytest.mark.parametrize(
    ("factor", "trips"), [(1.0, False), (1.3, False), (1.45, False), (1.85, True), (2.0, True), (5.0, True)]
)
def test_factor(factor, trips):
    before = watch_latency.summary(answers([50, 52, 54, 56, 58] * 8))
    assert bool(faults(answers([factor * ms for ms in (50, 52, 54, 56, 58) * 8]), before, LIMITS)) is trips


def test_fast_answers_have_a_floor():
    before = watch_latency.summary(answers([1.0] * 40))
    assert faults(answers([4.0] * 40), before, LIMITS) == []
    assert faults(answers([17.0] * 40), before, LIMITS)
    assert faults(answers([4.0] * 40), before, Thresholds(latency_floor_ms=1)) != []


def test_other_programs_on_a_small_host_are_no_fault():
    """As measured on two processors, with other programs at work during the watch and not before it."""
    before = watch_latency.summary(answers([6.0] * 36 + [8.0] * 4))
    assert faults(answers(([12.0] * 3 + [22.0] * 2) * 12), before, LIMITS) == []
    assert faults(answers(([12.0] * 3 + [24.0] * 2) * 12), before, LIMITS) != []


def test_one_burst_of_noise_is_no_fault():
    before = watch_latency.summary(answers([50] * 40))
    burst = [50] * 40 + [400] * 7 + [50] * 60
    assert all(not faults(answers(burst[:count]), before, LIMITS) for count in range(len(burst)))


def test_slow_end_throughout_is_a_fault():
    before = watch_latency.summary(answers([50] * 40))
    some = ([50] * 4 + [400]) * 20
    (fault,) = faults(answers(some), before, LIMITS)
    assert "p95 400.0 ms over 100 probes" in fault.text
    rare = ([50] * 30 + [400]) * 4
    assert faults(answers(rare), before, LIMITS) == []


def test_what_a_baseline_has_to_have():
    slow = answers([100] * 40)
    wide = {"p50_ms": 50, "p95_ms": 200, "samples": 20}
    assert "median 100.0 ms" in faults(slow, wide, LIMITS)[0].text  # the p95 alone would hide it
    assert faults(slow, {**wide, "p50_ms": None}, LIMITS) == []
    assert faults(slow, {"p95_ms": 50, "samples": 20}, LIMITS) != []
    assert faults(slow, {**wide, "samples": 19}, LIMITS) == []
    assert faults(slow, None, LIMITS) == []


def test_errors():
    good, bad = answers([50] * 20), answers([1] * 3, status=None, error="connection refused")
    (fault,) = faults(good + bad, None, LIMITS)
    assert fault.text == f"3 of the latest 10 probes of api ({URL}) failed, the last with: connection refused."
    assert faults(good + bad[:2], None, LIMITS) == []
    assert faults(good + answers([1] * 3, status=404), None, LIMITS)[0].text.endswith("HTTP 404.")
    assert faults(good + answers([1] * 3, status=302), None, LIMITS) == []
    assert faults(good + bad, None, Thresholds(probe_error_percent=50)) == []
    assert faults([{**answer, "grace": True} for answer in bad * 5], None, LIMITS) == []


def test_a_probe_that_never_answered_before_either_is_a_doubt():
    bad = answers([1] * 20, status=None, error="connection refused")
    before = watch_latency.summary(bad)
    assert faults(bad, before, LIMITS) == []
    (doubt,) = watch_latency.doubts(bad, [("api", URL)], before)
    assert doubt.decisive and "had no good answer" in doubt.text


def test_each_probe_has_its_own_baseline():
    other = "http://api:8000/slow"
    before = watch_latency.summary(answers([50] * 30) + answers([500] * 30, url=other))
    assert before["probes"][1] == {
        "service": "api",
        "url": other,
        "p50_ms": 500,
        "p95_ms": 500,
        "samples": 30,
        "errors": 0,
    }
    assert faults(answers([500] * 30, url=other), before, LIMITS) == []
    assert faults(answers([500] * 30), before, LIMITS) != []
    assert watch_latency.baseline_for(before, "http://elsewhere/") is None
    assert watch_latency.baseline_for({"p95_ms": 3, "samples": 30}, URL) == {"p95_ms": 3, "samples": 30}


@pytest.mark.parametrize(
    ("count", "baseline", "words", "decisive"),
    [
        (30, None, "no baseline was given", False),
        (0, None, "had no good answer", True),
        (30, {"p95_ms": 50, "samples": 19}, "the baseline has 19 answers of it, and 20 are needed", True),
        (19, {"p95_ms": 50, "samples": 20}, "was judged on 19 answers only", True),
    ],
)
def test_doubts(count, baseline, words, decisive):
    (doubt,) = watch_latency.doubts(answers([50] * count), [("api", URL)], baseline)
    assert words in doubt.text and doubt.decisive is decisive
    enough = {"p95_ms": 50, "samples": 20}
    assert watch_latency.doubts(answers([50] * 20), [("api", URL)], enough) == []
