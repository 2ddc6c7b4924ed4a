# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the queued jobs do: each writes down that it ran."""

from __future__ import annotations

from pathlib import Path


def note(folder: str, number: int) -> None:
    """Leave a file that says: job `number` was executed."""
    (Path(folder) / str(number)).touch()
