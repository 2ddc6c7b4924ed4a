# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ways to make one change in a tree, the one that touches least first.

Each way is a list of splices that may be wrong: an anchor can carry it to another service, a block scalar can swallow
it. The editor takes the first whose result, parsed again, is the old data with just that change.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_fragment, yaml_places
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_data import nest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_fragment import MERGE, Alias, Source
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path, Place, Splice, Walk
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import Node, Tree, TreeError

_WORD = re.compile(r"\S+")


def ways_to_set(tree: Tree, path: Path, value: t.Any) -> t.Iterator[list[Splice]]:
    """Yield ways of setting a value. Raises TreeError where there can be none."""
    walk = yaml_places.walk(tree, path)
    if not walk.places:
        yield [yaml_places.append_text(tree, _root_lines(tree, nest(path, value)), _layout(tree, walk))]
        return
    yield from _in_place(tree, walk, path, value)
    for depth, place in enumerate(walk.places):
        if place.value.anchor is not None and tree.users(place.value):
            yield from _apart_from_users(tree, place, path[depth:], value)


def _layout(tree: Tree, walk: Walk) -> yaml_fragment.Layout:
    return yaml_fragment.layout_of(tree, walk.last.chain if walk.places else [])


def _root_lines(tree: Tree, value: t.Any) -> str:
    layout = yaml_fragment.layout_of(tree, [])
    return layout.newline.join(yaml_fragment.mapping_lines(value, 0, layout))


def _in_place(tree: Tree, walk: Walk, path: Path, value: t.Any) -> t.Iterator[list[Splice]]:
    last, rest = walk.last, walk.rest
    if walk.state == "found":
        if isinstance(value, (str, Source)):
            yield from _by_words(tree, last.value, yaml_fragment.plain(value))
        yield yaml_places.put(tree, last, value, "keep")
        yield yaml_places.put(tree, last, value)
    elif walk.state == "scalar":
        where = ".".join(str(key) for key in path[: len(path) - len(rest)]) or "the document"
        raise TreeError(
            f"{where} is a single value, so {rest[0]!r} cannot be set below it", tree.line(last.value.start)
        )
    elif walk.state == "null":
        yield yaml_places.put(tree, last, nest(rest, value), "keep")
    elif walk.state == "missing":
        yield from yaml_places.add(tree, last, rest[0], nest(rest[1:], value))
    elif walk.state == "inherited":
        inherited = tree.view(last.value)[str(rest[0])][0].value
        for reuse in (True, False):
            new = _override(tree, inherited, rest[1:], value, last.value.end if reuse else None)
            yield from yaml_places.add(tree, last, rest[0], new)
    else:
        for reuse in (True, False):
            yield yaml_places.put(
                tree, last, _override(tree, last.value, rest, value, last.value.start if reuse else None)
            )


def _override(tree: Tree, node: Node, rest: Path, value: t.Any, position: int | None) -> t.Any:
    """Return a new value: that of a node, with another value at ``rest``.

    What the node shares through an anchor is merged, not copied, where the anchor means it at ``position``.
    """
    real = node.real
    if not rest:
        return value
    if real.kind == "seq":
        items = [yaml_fragment.fragment_of(tree, item.value) for item in real.items]
        index = t.cast(int, rest[0])
        if index == len(items):
            return [*items, nest(rest[1:], value)]
        items[index] = _override(tree, real.items[index].value, rest[1:], value, position)
        return items
    if real.kind == "scalar":
        if tree.data_of(real) is None:
            return nest(rest, value)
        raise TreeError(f"{rest[0]!r} cannot be set below a single value", tree.line(real.start))
    pair = tree.view(real).get(str(rest[0]), (None, False))[0]
    inner = _override(tree, pair.value, rest[1:], value, position) if pair else nest(rest[1:], value)
    name = real.anchor
    if name is not None and position is not None and tree.anchor_at(name, position) is real:
        return {MERGE: Alias(name), rest[0]: inner}
    return {**_copy_but(tree, real, str(rest[0])), rest[0]: inner}


def _copy_but(tree: Tree, node: Node, key: str) -> dict[str, t.Any]:
    view = tree.view(node)
    return {
        name: None if name == key else yaml_fragment.fragment_of(tree, pair.value)
        for name, (pair, _own) in view.items()
    }


