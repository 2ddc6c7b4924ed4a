# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of limits over a project: measure, decide, check the budget, file, write, apply, report.

The order matters for a run that is killed: the journal knows the old value before the file changes, and the file
changes before a container does, so the next run (or the undo) finds its way from any point.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, docker_engine, sizing, units
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, edit, limits
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import target_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.redis_flags import maxmemory_of
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.project_task import ProjectTask

Limits = Mapping[str, "int | float | None"]

_LIVE = "live "  # + service: what its containers had before the first run, [{"id", "limits"}]
_MADE = "made "  # + service + container: what this container had when it was first touched, so what it was made with
_FITTED = "fitted "  # + service: {"target", "limit"} of a limit that was raised above its target


@dataclass
class Service:
    """One service on its way through a run."""

    name: str
    config: Mapping[str, Any]
    wanted: dict[str, Any]
    containers: list[Container]
    uses: dict[str, cgroup.Memory | None]
    fit: sizing.Fit | None = None
    target: int | None = None
    bodies: dict[str, dict[str, int]] = field(default_factory=dict)
    file_changes: list[edit.Set] = field(default_factory=list)

    @property
    def used(self) -> int | None:
        """What the largest container cannot do without, in bytes; None where nothing runs."""
        figures = [sizing.in_use(use) for use in self.uses.values() if use]
        return max(figures) if figures else None

    @property
    def working_set(self) -> int | None:
        """The largest working set in bytes."""
        figures = [use.working_set for use in self.uses.values() if use]
        return max(figures) if figures else None

    def agreed_limit(self) -> int | None:
        """The memory limit in bytes that the file and all containers have, or None where they differ or have none."""
        found = {limits.effective(self.config)["memory"], *(entry.limits()["memory"] for entry in self.containers)}
        only = found.pop() if len(found) == 1 else None
        return None if only is None else int(only)

    @property
    def changed(self) -> bool:
        """Whether file or containers have to change."""
        return bool(self.file_changes or self.bodies)


# Deciding


