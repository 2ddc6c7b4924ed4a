# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stages 1 and 2 (but for the images) against a playbook of general collections, and against a script made by hand.

    python3 -m bench.peers [--stages 2] [--users 10] [--rounds 3] [--only ours ...] [--out FILE.json] [--keep]

Each works on a sandbox host of its own that is like the others. The first run happens while users are at work; then
all run again with nothing to change, ours and the playbook in turns. Looked at from outside: times, tasks, restarts,
jobs lost, and what the kernel, the engine and Redis say in the end. Ends with 1 where our run with nothing to change
takes more than HALF of the playbook's time. With --stages 4 ours is `site.yml`, all four stages. Takes half an hour on
a quiet machine: what the script leaves behind is waited for as long as it may take to get well.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.rounds import collections
from sandbox import fingerprint, host, playbook, ssh
from sandbox.environment import ROOT
from sandbox.process import SandboxError, say, step
from sandbox.stack import deploy
from sandbox.stack.host import bring_up
from sandbox.stack_images import PROJECT
from sandbox.state import Instance

HERE = Path(__file__).resolve().parent
HALF = 0.5
GUARD_SECONDS = 20  # of our first run; the default is 60. It is part of the time shown.
SETTLE_SECONDS = 600.0  # RQ forgets a dead worker's name after 480 s at most
LOOKS = 5
NEEDS = ("ansible.posix", "community.docker", "community.general", "community.library_inventory_filtering_v1")
MEGABYTE = 1024 * 1024

SCRIPT = "script"

# What no run can show, because the peer has nothing for it.
NOT_COVERED = {
    "ours": [],
    "playbook": [
        "limits from what is in use: every figure is looked up and typed in; one too low is applied all the same",
        "a limit without a restart: Compose recreates what has changed",
        "a check of what Compose would do: its own dry run is not to be relied on (docker/compose#14029)",
        "a job that outlives the old container's grace period",
        "whoever starts the project without the second -f loses all of it, without a word",
        "watching the stack, undo, an undo by itself, what has been changed and when",
    ],
    SCRIPT: [
        "everything in the line above",
        "swap, huge pages, the journal, limits of processes and of memory and swap together, the worker's stop",
        "a check; a backup that is still the original after the second run",
    ],
}


@dataclasses.dataclass(frozen=True)
class Peer:
    """One way of doing it, on a host of its own."""

    name: str
    instance: Instance
    stages: int
    folder: Path

    def commands(self, again: bool) -> list[list[str]]:
        """Return the programs of a run, one after the other; `again` is the run with nothing to change."""
        if self.name == "ours":
            variables: dict[str, Any] = {"headroom_guard_seconds": GUARD_SECONDS}
            if self.stages < 4:
                # Item 4 builds images for minutes, which the peers do not.
                variables["stage2_configuration_images_leave"] = ["bot", "api", "worker-image"]
            names = ["site"] if again and self.stages == 4 else [f"stage{n + 1}" for n in range(self.stages)]
            return [playbook.argv(self.instance, name, variables) for name in names]
        if self.name == "playbook":
            # A container cannot have swap of its own; ours finds that out by itself.
            extra = json.dumps({"swap_wanted": self.instance.kind == "vm"})
            return [
                ["ansible-playbook", "-i", str(self.instance.inventory), "-e", extra, str(HERE / "collections.yml")]
            ]
        return [ssh.argv(self.instance, ["sh", "-s"])]

    def run(self, label: str, again: bool = False) -> dict[str, Any]:
        """Run it once. Returns seconds, tasks and changes; raises SandboxError with the end of the output."""
        path = f"{os.environ['ANSIBLE_COLLECTIONS_PATH']}:{collections(*NEEDS)}"
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": path}
        script = (HERE / "by_hand.sh").read_text() if self.name == SCRIPT else ""
        log, began, tasks, changed = "", time.monotonic(), 0, 0
        for argv in self.commands(again):
            done = subprocess.run(
                argv, cwd=self.folder, env=environment, input=script, capture_output=True, text=True, check=False
            )
            log += done.stdout + done.stderr
            if done.returncode:
                raise SandboxError(f"{self.name}, {label}: code {done.returncode}\n{log[-3000:]}")
            recap = re.search(r"^\S+\s+: ok=(\d+)\s+changed=(\d+)", done.stdout, re.MULTILINE)
            if recap:
                tasks, changed = tasks + int(recap[1]), changed + int(recap[2])
        seconds = time.monotonic() - began
        (self.folder / f"{self.name}-{label}.log").write_text(log)
        return {"seconds": seconds, "tasks": tasks, "changed": changed}


