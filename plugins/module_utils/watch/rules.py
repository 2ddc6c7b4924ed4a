# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a watch counts as a fault, in figures, and the form in which faults and doubts are handed on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

# A container that ran for less than this is started again with a growing delay (moby restartmanager.go): it crashes,
# whatever its exit code is. One that ran longer and ended with 0 under such a policy is a process that recycles itself.
RECYCLED_AFTER = 10.0  # seconds

# How long something has to last before it is a fault, where a healthy stack shows it for a moment too.
LASTING = 10.0  # seconds: memory at the limit, jobs that nobody takes
WORKER_RETURNS = 15.0  # seconds: a worker that signed off may be back by then (start of Python with its libraries)
WORKER_LOST = 4.0  # seconds: a worker that vanished without signing off; long enough to reconnect
SOURCE_SILENT = 10.0  # seconds without an answer of Docker or Redis

# A process has this long to answer its first probe after its container started, where no start_period says otherwise:
# Docker's own default interval before the first health check (Dockerfile reference, HEALTHCHECK).
START_GRACE = 30.0  # seconds

# Answers of a probe that are looked at together for an early verdict, and how many the whole watch needs for its p95:
# fewer than 20 have no 95th percentile apart from their maximum.
WINDOW = 10
LONG_WINDOW = 40
# Ten seconds of probes: on a busy host, bursts of five seconds with nothing but slow answers are nobody's fault.
STEADY_WINDOW = 20
SAMPLES_FOR_P95 = 20
ERRORS_IN_WINDOW = 3


@dataclass(frozen=True)
class Thresholds:
    """Where a watch trips. The operator can set each; the reasons are in the module's documentation.

    latency_factor: times the baseline's latency. latency_floor_ms: milliseconds that it must have grown by as well.
    probe_error_percent: of the latest answers of one probe. failed_jobs, failed_percent: new failed jobs, and their
    share of all that ended. pressure_percent: `some avg60`. memory_percent: unreclaimable memory, of the limit.
    min_traffic: signs of use below which nothing can be judged.
    """

    latency_factor: float = 1.75
    latency_floor_ms: float = 15.0
    probe_error_percent: float = 20.0
    failed_jobs: int = 2
    failed_percent: float = 10.0
    pressure_percent: float = 5.0
    memory_percent: float = 95.0
    min_traffic: int = 20


class Fault(NamedTuple):
    """Something broke. `check` names the rule, `subject` the service (or `host`), `text` is a sentence with figures."""

    check: str
    subject: str
    text: str


class Doubt(NamedTuple):
    """Something could not be judged. `decisive`: without it the stack cannot be called well."""

    check: str
    subject: str
    text: str
    decisive: bool = True


def plain(thresholds: Thresholds) -> dict[str, Any]:
    """The thresholds as data of a module's result."""
    return asdict(thresholds)
