# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values of Redis parameters: when two spellings mean the same, and how one is written as configuration lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.units import SizeError, parse_redis_size

# Every class of keyspace event that A stands for (redis.io, keyspace notifications); m and n are not among them.
_ALL_EVENTS = set("g$lshzxetd")
# Parameters whose value is in no output (redis.conf; primaryauth is Valkey's name for masterauth).
SECRETS = frozenset({"requirepass", "masterauth", "primaryauth", "tls-key-file-pass", "tls-client-key-file-pass"})
_CLIENT_CLASSES = {"slave": "replica"}  # renamed in Redis 5; CONFIG GET still answers `slave` up to 7


def text_of(value: object) -> str:
    """The text of a value given in YAML, where `yes` has become a boolean."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def secrets(settings: Iterable[Mapping[str, Any]]) -> set[str]:
    """The passwords among `{name, value}` entries."""
    return {text_of(entry["value"]) for entry in settings if entry["name"].lower() in SECRETS} - {""}


def shown(values: Mapping[str, str]) -> dict[str, str]:
    """Parameters as they may be shown: passwords hidden."""
    return {name: "********" if value and name in SECRETS else value for name, value in values.items()}


def canonical(name: str, text: str) -> object:
    """A form in which equal settings are equal: `2gb` is 2147483648, `"60 1"` is `60 1`; `1m` is not `1mb`."""
    name, text = name.lower(), text.strip()
    if name in SECRETS:
        return text
    if name == "client-output-buffer-limit":
        return _buffer_limits(text)
    if name == "notify-keyspace-events":
        flags = set(text)
        return frozenset((flags - {"A"}) | _ALL_EVENTS if "A" in flags else flags)
    words = text.split()
    if name == "save":
        return tuple(words)
    if len(words) != 1:
        return tuple(_scalar(word) for word in words)
    return _scalar(text)


def _scalar(word: str) -> object:
    if re.match(r"^-?\d+$", word):
        return int(word)
    try:
        return parse_redis_size(word)
    except SizeError:
        return word.lower() if word.lower() in ("yes", "no") or re.match(r"^[a-z-]+$", word.lower()) else word


def _buffer_limits(text: str) -> frozenset[tuple[str, object, object, object]]:
    words = text.split()
    groups = [words[index : index + 4] for index in range(0, len(words), 4)]
    return frozenset(
        (_CLIENT_CLASSES.get(group[0], group[0]), *(_scalar(word) for word in group[1:]))  # type: ignore[misc]
        for group in groups
    )


def equal(name: str, wanted: str, present: str) -> bool:
    """Whether the parameter would stay as it is. Of the client classes, only those that are wanted count."""
    one, other = canonical(name, wanted), canonical(name, present)
    if isinstance(one, frozenset) and isinstance(other, frozenset) and name.lower() == "client-output-buffer-limit":
        return one <= other
    return one == other


def lines(name: str, value: str) -> list[list[str]]:
    """The configuration lines, as words, that set the parameter: `save` and the client classes take one line each.

    The same words, with `--` before the name, stand on a command line. `save ""` switches saving off.
    """
    words = value.split()
    step = {"save": 2, "client-output-buffer-limit": 4}.get(name.lower())
    if step and words:
        return [[name, *words[index : index + step]] for index in range(0, len(words), step)]
    return [[name, value]]
