# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

# The kernel's files as they are on a Debian 12 host with cgroup v1 and with v2, laid out below a folder.
import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup

MIB = 1024 * 1024
ID = "77297e09dddc6466ed650ba26faf23b94124f57cfe8bb15badb7e5a4eac0a326"
NONE_V1 = "9223372036854771712\n"

MOUNTS_V1 = """\
33 32 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
34 32 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:10 - cgroup cgroup rw,memory
35 32 0:30 / /sys/fs/cgroup/pids rw,nosuid shared:11 - cgroup cgroup rw,pids
36 32 0:31 / /sys/fs/cgroup/unified rw,nosuid shared:12 - cgroup2 cgroup2 rw
"""
MOUNTS_V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
STAT_V1 = """\
cache 41943040
rss 1048576
shmem 41943040
inactive_file 0
total_cache 52428800
total_rss 8388608
total_shmem 41943040
total_swap 4096
total_inactive_file 2097152
"""
STAT_V2 = """\
anon 8388608
file 52428800
kernel 4194304
shmem 41943040
inactive_file 2097152
slab 1048576
"""


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Host:
    def __init__(self, root, mounts, groups, pid=42):
        self.proc, self.sys = str(root / "proc"), str(root / "sys")
        self.root = root
        write(root, {"proc/self/mountinfo": mounts, f"proc/{pid}/cgroup": groups})

    def files(self, folder, files):
        write(self.root / "sys" / folder, files)

    def find(self, pid=42, container=ID):
        return cgroup.find(pid, container, self.proc, self.sys)


