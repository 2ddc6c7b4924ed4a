# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.images import context


@pytest.mark.parametrize(
    ("rules", "path", "ignored"),
    [
        ("*.log", "a.log", True),
        ("*.log", "logs/a.log", False),
        ("**/*.log", "logs/x/a.log", True),
        ("logs", "logs/a", True),
        ("/logs/", "logs/a", True),
        ("logs", "app/logs/a", False),
        ("*\n!README.md", "README.md", False),
        ("*\n!README.md", "a.py", True),
        ("a/**/z", "a/z", True),
        ("a/**/z", "a/b/c/z", True),
        ("temp?", "temp1", True),
        ("temp?", "temp", False),
        ("[ab].txt", "b.txt", True),
        ("# comment\n\n", "a", False),
        (".", "a", False),
        ("!a\na", "a", True),
    ],
)
def test_ignore_rules(rules, path, ignored):
    assert context.is_ignored(path, context.ignore_rules(rules)) == ignored


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "a.py").write_text("a")
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("x")
    return tmp_path


def digest(folder, text="FROM a\n", rules="", apart=(), **settings):
    return context.content_hash(text, settings, str(folder), context.ignore_rules(rules), apart)


def test_the_hash_changes_with_what_the_build_sees_and_with_nothing_else(folder):
    project = str(folder / "compose.yaml")
    before = digest(folder, apart=[project], rules="*.log")
    (folder / "compose.yaml").write_text("services: {a: {}}\n")
    (folder / ".git" / "HEAD").write_text("y")
    (folder / "noise.log").write_text("z")
    assert digest(folder, apart=[project], rules="*.log") == before
    assert digest(folder, text="FROM b\n", apart=[project], rules="*.log") != before
    assert digest(folder, apart=[project], rules="*.log", args=[1]) != before
    (folder / "app" / "a.py").chmod(0o755)
    changed = digest(folder, apart=[project], rules="*.log")
    assert changed != before
    (folder / "app" / "a.py").write_text("b")
    assert digest(folder, apart=[project], rules="*.log") not in (before, changed)


def test_an_exception_inside_an_ignored_folder_is_seen(folder):
    paths = list(context.files(str(folder), context.ignore_rules("app\n!app/a.py"), []))
    assert "app/a.py" in paths


def test_programs_that_sources_start(folder):
    (folder / "app" / "a.py").write_text("import subprocess\nsubprocess.run(['git', 'log'])\nim.convert('RGB')\n")
    (folder / "run.sh").write_text("#!/bin/sh\nwget -q x || exit 1\necho curl\n")
    (folder / "app" / "b.py").write_text("name = 'curl'\n")
    paths = list(context.files(str(folder), [], []))
    assert context.programs_started(str(folder), paths) == {"git", "wget"}
