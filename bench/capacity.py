# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many users the reference stack carries on a host of 2.9 GB: as found, and after each of the stages.

    python3 -m bench.capacity [--users 5 50 100 200 500] [--stages 4] [--seconds 45] [--out FILE.json] [--plot FILE.svg]

One host goes through the stages; after each, more and more users work on it until something breaks: requests that fail,
answers or pictures that do not come, processes that the kernel kills, jobs lost, or a latency above SLOWER times that
of the smallest number of users as found. Latency is the 95th percentile over the answers that nobody queues for (all
but pictures). Memory is the host's own and each container's, the median of looks while the users are at work. The
smallest number of users works FEW times as long, because their percentile is what all others are held against.
Ends with 1 where TARGET_USERS after all stages use more than TARGET_MB, or break something. Takes three quarters of
an hour; the load, the providers and the host share this machine's processors, so it must do nothing else. With --out
and --keep, a run that was ended goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.provider_calls import empty_cache
from sandbox import fingerprint, host, playbook
from sandbox.environment import ROOT
from sandbox.process import SandboxError, say, step
from sandbox.stack import deploy
from sandbox.stack.host import bring_up
from sandbox.stack_images import PROJECT
from sandbox.state import Instance

NAME = "capacity"
FOUND = "as found"
LOOK_EVERY = 5.0  # seconds
DRAIN = 45  # seconds that late answers get
FEW, SLOWER = 4, 1.2
CACHING = 3  # the stage that brings the cache
TARGET_USERS, TARGET_MB = 50, 600
MB = 1e6
LINE = 14  # of text in the plot, in its units


def titles(stages: int) -> list[str]:
    """The states that the host goes through."""
    return [FOUND, "stage 1", *(f"stages 1-{number}" for number in range(2, stages + 1))][: stages + 1]


def observe(instance: Instance, users: int, seconds: float, folder: Path) -> dict[str, Any]:
    """Let users work. Returns medians of memory in bytes, kernel kills during the load, and the load's own report."""
    deploy.wait_until_healthy(instance)
    file = folder / "load.json"
    argv = [sys.executable, "-m", "sandbox.load", "--name", instance.name, "--users", str(users), "--out", str(file)]
    argv += ["--seconds", str(seconds), "--drain", str(DRAIN)]
    kills = sum(entry["oom_kills"] for entry in fingerprint.measure(instance, PROJECT)["containers"])
    with (folder / "load.log").open("w+") as log:
        running = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
        looks: list[dict[str, int]] = []
        while running.poll() is None:
            time.sleep(LOOK_EVERY)
            seen = fingerprint.measure(instance, PROJECT)
            services = {entry["service"]: entry["working_set"] for entry in seen["containers"]}
            looks.append({"host": seen["host"]["used"], **services})
        if running.returncode:
            log.seek(0)
            raise SandboxError(f"the load ended with code {running.returncode}: {log.read()[-2000:]}")
    load = json.loads(file.read_text())
    return {
        "users": users,
        "memory": {name: statistics.median(look.get(name, 0) for look in looks) for name in looks[0]},
        "kills": sum(entry["oom_kills"] for entry in seen["containers"]) - kills,
        "latency": load["prompt"]["latency"],
        "sent": load["sent"] + load["api"]["sent"],
        "failed": load["failed"] + load["api"]["failed"],
        "unanswered": load["prompt"]["unanswered"] + load["api"]["unanswered"],
        "jobs": load["jobs"],
        "paid_calls": load["paid_calls"],
        "failures": load["failures"],
    }


def broken(seen: dict[str, Any], base: float | None) -> list[str]:
    """Return what is not as users expect it; `base`: the latency in seconds that theirs is held against."""
    p95, jobs = seen["latency"]["p95"], seen["jobs"]
    found = {
        f"{seen['kills']} processes killed by the kernel": seen["kills"],
        f"{seen['failed']} of {seen['sent']} requests failed {list(seen['failures'])[:1]}": seen["failed"],
        f"{seen['unanswered']} requests without an answer after {DRAIN} s": seen["unanswered"],
        f"{jobs['lost']} jobs lost": jobs["lost"],
        f"{jobs['unfinished']} pictures still in the queue after {DRAIN} s": jobs["unfinished"],
    }
    if base and p95:
        found[f"p95 {p95 * 1000:.0f} ms, {p95 / base:.2f} times that of few users as found"] = p95 > base * SLOWER
    return [text for text, is_so in found.items() if is_so]


