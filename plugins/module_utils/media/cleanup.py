# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run of a cleanup: look, choose, remove, and say what was done. What the module and the timer share."""

from __future__ import annotations

import fcntl
import json
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.media.open_files import open_files
from ansible_collections.smallhost.headroom.plugins.module_utils.media.rules import Disk, File, Rule, chosen, freed
from ansible_collections.smallhost.headroom.plugins.module_utils.media.sweep import recover, sweep
from ansible_collections.smallhost.headroom.plugins.module_utils.media.tree import Root

# So many files are named in a result; the figures count all.
MOST_NAMED = 1000


class Busy(OSError):
    """Another run cleans the folder at this moment."""


@dataclass
class Cleaned:
    """What became of one folder. Sizes in bytes, ages in seconds; in a dry run what would become of it."""

    path: str
    max_age: int | None = None
    removed: list[tuple[File, str]] = field(default_factory=list)
    kept: Counter[str] = field(default_factory=Counter)
    disk_before: Disk = field(default_factory=lambda: Disk(0, 0))
    disk_after: Disk = field(default_factory=lambda: Disk(0, 0))
    recovered: int = 0

    @property
    def freed(self) -> int:
        """Bytes that came free: a file with another name left frees nothing."""
        return freed([file for file, _reason in self.removed])

    def as_dict(self, now: int) -> dict[str, Any]:
        """Plain data for a module's result and for the timer's log."""
        named = sorted(self.removed, key=lambda entry: entry[0].newest)[:MOST_NAMED]
        return {
            "path": self.path,
            "max_age": self.max_age,
            "removed": len(self.removed),
            "freed": self.freed,
            "kept": dict(self.kept),
            "recovered": self.recovered,
            "disk_before": round(self.disk_before.share * 100, 1),
            "disk_after": round(self.disk_after.share * 100, 1),
            "files": [
                {
                    "path": readable(file.path),
                    "size": file.size,
                    "days": round((now - file.newest) / 86400e9, 1),
                    "reason": reason,
                }
                for file, reason in named
            ],
        }


def readable(path: str) -> str:
    """A path as text: bytes that are none, and line ends, as escapes."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def clean(entry: Mapping[str, Any], dry_run: bool, proc: str = "/proc") -> Cleaned:
    """Clean one folder by its options (see Rule). Raises ValueError, OSError; nothing is lost then."""
    rule = Rule.read(entry)
    with Root.open(entry["path"]) as root:
        _lock(root)
        done = Cleaned(root.path, rule.aged, recovered=0 if dry_run else recover(root))
        done.disk_before = done.disk_after = root.disk()
        now = time.time_ns()
        files = list(root.files())
        if not chosen(files, rule, now, done.disk_before):
            return done  # a look at all processes is not needed
        used = open_files(root.device, proc)
        selected = dict(chosen(files, rule, now, done.disk_before, used))
        would = {file for file, _reason in chosen(files, rule, now, done.disk_before)}
        done.kept["in use"] = sum(file.identity in used for file in would)
        if dry_run:
            done.removed = list(selected.items())
            return done
        outcome = sweep(root, list(selected), lambda: open_files(root.device, proc))
        done.removed = [(file, selected[file]) for file in outcome.removed]
        done.kept.update(reason for _file, reason in outcome.kept)
        done.disk_after = root.disk()
        return done


def _lock(root: Root) -> None:
    """One run at a time. systemd-tmpfiles passes over folders that are locked like this (tmpfiles.d(5))."""
    try:
        fcntl.flock(root.handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Busy(f"{root.path} is being cleaned by another run at this moment.") from error


def main(config: str, dry_run: bool = False) -> int:
    """What the timer runs: clean the folders of a JSON file, with a line for each. Returns the exit code."""
    with open(config) as stream:
        folders = json.load(stream)
    code = 0
    for entry in folders:
        try:
            done = clean(entry, dry_run).as_dict(time.time_ns())
        except (ValueError, OSError) as error:
            sys.stderr.write(f"{entry.get('path')}: {error}\n")
            code = 1
            continue
        for file in done.pop("files"):
            sys.stdout.write("removed {path} ({size} bytes, {days} days, {reason})\n".format(**file))
        sys.stdout.write(json.dumps(done) + "\n")
    return code
