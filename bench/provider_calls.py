# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls that providers are paid for, without stage 3 and with it: the unmodified reference stack, 50 users, one seed.

The same users ask the same questions twice, the second time through the gateway with an empty cache. Compared are paid
calls, Fal's status polls apart, and every single answer. A model that counts distinct requests gives the curve over
Zipf exponents, and is held against what was measured. Last, the gateway and the cache's Redis are killed under load:
users must see no error that they would not have seen without them.

    python3 -m bench.provider_calls [--name HOST] [--folder FOLDER] [--steps before after table gateway cache]

A step whose result lies in the folder is not run again. Ends with 1 when a target is missed: paid calls down by TARGET
at exponent EXPONENT, equal answers, no additional errors. Needs what the sandbox needs (see sandbox/README.md); takes
about half an hour on two cores, which must do nothing else. docs/caching.md has the figures and where the exponent
comes from.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from sandbox import playbook, ssh, state  # noqa: E402
from sandbox.load.workload import DEFAULT_CATALOGUE, DEFAULT_EXPONENT, Workload  # noqa: E402
from sandbox.process import SandboxError  # noqa: E402
from sandbox.providers import container as providers  # noqa: E402
from sandbox.stack import deploy  # noqa: E402

TARGET = 0.5
EXPONENT = DEFAULT_EXPONENT
CURVE = (0.0, 0.4, 0.64, 0.75, 0.83, 0.97, 1.1)
"""0: all prompts equally popular; 0.64 to 0.83: Breslau et al. 1999, six traces; 0.97: Almeida et al. 1996."""
USERS, REQUESTS, SEED = 50, 40, 1
MEASURED = {"talk": 40, "everyday": 4}
"""Requests of each user, by mix. One worker paints one picture at a time, so that the everyday mix (15 % pictures)
would take most of an hour to 40 requests of each user: it is measured shorter, and the model carries it on."""
PACE = {"latency_scale": 0.1, "telegram_per_second": 10_000}
"""Providers answer ten times faster than real ones, users hardly think, and Telegram takes it: the number of calls is
the same, the run is shorter."""
STEP_SECONDS, DRAIN_SECONDS = 1200, 300
"""Limits of a load, not its length: it ends with the users' last requests, and with the last picture that was ordered
from the web side (60 in the talk, one after the other). What is left in the queue would be counted in the next load."""
GATEWAY, CACHE = "deploy-headroom-gateway-1", "deploy-headroom-cache-1"
STEPS = ("before", "after", "table", "gateway", "cache")
KILLED = {"gateway": GATEWAY, "cache": CACHE}
KILL_AT, AWAY_SECONDS, KILL_SECONDS = 20.0, 20.0, 100
"""Users are at work all the time: through both kills, the absence, and a while after it."""


# The model: which calls are the same as an earlier one

Asked = Optional[tuple[str, str]]


def _picture(prompt: str) -> tuple[Asked, ...]:
    return ("rewritten", prompt), ("picture", prompt)


CALLS: dict[str, Callable[[str], tuple[Asked, ...]]] = {
    "text": lambda prompt: (("text", prompt),),
    "stream": lambda prompt: (("stream", prompt),),
    "translate": lambda prompt: (("translation", prompt),),
    "chat": lambda _prompt: (None,),
    "image": _picture,
    "api chat": lambda prompt: (("text", prompt),),
    "api job": _picture,
}
"""The paid calls of each kind of request, as the reference stack makes them: a picture's prompt is rewritten first, and
a talk is asked at temperature 0.7, so that it must not be answered from a cache (None)."""


def paid_requests(mix: str, requests: int, exponent: float) -> Iterator[Asked]:
    """Yield what each paid call of all users asks for."""
    work = Workload(SEED, exponent, DEFAULT_CATALOGUE, mix, "constant:0")
    for user in range(USERS):
        for request in itertools.islice(work.of_user(user), requests):
            # The web side first, then the message.
            yield from CALLS.get(f"api {request.api}", lambda _prompt: ())(request.api_prompt)
            yield from CALLS.get(request.kind, lambda _prompt: ())(request.prompt)


