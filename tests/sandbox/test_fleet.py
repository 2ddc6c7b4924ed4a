# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Several hosts: `headroom_serial` of the inventory decides how many at a time, and a canary that fails ends the run.

The hosts are four names of one small host, with a project folder that does not exist: the first of them fails.
"""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml

from sandbox.environment import ROOT

NAMES = ["first", "second", "third", "fourth"]


@pytest.mark.parametrize(("serial", "reached"), [(None, 1), ([2, "100%"], 2)])
def test_a_canary_that_fails_ends_the_run(instance, tmp_path, serial, reached):
    connection = yaml.safe_load(instance.inventory.read_text())["all"]["hosts"]["smallhost"]
    variables = {"headroom_project_src": "/opt/nowhere", **({"headroom_serial": serial} if serial else {})}
    inventory = tmp_path / "inventory.yml"
    inventory.write_text(
        yaml.safe_dump({"all": {"hosts": dict.fromkeys(NAMES, connection), "vars": variables}}, sort_keys=False)
    )
    done = subprocess.run(
        ["ansible-playbook", "-i", str(inventory), str(ROOT / "playbooks/stage1.yml")],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout
    failed = re.findall(r"^fatal: \[(\w+)\]: FAILED!", done.stdout, re.MULTILINE)
    assert sorted(failed) == sorted(NAMES[:reached]), done.stdout
    assert "/opt/nowhere does not exist" in done.stdout
    untouched = set(NAMES) - set(re.findall(r"\[(\w+)\]", done.stdout))
    assert untouched == set(NAMES[reached:]), done.stdout
