# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asking a running stack again and again, each source in a thread of its own: one that hangs holds nobody up.

Threads, because a hung server must not stop the watch (its silence is a finding), and because entering a container's
network namespace (setns) changes the calling thread only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project as compose_project
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import endpoint as redis_endpoint
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import place as redis_place
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import queues as redis_queues
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import http_probe
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import readings as watch_readings

PROBE_INTERVAL = 0.5  # seconds; 120 answers a minute, of which a slow service shows in ten: 5 s
_REDIS_PATIENCE = 2.0  # seconds to wait for a server that loads its data, before asking again
_RELOOK = 10  # readings between two searches for RQ in a server's databases


class Poller(threading.Thread):
    """Calls `read` every `interval` seconds until `stop`. An exception is kept as `error` and the next call is made."""

    def __init__(self, read: Callable[[], Any], interval: float, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._read, self._interval = read, interval
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._fresh: list[Any] = []
        self._arrived = threading.Event()
        self.error: str | None = None

    def run(self) -> None:
        """The thread's work."""
        following = time.monotonic()
        while not self._stopped.is_set():
            try:
                value = self._read()
            except Exception as error:  # whatever it is, the watch goes on and says that this source is silent
                self.error = " ".join(str(error).split()) or type(error).__name__
            else:
                with self._lock:
                    self._fresh.append(value)
                self.error = None
                self._arrived.set()
            # A slow answer delays the next question; it is not made up for with a burst.
            following = max(following + self._interval, time.monotonic())
            self._stopped.wait(following - time.monotonic())

    def take(self) -> list[Any]:
        """The values read since the last call."""
        with self._lock:
            values, self._fresh = self._fresh, []
        return values

    def wait(self, seconds: float) -> None:
        """Wait for a value, at most so long."""
        self._arrived.wait(max(0.0, seconds))
        self._arrived.clear()

    def stop(self) -> None:
        """Ask no more after the present question."""
        self._stopped.set()


class EngineSource:
    """Containers of a project and the engine's events about them. `containers` holds the latest ones."""

    def __init__(self, engine: docker_engine.Engine, project: str) -> None:
        self._engine, self._project = engine, project
        self._since = time.time()
        self.containers: list[docker_engine.Container] = []

    def read(self) -> dict[str, Any]:
        """{"containers": readings, "events": events since the last reading}. Raises EngineError."""
        since, until = self._since, time.time()
        # Events first: what ended after them is still seen by the next reading, with its event.
        events = self._events(since, until)
        listed = self._engine.containers(self._project)
        self.containers = [one for one in listed if one.labels.get(compose_project.LABEL_ONE_OFF) != "True"]
        self._since = until
        shots = watch_readings.one_shots(self.containers)
        now = time.time()
        readings = [
            watch_readings.container_reading(container, container.service in shots, now)
            for container in self.containers
        ]
        return {"containers": readings, "events": events}

    def _events(self, since: float, until: float) -> list[dict[str, Any]]:
        filters = {
            "type": ["container"],
            "event": ["die", "oom"],
            "label": [f"{compose_project.LABEL_PROJECT}={self._project}"],
        }
        return [watch_readings.event(raw, since) for raw in self._engine.events(since, until, filters)]


class RedisSource:
    """One Redis of the project, connected to anew whenever it went away."""

    def __init__(self, wanted: Mapping[str, Any], engine: docker_engine.Engine, containers: EngineSource) -> None:
        self.service = str(wanted["service"])
        self._wanted, self._engine, self._source = wanted, engine, containers
        self._server: redis_server.Server | None = None
        self._purpose, self._database, self._readings = "", 0, 0

    def read(self) -> dict[str, Any]:
        """See `watch_readings.redis_reading`. Raises RedisError or what redis-py raises."""
        try:
            server = self._server = self._server or self._connect()
            info = server.refresh()
            if self._readings % _RELOOK == 0:
                self._database = _rq_database(server)
            self._readings += 1
            return watch_readings.redis_reading(server, info, self.service, self._purpose)
        except Exception:
            if self._server is not None:
                self._server.close()
            self._server, self._readings = None, 0
            raise

    def _connect(self) -> redis_server.Server:
        mine = [one for one in self._source.containers if one.service == self.service and one.running]
        if not mine:
            raise redis_server.RedisError(f"the service {self.service} does not run")
        container = docker_engine.newest_first(mine)[0]
        around = redis_place.surroundings(container.data)
        inspected = redis_place.with_borrowed_network(container.data, self._engine.inspect)
        # The certificate of a server that is reached by its container's address cannot have that name.
        tls = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
        server = redis_server.connect(
            redis_endpoint.endpoints(inspected, around, tls), self._logins(container, around), _REDIS_PATIENCE
        )
        self._purpose = self._purpose or self._look(server)
        return server

    def _logins(self, container: docker_engine.Container, around: Any) -> list[redis_server.Login]:
        given, user = self._wanted.get("password"), self._wanted.get("username")
        if given is not None:
            return [redis_server.Login(given, user, "the given password")]
        return redis_endpoint.logins(container.data, around, user)

    def _look(self, server: redis_server.Server) -> str:
        if self._wanted["purpose"] != "auto":
            return str(self._wanted["purpose"])
        purpose = redis_queues.look(server).purpose
        if purpose == "empty":
            # Nobody evicts everything from a queue on purpose; anything else may become one.
            return "cache" if str(server.info.get("maxmemory_policy", "")).startswith("allkeys") else "queue"
        return purpose


def _rq_database(server: redis_server.Server) -> int:
    """Select the first database that has RQ's keys; 0 where none has."""
    for database in [*sorted(server.keyspace()), 0]:
        server.run("SELECT", database)
        if server.run("EXISTS", "rq:workers", "rq:queues"):
            return database
    return 0


class ProbeSource:
    """One HTTP probe of a service. `begin` is the monotonic time from which answers are counted."""

    def __init__(self, wanted: Mapping[str, Any], containers: EngineSource, begin: float) -> None:
        self.service, self.url = str(wanted["service"]), str(wanted["url"])
        self._timeout = float(wanted["timeout"])
        self._source, self._begin = containers, begin

    def read(self) -> dict[str, Any]:
        """See `watch_latency` for an answer's form."""
        at = time.monotonic() - self._begin
        answer = http_probe.ask(self.url, self._timeout, address(self.url, self.service, self._source.containers))
        return {"service": self.service, "url": self.url, "at": round(at, 3), **answer}


def address(url: str, service: str, containers: Sequence[docker_engine.Container]) -> str | None:
    """Where to connect when the URL names the service itself, as in http://api:8000/: its container's address."""
    if urlsplit(url).hostname != service:
        return None
    for container in containers:
        if container.service == service and container.running:
            networks = (container.data.get("NetworkSettings") or {}).get("Networks") or {}
            found = [entry["IPAddress"] for entry in networks.values() if entry.get("IPAddress")]
            return found[0] if found else "127.0.0.1"
    return None
