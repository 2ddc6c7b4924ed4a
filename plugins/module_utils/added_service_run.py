# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of `compose_added_service`: add services to the project's file, or take them and their containers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import addition, change, filed, undo
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Document
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    LABEL_PROJECT,
    ProjectError,
    target_file,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.limits_task.host import host_budget
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask
from ansible_collections.smallhost.headroom.plugins.module_utils.sizing import over_budget

STOP_SECONDS = 10
"""What a container may take to stop before it is killed, the engine's own default."""


def apply_added(task: ProjectTask) -> dict[str, Any]:
    """Bring the wanted services and networks into the file; returns the module's result. Raises project_task.ERRORS."""
    wanted = addition.places(task.params)
    ours = filed.places(task.journal, task.owner, None)
    taken = addition.foreign(wanted, task.project.config(), ours)
    if taken:
        raise ValueError(
            f"the project has a {' and a '.join(taken)} of its own. Nothing was changed. "
            "Rename it, or choose another name."
        )
    target = target_file(task.project, task.params["write_to"])
    document = Document(change.text_of(task.project, target), target)
    prepared = change.prepare(task.project, target, addition.plan(wanted, ours, document))
    if prepared.changed:
        _guard_budget(task, prepared.model)
        change.require_writable(target)
        if not task.check_mode:
            change.write(task.journal, task.owner, task.project, prepared)
    changed = {item.path for item in prepared.changes} if prepared.changed else set()
    services = {place[1]: definition for place, definition in wanted.items() if place[0] == "services"}
    return {
        "changed": prepared.changed,
        "files_changed": [target] if prepared.changed else [],
        "diff": change.text_diff(target, prepared.before, prepared.after if prepared.changed else prepared.before),
        **_describe(task, services, {path[1] for path in changed}),
    }


def _guard_budget(task: ProjectTask, model: Mapping[str, Any]) -> None:
    """Refuse what does not fit into the host beside everything else. Raises ValueError."""
    if task.engine is None:
        return
    reason = over_budget(host_budget(task, model, task.engine.containers(running_only=True), []))
    if reason:
        raise ValueError(
            f"{reason[:1].upper()}{reason[1:]}. Nothing was changed. "
            "Give smaller limits, or state a smaller host_reserve."
        )


def _describe(task: ProjectTask, services: Mapping[str, Mapping[str, Any]], changed: set[Any]) -> dict[str, Any]:
    """The part of the result that says what still has to be started or recreated."""
    containers = task.containers()
    # A project that is down stays down: starting it is its owner's business.
    up = any(entry.running for entry in containers)
    described = []
    for name, definition in services.items():
        mine = [entry for entry in containers if entry.service == name]
        seen = [{"running": entry.running, "labels": entry.labels} for entry in mine]
        described.append(
            {
                "name": name,
                "changed": name in changed,
                "recreate_pending": up and addition.pending(definition, seen),
                "containers": [{"name": entry.name, "id": entry.id, "running": entry.running} for entry in mine],
            }
        )
    return {
        "project": task.project.name,
        "files": list(task.project.files),
        "services": described,
        "recreate_pending": [entry["name"] for entry in described if entry["recreate_pending"]],
        "removed": [],
    }


def undo_added(task: ProjectTask) -> dict[str, Any]:
    """Take the services out: containers, the file's lines, networks. Returns the module's result.

    Containers go first: a run that is killed in between leaves a file that still says what to remove. Raises
    project_task.ERRORS.
    """
    model = task.project.config()
    parts = _parts(task, model)
    containers = [entry for entry in task.containers() if ("services", entry.service) in parts]
    if not task.check_mode:
        _remove_containers(task, containers)
    undone = undo.undo_files(task.journal, task.owner, task.project, None, task.check_mode)
    task.warnings += undo.undo_warnings(undone, None)
    files = [entry for entry in undone if entry.before != entry.after]
    networks = _remove_networks(task, [name for section, name in parts if section == "networks"])
    return {
        "changed": bool(files or containers or networks),
        "files_changed": [entry.path for entry in files],
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "diff": [part for entry in files for part in change.text_diff(entry.path, entry.before, entry.after)],
        **_describe(task, {}, set()),
        "removed": sorted(entry.name for entry in containers) + networks,
    }


def _parts(task: ProjectTask, model: Mapping[str, Any]) -> set[tuple[str, str]]:
    """What is ours by the journal, and what a killed run may have left of named parts that are not in the project."""
    ours = {(str(place[0]), str(place[1])) for place in filed.places(task.journal, task.owner, None)}
    named = {(section, entry["name"]) for section in ("services", "networks") for entry in task.params[section]}
    return ours | {(section, name) for section, name in named if name not in (model.get(section) or {})}


def _remove_containers(task: ProjectTask, containers: Sequence[Container]) -> None:
    if not containers:
        return
    names = [entry.name for entry in containers]
    for command in (["stop", "--time", str(STOP_SECONDS)], ["rm", "--force", "--volumes"]):
        done = task.project.run(["docker", *command, *names], None)
        # One that went away meanwhile is what was wanted.
        if done.code and b"No such container" not in done.err:
            raise ProjectError(
                f"{', '.join(names)} could not be removed: {done.err.decode('utf-8', 'replace').strip()}"
            )


def _remove_networks(task: ProjectTask, names: Sequence[str]) -> list[str]:
    """Remove the project's networks of these names; returns the engine's names for those that were there."""
    removed = []
    for name in sorted(names):
        labels = [f"label={LABEL_PROJECT}={task.project.name}", f"label={addition.LABEL_NETWORK}={name}"]
        filters = [word for label in labels for word in ("--filter", label)]
        listed = task.project.run(["docker", "network", "ls", "--format", "{{.Name}}", *filters], None)
        for found in listed.out.decode("utf-8", "replace").split():
            removed.append(found)
            done = None if task.check_mode else task.project.run(["docker", "network", "rm", found], None)
            if done and done.code:
                task.warnings.append(
                    f"the network {found} is still in use: {done.err.decode('utf-8', 'replace').strip()}"
                )
    return removed
