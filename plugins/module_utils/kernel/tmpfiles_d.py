# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files below /sys at boot: `w` lines of systemd-tmpfiles, and which of them counts.

Source: tmpfiles.d(5). Other than in sysctl.d, of two lines for the same path the one in the file whose name sorts
first counts and the other is ignored; lines with different patterns are all carried out, in the order of the files.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import Assignment, ConfigFile, in_order

TMPFILES_FOLDERS = ("/etc/tmpfiles.d", "/run/tmpfiles.d", "/usr/local/lib/tmpfiles.d", "/usr/lib/tmpfiles.d")
_FIELDS = 7


def write_line(entry: str, value: str) -> str:
    """The line that writes a value at boot. A kernel without the file is passed over in silence."""
    return f"w /{entry} - - - - {value}"


def parse(file: ConfigFile) -> list[Assignment]:
    """The lines of one file that write text into existing files. Paths lose their leading slash."""
    found = []
    for number, raw in enumerate(file.data.decode("utf-8", "surrogateescape").split("\n"), start=1):
        fields = raw.split(None, _FIELDS - 1)
        if len(fields) == _FIELDS and fields[0].rstrip("!-=~^+") == "w":
            found.append(Assignment(fields[1].strip("\"'").lstrip("/"), fields[6].strip(), file.path, number))
    return found


def boot_plan(files: Mapping[str, ConfigFile]) -> list[Assignment]:
    """What systemd-tmpfiles writes at boot, in its order."""
    plan: dict[str, Assignment] = {}
    for file in in_order(files):
        for assignment in parse(file):
            plan.setdefault(assignment.entry, assignment)
    return list(plan.values())


def winner(plan: Sequence[Assignment], entry: str) -> Assignment | None:
    """The line that decides an entry at boot, or None."""
    matching = [one for one in plan if one.entry == entry or (one.is_pattern and fnmatch.fnmatchcase(entry, one.entry))]
    return matching[-1] if matching else None


def name_before(name: str, first: str) -> list[str]:
    """Names for a drop-in that sort before `first`, the plainest first; `name` itself where it does already."""
    candidates = [name, f"00-{name}", f"000-{name}", f"!{name}"]
    return [one for one in candidates if os.fsencode(one) < os.fsencode(first)]


def hugepage_file(sysctl_file: str) -> str:
    """The tmpfiles.d twin of a sysctl.d file: /etc/sysctl.d/90-headroom.conf -> /etc/tmpfiles.d/headroom-thp.conf."""
    stem = os.path.basename(sysctl_file)
    stem = stem[: -len(".conf")] if stem.endswith(".conf") else stem
    return f"/etc/tmpfiles.d/{stem.lstrip('0123456789').lstrip('-_') or stem}-thp.conf"
