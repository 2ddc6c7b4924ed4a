# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Drop-ins for the configuration of systemd's own daemons: their text, and which line counts at the end.

Plain data in and out. Rules: systemd-system.conf(5), journald.conf(5): the main file first, then the drop-ins of all
folders sorted by name; the last assignment of a key counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_FILE = re.compile(r"^# (/\S+)$")
_ASSIGNMENT = re.compile(r"^([A-Za-z]+)\s*=\s*(.*?)\s*$")
_NAME = re.compile(r"^[A-Z][A-Za-z]+$")


class ConfError(Exception):
    """A setting cannot stand in such a file. Nothing has been changed."""


@dataclass(frozen=True)
class Conf:
    """One daemon: its main file (below /etc), its section, and the unit to restart; none: systemd itself."""

    name: str
    section: str
    unit: str | None

    @property
    def folder(self) -> str:
        return f"/etc/systemd/{self.name}.conf.d"


CONFS = {
    "journald": Conf("journald", "Journal", "systemd-journald.service"),
    "system": Conf("system", "Manager", None),
}


def drop_in(conf: Conf, settings: Sequence[Mapping[str, str]]) -> bytes:
    """The drop-in's text. Raises ConfError for a name or a value that would make another line of it."""
    names = [entry["name"] for entry in settings]
    if len(set(names)) < len(names):
        raise ConfError("a setting stands twice in `settings`. Nothing was changed.")
    for entry in settings:
        if not _NAME.match(entry["name"]) or "\n" in entry["value"]:
            raise ConfError(f"{entry['name']!r} is not the name of a setting, or its value has a line break.")
    lines = [f"{entry['name']}={entry['value']}" for entry in settings]
    head = ["# Written by Ansible (smallhost.headroom.systemd_settings); edits in here are lost", f"[{conf.section}]"]
    return "".join(line + "\n" for line in [*head, *lines]).encode()


def assignments(text: str) -> dict[str, tuple[str, str]]:
    """What `systemd-analyze cat-config` prints: key -> (value that counts, file that gives it)."""
    found: dict[str, tuple[str, str]] = {}
    file = ""
    for line in text.splitlines():
        header, assignment = _FILE.match(line), _ASSIGNMENT.match(line.strip())
        if header:
            file = header[1]
        elif assignment:
            found[assignment[1]] = (assignment[2], file)
    return found