def read_wanted(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Limits as numbers out of one item of `services`; memory+swap defaults to memory. Raises units.SizeError."""
    wanted: dict[str, Any] = {"cpus": entry.get("cpus"), "pids": entry.get("pids")}
    for name in ("memory", "memory_reservation", "memory_swap"):
        text = entry.get(name)
        endless = name == "memory_swap" and text is not None and str(text).strip() == "-1"
        wanted[name] = -1 if endless else None if text is None else units.parse_compose_size(text)
    if wanted["memory"] is not None and wanted["memory_swap"] is None:
        wanted["memory_swap"] = wanted["memory"]
    return wanted


def contradictions(name: str, wanted: Limits, now: Limits, processors: int) -> list[str]:
    """What the engine would refuse, said before anything is touched. `now`: the effective limits of the file."""
    memory = wanted["memory"] if wanted["memory"] is not None else now["memory"]
    reservation, swap = wanted["memory_reservation"], wanted["memory_swap"]
    size, found = units.human_size, []
    if memory is not None and memory < sizing.ENGINE_MINIMUM:
        found.append(f"{name}: memory {size(memory)} is below the engine's minimum of {size(sizing.ENGINE_MINIMUM)}.")
    if swap is not None and memory is None:
        found.append(f"{name}: memory_swap needs memory.")
    elif swap is not None and memory is not None and 0 <= swap < memory:
        found.append(f"{name}: memory_swap {size(swap)} is memory and swap together, so not below {size(memory)}.")
    kept = reservation if reservation is not None else now["memory_reservation"]
    if kept is not None and memory is not None and kept > memory:
        found.append(
            f"{name}: the reservation of {size(kept)} is above the limit of {size(memory)}: "
            "give a smaller memory_reservation."
        )
    cpus = wanted["cpus"]
    if cpus is not None and not 0.01 <= cpus <= processors:
        found.append(f"{name}: cpus {cpus:g} is outside of 0.01 to {processors}, the host's processors.")
    return found


def too_small(service: Service, need: int) -> str:
    """The refusal for a limit below the need, with figures, rule and way out."""
    size = units.human_size
    largest = max((use for use in service.uses.values() if use), key=sizing.in_use)
    held = largest.anon + largest.shared + largest.kernel
    return (
        f"{service.name}: a limit of {size(service.target or 0)} is below the {size(need)} that it needs now: "
        f"{sizing.SAFETY} x {size(sizing.in_use(largest))}, the larger of its working set "
        f"({size(largest.working_set)}) and its anonymous, shared and kernel memory ({size(held)}). "
        f"Give it {units.format_compose_size(need)} or more, or use fit: raise to take what is needed."
    )


def above_maxmemory(service: Service) -> str | None:
    """The refusal for a limit below what its Redis may fill, or None."""
    if service.fit is None:
        return None
    found = maxmemory_of(service.config, [entry.argv for entry in service.containers])
    if found is None or found < service.fit.limit:
        return None
    size = units.human_size
    return (
        f"{service.name}: Redis may fill {size(found)} (maxmemory), which does not fit into a limit of "
        f"{size(service.fit.limit)}: the kernel would kill it before it evicts a key. Lower maxmemory first "
        "(smallhost.headroom.redis_maxmemory), give a larger memory, or use fit: force."
    )


def decide(task: ProjectTask, service: Service) -> list[str]:
    """Settle the service's limit and what has to be done for it; returns refusals."""
    mode, wanted = task.params["fit"], service.wanted
    service.target = wanted["memory"]
    if service.target is not None:
        need = None if service.used is None else sizing.needed(service.used)
        note = task.journal.recall(task.owner, _FITTED + service.name) or {}
        current = service.agreed_limit()
        fitted = note.get("target") == service.target and note.get("limit") == current
        try:
            service.fit = sizing.fit(service.target, need, current, mode, fitted)
        except sizing.DoesNotFit:
            return [too_small(service, need or 0)]
        grown = service.fit.limit - service.target
        wanted["memory"] = service.fit.limit
        if wanted["memory_swap"] >= 0:
            wanted["memory_swap"] += grown
    found = contradictions(service.name, wanted, limits.effective(service.config), len(os.sched_getaffinity(0)))
    risk = above_maxmemory(service)
    if risk and mode == "force":
        task.warnings.append(risk)
    elif risk:
        found.append(risk)
    return found


def plan(service: Service, prefer_deploy: bool, live: bool) -> None:
    """Note what has to change in the file and in each container."""
    service.file_changes = [
        edit.Set(("services", service.name, *place), value)
        for place, value in limits.plan(service.config, service.wanted, prefer_deploy)
    ]
    if not live:
        return
    for entry in service.containers:
        body = docker_engine.update_body(entry, service.wanted)
        if not cgroup.counts_swap():
            body = docker_engine.without_swap(body) if body.get("Memory") != entry.live()["Memory"] else {}
        if body:
            service.bodies[entry.id] = body


# Looking


def measure(containers: Sequence[Container], warnings: list[str]) -> dict[str, cgroup.Memory | None]:
    """The kernel's figures of each container by id. A container that ends meanwhile counts as not running."""
    found: dict[str, cgroup.Memory | None] = {}
    for entry in containers:
        try:
            found[entry.id] = entry.memory()
        except cgroup.CgroupError as error:
            found[entry.id] = None
            warnings.append(f"{entry.name} could not be measured: {error}")
    return found


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


def host_budget(task: ProjectTask, model: Mapping[str, Any], everywhere: Sequence[Container]) -> sizing.Budget:
    """The host's budget with the limits of `model`. Raises units.SizeError."""
    host = cgroup.host_memory()
    given = task.params["host_memory"]
    total = units.parse_compose_size(given) if given else host.total
    uses = measure(everywhere, [])
    return sizing.budget(
        task.params["host_reserve"], total, host.used, shares(model, task.project.name, everywhere, uses)
    )


# Acting


def remember_live(task: ProjectTask, service: Service) -> None:
    """File what the service's containers have now, before the first change of any of them."""
    found = [{"id": entry.id, "limits": entry.live()} for entry in service.containers]
    if found:
        task.journal.remember(task.owner, _LIVE + service.name, found)
    for entry in service.containers:
        if entry.id in service.bodies:
            task.journal.remember(task.owner, f"{_MADE}{service.name} {entry.id}", entry.live())


def remember_fit(task: ProjectTask, service: Service) -> None:
    """Keep which target a limit was raised above, so that the next run knows a fitted limit from a wanted one."""
    key = _FITTED + service.name
    note = {"target": service.target, "limit": service.fit.limit} if service.fit and service.fit.fitted else None
    if task.journal.recall(task.owner, key) == note:
        return
    task.journal.forget(task.owner, key)
    if note:
        task.journal.remember(task.owner, key, note)


def update_live(task: ProjectTask, containers: Sequence[Container], bodies: Mapping[str, dict[str, int]]) -> None:
    """Send each container its limits, and look into the kernel's files for them. Raises EngineError."""
    assert task.engine is not None
    for entry in containers:
        body = bodies.get(entry.id)
        if not body:
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
    changes = [item for service in services for item in service.file_changes]
    prepared = change.prepare(task.project, path, changes)
    require_met(services, prepared.model, path)
    budget = host_budget(task, prepared.model, everywhere)
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


# Reporting


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
        "diff": diff(prepared.path, prepared.before, prepared.after if prepared.changed else prepared.before, services),
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
        "containers": [
            {
                "name": entry.name,
                "id": entry.id,
                "running": entry.running,
                "limit": _enforced(entry),
                "working_set": use.working_set if use else None,
            }
            for entry, use in ((entry, service.uses.get(entry.id)) for entry in service.containers)
        ],
    }


