# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find the Redis that a task means: a service of a Compose project, a container, or an address."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file, cgroup, docker_engine, project_task
from ansible_collections.smallhost.headroom.plugins.module_utils.compose import project as compose_project
from ansible_collections.smallhost.headroom.plugins.module_utils.compose.command import CommandError, CommandLine
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import conf as redis_conf
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import endpoint as redis_endpoint
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import server as redis_server
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import values as redis_values
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.endpoint import Surroundings
from ansible_collections.smallhost.headroom.plugins.module_utils.units import parse_compose_size

LONE_SCOPE = "_redis"  # the journal of servers that belong to no project
PROGRAM = "redis-server"


@dataclass(frozen=True)
class Home:
    """The Compose service that a container is of: its files make a setting last. No container: it does not run."""

    project: compose_project.Project
    service: str
    container: docker_engine.Container | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """What the running container was made with (`Config` of docker inspect)."""
        return self.container.data["Config"] if self.container else {}


@dataclass
class Place:
    """Where the server is, before it is connected to. `scope` and `key` name it in the undo journal."""

    scope: str
    key: str
    endpoints: list[redis_server.Endpoint]
    logins: list[redis_server.Login]
    around: Surroundings = field(default_factory=Surroundings)
    container: docker_engine.Container | None = None
    home: Home | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether there is no server to connect to, only its service's files."""
        return self.home is not None and self.home.container is None

    @property
    def local(self) -> bool:
        """Whether the server is on this host."""
        if self.container is not None:
            return True
        return all(e.unix_socket or e.host in ("127.0.0.1", "localhost", "::1") for e in self.endpoints)

    def secrets(self) -> set[str]:
        """Every password that is known here, so that it can be kept out of all output."""
        found = {login.password for login in self.logins if login.password}
        for name in redis_values.SECRETS:
            found.update(word for words in self.around.every(name) for word in words if word)
        for words in self.around.every("user"):
            found.update(rule[1:] for rule in words if rule[:1] == ">" and rule[1:])
        return found


def find(params: Mapping[str, Any], filed: bool = False) -> Place:
    """Find the server. `filed`: it has been once, so that its service may have left the project meanwhile.

    Raises ProjectError, EngineError, RedisError.
    """
    place = _find(params, filed)
    # A password that the task sets itself is known nowhere else afterwards, and to nobody before.
    for entry in params.get("settings") or ():
        password = redis_values.text_of(entry["value"])
        if entry["name"].lower() == "requirepass" and password:
            place.logins += [redis_server.Login(password, None, "the requirepass of settings"), redis_server.Login()]
    return place


def _find(params: Mapping[str, Any], filed: bool) -> Place:
    if params["compose"]:
        return _of_service(params, params["compose"], filed)
    if params["container"]:
        return _of_container(params)
    endpoint = redis_server.Endpoint(
        params["host"], params["port"], params["unix_socket"], tls=params["tls"], tls_options=_tls(params)
    )
    return Place(LONE_SCOPE, str(endpoint), [endpoint], _given(params) or [redis_server.Login()])


def _given(params: Mapping[str, Any]) -> list[redis_server.Login]:
    if params["password"] is None:
        return []
    return [redis_server.Login(params["password"], params["username"], "the given password")]


def _tls(params: Mapping[str, Any], by_name: bool = True) -> dict[str, Any]:
    """Options of redis-py. `by_name`: the operator named the server, so its certificate can be held to that."""
    check = bool(params["validate_certs"])
    options = {
        "ssl_cert_reqs": "required" if check else "none",
        "ssl_check_hostname": check and by_name,
        "ssl_ca_certs": params["ca_certs"],
        "ssl_certfile": params["client_cert"],
        "ssl_keyfile": params["client_key"],
    }
    return {name: value for name, value in options.items() if value is not None}


def _of_service(params: Mapping[str, Any], wanted: Mapping[str, Any], filed: bool) -> Place:
    engine = docker_engine.Engine(wanted["docker_host"])
    project = project_task.find_project(wanted, engine)
    service = wanted["service"]
    if not filed:
        project.require([service])
    mine = [entry for entry in engine.containers(project.name, running_only=True) if entry.service == service]
    mine = [entry for entry in docker_engine.newest_first(mine) if entry.running]
    if not mine and params.get("state") == "absent":
        # A server that no longer starts must not stand in the way of taking back what it was given.
        said = f"{service} does not run: its files are put back, and it has its previous values once it is started."
        return Place(project.name, service, [], [], home=Home(project, service), warnings=[*project.warnings, said])
    if not mine:
        raise redis_server.RedisError(
            f"the service {service} of {project.name} does not run, so what it holds is not known. Nothing was "
            "changed. "
            "Start it first."
        )
    place = _described(params, engine, mine[0])
    place.scope, place.key, place.home = project.name, service, Home(project, service, mine[0])
    place.warnings += project.warnings
    if len(mine) > 1:
        place.warnings.append(f"{service} has {len(mine)} containers; only {mine[0].name} was looked at and set live.")
    return place


