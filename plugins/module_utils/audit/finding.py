# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One thing that an audit has to say, and the order in which several are said."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

HIGH, MEDIUM, LOW = "high", "medium", "low"
SEVERITIES = (HIGH, MEDIUM, LOW)


@dataclass(frozen=True)
class Finding:
    """`figure` is what was measured, `why` what it does to the host, `remedy` what to do; `item` of the plan does it.

    `subject` names services, an image, a disk or the host. `severity` is one of SEVERITIES: `high` can lose data, jobs
    or a service, `medium` costs memory, disk or money, `low` is worth knowing.
    """

    id: str
    severity: str
    subject: str
    figure: str
    why: str
    remedy: str
    item: int

    def as_dict(self) -> dict[str, Any]:
        """Plain data for a module's result."""
        return asdict(self)


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """The gravest first, then in the order of the plan's items."""
    return sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), one.item, one.id, one.subject))
