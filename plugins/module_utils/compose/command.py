# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Read and set the flags of a command line as it stands in a compose file.

A command is a string, which Compose splits with go-shellwords, or a list of words. Either may hand a script to a shell
(``sh -c "exec uvicorn app:app --workers 2"``). Text is edited in place: a word that is not changed keeps every character,
quotes and line breaks included, and a string stays a string.

Words are the compose file's own text, before interpolation: ``${WORKERS:-2}`` is one word, and a literal dollar in a value
is written ``$$``, as in the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Iterator, NamedTuple, Sequence, Union

Value = Union[str, int, Sequence[str], None]

_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh"})
_PYTHON = re.compile(r"^python(\d(\.\d+)?)?$")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
_SAFE = re.compile(r"^[\w@%+=:,./${}-]+$")
_DEFAULT = re.compile(r"^(\$\$?\{[A-Za-z_]\w*:?-)[^${}]*(\})$")
# Words that only start another program: shell keywords, and the starters met in published compose files.
_STARTERS = frozenset(
    {"exec", "env", "time", "nohup", "command", "if", "then", "else", "do", "while", "until", "!", "{", "tini", "dumb-init"}
    | {"nice", "ionice", "chrt", "timeout", "stdbuf", "numactl", "gosu", "su-exec", "setpriv", "catatonit", "poetry", "pipenv"}
    | {"uv", "pdm", "hatch", "newrelic-admin", "ddtrace-run", "opentelemetry-instrument", "doppler", "infisical", "dotenv"}
    | {"docker-entrypoint.sh", "wait-for-it", "wait-for", "dockerize"}
)


class CommandError(ValueError):
    """The command cannot be read, or the wanted flag cannot be put into it; the message says which and why."""


