# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project of four services that is as it should be: our compose_limits against community.docker.docker_compose_v2.

Both tasks run in the same playbook, in turns, the order changing from round to round; the ratio is taken pair by pair.
Prints both medians and the median ratio; ends with 1 when ours is not faster. Needs root, a Docker engine with Compose,
a static busybox (Debian: busybox-static) and, once, pip: the collections are taken out of PyPI's `ansible` package and
kept in the cache.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator

ROUNDS = 9
IMAGE, PROJECT = "headroom-bench-busybox:1", "headroombench"
OURS, THEIRS = "smallhost.headroom.compose_limits", "community.docker.docker_compose_v2"
COLLECTIONS = ("ansible/posix/", "community/docker/", "community/library_inventory_filtering_v1/")
SERVICES = ("bot", "api", "worker", "redis")
LIMIT = "32M"


def collections(package: str) -> str:
    """A collections folder with what `theirs` needs, out of PyPI's package."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "headroom")
    folder = os.path.join(cache, package.replace("==", "-") + "-docker")
    if os.path.isdir(folder):
        return folder
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, package]
        subprocess.run(pip, check=True)
        wanted = tuple("ansible_collections/" + name for name in COLLECTIONS)
        with zipfile.ZipFile(os.path.join(download, os.listdir(download)[0])) as wheel:
            wheel.extractall(
                os.path.join(download, "out"), [name for name in wheel.namelist() if name.startswith(wanted)]
            )
        os.makedirs(cache, exist_ok=True)
        shutil.move(os.path.join(download, "out"), folder)
    return folder


@contextlib.contextmanager
def project(work: str) -> Iterator[str]:
    """The folder of a running project with four limited services; it is taken down at the end."""
    folder, root = os.path.join(work, "project"), os.path.join(work, "image", "bin")
    os.makedirs(folder)
    os.makedirs(root)
    shutil.copy(shutil.which("busybox") or "/bin/busybox", os.path.join(root, "busybox"))
    os.symlink("busybox", os.path.join(root, "sleep"))
    archive = subprocess.run(["tar", "-C", os.path.dirname(root), "-c", "."], capture_output=True, check=True).stdout
    subprocess.run(["docker", "import", "-", IMAGE], input=archive, capture_output=True, check=True)
    service = {"image": IMAGE, "command": ["sleep", "1000000"], "stop_grace_period": "0s", "mem_limit": LIMIT}
    text = {"services": {name: {**service, "memswap_limit": LIMIT} for name in SERVICES}}
    with open(os.path.join(folder, "docker-compose.prod.yml"), "w", encoding="utf-8") as stream:
        json.dump(text, stream, indent=2)
    compose = ["docker", "compose", "-p", PROJECT, "-f", "docker-compose.prod.yml"]
    try:
        subprocess.run([*compose, "up", "-d"], cwd=folder, capture_output=True, check=True)
        yield folder
    finally:
        subprocess.run([*compose, "down"], cwd=folder, capture_output=True, check=False)
        subprocess.run(["docker", "rmi", IMAGE], capture_output=True, check=False)


def playbook(folder: str, work: str) -> list[dict]:
    files = ["docker-compose.prod.yml"]
    wanted = [{"name": name, "memory": LIMIT} for name in SERVICES]
    ours = {
        "name": "ours",
        OURS: {"project_src": folder, "state_dir": os.path.join(work, "state"), "services": wanted},
    }
    theirs = {"name": "theirs", THEIRS: {"project_src": folder, "project_name": PROJECT, "files": files}}
    first = [{**task, "name": "prepare"} for task in (ours, theirs)]
    rounds = [task for number in range(ROUNDS) for task in ((ours, theirs) if number % 2 else (theirs, ours))]
    return [{"hosts": "all", "gather_facts": False, "tasks": [*first, *rounds]}]


def run(work: str, folder: str, path: str) -> list[dict]:
    """The tasks of the run, with their durations."""
    book = os.path.join(work, "bench.yml")
    with open(book, "w", encoding="utf-8") as stream:
        json.dump(playbook(folder, work), stream)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": path,
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    program = shutil.which("ansible-playbook", path=f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}")
    if program is None:
        sys.exit("ansible-playbook was not found: run this with a Python that has ansible-core.")
    command = [program, "-i", "localhost,", "-c", "local", book]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ansible-playbook failed:\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{") :])["plays"][0]["tasks"]


def main() -> None:
    from sysctl_memory_vs_posix_sysctl import ANSIBLE_PACKAGE, own_collection, seconds

    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work:
        path = f"{own_collection(os.path.join(work, 'own'))}:{collections(ANSIBLE_PACKAGE)}"
        with project(work) as folder:
            tasks = run(work, folder, path)
    measured: dict[str, list[float]] = {"ours": [], "theirs": []}
    for task in tasks:
        name = task["task"]["name"]
        if name in measured:
            if task["hosts"]["localhost"]["changed"]:
                sys.exit(f"{name} changed something, so this is no measurement of a run with nothing to change.")
            measured[name].append(seconds(task))
    ours, theirs = (statistics.median(measured[name]) for name in ("ours", "theirs"))
    ratio = statistics.median(b / a for a, b in zip(measured["ours"], measured["theirs"]))
    won = sum(a < b for a, b in zip(measured["ours"], measured["theirs"]))
    print(f"{len(SERVICES)} services, nothing to change, {ROUNDS} rounds in turns:")
    print(f"  {OURS}: {ours:.2f} s")
    print(f"  {THEIRS}: {theirs:.2f} s")
    print(f"  {ratio:.1f} times faster (median of the pairs); faster in {won} of {ROUNDS} pairs")
    if ratio <= 1:
        sys.exit(1)


if __name__ == "__main__":
    if importlib.util.find_spec("ansible") is None:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from sandbox.environment import become

        become(os.path.abspath(__file__))
    main()
