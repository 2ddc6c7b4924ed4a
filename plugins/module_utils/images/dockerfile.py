# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Dockerfiles as instructions (docs.docker.com/reference/dockerfile), with their text kept as it stands.

A parser of our own, because none that is kept up is on the target: Debian 12 packages none, and BuildKit's own
(`docker buildx build --call`) needs a newer BuildKit than Debian 12's engine has. What is needed of one is small:
where an instruction begins and ends. What this one does not understand (here-documents, a broken JSON form) it
refuses, so that a Dockerfile is never half understood.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_HEREDOC = re.compile(r"<<-?\s*[\"']?[A-Za-z_]")
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:[-+])([^}]*))?\})")
_KEYWORDS = """
ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL
MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR
"""
_KNOWN = frozenset(_KEYWORDS.split())


class DockerfileError(ValueError):
    """A Dockerfile that is not understood. The text says what in it."""


@dataclass(frozen=True)
class Instruction:
    """One instruction. `text` is the source with its line breaks; `value` what follows the keyword, on one line."""

    keyword: str
    value: str
    text: str
    line: int

    @property
    def options(self) -> dict[str, str]:
        """`--from=build --chown=app` in front of the value, without the dashes."""
        return dict(_option(word) for word in self._split()[0])

    @property
    def argument(self) -> str:
        """The value without its options."""
        return self._split()[1]

    def _split(self) -> tuple[list[str], str]:
        rest, options = self.value, []
        while match := re.match(r"(--[a-z][a-z-]*(?:=\S*)?)(?:\s+|$)", rest):
            options.append(match[1])
            rest = rest[match.end() :]
        return options, rest

    @property
    def words(self) -> list[str] | None:
        """The words of a value in JSON form, or None where it has another form."""
        if not self.argument.startswith("["):
            return None
        try:
            found = json.loads(self.argument)
        except ValueError:
            return None
        return found if isinstance(found, list) and all(isinstance(word, str) for word in found) else None


def _option(word: str) -> tuple[str, str]:
    name, _equals, value = word[2:].partition("=")
    return name, value


@dataclass(frozen=True)
class Dockerfile:
    """A file's instructions; `directives` are those at its top (`syntax`, `escape`, `check`)."""

    instructions: tuple[Instruction, ...]
    directives: Mapping[str, str]

    @property
    def stages(self) -> list[Instruction]:
        """The `FROM` instructions."""
        return [entry for entry in self.instructions if entry.keyword == "FROM"]


def parse(text: str) -> Dockerfile:
    """Take a Dockerfile's text apart. Raises DockerfileError where something in it is not understood."""
    lines = text.replace("\r\n", "\n").lstrip("\ufeff").split("\n")
    directives = _directives(lines)
    if directives.get("escape", "\\") != "\\":
        raise DockerfileError("it sets another escape character than the backslash")
    found, index = [], 0
    while index < len(lines):
        if not lines[index].strip() or lines[index].lstrip().startswith("#"):
            index += 1
            continue
        end = _end(lines, index)
        found.append(_instruction(lines[index:end], index + 1))
        index = end
    if not found:
        raise DockerfileError("it is empty")
    return Dockerfile(tuple(found), directives)


def _directives(lines: Sequence[str]) -> dict[str, str]:
    """Parser directives stand at the very top, before any other comment or instruction."""
    found: dict[str, str] = {}
    for line in lines:
        match = re.match(r"^#\s*([a-z]+)\s*=\s*(\S+)\s*$", line)
        if not match or match[1] not in ("syntax", "escape", "check"):
            break
        found[match[1]] = match[2]
    return found


def _end(lines: Sequence[str], start: int) -> int:
    """The index after an instruction's last line; comments and empty lines do not end a continued one."""
    index = start
    while index < len(lines):
        line = lines[index]
        passing = index > start and (not line.strip() or line.lstrip().startswith("#"))
        index += 1
        if not passing and not line.rstrip().endswith("\\"):
            break
    return index


def _instruction(lines: Sequence[str], number: int) -> Instruction:
    kept = [
        line.rstrip()
        for place, line in enumerate(lines)
        if place == 0 or (line.strip() and not line.lstrip().startswith("#"))
    ]
    joined = " ".join(line[:-1].strip() if line.endswith("\\") else line.strip() for line in kept).strip()
    keyword, _blank, value = joined.partition(" ")
    keyword = keyword.upper()
    if keyword not in _KNOWN:
        raise DockerfileError(f"line {number}: {keyword[:30]} is no instruction")
    if keyword in ("RUN", "COPY", "ADD") and _HEREDOC.search(value):
        raise DockerfileError(f"line {number}: it has a here-document")
    return Instruction(keyword, value.strip(), "\n".join(kept), number)


def substitute(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables replaced, as `FROM` and `COPY` do it. Raises DockerfileError for an unknown one."""

    def value(match: re.Match[str]) -> str:
        name, operator, word = match[1] or match[2], match[3], match[4] or ""
        known = values.get(name)
        if operator == ":-":
            return known or word
        if operator == ":+":
            return word if known else ""
        if known is None:
            raise DockerfileError(f"the variable {name} has no value")
        return known

    return _VARIABLE.sub(value, text)


def assignments(value: str) -> list[tuple[str, str | None]]:
    """The names and defaults of an `ARG` instruction; None: no default."""
    found: list[tuple[str, str | None]] = []
    for word in value.split():
        name, equals, default = word.partition("=")
        found.append((name, default.strip("\"'") if equals else None))
    return found
