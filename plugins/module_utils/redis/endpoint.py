# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the Redis of a container listens and how to log in, from what the engine says about it (`docker inspect`).

No password is put into a message; each login only names where it was found.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils import atomic_file
from ansible_collections.smallhost.headroom.plugins.module_utils.redis import conf as redis_conf
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import Endpoint, Login

DEFAULT_PORT = 6379

# Names under which published compose files hand the password to the server; the official image itself knows none.
_PASSWORD_NAMES = re.compile(
    r"^(?:REDIS|VALKEY|KEYDB|REDISCLI|VALKEYCLI)?_?(?:PASSWORD|PASS|AUTH|REQUIREPASS)(_FILE)?$"
)
_PASSWORD_WORDS = re.compile(r"^(?:REDIS|VALKEY|KEYDB)\w*(?:PASSWORD|PASS|AUTH)\w*?(_FILE)?$")
_USER_NAMES = ("REDIS_USERNAME", "REDIS_USER", "VALKEY_USERNAME")
_VARIABLE = re.compile(r"\$(?:\{(\w+)(?::?-([^}]*))?\}|(\w+))")


@dataclass(frozen=True)
class Surroundings:
    """What a running server was started with: flags of its command line over the directives of its file."""

    flags: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict, repr=False)
    conf: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def last(self, name: str) -> list[str] | None:
        """The arguments in force of a directive, shell variables expanded from the container's environment."""
        found = self.in_force(name)
        return found[0] if found else None

    def in_force(self, name: str) -> list[list[str]]:
        """The arguments in force of a directive, in each way in which they may be meant: see `every`."""
        found = [self._meant(place, words) for place in (self.conf, self.flags) for words in place.get(name, ())]
        return found[-1] if found else []

    def every(self, name: str) -> list[list[str]]:
        """The arguments of each occurrence of a directive.

        Flags with variables that the container has are there twice, expanded and as they stand: whether a shell has
        filled them in is not known here, and in a password $ may be a letter.
        """
        return [
            meant
            for place in (self.conf, self.flags)
            for words in place.get(name, ())
            for meant in self._meant(place, words)
        ]

    def _meant(self, place: Mapping[str, Any], words: Sequence[str]) -> list[list[str]]:
        named = {m[1] or m[3] for word in words for m in _VARIABLE.finditer(word) if m[2] is None}
        if place is self.conf or not named <= set(self.environment):
            return [list(words)]
        expanded = [expand(word, self.environment) for word in words]
        return [expanded] if expanded == list(words) else [expanded, list(words)]

    def number(self, name: str, default: int) -> int:
        """A directive's number, for example the port."""
        found = self.last(name)
        return int(found[0]) if found and found[0].isdigit() else default

    @property
    def config_command(self) -> str:
        """What CONFIG is called here (`rename-command`); an empty name means that it is disabled."""
        for words in self.every("rename-command"):
            if len(words) == 2 and words[0].upper() == "CONFIG":
                return words[1]
        return "CONFIG"


def expand(word: str, environment: Mapping[str, str]) -> str:
    """`$NAME`, `${NAME}` and `${NAME:-default}` as the container's shell would fill them in."""
    return _VARIABLE.sub(lambda m: environment.get(m[1] or m[3]) or m[2] or "", word.replace("$$", "$"))


def environment(inspected: Mapping[str, Any]) -> dict[str, str]:
    """The container's environment."""
    pairs = (entry.partition("=") for entry in inspected["Config"].get("Env") or [])
    return {name: value for name, _equals, value in pairs}


def inside(inspected: Mapping[str, Any], path: str, proc: str = "/proc") -> str:
    """The path on this host of a file in a running container."""
    return os.path.join(proc, str(inspected["State"].get("Pid") or 0), "root", path.lstrip("/"))


def mounted_from(inspected: Mapping[str, Any], path: str) -> tuple[str, bool] | None:
    """The host's path behind a file that is mounted into the container, and whether the file itself is the mount.

    None where the file lies in the image or in the container's own layer. A volume's path is the engine's own.
    """
    best: Mapping[str, Any] | None = None
    for mount in inspected.get("Mounts") or []:
        place = mount["Destination"].rstrip("/")
        covers = path == place or path.startswith(place + "/")
        if covers and (best is None or len(place) > len(best["Destination"].rstrip("/"))):
            best = mount
    if best is None or best.get("Type") not in ("bind", "volume") or not best.get("Source"):
        return None
    rest = path[len(best["Destination"].rstrip("/")) :]
    return best["Source"] + rest, not rest


