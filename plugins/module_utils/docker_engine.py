# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Containers of this host's Docker engine, through its API (docs.docker.com/reference/api/engine)."""

from __future__ import annotations

import base64
import calendar
import fnmatch
import http.client
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from ansible_collections.smallhost.headroom.plugins.module_utils import cgroup, unix_http

DEFAULT_HOST = "unix:///var/run/docker.sock"
_TIMEOUT_SECONDS = 60
_DEFAULT_PERIOD = 100_000  # microseconds, the kernel's default of cpu.cfs_period_us

# The largest limit the kernel takes, LLONG_MAX rounded down to a page: cgroup v1 shows it, and v2 shows "max", for a
# container without a limit. The engine has no request for "no limit any more" (0 means "leave it", -1 is refused).
UNLIMITED = 9_223_372_036_854_771_712
# Bytes: the smallest that the engine takes (moby daemon_unix.go) and a page, which is nobody's own choice.
_NO_RESERVATION = 6 * 1024 * 1024 + 4096

# Keys of HostConfig that `update` sets and that an undo has to know.
LIVE_KEYS = ("Memory", "MemorySwap", "MemoryReservation", "NanoCpus", "CpuQuota", "CpuPeriod", "PidsLimit")


class EngineError(Exception):
    """The engine cannot be asked, or refused what it was asked for."""


@dataclass(frozen=True)
class Container:
    """One container as the engine describes it (`docker inspect`)."""

    data: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The full id."""
        return str(self.data["Id"])

    @property
    def name(self) -> str:
        """The name without the leading slash."""
        return str(self.data["Name"]).lstrip("/")

    @property
    def labels(self) -> Mapping[str, str]:
        """The container's labels."""
        return self.data["Config"].get("Labels") or {}

    @property
    def service(self) -> str:
        """The Compose service, or an empty string."""
        return self.labels.get("com.docker.compose.service", "")

    @property
    def project(self) -> str:
        """The Compose project, or an empty string."""
        return self.labels.get("com.docker.compose.project", "")

    @property
    def passing(self) -> bool:
        """Whether it is none of a service's lasting containers: one of `docker compose run`, or being removed."""
        state = self.data["State"].get("Status")
        return self.labels.get("com.docker.compose.oneoff") == "True" or state in ("removing", "dead")

    @property
    def running(self) -> bool:
        """Whether its main process runs (a paused container runs)."""
        return bool(self.data["State"].get("Running"))

    @property
    def pid(self) -> int:
        """The main process as the host counts; 0 where the container does not run."""
        return int(self.data["State"].get("Pid") or 0)

    @property
    def started(self) -> float:
        """When its main process was started (`2026-01-31T10:20:30.123456789Z`), in seconds since 1970; 0.0 for none."""
        text = str(self.data["State"].get("StartedAt") or "")
        try:
            return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
        except ValueError:
            return 0.0

    @property
    def restarts(self) -> int:
        """How often the engine has restarted it by its restart policy."""
        return int(self.data.get("RestartCount") or 0)

    @property
    def health(self) -> str | None:
        """healthy, unhealthy or starting; None without a health check."""
        return (self.data["State"].get("Health") or {}).get("Status")

    @property
    def stop_timeout(self) -> int | None:
        """Seconds that the engine waits for its end before it kills; None: the engine's own default."""
        return (self.data.get("Config") or {}).get("StopTimeout")

    @property
    def host_config(self) -> Mapping[str, Any]:
        """What the engine was asked for: limits, network mode, restart policy."""
        return self.data["HostConfig"]

    @property
    def argv(self) -> list[str]:
        """The main process's command line."""
        return [str(self.data.get("Path") or ""), *(self.data.get("Args") or [])]

    def live(self) -> dict[str, int]:
        """Every limit that `Engine.update` can set. 0: none; for MemorySwap 0 or -1: none."""
        values = {key: int(self.host_config.get(key) or 0) for key in LIVE_KEYS}
        # What `restore_body` sends for "none" counts as none.
        if values["MemoryReservation"] < 0 or values["MemoryReservation"] == _NO_RESERVATION:
            values["MemoryReservation"] = 0
        if values["NanoCpus"] == _no_cpu_limit(len(os.sched_getaffinity(0))):
            values["NanoCpus"] = 0
        return {key: 0 if value >= UNLIMITED else value for key, value in values.items()}

    def limits(self) -> dict[str, int | float | None]:
        """The limits as the engine enforces them: bytes, processors, count; None: no limit."""
        live = self.live()
        cpus: float | None = live["NanoCpus"] / 1e9 if live["NanoCpus"] else None
        if cpus is None and live["CpuQuota"] > 0:
            cpus = live["CpuQuota"] / (live["CpuPeriod"] or _DEFAULT_PERIOD)
        return {
            "memory": live["Memory"] if live["Memory"] > 0 else None,
            "memory_swap": live["MemorySwap"] if live["MemorySwap"] > 0 else None,
            "memory_reservation": live["MemoryReservation"] if live["MemoryReservation"] > 0 else None,
            "cpus": cpus,
            "pids": live["PidsLimit"] if live["PidsLimit"] > 0 else None,
        }

    def memory(self) -> cgroup.Memory | None:
        """The kernel's memory figures, or None for a container that does not run. Raises cgroup.CgroupError."""
        if not self.pid:
            return None
        return cgroup.memory(cgroup.find(self.pid, self.id))


