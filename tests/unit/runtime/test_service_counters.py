# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counters and users that several processes keep in one file."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from headroom_runtime import service_counters
from headroom_runtime.service_counters import active_users, merge_users, read_counters, write_counters

WHO = [bytes([number]) * 8 for number in range(3)]


def test_counters_survive_what_is_no_counter():
    assert read_counters("requests 5\nnonsense\nerrors x\nother 3\n") == {
        "requests": 5.0, "errors": 0.0, "request_seconds": 0.0,
    }  # fmt: skip


def test_lines_have_one_length_and_are_what_the_sampler_reads():
    small, large = (write_counters({"requests": n, "errors": 0, "request_seconds": n / 3}) for n in (1, 123456789))
    assert len(small) == len(large)
    assert [float(line.split()[1]) for line in large.splitlines()] == [123456789.0, 0.0, 41152263.0]


def test_users_are_counted_once_and_forgotten():
    records = merge_users(b"", {WHO[0]: 1000, WHO[1]: 2000}, 0)
    records = merge_users(records, {WHO[0]: 3000}, 1500)
    assert (active_users(records, 1500), active_users(records, 2500)) == (2, 1)
    records = merge_users(records, {WHO[2]: 4000}, 3000)
    assert (len(records), active_users(records, 0)) == (24, 2)


def test_the_newest_users_are_kept(monkeypatch):
    monkeypatch.setattr(service_counters, "MOST_USERS", 2)
    records = merge_users(b"", {WHO[0]: 1, WHO[1]: 2, WHO[2]: 3}, 0)
    assert (active_users(records, 0), active_users(records, 2)) == (2, 2)


def test_processes_add_to_one_file(tmp_path):
    counters, users = tmp_path / "api", tmp_path / "users"
    users.mkdir()
    children = []
    for _child in range(4):
        child = os.fork()
        if child == 0:
            mine = service_counters.ServiceCounters(str(counters), str(users))
            for number in range(50):
                mine.add(number % 10 == 0, 0.5, f"user-{number}")
                mine.flush()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert read_counters(counters.read_text()) == {"requests": 200.0, "errors": 20.0, "request_seconds": 100.0}
    records = (users / "seen").read_bytes()
    assert active_users(records, int(time.time()) - 60) == 50
    assert b"user" not in records
    assert (users / ".key").stat().st_mode & 0o777 == 0o600


def test_a_forked_child_does_not_count_what_its_parent_will(tmp_path):
    counters = service_counters.ServiceCounters(str(tmp_path / "api"), "")
    counters.add(False, 1.0, None)
    child = os.fork()
    if child == 0:
        counters.add(False, 1.0, None)
        counters.flush()
        os._exit(0)
    os.waitpid(child, 0)
    counters.flush()
    assert read_counters((tmp_path / "api").read_text())["requests"] == 2


def test_a_folder_that_is_not_there_is_said_once(tmp_path, capsys):
    counters = service_counters.ServiceCounters(str(tmp_path / "nowhere/api"), "")
    for _time in range(3):
        counters.add(False, 1.0, None)
        counters.flush()
    assert capsys.readouterr().err.count("counters are not written") == 1


def test_the_command_for_the_monitoring(tmp_path):
    service_counters.ServiceCounters("", str(tmp_path)).add(False, 0, "nobody yet")
    counters = service_counters.ServiceCounters("", str(tmp_path))
    for who in ("ann", "bob", "ann"):
        counters.add(False, 0, who)
    counters.flush()
    command = [sys.executable, "-m", "headroom_runtime.count_users"]
    for folder, count in ((tmp_path, "2\n"), (tmp_path / "none", "0\n")):
        done = subprocess.run(
            [*command, str(folder)],
            env={"PYTHONPATH": os.path.dirname(os.path.dirname(service_counters.__file__))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == count


def test_the_key_is_made_once_and_one_that_was_begun_and_not_written_is_made_up_for(tmp_path):
    path = tmp_path / ".key"
    path.touch(mode=0o600)  # as another process leaves it that is killed, or between its two steps
    key = service_counters._key(str(path))
    assert len(key) == 16 and path.read_bytes() == key
    assert service_counters._key(str(path)) == key
    path.unlink()
    assert service_counters._key(str(path)) != key
    assert path.stat().st_mode & 0o777 == 0o600
