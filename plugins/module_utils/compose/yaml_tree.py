# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A YAML text as a tree in which every node knows where it stands, and as the data that Compose reads from it."""

from __future__ import annotations

import re
import typing as t
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_events, yaml_scalars
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_events import BREAKS, events

_PROPERTY = re.compile(r"&[0-9A-Za-z_-]+|!<[^>]*>|![^\s,\[\]{}]*")
_GAP = re.compile(r"(?:[ \t\r\n\x85\u2028\u2029]+|(?<=[\s])#[^\r\n\x85\u2028\u2029]*)*")
_LINE_END = re.compile(r"[\r\n\x85\u2028\u2029]|\Z")
_TEMPLATE = re.compile(r"\{\{|\{%")
# go-yaml refuses documents whose aliases expand too far ("excessive aliasing"); this is our bound, in nodes.
_MOST_NODES = 1_000_000


class TreeError(ValueError):
    """The text cannot be edited; ``line`` counts from 1."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class Reset:
    """Stands for a value removed with ``!reset``."""

    def __repr__(self) -> str:
        return "!reset"


RESET = Reset()


@dataclass(eq=False)
class Node:
    """A node and its place: properties (anchor, tag) from ``start`` to ``head``, content from ``body`` to ``end``.

    ``kind`` is scalar, map, seq or alias. ``style`` is the quote or block sign of a scalar ("" for none) and "flow" or
    "block" for a collection. ``column`` is where the keys or dashes of a block collection stand.
    """

    kind: str
    start: int
    head: int
    body: int
    end: int
    tag: str | None = None
    anchor: str | None = None
    style: str = ""
    text: str = ""
    pairs: list[Pair] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    target: Node | None = None
    column: int = 0

    @property
    def real(self) -> Node:
        """The node itself or, for an alias, the one that it stands for."""
        return self.target if self.target is not None else self


@dataclass(eq=False)
class Pair:
    """A key and its value. ``head`` is the offset after the colon, None where there is no colon (``{key}``)."""

    key: Node
    value: Node
    start: int
    head: int | None

    @property
    def end(self) -> int:
        return max(self.value.end, self.head or 0, self.key.end)

    @property
    def is_merge(self) -> bool:
        """Whether the key is ``<<``, as go-yaml's ``isMerge`` decides."""
        key = self.key
        if key.kind != "scalar" or key.text != "<<":
            return False
        return key.tag == yaml_scalars.MERGE_TAG or (key.tag is None and key.style == "")


@dataclass(eq=False)
class Item:
    """An entry of a sequence. ``head`` is the offset after its dash, None in a flow sequence."""

    value: Node
    start: int
    head: int | None

    @property
    def end(self) -> int:
        return max(self.value.end, self.head or 0)


