# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can be set from outside on the worker programs, as flags of their command lines. One row for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine


@dataclass(frozen=True)
class Worker:
    """A worker program. Flags are None where there is none, and the setting is the application's then.

    `parallel`: how many jobs it runs at once where nothing says otherwise, 0 for one for each processor. `threads`: a
    flag whose value multiplies that, and its default. `recycle_exits`: the whole worker ends after so many jobs, and
    only a restart policy brings it back; otherwise it replaces the child process by itself. `job_seconds`: how long a
    job may take where it names nothing itself, None for as long as it likes. `finishes`: SIGTERM lets running jobs end.
    """

    name: str
    parallel: int
    concurrency: str | None = None
    threads: tuple[str, int] | None = None
    recycle: str | None = None
    recycle_exits: bool = False
    result_ttl: str | None = None
    job_limit: str | None = None
    job_seconds: float | None = None
    finishes: bool = True


# rq 3.0: defaults.py (DEFAULT_TIMEOUT 180), worker/base.py (_install_signal_handlers: the first SIGTERM is a warm
# shutdown), cli (worker: --max-jobs ends it; worker-pool takes neither that nor --results-ttl).
# celery 5.7: `celery worker --help`; the prefork pool replaces a child after --max-tasks-per-child; SIGTERM is a warm
# shutdown; a task has no time limit unless one is set. arq 0.28: worker.py (max_jobs 10, job_timeout 300,
# job_completion_wait 0: SIGTERM cancels what runs, and it runs again later). dramatiq 2.2: `dramatiq --help`,
# middleware/time_limit.py (600 s).
WORKERS: dict[str, Worker] = {
    row.name: row
    for row in (
        Worker(
            "rq worker",
            parallel=1,
            recycle="--max-jobs",
            recycle_exits=True,
            result_ttl="--results-ttl",
            job_seconds=180,
        ),
        Worker("rq worker-pool", parallel=1, concurrency="--num-workers", job_seconds=180),
        Worker(
            "celery worker",
            parallel=0,
            concurrency="--concurrency",
            recycle="--max-tasks-per-child",
            job_limit="--time-limit",
        ),
        Worker("arq", parallel=10, job_seconds=300, finishes=False),
        Worker("dramatiq", parallel=0, concurrency="--processes", threads=("--threads", 8), job_seconds=600),
    )
}


def number(line: CommandLine, flag: str | None) -> int | None:
    """A flag's value as a number; None where it is missing, or is no number."""
    text = line.get(flag) if flag else None
    return int(text) if text and text.isdigit() else None


def parallel_jobs(worker: Worker, line: CommandLine, processors: Callable[[], int]) -> int:
    """How many jobs the command line runs at once."""
    count = number(line, worker.concurrency) or worker.parallel or processors()
    if worker.threads:
        count *= number(line, worker.threads[0]) or worker.threads[1]
    return count
