# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New YAML text for new values, in the indentation of the text that it goes into."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_scalars
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import Node, Tree


@dataclass(frozen=True)
class Alias:
    """A reference to an anchor, as part of a new value."""

    name: str


@dataclass(frozen=True)
class Source:
    """A scalar that is copied as it is written; ``value`` is what it reads as."""

    text: str
    value: t.Any
    style: str


class _Merge:
    """The key of a merge, to be told from a string ``<<``."""


MERGE = _Merge()


@dataclass(frozen=True)
class Layout:
    """Spaces a level (``step``), spaces between a key and the dashes below it (``dash``), and the line break."""

    step: int = 2
    dash: int = 2
    newline: str = "\n"


def layout_of(tree: Tree, near: t.Sequence[Node]) -> Layout:
    """Return the layout of a text: that of the first of the nodes ``near`` that shows one."""
    steps: list[int] = []
    dashes: list[int] = []
    for node in near:
        _collect(node.real, steps, dashes)
    step = steps[0] if steps else 2
    return Layout(step, dashes[0] if dashes else step, newline_of(tree.text))


def _collect(node: Node, steps: list[int], dashes: list[int]) -> None:
    for pair in node.pairs:
        child = pair.value
        if node.style == "block" and child.style == "block" and child.kind in ("map", "seq"):
            (steps if child.kind == "map" else dashes).append(child.column - node.column)
    for child in [pair.value for pair in node.pairs] + [item.value for item in node.items]:
        _collect(child, steps, dashes)


def newline_of(text: str) -> str:
    """Return the line break of a text, by its first one."""
    end = text.find("\n")
    return "\r\n" if end > 0 and text[end - 1] == "\r" else "\n"


def is_inline(value: t.Any) -> bool:
    """Tell whether a value goes on the line of its key in block style."""
    return not isinstance(value, (dict, list)) or not value


def inline(value: t.Any, style: str = "", flow: bool = False) -> str:
    """Return the source of a value on one line; collections come in flow style."""
    if isinstance(value, Alias):
        return "*" + value.name
    if isinstance(value, Source):
        if flow and value.style == "":
            return yaml_scalars.format_scalar(value.value, "", True)
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key_text(k, flow=True)}: {inline(v, style, True)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(inline(v, style, True) for v in value) + "]"
    return yaml_scalars.format_scalar(value, style, flow)


def key_text(key: t.Any, style: str = "", flow: bool = False) -> str:
    return "<<" if key is MERGE else yaml_scalars.quote(str(key), style, flow)


def pair_lines(key: t.Any, value: t.Any, column: int, layout: Layout) -> list[str]:
    """Return the lines of ``key: value`` in block style, the key at ``column``."""
    head = " " * column + key_text(key) + ":"
    if is_inline(value):
        return [head + " " + inline(value).rstrip()]
    return [head, *value_lines(value, column, layout)]


def value_lines(value: dict[t.Any, t.Any] | list[t.Any], column: int, layout: Layout) -> list[str]:
    """Return the lines of a collection that stands below a key at ``column``."""
    if isinstance(value, list):
        return sequence_lines(value, column + layout.dash, layout)
    return mapping_lines(value, column + layout.step, layout)


def mapping_lines(value: dict[t.Any, t.Any], column: int, layout: Layout) -> list[str]:
    return [line for key, item in value.items() for line in pair_lines(key, item, column, layout)]


def sequence_lines(value: list[t.Any], column: int, layout: Layout, style: str = "") -> list[str]:
    lines = []
    for item in value:
        lines.extend(item_lines(item, column, layout, style))
    return lines


def item_lines(item: t.Any, column: int, layout: Layout, style: str = "") -> list[str]:
    """Return the lines of one entry of a block sequence, its dash at ``column``."""
    dash = " " * column + "- "
    if is_inline(item):
        return [dash + inline(item, style).rstrip()]
    nested = sequence_lines if isinstance(item, list) else mapping_lines
    lines = nested(item, column + 2, layout)
    return [dash + lines[0][column + 2 :], *lines[1:]]


def fragment_of(tree: Tree, node: Node) -> t.Any:
    """Return a node's effective value as a new value that keeps each scalar as it is written.

    Raises ValueError for a value with a tag of its own: what it means is bound to its place.
    """
    node = node.real
    if node.tag is not None:
        raise ValueError(f"the value on line {tree.line(node.start)} has the tag {node.tag}")
    if node.kind == "map":
        return {key: fragment_of(tree, pair.value) for key, (pair, _own) in tree.view(node).items()}
    if node.kind == "seq":
        return [fragment_of(tree, item.value) for item in node.items]
    text = tree.text[node.body : node.end]
    value = tree.data_of(node)
    if node.style in ("|", ">") or not text or tree.line_end(node.body) < node.end:
        return value
    return Source(text, value, node.style)


def plain(value: t.Any) -> t.Any:
    """Return the data of a new value that has no aliases."""
    if isinstance(value, Source):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value
