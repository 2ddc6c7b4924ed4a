# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What item 5 of stage 2 gives back in memory, outside of the containers.

    python3 bench/stage2_host.py [--name NAME] [--rounds 3] [--wait 30] [--out FILE.json]

On a host of the sandbox with the reference stack, applies the item and takes it back in turns. Both restart dockerd and
journald, so that what is compared is the settings and not the age of the processes. Measured some time after each, as
proportional shares (shared pages divided among those who map them).
"""

from __future__ import annotations

import argparse
import inspect
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from plugins.module_utils import docker_share
from sandbox import playbook, ssh, state
from sandbox.process import SandboxError, say, step
from sandbox.stack.host import bring_up
from sandbox.state import Instance

MIB = 1024 * 1024
PLAY = """
- hosts: all
  become: true
  gather_facts: false
  tasks:
    - name: Item 5
      ansible.builtin.include_role:
        name: smallhost.headroom.stage2_configuration
      vars:
        stage2_configuration_order: [item05_system]
        stage2_configuration_docker_restart: true
"""


def apply(instance: Instance, folder: Path, wanted: str) -> None:
    """Bring the host's settings to `present` or `absent`. Raises SandboxError."""
    book = folder / "item5.yml"
    book.write_text(PLAY)
    argv = ["ansible-playbook", "-i", str(instance.inventory), "-e", f"@{playbook.VARIABLES}"]
    done = subprocess.run(
        [*argv, "-e", f"headroom_state={wanted}", str(book)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SandboxError(f"{wanted}: {playbook.failures(done.stdout)}")


def measure(instance: Instance) -> dict[str, float]:
    """MB by kind of process, as the collection itself measures them."""
    program = inspect.getsource(docker_share) + "\nimport json\nprint(json.dumps(measure()))\n"
    found: dict[str, Any] = json.loads(ssh.execute(instance, "python3", "-", stdin=program.encode()))
    return {name: size / MIB for name, size in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="stage2-host", help="a host of the sandbox; made where there is none")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--wait", type=float, default=30, help="seconds from a change to the measurement")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = {"present": [], "absent": []}
    try:
        instance = state.load(options.name) or bring_up(options.name)
        with tempfile.TemporaryDirectory() as folder:
            for number in range(options.rounds):
                for wanted in ("present", "absent"):
                    with step(f"round {number + 1}: {wanted}"):
                        apply(instance, Path(folder), wanted)
                        time.sleep(options.wait)
                        found[wanted].append(measure(instance))
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    if options.out:
        options.out.write_text(json.dumps(found, indent=1))
    print(f"{'MB (median)':12} {'without':>8} {'with':>8} {'saved':>8}")
    for kind in found["present"][0]:
        without, with_it = (statistics.median(each[kind] for each in found[key]) for key in ("absent", "present"))
        print(f"{kind:12} {without:8.1f} {with_it:8.1f} {without - with_it:8.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
