# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a path leads in a tree, and the splices that put a value there, add one, or take one away.

A splice is (start, end, text): the characters from start to end give way to text. Nothing here decides whether the
result is right: the editor parses it and compares.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_fragment
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_events import BREAKS
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_fragment import Layout
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import (
    Item,
    Node,
    Pair,
    Tree,
    TreeError,
)

Path = tuple[t.Union[str, int], ...]
Splice = tuple[int, int, str]

_REST_IS_COMMENT = re.compile(r"[ \t]*(?:#[^\r\n\x85\u2028\u2029]*)?(?=[\r\n\x85\u2028\u2029]|\Z)")
_TO_COMMA = re.compile(r"(?:[ \t]*,)?")
_FLOW_GAP = re.compile(r"(?:\s|(?<=\s)#[^\r\n\x85\u2028\u2029]*)*")
_BLANK_LINES = re.compile(r"(?:[ \t]*(?:\r\n|[\r\n\x85\u2028\u2029]))*")


@dataclass(eq=False)
class Place:
    """Where a value stands: in which collection, as which entry. The root's place has neither."""

    value: Node
    parent: Place | None = None
    entry: Pair | Item | None = None

    @property
    def flow(self) -> bool:
        return self.parent is not None and self.parent.value.style == "flow"

    @property
    def chain(self) -> list[Node]:
        """The value and the collections around it, the nearest first."""
        return [self.value, *(self.parent.chain if self.parent is not None else [])]

    @property
    def entries(self) -> list[Pair] | list[Item]:
        return self.value.pairs if self.value.kind == "map" else self.value.items


@dataclass
class Walk:
    """How far a path goes through what is written in its own place.

    ``places`` leads from the root to the last value reached. ``state`` says why it ends there: "found" (``rest`` is
    empty), "missing", "inherited" (a merge key supplies ``rest[0]``), "alias", "null", or "scalar".
    """

    places: list[Place]
    state: str
    rest: Path

    @property
    def last(self) -> Place:
        return self.places[-1]


def walk(tree: Tree, path: Path) -> Walk:
    """Follow a path. Raises TreeError below a ``!reset`` and for an index that is not there."""
    if tree.root is None:
        return Walk([], "null", path)
    places = [Place(tree.root)]
    for depth, key in enumerate(path):
        node, rest = places[-1].value, path[depth:]
        if node.tag == "!reset":
            raise TreeError(
                "what is below !reset is dropped by Compose, so nothing can be set there", tree.line(node.start)
            )
        if node.kind == "alias":
            return Walk(places, "alias", rest)
        if node.kind == "scalar":
            return Walk(places, "null" if tree.data_of(node) is None else "scalar", rest)
        entry = _entry(tree, node, key)
        if entry is None:
            inherited = node.kind == "map" and str(key) in tree.view(node)
            return Walk(places, "inherited" if inherited else "missing", rest)
        places.append(Place(entry.value, places[-1], entry))
    return Walk(places, "found", ())


def _entry(tree: Tree, node: Node, key: str | int) -> Pair | Item | None:
    if node.kind == "map":
        pair, own = tree.view(node).get(str(key), (None, False))
        return pair if own else None
    if not isinstance(key, int) or key > len(node.items) or key < 0:
        raise TreeError(
            f"there is a list of {len(node.items)} entries, and {key!r} is not one of them", tree.line(node.start)
        )
    return node.items[key] if key < len(node.items) else None


def effective_node(tree: Tree, path: Path) -> Node | None:
    """Return the node that supplies the effective value at a path, through aliases and merge keys, or None."""
    node = tree.root
    for key in path:
        if node is None:
            return None
        real = node.real
        if real.kind == "map":
            pair, _own = tree.view(real).get(str(key), (None, False))
            node = pair.value if pair else None
        elif real.kind == "seq" and isinstance(key, int) and 0 <= key < len(real.items):
            node = real.items[key].value
        else:
            return None
    return node


def place_of(tree: Tree, wanted: Node) -> Place | None:
    """Return the place of a node of the tree (an alias in a merge key's list, say)."""
    todo = [Place(tree.root)] if tree.root is not None else []
    while todo:
        place = todo.pop()
        if place.value is wanted:
            return place
        entries = [*place.value.pairs, *place.value.items]
        todo.extend(Place(entry.value, place, entry) for entry in entries)
    return None


def put(tree: Tree, place: Place, new: t.Any, properties: str = "drop") -> list[Splice]:
    """Return the splices that replace the value at a place.

    ``properties`` is "keep" for the anchor and tag that stand there, "drop", or the text of new ones.
    """
    layout = yaml_fragment.layout_of(tree, place.chain[1:])
    if place.entry is None:
        return _put_root(tree, place.value, new, layout)
    keep = properties == "keep"
    prefix = "" if properties in ("keep", "drop") else properties
    if place.flow:
        return _put_flow(place, new, keep, prefix)
    if yaml_fragment.is_inline(new):
        return _put_inline(tree, place, " ".join(filter(None, (prefix, yaml_fragment.inline(new).rstrip()))), keep)
    return _put_block(tree, place, new, layout, keep, prefix)


