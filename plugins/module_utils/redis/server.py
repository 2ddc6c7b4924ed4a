# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection to one Redis (or Valkey) server: reaching it, its INFO, and its parameters read and set as a whole."""

from __future__ import annotations

import contextlib
import ctypes
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError:
    HAS_REDIS = False
    REDIS_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    HAS_REDIS = True
    REDIS_IMPORT_ERROR = None

_CLONE_NEWNET = 0x40000000  # sched.h
_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0  # nothing sent here takes so long: a stopped or stuck server must not hold the play up
_LOADING_POLL_SECONDS = 0.25


class RedisError(Exception):
    """The server cannot be reached, or refused what it was asked; the message names the server and the way out."""


class ConfigDenied(RedisError):
    """CONFIG is renamed, disabled, or not permitted to this user."""


@dataclass(frozen=True)
class Endpoint:
    """Where a server listens. `namespace_pid`: connect from inside this process's network namespace (needs root)."""

    host: str = "127.0.0.1"
    port: int = 6379
    unix_socket: str | None = None
    namespace_pid: int | None = None
    tls: bool = False
    tls_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        place = f"unix:{self.unix_socket}" if self.unix_socket else f"{self.host}:{self.port}"
        return f"{place} inside the container" if self.namespace_pid else place


@dataclass(frozen=True)
class Login:
    """A user and password to try. `source` says where it comes from; the password is in no text of this object."""

    password: str | None = field(default=None, repr=False)
    username: str | None = None
    source: str = "no password"


