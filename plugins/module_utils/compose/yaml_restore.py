# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands at a path before a change, and bringing it back.

Beside the value, the text around it is remembered: as a rule the service's. If making our changes in that text again
gives, byte for byte, the text of now, then nobody else has touched it, and the remembered text without this change is
what has to come back. If not, only the value goes back into the text as it is now.
"""

from __future__ import annotations

import functools
import itertools
import re
import typing as t

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_data, yaml_places, yaml_ways
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_data import NOTHING
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_edit import (
    Delete,
    Insert,
    Set,
    changed,
    results,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_fragment import Source
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path, Place, Walk
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import RESET, Tree, TreeError

Remembered = dict[str, t.Any]
# Making this many changes again, each with a parse, is still quick; past it the values alone are put back.
_MOST_STEPS = 40
# From the end of a line: blank and comment lines, up to the break before the next line with content.
_NO_CONTENT = re.compile(
    r"(?:(?:\r\n|[\r\n\x85\u2028\u2029])[ \t]*(?:#[^\r\n\x85\u2028\u2029]*)?(?=[\r\n\x85\u2028\u2029]|\Z))*"
)


def remembered(tree: Tree, path: Path) -> Remembered:
    """Return JSON data about what is at a path.

    ``present`` and ``value`` (with ``source``, the scalar as written), or ``reset`` where ``!reset`` stands; ``depth``,
    how many keys of the path lead somewhere; ``length``, that of the list that it is in; ``null``, whether the last of
    these holds nothing; ``own``, how many are written in their own place; ``texts``, the texts around it, each with
    the length of the path that leads there.
    """
    value = yaml_data.look_up(tree.data, path)
    depth = 0
    while depth < len(path) and yaml_data.look_up(tree.data, path[: depth + 1]) is not NOTHING:
        depth += 1
    walk = yaml_places.walk(tree, path)
    parent = yaml_data.look_up(tree.data, path[:-1])
    regions = list(_regions(tree, walk))
    return {
        "present": value is not NOTHING and value is not RESET,
        "reset": value is RESET,
        "value": None if value is NOTHING else yaml_data.public(value),
        "source": _source(tree, walk),
        "depth": depth,
        "length": len(parent) if isinstance(parent, list) else None,
        "null": yaml_data.look_up(tree.data, path[:depth]) is None,
        "own": max(len(walk.places) - 1, 0),
        "texts": [[len(place.chain) - 1 if place else 0, tree.text[slice(*_span(tree, place))]] for place in regions],
    }


def _source(tree: Tree, walk: Walk) -> str | None:
    """Return how the value is written, where it is a scalar on one line without anchor and tag."""
    if walk.state != "found":
        return None
    node = walk.last.value
    if node.kind != "scalar" or node.head > node.start or node.style in ("|", ">") or node.start == node.end:
        return None
    return tree.text[node.start : node.end] if tree.line_end(node.start) >= node.end else None


def _regions(tree: Tree, walk: Walk) -> t.Iterator[Place | None]:
    """Yield the places whose text a change can touch: the whole text (None) where values are shared; the service."""
    moves = walk.state == "found" and yaml_ways.moved_anchors(tree, walk.last.value)
    if moves or len(walk.places) < 2 or any(tree.users(place.value) for place in walk.places):
        yield None
    if len(walk.places) > 1:
        yield walk.places[min(2, len(walk.places) - 1)]


def _span(tree: Tree, place: Place | None) -> tuple[int, int]:
    """Return where the text of a place begins and ends, with the comments below it, which a deletion leaves there."""
    if place is None or place.entry is None:
        return 0, len(tree.text)
    if place.flow:
        return place.entry.start, place.entry.end
    below = t.cast("re.Match[str]", _NO_CONTENT.match(tree.text, tree.line_end(place.entry.end)))
    return place.entry.start, below.end()


def restored(tree: Tree, path: Path, was: Remembered) -> Tree:
    """Return the tree of the text with what was remembered. Raises TreeError where that would change anything else."""
    target = _target(tree.data, path, was)
    for result in _attempts(tree, path, was):
        if yaml_data.same(yaml_data.public(result.data) or None, yaml_data.public(target) or None):
            return result
    raise TreeError("what was there cannot be put back without changing something else")


def _attempts(tree: Tree, path: Path, was: Remembered) -> t.Iterator[Tree]:
    ways: list[t.Callable[[], Tree | None]] = [
        functools.partial(_by_text, tree, path, depth, text) for depth, text in was["texts"]
    ]
    if not was["reset"]:
        ways += [functools.partial(_by_own_entry, tree, path, was), functools.partial(_by_value, tree, path, was)]
    for way in ways:
        try:
            result = way()
        except TreeError:
            continue
        if result is not None:
            yield result


def _by_text(tree: Tree, path: Path, depth: int, text: str) -> Tree | None:
    """Go back to the remembered text, and make all our other changes in it again."""
    start, end = 0, len(tree.text)
    if depth:
        walk = yaml_places.walk(tree, path[:depth])
        if walk.state != "found":
            return None
        start, end = _span(tree, walk.last)
    old = Tree(tree.text[:start] + text + tree.text[end:])
    for whole in (False, True):
        ours = list(yaml_data.steps(old.data, tree.data, whole=whole))
        if ours and len(ours) <= _MOST_STEPS and tree.text in _made_again(old, ours):
            others = [(where, value) for where, value in ours if not _touches(where, path)]
            return next(_made_again_trees(old, others)) if others else old
    return None


def _made_again(tree: Tree, steps: list[tuple[Path, t.Any]]) -> t.Iterator[str]:
    try:
        for result in _made_again_trees(tree, steps):
            yield result.text
    except TreeError:
        return


def _made_again_trees(tree: Tree, steps: list[tuple[Path, t.Any]]) -> t.Iterator[Tree]:
    """Yield what the steps lead to; the first step in every way, as what others share may have been different then."""
    changes = [Delete(path) if value is NOTHING else Set(path, yaml_data.public(value), True) for path, value in steps]
    for start in itertools.chain([changed(tree, changes[0])], results(tree, changes[0])):
        result = start
        for change in changes[1:]:
            result = changed(result, change)
        yield result


def _touches(one: Path, two: Path) -> bool:
    length = min(len(one), len(two))
    return one[:length] == two[:length]


def _by_own_entry(tree: Tree, path: Path, was: Remembered) -> Tree | None:
    """Take away the entry that overrides what was inherited, or that was not there."""
    own = was["own"]
    if own >= len(path) or yaml_places.walk(tree, path[: own + 1]).state != "found":
        return None
    splices = next(yaml_ways.ways_to_delete(tree, path[: own + 1], inherits_again=True))
    return Tree(yaml_places.apply(tree.text, splices))


def _by_value(tree: Tree, path: Path, was: Remembered) -> Tree:
    """Set the remembered value, or delete what is there with the parents that were made for it."""
    if was["present"]:
        value = was["value"] if was["source"] is None else Source(was["source"], was["value"], "")
        step = Insert(path, value) if _is_gone_from_list(tree.data, path, was) else Set(path, value, literal=True)
        return changed(tree, step)
    tree = changed(tree, Delete(path))
    for length in range(len(path) - 1, was["depth"], -1):
        if yaml_data.look_up(tree.data, path[:length]) in ({}, []):
            tree = changed(tree, Delete(path[:length]))
    if was["null"] and was["depth"] and yaml_data.look_up(tree.data, path[: was["depth"]]) == {}:
        tree = changed(tree, Set(path[: was["depth"]], None))
    return tree


def _target(data: t.Any, path: Path, was: Remembered) -> t.Any:
    """Return the data with the old value, or without the path and the parents that were made for it."""
    if was["present"]:
        set_in = yaml_data.with_inserted if _is_gone_from_list(data, path, was) else yaml_data.with_value
        return set_in(data, path, was["value"])
    if yaml_data.look_up(data, path) is not NOTHING:
        data = yaml_data.without(data, path)
    for length in range(len(path) - 1, was["depth"], -1):
        if yaml_data.look_up(data, path[:length]) in ({}, []):
            data = yaml_data.without(data, path[:length])
    if was["null"] and was["depth"] and yaml_data.look_up(data, path[: was["depth"]]) == {}:
        data = yaml_data.with_value(data, path[: was["depth"]], None)
    return data


def _is_gone_from_list(data: t.Any, path: Path, was: Remembered) -> bool:
    """Tell whether the value was an entry of a list that is shorter now: then it comes back between the others."""
    now = yaml_data.look_up(data, path[:-1])
    return was["length"] is not None and isinstance(now, list) and len(now) < was["length"]
