# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real stack (API, RQ worker, Redis) in containers, its users, and the module as Ansible runs it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import urllib.request
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
MODULE = "ansible_collections.smallhost.headroom.plugins.modules.stack_guard"
# ansible-test runs a copy of this folder, deeper inside the collection.
COLLECTIONS = next((str(path.parent) for path in HERE.parents if path.name == "ansible_collections"), "")
IMAGE = "headroom-it-host-usr:1"
HEALTH = "http://api:8000/health"


def docker(*words: str, check: bool = True, **options) -> str:
    return subprocess.run(["docker", *words], check=check, capture_output=True, text=True, **options).stdout.strip()


def wait_for(what, seconds: float = 30.0):
    """Wait until `what()` gives something true, and return it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}")


@pytest.fixture(scope="session")
def image():
    """An image of empty folders: the containers use this machine's own /usr, so no registry and no build is needed."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("usr", "sbin", "tmp", "srv", "etc", "proc", "sys", "dev", "root"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(folder)
        for name in ("bin", "lib", "lib64"):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(link)
    subprocess.run(["docker", "import", "-", IMAGE], input=archive.getvalue(), check=True, capture_output=True)
    yield IMAGE
    docker("rmi", IMAGE, check=False)


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """RQ and what it needs, as a folder. The worker runs on the machine's own Python."""
    if shutil.which("redis-server") is None:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", "redis-server"], check=True)
    folder = tmp_path_factory.mktemp("library")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "rq", "async-timeout"]
    subprocess.run(pip, check=True, timeout=300)
    return folder


class Stack:
    """The project in a folder of its own, started."""

    def __init__(self, folder: Path, image: str, library: Path, changes: dict[str, str]) -> None:
        shutil.copytree(HERE / "stack", folder)
        self.folder, self.state = folder, folder / "state"
        self.state.mkdir()
        self.set("delay", "0.05")
        self.set("start", "0")
        text = (folder / "compose.yaml").read_text().replace("IMAGE", image).replace("./lib:", f"{library}:")
        for old, new in changes.items():
            assert old in text
            text = text.replace(old, new)
        (folder / "compose.yaml").write_text(text)
        self.project = f"hr-guard-{os.getpid()}"

    def set(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def compose(self, *words: str) -> str:
        done = subprocess.run(
            ["docker", "compose", "-p", self.project, *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def up(self) -> None:
        self.compose("up", "-d")
        wait_for(lambda: self.inspect("api")["State"]["Health"]["Status"] == "healthy")
        wait_for(lambda: "OK" in self.redis("set", "ready", "1") and self.worker_listens())

    def worker_listens(self) -> bool:
        return self.redis("pubsub", "numsub", "rq:pubsub:worker-image-1").endswith("1")

    def down(self) -> None:
        with contextlib.suppress(AssertionError):
            self.compose("down", "-v", "-t", "0")

    def container(self, service: str) -> str:
        return f"{self.project}-{service}-1"

    def inspect(self, service: str) -> dict:
        return json.loads(docker("inspect", self.container(service)))[0]

    def run(self, service: str, *argv: str) -> str:
        return docker("exec", self.container(service), *argv)

    def redis(self, *words: str) -> str:
        return docker("exec", self.container("redis"), "redis-cli", *words, check=False)

    def enqueue(self, job: str, *arguments: int, times: int = 1) -> None:
        """Queue jobs as a program of the project would."""
        code = (
            "import redis, rq, jobs\n"
            "queue = rq.Queue('img_queue', connection=redis.Redis('redis'))\n"
            f"for _ in range({times}): queue.enqueue(jobs.{job}, *{list(arguments)!r})\n"
        )
        self.run("worker", "python3", "-c", code)

    def fill(self) -> None:
        """Write to Redis until its maxmemory is reached, and beyond it."""
        self.redis("eval", "for i = 1, 40 do redis.call('set', 'big' .. i, string.rep('x', 300000)) end", "0")

    def hits(self) -> int:
        return len((self.state / "hits").read_text()) if (self.state / "hits").exists() else 0


@pytest.fixture
def stack(tmp_path, image, library):
    """Start the stack: stack({text in compose.yaml: replacement})."""
    started = []

    def start(changes=None):
        started.append(Stack(tmp_path / "project", image, library, changes or {}))
        started[-1].up()
        return started[-1]

    yield start
    for one in started:
        one.down()


def busy() -> float:
    """How many times more work than processors this machine has: everything takes longer by that."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


class Users:
    """Requests and jobs in the background, as users cause them."""

    def __init__(self, stack: Stack) -> None:
        networks = stack.inspect("api")["NetworkSettings"]["Networks"].values()
        self.url = f"http://{next(iter(networks))['IPAddress']}:8000/page"
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._go, daemon=True)

    def _go(self) -> None:
        while not self.stopped.wait(0.2):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(self.url, timeout=2).read()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_what):
        self.stopped.set()
        self.thread.join(5)


class Guard:
    """The module, running in the background."""

    def __init__(self, stack: Stack, folder: Path, params: dict) -> None:
        always = {
            "project_src": str(stack.folder),
            "seconds": 30,
            "interval": 1,
            "probes": [{"service": "api", "url": HEALTH}],
            "redis": [{"service": "redis"}],
        }
        arguments = folder / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**always, **params}}))
        places = [place for place in (COLLECTIONS, os.environ.get("PYTHONPATH")) if place]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
        self.stack, self.hits = stack, stack.hits()
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, str(arguments)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def watching(self, looks: float = 3.0) -> None:
        """Return when the watch has begun (its probes arrive) and has looked a few times."""
        wait_for(lambda: self.process.poll() is not None or self.stack.hits() > self.hits + 2, 60)
        time.sleep(looks)

    def result(self) -> dict:
        out, err = self.process.communicate(timeout=120)
        assert out.strip().startswith("{"), out + err
        return json.loads(out)


@pytest.fixture
def guard(tmp_path):
    """guard(stack, fault=None, **parameters): (result, seconds from when the fault was there to the module's end)."""
    running = []

    def go(stack, fault=None, looks=3.0, **params):
        one = Guard(stack, tmp_path, params)
        running.append(one.process)
        if fault is None:
            return one.result(), 0.0
        one.watching(looks)
        assert one.process.poll() is None, one.result()
        fault()
        begin = time.monotonic()
        result = one.result()
        return result, time.monotonic() - begin

    yield go
    for process in running:
        if process.poll() is None:
            process.kill()
