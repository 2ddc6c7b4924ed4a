# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Containers between two looks: one change at a time on a recorded reading of a real one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import containers
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Thresholds

RECORDING = Path(__file__).parent / "watch_samples" / "test_used_stack_passes.json"
LIMITS = Thresholds()
MB = 1024**2


def reading(service: str = "worker", **changes) -> dict:
    looks = [sample["containers"] for sample in json.loads(RECORDING.read_text())["samples"] if sample["containers"]]
    (found,) = [one for one in looks[-1] if one["service"] == service]
    return {**found, "policy": "unless-stopped", **changes}


def died(one: dict, code: int, after: float = 0.5) -> dict:
    return {"id": one["id"], "action": "die", "service": one["service"], "exit_code": code, "after": after}


def oom(one: dict) -> dict:
    return {**died(one, 0), "action": "oom", "exit_code": None}


def checks(before, now, *events) -> list[str]:
    return [fault.check for fault in containers.faults(before, now, events)]


def test_nothing_happened():
    assert checks([reading(), reading("api")], [reading(), reading("api")]) == []


def test_kernel_kill_of_a_child():
    (fault,) = containers.faults([reading(oom_kills=2)], [reading(oom_kills=5)], [])
    assert fault.check == "oom_kill" and "killed 3 processes of worker" in fault.text and "looks well" in fault.text
    assert checks([reading(oom_kills=2)], [reading(oom_kills=2)]) == []
    assert checks([reading(oom_kills=None)], [reading(oom_kills=2)]) == []  # it could not be read before


def test_kernel_kill_of_the_main_process():
    """The cgroup is gone with its counter, and the new one starts at 0: the engine's event is what is left."""
    old, new = reading(oom_kills=0), reading(oom_kills=0, started_at="2026-11-22T15:00:00Z", restarts=1)
    found = containers.faults([old], [new], [oom(old), died(old, 137)])
    assert [fault.check for fault in found] == ["oom_kill", "restarted"]
    assert "looks well" not in found[0].text and "exit code 137" in found[1].text


def test_kernel_kill_of_a_main_process_that_stays_down():
    old, new = reading(oom_kills=0), reading(oom_kills=None, state="exited", exit_code=137, oom_killed=True)
    assert checks([old], [new], died(old, 137)) == ["oom_kill", "exited"]
    assert checks([{**old, "oom_killed": True}], [{**old, "oom_killed": True}]) == []


def test_without_a_limit_it_was_the_host():
    (fault,) = containers.faults([reading(limit=None)], [reading(limit=None, oom_kills=1)], [])
    assert "it has no limit of its own, so the host ran out" in fault.text


@pytest.mark.parametrize(
    ("changes", "code", "expected"),
    [
        ({"state": "exited", "exit_code": 1}, 1, ["exited"]),
        ({"state": "exited", "exit_code": 0}, 0, ["exited"]),  # stopped, or its restart policy did not want it again
        ({"state": "exited", "exit_code": 0, "one_shot": True}, 0, []),
        ({"state": "exited", "exit_code": 1, "one_shot": True}, 1, ["exited"]),
        ({"state": "dead", "exit_code": 137}, 137, ["exited"]),
        ({"state": "restarting", "exit_code": 1}, 1, ["exited"]),
        ({"state": "restarting", "exit_code": 0}, 0, []),  # renews itself
        ({"started_at": "later", "restarts": 1}, 1, ["restarted"]),
        ({"started_at": "later", "restarts": 1}, 0, []),  # renewed itself
        ({"started_at": "later", "restarts": 0}, 143, ["restarted"]),  # docker restart
    ],
)
def test_ends(changes, code, expected):
    old = reading(age=100.0)
    assert checks([old], [{**old, **changes}], died(old, code)) == expected


def test_a_restart_whose_end_nobody_saw_is_a_fault():
    old = reading(age=100.0)
    assert checks([old], [{**old, "started_at": "later", "restarts": 1}]) == ["restarted"]


def test_a_process_that_ends_well_and_at_once_is_crashing_all_the_same():
    young = reading(age=3.0)
    assert checks([young], [{**young, "started_at": "later", "restarts": 1}], died(young, 0)) == ["restarted"]
    old = reading(age=100.0)
    twice = [died(old, 0), died(old, 0, 1.5)]
    assert checks([old], [{**old, "started_at": "later", "restarts": 2}], *twice) == ["restarted"]
    nobody = reading(age=100.0, policy="no")
    assert checks([nobody], [{**nobody, "started_at": "later"}], died(nobody, 0)) == ["restarted"]


