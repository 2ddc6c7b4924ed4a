# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change a project's file so that it can be taken back: planned, checked by Compose, filed in the journal, written.

Nothing is written before Compose has accepted the new text and its effective configuration differs from the old one
in nothing but what was asked for.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    OVERRIDE_MARK,
    Project,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

if TYPE_CHECKING:
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit

Path = tuple[Union[str, int], ...]
_PREFIX = "file "


@dataclass
class Prepared:
    """A change of one file that Compose accepts. `before` is None where the file is to be made."""

    path: str
    before: bytes | None
    after: bytes
    model: dict[str, Any]
    changes: list[edit.Set | edit.Delete] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return self.before != self.after and bool(self.changes)


def _editor() -> Any:
    """compose/edit.py. Loaded only where a file changes: most runs change none, and it is half of a run's code."""
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit

    return edit


def sets(assignments: Sequence[tuple[Path, Any]]) -> list[edit.Set | edit.Delete]:
    """Paths with their wanted values as changes for `prepare`."""
    return [_editor().Set(path, value) for path, value in assignments]


def _skeleton(project: Project) -> bytes:
    return OVERRIDE_MARK + os.path.basename(project.files[0]).encode("utf-8") + b".\nservices:\n"


def text_of(project: Project, path: str) -> bytes:
    """The bytes of the file, or what a new override file starts from. Raises ProjectError where it cannot be read."""
    try:
        data = atomic_file.read(path)
    except OSError as error:
        raise ProjectError(f"the compose file {path} cannot be read: {error.strerror}.") from error
    return _skeleton(project) if data is None else data


def prepare(project: Project, path: str, changes: Sequence[edit.Set | edit.Delete]) -> Prepared:
    """Make the new text and have it checked, without writing anything.

    Paths of the changes start at the document's root (`("services", "bot", "mem_limit")`). Raises edit.EditError where
    the text cannot be changed safely, ProjectError where Compose would not accept it or would read more out of it.
    """
    before = atomic_file.read(path)
    if not changes:
        return Prepared(path, before, before or b"", project.config())
    after = _editor().edit(text_of(project, path), changes, os.path.basename(path))
    model = project.check({path: after})
    stray = differences(project.config(), model, [change.path for change in changes])
    if stray:
        raise ProjectError(f"the change of {path} would also change {', '.join(stray[:5])}. {_way_out(after, stray)}")
    return Prepared(path, before, after, model, list(changes))


def _way_out(text: bytes, stray: Sequence[str]) -> str:
    """What to do about values that would change without having been named: services that extend one take them over."""
    services = _editor().Document(text, "").get(("services",)) or {}
    extending = [name for name, service in services.items() if isinstance(service, Mapping) and "extends" in service]
    heirs = [name for name in extending if any(entry.startswith(f"services.{name}.") for entry in stray)]
    if heirs:
        return f"{', '.join(heirs)} would take them over through extends. Nothing was changed. List these services too."
    return "Nothing was changed. Please report this file; until then change it by hand."


def require_writable(path: str) -> None:
    """Raise ProjectError where the file (or, for a new one, its folder) cannot be written by this user."""
    needed = [os.path.dirname(os.path.realpath(path)), *([path] if os.path.exists(path) else [])]
    if not all(os.access(place, os.W_OK, effective_ids=True) for place in needed):
        raise ProjectError(f"no permission to write {path}. Nothing was changed. Use become, or its owner.")


# Comparing what Compose makes of the two texts


def _prune(data: Any) -> Any:
    """Without empty parts: Compose adds some of its own (`placement: {}`) as soon as a `deploy` exists."""
    if isinstance(data, Mapping):
        pruned = {key: _prune(value) for key, value in data.items()}
        return {key: value for key, value in pruned.items() if value not in ({}, [], None)}
    if isinstance(data, list):
        return [_prune(value) for value in data]
    return data


def _drop(data: Any, path: Sequence[Any]) -> None:
    for part in path[:-1]:
        if not isinstance(data, dict) or part not in data:
            return
        data = data[part]
    if isinstance(data, dict):
        data.pop(path[-1], None)


def differences(before: Mapping[str, Any], after: Mapping[str, Any], allowed: Iterable[Path]) -> list[str]:
    """Where two effective configurations differ beside the allowed paths: `services.bot.image`, ... sorted."""
    one, two = copy.deepcopy(dict(before)), copy.deepcopy(dict(after))
    for path in allowed:
        # A change inside a list or of one variable is one of the whole setting: Compose renders these in its own form.
        named = path[:3] if len(path) > 3 and path[2] in ("command", "environment", "volumes") else path
        _drop(one, named)
        _drop(two, named)
    return sorted(_differ(_prune(one), _prune(two), ""))


