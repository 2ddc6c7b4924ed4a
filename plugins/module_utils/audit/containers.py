# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the audit says about containers: limits, kernel kills, logs, and what their command lines ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import HIGH, LOW, MEDIUM, Finding
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import CommandError
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

Row = Mapping[str, Any]

# Recycling on purpose counts in hundreds of jobs: a new worker takes seconds to import its application. Fewer than
# this is what somebody writes who takes --max-jobs for a number of parallel jobs.
FEWEST_RECYCLED_JOBS = 25

# Restart policies under which a container that ended by itself, with exit code 0, is started again: "on-failure" is
# not one of them (docs.docker.com, "Start containers automatically").
_RESTARTS_ALWAYS = ("always", "unless-stopped")

# The only driver that by default writes to the host's disk without a bound: "local" rotates at 5 x 20 MB by itself,
# journald has the journal's own cap (docs.docker.com, "Configure logging drivers").
_UNBOUNDED_DRIVER = "json-file"


def _running(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["running"]]


def _services(rows: Sequence[Row]) -> list[str]:
    return sorted({row["service"] or row["name"] for row in rows})


def _command(row: Row) -> CommandLine | None:
    try:
        return CommandLine.parse(list(row["argv"]))
    except CommandError:
        return None


def limit_missing(rows: Sequence[Row]) -> list[Finding]:
    """No limit, or one on some of the services only."""
    running = _running(rows)
    without = [row for row in running if not row["limit"]]
    if not without:
        return []
    names, all_names = _services(without), _services(running)
    used = sum(row["working_set"] or 0 for row in without)
    some = "A limit on some of the services protects nobody from the others. " if len(names) < len(all_names) else ""
    return [
        Finding(
            "memory_limit_missing",
            HIGH,
            ", ".join(names),
            f"{len(names)} of {len(all_names)} services without a memory limit; they use {human_size(used)} now",
            f"{some}One that grows takes the memory of the whole host, and the kernel then kills whichever process is "
            "largest, not the one at fault.",
            "Give every service a limit and a reservation (stage 1).",
            2,
        )
    ]


def swap_beyond_limit(rows: Sequence[Row], host: Mapping[str, Any]) -> list[Finding]:
    """A limit given alone: the engine makes memory+swap twice as much (moby daemon_unix.go)."""
    found = []
    for row in _running(rows):
        limit, both = row["limit"], row["memory_swap"]
        if not limit or not host["swap_counted"] or (both is not None and both < 2 * limit):
            continue
        reach = "without a bound" if both is None else human_size(both)
        found.append(
            Finding(
                "swap_beyond_limit",
                MEDIUM if host["swap_total"] else LOW,
                row["service"] or row["name"],
                f"limit {human_size(limit)}, memory and swap together {reach}",
                "A memory limit that is given alone lets the container swap as much again, so it grows slowly and far "
                "instead of stopping at its limit.",
                "Write the limit of memory and swap together beside the memory limit (stage 1 does).",
                2,
            )
        )
    return found


def killed_for_memory(rows: Sequence[Row]) -> list[Finding]:
    """The kernel's own count, in which children of the main process show."""
    found = []
    for row in rows:
        if not row["oom_kills"]:
            continue
        engine = "Docker reports it too" if row["oom_killed"] else "Docker knows nothing of it: children were killed"
        limit = human_size(row["limit"]) if row["limit"] else "none"
        found.append(
            Finding(
                "oom_kills",
                HIGH,
                row["service"] or row["name"],
                f"processes killed since the container was started: {row['oom_kills']}; limit {limit}",
                f"The kernel killed them for lack of memory ({engine}): requests and jobs in them were lost.",
                "Raise its limit, or make it smaller (stage 4); the recommended limit allows for the kills.",
                2,
            )
        )
    return found


