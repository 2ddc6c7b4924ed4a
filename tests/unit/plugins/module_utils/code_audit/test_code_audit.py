# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is found in source with planted faults, and what is not found in source without any."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit import blocking, run, tools, waste
from ansible_collections.smallhost.headroom.plugins.module_utils.code_audit.source import read_project

ROOT = Path(__file__).resolve().parents[5]
STACK = ROOT / "sandbox/stack/imagebot"


@pytest.fixture
def project(tmp_path):
    """Writes files (path -> text) and returns them as a project."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return read_project(str(tmp_path))

    return write


def places(findings):
    return sorted((one.path, one.line) for one in findings)


def test_blocking_call_is_followed_through_the_projects_own_functions(project):
    found = blocking.blocking_calls(
        project(
            app__db="from sqlalchemy.orm import sessionmaker\nLocal = sessionmaker()\n"
            "def save(x):\n    with Local() as session:\n        session.add(x)\n",
            app__service="from .db import save\n\ndef note(x):\n    save(x)\n",
            app__web="from app import service\n\nasync def view(x):\n    service.note(x)\n",
        )
    )
    assert places(found) == [("app/web.py", 4)]
    assert "app.service.note > app.db.save > sqlalchemy.orm.sessionmaker" in found[0].what


@pytest.mark.parametrize(
    "text",
    [
        "import time\nasync def f():\n    time.sleep(1)\n",
        "from time import sleep as nap\nasync def f():\n    nap(1)\n",
        "import requests\nasync def f():\n    return requests.get('x', timeout=1)\n",
        "from openai import OpenAI\nclient = OpenAI(timeout=1)\nasync def f():\n    client.chat.completions.create()\n",
        "import redis\nr = redis.Redis()\nclass A:\n    async def f(self):\n        return r.get('x')\n",
    ],
)
def test_calls_that_stop_the_loop(project, text):
    assert len(blocking.blocking_calls(project(one=text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "import asyncio, time\nasync def f():\n    await asyncio.to_thread(time.sleep, 1)\n",
        "from openai import AsyncOpenAI\nclient = AsyncOpenAI()\nasync def f():\n    await client.chat.create()\n",
        "import time\ndef f():\n    time.sleep(1)\n",
        "import time\nasync def f():\n    def inner():\n        time.sleep(1)\n    return inner\n",
        "from redis.asyncio import Redis\nr = Redis()\nasync def f():\n    await r.get('x')\n",
    ],
)
def test_calls_that_do_not(project, text):
    assert blocking.blocking_calls(project(one=text)) == []


def test_queries_in_loops(project):
    text = """
from sqlalchemy.orm import sessionmaker
from rq.job import Job
Local = sessionmaker()

def many(ids):
    with Local() as session:
        for one in ids:
            session.execute(one)
        return [Job.fetch(one) for one in ids]

def once(ids):
    with Local() as session:
        for row in session.execute(ids):
            print(row)
"""
    assert places(waste.round_trips(project(one=text))) == [("one.py", 9), ("one.py", 10)]


def test_pipelines_are_no_round_trips(project):
    text = (
        "import redis\nr = redis.Redis()\n"
        "def f(keys):\n    for key in r.scan_iter():\n        pass\n    p = r.pipeline()\n    return p\n"
    )
    assert waste.round_trips(project(one=text)) == []


def test_whole_files_and_downloads(project):
    text = """
import httpx
from pathlib import Path

def f(path):
    with open(path, "rb") as stream:
        first = stream.read()
    response = httpx.get("x", timeout=1)
    return first, response.content, Path(path).read_bytes(), open(path).read()

def good(path):
    with open(path, "rb") as stream:
        return stream.read(65536)
