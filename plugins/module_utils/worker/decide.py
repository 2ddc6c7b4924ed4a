# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many jobs a worker may run at once, and how long it needs to stop. Plain numbers in, plain numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils import sizing, units

# A job that was measured to need next to nothing would allow any number of them; a work-horse of its own costs this.
LEAST_PER_JOB = 8 * sizing.MIB

# What the worker itself needs around the job: to note the result, to leave the list of workers.
STOP_MARGIN = 15

# For a worker whose jobs may take as long as they like: what dramatiq allows by default, the most among them.
UNBOUNDED_SECONDS = 600

# Nobody waits longer for a rollout; a job that may take longer has to be able to be started again.
LONGEST_STOP = 3600


@dataclass(frozen=True)
class Measured:
    """A worker's memory in bytes: at rest, at most, and what it may have; `jobs` ran at once when it was measured.

    `peak` is None where none was seen; `jobs` is None where there is no worker, 0 where it does not say how many.
    `source` says where it is from.
    """

    base: int
    peak: int | None
    room: int
    jobs: int | None
    source: str


@dataclass(frozen=True)
class Concurrency:
    """`fits`: how many jobs fit the room, None where no job was measured. `chosen`: how many are to run at once."""

    current: int
    wanted: int | None
    chosen: int
    fits: int | None
    per_job: int | None
    reason: str


def per_job(measured: Measured) -> int | None:
    """What one more job takes, in bytes."""
    if measured.peak is None:
        return None
    return max(LEAST_PER_JOB, math.ceil((measured.peak - measured.base) / (measured.jobs or 1)))


def fitting(measured: Measured) -> int | None:
    """How many jobs fit into the room with a tenth to spare; at least one, since a worker without one is none."""
    each = per_job(measured)
    if each is None:
        return None
    return max(1, int((measured.room / sizing.SAFETY - measured.base) // each))


def concurrency(current: int, wanted: int | None, measured: Measured) -> Concurrency:
    """The operator's number, or the present one, lowered to what fits.

    It is never raised by itself: more jobs at once is a wish (of the provider's limits too), not a setting. Nor is it
    raised for a worker that is there and was not measured: what had to be lowered would come back with each restart.
    """
    each, fits = per_job(measured), fitting(measured)
    target = wanted if wanted is not None else current
    size = units.human_size
    if each is None or fits is None:
        target = target if measured.jobs is None else min(target, current)
        reason = f"no job has been measured yet ({measured.source}): {target} at once until then"
        return Concurrency(current, wanted, target, None, None, reason)
    figures = (
        f"a job takes up to {size(each)} ({measured.source}), the worker {size(measured.base)} at rest, and it may "
        f"have {size(measured.room)}: {fits} at once fit"
    )
    if target > fits:
        return Concurrency(current, wanted, fits, fits, each, f"{figures}, and not {target}")
    return Concurrency(current, wanted, target, fits, each, figures)


def stop_seconds(longest: float | None, present: float) -> int:
    """The grace period for jobs of so many seconds (None: unbounded). Never below what is set already."""
    wanted = UNBOUNDED_SECONDS if longest is None else min(longest, LONGEST_STOP)
    return max(math.ceil(wanted) + STOP_MARGIN, math.ceil(present))


def restarts_by_itself(policy: str | None) -> bool:
    """Whether Docker starts a container again that has ended by itself without an error."""
    return str(policy or "no") in ("always", "unless-stopped")
