# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The small host as Ansible finds it, and what it leaves alone on the machine underneath.

HEADROOM_HOST_KIND chooses the kind, `container` (default) or `vm`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import testinfra

from sandbox import engine, host, images, ssh
from sandbox.state import Instance

KIND = os.environ.get("HEADROOM_HOST_KIND", "container")
NAME = f"host-test-{KIND}"
MEMORY = 2900 * 1024 * 1024
MAPPED = 60_000_000  # bytes that the container of the nesting test keeps in memory

in_container = pytest.mark.skipif(KIND != "container", reason="the machine's kernel is not the host's own only there")
in_vm = pytest.mark.skipif(KIND != "vm", reason="needs a kernel of its own")


@pytest.fixture(scope="module")
def instance():
    yield host.up(NAME, KIND)
    host.down(NAME)


@pytest.fixture(scope="module")
def small(instance, monkeypatch_module):
    # testinfra calls ansible-inventory, which lies beside the Python that runs this.
    monkeypatch_module.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    return testinfra.get_host(f"ansible://{ssh.HOST}?ansible_inventory={instance.inventory}")


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def inner_image(instance):
    """The test image, carried over as the demo carries the stack's images."""
    tag = images.test_image()
    save = subprocess.Popen([*engine.docker_command(), "save", tag], stdout=subprocess.PIPE)
    subprocess.run(ssh.argv(instance, ["docker load"]), stdin=save.stdout, check=True, capture_output=True)
    assert save.wait() == 0
    return tag


def memory_file(small, folder: str, v1: str, v2: str) -> int:
    """Read a figure of a cgroup from the kernel's own file; `folder` is below the memory controller's root."""
    if small.file("/sys/fs/cgroup/memory").is_directory:
        return int(small.check_output("cat /sys/fs/cgroup/memory%s/%s", folder, v1))
    text = small.check_output("cat /sys/fs/cgroup%s/%s", folder, v2)
    return 2**63 if text == "max" else int(text)


def container_folder(small, name: str) -> str:
    """Return a running container's folder below the memory controller's root, as its first process is filed."""
    pid = small.check_output("docker inspect -f '{{.State.Pid}}' %s", name)
    lines = [line.split(":") for line in small.check_output("cat /proc/%s/cgroup", pid).splitlines()]
    return next(path for _unused, controllers, path in lines if controllers in ("memory", ""))


def test_memory_is_that_of_the_plans_host(small):
    total = int(small.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) * 1024
    limit = memory_file(small, "", "memory.limit_in_bytes", "memory.max") if KIND == "container" else total
    assert 0.93 * MEMORY < min(total, limit) <= MEMORY


def test_services_of_a_small_host_run(small):
    assert small.check_output("systemctl is-system-running --wait || true") == "running"
    for unit in ("docker", "ssh"):
        assert small.service(unit).is_running
        assert small.service(unit).is_enabled


def test_engine_and_compose_answer(small):
    assert small.check_output("docker version -f '{{.Server.Version}}'").startswith("20.10.")
    assert small.check_output("docker compose version --short").startswith("2.")
    assert small.check_output("docker info -f '{{.Driver}}'") == "overlay2"


def test_what_the_prerequisites_role_installs_is_missing_but_at_hand(small):
    assert not small.package("python3-docker").is_installed
    assert small.run("apt-get install --simulate python3-docker python3-redis python3-yaml").succeeded


def test_limit_of_an_inner_container_is_in_the_kernel(small, inner_image):
    small.check_output("docker run -d --name limited -m 100m %s sleep 300", inner_image)
    try:
        folder = container_folder(small, "limited")
        assert memory_file(small, folder, "memory.limit_in_bytes", "memory.max") == 100 * 1024 * 1024
    finally:
        small.check_output("docker rm -f limited")


def test_memory_of_an_inner_container_counts_on_the_host(small, inner_image):
    before = memory_file(small, "", "memory.usage_in_bytes", "memory.current") if KIND == "container" else 0
    program = f"import time; held = b'x' * {MAPPED}; print('held', flush=True); time.sleep(300)"
    small.check_output("docker run -d --name eater %s python3 -c %s", inner_image, program)
    try:
        small.check_output("timeout 60 sh -c 'until docker logs eater | grep -q held; do sleep 0.2; done'")
        folder = container_folder(small, "eater")
        assert memory_file(small, folder, "memory.usage_in_bytes", "memory.current") > MAPPED
        if KIND == "container":
            grown = memory_file(small, "", "memory.usage_in_bytes", "memory.current") - before
            assert grown > 0.9 * MAPPED
    finally:
        small.check_output("docker rm -f eater")