def _of_container(params: Mapping[str, Any]) -> Place:
    engine = docker_engine.Engine(None)
    container = engine.inspect(params["container"])
    if container is None or not container.running:
        state = "is not running" if container else "does not exist"
        raise redis_server.RedisError(f"the container {params['container']} {state}. Nothing was changed.")
    place = _described(params, engine, container)
    folder = container.labels.get(compose_project.LABEL_FOLDER)
    if not (container.project and container.service and folder):
        return place
    try:
        project = compose_project.discover(folder, (), container.project, labels=engine.compose_labels())
        project.require([container.service])
    except compose_project.ProjectError as error:
        place.warnings.append(f"the compose project of {container.name} cannot be used: {error}")
        return place
    place.scope, place.key = container.project, container.service
    place.home = Home(project, container.service, container)
    return place


def _described(params: Mapping[str, Any], engine: docker_engine.Engine, container: docker_engine.Container) -> Place:
    around = surroundings(container.data)
    inspected = with_borrowed_network(container.data, engine.inspect)
    return Place(
        scope=LONE_SCOPE,
        key=container.name,
        endpoints=redis_endpoint.endpoints(inspected, around, _tls(params, by_name=False)),
        logins=_given(params) or redis_endpoint.logins(container.data, around, params["username"]),
        around=around,
        container=container,
    )


def with_borrowed_network(
    inspected: Mapping[str, Any], inspect: Callable[[str], docker_engine.Container | None]
) -> Mapping[str, Any]:
    """The container as inspected, with the addresses of the one whose network it shares (network_mode: service:...)."""
    mode = str(inspected["HostConfig"].get("NetworkMode") or "")
    if not mode.startswith("container:"):
        return inspected
    other = inspect(mode.partition(":")[2])
    return inspected if other is None else {**inspected, "NetworkSettings": other.data.get("NetworkSettings")}


def surroundings(inspected: Mapping[str, Any]) -> Surroundings:
    """Flags, configuration file and environment that the running container was started with."""
    flags, path = command_flags(inspected)
    conf = redis_endpoint.read_conf(inspected, path) if path else {}
    return Surroundings(flags, conf, redis_endpoint.environment(inspected))


def command_flags(inspected: Mapping[str, Any]) -> tuple[dict[str, list[list[str]]], str | None]:
    """The flags of a container's own command line, by directive, and the configuration file that it names."""
    config = inspected["Config"]
    line = parse(config.get("Cmd") or [], config.get("Entrypoint") or [])
    return (flags_of(line), config_path(line)) if line else ({}, None)


def parse(command: str | Iterable[str], entrypoint: Iterable[str]) -> CommandLine | None:
    """The command line of a redis-server or valkey-server; None where it starts something that is not known."""
    value = command if isinstance(command, str) else list(command)
    for program in (PROGRAM, "valkey-server", "keydb-server"):
        try:
            line = CommandLine.parse(value, entrypoint=list(entrypoint), program=program)
        except CommandError:
            continue
        if line.words or program == PROGRAM:
            return line
    return None


def flags_of(line: CommandLine) -> dict[str, list[list[str]]]:
    """Directive to the arguments of each of its flags."""
    found: dict[str, list[list[str]]] = {}
    for name, values in line.flags:
        found.setdefault(name.lstrip("-").lower(), []).append(list(values))
    return found


def config_path(line: CommandLine) -> str | None:
    """The configuration file that the command line names."""
    return next((word for word in line.positionals if word != "-"), None)


def conf_on_this_host(place: Place, path: str | None, info: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Where a server's configuration file is on this host, and whether that very file is mounted into the container.

    None where it is not here, is not known to be the server's, or goes with the container. A path through the process
    (/proc/PID/root) will not do for writing: resolved, it is one of the host's own, and the process does not stay.
    """
    if not path:
        return None
    if place.container is None:
        return (path, False) if place.local and _is_the_servers(path, info) else None
    mounted = redis_endpoint.mounted_from(place.container.data, path)
    return mounted if mounted and os.path.isfile(mounted[0]) else None


def _is_the_servers(path: str, info: Mapping[str, Any]) -> bool:
    """Whether the server's process sees this host's file at that path: behind a published port it sees another one."""
    pid = redis_server.local_pid(info)
    try:
        return pid is not None and os.path.samefile(f"/proc/{pid}/root{path}", path)
    except OSError:
        return False


def read_local_conf(path: str | None) -> dict[str, list[list[str]]]:
    """The directives of a server's file on this host; empty where it cannot be read."""
    try:
        data = atomic_file.read(path) if path else None
        return redis_conf.directives(data) if data else {}
    except (OSError, redis_conf.ConfError):
        return {}


def memory_limit(place: Place, given: str | None, info: Mapping[str, Any]) -> tuple[int, str]:
    """Bytes that the server may occupy, and whose limit that is."""
    if given:
        return parse_compose_size(given), "the given memory_limit"
    if place.container is not None:
        limit = _container_limit(place.container)
        if limit:
            return limit, f"the container {place.container.name}"
    if not place.local:
        return int(info.get("total_system_memory", 0) or 0), "the server's host"
    return cgroup.host_memory().total, "the host"


def _container_limit(container: docker_engine.Container) -> int:
    try:
        enforced = cgroup.memory(cgroup.find(container.pid, container.id)).limit
    except cgroup.CgroupError:
        enforced = None
    return int(enforced or container.host_config.get("Memory") or 0)
