# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How Compose reads a scalar, and how a value is written so that Compose reads it back.

Compose parses its files with go-yaml v3 into untyped data. The rules here follow go-yaml's ``resolve.go``:
``yes``, ``off`` and ``25:25`` are strings, ``0440`` is octal, ``1_000`` is a number, ``2026-01-31`` is a date.
"""

from __future__ import annotations

import datetime
import math
import re
import typing as t

MERGE_TAG = "tag:yaml.org,2002:merge"
_CORE = "tag:yaml.org,2002:"

_WORDS: dict[str, t.Any] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_SPECIAL_FLOATS = {
    ".nan": float("nan"),
    ".NaN": float("nan"),
    ".NAN": float("nan"),
    ".inf": float("inf"),
    ".Inf": float("inf"),
    ".INF": float("inf"),
    "+.inf": float("inf"),
    "+.Inf": float("inf"),
    "+.INF": float("inf"),
    "-.inf": float("-inf"),
    "-.Inf": float("-inf"),
    "-.INF": float("-inf"),
}
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_TIMESTAMP = re.compile(
    r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}"
    r"(?:[Tt ][0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(?:\.[0-9]+)?(?:Z|[-+][0-9]{2}:[0-9]{2})?)?\Z"
)
# What YAML 1.1 loaders take for something else than a string: written quoted, so that no reader can differ.
_OTHER_IN_YAML_1_1 = re.compile(
    r"(?:y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF|=|<<|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?"
    r"|[-+]?[0-9][0-9_,.]*(?:[eE][-+]?[0-9]*)?|[-+]?\.[0-9_]+|0[xX].*)\Z"
)
_PLAIN_START = re.compile(r"[^\s\-?:,\[\]{}#&*!|>'\"%@`]|[-?:](?=[^\s,\[\]{}])")
_UNSAFE_IN_PLAIN = re.compile(r":(?:\s|\Z)|\s#|[\t\r\n\x85\u2028\u2029\ufeff]")
_NOT_PRINTABLE = re.compile("[^\x09\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\0": "\\0"}


class Timestamp(str):
    """A scalar that Compose reads as a date; the text as written."""


class Tagged(t.NamedTuple):
    """A scalar with a tag of the application's own, whose meaning only the application knows."""

    tag: str
    text: str


def resolve(text: str, plain: bool, tag: str | None) -> t.Any:
    """Return what Compose reads: None, bool, int, float, str, Timestamp, or Tagged for an unknown tag.

    Raises ValueError where the tag does not fit the text (``!!int abc``).
    """
    if tag in (None, ""):
        return resolve_plain(text) if plain else text
    if tag == "!" or tag in (_CORE + "str", _CORE + "binary"):
        return text
    if tag == _CORE + "float":
        number = resolve_plain(text)
        if isinstance(number, (int, float)) and not isinstance(number, bool):
            return float(number)
    expected = {_CORE + "int": int, _CORE + "bool": bool, _CORE + "null": type(None), _CORE + "timestamp": Timestamp}
    if tag in expected:
        value = resolve_plain(text)
        if value.__class__ is expected[tag]:
            return value
    elif not tag.startswith(_CORE):
        return Tagged(tag, text)
    raise ValueError(f"{text!r} does not fit its tag {tag.replace(_CORE, '!!')}")


def resolve_plain(text: str) -> t.Any:
    """Return what go-yaml makes of an unquoted scalar without a tag."""
    if text in _WORDS:
        return _WORDS[text]
    if text in _SPECIAL_FLOATS:
        return _SPECIAL_FLOATS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _TIMESTAMP.match(text) and _is_day(text):
        return Timestamp(text)
    digits = text if text[0] == "." else text.replace("_", "")
    if _INT.match(digits):
        number = _go_int(digits)
        if -(2**63) <= number < 2**64:
            return number
    return float(digits) if _FLOAT.match(digits) else text


def _is_day(text: str) -> bool:
    try:
        datetime.date(*(int(part) for part in re.findall(r"[0-9]+", text)[:3]))
    except ValueError:
        return False
    return True


def _go_int(digits: str) -> int:
    sign = -1 if digits[0] == "-" else 1
    body = digits.lstrip("+-").lower()
    if body[:2] in ("0x", "0b", "0o"):
        return sign * int(body, 0)
    return sign * int(body, 8 if body[0] == "0" else 10)


def is_plain_safe(text: str, flow: bool) -> bool:
    """Tell whether a string can stand unquoted and is a string to YAML 1.1 and 1.2 readers alike."""
    return bool(
        text == text.strip()
        and _PLAIN_START.match(text)
        and not _UNSAFE_IN_PLAIN.search(text)
        and not _NOT_PRINTABLE.search(text)
        and not (flow and re.search(r"[,\[\]{}?:]", text))
        and not text.startswith(("---", "..."))
        and resolve_plain(text).__class__ is str
        and not _OTHER_IN_YAML_1_1.match(text)
    )


def format_scalar(value: t.Any, style: str = "", flow: bool = False) -> str:
    """Return the source of a scalar on one line.

    ``style`` is the quote that a string should have (``'`` or ``"``), or "" for none where none is needed.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _format_float(value)
    if isinstance(value, Timestamp):
        return str(value)
    return quote(str(value), style, flow)


def _format_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if value in (float("inf"), float("-inf")):
        return ".inf" if value > 0 else "-.inf"
    return repr(value)


def quote(text: str, style: str = "", flow: bool = False) -> str:
    """Return the source of a string on one line, quoted as ``style`` says or as it needs."""
    if style == "" and is_plain_safe(text, flow):
        return text
    if style == "'" and "\n" not in text and not _NOT_PRINTABLE.search(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + re.sub(r'[\\"\n\r\t\0]|' + _NOT_PRINTABLE.pattern, _escape, text) + '"'


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