@in_container
def test_inner_container_cannot_exceed_the_host(small, inner_image):
    """A container that may use 4 GB by its own limit is killed inside the host's 2.9 GB."""
    eat = "held = []\nwhile True: held.append(b'x' * 50_000_000)"
    result = small.run("docker run --name greedy -m 4g %s python3 -c %s", inner_image, eat)
    small.check_output("docker rm -f greedy")
    assert result.rc == 137
    peak = memory_file(small, "", "memory.max_usage_in_bytes", "memory.peak")
    # The kernel lets a page or two through before it says no.
    assert 0.9 * MEMORY < peak < 1.001 * MEMORY


@in_container
@pytest.mark.parametrize(
    "name", ["vm/swappiness", "vm/overcommit_memory", "kernel/pid_max", "fs/inotify/max_user_watches"]
)
def test_kernel_setting_changes_in_there_and_not_out_here(small, name):
    outside = Path("/proc/sys", name).read_text()
    inside = small.check_output("cat /proc/sys/%s", name)
    other = next(value for value in ("1", "2", "1000") if value not in (inside, outside.strip()))
    small.check_output("sysctl -w %s", f"{name.replace('/', '.')}={other}")
    assert small.check_output("cat /proc/sys/%s", name) == other
    assert Path("/proc/sys", name).read_text() == outside
    small.check_output("sysctl -w %s", f"{name.replace('/', '.')}={inside}")


@in_container
def test_huge_pages_change_in_there_and_not_out_here(small):
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    outside = file.read_text()
    other = "never" if "[never]" not in outside else "always"
    small.check_output("echo %s > " + str(file), other)
    assert small.check_output("cat %s", str(file)) == other
    assert file.read_text() == outside


@in_container
@pytest.mark.parametrize(
    "call",
    # swapon, clock_settime and settimeofday by their x86-64 numbers, with arguments that the kernel itself would refuse
    # as invalid: a hole in the profile fails the test and harms nothing.
    ["167, b'/etc/hostname', 0", "227, 0, struct.pack('qq', 0, 2 * 10**9)", "164, struct.pack('qq', 0, -1), None"],
)
def test_call_that_would_change_the_machine_is_refused(small, call):
    program = (
        "import ctypes, struct; libc = ctypes.CDLL(None, use_errno=True); "
        f"print(libc.syscall({call}), ctypes.get_errno())"
    )
    assert small.check_output("python3 -c %s", program) == "-1 1"  # EPERM


def test_random_numbers_are_not_a_copy(small):
    first, second = (small.check_output("cat /proc/sys/kernel/random/uuid") for _unused in range(2))
    assert first != second


@in_vm
def test_vm_has_a_kernel_of_its_own(small):
    assert small.check_output("uname -r") != os.uname().release
    assert small.file("/sys/fs/cgroup/cgroup.controllers").exists
    assert small.file("/proc/pressure/memory").exists
    # A setting that the kernel refuses to take is refused: these are no copies.
    assert small.run("sysctl -w vm.swappiness=1000").failed


@in_vm
def test_vm_clock_is_right_after_a_snapshot(small):
    import time

    assert abs(int(small.check_output("date +%s")) - time.time()) < 10


@in_vm
def test_vm_can_swap(small):
    small.check_output("dd if=/dev/zero of=/swap bs=1M count=16 && chmod 600 /swap && mkswap /swap && swapon /swap")
    assert "/swap" in small.check_output("cat /proc/swaps")
    small.check_output("swapoff /swap && rm /swap")


def test_files_are_pushed_with_their_mode(instance: Instance, small, tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "tool").chmod(0o750)
    ssh.push(instance, str(tmp_path), "/opt/with blank")
    ssh.push(instance, str(tmp_path / "tool"), "/opt/new folder/one")
    assert small.check_output("'/opt/with blank/tool'") == "here"
    assert small.file("/opt/new folder/one").mode == 0o750


def test_name_server_reaches_inner_containers(instance: Instance, small, inner_image):
    before = small.check_output("cat /etc/resolv.conf")
    ssh.set_dns(instance, "198.18.77.53")
    assert "198.18.77.53" in small.check_output("docker run --rm %s cat /etc/resolv.conf", inner_image)
    ssh.execute(instance, "cat > /etc/resolv.conf", stdin=before.encode())
