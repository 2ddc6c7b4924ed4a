# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which programs a health check starts, and where its container would look for them. Nothing is run or read here.

What cannot be told for sure (a program named by a variable, a quoting that is not understood) is left out.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import CommandError, Scanner, plain

# The engine's PATH for a container whose image sets none (moby, oci/defaults.go, DefaultPathEnv).
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")

_SHELLS = ("sh", "bash", "ash", "dash", "zsh")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
_NAME = re.compile(r"^[\w./+-]*[A-Za-z][\w./+-]*$")
# The shell's keywords and built-in programs (POSIX.1-2017, Shell Command Language 2.4, 2.14 and 1.6).
_KEYWORD_WORDS = "if then elif else do while until ! { time exec command"
_KEYWORDS = frozenset(_KEYWORD_WORDS.split())
_BUILTIN_WORDS = """
exit return true false test [ [[ : . source echo printf cd set unset export read eval trap shift local kill wait umask
ulimit type fi done esac case for function } ]] break continue alias getopts hash jobs let declare
"""
_BUILTINS = frozenset(_BUILTIN_WORDS.split())


def alternatives(test: Sequence[str], shell: Sequence[str] = DEFAULT_SHELL) -> list[list[str]]:
    """The programs that the check (`Config.Healthcheck.Test`) starts, for each of its alternatives (`curl || wget`).

    The check can succeed where every program of one alternative is there. Empty where there is no check, or nothing
    is known.
    """
    if len(test) < 2:
        return []
    if test[0] == "CMD":
        if posixpath.basename(test[1]) in _SHELLS and len(test) > 3 and re.match(r"^-[a-z]*c$", test[2]):
            return _with_shell(test[1], _script(test[3]))
        return [[test[1]]]
    if test[0] == "CMD-SHELL":
        return _with_shell((shell or DEFAULT_SHELL)[0], _script(test[1]))
    return []


def _with_shell(shell: str, found: list[list[str]]) -> list[list[str]]:
    return [[shell, *programs] for programs in found] or [[shell]]


def _script(text: str) -> list[list[str]]:
    found = []
    for part in text.split("||"):
        try:
            commands = Scanner(plain(part), 0, posix=True).commands()
        except CommandError:
            return []
        programs = [name for name in (_program([word.text for word in command]) for command in commands) if name]
        if programs:
            found.append(list(dict.fromkeys(programs)))
    return found


def _program(words: Sequence[str]) -> str | None:
    """The program of a simple command; what it starts in turn (`timeout 5 curl`) is not looked for."""
    left = list(words)
    while left and (left[0] in _KEYWORDS or _ASSIGNMENT.match(left[0])):
        left.pop(0)
    return left[0] if left and left[0] not in _BUILTINS and _NAME.match(left[0]) else None


def places(program: str, path: str | None, folder: str | None) -> list[str]:
    """The absolute paths under which a container with this PATH and working directory would find the program."""
    folder = folder or "/"
    if "/" in program:
        return [posixpath.normpath(posixpath.join(folder, program))]
    return [
        posixpath.join(posixpath.join(folder, entry), program) for entry in (path or DEFAULT_PATH).split(":") if entry
    ]


def missing(found: Sequence[Sequence[str]], exists: Callable[[str], bool]) -> list[str]:
    """The programs that are not there, where no alternative has all of its own; empty where one can succeed."""
    lacking = [[program for program in programs if not exists(program)] for programs in found]
    if not all(lacking):
        return []
    return list(dict.fromkeys(program for programs in lacking for program in programs))
