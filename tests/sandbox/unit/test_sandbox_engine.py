# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import engine
from sandbox.process import SandboxError

ELSEWHERE = "ssh://root@engine.example.org"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a docker client and no engine; the file says where the client looks for one."""
    endpoint = tmp_path / "endpoint"
    program = tmp_path / "docker"
    program.write_text(f'#!/bin/sh\n[ "$1" = context ] && exec cat {endpoint}\nexit 1\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(engine, "_have_daemon", lambda: False)
    return endpoint


@pytest.mark.parametrize(
    ("socket_there", "elsewhere", "missing"),
    [(False, False, True), (True, False, False), (False, True, False)],
)
def test_an_engine_is_installed_only_where_none_ever_was(
    client: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    socket_there: bool,
    elsewhere: bool,
    missing: bool,
) -> None:
    socket = tmp_path / "docker.sock"
    if socket_there:
        socket.touch()
    monkeypatch.setattr(engine, "LOCAL_ENDPOINT", f"unix://{socket}")
    client.write_text(ELSEWHERE if elsewhere else engine.LOCAL_ENDPOINT)
    assert engine._client_without_engine() is missing


def test_an_engine_elsewhere_that_does_not_answer_is_named(client: Path) -> None:
    client.write_text(ELSEWHERE)
    with pytest.raises(SandboxError, match=ELSEWHERE):
        engine.ensure()