@pytest.fixture
def v1(tmp_path):
    groups = f"9:pids:/docker/{ID}\n8:memory:/docker/{ID}\n3:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n"
    host = Host(tmp_path, MOUNTS_V1, groups)
    host.files(
        f"memory/docker/{ID}",
        {
            "memory.stat": STAT_V1,
            "memory.usage_in_bytes": f"{60 * MIB}\n",
            "memory.memsw.usage_in_bytes": f"{61 * MIB}\n",
            "memory.kmem.usage_in_bytes": f"{4 * MIB}\n",
            "memory.limit_in_bytes": f"{100 * MIB}\n",
            "memory.memsw.limit_in_bytes": NONE_V1,
            "memory.soft_limit_in_bytes": NONE_V1,
            "memory.max_usage_in_bytes": f"{70 * MIB}\n",
            "memory.failcnt": "1\n",
            "memory.memsw.failcnt": "2\n",
            "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
            "cgroup.procs": "42\n43\n",
            "child/cgroup.procs": "44\n",
            "child/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        },
    )
    host.files(
        f"cpu,cpuacct/docker/{ID}",
        {
            "cpu.cfs_quota_us": "50000\n",
            "cpu.cfs_period_us": "100000\n",
            "cpuacct.usage": "1500000000\n",
            "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 2000000000\n",
        },
    )
    host.files(f"pids/docker/{ID}", {"pids.max": "max\n", "pids.current": "7\n"})
    return host


@pytest.fixture
def v2(tmp_path):
    host = Host(tmp_path, MOUNTS_V2, f"0::/system.slice/docker-{ID}.scope\n")
    host.files(
        f"system.slice/docker-{ID}.scope",
        {
            "memory.stat": STAT_V2,
            "memory.current": f"{60 * MIB}\n",
            "memory.max": f"{100 * MIB}\n",
            "memory.swap.max": f"{20 * MIB}\n",
            "memory.swap.current": "0\n",
            "memory.low": f"{30 * MIB}\n",
            "memory.peak": f"{70 * MIB}\n",
            "memory.events": "low 0\nhigh 0\nmax 3\noom 3\noom_kill 3\n",
            "memory.pressure": "some avg10=1.50 avg60=0.20 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 total=0\n",
            "cpu.max": "50000 100000\n",
            "cpu.stat": "usage_usec 1500000\nnr_throttled 4\nthrottled_usec 2000000\n",
            "pids.max": "200\n",
            "pids.current": "7\n",
            "cgroup.procs": "42\n",
            "child/cgroup.procs": "43\n44\n",
        },
    )
    return host


def test_memory_of_v1(v1):
    memory = cgroup.memory(v1.find())
    assert memory == cgroup.Memory(
        usage=60 * MIB,
        working_set=58 * MIB,
        anon=8 * MIB,
        shared=40 * MIB,
        kernel=4 * MIB,
        cache=10 * MIB,
        swap=4096,
        limit=100 * MIB,
        swap_limit=None,
        reservation=None,
        peak=70 * MIB,
        oom_kills=3,
        limit_hits=3,
    )


def test_memory_of_v2(v2):
    memory = cgroup.memory(v2.find())
    assert memory == cgroup.Memory(
        usage=60 * MIB,
        working_set=58 * MIB,
        anon=8 * MIB,
        shared=40 * MIB,
        kernel=4 * MIB,
        cache=10 * MIB,
        swap=0,
        limit=100 * MIB,
        swap_limit=120 * MIB,
        reservation=30 * MIB,
        peak=70 * MIB,
        oom_kills=3,
        limit_hits=3,
    )


def test_a_v2_container_without_limits(v2):
    v2.files(
        f"system.slice/docker-{ID}.scope", {"memory.max": "max\n", "memory.swap.max": "max\n", "memory.low": "0\n"}
    )
    memory = cgroup.memory(v2.find())
    assert (memory.limit, memory.swap_limit, memory.reservation) == (None, None, None)


def test_kernels_before_5_18_and_5_19(v2):
    folder = v2.root / "sys" / "system.slice" / f"docker-{ID}.scope"
    (folder / "memory.stat").write_text("anon 1\nfile 0\nslab 100\nkernel_stack 20\npagetables 3\n")
    (folder / "memory.peak").unlink()
    memory = cgroup.memory(v2.find())
    assert (memory.kernel, memory.peak) == (123, None)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_activity_and_limits(request, version):
    group = request.getfixturevalue(version).find()
    assert cgroup.activity(group) == cgroup.Activity(
        cpu_seconds=1.5, throttled_periods=4, throttled_seconds=2.0, processes=3, tasks=7
    )
    assert cgroup.cpu_limit(group) == 0.5
    assert cgroup.pids_limit(group) == (None if version == "v1" else 200)


def test_pressure_is_v2s(v1, v2):
    assert cgroup.pressure(v2.find()) == {
        "some_avg10": 1.5,
        "some_avg60": 0.2,
        "full_avg10": 0.0,
        "full_avg60": 0.0,
    }


def test_pressure_of_v1_is_unknown(v1):
    assert cgroup.pressure(v1.find()) is None


def test_a_process_in_a_child_cgroup_leads_to_the_container(v2):
    write(v2.root, {"proc/50/cgroup": f"0::/system.slice/docker-{ID}.scope/init.scope\n"})
    assert v2.find(50).memory.endswith(f"docker-{ID}.scope")


def test_a_pid_of_something_else_is_not_taken_for_the_container(v1):
    write(v1.root, {"proc/50/cgroup": "8:memory:/user.slice\n0::/user.slice\n"})
    with pytest.raises(cgroup.CgroupError, match="not in the memory cgroup of container"):
        v1.find(50)
    with pytest.raises(cgroup.CgroupError, match="not visible"):
        v1.find(51)


def test_a_mount_that_shows_only_a_part_of_the_tree(tmp_path):
    """A container with the host's cgroup namespace: its own cgroup is what is mounted."""
    mounts = "34 32 0:29 /docker/outer /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    host = Host(tmp_path, mounts, f"8:memory:/docker/outer/docker/{ID}\n")
    host.files(f"memory/docker/{ID}", {"memory.usage_in_bytes": "4096\n"})
    assert cgroup.memory(host.find()).usage == 4096


MEMINFO = "MemTotal: 8388608 kB\nMemFree: 1048576 kB\nMemAvailable: 6291456 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
GIB = 1024 * MIB


def test_a_real_machine_has_what_meminfo_says(v1):
    write(v1.root, {"proc/meminfo": MEMINFO, "sys/memory/memory.limit_in_bytes": NONE_V1})
    host = cgroup.host_memory(v1.proc, v1.sys)
    assert (host.total, host.used, host.available, host.source) == (8 * GIB, 2 * GIB, 6 * GIB, "meminfo")


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_host_that_is_itself_a_container_has_its_limit(request, version):
    host = request.getfixturevalue(version)
    write(host.root, {"proc/meminfo": MEMINFO})
    if version == "v1":
        files = {
            "limit_in_bytes": f"{2900 * MIB}\n",
            "usage_in_bytes": f"{900 * MIB}\n",
            "stat": "total_inactive_file 0\n",
        }
        host.files("memory", {f"memory.{name}": text for name, text in files.items()})
    else:
        files = {"max": f"{2900 * MIB}\n", "current": f"{900 * MIB}\n", "stat": "inactive_file 0\n"}
        host.files(".", {f"memory.{name}": text for name, text in files.items()})
    found = cgroup.host_memory(host.proc, host.sys)
    assert (found.total, found.used, found.available) == (2900 * MIB, 900 * MIB, 2000 * MIB)
    assert found.source == "cgroup"


def test_a_real_machine_with_v2_has_no_limit_at_its_root(v2):
    write(v2.root, {"proc/meminfo": MEMINFO})
    assert cgroup.host_memory(v2.proc, v2.sys).source == "meminfo"


def test_versions_and_swap(v1, tmp_path):
    assert cgroup.version(v1.proc, v1.sys) == 1
    assert not cgroup.counts_swap(v1.proc, v1.sys)
    v1.files("memory", {"memory.memsw.limit_in_bytes": NONE_V1})
    assert cgroup.counts_swap(v1.proc, v1.sys)


def test_v2_counts_swap_unless_it_was_switched_off(v2):
    assert cgroup.version(v2.proc, v2.sys) == 2
    assert cgroup.counts_swap(v2.proc, v2.sys)
    write(v2.root, {"proc/cmdline": "quiet swapaccount=0\n"})
    assert not cgroup.counts_swap(v2.proc, v2.sys)


def test_lifting_writes_what_the_kernel_takes_for_none(v1):
    group = v1.find()
    cgroup.lift_cpu_limit(group)
    cgroup.lift_reservation(group)
    assert cgroup.cpu_limit(group) is None
    assert (v1.root / f"sys/memory/docker/{ID}/memory.soft_limit_in_bytes").read_text() == "-1"


def test_lifting_on_v2(v2):
    group = v2.find()
    cgroup.lift_cpu_limit(group)
    cgroup.lift_reservation(group)
    assert cgroup.cpu_limit(group) is None
    assert cgroup.memory(group).reservation is None
