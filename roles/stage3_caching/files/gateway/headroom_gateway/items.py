# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Arrays of texts, taken apart so that each text has an answer of its own, and put together again."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

from headroom_gateway.policy import Items

_readable = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_ascii = json.JSONEncoder(separators=(",", ":"))


def _write(value: Any) -> bytes:
    try:
        return _readable.encode(value).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can escape and UTF-8 cannot write
        return _ascii.encode(value).encode("ascii")


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """The answer to one item: its own part, the rest of the answer around it, and its share of the tokens.

    In the rest, items and tokens are null: the order of the fields stays the provider's.
    """

    item: Any
    envelope: dict[str, Any]
    usage: dict[str, int]

    def to_bytes(self) -> bytes:
        return _write([self.item, self.envelope, self.usage])


def from_bytes(data: bytes) -> Piece | None:
    """Read a stored piece; None when it is none."""
    try:
        item, envelope, usage = json.loads(data)
    except (ValueError, TypeError):
        return None
    return Piece(item, envelope, usage)


def split(fields: dict[str, Any], shape: Items) -> list[Any] | None:
    """Return the items of a call, None when it holds no array that can be taken apart.

    A text by itself is one item, and so is an array of numbers: a text that the client cut into tokens itself.
    """
    value = fields.get(shape.request)
    if isinstance(value, str):
        return [value] if value else None
    if not isinstance(value, list) or not value:
        return None
    if all(isinstance(number, int) and not isinstance(number, bool) for number in value):
        return [value]
    good = all(isinstance(item, str) for item in value) or all(isinstance(item, list) for item in value)
    return value if good and all(value) else None


def with_items(fields: dict[str, Any], shape: Items, items: Sequence[Any]) -> dict[str, Any]:
    """Return the call with these items instead of its own."""
    return {**fields, shape.request: list(items)}


def take_apart(answer: bytes, asked: Sequence[Any], shape: Items) -> list[Piece] | None:
    """Return one piece for each item that was asked for, in their order; None when the answer does not fit."""
    try:
        fields = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(fields, dict) or fields.get("error"):
        return None
    found = fields.get(shape.response)
    if not isinstance(found, list) or len(found) != len(asked) or not all(isinstance(item, dict) for item in found):
        return None
    if shape.index:
        found.sort(key=lambda item: item.get(shape.index, 0))
        if [item.get(shape.index) for item in found] != list(range(len(asked))):
            return None
    weights = [len(item) for item in asked]
    usage = fields.get("usage")
    fields[shape.response] = None
    if "usage" in fields:
        fields["usage"] = None
    for item in found:
        if shape.index:
            item[shape.index] = 0
    shares = _shares(usage if isinstance(usage, dict) else {}, weights)
    return [Piece(item, fields, share) for item, share in zip(found, shares, strict=True)]


def _shares(usage: dict[str, Any], weights: Sequence[int]) -> list[dict[str, int]]:
    """Share each number out by weight, so that the shares' sum is the number: providers count a call as a whole."""
    counted = {name: value for name, value in usage.items() if isinstance(value, int) and not isinstance(value, bool)}
    shares: list[dict[str, int]] = [{} for _unused in weights]
    total = sum(weights) or 1
    for name, value in counted.items():
        given, seen = 0, 0
        for share, weight in zip(shares, weights, strict=True):
            seen += weight
            upto = value * seen // total
            share[name] = upto - given
            given = upto
    return shares


def put_together(pieces: Sequence[Piece], shape: Items) -> bytes:
    """Return the answer that holds these pieces in this order."""
    found = []
    usage: dict[str, int] = {}
    for number, piece in enumerate(pieces):
        item = dict(piece.item)
        if shape.index:
            item[shape.index] = number
        found.append(item)
        for name, value in piece.usage.items():
            usage[name] = usage.get(name, 0) + value
    answer = {**pieces[-1].envelope, shape.response: found}
    if usage:
        answer["usage"] = usage
    return _write(answer)
