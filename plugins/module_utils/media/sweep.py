# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing files that others may write, replace or open in the same moment, without ever removing the wrong one.

A file is first renamed into a hidden folder of ours, where nobody can open it by name any more. Only then is it looked
at for the last time: is it the one that was chosen, unwritten since, and held by no process? If so it is removed, and
otherwise it goes back to its place. A notice of where each came from lies beside it before it is renamed, so that a
run that was killed is put right by the next one.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ansible_collections.smallhost.headroom.plugins.module_utils.media.rules import File
from ansible_collections.smallhost.headroom.plugins.module_utils.media.tree import OWN_PREFIX, Root

# One look at all processes serves so many files, and so many are away from their place for that long at most.
BATCH = 200
KEPT_SUFFIX = ".headroom-kept"
_NOTICE = "places"

# What link(2) says on a file system without hard links (exFAT, rclone, s3fs), and of a file that has all it may have.
_NO_LINKS = (errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK)

InUse = Callable[[], "set[tuple[int, int]]"]


@dataclass
class Outcome:
    """What was removed, and what was not with the reason."""

    removed: list[File] = field(default_factory=list)
    kept: list[tuple[File, str]] = field(default_factory=list)


def sweep(root: Root, files: Sequence[File], in_use: InUse) -> Outcome:
    """Remove the files. Raises OSError where the folder cannot be written, and whatever `in_use` raises.

    Nothing is lost then: what had been renamed is back in its place.
    """
    outcome = Outcome()
    for start in range(0, len(files), BATCH):
        _sweep_batch(root, files[start : start + BATCH], in_use, outcome)
    return outcome


def _sweep_batch(root: Root, files: Sequence[File], in_use: InUse, outcome: Outcome) -> None:
    name = f"{OWN_PREFIX}{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(name, 0o700, dir_fd=root.handle)
    held: dict[int, File] = {}
    try:
        with root.folder((name,)) as ours:
            _write_notice(ours, files)
            try:
                _take_all(root, ours, files, held, outcome)
                _remove_all(root, ours, in_use(), held, outcome)
            finally:
                _put_all_back(root, ours)
                os.unlink(_NOTICE, dir_fd=ours)
    finally:
        with contextlib.suppress(OSError):  # what could not be put back is for the next run
            os.rmdir(name, dir_fd=root.handle)


def _take_all(root: Root, ours: int, files: Sequence[File], held: dict[int, File], outcome: Outcome) -> None:
    for number, file in enumerate(files):
        reason = _take(root, ours, number, file)
        if reason is None:
            held[number] = file
        else:
            outcome.kept.append((file, reason))


def _remove_all(root: Root, ours: int, used: set[tuple[int, int]], held: dict[int, File], outcome: Outcome) -> None:
    for number, file in held.items():
        reason = _remove(ours, number, file, used)
        if reason is None:
            outcome.removed.append(file)
        else:
            outcome.kept.append((file, reason))
            _put_back(root, ours, str(number), file.folder, file.name)


def _write_notice(ours: int, files: Sequence[File]) -> None:
    places = [[*file.folder, file.name] for file in files]
    handle = os.open(_NOTICE, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=ours)
    with os.fdopen(handle, "w") as stream:
        json.dump(places, stream)  # ASCII: odd names are kept as escapes of their bytes (PEP 383)


def _same(file: File, status: os.stat_result) -> bool:
    """Whether this is the chosen file as it was chosen. Not its change time, which the rename itself moves on."""
    return (
        stat.S_ISREG(status.st_mode)
        and (status.st_dev, status.st_ino) == file.identity
        and (status.st_mtime_ns, status.st_size) == (file.modified, file.length)
    )


