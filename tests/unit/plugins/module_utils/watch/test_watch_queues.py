# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redis and RQ: one change at a time on a recorded reading of a real queue."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import queues
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Thresholds

RECORDING = Path(__file__).parent / "watch_samples" / "test_used_stack_passes.json"
LIMITS = Thresholds()
NAME, QUEUE = "worker-image-1", "img_queue"
MB = 1024**2


def reading(worker=None, rq=None, **changes) -> dict:
    """The recorded reading with changed fields: of the worker (False: none), of `rq`, of the server."""
    seen = [sample["redis"]["redis"] for sample in json.loads(RECORDING.read_text())["samples"]]
    found = copy.deepcopy([one for one in seen if one][-1])
    found["rq"]["waiting"] = {QUEUE: 0}
    found["rq"]["failed"] = {QUEUE: 0}
    if worker is False:
        found["rq"]["workers"] = {}
    else:
        found["rq"]["workers"][NAME].update({"state": "idle", **(worker or {})})
    found["rq"].update(rq or {})
    return {**found, **changes}


def checks(*readings: dict, step: float = 2.0) -> list[str]:
    return [fault.check for fault in queues.faults([(step * n, one) for n, one in enumerate(readings)], LIMITS)]


def text(*readings: dict, step: float = 2.0) -> str:
    (fault,) = queues.faults([(step * n, one) for n, one in enumerate(readings)], LIMITS)
    return fault.text


def test_nothing_happened():
    assert checks(*[reading()] * 20) == []
    assert queues.faults([], LIMITS) == []


def test_evictions():
    evicted = reading(evicted_keys=7, policy="allkeys-lru")
    assert "evicted 7 keys under allkeys-lru, and it holds a queue" in text(reading(), evicted)
    assert checks(reading(purpose="cache"), {**evicted, "purpose": "cache"}) == []
    assert checks(evicted, evicted) == []  # that was before


@pytest.mark.parametrize("kind", ["OOM", "MISCONF", "READONLY", "NOREPLICAS"])
def test_refused_writes(kind):
    before, now = reading(errors={"ERR": 5}), reading(errors={"ERR": 9, kind: 3})
    assert f"refused 3 commands since the last look ({kind}: " in text(before, now)
    assert checks(now, now) == []
    assert checks(before, reading(errors={"ERR": 50})) == []  # a client's mistakes


def test_full_redis_trips_before_anybody_writes():
    full = reading(maxmemory=10 * MB, used_memory=11 * MB, not_counted=0, policy="noeviction")
    assert "is full and refuses writes: 11.0 MB used of maxmemory 10.0 MB" in text(full)
    assert checks({**full, "policy": "allkeys-lru"}) == []
    assert checks({**full, "not_counted": 2 * MB}) == []
    assert checks({**full, "maxmemory": 0}) == []


def test_maxclients():
    assert "turned 4 connections away" in text(reading(), reading(rejected_connections=4))


def test_restart():
    assert checks(reading(), reading(run_id="other", evicted_keys=0)) == ["restarted"]


def failed(count: int, done: int = 0, **more) -> dict:
    return reading(worker={"done": done, "failed": count, **more}, rq={"failed": {QUEUE: count}})


def test_failed_jobs():
    assert "3 jobs failed during the watch and 2 finished" in text(failed(0), failed(3, 2))
    assert checks(failed(0), failed(1)) == []
    assert checks(failed(0), failed(2, 19)) == []  # 9.5 %
    assert checks(failed(0), failed(2, 18)) == ["failed_jobs"]
    assert checks(failed(40), failed(41)) == []
    assert checks(failed(5), failed(3), failed(4), failed(5)) == ["failed_jobs"]  # requeued, and failed again


def test_a_renewed_worker_counts_from_zero():
    series = [(0.0, failed(0, 50)), (2.0, failed(0, 3, birth="later"))]
    assert queues.jobs_ended(series) == (3, 0)


def test_jobs_of_a_registry_without_its_worker():
    """Jobs of a worker that died are failed by another one's cleanup, and no counter of a worker knows of them."""
    before, now = reading(), reading(rq={"failed": {QUEUE: 2}})
    assert queues.jobs_ended([(0.0, before), (2.0, now)]) == (0, 2)


