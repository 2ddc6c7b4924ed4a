# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What modules return, against what Ansible keeps for itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

yaml = pytest.importorskip("yaml")

MODULES = sorted((Path(__file__).resolve().parents[4] / "plugins/modules").glob("*.py"))

# ansible-core's own keys of a task's result; 2.21 turns `skipped` and its like into booleans, whatever a module says.
RESERVED = {"skipped", "failed", "unreachable", "exception", "invocation", "results", "ansible_facts", "stdout_lines"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_no_result_has_a_name_of_ansibles_own(path):
    assigned = {
        node.targets[0].id: node.value.value
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
    }
    assert RESERVED.isdisjoint(yaml.safe_load(assigned["RETURN"]))


def test_the_modules_are_found():
    assert len(MODULES) >= 20
