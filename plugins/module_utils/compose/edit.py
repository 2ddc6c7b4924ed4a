# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Set or delete values in a YAML text by position: every byte outside the changed values stays as it was.

Each change is tried in the ways of ``yaml_changes``, the one touching least first, and each result is parsed again:
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

import typing as t
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import (
    interpolation,
    yaml_changes,
    yaml_events,
    yaml_fragment,
    yaml_places,
    yaml_scalars,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_fragment import Source
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import RESET, Tree, TreeError

YAML_IMPORT_ERROR = yaml_events.YAML_IMPORT_ERROR
_BOM = b"\xef\xbb\xbf"
_NOTHING = object()


class EditError(ValueError):
    """A text that cannot be read or changed safely. ``name`` is the file, ``line`` counts from 1 or is None."""

    def __init__(self, name: str, line: int | None, reason: str) -> None:
        super().__init__(f"{name}:{line}: {reason}" if line else f"{name}: {reason}")
        self.name = name
        self.line = line
        self.reason = reason


@dataclass(frozen=True)
class Set:
    """Make the value at a path be ``value``: None, bool, int, float, str, list or dict.

    Missing parents are made; ``len(list)`` as the last step appends. ``literal`` replaces variables, too.
    """

    path: Path
    value: t.Any
    literal: bool = False


@dataclass(frozen=True)
class Delete:
    """Take away what is at a path; nothing to do where nothing is. The last key of a mapping leaves ``{}``."""

    path: Path


Change = t.Union[Set, Delete]


class Document:
    """A text as Compose reads it. Raises EditError where it is not one YAML document with unique keys."""

    def __init__(self, data: bytes, name: str) -> None:
        self.name = name
        self.tree = _parse(data, name)
        self.data: t.Any = _public(self.tree.data)

    def get(self, path: Path, default: t.Any = None) -> t.Any:
        """Return the effective value at a path."""
        value = _look_up(self.data, path)
        return default if value is _NOTHING else value

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
        tree = _guarded(name, lambda change=change, tree=tree: _changed(tree, change), change.path)
    return _bytes_of(tree.text, data)


def _parse(data: bytes, name: str) -> Tree:
    if YAML_IMPORT_ERROR is not None:
        raise EditError(name, None, "the Python library PyYAML (python3-yaml) is needed to read it")
    try:
        text = data[len(_BOM) :].decode() if data.startswith(_BOM) else data.decode()
    except UnicodeDecodeError as error:
        raise EditError(name, data[: error.start].count(b"\n") + 1, "it is not UTF-8 text") from None
    return t.cast(Tree, _guarded(name, lambda: Tree(text)))


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


def _changed(tree: Tree, change: Change, repair: bool = True) -> Tree:
    before = _look_up(tree.data, change.path)
    if isinstance(change, Delete):
        if before is _NOTHING:
            return tree
        expected = _without(tree.data, change.path)
        return _first_that_fits(tree, change, yaml_changes.ways_to_delete(tree, change.path), expected, repair)
    value = _adapted(tree, change)
    if _same(before, yaml_fragment.plain(value)):
        return tree
    if type(before) is type(value) and isinstance(value, (dict, list)) and value and before:
        parts = _in_parts(tree, change, before, value)
        if parts is not None:
            return parts
    expected = _with(tree.data, change.path, yaml_fragment.plain(value))
    return _first_that_fits(tree, change, yaml_changes.ways_to_set(tree, change.path, value), expected, repair)


def _first_that_fits(tree: Tree, change: Change, ways: t.Iterator[t.Any], expected: t.Any, repair: bool) -> Tree:
    first: Tree | None = None
    reason = ""
    for splices in ways:
        try:
            result = Tree(yaml_places.apply(tree.text, splices))
        except TreeError as error:
            reason = reason or str(error)
            continue
        if _same(result.data, expected):
            return result
        first = first or result
    if first is not None and repair and isinstance(change, Delete):
        repaired = _repaired(tree, first, expected)
        if repaired is not None:
            return repaired
    node = yaml_places.effective_node(tree, change.path[:-1])
    line = tree.line(node.start) if node is not None else None
    raise TreeError(reason or "no change at this place leaves all other values as they are", line)


def _repaired(tree: Tree, result: Tree, expected: t.Any) -> Tree | None:
    """Give those who shared a deleted value their own one. None where that does not lead to the expected data."""
    for path in _lost(expected, result.data, ()):
        value = _look_up(expected, path)
        try:
            result = _changed(result, Set(path, _public(value), literal=True), repair=False)
        except TreeError:
            return None
    return result if _same(result.data, expected) else None


def _lost(expected: t.Any, found: t.Any, path: Path) -> t.Iterator[Path]:
    """Yield the paths that should be there and are not, in mappings."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key not in found:
                yield (*path, key)
            else:
                yield from _lost(value, found[key], (*path, key))


def _in_parts(tree: Tree, change: Set, before: t.Any, value: t.Any) -> Tree | None:
    """Change a list or mapping entry by entry, so that what stays keeps its text. None where that is impossible."""
    parts = _parts_of_mapping(before, value) if isinstance(value, dict) else _parts_of_list(before, value)
    try:
        for key, new in parts:
            path = (*change.path, key)
            tree = _changed(tree, Delete(path) if new is _NOTHING else Set(path, new, literal=True))
    except TreeError:
        return None
    return tree if _same(_look_up(tree.data, change.path), yaml_fragment.plain(value)) else None


def _parts_of_mapping(before: dict[str, t.Any], value: dict[str, t.Any]) -> list[tuple[str | int, t.Any]]:
    changed: list[tuple[str | int, t.Any]] = [(k, v) for k, v in value.items() if not _same(before.get(k, _NOTHING), v)]
    return changed + [(key, _NOTHING) for key in before if key not in value]


def _parts_of_list(before: list[t.Any], value: list[t.Any]) -> list[tuple[str | int, t.Any]]:
    """Return index and new value per entry; only the part between equal ends changes, entries to delete last first."""
    same = 0
    while same < min(len(before), len(value)) and _same(before[same], value[same]):
        same += 1
    tail = 0
    while tail < min(len(before), len(value)) - same and _same(before[-1 - tail], value[-1 - tail]):
        tail += 1
    if len(value) > len(before) and tail:
        tail = 0
    old_end, new_end = len(before) - tail, len(value) - tail
    both = min(old_end, new_end)
    parts: list[tuple[str | int, t.Any]] = [(i, value[i]) for i in range(same, both)]
    parts += [(i, value[i]) for i in range(both, new_end)]
    return parts + [(i, _NOTHING) for i in range(old_end - 1, both - 1, -1)]


def _adapted(tree: Tree, change: Set) -> t.Any:
    """Return the value to write: in the default of the variable that stands there, and in its quotes."""
    value = _plain_input(change.value)
    node = yaml_places.effective_node(tree, change.path)
    if node is None or node.real.kind != "scalar" or isinstance(value, (dict, list)):
        return value
    node = node.real
    old = tree.data_of(node)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and node.style in ("'", '"') and isinstance(old, str):
        value = yaml_scalars.format_scalar(value)
    if isinstance(old, str) and not change.literal and (isinstance(value, str) or is_number):
        text = value if isinstance(value, str) else yaml_scalars.format_scalar(value)
        if interpolation.has_variable(old) and not interpolation.has_variable(text):
            try:
                value = interpolation.with_default(old, text)
            except interpolation.KeepsNoDefault as error:
                raise TreeError(str(error), tree.line(node.start)) from None
    if isinstance(value, str) and node.style in ("'", '"'):
        return Source(yaml_scalars.quote(value, node.style), value, node.style)
    return value


def _plain_input(value: t.Any) -> t.Any:
    if isinstance(value, dict):
        return {str(key): _plain_input(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain_input(item) for item in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return value if type(value) is yaml_scalars.Timestamp else str(value)


def _public(value: t.Any) -> t.Any:
    """Return data without the editor's own classes: what is ``!reset`` is not there, unknown tags are dropped."""
    if isinstance(value, dict):
        return {key: _public(item) for key, item in value.items() if item is not RESET}
    if isinstance(value, list):
        return [_public(item) for item in value if item is not RESET]
    return None if value is RESET else value.text if isinstance(value, yaml_scalars.Tagged) else value


def _look_up(data: t.Any, path: Path) -> t.Any:
    for key in path:
        if isinstance(data, dict) and str(key) in data:
            data = data[str(key)]
        elif isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
            data = data[key]
        else:
            return _NOTHING
    return data


def _with(data: t.Any, path: Path, value: t.Any) -> t.Any:
    if not path:
        return value
    if data is None:
        return yaml_changes.nest(path, value)
    key = path[0]
    if isinstance(data, dict):
        inner = data.get(str(key))
        return {**data, str(key): _with(inner, path[1:], value)}
    if isinstance(data, list) and isinstance(key, int) and 0 <= key <= len(data):
        inner = data[key] if key < len(data) else None
        return [*data[:key], _with(inner, path[1:], value), *data[key + 1 :]]
    return _NOTHING


def _without(data: t.Any, path: Path) -> t.Any:
    key = path[0]
    if len(path) > 1:
        inner = _without(data[str(key) if isinstance(data, dict) else key], path[1:])
        return _with(data, (key,), inner)
    if isinstance(data, dict):
        return {name: item for name, item in data.items() if name != str(key)}
    return [item for index, item in enumerate(data) if index != key]


def _same(one: t.Any, two: t.Any) -> bool:
    """Compare data with their types: ``1``, ``1.0``, ``true`` and ``"1"`` are four values."""
    if one is two:
        return True
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(_same(a, b) for a, b in zip(one, two))
    return bool(one == two or (isinstance(one, float) and one != one and two != two))


def remember(data: bytes, path: Path, name: str) -> dict[str, t.Any]:
    """Return, as JSON data, all that ``restore`` needs to bring back what stands at a path now."""
    tree = _parse(data, name)
    return t.cast("dict[str, t.Any]", _guarded(name, lambda: _remembered(tree, path), path))


def restore(data: bytes, path: Path, remembered: dict[str, t.Any], name: str) -> bytes:
    """Return the text with what was remembered at a path: the very bytes where only our changes are around it.

    Where the surroundings were changed by someone else since, the old value is put back (or what was set is taken
    away, with parents that were made for it) and the rest stays as it is now. Raises EditError.
    """
    tree = _parse(data, name)
    result = _guarded(name, lambda: _restored(tree, path, remembered), path)
    return _bytes_of(result.text, data)


def _remembered(tree: Tree, path: Path) -> dict[str, t.Any]:
    value = _look_up(tree.data, path)
    depth = 0
    while depth < len(path) and _look_up(tree.data, path[: depth + 1]) is not _NOTHING:
        depth += 1
    walk = yaml_places.walk(tree, path)
    region = _region(tree, path, walk)
    start, end = _region_span(tree, region)
    return {
        "present": value is not _NOTHING,
        "value": None if value is _NOTHING else _public(value),
        "depth": depth,
        "null": _look_up(tree.data, path[:depth]) is None,
        "own": max(len(walk.places) - 1, 0),
        "region": len(region.chain) - 1 if region is not None else 0,
        "text": tree.text[start:end],
    }


def _region(tree: Tree, path: Path, walk: yaml_places.Walk) -> yaml_places.Place | None:
    """Return the place whose text an edit at the path can change: the service as a rule, the whole where it is shared.

    None stands for the whole text.
    """
    shared = any(tree.users(place.value) for place in (*walk.places[:2], *walk.places[-1:]))
    moves = walk.state == "found" and yaml_changes.moved_anchors(tree, walk.last.value)
    if (shared and len(walk.places) < 3) or moves or len(walk.places) < 2:
        return None
    return walk.places[min(2, len(walk.places) - 1)]


def _region_span(tree: Tree, place: yaml_places.Place | None) -> tuple[int, int]:
    if place is None or place.entry is None:
        return 0, len(tree.text)
    end = place.entry.end
    return place.entry.start, end if place.flow else tree.line_end(end)


def _restored(tree: Tree, path: Path, remembered: dict[str, t.Any]) -> Tree:
    current = _look_up(tree.data, path)
    target = (
        _with(tree.data, path, remembered["value"]) if remembered["present"] else _pruned(tree.data, path, remembered)
    )
    for attempt in (_by_region, _by_own_entry, _by_value):
        try:
            result = attempt(tree, path, remembered, current)
        except TreeError:
            continue
        if result is not None and _same(_public(result.data), _public(target)):
            return result
    raise TreeError("what was there cannot be put back without changing something else")


def _by_region(tree: Tree, path: Path, remembered: dict[str, t.Any], current: t.Any) -> Tree | None:
    """Put the remembered text back if making the change in it again gives exactly what is there now."""
    depth = remembered["region"]
    if depth == 0:
        start, end = 0, len(tree.text)
    else:
        walk = yaml_places.walk(tree, path[:depth])
        if walk.state != "found":
            return None
        start, end = _region_span(tree, walk.last)
    old = Tree(tree.text[:start] + remembered["text"] + tree.text[end:])
    changes = [Delete(path)] if current is _NOTHING else [Set(path, current), Set(path, current, literal=True)]
    for change in changes:
        try:
            if _changed(old, change).text == tree.text:
                return old
        except TreeError:
            continue
    return None


def _by_own_entry(tree: Tree, path: Path, remembered: dict[str, t.Any], current: t.Any) -> Tree | None:
    """Take away the entry that overrides what was inherited, or that was not there."""
    own = remembered["own"]
    return _changed(tree, Delete(path[: own + 1])) if own < len(path) else None


def _by_value(tree: Tree, path: Path, remembered: dict[str, t.Any], current: t.Any) -> Tree:
    """Set the remembered value, or delete what is there with the parents that were made for it."""
    if remembered["present"]:
        return _changed(tree, Set(path, remembered["value"], literal=True))
    tree = _changed(tree, Delete(path))
    depth = remembered["depth"]
    for length in range(len(path) - 1, depth, -1):
        if _look_up(tree.data, path[:length]) in ({}, []):
            tree = _changed(tree, Delete(path[:length]))
    if remembered["null"] and _look_up(tree.data, path[:depth]) == {}:
        tree = _changed(tree, Set(path[:depth], None))
    return tree


def _pruned(data: t.Any, path: Path, remembered: dict[str, t.Any]) -> t.Any:
    """Return the data without the path and without the parents that were not there when it was remembered."""
    if _look_up(data, path) is not _NOTHING:
        data = _without(data, path)
    depth = remembered["depth"]
    for length in range(len(path) - 1, depth, -1):
        if _look_up(data, path[:length]) in ({}, []):
            data = _without(data, path[:length])
    if remembered["null"] and _look_up(data, path[:depth]) == {}:
        data = _with(data, path[:depth], None)
    return data
