# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Redis that is as it should be: our redis_maxmemory against a loop of community.general.redis.

Ours looks at the keys of a queue of 300 jobs besides. Prints both medians and the median ratio; ends with 1 when ours
is not faster. Needs redis-server and, once, pip.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from rounds import enter, measure

ROUNDS = 9
OURS, THEIRS = "smallhost.headroom.redis_maxmemory", "community.general.redis"
# As the server says them: the loop compares text.
SETTINGS = {
    "maxmemory": str(96 * 1024**2),
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": "5",
    "lazyfree-lazy-eviction": "yes",
}


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


def tasks(work: str, port: int) -> tuple[dict, dict]:
    extra = [{"name": name, "value": value} for name, value in SETTINGS.items() if not name.startswith("maxmemory")]
    extra.append({"name": "maxmemory-samples", "value": SETTINGS["maxmemory-samples"]})
    ours = {
        "port": port,
        "maxmemory": SETTINGS["maxmemory"],
        "policy": SETTINGS["maxmemory-policy"],
        "settings": extra,
        "persist": "none",
        "state_dir": os.path.join(work, "state"),
    }
    theirs = {"command": "config", "login_port": port, "name": "{{ item.key }}", "value": "{{ item.value }}"}
    pairs = [{"key": name, "value": value} for name, value in SETTINGS.items()]
    return {OURS: ours}, {THEIRS: theirs, "loop": pairs}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="headroom-bench-") as work, server(work) as port:
        seen = measure(work, *tasks(work, port), rounds=ROUNDS, needs=("community.general",))
    ours, theirs = seen.medians
    print(f"{len(SETTINGS)} parameters, nothing to change, {ROUNDS} rounds in turns (medians):")
    print(f"  {OURS}: {ours:.2f} s (one task, looks at 301 keys too)")
    print(f"  {THEIRS}: {theirs:.2f} s (a loop of {len(SETTINGS)})")
    print(f"  {seen.ratio:.2f} times faster (median of the pairs); faster in {seen.won} of {ROUNDS} pairs")
    if seen.ratio <= 1:
        sys.exit(1)


if __name__ == "__main__":
    enter("redis")
    main()