def log_unbounded(rows: Sequence[Row]) -> list[Finding]:
    """Logs of the json-file driver without max-size."""
    without = [row for row in rows if row["log_driver"] == _UNBOUNDED_DRIVER and not row["log_max_size"]]
    if not without:
        return []
    largest = max(without, key=lambda row: row["log_size"] or 0)
    total = sum(row["log_size"] or 0 for row in without)
    return [
        Finding(
            "log_unbounded",
            MEDIUM,
            ", ".join(_services(without)),
            f"logs without a cap: {len(without)}, {human_size(total)} now; the largest is "
            f"{largest['service'] or largest['name']}'s with {human_size(largest['log_size'] or 0)}",
            "A log of the json-file driver grows until the disk is full.",
            "Set max-size and max-file, for the daemon or for each service (stage 2).",
            5,
        )
    ]


def api_workers(rows: Sequence[Row]) -> list[Finding]:
    """Several worker processes of an ASGI or WSGI server: each holds the whole application once more."""
    found = []
    for row in _running(rows):
        command = _command(row)
        if command is None or command.program not in ("uvicorn", "gunicorn"):
            continue
        # The flag beats the variable in both programs.
        given = command.get("--workers") or row.get("web_concurrency") or ""
        if not given.isdigit() or int(given) < 2:
            continue
        found.append(
            Finding(
                "api_workers",
                MEDIUM,
                row["service"] or row["name"],
                f"{given} worker processes of {command.program}, {human_size(row['working_set'] or 0)} together",
                "Each worker process holds the whole application in memory once more, and asynchronous code serves "
                "its users from one.",
                "Run one worker process (stage 1).",
                1,
            )
        )
    return found


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 0


def max_jobs(rows: Sequence[Row]) -> list[Finding]:
    """`rq worker --max-jobs 2`: taken for a number of parallel jobs, but the worker ends after so many."""
    found = []
    for row in rows:
        command = _command(row)
        jobs = _number(command.get("--max-jobs")) if command and command.program == "rq worker" else 0
        if 0 < jobs < FEWEST_RECYCLED_JOBS:
            found.append(
                Finding(
                    "max_jobs_taken_for_concurrency",
                    MEDIUM,
                    row["service"] or row["name"],
                    f"--max-jobs {jobs}; restarted {row['restarts']} times so far",
                    f"--max-jobs does not bound parallel jobs (a worker runs one at a time): it ends the worker after "
                    f"{jobs} jobs, and each new one imports the application again.",
                    "Take the flag out, or recycle after hundreds of jobs; parallel jobs are the number of workers "
                    "(stage 2).",
                    6,
                )
            )
    return found


def _ends_by_itself(command: CommandLine) -> str | None:
    """The flag that makes the container's main process end on purpose, with exit code 0."""
    if command.program == "rq worker":
        for flag in ("--max-jobs", "--max-idle-time"):
            if _number(command.get(flag)):
                return f"{flag} {command.get(flag)}"
    if command.program == "uvicorn" and _number(command.get("--workers")) < 2:
        # With several, uvicorn's supervisor starts a new one in place of each.
        requests = _number(command.get("--limit-max-requests"))
        return f"--limit-max-requests {requests}" if requests else None
    # gunicorn's --max-requests is not one: its arbiter starts a new worker by itself (gunicorn docs, "Settings").
    return None


def recycling_without_restart(rows: Sequence[Row]) -> list[Finding]:
    """A main process that ends on purpose, in a container that nobody starts again."""
    found = []
    for row in rows:
        command = _command(row)
        flag = _ends_by_itself(command) if command else None
        if not flag or row["restart_policy"] in _RESTARTS_ALWAYS:
            continue
        found.append(
            Finding(
                "recycling_without_restart_policy",
                HIGH,
                row["service"] or row["name"],
                f"{flag}, restart policy {row['restart_policy'] or 'no'}",
                "The process ends with success after so many, and nothing starts it again (on-failure does not: it is "
                "no failure): the service stays down.",
                "Set restart: unless-stopped (stage 2).",
                6,
            )
        )
    return found
