# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Docker Engine of this machine: used as it is when it works, installed and started when there is none."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import time

from sandbox import apt
from sandbox.process import SandboxError, as_root, run, say, step, succeeds
from sandbox.state import cache_dir, label

NETWORK = "headroom-net"
# Of the range that RFC 2544 keeps for benchmarks: no engine picks it by itself, neither here nor on a host inside,
# which would then look for the stand-in providers in a network of its own.
SUBNET = "198.18.77.0/24"
COMPOSE_SUITE = "trixie"  # the first Debian with Compose v2; its packages need no newer libc than bookworm has
COMPOSE_PACKAGES = ("docker-compose", "docker-buildx")
START_SECONDS = 60.0
LOCAL_ENDPOINT = "unix:///var/run/docker.sock"  # the client's default on Linux


@functools.cache
def docker_command() -> tuple[str, ...]:
    """Return how the engine's client is called here: `docker`, behind sudo where only root may talk to the engine."""
    if os.geteuid() == 0 or succeeds(["docker", "info"]):
        return ("docker",)
    return ("sudo", "docker")


def docker(*arguments: str, stdin: bytes | None = None, timeout: float | None = None) -> str:
    """Run the engine's client and return its stdout. Raises SandboxError when it fails."""
    return run([*docker_command(), *arguments], stdin=stdin, timeout=timeout)


def exists(kind: str, name: str) -> bool:
    """Tell whether the engine has such an object; `kind` is container, image, network or volume."""
    return succeeds([*docker_command(), kind, "inspect", name])


def ensure() -> None:
    """See to it that an engine answers and that its client knows Compose v2."""
    if not shutil.which("docker") or _client_without_engine():
        apt.install("docker.io")
        docker_command.cache_clear()
    if not _answers():
        _start()
    if not succeeds([*docker_command(), "compose", "version"]):
        _install_compose()


def _answers() -> bool:
    if succeeds(["docker", "info"]):
        return True
    return os.geteuid() != 0 and bool(shutil.which("sudo")) and succeeds(["sudo", "docker", "info"])


def _have_daemon() -> bool:
    return bool(shutil.which("dockerd")) or os.path.exists("/usr/sbin/dockerd")


def _endpoint() -> str:
    """Return where the client looks for its engine: by DOCKER_HOST, else by its current context."""
    return run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]).strip()


def _client_without_engine() -> bool:
    """Tell whether the client here looks for a local engine that was never there: one is installed over nobody's."""
    if _have_daemon() or os.path.lexists(LOCAL_ENDPOINT.removeprefix("unix://")):
        return False
    return _endpoint() == LOCAL_ENDPOINT


def _start() -> None:
    """Start an installed engine: through systemd where it runs, else as a process with a session of its own."""
    if not _have_daemon():
        raise SandboxError(
            f"the docker client here looks for its engine at {_endpoint()}, and none answers there: start that engine"
        )
    with step("start the Docker Engine"):
        if os.path.isdir("/run/systemd/system"):
            run(as_root(["systemctl", "start", "docker"]), timeout=START_SECONDS)
        else:
            _start_daemon()
        deadline = time.monotonic() + START_SECONDS
        while not _answers():
            if time.monotonic() > deadline:
                raise SandboxError(f"the engine does not answer after {START_SECONDS:.0f} s; see {_log()}")
            time.sleep(0.3)
        docker_command.cache_clear()


def _log() -> str:
    return str(cache_dir() / "dockerd.log")


def _pid_file() -> str:
    return str(cache_dir() / "dockerd.pid")


def _start_daemon() -> None:
    cache_dir().mkdir(parents=True, exist_ok=True)
    # /run/docker.pid of an engine that was killed would stop the next one from starting.
    with open(_log(), "ab") as log:
        process = subprocess.Popen(
            as_root(["dockerd"]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
    with open(_pid_file(), "w", encoding="ascii") as file:
        file.write(f"{process.pid}\n")


def stop_own() -> None:
    """Stop the engine if the sandbox started it as a process and nobody else's containers run on it."""
    try:
        with open(_pid_file(), encoding="ascii") as file:
            pid = int(file.read())
    except FileNotFoundError:
        return
    if _answers() and docker("ps", "--quiet").strip():
        say("the engine that the sandbox started goes on: containers run on it that are not the sandbox's")
        return
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        still_ours = b"dockerd" in file.read()
    if still_ours:
        with step("stop the Docker Engine"):
            run(as_root(["kill", str(pid)]))
    os.unlink(_pid_file())


def _install_compose() -> None:
    """Install Compose v2: the distribution's package, else those of the first Debian that has one."""
    for package in ("docker-compose-v2", "docker-compose"):
        version = run(["apt-cache", "policy", package])
        if "Candidate: 2." in version:
            apt.install(package)
            return
    apt.install(*(str(path) for path in apt.fetch(COMPOSE_SUITE, *COMPOSE_PACKAGES)))
    run([*docker_command(), "compose", "version"])


def ensure_network() -> None:
    """Make the network that the hosts and the stand-in providers share, unless it is there."""
    if not exists("network", NETWORK):
        docker("network", "create", "--label", label(), "--subnet", SUBNET, NETWORK)


def network_in_use() -> bool:
    """Tell whether any container is attached to the hosts' network."""
    return docker("network", "inspect", "-f", "{{len .Containers}}", NETWORK).strip() != "0"
