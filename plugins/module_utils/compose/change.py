# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Change a project's file so that it can be taken back: planned, checked by Compose, filed in the journal, written.

Nothing is written before Compose has accepted the new text and its effective configuration differs from the old one
in nothing but what was asked for.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.filed import (
    PREFIX,
    Path,
    forget_unwritten,
    key_of,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    OVERRIDE_MARK,
    Project,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

if TYPE_CHECKING:
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit


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


def editor() -> Any:
    """compose/edit.py. Loaded only where a file changes: most runs change none, and it is half of a run's code."""
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import edit

    return edit


def parts() -> Any:
    """compose/parts.py, for the same reason."""
    from ansible_collections.smallhost.headroom.plugins.module_utils.compose import parts

    return parts


def sets(assignments: Sequence[tuple[Path, Any]]) -> list[edit.Set | edit.Delete]:
    """Paths with their wanted values as changes for `prepare`."""
    return [editor().Set(path, value) for path, value in assignments]


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
    after = editor().edit(text_of(project, path), changes, os.path.basename(path))
    model = project.check({path: after})
    stray = differences(project.config(), model, [change.path for change in changes])
    if stray:
        raise ProjectError(f"the change of {path} would also change {', '.join(stray[:5])}. {_way_out(after, stray)}")
    return Prepared(path, before, after, model, list(changes))


def _way_out(text: bytes, stray: Sequence[str]) -> str:
    """What to do about values that would change without having been named: services that extend one take them over."""
    services = editor().Document(text, "").get(("services",)) or {}
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


def _by_name(
    project: Project, path: str, change: edit.Set | edit.Delete, was: Mapping[str, Any]
) -> tuple[Path, dict[str, Any], dict[str, list[list[str]]]]:
    """A change's place by name, what is filed beside what stood there, and a command's flags with their values."""
    place = change.path
    if isinstance(place[-1], int):
        gone = isinstance(change, editor().Delete)
        entry = parts().name_of(str(place[-2]), was["value"] if gone else change.value)
        return (*place[:-1], entry), {"index": place[-1], "gone": gone}, {}
    if place[2:] != ("command",) or isinstance(change, editor().Delete):
        return place, {}, {}
    command = was["value"] if was["present"] else written_command(project, str(place[1]), path)
    entrypoint = _entrypoint(project, str(place[1]))
    flags = parts().changed_flags(command, change.value, entrypoint)
    return place, {"command": command, "entrypoint": entrypoint}, flags


def write(journal: Journal, owner: str, project: Project, prepared: Prepared) -> None:
    """File what is there, then write the file in one step. Raises OSError; the file is then as it was."""
    if not prepared.changed:
        return
    name = os.path.basename(prepared.path)
    text = text_of(project, prepared.path)
    forget_unwritten(journal, owner)
    atomic_file.sweep(prepared.path)
    filed = [before["order"] for key, before in journal.owned(owner).items() if key.startswith(PREFIX)]
    order = max(filed, default=0) + 1
    for change in prepared.changes:
        was = editor().remember(text, change.path, name)
        place, more, flags = _by_name(project, prepared.path, change, was)
        order += journal.remember(owner, key_of(prepared.path, place), {"order": order, "was": was, **more})
        for flag, values in flags.items():
            journal.remember(owner, key_of(prepared.path, (*place, flag)), {"order": order, "values": values})
        text = editor().edit(text, [change], name)
    try:
        journal.write_file(owner, prepared.path, prepared.after)
    except OSError as error:
        raise ProjectError(
            f"{prepared.path} (or the journal {journal.path}) could not be written: {error.strerror}. "
            "The file is as it was, and no container was changed."
        ) from error


def text_diff(path: str, before: bytes | None, after: bytes | None) -> list[dict[str, str]]:
    """A file's part of `--diff`; empty where nothing changes."""
    if before == after:
        return []
    texts = {"before": before, "after": after}
    shown = {name: (data or b"").decode("utf-8", "replace") for name, data in texts.items()}
    return [{"before_header": path, "after_header": path, **shown}]


def written_command(project: Project, name: str, target: str) -> Any:
    """A service's command as the files write it, before variables: the target's own, else the last file's."""
    for path in [target, *(path for path in reversed(project.files) if path != target)]:
        command = editor().Document(text_of(project, path), path).get(("services", name, "command"))
        if command:
            return command
    # From `extends` or `include`: only the effective command is known here, and it is written as one without variables.
    return (project.config()["services"].get(name) or {}).get("command")


def _entrypoint(project: Project, name: str) -> list[str]:
    """The words that the compose file starts before a service's command."""
    own = (project.config()["services"].get(name) or {}).get("entrypoint") or []
    return [str(word).replace("$$", "$") for word in ([own] if isinstance(own, str) else own)]