def test_killed_worker_whose_heartbeat_lasts():
    gone = reading(worker={"listeners": 0})
    assert checks(reading(), gone) == []  # it may connect again
    assert checks(reading(), gone, reading()) == []
    assert "worker-image-1 of img_queue is gone: its process no longer listens (4 s)" in text(reading(), gone, gone)


def test_expired_heartbeat_trips_at_once():
    expired = reading(worker={"alive": False, "queues": [], "birth": "", "state": "?", "listeners": 0})
    assert "its heartbeat has expired" in text(reading(), expired)
    assert checks(expired, expired, expired) == []  # it was a corpse before the watch


def test_worker_that_signs_off():
    off = [reading(worker=False)] * 7
    assert checks(reading(), *off) == []  # 14 s
    assert "it signed off and nobody took its place (16 s)" in text(reading(), *off, off[0])
    assert checks(reading(), *off, reading(worker={"birth": "later"})) == []
    last_of_all = {**reading(), "rq": None}  # no key of RQ is left when no job was ever queued
    assert checks(reading(), *[last_of_all] * 8) == ["worker_missing"]


def test_replaced_by_one_of_another_name():
    other = reading()
    other["rq"]["workers"] = {"new": {**other["rq"]["workers"][NAME], "birth": "later"}}
    assert checks(reading(), *[other] * 10) == []
    elsewhere = copy.deepcopy(other)
    elsewhere["rq"]["workers"]["new"]["queues"] = ["other_queue"]
    assert checks(reading(), *[elsewhere] * 10) == ["worker_missing"]


def test_one_of_two_workers():
    two, one = reading(), reading()
    two["rq"]["workers"]["second"] = dict(two["rq"]["workers"][NAME])
    assert checks(two, *[one] * 10) == ["worker_missing"]
    assert checks(one, two, *[one] * 10) == []  # scaled up for a moment, or renewed: no fewer than in the beginning


def test_busy_in_a_long_job():
    """Its counters and, between two heartbeats, its last_heartbeat stand still, and others wait. It listens."""
    busy = reading(worker={"state": "busy"}, rq={"waiting": {QUEUE: 9}})
    assert checks(*[busy] * 30) == []


def test_rq_before_1_8_has_no_channel():
    old = reading(worker={"listeners": 0})
    assert checks(*[old] * 30) == []
    assert checks(old, *[reading(worker=False)] * 9) == ["worker_missing"]


def test_hanging_worker():
    waits = reading(rq={"waiting": {QUEUE: 3}})
    assert checks(*[waits] * 5) == []  # 8 s
    assert "3 jobs wait in img_queue and none was taken for 10 s" in text(*[waits] * 6)
    assert checks(*[waits] * 5, reading(rq={"waiting": {QUEUE: 0}})) == []
    assert checks(*[waits] * 5, reading(worker={"done": 1}, rq={"waiting": {QUEUE: 2}})) == []
    assert checks(*[reading(rq={"waiting": {QUEUE: 3}, "suspended": True})] * 9) == []
    assert checks(*[reading(worker=False, rq={"waiting": {QUEUE: 3}})] * 9) == []  # there was no worker before either


def test_standing():
    baseline = {"workers": {"redis": queues.workers_by_queue(reading())}}
    assert baseline == {"workers": {"redis": {QUEUE: 1}}}

    def standing(*readings, given=(baseline,)):
        seen = [(2.0 * n, one) for n, one in enumerate(readings)]
        return [f.text for f in queues.standing(seen, *given)]

    well, gone = reading(), reading(worker=False)
    expected = "the queue img_queue was served by 1 RQ workers when the baseline was taken, and by none now."
    assert standing(*[gone] * 9) == [expected]
    assert standing(*[gone] * 8) == []  # 14 s: they may still start
    assert standing(*[well] * 9) == []
    assert standing(*[well] * 20, gone) == []  # it renews itself
    assert standing(*[gone] * 7, well, *[gone] * 7) == []
    assert standing(*[gone] * 9, given=(None,)) == standing(*[gone] * 9, given=({"p95_ms": 3},)) == []
