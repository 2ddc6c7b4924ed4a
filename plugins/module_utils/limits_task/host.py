# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's budget: what all containers may take together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import limits
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service, measure
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask


def shares(
    model: Mapping[str, Any],
    project: str,
    everywhere: Sequence[Container],
    uses: Mapping[str, cgroup.Memory | None],
) -> list[sizing.Share]:
    """What each container of the host may take: by the model for this project, else by the container itself."""
    found, services = [], model.get("services", {})
    for name, config in services.items():
        mine = [entry for entry in everywhere if entry.project == project and entry.service == name]
        wanted = limits.effective(config or {})
        used = sum(use.working_set for use in (uses.get(entry.id) for entry in mine) if use)
        count = max(limits.replicas(config or {}), len([entry for entry in mine if entry.running]))
        memory, reservation = wanted["memory"], wanted["memory_reservation"]
        live = max((int(entry.limits()["memory"] or 0) for entry in mine), default=0) or None
        memory = memory if memory is not None else live
        found.append(
            sizing.Share(
                name,
                None if memory is None else int(memory) * count,
                None if reservation is None else int(reservation) * count,
                used,
            )
        )
    for entry in everywhere:
        if (entry.project == project and entry.service in services) or not entry.running:
            continue
        own, use = entry.limits(), uses.get(entry.id)
        memory, reservation = own["memory"], own["memory_reservation"]
        found.append(
            sizing.Share(
                entry.name,
                None if memory is None else int(memory),
                None if reservation is None else int(reservation),
                use.working_set if use else 0,
            )
        )
    return found


def host_budget(
    task: ProjectTask, model: Mapping[str, Any], everywhere: Sequence[Container], services: Sequence[Service]
) -> sizing.Budget:
    """The host's budget with the limits of `model`; `services` are those measured already. Raises units.SizeError."""
    host = cgroup.host_memory()
    given = task.params["host_memory"]
    total = units.parse_compose_size(given) if given else host.total
    uses = {name: use for service in services for name, use in service.uses.items()}
    uses.update(measure([entry for entry in everywhere if entry.id not in uses], []))
    return sizing.budget(
        task.params["host_reserve"], total, host.used, shares(model, task.project.name, everywhere, uses)
    )


def guard_budget(task: ProjectTask, budget: sizing.Budget, services: Sequence[Service]) -> None:
    """Refuse limits beyond the host. What is in place already is only warned about. Raises ValueError."""
    reason = sizing.over_budget(budget)
    if not reason:
        return
    if any(service.changed for service in services) and task.params["fit"] != "force":
        raise ValueError(
            f"{reason[:1].upper()}{reason[1:]}. Nothing was changed. Give smaller limits, "
            "state a smaller host_reserve, or use fit: force."
        )
    task.warnings.append(reason)
