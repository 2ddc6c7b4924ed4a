# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import subprocess

import pytest
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
