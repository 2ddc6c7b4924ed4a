# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a guard trips, when it cannot tell, and when a stack has passed: pure functions over plain samples.

A sample is `{"at": seconds since the watch began, "containers": readings or None (the engine was silent), "events": the
engine's events since the sample before, "redis": {service: reading or None}, "errors": {service: why None}, "host":
{"pressure": ..., "available": bytes}}`; the readings are those of `watch_readings`. Answers: see `watch_latency`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.watch import containers as watch_containers
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import latency as watch_latency
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import queues as watch_queues
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import traffic as watch_traffic
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import (
    SOURCE_SILENT,
    START_GRACE,
    Doubt,
    Fault,
    Thresholds,
    plain,
)

Sample = Mapping[str, Any]
PASSED, TRIPPED, INCONCLUSIVE = "passed", "tripped", "inconclusive"
_ANSWERS_SHOWN = 40

# A probe fails, or a worker or Redis falls silent, a moment before the engine tells that their container has ended.
_EFFECTS = frozenset(("probe_errors", "worker_missing", "redis_silent"))


@dataclass
class Watch:
    """Everything seen so far. `probes`: (service, url) of each. `queues`: the Redis services to be watched.

    `baseline`: what `as_baseline` or `latency` of an earlier watch returned.

    `held`: faults that wait for the next look to show their cause; at the end of the watch they are faults like others.
    """

    limits: Thresholds = field(default_factory=Thresholds)
    baseline: Mapping[str, Any] | None = None
    probes: Sequence[tuple[str, str]] = ()
    queues: Sequence[str] = ()
    samples: list[Sample] = field(default_factory=list)
    answers: list[Mapping[str, Any]] = field(default_factory=list)
    held: list[Fault] = field(default_factory=list)

    def add(self, sample: Sample, answers: Sequence[Mapping[str, Any]] = ()) -> list[Fault]:
        """Take in a sample and the probes' answers since the last one; returns what is broken."""
        self.samples.append(sample)
        look = sample["containers"] or []
        for answer in answers:
            answered = any(watch_latency.good(a) for a in self.answers if a["url"] == answer["url"])
            if not watch_latency.good(answer) and excused(answer["service"], look, answered):
                answer = {**answer, "grace": True}
            self.answers.append(answer)
        return self._named(self.faults())

    def _named(self, found: list[Fault]) -> list[Fault]:
        """Hold what may only be the effect of something else for one look, in which its cause can show itself."""
        if found and not self.held and all(fault.check in _EFFECTS for fault in found):
            self.held = found
            return []
        causes = [fault for fault in found if fault.check not in _EFFECTS]
        effects = {(fault.check, fault.subject): fault for fault in [*self.held, *found] if fault.check in _EFFECTS}
        return [*causes, *effects.values()]

    def looks(self) -> list[tuple[float, watch_containers.Look]]:
        """(seconds, containers) of the samples in which the engine answered."""
        return [(one["at"], one["containers"]) for one in self.samples if one["containers"] is not None]

    def series(self, service: str) -> list[tuple[float, Mapping[str, Any]]]:
        """(seconds, reading) of one Redis, of the samples in which it answered."""
        return [(one["at"], one["redis"][service]) for one in self.samples if one["redis"].get(service) is not None]

    def stopped(self) -> list[str]:
        """Services that did not run when the watch began, and do not run now."""
        looks = self.looks()
        if not looks:
            return []
        now = set(watch_containers.stopped_before(looks[-1][1]))
        return [service for service in watch_containers.stopped_before(looks[0][1]) if service in now]

    def faults(self) -> list[Fault]:
        """What the latest sample shows to be broken."""
        now = self.samples[-1]
        looks = self.looks()
        found: list[Fault] = []
        if now["containers"] is None:
            found += self._silent_engine(looks)
        elif len(looks) == 1:
            found += watch_containers.standing(looks[0][1], self.baseline)
        else:
            found += watch_containers.faults(looks[-2][1], looks[-1][1], now["events"])
        if looks and now["containers"] is not None:
            found += watch_containers.lasting_faults(looks, self.limits)
        for service in self.queues:
            found += self._redis_faults(service)
        found += watch_latency.faults(self._judged_answers(), self.baseline, self.limits)
        pressure = watch_containers.pressure_fault(
            "the host", now["host"]["pressure"], self.samples[0]["host"]["pressure"], self.limits
        )
        return found + ([pressure] if pressure else [])

    def _silent_engine(self, looks: Sequence[tuple[float, Any]]) -> list[Fault]:
        since = looks[-1][0] if looks else 0.0
        now = self.samples[-1]
        if now["at"] - since < SOURCE_SILENT:
            return []
        why = now["errors"].get("", "no answer")
        return [
            Fault("engine_silent", "docker", f"the Docker engine has not answered for {now['at'] - since:.0f} s: {why}")
        ]

    def _redis_faults(self, service: str) -> list[Fault]:
        series, now = self.series(service), self.samples[-1]
        if not series:
            return []
        if now["redis"].get(service) is not None:
            return watch_queues.faults(series, self.limits) + watch_queues.standing(series, self.baseline)
        silent = now["at"] - series[-1][0]
        if silent < SOURCE_SILENT:
            return []
        why = now["errors"].get(service, "no answer")
        return [Fault("redis_silent", service, f"Redis {service} has not answered for {silent:.0f} s: {why}.")]

    def _judged_answers(self) -> list[Mapping[str, Any]]:
        """A service that the operator had stopped answers no probe, and that is no fault."""
        stopped = set(self.stopped())
        return [answer for answer in self.answers if answer["service"] not in stopped]

    # At the end

    def doubts(self) -> list[Doubt]:
        """What could not be judged, when the watch has ended without a fault."""
        stopped = set(self.stopped())
        looks = self.looks()
        found = [
            Doubt("stopped", service, f"service {service} did not run, so it was not judged.", False)
            for service in sorted(stopped)
        ]
        if looks:
            found += watch_containers.doubts(looks)
        else:
            found.append(Doubt("engine", "docker", "the Docker engine gave no answer."))
        probes = [probe for probe in self.probes if probe[0] not in stopped]
        found += watch_latency.doubts(self.answers, probes, self.baseline)
        for service in self.queues:
            if service not in stopped:
                found += watch_queues.doubts(service, self.series(service), self.samples[-1]["errors"].get(service))
        traffic = self.traffic()
        if not traffic["enough"]:
            found.append(Doubt("traffic", "project", watch_traffic.sentence(traffic, self.limits)))
        return found

    def traffic(self) -> dict[str, Any]:
        """How much use of the stack was seen: see `watch_traffic.seen`."""
        jobs = {service: watch_queues.jobs_ended(self.series(service)) for service in self.queues}
        return watch_traffic.seen(self.looks(), self.answers, jobs, self.limits)

    def latency(self) -> dict[str, Any]:
        """p50_ms, p95_ms, samples, errors, and the same for each probe."""
        return watch_latency.summary(self._judged_answers())

    def as_baseline(self) -> dict[str, Any]:
        """What a later watch can be judged against: latency, services that run and their health, workers by queue."""
        looks = self.looks()
        services: dict[str, dict[str, Any]] = {}
        for reading in looks[-1][1] if looks else []:
            entry = services.setdefault(reading["service"], {"running": False, "health": None})
            if reading["state"] in watch_containers.UP:
                entry.update(running=True, health=reading["health"])
        series = {service: self.series(service) for service in self.queues}
        workers = {service: watch_queues.workers_by_queue(seen[-1][1]) for service, seen in series.items() if seen}
        return {**self.latency(), "services": services, "workers": workers}


