# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import run_record
from ansible_collections.smallhost.headroom.plugins.module_utils.run_record import RunError, RunFile
from ansible_collections.smallhost.headroom.plugins.modules import rollout_record

NOW = 1_795_344_000.0


def run(name):
    return {"id": name, "stage": "stage1_quick_wins", "action": "present", "controller": "admin on laptop"}


def test_a_run_from_begin_to_end():
    runs = run_record.begin([], run("a"), NOW, [])
    assert run_record.unfinished(runs)["phase"] == "measuring"
    runs = run_record.advance(runs, "a", NOW + 5, {"phase": "applying"})
    runs = run_record.advance(runs, "a", NOW + 9, {"outcome": "passed", "after": {"used": 5}})
    assert run_record.unfinished(runs) is None
    assert runs[0]["ended"] == NOW + 9
    assert runs[0]["phase"] == "applying"
    assert runs[0]["after"] == {"used": 5}


def test_second_run_is_refused_while_the_first_is_at_work():
    runs = run_record.begin([], run("a"), NOW, [])
    with pytest.raises(RunError, match="measuring and told so 60 s ago"):
        run_record.begin(runs, run("b"), NOW + 60, [])


@pytest.mark.parametrize(("later", "abandoned"), [(60, ["a"]), (run_record.SILENCE_SECONDS, [])])
def test_killed_or_silent_run_is_closed_and_replaced(later, abandoned):
    runs = run_record.begin([], run("a"), NOW, [])
    runs = run_record.begin(runs, run("b"), NOW + later, abandoned)
    assert [entry["outcome"] for entry in runs] == ["interrupted", None]


def test_run_that_said_how_long_it_waits_is_at_work_until_then():
    runs = run_record.begin([], {**run("a"), "quiet_for": 900}, NOW, [])
    late = run_record.SILENCE_SECONDS + 100
    with pytest.raises(RunError, match="is measuring"):
        run_record.begin(runs, run("b"), NOW + late, [])
    runs = run_record.advance(runs, "a", NOW + late, {"phase": "guarding", "quiet_for": 3600})
    with pytest.raises(RunError, match="is guarding"):
        run_record.begin(runs, run("b"), NOW + late + 3600 + 60, [])
    runs = run_record.advance(runs, "a", NOW + late + 3700, {"phase": "undoing", "quiet_for": 0})
    runs = run_record.begin(runs, run("b"), NOW + late + 3700 + run_record.SILENCE_SECONDS, [])
    assert [entry["outcome"] for entry in runs] == ["interrupted", None]


def test_a_phase_that_waits_for_nothing_takes_back_what_the_one_before_said():
    params = {"run_id": "a", "begin": True, "abandoned": [], "details": {}, "quiet_for": 60, "phase": None}
    params.update(outcome=None, stage="stage1_quick_wins", action="present", controller="admin on laptop")
    runs = rollout_record.updated(params, [], NOW)
    assert run_record.unfinished(runs)["quiet_for"] == 60
    runs = rollout_record.updated({**params, "begin": False, "phase": "applying", "quiet_for": 0}, runs, NOW)
    assert run_record.unfinished(runs)["quiet_for"] == 0


def test_run_that_begins_again_is_one_run():
    runs = run_record.begin([], run("a"), NOW, [])
    assert len(run_record.begin(runs, run("a"), NOW + 1, [])) == 1


def test_run_that_was_taken_over_may_not_go_on():
    runs = run_record.begin([], run("a"), NOW, [])
    runs = run_record.begin(runs, run("b"), NOW + 1, ["a"])
    with pytest.raises(RunError, match="taken over"):
        run_record.advance(runs, "a", NOW + 2, {"phase": "applying"})
    with pytest.raises(RunError):
        run_record.advance([], "a", NOW + 2, {"phase": "applying"})


def test_record_on_disk(tmp_path):
    record = RunFile(str(tmp_path / "deploy/runs.json"))
    assert record.read() == []
    runs = [{**run(str(number)), "outcome": "passed"} for number in range(run_record.RUNS_KEPT + 5)]
    record.write(runs)
    assert record.read() == runs[5:]
    (tmp_path / "deploy/runs.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        record.read()
