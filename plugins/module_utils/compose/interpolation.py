# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Variables in a value (``${VAR:-default}``): a new value goes into the default, so that the variable keeps working."""

from __future__ import annotations

import re

_NAME = re.compile(r"[_A-Za-z][_A-Za-z0-9]*")


class KeepsNoDefault(ValueError):
    """The value cannot be changed without dropping a variable."""


def has_variable(text: str) -> bool:
    """Tell whether Compose would replace anything in the text (``$$`` is a plain dollar sign)."""
    return bool(_variables(text))


def with_default(old: str, new: str) -> str:
    """Return ``old`` changed so that it gives ``new`` while its variable is unset.

    ``${VAR:-1g}`` becomes ``${VAR:-new}``, ``${VAR}`` and ``$VAR`` become ``${VAR:-new}``; text around a single
    variable has to be in ``new`` too. Raises KeepsNoDefault with the reason where that is impossible.
    Source of the forms: the Compose specification, "Interpolation".
    """
    found = _variables(old)
    if len(found) != 1:
        raise KeepsNoDefault(f"{old!r} is made of {len(found)} variables, so no single default gives {new!r}")
    start, end = found[0]
    before, after = old[:start], old[end:]
    if len(new) < len(before) + len(after) or not (new.startswith(before) and new.endswith(after)):
        raise KeepsNoDefault(f"the text around the variable in {old!r} is not part of {new!r}")
    middle = new[len(before) : len(new) - len(after)]
    return before + _variable_with_default(old[start:end], middle) + after


def _variable_with_default(variable: str, default: str) -> str:
    if re.search(r"[${}]", default):
        raise KeepsNoDefault(f"{default!r} cannot stand inside of {variable!r}")
    if not variable.startswith("${"):
        return "${" + variable[1:] + ":-" + default + "}"
    inner = variable[2:-1]
    name = _NAME.match(inner)
    if name is None:
        raise KeepsNoDefault(f"{variable!r} is not a variable that Compose knows")
    rest = inner[name.end() :]
    if rest == "":
        return "${" + name.group() + ":-" + default + "}"
    operator = next((o for o in (":-", "-") if rest.startswith(o)), None)
    if operator is None:
        raise KeepsNoDefault(f"{variable!r} takes no default: its value comes from the environment")
    old = rest[len(operator) :]
    nested = with_default(old, default) if has_variable(old) else default
    return "${" + name.group() + operator + nested + "}"


def _variables(text: str) -> list[tuple[int, int]]:
    """Return (start, end) of each outermost variable."""
    found: list[tuple[int, int]] = []
    position = 0
    while True:
        position = text.find("$", position)
        if position < 0 or position + 1 >= len(text):
            return found
        end = _variable_end(text, position)
        if end is None:
            position += 2 if text[position + 1] == "$" else 1
            continue
        found.append((position, end))
        position = end


def _variable_end(text: str, start: int) -> int | None:
    if text[start + 1] != "{":
        name = _NAME.match(text, start + 1)
        return name.end() if name else None
    depth = 0
    for position in range(start + 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return None
