# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What becomes of the wanted limits: refused, fitted, or planned as changes of the file and of each container."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import limits
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.redis_flags import maxmemory_of
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask

Limits = Mapping[str, "int | float | None"]

FITTED = "fitted "  # + service: {"target", "limit"} of a limit that was raised above its target, in the journal


def read_wanted(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as numbers out of one item of `services`; memory+swap defaults to memory. Raises units.SizeError."""
    wanted: dict[str, Any] = {"cpus": entry.get("cpus"), "pids": entry.get("pids")}
    for name in ("memory", "memory_reservation", "memory_swap"):
        text = entry.get(name)
        endless = name == "memory_swap" and text is not None and str(text).strip() == "-1"
        wanted[name] = -1 if endless else None if text is None else units.parse_compose_size(text)
    maxmemory = entry.get("redis_maxmemory")
    wanted["redis_maxmemory"] = None if maxmemory is None else units.parse_redis_size(maxmemory)
    if wanted["memory"] is not None and wanted["memory_swap"] is None:
        wanted["memory_swap"] = wanted["memory"]
    return wanted


def contradictions(name: str, wanted: Limits, now: Limits, processors: int) -> list[str]:
    """What the engine would refuse, said before anything is touched. `now`: the effective limits of the file."""
    memory = wanted["memory"] if wanted["memory"] is not None else now["memory"]
    reservation, swap = wanted["memory_reservation"], wanted["memory_swap"]
    size, found = units.human_size, []
    if memory is not None and memory < sizing.ENGINE_MINIMUM:
        found.append(f"{name}: memory {size(memory)} is below the engine's minimum of {size(sizing.ENGINE_MINIMUM)}.")
    if swap is not None and memory is None:
        found.append(f"{name}: memory_swap needs memory.")
    elif swap is not None and memory is not None and 0 <= swap < memory:
        found.append(f"{name}: memory_swap {size(swap)} is memory and swap together, so not below {size(memory)}.")
    kept = reservation if reservation is not None else now["memory_reservation"]
    if kept is not None and memory is not None and kept > memory:
        found.append(
            f"{name}: the reservation of {size(kept)} is above the limit of {size(memory)}: "
            "give a smaller memory_reservation."
        )
    cpus = wanted["cpus"]
    if cpus is not None and not 0.01 <= cpus <= processors:
        found.append(f"{name}: cpus {cpus:g} is outside of 0.01 to {processors}, the host's processors.")
    return found


def too_small(service: Service, need: int) -> str:
    """The refusal for a limit below the need, with figures, rule and way out."""
    size = units.human_size
    largest = max((use for use in service.uses.values() if use), key=sizing.in_use)
    held = largest.anon + largest.shared + largest.kernel
    return (
        f"{service.name}: a limit of {size(service.target or 0)} is below the {size(need)} that it needs now: "
        f"{sizing.SAFETY} x {size(sizing.in_use(largest))}, the larger of its working set "
        f"({size(largest.working_set)}) and its anonymous, shared and kernel memory ({size(held)}). "
        f"Give it {units.format_compose_size(need)} or more, or use fit: raise to take what is needed."
    )


def above_maxmemory(service: Service) -> str | None:
    """The refusal for a limit below what its Redis may fill, or None."""
    if service.fit is None:
        return None
    running = [entry.argv for entry in service.containers]
    found = service.wanted.get("redis_maxmemory") or maxmemory_of(service.config, running)
    if found is None or found < service.fit.limit:
        return None
    size = units.human_size
    return (
        f"{service.name}: Redis may fill {size(found)} (maxmemory), which does not fit into a limit of "
        f"{size(service.fit.limit)}: the kernel would kill it before it evicts a key. Lower maxmemory first "
        "(smallhost.headroom.redis_maxmemory), give a larger memory, or use fit: force."
    )


def swapped_out(service: Service) -> list[str]:
    """The refusal for memory+swap below what is in use with the part in swap, which the kernel has no room for then."""
    wanted = service.wanted["memory_swap"]
    totals = [sizing.in_use(use) + use.swap for use in service.uses.values() if use and use.swap]
    if wanted is None or wanted < 0 or not totals or sizing.needed(max(totals)) <= wanted:
        return []
    need, size = sizing.needed(max(totals)), units.human_size
    return [
        f"{service.name}: memory_swap {size(wanted)} is below {sizing.SAFETY} x the {size(max(totals))} that it "
        f"holds in memory and swap. Give memory_swap: {units.format_compose_size(need)} or more, or use fit: force."
    ]


def decide(task: ProjectTask, service: Service) -> list[str]:
    """Settle the service's limit and what has to be done for it; returns refusals."""
    mode, wanted = task.params["fit"], service.wanted
    service.target = wanted["memory"]
    if service.target is not None:
        need = None if service.used is None else sizing.needed(service.used)
        note = task.journal.recall(task.owner, FITTED + service.name) or {}
        current = service.agreed_limit()
        fitted = note.get("target") == service.target and note.get("limit") == current
        try:
            service.fit = sizing.fit(service.target, need, current, mode, fitted)
        except sizing.DoesNotFit:
            return [too_small(service, need or 0)]
        grown = service.fit.limit - service.target
        wanted["memory"] = service.fit.limit
        if wanted["memory_swap"] >= 0:
            wanted["memory_swap"] += grown
    found = contradictions(service.name, wanted, limits.effective(service.config), len(os.sched_getaffinity(0)))
    if mode != "force":
        found += swapped_out(service)
    risk = above_maxmemory(service)
    if risk and mode == "force":
        task.warnings.append(risk)
    elif risk:
        found.append(risk)
    return found


def plan(service: Service, prefer_deploy: bool, live: bool) -> None:
    """Note what has to change in the file and in each container."""
    service.file_changes = [
        (("services", service.name, *place), value)
        for place, value in limits.plan(service.config, service.wanted, prefer_deploy)
    ]
    if not live:
        return
    for entry in service.containers:
        body = docker_engine.update_body(entry, service.wanted)
        if not cgroup.counts_swap():
            body = docker_engine.without_swap(body) if body.get("Memory") != entry.live()["Memory"] else {}
        if body:
            service.bodies[entry.id] = body
