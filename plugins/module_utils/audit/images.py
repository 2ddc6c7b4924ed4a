# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the audit says about images: what is missing in them, and what should not be there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.audit.finding import HIGH, MEDIUM, Finding
from ansible_collections.smallhost.headroom.plugins.module_utils.units import human_size

Row = Mapping[str, Any]


def health_command_missing(rows: Sequence[Row]) -> list[Finding]:
    """A health check that can never succeed."""
    found = []
    for row in rows:
        if not row["health_missing"]:
            continue
        found.append(
            Finding(
                "health_command_missing",
                HIGH,
                row["service"] or row["name"],
                f"{', '.join(row['health_missing'])} is not in {row['image']}; the container is {row['health']}",
                "The check can never succeed, so the container counts as unhealthy whatever it does, and whoever "
                "waits for it (depends_on, a rollout) waits for ever.",
                "Check with what the image has (its own Python, a script), or put the program into the image.",
                4,
            )
        )
    return found


def compilers(rows: Sequence[Row]) -> list[Finding]:
    """Images that still hold what only a build needs, each image once."""
    images: dict[str, list[Row]] = {}
    for row in rows:
        if row["compilers"]:
            images.setdefault(row["image"], []).append(row)
    return [
        Finding(
            "compilers_in_image",
            MEDIUM,
            ", ".join(sorted({row["service"] or row["name"] for row in using})),
            f"{', '.join(using[0]['compilers'])} in {image}, {human_size(using[0]['image_size'] or 0)}",
            "Compilers and headers are needed to build the image, not to run it: they cost disk and transfer, and "
            "serve an intruder.",
            "Build in one stage and copy the result into a slim one (stage 2).",
            4,
        )
        for image, using in sorted(images.items())
    ]