@contextlib.contextmanager
def network_of(pid: int | None) -> Iterator[None]:
    """Connections made in here start in the process's network: setns(2). Sockets stay where they were made."""
    if pid is None:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net", "rb") as own, open(f"/proc/{pid}/ns/net", "rb") as other:
        if libc.setns(other.fileno(), _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter the network of process {pid}")
        try:
            yield
        finally:
            libc.setns(own.fileno(), _CLONE_NEWNET)


def _client(endpoint: Endpoint, login: Login) -> Any:
    options: dict[str, Any] = {
        "username": login.username,
        "password": login.password,
        "decode_responses": True,
        "encoding_errors": "surrogateescape",  # keys are bytes: any of them must survive the way back
        "socket_timeout": _ANSWER_SECONDS,
        "socket_connect_timeout": _CONNECT_SECONDS,
        # One connection for everything: it keeps the selected database, and the network it was made in.
        "max_connections": 1,
        "retry": Retry(NoBackoff(), 0),
    }
    if int(redis.__version__.split(".")[0]) >= 5:
        options["protocol"] = 2
    if endpoint.unix_socket:
        return redis.Redis(unix_socket_path=endpoint.unix_socket, **options)
    if endpoint.tls:
        options.update(ssl=True, **endpoint.tls_options)
    return redis.Redis(host=endpoint.host, port=endpoint.port, **options)


def connect(endpoints: Sequence[Endpoint], logins: Sequence[Login], patience: float, config: str = "CONFIG") -> Server:
    """Reach the first endpoint that answers, with the first login that it takes, and wait until it has loaded its data.

    `patience` is in seconds. `config` is the CONFIG command's name where it was renamed.
    Raises RedisError with what each endpoint answered.
    """
    failures: list[str] = []
    for endpoint in endpoints:
        for login in logins or [Login()]:
            try:
                server = Server(_client(endpoint, login), endpoint, login, config)
                server.wait_until_loaded(patience)
                return server
            except (redis.RedisError, OSError) as error:
                reason = f"{endpoint} with {login.source}: {_plain(error)}"
                if reason not in failures:
                    failures.append(reason)
                if not _wants_other_login(error):
                    break
    raise RedisError("Redis cannot be reached: " + "; ".join(failures or ["no address is known"]))


def _wants_other_login(error: Exception) -> bool:
    text = str(error)
    return isinstance(error, redis.AuthenticationError) or any(
        word in text for word in ("NOAUTH", "WRONGPASS", "AUTH", "invalid password", "NOPERM")
    )


def _plain(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


class Server:
    """A connected server."""

    def __init__(self, client: Any, endpoint: Endpoint, login: Login, config: str = "CONFIG") -> None:
        self._redis = client
        self._config = config
        self.endpoint = endpoint
        self.login = login
        self.info: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> dict[str, Any]:
        """Read INFO anew."""
        with self._network():
            self.info = self._redis.info()
        return self.info

    def _network(self) -> contextlib.AbstractContextManager[None]:
        """The client makes a lost connection anew: to the same server, not to one at that address on the host."""
        return network_of(self.endpoint.namespace_pid)

    @property
    def version(self) -> tuple[int, ...]:
        """The version of the Redis protocol and parameters that the server follows (Valkey 8: 7.2.4)."""
        return tuple(int(part) for part in str(self.info.get("redis_version", "0")).split(".")[:3] if part.isdigit())

    @property
    def name(self) -> str:
        """Product and version, as `Valkey 8.1.1`."""
        if "valkey_version" in self.info:
            return f"Valkey {self.info['valkey_version']}"
        return f"Redis {self.info.get('redis_version', '?')}"

    def wait_until_loaded(self, patience: float) -> None:
        """Wait while the server reads its data from disk; CONFIG works then, but its keys are not there yet."""
        end = time.monotonic() + patience
        while int(self.info.get("loading", 0) or 0):
            if time.monotonic() >= end:
                share = self.info.get("loading_loaded_perc", "?")
                raise RedisError(
                    f"{self.endpoint} is still loading its data ({share} % after {patience:.0f} s): what it holds is "
                    "not known yet. Nothing was changed; run again when it has loaded, or raise timeout."
                )
            time.sleep(_LOADING_POLL_SECONDS)
            self.refresh()

    def run(self, *words: Any) -> Any:
        """One command. Raises RedisError with the server's own words."""
        try:
            with self._network():
                return self._redis.execute_command(*words)
        except (redis.RedisError, OSError) as error:
            raise RedisError(f"{self.endpoint} refused {words[0]}: {_plain(error)}") from error

    def run_all(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Several commands in one round trip; a refused one gives its exception as its answer."""
        if not commands:
            return []
        pipe = self._redis.pipeline(transaction=False)
        for words in commands:
            pipe.execute_command(*words)
        try:
            with self._network():
                return pipe.execute(raise_on_error=False)
        except (redis.RedisError, OSError) as error:
            raise RedisError(f"{self.endpoint} went away: {_plain(error)}") from error

    # Parameters

    def _config_run(self, *words: str) -> Any:
        try:
            with self._network():
                return self._redis.execute_command(self._config, *words)
        except (redis.RedisError, OSError) as error:
            text = _plain(error)
            if "unknown command" in text.lower() or "no permissions" in text.lower() or "NOPERM" in text:
                raise ConfigDenied(f"{self.endpoint} does not let {self._user} use {self._config}: {text}") from error
            raise RedisError(f"{self.endpoint} refused {self._config} {words[0]}: {text}") from error

    @property
    def _user(self) -> str:
        return f"the user {self.login.username}" if self.login.username else "this connection"

    def rename_config(self, name: str) -> None:
        """Use another name for CONFIG, as the server's configuration file tells."""
        self._config = name

    def config_get(self, names: Sequence[str]) -> dict[str, str]:
        """The parameters' present values, by lower-case name. Raises RedisError for a name the server does not know."""
        wanted = [name.lower() for name in names]
        found: dict[str, str] = {}
        # Several names in one CONFIG GET: Redis 7.0 (release notes 7.0-rc1).
        groups = [wanted] if self.version >= (7,) else [[name] for name in wanted]
        for group in groups:
            answer = self._config_run("GET", *group) if group else []
            pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2])
            found.update({str(key).lower(): str(value) for key, value in pairs})
        missing = [name for name in wanted if name not in found]
        if missing:
            raise RedisError(f"{self.name} does not know the parameter {', '.join(missing)}. Nothing was changed.")
        return {name: found[name] for name in wanted}

    def config_set(self, values: Mapping[str, str]) -> None:
        """Set all parameters or none: in one call from Redis 7.0 on, before that one by one with a way back.

        Raises RedisError with the server's own words; the server then has its previous values.
        """
        if not values:
            return
        if self.version >= (7,):
            self._config_run("SET", *[word for pair in values.items() for word in pair])
            return
        before = self.config_get(list(values))
        done: list[str] = []
        try:
            for name, value in values.items():
                self._config_run("SET", name, value)
                done.append(name)
        except RedisError:
            for name in reversed(done):
                self._config_run("SET", name, before[name])
            raise

    def config_rewrite(self) -> None:
        """Let the server write its running parameters to its own configuration file."""
        self._config_run("REWRITE")

    @property
    def config_file(self) -> str | None:
        """The configuration file's path as the server sees it, or None where it was started without one."""
        return str(self.info.get("config_file") or "") or None

    def keyspace(self) -> dict[int, int]:
        """Database number to number of keys, for all that hold any."""
        return {
            int(name[2:]): int(value["keys"])
            for name, value in self.info.items()
            if name.startswith("db") and name[2:].isdigit() and isinstance(value, dict)
        }

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(redis.RedisError, OSError):
            self._redis.close()


class Stopped(Server):
    """In place of a server that does not run: there are no values to read, to set or to rewrite."""

    def __init__(self, name: str) -> None:
        self.endpoint = Endpoint()
        self.login = Login()
        self.info = {}
        self._name = name

    @property
    def name(self) -> str:
        """What the report says in place of a product and version."""
        return f"{self._name} (does not run)"

    def config_get(self, names: Sequence[str]) -> dict[str, str]:
        """Nothing is in force."""
        return {}

    def config_rewrite(self) -> None:
        """Raises RedisError: a file that only the server sees cannot be put back without it."""
        raise RedisError(f"{self._name} does not run, and only it can put its configuration file back. Start it first.")

    def close(self) -> None:
        """There is no connection."""


def local_pid(info: Mapping[str, Any], proc: str = "/proc") -> int | None:
    """The server's process where it runs on this host in this process namespace, else None."""
    pid = int(info.get("process_id") or 0)
    try:
        # The command line too: a server started through another loader carries that loader's name.
        with open(f"{proc}/{pid}/comm", "rb") as comm, open(f"{proc}/{pid}/cmdline", "rb") as line:
            said = comm.read() + line.read()
    except OSError:
        return None
    return pid if any(name in said for name in (b"redis", b"valkey", b"keydb")) else None
