# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and set the flags of a command line as it stands in a compose file.

A command is a string, which Compose splits with go-shellwords, or a list of words. Either may hand a script to a shell
(``sh -c "exec uvicorn app:app --workers 2"``). Text is edited in place: a word that is not changed keeps every
character, quotes and line breaks included, and a string stays a string.

Words are the compose file's own text, before interpolation: ``${WORKERS:-2}`` is one word, and a literal dollar in a
value is written ``$$``, as in the file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Union

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.programs import (
    PROGRAMS,
    Program,
    choose,
    known,
    simple_commands,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import (
    Cell,
    CommandError,
    Scanner,
    Word,
    encode,
    literal,
    plain,
)

Value = Union[str, int, Sequence[str], None]

_DEFAULT = re.compile(r"^(\$\$?\{[A-Za-z_]\w*:?-)[^${}]*(\})$")


@dataclass(frozen=True)
class _Flag:
    """One occurrence: its name's word, and its values' words or (`--flag=value`) the end of that same word."""

    name: str
    index: int
    values: tuple[Word, ...] = ()
    glued: tuple[Cell, ...] | None = None

    @property
    def texts(self) -> tuple[str, ...]:
        if self.glued is not None:
            return ("".join(cell.char for cell in self.glued),)
        return tuple(word.text for word in self.values)


class _Edit(NamedTuple):
    """Text to write over `start`..`end` of one item; or, with `items`, list items to put in place of `start`..`end`."""

    item: int
    start: int
    end: int
    text: str = ""
    items: tuple[str, ...] | None = None


@dataclass(frozen=True)
class CommandLine:
    """A command line, its program and flags; the `with_` and `without_` methods give a changed copy.

    `value` has the form that was parsed, a string or a list. `program` is a known program's name (`uvicorn`,
    `rq worker`, `redis-server`, ...), otherwise the first word's base name; empty when there is none.
    """

    value: str | list[str]
    program: str
    _words: tuple[Word, ...] = field(repr=False)  # from the program's name on
    _chosen: str | None = field(default=None, repr=False)
    _entrypoint: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def parse(
        cls, value: str | Sequence[str], entrypoint: Sequence[str] = (), program: str | None = None
    ) -> CommandLine:
        """Parse a `command`.

        `entrypoint` are the words that the container starts before it (`["sh", "-c"]`); they are read, never changed.
        `program` names the wanted program where a script starts several, or where the command holds only its flags.
        Raises CommandError for an unreadable command, or one that starts several known programs and none is named.
        """
        own = value if isinstance(value, str) else [str(item) for item in value]
        line = [literal(-1, word, fixed=True) for word in entrypoint]
        if isinstance(own, str):
            commands = Scanner(plain(own), 0, posix=False).commands()
            line += commands[0] if commands else []
        else:
            line += [literal(index, word) for index, word in enumerate(own)]
        name, words = choose(list(simple_commands(line)), program)
        return cls(own, name, words, program, tuple(entrypoint))

    @property
    def words(self) -> tuple[str, ...]:
        """The unquoted words of the program's own command, its name first."""
        return tuple(word.text for word in self._words)

    @property
    def positionals(self) -> tuple[str, ...]:
        """The words after the program's name (and subcommand) that are neither flags nor their values."""
        taken = {id(self._words[flag.index]) for flag in self._flags()}
        taken |= {id(word) for flag in self._flags() for word in flag.values}
        lead = 0 if self._implied else len(self.program.split())
        return tuple([word.text for word in self._words if id(word) not in taken][lead:])

    def get(self, flag: str) -> str | None:
        """The flag's value: what the last occurrence says, several values parted by a space; None when it is absent."""
        found = self.get_all(flag)
        return " ".join(found[-1]) if found else None

    def get_all(self, flag: str) -> list[tuple[str, ...]]:
        """The values of every occurrence of the flag, under any of its names, in order."""
        return [found.texts for found in self._flags() if self._same(found.name, flag)]

    @property
    def flags(self) -> list[tuple[str, tuple[str, ...]]]:
        """Every flag with its values, in order."""
        return [(flag.name, flag.texts) for flag in self._flags()]

    def has(self, flag: str) -> bool:
        """Whether the flag stands in the command, with or without a value."""
        return bool(self.get_all(flag))

    def with_flag(self, flag: str, value: Value, keep_interpolation: bool = True) -> CommandLine:
        """Set a flag: change its last occurrence in place and drop any others, or add it; None sets it without a value.

        With `keep_interpolation`, `${WORKERS:-2}` becomes `${WORKERS:-1}`. Whether the variable is set elsewhere is not
        known here: the caller looks at the effective value and, where it did not follow, asks again without.
        Raises CommandError where the flag belongs to the entrypoint, or the program starts from a variable.
        """
        wanted = _texts(value)
        found = [one for one in self._flags() if self._same(one.name, flag)]
        if not found:
            return self.with_added_flag(flag, value)
        if keep_interpolation and len(wanted) == 1 and len(found[-1].texts) == 1:
            default = _DEFAULT.match(found[-1].texts[0])
            if default:
                wanted = (f"{default[1]}{wanted[0]}{default[2]}",)
        if found[-1].texts == wanted and len(found) == 1:
            return self
        edits = [edit for one in found[:-1] for edit in self._removal(one)]
        edits += self._replacement(found[-1], wanted)
        return self._changed(edits, flag, [wanted])

    def with_added_flag(self, flag: str, value: Value) -> CommandLine:
        """Add one more occurrence after the last word (`--save 60 1 --save 300 10`)."""
        wanted = _texts(value)
        if not self._words:
            if self._chosen is None:
                raise CommandError(f"there is no command to add {flag} to")
        elif re.match(r"^\$\$?[\w{]", self._words[0].text):
            raise CommandError(
                f"the command starts from the variable {self._words[0].text}: change {flag} where that is set"
            )
        before = self.get_all(flag)
        place = next((i for i, word in enumerate(self._words) if word.text == "--"), len(self._words))
        return self._changed(self._insertion(place, (flag, *wanted)), flag, [*before, wanted])

    def without_flag(self, flag: str) -> CommandLine:
        """Take every occurrence of the flag out, with its values."""
        found = [one for one in self._flags() if self._same(one.name, flag)]
        return self._changed([edit for one in found for edit in self._removal(one)], flag, []) if found else self

    # What follows turns a change into edits of the written text.

    @property
    def _implied(self) -> bool:
        return self._chosen is not None and (not self._words or not known(self._words, self._chosen))

    def _spec(self) -> Program:
        return PROGRAMS.get(self.program, Program())

    def _same(self, one: str, other: str) -> bool:
        spec = self._spec()
        if spec.any_case:
            one, other = one.lower(), other.lower()
        return one == other or any(one in names and other in names for names in spec.aliases)

    def _flags(self) -> list[_Flag]:
        found: list[_Flag] = []
        index = 0 if self._implied else 1
        while index < len(self._words):
            text = self._words[index].text
            if text == "--":
                break
            flag = self._flag(index) if len(text) > 1 and text.startswith("-") and not _number(text) else None
            if flag:
                found.append(flag)
                index += len(flag.values)
            index += 1
        return found

    def _flag(self, index: int) -> _Flag:
        spec, word = self._spec(), self._words[index]
        text = word.text
        if spec.all_many:
            return _Flag(text, index, self._following(index, many=True))
        name, equals, _rest = text.partition("=")
        if equals:
            return _Flag(name, index, glued=word.cells[len(name) + 1 :])
        short = text[:2]
        names = {name for group in spec.aliases for name in group} | spec.switches
        if not text.startswith("--") and len(text) > 2 and text not in names and short in names - spec.switches:
            return _Flag(short, index, glued=word.cells[2:])
        if text in spec.switches:
            return _Flag(text, index)
        return _Flag(text, index, self._following(index, many=text in spec.many))

    def _following(self, index: int, many: bool) -> tuple[Word, ...]:
        taken: list[Word] = []
        for word in self._words[index + 1 :]:
            starts = "--" if self._spec().all_many else "-"
            if (word.text.startswith(starts) and not _number(word.text)) or (taken and not many):
                break
            taken.append(word)
        return tuple(taken)

    def _replacement(self, flag: _Flag, wanted: tuple[str, ...]) -> list[_Edit]:
        word = self._words[flag.index]
        if flag.glued is not None and len(wanted) == 1:
            return [_over(word, flag.glued, wanted[0])]
        if flag.glued is None and len(flag.values) == len(wanted):
            return [_over(old, old.cells, new) for old, new in zip(flag.values, wanted) if old.text != new]
        if flag.glued is not None:
            after = flag.index + 1
            return [*self._cut(flag.index, after), *self._insertion(after, (flag.name, *wanted))]
        after = flag.index + 1 + len(flag.values)
        return [*self._cut(flag.index + 1, after), *self._insertion(after, wanted, gap=" ")]

    def _removal(self, flag: _Flag) -> list[_Edit]:
        return self._cut(flag.index, flag.index + 1 + len(flag.values))

    def _cut(self, first: int, after: int) -> list[_Edit]:
        """Take out words and the space before them, so that the rest stands as if they had never been written."""
        if first == after:
            return []
        start, end = self._words[first], self._words[after - 1]
        if start.fixed or end.fixed:
            raise CommandError(f"{start.text} stands in the entrypoint, which is not this command's text")
        if start.whole:
            return [_Edit(-1, start.item, end.item + 1, items=())]
        if first and self._words[first - 1].item == start.item:
            return [_Edit(start.item, self._words[first - 1].end, end.end)]
        return [_Edit(start.item, start.start, self._words[after].start if after < len(self._words) else end.end)]

    def _insertion(self, place: int, texts: Sequence[str], gap: str = "") -> list[_Edit]:
        """Write words before the word at `place`, parted as the flags there already are."""
        if not texts:
            return []
        before = self._words[place - 1] if place else None
        if before is None or (before.fixed and before.whole):
            if isinstance(self.value, str):
                text = " ".join(encode(text, ("",)) for text in texts)
                return [_Edit(0, 0, 0, text + (" " if self.value else ""))]
            return [_Edit(-1, 0, 0, items=tuple(texts))]
        if before.fixed:
            raise CommandError(f"{texts[0]} belongs into the entrypoint's script, which is not this command's text")
        if before.whole:
            return [_Edit(-1, before.item + 1, before.item + 1, items=tuple(texts))]
        text = " ".join(encode(text, ("",)) for text in texts)
        if "" in before.within:
            return [_Edit(before.item, before.end, before.end, encode(" " + text, before.within))]
        gap = gap or self._gap(place)
        return [_Edit(before.item, before.end, before.end, gap + encode(text, before.within))]

    def _gap(self, place: int) -> str:
        """A space, or the line break and indentation that stand before the last flag."""
        for flag in reversed([flag.index for flag in self._flags() if 0 < flag.index < place]):
            first, second = self._words[flag - 1], self._words[flag]
            gap = _item(self.value, first.item)[first.end : second.start] if first.item == second.item else ""
            return gap if "\n" in gap else " "
        return " "

    def _changed(self, edits: list[_Edit], flag: str, wanted: list[tuple[str, ...]]) -> CommandLine:
        changed = CommandLine.parse(_apply(self.value, edits), self._entrypoint, self._chosen)
        if changed.get_all(flag) != wanted or changed._others(flag) != self._others(flag):
            raise CommandError(f"{flag} cannot be set in this command without changing something else in it")
        return changed

    def _others(self, flag: str) -> tuple[object, ...]:
        flags = [(one.name, one.texts) for one in self._flags() if not self._same(one.name, flag)]
        return (self.program, self.positionals, flags)


def _item(value: str | list[str], index: int) -> str:
    return value if isinstance(value, str) else value[index]


def _number(text: str) -> bool:
    return bool(re.match(r"^-[\d.]+$", text))


def _texts(value: Value) -> tuple[str, ...]:
    if value is None:
        return ()
    return (str(value),) if isinstance(value, (str, int)) else tuple(str(one) for one in value)


def _over(word: Word, cells: tuple[Cell, ...], text: str) -> _Edit:
    """Write `text` over the last `cells` of a word, inside the quotes that they have."""
    if word.fixed:
        raise CommandError(f"{word.text} stands in the entrypoint, which is not this command's text")
    if word.whole:
        return _Edit(word.item, word.end - len(cells), word.end, text)
    if cells and len({cell.quotes for cell in cells}) == 1:
        return _Edit(word.item, cells[0].start, cells[-1].end, encode(text, cells[0].quotes))
    lead = word.text[: len(word.cells) - len(cells)]
    return _Edit(word.item, word.start, word.end, encode(lead + text, (*word.within, "")))


def _apply(value: str | list[str], edits: Sequence[_Edit]) -> str | list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    # From the back, and at one place cuts before insertions, so that positions stay true.
    for edit in sorted((one for one in edits if one.items is None), key=lambda one: (one.start, one.end), reverse=True):
        text = texts[edit.item]
        texts[edit.item] = text[: edit.start] + edit.text + text[edit.end :]
    for edit in sorted(
        (one for one in edits if one.items is not None), key=lambda one: (one.start, one.end), reverse=True
    ):
        texts[edit.start : edit.end] = edit.items or ()
    return texts[0] if isinstance(value, str) else texts
