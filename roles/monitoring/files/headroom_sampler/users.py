# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How many distinct users were active, from the source that the operator named.

Every source answers for the windows of 5 minutes, one hour and one day. The sampler only ever sees numbers: who the
users are stays in Redis, in the log or with the command.
"""

from __future__ import annotations

import posix
import select
import time

from headroom_sampler.files import content
from headroom_sampler.probe import connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

WINDOWS = {"5m": 300, "1h": 3600, "24h": 86400}
OUTPUT_LIMIT = 65536


class SourceError(Exception):
    """The source did not answer with numbers."""


def hyperloglog_keys(pattern: str, every: int, window: int, now: int) -> list[str]:
    """The keys that together cover the window: one for each `every` seconds, named by strftime (UTC).

    The oldest key reaches back beyond the window by up to `every` seconds: nobody is lost at its edge.
    """
    starts = range(now - now % every, now - window - every, -every)
    return list(dict.fromkeys(time.strftime(pattern, time.gmtime(at)) for at in starts))


def ask_redis(connection: _socket.socket, *words: str) -> int | str:
    """Send one command and read its one-line reply (RESP). Raises SourceError with Redis' own message."""
    parts = [f"*{len(words)}".encode()]
    for word in words:
        raw = word.encode()
        parts += [b"$%d" % len(raw), raw]
    connection.sendall(b"\r\n".join(parts) + b"\r\n")
    reply = b""
    while not reply.endswith(b"\r\n"):
        part = connection.recv(4096)
        if not part:
            raise SourceError("Redis closed the connection")
        reply += part
    text = reply[1:-2].decode("utf-8", "replace")
    if reply[:1] == b"-":
        raise SourceError(f"Redis refused {words[0]}: {text}")
    return int(text) if reply[:1] == b":" else text


def from_redis(source: dict, windows: list[str], now: int, host: str) -> dict[str, int]:
    """window -> users, from HyperLogLogs. Raises SourceError, OSError."""
    connection = connect(host, source.get("port", 6379), 2.0)
    try:
        password = content(source["password_file"]).decode().strip() if source.get("password_file") else ""
        if password:
            ask_redis(connection, "AUTH", *([source["username"]] if source.get("username") else []), password)
        if source.get("db"):
            ask_redis(connection, "SELECT", str(source["db"]))
        found = {}
        for window in windows:
            keys = hyperloglog_keys(source["key"], source.get("key_seconds", 60), WINDOWS[window], now)
            found[window] = int(ask_redis(connection, "PFCOUNT", *keys))
        return found
    finally:
        connection.close()


def run(argv: list[str], added: dict[str, str], timeout: float) -> str:
    """Standard output of a command. Raises SourceError when it fails, is slow or says too much.

    Without the `subprocess` module, which would take 2 MB.
    """
    reader, writer = posix.pipe()
    output = b""
    actions = [(posix.POSIX_SPAWN_DUP2, writer, 1), (posix.POSIX_SPAWN_CLOSE, reader)]
    environment = {**posix.environ, **{name.encode(): value.encode() for name, value in added.items()}}
    try:
        child = posix.posix_spawnp(argv[0], argv, environment, file_actions=actions)
    except OSError as error:
        posix.close(reader)
        raise SourceError(f"{argv[0]} could not be started: {error.strerror}") from None
    finally:
        posix.close(writer)
    deadline, finished = time.monotonic() + timeout, False
    try:
        while len(output) < OUTPUT_LIMIT:
            ready, _unused, _unused = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            part = posix.read(reader, 4096) if ready else b""
            if not part:
                finished = bool(ready)
                break
            output += part
    finally:
        posix.close(reader)
        if not finished:
            posix.kill(child, 9)
        _unused, outcome = posix.waitpid(child, 0)
    if not finished:
        raise SourceError(f"{argv[0]} had not ended after {timeout:g} s, or wrote too much; it was ended")
    if outcome:
        raise SourceError(f"{argv[0]} failed (wait status {outcome})")
    return output.decode("utf-8", "replace")


def from_command(source: dict, windows: list[str]) -> dict[str, int]:
    """window -> users: the command is run once for each, with HEADROOM_WINDOW_SECONDS. Raises SourceError."""
    found = {}
    for window in windows:
        said = run(source["command"], {"HEADROOM_WINDOW_SECONDS": str(WINDOWS[window])}, source.get("timeout", 5.0))
        if not said.strip().isdigit():
            raise SourceError(f"{source['command'][0]} did not print one whole number")
        found[window] = int(said)
    return found


def named_numbers(text: str) -> dict[str, float]:
    """Lines of `name number`, others passed over: what services and helpers leave for the sampler."""
    found = {}
    for line in text.split("\n"):
        words = line.split()
        try:
            found[words[0]] = float(words[1])
        except (ValueError, IndexError):
            continue
    return found