def _differ(one: Any, two: Any, where: str) -> list[str]:
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        found = []
        for key in {*one, *two}:
            found += _differ(one.get(key), two.get(key), f"{where}.{key}" if where else str(key))
        return found
    return [] if one == two else [where]


# Writing, with the way back filed first


def _journal_key(path: str, place: Path) -> str:
    return _PREFIX + json.dumps([os.path.realpath(path), list(place)])


def _remembered(journal: Journal, owner: str, path: str, services: Sequence[str] | None) -> list[tuple[str, Path, Any]]:
    """(journal key, place in the document, what stood there) of one file, the last change first."""
    found = []
    for key, before in journal.owned(owner).items():
        if key.startswith(_PREFIX):
            file, place = json.loads(key[len(_PREFIX) :])
            if file == os.path.realpath(path):
                found.append((before["order"], key, tuple(place), before["was"]))
    found.sort(key=lambda entry: entry[:2], reverse=True)
    if services is not None and not all(_is_about(place, services) for _order, _key, place, _was in found):
        # What several services may share (a declared volume) goes with the last of them.
        found = [entry for entry in found if entry[2][0] == "services" and entry[2][1] in services]
    return [(key, place, was) for _order, key, place, was in found]


def _is_about(place: Path, services: Sequence[str]) -> bool:
    return place[0] != "services" or place[1] in services


def write(journal: Journal, owner: str, project: Project, prepared: Prepared) -> None:
    """File what is there, then write the file in one step. Raises OSError; the file is then as it was."""
    if not prepared.changed:
        return
    name = os.path.basename(prepared.path)
    text = text_of(project, prepared.path)
    _forget_unwritten(journal, owner)
    atomic_file.sweep(prepared.path)
    filed = [before["order"] for key, before in journal.owned(owner).items() if key.startswith(_PREFIX)]
    order = max(filed, default=0) + 1
    for change in prepared.changes:
        was = _editor().remember(text, change.path, name)
        order += journal.remember(owner, _journal_key(prepared.path, change.path), {"order": order, "was": was})
    try:
        journal.write_file(owner, prepared.path, prepared.after)
    except OSError as error:
        raise ProjectError(
            f"{prepared.path} (or the journal {journal.path}) could not be written: {error.strerror}. "
            "The file is as it was, and no container was changed."
        ) from error


def places(journal: Journal, owner: str, services: Sequence[str] | None) -> list[Path]:
    """Where in the project's files an owner has changed something, the last change first."""
    return [place for path in journal.files(owner) for _key, place, _was in _remembered(journal, owner, path, services)]


def text_diff(path: str, before: bytes | None, after: bytes | None) -> list[dict[str, str]]:
    """A file's part of `--diff`; empty where nothing changes."""
    if before == after:
        return []
    texts = {"before": before, "after": after}
    shown = {name: (data or b"").decode("utf-8", "replace") for name, data in texts.items()}
    return [{"before_header": path, "after_header": path, **shown}]


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


def without(project: Project, path: str, text: bytes, remembered: Sequence[tuple[str, Path, Any]]) -> bytes | None:
    """The text without our values, or None where nothing but the override file that we made would be left."""
    name = os.path.basename(path)
    for _key, place, was in remembered:
        text = _editor().restore(text, place, was, name)
    if text.startswith(OVERRIDE_MARK) and not any((_editor().Document(text, name).data or {}).values()):
        return None
    return text


def undo_files(
    journal: Journal, owner: str, project: Project, services: Sequence[str] | None, check_mode: bool
) -> list[Undone]:
    """Take an owner's changes out of the project's files; with `services` only those of these services.

    Raises edit.EditError or ProjectError where a file that somebody changed meanwhile leaves no safe way; it is
    untouched then.
    """
    undone = []
    for path in journal.files(owner):
        remembered = _remembered(journal, owner, path, services)
        if services is not None and not remembered:
            continue
        everything = services is None or len(remembered) == len(_remembered(journal, owner, path, None))
        undone.append(_undo_file(journal, owner, project, path, remembered, everything, check_mode))
    if not check_mode:
        _forget_unwritten(journal, owner)
    return undone


def _forget_unwritten(journal: Journal, owner: str) -> None:
    """Drop what a run filed that was killed before it wrote the file: there is nothing to take back."""
    written = journal.files(owner)
    for key in journal.owned(owner):
        if key.startswith(_PREFIX) and json.loads(key[len(_PREFIX) :])[0] not in written:
            journal.forget(owner, key)


def _undo_file(
    journal: Journal,
    owner: str,
    project: Project,
    path: str,
    remembered: Sequence[tuple[str, Path, Any]],
    everything: bool,
    check_mode: bool,
) -> Undone:
    def inverse(text: bytes) -> bytes | None:
        return without(project, path, text, remembered)

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
    for key, _place, _was in remembered:
        journal.forget(owner, key)
    return Undone(path, before, atomic_file.read(path), outcome)