class _Program(NamedTuple):
    """How a program reads its flags: `aliases` are names of one flag, `switches` take no value, `many` take several."""

    aliases: tuple[tuple[str, ...], ...] = ()
    switches: frozenset[str] = frozenset()
    many: frozenset[str] = frozenset()
    subcommands: tuple[str, ...] = ()
    all_many: bool = False  # every flag takes all words up to the next flag
    any_case: bool = False


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# From the programs' own --help: uvicorn 0.51, gunicorn 24, rq 3.0, celery 5.6, arq 0.27, dramatiq 2.0; Redis: config.c, server.c.
_REDIS = _Program(all_many=True, any_case=True)
_PROGRAMS: dict[str, _Program] = {
    "uvicorn": _Program(
        switches=_words(
            "--reload --http2 --access-log --no-access-log --use-colors --no-use-colors --proxy-headers --no-proxy-headers"
            " --server-header --no-server-header --date-header --no-date-header --version --reset-contextvars --factory --help"
        )
    ),
    "gunicorn": _Program(
        aliases=(
            ("-w", "--workers"), ("-b", "--bind"), ("-c", "--config"), ("-k", "--worker-class"), ("-t", "--timeout"),
            ("-e", "--env"), ("-p", "--pid"), ("-u", "--user"), ("-g", "--group"), ("-m", "--umask"), ("-n", "--name"),
            ("-D", "--daemon"), ("-R", "--enable-stdio-inheritance"), ("--error-logfile", "--log-file"),
        ),
        switches=_words(
            "--reload --spew --check-config --print-config --preload --no-sendfile --reuse-port -D --daemon --initgroups -R"
            " --enable-stdio-inheritance --disable-redirect-access-to-syslog --capture-output --log-syslog --help -h -v --version"
            " --suppress-ragged-eofs --do-handshake-on-connect --no-control-socket --enable-backlog-metric --strip-header-spaces"
            " --permit-obsolete-folding --permit-unconventional-http-method --permit-unconventional-http-version"
            " --casefold-http-method"
        ),
    ),
    "rq worker": _Program(
        aliases=(
            ("-b", "--burst"), ("-n", "--name"), ("-u", "--url"), ("-c", "--config"), ("-P", "--path"), ("-v", "--verbose"),
            ("-s", "--with-scheduler"), ("-w", "--worker-class"), ("-j", "--job-class"), ("-S", "--serializer"),
            ("-q", "--quiet"), ("-ds", "--dequeue-strategy"), ("--logging_level", "--logging-level"),
            ("-d", "--disable-default-exception-handler"),
        ),
        switches=_words(
            "-b --burst -v --verbose -q --quiet -s --with-scheduler -d --disable-default-exception-handler"
            " --disable-job-desc-logging --help"
        ),
    ),
    "rq worker-pool": _Program(
        aliases=(
            ("-b", "--burst"), ("-n", "--num-workers"), ("-u", "--url"), ("-c", "--config"), ("-P", "--path"),
            ("-l", "--logging-level"), ("-w", "--worker-class"), ("-j", "--job-class"), ("-S", "--serializer"),
            ("-v", "--verbose"), ("-q", "--quiet"),
        ),
        switches=_words("-b --burst -v --verbose -q --quiet --help"),
    ),
    "rq": _Program(subcommands=("worker-pool", "worker")),
    "celery worker": _Program(
        aliases=(
            ("-c", "--concurrency"), ("-A", "--app"), ("-b", "--broker"), ("-l", "--loglevel"), ("-n", "--hostname"),
            ("-Q", "--queues"), ("-P", "--pool"), ("-O", "--optimization"), ("-B", "--beat"), ("-D", "--detach"),
            ("-S", "--statedb"), ("-X", "--exclude-queues"), ("-I", "--include"), ("-s", "--schedule", "--schedule-filename"),
            ("-E", "--task-events", "--events"), ("-f", "--logfile"), ("--purge", "--discard"), ("-q", "--quiet"),
        ),
        switches=_words(
            "-B --beat -D --detach -E --task-events --events --purge --discard --without-gossip --without-mingle"
            " --without-heartbeat --disable-prefetch -q --quiet --no-color -C --help --version"
        ),
    ),
    "celery": _Program(subcommands=("worker", "beat", "flower"), aliases=(("-A", "--app"), ("-b", "--broker"))),
    "arq": _Program(switches=_words("-V --version --burst --no-burst --check -v --verbose --help"), aliases=(("-v", "--verbose"),)),
    "dramatiq": _Program(
        aliases=(
            ("-p", "--processes"), ("-t", "--threads"), ("-P", "--path"), ("-Q", "--queues"), ("-f", "--fork-function"),
            ("-v", "--verbose"), ("-i", "--watch-include"), ("-x", "--watch-exclude"),
        ),
        switches=_words("--skip-logging --use-spawn --watch-use-polling --version -v --verbose --help -h"),
        many=_words("--path -P --queues -Q"),
    ),
    "redis-server": _REDIS,
    "valkey-server": _REDIS,
    "keydb-server": _REDIS,
}  # fmt: skip


class _Cell(NamedTuple):
    """One character after unquoting, and the characters of the written text that make it."""

    char: str
    start: int
    end: int
    quotes: tuple[str, ...]  # the quoting it stands in, outermost first: "", "'" or '"'


@dataclass(frozen=True)
class _Word:
    """A word of item `item` (0 for a string); `start`, `end` include its quotes; `within` is the quoting around it."""

    item: int
    start: int
    end: int
    cells: tuple[_Cell, ...]
    within: tuple[str, ...]
    whole: bool = False  # is a list item, not a part of some text
    fixed: bool = False  # belongs to the entrypoint: readable, not ours to change

    @property
    def text(self) -> str:
        return "".join(cell.char for cell in self.cells)