@contextlib.contextmanager
def users_at_work(peer: Peer, users: int) -> Iterator[dict[str, Any]]:
    """Keep users busy while the body runs; afterwards the yielded dictionary holds the load's report, if any."""
    if not users:
        yield {}
        return
    file = peer.folder / f"{peer.name}-load.json"
    argv = [
        sys.executable,
        "-m",
        "sandbox.load",
        "--users",
        str(users),
        "--seconds",
        "900",
        "--seed",
        "1",
        "--drain",
        "60",
    ]
    argv += ["--think", "exponential:3", "--out", str(file), "--name", peer.instance.name]
    report: dict[str, Any] = {}
    running = subprocess.Popen(argv, stdout=subprocess.DEVNULL, cwd=ROOT)
    try:
        time.sleep(10)
        yield report
        time.sleep(10)
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=240)
        report.update(json.loads(file.read_text()))
    finally:
        running.kill()


@contextlib.contextmanager
def starts_counted(instance: Instance) -> Iterator[dict[str, int]]:
    """Count how often each container is started while the body runs, by looking once a second.

    The engine's events would not do: they end with the engine, which the script restarts.
    """
    # The empty line ends the loop once nobody listens: without a terminal nothing else does.
    look = "docker ps -q | xargs -r docker inspect -f '{{.Name}} {{.State.StartedAt}}' 2> /dev/null"
    loop = f"while sleep 1; do echo; {look}; done"
    counts: dict[str, int] = {}
    # Into a file: a pipe that nobody reads is full after some minutes, and the looking stops.
    with tempfile.TemporaryFile("w+") as seen:
        watching = subprocess.Popen(ssh.argv(instance, [loop]), stdout=seen, stdin=subprocess.DEVNULL)
        try:
            time.sleep(3)
            yield counts
            time.sleep(3)
        finally:
            watching.terminate()
            watching.wait()
        seen.seek(0)
        output = seen.read()
    for name, _started in {tuple(line.split()) for line in output.splitlines() if len(line.split()) == 2}:
        counts[name.lstrip("/")] = counts.get(name.lstrip("/"), -1) + 1


def outcome(seen: dict[str, Any]) -> dict[str, Any]:
    """Return what a probe of the host says about the plan's wishes, in words and figures."""
    containers = {entry["service"]: entry for entry in seen["containers"]}
    redis, settings = containers["redis"], seen["redis"]
    limit, maxmemory = redis["limit"], int(settings["maxmemory"])
    kernel = seen["kernel"]
    return {
        "services limited": sum(entry["limit"] is not None for entry in containers.values()),
        "and their swap": sum(
            entry["limit"] is not None and entry["limit_with_swap"] in (entry["limit"], 0)
            for entry in containers.values()
        ),
        "API processes": 2 if any("--workers 2" in line for line in containers["api"]["processes"]) else 1,
        "policy": settings["maxmemory-policy"],
        "maxmemory / limit": f"{maxmemory / limit:.2f}" if limit else "no limit",
        "OOM kills": sum(entry["oom_kills"] for entry in containers.values()),
        "restarts by the engine": sum(entry["restarts"] for entry in containers.values()),
        "swappiness": kernel.get("/proc/sys/vm/swappiness"),
        "host MB": seen["host"]["used"] // MEGABYTE,
    }


def first_run(peer: Peer, users: int) -> dict[str, Any]:
    with step(f"{peer.name}: first run, {users} users at work"):
        with users_at_work(peer, users) as report, starts_counted(peer.instance) as starts:
            result = peer.run("first")
            began = time.monotonic()
            result["until well"] = None
            # A container that is killed at each start, for want of memory, never gets well: that is a result.
            with contextlib.suppress(SandboxError):
                deploy.wait_until_healthy(peer.instance, seconds=SETTLE_SECONDS)
                result["until well"] = time.monotonic() - began
    found = {"jobs lost": "-", "jobs failed": "-", "jobs unfinished": "-", "requests failed": "-"}
    if report:
        sides = (report, report["api"])
        bad = sum(side["failed"] + side["unanswered"] for side in sides)
        found = {f"jobs {fate}": report["jobs"][fate] for fate in ("lost", "failed", "unfinished")}
        found["requests failed"] = f"{bad} of {sum(side['sent'] for side in sides)}"
    return {**result, "starts": dict(starts), **found}


def run_again(peer: Peer, number: int) -> dict[str, Any]:
    with starts_counted(peer.instance) as starts:
        result = peer.run(f"again-{number}", again=True)
    return {**result, "starts": dict(starts)}


