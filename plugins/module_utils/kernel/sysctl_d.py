# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which line decides a kernel setting at boot: the rules of systemd-sysctl, and the files it reads.

Source: sysctl.d(5) and src/sysctl/sysctl.c of systemd 252 to 257. In short: `*.conf` of four folders, a name in an
earlier folder hides the same name in a later one, all sorted by name; later assignments replace earlier ones; an
explicit key beats every pattern wherever it stands; `-key` without a value takes the key out altogether.
`/etc/sysctl.conf` is not among them: Debian 12 links it as /etc/sysctl.d/99-sysctl.conf, Debian 13 does not. Only
`sysctl --system`, run by hand, reads it by itself, last (sysctl(8)).
"""

from __future__ import annotations

import errno
import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.settings import PARTNER, PROC_SYS, normalize_key

SYSCTL_FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
_BLANKS = " \t\r\n"
_MAX_LINKS = 16


@dataclass(frozen=True)
class ConfigFile:
    """A configuration file as the boot sees it: `path` without the root; `data` is empty for a mask."""

    path: str
    data: bytes
    masked: bool = False


@dataclass(frozen=True)
class Assignment:
    """One effective line. `entry` may be a pattern; `value` None means "leave this key alone"."""

    entry: str
    value: str | None
    path: str
    line: int

    @property
    def where(self) -> str:
        return f"{self.path}:{self.line}"

    @property
    def is_pattern(self) -> bool:
        return any(character in self.entry for character in "*?[")


def _resolve(root: str, path: str) -> str:
    """The file behind a link, links taken as they would be with `root` as /. /dev/null stays /dev/null."""
    for _step in range(_MAX_LINKS):
        real = os.path.join(root, path.lstrip("/"))
        if not os.path.islink(real):
            return path
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(real)))
    raise OSError(errno.ELOOP, "too many links", path)


def read_config(root: str, path: str) -> ConfigFile | None:
    """One file under the root, or None where there is none. A link to /dev/null is a mask."""
    if not os.path.lexists(os.path.join(root, path.lstrip("/"))):
        return None
    target = _resolve(root, path)
    if target == "/dev/null":
        return ConfigFile(path, b"", masked=True)
    try:
        with open(os.path.join(root, target.lstrip("/")), "rb") as stream:
            return ConfigFile(path, stream.read())
    except (FileNotFoundError, IsADirectoryError):
        return ConfigFile(path, b"")


def read_folders(root: str, folders: Sequence[str]) -> dict[str, ConfigFile]:
    """File name -> the file that counts, over all folders, the first folder with a name deciding."""
    found: dict[str, ConfigFile] = {}
    for folder in folders:
        try:
            names = os.listdir(os.path.join(root, folder.lstrip("/")))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for name in names:
            if name.endswith(".conf") and name not in found:
                file = read_config(root, f"{folder}/{name}")
                if file is not None:
                    found[name] = file
    return found


def with_file(
    files: Mapping[str, ConfigFile], path: str, data: bytes | None, folders: Sequence[str]
) -> dict[str, ConfigFile]:
    """The files as they will be once `data` stands at `path` (None: no file there any more)."""
    folder, name = os.path.split(path)
    changed = dict(files)
    if folder not in folders or not name.endswith(".conf"):
        return changed
    present = files.get(name)
    hidden = present is not None and folders.index(os.path.dirname(present.path)) < folders.index(folder)
    if hidden:
        return changed
    changed.pop(name, None)
    if data is not None:
        changed[name] = ConfigFile(path, data)
    return changed


def in_order(files: Mapping[str, ConfigFile]) -> list[ConfigFile]:
    """Sorted by name as bytes, whatever the folder and the locale."""
    return [files[name] for name in sorted(files, key=os.fsencode)]


def parse(file: ConfigFile) -> list[Assignment]:
    """The assignments of one file. Lines that systemd ignores are left out."""
    found = []
    text = file.data.decode("utf-8", "surrogateescape")
    for number, raw in enumerate(text.split("\n"), start=1):
        line = raw.strip(_BLANKS)
        if not line or line[0] in "#;":
            continue
        name, equals, value = line.partition("=")
        if not equals and not line.startswith("-"):
            continue
        name = name[1:] if name.startswith("-") else name
        entry = PROC_SYS + normalize_key(name.strip(_BLANKS))
        found.append(Assignment(entry, value.strip(_BLANKS) if equals else None, file.path, number))
    return found


def boot_plan(files: Mapping[str, ConfigFile]) -> list[Assignment]:
    """What systemd-sysctl writes at boot, in its order. An assignment with another value moves to the end."""
    plan: dict[str, Assignment] = {}
    for file in in_order(files):
        for assignment in parse(file):
            earlier = plan.get(assignment.entry)
            if earlier is not None and earlier.value == assignment.value:
                continue
            plan.pop(assignment.entry, None)
            plan[assignment.entry] = assignment
    return list(plan.values())


def _matches(assignment: Assignment, entry: str) -> bool:
    if not assignment.is_pattern:
        return assignment.entry == entry
    parts, patterns = entry.split("/"), assignment.entry.split("/")
    return len(parts) == len(patterns) and all(map(fnmatch.fnmatchcase, parts, patterns))


def _last(plan: Sequence[Assignment], entry: str) -> tuple[int, Assignment] | None:
    explicit = [(index, one) for index, one in enumerate(plan) if one.entry == entry]
    if explicit:
        return explicit[-1]
    matching = [(index, one) for index, one in enumerate(plan) if one.value is not None and _matches(one, entry)]
    return matching[-1] if matching else None


def winner(plan: Sequence[Assignment], entry: str) -> Assignment | None:
    """The line that decides an entry at boot, or None where no line touches it.

    It may be a line for the other one of a pair, which switches this one off (a value of 0 there does not).
    """
    own = _last(plan, entry)
    partner = _last(plan, PARTNER[entry]) if entry in PARTNER else None
    if partner is None or partner[1].value in (None, "0"):
        return own[1] if own else None
    return own[1] if own and own[1].value is not None and own[0] > partner[0] else partner[1]


def name_after(name: str, last: str) -> list[str]:
    """Names for a drop-in that sort after `last`, the plainest first; `name` itself where it does already."""
    plain = name.lstrip("0123456789").lstrip("-_") or name
    stem = last[: -len(".conf")]
    candidates = [name, f"99-{plain}", f"99-zz-{plain}", f"zz-{plain}", f"{stem}_{plain}"]
    return [one for one in candidates if os.fsencode(one) > os.fsencode(last)]