class Tree:
    """A parsed text. Raises TreeError where it is not one YAML document with unique, scalar keys."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.aliases: list[Node] = []
        self.anchors: list[Node] = []
        self.root = _Builder(self).build()
        self._data: dict[int, t.Any] = {}
        self._sizes: dict[int, int] = {}
        self._views: dict[int, dict[str, tuple[Pair, bool]]] = {}
        if self.root is not None:
            self._size(self.root)
        self.data = self.data_of(self.root) if self.root is not None else None

    def line(self, position: int) -> int:
        """Return the number of the line, from 1, that a position is on."""
        before = self.text[:position]
        return 1 + len(re.findall(r"\r\n|[\r\n\x85\u2028\u2029]", before))

    def line_start(self, position: int) -> int:
        while position > 0 and self.text[position - 1] not in BREAKS:
            position -= 1
        return position

    def line_end(self, position: int) -> int:
        """Return the offset of the line break (or of the end of the text) at or after a position."""
        match = _LINE_END.search(self.text, position)
        return match.start() if match else len(self.text)

    def next_line(self, position: int) -> int:
        """Return the offset at which the line after the one of ``position`` begins."""
        end = self.line_end(position)
        return end + (2 if self.text.startswith("\r\n", end) else 1 if end < len(self.text) else 0)

    def users(self, node: Node) -> list[Node]:
        """Return the aliases of a node in the order of the text."""
        return [alias for alias in self.aliases if alias.target is node]

    def anchor_at(self, name: str, position: int) -> Node | None:
        """Return the node that ``*name`` would mean at a position."""
        found = [node for node in self.anchors if node.anchor == name and node.start < position]
        return found[-1] if found else None

    def view(self, node: Node) -> dict[str, tuple[Pair, bool]]:
        """Return the pairs of a mapping by key, merged ones too, each with whether it is the mapping's own."""
        view = self._views.get(id(node))
        if view is None:
            view = self._views[id(node)] = self._merged_view(node)
        return view

    def _merged_view(self, node: Node) -> dict[str, tuple[Pair, bool]]:
        view = {pair.key.real.text: (pair, True) for pair in node.pairs if not pair.is_merge}
        for source in self.merge_sources(node):
            for key, (pair, _own) in self.view(source).items():
                view.setdefault(key, (pair, False))
        return view

    def merge_sources(self, node: Node) -> list[Node]:
        """Return the mappings that a mapping merges, the one that wins first."""
        merge = next((pair.value for pair in node.pairs if pair.is_merge), None)
        if merge is None:
            return []
        sources = [item.value.real for item in merge.items] if merge.kind == "seq" else [merge.real]
        for source in sources:
            if source.kind != "map":
                raise TreeError("a merge key takes a mapping or a list of mappings", self.line(merge.start))
        return sources

    def _size(self, node: Node) -> int:
        node = node.real
        size = self._sizes.get(id(node))
        if size is None:
            children = [pair.value for pair in node.pairs] + [item.value for item in node.items]
            size = self._sizes[id(node)] = 1 + sum(self._size(child) for child in children)
            if size > _MOST_NODES:
                raise TreeError("its aliases expand to more data than Compose would read", self.line(node.start))
        return size

    def data_of(self, node: Node) -> t.Any:
        """Return a node's effective data. The result is shared: do not change it."""
        node = node.real
        if id(node) not in self._data:
            self._data[id(node)] = self._read(node)
        return self._data[id(node)]

    def _read(self, node: Node) -> t.Any:
        if node.tag == "!reset":
            return RESET
        if node.kind == "map":
            return {key: self.data_of(pair.value) for key, (pair, _own) in self.view(node).items()}
        if node.kind == "seq":
            return [self.data_of(item.value) for item in node.items]
        try:
            return yaml_scalars.resolve(node.text, node.style == "", node.tag)
        except ValueError as error:
            raise TreeError(str(error), self.line(node.start)) from None