def endpoints(inspected: Mapping[str, Any], around: Surroundings, tls_options: Mapping[str, Any]) -> list[Endpoint]:
    """Where to try, the likeliest first: its addresses on Docker's networks, what it publishes, its own loopback.

    The last works for any network (none, another container's, bound to loopback only), but takes root.
    """
    tls_port = around.number("tls-port", 0)
    plain = around.number("port", DEFAULT_PORT)
    port, tls = (plain, False) if plain else (tls_port, True)
    found: list[Endpoint] = []
    socket = around.last("unixsocket")
    pid = int(inspected["State"].get("Pid") or 0)
    if port:
        network = inspected.get("NetworkSettings") or {}
        for entry in (network.get("Networks") or {}).values():
            address = entry.get("IPAddress") or entry.get("GlobalIPv6Address")
            if address:
                found.append(Endpoint(address, port, tls=tls, tls_options=tls_options))
        for binding in (network.get("Ports") or {}).get(f"{port}/tcp") or []:
            host = binding.get("HostIp") or ""
            host = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host
            found.append(Endpoint(host, int(binding["HostPort"]), tls=tls, tls_options=tls_options))
        if inspected["HostConfig"].get("NetworkMode") == "host":
            found.append(Endpoint("127.0.0.1", port, tls=tls, tls_options=tls_options))
        elif pid:
            found.append(Endpoint("127.0.0.1", port, namespace_pid=pid, tls=tls, tls_options=tls_options))
    if socket and socket[0] and pid:
        found.append(Endpoint(unix_socket=inside(inspected, socket[0])))
    return found


def logins(inspected: Mapping[str, Any], around: Surroundings, username: str | None = None) -> list[Login]:
    """The logins that the container's own settings hold, then none. `username` overrides the found one."""
    env = around.environment
    user = username or next((env[name] for name in _USER_NAMES if env.get(name)), None)
    found: list[Login] = []
    for words in around.in_force("requirepass"):
        if words and words[0]:
            found.append(Login(words[0], None, "the server's requirepass"))
    for words in around.every("user"):
        for rule in words[1:]:
            if rule.startswith(">") and username in (None, words[0]):
                found.append(Login(rule[1:], words[0], f"the ACL user {words[0]}"))
    for name, value in sorted(env.items()):
        match = _PASSWORD_NAMES.match(name) or _PASSWORD_WORDS.match(name)
        if not match or not value:
            continue
        password = _secret(inspected, value) if match[1] else value
        if password:
            found += [Login(password, one, f"the environment's {name}") for one in dict.fromkeys((user, None))]
    for name, path in _secrets(inspected):
        password = _secret(inspected, path)
        if password:
            found.append(Login(password, user, f"the secret {name}"))
    return [*dict.fromkeys(found), Login()]


def _secrets(inspected: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Mounted secrets whose name speaks of a password."""
    places = [mount["Destination"] for mount in inspected.get("Mounts") or []]
    return [
        (os.path.basename(place), place)
        for place in places
        if place.startswith("/run/secrets/") and re.search(r"redis|valkey|pass", place, re.I)
    ]


def _secret(inspected: Mapping[str, Any], path: str) -> str | None:
    data = _read(inspected, path)
    return data.decode("utf-8", "surrogateescape").strip("\r\n") if data else None


def _read(inspected: Mapping[str, Any], path: str) -> bytes | None:
    mounted = mounted_from(inspected, path)
    for place in (mounted[0] if mounted else None, inside(inspected, path)):
        try:
            data = atomic_file.read(place) if place else None
        except OSError:
            data = None
        if data is not None:
            return data
    return None


def read_conf(inspected: Mapping[str, Any], path: str) -> dict[str, list[list[str]]]:
    """The directives of a configuration file in the container; empty where it cannot be read."""
    data = _read(inspected, path)
    try:
        return redis_conf.directives(data) if data else {}
    except redis_conf.ConfError:
        return {}
