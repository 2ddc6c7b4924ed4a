# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All tests of the project, part by part: what `bin/test` runs."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from sandbox import apt
from sandbox.environment import ROOT
from sandbox.process import run, say

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"

# ansible-test downloads a script of this name from a place that not every machine reaches; pip comes with Python too.
GET_PIP = """\
import subprocess
import sys

wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
subprocess.check_call([sys.executable, "-m", "ensurepip", "--upgrade", "--default-pip"])
subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
"""


class Failed(Exception):
    """A part of the tests failed; its output has been printed."""


def call(*argv: str, cwd: Path = ROOT) -> None:
    """Run a program with its output shown. Raises Failed when it does not end with code 0."""
    status = subprocess.run(argv, cwd=cwd, check=False, stdin=subprocess.DEVNULL).returncode
    if status:
        raise Failed(f"{' '.join(argv)} ended with code {status}")


def staged_copy(folder: str) -> Path:
    """Copy the checkout into a folder that is named like the collection: ansible-test works nowhere else."""
    target = Path(folder) / "ansible_collections/smallhost/headroom"
    target.mkdir(parents=True)
    names = run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"])
    present = [name for name in names.split("\0") if name and (ROOT / name).exists()]
    archive = Path(folder) / "checkout.tar"
    run(["tar", "-C", str(ROOT), "--null", "-T", "-", "-cf", str(archive)], stdin="\0".join(present).encode())
    run(["tar", "-C", str(target), "-xf", str(archive)])
    run(["git", "-C", str(target), "init", "-q"])
    run(["git", "-C", str(target), "add", "-A"])
    return target


def ansible_test(*arguments: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        call("ansible-test", *arguments, "--python", PYTHON, "--color", "no", cwd=staged_copy(folder))


def lint() -> None:
    call("ruff", "check", ".")
    call("ruff", "format", "--check", ".")
    call("mypy", "--no-error-summary", "plugins/module_utils", "sandbox", "release")
    gateway = ROOT / "roles/stage3_caching/files/gateway"
    call("mypy", "--no-error-summary", "--strict", "--python-version", "3.11", "--cache-dir", str(ROOT / ".mypy_cache"),
         "headroom_gateway", cwd=gateway)  # fmt: skip
    call("ansible-lint", "--offline", "--profile", "production")


def sanity() -> None:
    script = Path.home() / ".ansible/test/cache/get_pip_24_2.py"
    if not script.exists():
        script.parent.mkdir(parents=True, exist_ok=True)
        script.write_text(GET_PIP)
    ansible_test("sanity", "--local", "--requirements")


def units() -> None:
    apt.install("redis-server")  # what reads queues is tried on a real one
    ansible_test("units", "--local", "--requirements")
    # ansible-test works on a copy, which has no published compose files beside it.
    call("pytest", "-q", "tests/sandbox/unit", "tests/unit/plugins/module_utils/compose/test_edit_cases.py")


def integration() -> None:
    apt.install("redis-server")
    call(sys.executable, "-m", "sandbox", "engine")
    ansible_test("integration", "--local", "--requirements", "--allow-root", "--allow-destructive")


def sandbox() -> None:
    """Run what needs a small host with the reference stack: one for all tests, untouched by each of them."""
    from sandbox import host
    from sandbox.stack.host import bring_up

    apt.install("chromium")  # the report is opened in it
    name = "tests"
    os.environ["HEADROOM_STACK_HOST"] = bring_up(name).name
    try:
        # The package is installed and used with every ansible-core by the part `matrix`.
        left_out = [f"--ignore=tests/sandbox/{name}" for name in ("unit", "test_installed.py")]
        call("pytest", "-q", "tests/sandbox", "tests/report", *left_out)
    finally:
        del os.environ["HEADROOM_STACK_HOST"]
        host.down(name)


def molecule() -> None:
    call("molecule", "test", "--all")


def release() -> None:
    """Ask Galaxy's importer, ansible-builder and antsibull-docs what they think of the package."""
    call(sys.executable, "-m", "release", "check")


def matrix() -> None:
    """Run stage 1 from the package with every ansible-core, and the unit tests with every Python."""
    call(sys.executable, "-m", "release", "matrix")


PARTS: dict[str, Callable[[], None]] = {
    part.__name__: part for part in (lint, sanity, units, integration, sandbox, molecule, release, matrix)
}
FAST = ("lint", "sanity", "units")
# In a run of everything these go on beside the later parts, which wait for the engine most of the time.
BESIDE = ("lint", "sanity")
# Before a release, by name: they take a quarter of an hour, and Pythons that not every machine has.
ON_REQUEST = ("release", "matrix")


def in_turn(parts: Sequence[str]) -> int:
    """Run parts one after the other, up to one that fails. Returns the exit code."""
    for part in parts:
        say(f"tests: {part}")
        began = time.monotonic()
        try:
            PARTS[part]()
        except Failed as failure:
            say(f"tests: {part} FAILED after {time.monotonic() - began:.0f} s: {failure}")
            return 1
        say(f"tests: {part} passed in {time.monotonic() - began:.0f} s")
    return 0


def main() -> int:
    everything = f"Run all tests but {' and '.join(ON_REQUEST)}, or only some parts."
    parser = argparse.ArgumentParser(prog="bin/test", description=everything)
    parser.add_argument("--fast", action="store_true", help=f"only {', '.join(FAST)}")
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="only these parts")
    options = parser.parse_args()
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    if options.part or options.fast:
        return in_turn(options.part or FAST)
    if in_turn(["units"]):
        return 1
    with tempfile.TemporaryFile("w+") as output:
        argv = [sys.executable, "-m", "sandbox.checks", *BESIDE]
        beside = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=ROOT)
        try:
            status = in_turn([part for part in PARTS if part not in (*FAST, *ON_REQUEST)])
            failed = beside.wait() != 0
        finally:
            beside.kill()
        output.seek(0)
        sys.stdout.write(output.read())
    return 1 if failed else status


if __name__ == "__main__":
    sys.exit(main())
