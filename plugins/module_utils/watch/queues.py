# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What broke in a Redis and in the RQ queues it holds, told from successive readings (`watch_readings.redis_reading`).

RQ's keys and what their values mean: rq 1.15 to 2.12, worker.py / worker/base.py (heartbeat, register_death, state),
registry.py (rq:failed:*, rq:wip:*), command.py (rq:pubsub:*), suspension.py (rq:suspended).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import (
    LASTING,
    WORKER_LOST,
    WORKER_RETURNS,
    Doubt,
    Fault,
    Thresholds,
)

Reading = Mapping[str, Any]
Series = Sequence[tuple[float, Reading]]

# What a client is told when its write is refused (redis.io, INFO errorstats; src/server.c processCommand).
_REFUSALS = {
    "OOM": "maxmemory is reached and its policy evicts nothing",
    "MISCONF": "it cannot save to disk",
    "READONLY": "it is a read-only replica",
    "NOREPLICAS": "too few replicas are connected",
}
_IDLE = "idle"


def faults(series: Series, limits: Thresholds) -> list[Fault]:
    """What is wrong with one Redis. `series`: (seconds since the watch began, reading), oldest first, answers only."""
    if not series:
        return []
    now, first = series[-1][1], series[0][1]
    old = series[-2][1] if len(series) > 1 else None
    found = [_full(now)]
    if old and old["run_id"] == now["run_id"]:
        found += [_evictions(old, now), _refusals(old, now), _turned_away(old, now)]
    found += [_failed_jobs(series, limits), _stalled(series)]
    found += _lost_workers(series)
    if first["run_id"] != now["run_id"]:
        found.append(_reborn(now))
    return [fault for fault in found if fault]


def _reborn(now: Reading) -> Fault:
    text = f"Redis {now['service']} was restarted during the watch: it has been up for {now['uptime']} s."
    return Fault("restarted", now["service"], text)


def _full(now: Reading) -> Fault | None:
    """A full server that may not evict refuses every write, whether or not somebody has tried yet."""
    limit, used = now["maxmemory"], now["used_memory"] - now["not_counted"]
    if not limit or now["policy"] != "noeviction" or used < limit:
        return None
    return Fault(
        "redis_refuses_writes",
        now["service"],
        f"Redis {now['service']} is full and refuses writes: {human_size(used)} used of maxmemory "
        f"{human_size(limit)} with noeviction. {now['errors'].get('OOM', 0)} commands were refused so far. "
        "Raise maxmemory.",
    )


def _refusals(old: Reading, now: Reading) -> Fault | None:
    for kind, why in _REFUSALS.items():
        count = now["errors"].get(kind, 0) - old["errors"].get(kind, 0)
        if count > 0:
            text = f"Redis {now['service']} refused {count} commands since the last look ({kind}: {why})."
            return Fault("redis_refuses_writes", now["service"], text)
    return None


def _turned_away(old: Reading, now: Reading) -> Fault | None:
    count = now["rejected_connections"] - old["rejected_connections"]
    if count <= 0:
        return None
    text = f"Redis {now['service']} turned {count} connections away: maxclients ({now['maxclients']}) is reached."
    return Fault("redis_refuses_connections", now["service"], text)


def _evictions(old: Reading, now: Reading) -> Fault | None:
    count = now["evicted_keys"] - old["evicted_keys"]
    if count <= 0 or now["purpose"] == "cache":
        return None
    return Fault(
        "redis_evictions",
        now["service"],
        f"Redis {now['service']} evicted {count} keys under {now['policy']}, and it holds a queue: jobs or workers' "
        "registrations may be among them. Use noeviction here, and a second instance for the cache.",
    )


# RQ


def jobs_ended(series: Series) -> tuple[int, int]:
    """(jobs finished, jobs failed) over a series, from the workers' own counters and the failed-job registries.

    A worker that starts anew begins at 0, and a registry shrinks when jobs are queued again: only growth is added up.
    """
    done = failed = registered = 0
    for (_at, old), (_then, new) in zip(series, series[1:]):
        done += _growth(old, new, "done")
        failed += _growth(old, new, "failed")
        for queue, count in (new["rq"] or {}).get("failed", {}).items():
            registered += max(0, count - (old["rq"] or {}).get("failed", {}).get(queue, 0))
    return done, max(failed, registered)


def _growth(old: Reading, new: Reading, field: str) -> int:
    before = (old["rq"] or {}).get("workers", {})
    total = 0
    for name, worker in (new["rq"] or {}).get("workers", {}).items():
        earlier = before.get(name)
        same = earlier is not None and earlier["birth"] == worker["birth"]
        total += max(0, worker[field] - (earlier[field] if same and earlier else 0)) if earlier is not None else 0
    return total


def _failed_jobs(series: Series, limits: Thresholds) -> Fault | None:
    done, failed = jobs_ended(series)
    if failed < max(1, limits.failed_jobs) or 100 * failed < limits.failed_percent * (done + failed):
        return None
    now = series[-1][1]
    where = ", ".join(f"{queue} {count}" for queue, count in now["rq"]["failed"].items() if count)
    return Fault(
        "failed_jobs",
        now["service"],
        f"{failed} jobs failed during the watch and {done} finished (failed-job registries now: {where or 'empty'}).",
    )


def _good(worker: Mapping[str, Any]) -> bool:
    return bool(worker["registered"] and worker["alive"])


def _serving(reading: Reading, queue: str) -> list[str]:
    workers = (reading["rq"] or {}).get("workers", {})
    return [name for name, worker in workers.items() if _good(worker) and queue in worker["queues"]]