def _by_words(tree: Tree, node: Node, new: str) -> t.Iterator[list[Splice]]:
    """Yield the change of a text over several lines that touches only the words that differ."""
    old = tree.data_of(node)
    if node.kind != "scalar" or not isinstance(old, str) or tree.line_end(node.body) >= node.end:
        return
    start = tree.line_end(node.body) if node.style in ("|", ">") else node.body + len(node.style)
    end = node.end - (len(node.style) if node.style in ("'", '"') else 0)
    words = list(_WORD.finditer(tree.text, start, end))
    before, after = old.split(), new.split()
    if [word.group() for word in words] != before or not words:
        return
    same = 0
    while same < min(len(before), len(after)) and before[same] == after[same]:
        same += 1
    tail = 0
    while tail < min(len(before), len(after)) - same and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    gone, come = words[same : len(words) - tail], " ".join(after[same : len(after) - tail])
    if gone and come:
        yield [(gone[0].start(), gone[-1].end(), come)]
    elif gone:
        first = words[same - 1].end() if same else gone[0].start()
        last = gone[-1].end() if same else words[len(gone)].start() if len(gone) < len(words) else end
        yield [(first, last, "")]
    elif same:
        yield [(words[same - 1].end(), words[same - 1].end(), " " + come)]
    else:
        yield [(words[0].start(), words[0].start(), come + " ")]


def _apart_from_users(tree: Tree, place: Place, rest: Path, value: t.Any) -> t.Iterator[list[Splice]]:
    """Yield ways of changing an anchored value so that those who use the anchor keep theirs."""
    node = place.value
    if node.kind == "map" and rest:
        for reuse in (True, False):
            pair = tree.view(node).get(str(rest[0]), (None, False))[0]
            inner = (
                _override(tree, pair.value, rest[1:], value, node.end if reuse else None)
                if pair
                else nest(rest[1:], value)
            )
            yield from _wrap(tree, place, rest[0], inner)
    for reuse in (True, False):
        own = _override(tree, node, rest, value, node.start if reuse else None)
        yield [*yaml_places.put(tree, place, own), *moved_anchors(tree, node)]


def _wrap(tree: Tree, place: Place, key: t.Any, new: t.Any) -> t.Iterator[list[Splice]]:
    """Yield the change that moves an anchor into a merge key of the mapping that carried it.

    ``bot: &app`` becomes ``bot:`` with ``<<: &app`` between the key and its unchanged children, by indentation alone;
    the mapping's new entry stands next to the merge key, where no other user of the anchor sees it.
    """
    node = place.value
    if node.tag is not None or place.parent is None:
        return
    if node.style == "flow":
        entry = yaml_fragment.key_text(key, "", True) + ": " + yaml_fragment.inline(new, "", True)
        yield [(node.start, node.start, "{<<: "), (node.end, node.end, f", {entry}" + "}")]
        return
    outer, line_end = place.parent.value.column, tree.line_end(node.start)
    if node.column - outer < 2 or line_end >= node.body or place.flow or not hasattr(place.entry, "key"):
        return
    column = outer + (node.column - outer) // 2
    layout = yaml_fragment.layout_of(tree, place.chain[1:])
    start = node.start
    while tree.text[start - 1] in " \t":
        start -= 1
    end = tree.line_end(node.end)
    lines = yaml_fragment.pair_lines(key, new, column, layout)
    newline = tree.text[line_end : tree.next_line(line_end)]
    yield [
        (start, node.head, ""),
        (line_end, line_end, f"{newline}{' ' * column}<<: &{node.anchor}"),
        (end, end, "".join(newline + line for line in lines)),
    ]


def moved_anchors(tree: Tree, gone: Node) -> list[Splice]:
    """Return the splices that give each anchor inside of a value that goes to the first of its users outside."""
    splices: list[Splice] = []
    for node in [n for n in tree.anchors if gone.start <= n.start and n.end <= gone.end]:
        outside = [alias for alias in tree.users(node) if not gone.start <= alias.start < gone.end]
        if outside:
            place = t.cast(Place, yaml_places.place_of(tree, outside[0]))
            splices += yaml_places.put(tree, place, yaml_fragment.fragment_of(tree, node), f"&{node.anchor}")
    return splices


def ways_to_insert(tree: Tree, path: Path, value: t.Any) -> t.Iterator[list[Splice]]:
    """Yield ways of putting a value into a list before the entry at an index."""
    walk = yaml_places.walk(tree, path[:-1])
    if walk.state == "found" and walk.last.value.kind == "seq":
        yield from yaml_places.add(tree, walk.last, path[-1], value)


def ways_to_delete(tree: Tree, path: Path, inherits_again: bool = False) -> t.Iterator[list[Splice]]:
    """Yield ways of deleting what is at a path.

    Raises TreeError where it is not written in its own place, or where a merge key has another value for it (unless
    ``inherits_again``).
    """
    walk = yaml_places.walk(tree, path)
    if walk.state != "found":
        node = yaml_places.effective_node(tree, path)
        where = tree.line(node.start) if node is not None else None
        raise TreeError(
            "it comes from there through an alias or a merge key, so it cannot be deleted here without changing others",
            where,
        )
    for source in tree.merge_sources(walk.places[-2].value):
        if str(path[-1]) in tree.view(source) and not inherits_again:
            raise TreeError("without it the value of the merge key would count", tree.line(walk.last.value.start))
    for splices in yaml_places.remove(tree, walk.last):
        yield splices
        moved = moved_anchors(tree, walk.last.value)
        if moved:
            yield [*splices, *moved]
