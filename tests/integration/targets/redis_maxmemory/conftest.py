# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers, the module run as Ansible runs it, and the cycle that every scenario goes through."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import redis

HERE = Path(__file__).resolve().parent
MODULE = "ansible_collections.smallhost.headroom.plugins.modules.redis_maxmemory"
# ansible-test runs a copy of this folder from deep below the collection.
REPOSITORY = next(path for path in HERE.parents if (path / "plugins/modules/redis_maxmemory.py").exists())


@functools.lru_cache(maxsize=1)
def collections() -> Path:
    """A folder in which the collection is found under its own name, wherever the checkout lies."""
    folder = Path(tempfile.mkdtemp(prefix="headroom-collections-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place = folder / "ansible_collections" / "smallhost"
    place.mkdir(parents=True)
    (place / "headroom").symlink_to(REPOSITORY)
    return folder


@functools.lru_cache(maxsize=1)
def servers() -> dict[str, str]:
    """Name (`redis-7.0.15`) to the path of each server that this machine can run. `bin/test` installs Debian's."""
    script = HERE.parent / "setup_redis_servers" / "files" / "provision.py"
    done = subprocess.run([sys.executable, str(script)], check=True, capture_output=True, text=True, timeout=300)
    found = json.loads(done.stdout)
    for name, why in found["missing"].items():
        print(f"not tested: {name}: {why}", file=sys.stderr)
    return dict(sorted(found["servers"].items()))


def pytest_generate_tests(metafunc):
    if "each_server" in metafunc.fixturenames:
        metafunc.parametrize("each_server", list(servers().items()), ids=list(servers()))


def pytest_report_header():
    return f"servers: {', '.join(servers())}"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Bare:
    """A server of its own in a folder, started with a configuration file or with flags."""

    def __init__(self, binary: str, folder: Path, *flags: str, conf: str | None = None, **client) -> None:
        self.binary, self.folder, self.flags = binary, folder, list(flags)
        self.port = free_port()
        self.conf = folder / "redis.conf" if conf is not None else None
        if self.conf:
            self.conf.write_text(conf.format(port=self.port, folder=folder))
        self.client_options = {"host": "127.0.0.1", "port": self.port, **client}
        self.process = None
        self.start()

    def start(self, *extra: str) -> None:
        argv = [self.binary, *([str(self.conf)] if self.conf else []), *extra]
        argv += ["--port", str(self.port), "--dir", str(self.folder)] if not self.conf else []
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([*argv, *self.flags], stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            with contextlib.suppress(redis.ConnectionError, redis.BusyLoadingError):
                self.client().ping()
                return
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def client(self, **more) -> redis.Redis:
        return redis.Redis(decode_responses=True, **{**self.client_options, **more})

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def restart(self) -> None:
        self.stop()
        self.start()


@pytest.fixture
def bare(tmp_path):
    """Start servers: bare(binary, *flags, conf=...); all are stopped at the end."""
    started = []

    def start(binary=None, *flags, name="server", **options):
        folder = tmp_path / name
        folder.mkdir()
        started.append(Bare(binary or servers()["redis-7.0.15"], folder, *flags, **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture
def run(tmp_path):
    """Run the module: run(params, check=False) -> its result; `failed` results are returned, not raised."""

    def call(params, check=False, **more):
        always = {"_ansible_check_mode": check, "_ansible_diff": True, "state_dir": str(tmp_path / "state")}
        arguments = tmp_path / "arguments.json"
        arguments.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": {**always, **params, **more}}))
        environment = {**os.environ, "PYTHONPATH": f"{collections()}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
        done = subprocess.run(
            [sys.executable, "-m", MODULE, str(arguments)], capture_output=True, text=True, env=environment, check=False
        )
        assert done.stdout.strip().startswith("{"), done.stdout + done.stderr
        call.outputs.append(done.stdout + done.stderr)
        return json.loads(done.stdout)

    call.outputs = []
    return call


def play(text: str, folder: Path, *words: str) -> str:
    """Run a playbook on this machine through Ansible itself. Returns all that it said."""
    playbook = folder / "play.yml"
    playbook.write_text(text)
    program = Path(sys.executable).parent / "ansible-playbook"
    argv = [str(program) if program.exists() else shutil.which("ansible-playbook") or "ansible-playbook"]
    argv += ["-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", *words, str(playbook)]
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(collections()), "ANSIBLE_NOCOLOR": "1"}
    environment["ANSIBLE_LOCALHOST_WARNING"] = "False"
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout + done.stderr


def parameters(client: redis.Redis) -> dict[str, str]:
    """The server's own view of all its parameters."""
    return client.config_get("*")


def bytes_of(*paths: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.exists() else None for path in paths}


def cycle(run, params, client, expected, files=(), between=None):
    """Check, run, run again, [restart], take back in check mode, take back, once more; and what holds at each step.

    `client` is a function that connects, `expected` a part of CONFIG GET; `between` restarts or recreates the server.
    Returns the result of the first real run.
    """
    before, texts = parameters(client()), bytes_of(*files)
    planned = run(params, check=True)
    assert planned.get("changed"), planned
    assert (parameters(client()), bytes_of(*files)) == (before, texts)
    first = run(params)
    assert first.get("changed"), first
    for part in ("before", "after", "diff", "files_changed", "persisted_via"):
        assert first[part] == planned[part], part
    now = parameters(client())
    assert {name: now[name] for name in expected} == expected
    second = run(params)
    assert second.get("changed") is False and not second["diff"], second
    if between:
        between()
        now = parameters(client())
        assert {name: now[name] for name in expected} == expected
        assert run(params)["changed"] is False
    undo = {**params, "state": "absent"}
    changed = bytes_of(*files)
    assert run(undo, check=True)["changed"]
    assert (parameters(client()), bytes_of(*files)) == (now, changed)
    undone = run(undo)
    assert undone.get("changed"), undone
    after = parameters(client())
    assert {name: (before[name], after[name]) for name in before if before[name] != after[name]} == {}
    assert bytes_of(*files) == texts
    assert run(undo)["changed"] is False
    return first


# Containers

ENTRYPOINT = """#!/bin/sh
# As the official images' script does: flags or a .conf file alone mean redis-server.
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
exec "$@"
"""


def docker(*words: str, **options) -> str:
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True, **options).stdout.strip()


def _add(root: Path, program: str, place: str) -> None:
    """Put a program of this machine into an image's root, with the libraries that it is linked against."""
    shutil.copy(os.path.realpath(program), root / place)
    _add_libraries(root, program)


def _add_libraries(root: Path, program: str) -> None:
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    for library in {word for word in listed.split() if word.startswith("/")}:
        target = root / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(os.path.realpath(library), target)


def _add_server(root: Path, binary: Path) -> None:
    """The installed server, or one of the cache: a script with all that it needs beside it."""
    if not binary.read_bytes().startswith(b"#!"):
        _add(root, str(binary), "usr/bin/redis-server")
        return
    shutil.copytree(binary.parent, root / "opt/redis", symlinks=True)
    script = root / "usr/bin/redis-server"
    script.write_text(re.sub(r"(?m)^here=.*$", "here=/opt/redis", binary.read_text()))
    script.chmod(0o755)
    if (binary.parent / "binary").exists():
        _add_libraries(root, str(binary.parent / "binary"))


def _import_image(root: Path, binary: Path, tag: str) -> None:
    for place in ("usr/bin", "usr/local/bin", "bin", "tmp", "data", "etc", "opt"):
        (root / place).mkdir(parents=True, exist_ok=True)
    _add(root, os.path.realpath("/bin/sh"), "bin/sh")
    _add(root, "/usr/bin/redis-cli", "usr/bin/redis-cli")
    _add_server(root, binary)
    script = root / "usr/local/bin/docker-entrypoint.sh"
    script.write_text(ENTRYPOINT)
    script.chmod(0o755)
    archive = subprocess.run(["tar", "-C", str(root), "-c", "."], check=True, capture_output=True).stdout
    changes = ['ENTRYPOINT ["docker-entrypoint.sh"]', 'CMD ["redis-server"]', "WORKDIR /data"]
    words = [word for change in changes for word in ("--change", change)]
    subprocess.run(["docker", "import", *words, "-", tag], input=archive, check=True, capture_output=True)


@pytest.fixture(scope="session")
def image_of(tmp_path_factory):
    """Make a small image of a server and a shell, with the entrypoint of the official one: image_of(name of it)."""
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no Docker engine answers here")
    made = {}

    def make(name):
        if name not in made:
            made[name] = f"hb-redis-maxmemory:{name}"
            _import_image(tmp_path_factory.mktemp("image"), Path(servers()[name]), made[name])
        return made[name]

    yield make
    for tag in made.values():
        subprocess.run(["docker", "rmi", tag], capture_output=True, check=False)


@pytest.fixture
def image(image_of):
    """The image of the installed server."""
    return image_of("redis-7.0.15")


class Stack:
    """A Compose project in a folder; its service is called redis."""

    def __init__(self, folder: Path, text: str, port: int = 6379) -> None:
        self.folder, self.file, self.port = folder, folder / "docker-compose.yml", str(port)
        self.file.write_text(text)
        self.project = f"hb-{os.getpid()}-{folder.name.lower()[:20].replace('_', '-')}"
        self.up()

    def _compose(self, *words: str) -> str:
        return docker("compose", "-p", self.project, "-f", str(self.file), *words, cwd=self.folder)

    def up(self) -> None:
        self._compose("up", "-d", "--quiet-pull")
        self.wait()

    def recreate(self) -> None:
        self._compose("up", "-d", "--force-recreate", "-t", "2")
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(subprocess.CalledProcessError):
                if re.search("PONG|NOAUTH", self.cli("-p", self.port, "ping")):
                    return
            time.sleep(0.1)
        raise AssertionError(self._compose("logs"))

    @property
    def container(self) -> str:
        return self._compose("ps", "-q", "redis")

    @property
    def inspected(self) -> dict:
        return json.loads(docker("inspect", self.container))[0]

    @property
    def client_options(self) -> dict:
        """Where the container's own address is, which recreating changes."""
        networks = self.inspected["NetworkSettings"]["Networks"].values()
        return {"host": next(iter(networks))["IPAddress"] or "127.0.0.1"}

    def client(self, **options) -> redis.Redis:
        return redis.Redis(decode_responses=True, **{**self.client_options, **options})

    def cli(self, *words: str) -> str:
        return docker("exec", self.container, "redis-cli", *words)

    def down(self) -> None:
        with contextlib.suppress(subprocess.CalledProcessError):
            self._compose("down", "-v", "-t", "1")


@pytest.fixture
def stack(tmp_path, image):
    """Start a Compose project: stack(text)."""
    started = []

    def start(text, files=None, port=6379, of=image):
        folder = tmp_path / "project"
        folder.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            (folder / name).write_text(content)
        started.append(Stack(folder, text.replace("IMAGE", of), port))
        return started[-1]

    yield start
    for one in started:
        one.down()
