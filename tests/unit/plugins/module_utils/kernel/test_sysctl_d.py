# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import sysctl_d, tmpfiles_d
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel.sysctl_d import (
    SYSCTL_FOLDERS,
    ConfigFile,
    boot_plan,
    name_after,
    read_folders,
    winner,
    with_file,
)

KEY = "proc/sys/vm/swappiness"
ENABLED = "sys/kernel/mm/transparent_hugepage/enabled"


def plan(**files):
    """A boot plan of files given as a90="text" -> /etc/sysctl.d/a90.conf."""
    named = {f"{name}.conf": ConfigFile(f"/etc/sysctl.d/{name}.conf", text.encode()) for name, text in files.items()}
    return boot_plan(named)


def where(lines, entry=KEY):
    line = winner(lines, entry)
    return line and (os.path.basename(line.path), line.line, line.value)


def test_nobody_sets_it():
    assert winner(plan(a="vm.other = 1"), KEY) is None


def test_the_later_name_and_the_later_line_win():
    assert where(plan(a="vm.swappiness=1", b="x.y=1\nvm.swappiness = 2 \nvm/swappiness=3\n")) == ("b.conf", 3, "3")


def test_an_explicit_key_beats_a_later_pattern():
    assert where(plan(a="vm.swappiness=1", b="vm.*=2")) == ("a.conf", 1, "1")
    assert where(plan(b="vm.swap*=2")) == ("b.conf", 1, "2")
    assert where(plan(b="*.swappiness=2")) == ("b.conf", 1, "2")
    assert where(plan(b="*=2")) is None


def test_a_key_taken_out_names_the_line_that_takes_it_out():
    assert where(plan(a="vm.swappiness=1", b="-vm.swappiness")) == ("b.conf", 1, None)


def test_a_minus_with_a_value_is_an_assignment():
    assert where(plan(a="-vm.swappiness = 7")) == ("a.conf", 1, "7")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("dirty_bytes", "dirty_ratio"),
        ("dirty_background_bytes", "dirty_background_ratio"),
        ("overcommit_kbytes", "overcommit_ratio"),
    ],
)
def test_the_other_of_a_pair_switches_it_off_when_it_comes_later(one, other):
    entry = f"proc/sys/vm/{one}"
    assert where(plan(a=f"vm.{one}=4096", b=f"vm.{other}=20"), entry) == ("b.conf", 1, "20")
    assert where(plan(a=f"vm.{other}=20", b=f"vm.{one}=4096"), entry) == ("b.conf", 1, "4096")
    assert where(plan(a=f"vm.{one}=4096", b=f"vm.{other}=0"), entry) == ("a.conf", 1, "4096")


def test_files_of_all_folders(tmp_path):
    for path, text in {
        "usr/lib/sysctl.d/50-a.conf": "vm.swappiness=1",
        "run/sysctl.d/50-a.conf": "vm.swappiness=2",
        "usr/lib/sysctl.d/70-b.conf": "vm.swappiness=3",
        "etc/sysctl.conf": "vm.swappiness=4",
        "etc/sysctl.d/README": "vm.swappiness=5",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    os.symlink("/dev/null", tmp_path / "etc/sysctl.d/70-b.conf")
    root = str(tmp_path)
    assert where(boot_plan(read_folders(root, SYSCTL_FOLDERS))) == ("50-a.conf", 1, "2")
    # Debian 12 has this link, Debian 13 has not. An absolute link stays inside the root.
    for target in ("../sysctl.conf", "/etc/sysctl.conf"):
        os.symlink(target, tmp_path / "etc/sysctl.d/99-sysctl.conf")
        assert where(boot_plan(read_folders(root, SYSCTL_FOLDERS))) == ("99-sysctl.conf", 1, "4")
        os.unlink(tmp_path / "etc/sysctl.d/99-sysctl.conf")


def test_a_loop_of_links_is_an_error(tmp_path):
    (tmp_path / "etc/sysctl.d").mkdir(parents=True)
    os.symlink("a.conf", tmp_path / "etc/sysctl.d/a.conf")
    with pytest.raises(OSError, match="too many links"):
        read_folders(str(tmp_path), SYSCTL_FOLDERS)


def test_a_planned_file_is_judged_before_it_is_there():
    files = {"a.conf": ConfigFile("/run/sysctl.d/a.conf", b"vm.swappiness=1")}
    etc, usr = "/etc/sysctl.d/a.conf", "/usr/lib/sysctl.d/a.conf"
    assert with_file(files, etc, b"x", SYSCTL_FOLDERS)["a.conf"].path == etc
    assert with_file(files, usr, b"x", SYSCTL_FOLDERS)["a.conf"].path == "/run/sysctl.d/a.conf"
    assert with_file(files, "/opt/b.conf", b"x", SYSCTL_FOLDERS) == files
    assert with_file(files, "/etc/sysctl.d/b.cfg", b"x", SYSCTL_FOLDERS) == files


@pytest.mark.parametrize(
    ("last", "first_choice"),
    [
        ("10-a.conf", "90-headroom.conf"),
        ("95-a.conf", "99-headroom.conf"),
        ("99-sysctl.conf", "99-zz-headroom.conf"),
        ("zzz.conf", "zzz_headroom.conf"),
    ],
)
def test_a_name_that_sorts_after_the_winner(last, first_choice):
    names = name_after("90-headroom.conf", last)
    assert names[0] == first_choice
    assert all(os.fsencode(name) > os.fsencode(last) for name in names)


def test_tmpfiles_the_first_line_for_a_path_wins():
    files = {
        "a.conf": ConfigFile("a", f"w /{ENABLED} - - - - never\n# w x\nd /run/x 0755 - - -\n".encode()),
        "b.conf": ConfigFile("b", f"w /{ENABLED} - - - - always\n".encode()),
    }
    line = tmpfiles_d.winner(tmpfiles_d.boot_plan(files), ENABLED)
    assert (line.path, line.line, line.value) == ("a", 1, "never")


def test_tmpfiles_patterns_are_carried_out_in_order():
    files = {
        "a.conf": ConfigFile("a", b"w! /sys/kernel/mm/transparent_hugepage/e* - - - - never\n"),
        "b.conf": ConfigFile("b", f"w /{ENABLED} - - - - always\n".encode()),
    }
    assert tmpfiles_d.winner(tmpfiles_d.boot_plan(files), ENABLED).path == "b"
    files["c.conf"] = files.pop("a.conf")
    assert tmpfiles_d.winner(tmpfiles_d.boot_plan(files), ENABLED).path == "a"


def test_tmpfiles_names():
    assert tmpfiles_d.hugepage_file("/etc/sysctl.d/90-headroom.conf") == "/etc/tmpfiles.d/headroom-thp.conf"
    assert tmpfiles_d.hugepage_file("/etc/sysctl.d/99.conf") == "/etc/tmpfiles.d/99-thp.conf"
    assert tmpfiles_d.name_before("headroom-thp.conf", "a.conf")[0] == "00-headroom-thp.conf"
    assert tmpfiles_d.name_before("headroom-thp.conf", "thp.conf")[0] == "headroom-thp.conf"


def test_lines_round_trip():
    line = tmpfiles_d.write_line(ENABLED, "defer+madvise")
    (parsed,) = tmpfiles_d.parse(ConfigFile("x", line.encode()))
    assert (parsed.entry, parsed.value) == (ENABLED, "defer+madvise")
    (parsed,) = sysctl_d.parse(ConfigFile("x", b"net.ipv4.tcp_rmem = 4096 87380 6291456"))
    assert parsed.value == "4096 87380 6291456"
