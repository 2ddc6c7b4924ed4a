# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A swap file: how large, where it is said to systemd, and whether this host can have one. Plain data in and out."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ansible_collections.smallhost.headroom.plugins.module_utils import units

MIB = 1024 * 1024

# Half of the memory: on a host whose containers may not swap (limit = limit with swap) it is for the rest, the engine,
# the journal, a package run, an image build. More than 2 GiB of a 59 GB disk would only prolong a thrashing.
AUTO_SHARE = 0.5
AUTO_MOST, AUTO_LEAST = 2048 * MIB, 256 * MIB

# Below a tenth of the disk the audit calls a disk full soon; what swap takes must not bring it there.
DISK_KEPT_FREE = 0.10

# Room for what comes back from swap and for everything that allocates meanwhile.
SWAPOFF_MARGIN = 64 * MIB


class SwapError(Exception):
    """Swap cannot be given or taken away here. Nothing has been changed."""


@dataclass(frozen=True)
class Area:
    """One line of /proc/swaps; sizes in bytes."""

    path: str
    kind: str
    size: int
    used: int


def areas(text: str) -> list[Area]:
    """/proc/swaps: sizes are in KiB, blanks in a path are written as octal escapes, a deleted file is marked so."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 4:
            path = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[0])
            found.append(Area(path, fields[-4], int(fields[-3]) * 1024, int(fields[-2]) * 1024))
    return found


def auto_size(memory: int) -> int:
    """Bytes of swap for a host with so many bytes of memory, in whole MiB."""
    return int(min(AUTO_MOST, max(AUTO_LEAST, memory * AUTO_SHARE))) // MIB * MIB


def wanted_size(setting: str, memory: int) -> int:
    """Bytes, from `auto` or a size as in Compose. Raises units.SizeError, SwapError."""
    if setting == "auto":
        return auto_size(memory)
    size = units.parse_compose_size(setting) // MIB * MIB
    if size < MIB:
        raise SwapError(f"{setting} is less than 1 MiB of swap. Nothing was changed.")
    return size


def require_room(size: int, free: int, total: int, folder: str) -> None:
    """Raises SwapError where the disk would be nearly full afterwards. All in bytes."""
    left = free - size
    if left < total * DISK_KEPT_FREE:
        raise SwapError(
            f"a swap file of {units.human_size(size)} would leave {units.human_size(max(0, left))} of "
            f"{units.human_size(total)} free on the disk of {folder}, less than {DISK_KEPT_FREE:.0%}. Nothing was "
            "changed. Make room, or give a smaller `size`."
        )


def require_return(area: Area, available: int) -> None:
    """Raises SwapError where what is in the area would not fit into memory any more. Bytes."""
    if area.used + SWAPOFF_MARGIN > available:
        raise SwapError(
            f"{area.path} holds {units.human_size(area.used)}, and only {units.human_size(available)} of memory are "
            "available to take them back: the kernel would start killing. Nothing was changed. Free memory first, or "
            "restart the host and then try again."
        )


def unit_name(path: str) -> str:
    """The unit of systemd that a path has to have (systemd.unit(5), "String escaping for inclusion in unit names")."""
    text = "/".join(part for part in path.split("/") if part)
    if not text:
        raise SwapError(f"{path!r} is not the path of a file.")

    def escaped(index: int, character: str) -> str:
        if character == "/":
            return "-"
        if re.match(r"[A-Za-z0-9:_]", character) or (character == "." and index):
            return character
        return "".join(f"\\x{byte:02x}" for byte in character.encode())

    return "".join(escaped(index, character) for index, character in enumerate(text)) + ".swap"


def unit_text(path: str) -> str:
    """The unit that brings the file into use at boot."""
    return (
        "# Written by Ansible (smallhost.headroom.swap_file)\n"
        f"[Unit]\nDescription=Swap file {path}\n\n"
        f"[Swap]\nWhat={path}\n\n"
        "[Install]\nWantedBy=swap.target\n"
    )


def container_kind(environ: bytes, dockerenv: bool) -> str | None:
    """What kind of container this host is (from /proc/1/environ and /.dockerenv), None for a machine."""
    match = re.search(rb"(?:^|\0)container=([^\0]+)", environ)
    if match:
        return match[1].decode("utf-8", "replace")
    return "docker" if dockerenv else None
