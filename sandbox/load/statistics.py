# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Percentiles and counts over what the users saw."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` (0..1) of the values do not exceed; None without values.

    The nearest-rank rule: the result is always one that was measured.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclasses.dataclass
class Tally:
    """Requests of one kind; `seconds` holds the latency of each answered one."""

    sent: int = 0
    failed: int = 0
    seconds: list[float] = dataclasses.field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return counts, and latencies in seconds (None without answers)."""
        shares = (("p50", 0.50), ("p95", 0.95), ("p99", 0.99), ("max", 1.0))
        latencies = {name: percentile(self.seconds, share) for name, share in shares}
        return {
            "sent": self.sent,
            "answered": len(self.seconds),
            "failed": self.failed,
            "unanswered": self.sent - self.failed - len(self.seconds),
            "latency": {name: None if value is None else round(value, 4) for name, value in latencies.items()},
        }


def total(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies."""
    return Tally(
        sent=sum(tally.sent for tally in tallies),
        failed=sum(tally.failed for tally in tallies),
        seconds=[value for tally in tallies for value in tally.seconds],
    )


@dataclasses.dataclass
class Jobs:
    """What became of the jobs that users put into the queue.

    `lost`: accepted, then unknown to the queue or never finished although the queue has run empty.
    `unfinished`: still in the queue, or in work, when the load stopped waiting.
    """

    enqueued: int = 0
    finished: int = 0
    failed: int = 0
    lost: int = 0
    unfinished: int = 0

    def settle(self, queue_is_empty: bool) -> None:
        """Decide what those are that nobody heard of again."""
        silent = self.enqueued - self.finished - self.failed - self.lost - self.unfinished
        if queue_is_empty:
            self.lost += silent
        else:
            self.unfinished += silent
