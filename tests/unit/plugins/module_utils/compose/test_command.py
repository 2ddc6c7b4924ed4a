# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shlex

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandError, CommandLine
from hypothesis import given
from hypothesis import strategies as st

SET = [
    # (command, flag, value, command afterwards)
    ("uvicorn app:app --workers 2", "--workers", 1, "uvicorn app:app --workers 1"),
    ("uvicorn app:app --workers=2 --port 80", "--workers", 1, "uvicorn app:app --workers=1 --port 80"),
    ("uvicorn  app:app  --workers  '2'\n", "--workers", 1, "uvicorn  app:app  --workers  '1'\n"),
    ("uvicorn app:app --reload --port 80", "--workers", 1, "uvicorn app:app --reload --port 80 --workers 1"),
    ("uvicorn app:app --workers ${W:-2} --port 80", "--workers", 1, "uvicorn app:app --workers ${W:-1} --port 80"),
    ('uvicorn app:app --workers "${W:-2}"', "--workers", 1, 'uvicorn app:app --workers "${W:-1}"'),
    ("uvicorn app:app --workers ${W}", "--workers", 1, "uvicorn app:app --workers 1"),
    ("gunicorn -w 4 app:app", "--workers", 2, "gunicorn -w 2 app:app"),
    ("gunicorn -w4 app:app", "--workers", 2, "gunicorn -w2 app:app"),
    ("gunicorn app:app -- extra", "-w", 2, "gunicorn app:app -w 2 -- extra"),
    ("gunicorn -w 4 app:app --workers 3", "--workers", 2, "gunicorn app:app --workers 2"),
    ("python -m uvicorn app:app --workers 2", "--workers", 1, "python -m uvicorn app:app --workers 1"),
    ("/venv/bin/python3.12 -u -m rq.cli worker -n a q", "--name", "b",
     "/venv/bin/python3.12 -u -m rq.cli worker -n b q"),
    ("rq worker -u redis://h:6379/0 img --name w-1", "--max-jobs", 5,
     "rq worker -u redis://h:6379/0 img --name w-1 --max-jobs 5"),
    ("rq worker-pool -n 3 img", "--num-workers", 1, "rq worker-pool -n 1 img"),
    ("celery -A app.w worker -c 4 -B", "--concurrency", 2, "celery -A app.w worker -c 2 -B"),
    ("dramatiq app -p 2 --queues a b", "--queues", ["a"], "dramatiq app -p 2 --queues a"),
    ("arq app.Settings --burst", "--watch", "src", "arq app.Settings --burst --watch src"),
    ('sh -c "alembic upgrade head && uvicorn app:app --workers 2"', "--workers", 1,
     'sh -c "alembic upgrade head && uvicorn app:app --workers 1"'),
    ("bash -ec 'exec gunicorn app:app -w 4 > /log 2>&1'", "-w", 2, "bash -ec 'exec gunicorn app:app -w 2 > /log 2>&1'"),
    ("sh -c 'uvicorn app:app > /log 2>&1'", "--workers", 1, "sh -c 'uvicorn app:app --workers 1 > /log 2>&1'"),
    ("sh -c 'uvicorn app:app --workers $${W:-2} & wait'", "--workers", 1,
     "sh -c 'uvicorn app:app --workers $${W:-1} & wait'"),
    ("sh -c 'while true; do rq worker q --max-jobs 9; done'", "--max-jobs", 3,
     "sh -c 'while true; do rq worker q --max-jobs 3; done'"),
    ("tini -- sh -c \"exec uvicorn a:a --workers '2'\"", "--workers", 1,
     "tini -- sh -c \"exec uvicorn a:a --workers '1'\""),
    (["sh", "-c", "A=1 exec uvicorn app:app \\\n  --workers 2"], "--workers", 1,
     ["sh", "-c", "A=1 exec uvicorn app:app \\\n  --workers 1"]),
    (["sh", "-c", "exec uvicorn app:app \\\n  --port 80\n"], "--workers", 1,
     ["sh", "-c", "exec uvicorn app:app \\\n  --port 80 \\\n  --workers 1\n"]),
    (["uvicorn", "app:app", "--workers", "2"], "--workers", 1, ["uvicorn", "app:app", "--workers", "1"]),
    (["uvicorn", "app:app", "--workers=2"], "--workers", 1, ["uvicorn", "app:app", "--workers=1"]),
    (["uvicorn", "app:app"], "--workers", 1, ["uvicorn", "app:app", "--workers", "1"]),
    (["./wait-for-it.sh", "db:5432", "--", "uvicorn", "a:a", "--workers", "2"], "--workers", 1,
     ["./wait-for-it.sh", "db:5432", "--", "uvicorn", "a:a", "--workers", "1"]),
    ("redis-server --appendonly yes --maxmemory 512mb --maxmemory-policy allkeys-lru", "--maxmemory-policy",
     "noeviction",
     "redis-server --appendonly yes --maxmemory 512mb --maxmemory-policy noeviction"),
    ("redis-server /etc/redis.conf --MaxMemory 1gb", "--maxmemory", "96mb",
     "redis-server /etc/redis.conf --MaxMemory 96mb"),
    ("redis-server\n  --save 60 1\n  --appendonly yes\n", "--maxmemory", "96mb",
     "redis-server\n  --save 60 1\n  --appendonly yes\n  --maxmemory 96mb\n"),
    ('redis-server --requirepass "${REDIS_PASSWORD}" --save 60 1', "--save", "",
     'redis-server --requirepass "${REDIS_PASSWORD}" --save \'\''),
    ("redis-server --save '' --port 1", "--save", ["60", "1"], "redis-server --save 60 1 --port 1"),
    ("redis-server --save '' --port 1", "--save", "60 1", "redis-server --save '60 1' --port 1"),
    (["redis-server", "--save", "60", "1", "--port", "1"], "--save", ["900", "1", "300", "10"],
     ["redis-server", "--save", "900", "1", "300", "10", "--port", "1"]),
    (["sh", "-c", "valkey-server --requirepass $$REDIS_PASSWORD # from the environment"], "--maxmemory", "96mb",
     ["sh", "-c", "valkey-server --requirepass $$REDIS_PASSWORD --maxmemory 96mb # from the environment"]),
    ("sh -c \"redis-server --requirepass \\\"$$PASS\\\" --maxmemory 1gb\"", "--maxmemory", "2gb",
     "sh -c \"redis-server --requirepass \\\"$$PASS\\\" --maxmemory 2gb\""),
    ("sh -c \"redis-server --appendonly yes\"", "--save", "60 1",
     "sh -c \"redis-server --appendonly yes --save '60 1'\""),
    ("sh -c 'redis-server --appendonly yes'", "--save", "60 1",
     r"""sh -c 'redis-server --appendonly yes --save '\''60 1'\'''"""),
]  # fmt: skip


