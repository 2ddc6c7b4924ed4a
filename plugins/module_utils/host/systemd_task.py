# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writing a drop-in of one of systemd's daemons and having the daemon read it; and back."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file, docker_share
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, systemd_conf
from ansible_collections.smallhost.headroom.plugins.module_utils.host.systemd_conf import Conf, ConfError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

_JOURNALS = ("/var/log/journal", "/run/log/journal")


@dataclass
class Task:
    """One run. `owner` is the key in the journal."""

    params: Mapping[str, Any]
    owner: str
    journal: Journal
    check_mode: bool
    warnings: list[str] = field(default_factory=list)

    @property
    def conf(self) -> Conf:
        return systemd_conf.CONFS[self.params["conf"]]

    @property
    def file(self) -> str:
        return os.path.join(self.conf.folder, self.params["name"])

    @property
    def unread(self) -> str:
        """The journal's key that stands from before the file is written until the daemon has read it."""
        return f"unread:{self.file}"


def _journal_size() -> int:
    """Bytes on disk of all journal files."""
    total = 0
    for root in _JOURNALS:
        for folder, _folders, names in os.walk(root):
            for name in names:
                with contextlib.suppress(OSError):
                    total += os.stat(os.path.join(folder, name)).st_blocks * 512
    return total


def _figures(task: Task) -> dict[str, int]:
    if task.conf.unit is None:
        return {}
    return {"memory": docker_share.measure()["journald"], "disk": _journal_size()}


def _have_it_read(task: Task) -> None:
    if task.conf.unit:
        daemon.systemctl("restart", task.conf.unit)
    else:
        daemon.systemctl("daemon-reload")
    task.journal.forget(task.owner, task.unread)


def present(task: Task) -> dict[str, Any]:
    """Bring the drop-in to the wanted text and have it read. Raises ConfError, DaemonError, OSError."""
    if not os.path.isdir("/run/systemd/system"):
        raise ConfError("systemd does not run on this host. Nothing was changed.")
    before, after = atomic_file.read(task.file), systemd_conf.drop_in(task.conf, task.params["settings"])
    unread = task.journal.recall(task.owner, task.unread) is not None
    changed = before != after or unread
    figures = _figures(task)
    if changed and not task.check_mode:
        made = not os.path.isdir(task.conf.folder)
        task.journal.remember(task.owner, task.unread, True)
        if made:
            task.journal.remember(task.owner, f"folder:{task.conf.folder}", True)
            os.mkdir(task.conf.folder, 0o755)
        task.journal.write_file(task.owner, task.file, after, mode=0o644)
        _have_it_read(task)
    rows = _rows(task) if not task.check_mode else []
    return _result(task, changed, before, after, rows, figures)


def _rows(task: Task) -> list[dict[str, Any]]:
    """What counts for each setting, as systemd reads its files."""
    text = daemon.run(["systemd-analyze", "--no-pager", "cat-config", f"systemd/{task.conf.name}.conf"])
    counting = systemd_conf.assignments(text)
    rows = []
    for entry in task.params["settings"]:
        value, file = counting.get(entry["name"], ("", ""))
        other = file if os.path.realpath(file) != os.path.realpath(task.file) and value != entry["value"] else None
        if other:
            task.warnings.append(
                f"{entry['name']}: {other} sets {value} and is read after {task.file}. Take that line out."
            )
        rows.append({"name": entry["name"], "value": entry["value"], "overridden_by": other})
    return rows


def absent(task: Task) -> dict[str, Any]:
    """Take the drop-in away as far as it is ours, and have that read."""
    before = atomic_file.read(task.file)
    unread = task.journal.recall(task.owner, task.unread) is not None
    ours = os.path.realpath(task.file) in task.journal.files(task.owner)
    figures = _figures(task)
    if (ours or unread) and not task.check_mode:
        task.journal.remember(task.owner, task.unread, True)
        task.journal.undo_file(task.owner, task.file, lambda _data: None)
        if task.journal.recall(task.owner, f"folder:{task.conf.folder}"):
            with contextlib.suppress(OSError):
                os.rmdir(task.conf.folder)
            task.journal.forget(task.owner, f"folder:{task.conf.folder}")
        _have_it_read(task)
    after = task.journal.preview_undo(task.owner, task.file, lambda _data: None)[1] if task.check_mode else None
    return _result(task, ours or unread, before, after if task.check_mode else atomic_file.read(task.file), [], figures)


def _result(
    task: Task,
    changed: bool,
    before: bytes | None,
    after: bytes | None,
    rows: list[dict[str, Any]],
    figures: Mapping[str, int],
) -> dict[str, Any]:
    texts = [(text or b"").decode("utf-8", "replace") for text in (before, after)]
    return {
        "changed": changed,
        "file": task.file,
        "settings": rows,
        "figures": {
            "before": dict(figures),
            "after": _figures(task) if changed and not task.check_mode else dict(figures),
        },
        "diff": [{"before_header": task.file, "after_header": task.file, "before": texts[0], "after": texts[1]}]
        if before != after
        else [],
    }
