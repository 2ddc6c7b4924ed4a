# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make one change in a tree and prove it: the result is parsed, and its data are the old data with just that change."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import (
    interpolation,
    yaml_data,
    yaml_fragment,
    yaml_places,
    yaml_scalars,
    yaml_ways,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_data import NOTHING
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_fragment import Source
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import Tree, TreeError


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


@dataclass(frozen=True)
class Insert:
    """Put a value into a list before the entry at the path's index. Made by the editor out of a changed list."""

    path: Path
    value: t.Any


Change = t.Union[Set, Delete]
Step = t.Union[Set, Delete, Insert]


def changed(tree: Tree, change: Step, repair: bool = True) -> Tree:
    """Return the tree of the text with a change made. Raises TreeError where there is no safe way.

    ``repair`` allows a deletion to write the value out at those who shared it.
    """
    if not change.path:
        raise TreeError("the whole document cannot be set or deleted")
    if _is_made(tree, change):
        return tree
    if isinstance(change, Set) and isinstance(change.value, (dict, list)) and change.value:
        before = yaml_data.look_up(tree.data, change.path)
        parts = _in_parts(tree, change, before, _plain_input(change.value))
        if parts is not None:
            return parts
    wrong: list[Tree | TreeError] = []
    for result in results(tree, change, wrong):
        return result
    if repair and isinstance(change, Delete):
        for result in [tree for tree in wrong if isinstance(tree, Tree)][:1]:
            repaired = _repaired(result, yaml_data.without(tree.data, change.path))
            if repaired is not None:
                return repaired
    node = yaml_places.effective_node(tree, change.path[:-1])
    line = tree.line(node.start) if node is not None else None
    reasons = [str(error) for error in wrong if isinstance(error, TreeError)]
    raise TreeError(reasons[0] if reasons else "no change at this place leaves all other values as they are", line)


def _is_made(tree: Tree, change: Step) -> bool:
    before = yaml_data.look_up(tree.data, change.path)
    if isinstance(change, Set):
        return yaml_data.same(before, yaml_fragment.plain(_adapted(tree, change)))
    return isinstance(change, Delete) and before is NOTHING


def results(tree: Tree, change: Step, wrong: list[Tree | TreeError] | None = None) -> t.Iterator[Tree]:
    """Yield the trees of all ways to make a change that are proved right; what is not goes to ``wrong``."""
    expected, ways = _ways(tree, change)
    for splices in ways:
        try:
            result = Tree(yaml_places.apply(tree.text, splices))
        except TreeError as error:
            if wrong is not None:
                wrong.append(error)
            continue
        if yaml_data.same(result.data, expected):
            yield result
        elif wrong is not None:
            wrong.append(result)


def _ways(tree: Tree, change: Step) -> tuple[t.Any, t.Iterator[list[yaml_places.Splice]]]:
    """Return the data that a change has to lead to, and the ways to try."""
    if isinstance(change, Delete):
        return yaml_data.without(tree.data, change.path), yaml_ways.ways_to_delete(tree, change.path)
    if isinstance(change, Insert):
        expected = yaml_data.with_inserted(tree.data, change.path, yaml_fragment.plain(change.value))
        return expected, yaml_ways.ways_to_insert(tree, change.path, change.value)
    value = _adapted(tree, change)
    expected = yaml_data.with_value(tree.data, change.path, yaml_fragment.plain(value))
    return expected, yaml_ways.ways_to_set(tree, change.path, value)


def _repaired(result: Tree, expected: t.Any) -> Tree | None:
    """Give those who shared a deleted value their own one. None where that does not lead to the expected data."""
    for path in _lost(expected, result.data, ()):
        value = yaml_data.look_up(expected, path)
        try:
            result = changed(result, Set(path, yaml_data.public(value), literal=True), repair=False)
        except TreeError:
            return None
    return result if yaml_data.same(result.data, expected) else None


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
    if type(before) is not type(value):
        return None
    parts = _parts_of_mapping(before, value) if isinstance(value, dict) else _parts_of_list(before, value)
    try:
        for kind, key, new in parts:
            path = (*change.path, key)
            tree = changed(tree, Delete(path) if kind is Delete else kind(path, new, **_LITERAL[kind]))
    except TreeError:
        return None
    return tree if yaml_data.same(yaml_data.look_up(tree.data, change.path), value) else None


_LITERAL: dict[t.Any, dict[str, bool]] = {Set: {"literal": True}, Insert: {}}
_Part = tuple[t.Any, t.Union[str, int], t.Any]


def _parts_of_mapping(before: dict[str, t.Any], value: dict[str, t.Any]) -> list[_Part]:
    parts: list[_Part] = [(Delete, key, None) for key in before if key not in value]
    return parts + [(Set, k, v) for k, v in value.items() if not yaml_data.same(before.get(k, NOTHING), v)]


def _parts_of_list(before: list[t.Any], value: list[t.Any]) -> list[_Part]:
    """Return the steps that change only what lies between the equal ends; entries to delete come last first."""
    same = _equal_at_start(before, value)
    tail = _equal_at_start(before[same:][::-1], value[same:][::-1])
    old_end, new_end = len(before) - tail, len(value) - tail
    both = min(old_end, new_end)
    parts: list[_Part] = [(Set, i, value[i]) for i in range(same, both)]
    parts += [(Insert if tail else Set, i, value[i]) for i in range(both, new_end)]
    return parts + [(Delete, i, None) for i in range(old_end - 1, both - 1, -1)]


def _equal_at_start(one: list[t.Any], two: list[t.Any]) -> int:
    length = 0
    while length < min(len(one), len(two)) and yaml_data.same(one[length], two[length]):
        length += 1
    return length


def _adapted(tree: Tree, change: Set) -> t.Any:
    """Return the value to write: in the default of the variable that stands there, and in its quotes."""
    if isinstance(change.value, Source):
        return change.value
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
    return value if isinstance(value, yaml_scalars.Timestamp) else str(value)
