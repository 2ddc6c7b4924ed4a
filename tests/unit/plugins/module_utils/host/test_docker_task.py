# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.host import docker_task


@pytest.mark.parametrize("flag", [["--config-file", "/etc/mine.json"], ["--config-file=/etc/mine.json"]])
def test_dockerd_checks_the_new_file_with_its_own_flags_and_without_its_own_file(monkeypatch, flag):
    asked = []
    monkeypatch.setattr(docker_task.daemon, "run", lambda _words: "--validate")
    done = subprocess.CompletedProcess([], 0, "", "")
    monkeypatch.setattr(docker_task.subprocess, "run", lambda words, **_more: asked.extend(words) or done)
    docker_task.validate(b"{}", "/etc/mine.json", ["/usr/bin/dockerd", "-H", "fd://", *flag, "--debug"], {})
    assert asked[:5] == ["/usr/bin/dockerd", "-H", "fd://", "--debug", "--config-file"]
    assert "/etc/mine.json" not in asked


def test_a_container_that_ends_by_itself_all_the_time_is_not_said_to_be_lost():
    """RQ refuses a name that Redis still holds: after a boot its worker is started anew for minutes."""

    def container(identity, restarts):
        state = {"StartedAt": "1970-01-01T00:10:00.5Z"}
        return Container({"Id": identity, "RestartCount": restarts, "State": state})

    found = [container("bot", 0), container("worker", 3)]
    assert [entry.id for entry in docker_task.steady(found, now=655.0)] == ["bot"]
    assert docker_task.steady(found, now=661.0) == found
