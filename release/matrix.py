# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every ansible-core that the collection is for, and every Python that its modules are for."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from release import tools
from sandbox.environment import ROOT
from sandbox.process import SandboxError

# The controller's Pythons by ansible-core: its documentation's support matrix,
# https://docs.ansible.com/ansible/latest/reference_appendices/release_and_maintenance.html#ansible-core-support-matrix
CORES: Mapping[str, Sequence[str]] = {
    "2.17": ("3.10", "3.11", "3.12"),
    "2.18": ("3.11", "3.12", "3.13"),
    "2.19": ("3.11", "3.12", "3.13"),
    "2.20": ("3.12", "3.13", "3.14"),
    "2.21": ("3.12", "3.13", "3.14"),
}
TARGET_PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
# The newest ansible-core that still runs on an old Python; module_utils need nothing of it but its own module_utils.
UNIT_REQUIREMENTS = ("ansible-core", "pytest", "-r", str(ROOT / "tests/unit/requirements.txt"))
UNIT_TESTS = ("tests/unit/plugins", "tests/unit/roles/monitoring")
SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one row of the matrix came to: `passed`, `failed`, or why it was not run; `detail` in one line."""

    what: str
    result: str
    detail: str
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.what:44}{self.result:9}{self.seconds:5.0f} s  {self.detail}"


Python = tuple[str, str]  # its version as "3.12", and the path of an interpreter


def choose(cores: Mapping[str, Sequence[str]], present: Callable[[str], str | None]) -> dict[str, Python | None]:
    """Return for each ansible-core a Python that is present here; None where none is.

    One that no other core has taken comes first, so that as many as possible are seen.
    """
    taken: set[str] = set()
    chosen: dict[str, Python | None] = {}
    for core, versions in cores.items():
        here = [(version, path) for version in versions if (path := present(version))]
        fresh = [pair for pair in here if pair[0] not in taken]
        chosen[core] = next(iter(fresh or here), None)
        taken.update(version for version, _path in (fresh or here)[:1])
    return chosen


def _pytest(what: str, argv: Sequence[str], variables: Mapping[str, str], show: Callable[[str], None]) -> Outcome:
    """Run pytest and return its closing line; where it failed, `show` gets all that it printed."""
    began = time.monotonic()
    try:
        done = subprocess.run(
            [*argv, "-q", "-p", "no:cacheprovider"], cwd=ROOT, env={**os.environ, **variables},
            capture_output=True, text=True, check=False, timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(what, "failed", f"not finished after {SECONDS:.0f} s", time.monotonic() - began)
    lines = [line for line in done.stdout.splitlines() if re.search(r"\b(passed|failed|error|skipped)\b", line)]
    if done.returncode:
        show(done.stdout[-6000:] + done.stderr[-2000:])
    detail = lines[-1].strip("= ") if lines else done.stderr.strip()[-200:]
    return Outcome(what, "failed" if done.returncode else "passed", detail, time.monotonic() - began)


def controllers(host: str, show: Callable[[str], None], only: Sequence[str] = ()) -> Iterator[Outcome]:
    """Install the package with each ansible-core, and run stage 1 from it on a sandbox host of that name."""
    for core, python in choose(CORES, tools.interpreter).items():
        if only and core not in only:
            continue
        what = f"ansible-core {core}"
        if python is None:
            yield Outcome(what, "NOT RUN", f"needs Python {' or '.join(CORES[core])}; none was found here")
            continue
        try:
            binaries = tools.environment(f"core-{core}", python[1], [f"ansible-core=={core}.*"])
        except SandboxError as error:
            yield Outcome(what, "failed", str(error)[:200])
            continue
        argv = ["pytest", str(ROOT / "tests/sandbox/test_installed.py")]
        given = {"HEADROOM_ANSIBLE": str(binaries), "HEADROOM_STACK_HOST": host}
        yield _pytest(f"{what}, Python {python[0]}, stage 1", argv, given, show)


def targets(show: Callable[[str], None]) -> Iterator[Outcome]:
    """Run the unit tests of what runs on the target under each Python."""
    for version in TARGET_PYTHONS:
        what = f"unit tests, Python {version}"
        python = tools.interpreter(version)
        if python is None:
            yield Outcome(what, "NOT RUN", "no such Python was found here")
            continue
        try:
            binaries = tools.environment(f"units-{version}", python, UNIT_REQUIREMENTS)
        except SandboxError as error:
            yield Outcome(what, "failed", str(error)[:200])
            continue
        yield _pytest(what, [str(binaries / "python"), "-m", "pytest", *UNIT_TESTS], {}, show)