def _put_root(tree: Tree, node: Node, new: t.Any, layout: Layout) -> list[Splice]:
    if yaml_fragment.is_inline(new) or not isinstance(new, dict):
        return [(node.start, node.end, yaml_fragment.inline(new))]
    lines = layout.newline.join(yaml_fragment.mapping_lines(new, 0, layout))
    if node.start != node.end:
        return [(node.start, node.end, lines)]
    return [append_text(tree, lines, layout)]


def append_text(tree: Tree, lines: str, layout: Layout) -> Splice:
    """Return the splice that adds lines at the end of a text; it ends in a line break where the text did."""
    end = len(tree.text)
    ends_in_break = end > 0 and tree.text[-1] in BREAKS
    before = "" if end == 0 or ends_in_break else layout.newline
    return (end, end, before + lines + (layout.newline if end == 0 or ends_in_break else ""))


def _put_flow(place: Place, new: t.Any, keep: bool, prefix: str) -> list[Splice]:
    old, entry = place.value, t.cast("Pair | Item", place.entry)
    text = " ".join(filter(None, (prefix, yaml_fragment.inline(new, "", True))))
    if old.start == old.end:
        colon = ": " if isinstance(entry, Pair) and entry.head is None else " "
        return [(old.end, old.end, colon + text)]
    if keep and old.head > old.start:
        return [(old.head, old.end, " " + text)]
    return [(old.start, old.end, text)]


def _put_inline(tree: Tree, place: Place, text: str, keep: bool) -> list[Splice]:
    old = place.value
    first = old.body if keep else old.start
    if first < old.end and not _is_block_collection(old):
        return [(first, old.end, text)]
    head_start, head_end, tail_start, tail_end = _spans(tree, place, keep)
    return [(head_start, head_end, " " + text), (tail_start, tail_end, "")]


def _spans(tree: Tree, place: Place, keep: bool) -> tuple[int, int, int, int]:
    """Return what gives way to a new value: on the line of its key or dash, and below it."""
    old = place.value
    head = t.cast(int, t.cast("Pair | Item", place.entry).head or old.start)
    start = old.head if keep and old.head > old.start else head
    if old.end <= start:
        return (start, start, tree.line_end(start), tree.line_end(start))
    last = tree.line_end(old.end)
    if old.body <= tree.line_end(head):
        end = last if _is_block_collection(old) else old.end
        return (start, end, last, last)
    end = old.head if old.head <= tree.line_end(head) and not keep else start
    end = max(start, end)
    return (start, end, tree.line_end(end), last)


def _is_block_collection(node: Node) -> bool:
    return node.kind in ("map", "seq") and node.style == "block"


def _put_block(tree: Tree, place: Place, new: t.Any, layout: Layout, keep: bool, prefix: str) -> list[Splice]:
    column = t.cast(Place, place.parent).value.column
    if isinstance(place.entry, Item):
        lines = yaml_fragment.item_lines(new, column, layout)
        first, lines = lines[0][column + 1 :], lines[1:]
        if prefix:
            raise TreeError("an anchored mapping cannot be written behind a dash", tree.line(place.value.start))
    else:
        first, lines = (" " + prefix if prefix else ""), yaml_fragment.value_lines(new, column, layout)
    head_start, head_end, tail_start, tail_end = _spans(tree, place, keep)
    return [(head_start, head_end, first), (tail_start, tail_end, "".join(layout.newline + line for line in lines))]


def add(tree: Tree, place: Place, key: t.Any, new: t.Any) -> t.Iterator[list[Splice]]:
    """Yield ways of adding an entry to the collection at a place; ``key`` is the index in a sequence."""
    node = place.value
    if not place.entries:
        value = {key: new} if node.kind == "map" else [new]
        if not tree.text[node.body + 1 : node.end - 1].strip():
            yield put(tree, place, value, "keep")
        yield [(node.body + 1, node.body + 1, yaml_fragment.inline(value, "", True)[1:-1])]
    elif node.style == "flow":
        yield from _add_flow(tree, place, key, new)
    else:
        yield from _add_block(tree, place, key, new)


def _add_block(tree: Tree, place: Place, key: t.Any, new: t.Any) -> t.Iterator[list[Splice]]:
    node, layout = place.value, yaml_fragment.layout_of(tree, place.chain)
    entries: t.Sequence[Pair | Item] = place.entries
    if node.kind == "map":
        lines = yaml_fragment.pair_lines(key, new, node.column, layout)
        at = len(entries)
    else:
        lines = yaml_fragment.item_lines(new, node.column, layout, _sibling_style(node))
        at = int(key)
    for index in [at, *(i for i in (len(entries) - 1, 1) if node.kind == "map" and 0 < i < at)]:
        if index > 0:
            end = tree.line_end(entries[index - 1].end)
            newline = tree.text[end : tree.next_line(end)] or layout.newline
            yield [(end, end, "".join(newline + line for line in lines))]
    start = tree.line_start(entries[0].start)
    if (at == 0 or node.kind == "map") and not tree.text[start : entries[0].start].strip():
        yield [(start, start, "".join(line + layout.newline for line in lines))]