def _enforced(entry: Container) -> int | None:
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
    made = task.journal.recall(task.owner, f"{_MADE}{service.name} {entry.id}") or entry.live()
    original = Container({"HostConfig": made})
    return any(original.limits()[name] != value for name, value in file.items() if value is not None)


def diff(path: str, before: bytes | None, after: bytes | None, services: Sequence[Service]) -> list[dict[str, str]]:
    """For `--diff`: the file's text, and the containers' limits where they change."""
    found = change.text_diff(path, before, after)
    for service in services:
        found += [
            _live_diff(entry, service.bodies[entry.id]) for entry in service.containers if entry.id in service.bodies
        ]
    return found


def _live_diff(entry: Container, body: Mapping[str, int]) -> dict[str, str]:
    header, live = f"container {entry.name}", entry.live()
    return {
        "before_header": header,
        "after_header": header,
        "before": json.dumps({key: live[key] for key in body}, indent=1, sort_keys=True) + "\n",
        "after": json.dumps(dict(body), indent=1, sort_keys=True) + "\n",
    }


# Undoing


def undo_limits(task: ProjectTask) -> dict[str, Any]:
    """Put files and containers back; returns the module's result. Raises project_task.ERRORS."""
    names = [entry["name"] for entry in task.params["services"]] or None
    owned = task.journal.owned(task.owner)
    undone = change.undo_files(task.journal, task.owner, task.project, names, task.check_mode)
    task.warnings += change.undo_warnings(undone, names)
    services = []
    for key in sorted(owned):
        name = key[len(_LIVE) :]
        if key.startswith(_LIVE) and (names is None or name in names):
            services.append(undo_service(task, name, owned[key]))
    if not task.check_mode:
        for key in sorted(owned):
            if key.startswith((_LIVE, _MADE, _FITTED)) and (names is None or key.split(" ")[1] in names):
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
            {"name": entry.name, "id": entry.id, "running": entry.running, "limit": _enforced(entry)}
            for entry in service.containers
        ],
    }
