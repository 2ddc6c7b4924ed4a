# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Switching services to their new images and back, through the project's files and the undo journal."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, Set
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import ProjectError, target_file
from ansible_collections.smallhost.headroom.plugins.module_utils.images import plan
from ansible_collections.smallhost.headroom.plugins.module_utils.images.rewrite import SUFFIX
from ansible_collections.smallhost.headroom.plugins.module_utils.images.store import ImageStore, of_ours
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask

_KEY = "image of "
BEFORE = "before-headroom"
_IGNORE = ".dockerignore"


def edits(
    task: ProjectTask, services: Sequence[plan.Service], names: Mapping[str, str]
) -> tuple[str, list[Set | Delete]]:
    """The file and the changes that make these services use their new Dockerfiles and images."""
    target = target_file(task.project, task.params["write_to"])
    document = Document(change.text_of(task.project, target), target)
    wanted: list[Set | Delete] = []
    for service in services:
        place = ("services", service.name)
        if service.config.get("image") != names[service.name]:
            wanted.append(Set((*place, "image"), names[service.name]))
        if service.switched:
            continue
        section = document.get((*place, "build"))
        if isinstance(section, str):
            wanted.append(Set((*place, "build"), {"context": section, "dockerfile": service.ours}))
        else:
            wanted.append(Set((*place, "build", "dockerfile"), service.ours))
    return target, wanted


def prepare(task: ProjectTask, services: Sequence[plan.Service], names: Mapping[str, str]) -> change.Prepared:
    """The checked change of the project's file. Raises ProjectError, edit.EditError."""
    target, wanted = edits(task, services, names)
    prepared = change.prepare(task.project, target, wanted)
    for service in services:
        config = prepared.model["services"][service.name]
        if config.get("image") != names[service.name] or config["build"].get("dockerfile") != service.ours:
            raise ProjectError(
                f"image and dockerfile of {service.name} would not take effect from {target}: another file of the "
                "project overrules it. Change it there. Nothing was changed."
            )
    return prepared


def outdated(service: plan.Service) -> bool:
    """Whether our Dockerfile is not beside the original, or not as it should be."""
    try:
        with open(service.path(service.ours), encoding="utf-8") as stream:
            return stream.read() != service.text
    except OSError:
        return True


def write(task: ProjectTask, store: ImageStore, services: Sequence[plan.Service], prepared: change.Prepared) -> None:
    """Keep the old images by name, then write the Dockerfiles, then the project's file. Raises OSError."""
    for service in services:
        if not service.switched:
            keep_old(task, store, service)
    for service in services:
        task.journal.write_file(task.owner, service.path(service.ours), service.text.encode(), mode=0o644)
        ignored = service.path(service.original) + _IGNORE
        if os.path.isfile(ignored):
            with open(ignored, "rb") as stream:
                task.journal.write_file(task.owner, service.path(service.ours) + _IGNORE, stream.read(), mode=0o644)
    change.write(task.journal, task.owner, task.project, prepared)


def keep_old(task: ProjectTask, store: ImageStore, service: plan.Service) -> None:
    """Give the old image a name that only the undo takes away, and file it."""
    name = plan.old_name(service)
    found = current_image(task, store, service)
    if not found:
        return
    kept = of_ours(name, BEFORE)
    store.tag(found, kept)
    task.journal.remember(task.owner, _KEY + service.name, {"name": name, "id": found, "kept": kept})


def current_image(task: ProjectTask, store: ImageStore, service: plan.Service) -> str:
    """The id of the image that the service runs, or would; empty where there is none."""
    for container in task.containers():
        if container.service == service.name and store.image_id(container.data["Image"]):
            return str(container.data["Image"])
    return store.image_id(plan.old_name(service)) or ""


def kept(task: ProjectTask) -> dict[str, dict[str, Any]]:
    """Service -> name, id and kept name of its old image, as the journal has them."""
    return {key[len(_KEY) :]: was for key, was in task.journal.owned(task.owner).items() if key.startswith(_KEY)}


def give_back(task: ProjectTask, store: ImageStore, names: Sequence[str]) -> list[str]:
    """Give the old images their names again; returns what could not be done, in words."""
    problems = []
    for service, was in kept(task).items():
        if names and service not in names:
            continue
        if store.image_id(was["id"]):
            if store.image_id(was["name"]) != was["id"]:
                store.tag(was["id"], was["name"])
            store.remove(was["kept"])
        else:
            problems.append(
                f"the old image of {service} ({was['name']}, {was['id'][7:19]}) was removed from this host by "
                f"somebody: build it with docker compose build {service}."
            )
        task.journal.forget(task.owner, _KEY + service)
    return problems


def dockerfiles(task: ProjectTask) -> list[str]:
    """The Dockerfiles and ignore files that we have written beside the originals."""
    return [path for path in task.journal.files(task.owner) if path.endswith((SUFFIX, SUFFIX + _IGNORE))]
