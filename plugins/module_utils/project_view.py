# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the roles have to know of a project before they plan: plain data, without the application's secrets."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# What gateway images of a project are called: roles/stage3_caching/vars/main.yml, stage3_caching_repository.
IMAGES = "{project}-headroom-*"


def services(model: Mapping[str, Any], environment: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By name, what each service of an effective configuration is; of its environment only these variables.

    `memory` is the limit in bytes, 0 without one; `network_mode` is empty where the service is in networks.
    """
    found = {}
    for name, service in (model.get("services") or {}).items():
        deployed = ((service.get("deploy") or {}).get("resources") or {}).get("limits") or {}
        mode = service.get("network_mode") or ""
        variables = service.get("environment") or {}
        found[name] = {
            "image": service.get("image") or f"{model['name']}-{name}",
            "image_named": bool(service.get("image")),
            "network_mode": mode,
            "networks": [] if mode else list(service.get("networks") or ["default"]),
            "memory": int(service.get("mem_limit") or deployed.get("memory") or 0),
            "environment": {key: variables[key] for key in environment if key in variables},
            "targets": [entry["target"] for entry in service.get("volumes") or []],
        }
    return found


def tree(folder: str, paths: Iterable[str]) -> list[dict[str, Any]]:
    """A folder, all that is in it, and these paths, as far as they are there.

    Each with its `mode` in octal digits ("0755") and, for a file, its SHA-1 (`checksum`; None for what is no file).
    """
    found = list(paths)
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found += [place, *(os.path.join(place, name) for name in names)]
    states = []
    for path in sorted(found):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            mode = os.lstat(path).st_mode
            states.append(
                {
                    "path": path,
                    "mode": f"{stat.S_IMODE(mode):04o}",
                    "checksum": _sha1(path) if stat.S_ISREG(mode) else None,
                }
            )
    return states


def _sha1(path: str) -> str:
    # What ansible.builtin.copy compares files by.
    with open(path, "rb") as stream:
        return hashlib.sha1(stream.read(), usedforsecurity=False).hexdigest()
