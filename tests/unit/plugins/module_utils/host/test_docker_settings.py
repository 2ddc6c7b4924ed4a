# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, docker_settings, docker_task
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

SURVIVE, STOP = "Containers keep running through it under live-restore.", "That start stops all containers."


class Engine:
    """A dockerd that takes live-restore from its file when it is told to, and keeps it where the file is silent."""

    def __init__(self, folder, monkeypatch):
        self.file = folder / "daemon.json"
        self.flags: list[str] = []
        self.live = False
        self._state = str(folder / "state")
        monkeypatch.setattr(docker_task.os, "kill", lambda _pid, _signal: self.read())
        monkeypatch.setattr(docker_task, "_info", lambda _socket: self.info())
        monkeypatch.setattr(docker_settings, "validate", lambda *_unused: "nobody")
        monkeypatch.setattr(docker_settings.docker_share, "measure", dict)

    def read(self):
        settings = json.loads(self.file.read_text()) if self.file.exists() else {}
        self.live = settings.get("live-restore", self.live)

    def info(self):
        return {"LiveRestoreEnabled": self.live, "LoggingDriver": "json-file"}

    def run(self, act, settings=(), check_mode=False):
        """Returns the only warning."""
        argv = ["dockerd", f"--config-file={self.file}", *self.flags]
        engine = docker_task.Daemon(os.getpid(), argv, "docker.service", "/run/docker.sock", self.info())
        params = {"settings": dict(settings), "restart": False, "docker_host": None, "pidfile": ""}
        with Journal("_host", self._state).opened(check_mode, 1.0) as journal:
            task = docker_task.Task(params, "owner", journal, check_mode, engine)
            act(task)
        (warning,) = task.warnings
        return warning


@pytest.fixture
def engine(tmp_path, monkeypatch):
    return Engine(tmp_path, monkeypatch)


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"userland-proxy": False}, STOP),
        ({"userland-proxy": False, "live-restore": True}, SURVIVE),
        ({"userland-proxy": False, "live-restore": False}, STOP),
    ],
)
def test_what_the_next_start_does_to_containers_is_said_as_it_is(engine, settings, said, check_mode):
    assert engine.run(docker_settings.present, settings, check_mode).endswith(said)


def test_live_restore_that_the_file_no_longer_says_does_not_reach_over_a_start(engine):
    engine.live = True
    assert engine.run(docker_settings.present, {"userland-proxy": False}).endswith(STOP)
    engine.flags = ["--live-restore"]
    assert engine.run(docker_settings.present, {"userland-proxy": False}).endswith(SURVIVE)


def test_live_restore_that_was_never_read_is_not_in_force(engine):
    engine.file.write_text('{"live-restore": true}')
    engine.flags = ["--live-restore=false"]
    assert engine.run(docker_settings.present, {"userland-proxy": False}).endswith(STOP)


@pytest.mark.parametrize("check_mode", [True, False])
def test_an_undo_that_switches_live_restore_off_says_that_containers_stop(engine, monkeypatch, check_mode):
    settings = {"userland-proxy": False, "live-restore": True}
    engine.run(docker_settings.present, settings)
    monkeypatch.setattr(daemon, "identity", lambda _pid: "started since then")
    assert engine.run(docker_settings.absent, check_mode=check_mode).endswith(STOP)
    assert engine.live is check_mode
