# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set or delete values in a YAML text by position: every byte outside the changed values stays as it was.

Each change is tried in the ways of ``yaml_ways``, the one touching least first, and each result is parsed again:
only one whose effective data (anchors, aliases and merge keys resolved, scalars as Compose reads them) differ from the
old data by exactly the change is taken. Where none does, EditError says why and nothing has changed.

- Shared values: a service that gets its settings through an alias or a merge key gets a value of its own, and a change
  in an anchored mapping does not reach those that use the anchor.
- Variables: setting ``120M`` where ``${MEM:-1g}`` stands gives ``${MEM:-120M}``; ``${MEM}`` gives ``${MEM:-120M}``;
  ``${MEM:?}`` and texts of several variables are refused. ``Set(..., literal=True)``, a value that has a variable
  itself, and a list or mapping replace what stands there.
- Quotes: a quoted value stays quoted, a number in quotes too (it then reads as a string, as before).
"""

from __future__ import annotations

import functools
import typing as t

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import (
    yaml_data,
    yaml_edit,
    yaml_events,
    yaml_places,
    yaml_restore,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_edit import Change, Delete, Set
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import Tree, TreeError

YAML_IMPORT_ERROR = yaml_events.YAML_IMPORT_ERROR
_BOM = b"\xef\xbb\xbf"


class EditError(ValueError):
    """A text that cannot be read or changed safely. ``name`` is the file, ``line`` counts from 1 or is None."""

    def __init__(self, name: str, line: int | None, reason: str) -> None:
        super().__init__(f"{name}:{line}: {reason}" if line else f"{name}: {reason}")
        self.name = name
        self.line = line
        self.reason = reason


class Document:
    """A text as Compose reads it. Raises EditError where it is not one YAML document with unique keys."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.tree = _parse(data, name)
        self.data: t.Any = yaml_data.public(self.tree.data)

    def get(self, path: Path, default: t.Any = None) -> t.Any:
        """Return the effective value at a path."""
        value = yaml_data.look_up(self.data, path)
        return default if value is yaml_data.NOTHING else value

    def own(self, path: Path) -> bool:
        """Tell whether the last key of a path is written in its own place, not inherited through a merge or alias."""
        return _guarded(self.name, lambda: yaml_places.walk(self.tree, path).state) == "found"

    def line(self, path: Path) -> int | None:
        """Return the line, from 1, on which the value at a path starts (where an alias or merge takes it from)."""
        node = yaml_places.effective_node(self.tree, path)
        return None if node is None else self.tree.line(node.start)


def edit(data: bytes, changes: t.Sequence[Change], name: str) -> bytes:
    """Return the text with all changes made, in their order. Raises EditError, and then nothing is changed."""
    tree = _parse(data, name)
    for change in changes:
        tree = _guarded(name, functools.partial(yaml_edit.changed, tree, change), change.path)
    return _bytes_of(tree.text, data)


def remember(data: bytes, path: Path, name: str) -> dict[str, t.Any]:
    """Return, as JSON data, all that ``restore`` needs to bring back what stands at a path now. Raises EditError."""
    tree = _parse(data, name)
    return t.cast("dict[str, t.Any]", _guarded(name, lambda: yaml_restore.remembered(tree, path), path))


def restore(data: bytes, path: Path, remembered: dict[str, t.Any], name: str) -> bytes:
    """Return the text with what was remembered at a path: the very bytes where only our changes are around it.

    Where the surroundings were changed by someone else since, the old value is put back (or what was set is taken
    away, with parents that were made for it) and the rest stays as it is now. Values remembered one after the other,
    with changes in between, are restored in the opposite order. Raises EditError.
    """
    tree = _parse(data, name)
    result = _guarded(name, lambda: yaml_restore.restored(tree, path, remembered), path)
    return _bytes_of(result.text, data)


def _parse(data: bytes, name: str) -> Tree:
    if YAML_IMPORT_ERROR is not None:
        raise EditError(name, None, "the Python library PyYAML (python3-yaml) is needed to read it")
    try:
        text = data[len(_BOM) :].decode() if data.startswith(_BOM) else data.decode()
    except UnicodeDecodeError as error:
        raise EditError(name, data[: error.start].count(b"\n") + 1, "it is not UTF-8 text") from None
    return t.cast(Tree, _guarded(name, lambda: _tree(text)))


# A task reads the same text several times, and PyYAML takes 15 ms for a small project. A tree is never changed.
_tree = functools.lru_cache(maxsize=8)(Tree)


def _bytes_of(text: str, before: bytes) -> bytes:
    return (_BOM if before.startswith(_BOM) else b"") + text.encode()


def _guarded(name: str, action: t.Callable[[], t.Any], path: Path = ()) -> t.Any:
    try:
        return action()
    except TreeError as error:
        where = f"cannot change {'.'.join(str(key) for key in path)}: " if path else ""
        raise EditError(name, error.line, where + str(error)) from None
    except RecursionError:
        raise EditError(name, None, "it is nested too deeply") from None


__all__ = [
    "YAML_IMPORT_ERROR",
    "Change",
    "Delete",
    "Document",
    "EditError",
    "Path",
    "Set",
    "edit",
    "remember",
    "restore",
]