def _lost_workers(series: Series) -> list[Fault]:
    """Workers that were there and are not, with nobody in their place. One that is busy in a long job stays connected.

    RQ lets a worker's key expire only after 90 s (in a job) to 480 s (idle). A worker holds a subscription to its own
    channel as long as its process lives, whatever it is doing: when nobody listens there any more, the process is gone.
    """
    now_at, now = series[-1]
    # RQ's keys are gone altogether when the last worker signs off before any job was queued.
    workers = (now["rq"] or {}).get("workers", {})
    found = []
    listening = _ever_listening(series)
    for name, (worker, seen_at) in _last_good(series, listening).items():
        age = now_at - seen_at
        present = workers.get(name)
        if age <= 0 or all(_replaced(series, queue, name, listening) for queue in worker["queues"]):
            continue
        if present and present["registered"] and not present["alive"]:
            why, patience = "its heartbeat has expired", 0.0
        elif present and present["registered"]:
            why, patience = "its process no longer listens", WORKER_LOST
        else:
            why, patience = "it signed off and nobody took its place", WORKER_RETURNS
        if age >= patience:
            queues = ", ".join(worker["queues"])
            found.append(
                Fault(
                    "worker_missing", now["service"], f"the RQ worker {name} of {queues} is gone: {why} ({age:.0f} s)."
                )
            )
    return found


def _ever_listening(series: Series) -> set[str]:
    """Workers that were seen to listen to their channel: RQ before 1.8 has none, and its workers are not held to it."""
    return {
        name
        for _at, reading in series
        for name, worker in (reading["rq"] or {}).get("workers", {}).items()
        if worker["listeners"]
    }


def _well(name: str, worker: Mapping[str, Any], listening: set[str]) -> bool:
    return _good(worker) and (worker["listeners"] > 0 or name not in listening)


def _last_good(series: Series, listening: set[str]) -> dict[str, tuple[Mapping[str, Any], float]]:
    found: dict[str, tuple[Mapping[str, Any], float]] = {}
    for at, reading in series:
        for name, worker in (reading["rq"] or {}).get("workers", {}).items():
            if _well(name, worker, listening):
                found[name] = (worker, at)
    return found


def _replaced(series: Series, queue: str, name: str, listening: set[str]) -> bool:
    """Whether as many workers serve the queue now as at the start of the watch, or as when this one was last seen."""

    def serving(reading: Reading) -> int:
        workers = (reading["rq"] or {}).get("workers", {})
        return sum(1 for key, one in workers.items() if queue in one["queues"] and _well(key, one, listening))

    return serving(series[-1][1]) >= max(1, serving(series[0][1]))


def _stalled(series: Series) -> Fault | None:
    """Jobs that wait beside idle workers: a worker that is stopped or hangs, though its heartbeat has not expired."""
    end = series[-1][0]
    recent = [reading for at, reading in series if at >= end - LASTING and reading["rq"]]
    if end - series[0][0] < LASTING or len(recent) < 3 or any(reading["rq"]["suspended"] for reading in recent):
        return None
    last = recent[-1]
    for queue, waiting in last["rq"]["waiting"].items():
        names = _serving(last, queue)
        if not names or any(not reading["rq"]["waiting"].get(queue) for reading in recent):
            continue
        if any(_moves(recent, name) for name in names):
            continue
        text = (
            f"{waiting} jobs wait in {queue} and none was taken for {LASTING:.0f} s, though RQ workers are "
            f"registered for it and idle ({', '.join(names)}): they hang or were stopped."
        )
        return Fault("worker_stalled", last["service"], text)
    return None


def _moves(recent: Sequence[Reading], name: str) -> bool:
    """Whether a worker is in a job, or did anything over the readings (a busy one may be in a long job)."""
    seen = [reading["rq"]["workers"][name] for reading in recent if name in reading["rq"]["workers"]]
    if len(seen) < len(recent) or any(worker["state"] != _IDLE for worker in seen):
        return True
    first, last = seen[0], seen[-1]
    return (first["done"], first["failed"], first["heartbeat"]) != (last["done"], last["failed"], last["heartbeat"])


def standing(series: Series, baseline: Mapping[str, Any] | None) -> list[Fault]:
    """Queues that had workers when the baseline was taken, and none since the watch began or for a while.

    Workers that start with the watch, or renew themselves, have WORKER_RETURNS seconds. `baseline`: see `Watch`.
    """
    end, now = series[-1]
    before = ((baseline or {}).get("workers") or {}).get(now["service"]) or {}
    if not before or end - series[0][0] < WORKER_RETURNS:
        return []
    recent = [reading for at, reading in series if at >= end - WORKER_RETURNS]
    return [
        Fault(
            "worker_missing",
            now["service"],
            f"the queue {queue} was served by {count} RQ workers when the baseline was taken, and by none now.",
        )
        for queue, count in before.items()
        if count and not any(_serving(reading, queue) for reading in recent)
    ]


def workers_by_queue(reading: Reading) -> dict[str, int]:
    """How many live workers serve each queue."""
    queues = {queue for worker in (reading["rq"] or {}).get("workers", {}).values() for queue in worker["queues"]}
    return {queue: len(_serving(reading, queue)) for queue in sorted(queues)}


def doubts(service: str, series: Series, error: str | None) -> list[Doubt]:
    """What cannot be told of one Redis at the end of a watch."""
    if series:
        return []
    return [Doubt("redis", service, f"Redis {service} could not be asked: {error or 'no answer'}.")]