def excused(service: str, look: watch_containers.Look, answered: bool) -> bool:
    """Whether a failed probe is that of a container still starting: in its start_period, or before its first answer."""
    mine = [reading for reading in look if reading["service"] == service and reading["state"] in watch_containers.UP]
    if not mine:
        return False
    if any(reading["health"] == "starting" for reading in mine):
        return True
    return not answered and any(reading["health"] is None and reading["age"] < START_GRACE for reading in mine)


def evidence(watch: Watch, faults: Sequence[Fault], doubts: Sequence[Doubt]) -> dict[str, Any]:
    """The counters at both ends of the watch, what happened in between, and what was made of it."""
    looks = watch.looks()
    series = {service: seen for service, seen in ((name, watch.series(name)) for name in watch.queues) if seen}
    ends = {}
    for name, place in (("first", 0), ("last", -1)):
        ends[name] = {
            "at": round(watch.samples[place]["at"], 2),
            "containers": looks[place][1] if looks else [],
            "redis": {service: seen[place][1] for service, seen in series.items()},
            "host": watch.samples[place]["host"],
        }
    return {
        **ends,
        "samples": len(watch.samples),
        "events": [event for sample in watch.samples for event in sample["events"]],
        "answers": watch.answers[-_ANSWERS_SHOWN:],
        "faults": [fault._asdict() for fault in faults],
        "not_judged": [doubt._asdict() for doubt in doubts],
        "traffic": watch.traffic(),
        "thresholds": plain(watch.limits),
    }


def verdict(faults: Sequence[Fault], doubts: Sequence[Doubt]) -> str:
    """tripped with a fault; inconclusive where something decisive could not be judged; else passed."""
    if faults:
        return TRIPPED
    return INCONCLUSIVE if any(doubt.decisive for doubt in doubts) else PASSED


def reasons(faults: Sequence[Fault], doubts: Sequence[Doubt]) -> list[str]:
    """Sentences that say why the verdict is what it is; empty for passed."""
    return sentences(faults or [doubt for doubt in doubts if doubt.decisive])


def sentences(found: Sequence[Fault | Doubt]) -> list[str]:
    """Each text once, as a sentence."""
    return list(dict.fromkeys(one.text[:1].upper() + one.text[1:] for one in found))
