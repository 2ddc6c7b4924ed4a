# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Services and networks of the collection's own in a user's project: what to write, and whether a container has it.

Plain data in and out. A service of ours carries a digest of its definition as a label: a container with that label was
made from that very definition, whatever defaults Compose and the engine have added to it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Delete, Document, Set

LABEL_DIGEST = "smallhost.headroom.definition"
LABEL_NETWORK = "com.docker.compose.network"


def digest(definition: Mapping[str, Any]) -> str:
    """Sixteen hex digits that change with the definition."""
    text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def labelled(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The definition with its own digest among its labels. Raises ValueError where labels are a list."""
    labels = definition.get("labels") or {}
    if "=" in "".join(labels):
        raise ValueError("labels of an added service are a mapping, not a list. Nothing was changed.")
    return {**definition, "labels": {**labels, LABEL_DIGEST: digest(definition)}}


def places(params: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Where in the document each wanted part belongs, and its text: `("services", "cache") -> definition`.

    Raises ValueError where a name stands twice, a service has no image, or its labels cannot be extended.
    """
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for section in ("services", "networks"):
        for entry in params[section]:
            place = (section, entry["name"])
            if place in found:
                raise ValueError(f"{entry['name']} stands twice in {section}. Nothing was changed.")
            definition = entry["definition"] or {}
            if section == "services" and not definition.get("image"):
                raise ValueError(f"{entry['name']} needs an image. Nothing was changed.")
            found[place] = labelled(definition) if section == "services" else dict(definition)
    return found


def foreign(wanted: Collection[tuple[str, str]], model: Mapping[str, Any], ours: Collection[Any]) -> list[str]:
    """Wanted names that the project uses already for something that is not ours: `service cache`, sorted."""
    taken = [place for place in wanted if place[1] in (model.get(place[0]) or {}) and place not in ours]
    return sorted(f"{section[:-1]} {name}" for section, name in taken)


def plan(wanted: Mapping[tuple[str, str], Mapping[str, Any]], ours: Collection[Any], document: Document) -> list[Any]:
    """The changes that make the file hold the wanted parts and no other of ours."""
    changes: list[Set | Delete] = [
        Delete(place) for place in ours if len(place) == 2 and place not in wanted and document.get(place) is not None
    ]
    changes += [
        Set(place, dict(definition), literal=True)
        for place, definition in wanted.items()
        if document.get(place) != definition
    ]
    return changes


def pending(definition: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether no running container was made from this definition. `containers`: labels and whether each runs."""
    wanted = definition["labels"][LABEL_DIGEST]
    return not any(entry["running"] and entry["labels"].get(LABEL_DIGEST) == wanted for entry in containers)
