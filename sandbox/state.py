# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the sandbox keeps its files, and what it remembers about each host it started."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from sandbox.process import SandboxError


def cache_dir() -> Path:
    """Return the folder of everything that the sandbox writes: keys, downloads, disks, hosts."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "headroom" / "sandbox"


def owner() -> str:
    """Return the mark that this cache's engine objects carry, so that `clean` leaves other people's alone."""
    return hashlib.sha256(str(cache_dir()).encode()).hexdigest()[:12]


def label() -> str:
    """Return the engine label of images, containers, volumes and networks made on behalf of this cache."""
    return f"headroom.sandbox={owner()}"


def digest(parts: Iterable[str | bytes]) -> str:
    """Return a short name for a recipe: another recipe, another name, so that a changed one is built anew."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:12]


@dataclasses.dataclass(frozen=True)
class Instance:
    """A host that was started. `memory` as the engine writes it ("2900m"), `port` of its sshd on 127.0.0.1."""

    name: str
    kind: str
    port: int
    memory: str
    cpus: int

    @property
    def folder(self) -> Path:
        return instance_dir(self.name)

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "instance.json").write_text(json.dumps(dataclasses.asdict(self), indent=2) + "\n")


def instance_dir(name: str) -> Path:
    """Return the folder of a host's own files."""
    return cache_dir() / "instances" / name


def load(name: str) -> Instance | None:
    """Return what is remembered of a host, None when there is none of that name."""
    try:
        text = (instance_dir(name) / "instance.json").read_text()
    except FileNotFoundError:
        return None
    return Instance(**json.loads(text))


def require(name: str) -> Instance:
    """Return a host that was started. Raises SandboxError when there is none of that name."""
    instance = load(name)
    if instance is None:
        raise SandboxError(f"there is no host {name}; start it with: python3 -m sandbox up --name {name}")
    return instance


def names() -> list[str]:
    """Return the names of all hosts that were started and not taken down."""
    return sorted(path.parent.name for path in (cache_dir() / "instances").glob("*/instance.json"))
