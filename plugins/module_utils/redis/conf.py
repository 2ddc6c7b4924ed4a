# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text of a redis.conf: reading directives, and setting a few while every other byte stays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values

_PLAIN = re.compile(r"^[\w@%+=:,./*~&>#-]+$")
# Each is a list of values rather than one: all of its lines count.
_REPEATED = frozenset({"save", "client-output-buffer-limit", "user", "rename-command", "include", "loadmodule", "bind"})
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "a": "\a"}


class ConfError(ValueError):
    """A line that Redis would not read either; the message carries its number."""


def _split(line: str, number: int) -> list[str]:
    """Words of one line, quotes removed, as sdssplitargs in redis/src/sds.c does it."""
    words: list[str] = []
    at = 0
    while True:
        while at < len(line) and line[at].isspace():
            at += 1
        if at >= len(line):
            return words
        word, quote = "", ""
        while at < len(line) and (quote or not line[at].isspace()):
            char = line[at]
            if quote == '"' and char == "\\" and at + 1 < len(line):
                code = re.match(r"x([0-9a-fA-F]{2})", line[at + 1 :])
                word += chr(int(code[1], 16)) if code else _ESCAPES.get(line[at + 1], line[at + 1])
                at += 3 if code else 1
            elif quote == "'" and line[at : at + 2] == "\\'":
                word += "'"
                at += 1
            elif char == quote:
                quote = ""
            elif not quote and char in "\"'":
                quote = char
            else:
                word += char
            at += 1
        if quote:
            raise ConfError(f"line {number} has an unclosed quote")
        words.append(word)


def _lines(data: bytes) -> list[tuple[str, list[str]]]:
    text = data.decode("utf-8", "surrogateescape")
    found = []
    for number, line in enumerate(text.splitlines(keepends=True), start=1):
        stripped = line.strip()
        words = [] if not stripped or stripped.startswith("#") else _split(stripped, number)
        found.append((line, words))
    return found


def directives(data: bytes) -> dict[str, list[list[str]]]:
    """Directive (lower case) to the arguments of each of its lines, in order. Raises ConfError."""
    found: dict[str, list[list[str]]] = {}
    for _line, words in _lines(data):
        if words:
            found.setdefault(words[0].lower(), []).append(words[1:])
    return found


def _quote(word: str) -> str:
    if _PLAIN.match(word):
        return word
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _end_of_line(lines: Sequence[tuple[str, list[str]]]) -> str:
    return "\r\n" if any(line.endswith("\r\n") for line, _words in lines) else "\n"


def _takes_part(name: str, words: Sequence[str], value: str) -> bool:
    """Whether a line is one that setting `name` replaces; of the client classes only those in the value."""
    if not words or words[0].lower() != name:
        return False
    if name != "client-output-buffer-limit":
        return True
    classes = {"replica" if word == "slave" else word for word in value.split()[::4]}
    return len(words) > 1 and ("replica" if words[1] == "slave" else words[1]) in classes


def remember(data: bytes, names: Iterable[str]) -> dict[str, Any]:
    """What stands there for each name, as JSON data for `restore`: its lines as they are written, or none."""
    lines = _lines(data)
    whole = not lines or lines[-1][0].endswith("\n")
    return {
        name: {"lines": [line for line, words in lines if words and words[0].lower() == name.lower()], "whole": whole}
        for name in names
    }


def restore(data: bytes, remembered: Mapping[str, Any]) -> bytes:
    """The text with what was remembered back in its place, whatever else has changed meanwhile. Raises ConfError."""
    for name, was in remembered.items():
        lines = _lines(data)
        mine = [index for index, (_line, words) in enumerate(lines) if words and words[0].lower() == name.lower()]
        texts = [line for line, _words in lines]
        for index in mine:
            texts[index] = ""
        old = "".join(was["lines"])
        if mine:
            texts[mine[0]] = old
        elif old:
            texts.append(old)
        text = "".join(texts)
        if mine and mine[-1] == len(lines) - 1 and not was["whole"] and text.endswith("\n"):
            text = text.rstrip("\n").rstrip("\r")  # the line break before what was added to the end came with it
        data = text.encode("utf-8", "surrogateescape")
    return data


def set_directives(data: bytes, values: Mapping[str, str]) -> bytes:
    """The text with these directives set. Comments, order and every other byte stay.

    A new value takes the place of the last line that sets it, unless an `include` follows that could set it again;
    then, and where there is none, it goes to the end. Raises ConfError.
    """
    for name, value in values.items():
        data = _set_one(data, name.lower(), value)
    return data


def _set_one(data: bytes, name: str, value: str) -> bytes:
    lines = _lines(data)
    mine = [index for index, (_line, words) in enumerate(lines) if _takes_part(name, words, value)]
    counting = mine if name in _REPEATED else mine[-1:]
    present = " ".join(" ".join(lines[index][1][1:]) for index in counting) if mine else None
    includes = [index for index, (_line, words) in enumerate(lines) if words and words[0].lower() == "include"]
    hidden = bool(includes) and (not mine or includes[-1] > mine[-1])
    if present is not None and not hidden and redis_values.equal(name, value, present):
        return data
    end = _end_of_line(lines)
    new = "".join(" ".join(_quote(word) for word in words) + end for words in redis_values.lines(name, value))
    texts = [line for line, _words in lines]
    place = mine[-1] if mine and not hidden else None
    for index in mine:
        texts[index] = ""
    if place is not None:
        last = place == len(texts) - 1 and not lines[place][0].endswith("\n")
        texts[place] = new[: -len(end)] if last and new else new
    else:
        if texts and texts[-1] and not texts[-1].endswith("\n"):
            texts[-1] += end
        texts.append(new)
    return "".join(texts).encode("utf-8", "surrogateescape")
