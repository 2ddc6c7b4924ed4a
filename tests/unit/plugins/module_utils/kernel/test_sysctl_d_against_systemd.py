# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Our reading of sysctl.d against systemd-sysctl itself, on many small configurations.

The program runs in a mount namespace of its own, with folders of ours over /etc/sysctl.d, /run/sysctl.d and the rest,
and plain files over /proc/sys: the running kernel never sees a write.
"""

from __future__ import annotations

import os
import random
import shutil
import subprocess

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.kernel import sysctl_d

PROGRAM = "/usr/lib/systemd/systemd-sysctl"
KEYS = ["vm/swappiness", "vm/max_map_count", "net/ipv4/conf/all/rp_filter", "net/ipv4/conf/eth0.100/rp_filter"]
FOLDERS = ["/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d"]
NAMESPACE = ["unshare", "--mount", "--propagation", "private"]


def usable() -> bool:
    if os.geteuid() != 0 or not os.path.exists(PROGRAM) or not shutil.which("unshare"):
        return False
    probe = ["sh", "-c", "mount -t tmpfs none /mnt"]
    return subprocess.run([*NAMESPACE, *probe], capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not usable(), reason="needs root, systemd-sysctl and mount namespaces")

# One line per kind of thing the format knows. Values have one length: systemd does not truncate, and these are plain
# files.
LINES = [
    "vm.swappiness = {v}",
    "vm/swappiness={v}",
    "  vm.swappiness   =   {v}   ",
    "-vm.swappiness = {v}",
    "-vm.swappiness",
    "vm.* = {v}",
    "-vm.* = {v}",
    "vm.swap* = {v}",
    "vm.* = {v}",
    "-vm.*",
    "vm.max_map_count = {v}\r",
    "# vm.swappiness = {v}",
    ";vm.swappiness = {v}",
    "vm.swappiness",
    "= {v}",
    "net.ipv4.conf.all.rp_filter = {v}",
    "net.ipv4.conf.*.rp_filter = {v}",
    "net/ipv4/conf/eth0.100/rp_filter = {v}",
    "net.ipv4.conf.eth0/100.rp_filter = {v}",
    "-net/ipv4/conf/eth0.100/rp_filter",
    "net/ipv4/conf/eth0.*/rp_filter = {v}",
    "/vm/swappiness = {v}",
    "vm..swappiness = {v}",
    "",
]
NAMES = ["10-a.conf", "50-b.conf", "90-c.conf", "90-C.conf", "99-zz.conf", "README", "ä.conf"]


def build(root: str, seed: int) -> None:
    dice = random.Random(seed)
    # A few kinds of lines a tree, so that they meet: explicit keys would hide what the patterns do.
    kinds = dice.sample(LINES, 4)
    for folder in FOLDERS:
        os.makedirs(root + folder)
    for _unused in range(dice.randint(1, 6)):
        path = root + dice.choice(FOLDERS) + "/" + dice.choice(NAMES)
        if os.path.lexists(path):
            continue
        if dice.random() < 0.1:
            os.symlink("/dev/null", path)
            continue
        lines = [dice.choice(kinds).format(v=dice.randint(100, 120)) for _unused in range(dice.randint(0, 8))]
        with open(path, "w", encoding="utf-8", newline="") as stream:
            stream.write("\n".join(lines) + dice.choice(["", "\n"]))


def run_systemd(root: str) -> dict[str, str]:
    for key in KEYS:
        os.makedirs(f"{root}/proc/sys/{os.path.dirname(key)}", exist_ok=True)
        with open(f"{root}/proc/sys/{key}", "w", encoding="ascii"):
            pass
    mounts = ["mount -t tmpfs none /usr/local", "mount -t tmpfs none /run"]
    for folder in [*FOLDERS, "/proc/sys"]:
        mounts.append(f"{{ test -d {folder} || mkdir -p {folder}; }}")
        mounts.append(f"mount --bind {root}{folder} {folder}")
    # It ends with 1 for every line that is no assignment, which is no failure of the test.
    script = " && ".join(mounts) + f" && {{ {PROGRAM} || true; }}"
    subprocess.run([*NAMESPACE, "sh", "-ec", script], check=True, capture_output=True, text=True)
    found = {}
    for key in KEYS:
        with open(f"{root}/proc/sys/{key}", encoding="ascii") as stream:
            found[key] = stream.read().strip()
    return found


@pytest.mark.parametrize("seed", range(200))
def test_same_winner_as_systemd(tmp_path, seed):
    root = str(tmp_path)
    build(root, seed)
    truth = run_systemd(root)
    plan = sysctl_d.boot_plan(sysctl_d.read_folders(root, sysctl_d.SYSCTL_FOLDERS))
    ours = {}
    for key in KEYS:
        line = sysctl_d.winner(plan, "proc/sys/" + key)
        ours[key] = (line.value or "") if line else ""
    assert ours == truth
