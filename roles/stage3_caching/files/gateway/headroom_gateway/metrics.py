# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the gateway counts, in Prometheus' text format.

https://prometheus.io/docs/instrumenting/exposition_formats/. Labels are names from the policy and fixed words: nothing
that a client sent.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable

BUCKETS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the histogram, seconds: kept answers stand in the first, a language model's in the last ones."""

COUNTERS = {
    "requests_total": "Requests answered, by route and by what X-Cache said.",
    "bypass_total": "Requests passed through, by the reason.",
    "items_total": "Texts inside of requests with several, by hit or miss.",
    "upstream_calls_total": "Calls made to the provider, by route and status (0: no answer).",
    "not_kept_total": "Answers not kept, by the reason.",
    "kept_total": "Answers written to the cache.",
    "cache_bytes_total": "Bytes of answers served from the cache.",
    "upstream_bytes_total": "Bytes of answers received from the provider.",
    "stale_total": "Answers past their time, served because the provider failed.",
}
LABELS = {
    "requests_total": ("provider", "route", "result"),
    "bypass_total": ("provider", "reason"),
    "items_total": ("provider", "result"),
    "upstream_calls_total": ("provider", "route", "status"),
    "not_kept_total": ("provider", "reason"),
}
PREFIX = "headroom_gateway_"


class Metrics:
    """Counters and one histogram; `render` writes them with the gauges that it is given."""

    def __init__(self) -> None:
        self._counters: dict[str, collections.Counter[tuple[str, ...]]] = {
            name: collections.Counter() for name in COUNTERS
        }
        self._seconds: dict[tuple[str, str], list[int]] = {}
        self._sums: collections.Counter[tuple[str, str]] = collections.Counter()

    def count(self, name: str, *labels: str, by: int = 1) -> None:
        self._counters[name][labels] += by

    def value(self, name: str, *labels: str) -> int:
        return self._counters[name][labels]

    def took(self, provider: str, result: str, seconds: float) -> None:
        """Note the time (seconds) from a request to its answer's end."""
        row = self._seconds.setdefault((provider, result), [0] * (len(BUCKETS) + 1))
        row[next((number for number, bound in enumerate(BUCKETS) if seconds <= bound), len(BUCKETS))] += 1
        self._sums[provider, result] += seconds  # type: ignore[assignment]

    def render(self, gauges: Iterable[tuple[str, str, str, float]] = ()) -> bytes:
        """Return the page. A gauge is name, help, labels (already written, or ""), value; equal names come together.

        A name that ends in `_total` is announced as a counter.
        """
        lines: list[str] = []
        for name, text in COUNTERS.items():
            self._announce(lines, name, text, "counter")
            names = LABELS.get(name, ("provider",))
            for values, number in sorted(self._counters[name].items()):
                pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in zip(names, values, strict=True))
                lines.append(f"{PREFIX}{name}{{{pairs}}} {number}")
        self._histogram(lines)
        previous = ""
        for name, text, labels, value in gauges:
            if name != previous:
                self._announce(lines, name, text, "counter" if name.endswith("_total") else "gauge")
                previous = name
            lines.append(f"{PREFIX}{name}{labels} {value:g}")
        return ("\n".join(lines) + "\n").encode()

    @staticmethod
    def _announce(lines: list[str], name: str, text: str, kind: str) -> None:
        lines.append(f"# HELP {PREFIX}{name} {text}")
        lines.append(f"# TYPE {PREFIX}{name} {kind}")

    def _histogram(self, lines: list[str]) -> None:
        name = "request_seconds"
        self._announce(lines, name, "Time from a request to the end of its answer.", "histogram")
        for (provider, result), row in sorted(self._seconds.items()):
            labels = f'provider="{_escaped(provider)}",result="{result}"'
            upto = 0
            for bound, number in zip((*map(str, BUCKETS), "+Inf"), row, strict=True):
                upto += number
                lines.append(f'{PREFIX}{name}_bucket{{{labels},le="{bound}"}} {upto}')
            lines.append(f"{PREFIX}{name}_sum{{{labels}}} {self._sums[provider, result]:.6f}")
            lines.append(f"{PREFIX}{name}_count{{{labels}}} {upto}")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
