# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.smallhost.headroom.plugins.module_utils import docker_share

CONTAINER = "0::/system.slice/docker-" + "ab" * 32 + ".scope\n"


def process(proc, pid, comm, cgroup="0::/system.slice/docker.service\n", pss=None, rss=40):
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "comm").write_text(comm + "\n")
    (folder / "cgroup").write_text(cgroup)
    (folder / "status").write_text(f"Name:\t{comm}\nVmRSS:\t{rss:8d} kB\n")
    if pss is not None:
        (folder / "smaps_rollup").write_text(f"00400000-7fff r--p\nRss: {rss} kB\nPss: {pss:8d} kB\nPss_Anon: 1 kB\n")


def test_the_engines_processes_are_added_up_by_kind(tmp_path):
    process(tmp_path, 10, "dockerd", pss=600)
    process(tmp_path, 11, "containerd", pss=300)
    process(tmp_path, 12, "containerd-shim", pss=70)
    process(tmp_path, 13, "containerd-shim", pss=50)
    process(tmp_path, 14, "systemd-journal")
    process(tmp_path, 15, "python3", pss=9000)
    (tmp_path / "self").mkdir()
    found = docker_share.measure(str(tmp_path))
    kib = {name: size // 1024 for name, size in found.items()}
    expected = {"dockerd": 600, "containerd": 300, "shims": 120, "proxies": 0, "journald": 40, "total": 1060}
    assert kib == expected


def test_an_engine_within_a_container_is_that_containers_own(tmp_path):
    process(tmp_path, 10, "dockerd", pss=600)
    process(tmp_path, 20, "dockerd", CONTAINER, pss=500)
    process(tmp_path, 21, "dockerd", "4:memory:/docker/" + "cd" * 32 + "/system.slice/docker.service\n", pss=500)
    assert docker_share.measure(str(tmp_path))["dockerd"] == 600 * 1024
