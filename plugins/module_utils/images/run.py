# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of `compose_image`: plan, build, try, compare, switch. Nothing of the project changes before the switch."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import undo as compose_undo
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Engine
from ansible_collections.smallhost.headroom.plugins.module_utils.images import (
    build,
    plan,
    prune,
    sizes,
    switch,
    trial,
    unused,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.images.rewrite import HASH_LABEL, SOURCES_LABEL
from ansible_collections.smallhost.headroom.plugins.module_utils.images.shell import requirement_files
from ansible_collections.smallhost.headroom.plugins.module_utils.images.store import ImageStore, of_ours
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

UNUSED_LABEL = "smallhost.headroom.unused"
_CANDIDATE = "headroom-candidate"
_STATE_FILE = "images.json"
# An image that is not at least this much smaller is not worth a restart.
_WORTH = 0.95
# A build needs the room of the old image again, for its first stage, and half as much for the final one.
_ROOM = 1.5


class Run:
    """The services of one run, and what has become of each."""

    def __init__(self, task: ProjectTask, store: ImageStore) -> None:
        self.task = task
        self.store = store
        self.model = task.project.config()
        params = task.params
        self.services = plan.survey(self.model, params["services"], params["leave"])
        plan.read_dockerfiles(self.services, params["build_packages"], params["drop_requirements"])
        project = task.project
        plan.hash_contents(self.services, plan.apart(project.files, project.env_files, self.model))
        self.names = {entry.name: self._ours(entry) for entry in self.services if entry.recipe}
        self.verdicts = self._read_verdicts()
        self.rows = {entry.name: self._row(entry) for entry in self.services}

    def _ours(self, service: plan.Service) -> str:
        name = plan.old_name(service)
        return name if service.switched else of_ours(name, plan.TAG)

    def _row(self, service: plan.Service) -> dict[str, Any]:
        reason = service.reason or (plan.pulled_note(service) if service.pulled else None)
        return {
            "name": service.name,
            "dockerfile": service.path(service.original) if service.written else None,
            "outcome": "pulled" if service.pulled else "left" if service.reason else "current",
            "reason": reason,
            "image": self.names.get(service.name) or plan.old_name(service),
            "image_before": None,
            "size": None,
            "size_before": None,
            "unused_requirements": None,
            "other_versions": [],
            "changed": False,
        }

    # What was tried before

    def _verdict_path(self) -> str:
        return os.path.join(self.task.journal.folder, _STATE_FILE)

    def _read_verdicts(self) -> dict[str, dict[str, str]]:
        try:
            return dict(json.loads(atomic_file.read(self._verdict_path()) or b"{}"))
        except ValueError:
            return {}

    def keep_verdict(self, service: plan.Service, reason: str) -> None:
        """Remember that this very content was built and found unfit, so that it is not built again at every run."""
        self.verdicts[service.name] = {"content": service.content, "reason": reason}
        atomic_file.replace(self._verdict_path(), json.dumps(self.verdicts, indent=1).encode(), mode=0o600)

    # Steps

    def is_built(self, service: plan.Service) -> bool:
        """Whether the new image is there, made from this very content."""
        labels = (self.store.image(self.names[service.name]).get("Config") or {}).get("Labels") or {}
        return labels.get(HASH_LABEL) == service.content

    def leave(self, service: plan.Service, outcome: str, reason: str) -> None:
        """Say that a service keeps its image, and why."""
        self.rows[service.name].update(outcome=outcome, reason=reason)
        what = "could not be made smaller" if outcome == "failed" else "is left alone"
        self.task.warnings.append(f"{self.rows[service.name]['dockerfile']} of {service.name} {what}: {reason}")

    def to_build(self) -> list[plan.Service]:
        """The services that need a build; those found unfit with the same content are left."""
        found = []
        for service in self.services:
            if not service.recipe or self.is_built(service):
                continue
            verdict = self.verdicts.get(service.name) or {}
            if verdict.get("content") == service.content and not self.task.params["retry"]:
                self.leave(service, "left", verdict["reason"])
            elif not switch.current_image(self.task, self.store, service):
                self.leave(service, "left", "it has no image yet to compare with; build it with docker compose build")
            else:
                found.append(service)
        return found

    def short_of_room(self, services: Sequence[plan.Service]) -> str | None:
        """Why these cannot be built for want of disk, or None."""
        if not services:
            return None
        sizes_now = [self.size(switch.current_image(self.task, self.store, service)) for service in services]
        need, free = int(max(sizes_now) * _ROOM), self.store.free_bytes()
        if free is None or free >= need:
            return None
        return f"building needs about {human_size(need)} of disk and {human_size(free)} are free; nothing was built"

    def size(self, image: str) -> int:
        """Bytes of an image with all its layers."""
        return int(self.store.image(image).get("Size") or 0)

    def build(self, service: plan.Service, folder: str) -> str | None:
        """Build the candidate; returns what went wrong."""
        path = os.path.join(folder, f"{service.name}.Dockerfile")
        with open(path, "w", encoding="utf-8") as stream:
            stream.write(service.text)
        ignored = service.path(service.original) + ".dockerignore"
        if os.path.isfile(ignored):
            with open(ignored, "rb") as source, open(path + ".dockerignore", "wb") as stream:
                stream.write(source.read())
        params = self.task.params
        buildkit = self.store.has_buildkit() or build.needs_buildkit(service.text)
        order = build.Order(
            self.task.project.name, self.task.project.src, service.name, service.section,
            self.model.get("secrets") or {}, self.candidate(service), path,
            {HASH_LABEL: service.content, SOURCES_LABEL: service.sources}, params["build_network"],
        )  # fmt: skip
        failure = build.run(order, buildkit, params["docker_host"], params["build_timeout"])
        for container in failure.containers if failure else ():
            self.store.discard(container)
        return failure.reason if failure else None

    def candidate(self, service: plan.Service) -> str:
        """The name of the new image while it is on trial."""
        return of_ours(plan.old_name(service).replace(f":{plan.TAG}", ""), _CANDIDATE)

    def unfit(self, service: plan.Service) -> str | None:
        """Try the candidate beside the old image; returns in which way it does worse."""
        row = self.rows[service.name]
        old, new = switch.current_image(self.task, self.store, service), self.candidate(service)
        row.update(size_before=self.size(old), size=self.size(new))
        if row["size"] > row["size_before"] * _WORTH and not service.switched:
            return f"the new image has {human_size(row['size'])}, the old one {human_size(row['size_before'])}"
        programs = sorted({*plan.health_programs(service), *plan.started(service)[:1]})
        inside = [trial.look_inside(self.store, image, programs) for image in (old, new)]
        if inside[0] and not inside[1]:
            return "Python cannot be started in the new image"
        if inside[0] and inside[1]:
            problem = trial.lacking(inside[0], inside[1], self.task.params["drop_requirements"])
            if problem:
                return problem
            row["other_versions"] = trial.other_versions(inside[0], inside[1])
        container = next((entry for entry in self.task.containers() if entry.service == service.name), None)
        memory = (container.live()["Memory"] if container else 0) or 0
        data = container.data if container else None
        outcomes = trial.start_both(self.store, [old, new], data, memory, self.task.params["smoke_seconds"])
        return trial.worse(*outcomes)

    def look_for_unused(self, service: plan.Service) -> None:
        """Fill in the requirements that nobody imports."""
        recipe = service.recipe
        files = [name for step in (recipe.steps if recipe else ()) for name in requirement_files(step.source.argument)]
        image = self.candidate(service)
        folder = (self.store.image(image).get("Config") or {}).get("WorkingDir") or "/"
        if files:
            path = os.path.normpath(os.path.join(folder, files[0]))
            self.rows[service.name]["unused_requirements"] = unused.ask(
                self.store, image, path, self.task.params["build_network"], plan.started(service)
            )


def _try(run: Run, services: Sequence[plan.Service]) -> list[plan.Service]:
    """Build and try these; those that passed have their new image under its name."""
    passed = []
    # Noted before any is built: services may share a name.
    replaced = {service.name: run.store.image_id(run.names[service.name]) for service in services if service.switched}
    with tempfile.TemporaryDirectory(prefix="headroom-images-") as folder:
        for service in services:
            problem = run.build(service, folder)
            if problem:
                run.leave(service, "failed", f"the build failed: {problem}")
                continue
            problem = run.unfit(service)
            if problem:
                run.leave(service, "failed", problem)
                run.keep_verdict(service, problem)
            else:
                run.look_for_unused(service)
                switch.keep_replaced(run.task, run.store, service, replaced.get(service.name))
                run.store.tag(run.candidate(service), run.names[service.name])
                passed.append(service)
            run.store.remove(run.candidate(service))
    return passed


def _store(task: ProjectTask) -> ImageStore:
    return ImageStore(task.engine or Engine(task.params["docker_host"]))


def apply(task: ProjectTask) -> dict[str, Any]:
    """Bring the services to smaller images; returns the module's result. Raises project_task.ERRORS."""
    store = _store(task)
    if task.params["services"]:
        task.project.require(task.params["services"])
    run = Run(task, store)
    for service in run.services:
        if service.reason:
            run.leave(service, "left", service.reason)
    before = _taken(run)
    waiting = run.to_build()
    shortage = run.short_of_room(waiting)
    if shortage:
        for service in waiting:
            run.leave(service, "failed", shortage)
        waiting = []
    ready = [entry for entry in run.services if entry.recipe and run.is_built(entry)]
    built = list(waiting) if task.check_mode else _try(run, waiting)
    wanted = [entry for entry in run.services if entry in ready or entry in built]
    for service in built:
        run.rows[service.name].update(outcome="would_build" if task.check_mode else "built", changed=True)
    prepared = switch.prepare(task, wanted, run.names)
    files = [entry for entry in wanted if switch.outdated(entry)]
    if prepared.changed or files:
        change.require_writable(prepared.path)
        if not task.check_mode:
            switch.write(task, store, wanted, prepared)
        for service in wanted:
            run.rows[service.name]["changed"] |= not service.switched or service in files
    for name, was in switch.kept(task).items():
        if name in run.rows:
            run.rows[name]["image_before"] = was["kept"]
    gone = [] if task.check_mode or not waiting else prune.prune(store, store.free_bytes())
    return {
        "changed": bool(prepared.changed or files or built),
        "files_changed": ([prepared.path] if prepared.changed else []) + [entry.path(entry.ours) for entry in files],
        "diff": _diff(prepared, files),
        "pruned": gone,
        "size_before": before,
        "size": _taken(run, wanted) if not task.check_mode else None,
        **described(task, store, list(run.rows.values()), prepared.model),
    }


def _taken(run: Run, switched: Sequence[plan.Service] = ()) -> int:
    """Bytes of all images of the project, each layer once; of those named, the new one."""
    names = {run.names[service.name] for service in switched}
    chosen = {service.name for service in switched}
    for service in run.services:
        if service.name not in chosen:
            names.add(switch.current_image(run.task, run.store, service))
    return sizes.unique_bytes([run.store.history(name) for name in sorted(names) if name])


def _diff(prepared: change.Prepared, files: Sequence[plan.Service]) -> list[dict[str, str]]:
    found = change.text_diff(prepared.path, prepared.before, prepared.after if prepared.changed else prepared.before)
    for service in files:
        path = service.path(service.ours)
        found += change.text_diff(path, atomic_file.read(path), service.text.encode())
    return found


def described(
    task: ProjectTask, store: ImageStore, rows: Sequence[dict[str, Any]], model: Mapping[str, Any]
) -> dict[str, Any]:
    """The part of the result that says what still needs a restart."""
    containers = task.containers()
    for row in rows:
        name = plan.plain((model["services"].get(row["name"]) or {}).get("image") or "")
        image = store.image_id(store_name(model, row["name"], name))
        mine = [entry for entry in containers if entry.service == row["name"] and entry.running]
        if task.check_mode and row["changed"]:
            row["recreate_pending"] = bool(mine)
        else:
            row["recreate_pending"] = any(_differ(store, entry.data["Image"], image) for entry in mine)
    return {
        "project": task.project.name,
        "files": list(task.project.files),
        "services": list(rows),
        "recreate_pending": [row["name"] for row in rows if row["recreate_pending"]],
    }


def _differ(store: ImageStore, running: str, wanted: str | None) -> bool:
    """Whether a container has to be made anew for its image's sake: only where one of the two is ours."""
    if not wanted or running == wanted:
        return False
    return any(switch.is_ours(store, image) for image in (running, wanted))


def store_name(model: Mapping[str, Any], service: str, written: str) -> str:
    """The name of a service's image."""
    return written or f"{model['name']}-{service}"


def undo(task: ProjectTask) -> dict[str, Any]:
    """Put files and image names back; returns the module's result. Raises project_task.ERRORS."""
    store = _store(task)
    names = list(task.params["services"]) or None
    old = switch.kept(task)
    chosen = [name for name in old if names is None or name in names]
    undone = compose_undo.undo_files(task.journal, task.owner, task.project, names, task.check_mode)
    files = [entry for entry in undone if entry.before != entry.after]
    task.warnings += compose_undo.undo_warnings(undone, names)
    task.warnings += switch.give_back(task, store, names or [], task.check_mode)
    compose_files = [entry for entry in undone if entry.path in _real(task.project.files)]
    model = compose_undo.model_after(task.project, compose_files, task.check_mode)
    rows = [
        {"name": name, "changed": bool(files), "image": old[name]["name"], "outcome": "restored"} for name in chosen
    ]
    known = {row["name"] for row in rows}
    rows += [{"name": name, "changed": False, "image": None, "outcome": "current"} for name in _built(model) - known]
    return {
        "changed": bool(files) or bool(chosen),
        "files_changed": [entry.path for entry in files],
        "undone": [{"path": entry.path, "outcome": entry.outcome} for entry in undone],
        "diff": [part for entry in files for part in change.text_diff(entry.path, entry.before, entry.after)],
        **described(task, store, rows, model),
    }


def _real(paths: Sequence[str]) -> set[str]:
    return {name for path in paths for name in (path, os.path.realpath(path))}


def _built(model: Mapping[str, Any]) -> set[str]:
    return {name for name, config in (model.get("services") or {}).items() if (config or {}).get("build")}
