# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A reading connection to a Redis with nothing but the standard library: an audit comes before anything is installed.

The protocol is RESP2 (redis.io/docs, "Redis serialization protocol specification"). What changes a server goes
through `redis_server`, which needs the Python library redis.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import (
    Endpoint,
    Login,
    RedisError,
    network_of,
)

_SECONDS = 5.0
_LOADING_POLL_SECONDS = 0.25


def _encoded(words: Sequence[Any]) -> bytes:
    parts = [str(word).encode("utf-8", "surrogateescape") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def parse_info(text: str) -> dict[str, Any]:
    """INFO's lines; values stay text, and `db0:keys=1,expires=0` becomes a dictionary of its own."""
    found: dict[str, Any] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if not colon or line.startswith("#"):
            continue
        pairs = [entry.partition("=") for entry in value.split(",")]
        nested = name[:2] == "db" and all(equals for _key, equals, _value in pairs)
        found[name] = {key: number for key, _equals, number in pairs} if nested else value
    return found


class Reader:
    """A connected server; closes with `close`. Raises RedisError with the server's own words."""

    def __init__(self, endpoint: Endpoint, login: Login) -> None:
        """Connect and log in. Raises RedisError, OSError."""
        self.endpoint = endpoint
        self._socket = _connected(endpoint)
        self._stream = self._socket.makefile("rb")
        try:
            if login.password is not None:
                user = [login.username] if login.username else []
                self.run("AUTH", *user, login.password)
            self.info = self.refresh()
        except BaseException:
            self.close()
            raise

    def refresh(self) -> dict[str, Any]:
        """INFO, read anew."""
        self.info = parse_info(self.run("INFO"))
        return self.info

    def run(self, *words: Any) -> Any:
        """One command."""
        answer = self.run_all([words])[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Several commands in one round trip; a refused one gives its exception as its answer."""
        try:
            self._socket.sendall(b"".join(_encoded(words) for words in commands))
            return [self._answer() for _words in commands]
        except OSError as error:
            raise RedisError(f"{self.endpoint} went away: {error}") from error

    def _answer(self) -> Any:
        line = self._stream.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("the connection was closed")
        kind, rest = line[:1], line[1:-2].decode("utf-8", "surrogateescape")
        if kind == b"-":
            return RedisError(f"{self.endpoint}: {rest}")
        if kind == b":":
            return int(rest)
        if kind == b"*":
            return [self._answer() for _index in range(int(rest))] if int(rest) >= 0 else None
        if kind == b"$":
            length = int(rest)
            return self._stream.read(length + 2)[:-2].decode("utf-8", "surrogateescape") if length >= 0 else None
        if kind != b"+":
            raise ConnectionError("this is no Redis")
        return rest

    def keyspace(self) -> dict[int, int]:
        """Database number to number of keys, for all that hold any."""
        return {
            int(name[2:]): int(value["keys"])
            for name, value in self.info.items()
            if isinstance(value, Mapping) and name[2:].isdigit()
        }

    def config_get(self, name: str, command: str = "CONFIG") -> str | None:
        """A parameter's value; None where the server does not know it, or does not tell this user."""
        try:
            found = self.run(command, "GET", name)
        except RedisError:
            return None
        return str(found[1]) if found else None

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(OSError):
            self._stream.close()
            self._socket.close()


def _connected(endpoint: Endpoint) -> socket.socket:
    with network_of(endpoint.namespace_pid):
        if endpoint.unix_socket:
            found = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            found.settimeout(_SECONDS)
            found.connect(endpoint.unix_socket)
            return found
        found = socket.create_connection((endpoint.host, endpoint.port), _SECONDS)
    if not endpoint.tls:
        return found
    # The certificate of a server that is reached by its container's address cannot have that name.
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(found)


def connect(endpoints: Iterable[Endpoint], logins: Sequence[Login], patience: float) -> Reader:
    """Reach the first endpoint that answers, with the first login that it takes.

    Waits up to `patience` seconds for a server that loads its data. Raises RedisError with what each answered.
    """
    failures: list[str] = []
    for endpoint in endpoints:
        for login in logins or [Login()]:
            try:
                server = Reader(endpoint, login)
            except RedisError as error:
                failures.append(f"with {login.source}: {error}")
                continue
            except OSError as error:
                failures.append(f"{endpoint}: {error}")
                break
            _wait_until_loaded(server, patience)
            return server
    raise RedisError("Redis cannot be reached: " + "; ".join(dict.fromkeys(failures) or ["no address is known"]))


def _wait_until_loaded(server: Reader, patience: float) -> None:
    end = time.monotonic() + patience
    while server.info.get("loading", "0") != "0":
        if time.monotonic() >= end:
            server.close()
            raise RedisError(f"{server.endpoint} is still loading its data, so what it holds is not known yet.")
        time.sleep(_LOADING_POLL_SECONDS)
        server.refresh()
