# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reading a file, and replacing it so that no reader and no crash ever meets half of it."""

from __future__ import annotations

import contextlib
import glob
import os
import stat
import tempfile
from typing import BinaryIO


def read(path: str) -> bytes | None:
    """The bytes of the file, or None where there is none. Raises OSError for every other failure."""
    try:
        with open(path, "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def _sync_folder(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _copy_attributes(path: str, handle: int) -> None:
    """SELinux labels and the like. File systems without them say so, which is no loss."""
    with contextlib.suppress(OSError, AttributeError):
        for name in os.listxattr(path):
            with contextlib.suppress(OSError):
                os.setxattr(handle, name, os.getxattr(path, name))


def replace(path: str, data: bytes, mode: int | None = None, owner: tuple[int, int] | None = None) -> None:
    """Put `data` at `path` in one step: a temporary file in the same folder, fsync, rename, fsync of the folder.

    A symbolic link stays a link and its target is replaced. Mode, owner and extended attributes of the file that
    is replaced are kept unless `mode` (permission bits) or `owner` (uid, gid) is given; a new file gets 0644.
    Raises OSError (for example on a full disk); the old file is then untouched and no temporary file is left.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    try:
        existing: os.stat_result | None = os.stat(target)
    except FileNotFoundError:
        existing = None
    handle, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(target)}.", suffix=".headroom", dir=folder)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            if existing is not None:
                _copy_attributes(target, stream.fileno())
                owner = owner or (existing.st_uid, existing.st_gid)
            made = os.fstat(stream.fileno())  # its group may be that of a folder with the setgid bit
            if owner is not None and owner != (made.st_uid, made.st_gid):
                os.fchown(stream.fileno(), *owner)
            kept = stat.S_IMODE(existing.st_mode) if existing is not None else 0o644
            os.fchmod(stream.fileno(), kept if mode is None else mode)
            os.fsync(stream.fileno())
        os.rename(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _sync_folder(folder)


def sweep(path: str) -> None:
    """Remove the temporary files of runs that were killed while they replaced this file. Hold its lock meanwhile."""
    folder, name = os.path.split(os.path.realpath(path))
    for left in glob.glob(os.path.join(glob.escape(folder), f".{glob.escape(name)}.????????.headroom")):
        with contextlib.suppress(OSError):
            os.unlink(left)


def overwrite(path: str, data: bytes) -> None:
    """Put `data` into the existing file itself: for one that is bind-mounted, where a rename would break the mount.

    Not atomic: a reader may meet half of it. When writing fails, the bytes before are put back as far as possible.
    Raises OSError.
    """
    with open(path, "r+b") as stream:
        before = stream.read()
        try:
            _rewrite(stream, data)
        except OSError:
            with contextlib.suppress(OSError):
                _rewrite(stream, before)
            raise


def _rewrite(stream: BinaryIO, data: bytes) -> None:
    stream.seek(0)
    stream.write(data)
    stream.truncate()
    stream.flush()
    os.fsync(stream.fileno())


def remove(path: str) -> None:
    """Delete the file for good (the folder is synced); nothing happens where there is none."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    _sync_folder(os.path.dirname(os.path.realpath(path)))
