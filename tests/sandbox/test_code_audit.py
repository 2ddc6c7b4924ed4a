# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit of the reference stack's code: its planted faults are on the page, and nothing on the host changes.

HEADROOM_STACK_HOST names a host that runs the reference stack already and is left as it is; without it one is made
and removed.
"""

from __future__ import annotations

import os
import re
import subprocess

import pytest

from sandbox import fingerprint, host, state
from sandbox.environment import ROOT
from sandbox.providers import container as providers
from sandbox.stack import TARGET
from sandbox.stack import host as stack_host
from sandbox.stack_images import PROJECT

GIVEN = os.environ.get("HEADROOM_STACK_HOST")
NAME = GIVEN or "code-test"
VARIABLES = ROOT / "sandbox/stack/headroom.yml"


@pytest.fixture(scope="module")
def instance():
    if GIVEN:
        yield state.require(NAME)
        return
    yield stack_host.bring_up(NAME)
    providers.down(NAME)
    host.down(NAME)


@pytest.fixture(scope="module")
def page(instance, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    before = fingerprint.take(instance, PROJECT, TARGET)
    done = subprocess.run(
        ["ansible-playbook", "-i", str(instance.inventory), "-e", f"@{VARIABLES}", "-e", f"code_audit_folder={folder}",
         "playbooks/code_audit.yml"],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert re.search(r"changed=0\s", done.stdout)
    assert fingerprint.differences(before, fingerprint.take(instance, PROJECT, TARGET), same_containers=True) == []
    assert "<h1>The code of smallhost</h1>" in (folder / "smallhost-code.html").read_text()
    return (folder / "smallhost-code.md").read_text()


@pytest.mark.parametrize(
    ("place", "what"),
    [
        ("app/bot/handlers.py", "translate() in async def cmd_translate"),
        ("app/web/api.py", "usage_stats() in async def stats"),
        ("app/services/images.py", "(S113)"),
        ("app/worker/tasks.py", "(S113)"),
        ("app/services/llm.py", "AsyncOpenAI() without timeout"),
        ("app/services/images.py", "generate holds the download as a whole"),
    ],
)
def test_planted_faults_are_on_the_page(page, place, what):
    assert [line for line in page.splitlines() if f"| {place}:" in line and what in line]


def test_imports_were_measured_in_the_image(page):
    costs = dict(re.findall(r"^\| (\w+) \| (\d+\.\d) \| \d+\.\d\d \|$", page, re.MULTILINE))
    assert float(costs["aiogram"]) > 80
    assert 1 < float(costs["PIL"]) < 40
    assert "lazy-models" in page
