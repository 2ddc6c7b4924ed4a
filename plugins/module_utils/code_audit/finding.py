# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that the audit of the code has to say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

HIGH, MEDIUM, LOW = "high", "medium", "low"
SEVERITIES = (HIGH, MEDIUM, LOW)


@dataclass(frozen=True)
class CodeFinding:
    """`cost` is what it does to the host or its users, with a figure where one was measured; `remedy` what to write.

    `item` of the plan is the one that it belongs to; `line` 0 stands for the whole file.
    """

    kind: str
    severity: str
    path: str
    line: int
    what: str
    cost: str
    remedy: str
    item: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a module's result."""
        return asdict(self)


def ordered(findings: Iterable[CodeFinding]) -> list[CodeFinding]:
    """The gravest first, then by file and line; one for each kind and place."""
    unique = {(one.kind, one.path, one.line, one.what): one for one in findings}
    return sorted(unique.values(), key=lambda one: (SEVERITIES.index(one.severity), one.kind, one.path, one.line))
