# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kernel's live values: names, values and the files below `/proc/sys` and `/sys` that hold them.

An *entry* is the path of one such file relative to the root, for example `proc/sys/vm/swappiness`. Everything here
works under an injectable root, so an image or a test never touches the running kernel.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PROC_SYS = "proc/sys/"
THP_FOLDER = "sys/kernel/mm/transparent_hugepage/"
THP_ENTRIES = {"enabled": THP_FOLDER + "enabled", "defrag": THP_FOLDER + "defrag"}

# Writing one of a pair sets the other to 0 (Documentation/admin-guide/sysctl/vm.rst: "dirty_bytes is the counterpart
# of dirty_ratio. Only one of them may be specified at a time"; the same for the other two pairs).
_PAIRS = (
    ("vm/dirty_bytes", "vm/dirty_ratio"),
    ("vm/dirty_background_bytes", "vm/dirty_background_ratio"),
    ("vm/overcommit_kbytes", "vm/overcommit_ratio"),
)
PARTNER: dict[str, str] = {
    PROC_SYS + one: PROC_SYS + other for pair in _PAIRS for one, other in (pair, tuple(reversed(pair)))
}
# Changing `enabled` starts or stops khugepaged, and that may change min_free_kbytes, up and down
# (mm/khugepaged.c, set_recommended_min_free_kbytes).
_MIN_FREE = PROC_SYS + "vm/min_free_kbytes"

_READ_ONLY_ERRORS = (errno.EROFS, errno.EACCES, errno.EPERM)
_GLOB_CHARACTERS = re.compile(r"[*?\[\]]")
_NAME = re.compile(r"[^\s=#;]+")


class KernelError(Exception):
    """A setting cannot be applied. The message says what happened and what to do."""


@dataclass(frozen=True)
class Wanted:
    """One wanted value. `name` is for people, `entry` for the kernel."""

    name: str
    entry: str
    value: str


def normalize_key(name: str) -> str:
    """The path of a key below /proc/sys, by the rules of sysctl.d(5).

    Where the first separator is a slash the name is a path already; where it is a dot, dots and slashes trade places
    (`net.ipv4.conf.eth0/100.rp_filter` is `net/ipv4/conf/eth0.100/rp_filter`).
    """
    first = next((character for character in name if character in "/."), None)
    if first == ".":
        name = name.translate(str.maketrans("./", "/."))
    return "/".join(part for part in name.split("/") if part)


def display_key(path: str) -> str:
    """The usual spelling of a path below /proc/sys: with dots, or with slashes where a part has a dot of its own."""
    return path if "." in path else path.replace("/", ".")


def setting_entry(name: str) -> str:
    """The entry of a sysctl key. Raises KernelError where the name cannot be one."""
    name = name.strip()
    path = normalize_key(name)
    if not _NAME.fullmatch(name) or name.startswith("-") or ".." in path.split("/") or "/" not in path:
        raise KernelError(f"{name!r} is not the name of a kernel setting; write it like vm.swappiness.")
    if _GLOB_CHARACTERS.search(name):
        raise KernelError(f"{name!r} is a pattern; name each setting, so that each can be checked and undone.")
    return PROC_SYS + path


def setting_value(name: str, value: Any) -> str:
    """The text to write for a value as YAML gave it. Raises KernelError for what YAML has bent.

    Runs of blanks become one space: the kernel takes them as the same, and prints tabs.
    """
    if isinstance(value, bool):
        raise KernelError(
            f"{name}: YAML made the boolean {value} of the value. Write 1 or 0, or put the word in quotes."
        )
    if not isinstance(value, (int, str)):
        raise KernelError(f"{name}: the value {value!r} is a {type(value).__name__}; write a number or a string.")
    text = " ".join(str(value).split())
    if not text or "\n" in str(value).strip():
        raise KernelError(f"{name}: the value {value!r} is empty or has several lines.")
    if text in ("True", "False"):
        raise KernelError(f"{name}: the value is {text!r}, which YAML made of a yes or no. Write 1 or 0.")
    return text


def wanted_settings(settings: Iterable[Mapping[str, Any]]) -> list[Wanted]:
    """Check a list of `{name, value}` as a whole. Raises KernelError for the first that cannot stand."""
    wanted: dict[str, Wanted] = {}
    for setting in settings:
        entry = setting_entry(setting["name"])
        name = display_key(entry[len(PROC_SYS) :])
        if entry in wanted:
            raise KernelError(f"{name} is given twice, as {wanted[entry].value!r} and as {setting['value']!r}.")
        wanted[entry] = Wanted(name, entry, setting_value(name, setting["value"]))
    for entry, item in wanted.items():
        partner = PARTNER.get(entry)
        if partner in wanted:
            raise KernelError(
                f"{item.name} and {wanted[partner].name} switch each other off: the kernel keeps the one that was "
                "written last and sets the other to 0. Give only one of them."
            )
    return list(wanted.values())


