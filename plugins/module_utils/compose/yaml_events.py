# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PyYAML's pure-Python parser, brought nearer to the parser that Compose uses, with the positions of ``-`` and ``:``.

The pure one, not libyaml's: its marks are exact character offsets on every platform, with CRLF and wide characters.
"""

from __future__ import annotations

import re
import traceback
import typing as t

try:
    from yaml import events
    from yaml.error import MarkedYAMLError, YAMLError
    from yaml.parser import Parser
    from yaml.reader import Reader
    from yaml.scanner import Scanner, ScannerError
    from yaml.tokens import ScalarToken
except ImportError:
    YAML_IMPORT_ERROR: str | None = traceback.format_exc()
    # Three different bases, so that the class below can be made; nothing is read without PyYAML.
    Parser, Reader, Scanner = (type(name, (), {}) for name in ("Parser", "Reader", "Scanner"))  # type: ignore[assignment,misc]
    events = None  # type: ignore[assignment]
else:
    YAML_IMPORT_ERROR = None

BREAKS = "\r\n\x85\u2028\u2029"
_BLANKS = " \t"
_END = "\0" + BREAKS
_ANY_END = re.compile(f"[{_END}]")
_BLANK_RUN = re.compile(f"[{_BLANKS}]*")
_PLAIN = re.compile(f"(?:[^{_BLANKS}{_END}:]|:(?![{_BLANKS}{_END}]))*")
_PLAIN_IN_FLOW = re.compile(f"(?:[^{_BLANKS}{_END}:,?\\[\\]{{}}]|:(?![{_BLANKS}{_END}]))*")


class Events(Reader, Scanner, Parser):
    """The events of one text. ``dashes`` and ``colons`` are offsets of the block entry and value indicators read."""

    # PyYAML's own, which it leaves untyped.
    pointer: int
    allow_simple_key: bool

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.dashes: list[int] = []
        self.colons: list[int] = []
        self.questions: list[int] = []

    def fetch_block_entry(self) -> None:
        self.dashes.append(self.index)
        super().fetch_block_entry()

    def fetch_value(self) -> None:
        self.colons.append(self.index)
        super().fetch_value()

    def fetch_key(self) -> None:
        self.questions.append(self.index)
        super().fetch_key()

    def scan_to_next_token(self) -> None:
        """Skip a tab too where it separates tokens (after ``:``, before a comment), as libyaml and go-yaml do."""
        while True:
            while self.peek() == " " or (self.peek() == "\t" and (self.flow_level or not self.allow_simple_key)):
                self.forward()
            if self.peek() == "\t" and self._only_comment_ahead():
                self._skip_to_break()
            if self.peek() == "#":
                self._skip_to_break()
            if not self.scan_line_break():
                return
            if not self.flow_level:
                self.allow_simple_key = True

    def _only_comment_ahead(self) -> bool:
        ahead = self.peek(self._length_of(_BLANK_RUN))
        return ahead == "#" or ahead in _END

    def _skip_to_break(self) -> None:
        end = t.cast("re.Match[str]", _ANY_END.search(self.buffer, self.pointer)).start()
        self.forward(end - self.pointer)

    def scan_plain(self) -> t.Any:
        """Read an unquoted scalar by go-yaml's rules: ``a:b`` is text inside of ``[]``, too, and tabs may be inside."""
        chunks: list[str] = []
        spaces: list[str] | None = []
        start = end = self.get_mark()
        indent = self.indent + 1
        while self.peek() != "#":
            length = self._plain_length()
            if length == 0:
                break
            self.allow_simple_key = False
            chunks.extend(spaces or [])
            chunks.append(self.prefix(length))
            self.forward(length)
            end = self.get_mark()
            spaces = self.scan_plain_spaces(indent, start)
            if not spaces or (not self.flow_level and self.column < indent):
                break
        return ScalarToken("".join(chunks), True, start, end)

    def _plain_length(self) -> int:
        return self._length_of(_PLAIN_IN_FLOW if self.flow_level else _PLAIN)

    def _length_of(self, pattern: re.Pattern[str]) -> int:
        """Return how many characters from here on match; the whole text is in the buffer, with a NUL at its end."""
        return t.cast("re.Match[str]", pattern.match(self.buffer, self.pointer)).end() - self.pointer

    def forward(self, length: int = 1) -> None:
        """Move on; in one step where no line ends, for PyYAML's own goes character by character."""
        end = self.pointer + length
        if _ANY_END.search(self.buffer, self.pointer, end) or "\ufeff" in self.buffer[self.pointer : end]:
            super().forward(length)
        else:
            self.pointer = end
            self.index += length
            self.column += length

    def scan_plain_spaces(self, indent: int, start_mark: t.Any) -> list[str] | None:
        """Return what stands for the blanks and line breaks inside of an unquoted scalar, None where it ends."""
        length = self._length_of(_BLANK_RUN)
        blanks = self.prefix(length)
        self.forward(length)
        if self.peek() not in BREAKS:
            return [blanks] if blanks else []
        first = self.scan_line_break()
        self.allow_simple_key = True
        breaks: list[str] = []
        while not self._at_document_mark():
            if self.peek() == "\t" and self.column < indent:
                raise ScannerError(
                    "while scanning a plain scalar", start_mark, "found a tab in the indentation", self.get_mark()
                )
            if self.peek() in _BLANKS:
                self.forward()
            elif self.peek() in BREAKS:
                breaks.append(self.scan_line_break())
            else:
                folded = [first] if first != "\n" else [] if breaks else [" "]
                return [*folded, *breaks]
        return None

    def _at_document_mark(self) -> bool:
        return self.column == 0 and self.prefix(3) in ("---", "...") and self.peek(3) in _BLANKS + _END


def read_events(text: str) -> tuple[list[t.Any], Events]:
    """Return all parser events of a text, and the parser with its offsets. Raises yaml.YAMLError."""
    parser = Events(text)
    found = []
    while parser.check_event():
        found.append(parser.get_event())
    return found, parser


__all__ = ["BREAKS", "YAML_IMPORT_ERROR", "Events", "MarkedYAMLError", "YAMLError", "events", "read_events"]
