# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was filed in the journal about a project's files: each change under the place that it was made at, by name."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Union

from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

Path = tuple[Union[str, int], ...]
PREFIX = "file "


def key_of(path: str, place: Path) -> str:
    """The journal's key of a place in a file."""
    return PREFIX + json.dumps([os.path.realpath(path), list(place)])


@dataclass
class Filed:
    """What an owner changed in a file: the keys in the journal, the place by name, and what stood there.

    `index`, `gone`: of an entry of a list, where it stood and whether it was taken out. `command`, `entrypoint`: the
    whole of a command before the first change; `flags`: those that were changed, with their values before.
    """

    order: int
    keys: list[str]
    place: Path
    was: dict[str, Any]
    index: int | None = None
    gone: bool = False
    command: Any = None
    entrypoint: Sequence[str] = ()
    flags: dict[str, list[list[str]]] = field(default_factory=dict)


def remembered(journal: Journal, owner: str, path: str, services: Sequence[str] | None) -> list[Filed]:
    """What was filed about one file, the last change first."""
    found: dict[Path, Filed] = {}
    flags: list[tuple[str, Path, list[list[str]]]] = []
    for key, before in journal.owned(owner).items():
        file, names = json.loads(key[len(PREFIX) :]) if key.startswith(PREFIX) else ("", ())
        place = tuple(names)
        if file != os.path.realpath(path):
            continue
        if "values" in before:
            flags.append((key, place, before["values"]))
        else:
            found[place] = Filed(keys=[key], place=place, **before)
    for key, place, values in flags:
        command = found[place[:-1]]
        command.flags[str(place[-1])] = values
        command.keys.append(key)
    entries = sorted(found.values(), key=lambda filed: (filed.order, filed.keys[0]), reverse=True)
    if services is not None and not all(_is_about(filed.place, services) for filed in entries):
        # What several services may share (a declared volume) goes with the last of them.
        entries = [filed for filed in entries if filed.place[0] == "services" and filed.place[1] in services]
    return entries


def _is_about(place: Path, services: Sequence[str]) -> bool:
    return place[0] != "services" or place[1] in services


def places(journal: Journal, owner: str, services: Sequence[str] | None) -> list[Path]:
    """Where in the project's files an owner has changed something, the last change first."""
    return [filed.place for path in journal.files(owner) for filed in remembered(journal, owner, path, services)]


def forget_unwritten(journal: Journal, owner: str) -> None:
    """Drop what a run filed that was killed before it wrote the file: there is nothing to take back."""
    written = journal.files(owner)
    for key in journal.owned(owner):
        if key.startswith(PREFIX) and json.loads(key[len(PREFIX) :])[0] not in written:
            journal.forget(owner, key)
