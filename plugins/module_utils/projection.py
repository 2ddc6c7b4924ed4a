# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How much memory a service will use with more users, from what it used with few. Plain numbers in and out."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils import sizing

Point = tuple[float, float]  # active users, bytes in use

# All pairs of points are compared: 300 points are 45 000 slopes, a twentieth of a second. More are thinned out evenly.
MOST_POINTS = 300

# A line through two levels of users always fits; a third is the first that can contradict it.
FEWEST_LEVELS = 3
# How far beyond the most users seen the line is believed: to the plan's 50 from 17.
FARTHEST = 3.0
# Half of all slopes between points lie within the quartiles. Where these lead to totals further apart than this share
# of the projected memory, the samples do not agree on what a user costs.
WIDEST = 0.25
# No small host is asked for more.
MOST_USERS = 10_000
# What a service uses above the line: covered for 95 of 100 samples.
ABOVE = 0.95


@dataclass(frozen=True)
class Line:
    """Bytes in use at `users` = intercept + slope x users; `low`, `high`: quartiles of the slope.

    `above`: bytes that ABOVE of all points lie at most over it. Theil-Sen: the slope is the median of the slopes of all
    pairs, so that up to 29 % of wild points do not bend it (Sen 1968, JASA 63:1379).
    """

    slope: float
    intercept: float
    low: float
    high: float
    above: float
    levels: int
    most_users: float

    def at(self, users: float) -> float:
        """Bytes in use with so many users, what lies above the line included."""
        return self.intercept + self.slope * users + self.above


def fit(points: Iterable[Point]) -> Line | None:
    """The robust line; None where all points have the same number of users. A falling line is taken as level."""
    kept = _thinned(sorted(points))
    slopes = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, earlier in enumerate(kept)
        for later in kept[index + 1 :]
        if later[0] != earlier[0]
    )
    if not slopes:
        return None
    slope = max(0.0, statistics.median(slopes))
    intercept = statistics.median(memory - slope * users for users, memory in kept)
    residuals = sorted(memory - intercept - slope * users for users, memory in kept)
    return Line(
        slope=slope,
        intercept=intercept,
        low=max(0.0, slopes[len(slopes) // 4]),
        high=max(0.0, slopes[(3 * len(slopes)) // 4]),
        above=max(0.0, residuals[min(len(residuals) - 1, int(ABOVE * len(residuals)))]),
        levels=len({users for users, _memory in kept}),
        most_users=kept[-1][0],
    )


def _thinned(points: Sequence[Point]) -> list[Point]:
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[index * (len(points) - 1) // (MOST_POINTS - 1)] for index in range(MOST_POINTS)]


def doubt(line: Line, users: float, seconds: float, samples: int) -> str:
    """Why the line does not carry a projection to so many users; empty where it does."""
    reasons = []
    few = sizing.too_few(samples, seconds)
    if few:
        reasons.append(few)
    if line.levels < FEWEST_LEVELS:
        reasons.append(f"only {line.levels} different numbers of users were seen")
    if users > line.most_users * FARTHEST:
        reasons.append(f"{users:.0f} users are more than {FARTHEST:.0f} times the {line.most_users:.0f} seen")
    if (line.high - line.low) * users > WIDEST * line.at(users):
        reasons.append("the samples do not agree on what a user costs")
    return "; ".join(reasons)


def carries(cost: Callable[[int], float], room: float) -> int | None:
    """The most users whose `cost` (bytes for so many users, never falling) stays within `room` bytes.

    None where MOST_USERS fit too: users cost nothing measurable then. 0 where not even the first fits.
    """
    if cost(MOST_USERS) <= room:
        return None
    fits, too_many = 0, MOST_USERS
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if cost(middle) <= room else (fits, middle)
    return fits