def _sibling_style(node: Node) -> str:
    last = node.items[-1].value if node.items else None
    return last.style if last is not None and last.style in ("'", '"') else ""


def _key_style(node: Node) -> str:
    styles = {pair.key.style for pair in node.pairs if not pair.is_merge}
    return styles.pop() if len(styles) == 1 else ""


def _value_style(node: Node) -> str:
    values = [entry.value for entry in (*node.pairs, *node.items)]
    styles = [value.style for value in values if value.kind == "scalar"]
    return styles[0] if styles and set(styles) <= {"'", '"'} else ""


def _add_flow(tree: Tree, place: Place, key: t.Any, new: t.Any) -> t.Iterator[list[Splice]]:
    node, text = place.value, tree.text
    entry = yaml_fragment.inline(new, _value_style(node), True)
    if node.kind == "map":
        entry = yaml_fragment.key_text(key, _key_style(node), True) + ": " + entry
    entries: t.Sequence[Pair | Item] = place.entries
    at = len(entries) if node.kind == "map" else int(key)
    if at == 0:
        yield [(entries[0].start, entries[0].start, entry + ", ")]
        return
    last = entries[at - 1]
    gap_end = t.cast("re.Match[str]", _FLOW_GAP.match(text, last.end)).end()
    comma = gap_end if text[gap_end : gap_end + 1] == "," else None
    indent = text[tree.line_start(last.start) : last.start]
    own_line = not indent.strip() and tree.line_start(last.start) > node.body
    if at == len(entries) and own_line:
        tail = last.end if comma is None else comma + 1
        end = tree.line_end(tail)
        newline = tree.text[end : tree.next_line(end)] or "\n"
        if _REST_IS_COMMENT.match(text, tail):
            if comma is None:
                yield [(last.end, last.end, ","), (end, end, newline + indent + entry)]
            else:
                yield [(end, end, newline + indent + entry + ",")]
    yield [(last.end, last.end, ", " + entry)]


def remove(tree: Tree, place: Place) -> t.Iterator[list[Splice]]:
    """Yield ways of taking the entry at a place out of its collection, comments of its neighbours left alone."""
    parent = t.cast(Place, place.parent)
    entries: t.Sequence[Pair | Item] = parent.entries
    index = [entry is place.entry for entry in entries].index(True)
    if len(entries) == 1:
        yield put(tree, parent, {} if parent.value.kind == "map" else [], "keep")
        yield put(tree, parent, {} if parent.value.kind == "map" else [])
    elif parent.value.style == "flow":
        yield from _remove_flow(tree, entries, index)
    else:
        start, end, new = _remove_block(tree, entries, index)
        yield [(start, end, new)]
        # A block scalar before it that keeps its blank lines (|+) would take those below it for its own.
        blank = t.cast("re.Match[str]", _BLANK_LINES.match(tree.text, end)).end()
        if end == tree.line_start(end) and blank > end:
            yield [(start, blank, new)]


def _remove_flow(tree: Tree, entries: t.Sequence[Pair | Item], index: int) -> t.Iterator[list[Splice]]:
    entry, text = entries[index], tree.text
    start = tree.line_start(entry.start)
    comma = t.cast("re.Match[str]", _TO_COMMA.match(text, entry.end)).end()
    own_lines = not text[start : entry.start].strip() and _REST_IS_COMMENT.match(text, comma)
    whole_lines: list[Splice] = [(start, tree.next_line(comma), "")]
    before = text[entries[index - 1].end : entry.start] if index > 0 else "#"
    if own_lines and ("#" in before or "#" in text[comma : tree.line_end(comma)]):
        yield whole_lines
    if "#" not in before:
        yield [(entries[index - 1].end, entry.end, "")]
    if index + 1 < len(entries):
        yield [(entry.start, entries[index + 1].start, "")]


def _before_break(tree: Tree, line_start: int) -> int:
    """Return the offset of the line break that ends just before a line."""
    if line_start == 0:
        return 0
    return line_start - (2 if tree.text[:line_start].endswith("\r\n") else 1)


def _remove_block(tree: Tree, entries: t.Sequence[Pair | Item], index: int) -> Splice:
    entry = entries[index]
    start = tree.line_start(entry.start)
    if not tree.text[start : entry.start].strip():
        end = tree.next_line(entry.end)
        if end == len(tree.text) and tree.line_end(entry.end) == end:
            start = _before_break(tree, start)
        return start, end, ""
    if index + 1 < len(entries):
        following = entries[index + 1].start
        if not tree.text[tree.line_end(entry.end) : following].strip():
            return entry.start, following, ""
    begin = entry.start
    while tree.text[begin - 1] in " \t":
        begin -= 1
    return begin, tree.line_end(entry.end), ""


def apply(text: str, splices: list[Splice]) -> str:
    """Return the text with all splices made. Splices at one offset are made in their order."""
    parts: list[str] = []
    position = 0
    for start, end, new in sorted(splices, key=lambda splice: splice[:2]):
        if start < position:
            raise TreeError("two changes overlap")
        parts += [text[position:start], new]
        position = end
    return "".join([*parts, text[position:]])
