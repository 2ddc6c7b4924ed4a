# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the stand-ins received, how long they take, and how they are told to fail."""

from __future__ import annotations

import asyncio
import collections
import contextvars
import dataclasses
import math
import random
from typing import Any

PAID_KINDS = ("openai.chat", "openai.chat_stream", "openai.embeddings", "fal.submit", "fal.run", "deepl.translate")
"""What a provider would bill. Fal's status polls, results and media downloads are counted apart, and free."""


class Counters:
    """Calls by kind, failures by kind, and high-water marks."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()
        self.errors: collections.Counter[str] = collections.Counter()
        self.peaks: dict[str, int] = {}

    def call(self, kind: str) -> None:
        self.calls[kind] += 1

    def error(self, kind: str, status: int) -> None:
        self.errors[f"{kind} {status}"] += 1

    def peak(self, name: str, value: int) -> None:
        self.peaks[name] = max(value, self.peaks.get(name, 0))

    def as_dict(self) -> dict[str, Any]:
        return {
            "calls": dict(sorted(self.calls.items())),
            "paid": sum(self.calls[kind] for kind in PAID_KINDS),
            "errors": dict(sorted(self.errors.items())),
            "peaks": dict(self.peaks),
        }


@dataclasses.dataclass(frozen=True)
class Latency:
    """A log-normal delay: half of the calls take at most `median` seconds, 95 % at most `p95`."""

    median: float
    p95: float

    def draw(self, chance: random.Random) -> float:
        # 1.6449: the 95 % point of the standard normal distribution.
        sigma = math.log(self.p95 / self.median) / 1.6449
        return self.median * math.exp(sigma * chance.gauss(0.0, 1.0))


# Chosen to be of the order that users of these services see; none is a promise of a provider.
LATENCIES = {
    "telegram": Latency(0.030, 0.080),
    "openai.first_token": Latency(0.350, 0.900),
    "openai.embeddings": Latency(0.080, 0.200),
    "deepl": Latency(0.150, 0.350),
    "fal.queue": Latency(0.030, 0.080),
    "fal.inference": Latency(1.200, 2.500),
    "fal.media": Latency(0.040, 0.120),
}
TOKENS_PER_SECOND = 80.0


class Clock:
    """Draws delays from one seeded source, so that two runs with one seed see the same ones in the same order."""

    def __init__(self, seed: int, scale: float) -> None:
        self.scale = scale
        self.reseed(seed)

    def reseed(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def draw(self, kind: str) -> float:
        return LATENCIES[kind].draw(self.chance) * self.scale

    async def wait(self, kind: str) -> None:
        await asyncio.sleep(self.draw(kind))


@dataclasses.dataclass
class Fault:
    """How calls whose kind starts with `kind` fail.

    `mode`: `status` answers `status` (with `retry_after` seconds where given), `slow` waits `seconds` before the
    normal answer, `cut` breaks the connection in the middle of the answer. `rate` is the share of calls hit,
    `count` the number of calls left to hit (None: no end).
    """

    kind: str
    mode: str
    status: int = 500
    seconds: float = 0.0
    retry_after: float | None = None
    rate: float = 1.0
    count: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in ("status", "slow", "cut"):
            raise ValueError(f"a fault's mode is status, slow or cut, not {self.mode!r}")


cut_short: contextvars.ContextVar[bool] = contextvars.ContextVar("cut_short", default=False)
"""Whether the answer to the request at hand shall break off in the middle."""


class Faults:
    """The faults in force; the first that fits a call is taken."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.active: list[Fault] = []

    def take(self, kind: str) -> Fault | None:
        """Return the fault that hits this call, None when it goes well."""
        for fault in self.active:
            if not kind.startswith(fault.kind) or self._chance.random() >= fault.rate:
                continue
            if fault.count is not None:
                fault.count -= 1
                if fault.count <= 0:
                    self.active.remove(fault)
            return fault
        return None
