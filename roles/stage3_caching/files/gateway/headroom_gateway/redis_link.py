# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One connection to the cache's Redis, on which all commands follow each other without waiting.

Replies come in the order of the commands. Whoever asks gets None when Redis is away or slow; after some failures in a
row nobody asks any more (the breaker is open), and a task of its own tries until Redis is back: no client waits.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import urllib.parse
from collections.abc import Sequence
from typing import Any

import hiredis

log = logging.getLogger(__name__)

Command = tuple[bytes, ...]
CONNECT_SECONDS = 1.0
READ_BYTES = 65536
"""What is read at once. asyncio's own readers allocate 256 KB for each read (`max_size` in selector_events.py)."""


def encode(command: Command) -> bytes:
    """Write a command, https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    lines = [b"*%d" % len(command)]
    for word in command:
        lines += (b"$%d" % len(word), word)
    lines.append(b"")
    return b"\r\n".join(lines)  # an image is copied once


class _Batch:
    """The replies to some commands, as far as they have come. `deadline`: the loop's time by which all must have."""

    __slots__ = ("deadline", "future", "missing", "replies")

    def __init__(self, count: int, future: asyncio.Future[list[Any] | None], deadline: float) -> None:
        self.missing = count
        self.replies: list[Any] = []
        self.future = future
        self.deadline = deadline

    def settle(self, result: list[Any] | None) -> None:
        if not self.future.done():
            self.future.set_result(result)


class _Connection(asyncio.BufferedProtocol):
    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._buffer = bytearray(READ_BYTES)
        self._batches: collections.deque[_Batch] = collections.deque()
        self._unsent: list[bytes] = []
        self._watch: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.open = False
        self.blamed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open = True

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._reader.feed(self._buffer, 0, nbytes)  # type: ignore[arg-type]  # any buffer will do; the stub is narrower
        while self._batches:
            try:
                reply = self._reader.gets()
            except hiredis.ProtocolError:
                self.close()
                return
            if reply is False:
                return
            batch = self._batches[0]
            batch.replies.append(reply)
            batch.missing -= 1
            if not batch.missing:
                self._batches.popleft()
                batch.settle(batch.replies)

    def connection_lost(self, exc: Exception | None) -> None:
        self.close()

    def close(self) -> None:
        self.open = False
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        batches, self._batches = self._batches, collections.deque()
        for batch in batches:
            batch.settle(None)

    def send(self, commands: Sequence[Command], seconds: float) -> asyncio.Future[list[Any] | None]:
        future: asyncio.Future[list[Any] | None] = self._loop.create_future()
        alone = not self._batches
        deadline = self._loop.time() + seconds
        self._batches.append(_Batch(len(commands), future, deadline))
        if self._watch is None or deadline < self._watch.when():
            self._watch_until(deadline)
        first = not self._unsent
        self._unsent += map(encode, commands)
        if alone:
            self._flush()  # Redis has nothing to do: waiting for more would only cost time
        elif first:
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        """Write what all requests of this turn of the event loop ask: one system call, not one for each."""
        data, self._unsent = b"".join(self._unsent), []
        if data and self._transport is not None and self.open:
            self._transport.write(data)

    def _watch_until(self, when: float) -> None:
        if self._watch is not None:
            self._watch.cancel()
        self._watch = self._loop.call_at(when, self._look)

    def _look(self) -> None:
        """End the connection when a reply is late: one that comes after all cannot be told from the next one's."""
        self._watch = None
        if not self._batches:
            return
        deadline = min(batch.deadline for batch in self._batches)
        if deadline <= self._loop.time():
            self.close()
        else:
            self._watch_until(deadline)


