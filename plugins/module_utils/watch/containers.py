# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What broke in a project's containers between two looks at them: kills, exits, restarts, health, memory.

A look is a list of readings as `watch_readings.container_reading` makes them. The functions compare; they ask nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size
from ansible_collections.smallhost.headroom.plugins.module_utils.watch.rules import (
    LASTING,
    RECYCLED_AFTER,
    Doubt,
    Fault,
    Thresholds,
)

Reading = Mapping[str, Any]
Look = Sequence[Reading]
Event = Mapping[str, Any]

UP = ("running", "paused")
_STARTED_AGAIN_ALWAYS = ("always", "unless-stopped")


def _by_id(look: Look) -> dict[str, Reading]:
    return {reading["id"]: reading for reading in look}


def faults(before: Look, now: Look, events: Iterable[Event]) -> list[Fault]:
    """What happened to the containers between two successive looks; `events` are the engine's in between.

    A container that was down in the first look is none of the watch's business until it runs.
    """
    found: list[Fault] = []
    current = _by_id(now)
    for old in before:
        mine = [event for event in events if event["id"] == old["id"]]
        new = current.get(old["id"])
        if new is None:
            found += _gone(old, before, now)
            continue
        found += [
            fault
            for fault in (_killed(old, new, mine), _ended(old, new, mine), _frozen(old, new), _unhealthy(old, new))
            if fault
        ]
    return found


def _gone(old: Reading, before: Look, now: Look) -> list[Fault]:
    if old["state"] not in (*UP, "restarting"):
        return []
    known = _by_id(before)
    others = [reading for reading in now if reading["service"] == old["service"] and reading["id"] not in known]
    if others:
        text = (
            f"the container of {old['service']} was replaced during the watch ({old['id'][:12]} by "
            f"{others[0]['id'][:12]}): what is running now is not what was being watched."
        )
        return [Fault("replaced", old["service"], text)]
    return [Fault("exited", old["service"], f"the container {old['name']} of {old['service']} was removed.")]


def _killed(old: Reading, new: Reading, events: Sequence[Event]) -> Fault | None:
    """Processes that the kernel killed: its own counters, which know of forked children that Docker never shows."""
    same = new["started_at"] == old["started_at"]
    count = (new["oom_kills"] or 0) - ((old["oom_kills"] or 0) if same else 0)
    if old["oom_kills"] is None and same:
        count = 0
    # Where the main process itself was killed its cgroup is gone, and the counter with it: the engine knows then.
    flagged = bool(new.get("oom_killed")) and not old.get("oom_killed")
    by_engine = flagged or any(event["action"] == "oom" for event in events)
    if count <= 0 and not by_engine:
        return None
    limit = new["limit"] or old["limit"]
    room = f"its limit is {human_size(limit)}" if limit else "it has no limit of its own, so the host ran out"
    killed = _count(max(count, 1), "process", "processes")
    alive = same and new["state"] in UP
    hidden = " Its main process lives on, so the container looks well to Docker." if alive else ""
    return Fault(
        "oom_kill",
        old["service"],
        f"the kernel killed {killed} of {old['service']} ({old['name']}) for lack of memory: "
        f"{room}.{hidden} Raise the limit, or make the service need less.",
    )


def _ended(old: Reading, new: Reading, events: Sequence[Event]) -> Fault | None:
    if old["state"] not in (*UP, "restarting"):
        return None
    died = [event for event in events if event["action"] == "die"]
    if new["state"] in UP:
        if new["started_at"] == old["started_at"] and new["restarts"] == old["restarts"]:
            return None
        if _recycled(old, died):
            return None
        code = f" after it ended with exit code {died[-1]['exit_code']}" if died else ""
        return Fault(
            "restarted",
            old["service"],
            f"service {old['service']} ({old['name']}) was restarted{code}; the engine counts {new['restarts']} "
            f"restarts, {old['restarts']} before.",
        )
    code = died[-1]["exit_code"] if died else new["exit_code"]
    if new["state"] == "restarting" and (code == 0 or not died) and old["state"] == "restarting":
        return None  # waiting to be started again: what it ended with was judged when it ended
    if code == 0 and (new["one_shot"] or (new["state"] == "restarting" and _recycled(old, died))):
        return None
    again = "the engine is starting it again" if new["state"] == "restarting" else f"it is {new['state']} now"
    return Fault(
        "exited", old["service"], f"service {old['service']} ({old['name']}) ended with exit code {code}; {again}."
    )


def _recycled(old: Reading, died: Sequence[Event]) -> bool:
    """Whether every end in between was that of a process that renews itself, like an RQ worker with --max-jobs."""
    if old["state"] == "restarting" and not died:
        return True  # its end was judged when it ended
    if not died or old["policy"] not in _STARTED_AGAIN_ALWAYS:
        return False
    first = old["age"] + max(0.0, died[0]["after"])
    return all(event["exit_code"] == 0 for event in died) and first >= RECYCLED_AFTER and len(died) == 1


def _frozen(old: Reading, new: Reading) -> Fault | None:
    if new["state"] == "paused" and old["state"] == "running":
        return Fault(
            "exited", old["service"], f"service {old['service']} ({old['name']}) was paused: it does nothing any more."
        )
    return None


