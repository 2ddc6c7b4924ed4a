# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference stack at 50 users without and with stage 4: the same images, the same code, the same requests, one run.

    python3 -m bench.stage4 [--before stage1 ...] [--users 50] [--seconds 75]

Memory is each container's working set from the kernel's files, looked at every few seconds while the users are at work;
compared are the medians. Both times the containers are new. Ends with 1 where the bot's working set does not fall by
45 %, the application's containers' sum by 30 %, an answer differs, or the 95th percentile of the latency rises by more
than 5 %. Takes about seven minutes, of which the load is half; run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from sandbox import fingerprint, host, playbook, ssh, state
from sandbox.environment import ROOT
from sandbox.process import SandboxError, say, step
from sandbox.stack import deploy
from sandbox.stack.host import bring_up
from sandbox.stack_images import PROJECT
from sandbox.state import Instance

APPLICATION = ("api", "bot", "worker-image")
LOOK_EVERY = 4.0  # seconds
BOT_SAVED, SUM_SAVED, SLOWER = 0.45, 0.30, 1.05
# What only the stand-in's clock and the queue decide is not this stage's latency.
PROMPT_KINDS = ("text", "stream", "chat", "translate")


def apply(instance: Instance, name: str, variables: dict[str, Any] | None = None) -> None:
    """Run a playbook as an operator would, without the watch: the load comes afterwards."""
    folder = Path(instance.folder)
    done = playbook.run(instance, name, folder, {"headroom_guard_seconds": 0, **(variables or {})})
    if done.returncode:
        raise SandboxError(f"{name} failed: {playbook.failures(done.stdout)}")


def observe(instance: Instance, label: str, options: argparse.Namespace) -> dict[str, Any]:
    """Let the users work, and look at the containers meanwhile. Returns medians and peaks in bytes, and the load's."""
    deploy.wait_until_healthy(instance)
    report = Path(instance.folder) / f"load-{label}.json"
    argv = [sys.executable, "-m", "sandbox.load", "--name", instance.name, "--users", str(options.users)]
    argv += ["--seconds", str(options.seconds), "--think", options.think, "--drain", "90", "--answers"]
    argv += ["--out", str(report)]
    running = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)
    looks: list[dict[str, int]] = []
    while running.poll() is None:
        time.sleep(LOOK_EVERY)
        seen = fingerprint.measure(instance, PROJECT)["containers"]
        looks.append({entry["service"]: entry["working_set"] for entry in seen})
    if running.returncode:
        raise SandboxError(f"the load ended with code {running.returncode}")
    seen = fingerprint.measure(instance, PROJECT)["containers"]
    return {
        "median": {name: statistics.median(look[name] for look in looks) for name in looks[0]},
        "peak": {name: max(look[name] for look in looks) for name in looks[0]},
        "kills": sum(entry["oom_kills"] for entry in seen),
        "limits": {entry["service"]: entry["limit"] for entry in seen},
        "load": json.loads(report.read_text()),
    }


def answers(run: dict[str, Any]) -> dict[tuple[int, int], tuple[str, str, str | None]]:
    """(user, number) -> kind, prompt, digest of the answer."""
    return {
        (entry["user"], entry["number"]): (entry["kind"], entry["prompt"], entry["answer"])
        for entry in run["load"]["answers"]
    }


def same_answers(before: dict[str, Any], after: dict[str, Any]) -> tuple[int, list[str]]:
    """How many requests were answered both times, and those whose answers differ."""
    one, two = answers(before), answers(after)
    both = one.keys() & two.keys()
    return len(both), [f"{one[key][:2]}" for key in sorted(both) if one[key] != two[key]]


def latency(run: dict[str, Any]) -> float:
    """Seconds: the 95th percentile of the answers that nobody queues for, the largest of the kinds."""
    kinds = [run["load"]["bot"][kind]["latency"]["p95"] for kind in PROMPT_KINDS if kind in run["load"]["bot"]]
    return max(value for value in kinds if value is not None)


def compare(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Print the figures; return what is not as it should be."""
    print(f"{'working set, MB':<18}{'without':>10}{'with':>10}{'saved':>9}{'peak without':>14}{'peak with':>11}")
    rows = {name: ([name]) for name in APPLICATION} | {"together": list(APPLICATION)}
    saved = {}
    for title, names in rows.items():
        old, new = (sum(run["median"][name] for name in names) for run in (before, after))
        high, higher = (sum(run["peak"][name] for name in names) for run in (before, after))
        saved[title] = 1 - new / old
        figures = f"{old / 1e6:>10.1f}{new / 1e6:>10.1f}{saved[title]:>9.1%}{high / 1e6:>14.1f}{higher / 1e6:>11.1f}"
        print(f"{title:<18}{figures}")
    asked, different = same_answers(before, after)
    p95 = latency(before), latency(after)
    print(f"answers compared: {asked}, different: {len(different)}")
    print(f"p95: {p95[0] * 1000:.0f} ms without, {p95[1] * 1000:.0f} ms with ({p95[1] / p95[0] - 1:+.1%})")
    for name, run in (("without", before), ("with", after)):
        print(f"jobs {name}: {run['load']['jobs']}; failures: {run['load']['failures']}; kernel kills: {run['kills']}")
    print(f"limits, MB: { {name: (limit or 0) // 2**20 for name, limit in after['limits'].items()} }")
    checks = {
        f"the bot's working set fell by {saved['bot']:.1%}, not by {BOT_SAVED:.0%}": saved["bot"] >= BOT_SAVED,
        f"the containers' sum fell by {saved['together']:.1%}, not by {SUM_SAVED:.0%}": saved["together"] >= SUM_SAVED,
        f"{len(different)} answers differ: {different[:5]}": asked and not different,
        "the latency rose by more than 5 %": p95[1] <= p95[0] * SLOWER,
        "the kernel killed processes": after["kills"] == 0,
        "jobs were lost": after["load"]["jobs"]["lost"] == 0,
    }
    return [text for text, good in checks.items() if not good]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m bench.stage4", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--before", nargs="*", default=["stage1"], help="stages that come first (default: stage1)")
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=75)
    parser.add_argument("--think", default="exponential:20")
    parser.add_argument("--name", default="bench4", help="name of the host")
    parser.add_argument("--keep", action="store_true", help="leave the host running afterwards")
    parser.add_argument("--features", help="only these features of headroom_runtime, with commas")
    parser.add_argument("--out", type=Path, help="write all figures to this JSON file")
    options = parser.parse_args()
    more = {}
    if options.features is not None:
        chosen = {name: ["bot", "api", "worker"] for name in options.features.split(",") if name}
        more = {"stage4_code_features": chosen}
    was_there = state.load(options.name) is not None
    try:
        instance = bring_up(options.name)
        for name in ["prepare", *options.before]:
            with step(name):
                apply(instance, name)
        # New containers for both: memory grows with time.
        again = deploy.compose("up -d --no-build --force-recreate bot api worker-image 2>&1")
        ssh.execute(instance, again, timeout=300)
        with step(f"without: {options.users} users"):
            before = observe(instance, "without", options)
        with step("stage4"):
            apply(instance, "stage4", more)
        with step(f"with: {options.users} users"):
            after = observe(instance, "with", options)
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    finally:
        if not options.keep and not was_there:
            host.down(options.name)
    if options.out:
        options.out.write_text(json.dumps({"before": before, "after": after}, indent=1))
    found = compare(before, after)
    for text in found:
        say(f"error: {text}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
