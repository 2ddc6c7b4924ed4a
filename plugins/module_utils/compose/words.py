# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of a command line, each with the place where it is written, so that one can be changed and the rest kept.

Compose splits a string command with go-shellwords: any character may be escaped, ``\\n`` is a line break, and
everything from the first unquoted shell operator on is dropped. A script for ``sh -c`` is split as a POSIX shell does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

_SAFE = re.compile(r"^[\w@%+=:,./${}-]+$")


class CommandError(ValueError):
    """The command cannot be read, or the wanted flag cannot be put into it; the message says which and why."""


class Cell(NamedTuple):
    """One character after unquoting, and the characters of the written text that make it."""

    char: str
    start: int
    end: int
    quotes: tuple[str, ...]  # the quoting it stands in, outermost first: "", "'" or '"'


@dataclass(frozen=True)
class Word:
    """A word of item `item` (0 for a string); `start`, `end` include its quotes; `within` is the quoting around it."""

    item: int
    start: int
    end: int
    cells: tuple[Cell, ...]
    within: tuple[str, ...]
    whole: bool = False  # is a list item, not a part of some text
    fixed: bool = False  # belongs to the entrypoint: readable, not ours to change

    @property
    def text(self) -> str:
        return "".join(cell.char for cell in self.cells)


class Scanner:
    """Splits characters into simple commands of words: as a POSIX shell does, or as go-shellwords (not `posix`)."""

    def __init__(self, cells: Sequence[Cell], item: int, posix: bool) -> None:
        self.cells, self.item, self.posix = cells, item, posix
        self.at = 0

    def commands(self) -> list[list[Word]]:
        found: list[list[Word]] = [[]]
        skip_next = False
        while self.at < len(self.cells):
            char = self.cells[self.at].char
            if char in " \t\r" or (char == "\n" and not self.posix):
                self.at += 1
            elif self.posix and char == "\\" and self._peek() == "\n":
                self.at += 2
            elif char in "<>" and self.posix:
                self.at += 1
                while self.at < len(self.cells) and self.cells[self.at].char in "<>&":
                    self.at += 1
                skip_next = True
            elif char in ";&|<>" and not self.posix:
                break  # go-shellwords stops at the first shell operator: Compose runs only what stands before it
            elif char in ";&|\n()":
                self.at += 1
                found.append([])
            elif char == "#" and self.posix:
                while self.at < len(self.cells) and self.cells[self.at].char != "\n":
                    self.at += 1
            else:
                word = self._word()
                descriptor = word.text.isdigit() and self.at < len(self.cells) and self.cells[self.at].char in "<>"
                if not skip_next and not descriptor:
                    found[-1].append(word)
                skip_next = False
        return [command for command in found if command]

    def _peek(self) -> str:
        return self.cells[self.at + 1].char if self.at + 1 < len(self.cells) else ""

    def _word(self) -> Word:
        first = self.cells[self.at]
        cooked: list[Cell] = []
        stop = " \t\r\n;&|<>()" if self.posix else " \t\r\n;&|<>"
        quote = ""
        while self.at < len(self.cells):
            cell = self.cells[self.at]
            if not quote and cell.char in stop:
                break
            if cell.char == quote or (not quote and cell.char in "\"'"):
                quote = "" if quote else cell.char
                self.at += 1
            elif cell.char == "\\" and quote != "'":
                self._escaped(cooked, quote)
            elif cell.char in "$`" and quote != "'":
                self._expansion(cooked, quote)
            else:
                cooked.append(Cell(cell.char, cell.start, cell.end, (*cell.quotes, quote)))
                self.at += 1
        if quote:
            raise CommandError(f"the command has an unclosed {quote} quote")
        return Word(self.item, first.start, self.cells[self.at - 1].end, tuple(cooked), first.quotes)

    def _escaped(self, cooked: list[Cell], quote: str) -> None:
        cell, char = self.cells[self.at], self._peek()
        if not char:
            raise CommandError("the command ends with a backslash")
        end = self.cells[self.at + 1].end
        if self.posix and quote and char not in '"\\$`\n':
            cooked.append(Cell("\\", cell.start, cell.end, (*cell.quotes, quote)))
            self.at += 1
            return
        if not self.posix:
            char = {"n": "\n", "t": "\t"}.get(char, char)
        if not (self.posix and char == "\n"):
            cooked.append(Cell(char, cell.start, end, (*cell.quotes, quote)))
        self.at += 2

    def _expansion(self, cooked: list[Cell], quote: str) -> None:
        """Take `${...}`, `$(...)`, their `$$` forms and backticks whole: spaces in them part no words."""
        start = self.at
        opener = self.cells[self.at].char
        self.at += 1
        if opener == "`":
            while self.at < len(self.cells) and self.cells[self.at].char != "`":
                self.at += 1
            self.at += 1
        else:
            while self.at < len(self.cells) and self.cells[self.at].char == "$":
                self.at += 1
            closing = {"{": "}", "(": ")"}.get(self.cells[self.at].char if self.at < len(self.cells) else "")
            depth = 0
            while closing and self.at < len(self.cells):
                char = self.cells[self.at].char
                depth += (char in "{(") - (char in ")}")
                self.at += 1
                if depth == 0:
                    break
            if depth:
                raise CommandError("the command has an unclosed ${ or $(")
        if self.at > len(self.cells):
            raise CommandError("the command has an unclosed backtick")
        cooked.extend(Cell(c.char, c.start, c.end, (*c.quotes, quote)) for c in self.cells[start : self.at])


def encode(text: str, quotes: Sequence[str]) -> str:
    """Write `text` so that it reads the same inside the given quoting (outermost first)."""
    for quote in reversed(quotes):
        if quote == "'":
            text = text.replace("'", "'\\''")
        elif quote == '"':
            text = re.sub(r'(["\\`])', r"\\\1", text)
        elif not _SAFE.match(text):
            text = "'" + text.replace("'", "'\\''") + "'"
    return text


def literal(item: int, text: str, fixed: bool = False) -> Word:
    return Word(item, 0, len(text), tuple(plain(text)), (), whole=True, fixed=fixed)


def plain(text: str) -> list[Cell]:
    return [Cell(char, index, index + 1, ()) for index, char in enumerate(text)]