def _take(root: Root, ours: int, number: int, file: File) -> str | None:
    """Rename the file to its number in our folder; returns why it stays where it is, None where it came."""
    target = str(number)
    try:
        with root.folder(file.folder) as folder:
            if not _same(file, os.stat(file.name, dir_fd=folder, follow_symlinks=False)):
                return "changed"
            os.rename(file.name, target, src_dir_fd=folder, dst_dir_fd=ours)
    except FileNotFoundError:
        return "gone"
    except OSError as error:
        return f"cannot be moved: {error.strerror or error}"
    if _same(file, os.stat(target, dir_fd=ours, follow_symlinks=False)):
        return None
    # Somebody has put something else into its place between the two looks.
    _put_back(root, ours, target, file.folder, file.name)
    return "changed"


def _remove(ours: int, number: int, file: File, used: set[tuple[int, int]]) -> str | None:
    if file.identity in used:
        return "in use"
    if not _same(file, os.stat(str(number), dir_fd=ours, follow_symlinks=False)):
        return "changed"
    os.unlink(str(number), dir_fd=ours)
    return None


def _put_back(root: Root, ours: int, source: str, folder: tuple[str, ...], name: str) -> None:
    """Give it back its name; where that has been taken meanwhile, or its folder is gone, one with KEPT_SUFFIX."""
    try:
        with root.folder(folder) as place:
            for target in (name, *_other_names(name)):
                if _link(ours, source, place, target):
                    return
    except OSError:
        pass  # its folder is gone: the root folder is the nearest place
    for target in _other_names(name):
        if _link(ours, source, root.handle, target):
            return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), name)


def _other_names(name: str) -> list[str]:
    # 255 bytes are the longest name of nearly all file systems; a number makes it unique.
    short = os.fsdecode(os.fsencode(name)[:200])
    return [f"{short}{KEPT_SUFFIX}", *(f"{short}{KEPT_SUFFIX}-{os.urandom(4).hex()}" for _try in range(3))]


def _link(ours: int, source: str, place: int, target: str) -> bool:
    """Move by linking, which never replaces anything. What cannot be linked is renamed; a file after a look."""
    try:
        if stat.S_ISDIR(os.stat(source, dir_fd=ours, follow_symlinks=False).st_mode):
            os.rename(source, target, src_dir_fd=ours, dst_dir_fd=place)
            return True
        os.link(source, target, src_dir_fd=ours, dst_dir_fd=place, follow_symlinks=False)
    except (FileExistsError, NotADirectoryError):
        return False
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EISDIR):  # there is a folder of that name now
            return False
        if error.errno not in _NO_LINKS:
            raise
        with contextlib.suppress(FileNotFoundError):
            os.stat(target, dir_fd=place, follow_symlinks=False)
            return False
        os.rename(source, target, src_dir_fd=ours, dst_dir_fd=place)
        return True
    os.unlink(source, dir_fd=ours)
    return True


def recover(root: Root) -> int:
    """Put back what a run that was killed has left in its folder. Returns how many files that were."""
    found = 0
    with os.scandir(root.handle) as entries:
        left = [entry.name for entry in entries if entry.name.startswith(OWN_PREFIX)]
    for name in left:
        with contextlib.suppress(FileNotFoundError), root.folder((name,)) as ours:
            found += _put_all_back(root, ours)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_NOTICE, dir_fd=ours)
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=root.handle)
    return found


def _put_all_back(root: Root, ours: int) -> int:
    """Put back what is in our folder. Returns how many files that were; raises OSError once all have been tried."""
    with os.scandir(ours) as entries:
        numbers = [entry.name for entry in entries if entry.name.isdigit()]
    if not numbers:
        return 0
    handle = os.open(_NOTICE, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=ours)
    with os.fdopen(handle) as stream:
        places = json.load(stream)
    failed: list[OSError] = []
    for number in numbers:
        *folder, name = places[int(number)]
        try:
            _put_back(root, ours, number, tuple(folder), name)
        except OSError as error:
            failed.append(error)
    if failed:
        raise OSError(
            f"{len(failed)} of {len(numbers)} files could not be put back ({failed[0].strerror or failed[0]}) and are "
            f"in a folder {OWN_PREFIX}* of {root.path}. The next run tries again."
        ) from failed[0]
    return len(numbers)