def wanted_hugepages(options: Mapping[str, str | None] | None) -> list[Wanted]:
    """The wanted transparent huge page modes, as entries."""
    return [
        Wanted(f"transparent_hugepage.{key}", THP_ENTRIES[key], value)
        for key in THP_ENTRIES
        for value in [(options or {}).get(key)]
        if value is not None
    ]


def _number(text: str) -> int | None:
    try:
        # The kernel reads numbers like strtoul(..., 0): a leading 0 means octal.
        return int(text, 8) if re.fullmatch(r"-?0[0-7]+", text) else int(text, 0)
    except ValueError:
        return None


def same_value(one: str | None, other: str | None) -> bool:
    """Whether the kernel takes the two texts for the same value (`0x10` and `16`, tabs and spaces)."""
    if one is None or other is None:
        return one is other
    ones, others = one.split(), other.split()
    if len(ones) != len(others):
        return False
    return all(a == b or (_number(a) is not None and _number(a) == _number(b)) for a, b in zip(ones, others))


def beside(entry: str) -> tuple[str, ...]:
    """The entries that the kernel may change by itself when this one is written."""
    if entry == THP_ENTRIES["enabled"]:
        return (_MIN_FREE,)
    return (PARTNER[entry],) if entry in PARTNER else ()


def write_order(values: Mapping[str, str]) -> list[tuple[str, str]]:
    """The writes that bring all of `values` about, in an order where none undoes another.

    Huge pages first, since they may raise min_free_kbytes. Of a pair, only the one that counts: the kernel sets the
    other to 0 by itself and refuses to be told so (EINVAL for dirty_bytes = 0).
    """
    writes = []
    for entry, value in sorted(values.items(), key=lambda item: not item[0].startswith(THP_FOLDER)):
        partner = PARTNER.get(entry)
        other = values.get(partner) if partner is not None else None
        if other is not None and value.strip() == "0" and (other.strip() != "0" or entry > str(partner)):
            continue
        writes.append((entry, value))
    return writes


class LiveTree:
    """The kernel's files under a root: `/` for the running kernel, a folder for an image or a test."""

    def __init__(self, root: str = "/") -> None:
        self.root = os.path.realpath(root)

    def path(self, entry: str) -> str:
        return os.path.join(self.root, entry)

    def holds(self, entry: str) -> bool:
        """False in an image without a kernel in it: there only files can be written."""
        return self.root == "/" or os.path.isdir(self.path(PROC_SYS if entry.startswith(PROC_SYS) else "sys/kernel/mm"))

    def _raw(self, entry: str) -> str | None:
        try:
            with open(self.path(entry), encoding="utf-8", errors="surrogateescape") as stream:
                return stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read(self, entry: str) -> str | None:
        """The value (of a choice `a [b] c` the chosen one), or None where this kernel has no such entry."""
        raw = self._raw(entry)
        if raw is None:
            return None
        chosen = re.search(r"\[([^\]]+)\]", raw) if entry.startswith(THP_FOLDER) else None
        return chosen.group(1) if chosen else " ".join(raw.split())

    def original(self, entry: str) -> str | None:
        """What to write to get exactly this state back: the text as it stands, of a choice the chosen one."""
        return self.read(entry) if entry.startswith(THP_FOLDER) else self._raw(entry)

    def choices(self, entry: str) -> list[str]:
        """The modes that this kernel offers for a choice, or nothing where it does not list them."""
        raw = self._raw(entry) or ""
        return re.findall(r"[^\s\[\]]+", raw) if "[" in raw else []

    def access(self, entry: str) -> str:
        """What can be done with an entry, found out by opening it and writing nothing.

        `ok`, `missing`, `fixed` (this kernel only shows it), `action` (it can be written, not read, like
        vm.drop_caches) or `readonly` (the file system or a missing privilege forbids it, as in a container).
        """
        path = self.path(entry)
        try:
            mode = os.stat(path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return "missing"
        if os.path.isdir(path):
            return "missing"
        if not mode & 0o444:
            return "action"
        if not mode & 0o222:
            return "fixed"
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
        except OSError as error:
            if error.errno in _READ_ONLY_ERRORS:
                return "readonly"
            raise
        return "ok"

    def write(self, entry: str, text: str) -> None:
        """Write in one call, as the kernel wants it. Raises OSError (EINVAL where the kernel rejects the value)."""
        offered = self._raw(entry) if self.choices(entry) else None
        self._put(entry, text)
        if offered is not None and self._raw(entry) == text:
            # No kernel answers here but a plain file, of an image or a test: show the choice as the kernel would.
            unmarked = offered.replace("[", "").replace("]", "")
            self._put(entry, re.sub(rf"(?<!\S){re.escape(text.strip())}(?!\S)", f"[{text.strip()}]", unmarked, count=1))
        partner = PARTNER.get(entry)
        if partner and os.path.getsize(self.path(entry)) and os.path.exists(self.path(partner)):
            # The kernel's own files have no size: a plain file again, whose partner nobody switches off.
            self._put(partner, "0")

    def _put(self, entry: str, text: str) -> None:
        handle = os.open(self.path(entry), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(handle, text.encode("utf-8", "surrogateescape"))
        finally:
            os.close(handle)