class RedisLink:
    """The way to Redis. `seconds`: how long one exchange may take; `failures`, `pause` (seconds): the breaker's."""

    def __init__(self, url: str, seconds: float, failures: int, pause: float) -> None:
        self._url = urllib.parse.urlsplit(url)
        if self._url.scheme not in ("redis", "unix"):
            raise ValueError("the address of Redis begins with redis:// or unix://")
        self._seconds = seconds
        self._allowed_failures = failures
        self._pause = pause
        self._failures = 0
        self._connection: _Connection | None = None
        self._connecting: asyncio.Lock = asyncio.Lock()
        self._recovery: asyncio.Task[None] | None = None
        self.errors = 0
        self.up = True
        self.settings: dict[str, int] = {}

    async def call(self, *commands: Command, seconds: float | None = None) -> list[Any] | None:
        """Return the replies to some commands (errors are `hiredis.ReplyError`s), None when Redis is away."""
        if not self.up:
            return None
        connection = self._connection
        if connection is None or not connection.open:
            connection = await self._connect()
        if connection is None:
            return None
        replies = await connection.send(commands, seconds or self._seconds)
        if replies is not None:
            self._failures = 0
        elif not connection.blamed:
            # All that waited on one connection fail together: that is one failure.
            connection.blamed = True
            self._failed()
        return replies

    async def close(self) -> None:
        self.up = False
        if self._recovery is not None:
            self._recovery.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._recovery
        if self._connection is not None:
            self._connection.close()

    async def _connect(self) -> _Connection | None:
        async with self._connecting:
            if self._connection is not None and self._connection.open:
                return self._connection
            if not self.up:
                return None
            try:
                async with asyncio.timeout(max(self._seconds, 0.25)):
                    self._connection = await self._open()
            except (TimeoutError, OSError, ValueError) as error:
                log.debug("no connection to Redis: %s", type(error).__name__)
                self._failed()
                return None
            return self._connection

    async def _open(self) -> _Connection:
        loop = asyncio.get_running_loop()
        url = self._url
        if url.scheme == "unix":
            _unused, connection = await loop.create_unix_connection(_Connection, url.path)
            database = urllib.parse.parse_qs(url.query).get("db", ["0"])[0]
        else:
            _unused, connection = await loop.create_connection(
                _Connection, url.hostname or "127.0.0.1", url.port or 6379
            )
            database = url.path.strip("/") or "0"
        try:
            await self._greet(connection, database)
        except BaseException:  # the time for it may end in its middle, too
            connection.close()
            raise
        return connection

    async def _greet(self, connection: _Connection, database: str) -> None:
        """Log in and learn Redis's settings. Raises ValueError where it refuses."""
        url = self._url
        greeting: list[Command] = []
        if url.password:
            user = (urllib.parse.unquote(url.username).encode(),) if url.username else ()
            greeting.append((b"AUTH", *user, urllib.parse.unquote(url.password).encode()))
        greeting += [(b"SELECT", database.encode()), (b"PING",)]
        replies = await connection.send(greeting, CONNECT_SECONDS)
        if replies is None or any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            raise ValueError("Redis refuses the address's password or database")
        limits = await connection.send([(b"CONFIG", b"GET", b"hash-max-*")], CONNECT_SECONDS)
        self.settings = _numbers(limits[0]) if limits else {}

    def _failed(self) -> None:
        self.errors += 1
        self._failures += 1
        if self._failures >= self._allowed_failures and self.up:
            self.up = False
            log.warning("Redis is away or slow: calls go straight to the providers")
            self._recovery = asyncio.get_running_loop().create_task(self._recover())

    async def _recover(self) -> None:
        while not self.up:
            await asyncio.sleep(self._pause)
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    connection = await self._open()
            except (TimeoutError, OSError, ValueError):
                continue
            # A reply that takes longer than calls may wait ends the connection.
            if await connection.send([(b"PING",)], self._seconds) is not None:
                self._connection = connection
                self._failures = 0
                self.up = True
                log.warning("Redis is back")


def _numbers(reply: Any) -> dict[str, int]:
    """Return the settings of a CONFIG GET; nothing when the command is not allowed."""
    if not isinstance(reply, list):
        return {}
    words = [word.decode() for word in reply]
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True) if value.isdigit()}
