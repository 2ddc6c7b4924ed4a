# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.load: simulated users of the reference stack; prints a table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from sandbox import state
from sandbox.load import workload
from sandbox.load.statistics import total
from sandbox.load.targets import Api, NotASandbox, Providers, check
from sandbox.load.users import JOB_KINDS, Crowd, Limits
from sandbox.process import SandboxError
from sandbox.providers import container as providers
from sandbox.stack import deploy

MAX_USERS = 5000
MAX_SECONDS = 3600.0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python3 -m sandbox.load", description=__doc__)
    top.add_argument("--users", type=int, default=5)
    top.add_argument("--seconds", type=float, default=60.0, help="time in which users start requests")
    top.add_argument("--requests", type=int, help="end earlier: after so many requests of each user")
    top.add_argument("--drain", type=float, default=120.0, help="seconds to wait for late answers afterwards")
    top.add_argument("--seed", type=int, default=1)
    top.add_argument(
        "--zipf", type=float, default=workload.DEFAULT_EXPONENT, help="exponent of the prompts' popularity"
    )
    top.add_argument("--catalogue", type=int, default=workload.DEFAULT_CATALOGUE, help="different prompts of each kind")
    top.add_argument("--mix", choices=sorted(workload.MIXES), default="everyday")
    top.add_argument("--think", default="exponential:30", help="exponential:MEAN or constant:SECONDS")
    top.add_argument("--name", help="a host of the sandbox; instead of --providers and --api")
    top.add_argument("--providers", metavar="URL", help="control of the stand-in providers")
    top.add_argument("--api", metavar="URL", help="the application's API")
    top.add_argument("--out", type=Path, metavar="FILE.json")
    top.add_argument("--answers", action="store_true", help="put a hash of each answer into FILE.json")
    return top


@contextlib.contextmanager
def addresses(options: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """Yield the addresses of the providers' control and of the API. Raises SandboxError or NotASandbox."""
    if not options.name:
        if not (options.providers and options.api):
            raise SandboxError("say where to go: --name HOST, or --providers URL and --api URL")
        yield check(options.providers), check(options.api)
        return
    with deploy.api_url(state.require(options.name)) as api:
        yield check(options.providers or providers.control_url(options.name)), check(options.api or api)


async def run(options: argparse.Namespace, providers_url: str, api_url: str) -> dict[str, Any]:
    """Run the load and return what came of it as JSON data."""
    work = workload.Workload(options.seed, options.zipf, options.catalogue, options.mix, options.think)
    limits = Limits(min(options.seconds, MAX_SECONDS), min(options.drain, MAX_SECONDS), options.requests)
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as session:
        control, api = Providers(session, providers_url), Api(session, api_url)
        await control.reset(options.seed)
        crowd = Crowd(control, api, work, limits)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, crowd.stop)
        drained = await crowd.run(options.users)
        counters = await control.counters()
    names = ("users", "seconds", "requests", "seed", "zipf", "catalogue", "mix", "think")
    result: dict[str, Any] = {
        "settings": {name: getattr(options, name) for name in names},
        **total(list(crowd.bot.values())).as_dict(),
        "prompt": total([tally for kind, tally in crowd.bot.items() if kind not in JOB_KINDS]).as_dict(),
        "bot": {kind: tally.as_dict() for kind, tally in sorted(crowd.bot.items())},
        "api": total(list(crowd.web.values())).as_dict(),
        "api_calls": {kind: tally.as_dict() for kind, tally in sorted(crowd.web.items())},
        "jobs": vars(crowd.jobs),
        "provider_calls": {kind: n for kind, n in counters["calls"].items() if not kind.startswith("telegram.")},
        "paid_calls": counters["paid"],
        "providers": counters,
        "failures": dict(crowd.failures.most_common(20)),
        "drain_seconds": round(drained, 1),
    }
    if options.answers:
        for name, entries in (("answers", crowd.answers), ("api_answers", crowd.web_answers)):
            result[name] = sorted(entries, key=lambda entry: (entry["user"], entry["number"]))
    return result


COUNTS = ("sent", "answered", "failed", "unanswered")
LATENCIES = ("p50", "p95", "p99")


def _row(name: str, row: dict[str, Any]) -> str:
    latencies = (row["latency"][share] for share in LATENCIES)
    cells = [str(row[count]) for count in COUNTS] + ["-" if s is None else f"{s * 1000:.0f} ms" for s in latencies]
    return f"{name:<14}" + "".join(f"{cell:>12}" for cell in cells)


def table(result: dict[str, Any]) -> str:
    """Return the result as text."""
    lines = [f"{'':<14}" + "".join(f"{name:>12}" for name in COUNTS + LATENCIES), _row("bot", result)]
    lines += [_row(f"  {kind}", row) for kind, row in result["bot"].items()]
    lines += [_row("api", result["api"]), *(_row(f"  {kind}", row) for kind, row in result["api_calls"].items())]
    lines.append("jobs: " + ", ".join(f"{count} {name}" for name, count in result["jobs"].items()))
    lines.append("provider calls: " + ", ".join(f"{kind} {n}" for kind, n in result["provider_calls"].items()))
    lines.append(f"paid calls: {result['paid_calls']}; drained in {result['drain_seconds']} s")
    lines += [f"failure: {text} (x {count})" for text, count in result["failures"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if not 1 <= options.users <= MAX_USERS:
        print(f"--users: from 1 to {MAX_USERS}", file=sys.stderr)
        return 2
    try:
        with addresses(options) as urls:
            result = asyncio.run(run(options, *urls))
    except (SandboxError, NotASandbox, ValueError, aiohttp.ClientError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.out:
        options.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
