# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a build gets to see of its context, and one hash of it."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence

# Changes with every commit and fetch, and with no effect on what is built.
_VERSION_CONTROL = (".git", ".hg", ".svn")
_BLOCK = 1 << 20


def ignore_rules(text: str) -> list[tuple[bool, re.Pattern[str]]]:
    """The rules of a .dockerignore: (whether it excludes, pattern). Source: docs.docker.com/build/concepts/context."""
    rules = []
    for line in text.lstrip("\ufeff").splitlines():
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        excludes = not word.startswith("!")
        cleaned = os.path.normpath(word.lstrip("!").strip()).lstrip("/")
        if cleaned not in ("", "."):
            rules.append((excludes, re.compile(_expression(cleaned))))
    return rules


def _expression(pattern: str) -> str:
    """Go's filepath.Match, with `**` for any number of folders, as a regular expression."""
    found, index = "", 0
    while index < len(pattern):
        letter = pattern[index]
        if pattern.startswith("**/", index):
            found, index = found + "(?:.*/)?", index + 3
        elif pattern.startswith("**", index):
            found, index = found + ".*", index + 2
        elif letter == "[" and "]" in pattern[index:]:
            end = pattern.index("]", index)
            found, index = found + pattern[index : end + 1], end + 1
        elif letter == "\\" and index + 1 < len(pattern):
            found, index = found + re.escape(pattern[index + 1]), index + 2
        else:
            found += {"*": "[^/]*", "?": "[^/]"}.get(letter, re.escape(letter))
            index += 1
    return f"^{found}$"


def is_ignored(path: str, rules: Sequence[tuple[bool, re.Pattern[str]]]) -> bool:
    """Whether a path (relative to the context) is left out: the last rule that meets it or a folder above counts."""
    parts = path.split("/")
    above = ["/".join(parts[: length + 1]) for length in range(len(parts))]
    ignored = False
    for excludes, pattern in rules:
        if excludes != ignored and any(pattern.match(name) for name in above):
            ignored = excludes
    return ignored


def ignore_file(context: str, dockerfile: str) -> str | None:
    """The ignore file that counts: the Dockerfile's own (BuildKit) or the context's, or None."""
    for path in (dockerfile + ".dockerignore", os.path.join(context, ".dockerignore")):
        if os.path.isfile(path):
            return path
    return None


def files(context: str, rules: Sequence[tuple[bool, re.Pattern[str]]], apart: Iterable[str]) -> Iterator[str]:
    """The paths, relative to the context and sorted, of all that a build gets. `apart`: absolute paths to pass over."""
    passed = {os.path.realpath(path) for path in apart}
    has_exceptions = any(not excludes for excludes, _pattern in rules)
    for folder, folders, names in os.walk(context):
        place = os.path.relpath(folder, context)
        inner = "" if place == "." else place + "/"
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        folders[:] = sorted(
            name
            for name in folders
            if name not in links
            and name not in _VERSION_CONTROL
            and os.path.realpath(os.path.join(folder, name)) not in passed
            and (has_exceptions or not is_ignored(inner + name, rules))
        )
        for name in sorted([*names, *links]):
            if not is_ignored(inner + name, rules) and os.path.join(os.path.realpath(folder), name) not in passed:
                yield inner + name


def content_hash(
    dockerfile: str,
    settings: Mapping[str, object],
    context: str,
    rules: Sequence[tuple[bool, re.Pattern[str]]],
    apart: Iterable[str],
) -> str:
    """Hex digest of a Dockerfile's text, the build's settings, and names, modes and bytes of all that a build gets.

    Raises OSError where a file cannot be read.
    """
    digest = hashlib.sha256()
    digest.update(f"{dockerfile}\0{sorted(settings.items())!r}\0".encode())
    for path in files(context, rules, apart):
        full = os.path.join(context, path)
        try:
            status = os.lstat(full)
        except FileNotFoundError:
            continue
        digest.update(f"{path}\0{status.st_mode & 0o111:o}\0".encode("utf-8", "surrogateescape"))
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.readlink(full).encode("utf-8", "surrogateescape"))
        elif stat.S_ISREG(status.st_mode):
            digest.update(f"{status.st_size}\0".encode())
            with open(full, "rb") as stream:
                while block := stream.read(_BLOCK):
                    digest.update(block)
    return digest.hexdigest()


# What a full Python image has and the slim one lacks, where an application may start it: program -> Debian package.
PROGRAMS: dict[str, str] = {
    "curl": "curl",
    "wget": "wget",
    "git": "git",
    "hg": "mercurial",
    "svn": "subversion",
    "ssh": "openssh-client",
    "scp": "openssh-client",
    "ps": "procps",
    "pgrep": "procps",
    "pkill": "procps",
    "top": "procps",
    "free": "procps",
    "vmstat": "procps",
    "pidof": "sysvinit-utils",
    "file": "file",
    "unzip": "unzip",
    "convert": "imagemagick",
    "identify": "imagemagick",
    "mogrify": "imagemagick",
    "gpg": "gnupg",
    "sq": "sq",
    "mysql_config": "default-libmysqlclient-dev",
    "pg_config": "libpq-dev",
    "gcc": "gcc",
    "make": "make",
}
_CALLS = re.compile(
    r"(?:subprocess|Popen|os\.system|os\.popen|shutil\.which|create_subprocess|check_output|check_call)"
)
_NAMES = "|".join(sorted(PROGRAMS))
_IN_PYTHON = re.compile(rf"[\"'](?:/usr/bin/)?({_NAMES})(?=[\"'\s])")
_IN_SHELL = re.compile(
    rf"(?:^|[|&;(`]|\b(?:if|while|until|then|do|exec|timeout \d+|!)\s)\s*({_NAMES})(?=\s|$)", re.MULTILINE
)
_MAX_SOURCE = 1 << 20


def programs_started(context: str, paths: Iterable[str]) -> set[str]:
    """Programs of PROGRAMS that the context's Python and shell files seem to start. Errs on the side of finding one."""
    found: set[str] = set()
    for path in paths:
        python, script = path.endswith(".py"), path.endswith((".sh", ".bash"))
        full = os.path.join(context, path)
        if not (python or script) or os.path.islink(full) or os.path.getsize(full) > _MAX_SOURCE:
            continue
        with open(full, encoding="utf-8", errors="replace") as stream:
            text = stream.read()
        if script:
            found.update(_IN_SHELL.findall(text))
        elif _CALLS.search(text):
            found.update(_IN_PYTHON.findall(text))
    return found
