# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A marked block in a line-based configuration file: one task's lines, and nobody else's touched."""

from __future__ import annotations

import re
from collections.abc import Sequence

_BEGIN = re.compile(rb"^# BEGIN headroom ([^\n]*?): ", re.MULTILINE)


def _marks(owner: str) -> tuple[bytes, bytes]:
    return f"# BEGIN headroom {owner}: ".encode(), f"# END headroom {owner}\n".encode()


def _pattern(owner: str) -> re.Pattern[bytes]:
    begin, end = _marks(owner)
    return re.compile(b"^" + re.escape(begin) + b"[^\n]*\n(.*?)^" + re.escape(end), re.MULTILINE | re.DOTALL)


def owners(data: bytes) -> list[str]:
    """Whose blocks the text holds."""
    return [name.decode("utf-8", "surrogateescape") for name in _BEGIN.findall(data)]


def block_lines(data: bytes | None, owner: str) -> list[str]:
    """The lines inside the owner's block; none where there is no block."""
    found = _pattern(owner).search(data or b"")
    return found.group(1).decode("utf-8", "surrogateescape").splitlines() if found else []


def without_block(data: bytes, owner: str) -> bytes | None:
    """The text without the owner's block; None where nothing but blanks would be left."""
    rest = _pattern(owner).sub(b"", data)
    return rest if rest.strip() else None


def with_block(data: bytes | None, owner: str, lines: Sequence[str], at_end: bool = False) -> bytes | None:
    """The text with the owner's block holding exactly `lines`; every other byte stays.

    The block is replaced where it stands, or appended; `at_end` moves it to the end. With no lines it goes, and None
    is returned where nothing but blanks would be left.
    """
    if not lines:
        return without_block(data, owner) if data else data
    begin, end = _marks(owner)
    body = "".join(line + "\n" for line in lines).encode("utf-8", "surrogateescape")
    block = begin + b"written by Ansible (smallhost.headroom.sysctl_memory); edits in here are lost\n" + body + end
    found = _pattern(owner).search(data or b"")
    if data is not None and found and not (at_end and data[found.end() :].strip()):
        return data[: found.start()] + block + data[found.end() :]
    rest = _pattern(owner).sub(b"", data or b"")
    if rest and not rest.endswith(b"\n"):
        rest += b"\n"
    return rest + block


def block_span(data: bytes | None, owner: str) -> range:
    """The line numbers (from 1) of the owner's block; empty where there is none."""
    found = _pattern(owner).search(data or b"")
    if data is None or not found:
        return range(0)
    first = data.count(b"\n", 0, found.start()) + 1
    return range(first, first + data.count(b"\n", found.start(), found.end()))
