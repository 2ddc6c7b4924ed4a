# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A burst of image jobs on the reference stack, with stage 2 rolled out in the middle of one.

    python3 bench/stage2_worker.py [--jobs 200] [--name NAME] [--out FILE.json]

On a host of the sandbox (python3 -m sandbox.stack up --name NAME). One job's peak is measured, and stage 1 gives the
worker what it uses while it waits and that peak, by FACTOR (the plan's 200 MB are too little for such uploads: the
kernel killed two of 25). Then the queue is filled: every eighth job is an upload of 12 megapixels (fetched, three
sizes, sent), the others make the three sizes of a picture of 1024x768. Stage 2 is rolled out meanwhile. Fails where a
job is lost, failed or cut off, where the kernel killed a process, or where the peak left the limit.

Also measured: what MALLOC_ARENA_MAX does to one job's peak, which decides whether stage 2 sets it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sandbox import fingerprint, playbook, ssh, state
from sandbox.process import SandboxError, say, step
from sandbox.providers import container as providers
from sandbox.stack import deploy
from sandbox.stack.host import bring_up
from sandbox.stack_images import PROJECT
from sandbox.state import Instance

WORKER = "imagebot-worker-image"
FACTOR = 1.15  # KRR's on the largest memory seen
JOB_SECONDS = 600  # the application's own job_timeout
# Run in the worker's container, where the application and its Redis are.
ENQUEUE = f"""
import io, json, os, sys
from PIL import Image
from redis import Redis
from rq import Queue
queue = Queue("img_queue", connection=Redis.from_url("redis://localhost:6379/0"))
picture = io.BytesIO()
Image.frombytes("RGB", (1024, 768), os.urandom(9216) * 256).save(picture, "JPEG", quality=85)
upload = lambda n: ("app.worker.tasks.resize_upload", 7, f"CAM{{n % 8:04d}}-{{n}}")
sizes = lambda n: ("app.services.images.save_sizes", picture.getvalue(), 7)
wanted = [sizes(n) if n % 8 else upload(n) for n in range(int(sys.argv[1]))]
print(json.dumps([queue.enqueue(*job, job_timeout={JOB_SECONDS}, result_ttl=7200).id for job in wanted]))
"""
STATES = """
import json, sys
from redis import Redis
redis = Redis.from_url("redis://localhost:6379/0")
found = {}
for name in json.load(sys.stdin):
    fields = redis.hmget(f"rq:job:{name}", "status", "started_at", "ended_at", "worker_name")
    found[name] = [value.decode() if value else None for value in fields]
print(json.dumps(found))
"""
PICTURE = "/tmp/camera.jpg"
PAINT = """
import os, sys
from PIL import Image
Image.frombytes("RGB", (4000, 3000), os.urandom(36000) * 1000).save(sys.argv[1], "JPEG", quality=85)
"""
# The peak of one job in a process of its own, as the worker's fork does it: decode, three sizes, save.
ONE_JOB = """
import resource, sys
import app.worker.tasks
from app.services import images
data = open(sys.argv[1], "rb").read()
for number in range(3):
    images.save_sizes(data, 7)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


class Failed(Exception):
    """What the burst must not do, it did."""


def in_worker(
    instance: Instance, program: str, *words: str, stdin: bytes = b"", container: str = WORKER, options: str = ""
) -> str:
    """Run a Python program in the worker's container. It comes with the command, standard input stays free."""
    code = shlex.join(["python", "-c", program, *words])
    return ssh.execute(instance, f"docker exec -i {options} {container} {code}", stdin=stdin, timeout=300)


def states(instance: Instance, names: list[str]) -> dict[str, list[str | None]]:
    """Id -> status, times of start and end, and the worker's name of every job, from Redis itself."""
    # Through the API's container: the worker's is away for a moment.
    program = STATES.replace("localhost", "redis")
    data = json.dumps(names).encode()
    return json.loads(in_worker(instance, program, stdin=data, container="imagebot-api"))


