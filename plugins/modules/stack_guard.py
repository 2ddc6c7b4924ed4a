#!/usr/bin/python
# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_guard
short_description: Watch a Compose project for a while and say what broke
version_added: 0.1.0
description:
  - Watches the containers of a project, the kernel's counters, its Redis and RQ queues and its HTTP services for
    O(seconds), and ends early as soon as something breaks.
  - It trips on processes that the kernel killed for lack of memory (forked children too, which Docker does not show),
    on containers that end, restart, turn unhealthy, are paused or replaced, on memory pressure and memory at the limit,
    on a Redis that evicts from a queue, refuses writes or falls silent, on RQ jobs that fail and RQ workers that
    disappear or hang, and on HTTP probes that fail or have become slow.
  - When too little use of the stack was seen to judge it, the verdict is V(inconclusive) and never V(passed).
  - The task does not fail when the guard trips. Ask for RV(verdict).
author:
  - Headroom authors (@smallhost)
extends_documentation_fragment:
  - smallhost.headroom.reads_only
  - smallhost.headroom.compose
requirements:
  - For O(redis) redis-py 4.3.4 or later (C(python3-redis))
options:
  seconds:
    description:
      - How long to watch.
    type: float
    default: 60
  interval:
    description:
      - Seconds between two looks at containers and Redis. Probes are made every half second.
    type: float
    default: 2
  probes:
    description:
      - HTTP addresses that are asked again and again from the host itself.
      - They are for errors and response times. Their answers are not counted as use of the stack.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The service that answers there.
        type: str
        required: true
      url:
        description:
          - The address. Any answer below 400 is a good one. Certificates are not checked.
          - Where its host is the service's own name, as in V(http://api:8000/health), the container's address is asked.
        type: str
        required: true
      timeout:
        description: Seconds that an answer may take as a whole.
        type: float
        default: 3
  redis:
    description:
      - The services that are a Redis or Valkey. Address and password are found from the running container.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The service's name.
        type: str
        required: true
      purpose:
        description:
          - What it holds. Evictions are a fault for everything but V(cache).
          - With V(auto) its keys are looked at.
        type: str
        choices: [auto, queue, cache, mixed]
        default: auto
      username:
        description: The ACL user, where it cannot be found.
        type: str
      password:
        description: The password, where it cannot be found.
        type: str
  baseline:
    description:
      - What to compare with, as in RV(baseline) or RV(latency) of an earlier run. That run needs none itself.
      - The only keys that latency needs are C(p95_ms) and C(samples) (at least 20); C(p50_ms) makes the verdict
        earlier. C(probes) holds the same for each C(url).
      - With C(services) and C(workers), as in RV(baseline), a service that ran then and does not run when the watch
        begins, or a queue that has lost all its workers, is a fault too.
    type: dict
  thresholds:
    description:
      - Where the guard trips.
    type: dict
    default: {}
    suboptions:
      latency_factor:
        description:
          - How many times the baseline's latency is too slow. Trips where sixteen of the latest twenty answers of a
            probe, or half of the latest forty, are slower than the baseline's median by that; and where the p95 of the
            whole watch is above the baseline's p95 by that, in its older and its newer half alike.
          - By default below twice as slow, and above the noise of a busy small host, where 32 ms after 21 ms were seen.
        type: float
        default: 1.75
      latency_floor_ms:
        description:
          - Milliseconds that latency must have grown by as well, so that the noise of very fast answers is no fault.
          - By default just above what other programs on a host of two processors did to an API (22 ms after 8 ms), and
            far below what a user notices.
        type: float
        default: 15
      probe_error_percent:
        description: Share of failed ones among the latest ten probes that is too many. Three must have failed at least.
        type: float
        default: 20
      failed_jobs:
        description: Number of newly failed RQ jobs that is too many, when O(thresholds.failed_percent) is reached too.
        type: int
        default: 2
      failed_percent:
        description: Share of failed jobs among those that ended during the watch.
        type: float
        default: 10
      pressure_percent:
        description:
          - Share of time in which some process waited for memory (C(some avg60) of the kernel's pressure stall
            information), of a container and of the host, where the kernel keeps it.
          - The default lies between what C(senpai) steers at (0.17) and where C(systemd-oomd) kills (60).
        type: float
        default: 5
      memory_percent:
        description:
          - Share of a container's memory limit. Trips where memory that cannot be given back stays above it for ten
            seconds, while the limit is being hit.
        type: float
        default: 95
      min_traffic:
        description:
          - Signs of use below which the verdict is V(inconclusive). One is a connection that a container accepted
            (probes and health checks taken off), a job that ended, or a look in which a container moved more data over
            its network than idle programs do (1 kB/s). Containers of O(redis) are left out.
        type: int
        default: 20