def test_between_an_end_and_the_next_start():
    waiting = reading(state="restarting", exit_code=0)
    assert checks([waiting], [waiting]) == []
    assert checks([waiting], [reading(started_at="later", restarts=1)]) == []
    assert checks([waiting], [{**waiting, "state": "exited"}]) == ["exited"]


def test_down_before_the_watch():
    down = reading(state="exited", exit_code=1)
    assert checks([down], [down]) == [] and checks([down], []) == []
    assert checks([down], [reading(started_at="later")]) == []
    assert containers.stopped_before([down, reading("api")]) == ["worker"]


def test_gone_and_replaced():
    assert checks([reading()], []) == ["exited"]
    (fault,) = containers.faults([reading()], [reading(id="f" * 64)], [])
    assert fault.check == "replaced" and "by ffffffffffff" in fault.text
    second = reading(id="b" * 64)
    assert checks([reading(), second], [reading(), second]) == []
    assert checks([reading(), second], [reading()]) == ["exited"]
    assert checks([reading()], [reading(), second]) == []  # scaled up


def test_paused():
    assert checks([reading()], [reading(state="paused")]) == ["exited"]
    assert checks([reading(state="paused")], [reading(state="paused")]) == []


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("healthy", "unhealthy", ["unhealthy"]),
        ("starting", "unhealthy", ["unhealthy"]),  # its start_period and its retries are over
        ("starting", "starting", []),
        ("healthy", "starting", []),
        ("unhealthy", "unhealthy", []),
        ("unhealthy", "healthy", []),
        (None, "unhealthy", []),
    ],
)
def test_health(before, now, expected):
    after = reading("api", health=now, failing_streak=3, health_output="curl: not found")
    found = containers.faults([reading("api", health=before)], [after], [])
    assert [fault.check for fault in found] == expected
    assert all("3 health checks in a row failed. The check said: curl: not found" in fault.text for fault in found)


def lasting(*looks: dict, step: float = 2.0):
    return [f.check for f in containers.lasting_faults([(step * n, [one]) for n, one in enumerate(looks)], LIMITS)]


def test_memory_at_the_limit_has_to_last_and_to_be_hit():
    full = [reading(unreclaimable=97 * MB, limit=100 * MB, limit_hits=n) for n in range(8)]
    assert lasting(*full) == ["memory_at_limit"]
    assert lasting(*full[:5]) == []  # 8 s
    assert lasting(*full[:3], {**full[3], "unreclaimable": 90 * MB}, *full[4:]) == []
    assert lasting(*[{**one, "limit_hits": 0} for one in full]) == []
    assert lasting(*[{**one, "limit": None} for one in full]) == []


def pressure(minute: float, lately: float) -> dict:
    return {"some_avg60": minute, "some_avg10": lately}


@pytest.mark.parametrize(
    ("start", "now", "trips"),
    [
        (pressure(0, 0), pressure(5.1, 20), True),
        (pressure(0, 0), pressure(4.9, 90), False),
        (pressure(0, 0), pressure(6, 1), False),  # over already
        (pressure(7, 7), pressure(8, 8), False),  # as bad before the change
        (pressure(7, 7), pressure(12.5, 20), True),
        (None, pressure(6, 6), True),
        (None, None, False),
    ],
)
def test_pressure(start, now, trips):
    found = lasting(reading(pressure=start), reading(pressure=now))
    assert found == (["memory_pressure"] if trips else [])


def test_doubts():
    def doubts(before: dict, now: dict) -> list[str]:
        return [doubt.text for doubt in containers.doubts([(0.0, [before]), (30.0, [now])])]

    well = reading("api", health="healthy")
    assert doubts(well, well) == []
    assert "still starting" in doubts(well, {**well, "health": "starting"})[0]
    assert "unhealthy already" in doubts({**well, "health": "unhealthy"}, {**well, "health": "unhealthy"})[0]
    assert "failed (1 in a row)" in doubts(well, {**well, "failing_streak": 1})[0]
    assert "counters of api could not be read" in doubts(well, {**well, "oom_kills": None})[0]
    assert doubts(well, {**well, "state": "exited", "health": "starting"}) == []
