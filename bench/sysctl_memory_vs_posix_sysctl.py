# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Twenty kernel settings that are as they should be: one task of ours against a loop of ansible.posix.sysctl.

Both see the same keys with the values they have, in the same playbook, in turns, the order changing from round to
round. Nothing is written to the kernel, and the two drop-ins live in a temporary folder. Prints both medians and the
ratio; ends with 1 when ours is not at least TARGET times faster. Needs root and, once, pip: ansible.posix is taken out
of PyPI's `ansible` package and kept in the cache, and so is a virtual environment where this Python has no Ansible.
"""

from __future__ import annotations

import datetime
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile

TARGET = 10.0
ROUNDS = 5
ANSIBLE_PACKAGE = "ansible==11.13.0"
KEYS = [
    "vm.swappiness",
    "vm.vfs_cache_pressure",
    "vm.max_map_count",
    "vm.overcommit_memory",
    "vm.page-cluster",
    "vm.dirty_expire_centisecs",
    "vm.dirty_writeback_centisecs",
    "vm.stat_interval",
    "vm.watermark_scale_factor",
    "vm.laptop_mode",
    "vm.oom_dump_tasks",
    "vm.panic_on_oom",
    "net.core.somaxconn",
    "net.core.netdev_max_backlog",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_tw_reuse",
    "kernel.panic",
    "kernel.pid_max",
]
OURS, THEIRS = "smallhost.headroom.sysctl_memory", "ansible.posix.sysctl"


def posix_collection() -> str:
    """A collections folder with ansible.posix in it."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "headroom")
    folder = os.path.join(cache, ANSIBLE_PACKAGE.replace("==", "-") + "-posix")
    if os.path.isdir(folder):
        return folder
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, ANSIBLE_PACKAGE]
        subprocess.run(pip, check=True)
        with zipfile.ZipFile(os.path.join(download, os.listdir(download)[0])) as wheel:
            wanted = [name for name in wheel.namelist() if name.startswith("ansible_collections/ansible/posix/")]
            wheel.extractall(os.path.join(download, "out"), wanted)
        os.makedirs(cache, exist_ok=True)
        shutil.move(os.path.join(download, "out"), folder)
    return folder


def own_collection(work: str) -> str:
    """A collections folder with this checkout in it, whatever the checkout's folder is called."""
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.makedirs(os.path.join(work, "ansible_collections", "smallhost"))
    os.symlink(checkout, os.path.join(work, "ansible_collections", "smallhost", "headroom"))
    return work


def live_value(name: str) -> str:
    with open("/proc/sys/" + name.replace(".", "/"), encoding="ascii") as stream:
        return " ".join(stream.read().split())


def playbook(work: str) -> list[dict]:
    settings = [{"name": name, "value": live_value(name)} for name in KEYS]
    ours = {
        "name": "ours",
        OURS: {
            "settings": "{{ settings }}",
            "file": os.path.join(work, "ours.conf"),
            "state_dir": os.path.join(work, "state"),
        },
    }
    theirs = {
        "name": "theirs",
        THEIRS: {
            "name": "{{ item.name }}",
            "value": "{{ item.value }}",
            "sysctl_file": os.path.join(work, "theirs.conf"),
            "sysctl_set": True,
            "reload": False,
        },
        "loop": "{{ settings }}",
    }
    first = [{**task, "name": "prepare"} for task in (ours, theirs)]
    rounds = [task for number in range(ROUNDS) for task in ((ours, theirs) if number % 2 else (theirs, ours))]
    return [{"hosts": "all", "gather_facts": False, "vars": {"settings": settings}, "tasks": [*first, *rounds]}]


def run(work: str) -> list[dict]:
    """The tasks of the run, with their durations. Raises CalledProcessError with Ansible's output printed."""
    path = os.path.join(work, "bench.yml")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(playbook(work), stream)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": f"{own_collection(os.path.join(work, 'own'))}:{posix_collection()}",
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    program = shutil.which("ansible-playbook", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    if program is None:
        sys.exit("ansible-playbook was not found: run this with a Python that has ansible-core.")
    command = [program, "-i", "localhost,", "-c", "local", path]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ansible-playbook failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]


def seconds(task: dict) -> float:
    start, end = (datetime.datetime.fromisoformat(task["task"]["duration"][key][:26]) for key in ("start", "end"))
    return (end - start).total_seconds()


def main() -> None:
    before = {name: live_value(name) for name in KEYS}
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work:
        tasks = run(work)
    measured: dict[str, list[float]] = {"ours": [], "theirs": []}
    for task in tasks:
        name = task["task"]["name"]
        if name in measured:
            if task["hosts"]["localhost"]["changed"]:
                sys.exit(f"{name} changed something, so this is no measurement of a run with nothing to change.")
            measured[name].append(seconds(task))
    if before != {name: live_value(name) for name in KEYS}:
        sys.exit("A kernel setting changed during the run.")
    ours, theirs = (statistics.median(measured[name]) for name in ("ours", "theirs"))
    print(f"{len(KEYS)} settings, nothing to change, {ROUNDS} rounds in turns:")
    print(f"  {OURS}: {ours:.2f} s (one task)")
    print(f"  {THEIRS}: {theirs:.2f} s (a loop of {len(KEYS)})")
    print(f"  {theirs / ours:.1f} times faster (target: {TARGET:.0f})")
    if theirs / ours < TARGET:
        sys.exit(1)


if __name__ == "__main__":
    if importlib.util.find_spec("ansible") is None:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from sandbox.environment import become

        become(os.path.abspath(__file__))
    main()
