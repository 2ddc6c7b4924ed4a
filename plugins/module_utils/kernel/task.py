# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a task wants of the kernel, and what was found on the machine: plain data for the decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import Wanted
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import ConfigFile


@dataclass(frozen=True)
class Request:
    """What the task asks for. `settings` and `hugepages` are empty for state absent."""

    owner: str
    settings: Sequence[Wanted] = ()
    hugepages: Sequence[Wanted] = ()
    file: str = "/etc/sysctl.d/90-headroom.conf"
    absent: bool = False
    skip_missing: bool = False
    persist_only: bool = False
    take_over: bool = False

    @property
    def wanted(self) -> list[Wanted]:
        return [*self.hugepages, *self.settings]


@dataclass(frozen=True)
class Observed:
    """What stands on the machine. Entries are relative to the root, `originals` come from the journal."""

    live: Mapping[str, str | None]
    access: Mapping[str, str]
    choices: Mapping[str, Sequence[str]]
    originals: Mapping[str, str]
    sysctl_files: Mapping[str, ConfigFile]
    tmpfiles_files: Mapping[str, ConfigFile]
    owned_files: Sequence[str]
    targets: Mapping[str, ConfigFile] = field(default_factory=dict)
