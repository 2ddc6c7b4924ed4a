# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the commands of a RUN instruction do: system packages, Python packages, compiling, something else."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

# Installing with these fills site-packages (or what is compiled), wherever in a shell text they stand.
_INSTALLS = re.compile(
    r"(?:^|[\s;&|(/])(?:pip3?(?:\.\d+)?\s+(?:[^;&|]*\s)?install\b|poetry\s+(?:[^;&|]*\s)?(?:install|sync)\b"
    r"|uv\s+(?:[^;&|]*\s)?(?:sync|install)\b|pipenv\s+(?:[^;&|]*\s)?(?:install|sync)\b|pdm\s+(?:[^;&|]*\s)?(?:install|sync)\b"
    r"|python\d?(?:\.\d+)?\s+setup\.py\s+\S*)"
)
_COMPILES = re.compile(r"(?:^|[\s;&|(/])(?:make|cmake|gcc|g\+\+|cc|cargo|rustup|ninja|meson|configure)(?:\s|$|;)")
_APT = re.compile(r"(?:^|[\s;&|(/])(?:apt|apt-get|aptitude)\s")
_OTHER_PACKAGES = re.compile(r"(?:^|[\s;&|(/])(?:apk|yum|dnf|microdnf|zypper|pacman|conda|mamba|micromamba)\s")
# A list of apt's, its cache: what a chain may clean up.
_CLEANING = re.compile(
    r"^(?:rm\s+-\S+(?:\s+(?:/var/(?:lib/apt|cache)/\S*|/tmp/\S*|/var/tmp/\S*|/root/\.cache\S*))+|true|:)$"
)
# What files do not show that are new or changed: owners, modes, accounts, folders that are still empty.
_SETS_UP = re.compile(
    r"(?:^|[\s;&|(/\"'])(?:chown|chgrp|chmod|mkdir|useradd|adduser|usermod|groupadd|addgroup|groupmod)\s"
    r"|(?:^|[;&|(])\s*install\s(?:[^;&|]*\s)?(?:-\w*d|--directory)"
)
_COMPLEX = frozenset(";&|()<>`")
_STATEFUL = ("cd", "export", "source", ".", "exec", "eval", "if", "for", "while", "case", "unset", "umask")

# Debian's packages that only building needs. Sources: the dependencies of build-essential, and what READMEs of Python
# packages with extensions ask for.
_BUILD_ONLY_NAMES = """
autoconf automake autotools-dev binutils bison build-essential bzip2-dev cargo clang cmake cpp dpkg-dev flex fakeroot
g++ gcc gcc-multilib g++-multilib gfortran golang golang-go libtool llvm make meson nasm ninja-build patch patchelf
pkg-config pkgconf python3-dev python-dev python3-wheel rustc scons swig yasm
"""
_BUILD_ONLY = frozenset(_BUILD_ONLY_NAMES.split())
_VERSIONED = re.compile(r"^(?:gcc|g\+\+|cpp|clang|llvm|gfortran|cmake)-\d+(?:\.\d+)?$")


@dataclass(frozen=True)
class AptInstall:
    """`apt-get install`: the words in front of the packages, and the packages."""

    words: tuple[str, ...]
    packages: tuple[str, ...]


def commands(text: str) -> list[str] | None:
    """The commands of a chain of `&&`, or None where the shell text is anything else."""
    try:
        lexer = shlex.shlex(text, posix=False, punctuation_chars=";&|()<>")
        lexer.whitespace_split = True
        lexer.commenters = ""
        tokens = list(lexer)
    except ValueError:
        return None
    found: list[list[str]] = [[]]
    for token in tokens:
        if token == "&&":
            found.append([])
        elif set(token) <= _COMPLEX:
            return None
        else:
            found[-1].append(token)
    if not all(found) or "`" in text or "$(" in text:
        return None
    return [" ".join(words) for words in found]


def installs(text: str) -> bool:
    """Whether something in it installs Python packages."""
    return bool(_INSTALLS.search(text))


def compiles(text: str) -> bool:
    """Whether something in it compiles."""
    return bool(_COMPILES.search(text))


def sets_up(text: str) -> bool:
    """Whether something in it sets an owner or a mode, or makes an account or a folder."""
    return bool(_SETS_UP.search(text))


def only_sets_up(command: str) -> bool:
    """Whether that is what the command is for. `chmod +x ./configure` configures nothing."""
    return bool(_SETS_UP.match(command.strip()))


def serves_compiling(command: str) -> bool:
    """Whether a command is of the kind that prepares a folder of sources: `mkdir build`, `chmod +x configure`."""
    return bool(re.match(r"\s*(?:mkdir|chmod)\s", command))


def done_again(command: str) -> str:
    """A command that sets something up, for a place to which the files of its chain have come already.

    A folder may be there. A file may be missing that only building needed.
    """
    words = shlex.split(command, posix=False)
    if words[0] == "mkdir":
        return " ".join(["mkdir -p", *words[1:]])
    if words[0] in ("chown", "chgrp", "chmod"):
        last = [word for word in words if not word.startswith("-")][-1]
        return f"(test ! -e {last} || {command})"
    return command


def uses_apt(text: str) -> bool:
    """Whether something in it is apt's."""
    return bool(_APT.search(text))


def other_packages(text: str) -> str | None:
    """The package manager of another system than Debian's that it uses, or None."""
    match = _OTHER_PACKAGES.search(text)
    return match[0].strip(" ;&|(/") if match else None


def is_stateful(command: str) -> bool:
    """Whether a command has an effect on those after it in its chain, so that it cannot be taken apart."""
    words = command.split()
    return words[0] in _STATEFUL or bool(re.match(r"^[A-Za-z_]\w*=\S*$", command))


def is_housekeeping(command: str) -> bool:
    """Whether a command only fetches lists or cleans up after apt."""
    words = [word for word in command.split() if not re.match(r"^[A-Z_]+=", word)]
    if words and words[0] in ("apt", "apt-get"):
        verbs = [word for word in words[1:] if not word.startswith("-")]
        return bool(verbs) and verbs[0] in ("update", "clean", "autoclean", "autoremove", "purge", "remove")
    return bool(_CLEANING.match(command))


def apt_install(command: str) -> AptInstall | None:
    """The parts of an `apt-get install`, or None for another command."""
    words, head = command.split(), []
    while words and re.match(r"^[A-Za-z_]\w*=", words[0]):
        head.append(words.pop(0))
    if words and words[0] == "sudo":
        head.append(words.pop(0))
    if not words or words[0] not in ("apt", "apt-get"):
        return None
    packages, seen, takes_value = [], False, False
    for word in words:
        if takes_value or word.startswith("-"):
            head.append(word)
            takes_value = not takes_value and word in ("-o", "-t", "-c", "--option", "--target-release")
        elif seen:
            packages.append(word)
        else:
            head.append(word)
            seen = word == "install"
    return AptInstall(tuple(head), tuple(packages)) if seen else None


def build_only(package: str, listed: Iterable[str] = ()) -> bool:
    """Whether a Debian package serves only building. `listed`: names that the operator adds."""
    name = re.split(r"[=/:]", package)[0]
    return name.endswith("-dev") or name in _BUILD_ONLY or name in set(listed) or bool(_VERSIONED.match(name))


def requirement_files(text: str) -> list[str]:
    """The files behind `-r` of pip's commands, in their order."""
    return re.findall(r"(?:\s-r\s*|\s--requirement[\s=])([^\s;&|]+)", text) if installs(text) else []


def joined(parts: Sequence[str]) -> str:
    """Commands as one RUN instruction, one a line."""
    return "RUN " + " \\\n    && ".join(parts)
