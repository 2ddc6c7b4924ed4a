# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""tempfiles: the temporary files of an RQ job are gone when the job has ended, whatever way it ended.

The worker gives each job a folder of its own as TMPDIR, and removes it when the job is over: done, failed, timed out,
or its process killed. Folders that a killed worker has left are removed by the next one. This reaches what is made
through `tempfile` or by programs that respect TMPDIR, not a path that the application writes out itself. A job that
leaves a temporary file for another job to read must not be run with this. It has no options.
"""

from __future__ import annotations

import fcntl
import os
import sys

from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

PREFIX = "headroom-job-"
LOCK = ".headroom-lock"


class JobFolder:
    """A folder for one job's temporary files, locked as long as the worker or the job's process lives."""

    def __init__(self, parent: str) -> None:
        self.path = os.path.join(parent, f"{PREFIX}{os.getpid()}-{os.urandom(6).hex()}")
        os.mkdir(self.path, 0o700)
        self._lock = os.open(os.path.join(self.path, LOCK), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._before = os.environ.get("TMPDIR")

    def enter(self) -> None:
        """Have all new temporary files of this process and its children made here."""
        os.environ["TMPDIR"] = self.path
        self._remember_nothing()

    def leave(self) -> None:
        """Put TMPDIR back and remove the folder with all that is in it."""
        if self._before is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = self._before
        self._remember_nothing()
        remove(self.path)
        os.close(self._lock)

    def _remember_nothing(self) -> None:
        """`tempfile` looks TMPDIR up once and keeps the answer; an answer that the application set itself is kept."""
        tempfile = sys.modules.get("tempfile")
        if tempfile is not None:
            now = getattr(tempfile, "tempdir", None)
            if now is None or now in (self.path, self._before) or os.path.dirname(self.path) == now:
                tempfile.tempdir = None  # type: ignore[attr-defined]


def remove(path: str) -> None:
    """Remove a folder and all that is in it; a symbolic link in it is removed, not followed."""
    for folder, folders, files in os.walk(path, topdown=False):
        for name in files + [one for one in folders if os.path.islink(os.path.join(folder, one))]:
            _quietly(os.unlink, os.path.join(folder, name))
        _quietly(os.rmdir, folder)


def remove_left_behind(parent: str) -> int:
    """Remove the folders of workers that are no more. Returns how many there were."""
    count = 0
    for entry in os.scandir(parent):
        if entry.name.startswith(PREFIX) and entry.is_dir(follow_symlinks=False) and _is_abandoned(entry.path):
            remove(entry.path)
            count += 1
    return count


def _is_abandoned(folder: str) -> bool:
    try:
        lock = os.open(os.path.join(folder, LOCK), os.O_WRONLY | os.O_NOFOLLOW)
    except OSError:
        return False  # Somebody else's, or just being made.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _quietly(action: Any, path: str) -> None:
    try:
        action(path)
    except OSError as error:
        say(f"tempfiles: {path} stays", error)


def folder_for_each_job(worker: ModuleType) -> None:
    """Patch the workers of `rq.worker`."""
    state = {"cleaned": False}
    for name in ("Worker", "SimpleWorker"):
        _patch(getattr(worker, name), state)


def _patch(worker: Any, state: dict[str, bool]) -> None:
    original = worker.execute_job

    def execute_job(self: Any, *arguments: Any, **named: Any) -> Any:
        folder = _start(state)
        try:
            return original(self, *arguments, **named)
        finally:
            if folder is not None:
                _end(folder)

    execute_job.__doc__ = original.__doc__
    worker.execute_job = execute_job


def _start(state: dict[str, bool]) -> JobFolder | None:
    try:
        parent = os.environ.get("TMPDIR") or "/tmp"
        if not state["cleaned"]:
            state["cleaned"] = True
            remove_left_behind(parent)
        folder = JobFolder(parent)
        folder.enter()
    except Exception as error:
        say("tempfiles not applied to a job", error)
        return None
    return folder


def _end(folder: JobFolder) -> None:
    try:
        folder.leave()
    except Exception as error:
        say("tempfiles: a job's temporary files may have stayed", error)
