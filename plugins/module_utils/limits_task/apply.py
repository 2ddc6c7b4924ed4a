# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of limits over a project: measure, decide, check the budget, file, write, apply, report.

The order matters for a run that is killed: the journal knows the old value before the file changes, and the file
changes before a container does, so the next run (or the undo) finds its way from any point.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, limits
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import target_file
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.decide import (
    FITTED,
    decide,
    plan,
    read_wanted,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.host import guard_budget, host_budget
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.report import LIVE, MADE, report
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service, measure
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask


def remember_live(task: ProjectTask, service: Service) -> None:
    """File what the service's containers have now, before the first change of any of them."""
    found = [{"id": entry.id, "limits": entry.live()} for entry in service.containers]
    if found:
        task.journal.remember(task.owner, LIVE + service.name, found)
    for entry in service.containers:
        if entry.id in service.bodies:
            task.journal.remember(task.owner, f"{MADE}{service.name} {entry.id}", entry.live())


def remember_fit(task: ProjectTask, service: Service) -> None:
    """Keep which target a limit was raised above, so that the next run knows a fitted limit from a wanted one."""
    key = FITTED + service.name
    note = {"target": service.target, "limit": service.fit.limit} if service.fit and service.fit.fitted else None
    if task.journal.recall(task.owner, key) == note:
        return
    task.journal.forget(task.owner, key)
    if note:
        task.journal.remember(task.owner, key, note)


def update_live(task: ProjectTask, containers: Sequence[Container], bodies: Mapping[str, dict[str, int]]) -> None:
    """Send each container its limits, and look into the kernel's files for them. Raises EngineError."""
    for entry in containers:
        body = bodies.get(entry.id)
        if not body or task.engine is None:
            continue
        task.warnings += task.engine.update(entry, body)
        _verify(task, entry, body)


def _verify(task: ProjectTask, entry: Container, body: Mapping[str, int]) -> None:
    """The engine's word is not enough: the kernel has to enforce the new limit."""
    try:
        use = entry.memory()
    except cgroup.CgroupError:
        return  # it ended meanwhile, or is stopped: its next start brings the limit
    wanted = body.get("Memory")
    if use is None or wanted is None or wanted >= docker_engine.UNLIMITED:
        return
    page = os.sysconf("SC_PAGE_SIZE")
    if use.limit is None or abs(use.limit - wanted) >= page:
        raise docker_engine.EngineError(
            f"the engine took a limit of {wanted} bytes for {entry.name}, but the kernel enforces {use.limit}."
        )


def apply_limits(task: ProjectTask) -> dict[str, Any]:
    """Bring file and containers to the wanted limits; returns the module's result. Raises project_task.ERRORS."""
    services, everywhere = look(task)
    refusals = [refusal for service in services for refusal in decide(task, service)]
    if refusals:
        raise ValueError(" ".join(refusals) + " Nothing was changed.")
    model = task.project.config()
    prefer = limits.uses_deploy(model.get("services", {}))
    live = task.params["apply"] == "live" and task.engine is not None
    for service in services:
        plan(service, prefer, live)
    path = target_file(task.project, task.params["write_to"])
    changes = change.sets([item for service in services for item in service.file_changes])
    prepared = change.prepare(task.project, path, changes)
    require_met(services, prepared.model, path)
    budget = host_budget(task, prepared.model, everywhere, services)
    guard_budget(task, budget, services)
    if changes:
        change.require_writable(path)
    if not task.check_mode:
        for service in services:
            if service.changed:
                remember_live(task, service)
        change.write(task.journal, task.owner, task.project, prepared)
        for service in services:
            update_live(task, service.containers, service.bodies)
            remember_fit(task, service)
    return report(task, services, prepared, budget)


def look(task: ProjectTask) -> tuple[list[Service], list[Container]]:
    """The wanted services with their containers, measured; and all containers of the host. Raises ProjectError."""
    wanted = {entry["name"]: read_wanted(entry) for entry in task.params["services"]}
    if len(wanted) < len(task.params["services"]):
        raise ValueError("a service stands twice in services. Nothing was changed.")
    task.project.require(wanted)
    everywhere = task.engine.containers() if task.engine else []
    model, services = task.project.config()["services"], []
    for name, values in wanted.items():
        mine = [
            entry
            for entry in everywhere
            if entry.project == task.project.name and entry.service == name and not entry.passing
        ]
        services.append(Service(name, model[name] or {}, values, mine, measure(mine, task.warnings)))
    return services, everywhere


def require_met(services: Sequence[Service], model: Mapping[str, Any], path: str) -> None:
    """Make sure that the new text has the wanted effect. Raises ValueError naming what overrules it."""
    for service in services:
        missing = limits.unmet(model["services"][service.name] or {}, service.wanted)
        if missing:
            raise ValueError(
                f"{', '.join(missing)} of {service.name} would not take effect from {path}: a variable that is set in "
                ".env or in the environment, or a later file, overrules it. Change it there. Nothing was changed."
            )
