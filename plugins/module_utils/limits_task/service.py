# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One service on its way through a run of limits: what is wanted, what runs, and what the kernel says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, sizing
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import limits
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container


@dataclass
class Service:
    """One service on its way through a run."""

    name: str
    config: Mapping[str, Any]
    wanted: dict[str, Any]
    containers: list[Container]
    uses: dict[str, cgroup.Memory | None]
    fit: sizing.Fit | None = None
    target: int | None = None
    bodies: dict[str, dict[str, int]] = field(default_factory=dict)
    file_changes: list[tuple[tuple[str, ...], Any]] = field(default_factory=list)

    @property
    def used(self) -> int | None:
        """What the largest container cannot do without, in bytes; None where nothing runs."""
        figures = [sizing.in_use(use) for use in self.uses.values() if use]
        return max(figures) if figures else None

    @property
    def working_set(self) -> int | None:
        """The largest working set in bytes."""
        figures = [use.working_set for use in self.uses.values() if use]
        return max(figures) if figures else None

    def agreed_limit(self) -> int | None:
        """The memory limit in bytes that the file and all containers have, or None where they differ or have none."""
        found = {limits.effective(self.config)["memory"], *(entry.limits()["memory"] for entry in self.containers)}
        only = found.pop() if len(found) == 1 else None
        return None if only is None else int(only)

    @property
    def changed(self) -> bool:
        """Whether file or containers have to change."""
        return bool(self.file_changes or self.bodies)


def measure(containers: Sequence[Container], warnings: list[str]) -> dict[str, cgroup.Memory | None]:
    """The kernel's figures of each container by id. A container that ends meanwhile counts as not running."""
    found: dict[str, cgroup.Memory | None] = {}
    for entry in containers:
        try:
            found[entry.id] = entry.memory()
        except cgroup.CgroupError as error:
            found[entry.id] = None
            warnings.append(f"{entry.name} could not be measured: {error}")
    return found
