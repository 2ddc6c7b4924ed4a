# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Verdicts on recordings of real watches (Docker 20.10.24, Redis 7.0.15, RQ 3.0.0, Linux 6.18, cgroup v1).

Each file of watch_samples/ is what the module saw in the integration test of the same name, to the end of its watch.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import session as watch
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Doubt, Fault, Thresholds

FOLDER = Path(__file__).parent / "watch_samples"
RECORDINGS = sorted(path.stem for path in FOLDER.glob("*.json"))


def recorded(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.json").read_text())


def replay(recording: dict, **changes) -> tuple[watch.Watch, list[Fault], float]:
    """Feed a recording to a new watch: (the watch, the first faults, when they came)."""
    seen = watch.Watch(
        changes.get("limits", Thresholds(**recording["thresholds"])),
        changes.get("baseline", recording["baseline"]),
        [tuple(probe) for probe in recording["probes"]],
        recording["queues"],
    )
    answers = [{key: value for key, value in one.items() if key != "grace"} for one in recording["answers"]]
    begin = -1.0
    for sample in recording["samples"]:
        end = sample["at"] if sample is not recording["samples"][-1] else float("inf")
        faults = seen.add(sample, [answer for answer in answers if begin < answer["at"] <= end])
        begin = sample["at"]
        if faults:
            return seen, faults, sample["at"]
    return seen, seen.held, recording["samples"][-1]["at"]


def test_there_are_recordings_of_every_kind():
    assert {recorded(name)["verdict"] for name in RECORDINGS} == {"passed", "tripped", "inconclusive"}
    assert len({check for name in RECORDINGS for check in recorded(name)["checks"]}) >= 11


@pytest.mark.parametrize("name", RECORDINGS)
def test_recorded_verdict(name):
    recording = recorded(name)
    seen, faults, at = replay(recording)
    doubts = [] if faults else seen.doubts()
    assert watch.verdict(faults, doubts) == recording["verdict"], watch.reasons(faults, doubts)
    assert sorted({fault.check for fault in faults}) == recording["checks"]
    assert at == recording["samples"][-1]["at"]  # not earlier than it really came
    assert bool(watch.reasons(faults, doubts)) == (recording["verdict"] != "passed")


@pytest.mark.parametrize("name", [name for name in RECORDINGS if recorded(name)["verdict"] == "tripped"])
def test_no_fault_before_the_fault(name):
    """The same recording without its last sample is no trip: what tripped is the fault, not what led to it."""
    recording = recorded(name)
    if len(recording["samples"]) == 1:
        pytest.skip("it was there from the first look")
    recording["samples"].pop()
    last = recording["samples"][-1]["at"]
    recording["answers"] = [answer for answer in recording["answers"] if answer["at"] <= last]
    assert replay(recording)[1] == []


def test_reasons_are_sentences_with_the_service_and_figures():
    seen, faults, _at = replay(recorded("test_child_killed_by_the_kernel"))
    (text,) = watch.reasons(faults, [])
    assert text == (
        "The kernel killed 1 process of worker (bot-worker-1) for lack of memory: its limit is 150.0 MB. Its main "
        "process lives on, so the container looks well to Docker. Raise the limit, or make the service need less."
    )
    evidence = watch.evidence(seen, faults, [])
    ends = [{c["service"]: c["oom_kills"] for c in evidence[end]["containers"]} for end in ("first", "last")]
    assert [end["worker"] for end in ends] == [0, 1]
    assert evidence["faults"] == [{"check": "oom_kill", "subject": "worker", "text": faults[0].text}]


def test_verdict_order():
    fault, doubt = Fault("unhealthy", "api", "x"), Doubt("traffic", "project", "y")
    aside = doubt._replace(decisive=False)
    assert watch.verdict([fault], [doubt]) == "tripped"
    assert watch.verdict([], [doubt, aside]) == "inconclusive"
    assert watch.verdict([], [aside]) == "passed"
    assert watch.reasons([], [doubt, aside, doubt]) == ["Y"]
    assert watch.reasons([], [aside]) == []


def used() -> dict:
    return recorded("test_used_stack_passes")


def test_without_use_nothing_has_passed():
    """The same recording of a used stack, with more use demanded than there was."""
    seen, faults, _at = replay(used(), limits=Thresholds(min_traffic=10_000))
    assert (faults, watch.verdict(faults, seen.doubts())) == ([], "inconclusive")
    assert "10000 are needed" in watch.reasons([], seen.doubts())[0]


def test_silent_engine():
    recording = used()
    for sample in recording["samples"][5:]:
        sample["containers"] = None
        sample["errors"] = {"": "timed out"}
    _seen, faults, at = replay(recording)
    assert [fault.check for fault in faults] == ["engine_silent"]
    assert "has not answered for 1" in faults[0].text and "timed out" in faults[0].text
    assert 10 <= at - recording["samples"][4]["at"] < 13


def test_a_look_that_the_engine_missed_is_no_silence():
    recording = used()
    recording["samples"][5]["containers"] = None
    seen, faults, _at = replay(recording)
    assert watch.verdict(faults, seen.doubts()) == "passed"


def test_redis_that_was_never_reached_is_a_doubt_and_no_fault():
    recording = used()
    for sample in recording["samples"]:
        sample["redis"] = {"redis": None}
        sample["errors"] = {"redis": "WRONGPASS"}
    seen, faults, _at = replay(recording)
    assert (faults, watch.verdict(faults, seen.doubts())) == ([], "inconclusive")
    assert "Redis redis could not be asked: WRONGPASS." in watch.reasons([], seen.doubts())


def test_pressure_of_the_host():
    recording = used()
    recording["samples"][-1]["host"]["pressure"] = {"some_avg10": 30.0, "some_avg60": 6.2}
    _seen, faults, _at = replay(recording)
    assert [(fault.check, fault.subject) for fault in faults] == [("memory_pressure", "host")]
    assert "6.2 %" in faults[0].text


def test_a_baseline_of_the_same_stack_finds_nothing_and_survives_json():
    seen, _faults, _at = replay(used())
    baseline = json.loads(json.dumps(seen.as_baseline()))
    assert baseline["services"]["api"] == {"running": True, "health": "healthy"}
    assert baseline["workers"] == {"redis": {"img_queue": 1}}
    again, faults, _at = replay(used(), baseline=baseline)
    assert watch.verdict(faults, again.doubts()) == "passed"


def test_a_baseline_names_what_is_worse_from_the_start():
    seen, _faults, _at = replay(used())
    stopped = copy.deepcopy(used())
    for sample in stopped["samples"]:
        for one in sample["containers"] or []:
            if one["service"] == "worker":
                one.update(state="exited", exit_code=3)
    _seen, faults, at = replay(stopped, baseline=seen.as_baseline())
    assert faults[0].text == "service worker ran when the baseline was taken and does not run now (exit code 3)."
    assert at == next(sample["at"] for sample in stopped["samples"] if sample["containers"])
    unhealthy = copy.deepcopy(used())
    for sample in unhealthy["samples"]:
        for one in sample["containers"] or []:
            one["health"] = one["health"] and "unhealthy"
    assert replay(unhealthy, baseline=None)[1] == []
    assert [fault.check for fault in replay(unhealthy, baseline=seen.as_baseline())[1]] == ["unhealthy"]


def test_workers_that_never_come_back_after_the_baseline():
    seen, _faults, _at = replay(used())
    gone = used()
    for sample in gone["samples"]:
        if sample["redis"].get("redis"):
            sample["redis"]["redis"]["rq"]["workers"] = {}
    _seen, faults, at = replay(gone, baseline=seen.as_baseline())
    assert [fault.check for fault in faults] == ["worker_missing"]
    assert 15 <= at < 18  # they are given the time to sign on
    assert replay(gone, baseline=None)[1] == []


def test_grace_is_for_containers_that_start():
    def reading(**more):
        return {"service": "api", "state": "running", "health": None, "age": 5.0, **more}

    assert watch.excused("api", [reading()], answered=False)
    assert not watch.excused("api", [reading()], answered=True)
    assert not watch.excused("api", [reading(age=31.0)], answered=False)
    assert watch.excused("api", [reading(health="starting", age=90.0)], answered=True)
    assert not watch.excused("api", [reading(health="healthy")], answered=False)
    assert not watch.excused("api", [reading(state="exited")], answered=False)
    assert not watch.excused("api", [reading(service="bot")], answered=False)
