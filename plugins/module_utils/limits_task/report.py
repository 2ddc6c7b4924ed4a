# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of limits says about itself: each service, what still needs a restart, and the difference."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, limits
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.service import Service
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask

Limits = Mapping[str, "int | float | None"]

# Keys in the journal
LIVE = "live "  # + service: what its containers had before the first run, [{"id", "limits"}]
MADE = "made "  # + service + container: what this container had when it was first touched, so what it was made with


def report(
    task: ProjectTask, services: Sequence[Service], prepared: change.Prepared, budget: sizing.Budget
) -> dict[str, Any]:
    """The module's return value after (or, in check mode, without) the change."""
    listed = [describe(task, service, prepared.model["services"][service.name] or {}) for service in services]
    changed = prepared.changed or any(service.bodies for service in services)
    return {
        "changed": changed,
        "project": task.project.name,
        "files": list(task.project.files),
        "files_changed": [prepared.path] if prepared.changed else [],
        "services": listed,
        "recreate_pending": [entry["name"] for entry in listed if entry["recreate_pending"]],
        "recreate_at_next_up": [entry["name"] for entry in listed if entry["recreate_at_next_up"]],
        "budget": budget.as_dict(),
        "diff": [
            *change.text_diff(prepared.path, prepared.before, prepared.after if prepared.changed else prepared.before),
            *live_diff(services),
        ],
    }


def describe(task: ProjectTask, service: Service, config: Mapping[str, Any]) -> dict[str, Any]:
    """One service's part of the result. `config`: its effective configuration after the change."""
    now = limits.effective(config)
    pending = [entry for entry in service.containers if entry.running and _differs(entry, now, service.bodies)]
    return {
        "name": service.name,
        "limit": now["memory"],
        "reservation": now["memory_reservation"],
        "memory_swap": now["memory_swap"],
        "cpus": now["cpus"],
        "pids": now["pids"],
        "target": service.target,
        "target_met": service.target is None or now["memory"] == service.target,
        "working_set": service.working_set,
        "needed": None if service.used is None else sizing.needed(service.used),
        "before": {
            "file": limits.effective(service.config),
            "live": [{"container": entry.name, **entry.limits()} for entry in service.containers],
        },
        "changed": service.changed,
        "recreate_pending": bool(pending),
        "recreate_at_next_up": any(_made_otherwise(task, service, entry, now) for entry in service.containers),
        "containers": described_containers(service),
    }


def described_containers(service: Service) -> list[dict[str, Any]]:
    """The service's containers, with the limit that the kernel enforces now."""
    found = []
    for entry in service.containers:
        use = service.uses.get(entry.id)
        found.append(
            {
                "name": entry.name,
                "id": entry.id,
                "running": entry.running,
                "limit": enforced(entry),
                "working_set": use.working_set if use else None,
            }
        )
    return found


def enforced(entry: Container) -> int | None:
    try:
        use = entry.memory()
    except cgroup.CgroupError:
        return None
    return use.limit if use else None


def _differs(entry: Container, file: Limits, bodies: Mapping[str, Any]) -> bool:
    """Whether the container lacks limits of the file, once the planned updates have been made."""
    if entry.id in bodies:
        return False
    wanted = {name: value for name, value in file.items() if value is not None}
    body = docker_engine.update_body(entry, wanted)
    return bool(body if cgroup.counts_swap() else docker_engine.without_swap(body))


def _made_otherwise(task: ProjectTask, service: Service, entry: Container, file: Limits) -> bool:
    """Whether the container was made from other limits than the file's, which changes Compose's config hash."""
    made = task.journal.recall(task.owner, f"{MADE}{service.name} {entry.id}") or entry.live()
    original = Container({"HostConfig": made})
    return any(original.limits()[name] != value for name, value in file.items() if value is not None)


def live_diff(services: Sequence[Service]) -> list[dict[str, str]]:
    """The containers' part of `--diff`: the limits that change, under the engine's own names."""
    found = []
    for service in services:
        for entry in service.containers:
            body = service.bodies.get(entry.id)
            if body:
                live, header = entry.live(), f"container {entry.name}"
                texts = {"before": {key: live[key] for key in body}, "after": dict(body)}
                shown = {name: json.dumps(values, indent=1, sort_keys=True) + "\n" for name, values in texts.items()}
                found.append({"before_header": header, "after_header": header, **shown})
    return found
