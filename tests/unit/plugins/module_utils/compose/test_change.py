# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import change, edit, filed, undo
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.edit import Set
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.project import (
    OVERRIDE_MARK,
    Project,
    ProjectError,
)
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

BASE = b"services:\n  bot:\n    image: x # keep\n  api:\n    image: y\n"
LIMIT = [Set(("services", "bot", "mem_limit"), "50M")]


@pytest.mark.parametrize(
    ("before", "after", "allowed", "stray"),
    [
        ({"services": {"a": {"x": 1}}}, {"services": {"a": {"x": 2}}}, [], ["services.a.x"]),
        ({"services": {"a": {"x": 1}}}, {"services": {"a": {"x": 2}}}, [("services", "a", "x")], []),
        ({"services": {"a": {}}}, {"services": {"a": {"deploy": {"placement": {}}}}}, [], []),
        (
            {"services": {"a": {}}},
            {"services": {"a": {"deploy": {"resources": {"limits": {"memory": "1"}}}}}},
            [("services", "a", "deploy", "resources", "limits", "memory")],
            [],
        ),
        (
            {"services": {"a": {"environment": {"A": "1"}}}},
            {"services": {"a": {"environment": {"A": "2"}}}},
            [("services", "a", "environment", 0)],
            [],
        ),
        ({"services": {"a": {"x": 1}}}, {"services": {"a": {"x": 1}, "b": {"x": 1}}}, [], ["services.b"]),
        ({"volumes": None}, {"volumes": {"d": {"name": "p_d"}}}, [("volumes", "d")], []),
    ],
)
def test_only_what_was_asked_for_may_differ(before, after, allowed, stray):
    assert change.differences(before, after, allowed) == stray


class Files:
    """A project of real files; what Compose would make of them is not asked here."""

    def __init__(self, folder):
        self.base = str(folder / "compose.yaml")
        with open(self.base, "wb") as stream:
            stream.write(BASE)
        self.project = Project(str(folder), (self.base,), False, known_name="p", _model={"name": "p", "services": {}})
        self.journal = Journal("p", str(folder / "state"))
        self.folder = folder

    def write(self, path, changes, owner="task"):
        before = read(path) if os.path.exists(path) else None
        after = edit.edit(change.text_of(self.project, path), changes, "x")
        prepared = change.Prepared(path, before, after, {}, list(changes))
        with self.journal.locked():
            change.write(self.journal, owner, self.project, prepared)
        return after

    def undo(self, services=None, owner="task", check_mode=False):
        with self.journal.locked():
            return undo.undo_files(self.journal, owner, self.project, services, check_mode)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def read(path):
    with open(path, "rb") as stream:
        return stream.read()


def test_write_and_undo_to_the_byte(files):
    files.write(files.base, LIMIT)
    assert b"mem_limit: 50M" in read(files.base)
    (preview,) = files.undo(check_mode=True)
    assert (preview.outcome, preview.after) == ("restored", BASE)
    (undone,) = files.undo()
    assert undone.outcome == "restored"
    assert read(files.base) == BASE
    assert files.undo() == []
    assert files.journal.read_only().owned("task") == {}


def test_an_override_file_is_made_with_a_mark_and_goes_again(files):
    override = str(files.folder / "compose.override.yaml")
    text = files.write(override, LIMIT)
    assert text == OVERRIDE_MARK + b"compose.yaml.\nservices:\n  bot:\n    mem_limit: 50M\n"
    files.undo()
    assert not os.path.exists(override)


def test_an_override_file_that_somebody_added_to_stays_with_what_is_not_ours(files):
    override = str(files.folder / "compose.override.yaml")
    files.write(override, LIMIT)
    with open(override, "ab") as stream:
        stream.write(b"  api:\n    init: true\n")
    (undone,) = files.undo()
    assert undone.outcome == "values"
    assert b"mem_limit" not in read(override)
    assert b"  api:\n    init: true\n" in read(override)


def test_only_some_services(files):
    files.write(files.base, [*LIMIT, Set(("services", "api", "mem_limit"), "60M")])
    (undone,) = files.undo(["bot"])
    assert undone.outcome == "values"
    assert read(files.base) == BASE.replace(b"image: y\n", b"image: y\n    mem_limit: 60M\n")
    files.undo(["api"])
    assert read(files.base) == BASE


def test_somebody_elses_change_stays(files):
    files.write(files.base, LIMIT)
    with open(files.base, "ab") as stream:
        stream.write(b"# mine\n")
    (undone,) = files.undo()
    assert undone.outcome == "values"
    assert read(files.base) == BASE + b"# mine\n"
    assert undo.undo_warnings([undone], None)


