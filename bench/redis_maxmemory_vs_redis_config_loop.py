# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Redis that is as it should be: our redis_maxmemory against a loop of community.general.redis.

Both run in the same playbook, in turns, the order changing from round to round; the ratio is taken pair by pair. Ours
looks at the keys of a queue of 300 jobs besides. Prints both medians and the median ratio; ends with 1 when ours is
not faster. Needs redis-server and, once, pip: the collections come out of PyPI's `ansible` package and are kept in the
cache.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.util
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator

ROUNDS = 9
ANSIBLE_PACKAGE = "ansible==11.13.0"
OURS, THEIRS = "smallhost.headroom.redis_maxmemory", "community.general.redis"
COLLECTIONS = ("ansible/posix/", "community/general/")
# As the server says them: the loop compares text.
SETTINGS = {
    "maxmemory": str(96 * 1024**2),
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": "5",
    "lazyfree-lazy-eviction": "yes",
}


def collections() -> str:
    """A collections folder with what the loop needs, out of PyPI's package."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "headroom")
    folder = os.path.join(cache, ANSIBLE_PACKAGE.replace("==", "-") + "-general")
    if os.path.isdir(folder):
        return folder
    with tempfile.TemporaryDirectory() as download:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, ANSIBLE_PACKAGE]
        subprocess.run(pip, check=True)
        wanted = tuple("ansible_collections/" + name for name in COLLECTIONS)
        with zipfile.ZipFile(os.path.join(download, os.listdir(download)[0])) as wheel:
            names = [name for name in wheel.namelist() if name.startswith(wanted)]
            wheel.extractall(os.path.join(download, "out"), names)
        os.makedirs(cache, exist_ok=True)
        shutil.move(os.path.join(download, "out"), folder)
    return folder


def own_collection(work: str) -> str:
    """A collections folder with this checkout in it, whatever the checkout's folder is called."""
    checkout = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    os.makedirs(os.path.join(work, "ansible_collections", "smallhost"))
    os.symlink(checkout, os.path.join(work, "ansible_collections", "smallhost", "headroom"))
    return work


@contextlib.contextmanager
def server(work: str) -> Iterator[int]:
    """The port of a running server that has the settings already and holds the keys of a queue."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    flags = [word for name, value in SETTINGS.items() for word in (f"--{name}", value)]
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", work, "--save", "", *flags]
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    cli = ["redis-cli", "-p", str(port)]
    try:
        while subprocess.run([*cli, "ping"], capture_output=True, check=False).returncode:
            time.sleep(0.05)
        script = (
            "for i = 1, 300 do redis.call('HSET', 'rq:job:' .. i, 'data', string.rep('x', 2000)) "
            "redis.call('RPUSH', 'rq:queue:img', i) end redis.call('SADD', 'rq:queues', 'rq:queue:img')"
        )
        subprocess.run([*cli, "eval", script, "0"], check=True, capture_output=True)
        yield port
    finally:
        process.terminate()
        process.wait()


def playbook(work: str, port: int) -> list[dict]:
    extra = [{"name": name, "value": value} for name, value in SETTINGS.items() if not name.startswith("maxmemory")]
    extra.append({"name": "maxmemory-samples", "value": SETTINGS["maxmemory-samples"]})
    ours = {
        "name": "ours",
        OURS: {
            "port": port,
            "maxmemory": SETTINGS["maxmemory"],
            "policy": SETTINGS["maxmemory-policy"],
            "settings": extra,
            "persist": "none",
            "state_dir": os.path.join(work, "state"),
        },
    }
    theirs = {
        "name": "theirs",
        THEIRS: {"command": "config", "login_port": port, "name": "{{ item.key }}", "value": "{{ item.value }}"},
        "loop": [{"key": name, "value": value} for name, value in SETTINGS.items()],
    }
    first = [{**task, "name": "prepare"} for task in (ours, theirs)]
    rounds = [task for number in range(ROUNDS) for task in ((ours, theirs) if number % 2 else (theirs, ours))]
    return [{"hosts": "all", "gather_facts": False, "tasks": [*first, *rounds]}]


def run(work: str, port: int) -> list[dict]:
    """The tasks of the run, with their durations."""
    path = os.path.join(work, "bench.yml")
    with open(path, "w", encoding="utf-8") as stream:
        json.dump(playbook(work, port), stream)
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": f"{own_collection(os.path.join(work, 'own'))}:{collections()}",
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
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work, server(work) as port:
        tasks = run(work, port)
    measured: dict[str, list[float]] = {"ours": [], "theirs": []}
    for task in tasks:
        name = task["task"]["name"]
        if name in measured:
            if task["hosts"]["localhost"]["changed"]:
                sys.exit(f"{name} changed something, so this is no measurement of a run with nothing to change.")
            measured[name].append(seconds(task))
    ours, theirs = (statistics.median(measured[name]) for name in ("ours", "theirs"))
    ratio = statistics.median(two / one for one, two in zip(measured["ours"], measured["theirs"]))
    print(f"{len(SETTINGS)} parameters, nothing to change, {ROUNDS} rounds in turns (medians):")
    print(f"  {OURS}: {ours:.2f} s (one task, looks at 301 keys too)")
    print(f"  {THEIRS}: {theirs:.2f} s (a loop of {len(SETTINGS)})")
    print(f"  pair by pair {ratio:.2f} times faster")
    if ratio <= 1:
        sys.exit(1)


if __name__ == "__main__":
    if importlib.util.find_spec("ansible") is None or importlib.util.find_spec("redis") is None:
        sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        from sandbox.environment import become

        become(os.path.abspath(__file__))
    main()
