# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import checks, project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project

MODULES = Path(project_task.__file__).parents[1] / "modules"

# It says of itself how often it was asked. `tool` is in a profile that is not active.
DOCKER = """\
#!/bin/sh
tool=
case "$*" in *" config "*) echo asked >> {folder}/asked ;; esac
case "$*" in *" --profile "*) tool=', "tool": {{"image": "tool", "environment": {{"POOL": "2"}}}}' ;; esac
printf '{{"name": "bot", "services": {{"api": {{"image": "api", "environment": {{"POOL": "2"}}}}%s}}}}' "$tool"
"""
FILE = """\
services:
  api:
    image: api
    environment:
      POOL: 2
  tool:
    image: tool
    profiles: [by hand]
    environment:
      POOL: 2
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A project whose engine is away, with a stand-in for Compose; the parameters of a task on it."""
    (tmp_path / "compose.yaml").write_text(FILE)
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


def look(*asked):
    return checks.look(asked, set())


def test_every_module_that_is_offered_calls_the_same_code():
    for name, task in checks.TASKS.items():
        text = (MODULES / f"{name}.py").read_text()
        assert f"module_utils.tasks import {name} as task" in text
        assert task.ARGUMENT_SPEC and callable(task.work)


def test_one_that_fails_stops_no_other_and_compose_is_asked_once(place, tmp_path):
    rows = look(
        service(place, "api", "2"),
        service(place, "apo", "2"),
        {"module": "compose_service", "args": {"services": [{"nam": "api"}]}},
        {"module": "compose_limits", "args": {**place, "services": [{"name": "api", "memory": "1M"}]}},
        service(place, "api", "2"),
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


def test_what_one_check_asks_for_shows_in_no_others_answer(place):
    tool = {"services": [{"name": "tool", "definition": {"image": "tool"}}]}
    added = {"module": "compose_added_service", "args": {**place, **tool}}
    first, second = look(service(place, "tool", "2"), added)
    assert first["error"] is None
    assert look(added) == [second]


def test_the_project_is_the_one_that_the_engine_tells_of(place):
    class Engine:
        def compose_labels(self):
            folder = place["project_src"]
            files = {project.LABEL_FOLDER: folder, project.LABEL_FILES: f"{folder}/compose.yaml"}
            return [{project.LABEL_PROJECT: "running", **files}]

    task = {"files": [], "project_name": None, **place}
    with project_task.one_look():
        assert project_task.find_project(task, None).name == "bot"
        assert project_task.find_project(task, Engine()).name == "running"


def test_a_look_ends_with_what_it_has_found(place, tmp_path):
    task = {"files": [], "project_name": None, **place}

    def asked():
        project_task.find_project(task, None).config()
        return (tmp_path / "asked").read_text().count("asked")

    with project_task.one_look():
        assert [asked(), asked()] == [1, 1]
    assert [asked(), asked()] == [2, 3]


def test_an_error_that_nobody_expected_is_told_too(place, monkeypatch):
    def work(_module):
        raise KeyError("surprise")

    monkeypatch.setattr(checks.TASKS["swap_file"], "work", work)
    (row,) = look({"module": "swap_file", "args": {}})
    assert row["error"] == "KeyError: 'surprise'" and not checks.in_place([row])


def test_secrets_are_known_whatever_comes_of_a_check(monkeypatch):
    def work(module):
        module.no_log_values.add("of the server")
        module.fail_json(msg="no")

    monkeypatch.setattr(checks.TASKS["redis_maxmemory"], "work", work)
    secrets = set()
    for more in ({}, {"policy": "none"}):
        checks.look([{"module": "redis_maxmemory", "args": {"password": "given", **more}}], secrets)
        assert "given" in secrets
    assert "of the server" in secrets


def test_warnings_are_told_with_the_check_that_they_are_of(place):
    (row,) = look(service(place, "api", "2"))
    assert row["error"] is None
    assert [text for text in row["warnings"] if "does not answer" in text] == row["warnings"] != []


def test_services_that_wait_are_gathered_from_both_forms_of_a_result():
    services = [{"name": "api", "recreate_pending": True}, {"name": "bot", "recreate_pending": False}]
    assert checks.pending({"services": services, "recreate_pending": ["worker"]}) == ["api", "worker"]
    assert checks.pending({"changed": False}) == []
