# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables of a TOML file into dataclasses: each setting is checked against the type of its field."""

from __future__ import annotations

import dataclasses
import math
import re
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any


class PolicyError(Exception):
    """The policy file says something that has no meaning; the message says what and where."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) and word for word in value)


def _is_pattern(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("/", "*"))


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".*".join(re.escape(part) for part in text.split("*")))


def _any_pattern(texts: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(_pattern(text.lower()).pattern for text in texts)) if texts else None


_KINDS: Mapping[Any, tuple[str, Callable[[Any], bool], Callable[[Any], Any]]] = {
    str: ("a text", _is_text, str),
    re.Pattern[str]: ('a text that begins with "/" or "*"', _is_pattern, _pattern),
    re.Pattern[str] | None: ("a list of texts", _is_list, _any_pattern),
    tuple[str, ...]: ("a list of texts", _is_list, tuple),
    frozenset[str]: ("a list of texts", _is_list, frozenset),
    tuple[tuple[str, Any], ...]: ("a table", _is_table, lambda table: tuple(table.items())),
}
"""By a field's type: what its setting has to be in the file, how that is told, how the field is made of it."""


def as_table(value: Any, where: str) -> dict[str, Any]:
    """Return a copy of a table. Raises PolicyError when it is something else."""
    if not _is_table(value):
        raise PolicyError(f"{where} is a table, not {value!r}")
    return dict(value)


def setting(kind: Any, name: str, value: Any, where: str) -> Any:
    """Return what a field of this type is made of a setting. Raises PolicyError.

    A number is 0 or more, or in the range that `Annotated` gives: both ends are in it, infinity is not.
    """
    low, high = 0, math.inf
    if typing.get_origin(kind) is Annotated:
        kind, (low, high) = typing.get_args(kind)
    if kind in (int, float):
        words = f"a {'whole ' if kind is int else ''}number, at least {low:g}"
        words += f" and at most {high:g}" if high < math.inf else ""
        number = isinstance(value, int if kind is int else (int, float)) and not isinstance(value, bool)
        fits, make = number and low <= value <= high and value < math.inf, kind
    else:
        words, test, make = _KINDS[kind]
        fits = test(value)
    if not fits:
        raise PolicyError(f"{where}: {name} is {words}, not {value!r}")
    return make(value)


def build(kind: type, value: Any, where: str, **ready: Any) -> Any:
    """Make a dataclass of a table, and of the fields that are `ready`. Raises PolicyError, which names what is no
    table, not known, missing, or of another type than its field."""
    given = as_table(value, where)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in ready}
    if unknown := sorted(given.keys() - fields.keys()):
        raise PolicyError(f"{where}: there is no setting {', '.join(unknown)}")
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    if missing := sorted(required - given.keys()):
        raise PolicyError(f"{where}: {', '.join(missing)} is missing")
    hints = typing.get_type_hints(kind, include_extras=True)
    return kind(**ready, **{name: setting(hints[name], name, value, where) for name, value in given.items()})
