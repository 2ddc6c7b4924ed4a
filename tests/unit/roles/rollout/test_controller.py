# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who holds the lock of a rollout, and whether that one is still there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles/rollout/files/controller.sh"

# The process that called is a fork of process 4242, whose arguments are $ARGUMENTS.
PS = """\
#!/bin/sh
case "$*" in
  "-o args= -p 4242") echo "$ARGUMENTS" ;;
  "-o ppid= -p 4242") echo 1 ;;
  "-o ppid= "*) echo 4242 ;;
  "-o lstart= -p 4242") echo Fri Nov 28 17:00:00 2025 ;;
esac
"""


def call(*words, **variables):
    environment = {**os.environ, **variables}
    done = subprocess.run(["sh", str(SCRIPT), *words], env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def who(tmp_path):
    (tmp_path / "ps").write_text(PS)
    (tmp_path / "ps").chmod(0o755)
    return lambda arguments: call("who", ARGUMENTS=arguments, PATH=f"{tmp_path}:{os.environ['PATH']}")


@pytest.mark.parametrize(
    "arguments",
    [
        "/usr/bin/python3 /usr/bin/ansible-playbook -i inventory stage1.yml",
        "/opt/venv/bin/python -m ansible playbook -i inventory stage1.yml",
        "/usr/bin/python3 /usr/local/bin/ansible-runner worker",
    ],
)
def test_a_rollouts_process_is_named(who, arguments):
    assert who(arguments).endswith(" pid 4242 since Fri Nov 28 17:00:00 2025")


def test_no_process_is_named_that_may_end_before_the_rollout(who):
    """A fork of an unknown program is gone with its task: nobody could be told from somebody killed."""
    holder = who("/usr/bin/python3 something.py")
    assert "pid" not in holder
    assert call("gone", holder) == ""


@pytest.mark.parametrize("zone", ["UTC0", "Asia/Tokyo", "America/New_York"])
def test_another_time_zone_and_language_sees_the_same_process(zone):
    started = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(os.getpid())],
        env={**os.environ, "TZ": "UTC0", "LC_ALL": "C"}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    holder = f"{user}@{os.uname().nodename} pid {os.getpid()} since {started.stdout.strip()}"
    assert call("gone", holder, TZ=zone, LC_ALL="de_DE.UTF-8") == ""
    assert call("gone", holder.replace(f"pid {os.getpid()} ", "pid 999999999 ")) == "gone"
