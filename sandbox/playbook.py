# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The collection's playbooks, run on a host of the sandbox as the operator of the reference stack would run them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sandbox.environment import ROOT
from sandbox.state import Instance

VARIABLES = ROOT / "sandbox/stack/headroom.yml"


def argv(
    instance: Instance, name: str, variables: Mapping[str, Any] | None = None, options: Sequence[str] = ()
) -> list[str]:
    """Return the command that runs playbooks/NAME.yml with the reference stack's variables and more of them."""
    words = ["ansible-playbook", "-i", str(instance.inventory), "-e", f"@{VARIABLES}"]
    return [*words, "-e", json.dumps(variables or {}), *options, str(ROOT / f"playbooks/{name}.yml")]


def run(
    instance: Instance, name: str, folder: Path, variables: Mapping[str, Any] | None = None, *options: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook to its end, whatever that is, from a folder where it may write its report."""
    command = argv(instance, name, variables, options)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def failures(output: str) -> list[str]:
    """Return the messages of the tasks that failed and were not rescued by the playbook, in order."""
    found = re.findall(r"^fatal: \[\S+\]: FAILED! => (\{.*)$", output, re.MULTILINE)
    return [str(json.loads(text).get("msg", "")) for text in found]


def changed(output: str) -> int:
    """Return how many tasks a run changed, by its recap. Raises LookupError where the recap is missing."""
    match = re.search(r"^\S+\s+: ok=\d+\s+changed=(\d+)", output, re.MULTILINE)
    if not match:
        raise LookupError("the playbook run printed no recap")
    return int(match[1])
