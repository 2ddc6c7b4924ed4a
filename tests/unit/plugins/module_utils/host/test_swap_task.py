# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.cgroup import HostMemory
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, swap_task
from ansible_collections.smallhost.headroom.plugins.module_utils.host.swap import Area, SwapError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

MIB = 1024 * 1024


class Host:
    """A machine without the kernel's part of swap: /proc/swaps names a file with the links in its path resolved."""

    def __init__(self, folder, monkeypatch):
        memory = HostMemory(2900 * MIB, 2400 * MIB, 500 * MIB, 0, 0, "recorded")
        self.areas: dict[str, Area] = {}
        self._state, self._wants = str(folder / "state"), folder / "units/swap.target.wants"
        self._wants.mkdir(parents=True)
        monkeypatch.setattr(swap_task, "_UNIT_FOLDER", str(folder / "units"))
        monkeypatch.setattr(swap_task, "_WANTS", str(self._wants))
        monkeypatch.setattr(swap_task, "_areas", lambda: list(self.areas.values()))
        monkeypatch.setattr(swap_task, "_container", lambda: None)
        monkeypatch.setattr(swap_task, "_require_new", lambda _path, _size: None)
        monkeypatch.setattr(swap_task.cgroup, "host_memory", lambda: memory)
        monkeypatch.setattr(daemon, "run", self.command)
        monkeypatch.setattr(daemon, "systemctl", self.systemctl)

    def command(self, words, seconds=60.0):
        path = os.path.realpath(words[1])
        if words[0] == "swapon":
            self.swap_on(path)
        if words[0] == "swapoff":
            del self.areas[path]
        return ""

    def swap_on(self, path, used=0):
        self.areas[path] = Area(path, "file", 1024 * MIB, used)

    def systemctl(self, verb, *units):
        for name in units:
            if verb == "enable":
                (self._wants / name).symlink_to(self._wants.parent / name)
            if verb == "disable":
                (self._wants / name).unlink()

    def run(self, act, path, check_mode=False):
        with Journal("_host", self._state).opened(check_mode, 1.0) as journal:
            return act(swap_task.Task({"path": str(path), "size": "1M"}, "owner", journal, check_mode))


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_a_path_with_a_link_in_it(host, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "var").symlink_to("data")
    path = tmp_path / "var/swap"
    assert host.run(swap_task.present, path)["changed"]
    assert list(host.areas) == [str(tmp_path / "data/swap")]
    again = host.run(swap_task.present, path)
    assert (again["changed"], again["reason"]) == (False, "")
    assert host.run(swap_task.absent, path)["changed"]
    assert host.areas == {}
    assert not path.exists()


def test_a_folder_that_was_moved_and_linked_afterwards(host, tmp_path):
    (tmp_path / "var").mkdir()
    path = tmp_path / "var/swap"
    host.run(swap_task.present, path)
    (tmp_path / "var").rename(tmp_path / "data")
    (tmp_path / "var").symlink_to("data")
    host.areas = {}
    host.swap_on(str(tmp_path / "data/swap"))
    assert not host.run(swap_task.present, path)["changed"]
    host.run(swap_task.absent, path)
    assert host.areas == {}


def test_a_path_that_was_changed_later_moves_nothing_and_leaves_nothing(host, tmp_path):
    host.run(swap_task.present, tmp_path / "one")
    assert not host.run(swap_task.present, tmp_path / "two")["changed"]
    assert list(host.areas) == [str(tmp_path / "one")]
    host.run(swap_task.absent, tmp_path / "two")
    assert host.areas == {}
    assert sorted(os.listdir(tmp_path)) == ["state", "units"]


def test_all_that_was_made_goes_if_memory_takes_it_all(host, tmp_path):
    for name in ("one", "two"):
        with Journal("_host", str(tmp_path / "state")).locked() as journal:
            journal.remember("owner", f"swap:{tmp_path / name}", {"wants": True})
        host.swap_on(str(tmp_path / name), used=300 * MIB)
        (tmp_path / name).touch()
    with pytest.raises(SwapError, match=r"two holds 300\.0 MB, and only 200\.0 MB"):
        host.run(swap_task.absent, tmp_path / "one")
    assert len(host.areas) == 2
    host.swap_on(str(tmp_path / "one"))
    host.run(swap_task.absent, tmp_path / "one")
    assert host.areas == {}
    assert sorted(os.listdir(tmp_path)) == ["state", "units"]


def test_somebody_elses_swap_at_the_same_path_does_not_become_ours(host, tmp_path):
    path = tmp_path / "swapfile"
    path.touch()
    host.swap_on(str(path))
    assert host.run(swap_task.present, path)["reason"] == f"there is swap already: {path}."
    assert not host.run(swap_task.absent, path)["changed"]
    assert path.exists()
