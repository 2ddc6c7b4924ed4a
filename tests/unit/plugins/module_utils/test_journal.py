# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import multiprocessing
import os
import stat

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal, JournalBusy, JournalError


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / "state")


def without(line):
    """An inverse as the modules pass it: one owner's line out of the text."""

    def inverse(text):
        return text.replace(line, b"") or None

    return inverse


def test_first_value_counts_and_survives_the_process(root):
    with Journal("bot", root).locked() as journal:
        assert journal.remember("limits", "bot.memory", None)
        assert not journal.remember("limits", "bot.memory", 5)
    journal = Journal("bot", root).read_only()
    assert journal.owned("limits") == {"bot.memory": None}
    assert stat.S_IMODE(os.stat(journal.path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(journal.folder).st_mode) == 0o700


def test_value_is_on_disk_before_the_change(root):
    with Journal("bot", root).locked() as journal:
        journal.remember("limits", "bot.memory", 7)
        assert Journal("bot", root).read_only().recall("limits", "bot.memory") == 7


def test_the_next_run_clears_away_what_a_killed_one_left_half_written(root):
    with Journal("bot", root).locked() as journal:
        journal.remember("limits", "bot.memory", None)
    half = os.path.join(journal.folder, ".undo.json.0vzzydmb.headroom")
    open(half, "w").close()
    with Journal("bot", root).locked() as journal:
        assert journal.owned("limits") == {"bot.memory": None}
    assert not os.path.exists(half)


def test_forgetting_the_last_value_leaves_no_journal(root):
    with Journal("bot", root).locked() as journal:
        journal.remember("limits", "bot.memory", 7)
        journal.forget("limits", "bot.memory")
        journal.forget("limits", "never there")
    assert os.listdir(journal.folder) == ["lock"]


def test_reading_creates_nothing(root):
    assert Journal("bot", root).read_only().owned("limits") == {}
    assert not os.path.exists(root)


@pytest.mark.parametrize("scope", ["", "a/b", "..", ".hidden"])
def test_scope_is_a_plain_name(scope, root):
    with pytest.raises(JournalError):
        Journal(scope, root)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 2, "values": {}, "files": {}}'])
def test_damaged_journal_is_refused_and_kept(root, text):
    journal = Journal("bot", root)
    os.makedirs(journal.folder)
    with open(journal.path, "w") as stream:
        stream.write(text)
    with pytest.raises(JournalError):
        journal.read_only()
    assert atomic_file.read(journal.path) == text.encode()


def _hold(root, started, release):
    with Journal("bot", root).locked():
        started.set()
        release.wait(20)


def test_second_run_waits_then_says_who(root):
    context = multiprocessing.get_context("fork")
    started, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(root, started, release))
    other.start()
    try:
        assert started.wait(20)
        with pytest.raises(JournalBusy, match="Nothing was changed") as caught:
            with Journal("bot", root).locked(wait=0.3):
                pass
        assert caught.value.pid == other.pid
        with Journal("api", root).locked(wait=0.3):
            pass
    finally:
        release.set()
        other.join()
    with Journal("bot", root).locked(wait=5):
        pass


def test_killed_run_does_not_keep_the_lock(root):
    context = multiprocessing.get_context("fork")
    started, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(root, started, release))
    other.start()
    assert started.wait(20)
    other.kill()
    other.join()
    with Journal("bot", root).locked(wait=5):
        pass


