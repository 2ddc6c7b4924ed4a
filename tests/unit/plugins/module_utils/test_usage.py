# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.smallhost.headroom.plugins.module_utils import usage
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container


def container(**more):
    data = {
        "Id": "0" * 64,
        "Name": "/p-bot-1",
        "Config": {"Labels": {"com.docker.compose.service": "bot"}},
        "State": {"Running": False, "Status": "exited", "ExitCode": 137, "OOMKilled": True},
        "HostConfig": {"Memory": 50, "MemorySwap": 60, "PidsLimit": 7},
        "RestartCount": 2,
    }
    return Container({**data, **more})


def test_a_stopped_container_has_its_limits_and_no_figures():
    found = usage.describe(container(), None)
    assert (found["limit"], found["memory_swap"], found["pids_limit"], found["cpus"]) == (50, 60, 7, None)
    assert (found["working_set"], found["oom_kills"], found["cpu_percent"]) == (None, None, None)
    assert (found["exit_code"], found["oom_killed"], found["restarts"], found["health"]) == (137, True, 2, None)


def test_the_log_counts_with_its_rotated_files(tmp_path):
    (tmp_path / "x-json.log").write_bytes(b"12345")
    (tmp_path / "x-json.log.1").write_bytes(b"123")
    (tmp_path / "other.log").write_bytes(b"1")
    assert usage.log_size(container(LogPath=str(tmp_path / "x-json.log"))) == 8
    assert usage.log_size(container(LogPath="")) is None
    assert usage.log_size(container(LogPath=str(tmp_path / "gone"))) is None


def test_totals_name_those_without_a_limit():
    def row(name, running, limit, kills):
        return {
            "name": name,
            "running": running,
            "working_set": 10 if running else None,
            "limit": limit,
            "reservation": None,
            "oom_kills": kills,
        }

    rows = [row("a", True, 100, 2), row("b", True, None, 0), row("c", False, None, None)]
    assert usage.totals(rows) == {
        "working_set": 20,
        "limits": 100,
        "reservations": 0,
        "oom_kills": 2,
        "unlimited": ["b"],
    }


def test_a_project_without_containers():
    assert usage.collect([], 0.0, []) == []
