# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A project of four services that is as it should be: our compose_limits against community.docker.docker_compose_v2.

Prints both medians and the median ratio; ends with 1 when ours is not faster. Needs root, a Docker engine with Compose,
a static busybox (Debian: busybox-static) and, once, pip.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from rounds import enter, measure

ROUNDS = 9
IMAGE, PROJECT = "headroom-bench-busybox:1", "headroombench"
OURS, THEIRS = "smallhost.headroom.compose_limits", "community.docker.docker_compose_v2"
NEEDS = ("community.docker", "community.library_inventory_filtering_v1")
SERVICES = ("bot", "api", "worker", "redis")
LIMIT = "32M"


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


def tasks(work: str, folder: str) -> tuple[dict, dict]:
    wanted = [{"name": name, "memory": LIMIT} for name in SERVICES]
    ours = {"project_src": folder, "state_dir": os.path.join(work, "state"), "services": wanted}
    theirs = {"project_src": folder, "project_name": PROJECT, "files": ["docker-compose.prod.yml"]}
    return {OURS: ours}, {THEIRS: theirs}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work, project(work) as folder:
        seen = measure(work, *tasks(work, folder), rounds=ROUNDS, needs=NEEDS)
    ours, theirs = seen.medians
    print(f"{len(SERVICES)} services, nothing to change, {ROUNDS} rounds in turns:")
    print(f"  {OURS}: {ours:.2f} s")
    print(f"  {THEIRS}: {theirs:.2f} s")
    print(f"  {seen.ratio:.1f} times faster (median of the pairs); faster in {seen.won} of {ROUNDS} pairs")
    if seen.ratio <= 1:
        sys.exit(1)


if __name__ == "__main__":
    enter()
    main()
