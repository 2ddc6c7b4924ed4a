# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which program a command line starts, and how that program reads its flags."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ansible_collections.smallhost.headroom.plugins.module_utils.compose.words import CommandError, Scanner, Word

_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh"})
_PYTHON = re.compile(r"^python(\d(\.\d+)?)?$")
_ASSIGNMENT = re.compile(r"^[A-Za-z_]\w*=")
# Words that only start another program: shell keywords, and the starters met in published compose files.
_KEYWORDS = {"exec", "env", "time", "nohup", "command", "if", "then", "else", "do", "while", "until", "!", "{"}
_INITS = {"tini", "dumb-init", "catatonit", "docker-entrypoint.sh", "wait-for-it", "wait-for", "dockerize"}
_RUNNERS = {"nice", "ionice", "chrt", "timeout", "stdbuf", "numactl", "gosu", "su-exec", "setpriv", "poetry", "pipenv"}
_AGENTS = {"uv", "pdm", "hatch", "dotenv", "doppler", "newrelic-admin", "ddtrace-run", "opentelemetry-instrument"}
_STARTERS = frozenset(_KEYWORDS | _INITS | _RUNNERS | _AGENTS)


class Program(NamedTuple):
    """How a program reads its flags: `aliases` are names of one flag, `switches` take no value, `many` take several."""

    aliases: tuple[tuple[str, ...], ...] = ()
    switches: frozenset[str] = frozenset()
    many: frozenset[str] = frozenset()
    subcommands: tuple[str, ...] = ()
    all_many: bool = False  # every flag takes all words up to the next flag
    any_case: bool = False


def _program(pairs: str = "", switches: str = "", many: str = "") -> Program:
    """Describe a program by words such as `-w|--workers`; a flag that is not named here takes one value."""
    groups = [tuple(word.split("|")) for word in f"{pairs} {switches} {many}".split()]
    return Program(
        aliases=tuple(group for group in groups if len(group) > 1),
        switches=frozenset(switches.replace("|", " ").split()),
        many=frozenset(many.replace("|", " ").split()),
    )


# From the programs' own --help (uvicorn 0.54, gunicorn 27, rq 3.0, celery 5.7, arq 0.28, dramatiq 2.2); for Redis from
# the way its server.c joins the words of the command line into configuration lines.
_REDIS = Program(all_many=True, any_case=True)
PROGRAMS: dict[str, Program] = {
    "uvicorn": _program(
        switches="--reload --http2 --access-log --no-access-log --use-colors --no-use-colors --proxy-headers"
        " --no-proxy-headers --server-header --no-server-header --date-header --no-date-header --version"
        " --reset-contextvars --factory --help"
    ),
    "gunicorn": _program(
        "-w|--workers -b|--bind -c|--config -k|--worker-class -t|--timeout -e|--env -p|--pid -u|--user -g|--group"
        " -m|--umask -n|--name --error-logfile|--log-file --paste|--paster",
        switches="-D|--daemon -R|--enable-stdio-inheritance -h|--help -v|--version --reload --spew --check-config"
        " --print-config --preload --no-sendfile --reuse-port --initgroups --disable-redirect-access-to-syslog"
        " --capture-output --log-syslog --suppress-ragged-eofs --do-handshake-on-connect --no-control-socket"
        " --enable-backlog-metric --strip-header-spaces --permit-obsolete-folding --casefold-http-method"
        " --permit-unconventional-http-method --permit-unconventional-http-version",
    ),
    "rq worker": _program(
        "-n|--name -u|--url -c|--config -P|--path -w|--worker-class -j|--job-class -S|--serializer"
        " -ds|--dequeue-strategy --logging_level|--logging-level",
        switches="-b|--burst -v|--verbose -q|--quiet -s|--with-scheduler -d|--disable-default-exception-handler"
        " --disable-job-desc-logging --help",
    ),
    "rq worker-pool": _program(
        "-n|--num-workers -u|--url -c|--config -P|--path -l|--logging-level -w|--worker-class -j|--job-class"
        " -S|--serializer",
        switches="-b|--burst -v|--verbose -q|--quiet --help",
    ),
    "rq": Program(subcommands=("worker-pool", "worker")),
    "celery worker": _program(
        "-c|--concurrency -A|--app -b|--broker -l|--loglevel -n|--hostname -Q|--queues -P|--pool -O|--optimization"
        " -S|--statedb -X|--exclude-queues -I|--include -s|--schedule|--schedule-filename -f|--logfile",
        switches="-B|--beat -D|--detach -E|--task-events|--events --purge|--discard --without-gossip --without-mingle"
        " --without-heartbeat --disable-prefetch -q|--quiet -C|--no-color --help --version",
    ),
    "celery": Program(subcommands=("worker", "beat", "flower"), aliases=(("-A", "--app"), ("-b", "--broker"))),
    "arq": _program(switches="-V|--version -v|--verbose --burst --no-burst --check --help"),
    "dramatiq": _program(
        "-p|--processes -t|--threads -f|--fork-function -i|--watch-include -x|--watch-exclude",
        switches="-v|--verbose -h|--help --skip-logging --use-spawn --watch-use-polling --version",
        many="-P|--path -Q|--queues",
    ),
    "redis-server": _REDIS,
    "valkey-server": _REDIS,
    "keydb-server": _REDIS,
}


