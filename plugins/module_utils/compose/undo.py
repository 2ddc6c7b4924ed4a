# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Taking an owner's changes out of a project's files, whatever somebody else has done to them meanwhile."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.change import editor, parts
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.filed import (
    Filed,
    Path,
    forget_unwritten,
    remembered,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    OVERRIDE_MARK,
    Project,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal


@dataclass
class Undone:
    """A file that was taken back. `outcome`: "restored" to the byte, or "values": only our own values."""

    path: str
    before: bytes | None
    after: bytes | None
    outcome: str


def model_after(project: Project, undone: Sequence[Undone], check_mode: bool) -> dict[str, Any]:
    """The effective configuration after an undo; in check mode what it would be. Raises ProjectError."""
    files = {entry.path: entry.after for entry in undone if entry.before != entry.after}
    if len(files) > 1 and not check_mode:
        return project.fresh().config()
    return project.check(files) if len(files) == 1 else project.config()


def undo_warnings(undone: Sequence[Undone], services: Sequence[str] | None) -> list[str]:
    """What to tell the operator about files that could not be put back to the byte."""
    return [
        f"{entry.path} had been changed by somebody else: only this task's own values were taken out."
        for entry in undone
        if entry.outcome == "values" and services is None
    ]


def without(project: Project, path: str, text: bytes, entries: Sequence[Filed]) -> bytes | None:
    """The text without our values, or None where nothing but the override file that we made would be left."""
    name = os.path.basename(path)
    for filed in entries:
        text = _taken_back(text, filed, name)
    if text.startswith(OVERRIDE_MARK) and not any((editor().Document(text, name).data or {}).values()):
        return None
    return text


def _taken_back(text: bytes, filed: Filed, name: str) -> bytes:
    """The text with one thing as it was: found by its name, wherever somebody else has moved it to meanwhile."""
    place, was = filed.place, filed.was
    if filed.flags:
        return _flags_taken_back(text, filed, name)
    is_part = len(place) == 4 and place[2] in ("environment", "volumes")
    entries = editor().Document(text, name).get(place[:-1]) if is_part else None
    if isinstance(entries, (list, dict)) and isinstance(entries, list) != (filed.index is not None):
        return _in_other_form(text, filed, entries, name)
    if not isinstance(entries, list):
        return editor().restore(text, place, was, name)
    index = parts().index_of(str(place[2]), entries, str(place[3]))
    if (index is None) != filed.gone:
        return text  # Somebody else has taken ours out, or put one of their own in.
    length = len(entries) + 1 if index is None else None
    place = (*place[:3], min(filed.index or 0, len(entries)) if index is None else index)
    return editor().restore(text, place, {**was, "length": length}, name)


def _in_other_form(text: bytes, filed: Filed, entries: list[Any] | dict[str, Any], name: str) -> bytes:
    """The same for variables that were a list when they were changed and are a mapping now, or the other way round."""
    setting, variable = str(filed.place[2]), str(filed.place[3])
    where: Path
    if isinstance(entries, list):
        index = parts().index_of(setting, entries, variable)
        there, where = index is not None, (*filed.place[:3], len(entries) if index is None else index)
        value = f"{variable}={filed.was['value']}"
    else:
        there, where = variable in entries, filed.place
        value = str(filed.was["value"]).partition("=")[2]
    if filed.was["present"]:
        return editor().edit(text, [editor().Set(where, value, literal=True)], name)
    return editor().edit(text, [editor().Delete(where)], name) if there else text


def _flags_taken_back(text: bytes, filed: Filed, name: str) -> bytes:
    """The command with our flags as they were, and others that somebody has set since as they are now."""
    now = editor().Document(text, name).get(filed.place)
    if not now:
        return text
    try:
        command = parts().flags_back(now, filed.flags, filed.command, filed.entrypoint)
    except ValueError as error:
        raise ProjectError(
            f"the command of {filed.place[1]} in {name} was changed by somebody else, and {', '.join(filed.flags)} "
            f"cannot be taken back in it: {error}. Nothing was changed. Change it by hand."
        ) from error
    if command is None:
        return editor().restore(text, filed.place, filed.was, name)
    return editor().edit(text, [editor().Set(filed.place, command, literal=True)], name)


def undo_files(
    journal: Journal, owner: str, project: Project, services: Sequence[str] | None, check_mode: bool
) -> list[Undone]:
    """Take an owner's changes out of the project's files; with `services` only those of these services.

    Raises edit.EditError or ProjectError where a file that somebody changed meanwhile leaves no safe way; it is
    untouched then.
    """
    undone = []
    for path in journal.files(owner):
        entries = remembered(journal, owner, path, services)
        if services is not None and not entries:
            continue
        everything = services is None or len(entries) == len(remembered(journal, owner, path, None))
        undone.append(_undo_file(journal, owner, project, path, entries, everything, check_mode))
    if not check_mode:
        forget_unwritten(journal, owner)
    return undone


def _undo_file(
    journal: Journal,
    owner: str,
    project: Project,
    path: str,
    entries: Sequence[Filed],
    everything: bool,
    check_mode: bool,
) -> Undone:
    def inverse(text: bytes) -> bytes | None:
        return without(project, path, text, entries)

    before = atomic_file.read(path)
    if not check_mode:
        atomic_file.sweep(path)
    if check_mode:
        if not everything:
            return Undone(path, before, inverse(before or b""), "values")
        outcome, after = journal.preview_undo(owner, path, inverse)
        return Undone(path, before, after, outcome)
    if everything:
        outcome = journal.undo_file(owner, path, inverse)
    else:
        journal.write_file(owner, path, inverse(before or b""))
        outcome = "values"
    for key in (key for filed in entries for key in filed.keys):
        journal.forget(owner, key)
    return Undone(path, before, atomic_file.read(path), outcome)
