# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One run over the Docker engine's configuration file: find the engine, decide, write, have it take effect; and back.

dockerd takes some keys over on SIGHUP and the rest at its next start. It is started anew only where that is allowed and
live-restore keeps the containers running meanwhile.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file, docker_engine, unix_http
from ansible_collections.smallhost.headroom.plugins.module_utils.host import daemon, daemon_json
from ansible_collections.smallhost.headroom.plugins.module_utils.host.daemon_json import DaemonJsonError
from ansible_collections.smallhost.headroom.plugins.module_utils.journal import Journal

DEFAULT_FILE = "/etc/docker/daemon.json"
_UNITS = ("docker.service", "snap.docker.dockerd.service")
_RELOAD_SECONDS = 20.0
_START_SECONDS = 180.0
_STEADY_SECONDS = 60.0  # the longest that the engine waits before it starts a container again (moby restartmanager)
_ABSENT = "\0absent"  # in the journal: the key was not in the file


@dataclass
class Daemon:
    """The running engine of this host."""

    pid: int
    argv: list[str]
    unit: str | None
    socket: str
    info: Mapping[str, Any]

    @property
    def identity(self) -> str:
        return daemon.identity(self.pid)

    @property
    def file(self) -> str:
        """The configuration file that it reads."""
        return os.path.realpath(daemon_json.flags(self.argv).get("config-file") or DEFAULT_FILE)

    def around(self) -> daemon_json.Around:
        """What it brings along."""
        limits, status = (
            (atomic_file.read(f"/proc/{self.pid}/{name}") or b"").decode("ascii", "replace")
            for name in ("limits", "status")
        )
        return daemon_json.Around(
            command=daemon_json.flags(self.argv),
            driver=str(self.info.get("LoggingDriver") or ""),
            swarm=(self.info.get("Swarm") or {}).get("LocalNodeState") == "active",
            open_files=daemon_json.open_files(limits, status),
        )

    @property
    def live_restore(self) -> bool:
        """Whether containers outlive the daemon now."""
        return bool(self.info.get("LiveRestoreEnabled"))


def find(pidfile: str, docker_host: str | None) -> Daemon:
    """Raises DaemonError, EngineError where there is no engine of this host, or it does not answer."""
    pid = daemon.read_pid(pidfile, "dockerd")
    if pid is None:
        raise daemon.DaemonError(
            f"no running dockerd is named in {pidfile}. Nothing was changed. Is the engine running (systemctl status "
            "docker)? A rootless or snap engine keeps its pid elsewhere: give `pidfile`."
        )
    engine = docker_engine.Engine(docker_host)
    socket = engine.host[len("unix://") :]
    return Daemon(pid, daemon.argv(pid), daemon.unit_of(pid, _UNITS), socket, _info(socket))


def _info(socket: str) -> dict[str, Any]:
    try:
        return json.loads(unix_http.request(socket, "GET", "/info")[1])
    except (OSError, unix_http.HttpError) as error:
        raise daemon.DaemonError(f"the Docker engine does not answer at {socket}: {error}") from error


def running(docker_host: str | None) -> list[docker_engine.Container]:
    """Every running container."""
    return docker_engine.Engine(docker_host).containers(running_only=True)


def steady(containers: Iterable[docker_engine.Container], now: float) -> list[docker_engine.Container]:
    """Those that do not end by themselves all the time, as a worker does whose name Redis still holds after a boot."""
    return [entry for entry in containers if not entry.restarts or now - entry.started > _STEADY_SECONDS]


def starts(containers: Iterable[docker_engine.Container]) -> dict[str, str]:
    """Id -> time of start."""
    return {entry.id: str(entry.data["State"].get("StartedAt")) for entry in containers}