class _Scanner:
    """Splits characters into simple commands of words, as a POSIX shell does or, for Compose's own strings, go-shellwords."""

    def __init__(self, cells: Sequence[_Cell], item: int, posix: bool) -> None:
        self.cells, self.item, self.posix = cells, item, posix
        self.at = 0

    def commands(self) -> list[list[_Word]]:
        found: list[list[_Word]] = [[]]
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

    def _word(self) -> _Word:
        first = self.cells[self.at]
        cooked: list[_Cell] = []
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
                cooked.append(_Cell(cell.char, cell.start, cell.end, (*cell.quotes, quote)))
                self.at += 1
        if quote:
            raise CommandError(f"the command has an unclosed {quote} quote")
        return _Word(self.item, first.start, self.cells[self.at - 1].end, tuple(cooked), first.quotes)

    def _escaped(self, cooked: list[_Cell], quote: str) -> None:
        cell, char = self.cells[self.at], self._peek()
        if not char:
            raise CommandError("the command ends with a backslash")
        end = self.cells[self.at + 1].end
        if self.posix and quote and char not in '"\\$`\n':
            cooked.append(_Cell("\\", cell.start, cell.end, (*cell.quotes, quote)))
            self.at += 1
            return
        if not self.posix:
            char = {"n": "\n", "t": "\t"}.get(char, char)
        if not (self.posix and char == "\n"):
            cooked.append(_Cell(char, cell.start, end, (*cell.quotes, quote)))
        self.at += 2

    def _expansion(self, cooked: list[_Cell], quote: str) -> None:
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
        cooked.extend(_Cell(c.char, c.start, c.end, (*c.quotes, quote)) for c in self.cells[start : self.at])


def _encode(text: str, quotes: Sequence[str]) -> str:
    """Write `text` so that it reads the same inside the given quoting (outermost first)."""
    for quote in reversed(quotes):
        if quote == "'":
            text = text.replace("'", "'\\''")
        elif quote == '"':
            text = re.sub(r'(["\\`])', r"\\\1", text)
        elif not _SAFE.match(text):
            text = "'" + text.replace("'", "'\\''") + "'"
    return text


@dataclass(frozen=True)
class _Flag:
    """One occurrence: the word with its name, the words with its values, or the end of the same word (`--flag=value`)."""

    name: str
    index: int
    values: tuple[_Word, ...] = ()
    glued: tuple[_Cell, ...] | None = None

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
    _words: tuple[_Word, ...] = field(repr=False)  # from the program's name on
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
        line = [_literal(-1, word, fixed=True) for word in entrypoint]
        if isinstance(own, str):
            commands = _Scanner(_plain(own), 0, posix=False).commands()
            line += commands[0] if commands else []
        else:
            line += [_literal(index, word) for index, word in enumerate(own)]
        name, words = _choose(list(_simple_commands(line)), program)
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
            raise CommandError(f"the command starts from the variable {self._words[0].text}: change {flag} where that is set")
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
        return self._chosen is not None and (not self._words or not _known(self._words, self._chosen))

    def _spec(self) -> _Program:
        return _PROGRAMS.get(self.program, _Program())

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

    def _following(self, index: int, many: bool) -> tuple[_Word, ...]:
        taken: list[_Word] = []
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
                text = " ".join(_encode(text, ("",)) for text in texts)
                return [_Edit(0, 0, 0, text + (" " if self.value else ""))]
            return [_Edit(-1, 0, 0, items=tuple(texts))]
        if before.fixed:
            raise CommandError(f"{texts[0]} belongs into the entrypoint's script, which is not this command's text")
        if before.whole:
            return [_Edit(-1, before.item + 1, before.item + 1, items=tuple(texts))]
        text = " ".join(_encode(text, ("",)) for text in texts)
        if "" in before.within:
            return [_Edit(before.item, before.end, before.end, _encode(" " + text, before.within))]
        gap = gap or self._gap(place)
        return [_Edit(before.item, before.end, before.end, gap + _encode(text, before.within))]

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


def _plain(text: str) -> list[_Cell]:
    return [_Cell(char, index, index + 1, ()) for index, char in enumerate(text)]


def _literal(item: int, text: str, fixed: bool = False) -> _Word:
    return _Word(item, 0, len(text), tuple(_plain(text)), (), whole=True, fixed=fixed)


def _over(word: _Word, cells: tuple[_Cell, ...], text: str) -> _Edit:
    """Write `text` over the last `cells` of a word, inside the quotes that they have."""
    if word.fixed:
        raise CommandError(f"{word.text} stands in the entrypoint, which is not this command's text")
    if word.whole:
        return _Edit(word.item, word.end - len(cells), word.end, text)
    if cells and len({cell.quotes for cell in cells}) == 1:
        return _Edit(word.item, cells[0].start, cells[-1].end, _encode(text, cells[0].quotes))
    lead = word.text[: len(word.cells) - len(cells)]
    return _Edit(word.item, word.start, word.end, _encode(lead + text, (*word.within, "")))


