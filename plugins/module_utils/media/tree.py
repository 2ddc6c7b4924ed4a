# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a tree that others write to: every step by folder handle, no link followed, no mount point crossed."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils.media.rules import Disk, File

# Folders whose name begins like this are ours (see sweep.py).
OWN_PREFIX = ".headroom-cleanup-"

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# No media lies in these, nor in a folder that holds one of them.
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
NO_PARENT = (
    *SYSTEM,
    "/home",
    "/opt",
    "/root",
    "/srv",
    "/tmp",
    "/var/lib/docker/volumes",
    "/var/log",
    "/var/lib/headroom",
)


class NotCleanable(ValueError):
    """The folder is not one to clean. Nothing was changed."""


class Moved(OSError):
    """A folder is no longer where it was: replaced, mounted over, or a link now."""


def require_cleanable(path: str) -> None:
    """Raise NotCleanable for a folder of the system, or one that holds such a folder."""
    inside = any(path == folder or path.startswith(folder + "/") for folder in SYSTEM)
    holds = any(folder == path or folder.startswith(path.rstrip("/") + "/") for folder in NO_PARENT)
    if inside or holds or not path.startswith("/"):
        raise NotCleanable(
            f"{path} is, holds or lies in a folder of the system, so nothing is cleaned there. "
            "Name the media's own folder."
        )


def _mount(handle: int) -> str:
    """The mount that an open folder is on: a bind mount of the same file system has the same device."""
    with open(f"/proc/self/fdinfo/{handle}") as stream:
        return next((line for line in stream if line.startswith("mnt_id:")), "")


@dataclass
class Root:
    """An open folder that is cleaned. Close it."""

    path: str
    handle: int
    device: int
    mount: str

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str) -> Iterator[Root]:
        """Open the folder; links in its own path are the operator's and are followed. Raises NotCleanable, OSError."""
        real = os.path.realpath(path)
        require_cleanable(real)
        handle = os.open(real, _FOLDER)
        try:
            yield cls(real, handle, os.fstat(handle).st_dev, _mount(handle))
        finally:
            os.close(handle)

    def disk(self) -> Disk:
        """The file system that it is on."""
        found = os.fstatvfs(self.handle)
        return Disk((found.f_blocks - found.f_bfree) * found.f_frsize, found.f_bavail * found.f_frsize)

    @contextlib.contextmanager
    def folder(self, names: tuple[str, ...]) -> Iterator[int]:
        """Open a folder below, name by name. Raises OSError, Moved where one of them is a link or a mount point."""
        handle = os.dup(self.handle)
        try:
            for name in names:
                below = os.open(name, _FOLDER, dir_fd=handle)
                os.close(handle)
                handle = below
                if _mount(handle) != self.mount:
                    raise Moved(f"{name!r} is a mount point")
            yield handle
        finally:
            os.close(handle)

    def files(self) -> Iterator[File]:
        """All regular files below that are on the same mount. What changes meanwhile may or may not be seen."""
        waiting: list[tuple[str, ...]] = [()]
        while waiting:
            names = waiting.pop()
            with contextlib.suppress(OSError), self.folder(names) as handle, os.scandir(handle) as entries:
                for entry in entries:
                    if not names and entry.name.startswith(OWN_PREFIX):
                        continue
                    with contextlib.suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(status.st_mode):
                            waiting.append((*names, entry.name))
                        elif stat.S_ISREG(status.st_mode) and status.st_dev == self.device:
                            yield described(names, entry.name, status)


def described(folder: tuple[str, ...], name: str, status: os.stat_result) -> File:
    """A file as `stat` sees it. Blocks are of 512 bytes whatever the file system (stat(2))."""
    return File(
        folder=folder,
        name=name,
        device=status.st_dev,
        inode=status.st_ino,
        links=status.st_nlink,
        size=status.st_blocks * 512,
        length=status.st_size,
        modified=status.st_mtime_ns,
        changed=status.st_ctime_ns,
    )