class _Builder:
    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.text = tree.text
        self.named: dict[str, Node] = {}
        self.open: set[int] = set()

    def build(self) -> Node | None:
        try:
            found, parser = yaml_events.read_events(self.text)
        except yaml_events.YAMLError as error:
            raise self._no_yaml(error) from None
        self.dashes, self.colons, self.questions = parser.dashes, parser.colons, parser.questions
        self.events = iter(found)
        starts = [event for event in found if isinstance(event, events.DocumentStartEvent)]
        if len(starts) > 1:
            line = self.tree.line(starts[1].start_mark.index)
            raise TreeError("it holds several documents (---); split it into files", line)
        for event in self.events:
            if isinstance(event, events.DocumentStartEvent):
                return self._node(next(self.events))
        return None

    def _no_yaml(self, error: t.Any) -> TreeError:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        position = mark.index if mark else getattr(error, "position", 0)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
        hint = ""
        if _TEMPLATE.search(self.text):
            hint = "; it looks like a template, so change what it is rendered from"
        return TreeError(f"it is no YAML that can be edited safely: {reason}{hint}", self.tree.line(position))

    def _node(self, event: t.Any) -> Node:
        if isinstance(event, events.AliasEvent):
            return self._alias(event)
        node = self._properties(event)
        if node.anchor is not None:
            self.named[node.anchor] = node
            self.tree.anchors.append(node)
        self.open.add(id(node))
        if isinstance(event, events.ScalarEvent):
            self._scalar(node, event)
        elif isinstance(event, events.MappingStartEvent):
            self._map(node)
        else:
            self._seq(node)
        self.open.discard(id(node))
        return node

    def _alias(self, event: t.Any) -> Node:
        start = event.start_mark.index
        target = self.named.get(event.anchor)
        if target is None:
            raise TreeError(f"the alias *{event.anchor} has no anchor before it", self.tree.line(start))
        if id(target) in self.open:
            raise TreeError(f"the value of the anchor &{event.anchor} contains itself", self.tree.line(start))
        end = event.end_mark.index
        node = Node("alias", start, start, start, end, text=event.anchor, target=target)
        self.tree.aliases.append(node)
        return node

    def _properties(self, event: t.Any) -> Node:
        start, last = event.start_mark.index, event.end_mark.index
        head = body = start
        for _property in [name for name in (event.anchor, event.tag) if name is not None]:
            match = _PROPERTY.match(self.text, body)
            if match is None:
                break
            head = match.end()
            body = t.cast("re.Match[str]", _GAP.match(self.text, head)).end()
        if isinstance(event, events.ScalarEvent):
            body = min(body, last)
            return Node("scalar", start, head, body, last, event.tag, event.anchor, event.style or "", event.value)
        kind = "map" if isinstance(event, events.MappingStartEvent) else "seq"
        style = "flow" if event.flow_style else "block"
        node = Node(kind, start, head, body, last, event.tag, event.anchor, style)
        node.column = body - self.tree.line_start(body)
        return node

    def _scalar(self, node: Node, event: t.Any) -> None:
        if node.style in ("|", ">"):
            header = self.text[node.body : self.tree.line_end(node.body)].split("#")[0]
            if "+" in header:
                end = max(node.end, node.body + 1)
                node.end = end - (2 if self.text[:end].endswith("\r\n") else 1 if self.text[end - 1] in BREAKS else 0)
            else:
                node.end = node.body + len(self.text[node.body : node.end].rstrip(BREAKS))
        elif node.style == "" and not node.text:
            node.body = node.end = node.head

    def _map(self, node: Node) -> None:
        for event in self.events:
            if isinstance(event, events.MappingEndEvent):
                node.end = event.end_mark.index if node.style == "flow" else node.pairs[-1].end
                break
            key = self._node(event)
            value = self._node(next(self.events))
            node.pairs.append(self._pair(key, value))
        self._check_keys(node)

    def _pair(self, key: Node, value: Node) -> Pair:
        index = bisect_left(self.colons, key.end)
        colon = self.colons[index] if index < len(self.colons) else len(self.text)
        start = key.start
        before = bisect_right(self.questions, start) - 1
        if before >= 0 and not self.text[self.questions[before] + 1 : start].strip():
            start = self.questions[before]
        head = colon + 1 if colon < value.end else None
        if value.kind == "scalar" and value.start == value.end and not value.text:
            value.start = value.head = value.body = value.end = key.end if head is None else head
        return Pair(key, value, start, head)

    def _check_keys(self, node: Node) -> None:
        seen: dict[str, Node] = {}
        for pair in node.pairs:
            if pair.key.real.kind != "scalar":
                hint = "; it looks like a template" if _TEMPLATE.search(self.text) else ""
                raise TreeError(
                    f"a key is a mapping or a list, which Compose does not read{hint}", self.tree.line(pair.start)
                )
            name = pair.key.real.text
            if name in seen:
                first = self.tree.line(seen[name].start)
                raise TreeError(f"the key {name!r} is there twice, first on line {first}", self.tree.line(pair.start))
            seen[name] = pair.key

    def _seq(self, node: Node) -> None:
        for event in self.events:
            if isinstance(event, events.SequenceEndEvent):
                node.end = event.end_mark.index if node.style == "flow" else node.items[-1].end
                break
            value = self._node(event)
            if node.style == "flow":
                node.items.append(Item(value, value.start, None))
                continue
            dash = self.dashes[bisect_left(self.dashes, value.start) - 1]
            if value.kind == "scalar" and not value.text and value.start == value.end:
                value.start = value.head = value.body = value.end = dash + 1
            node.items.append(Item(value, dash, dash + 1))
