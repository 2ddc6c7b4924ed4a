# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.host import swap
from ansible_collections.smallhost.headroom.plugins.module_utils.host.swap import Area, SwapError

MIB = 1024 * 1024
PATHS = ["/swapfile.headroom", "/srv/my swap/file-1", "/.hidden", "/a//b/", "/größe"]


def test_half_of_the_memory_within_bounds():
    assert swap.auto_size(2900 * MIB) == 1450 * MIB
    assert swap.auto_size(256 * MIB) == 256 * MIB
    assert swap.auto_size(64 * 1024 * MIB) == 2048 * MIB


def test_a_size_is_in_whole_mib():
    assert swap.wanted_size("1G", 0) == 1024 * MIB
    assert swap.wanted_size("1500K", 0) == MIB
    with pytest.raises(SwapError):
        swap.wanted_size("4K", 0)


def test_a_disk_that_would_be_nearly_full_is_refused_with_figures():
    swap.require_room(1024 * MIB, 3000 * MIB, 10000 * MIB, "/")
    with pytest.raises(SwapError, match=r"976.0 MB of 9.8 GB free on the disk of /"):
        swap.require_room(1024 * MIB, 2000 * MIB, 10000 * MIB, "/")


def test_swap_that_does_not_fit_into_memory_stays():
    swap.require_return(Area("/s", "file", 1024 * MIB, 100 * MIB), 164 * MIB)
    with pytest.raises(SwapError, match=r"holds 100\.0 MB"):
        swap.require_return(Area("/s", "file", 1024 * MIB, 100 * MIB), 163 * MIB)


def test_the_kernels_list():
    text = (
        "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        "/my\\040swap                              file\t\t1048572\t\t256\t\t-2\n"
        "/dev/vda2                               partition\t2097148\t\t0\t\t-3\n"
    )
    assert swap.areas(text) == [
        Area("/my swap", "file", 1048572 * 1024, 256 * 1024),
        Area("/dev/vda2", "partition", 2097148 * 1024, 0),
    ]


@pytest.mark.skipif(not shutil.which("systemd-escape"), reason="systemd is not installed")
@pytest.mark.parametrize("path", PATHS)
def test_units_are_named_as_systemd_names_them(path):
    said = subprocess.run(
        ["systemd-escape", "--path", "--suffix=swap", path], capture_output=True, text=True, check=True
    )
    assert swap.unit_name(path) == said.stdout.strip()


def test_a_container_is_known_by_its_first_process_or_by_dockers_file():
    assert swap.container_kind(b"PATH=/bin\0container=lxc\0", dockerenv=False) == "lxc"
    assert swap.container_kind(b"mycontainer=x\0", dockerenv=True) == "docker"
    assert swap.container_kind(b"mycontainer=x\0", dockerenv=False) is None
