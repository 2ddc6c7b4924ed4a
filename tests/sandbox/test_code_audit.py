# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit of the reference stack's code: its planted faults are on the page, and nothing on the host changes."""

from __future__ import annotations

import re

import pytest

from sandbox import fingerprint, playbook
from sandbox.environment import ROOT
from sandbox.stack import TARGET
from sandbox.stack_images import PROJECT


@pytest.fixture(scope="module")
def page(instance, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    before = fingerprint.take(instance, PROJECT, TARGET)
    done = playbook.run(instance, "code_audit", ROOT, {"code_audit_folder": str(folder)})
    assert done.returncode == 0, done.stdout[-4000:]
    assert playbook.changed(done.stdout) == 0
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