@dataclass
class Task:
    """One run. `owner` is the key in the journal."""

    params: Mapping[str, Any]
    owner: str
    journal: Journal
    check_mode: bool
    engine: Daemon
    warnings: list[str] = field(default_factory=list)
    reloaded: bool = False
    restarted: bool = False

    # What is waiting for the daemon's next start is kept beside the identity of the daemon that does not have it yet.

    @property
    def _pending_key(self) -> str:
        return f"restart:{self.engine.file}"

    @property
    def pending(self) -> list[str]:
        """Keys that were written and that the running daemon was started before."""
        kept = self.journal.recall(self.owner, self._pending_key)
        return list(kept["keys"]) if kept and kept["daemon"] == self.engine.identity else []

    def expect(self, keys: list[str]) -> None:
        """Keep which keys wait for the next start; none: forget."""
        self.journal.forget(self.owner, self._pending_key)
        if keys:
            self.journal.remember(self.owner, self._pending_key, {"daemon": self.engine.identity, "keys": sorted(keys)})

    def first_values(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """(what was written, what stood there before) of all keys written by this owner."""
        prefix = f"key:{self.engine.file}:"
        kept = {
            key[len(prefix) :]: old for key, old in self.journal.owned(self.owner).items() if key.startswith(prefix)
        }
        written = {name: entry["written"] for name, entry in kept.items()}
        before = {name: entry["before"] for name, entry in kept.items() if entry["before"] != _ABSENT}
        return written, before

    def keep_first(self, names: list[str], current: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
        """File what stood there before this owner's first change, for an undo after somebody else's edit."""
        for name in names:
            key = f"key:{self.engine.file}:{name}"
            first = (self.journal.recall(self.owner, key) or {}).get("before", current.get(name, _ABSENT))
            self.journal.forget(self.owner, key)
            self.journal.remember(self.owner, key, {"before": first, "written": wanted.get(name, _ABSENT)})

    def forget_values(self) -> None:
        """Drop what was filed about single keys."""
        for name in self.first_values()[0]:
            self.journal.forget(self.owner, f"key:{self.engine.file}:{name}")

    # Having it take effect

    def reload(self, live_restore: bool | None) -> None:
        """SIGHUP, then wait until the engine says what it was told about live-restore. Raises DaemonError."""
        os.kill(self.engine.pid, signal.SIGHUP)
        self.reloaded = True
        end = time.monotonic() + _RELOAD_SECONDS
        while live_restore is not None:
            self.engine.info = _info(self.engine.socket)
            if self.engine.live_restore == live_restore:
                return
            if time.monotonic() > end:
                raise daemon.DaemonError(
                    f"dockerd was told to read {self.engine.file} again, and still says live-restore "
                    f"{self.engine.live_restore} after {_RELOAD_SECONDS:.0f} seconds. Its log tells why "
                    "(journalctl -u docker)."
                )
            time.sleep(0.2)

    def require_restartable(self, live_restore: bool) -> None:
        """Raises DaemonError where dockerd cannot be restarted, or containers would not outlive it."""
        if self.engine.unit is None:
            raise daemon.DaemonError(
                "dockerd is not run by a unit of systemd here, so it cannot be restarted. Nothing was changed. Restart "
                "it by hand, with restart: false here."
            )
        count = len(running(self.params["docker_host"]))
        if count and not live_restore:
            raise daemon.DaemonError(
                f"a restart of dockerd would stop {count} containers, since live-restore is not in force. Nothing was "
                "changed. Add live-restore: true to the settings, or set restart: false."
            )

    def restart(self) -> None:
        """Start dockerd anew under its containers. Raises DaemonError where it cannot, or lost one of them."""
        before = starts(steady(running(self.params["docker_host"]), time.time()))
        daemon.systemctl("restart", str(self.engine.unit), seconds=_START_SECONDS)
        self.restarted = True
        self.engine = self._wait()
        after = starts(running(self.params["docker_host"]))
        lost = [key[:12] for key, started in before.items() if after.get(key) != started]
        if lost:
            raise daemon.DaemonError(f"containers did not outlive the restart of dockerd: {', '.join(lost)}.")

    def _wait(self) -> Daemon:
        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                return find(self.params["pidfile"], self.params["docker_host"])
            except (daemon.DaemonError, docker_engine.EngineError):
                if time.monotonic() > end:
                    raise
                time.sleep(0.5)


def validate(data: bytes, path: str, command: list[str], wanted: Mapping[str, Any]) -> str:
    """Have dockerd read the new file, where it knows how to (Docker 23 and later). Returns who has checked it.

    Raises DaemonJsonError with dockerd's own words, DaemonError where dockerd does not answer.
    """
    program = command[0] if os.path.isabs(command[0]) else "dockerd"
    usage = daemon.run([program, "--help"])
    if "--validate" not in usage:
        daemon_json.check(wanted, usage)
        return "names and types against dockerd --help, which has no --validate (Docker 23 and later)"
    with tempfile.TemporaryDirectory(prefix="headroom-") as folder:
        trial = os.path.join(folder, "daemon.json")
        atomic_file.replace(trial, data, mode=0o600)
        # With its own flags, since what stands in both is an error.
        words = [
            word
            for before, word in zip(command, command[1:])
            if not word.startswith("--config-file") and before != "--config-file"
        ]
        checked = subprocess.run(
            [program, *words, "--config-file", trial, "--validate"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    if checked.returncode:
        said = (checked.stderr or checked.stdout).strip().replace(trial, path)
        raise DaemonJsonError(f"dockerd refuses the new {path}: {said[-400:]} Nothing was changed.")
    return "dockerd --validate"
