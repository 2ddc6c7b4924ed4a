# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run over kernel settings has to do: pure decisions over what was observed.

The rule for later runs: the owner's block in the drop-in holds exactly the settings wanted now, and a setting that is
wanted no more gets back the value it had before the owner's first run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import drop_in, sysctl_d, tmpfiles_d
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.drop_ins import (
    FilePlan,
    given_back,
    standing_file,
    sysctl_plan,
    tmpfiles_plan,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import (
    KernelError,
    Wanted,
    beside,
    same_value,
    write_order,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import ConfigFile
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.task import Observed, Request


@dataclass(frozen=True)
class Plan:
    """The outcome: live values to reach, files to write, files and journal entries to give back."""

    wanted: Sequence[Wanted]
    missing: Sequence[str]
    readonly: Sequence[str]
    targets: Mapping[str, str]
    remember: Sequence[str]
    restore: Mapping[str, str]
    handed_over: Mapping[str, str]
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
        return [*self.restore, *self.handed_over, *self.lost]


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


def _held_by_others(request: Request, observed: Observed) -> dict[str, dict[str, str]]:
    """Other owner -> entry -> value, from the blocks of this collection in all files."""
    held: dict[str, dict[str, str]] = {}
    for files, reader in ((observed.sysctl_files, sysctl_d), (observed.tmpfiles_files, tmpfiles_d)):
        for file in files.values():
            for owner in drop_in.owners(file.data):
                block = "\n".join(drop_in.block_lines(file.data, owner)).encode("utf-8", "surrogateescape")
                lines = reader.parse(ConfigFile(file.path, block)) if owner != request.owner else []
                held.setdefault(owner, {}).update({line.entry: line.value for line in lines if line.value})
    return held


def _handed_over(request: Request, observed: Observed, restore: Mapping[str, str]) -> dict[str, str]:
    """Entry -> the other owner that still wants it and came later, so that its first value is ours.

    Where our first value is what the other one wants, we came later: putting it back gives the other one its value.
    """
    handed: dict[str, str] = {}
    for owner, values in _held_by_others(request, observed).items():
        for entry, value in values.items():
            if entry in restore and not same_value(restore[entry], value):
                handed.update({one: owner for one in (entry, *beside(entry)) if one in restore})
    return handed


def _previous_block(request: Request, observed: Observed) -> set[str]:
    lines = []
    for path in observed.owned_files:
        standing = standing_file(observed, path)
        data = "\n".join(drop_in.block_lines(standing.data if standing else None, request.owner)).encode()
        lines += sysctl_d.parse(ConfigFile(path, data))
    return {line.entry for line in lines}


def decide(request: Request, observed: Observed) -> Plan:
    """The whole plan. Raises KernelError for what must not be begun; nothing has been changed then."""
    wanted, missing = _present(request, observed)
    restore = _restored(observed, wanted, _previous_block(request, observed))
    lost = [entry for entry in restore if observed.access.get(entry) == "missing"]
    handed = _handed_over(request, observed, restore)
    restore = {entry: value for entry, value in restore.items() if entry not in lost and entry not in handed}
    live_wanted = {item.entry: item.value + "\n" for item in wanted if item.entry in observed.access}
    targets = {**restore, **live_wanted}
    readonly = _readonly(request, observed, targets)
    if readonly:
        targets = {entry: value for entry, value in targets.items() if entry not in readonly}
        restore = {entry: value for entry, value in restore.items() if entry not in readonly}
    files = []
    for part, build in ((request.settings, sysctl_plan), (request.hugepages, tmpfiles_plan)):
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
        handed_over=handed,
        lost=lost,
        files=files,
        give_back=[
            given_back(request, observed, path)
            for path in observed.owned_files
            if path not in {file.path for file in files}
        ],
        live=observed.live,
    )
