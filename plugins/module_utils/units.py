# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sizes: one parser for each dialect that is spoken on a Docker host.

Compose and redis.conf disagree about ``1m`` (1048576 and 1000000 bytes), so nothing else in the
collection turns text into bytes.
"""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = re.compile(r"^\s*(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-zA-Z]*)\s*$")
_BINARY = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}

# docker/go-units RAMInBytes: every unit is a power of 1024; "b" and "ib" are decoration.
_COMPOSE_UNIT = re.compile(r"^(?P<letter>[kmgtp]?)(?:i?b)?$")

# redis/src/util.c memtoull: the "b" is what makes a unit binary.
_REDIS_UNITS = {
    "": 1,
    "b": 1,
    "k": 1000,
    "kb": 1024,
    "m": 1000**2,
    "mb": 1024**2,
    "g": 1000**3,
    "gb": 1024**3,
}


class SizeError(ValueError):
    """The text is no size in the dialect that was asked for."""


def _split(value: str | int | float, dialect: str) -> tuple[Decimal, str]:
    if isinstance(value, bool):
        raise SizeError(f"{value!r} is a boolean, not a size: quote it or write a number with a unit.")
    match = _NUMBER.match(str(value))
    if not match:
        raise SizeError(f"{value!r} is not a size that {dialect} understands: write for example 120M or 1.5G.")
    return Decimal(match["number"]), match["unit"].lower()


def parse_compose_size(value: str | int | float) -> int:
    """Bytes meant by a size of a Compose file (docker/go-units ``RAMInBytes``: all units are powers of 1024).

    Raises SizeError for anything that Compose would not accept.
    """
    number, unit = _split(value, "Compose")
    match = _COMPOSE_UNIT.match(unit)
    if not match:
        raise SizeError(f"{value!r} has the unit {unit!r}; Compose knows b, k, m, g, t and p (powers of 1024).")
    return int(number * _BINARY[match["letter"]])


def format_compose_size(size: int) -> str:
    """The shortest exact spelling of so many bytes in a Compose file, as ``120M``."""
    for letter in "PTGMK":
        unit = _BINARY[letter.lower()]
        if size and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def parse_redis_size(value: str | int) -> int:
    """Bytes meant by a memory value of redis.conf: ``1m`` is 1000000, ``1mb`` is 1048576 (redis ``memtoull``).

    Raises SizeError where redis would refuse the value; redis takes no fractions.
    """
    number, unit = _split(value, "redis.conf")
    if number != int(number) or unit not in _REDIS_UNITS:
        raise SizeError(
            f"{value!r} is not a size that redis.conf understands: whole numbers with b, k, kb, m, mb, g or gb."
        )
    return int(number) * _REDIS_UNITS[unit]


def format_redis_size(size: int) -> str:
    """The shortest exact spelling of so many bytes in redis.conf, as ``96mb``."""
    for unit in ("gb", "mb", "kb"):
        if size and size % _REDIS_UNITS[unit] == 0:
            return f"{size // _REDIS_UNITS[unit]}{unit}"
    return str(size)


def parse_percent(value: str) -> float | None:
    """The share meant by ``75%`` as 0.75, or None where the text is no percentage.

    Raises SizeError for a percentage outside 0 to 100 (0 itself is outside).
    """
    text = str(value).strip()
    if not text.endswith("%"):
        return None
    try:
        share = float(text[:-1]) / 100
    except ValueError:
        raise SizeError(f"{value!r} is not a percentage: write for example 75%.") from None
    if not 0 < share <= 1:
        raise SizeError(f"{value!r} is outside the range of a share: more than 0% and at most 100%.")
    return share


def human_size(size: float) -> str:
    """Bytes for people, in powers of 1024 as ``docker stats`` counts them: ``143.6 MB``."""
    amount = float(size)
    for unit in ("B", "KB", "MB", "GB"):
        if abs(amount) < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
