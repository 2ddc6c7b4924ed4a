# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of `compose_worker`: look at each worker, decide its settings, have `compose_service` write them."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, history, service_run, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import limits, service
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandError, CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask
from ansible_collections.smallhost.headroom.plugins.module_utils.worker import decide, jobs
from ansible_collections.smallhost.headroom.plugins.module_utils.worker.programs import (
    WORKERS,
    Worker,
    number,
    parallel_jobs,
)

_DEFAULT_GRACE = 10.0  # docker run --stop-timeout
_SHELLS = ("sh", "bash", "ash", "dash")
# A kernel's peak this near the limit is page cache that filled it up, and says nothing of the jobs.
_AT_LIMIT = 0.98


def apply_workers(task: ProjectTask) -> dict[str, Any]:
    """Decide and write; returns the module's result. Raises project_task.ERRORS."""
    names = [wanted["name"] for wanted in task.params["services"]]
    task.project.require(names)
    if not names:
        return {**service_run.apply_services(_with(task, [])), "services": []}
    containers = task.containers()
    known = jobs.longest_timeout(task.engine, containers) if task.engine else None
    rows = [_look(task, wanted, containers, known) for wanted in task.params["services"]]
    result = service_run.apply_services(_with(task, [row.pop("settings") for row in rows]))
    written = {entry["name"]: entry for entry in result["services"]}
    return {**result, "services": [{**written[row["name"]], **row} for row in rows]}


def undo_workers(task: ProjectTask) -> dict[str, Any]:
    """Put the files back; returns the module's result. Raises project_task.ERRORS."""
    result = service_run.undo_services(task)
    known = jobs.longest_timeout(task.engine, task.containers()) if task.engine else None
    for entry in result["services"]:
        entry["stop_seconds"] = decide.stop_seconds(known or 0, _present_grace(task, entry["name"]))
    return result


def _with(task: ProjectTask, services: list[dict[str, Any]]) -> ProjectTask:
    return replace(task, params={**task.params, "services": services})


def _present_grace(task: ProjectTask, name: str) -> float:
    """The larger of what the file says and what the running containers were created with, in seconds."""
    config = task.project.config()["services"].get(name) or {}
    text = config.get("stop_grace_period")
    periods = [_DEFAULT_GRACE if text is None else service.seconds(text)]
    mine = [entry for entry in task.containers() if entry.service == name]
    return max([*periods, *(float(entry.data["Config"].get("StopTimeout") or 0) for entry in mine)])


def _look(
    task: ProjectTask, wanted: Mapping[str, Any], containers: list[Container], known: float | None
) -> dict[str, Any]:
    """One service's decisions; `settings` is what compose_service is asked for. Raises ValueError."""
    name = wanted["name"]
    config = task.project.config()["services"][name] or {}
    mine = [entry for entry in containers if entry.service == name and entry.running]
    line = _command_line(config, mine, task)
    worker = WORKERS.get(line.program) if line else None
    notes: list[str] = []
    flags: list[dict[str, Any]] = []
    chosen = None
    if line and worker:
        chosen = _concurrency(task, wanted, worker, line, config, containers)
        flags = _flags(wanted, worker, line, chosen, config, notes)
        notes += _remarks(worker, mine)
    else:
        notes.append(f"{name} starts no worker program known here ({', '.join(WORKERS)}): its flags are left alone")
    longest, source = _longest(wanted, worker, line, known)
    grace = decide.stop_seconds(longest, _present_grace(task, name))
    return {
        "name": name,
        "program": worker.name if worker else "",
        "concurrency": asdict(chosen) if chosen else None,
        "longest_job": None if longest is None or math.isinf(longest) else longest,
        "longest_job_source": source,
        "stop_seconds": grace,
        "notes": notes,
        "settings": _settings(name, flags, wanted, grace),
    }


