# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the answers of HTTP probes say: errors, and latency against a baseline.

An answer is `{"service", "url", "at", "ms", "status", "error"}`: `at` in seconds since the watch began, `status` None
and `error` a few words where there was no HTTP answer. One with `grace` true came while its container was starting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import (
    ERRORS_IN_WINDOW,
    LONG_WINDOW,
    SAMPLES_FOR_P95,
    STEADY_WINDOW,
    WINDOW,
    Doubt,
    Fault,
    Thresholds,
)

Answer = Mapping[str, Any]


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` percent of the values do not exceed (nearest rank); None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share / 100 * len(ordered)) - 1)]


def good(answer: Answer) -> bool:
    """Whether the service answered as a well one does."""
    return answer["status"] is not None and answer["status"] < 400


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """p50_ms, p95_ms (None without a good answer), samples (good answers), errors; and the same for each probe."""
    urls = dict.fromkeys((answer["service"], answer["url"]) for answer in answers)
    probes = [
        {"service": service, "url": url, **_figures([a for a in answers if (a["service"], a["url"]) == (service, url)])}
        for service, url in urls
    ]
    return {**_figures(answers), "probes": probes}


def _figures(answers: Iterable[Answer]) -> dict[str, Any]:
    kept = [answer for answer in answers if not answer.get("grace")]
    times = [answer["ms"] for answer in kept if good(answer)]
    return {
        "p50_ms": _rounded(percentile(times, 50)),
        "p95_ms": _rounded(percentile(times, 95)),
        "samples": len(times),
        "errors": len(kept) - len(times),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def baseline_for(baseline: Mapping[str, Any] | None, url: str) -> Mapping[str, Any] | None:
    """The part of a baseline that belongs to a probe: its own entry, else the whole where it has no entries."""
    if not baseline:
        return None
    entries = baseline.get("probes") or []
    own = [entry for entry in entries if entry.get("url") == url]
    if own:
        return own[0]
    return None if entries else baseline


def faults(answers: Sequence[Answer], baseline: Mapping[str, Any] | None, limits: Thresholds) -> list[Fault]:
    """Errors and slowness of each probe, judged on the answers so far."""
    found: list[Fault] = []
    for service, url in dict.fromkeys((answer["service"], answer["url"]) for answer in answers):
        mine = [a for a in answers if (a["service"], a["url"]) == (service, url) and not a.get("grace")]
        before = baseline_for(baseline, url)
        if before and not before.get("samples") and before.get("errors"):
            continue  # it never answered before either: see doubts()
        fault = _errors(service, url, mine, limits) or _slow(service, url, mine, before, limits)
        if fault:
            found.append(fault)
    return found


def _errors(service: str, url: str, answers: Sequence[Answer], limits: Thresholds) -> Fault | None:
    latest = answers[-WINDOW:]
    bad = [answer for answer in latest if not good(answer)]
    if len(bad) < ERRORS_IN_WINDOW or 100 * len(bad) < limits.probe_error_percent * len(latest):
        return None
    said = bad[-1]["error"] or f"HTTP {bad[-1]['status']}"
    return Fault(
        "probe_errors",
        service,
        f"{len(bad)} of the latest {len(latest)} probes of {service} ({url}) failed, the last with: {said}.",
    )


def _slow(
    service: str, url: str, answers: Sequence[Answer], before: Mapping[str, Any] | None, limits: Thresholds
) -> Fault | None:
    times = [answer["ms"] for answer in answers if good(answer)]
    if before is None or not _usable(before):
        return None
    p95 = float(before["p95_ms"])
    p50 = float(before.get("p50_ms") or p95)
    latest, recent = times[-STEADY_WINDOW:], times[-LONG_WINDOW:]
    # Nearly all of the latest answers are slow: noise on the host still lets some through at their old speed.
    if len(latest) >= STEADY_WINDOW and _grown(_of(latest, 20), p50, limits):
        return _slow_fault(service, url, "median", _of(latest, 50), p50, len(latest), limits)
    if len(recent) >= SAMPLES_FOR_P95 and _grown(_of(recent, 50), p50, limits):
        return _slow_fault(service, url, "median", _of(recent, 50), p50, len(recent), limits)
    high = _of(times, 95)
    if len(times) >= SAMPLES_FOR_P95 and _grown(high, p95, limits) and _throughout(times, p95, limits):
        return _slow_fault(service, url, "p95", high, p95, len(times), limits)
    return None


def _of(values: Sequence[float], share: float) -> float:
    return percentile(values, share) or 0.0


def _grown(now: float, before: float, limits: Thresholds) -> bool:
    return now > limits.latency_factor * before and now - before > limits.latency_floor_ms


def _throughout(times: Sequence[float], p95: float, limits: Thresholds) -> bool:
    """Whether a tenth of the answers were beyond the baseline's p95 in the older half and in the newer one alike.

    5 % were before; one burst of noise, as when another program starts, fills one half only.
    """
    middle = len(times) // 2
    halves = (times[:middle], times[middle:])
    return all(sum(_grown(value, p95, limits) for value in half) >= max(2, 0.1 * len(half)) for half in halves)


def _slow_fault(service: str, url: str, what: str, now: float, before: float, count: int, limits: Thresholds) -> Fault:
    return Fault(
        "latency",
        service,
        f"service {service} answers {now / before:.1f} times as slowly as before: {what} {now:.1f} ms over {count} "
        f"probes of {url}, {before:.1f} ms in the baseline (allowed: {limits.latency_factor:g} times).",
    )


def _usable(before: Mapping[str, Any] | None) -> bool:
    return bool(before and before.get("p95_ms") and int(before.get("samples") or 0) >= SAMPLES_FOR_P95)


def doubts(
    answers: Sequence[Answer], wanted: Sequence[tuple[str, str]], baseline: Mapping[str, Any] | None
) -> list[Doubt]:
    """Which of the wanted probes (service, url) could not be judged, at the end of a watch."""
    found = []
    for service, url in wanted:
        mine = [answer for answer in answers if (answer["service"], answer["url"]) == (service, url)]
        before = baseline_for(baseline, url)
        samples = len([answer for answer in mine if good(answer) and not answer.get("grace")])
        text = _doubt(service, url, mine, samples, baseline, before)
        if text:
            # Without any baseline nobody asked for a comparison; errors were judged all the same.
            found.append(Doubt("latency", service, text, decisive=bool(baseline) or samples == 0))
    return found


def _doubt(
    service: str,
    url: str,
    answers: Sequence[Answer],
    samples: int,
    baseline: Mapping[str, Any] | None,
    before: Mapping[str, Any] | None,
) -> str | None:
    if not samples:
        count = len(answers)
        return f"the probe of {service} ({url}) had no good answer that could be judged ({count} tries)."
    if not baseline:
        return f"the latency of {service} was not compared: no baseline was given."
    if not _usable(before):
        known = int((before or {}).get("samples") or 0)
        return (
            f"the latency of {service} ({url}) was not compared: the baseline has {known} answers of it, and "
            f"{SAMPLES_FOR_P95} are needed."
        )
    if samples < SAMPLES_FOR_P95:
        return (
            f"the latency of {service} ({url}) was judged on {samples} answers only, and {SAMPLES_FOR_P95} are needed "
            "for its p95. Watch longer."
        )
    return None
