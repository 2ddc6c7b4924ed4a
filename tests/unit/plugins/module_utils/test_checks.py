# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import checks, project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project

MODULES = Path(project_task.__file__).parents[1] / "modules"

# It says of itself how often it was asked.
DOCKER = """\
#!/bin/sh
case "$*" in *" config "*) echo asked >> {folder}/asked ;; esac
printf '{{"name": "bot", "services": {{"api": {{"image": "api", "environment": {{"POOL": "2"}}}}}}}}'
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project whose engine is away, with a stand-in for Compose; the parameters of a task on it."""
    (tmp_path / "compose.yaml").write_text("services:\n  api:\n    image: api\n    environment:\n      POOL: 2\n")
    (tmp_path / "docker").write_text(DOCKER.format(folder=tmp_path))
    (tmp_path / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    return {
        "project_src": str(tmp_path),
        "state_dir": str(tmp_path / "state"),
        "docker_host": f"unix://{tmp_path}/no.sock",
    }


def service(place, name, value):
    services = [{"name": name, "environment": [{"name": "POOL", "value": value}]}]
    return {"module": "compose_service", "args": {**place, "services": services}}


def test_every_module_that_is_offered_calls_the_same_code():
    for name, task in checks.TASKS.items():
        text = (MODULES / f"{name}.py").read_text()
        assert f"module_utils.tasks import {name} as task" in text
        assert task.ARGUMENT_SPEC and callable(task.work)


def test_one_that_fails_stops_no_other_and_compose_is_asked_once(place, tmp_path):
    rows = checks.look(
        [
            service(place, "api", "2"),
            service(place, "apo", "2"),
            {"module": "compose_service", "args": {"services": [{"nam": "api"}]}},
            {"module": "compose_limits", "args": {**place, "services": [{"name": "api", "memory": "1M"}]}},
            service(place, "api", "2"),
        ]
    )
    assert [row["changed"] for row in rows] == [False] * 5
    first, unknown, wrong, away, last = (row["error"] for row in rows)
    assert first is None and last is None
    assert "Did you mean api?" in unknown
    assert "missing required arguments: project_src" in wrong and "nam" in wrong
    assert away.startswith("The Docker engine does not answer at unix://")
    assert not checks.in_place(rows) and checks.in_place(rows[:1])
    # Once, and once more with all profiles for the service that is not there.
    assert (tmp_path / "asked").read_text().count("asked") == 2


def test_a_look_ends_with_what_it_has_found(place):
    with project_task.one_look():
        task = {"files": [], "project_name": None, **place}
        assert project_task.find_project(task, None) is project_task.find_project(task, None)
    assert project_task.find_project(task, None) is not project_task.find_project(task, None)
    assert isinstance(project_task.find_project(task, None), project.Project)


def test_an_error_that_nobody_expected_is_told_too(place, monkeypatch):
    def work(_module):
        raise KeyError("surprise")

    monkeypatch.setattr(checks.TASKS["swap_file"], "work", work)
    (row,) = checks.look([{"module": "swap_file", "args": {}}])
    assert row["error"] == "KeyError: 'surprise'" and not checks.in_place([row])


def test_services_that_wait_are_gathered_from_both_forms_of_a_result():
    services = [{"name": "api", "recreate_pending": True}, {"name": "bot", "recreate_pending": False}]
    assert checks.pending({"services": services, "recreate_pending": ["worker"]}) == ["api", "worker"]
    assert checks.pending({"changed": False}) == []
