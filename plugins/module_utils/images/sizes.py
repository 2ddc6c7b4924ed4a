# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What images take on disk, each layer counted once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

History = Sequence[Mapping[str, Any]]


def unique_bytes(histories: Sequence[History]) -> int:
    """Bytes of all layers of several images, a shared one once.

    `histories`: for each image the engine's `/images/{name}/history`, the newest entry first. Images share a layer only
    together with all below it (image-spec, ChainID), so what two have in common is a common beginning.
    """
    known: dict[tuple[object, ...], int] = {}
    for history in histories:
        chain: tuple[object, ...] = ()
        for entry in reversed(history):
            chain = (hash(chain), entry.get("Created"), entry.get("CreatedBy"), entry.get("Size"))
            known[chain] = int(entry.get("Size") or 0)
    return sum(known.values())