@pytest.mark.parametrize("command, flag, value, expected", SET)
def test_sets_one_flag_and_keeps_the_rest(command, flag, value, expected):
    line = CommandLine.parse(command)
    changed = line.with_flag(flag, value)
    assert changed.value == expected
    assert changed.with_flag(flag, value).value == expected
    assert line.value == command


@pytest.mark.parametrize(
    "command, flag, expected",
    [
        ("uvicorn app:app --workers 2 --port 80", "--workers", "uvicorn app:app --port 80"),
        ("uvicorn app:app --reload", "--reload", "uvicorn app:app"),
        (["uvicorn", "app:app", "--workers", "2"], "--workers", ["uvicorn", "app:app"]),
        (["sh", "-c", "rq worker q --max-jobs 9 --name a"], "--max-jobs", ["sh", "-c", "rq worker q --name a"]),
        ("redis-server --save 60 1 --save 300 10 --port 1", "--save", "redis-server --port 1"),
        ("uvicorn app:app", "--workers", "uvicorn app:app"),
    ],
)
def test_takes_a_flag_out(command, flag, expected):
    assert CommandLine.parse(command).without_flag(flag).value == expected


@pytest.mark.parametrize(
    "command, program, flag, value",
    [
        ("uvicorn --factory app:make --workers 2", "uvicorn", "--factory", ""),
        ("python app/bot/main.py --verbose", "python", "--workers", None),
        ("rq worker --url redis://redis:6379 high low", "rq worker", "-u", "redis://redis:6379"),
        ("redis-server --save 900 1 --save 300 10", "redis-server", "--save", "300 10"),
        ("sh -c 'redis-server --port 7 | tee /log'", "redis-server", "--port", "7"),
        ("uvicorn app:app --workers ${W:-two words}", "uvicorn", "--workers", "${W:-two words}"),
        ("sh -c 'uvicorn app:app --workers $$(nproc)'", "uvicorn", "--workers", "$$(nproc)"),
        # Compose's splitter stops at a shell operator: what follows never runs.
        ("uvicorn app:app && rm --workers 9", "uvicorn", "--workers", None),
        ("", "", "--workers", None),
        ([], "", "--workers", None),
    ],
)
def test_reads(command, program, flag, value):
    line = CommandLine.parse(command)
    assert (line.program, line.get(flag)) == (program, value)


