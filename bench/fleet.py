# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stage 1 on 1, 10 and 50 hosts: seconds for each host as the fleet grows, first run and run with nothing to change.

    python3 -m bench.fleet [--sizes 1 10 50] [--forks 10] [--rounds 2] [--keep] [--out FILE.json]

A host is a Compose project of its own, reached over an SSH connection of its own (a port of its own) on one large host
of the sandbox: what grows with the fleet is Ansible's work and ours on the controller. All projects run in every
measurement, so what one look at the engine costs does not depend on the size that is measured. A run takes as many
hosts at once as Ansible has forks (headroom_serial): with more of them in a play its main process waits for a free fork
in a busy loop (`_queue_task` of its strategies) and takes a fifth to a third more of the controller's processor. With
nothing to change, all sizes go over the same hosts, in as many runs as that takes (at most RUNS), so that a slower
hour is one for all of them. Ends with 1 where the largest fleet then takes more seconds for each host than the one
before it. With --keep and --out, a run that was ended goes on from there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from sandbox import container, host, playbook, ssh, stack_images
from sandbox.environment import ROOT
from sandbox.process import SandboxError, say, step
from sandbox.stack.deploy import load_images
from sandbox.stack.host import TEMPLATE
from sandbox.state import Instance

NAME, MEMORY = "fleet", "8g"
FIRST_PORT = 2200
IMAGE = "redis:7-alpine"
COMPOSE = f"""\
services:
  redis:
    image: {IMAGE}
    command: redis-server --save "" --maxmemory 64mb --maxmemory-policy allkeys-lru
    network_mode: bridge
"""
VARIABLES: dict[str, Any] = {
    "headroom_services": [{"role": "redis", "service": "redis", "memory": "48M"}],
    "headroom_guard_seconds": 0,
}
RUNS = 5


def name(number: int) -> str:
    return f"fleet{number:03d}"


def prepare(instance: Instance, count: int) -> None:
    """Start a project for each host, and have a port for each lead to the one SSH server. Safe to repeat.

    The modules' libraries are there before: all hosts of the fleet share them, and the first run would wait for them.
    """
    last = FIRST_PORT + count
    rule = f"PREROUTING -p tcp --dport {FIRST_PORT}:{last} -j REDIRECT --to-ports 22"
    ssh.execute(instance, f"iptables -t nat -C {rule} 2> /dev/null || iptables -t nat -A {rule}")
    script = f"""set -e
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-redis python3-yaml > /dev/null
for n in $(seq -f %03g 1 {count}); do
    mkdir -p /opt/fleet$n
    [ -e /opt/fleet$n/compose.yaml ] || cat > /opt/fleet$n/compose.yaml <<'END'
{COMPOSE}END
    (cd /opt/fleet$n && docker compose up -d --no-build --pull never 2>&1)
done
"""
    with step(f"start {count} projects"):
        ssh.execute(instance, "sh -s", stdin=script.encode(), timeout=600)


def inventory(instance: Instance, numbers: range, forks: int, file: Path) -> Path:
    common = yaml.safe_load(instance.inventory.read_text())["all"]["hosts"][ssh.HOST]
    common["ansible_host"] = container.address(instance)
    hosts = {
        name(number): {**common, "ansible_port": FIRST_PORT + number, "headroom_project_src": f"/opt/{name(number)}"}
        for number in numbers
    }
    variables = {**VARIABLES, "headroom_serial": [forks]}
    file.write_text(yaml.safe_dump({"all": {"hosts": hosts, "vars": variables}}))
    return file


def run(instance: Instance, numbers: range, forks: int, folder: Path) -> tuple[float, int]:
    """Run stage 1 on these hosts and return seconds and changed tasks. Raises SandboxError where it fails."""
    hosts = inventory(instance, numbers, forks, folder / "inventory.yml")
    argv = ["ansible-playbook", "-i", str(hosts), "--forks", str(forks), str(ROOT / "playbooks/stage1.yml")]
    began = time.monotonic()
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        raise SandboxError(f"stage 1 on {len(numbers)} hosts failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    recap = done.stdout[done.stdout.rindex("PLAY RECAP") :]
    return seconds, sum(playbook.changed(line) for line in recap.splitlines() if "changed=" in line)


def measure(
    instance: Instance, sizes: list[int], forks: int, rounds: int, folder: Path, file: Path | None
) -> dict[int, dict[str, Any]]:
    """First runs on hosts that had none, then rounds over the hosts of each size with nothing to change."""
    known = json.loads(file.read_text()) if file and file.exists() else {}
    results: dict[int, dict[str, Any]] = {size: known.get(str(size), {"forks": forks, "again": []}) for size in sizes}

    def save() -> None:
        if file:
            file.write_text(json.dumps(results, indent=1) + "\n")

    begin = 1
    for size, result in results.items():
        if "first" not in result:
            with step(f"first run on {size}"):
                result["first"], result["changed"] = run(instance, range(begin, begin + size), forks, folder)
            save()
        begin += size
    for number in range(rounds):
        for size in sizes if number % 2 else sizes[::-1]:
            if len(results[size]["again"]) > number:
                continue
            starts = range(begin - sizes[-1], begin - size + 1, size)[:RUNS]
            with step(f"nothing to change on {size}, {len(starts)} times"):
                runs = [run(instance, range(start, start + size), forks, folder) for start in starts]
            if changed := sum(changed for _seconds, changed in runs):
                raise SandboxError(f"{changed} tasks changed something where nothing was to be changed")
            results[size]["again"].append(statistics.mean(seconds for seconds, _changed in runs))
            save()
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m bench.fleet", description=__doc__.split("\n\n", maxsplit=1)[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--forks", type=int, default=10, help="Ansible's forks (its own default is 5)")
    parser.add_argument("--rounds", type=int, default=2, help="runs with nothing to change")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true", help="leave the host up")
    options = parser.parse_args()
    sizes = sorted(options.sizes)
    with tempfile.TemporaryDirectory(prefix="headroom-fleet-") as work:
        try:
            stack_images.build_all()
            known = TEMPLATE if host.has_template("container", TEMPLATE) else None
            instance = host.up(NAME, memory=MEMORY, template=known)
            load_images(instance)
            prepare(instance, sum(sizes))
            results = measure(instance, sizes, options.forks, options.rounds, Path(work), options.out)
        except SandboxError as error:
            say(f"error: {error}")
            return 1
        finally:
            if not options.keep:
                host.down(NAME)
    print(f"stage 1, {options.forks} forks   first run, s   a host, s   nothing to change, s   a host, s")
    each = {}
    for size, result in results.items():
        again = statistics.median(result["again"])
        each[size] = again / size
        print(f"{size:4} hosts {result['first']:26.0f} {result['first'] / size:11.1f} {again:22.1f} {each[size]:11.2f}")
    return 1 if len(sizes) > 1 and each[sizes[-1]] > each[sizes[-2]] else 0


if __name__ == "__main__":
    sys.exit(main())