def _unhealthy(old: Reading, new: Reading) -> Fault | None:
    """A container that is still starting, within the time that it was given for it, is not unhealthy."""
    if new["health"] != "unhealthy" or old["health"] in ("unhealthy", None) or new["state"] != "running":
        return None
    said = f" The check said: {new['health_output']}" if new["health_output"] else ""
    return Fault(
        "unhealthy",
        old["service"],
        f"service {old['service']} ({old['name']}) turned unhealthy: {new['failing_streak']} health checks in a row "
        f"failed.{said}",
    )


def standing(now: Look, baseline: Mapping[str, Any] | None) -> list[Fault]:
    """What a baseline tells to be worse already when the watch begins. `baseline`: see `watch.baseline`."""
    before = (baseline or {}).get("services") or {}
    found = []
    for service, was in before.items():
        mine = [reading for reading in now if reading["service"] == service]
        running = [reading for reading in mine if reading["state"] in (*UP, "restarting")]
        if was.get("running") and not running:
            code = f" (exit code {mine[0]['exit_code']})" if mine else ""
            found.append(
                Fault(
                    "exited", service, f"service {service} ran when the baseline was taken and does not run now{code}."
                )
            )
        elif was.get("health") == "healthy" and any(reading["health"] == "unhealthy" for reading in running):
            found.append(
                Fault(
                    "unhealthy", service, f"service {service} was healthy when the baseline was taken and is unhealthy."
                )
            )
    return found


# What has to last before it counts


def lasting_faults(looks: Sequence[tuple[float, Look]], limits: Thresholds) -> list[Fault]:
    """Memory pressure and memory at the limit. `looks`: (seconds since the watch began, look), oldest first."""
    found = []
    first = _by_id(looks[0][1])
    for reading in looks[-1][1]:
        if reading["state"] != "running":
            continue
        origin = first.get(reading["id"])
        fault = pressure_fault(
            f"service {reading['service']}", reading["pressure"], origin and origin["pressure"], limits
        )
        found += [fault] if fault else []
        fault = _at_limit(reading["id"], looks, limits)
        found += [fault] if fault else []
    return found


def pressure_fault(
    subject: str, now: Mapping[str, float] | None, at_start: Mapping[str, float] | None, limits: Thresholds
) -> Fault | None:
    """Time lost waiting for memory: above the threshold over the last 60 s, and still so over the last 10 s.

    The last 60 s reach back before the watch: what was high already then must have grown by the threshold again.
    """
    if not now:
        return None
    minute, lately = now.get("some_avg60", 0.0), now.get("some_avg10", 0.0)
    start = (at_start or {}).get("some_avg60", 0.0)
    wanted = limits.pressure_percent + (start if start >= limits.pressure_percent else 0.0)
    if minute < wanted or lately < limits.pressure_percent:
        return None
    return Fault(
        "memory_pressure",
        subject.rpartition(" ")[2],
        f"{subject} waits for memory {minute:.1f} % of the time (last 60 s; {lately:.1f} % in the last 10 s, "
        f"{start:.1f} % when the watch began; allowed: {limits.pressure_percent:g} %).",
    )


def _at_limit(container: str, looks: Sequence[tuple[float, Look]], limits: Thresholds) -> Fault | None:
    """Memory that the kernel cannot take back, at the limit for a while, with the limit being hit meanwhile."""
    end = looks[-1][0]
    recent = [entry for at, look in looks if at >= end - LASTING for entry in look if entry["id"] == container]
    if end - looks[0][0] < LASTING or len(recent) < 3:
        return None
    if any(not entry["limit"] or entry["unreclaimable"] is None for entry in recent):
        return None
    shares = [100.0 * entry["unreclaimable"] / entry["limit"] for entry in recent]
    hits = recent[-1]["limit_hits"] - recent[0]["limit_hits"]
    if min(shares) < limits.memory_percent or hits <= 0:
        return None
    last = recent[-1]
    return Fault(
        "memory_at_limit",
        last["service"],
        f"service {last['service']} ({last['name']}) stands at its memory limit: {human_size(last['unreclaimable'])} "
        f"that cannot be given back, of {human_size(last['limit'])} ({min(shares):.0f} %), for {LASTING:.0f} s; the "
        f"limit was hit {hits} times.",
    )


def doubts(looks: Sequence[tuple[float, Look]]) -> list[Doubt]:
    """What cannot be told of the containers at the end of a watch."""
    found = []
    first = _by_id(looks[0][1])
    for reading in looks[-1][1]:
        service, health, old = reading["service"], reading["health"], first.get(reading["id"])
        if reading["state"] != "running":
            continue
        if health == "starting":
            text = f"service {service} is still starting: its health check has not passed yet. Watch longer."
        elif health == "unhealthy" and old and old["health"] == "unhealthy":
            text = f"service {service} was unhealthy already when the watch began: its health says nothing."
        elif health == "healthy" and reading["failing_streak"] > (old["failing_streak"] if old else 0):
            text = f"the latest health check of {service} failed ({reading['failing_streak']} in a row). Watch longer."
        else:
            continue
        found.append(Doubt("health", service, text))
    found += [
        Doubt("kernel", reading["service"], f"the kernel's counters of {reading['service']} could not be read.")
        for reading in looks[-1][1]
        if reading["state"] == "running" and reading["oom_kills"] is None
    ]
    return found


def stopped_before(look: Look) -> list[str]:
    """Services with no running container in a look: the operator had stopped them."""
    up = {reading["service"] for reading in look if reading["state"] in (*UP, "restarting")}
    return sorted({reading["service"] for reading in look} - up)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
