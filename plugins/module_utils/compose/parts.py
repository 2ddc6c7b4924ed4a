# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Parts of a service's setting by their names: variables, volumes, flags.

A list's index and a command's text change as soon as somebody else adds a line or a flag; a variable's name, a volume's
path in the container and a flag's name do not. What was changed is filed, found again and taken back by these.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandLine

Flags = dict[str, list[list[str]]]


def name_of(setting: str, item: Any) -> str:
    """What names an entry of a list: the variable of `environment`, the path in the container of `volumes`."""
    if setting == "environment":
        return str(item).partition("=")[0]
    if isinstance(item, Mapping):
        return str(item.get("target"))
    parts = re.sub(r"\$\{[^}]*\}", "X", str(item)).split(":")
    return parts[0] if len(parts) == 1 else parts[1]


def index_of(setting: str, entries: Sequence[Any], name: str) -> int | None:
    """Where the entry of that name stands; the last one, which is the one that counts."""
    found = [index for index, item in enumerate(entries) if name_of(setting, item) == name]
    return found[-1] if found else None


def changed_flags(before: Any, after: Any, entrypoint: Sequence[str]) -> Flags:
    """The flags in which two texts of a command differ, with all their values in the first.

    Empty where that is not all they differ in, or where one cannot be read: such a command is one whole.
    """
    if not before or not after:
        return {}
    try:
        old, new = (CommandLine.parse(text, entrypoint) for text in (before, after))
        names = dict.fromkeys(name for name, _values in (*old.flags, *new.flags))
        found = {
            name: [list(values) for values in old.get_all(name)]
            for name in names
            if old.get_all(name) != new.get_all(name)
        }
        return found if _alike(_with(new, found), old) else {}
    except ValueError:
        return {}


def flags_back(text: Any, flags: Flags, before: Any, entrypoint: Sequence[str]) -> Any:
    """The command with these flags as they were; None where that is the command from before. Raises CommandError."""
    line = _with(CommandLine.parse(text, entrypoint), flags)
    return None if _alike(line, CommandLine.parse(before, entrypoint)) else line.value


def _with(line: CommandLine, flags: Flags) -> CommandLine:
    for name, values in flags.items():
        if len(values) == 1 and len(line.get_all(name)) == 1:
            line = line.with_flag(name, values[0], keep_interpolation=False)
            continue
        line = line.without_flag(name)
        for value in values:
            line = line.with_added_flag(name, value)
    return line


def _alike(one: CommandLine, two: CommandLine) -> bool:
    """Whether two commands do the same: flags may stand in another order."""
    return (one.program, one.positionals, sorted(one.flags)) == (two.program, two.positionals, sorted(two.flags))