notes:
  - A service that did not run when the watch began is not judged. A container that is still starting has its
    C(start_period), and without a health check 30 seconds until its first answer to a probe.
  - An RQ worker is missing when its process does not listen to its channel any more (4 s), when its heartbeat has
    expired, or when it signed off and none took its place (15 s). One in a long job keeps listening. A queue whose jobs
    wait for 10 s beside idle workers is a fault too.
  - A process that ends with 0 after ten seconds or more and is started again by its restart policy renews itself
    (C(--max-jobs) of an RQ worker); it is not a fault.
seealso:
  - module: smallhost.headroom.compose_usage_info
  - name: Pressure stall information
    description: What the kernel's pressure figures mean.
    link: https://docs.kernel.org/accounting/psi.html
"""

EXAMPLES = r"""
- name: See how the stack does before the change
  smallhost.headroom.stack_guard:
    project_src: /opt/bot/deploy
    seconds: 30
    probes:
      - {service: api, url: "http://127.0.0.1:8000/health"}
    redis:
      - {service: redis}
  register: before

- name: Watch it after the change
  smallhost.headroom.stack_guard:
    project_src: /opt/bot/deploy
    seconds: 60
    probes:
      - {service: api, url: "http://127.0.0.1:8000/health"}
    redis:
      - {service: redis, purpose: queue}
    baseline: "{{ before.baseline }}"
  register: guard

- name: Stop when it hurts
  ansible.builtin.assert:
    that: guard.verdict != 'tripped'
    fail_msg: "{{ guard.reasons | join(' ') }}"
"""

RETURN = r"""
verdict:
  description: V(passed), V(tripped) (something broke) or V(inconclusive) (it cannot be told).
  returned: success
  type: str
  sample: tripped
reasons:
  description: Why, as sentences with figures. Empty for V(passed).
  returned: success
  type: list
  elements: str
  sample:
    - >-
      The kernel killed 1 process of worker (bot-worker-1) for lack of memory: its limit is 200.0 MB. Its main process
      lives on, so the container looks well to Docker. Raise the limit, or make the service need less.
not_judged:
  description: What could not be judged, also where that does not decide the verdict. Empty for V(tripped).
  returned: success
  type: list
  elements: str
  sample: ["The latency of api was not compared: no baseline was given."]
watched_seconds:
  description: How long it watched. Less than O(seconds) when it tripped.
  returned: success
  type: float
  sample: 4.1
latency:
  description: Response times of the probes, in milliseconds. Usable as O(baseline) of a later run.
  returned: success
  type: dict
  contains: &latency
    p50_ms:
      description: Median of the good answers. V(null) without any.
      type: float
      sample: 11.2
    p95_ms:
      description: 95th percentile of the good answers.
      type: float
      sample: 18.9
    samples:
      description: Number of good answers.
      type: int
      sample: 118
    errors:
      description: Number of failed probes.
      type: int
      sample: 0
    probes:
      description: The same for each probe, with C(service) and C(url).
      type: list
      elements: dict
