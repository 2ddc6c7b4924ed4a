# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import subprocess
import sys

from ansible_collections.smallhost.headroom.plugins.module_utils.images import collector

SITE = "usr/local/lib/python3.11/site-packages/"


def test_caches_headers_pip_and_other_bytecode_are_left_out():
    paths = [
        SITE + "a/__init__.py",
        SITE + "a/__pycache__/__init__.cpython-311.pyc",
        SITE + "a/__pycache__/__init__.cpython-311.opt-1.pyc",
        SITE + "a/__pycache__/__init__.cpython-310.pyc",
        SITE + "a/libx.a",
        SITE + "pip/__init__.py",
        SITE + "pip-25.0.dist-info/METADATA",
        SITE + "pipeline/__init__.py",
        "usr/local/bin/pip3.11",
        "usr/local/bin/uvicorn",
        "usr/local/include/a.h",
        "usr/local/share/man/man1/a.1",
        "usr/lib/x.so",
        "usr/bin/tool",
        "app/a.egg-info/PKG-INFO",
    ]
    kept = [
        SITE + "a/__init__.py",
        SITE + "a/__pycache__/__init__.cpython-311.pyc",
        SITE + "pipeline/__init__.py",
        "usr/local/bin/uvicorn",
        "app/a.egg-info/PKG-INFO",
    ]
    assert collector.wanted(paths, False, {}, "cpython-311") == kept
    # Without a package manager at work, what came into the system's folders came from the build; but not dpkg's own.
    both = [*kept[:4], "usr/lib/x.so", kept[4]]
    assert collector.wanted(paths, True, {"/usr/bin/tool": "tool"}, "cpython-311") == both


def test_tests_stay_where_something_imports_them():
    texts = {
        SITE + "a/__init__.py": "import os\n",
        SITE + "a/tests/test_a.py": "from a.tests import helper\n",
        SITE + "b/api.py": "from b.tests.helper import x\n",
        SITE + "b/tests/helper.py": "",
        SITE + "c/sub/tests/data.json": "",
        SITE + "tests/test_top.py": "",
    }
    found = collector.unused_tests(list(texts), texts.__getitem__)
    assert found == {SITE + "a/tests", SITE + "c/sub/tests"}


def test_a_library_belongs_to_its_package_in_a_merged_usr_too(tmp_path):
    info = tmp_path / "info"
    info.mkdir()
    (info / "libpq5:amd64.list").write_text("/.\n/usr/lib/libpq.so.5\n")
    (info / "zlib1g:amd64.list").write_text("/lib/libz.so.1\n")
    owned = collector.owners(str(info))
    assert collector.owner("/usr/lib/libpq.so.5", owned) == "libpq5"
    assert collector.owner("/usr/lib/libz.so.1", owned) == "zlib1g"
    assert collector.owner("/usr/local/lib/libown.so", owned) is None


def test_ldd_of_this_machine_is_understood():
    output = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    found = collector.libraries(output)
    assert found
    assert all(os.path.exists(path) for path in found)
    assert collector.is_binary(os.path.realpath("/bin/sh"))
    assert not collector.is_binary(__file__)


def test_run_time_libraries_behind_dev_packages():
    depends = {
        "default-libmysqlclient-dev": "libmysqlclient-dev | libmariadb-dev-compat",
        "libmariadb-dev-compat": "libmariadb-dev (= 1)",
        "libmariadb-dev": "libmariadb3 (= 1), zlib1g-dev, libssl-dev, libc6-dev",
        "libssl-dev": "libssl3 (= 3)",
    }
    found = collector.behind(["default-libmysqlclient-dev"], lambda name: depends.get(name, ""))
    assert found == {"libmariadb3", "libssl3"}


def test_scan_passes_over_caches_and_system_folders_and_keeps_links(tmp_path):
    for path in (
        "usr/local/bin/a",
        "root/.cache/pip/x",
        "root/.cache/huggingface/x",
        "tmp/y",
        "var/lib/z",
        "var/www/w",
    ):
        target = tmp_path / path
        target.parent.mkdir(parents=True)
        target.write_text("x")
    (tmp_path / "usr/local/link").symlink_to("bin")
    assert set(collector.scan(str(tmp_path))) == {
        "usr/local/bin/a",
        "usr/local/link",
        "root/.cache/huggingface/x",
        "var/www/w",
    }


def test_copies_keep_mode_time_and_folders(tmp_path):
    source = tmp_path / "a" / "b" / "c"
    source.parent.mkdir(parents=True)
    source.write_text("x")
    source.chmod(0o640)
    (tmp_path / "a" / "b").chmod(0o711)
    os.utime(source, (1000, 1000))
    target = tmp_path / "goal" / "a" / "b" / "c"
    (tmp_path / "goal").mkdir()
    collector.copy(str(source), str(target), os.getuid())
    assert oct(target.stat().st_mode)[-3:] == "640"
    assert int(target.stat().st_mtime) == 1000
    assert oct(target.parent.stat().st_mode)[-3:] == "711"


def test_files_and_their_folders_belong_to_whom_they_belonged(tmp_path, monkeypatch):
    source = tmp_path / "home" / "bot" / ".profile"
    source.parent.mkdir(parents=True)
    source.write_text("x")
    (tmp_path / "goal").mkdir()
    given = []
    monkeypatch.setattr(collector.os, "chown", lambda path, uid, gid, follow_symlinks: given.append(path))
    goal = tmp_path / "goal" / "home"
    collector.copy(str(source), str(goal / "bot" / ".profile"), 0)
    assert given == [str(path) for path in (goal, goal / "bot", goal / "bot" / ".profile")]


def test_it_is_a_program_of_its_own(tmp_path):
    done = subprocess.run([sys.executable, collector.__file__], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "IndexError" in done.stderr


def test_folders_of_the_system_are_noted_with_their_owner(tmp_path):
    """The final stage gives the whole copy to the user, and COPY changes the owner of folders that are there, too."""
    root, goal = tmp_path / "root", tmp_path / "1"
    (root / "usr/local/my lib").mkdir(parents=True)
    (root / "home/bot").mkdir(parents=True)
    for place in ("usr/local/my lib", "home/bot", "usr/local/share/headroom"):
        (goal / place).mkdir(parents=True)
    here = os.lstat(root)
    own = f"{here.st_uid}:{here.st_gid}"
    places = (".", "usr", "usr/local", "usr/local/my lib", "home", "home/bot")
    noted = {f"{own} /{place}" for place in places} | {"0:0 /usr/local/share", "0:0 /usr/local/share/headroom"}
    assert collector.foreign(str(goal), str(root), here.st_uid + 1) == noted
    assert collector.foreign(str(goal), str(root), here.st_uid) == {line for line in noted if "share" in line}
