# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role in check mode on this machine: what is left to systemd-tmpfiles is held against the same rules."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.media import rules

COLLECTIONS = str(rules.__file__).partition("/ansible_collections/")[0]
ROLE = Path(COLLECTIONS) / "ansible_collections/smallhost/headroom/roles/media_cleanup"
PROGRAM = shutil.which("ansible-playbook", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="ansible-playbook is not installed")


def check(tmp_path: Path, *folders: dict) -> subprocess.CompletedProcess:
    """What --check --diff says on a machine with systemd 252."""
    systemctl = tmp_path / "systemctl"
    systemctl.write_text("#!/bin/sh\necho 'systemd 252 (252.38-1~deb12u1)'\n")
    systemctl.chmod(0o755)
    (tmp_path / "play.yml").write_text(
        "- hosts: localhost\n  gather_facts: false\n  roles: [smallhost.headroom.media_cleanup]\n"
    )
    words = [str(PROGRAM), "-i", "localhost,", "-c", "local", "--check", "--diff"]
    known = {"headroom_project_src": str(tmp_path), "ansible_python_interpreter": sys.executable}
    words += ["-e", json.dumps({"media_cleanup_folders": folders, **known})]
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"}
    environment.update(ANSIBLE_COLLECTIONS_PATH=COLLECTIONS, ANSIBLE_LOCALHOST_WARNING="False")
    return subprocess.run(
        [*words, "play.yml"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )


def test_folders_for_systemd_tmpfiles_are_previewed_and_their_ages_are_seconds(tmp_path):
    for name in ("timer", "by_days", "short"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to("by_days")
    done = check(
        tmp_path,
        {"path": f"{tmp_path}/link", "max_age": "14D", "open_may_go": True},
        {"path": f"{tmp_path}/timer", "max_age": "1d"},
        {"path": f"{tmp_path}/short", "max_age": "4s", "open_may_go": True},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # systemd-tmpfiles follows no link, and knows neither 14D nor what is to be kept whatever its age.
    assert re.findall(r'^\+e "(.*)" - - - (.*)$', done.stdout, re.MULTILINE) == [
        (f"{tmp_path}/by_days", "cmCM:1209600s"),
        (f"{tmp_path}/short", "cmCM:3600s"),
    ]
    assert f"{tmp_path}/by_days: 0 files, 0.0 MB; in use and going too: 0" in done.stdout
    assert f"{tmp_path}/timer: 0 files, 0.0 MB; in use and kept: 0" in done.stdout


def test_service_sees_the_folders_in_tmp_that_are_previewed():
    unit = (ROLE / "templates/headroom-media-cleanup.service.j2").read_text().splitlines()
    assert "ProtectSystem=strict" in unit
    assert "PrivateTmp=true" not in unit


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"path": "/opt", "max_age": "14d"}, "of the system"),
        ({"max_age": "two weeks"}, "is not an age"),
    ],
)
def test_what_the_timer_would_refuse_is_not_left_to_systemd_tmpfiles(tmp_path, entry, said):
    done = check(tmp_path, {"path": str(tmp_path), "open_may_go": True, **entry})
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stdout
    assert "\n+e " not in done.stdout
