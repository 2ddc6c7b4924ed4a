# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back to what was before the first run: files to the byte, containers to the value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, limits, undo
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.apply import update_live
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.decide import FITTED
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.report import (
    LIVE,
    MADE,
    described_containers,
    live_diff,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service, measure
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask


def undo_limits(task: ProjectTask) -> dict[str, Any]:
    """Put files and containers back; returns the module's result. Raises project_task.ERRORS."""
    names = [entry["name"] for entry in task.params["services"]] or None
    owned = task.journal.owned(task.owner)
    undone = undo.undo_files(task.journal, task.owner, task.project, names, task.check_mode)
    task.warnings += undo.undo_warnings(undone, names)
    model = undo.model_after(task.project, undone, task.check_mode)
    everywhere = task.containers()
    services = []
    for key in sorted(owned):
        name = key[len(LIVE) :]
        if key.startswith(LIVE) and (names is None or name in names):
            config = model.get("services", {}).get(name) or {}
            services.append(undo_service(task, name, config, everywhere, owned))
    if not task.check_mode:
        for key in sorted(owned):
            if key.startswith((LIVE, MADE, FITTED)) and (names is None or key.split(" ")[1] in names):
                task.journal.forget(task.owner, key)
    return undo_report(task, [entry for entry, _facts in services], [facts for _entry, facts in services], undone)


def undo_service(
    task: ProjectTask,
    name: str,
    config: Mapping[str, Any],
    everywhere: Sequence[Container],
    owned: Mapping[str, Any],
) -> tuple[Service, dict[str, Any]]:
    """Give a service's containers their first limits back; one that was recreated since gets the first one's.

    `config` is the service's effective configuration after the undo, `owned` what the journal has filed.
    """
    mine = [entry for entry in everywhere if entry.service == name]
    service = Service(name, config, {}, mine, measure(mine, task.warnings))
    before = owned[LIVE + name]
    known = {entry["id"]: entry["limits"] for entry in before}
    kept = []
    for entry in mine:
        first = known.get(entry.id, before[0]["limits"])
        body = docker_engine.restore_body(entry, first, cgroup.version(), len(os.sched_getaffinity(0)))
        possible = without_what_kills(task, entry, first, body, service.uses.get(entry.id))
        if task.params["apply"] == "file":
            possible = {}
        if possible != body:
            kept.append(entry.id)
        if possible:
            service.bodies[entry.id] = possible
    if not task.check_mode:
        update_live(task, mine, service.bodies)
        for entry in mine:
            lift(entry, known.get(entry.id, before[0]["limits"]), service.bodies.get(entry.id, {}))
    made = [owned.get(f"{MADE}{name} {entry.id}") or entry.live() for entry in mine]
    return service, {
        "recreate_pending": any(entry.running and entry.id in kept for entry in mine),
        "recreate_at_next_up": any(made_from_other(limits_then, config) for limits_then in made),
    }


def without_what_kills(
    task: ProjectTask, entry: Container, first: Mapping[str, int], body: dict[str, int], use: cgroup.Memory | None
) -> dict[str, int]:
    """The request without a memory limit that the container has outgrown; warns where there is one."""
    if use is None or "Memory" not in body or not 0 < first["Memory"] < sizing.in_use(use):
        return body
    task.warnings.append(
        f"{entry.name} uses {units.human_size(sizing.in_use(use))} and keeps its limit: the one from before, "
        f"{units.human_size(first['Memory'])}, would kill it. It comes back when the container is recreated."
    )
    return {key: value for key, value in body.items() if key not in ("Memory", "MemorySwap")}


def made_from_other(made: Mapping[str, int], config: Mapping[str, Any]) -> bool:
    """Whether a container was made from other limits than the file has now, so that Compose recreates it."""
    then, now = Container({"HostConfig": made}).limits(), limits.effective(config)
    return any(then[name] != now[name] for name in ("memory", "memory_reservation", "cpus", "pids"))


def lift(entry: Container, before: Mapping[str, int], body: Mapping[str, int]) -> None:
    """Take away in the kernel what the engine can only make meaningless: a CPU quota, and v2's smallest reservation."""
    if not entry.pid:
        return
    group = cgroup.find(entry.pid, entry.id)
    if "NanoCpus" in body and not before["NanoCpus"]:
        cgroup.lift_cpu_limit(group)
    if "MemoryReservation" in body and before["MemoryReservation"] <= 0:
        cgroup.lift_reservation(group)


def undo_report(
    task: ProjectTask,
    services: Sequence[Service],
    facts: Sequence[Mapping[str, Any]],
    undone: Sequence[undo.Undone],
) -> dict[str, Any]:
    """The module's return value for `state: absent`."""
    files = [entry for entry in undone if entry.before != entry.after]
    listed = [{**undone_service(service), **more} for service, more in zip(services, facts)]
    return {
        "changed": bool(files or any(service.bodies for service in services)),
        "project": task.project.name,
        "files": list(task.project.files),
        "files_changed": [entry.path for entry in files],
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "services": listed,
        "recreate_pending": [entry["name"] for entry in listed if entry["recreate_pending"]],
        "recreate_at_next_up": [entry["name"] for entry in listed if entry["recreate_at_next_up"]],
        "diff": [
            *(part for entry in files for part in change.text_diff(entry.path, entry.before, entry.after)),
            *live_diff(services),
        ],
    }


def undone_service(service: Service) -> dict[str, Any]:
    """One service's part of the result of `state: absent`."""
    now = limits.effective(service.config)
    return {
        "name": service.name,
        "limit": now["memory"],
        "reservation": now["memory_reservation"],
        "memory_swap": now["memory_swap"],
        "cpus": now["cpus"],
        "pids": now["pids"],
        "working_set": service.working_set,
        "changed": bool(service.bodies),
        "before": {"live": [{"container": entry.name, **entry.limits()} for entry in service.containers]},
        "containers": described_containers(service),
    }