def expected(mix: str, requests: int, exponent: float) -> tuple[int, int]:
    """Paid calls without a cache, and with one that never forgets."""
    asked = list(paid_requests(mix, requests, exponent))
    return len(asked), len({entry for entry in asked if entry}) + asked.count(None)


# The sandbox


def on_host(name: str, command: str) -> str:
    return ssh.execute(state.require(name), command)


def control(name: str, path: str, body: Any) -> None:
    data = json.dumps(body).encode()
    request = urllib.request.Request(providers.control_url(name) + path, data, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=10).close()


def stage(name: str, wanted: str) -> None:
    """Apply stage 3, or take it back. Raises SandboxError."""
    instance = state.require(name)
    for book in ("prepare", "stage3"):
        settings = {"headroom_state": wanted, "headroom_guard_seconds": 0}
        done = playbook.run(instance, book, Path(instance.folder), settings)
        if done.returncode:
            raise SandboxError(f"{book} failed: {playbook.failures(done.stdout)}")


def load(name: str, mix: str, file: Path, *limits: str) -> None:
    """Let the users work, and write what the load says into the file. Raises CalledProcessError."""
    deploy.wait_until_healthy(state.require(name))
    control(name, "/settings", PACE)
    subprocess.run(
        [sys.executable, "-m", "sandbox.load", "--name", name, "--users", str(USERS), *limits,
         "--drain", str(DRAIN_SECONDS), "--seed", str(SEED), "--zipf", str(EXPONENT),
         "--mix", mix, "--think", "exponential:1", "--answers", "--out", str(file)],
        check=True, cwd=ROOT,
    )  # fmt: skip


def empty_cache(name: str) -> None:
    on_host(name, f"docker exec {CACHE} redis-cli flushall && docker restart {GATEWAY}")
    deploy.wait_until_healthy(state.require(name))


def kill_and_bring_back(name: str, container: str) -> None:
    """End the process as the kernel would, let the engine restart it; later take the container away for a while."""
    time.sleep(KILL_AT)
    on_host(name, f"kill -9 $(docker inspect -f '{{{{.State.Pid}}}}' {container})")
    time.sleep(KILL_AT)
    on_host(name, f"docker kill {container}")
    time.sleep(AWAY_SECONDS)
    on_host(name, f"docker start {container}")


def killed_under_load(name: str, container: str, file: Path) -> None:
    stage(name, "present")
    empty_cache(name)
    unproven = file.with_suffix(".part")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_and_bring_back, name, container)
        load(name, "talk", unproven, "--seconds", str(KILL_SECONDS))
        killed.result()  # users who saw no error because nothing was killed show nothing
    unproven.rename(file)


# What came of it


def answers(result: dict[str, Any]) -> dict[tuple[int, int, str], str | None]:
    """Return what each user got for each request, and from the web side before it."""
    return {
        (entry["user"], entry["number"], entry["kind"]): entry["answer"]
        for entry in (*result["answers"], *result["api_answers"])
    }