def test_the_first_value_is_the_one_that_comes_back(files):
    files.write(files.base, LIMIT)
    files.write(files.base, [Set(("services", "bot", "mem_limit"), "70M")])
    files.undo()
    assert read(files.base) == BASE


def test_two_owners_are_undone_apart(files):
    files.write(files.base, LIMIT, "one")
    files.write(files.base, [Set(("services", "api", "mem_limit"), "60M")], "two")
    files.undo(owner="one")
    assert read(files.base) == BASE.replace(b"image: y\n", b"image: y\n    mem_limit: 60M\n")
    files.undo(owner="two")
    assert read(files.base) == BASE


def test_temporary_files_of_killed_runs_go_and_others_stay(files):
    names = [".compose.yaml.0vzzydmb.headroom", ".other.yaml.0vzzydmb.headroom"]
    for name in names:
        (files.folder / name).write_text("half")
    files.write(files.base, LIMIT)
    assert [name for name in names if (files.folder / name).exists()] == names[1:]
    (files.folder / names[0]).write_text("half")
    files.undo()
    assert not (files.folder / names[0]).exists()


def test_an_undo_forgets_what_a_killed_run_filed_and_never_wrote(files):
    with files.journal.locked():
        key = filed.key_of(files.base, LIMIT[0].path)
        files.journal.remember("task", key, {"order": 1, "was": edit.remember(BASE, LIMIT[0].path, "x")})
    assert files.undo(check_mode=True) == []
    assert files.journal.read_only().owned("task")
    assert files.undo() == []
    assert files.journal.read_only().owned("task") == {}


def test_what_a_killed_run_filed_and_never_wrote_is_forgotten(files):
    path = files.base
    with files.journal.locked():
        key = filed.key_of(path, LIMIT[0].path)
        files.journal.remember("task", key, {"order": 1, "was": edit.remember(b"x: 1\n", LIMIT[0].path, "x")})
    files.write(path, LIMIT)
    with open(path, "ab") as stream:
        stream.write(b"# mine\n")
    files.undo()
    assert read(path) == BASE + b"# mine\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_file_that_may_not_be_written(files):
    os.chmod(files.folder, 0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(ProjectError, match=r"no permission to write .*Nothing was changed"):
            change.require_writable(files.base)
    finally:
        os.seteuid(0)


LISTED = b"""services:
  bot:
    image: x
    environment:
      - A=1
      - B=2
    volumes:
      - ./conf:/conf
      - data:/data # theirs
  api:
    command: uvicorn app:app --port 8000 --workers 2
"""
VOLUMES = ("services", "bot", "volumes")
VARIABLES = ("services", "bot", "environment")
COMMAND = ("services", "api", "command")


@pytest.fixture
def listed(tmp_path):
    found = Files(tmp_path)
    with open(found.base, "wb") as stream:
        stream.write(LISTED)
    return found


def change_text(files, *pairs):
    """Somebody else's change, in the file and in what is expected of the undo."""
    text, wanted = read(files.base), LISTED
    for old, new in pairs:
        assert old in text and old in wanted
        text, wanted = text.replace(old, new), wanted.replace(old, new)
    with open(files.base, "wb") as stream:
        stream.write(text)
    return wanted


def test_several_entries_of_a_list_in_one_run(listed):
    listed.write(listed.base, [Set((*VARIABLES, 2), "C=3"), Set((*VARIABLES, 3), "D=4"), Set((*VOLUMES, 2), "/h:/h")])
    wanted = change_text(listed, (b"image: x", b"image: y"))
    (undone,) = listed.undo()
    assert (undone.outcome, read(listed.base)) == ("values", wanted)


def test_several_entries_taken_out_of_a_list_in_one_run(listed):
    listed.write(listed.base, [edit.Delete((*VARIABLES, 1)), edit.Delete((*VARIABLES, 0))])
    wanted = change_text(listed, (b"image: x", b"image: y"))
    listed.undo()
    assert read(listed.base) == wanted


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ([Set((*VOLUMES, 2), "/h:/h")], b"      - ./conf:/conf\n", b"      - ./tls:/tls\n      - ./conf:/conf\n"),
        ([Set((*VOLUMES, 2), "/h:/h")], b"      - ./conf:/conf\n", b""),
        ([Set((*VARIABLES, 1), "B=9")], b"      - A=1\n", b"      - Z=0\n      - A=1\n"),
        ([Set((*VARIABLES, 1), "B=9")], b"      - A=1\n", b""),
        ([Set((*VARIABLES, 2), "C=3")], b"      - A=1\n      - B=2\n", b"      - B=2\n      - A=1\n"),
        ([edit.Delete((*VARIABLES, 1))], b"      - A=1\n", b"      - Z=0\n      - A=1\n"),
        ([Set(COMMAND, "uvicorn app:app --port 8000 --workers 1", literal=True)], b"--port 8000", b"--port 9000"),
        ([Set(COMMAND, "uvicorn app:app --port 8000", literal=True)], b"--port 8000", b"--port 9000"),
    ],
)
def test_only_ours_is_taken_out_wherever_it_has_moved_to(listed, changes, old, new):
    listed.write(listed.base, changes)
    wanted = change_text(listed, (old, new))
    if changes == [edit.Delete((*VARIABLES, 1))]:
        wanted = wanted.replace(b"      - A=1\n      - B=2\n", b"      - B=2\n      - A=1\n")  # at the place it had
    (undone,) = listed.undo()
    assert (undone.outcome, read(listed.base)) == ("values", wanted)


