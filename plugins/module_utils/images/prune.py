# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is left over from building: taken away by rule, and never what a container uses or an undo needs.

The engine itself refuses to remove an image that a container, running or not, was made from, or that another image is
built on; images that an undo needs have names, and only images without one are looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.images.rewrite import HASH_LABEL, STAGE_LABEL
from ansible_collections.smallhost.headroom.plugins.module_utils.images.store import ImageStore

# A stage of an image that has not been built for so long is of a Dockerfile that has changed, or of no more use.
_STAGE_SECONDS = 14 * 24 * 3600
_CACHE_HOURS = 14 * 24
_CACHE_BYTES = 5_000_000_000
# With less free disk than this the next build may as well begin from nothing.
_SCARCE_BYTES = 8_000_000_000


def superseded(images: Sequence[Mapping[str, Any]], now: float, scarce: bool) -> list[str]:
    """Ids of the nameless build stages to remove: old ones, and all but the newest of one beginning.

    `images`: as the engine lists them, the newest first; the label's value tells the beginning.
    """
    found, seen = [], set()
    for image in images:
        beginning = (image.get("Labels") or {}).get(STAGE_LABEL)
        if scarce or beginning in seen or now - float(image.get("Created") or 0) > _STAGE_SECONDS:
            found.append(str(image["Id"]))
        seen.add(beginning)
    return found


def prune(store: ImageStore, at_most_free: int | None) -> list[str]:
    """Remove replaced images of ours and superseded build stages; returns the ids of those that went."""
    scarce = at_most_free is not None and at_most_free < _SCARCE_BYTES
    todo = [str(entry["Id"]) for entry in store.dangling(HASH_LABEL)]
    todo += superseded(store.dangling(STAGE_LABEL), time.time(), scarce)
    gone = [image for image in todo if store.remove(image)]
    store.prune_cache(_CACHE_HOURS, _CACHE_BYTES)
    return gone