"""
    assert places(waste.whole_files(project(one=text))) == [("one.py", 7), ("one.py", 9), ("one.py", 9), ("one.py", 9)]


def test_clients_without_a_timeout(project):
    text = (
        "import openai\nfrom redis import Redis\n"
        "a = openai.OpenAI()\nb = openai.OpenAI(timeout=5)\nc = Redis.from_url('x')\n"
        "d = Redis.from_url('x', socket_timeout=5)\noptions = {}\ne = openai.OpenAI(**options)\n"
    )
    assert places(waste.endless_clients(project(one=text))) == [("one.py", 3), ("one.py", 5)]


def test_file_that_is_no_python_is_said_and_the_rest_is_read(project):
    read = project(broken="def (:\n", good="import time\nasync def f():\n    time.sleep(1)\n")
    assert list(read.broken) == ["broken.py"]
    assert len(blocking.blocking_calls(read)) == 1


def test_planted_faults_of_the_reference_stack():
    read = read_project(str(STACK))
    found = blocking.blocking_calls(read)
    assert {"translate()", "track()", "queue.enqueue()", "usage_stats()"} <= {one.what.split()[0] for one in found}
    assert all("translate(" in line_of(one) for one in found if one.what.startswith("translate()"))
    whole = {(one.path, line_of(one)) for one in waste.whole_files(read)}
    assert ("app/services/images.py", "return response.content") in whole
    endless = {one.what for one in waste.endless_clients(read)}
    assert "Redis.from_url() without socket_timeout" in endless
    assert set(run.imports(str(STACK))) >= {"aiogram", "openai", "fastapi", "PIL", "rq"}
    assert "asyncio" not in run.imports(str(STACK))


def test_the_standard_library_is_known_before_python_3_10(monkeypatch):
    monkeypatch.delattr(sys, "stdlib_module_names", raising=False)
    found = run.standard_library()
    assert {"asyncio", "email", "json", "math", "sys"} <= found
    assert not {"pytest", "yaml", "redis"} & found


def line_of(finding):
    return (STACK / finding.path).read_text().splitlines()[finding.line - 1].strip()


def test_ruffs_words_become_findings(tmp_path):
    text = json.dumps(
        [
            {"code": "S113", "filename": f"{tmp_path}/a.py", "location": {"row": 3}, "message": "no timeout"},
            {"code": "ASYNC251", "filename": f"{tmp_path}/a.py", "location": {"row": 9}, "message": "sleep"},
            {"code": None, "filename": f"{tmp_path}/b.py", "location": {"row": 1}, "message": "SyntaxError"},
        ]
    )
    found = tools.read_ruff(text, str(tmp_path))
    assert [(one.kind, one.path, one.line) for one in found] == [
        ("no_timeout", "a.py", 3),
        ("blocking_call", "a.py", 9),
    ]


def test_unused_dependencies_have_their_line_and_size(tmp_path):
    (tmp_path / "requirements.txt").write_text("# misc\nfastapi==1\nPandas>=2\nuvicorn\n")

    def entry(name, code="DEP002"):
        place = {"file": "requirements.txt", "line": None}
        return {"error": {"code": code}, "module": name, "location": place}

    text = json.dumps([entry("Pandas"), entry("uvicorn"), entry("x", "DEP001")])
    used = tools.programs(["/venv/bin/uvicorn app:app --workers 1"])
    found = tools.read_deptry(text, str(tmp_path), {"pandas": 43_000_000}, used)
    assert [(one.path, one.line, one.severity) for one in found] == [("requirements.txt", 3, "medium")]
    assert "43.0 MB" in found[0].cost


def test_tool_that_is_missing_is_said(monkeypatch, project, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    project(one="import time\nasync def f():\n    time.sleep(1)\n")
    found, skipped = run.audit(str(tmp_path), [])
    assert [one.kind for one in found] == ["blocking_call"]
    assert len(skipped) == 2
    assert all("pip install" in text for text in skipped)


@pytest.fixture
def deptry(tmp_path, monkeypatch):
    """A deptry that writes the arguments it was given beside itself, and finds nothing."""
    program = tmp_path / "bin/deptry"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" > "$0.arguments"\n'
        'while [ $# -gt 0 ]; do [ "$1" != --json-output ] || echo "[]" > "$2"; shift; done\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(tools.sys, "executable", str(tmp_path / "python"))
    return program


@pytest.mark.parametrize("with_project", [False, True])
def test_the_checkout_stays_as_it_is(tmp_path, deptry, with_project):
    source = tmp_path / "source"
    source.mkdir()
    (source / "one.py").write_text("import json\n")
    if with_project:
        (source / "pyproject.toml").write_text("[project]\nname = 'bot'\n")
    before = sorted(os.listdir(source))
    run.audit(str(source), [])
    assert sorted(os.listdir(source)) == before
    arguments = Path(f"{deptry}.arguments").read_text().split()
    assert ("--config" in arguments) is not with_project


@pytest.mark.usefixtures("deptry")
def test_tool_that_finds_no_room_is_said_and_the_rest_is_there(project, monkeypatch, tmp_path):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tools.tempfile, "TemporaryDirectory", full)
    project(one="import time\nasync def f():\n    time.sleep(1)\n")
    found, skipped = run.audit(str(tmp_path), [])
    assert [one.kind for one in found] == ["blocking_call"]
    assert skipped[-1] == "deptry could not run: [Errno 28] No space left on device"


def test_import_costs(project, tmp_path):
    read = project(one="import big\nimport small\n", two="import big\n")
    measured = {
        "big": {"mb": 40.0, "seconds": 1.0},
        "small": {"mb": 1.0, "seconds": 0.1},
        "gone": {"error": "ModuleNotFoundError"},
    }
    found = run.import_costs(read, measured)
    assert [(one.path, one.line, one.severity) for one in found] == [("one.py", 1, "medium")]
    assert "in 2 places" in found[0].what


def test_profile_measures_statements_and_lists_what_is_installed():
    program = ROOT / "roles/code_audit/files/import_profile.py"
    wanted = {"json": ["import json", "from json import decoder"], "gone": ["import no_such_module_at_all"]}
    done = subprocess.run(
        [sys.executable, "-", json.dumps(wanted)],
        stdin=program.open(),
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    result = json.loads(done.stdout)
    assert 0 <= result["imports"]["json"]["mb"] < 20
    assert "no_such_module_at_all" in result["imports"]["gone"]["error"]
    assert "pytest" in result["modules"]["pytest"]
    assert result["sizes"]["pytest"] > 10_000
