# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drop-ins of a task: their text, their names, and which lines elsewhere win over them. Pure decisions."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import drop_in, sysctl_d, tmpfiles_d
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    Wanted,
    beside,
    same_value,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import Assignment, ConfigFile
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.task import Observed, Request


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


def sysctl_plan(request: Request, observed: Observed, items: Sequence[Wanted]) -> FilePlan:
    files = _without_mine(observed.sysctl_files, request)
    lines = [f"{item.name} = {item.value}" for item in items]

    def build(path: str) -> FilePlan:
        return _file_plan(path, standing_file(observed, path), lines, items, files, request)

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


def tmpfiles_plan(request: Request, observed: Observed, items: Sequence[Wanted]) -> FilePlan:
    files = _without_mine(observed.tmpfiles_files, request)
    lines = [tmpfiles_d.write_line(item.entry, item.value) for item in items]

    def build(path: str) -> FilePlan:
        return _file_plan(path, standing_file(observed, path), lines, items, files, request)

    path = tmpfiles_d.hugepage_file(request.file)
    plan = build(path)
    if not (request.take_over and plan.overridden):
        return plan
    first = min((os.path.basename(line.path) for line in plan.overridden.values()), key=os.fsencode)
    names = [name for name in tmpfiles_d.name_before(os.path.basename(path), first) if name not in files]
    return _taken_over(plan, names, build)


def standing_file(observed: Observed, path: str) -> ConfigFile | None:
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


def given_back(request: Request, observed: Observed, path: str) -> FilePlan:
    """How a file looks once the owner's block is out. The journal knows better where the file was not ours alone."""
    standing = standing_file(observed, path)
    before = standing.data if standing is not None else None
    return FilePlan(path, before, drop_in.without_block(before, request.owner) if before else before, {}, False)