def measure(instance: Instance, options: argparse.Namespace, folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Take the host through its states, and in each through the numbers of users until something breaks."""
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out and options.out.exists() else {}
    base = None
    for number, title in enumerate(titles(options.stages)):
        levels = results.setdefault(title, [])
        is_done = len(levels) == len(options.users) or any(level["broken"] for level in levels)
        if not is_done:
            name = f"stage{number}" if number else "prepare"
            with step(name):
                done = playbook.run(instance, name, folder, {"headroom_guard_seconds": 0})
            if done.returncode:
                raise SandboxError(f"{name} failed: {playbook.failures(done.stdout)}")
        for users in [] if is_done else options.users[len(levels) :]:
            if number >= CACHING:
                empty_cache(instance.name)  # each number of users asks the questions of the one before
            with step(f"{title}: {users} users"):
                seen = observe(instance, users, options.seconds * (FEW if users == options.users[0] else 1), folder)
            seen["broken"] = broken(seen, base)
            levels.append(seen)
            if options.out:
                options.out.write_text(json.dumps(results, indent=1) + "\n")
            say("; ".join(seen["broken"]) or "all well")
            if seen["broken"]:
                break
        base = base or levels[0]["latency"]["p95"]
    return results


def table(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return the figures, a line for each state and number of users."""
    services = sorted({name for levels in results.values() for level in levels for name in level["memory"]} - {"host"})
    short = [name.removeprefix("headroom-")[:9] for name in services]
    head = ["", "users", "host", "a user", *short, "p50 ms", "p95 ms", "sent", "paid"]
    lines = ["MB, but where it says otherwise", f"{head[0]:<12}" + "".join(f"{word:>10}" for word in head[1:])]
    for title, levels in results.items():
        for level in levels:
            memory = level["memory"]
            sizes = [f"{memory[name] / MB:.1f}" if memory.get(name) else "-" for name in services]
            seconds = [level["latency"][share] for share in ("p50", "p95")]
            latency = ["-" if value is None else f"{value * 1000:.0f}" for value in seconds]
            used = memory["host"] / MB
            cells = [level["users"], f"{used:.0f}", f"{used / level['users']:.1f}", *sizes, *latency]
            cells += [level["sent"], level["paid_calls"]]
            lines.append(f"{title:<12}" + "".join(f"{cell!s:>10}" for cell in cells))
            lines += [f"{'':<16}{text}" for text in level["broken"]]
    for title in results:
        lines.append(f"{title} carries {carried(results[title])} users")
    return "\n".join(lines)


def carried(levels: list[dict[str, Any]]) -> int:
    """The largest number of users with whom nothing broke."""
    return max((level["users"] for level in levels if not level["broken"]), default=0)


def plot(results: dict[str, list[dict[str, Any]]]) -> str:
    """Return a drawing (SVG): the host's memory over the number of users, a line for each state."""
    width, height, left, bottom = 640, 360, 60, 320
    users = sorted({level["users"] for levels in results.values() for level in levels})
    top = max(level["memory"]["host"] for levels in results.values() for level in levels) / MB * 1.1
    across = {
        count: left + 30 + index * (width - left - 160) / max(len(users) - 1, 1) for index, count in enumerate(users)
    }
    colours = ("#b3261e", "#b06000", "#7a6a00", "#1a7340", "#0b57d0")

    def down(megabytes: float) -> float:
        return bottom - megabytes / top * (bottom - 20)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">']
    parts.append('<g font-size="12" fill="#444">')
    parts += [f'<text x="{x:.0f}" y="{bottom + 18}" text-anchor="middle">{count}</text>' for count, x in across.items()]
    parts.append(f'<text x="{left}" y="{height - 8}">users; a ring: something broke</text>')
    parts.append('<text x="4" y="14">MB in use on the host</text>')
    for value in range(0, int(top), 200):
        parts.append(f'<text x="{left - 8}" y="{down(value) + 4:.0f}" text-anchor="end">{value}</text>')
        parts.append(f'<path d="M{left} {down(value):.1f}H{width - 130}" stroke="#ddd"/>')
    parts.append("</g>")
    names: list[tuple[float, float, str, str]] = []
    for (title, levels), colour in zip(results.items(), colours):
        points = [(across[level["users"]], down(level["memory"]["host"] / MB), level["broken"]) for level in levels]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _broken in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y, has_broken in points:
            fill = "#fff" if has_broken else colour
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{fill}" stroke="{colour}" stroke-width="2"/>')
        names.append((points[-1][1] + 4, points[-1][0] + 9, title, colour))
    above = 0.0
    for y, x, title, colour in sorted(names):
        above = max(y, above + LINE)  # names of lines that end close together stand below each other
        parts.append(f'<text x="{x:.1f}" y="{above:.1f}" font-size="12" fill="{colour}">{title}</text>')
    return "\n".join([*parts, "</svg>", ""])


def verdict(results: dict[str, list[dict[str, Any]]], stages: int) -> list[str]:
    """Return which of the targets are missed."""
    last = next((level for level in results[titles(stages)[-1]] if level["users"] == TARGET_USERS), None)
    if last is None:
        return [f"{TARGET_USERS} users after all stages: not measured"]
    used = last["memory"]["host"] / MB
    missed = [f"{TARGET_USERS} users use {used:.0f} MB, more than {TARGET_MB}"] if used > TARGET_MB else []
    missed += [f"{TARGET_USERS} users: {text}" for text in last["broken"]]
    before, after = carried(results[FOUND]), carried(results[titles(stages)[-1]])
    return missed + ([f"{after} users carried, as found {before}: less than ten times"] if after < 10 * before else [])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m bench.capacity", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--users", type=int, nargs="+", default=[5, 50, 100, 200, 500])
    parser.add_argument("--stages", type=int, choices=range(5), default=4, help="stages to go through")
    parser.add_argument("--seconds", type=float, default=45.0, help="time in which users start requests")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="what is in it already is not measured again")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg")
    parser.add_argument("--keep", action="store_true", help="leave the host up")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="headroom-capacity-") as folder:
            results = measure(bring_up(NAME), options, Path(folder))
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    finally:
        if not options.keep:
            host.down(NAME)
    print(table(results))
    if options.plot:
        options.plot.write_text(plot(results))
    missed = verdict(results, options.stages)
    for text in missed:
        print(f"missed: {text}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
