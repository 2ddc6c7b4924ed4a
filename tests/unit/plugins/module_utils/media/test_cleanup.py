# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Cleaning real folders."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.media import cleanup, sweep, tree
from ansible_collections.smallhost.headroom.plugins.module_utils.media.open_files import CannotSee, open_files
from ansible_collections.smallhost.headroom.plugins.module_utils.media.tree import Root

PROGRAM = Path(__file__).resolve().parents[4] / "media/random_trees.py"


def load_program():
    spec = importlib.util.spec_from_file_location("random_trees", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    sys.modules["random_trees"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def media(tmp_path):
    """A folder with two old files, one of them in a folder, and a clock by which they are old."""
    root = tmp_path / "media"
    (root / "below").mkdir(parents=True)
    for path in (root / "one.jpg", root / "below/two.jpg"):
        path.write_bytes(b"picture")
    return root


@pytest.fixture
def no_processes(tmp_path):
    """A /proc in which nothing is open: the real one may hold processes that this user cannot look at."""
    proc = tmp_path / "proc"
    proc.mkdir()
    return str(proc)


@pytest.fixture
def later(monkeypatch):
    now = time.time_ns() + 20 * 86400 * 10**9
    monkeypatch.setattr(cleanup.time, "time_ns", lambda: now)


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())


@pytest.mark.usefixtures("later")
def test_dry_run_names_what_a_run_removes(media, no_processes):
    entry = {"path": str(media), "max_age": "14d"}
    dry = cleanup.clean(entry, dry_run=True, proc=no_processes)
    assert names(media) == ["below/two.jpg", "one.jpg"]
    done = cleanup.clean(entry, dry_run=False, proc=no_processes)
    assert names(media) == []
    assert {file.path for file, _reason in dry.removed} == {file.path for file, _reason in done.removed}
    assert (done.freed, dry.freed) == (dry.freed, done.freed) > (0, 0)
    assert os.listdir(media) == ["below"]


@pytest.mark.usefixtures("later")
def test_link_to_the_folder_itself_is_followed_and_links_in_it_are_not(media, tmp_path, no_processes):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (media / "link").symlink_to(outside)
    (media / "file-link").symlink_to(outside / "precious")
    (tmp_path / "alias").symlink_to(media)
    cleanup.clean({"path": str(tmp_path / "alias"), "max_age": "14d"}, dry_run=False, proc=no_processes)
    assert names(media) == ["file-link", "link"]
    assert (outside / "precious").exists()


def test_folder_that_became_a_link_is_not_entered(media, tmp_path):
    (tmp_path / "outside").mkdir()
    (media / "swapped").symlink_to(tmp_path / "outside")
    with Root.open(str(media)) as root, pytest.raises(OSError), root.folder(("swapped",)):
        pass


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/etc/media", "/usr/share", "/home", "/var", "/var/lib", "/proc/1", "/tmp"]
)
def test_folders_of_the_system_are_refused(path):
    with pytest.raises(tree.NotCleanable, match="of the system"):
        tree.require_cleanable(path)


@pytest.mark.parametrize("path", ["/opt/bot/media", "/var/lib/docker/volumes/bot_media/_data", "/srv/media", "/data"])
def test_folders_of_media_are_not(path):
    tree.require_cleanable(path)


def test_files_that_a_process_holds_are_seen(tmp_path):
    held, mapped, free = (tmp_path / name for name in ("held", "mapped", "free"))
    for path in (held, mapped, free):
        path.write_bytes(b"x" * 10)
    code = (
        "import mmap, sys\n"
        "a = open(sys.argv[1]); b = open(sys.argv[2]); m = mmap.mmap(b.fileno(), 0, prot=mmap.PROT_READ); b.close()\n"
        "print('ready', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, held, mapped], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        holder.stdout.readline()
        proc = tmp_path / "proc"
        proc.mkdir()
        (proc / str(holder.pid)).symlink_to(f"/proc/{holder.pid}")
        found = open_files(tmp_path.stat().st_dev, str(proc))
        holder.stdin.close()
    inodes = {inode for _device, inode in found}
    assert held.stat().st_ino in inodes
    assert mapped.stat().st_ino in inodes
    assert free.stat().st_ino not in inodes


def test_process_that_cannot_be_seen_stops_everything(media, tmp_path, later):
    def hidden(device, proc):
        raise CannotSee("which files process 1 has open cannot be seen")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cleanup, "open_files", hidden)
        with pytest.raises(CannotSee):
            cleanup.clean({"path": str(media), "max_age": "14d"}, dry_run=False)
    assert names(media) == ["below/two.jpg", "one.jpg"]


