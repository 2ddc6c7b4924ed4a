# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The main job on a throwaway host: a real stack, under load, goes through the stages. What `bin/demo` runs."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox import fingerprint, host, playbook, state
from sandbox.process import SandboxError, say, step
from sandbox.stack import TARGET
from sandbox.stack.host import bring_up
from sandbox.stack_images import PROJECT
from sandbox.state import Instance
from sandbox.table import comparison

STAGES = ("stage1", "stage2", "stage3", "stage4")
LOAD_SECONDS = 25
GUARD_SECONDS = 20  # enough to see the watch at work; a real host is given a minute
SEED = 1
THINK = "exponential:3"  # seconds; busier than people are, so that so short a time says something


class DemoError(SandboxError):
    """The demo saw something that the collection promises not to happen."""


@dataclasses.dataclass
class Session:
    """One demo on one host; everything it writes is in `folder`."""

    instance: Instance
    users: int
    folder: Path

    def playbook(self, name: str, *arguments: str) -> str:
        """Run a playbook as an operator would and return its output, which is kept in a log file too.

        Raises DemoError with the end of the output when the playbook fails.
        """
        log = self.folder / f"{time.strftime('%H%M%S')}-{name}.log"
        result = playbook.run(self.instance, name, self.folder, {"headroom_guard_seconds": GUARD_SECONDS}, *arguments)
        log.write_text(result.stdout + result.stderr)
        if result.returncode:
            raise DemoError(
                f"{shlex.join(result.args)} failed; all of its output is in {log}. Its end:\n{result.stdout[-3000:]}"
            )
        return result.stdout

    @contextlib.contextmanager
    def load(self, label: str, seconds: int) -> Iterator[Path]:
        """Keep the users busy while the body runs, and for `seconds` at least; yields the file of the load's report."""
        report = self.folder / f"load-{label}.json"
        argv = [sys.executable, "-m", "sandbox.load", "--users", str(self.users), "--seconds", str(seconds)]
        argv += ["--seed", str(SEED), "--think", THINK, "--out", str(report), "--name", self.instance.name]
        running = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
        try:
            yield report
            if running.wait(timeout=seconds + 120):
                raise DemoError(f"the load ended with code {running.returncode}")
        finally:
            running.kill()

    def fingerprint(self) -> dict[str, Any]:
        return fingerprint.take(self.instance, PROJECT, TARGET)

    def observe(self, label: str) -> dict[str, Any]:
        """Return what the host looks like while and after the users were at work."""
        with self.load(label, LOAD_SECONDS) as report:
            time.sleep(LOAD_SECONDS)
            seen = fingerprint.measure(self.instance, PROJECT)
        return {**seen, "load": json.loads(report.read_text())}


def take_through(session: Session, name: str) -> list[dict[str, Any]]:
    """Check, apply and repeat a stage under load. Returns the reports of the load while it ran.

    Raises DemoError where the check changed something or the second run did.
    """
    before = session.fingerprint()
    with step(f"{name}: --check --diff"):
        output = session.playbook(name, "--check", "--diff")
    touched = fingerprint.differences(before, session.fingerprint(), same_containers=True)
    if touched:
        raise DemoError("the check changed something:\n" + "\n".join(touched))
    say(f"{name}: the check announced {playbook.changed(output)} changed tasks and touched nothing")
    with session.load(name, seconds=45) as report, step(f"{name}: apply it while {session.users} users are at work"):
        output = session.playbook(name)
    say(f"{name}: {playbook.changed(output)} tasks changed something")
    with step(f"{name}: second run"):
        again = playbook.changed(session.playbook(name))
    if again:
        raise DemoError(f"the second run of {name} reports changed={again}")
    say(f"{name}: the second run changed nothing")
    return [json.loads(report.read_text())]


def run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    folder = state.cache_dir() / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    session = Session(bring_up("demo", options.host), options.users, folder)
    with step("install what the modules need on the host"):
        session.playbook("prepare")
    with step(f"as found: {options.users} users for {LOAD_SECONDS} s"):
        before = session.observe("before")
    during: list[dict[str, Any]] = []
    for name in STAGES[: options.stage]:
        during += take_through(session, name)
    with step(f"after stage {options.stage}: {options.users} users for {LOAD_SECONDS} s"):
        after = session.observe("after")
    (folder / "result.json").write_text(json.dumps({"before": before, "during": during, "after": after}, indent=1))
    print(comparison(before, after, during))
    say(f"finished in {time.monotonic() - began:.0f} s; figures in {folder / 'result.json'}")
    lost = sum(entry["load"]["jobs"]["lost"] for entry in (before, after)) + sum(e["jobs"]["lost"] for e in during)
    if lost:
        say(f"error: {lost} jobs were lost")
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="bin/demo", description=__doc__)
    stages = range(1, len(STAGES) + 1)
    parser.add_argument("--stage", type=int, choices=stages, default=1, help="up to this stage (default: %(default)s)")
    parser.add_argument("--users", type=int, default=5, help="simulated users (default: %(default)s)")
    parser.add_argument("--host", choices=host.KINDS, default="container", help="kind of throwaway host")
    parser.add_argument("--keep", action="store_true", help="leave the host running afterwards")
    parser.add_argument("--clean", action="store_true", help="remove everything that the demo ever made, and end")
    options = parser.parse_args()
    try:
        if options.clean:
            host.clean()
            return 0
        try:
            return run(options)
        finally:
            if not options.keep:
                host.down("demo")
    except SandboxError as error:
        say(f"error: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