def _base(text: str) -> str:
    return text.rsplit("/", 1)[-1]


def simple_commands(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """The command itself, or those of the script that it hands to a shell; starters such as `exec` are left out."""
    words = _started(words)
    if not words or _base(words[0].text) not in _SHELLS:
        yield words
        return
    for index, word in enumerate(words[1:-1], start=1):
        if re.match(r"^-[a-z]*c[a-z]*$", word.text):
            script = words[index + 1]
            for command in Scanner(script.cells, script.item, posix=True).commands():
                inner = [Word(w.item, w.start, w.end, w.cells, w.within, fixed=script.fixed) for w in command]
                yield from simple_commands(inner)
            return
    yield words


def _started(words: Sequence[Word]) -> Sequence[Word]:
    """Leave out what only starts another program: assignments, `exec`, `tini --`, `wait-for.sh db --`, `python -m`."""
    while words and (_ASSIGNMENT.match(words[0].text) or known(words, None) is None):
        name = _base(words[0].text)
        if _PYTHON.match(name):
            options = [
                i for i, word in enumerate(words[1:], start=1) if not word.text.startswith("-") or word.text == "-m"
            ]
            if options and words[options[0]].text == "-m" and known(words[options[0] + 1 :], None):
                return words[options[0] + 1 :]
            return words
        if not (_ASSIGNMENT.match(name) or name in _STARTERS or name.endswith(".sh")):
            return words
        rest = words[1:]
        starts = [i for i in range(len(rest)) if known(rest[i:], None) or _base(rest[i].text) in _SHELLS]
        words = rest[starts[0] :] if starts else rest
        if not starts:
            return words
    return words


def known(words: Sequence[Word], wanted: str | None) -> str | None:
    """The known program that the first word names (with its subcommand), if it is the wanted one."""
    name = _base(words[0].text) if words else ""
    name = "rq" if name == "rq.cli" else name
    if name not in PROGRAMS or " " in name:
        return None
    texts = [word.text for word in words]
    name = next((f"{name} {sub}" for sub in PROGRAMS[name].subcommands if sub in texts), name)
    return name if wanted in (None, name, name.split()[0]) else None


def choose(commands: list[Sequence[Word]], wanted: str | None) -> tuple[str, tuple[Word, ...]]:
    """The command that starts the wanted program, or the only known one, or else the last."""
    commands = [command for command in commands if command]
    found = [(name, tuple(words)) for words in commands for name in [known(words, wanted)] if name]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(name for name, words in found)
        raise CommandError(f"the command starts more than one program ({names}): it is not clear which one is meant")
    if wanted is None:
        return (_base(commands[-1][0].text), tuple(commands[-1])) if commands else ("", ())
    if not commands:
        return wanted, ()
    first = commands[0][0].text
    if len(commands) == 1 and (first.startswith("-") or first.endswith(".conf")):
        return wanted, tuple(commands[0])
    raise CommandError(f"the command does not start {wanted}, but {_base(first)}")