def test_what_somebody_else_has_taken_out_does_not_come_back(listed):
    listed.write(listed.base, [Set((*VARIABLES, 1), "B=9"), Set((*VOLUMES, 2), "/h:/h")])
    text = read(listed.base).replace(b"      - B=9\n", b"").replace(b"      - /h:/h\n", b"")
    with open(listed.base, "wb") as stream:
        stream.write(text)
    listed.undo()
    assert read(listed.base) == text


def test_variables_that_became_a_mapping(listed):
    listed.write(listed.base, [Set((*VARIABLES, 1), "B=9"), Set((*VARIABLES, 2), "C=3")])
    text = read(listed.base).replace(
        b"      - A=1\n      - B=9\n      - C=3\n", b"      A: '1'\n      B: '9'\n      C: '3'\n"
    )
    with open(listed.base, "wb") as stream:
        stream.write(text)
    listed.undo()
    assert edit.Document(read(listed.base), "x").get(VARIABLES) == {"A": "1", "B": "2"}


def test_flags_of_two_owners_are_taken_back_apart(listed):
    listed.write(listed.base, [Set(COMMAND, "uvicorn app:app --port 8000 --workers 1", literal=True)], "one")
    both = "uvicorn app:app --port 8000 --workers 1 --limit-concurrency 50"
    listed.write(listed.base, [Set(COMMAND, both, literal=True)], "two")
    listed.undo(owner="one")
    assert edit.Document(read(listed.base), "x").get(COMMAND) == both.replace("--workers 1", "--workers 2")
    listed.undo(owner="two")
    assert read(listed.base) == LISTED


def test_flags_of_two_runs_leave_the_command_as_it_was_written(listed):
    with open(listed.base, "wb") as stream:
        stream.write(LISTED.replace(b"--port 8000 --workers", b"--port   8000 --workers"))
    before = read(listed.base)
    one = "uvicorn app:app --port   8000 --workers 1"
    listed.write(listed.base, [Set(COMMAND, one, literal=True)])
    listed.write(listed.base, [Set(COMMAND, one + " --z-last 50", literal=True)])
    with open(listed.base, "ab") as stream:
        stream.write(b"# mine\n")
    listed.undo()
    assert read(listed.base) == before + b"# mine\n"


def test_a_command_that_nobody_can_read_any_more_is_left_alone(listed):
    listed.write(listed.base, [Set(COMMAND, "uvicorn app:app --port 8000 --workers 1", literal=True)])
    text = read(listed.base).replace(b"uvicorn app:app --port 8000 --workers 1", b"$START --workers 1")
    with open(listed.base, "wb") as stream:
        stream.write(text.replace(b"--workers 1", b""))
    with pytest.raises(ProjectError, match=r"command of api .* --workers cannot be taken back .* Nothing was changed"):
        listed.undo()


def test_a_list_that_we_began_stays_with_what_somebody_else_has_added(files):
    files.write(files.base, [Set((*VOLUMES, 0), "/h:/h")])
    assert b"volumes:\n      - /h:/h\n" in read(files.base)
    with open(files.base, "wb") as stream:
        stream.write(BASE.replace(b"# keep\n", b"# keep\n    volumes:\n      - /h:/h\n      - ./own:/own\n"))
    files.undo()
    assert read(files.base) == BASE.replace(b"# keep\n", b"# keep\n    volumes:\n      - ./own:/own\n")
