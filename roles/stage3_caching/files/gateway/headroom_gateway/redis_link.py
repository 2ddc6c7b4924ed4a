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


def encode(command: Command) -> bytes:
    """Write a command, https://redis.io/docs/latest/develop/reference/protocol-spec/."""
    return b"*%d\r\n%b" % (len(command), b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command))


class _Batch:
    """The replies to some commands, as far as they have come."""

    __slots__ = ("future", "missing", "replies", "timer")

    def __init__(self, count: int, future: asyncio.Future[list[Any] | None], timer: asyncio.TimerHandle) -> None:
        self.missing = count
        self.replies: list[Any] = []
        self.future = future
        self.timer = timer

    def settle(self, result: list[Any] | None) -> None:
        self.timer.cancel()
        if not self.future.done():
            self.future.set_result(result)


class _Connection(asyncio.Protocol):
    def __init__(self, lost: asyncio.Event) -> None:
        self._reader = hiredis.Reader()
        self._batches: collections.deque[_Batch] = collections.deque()
        self._lost = lost
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self.open = False
        self.blamed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self.open = True

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
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
        batches, self._batches = self._batches, collections.deque()
        for batch in batches:
            batch.settle(None)
        self._lost.set()

    def send(self, commands: Sequence[Command], seconds: float) -> asyncio.Future[list[Any] | None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Any] | None] = loop.create_future()
        # A reply that comes too late cannot be told from the next one's: the connection ends with the first of these.
        self._batches.append(_Batch(len(commands), future, loop.call_later(seconds, self.close)))
        if not self._unsent:
            loop.call_soon(self._flush)
        self._unsent += map(encode, commands)
        return future

    def _flush(self) -> None:
        """Write what all requests of this turn of the event loop ask: one system call, not one for each."""
        data, self._unsent = b"".join(self._unsent), []
        if self._transport is not None and self.open:
            self._transport.write(data)


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
        lost = asyncio.Event()
        if url.scheme == "unix":
            _unused, connection = await loop.create_unix_connection(lambda: _Connection(lost), url.path)
            database = urllib.parse.parse_qs(url.query).get("db", ["0"])[0]
        else:
            _unused, connection = await loop.create_connection(
                lambda: _Connection(lost), url.hostname or "127.0.0.1", url.port or 6379
            )
            database = url.path.strip("/") or "0"
        greeting: list[Command] = []
        if url.password:
            user = (urllib.parse.unquote(url.username).encode(),) if url.username else ()
            greeting.append((b"AUTH", *user, urllib.parse.unquote(url.password).encode()))
        greeting += [(b"SELECT", database.encode()), (b"PING",)]
        replies = await connection.send(greeting, CONNECT_SECONDS)
        if replies is None or any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            connection.close()
            raise ValueError("Redis refuses the address's password or database")
        limits = await connection.send([(b"CONFIG", b"GET", b"hash-max-*")], CONNECT_SECONDS)
        self.settings = _numbers(limits[0]) if limits else {}
        return connection

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
                    self._connection = await self._open()
                    began = asyncio.get_running_loop().time()
                    replies = await self._connection.send([(b"PING",)], CONNECT_SECONDS)
                    slow = asyncio.get_running_loop().time() - began > self._seconds
            except (TimeoutError, OSError, ValueError):
                continue
            if replies is not None and not slow:
                self._failures = 0
                self.up = True
                log.warning("Redis is back")


def _numbers(reply: Any) -> dict[str, int]:
    """Return the settings of a CONFIG GET; nothing when the command is not allowed."""
    if not isinstance(reply, list):
        return {}
    words = [word.decode() for word in reply]
    return {name: int(value) for name, value in zip(words[::2], words[1::2], strict=True) if value.isdigit()}
