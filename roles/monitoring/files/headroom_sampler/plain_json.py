# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON without the `json` module, which needs `re` and with it a megabyte."""

from __future__ import annotations

from _json import make_scanner


class _Rules:
    """What json.JSONDecoder would tell the scanner."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float

    def __init__(self) -> None:
        self.memo: dict[str, str] = {}


_scan = make_scanner(_Rules())


def loads(text: str) -> object:
    """The value that the text holds. Raises ValueError where it is no JSON."""
    try:
        return _scan(text, len(text) - len(text.lstrip()))[0]
    except StopIteration:
        raise ValueError("no JSON value") from None