def _settings(name: str, flags: list[dict[str, Any]], wanted: Mapping[str, Any], grace: int) -> dict[str, Any]:
    return {
        "name": name,
        "command_flags": flags,
        "environment": wanted["environment"],
        "volumes": [],
        "image": None,
        "restart": None,
        "stop_grace_period": f"{grace}s",
    }


def _command_line(config: Mapping[str, Any], mine: list[Container], task: ProjectTask) -> CommandLine | None:
    """The command that the service is started with: the file's, else its image's."""
    words, entrypoint = service.words(config.get("command")), service.words(config.get("entrypoint"))
    if not words and mine and task.engine:
        words, entrypoint = mine[0].argv, []
    try:
        return CommandLine.parse(words, entrypoint=entrypoint) if words else None
    except CommandError:
        return None


def _concurrency(
    task: ProjectTask,
    wanted: Mapping[str, Any],
    worker: Worker,
    line: CommandLine,
    config: Mapping[str, Any],
    containers: list[Container],
) -> decide.Concurrency:
    mine = [entry for entry in containers if entry.service == wanted["name"]]
    measured = _measured(task, wanted["name"], config, mine)
    return decide.concurrency(_parallel(worker, line), wanted["workers"], measured)


def _parallel(worker: Worker, line: CommandLine) -> int:
    return parallel_jobs(worker, line, lambda: len(os.sched_getaffinity(0)))


def _measured(task: ProjectTask, name: str, config: Mapping[str, Any], containers: list[Container]) -> decide.Measured:
    """What the running containers needed for the jobs that they were started with: those in the file come next.

    From recorded samples where there are enough, else from the kernel's peak where it is of some hours.
    """
    running = [entry for entry in containers if entry.running]
    uses = [use for use in (entry.memory() for entry in running) if use]
    limit = limits.effective(config)["memory"]
    base = max((sizing.in_use(use) for use in uses), default=0)
    room = int(limit) if limit else cgroup.host_memory().available + base
    jobs = min((_started_with(entry) for entry in containers), default=None)
    if not running or not jobs:
        why = "it does not say how many it runs at once" if running else "it does not run"
        return decide.Measured(base, None, room, jobs, why)
    since = max(entry.started for entry in running)
    past = _recorded(task, name, since)
    if past:
        return decide.Measured(min(base, int(past.in_use.p50)), int(past.in_use.maximum), room, jobs, "recorded")
    peaks = [use.peak for use in uses if use.peak and not (use.limit and use.peak > use.limit * _AT_LIMIT)]
    if not peaks or max(peaks) <= base or time.time() - since < sizing.SHORTEST_SECONDS:
        why = "too few recorded samples since it was started, and no peak of some hours below the limit"
        return decide.Measured(base, None, room, jobs, why)
    return decide.Measured(base, max(peaks), room, jobs, "the kernel's peak, page cache included")


def _started_with(container: Container) -> int:
    """How many jobs at once a container was made with; 0 where its command line does not say."""
    try:
        line = CommandLine.parse(container.argv)
    except CommandError:
        return 0
    return _parallel(WORKERS[line.program], line) if line.program in WORKERS else 0


def _recorded(task: ProjectTask, name: str, since: float) -> history.ServiceHistory | None:
    folder = task.params["history"]
    if not folder:
        return None
    try:
        past = history.services(history.read(folder, since), task.project.name).get(name)
    except history.HistoryError:
        return None
    return past if past and past.samples >= sizing.FEWEST_SAMPLES else None


