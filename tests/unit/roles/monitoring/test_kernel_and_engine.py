# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from headroom_sampler import kernel, plain_json
from headroom_sampler.containers import Containers
from headroom_sampler.files import growth
from hypothesis import given
from hypothesis import strategies as st

ID = "3f" * 32

V1_MOUNTS = b"""\
30 24 0:26 / /sys/fs/cgroup ro,nosuid shared:4 - tmpfs tmpfs ro,mode=755
31 30 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:5 - cgroup cgroup rw,memory
32 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:6 - cgroup cgroup rw,cpu,cpuacct
33 30 0:29 / /sys/fs/cgroup/pids rw,nosuid shared:7 - cgroup cgroup rw,pids
34 30 0:30 / /sys/fs/cgroup/unified rw,nosuid shared:8 - cgroup2 cgroup2 rw
"""
V2_MOUNTS = b"26 21 0:23 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"


def tree(root: Path, files: dict[str, str]) -> None:
    """Write files of a recorded /sys/fs/cgroup or /proc."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_container_of_v1_is_found_in_every_controller(tmp_path):
    mounted = kernel.mounts(V1_MOUNTS, str(tmp_path))
    text = (
        f"9:name=systemd:/docker/{ID}\n5:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n2:pids:/docker/{ID}\n0::/\n"
    )
    version, found = kernel.folders(text.encode(), ID, mounted)
    assert version == 1
    assert found["memory"] == f"{tmp_path}/memory/docker/{ID}"
    assert found["cpuacct"] == f"{tmp_path}/cpu,cpuacct/docker/{ID}"


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        (f"/system.slice/docker-{ID}.scope", f"/system.slice/docker-{ID}.scope"),
        (f"/system.slice/docker-{ID}.scope/init.scope", f"/system.slice/docker-{ID}.scope"),
        (f"/docker/{ID}", f"/docker/{ID}"),
    ],
)
def test_a_container_of_v2_is_found_even_when_its_process_sits_in_a_child(tmp_path, path, folder):
    version, found = kernel.folders(f"0::{path}\n".encode(), ID, kernel.mounts(V2_MOUNTS, str(tmp_path)))
    assert (version, found["memory"]) == (2, str(tmp_path) + folder)


def test_a_process_that_is_not_the_containers_is_not_taken_for_it(tmp_path):
    assert kernel.folders(b"0::/user.slice\n", ID, kernel.mounts(V2_MOUNTS, str(tmp_path))) == (0, {})
    assert kernel.folders(b"", ID, {}) == (0, {})
    assert kernel.container(0, {}) is None


def test_a_host_whose_own_group_is_mounted_as_the_root(tmp_path):
    mounts = V2_MOUNTS.replace(b" / /sys", b" /docker/outer /sys")
    _version, found = kernel.folders(
        f"0::/docker/outer/docker/{ID}\n".encode(), ID, kernel.mounts(mounts, str(tmp_path))
    )
    assert found["memory"] == f"{tmp_path}/docker/{ID}"


def v1_group(root: Path) -> dict[str, str]:
    group = f"docker/{ID}"
    tree(
        root,
        {
            f"memory/{group}/memory.stat": "cache 100\nrss 5\ntotal_cache 9000\ntotal_rss 50000\ntotal_shmem 1000\n"
            "total_swap 300\ntotal_inactive_file 4000\n",
            f"memory/{group}/memory.usage_in_bytes": "70000\n",
            f"memory/{group}/memory.kmem.usage_in_bytes": "2000\n",
            f"memory/{group}/memory.limit_in_bytes": "125829120\n",
            f"memory/{group}/memory.max_usage_in_bytes": "90000\n",
            f"memory/{group}/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            f"memory/{group}/jobs/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n",
            f"cpu/{group}/cpu.stat": "nr_periods 10\nnr_throttled 2\nthrottled_time 7000000\n",
            f"cpuacct/{group}/cpuacct.usage": "1234567890\n",
            f"pids/{group}/pids.current": "4\n",
        },
    )
    return {name: f"{root}/{name}/{group}" for name in ("memory", "cpu", "cpuacct", "pids")}


def test_figures_of_v1_with_the_kills_of_the_groups_below(tmp_path):
    assert kernel.container(1, v1_group(tmp_path)) == {
        "working_set": 66000,
        "anon": 50000,
        "shared": 1000,
        "kernel": 2000,
        "cache": 8000,
        "swap": 300,
        "limit": 125829120,
        "peak": 90000,
        "oom_kills": 6,
        "waiting_us": None,
        "cpu_us": 1234567,
        "throttled_us": 7000,
        "tasks": 4,
    }


def test_v1s_way_of_saying_no_limit(tmp_path):
    found = v1_group(tmp_path)
    Path(found["memory"], "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert kernel.container(1, found)["limit"] is None


def test_figures_of_v2(tmp_path):
    tree(
        tmp_path,
        {
            "memory.stat": "anon 50000\nfile 9000\nslab 1500\nkernel_stack 300\npagetables 200\nshmem 1000\n"
            "inactive_file 4000\n",
            "memory.current": "70000\n",
            "memory.swap.current": "300\n",
            "memory.max": "max\n",
            "memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 6\n",
            "memory.pressure": "some avg10=1.00 avg60=0.50 avg300=0.10 total=123456\nfull avg10=0.00 total=99\n",
            "cpu.stat": "usage_usec 2345678\nuser_usec 2\nnr_throttled 3\nthrottled_usec 7000\n",
            "pids.current": "4\n",
        },
    )
    figures = kernel.container(2, dict.fromkeys(("memory", "cpu", "cpuacct", "pids"), str(tmp_path)))
    assert figures["working_set"] == 66000
    assert figures["kernel"] == 2000, "before Linux 5.18 the parts add up to it"
    assert (figures["cache"], figures["limit"], figures["peak"]) == (8000, None, None)
    assert (figures["oom_kills"], figures["waiting_us"]) == (6, 123456)
    assert (figures["cpu_us"], figures["throttled_us"], figures["tasks"]) == (2345678, 7000, 4)


PROC = {
    "meminfo": "MemTotal: 24684092 kB\nMemFree: 100 kB\nMemAvailable: 20000000 kB\n"
    "SwapTotal: 1000 kB\nSwapFree: 400 kB\n",
    "vmstat": "nr_free_pages 1\noom_kill 3\n",
    "pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=17\n",
}


def test_the_host_is_the_machine_where_the_root_group_has_no_limit(tmp_path):
    tree(tmp_path / "proc", PROC)
    tree(tmp_path / "sys", {"cpu.stat": "usage_usec 5000000\n"})
    figures = kernel.host(str(tmp_path / "proc"), kernel.mounts(V2_MOUNTS, str(tmp_path / "sys")))
    assert (figures["memory"], figures["available"]) == (24684092 * 1024, 20000000 * 1024)
    assert (figures["swap"], figures["swap_used"]) == (1024000, 600 * 1024)
    assert (figures["cpu_us"], figures["oom_kills"]) == (5000000, 3)
    assert (figures["cpu_waiting_us"], figures["io_waiting_us"]) == (17, None)


def test_a_host_that_is_a_container_has_its_own_limit(tmp_path):
    tree(tmp_path / "proc", PROC)
    tree(
        tmp_path / "sys/memory",
        {
            "memory.limit_in_bytes": "3040870400\n",
            "memory.usage_in_bytes": "1000000000\n",
            "memory.stat": "total_inactive_file 200000000\n",
        },
    )
    mounts = b"31 30 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    figures = kernel.host(str(tmp_path / "proc"), kernel.mounts(mounts, str(tmp_path / "sys")))
    assert (figures["memory"], figures["available"]) == (3040870400, 2240870400)


@pytest.mark.parametrize(
    ("before", "now", "grown"), [(5, 9, 4), (9, 5, 5), (None, 5, None), (5, None, None), (5, 5, 0)]
)
def test_growth_of_a_counter(before, now, grown):
    assert growth(before, now) == grown


def described(running: bool = True, **state: object) -> dict:
    return {
        "Name": "/deploy-api-1",
        "RestartCount": 2,
        "State": {"Running": running, "Pid": 4711, **state},
        "Config": {
            "Env": ["TOKEN=not-to-be-kept"],
            "Labels": {"com.docker.compose.project": "deploy", "com.docker.compose.service": "api"},
        },
        "NetworkSettings": {"Networks": {"deploy_default": {"IPAddress": "172.18.0.2"}, "none": None}},
    }


def write_config(root: Path, config: dict) -> Path:
    path = root / "containers" / ID / "config.v2.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))
    return path


def test_what_the_engines_file_tells_about_a_container(tmp_path):
    write_config(tmp_path, described(Health={"Status": "unhealthy"}, OOMKilled=True))
    (one,) = Containers(str(tmp_path)).refresh()
    assert (one.project, one.service, one.name, one.pid) == ("deploy", "api", "deploy-api-1", 4711)
    assert (one.health, one.restarts, one.oom_killed, one.addresses) == (3, 2, True, ["172.18.0.2"])
    assert "not-to-be-kept" not in repr([getattr(one, name) for name in one.__slots__])


def test_a_file_is_read_again_only_when_it_was_written_anew(tmp_path):
    path = write_config(tmp_path, described())
    containers = Containers(str(tmp_path))
    first = containers.refresh()[0]
    assert containers.refresh()[0] is first
    path.write_text("{half writ")
    os.utime(path, ns=(1, 1))
    assert containers.refresh()[0] is first, "what was known holds while the engine writes"
    write_config(tmp_path, described(running=False))
    os.utime(path, ns=(2, 2))
    assert containers.refresh()[0].pid == 0
    path.unlink()
    path.parent.rmdir()
    assert containers.refresh() == []


def test_no_engine_is_no_containers(tmp_path):
    assert Containers(str(tmp_path / "nowhere")).refresh() == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 2]))
def test_json_is_read_as_the_standard_library_reads_it(value, indent):
    text = " \n" + json.dumps(value, indent=indent)
    assert plain_json.loads(text) == json.loads(text)


@pytest.mark.parametrize("text", ["", "  ", "{", "nul", "[1,"])
def test_what_is_no_json_is_an_error(text):
    with pytest.raises(ValueError):
        plain_json.loads(text)