def test_all_values_and_positionals():
    line = CommandLine.parse("redis-server /etc/redis.conf --save 900 1 --save 300 10 --port 1")
    assert line.get_all("--save") == [("900", "1"), ("300", "10")]
    assert line.positionals == ("/etc/redis.conf",)
    assert CommandLine.parse("rq worker -u x high low --name a").positionals == ("high", "low")
    assert CommandLine.parse("celery -A app worker -Q a,b").positionals == ()


def test_adds_one_more_occurrence():
    line = CommandLine.parse("redis-server --save 900 1").with_added_flag("--save", ["300", "10"])
    assert line.value == "redis-server --save 900 1 --save 300 10"


def test_the_variable_gives_way_when_asked():
    line = CommandLine.parse("uvicorn app:app --workers ${W:-2}")
    assert line.with_flag("--workers", 1, keep_interpolation=False).value == "uvicorn app:app --workers 1"


@pytest.mark.parametrize(
    "command, expected",
    [
        (["--maxmemory", "512mb"], ["--maxmemory", "96mb"]),
        ("--appendonly yes", "--appendonly yes --maxmemory 96mb"),
        ("/etc/redis.conf --maxmemory 1gb", "/etc/redis.conf --maxmemory 96mb"),
        ([], ["--maxmemory", "96mb"]),
        ("", "--maxmemory 96mb"),
    ],
)
def test_a_command_of_flags_only(command, expected):
    """The official images' entrypoint puts redis-server before a first word that is a flag or a .conf file."""
    line = CommandLine.parse(command, program="redis-server")
    assert line.program == "redis-server"
    assert line.with_flag("--maxmemory", "96mb").value == expected


def test_the_entrypoint_is_read_and_never_changed():
    line = CommandLine.parse(["app:app"], entrypoint=["uvicorn", "--workers", "2"])
    assert (line.program, line.get("--workers"), line.positionals) == ("uvicorn", "2", ("app:app",))
    with pytest.raises(CommandError, match="entrypoint"):
        line.with_flag("--workers", 1)
    script = CommandLine.parse(["bench start; exec uvicorn a:a --workers 2"], entrypoint=["bash", "-c"])
    assert script.with_flag("--workers", 1).value == ["bench start; exec uvicorn a:a --workers 1"]
    flags = CommandLine.parse(["--port", "7"], entrypoint=["redis-server"])
    assert flags.with_flag("--maxmemory", "1gb").value == ["--port", "7", "--maxmemory", "1gb"]
    assert CommandLine.parse([], entrypoint=["redis-server"]).with_flag("--port", 7).value == ["--port", "7"]


def test_two_programs_need_a_choice():
    command = "sh -c 'rq worker q & uvicorn app:app --workers 2'"
    with pytest.raises(CommandError, match="rq worker, uvicorn"):
        CommandLine.parse(command)
    line = CommandLine.parse(command, program="uvicorn")
    assert line.with_flag("--workers", 1).value == "sh -c 'rq worker q & uvicorn app:app --workers 1'"
    assert CommandLine.parse(command, program="rq").program == "rq worker"


@pytest.mark.parametrize(
    "command, program, message",
    [
        ("uvicorn 'app", None, "unclosed"),
        ("uvicorn ${A", None, "unclosed"),
        ("uvicorn app\\", None, "backslash"),
        ("nginx -g x", "redis-server", "does not start redis-server, but nginx"),
    ],
)
def test_refuses_what_it_cannot_read(command, program, message):
    with pytest.raises(CommandError, match=message):
        CommandLine.parse(command, program=program)


def test_refuses_to_add_to_a_variable():
    with pytest.raises(CommandError, match="variable"):
        CommandLine.parse("${START:-uvicorn app:app}").with_flag("--workers", 1)


WORDS = st.text(alphabet="ab1'\" \\`#;&|<>()=", max_size=6)


@given(words=st.lists(WORDS, max_size=4), value=WORDS.filter(lambda text: not text.startswith("-")))
def test_any_words_survive_a_change(words, value):
    """The unquoted words are what a shell (here: shlex) sees, whatever quoting it takes."""
    listed = ["nginx", *words, "--flag", "old"]
    for command in (
        listed,
        shlex.join(listed),
        ["sh", "-c", shlex.join(listed)],
        shlex.join(["sh", "-c", shlex.join(listed)]),
    ):
        changed = CommandLine.parse(command).with_flag("--flag", value)
        assert type(changed.value) is type(command)
        outer = changed.value if isinstance(changed.value, list) else shlex.split(changed.value)
        inner = shlex.split(outer[2]) if outer[:2] == ["sh", "-c"] else outer
        assert inner == ["nginx", *words, "--flag", value]
