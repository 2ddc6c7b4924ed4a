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
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit, parts

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


def _parts() -> Any:
    """compose/parts.py, for the same reason."""
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import parts

    return parts


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


@dataclass
class _Filed:
    """What an owner changed in a file: the key in the journal, the place by name, and what stood there.

    `index`, `gone`: of an entry of a list, where it stood and whether it was taken out. `flags`: those of a command that
    were changed; `command`: the whole of it as it was, `entrypoint` before it. `keys`: all that are about this place.
    """

    key: str
    place: Path
    was: dict[str, Any]
    index: int | None = None
    gone: bool = False
    flags: parts.Flags = field(default_factory=dict)
    command: Any = None
    entrypoint: Sequence[str] = ()
    keys: list[str] = field(default_factory=list)


def _remembered(journal: Journal, owner: str, path: str, services: Sequence[str] | None) -> list[_Filed]:
    """What was filed about one file, the last change first."""
    found: list[tuple[int, _Filed]] = []
    flags: dict[Path, dict[str, tuple[str, dict[str, Any]]]] = {}
    for key, before in journal.owned(owner).items():
        if not key.startswith(_PREFIX):
            continue
        file, names = json.loads(key[len(_PREFIX) :])
        place = tuple(names)
        if file != os.path.realpath(path):
            continue
        if "was" in before:
            filed = _Filed(key, place, before["was"], before.get("index"), before.get("gone", False), keys=[key])
            found.append((before["order"], filed))
        else:
            flags.setdefault(place[:-1], {})[place[-1]] = (key, before)
    for _order, filed in found:
        for name, (key, before) in flags.get(filed.place, {}).items():
            filed.flags[name] = before["values"]
            filed.command, filed.entrypoint = before["command"], before["entrypoint"]
            filed.keys.append(key)
    entries = [filed for _order, filed in sorted(found, key=lambda entry: (entry[0], entry[1].key), reverse=True)]
    if services is not None and not all(_is_about(filed.place, services) for filed in entries):
        # What several services may share (a declared volume) goes with the last of them.
        entries = [filed for filed in entries if filed.place[0] == "services" and filed.place[1] in services]
    return entries


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
        place, more = change.path, {}
        if isinstance(place[-1], int):
            gone = not hasattr(change, "value")
            entry = _parts().name_of(str(place[-2]), was["value"] if gone else change.value)
            place, more = (*place[:-1], entry), {"index": place[-1], "gone": gone}
        elif place[2:] == ("command",) and hasattr(change, "value"):
            before = was["value"] if was["present"] else written_command(project, str(place[1]), prepared.path)
            entrypoint = _entrypoint(project, str(place[1]))
            for flag, values in _parts().changed_flags(before, change.value, entrypoint).items():
                filed_flag = {"order": order, "values": values, "command": before, "entrypoint": entrypoint}
                order += journal.remember(owner, _journal_key(prepared.path, (*place, flag)), filed_flag)
        order += journal.remember(owner, _journal_key(prepared.path, place), {"order": order, "was": was, **more})
        text = _editor().edit(text, [change], name)
    try:
        journal.write_file(owner, prepared.path, prepared.after)
    except OSError as error:
        raise ProjectError(
            f"{prepared.path} (or the journal {journal.path}) could not be written: {error.strerror}. "
            "The file is as it was, and no container was changed."
        ) from error


def places(journal: Journal, owner: str, services: Sequence[str] | None) -> list[Path]:
    """Where in the project's files an owner has changed something, the last change first."""
    return [filed.place for path in journal.files(owner) for filed in _remembered(journal, owner, path, services)]


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


def without(project: Project, path: str, text: bytes, remembered: Sequence[_Filed]) -> bytes | None:
    """The text without our values, or None where nothing but the override file that we made would be left."""
    name = os.path.basename(path)
    for filed in remembered:
        text = _taken_back(text, filed, name)
    if text.startswith(OVERRIDE_MARK) and not any((_editor().Document(text, name).data or {}).values()):
        return None
    return text


def _taken_back(text: bytes, filed: _Filed, name: str) -> bytes:
    """The text with one thing as it was: found by its name, wherever somebody else has moved it to meanwhile."""
    place, was = filed.place, filed.was
    if filed.flags:
        return _flags_taken_back(text, filed, name)
    entries = _editor().Document(text, name).get(place[:-1])
    if len(place) != 4 or place[2] not in ("environment", "volumes") or not isinstance(entries, (list, dict)):
        return _editor().restore(text, place, was, name)
    if isinstance(entries, list) != (filed.index is not None):
        return _in_other_form(text, filed, entries, name)
    if isinstance(entries, dict):
        return _editor().restore(text, place, was, name)
    index = _parts().index_of(str(place[2]), entries, str(place[3]))
    if (index is None) != filed.gone:
        return text  # Somebody else has taken ours out, or put one of their own in.
    length = len(entries) + 1 if index is None else None
    place = (*place[:3], min(filed.index or 0, len(entries)) if index is None else index)
    return _editor().restore(text, place, {**was, "length": length}, name)


def _in_other_form(text: bytes, filed: _Filed, entries: list[Any] | dict[str, Any], name: str) -> bytes:
    """The same for variables that were a list when they were changed and are a mapping now, or the other way round."""
    setting, variable = str(filed.place[2]), str(filed.place[3])
    where: Path
    if isinstance(entries, list):
        index = _parts().index_of(setting, entries, variable)
        there, where = index is not None, (*filed.place[:3], len(entries) if index is None else index)
        value = f"{variable}={filed.was['value']}"
    else:
        there, where = variable in entries, filed.place
        value = str(filed.was["value"]).partition("=")[2]
    if filed.was["present"]:
        return _editor().edit(text, [_editor().Set(where, value, literal=True)], name)
    return _editor().edit(text, [_editor().Delete(where)], name) if there else text


def _flags_taken_back(text: bytes, filed: _Filed, name: str) -> bytes:
    """The command with our flags as they were, and others that somebody has set since as they are now."""
    now = _editor().Document(text, name).get(filed.place)
    if not now:
        return text
    try:
        command = _parts().flags_back(now, filed.flags, filed.command, filed.entrypoint)
    except ValueError as error:
        raise ProjectError(
            f"the command of {filed.place[1]} in {name} was changed by somebody else, and {', '.join(filed.flags)} "
            f"cannot be taken back in it: {error}. Nothing was changed. Change it by hand."
        ) from error
    if command is None:
        return _editor().restore(text, filed.place, filed.was, name)
    return _editor().edit(text, [_editor().Set(filed.place, command, literal=True)], name)


def written_command(project: Project, name: str, target: str) -> Any:
    """A service's command as the files write it, before variables: the target's own, else the last file's."""
    for path in [target, *(path for path in reversed(project.files) if path != target)]:
        command = _editor().Document(text_of(project, path), path).get(("services", name, "command"))
        if command:
            return command
    # From `extends` or `include`: only the effective command is known here, and it is written as one without variables.
    return (project.config()["services"].get(name) or {}).get("command")


def _entrypoint(project: Project, name: str) -> list[str]:
    """The words that the compose file starts before a service's command."""
    own = (project.config()["services"].get(name) or {}).get("entrypoint") or []
    return [str(word).replace("$$", "$") for word in ([own] if isinstance(own, str) else own)]


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
    remembered: Sequence[_Filed],
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
    for key in (key for filed in remembered for key in filed.keys):
        journal.forget(owner, key)
    return Undone(path, before, atomic_file.read(path), outcome)