class Engine:
    """The engine behind a socket of this host. Raises EngineError when it is made and none answers."""

    def __init__(self, docker_host: str | None = None) -> None:
        self.host = docker_host or os.environ.get("DOCKER_HOST") or DEFAULT_HOST
        if not self.host.startswith("unix://"):
            raise EngineError(
                f"{self.host} is not a socket of this host. Limits are checked against the kernel's files, "
                "so run the task on the Docker host itself."
            )
        self._path = self.host[len("unix://") :]
        self._prefix = ""
        try:
            headers, _body = unix_http.request(self._path, "GET", "/_ping", timeout=_TIMEOUT_SECONDS)
        except (OSError, unix_http.HttpError) as error:
            raise EngineError(_unreachable(self.host, error)) from error
        # The engine's own version of the API, as the Docker CLI negotiates it.
        version = headers.get("Api-Version")
        self._prefix = f"/v{version}" if version else ""

    def _ask(self, what: str, method: str, url: str, query: Mapping[str, str] | None = None, body: Any = None) -> bytes:
        return self._request(what, method, url, query, body)[1]

    def _request(
        self, what: str, method: str, url: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> tuple[http.client.HTTPMessage, bytes]:
        """Raises unix_http.HttpError for the engine's own refusals, EngineError where it does not answer."""
        try:
            return unix_http.request(self._path, method, self._prefix + url, query, body, _TIMEOUT_SECONDS)
        except OSError as error:
            raise EngineError(f"the Docker engine could not {what}: {error}") from error

    def _list(self, everything: bool, labels: Sequence[str]) -> list[dict[str, Any]]:
        query = {"all": "1" if everything else "0", "filters": json.dumps({"label": list(labels)})}
        try:
            return json.loads(self._ask("list containers", "GET", "/containers/json", query))
        except unix_http.HttpError as error:
            raise EngineError(f"the Docker engine could not list containers: {error}") from error

    def compose_labels(self) -> list[dict[str, str]]:
        """The labels of all Compose containers (stopped ones too, one-off ones not), the newest container first."""
        listed = self._list(True, ["com.docker.compose.project"])
        listed.sort(key=lambda entry: entry.get("Created", 0), reverse=True)
        return [entry["Labels"] for entry in listed if entry["Labels"].get("com.docker.compose.oneoff") != "True"]

    def tags(self, pattern: str) -> list[str]:
        """The tags (`repository:tag`) of images whose repository matches, in order. `*` stands for part of a name."""
        query = {"filters": json.dumps({"reference": [pattern]})}
        try:
            listed = json.loads(self._ask("list images", "GET", "/images/json", query))
        except unix_http.HttpError as error:
            raise EngineError(f"the Docker engine could not list images: {error}") from error
        # The engine answers with all tags of an image that has one that matches (Docker 20.10, not later ones).
        known = {tag for entry in listed for tag in entry.get("RepoTags") or []}
        return sorted(tag for tag in known if fnmatch.fnmatchcase(tag.rpartition(":")[0], pattern))

    def containers(self, project: str | None = None, running_only: bool = False) -> list[Container]:
        """The containers of a project, or of the whole host, by name. One that goes away meanwhile is left out."""
        listed = self._list(not running_only, [f"com.docker.compose.project={project}"] if project else [])
        found = [self.inspect(entry["Id"]) for entry in listed]
        return sorted((entry for entry in found if entry), key=lambda entry: entry.name)

    def _inspect(self, what: str, url: str) -> dict[str, Any] | None:
        try:
            return json.loads(self._ask(f"inspect {what}", "GET", url))
        except unix_http.HttpError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise EngineError(f"the Docker engine could not inspect {what}: {error}") from error

    def inspect(self, container: str) -> Container | None:
        """One container by id or name, or None where there is none (any more)."""
        found = self._inspect(f"container {container[:12]}", f"/containers/{quote(container, safe='')}/json")
        return Container(found) if found else None

    def image(self, name: str) -> dict[str, Any]:
        """`docker image inspect`; empty where the image is gone."""
        return self._inspect(f"image {name}", f"/images/{quote(name, safe='')}/json") or {}

    def path_stat(self, container: Container, path: str) -> dict[str, Any] | None:
        """What a container has under a path (name, size, mode, linkTarget), or None; nothing runs in it for that."""
        url = f"/containers/{container.id}/archive"
        try:
            headers, _body = self._request(f"look into {container.name}", "HEAD", url, {"path": path})
        except unix_http.HttpError as error:
            if error.status == http.HTTPStatus.NOT_FOUND:
                return None
            raise EngineError(f"the Docker engine could not look at {path} in {container.name}: {error}") from error
        return json.loads(base64.b64decode(headers.get("X-Docker-Container-Path-Stat") or "e30="))

    def events(self, since: float, until: float, filters: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
        """The engine's events between two times (seconds since the epoch; `until` has passed), oldest first."""
        query = {"since": f"{since:.6f}", "until": f"{until:.6f}", "filters": json.dumps(filters)}
        try:
            lines = self._ask("list events", "GET", "/events", query).splitlines()
        except unix_http.HttpError as error:
            raise EngineError(f"the Docker engine could not list events: {error}") from error
        return [json.loads(line) for line in lines if line.strip()]

    def update(self, container: Container, values: Mapping[str, int]) -> list[str]:
        """Set limits of one container in one call; returns the engine's warnings. `values`: see `update_body`."""
        body = dict(values)
        try:
            answer = self._ask("update", "POST", f"/containers/{container.id}/update", body=body)
        except unix_http.HttpError as error:
            raise EngineError(f"the engine refused {body} for container {container.name}: {error}") from error
        return list(json.loads(answer).get("Warnings") or [])


def update_body(container: Container, wanted: Mapping[str, int | float | None]) -> dict[str, int]:
    """What has to be sent so that the container gets `wanted`; empty where it has it already.

    `wanted` holds memory, memory_swap, memory_reservation (bytes), cpus (processors), pids; None or a missing key:
    leave it. memory always goes together with memory+swap: the engine refuses one without the other for a container
    that has no limit yet, and for one that grows past its old sum (moby#47874).
    A container that was given a CPU quota keeps that form: the engine refuses NanoCpus beside CpuQuota.
    """
    live = container.live()
    body: dict[str, int] = {}
    memory, swap = wanted.get("memory"), wanted.get("memory_swap")
    if memory is not None:
        pair = {"Memory": int(memory), "MemorySwap": int(memory if swap is None else swap)}
        if any(live[key] != value for key, value in pair.items()):
            body.update(pair)
    reservation, pids, cpus = wanted.get("memory_reservation"), wanted.get("pids"), wanted.get("cpus")
    if reservation is not None and live["MemoryReservation"] != reservation:
        body["MemoryReservation"] = int(reservation)
    if pids is not None and not _same_pids(live["PidsLimit"], int(pids)):
        body["PidsLimit"] = int(pids)
    if cpus is not None:
        body.update(_cpu_body(live, float(cpus)))
    return body


def _same_pids(live: int, wanted: int) -> bool:
    """0 and -1 both mean: no limit."""
    return live == wanted or (live <= 0 and wanted <= 0)


def _cpu_body(live: Mapping[str, int], cpus: float) -> dict[str, int]:
    if live["CpuQuota"] > 0 and not live["NanoCpus"]:
        period = live["CpuPeriod"] or _DEFAULT_PERIOD
        quota = round(cpus * period)
        return {} if live["CpuQuota"] == quota else {"CpuQuota": quota, "CpuPeriod": period}
    nano = round(cpus * 1e9)
    return {} if live["NanoCpus"] == nano else {"NanoCpus": nano}


def _no_cpu_limit(processors: int) -> int:
    """NanoCpus that mean "none". All processors are the most that the engine takes (moby daemon_unix.go), and may be
    somebody's own limit: one billionth less is nobody's, so it can be told from that.
    """
    return processors * 1_000_000_000 - 1


def restore_body(container: Container, before: Mapping[str, int], version: int, processors: int) -> dict[str, int]:
    """What has to be sent so that a container has the limits of an earlier `Container.live()` again.

    `version` is that of the host's cgroups, `processors` how many the host has: the engine cannot take a limit away,
    so "none" is spelled as the largest one that means nothing.
    """
    live = container.live()
    body: dict[str, int] = {}
    if any(live[key] != before[key] for key in ("Memory", "MemorySwap")):
        memory = before["Memory"] or UNLIMITED
        endless = UNLIMITED if version == 1 else -1
        body.update(Memory=memory, MemorySwap=before["MemorySwap"] if before["MemorySwap"] > 0 else endless)
    if live["MemoryReservation"] != before["MemoryReservation"]:
        none = -1 if version == 1 else _NO_RESERVATION
        body["MemoryReservation"] = before["MemoryReservation"] if before["MemoryReservation"] > 0 else none
    if not _same_pids(live["PidsLimit"], before["PidsLimit"]):
        body["PidsLimit"] = before["PidsLimit"]
    if live["NanoCpus"] != before["NanoCpus"]:
        body["NanoCpus"] = before["NanoCpus"] or _no_cpu_limit(processors)
    elif live["CpuQuota"] != before["CpuQuota"]:
        body.update(CpuQuota=before["CpuQuota"] or -1, CpuPeriod=before["CpuPeriod"] or _DEFAULT_PERIOD)
    return body


def without_swap(body: Mapping[str, int]) -> dict[str, int]:
    """The same request for a kernel that keeps no account of swap (the engine would only warn and ignore it)."""
    return {key: value for key, value in body.items() if key != "MemorySwap"}


def newest_first(containers: Iterable[Container]) -> list[Container]:
    """By time of creation, the newest first."""
    return sorted(containers, key=lambda entry: str(entry.data.get("Created", "")), reverse=True)


def _unreachable(host: str, error: Exception) -> str:
    path = host[len("unix://") :]
    words = str(error)
    if "Permission denied" in words or (os.path.exists(path) and not os.access(path, os.W_OK)):
        return f"no permission to talk to the Docker engine at {host}. Use become, or a user of the docker group."
    return (
        f"the Docker engine does not answer at {host}. Is it running (systemctl status docker)? "
        f"Nothing was changed. ({words[:200]})"
    )