def compared(before: dict[str, Any], after: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many requests were answered in both runs, and a line for each whose answers differ."""
    one, two = answers(before), answers(after)
    both = sorted(key for key in one.keys() & two.keys() if one[key] and two[key])
    return len(both), [f"user {key[0]} number {key[1]} {key[2]}" for key in both if one[key] != two[key]]


def errors(result: dict[str, Any]) -> int:
    return result["failed"] + result["unanswered"] + result["api"]["failed"] + sum(
        result["jobs"][what] for what in ("failed", "lost", "unfinished")
    )  # fmt: skip


def say(*cells: Any) -> None:
    print("".join(f"{cell!s:>20}" for cell in cells))


def table(mix: str, before: dict[str, Any], after: dict[str, Any]) -> tuple[float, bool]:
    """Print one comparison; returns the share of paid calls saved, and whether answers and errors are the same."""
    say(f"{mix}, {MEASURED[mix]} each", "without", "with", "fewer")
    kinds = sorted(before["provider_calls"].keys() | after["provider_calls"].keys())
    rows = [(kind, before["provider_calls"].get(kind, 0), after["provider_calls"].get(kind, 0)) for kind in kinds]
    for kind, one, two in (*rows, ("PAID", before["paid_calls"], after["paid_calls"])):
        say(kind.replace("openai.", ""), one, two, f"{1 - two / one:.1%}" if one else "-")
    say("by the model", *expected(mix, MEASURED[mix], EXPONENT))
    say("messages", before["sent"], after["sent"])
    say("errors", errors(before), errors(after))
    count, different = compared(before, after)
    asked = USERS * MEASURED[mix]
    print(f"{count} answers compared, {len(different)} differ. {'; '.join(different[:10])}\n")
    # A load that its time limit has cut short made fewer calls for that alone.
    same = before["sent"] == after["sent"] == asked and not different and errors(after) <= errors(before)
    return 1 - after["paid_calls"] / before["paid_calls"], same


def unharmed(step: str, folder: Path) -> bool:
    """Print what users saw of the kills; returns whether that was no error and no other answer."""
    result, before = (json.loads((folder / f"{name}.json").read_text()) for name in (step, "before-talk"))
    count, different = compared(before, result)
    print(f"{step} killed twice under load: {result['sent']} messages, {errors(result)} errors; "
          f"{count} answers compared, {len(different)} differ. {'; '.join(different[:10])}")  # fmt: skip
    for text, times in result["failures"].items():
        print(f"    {text} (x {times})")
    return not different and errors(result) == 0


def curve() -> None:
    """Print what the model says of REQUESTS requests of each user."""
    print(f"{USERS} users, {REQUESTS} requests each, from an empty cache; by the model, paid calls:")
    say("exponent", *(f"{mix}" for mix in MEASURED))
    for exponent in CURVE:
        pairs = [expected(mix, REQUESTS, exponent) for mix in MEASURED]
        say(exponent, *(f"{one} to {two}, -{1 - two / one:.0%}" for one, two in pairs))


def tables(folder: Path) -> bool:
    """Print all comparisons and the curve; returns whether the targets are met."""
    good = True
    for mix, requests in MEASURED.items():
        pair = [json.loads((folder / f"{step}-{mix}.json").read_text()) for step in ("before", "after")]
        saved, same = table(mix, pair[0], pair[1])
        good &= same and (requests < REQUESTS or saved >= TARGET)
    curve()
    return good


def measure(name: str, step: str, folder: Path) -> None:
    """Run the loads of one step whose results are not there yet."""
    missing = [mix for mix in MEASURED if not (folder / f"{step}-{mix}.json").exists()]
    if missing:
        stage(name, "absent" if step == "before" else "present")
    for mix in missing:
        if step == "after":
            empty_cache(name)
        limits = ("--requests", str(MEASURED[mix]), "--seconds", str(STEP_SECONDS))
        load(name, mix, folder / f"{step}-{mix}.json", *limits)


def run(name: str, folder: Path, steps: list[str]) -> bool:
    """Run the steps; returns whether what they show is as it should be."""
    good = True
    for step in steps:
        file = folder / f"{step}.json"
        if step in ("before", "after"):
            measure(name, step, folder)
        elif step == "table":
            good &= tables(folder)
        else:
            if not file.exists():
                killed_under_load(name, KILLED[step], file)
            good &= unharmed(step, folder)
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", help="a host of the sandbox; without one, a host is made and removed")
    parser.add_argument("--folder", type=Path, help="where results are kept")
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        if options.name:
            return 0 if run(options.name, folder, options.steps) else 1
        from sandbox import host
        from sandbox.stack.host import bring_up

        name = "calls"
        bring_up(name)
        try:
            return 0 if run(name, folder, options.steps) else 1
        finally:
            host.down(name)


if __name__ == "__main__":
    sys.exit(main())
