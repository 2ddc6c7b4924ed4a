# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run over kernel settings has to do: pure decisions over what was observed.

The rule for later runs: the owner's block in the drop-in holds exactly the settings wanted now, and a setting that is
wanted no more gets back the value it had before the owner's first run.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils import drop_in, sysctl_d, tmpfiles_d
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import (
    KernelError,
    Wanted,
    beside,
    same_value,
    write_order,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.sysctl_d import Assignment, ConfigFile


@dataclass(frozen=True)
class Request:
    """What the task asks for. `settings` and `hugepages` are empty for state absent."""

    owner: str
    settings: Sequence[Wanted] = ()
    hugepages: Sequence[Wanted] = ()
    file: str = "/etc/sysctl.d/90-headroom.conf"
    absent: bool = False
    skip_missing: bool = False
    persist_only: bool = False
    take_over: bool = False

    @property
    def wanted(self) -> list[Wanted]:
        return [*self.hugepages, *self.settings]


@dataclass(frozen=True)
class Observed:
    """What stands on the machine. Entries are relative to the root, `originals` come from the journal."""

    live: Mapping[str, str | None]
    access: Mapping[str, str]
    choices: Mapping[str, Sequence[str]]
    originals: Mapping[str, str]
    sysctl_files: Mapping[str, ConfigFile]
    tmpfiles_files: Mapping[str, ConfigFile]
    owned_files: Sequence[str]
    targets: Mapping[str, ConfigFile] = field(default_factory=dict)


@dataclass(frozen=True)
class FilePlan:
    """One drop-in. `data` None means that it is not there afterwards."""

    path: str
    before: bytes | None
    data: bytes | None
    overridden: Mapping[str, Assignment]
    at_boot: bool

    @property
    def changed(self) -> bool:
        return self.before != self.data


@dataclass(frozen=True)
class Plan:
    """The outcome: live values to reach, files to write, files and journal entries to give back."""

    wanted: Sequence[Wanted]
    missing: Sequence[str]
    readonly: Sequence[str]
    targets: Mapping[str, str]
    remember: Sequence[str]
    restore: Mapping[str, str]
    lost: Sequence[str]
    files: Sequence[FilePlan]
    give_back: Sequence[FilePlan]
    live: Mapping[str, str | None]

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The live writes that this run makes, in order."""
        return [one for one in write_order(self.targets) if not same_value(self.live.get(one[0]), one[1])]

    @property
    def changed(self) -> bool:
        return bool(self.writes or self.give_back or any(file.changed for file in self.files))

    @property
    def forget(self) -> list[str]:
        return [*self.restore, *self.lost]


def _present(request: Request, observed: Observed) -> tuple[list[Wanted], list[str]]:
    """The wanted entries that this kernel has, and the names of those missing. Raises KernelError."""
    kept, missing = [], []
    for item in request.wanted:
        access = observed.access.get(item.entry, "nofile")
        if access == "missing" and request.skip_missing:
            missing.append(item.name)
        elif access == "missing":
            raise KernelError(
                f"this kernel has no {item.name} (/{item.entry} does not exist). Nothing was changed. Check the "
                "spelling (a dot in an interface's name is written as a slash: net.ipv4.conf.eth0/100.rp_filter), "
                "load the module that brings it, or set on_missing: skip."
            )
        elif access == "action":
            raise KernelError(
                f"{item.name} starts an action and holds no value, so it cannot be set. Nothing was changed."
            )
        else:
            kept.append(item)
    for item in kept:
        offered = observed.choices.get(item.entry)
        if offered and item.value not in offered:
            raise KernelError(
                f"{item.name}: this kernel offers {', '.join(offered)}, not {item.value}. Nothing was changed."
            )
    return kept, missing


def _readonly(request: Request, observed: Observed, targets: Mapping[str, str]) -> list[str]:
    """The entries that should change and cannot be written. Raises KernelError unless only files are asked for."""
    blocked = [
        entry
        for entry, value in write_order(targets)
        if not same_value(observed.live.get(entry), value) and observed.access.get(entry) in ("readonly", "fixed")
    ]
    for entry in blocked:
        now = observed.live.get(entry)
        if observed.access[entry] == "fixed":
            raise KernelError(f"/{entry} (now {now}) can only be read on this kernel. Nothing was changed.")
        if not request.persist_only:
            raise KernelError(
                f"/{entry} (now {now}) cannot be written: it is mounted read-only or the right to write it is missing, "
                "as inside a container. Nothing was changed. Run this on the host as root, or set on_readonly: persist "
                "to write only the file."
            )
    return blocked


def _restored(observed: Observed, wanted: Sequence[Wanted], before_block: set[str]) -> dict[str, str]:
    """The original values of what is wanted no more.

    What the kernel changed beside a setting that is still wanted stays, unless the owner had set it too.
    """
    entries = {item.entry for item in wanted}
    shadows = {other for entry in entries for other in beside(entry)}
    return {
        entry: value
        for entry, value in observed.originals.items()
        if entry not in entries and (entry not in shadows or _was_set(entry, entries, before_block))
    }


def _was_set(entry: str, wanted: set[str], before_block: set[str]) -> bool:
    paired = any(other in wanted for other in beside(entry))
    return entry in before_block and not paired


def _overridden(
    files: Mapping[str, ConfigFile],
    path: str,
    data: bytes | None,
    request: Request,
    items: Sequence[Wanted],
) -> dict[str, Assignment]:
    """Entry -> the line that gives it another value at boot than the block does."""
    floor = tmpfiles_d if "/tmpfiles.d" in path else sysctl_d
    plan = floor.boot_plan(files)
    own = drop_in.block_span(data, request.owner)
    found: dict[str, Assignment] = {}
    for item in items:
        line = floor.winner(plan, item.entry)
        if line is None or (line.path == path and line.line in own):
            continue
        partner = line.entry in beside(item.entry)
        if partner or not same_value(line.value, item.value):
            found[item.entry] = line
    return found


def _file_plan(
    path: str,
    standing: ConfigFile | None,
    lines: Sequence[str],
    items: Sequence[Wanted],
    files: Mapping[str, ConfigFile],
    request: Request,
) -> FilePlan:
    folders = tmpfiles_d.TMPFILES_FOLDERS if "/tmpfiles.d" in path else sysctl_d.SYSCTL_FOLDERS
    if standing is not None and standing.masked:
        raise KernelError(f"{path} is masked (a link to /dev/null). Nothing was changed. Give another `file`.")
    before = standing.data if standing is not None else None
    data = drop_in.with_block(before, request.owner, lines, at_end=request.take_over)
    after = sysctl_d.with_file(files, path, data, folders)
    at_boot = after.get(os.path.basename(path), ConfigFile("", b"")).path == path
    return FilePlan(path, before, data, _overridden(after, path, data, request, items), at_boot)


def _taken_over(first: FilePlan, names: Sequence[str], build: Callable[[str], FilePlan]) -> FilePlan:
    """The plan under the first name that nothing overrides. Raises KernelError where none does."""
    folder = os.path.dirname(first.path)
    for name in names:
        other = build(f"{folder}/{name}")
        if not other.overridden and other.at_boot:
            return other
    where = ", ".join(sorted({line.where for line in first.overridden.values()}))
    raise KernelError(f"no file name was found that lets {first.path} win over {where}. Nothing was changed.")


def _sysctl_plan(request: Request, observed: Observed, items: Sequence[Wanted]) -> FilePlan:
    files = _without_mine(observed.sysctl_files, request)
    lines = [f"{item.name} = {item.value}" for item in items]

    def build(path: str) -> FilePlan:
        return _file_plan(path, _standing(observed, path), lines, items, files, request)

    plan = build(request.file)
    if not (request.take_over and plan.overridden):
        return plan
    last = max((os.path.basename(line.path) for line in plan.overridden.values()), key=os.fsencode)
    names = [
        name
        for name in sysctl_d.name_after(os.path.basename(request.file), last)
        if name not in files and name != os.path.basename(request.file)
    ]
    return _taken_over(plan, names, build)


def _tmpfiles_plan(request: Request, observed: Observed, items: Sequence[Wanted]) -> FilePlan:
    files = _without_mine(observed.tmpfiles_files, request)
    lines = [tmpfiles_d.write_line(item.entry, item.value) for item in items]

    def build(path: str) -> FilePlan:
        return _file_plan(path, _standing(observed, path), lines, items, files, request)

    path = tmpfiles_d.hugepage_file(request.file)
    plan = build(path)
    if not (request.take_over and plan.overridden):
        return plan
    first = min((os.path.basename(line.path) for line in plan.overridden.values()), key=os.fsencode)
    names = [name for name in tmpfiles_d.name_before(os.path.basename(path), first) if name not in files]
    return _taken_over(plan, names, build)


def _standing(observed: Observed, path: str) -> ConfigFile | None:
    """What stands at a path now: a drop-in that the boot reads, or one that another file of the name hides."""
    for files in (observed.sysctl_files, observed.tmpfiles_files):
        file = files.get(os.path.basename(path))
        if file is not None and file.path == path:
            return file
    return observed.targets.get(path)


def _without_mine(files: Mapping[str, ConfigFile], request: Request) -> dict[str, ConfigFile]:
    """The files as they would be without this owner's block, so that a second run decides as the first did."""
    bare = {}
    for name, file in files.items():
        mine = drop_in.block_span(file.data, request.owner)
        data = drop_in.without_block(file.data, request.owner) if mine else file.data
        if data is not None:
            bare[name] = ConfigFile(file.path, data, file.masked)
    return bare


def _previous_block(request: Request, observed: Observed) -> set[str]:
    lines = []
    for path in observed.owned_files:
        standing = _standing(observed, path)
        data = "\n".join(drop_in.block_lines(standing.data if standing else None, request.owner)).encode()
        lines += sysctl_d.parse(ConfigFile(path, data))
    return {line.entry for line in lines}


def _given_back(request: Request, observed: Observed, path: str) -> FilePlan:
    """How a file looks once the owner's block is out. The journal knows better where the file was not ours alone."""
    standing = _standing(observed, path)
    before = standing.data if standing is not None else None
    return FilePlan(path, before, drop_in.without_block(before, request.owner) if before else before, {}, False)


def decide(request: Request, observed: Observed) -> Plan:
    """The whole plan. Raises KernelError for what must not be begun; nothing has been changed then."""
    wanted, missing = _present(request, observed)
    restore = _restored(observed, wanted, _previous_block(request, observed))
    lost = [entry for entry in restore if observed.access.get(entry) == "missing"]
    restore = {entry: value for entry, value in restore.items() if entry not in lost}
    live_wanted = {item.entry: item.value + "\n" for item in wanted if item.entry in observed.access}
    targets = {**restore, **live_wanted}
    readonly = _readonly(request, observed, targets)
    if readonly:
        targets = {entry: value for entry, value in targets.items() if entry not in readonly}
        restore = {entry: value for entry, value in restore.items() if entry not in readonly}
    files = []
    for part, build in ((request.settings, _sysctl_plan), (request.hugepages, _tmpfiles_plan)):
        items = [item for item in part if item in wanted]
        if items:
            files.append(build(request, observed, items))
    changing = [entry for entry, value in write_order(targets) if not same_value(observed.live.get(entry), value)]
    mine = [entry for entry in changing if entry in live_wanted]
    return Plan(
        wanted=wanted,
        missing=missing,
        readonly=readonly,
        targets=targets,
        remember=[*mine, *(other for entry in mine for other in beside(entry) if observed.live.get(other) is not None)],
        restore=restore,
        lost=lost,
        files=files,
        give_back=[
            _given_back(request, observed, path)
            for path in observed.owned_files
            if path not in {file.path for file in files}
        ],
        live=observed.live,
    )