def look(peer: Peer) -> dict[str, Any]:
    """Return the outcome on the peer's host. A container that ends while it is looked at has the probe fail."""
    for attempt in range(LOOKS):
        try:
            seen = fingerprint.measure(peer.instance, PROJECT)
            break
        except SandboxError:
            if attempt == LOOKS - 1:
                raise
    count = "cat /etc/sysctl.conf /etc/sysctl.d/*.conf | grep -c '^vm.swappiness' || true"
    return {**outcome(seen), "lines for swappiness": int(ssh.execute(peer.instance, count))}


def measure(peers: list[Peer], users: int, rounds: int, file: Path | None) -> dict[str, Any]:
    """Take every peer through its first run, then through the rounds with nothing to change, in turns.

    The script comes first, and its host is stopped then: containers that it makes start for ever must not take time
    from the others. Its second run is compared with nobody's, so one does.
    """
    results: dict[str, Any] = json.loads(file.read_text()) if file and file.exists() else {}

    def save() -> None:
        if file:
            file.write_text(json.dumps(results, indent=1) + "\n")

    for peer in sorted(peers, key=lambda peer: peer.name != SCRIPT):
        if peer.name in results:
            continue
        result: dict[str, Any] = {"first": first_run(peer, users), "again": []}
        if peer.name == SCRIPT:
            with step("the script again"):
                result["again"].append(run_again(peer, 1))
            result["outcome"] = look(peer)
            ssh.execute(peer.instance, deploy.compose("stop 2>&1"))
        results[peer.name] = result
        save()
    timed = [peer for peer in peers if peer.name != SCRIPT]
    for number in range(rounds):
        with step(f"nothing to change, round {number + 1} of {rounds}"):
            for peer in timed if number % 2 else timed[::-1]:
                results[peer.name]["again"].append(run_again(peer, number + 1))
    for peer in timed:
        results[peer.name]["outcome"] = look(peer)
    save()
    return {name: results[name] for name in NOT_COVERED if name in results}


def table(results: dict[str, Any]) -> str:
    """Return the comparison, a column for each way."""
    rows: list[tuple[str, list[Any]]] = []

    def row(label: str, value: Any) -> None:
        rows.append((label, [value(result) for result in results.values()]))

    row("first run, s", lambda r: f"{r['first']['seconds']:.0f}")
    row("its tasks", lambda r: r["first"]["tasks"] or "-")
    row("its container starts", lambda r: sum(r["first"]["starts"].values()))
    row("until all is well, s", lambda r: "never" if (s := r["first"]["until well"]) is None else f"{s:.0f}")
    for label in ("jobs lost", "jobs failed", "jobs unfinished", "requests failed"):
        row(label, lambda r, label=label: r["first"][label])
    row("nothing to change, s", lambda r: f"{statistics.median(a['seconds'] for a in r['again']):.1f}")
    row("its tasks", lambda r: r["again"][-1]["tasks"] or "-")
    row("its changes", lambda r: r["again"][-1]["changed"])
    row("its container starts", lambda r: sum(r["again"][-1]["starts"].values()))
    for label in next(iter(results.values()))["outcome"]:
        row(label, lambda r, label=label: r["outcome"][label])
    head = f"{'':26}" + "".join(f"{name:>16}" for name in results)
    return "\n".join([head, *(f"{label:26}" + "".join(f"{cell!s:>16}" for cell in cells) for label, cells in rows)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m bench.peers", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--stages", type=int, choices=(1, 2, 3, 4), default=2, help="stages of ours")
    parser.add_argument("--users", type=int, default=10, help="users at work during the first run, 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="runs with nothing to change")
    parser.add_argument("--only", nargs="+", choices=list(NOT_COVERED), default=list(NOT_COVERED))
    parser.add_argument("--out", type=Path, help="results; what is in it already is not done again (use --keep)")
    parser.add_argument("--keep", action="store_true", help="leave the hosts up")
    options = parser.parse_args()
    names = {name: f"peers-{name}" for name in options.only}
    with tempfile.TemporaryDirectory(prefix="headroom-peers-") as work:
        try:
            peers = [Peer(name, bring_up(at), options.stages, Path(work)) for name, at in names.items()]
            results = measure(peers, options.users, options.rounds, options.out)
        except SandboxError as error:
            say(f"error: {error}")
            return 1
        finally:
            for at in () if options.keep else names.values():
                host.down(at)
    print(table(results) if options.rounds else json.dumps(results, indent=1))
    for name in options.only:
        for line in NOT_COVERED[name]:
            print(f"not covered, {name}: {line}")
    if {"ours", "playbook"} - set(results) or not options.rounds:
        return 0
    ours, theirs = (statistics.median(a["seconds"] for a in results[name]["again"]) for name in ("ours", "playbook"))
    print(f"nothing to change: ours takes {ours / theirs:.2f} of the playbook's time (at most {HALF})")
    return 0 if ours / theirs <= HALF else 1


if __name__ == "__main__":
    sys.exit(main())