def _flags(
    wanted: Mapping[str, Any],
    worker: Worker,
    line: CommandLine,
    chosen: decide.Concurrency,
    config: Mapping[str, Any],
    notes: list[str],
) -> list[dict[str, Any]]:
    """The flags to set. Raises ValueError where recycling would end the worker for good."""
    found: list[dict[str, Any]] = []
    if worker.name == "rq worker" and chosen.wanted not in (None, chosen.current):
        notes.append(
            f"{worker.name} has no flag for the number of jobs at once, so {chosen.current} it stays: start it as "
            "often as wanted, or as `rq worker-pool`"
        )
    elif chosen.chosen != chosen.current and worker.concurrency:
        found.append(_flag(worker.concurrency, _processes(worker, line, chosen.chosen, notes)))
    elif chosen.chosen != chosen.current:
        notes.append(
            f"{worker.name} takes the number of jobs at once from the application's own settings: "
            f"{chosen.chosen} would be right there, and not {chosen.current}"
        )
    found += _recycling(wanted["name"], wanted["recycle_after"], worker, line, config, notes)
    if wanted["result_ttl"] is not None:
        if worker.result_ttl:
            found.append(_flag(worker.result_ttl, wanted["result_ttl"]))
        else:
            notes.append(f"{worker.name} has no flag for how long results are kept: the application sets that")
    return found


def _flag(name: str, value: int) -> dict[str, Any]:
    return {"name": name, "value": str(value), "state": "present"}


def _processes(worker: Worker, line: CommandLine, jobs_at_once: int, notes: list[str]) -> int:
    """Threads of one process share what the application has loaded, so processes go first."""
    if not worker.threads:
        return jobs_at_once
    threads = number(line, worker.threads[0]) or worker.threads[1]
    if jobs_at_once < threads:
        notes.append(f"one process has {threads} threads, more than the {jobs_at_once} jobs that fit: lower --threads")
    return max(1, jobs_at_once // threads)


def _recycling(
    name: str, after: int | None, worker: Worker, line: CommandLine, config: Mapping[str, Any], notes: list[str]
) -> list[dict[str, Any]]:
    lasting = decide.restarts_by_itself(config.get("restart"))
    present = number(line, worker.recycle)
    if after and not worker.recycle:
        notes.append(f"{worker.name} has no flag to start anew after a number of jobs")
        return []
    if worker.recycle_exits and not lasting and (after or present):
        what = f"{worker.recycle} {after or present}"
        if not after:
            notes.append(f"{what} ends the worker after so many jobs, and its restart policy does not bring it back")
            return []
        raise ValueError(
            f"{what} ends {name} after so many jobs, and its restart policy "
            f"({config.get('restart') or 'none'}) would not start it again: jobs would wait for ever. Nothing was "
            "changed. Give it `restart: unless-stopped` first."
        )
    return [_flag(str(worker.recycle), after)] if after else []


def _remarks(worker: Worker, mine: list[Container]) -> list[str]:
    found = []
    if not worker.finishes:
        found.append(f"{worker.name} cancels running jobs when it is told to stop, and runs them again afterwards")
    for entry in mine:
        first = os.path.basename(entry.argv[0])
        # A shell that is asked for one program only becomes that program; one with a script of several stays.
        script = entry.argv[-1] if first in _SHELLS and len(entry.argv) > 2 else ""
        if any(mark in script for mark in ("&&", ";", "|", "\n")) and "exec " not in script:
            found.append(
                f"{entry.name} runs under a shell that keeps the stop signal to itself: its job is cut off when it is "
                "stopped. Put exec before the worker in its command, or set init: true."
            )
    return found


def _longest(
    wanted: Mapping[str, Any], worker: Worker | None, line: CommandLine | None, known: float | None
) -> tuple[float | None, str]:
    """(seconds that a job may take, where that is from); None: no bound is known."""
    if wanted["longest_job"]:
        return service.seconds(wanted["longest_job"]), "longest_job"
    limit = number(line, worker.job_limit) if worker and line and worker.job_limit else None
    if limit:
        return float(limit), f"the command's {worker.job_limit if worker else ''}"
    own = worker.job_seconds if worker else None
    if worker and worker.name.startswith("rq") and known is not None:
        return max(known, own or 0), "the jobs in Redis"
    return own, f"{worker.name}'s default" if worker and own else "no bound is known"
