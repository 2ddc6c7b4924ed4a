# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Back to what was before the first run: files to the byte, containers to the value."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.apply import update_live
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.decide import FITTED
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.report import LIVE, MADE, diff, enforced
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service, measure
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask


def undo_limits(task: ProjectTask) -> dict[str, Any]:
    """Put files and containers back; returns the module's result. Raises project_task.ERRORS."""
    names = [entry["name"] for entry in task.params["services"]] or None
    owned = task.journal.owned(task.owner)
    undone = change.undo_files(task.journal, task.owner, task.project, names, task.check_mode)
    task.warnings += change.undo_warnings(undone, names)
    services = []
    for key in sorted(owned):
        name = key[len(LIVE) :]
        if key.startswith(LIVE) and (names is None or name in names):
            services.append(undo_service(task, name, owned[key]))
    if not task.check_mode:
        for key in sorted(owned):
            if key.startswith((LIVE, MADE, FITTED)) and (names is None or key.split(" ")[1] in names):
                task.journal.forget(task.owner, key)
    return undo_report(task, services, undone)


def undo_service(task: ProjectTask, name: str, before: Sequence[Mapping[str, Any]]) -> Service:
    """Give a service's containers their first limits back; one that was recreated since gets the first one's."""
    mine = [entry for entry in task.containers() if entry.service == name] if task.params["apply"] == "live" else []
    service = Service(name, {}, {}, mine, measure(mine, task.warnings))
    known = {entry["id"]: entry["limits"] for entry in before}
    for entry in mine:
        first, use = known.get(entry.id, before[0]["limits"]), service.uses.get(entry.id)
        version = cgroup.version()
        body = docker_engine.restore_body(entry, first, version, len(os.sched_getaffinity(0)))
        if use and 0 < first["Memory"] < sizing.in_use(use):
            task.warnings.append(
                f"{entry.name} uses {units.human_size(sizing.in_use(use))} and keeps its limit: the one from before, "
                f"{units.human_size(first['Memory'])}, would kill it. It comes back when the container is recreated."
            )
            body = {key: value for key, value in body.items() if key not in ("Memory", "MemorySwap")}
        if body:
            service.bodies[entry.id] = body
    if not task.check_mode:
        update_live(task, mine, service.bodies)
        for entry in mine:
            lift(entry, known.get(entry.id, before[0]["limits"]), service.bodies.get(entry.id, {}))
    return service


def lift(entry: Container, before: Mapping[str, int], body: Mapping[str, int]) -> None:
    """Take away in the kernel what the engine can only make meaningless: a CPU quota, and v2's smallest reservation."""
    if not entry.pid:
        return
    group = cgroup.find(entry.pid, entry.id)
    if "NanoCpus" in body and not before["NanoCpus"]:
        cgroup.lift_cpu_limit(group)
    if "MemoryReservation" in body and before["MemoryReservation"] <= 0:
        cgroup.lift_reservation(group)


def undo_report(task: ProjectTask, services: Sequence[Service], undone: Sequence[change.Undone]) -> dict[str, Any]:
    """The module's return value for `state: absent`."""
    files = [entry for entry in undone if entry.before != entry.after]
    found: list[dict[str, str]] = []
    for entry in files:
        found += diff(entry.path, entry.before, entry.after, [])
    return {
        "changed": bool(files or any(service.bodies for service in services)),
        "project": task.project.name,
        "files": list(task.project.files),
        "files_changed": [entry.path for entry in files],
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "services": [undone_service(service) for service in services],
        "recreate_pending": [],
        "recreate_at_next_up": [],
        "diff": found + diff("", None, None, services),
    }


def undone_service(service: Service) -> dict[str, Any]:
    """One service's part of the result of `state: absent`."""
    return {
        "name": service.name,
        "changed": bool(service.bodies),
        "before": {"live": [{"container": entry.name, **entry.limits()} for entry in service.containers]},
        "recreate_pending": False,
        "recreate_at_next_up": False,
        "containers": [
            {"name": entry.name, "id": entry.id, "running": entry.running, "limit": enforced(entry)}
            for entry in service.containers
        ],
    }