def _apply(value: str | list[str], edits: Sequence[_Edit]) -> str | list[str]:
    texts = [value] if isinstance(value, str) else list(value)
    # From the back, and at one place cuts before insertions, so that positions stay true.
    for edit in sorted((one for one in edits if one.items is None), key=lambda one: (one.start, one.end), reverse=True):
        text = texts[edit.item]
        texts[edit.item] = text[: edit.start] + edit.text + text[edit.end :]
    for edit in sorted((one for one in edits if one.items is not None), key=lambda one: (one.start, one.end), reverse=True):
        texts[edit.start : edit.end] = edit.items or ()
    return texts[0] if isinstance(value, str) else texts


def _base(text: str) -> str:
    return text.rsplit("/", 1)[-1]


def _simple_commands(words: Sequence[_Word]) -> Iterator[Sequence[_Word]]:
    """The command itself, or those of the script that it hands to a shell; starters such as `exec` are left out."""
    words = _started(words)
    if not words or _base(words[0].text) not in _SHELLS:
        yield words
        return
    for index, word in enumerate(words[1:-1], start=1):
        if re.match(r"^-[a-z]*c[a-z]*$", word.text):
            script = words[index + 1]
            for command in _Scanner(script.cells, script.item, posix=True).commands():
                inner = [_Word(w.item, w.start, w.end, w.cells, w.within, fixed=script.fixed) for w in command]
                yield from _simple_commands(inner)
            return
    yield words


def _started(words: Sequence[_Word]) -> Sequence[_Word]:
    """Leave out what only starts another program: assignments, `exec`, `tini --`, `wait-for-it.sh db:5432 --`, `python -m`."""
    while words and (_ASSIGNMENT.match(words[0].text) or _known(words, None) is None):
        name = _base(words[0].text)
        if _PYTHON.match(name):
            options = [i for i, word in enumerate(words[1:], start=1) if not word.text.startswith("-") or word.text == "-m"]
            if options and words[options[0]].text == "-m" and _known(words[options[0] + 1 :], None):
                return words[options[0] + 1 :]
            return words
        if not (_ASSIGNMENT.match(name) or name in _STARTERS or name.endswith(".sh")):
            return words
        rest = words[1:]
        known = [i for i in range(len(rest)) if _known(rest[i:], None) or _base(rest[i].text) in _SHELLS]
        words = rest[known[0] :] if known else rest
        if not known:
            return words
    return words


def _known(words: Sequence[_Word], wanted: str | None) -> str | None:
    """The known program that the first word names (with its subcommand), if it is the wanted one."""
    name = _base(words[0].text) if words else ""
    name = "rq" if name == "rq.cli" else name
    if name not in _PROGRAMS or " " in name:
        return None
    texts = [word.text for word in words]
    name = next((f"{name} {sub}" for sub in _PROGRAMS[name].subcommands if sub in texts), name)
    return name if wanted in (None, name, name.split()[0]) else None


def _choose(commands: list[Sequence[_Word]], wanted: str | None) -> tuple[str, tuple[_Word, ...]]:
    """The command that starts the wanted program, or the only known one, or else the last."""
    commands = [command for command in commands if command]
    known = [(name, tuple(words)) for words in commands for name in [_known(words, wanted)] if name]
    if len(known) == 1:
        return known[0]
    if known:
        names = ", ".join(name for name, words in known)
        raise CommandError(f"the command starts more than one program ({names}): it is not clear which one is meant")
    if wanted is None:
        return (_base(commands[-1][0].text), tuple(commands[-1])) if commands else ("", ())
    if not commands:
        return wanted, ()
    first = commands[0][0].text
    if len(commands) == 1 and (first.startswith("-") or first.endswith(".conf")):
        return wanted, tuple(commands[0])
    raise CommandError(f"the command does not start {wanted}, but {_base(first)}")
