# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One task of ours against what exists, in one playbook run: in turns, the order changing from round to round.

Neither may change anything: what is timed is the run that happens every day, with nothing to do. Ratios are taken pair
by pair, so that what else the machine does hits both alike.
"""

from __future__ import annotations

import dataclasses
import datetime
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from typing import Any

# PyPI has the collections too: https://pypi.org/project/ansible/
ANSIBLE_PACKAGE = "ansible==11.13.0"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

Task = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Measured:
    """Seconds of each round, ours and theirs, in the order of the rounds."""

    ours: list[float]
    theirs: list[float]

    @property
    def medians(self) -> tuple[float, float]:
        return statistics.median(self.ours), statistics.median(self.theirs)

    @property
    def ratio(self) -> float:
        """How many times as long theirs takes: the median of the pairs."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.ours, self.theirs))

    @property
    def won(self) -> int:
        return sum(ours < theirs for ours, theirs in zip(self.ours, self.theirs))


def enter(*modules: str) -> None:
    """Go on in the virtual environment of the tests where this Python lacks Ansible or one of these modules."""
    if all(importlib.util.find_spec(name) for name in ("ansible", *modules)):
        return
    sys.path.insert(0, CHECKOUT)
    from sandbox.environment import become

    become(*sys.argv)


def collections(*names: str) -> str:
    """Return a collections folder with these (as "ansible.posix") out of PyPI's package; it is kept in the cache."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "headroom")
    folder = os.path.join(cache, "-".join([ANSIBLE_PACKAGE.replace("==", "-"), *sorted(names)]))
    if os.path.isdir(folder):
        return folder
    wanted = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in names)
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, ANSIBLE_PACKAGE]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(os.path.join(download, os.listdir(download)[0])) as wheel:
            files = [name for name in wheel.namelist() if name.startswith(wanted)]
            wheel.extractall(os.path.join(download, "out"), files)
        os.makedirs(cache, exist_ok=True)
        shutil.move(os.path.join(download, "out"), folder)
    return folder


def own_collection(folder: str) -> str:
    """Make a collections folder with this checkout in it, whatever the checkout's own folder is called."""
    place = os.path.join(folder, "ansible_collections", "smallhost")
    os.makedirs(place)
    os.symlink(CHECKOUT, os.path.join(place, "headroom"))
    return folder


def _playbook(ours: Task, theirs: Task, rounds: int, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """Both once before anything is timed, then the rounds."""
    pair = ({"name": "ours", **ours}, {"name": "theirs", **theirs})
    tasks = [{**task, "name": "prepare"} for task in pair]
    for number in range(rounds):
        tasks += pair if number % 2 else pair[::-1]
    return [{"hosts": "all", "gather_facts": False, "vars": variables, "tasks": tasks}]


def _seconds(task: Task) -> float:
    start, end = (datetime.datetime.fromisoformat(task["task"]["duration"][key][:26]) for key in ("start", "end"))
    return (end - start).total_seconds()


def _run(book: str, path: str) -> list[Task]:
    """Return the tasks of a playbook run on this machine, with their durations. Exits where it fails."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": path,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    program = shutil.which("ansible-playbook", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    if program is None:
        sys.exit("ansible-playbook was not found: run this with a Python that has ansible-core.")
    command = [program, "-i", "localhost,", "-c", "local", book]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ansible-playbook failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
    return list(json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"])


def measure(
    work: str, ours: Task, theirs: Task, *, rounds: int, needs: tuple[str, ...], variables: dict[str, Any] | None = None
) -> Measured:
    """Time two tasks against each other on this machine; `needs` names the collections that theirs comes from.

    `work` is a folder for files, removed by the caller. Exits where a task fails, or changes something in a round.
    """
    book = os.path.join(work, "bench.yml")
    with open(book, "w", encoding="utf-8") as stream:
        json.dump(_playbook(ours, theirs, rounds, variables or {}), stream)
    # The callback that tells durations is ansible.posix's.
    path = f"{own_collection(os.path.join(work, 'own'))}:{collections('ansible.posix', *needs)}"
    seen: dict[str, list[float]] = {"ours": [], "theirs": []}
    for task in _run(book, path):
        name = task["task"]["name"]
        if name in seen:
            if task["hosts"]["localhost"]["changed"]:
                sys.exit(f"{name} changed something, so this is no measurement of a run with nothing to change.")
            seen[name].append(_seconds(task))
    return Measured(seen["ours"], seen["theirs"])
