# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of `compose_service`: plan the change of the file, have it checked, write it, say what needs a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, filed, service, undo
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, Set
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import target_file
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask

_ASPECTS = ("command", "environment", "volumes", *service.SCALARS)


def aspects_of(wanted: Mapping[str, Any]) -> list[str]:
    """Which settings one item of `services` is about, as keys of the compose file."""
    given = {"command": wanted["command_flags"], "environment": wanted["environment"], "volumes": wanted["volumes"]}
    found = [key for key, value in given.items() if value]
    return found + [key for key in service.SCALARS if wanted[key] is not None]


def plan(task: ProjectTask, wanted: Mapping[str, Any], target: str, keep_interpolation: bool) -> list[Set | Delete]:
    """The changes of one service. Raises ValueError."""
    name, model = wanted["name"], task.project.config()
    document = Document(change.text_of(task.project, target), target)
    config = model["services"][name] or {}
    changes: list[Set | Delete] = []
    if wanted["command_flags"]:
        written = change.written_command(task.project, name, target)
        changes += service.plan_flags(name, wanted["command_flags"], config, written, keep_interpolation)
    changes += service.plan_environment(name, wanted["environment"], config, document)
    changes += service.plan_volumes(name, wanted["volumes"], model, document)
    return changes + service.plan_scalars(name, wanted, config)


def unmet(wanted: Mapping[str, Any], config: Mapping[str, Any]) -> list[str]:
    """What the effective configuration does not have as wanted, in words."""
    found = service.unmet_flags(wanted["command_flags"], config) if wanted["command_flags"] else []
    found = found + service.unmet_environment(wanted["environment"], config)
    found += service.unmet_volumes(wanted["volumes"], config)
    return found + service.unmet_scalars(wanted, config)


def prepare(task: ProjectTask, target: str) -> tuple[change.Prepared, dict[str, list[Set | Delete]]]:
    """The checked change of the file, and the changes by service. Raises ValueError where it would have no effect."""
    services = task.params["services"]
    for keep in (True, False):
        planned = {wanted["name"]: plan(task, wanted, target, keep) for wanted in services}
        prepared = change.prepare(task.project, target, [item for changes in planned.values() for item in changes])
        missing = {
            wanted["name"]: unmet(wanted, prepared.model["services"][wanted["name"]] or {}) for wanted in services
        }
        if not any(missing.values()):
            return prepared, planned
    name, first = next((name, found) for name, found in missing.items() if found)
    raise ValueError(
        f"{', '.join(first)} of {name} would not take effect from {target}: a variable set in .env or in the "
        "environment, an env_file, or another file of the project overrules it. Change it there. Nothing was changed."
    )


def apply_services(task: ProjectTask) -> dict[str, Any]:
    """Bring the file to the wanted settings; returns the module's result. Raises project_task.ERRORS."""
    names = [wanted["name"] for wanted in task.params["services"]]
    if len(set(names)) < len(names):
        raise ValueError("a service stands twice in services. Nothing was changed.")
    task.project.require(names)
    target = target_file(task.project, task.params["write_to"])
    prepared, planned = prepare(task, target)
    if prepared.changed:
        change.require_writable(target)
        if not task.check_mode:
            change.write(task.journal, task.owner, task.project, prepared)
    aspects = {wanted["name"]: aspects_of(wanted) for wanted in task.params["services"]}
    found = describe(task, prepared.model, aspects, {name: len(changes) > 0 for name, changes in planned.items()})
    return {
        "changed": prepared.changed,
        "files_changed": [target] if prepared.changed else [],
        "diff": change.text_diff(target, prepared.before, prepared.after if prepared.changed else prepared.before),
        **found,
    }


def describe(
    task: ProjectTask, model: Mapping[str, Any], aspects: Mapping[str, Sequence[str]], changed: Mapping[str, bool]
) -> dict[str, Any]:
    """The part of the result that says what still needs a restart."""
    containers, services = task.containers(), []
    for name, keys in aspects.items():
        mine = [entry for entry in containers if entry.service == name]
        waiting = {entry.name: _pending(task, model, name, keys, entry.data) for entry in mine}
        services.append(
            {
                "name": name,
                "changed": changed.get(name, False),
                "recreate_pending": any(waiting[entry.name] for entry in mine if entry.running),
                "pending": sorted({key for found in waiting.values() for key in found}),
                "containers": [
                    {"name": entry.name, "id": entry.id, "running": entry.running, "pending": waiting[entry.name]}
                    for entry in mine
                ],
            }
        )
    return {
        "project": task.project.name,
        "files": list(task.project.files),
        "services": services,
        "recreate_pending": [entry["name"] for entry in services if entry["recreate_pending"]],
    }


def _pending(
    task: ProjectTask, model: Mapping[str, Any], name: str, aspects: Sequence[str], data: Mapping[str, Any]
) -> list[str]:
    needs_image = {"command", "environment"} & set(aspects)
    image = task.engine.image(data["Image"]) if needs_image and task.engine else {}
    return service.pending(aspects, model, name, data, image)


def undo_services(task: ProjectTask) -> dict[str, Any]:
    """Put the files back; returns the module's result. Raises project_task.ERRORS."""
    names = [entry["name"] for entry in task.params["services"]] or None
    touched = filed.places(task.journal, task.owner, names)
    undone = undo.undo_files(task.journal, task.owner, task.project, names, task.check_mode)
    files = [entry for entry in undone if entry.before != entry.after]
    task.warnings += undo.undo_warnings(undone, names)
    model = undo.model_after(task.project, undone, task.check_mode)
    aspects: dict[str, list[str]] = {}
    for place in touched:
        if place[0] == "services" and place[2] in _ASPECTS and place[1] in model.get("services", {}):
            keys = aspects.setdefault(str(place[1]), [])
            if place[2] not in keys:
                keys.append(str(place[2]))
    return {
        "changed": bool(files),
        "files_changed": [entry.path for entry in files],
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "diff": [part for entry in files for part in change.text_diff(entry.path, entry.before, entry.after)],
        **describe(task, model, aspects, dict.fromkeys(aspects, bool(files))),
    }
