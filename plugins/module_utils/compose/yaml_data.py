# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain data of a document: looking up, setting and deleting by path in copies, and comparing with types."""

from __future__ import annotations

import math
import typing as t

from ansible_collections.smallhost.headroom.plugins.module_utils.compose import yaml_scalars
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_places import Path
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.yaml_tree import RESET, TreeError

NOTHING = object()


def nest(path: Path, value: t.Any) -> t.Any:
    """Return the collections that hold a value at a path where nothing is yet."""
    for key in reversed(path):
        if isinstance(key, int) and key != 0:
            raise TreeError(f"there is no list yet, so {key} is not one of its entries")
        value = [value] if isinstance(key, int) else {key: value}
    return value


def public(value: t.Any) -> t.Any:
    """Return data without the editor's own classes: what is ``!reset`` is not there, unknown tags are dropped."""
    if isinstance(value, dict):
        return {key: public(item) for key, item in value.items() if item is not RESET}
    if isinstance(value, list):
        return [public(item) for item in value if item is not RESET]
    return None if value is RESET else value.text if isinstance(value, yaml_scalars.Tagged) else value


def look_up(data: t.Any, path: Path) -> t.Any:
    """Return the value at a path, or NOTHING."""
    for key in path:
        if isinstance(data, dict) and str(key) in data:
            data = data[str(key)]
        elif isinstance(data, list) and isinstance(key, int) and 0 <= key < len(data):
            data = data[key]
        else:
            return NOTHING
    return data


def with_value(data: t.Any, path: Path, value: t.Any) -> t.Any:
    """Return data with a value at a path; missing parents are made, an index just past a list's end appends."""
    if not path:
        return value
    if data is None:
        return nest(path, value)
    key = path[0]
    if isinstance(data, dict):
        inner = data.get(str(key))
        return {**data, str(key): with_value(inner, path[1:], value)}
    if isinstance(data, list) and isinstance(key, int) and 0 <= key <= len(data):
        inner = data[key] if key < len(data) else None
        return [*data[:key], with_value(inner, path[1:], value), *data[key + 1 :]]
    return NOTHING


def with_inserted(data: t.Any, path: Path, value: t.Any) -> t.Any:
    """Return data with a value put into a list before the index that ends the path."""
    index = t.cast(int, path[-1])
    old = look_up(data, path[:-1])
    return with_value(data, path[:-1], [*old[:index], value, *old[index:]])


def without(data: t.Any, path: Path) -> t.Any:
    """Return data without what is at a path, which has to be there."""
    key = path[0]
    if len(path) > 1:
        inner = without(data[str(key) if isinstance(data, dict) else key], path[1:])
        return with_value(data, (key,), inner)
    if isinstance(data, dict):
        return {name: item for name, item in data.items() if name != str(key)}
    return [item for index, item in enumerate(data) if index != key]


def same(one: t.Any, two: t.Any) -> bool:
    """Compare data with their types: ``1``, ``1.0``, ``true`` and ``"1"`` are four values."""
    if one is two:
        return True
    if type(one) is not type(two):
        return False
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(same(a, b) for a, b in zip(one, two))
    # Not a number is the same as itself here, which it is not to Python.
    return bool(one == two or (isinstance(one, float) and math.isnan(one) and math.isnan(two)))


def steps(before: t.Any, after: t.Any, path: Path = (), whole: bool = False) -> t.Iterator[tuple[Path, t.Any]]:
    """Yield (path, new value or NOTHING) for every difference, in the order of ``after``.

    A mapping that is new comes value by value, or in one step where ``whole`` says so.
    """
    if same(before, after):
        return
    is_new = before is NOTHING or before is None
    known = before if isinstance(before, dict) else {} if is_new and (not whole or not path) else None
    if known is not None and isinstance(after, dict) and (after or known):
        for key, value in after.items():
            yield from steps(known.get(key, NOTHING), value, (*path, key), whole)
        for key in known:
            if key not in after:
                yield (*path, key), NOTHING
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, value in enumerate(after):
            yield from steps(before[index], value, (*path, index), whole)
    else:
        yield path, after
