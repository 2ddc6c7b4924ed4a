# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files processes have open or mapped, those in containers included."""

from __future__ import annotations

import contextlib
import os


class CannotSee(OSError):
    """This user may not look at other users' processes."""


def open_files(device: int, proc: str = "/proc") -> set[tuple[int, int]]:
    """(device, inode) of all files of a device that a process of this host holds, by descriptor or by mapping.

    A container's processes are the host's. Raises CannotSee where a process does not let itself be looked at.
    """
    found: set[tuple[int, int]] = set()
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                found |= _descriptors(f"{proc}/{name}/fd", device)
                found |= _mappings(f"{proc}/{name}/maps", device)
            except PermissionError as error:
                raise CannotSee(
                    f"which files process {name} has open cannot be seen: run this as root. Nothing was removed."
                ) from error
            except OSError:
                continue  # it has ended
    return found


def _descriptors(folder: str, device: int) -> set[tuple[int, int]]:
    found = set()
    for descriptor in os.listdir(folder):
        place = f"{folder}/{descriptor}"
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # A socket or a pipe is no file; a look at one that hangs (a dead network share) would hang too.
            if os.readlink(place).startswith("/"):
                status = os.stat(place)
                if status.st_dev == device:
                    found.add((status.st_dev, status.st_ino))
    return found


def _mappings(path: str, device: int) -> set[tuple[int, int]]:
    """A file stays mapped when its descriptor is closed. Columns of /proc/PID/maps: proc(5)."""
    found = set()
    with open(path, "rb") as stream:
        for line in stream:
            _range, _mode, _offset, numbers, inode = line.split(None, 5)[:5]
            if inode != b"0":
                major, _colon, minor = numbers.partition(b":")
                if os.makedev(int(major, 16), int(minor, 16)) == device:
                    found.add((device, int(inode)))
    return found
