# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""python3 -m sandbox.load: simulated users of the reference stack; prints a table, writes JSON."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.load import workload
from sandbox.load.statistics import total
from sandbox.load.targets import Api, NotASandbox, Providers, check
from sandbox.load.users import Crowd, Limits

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
    top.add_argument("--providers", required=True, metavar="URL", help="control of the stand-in providers")
    top.add_argument("--api", required=True, metavar="URL", help="the application's API")
    top.add_argument("--out", type=Path, metavar="FILE.json")
    top.add_argument("--answers", action="store_true", help="put a hash of each answer into FILE.json")
    return top


async def run(options: argparse.Namespace) -> dict[str, Any]:
    """Run the load and return what came of it as JSON data."""
    work = workload.Workload(options.seed, options.zipf, options.catalogue, options.mix, options.think)
    limits = Limits(min(options.seconds, MAX_SECONDS), min(options.drain, MAX_SECONDS), options.requests)
    connector = aiohttp.TCPConnector(limit=200)
    async with aiohttp.ClientSession(connector=connector) as session:
        providers, api = Providers(session, options.providers), Api(session, options.api)
        await providers.reset(options.seed)
        crowd = Crowd(providers, api, work, limits)
        drained = await crowd.run(options.users)
        counters = await providers.counters()
    names = ("users", "seconds", "requests", "seed", "zipf", "catalogue", "mix", "think")
    result: dict[str, Any] = {
        "settings": {name: getattr(options, name) for name in names},
        "total": total(list(crowd.bot.values())).as_dict(),
        "bot": {kind: tally.as_dict() for kind, tally in sorted(crowd.bot.items())},
        "api_total": total(list(crowd.web.values())).as_dict(),
        "api": {kind: tally.as_dict() for kind, tally in sorted(crowd.web.items())},
        "jobs": vars(crowd.jobs),
        "providers": counters,
        "failures": dict(crowd.failures.most_common(20)),
        "drain_seconds": round(drained, 1),
    }
    if options.answers:
        result["answers"] = sorted(crowd.answers, key=lambda entry: (entry["user"], entry["number"]))
    return result


COLUMNS = ("sent", "answered", "failed", "unanswered", "p50_ms", "p95_ms", "p99_ms")


def table(result: dict[str, Any]) -> str:
    """Return the result as text."""
    lines = [f"{'':<16}" + "".join(f"{name:>12}" for name in COLUMNS)]
    rows = [("bot", result["total"])] + [(f"  {kind}", row) for kind, row in result["bot"].items()]
    rows += [("api", result["api_total"])] + [(f"  {kind}", row) for kind, row in result["api"].items()]
    for name, row in rows:
        cells = ("-" if row[column] is None else f"{row[column]:g}" for column in COLUMNS)
        lines.append(f"{name:<16}" + "".join(f"{cell:>12}" for cell in cells))
    lines.append("jobs: " + ", ".join(f"{count} {name}" for name, count in result["jobs"].items()))
    calls = {kind: count for kind, count in result["providers"]["calls"].items() if not kind.startswith("telegram.")}
    lines.append("provider calls: " + ", ".join(f"{kind} {count}" for kind, count in calls.items()))
    lines.append(f"paid calls: {result['providers']['paid']}; drained in {result['drain_seconds']} s")
    lines += [f"failure: {text} (x {count})" for text, count in result["failures"].items()]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    options = parser().parse_args(argv)
    if not 1 <= options.users <= MAX_USERS:
        print(f"--users: from 1 to {MAX_USERS}", file=sys.stderr)
        return 2
    try:
        check(options.providers)
        check(options.api)
        result = asyncio.run(run(options))
    except (NotASandbox, ValueError, aiohttp.ClientError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.out:
        options.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    print(table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
