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
from ansible_collections.smallhost.headroom.plugins.module_utils.images.rewrite import HASH_LABEL, SOURCES_LABEL, SUFFIX
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


def keep_replaced(task: ProjectTask, store: ImageStore, service: plan.Service, image: str | None) -> None:
    """Let the undo bring back the image whose name a build of ours takes, where its code is newer than the first one's.

    A build for another version of our Dockerfile alone has the same sources as the one before it.
    """
    was = kept(task).get(service.name)
    if was and image and _labels(store, image).get(SOURCES_LABEL) != service.sources:
        store.tag(image, was["kept"])


def is_ours(store: ImageStore, image: str) -> bool:
    """Whether this module built it. What others build from our Dockerfile has no such label."""
    return HASH_LABEL in _labels(store, image)


def _labels(store: ImageStore, image: str) -> dict[str, str]:
    return (store.image(image).get("Config") or {}).get("Labels") or {}


def current_image(task: ProjectTask, store: ImageStore, service: plan.Service) -> str:
    """The id of the image that the service runs, or would; empty where there is none."""
    for container in task.containers():
        image = str(container.data["Image"])
        if container.service != service.name or not store.image_id(image):
            continue
        # After an undo one of ours runs until the restart.
        if service.switched or not is_ours(store, image):
            return image
    return store.image_id(plan.old_name(service)) or ""


def kept(task: ProjectTask) -> dict[str, dict[str, Any]]:
    """Service -> name, id and kept name of its old image, as the journal has them."""
    return {key[len(_KEY) :]: was for key, was in task.journal.owned(task.owner).items() if key.startswith(_KEY)}


def give_back(task: ProjectTask, store: ImageStore, names: Sequence[str], check_mode: bool = False) -> list[str]:
    """Give the old images their names again; returns in words where another image has it, or none."""
    told, used = [], []
    for service, was in kept(task).items():
        if names and service not in names:
            continue
        image, note = coming_back(store, service, was)
        told += [note] if note else []
        if check_mode:
            continue
        if image and image != store.image_id(was["name"]):
            store.tag(image, was["name"])
        if image and image == store.image_id(was["kept"]):
            used.append(was["kept"])
        task.journal.forget(task.owner, _KEY + service)
    for name in used:
        store.remove(name)
    return told


def coming_back(store: ImageStore, service: str, was: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The image that gets the service's old name (None: nothing is renamed), and what has to be said of it.

    What this module built is taken back, and nothing that anybody else built. An image that the operator has built
    since, from our Dockerfile or under the old name, has newer code than the kept one, and a database may have been
    migrated for it.
    """
    name, kept_name, ours = was["name"], was["kept"], of_ours(was["name"], plan.TAG)
    present, newest = store.image_id(name), store.image_id(ours)
    old = store.image_id(kept_name)
    image = newest if newest and not is_ours(store, newest) else old or store.image_id(was["id"])
    again = f"docker compose build {service}"
    stays = f" The image of before the switch stays as {kept_name} ({_dated(store, old)})." if old else ""
    if present and present not in (image, was["id"]) and not is_ours(store, present):
        return None, (
            f"{name} of {service} is an image that somebody built after the switch ({_dated(store, present)}). It "
            f"keeps the name, so the next restart runs it. Where {ours} has newer code, run {again} before.{stays}"
        )
    if not image:
        return None, (
            f"the old image of {service} ({name}, {was['id'][7:19]}) was removed from this host by somebody: build it "
            f"with {again}."
        )
    if image == was["id"]:
        return image, None
    if image == newest:
        return image, (
            f"{ours} of {service} was built after the switch by somebody ({_dated(store, image)}). It gets the name "
            f"{name} and runs on, because the kept image is older. {again} builds it from the original "
            f"Dockerfile.{stays}"
        )
    return image, (
        f"the image of {service} that comes back ({name}, {_dated(store, image)}) is the one that our last build "
        f"replaced, with the code of then. {again} builds the present code from the original Dockerfile."
    )


def _dated(store: ImageStore, image: str) -> str:
    """An image's short id and the day on which it was built."""
    made = str(store.image(image).get("Created") or "")[:10]
    return f"{image[7:19]} of {made}" if made else image[7:19]


def dockerfiles(task: ProjectTask) -> list[str]:
    """The Dockerfiles and ignore files that we have written beside the originals."""
    return [path for path in task.journal.files(task.owner) if path.endswith((SUFFIX, SUFFIX + _IGNORE))]