def test_file_that_is_opened_after_it_was_chosen_goes_back(media):
    """In use only from the second look on, when the file is out of its place already."""
    with Root.open(str(media)) as root:
        files = list(root.files())
        outcome = sweep.sweep(root, files, lambda: {files[0].identity})
    assert [(file.path, reason) for file, reason in outcome.kept] == [(files[0].path, "in use")]
    assert names(media) == [files[0].path]


def test_failure_on_the_way_puts_everything_back(media):
    def fails():
        raise CannotSee("no")

    with Root.open(str(media)) as root, pytest.raises(CannotSee):
        sweep.sweep(root, list(root.files()), fails)
    assert sorted(os.listdir(media)) == ["below", "one.jpg"]
    assert names(media) == ["below/two.jpg", "one.jpg"]


def test_file_whose_name_was_taken_meanwhile_comes_back_under_another(media):
    def taken():
        (media / "one.jpg").write_bytes(b"newer")
        return {file.identity for file in files}

    with Root.open(str(media)) as root:
        files = list(root.files())
        sweep.sweep(root, files, taken)
    assert names(media) == ["below/two.jpg", "one.jpg", "one.jpg.headroom-kept"]
    assert (media / "one.jpg").read_bytes() == b"newer"
    assert (media / "one.jpg.headroom-kept").read_bytes() == b"picture"


def test_file_whose_folder_went_meanwhile_comes_back_into_the_root(media):
    def removed():
        (media / "below").rmdir()
        return {file.identity for file in files}

    with Root.open(str(media)) as root:
        files = list(root.files())
        sweep.sweep(root, files, removed)
    assert names(media) == ["one.jpg", "two.jpg.headroom-kept"]


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK])
def test_files_come_back_on_a_file_system_without_hard_links(media, monkeypatch, number):
    def refused(*_names, **_handles):
        raise OSError(number, os.strerror(number))

    def taken():
        (media / "one.jpg").write_bytes(b"newer")
        return {file.identity for file in files}

    monkeypatch.setattr(sweep.os, "link", refused)
    with Root.open(str(media)) as root:
        files = list(root.files())
        sweep.sweep(root, files, taken)
    assert sorted(os.listdir(media)) == ["below", "one.jpg", "one.jpg.headroom-kept"]
    assert (media / "one.jpg").read_bytes() == b"newer"
    assert (media / "below/two.jpg").read_bytes() == b"picture"


@pytest.mark.parametrize("first", ["one.jpg", "two.jpg"])
def test_file_that_cannot_be_put_back_keeps_no_other_from_it_and_comes_back_later(media, first):
    link = os.link

    def refused(source, target, **handles):
        if target.startswith(first):
            raise OSError(errno.EIO, "Input/output error")
        link(source, target, **handles)

    def fails():
        raise CannotSee("no")

    with Root.open(str(media)) as root:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sweep.os, "link", refused)
            for put_back in (lambda: sweep.sweep(root, list(root.files()), fails), lambda: sweep.recover(root)):
                with pytest.raises(OSError, match=r"^1 of \d files could not be put back \(Input/output error\)"):
                    put_back()
        assert len(names(media)) == 3  # the other one in its place, the first in our folder, and the notice
        assert sweep.recover(root) == 1
    assert names(media) == ["below/two.jpg", "one.jpg"]


@pytest.mark.usefixtures("later")
def test_run_that_was_killed_is_put_right_by_the_next(media, no_processes):
    code = f"""
import os
from ansible_collections.smallhost.headroom.plugins.module_utils.media import sweep
from ansible_collections.smallhost.headroom.plugins.module_utils.media.tree import Root
with Root.open({str(media)!r}) as root:
    sweep.sweep(root, list(root.files()), lambda: os.kill(os.getpid(), 9))
"""
    paths = os.pathsep.join(path for path in sys.path if path)
    died = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, check=False)
    assert died.returncode == -9
    assert not (media / "one.jpg").exists()
    done = cleanup.clean({"path": str(media), "max_age": "365d"}, dry_run=False, proc=no_processes)
    assert done.recovered == 2
    assert names(media) == ["below/two.jpg", "one.jpg"]
    assert sorted(os.listdir(media)) == ["below", "one.jpg"]


def test_two_runs_at_once_are_refused(media, no_processes):
    with Root.open(str(media)) as root:
        cleanup._lock(root)
        with pytest.raises(cleanup.Busy, match="another run"):
            cleanup.clean({"path": str(media), "max_age": "14d"}, dry_run=False, proc=no_processes)


@pytest.mark.skipif(
    not load_program().may_have_namespaces(), reason="needs a user who may make mount and process namespaces"
)
def test_no_wrong_file_goes_in_random_trees():
    """25 of the trees; all 1,000 take about two minutes: python3 tests/media/random_trees.py."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--trees", "25"],
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("25 trees: ")