baseline:
  description: All that a later run can be held against, to be given as its O(baseline).
  returned: success
  type: dict
  contains:
    <<: *latency
    services:
      description: For each service whether it was C(running), and its C(health).
      type: dict
      sample: {api: {running: true, health: healthy}}
    workers:
      description: For each Redis service the number of live RQ workers of each queue.
      type: dict
      sample: {redis: {img_queue: 1}}
evidence:
  description: What the verdict rests on.
  returned: success
  type: dict
  contains:
    faults:
      description: The faults as C(check) (the rule), C(subject) (the service) and C(text).
      type: list
      elements: dict
    not_judged:
      description: The doubts in the same form; C(decisive) where the stack cannot be called well without it.
      type: list
      elements: dict
    traffic:
      description: How much use was seen (C(signs), the sum of C(connections), C(jobs) and C(busy_looks)) and C(needed).
      type: dict
    first:
      description: The counters of C(containers), C(redis) and C(host) when the watch began.
      type: dict
    last:
      description: The counters when it ended.
      type: dict
    events:
      description: The engine's events C(die) and C(oom) meanwhile.
      type: list
      elements: dict
    answers:
      description: The latest 40 answers of the probes.
      type: list
      elements: dict
    samples:
      description: Number of looks.
      type: int
    thresholds:
      description: The figures that it was judged by.
      type: dict
project:
  description: The project's name.
  returned: success
  type: str
  sample: bot
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    PROJECT_ARGUMENT_SPEC,
    Project,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ERRORS, fail, find_project
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import http_probe
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import readings as watch_readings
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import session as watch
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import sources as watch_sources
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import Fault, Thresholds

_LATE = 1.0  # seconds beyond its interval after which a sample is made without the engine's answer

ARGUMENT_SPEC: dict[str, dict[str, Any]] = {
    **PROJECT_ARGUMENT_SPEC,
    "seconds": {"type": "float", "default": 60},
    "interval": {"type": "float", "default": 2},
    "probes": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "service": {"type": "str", "required": True},
            "url": {"type": "str", "required": True},
            "timeout": {"type": "float", "default": 3},
        },
    },
    "redis": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "service": {"type": "str", "required": True},
            "purpose": {"type": "str", "choices": ["auto", "queue", "cache", "mixed"], "default": "auto"},
            "username": {"type": "str"},
            "password": {"type": "str", "no_log": True},
        },
    },
    "baseline": {"type": "dict"},
    "thresholds": {
        "type": "dict",
        "default": {},
        "apply_defaults": True,
        "options": {
            "latency_factor": {"type": "float", "default": 1.75},
            "latency_floor_ms": {"type": "float", "default": 15},
            "probe_error_percent": {"type": "float", "default": 20},
            "failed_jobs": {"type": "int", "default": 2},
            "failed_percent": {"type": "float", "default": 10},
            "pressure_percent": {"type": "float", "default": 5},
            "memory_percent": {"type": "float", "default": 95},
            "min_traffic": {"type": "int", "default": 20},
        },
    },
}


def checked(params: Mapping[str, Any]) -> None:
    """Raises ValueError for what cannot be watched."""
    if params["seconds"] <= 0 or params["interval"] <= 0:
        raise ValueError("seconds and interval must be above 0.")
    for probe in params["probes"]:
        http_probe.check(probe["url"])
        if probe["timeout"] <= 0:
            raise ValueError(f"the timeout of the probe of {probe['service']} must be above 0.")


def known(project: Project, params: Mapping[str, Any], first: Mapping[str, Any]) -> None:
    """Raises ProjectError where there is nothing to watch, or a service is named that there is not."""
    services = {reading["service"] for reading in first["containers"]}
    if not services and not (params["baseline"] or {}).get("services"):
        raise ProjectError(
            f"the project {project.name} ({project.src}) has no containers, so there is nothing to watch. "
            "Start it first (docker compose up -d)."
        )
    named = {str(entry["service"]) for entry in [*params["probes"], *params["redis"]]}
    if named - services:
        project.require(sorted(named - services))


