# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One small host with the reference stack for all tests here, and users who are at work on it.

HEADROOM_STACK_HOST names a host that runs the stack already and is left as it is; without it one is made and removed.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sandbox import fingerprint, host, playbook, ssh, state
from sandbox.environment import ROOT
from sandbox.stack import TARGET
from sandbox.stack import host as stack_host
from sandbox.stack_images import PROJECT

GIVEN = os.environ.get("HEADROOM_STACK_HOST")


@pytest.fixture(scope="session")
def instance(tmp_path_factory):
    found = state.require(GIVEN) if GIVEN else stack_host.bring_up("rollout-test")
    done = playbook.run(found, "prepare", tmp_path_factory.mktemp("prepare"))
    assert done.returncode == 0, done.stdout
    yield found
    if not GIVEN:
        host.down(found.name)


def services(probe: bool = False, **changes: dict[str, Any]) -> list[dict[str, Any]]:
    """The operator's services, with settings of some of them (by role) changed.

    Without the probe, nothing is judged by its latency: what a test is not about must not depend on how busy this
    machine is otherwise.
    """
    listed = yaml.safe_load(playbook.VARIABLES.read_text())["headroom_services"]
    merged = [{**entry, **changes.get(entry["role"], {})} for entry in listed]
    return [{key: value for key, value in entry.items() if probe or key != "probe"} for entry in merged]


def look(instance: state.Instance) -> dict[str, Any]:
    """Files, running containers, limits and Redis of the host."""
    return fingerprint.take(instance, PROJECT, TARGET)


def differences(before: dict[str, Any], instance: state.Instance) -> list[str]:
    return fingerprint.differences(before, look(instance), same_containers=False)


def runs(instance: state.Instance) -> list[dict[str, Any]]:
    """The record of rollouts on the host, oldest first."""
    text = ssh.execute(instance, f"cat /var/lib/headroom/{PROJECT}/runs.json 2> /dev/null || true")
    return json.loads(text)["runs"] if text else []


@contextlib.contextmanager
def users(instance: state.Instance, folder: Path, mix: str = "everyday", count: int = 5) -> Iterator[Path]:
    """Keep simulated users at work while the body runs; the file that is yielded has their report afterwards."""
    report = folder / "load.json"
    argv = [sys.executable, "-m", "sandbox.load", "--name", instance.name, "--users", str(count), "--mix", mix]
    argv += ["--seconds", "3600", "--think", "exponential:3", "--seed", "7", "--out", str(report)]
    with (folder / "load.log").open("wb") as log:
        running = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        try:
            yield report
            running.send_signal(2)  # it ends as it would by itself: late answers are waited for, the report is written
            running.wait(timeout=180)
        finally:
            running.kill()