def counted(found: dict[str, list[str | None]]) -> dict[str, int]:
    kinds = [str(entry[0]) for entry in found.values()]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def peak(instance: Instance) -> dict[str, int]:
    """The worker container's peak, limit and OOM kills by the kernel's files, page cache included."""
    text = ssh.execute(
        instance,
        f"id=$(docker inspect -f '{{{{.Id}}}}' {WORKER}); "
        "for f in /sys/fs/cgroup/memory/docker/$id/memory.max_usage_in_bytes "
        "/sys/fs/cgroup/system.slice/docker-$id.scope/memory.peak; do [ -e $f ] && cat $f; done; "
        "for f in /sys/fs/cgroup/memory/docker/$id/memory.limit_in_bytes "
        "/sys/fs/cgroup/system.slice/docker-$id.scope/memory.max; do [ -e $f ] && cat $f; done; "
        "cat /sys/fs/cgroup/memory/docker/$id/memory.oom_control "
        "/sys/fs/cgroup/system.slice/docker-$id.scope/memory.events 2> /dev/null | grep oom_kill' '; true",
    )
    numbers = re.findall(r"\d+", text)
    return dict(zip(("peak", "limit", "oom_kills"), map(int, numbers))) if len(numbers) >= 3 else {}


@contextlib.contextmanager
def followed_log(instance: Instance, file: Path) -> Iterator[None]:
    """Keep what the worker says until its container is gone, which takes its log along."""
    with file.open("wb") as stream:
        argv = ssh.argv(instance, [f"docker logs --follow --tail 1 {WORKER} 2>&1"])
        following = subprocess.Popen(argv, stdout=stream, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            yield
        finally:
            following.terminate()
            following.wait()


def last_words(text: str) -> dict[str, bool]:
    """Whether the stop met a job, and whether that job ended well, from the log of the worker that was stopped."""
    _before, asked, after = text.partition("arm shut down")
    return {"asked_to_stop": bool(asked), "ended_a_job": "Job OK" in after, "killed": "illed" in after}


def wait(instance: Instance, names: list[str], until: int, seconds: float) -> dict[str, list[str | None]]:
    """Wait until so many jobs have ended. Raises Failed when they do not, or one has failed."""
    end = time.monotonic() + seconds
    while True:
        found = states(instance, names)
        kinds = counted(found)
        if kinds.get("failed") or kinds.get("None"):
            raise Failed(f"jobs failed or are gone: {kinds}")
        if kinds.get("finished", 0) >= until:
            return found
        if time.monotonic() > end:
            raise Failed(f"after {seconds:.0f} s: {kinds}")
        time.sleep(2)


def roll_out(instance: Instance, folder: Path, name: str, variables: dict[str, Any]) -> str:
    done = playbook.run(instance, name, folder, variables)
    if done.returncode:
        raise Failed(f"{name}: {playbook.failures(done.stdout)}")
    return done.stdout


def services(instance: Instance, job_megabytes: float) -> list[dict[str, Any]]:
    """The operator's services, the worker with a limit that holds one job of that size."""
    waiting = next(
        entry["working_set"]
        for entry in fingerprint.measure(instance, PROJECT)["containers"]
        if entry["service"] == "worker-image"
    )
    wanted = f"{math.ceil((waiting / 2**20 + job_megabytes) * FACTOR)}M"
    listed = yaml.safe_load(playbook.VARIABLES.read_text())["headroom_services"]
    return [{**entry, "memory": wanted} if entry["role"] == "worker" else entry for entry in listed]


def burst(instance: Instance, jobs: int, job_megabytes: float, folder: Path) -> dict[str, Any]:
    """The burst and the rollout in it. Raises Failed."""
    quiet = {"headroom_guard_seconds": 0, "headroom_services": services(instance, job_megabytes)}
    # Images have a test of their own; here they would only keep both processors busy.
    still = {"stage2_configuration_images_leave": ["bot", "api", "worker-image"]}
    # A new container: the kernel's peak is to be the burst's.
    ssh.execute(instance, deploy.compose("up -d --no-build --force-recreate worker-image 2>&1"), timeout=300)
    with step("stage 1: the worker's limit"):
        roll_out(instance, folder, "stage1", quiet)
    providers.call(instance.name, "POST", "/settings", {"telegram_per_second": 10000, "latency_scale": 0.2})
    names = json.loads(in_worker(instance, ENQUEUE, str(jobs)))
    began = time.monotonic()
    with step("until the worker is at work"):
        wait(instance, names, max(1, jobs // 20), 300)
    before = peak(instance)
    with step("stage 2, rolled out in mid-job"), followed_log(instance, folder / "worker.log"):
        roll_out(instance, folder, "stage2", {**quiet, **still})
    with step(f"until all {jobs} jobs have ended"):
        found = wait(instance, names, jobs, 60 + jobs * 15)
    after = peak(instance)
    return {
        "jobs": jobs,
        "states": counted(found),
        "seconds": round(time.monotonic() - began, 1),
        "peak": {"before_the_rollout": before, "after_it": after},
        "stopped": last_words((folder / "worker.log").read_text(errors="replace")),
        "containers": fingerprint.measure(instance, PROJECT)["containers"],
        "cut_off": sorted(name for name, entry in found.items() if not entry[2]),
    }


def judge(result: dict[str, Any]) -> list[str]:
    """What is not as it must be, in words."""
    wrong = []
    if result["states"] != {"finished": result["jobs"]}:
        wrong.append(f"not all jobs finished: {result['states']}")
    if result["stopped"] != {"asked_to_stop": True, "ended_a_job": True, "killed": False}:
        wrong.append(f"the worker was not stopped in mid-job, or did not end the job: {result['stopped']}")
    if result["cut_off"]:
        wrong.append(f"jobs without an end: {result['cut_off']}")
    for when, seen in result["peak"].items():
        if not seen or seen["oom_kills"] or seen["peak"] > seen["limit"]:
            wrong.append(f"{when}: {seen}")
    kills = {entry["service"]: entry["oom_kills"] for entry in result["containers"] if entry["oom_kills"]}
    return [*wrong, *([f"the kernel killed: {kills}"] if kills else [])]


def arenas(instance: Instance, rounds: int) -> dict[str, list[float]]:
    """MB of one process's peak over three 12 megapixel pictures, with glibc's default and with fewer arenas."""
    found: dict[str, list[float]] = {}
    in_worker(instance, PAINT, PICTURE)
    for _round in range(rounds):
        for value in ("", "1", "2"):
            options = "-e MEDIA_DIR=/tmp/media" + (f" -e MALLOC_ARENA_MAX={value}" if value else "")
            kib = int(in_worker(instance, ONE_JOB, PICTURE, options=options))
            found.setdefault(value or "default", []).append(round(kib / 1024, 1))
    in_worker(instance, "import shutil; shutil.rmtree('/tmp/media')")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--name", default="stage2-worker", help="a host of the sandbox; made where there is none")
    parser.add_argument("--rounds", type=int, default=3, help="of the measurement of arenas")
    parser.add_argument("--out", type=Path, metavar="FILE.json")
    options = parser.parse_args()
    try:
        instance = state.load(options.name) or bring_up(options.name)
        with tempfile.TemporaryDirectory() as folder:
            roll_out(instance, Path(folder), "prepare", {})
            with step("arenas"):
                peaks = arenas(instance, options.rounds)
            result = burst(instance, options.jobs, max(peaks["default"]), Path(folder))
    except (SandboxError, Failed) as error:
        say(f"error: {error}")
        return 1
    result["arenas"] = {name: statistics.median(values) for name, values in peaks.items()}
    result["arenas_all"] = peaks
    if options.out:
        options.out.write_text(json.dumps(result, indent=1))
    print(
        json.dumps({key: result[key] for key in ("jobs", "states", "seconds", "peak", "stopped", "arenas")}, indent=1)
    )
    wrong = judge(result)
    for line in wrong:
        say(f"error: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