@dataclass
class Sources:
    """The threads that ask, and what their latest answers were."""

    engine: watch_sources.Poller
    redis: dict[str, watch_sources.Poller]
    probes: list[watch_sources.Poller]

    def start(self) -> None:
        """Begin to ask."""
        for poller in (self.engine, *self.redis.values(), *self.probes):
            poller.start()

    def stop(self) -> None:
        """End asking. A question that hangs ends with the process."""
        for poller in (self.engine, *self.redis.values(), *self.probes):
            poller.stop()

    def sample(self, at: float) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """(sample, answers of the probes) since the last call. See `watch`."""
        looks = self.engine.take()
        redis = {service: poller.take()[-1:] for service, poller in self.redis.items()}
        silent = {"": self.engine, **self.redis}
        sample = {
            "at": at,
            "containers": looks[-1]["containers"] if looks else None,
            "events": [event for look in looks for event in look["events"]],
            "redis": {service: values[0] if values else None for service, values in redis.items()},
            "errors": {service: poller.error for service, poller in silent.items() if poller.error},
            "host": watch_readings.host_reading(),
        }
        return sample, [answer for poller in self.probes for answer in poller.take()]


def sources(params: Mapping[str, Any], engine: docker_engine.Engine, source: watch_sources.EngineSource) -> Sources:
    """One thread for each thing that is asked."""
    interval, begin = params["interval"], time.monotonic()
    redis = [watch_sources.RedisSource(wanted, engine, source) for wanted in params["redis"]]
    probes = [watch_sources.ProbeSource(wanted, source, begin) for wanted in params["probes"]]
    return Sources(
        watch_sources.Poller(source.read, interval, "engine"),
        {one.service: watch_sources.Poller(one.read, interval, one.service) for one in redis},
        [watch_sources.Poller(one.read, watch_sources.PROBE_INTERVAL, one.url) for one in probes],
    )


def observe(seen: watch.Watch, asked: Sources, seconds: float, interval: float) -> tuple[list[Fault], float]:
    """Fill the watch until something breaks or the time is over: (faults, seconds watched)."""
    begin = time.monotonic()
    asked.start()
    try:
        while True:
            left = begin + seconds - time.monotonic()
            asked.engine.wait(min(interval + _LATE, left))
            at = time.monotonic() - begin
            sample, answers = asked.sample(at)
            faults = seen.add(sample, answers)
            if faults or at >= seconds:
                return faults or seen.held, at
    finally:
        asked.stop()


def guard(params: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(result, warnings). Raises one of ERRORS, or RedisError."""
    checked(params)
    engine = docker_engine.Engine(params["docker_host"])
    project = find_project(params, engine)
    source = watch_sources.EngineSource(engine, project.name)
    known(project, params, source.read())
    seen = watch.Watch(
        Thresholds(**params["thresholds"]),
        params["baseline"],
        [(probe["service"], probe["url"]) for probe in params["probes"]],
        [entry["service"] for entry in params["redis"]],
    )
    faults, seconds = observe(seen, sources(params, engine, source), params["seconds"], params["interval"])
    doubts = [] if faults else seen.doubts()
    result = {
        "project": project.name,
        "verdict": watch.verdict(faults, doubts),
        "reasons": watch.reasons(faults, doubts),
        "not_judged": watch.sentences(doubts),
        "watched_seconds": round(seconds, 1),
        "latency": seen.latency(),
        "baseline": seen.as_baseline(),
        "evidence": watch.evidence(seen, faults, doubts),
    }
    return result, project.warnings


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    if module.params["redis"] and not redis_server.HAS_REDIS:
        module.fail_json(msg=missing_required_lib("redis (python3-redis)"), exception=redis_server.REDIS_IMPORT_ERROR)
    try:
        result, warnings = guard(module.params)
    except (*ERRORS, redis_server.RedisError) as error:
        fail(module, error)
    for warning in warnings:
        module.warn(warning)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
