# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`kill -9` of ansible-playbook at ten random moments of site.yml, while users are at work.

After each, the next run ends well (and the one after the first of those has nothing to do), or the rollback gives
everything back, in turn; and each time it is given back in the end. No job is lost over all of them. Takes an hour and
a half; HEADROOM_KILLS and HEADROOM_KILL_SEED divide it among hosts (HEADROOM_STACK_HOST).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from conftest import differences, look, runs, services, users

from sandbox import playbook
from sandbox.stack.deploy import wait_until_healthy

KILLS = int(os.environ.get("HEADROOM_KILLS", "10"))
SEED = int(os.environ.get("HEADROOM_KILL_SEED", "1"))
VARIABLES = {"headroom_guard_seconds": 10, "headroom_services": services()}


def well(instance, name: str, folder: Path, variables: dict[str, Any]) -> str:
    """Run a playbook that has to end well; its output."""
    done = playbook.run(instance, name, folder, variables)
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def give_back(instance, folder: Path, before: dict[str, Any]) -> None:
    well(instance, "rollback", folder, {"stage": 1})
    wait_until_healthy(instance)
    assert differences(before, instance) == []


def killed(instance, folder: Path, after: float) -> str:
    """Start site.yml, kill it after so many seconds; the last task that it had announced."""
    with (folder / "killed.log").open("w+") as log:
        running = subprocess.Popen(playbook.argv(instance, "site", VARIABLES), cwd=folder, stdout=log, stderr=log)
        time.sleep(after)
        running.send_signal(signal.SIGKILL)
        running.wait()
        log.seek(0)
        tasks = [line for line in log if line.startswith("TASK")]
    return tasks[-1].strip(" *\n") if tasks else "before the first task"


def test_killed_at_random_moments(instance, tmp_path):
    before = look(instance)
    chance = random.Random(SEED)
    with users(instance, tmp_path) as report:
        for _again in range(2):  # the first run builds images, which an undo leaves for the next one
            began = time.monotonic()
            well(instance, "site", tmp_path, VARIABLES)
            whole = time.monotonic() - began
            give_back(instance, tmp_path, before)
            print(f"site.yml took {whole:.0f} s and was given back", flush=True)
        for number in range(KILLS):
            moment = chance.uniform(0, whole)
            task = killed(instance, tmp_path, moment)
            print(f"killed after {moment:.1f} of {whole:.1f} s, {len(runs(instance))} runs begun: {task}", flush=True)
            if number % 2 == 0:
                well(instance, "site", tmp_path, VARIABLES)
                if number == 0:
                    assert playbook.changed(well(instance, "site", tmp_path, VARIABLES)) == 0
            give_back(instance, tmp_path, before)
            assert runs(instance)[-1]["outcome"] is not None
    found = json.loads(report.read_text())
    print(found["jobs"])
    assert found["jobs"]["finished"] > 0
    assert found["jobs"]["lost"] == 0