@pytest.fixture
def compose(tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_bytes(b"original\n")
    path.chmod(0o640)
    return str(path)


def test_file_comes_back_to_the_byte_with_its_mode(root, compose):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        journal.write_file("one", compose, b"original\nONE\n")
        assert stat.S_IMODE(os.stat(compose).st_mode) == 0o640
        assert journal.files("one") == [compose]
        assert journal.undo_file("one", compose, without(b"x")) == "restored"
    assert atomic_file.read(compose) == b"original\n"
    assert stat.S_IMODE(os.stat(compose).st_mode) == 0o640
    assert os.listdir(journal.folder) == ["lock"]


def test_new_file_goes_and_deleted_file_returns(root, tmp_path, compose):
    new = str(tmp_path / "compose.override.yaml")
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", new, b"x\n", mode=0o600)
        assert stat.S_IMODE(os.stat(new).st_mode) == 0o600
        journal.write_file("one", compose, None)
        assert not os.path.exists(compose)
        assert journal.undo_file("one", new, without(b"")) == "restored"
        assert journal.undo_file("one", compose, without(b"")) == "restored"
    assert not os.path.exists(new)
    assert atomic_file.read(compose) == b"original\n"


def test_owners_undone_newest_first(root, compose):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        journal.write_file("two", compose, b"original\none\ntwo\n")
        assert journal.undo_file("two", compose, without(b"two\n")) == "restored"
        assert atomic_file.read(compose) == b"original\none\n"
        assert journal.undo_file("one", compose, without(b"one\n")) == "restored"
    assert atomic_file.read(compose) == b"original\n"


def test_owners_undone_oldest_first(root, compose):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        journal.write_file("two", compose, b"original\none\ntwo\n")
        assert journal.undo_file("one", compose, without(b"one\n")) == "values"
        assert atomic_file.read(compose) == b"original\ntwo\n"
        # The other owner's snapshot must not bring the first one's value back.
        assert journal.undo_file("two", compose, without(b"two\n")) == "restored"
    assert atomic_file.read(compose) == b"original\n"


def test_owner_that_wrote_twice_around_another(root, compose):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        journal.write_file("two", compose, b"original\none\ntwo\n")
        journal.write_file("one", compose, b"original\none\ntwo\none\n")
        assert journal.undo_file("one", compose, without(b"one\n")) == "values"
        assert journal.undo_file("two", compose, without(b"two\n")) == "restored"
    assert atomic_file.read(compose) == b"original\n"


def test_created_file_of_two_owners_disappears_whatever_the_order(root, tmp_path):
    new = str(tmp_path / "compose.override.yaml")
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", new, b"one\n")
        journal.write_file("two", new, b"one\ntwo\n")
        assert journal.undo_file("one", new, without(b"one\n")) == "values"
        assert atomic_file.read(new) == b"two\n"
        assert journal.undo_file("two", new, without(b"two\n")) == "restored"
    assert not os.path.exists(new)


def test_edit_by_somebody_else_is_kept(root, compose):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        atomic_file.replace(compose, b"original\none\ntheirs\n")
        assert journal.undo_file("one", compose, without(b"one\n")) == "values"
    assert atomic_file.read(compose) == b"original\ntheirs\n"
    assert os.listdir(journal.folder) == ["lock"]


def test_run_killed_between_journal_and_file(root, compose, monkeypatch):
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", compose, b"original\none\n")
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "_put", lambda *args, **kwargs: None)
            journal.write_file("one", compose, b"original\nONE\n")
    assert atomic_file.read(compose) == b"original\none\n"
    with Journal("bot", root).locked() as journal:
        assert journal.undo_file("one", compose, without(b"one\n")) == "restored"
    assert atomic_file.read(compose) == b"original\n"


def test_undo_of_nothing(root, compose):
    with Journal("bot", root).locked() as journal:
        assert journal.undo_file("one", compose, without(b"one\n")) == "nothing"
        journal.write_file("one", compose, b"original\n")
    assert not os.path.exists(journal.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to give a folder to another group")
def test_a_file_keeps_its_group_in_a_folder_with_the_setgid_bit(tmp_path, compose):
    os.chown(tmp_path, 0, 1234)
    tmp_path.chmod(0o2775)
    os.chown(compose, 0, 0)
    atomic_file.replace(str(compose), b"new")
    assert os.stat(compose).st_gid == 0


def test_symbolic_link_stays_a_link(root, tmp_path, compose):
    link = tmp_path / "link.yaml"
    link.symlink_to(compose)
    with Journal("bot", root).locked() as journal:
        journal.write_file("one", str(link), b"changed\n")
        assert link.is_symlink() and atomic_file.read(compose) == b"changed\n"
        assert journal.undo_file("one", str(link), without(b"")) == "restored"
    assert link.is_symlink() and atomic_file.read(compose) == b"original\n"


def test_failed_write_leaves_old_file_and_no_temporary(tmp_path, compose, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic_file.replace(compose, b"new\n")
    assert atomic_file.read(compose) == b"original\n"
    assert os.listdir(tmp_path) == ["compose.yaml"]


def test_a_file_written_in_place_keeps_its_inode(tmp_path):
    """A bind-mounted file is its inode: a rename would leave the container with the old one."""
    path = tmp_path / "redis.conf"
    path.write_bytes(b"maxmemory 1gb\n")
    inode = path.stat().st_ino
    journal = Journal("bot", str(tmp_path / "state"))
    with journal.locked():
        journal.write_file("one", str(path), b"maxmemory 96mb\n", in_place=True)
        assert path.read_bytes() == b"maxmemory 96mb\n"
        assert journal.undo_file("one", str(path), lambda text: text) == "restored"
    assert (path.read_bytes(), path.stat().st_ino) == (b"maxmemory 1gb\n", inode)
