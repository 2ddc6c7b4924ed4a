# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The HTTP/1.1 server: a protocol on the event loop, with httptools (Node's llhttp) reading.

Written on the bare protocol because that is what a hit's time and the process's memory are made of: docs/gateway.md has
the figures for aiohttp beside these.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

import httptools

from headroom_gateway.held import Held
from headroom_gateway.http_message import Head, Headers, Request, header, write_answer_head, write_request_head

log = logging.getLogger(__name__)

LONGEST_HEAD = 65536
"""Bytes that may come without a piece of a body among them: a head, a trailer. Up to one read more is held of them."""
IDLE_SECONDS = 120.0
"""How long a connection without a request stays open; clients give theirs up earlier (httpx: 5 s)."""
HIGH_WATER = 262144
"""Bytes of a long request's body that may wait in memory."""

READ_BYTES = 65536
COPIES = 3
"""How often a request's body is held: as it came, parsed, and on its way to the provider."""

Handler = Callable[[Request, "Responder"], Awaitable[None]]


def _start(answer: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Run until the first wait at once, where Python can (3.12): one turn of the event loop less."""
    loop = asyncio.get_running_loop()
    if sys.version_info >= (3, 12):
        return asyncio.Task(answer, loop=loop, eager_start=True)
    return loop.create_task(answer)


class ClientLeft(Exception):
    """The client closed the connection before it had its answer."""


class Responder:
    """Writes one answer."""

    def __init__(self, connection: Connection, method: str, keep_alive: bool, http_1_0: bool) -> None:
        self._connection = connection
        self._method = method
        self._keep_alive = keep_alive
        self._http_1_0 = http_1_0
        self._chunked = False
        self._bodiless = False
        self.begun = False
        self.ended = False

    def whole(self, head: Head, body: bytes, extra: Headers | None = None) -> None:
        """Write an answer at once. `head` has no Content-Length."""
        self.begun = self.ended = True
        more = [*(extra or ()), (b"content-length", b"%d" % len(body)), *self._end()]
        data = write_answer_head(head, more)
        self._connection.write(data if self._method == "HEAD" else data + body)

    def start(self, head: Head, extra: Headers) -> None:
        """Write the head of an answer whose body follows; its length is what `head` says, or is left open."""
        self.begun = True
        self._bodiless = self._method == "HEAD" or head.status in (204, 304) or head.status < 200
        more = list(extra)
        if not self._bodiless and not head.header(b"content-length"):
            if self._http_1_0:
                self._keep_alive = False
            else:
                self._chunked = True
                more.append((b"transfer-encoding", b"chunked"))
        self._connection.write(write_answer_head(head, [*more, *self._end()]))

    async def write(self, chunk: bytes) -> None:
        """Write a piece of the body, and wait while the client is slower than we."""
        if chunk and not self._bodiless:
            self._connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk) if self._chunked else chunk)
            await self._connection.drain()

    def finish(self) -> None:
        if self._chunked:
            self._connection.write(b"0\r\n\r\n")
        self.ended = True

    def _end(self) -> Headers:
        """Return the header by which an answer says that it is its connection's last, as each is while we stop."""
        self._keep_alive = self._keep_alive and not self._connection.stopping
        return [] if self._keep_alive else [(b"connection", b"close")]

    @property
    def keep_alive(self) -> bool:
        return self._keep_alive and self.ended


class Connection(asyncio.BufferedProtocol):
    """One client's connection: reads requests, lets the handler answer one after the other."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: collections.deque[tuple[Request, Responder]] = collections.deque()
        self.task: asyncio.Task[None] | None = None
        self._writable: asyncio.Event = asyncio.Event()
        self._writable.set()
        self.idle_since = time.monotonic()
        self._head_size = 0
        self._receiving = False
        self._held = 0
        self._reset()

    def _reset(self) -> None:
        self._target = b""
        self._headers: Headers = []
        self._coming: Headers = []  # of the head that is being read; of the trailers after a body, which nobody takes
        self._parts: list[bytes] = []
        self._size = 0
        self._long: _LongBody | None = None

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._head_size += nbytes
        data: memoryview | bytes = self._server.buffer[:nbytes]
        try:
            while data:
                data = self._parse(data)
            if self._head_size > LONGEST_HEAD:
                self._refuse(431, b"the head is longer than %d bytes" % LONGEST_HEAD)
        except httptools.HttpParserUpgrade:
            self._refuse(501, b"the gateway does not speak other protocols")
        except httptools.HttpParserError:
            self._refuse(400, b"this is not HTTP/1.1")

    def _parse(self, data: memoryview | bytes) -> bytes:
        """Parse; return what has to be parsed once more. Raises HttpParserError, and HttpParserUpgrade for protocols
        that cannot do without it.

        Java's HttpClient offers h2c with each call; a server may ignore it (RFC 9110 section 7.8). The parser may not:
        behind such a head it takes everything for another protocol. So a new one gets the head without the offer.
        """
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            method = self._parser.get_method()
            if method == b"CONNECT" or b"websocket" in header(self._headers, b"upgrade").lower():
                raise
            version = self._parser.get_http_version().encode()
            headers = [pair for pair in self._headers if pair[0] != b"upgrade"]
            self._parser = httptools.HttpRequestParser(self)
            return write_request_head(method.decode(), self._target, headers, version) + data[upgrade.args[0] :]
        return b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.forget(self)
        self._hold(-self._held)
        self._waiting.clear()
        self._writable.set()
        if self._long is not None:
            self._long.break_off()
        if self.task is not None:
            self.task.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._receiving = True
        self._reset()

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self._coming.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._headers, self._coming = self._coming, []
        if self._parser.should_upgrade():
            return
        if header(self._headers, b"expect").lower() == b"100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        length = header(self._headers, b"content-length")
        if length and int(length) > self._server.body_bytes:
            self._begin_long()

    def on_body(self, part: bytes) -> None:
        self._head_size = 0
        if self._long is not None:
            self._long.feed(part)
            return
        self._parts.append(part)
        self._size += len(part)
        self._hold(COPIES * len(part))
        if self._size > self._server.body_bytes or self._server.held.full(self._size):
            self._begin_long()

    def on_message_complete(self) -> None:
        self._receiving = False
        self._head_size = 0
        if self._long is not None:
            self._long.end()
            self._long = None
        else:
            body, self._parts = b"".join(self._parts), []
            self._accept(body, None)

    def _begin_long(self) -> None:
        assert self._transport is not None
        self._long = _LongBody(self._transport)
        for part in self._parts:
            self._long.feed(part)
        self._parts = []
        self._hold(-COPIES * self._size)
        self._accept(None, self._long.read())

    # Answering.

    def _accept(self, body: bytes | None, rest: AsyncIterator[bytes] | None) -> None:
        if self._parser.should_upgrade() or self._transport is None or self._transport.is_closing():
            return  # of an upgrade `_parse` is told next
        method = self._parser.get_method().decode("ascii")
        version = self._parser.get_http_version()
        request = Request(method, self._target, self._headers, body, rest)
        # What a handler leaves unread of a long body would be taken for the next request.
        keep_alive = rest is None and self._parser.should_keep_alive()
        responder = Responder(self, method, keep_alive, version == "1.0")
        self._waiting.append((request, responder))
        if self.task is None:
            task = _start(self._answer())
            self.task = None if task.done() else task
        elif self._transport is not None and rest is None:
            self._transport.pause_reading()  # a client that does not wait for answers is read no faster than answered

    async def _answer(self) -> None:
        try:
            while self._waiting:
                request, responder = self._waiting.popleft()
                await self._server.handler(request, responder)
                if not responder.keep_alive or self._transport is None:
                    self._close(orderly=responder.ended)
                    return
                self._hold(-COPIES * len(request.body or b""))
                if not self._waiting:
                    self._transport.resume_reading()
            self.idle_since = time.monotonic()
            if self.stopping and not self._receiving:
                self.close()
        except (asyncio.CancelledError, ClientLeft):
            self._close(orderly=False)
        except Exception:
            log.exception("the handler failed")
            self._close(orderly=False)
        finally:
            self.task = None

    @property
    def idle(self) -> bool:
        return self.task is None

    @property
    def stopping(self) -> bool:
        return self._server.stopping

    def stop(self) -> None:
        """Close, unless a request is being answered or received: then after its answer."""
        if self.idle and not self._receiving:
            self.close()

    def _hold(self, size: int) -> None:
        """Count bytes held for this connection's requests; what is left at its end is taken off."""
        self._held += size
        self._server.held.total += size

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        if not self._writable.is_set():
            await self._writable.wait()
        if self._transport is None:
            raise ClientLeft

    def _refuse(self, status: int, reason: bytes) -> None:
        if self.task is None:
            Responder(self, "GET", False, False).whole(Head(status, []), reason + b"\n")
            self._close(orderly=True)
        else:
            self._close(orderly=False)

    def _close(self, *, orderly: bool) -> None:
        """Close; when not orderly, so that the client sees that its answer was cut off."""
        if self._transport is not None:
            if orderly:
                self._transport.close()
            else:
                self._transport.abort()

    def close(self) -> None:
        self._close(orderly=True)


class _LongBody:
    """A request's body that is passed on piece by piece."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._parts: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._ended = False
        self._broken = False
        self._more = asyncio.Event()

    def feed(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > HIGH_WATER:
            self._transport.pause_reading()
        self._more.set()

    def end(self) -> None:
        self._ended = True
        self._more.set()

    def break_off(self) -> None:
        self._broken = True
        self._more.set()

    async def read(self) -> AsyncIterator[bytes]:
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._size -= len(part)
                yield part
            if self._broken:
                raise ClientLeft
            if self._ended:
                return
            self._more.clear()
            self._transport.resume_reading()
            await self._more.wait()


class Server:
    """Listens, and closes what has been idle for long."""

    def __init__(self, handler: Handler, body_bytes: int, held: Held) -> None:
        self.handler = handler
        self.body_bytes = body_bytes
        self.held = held
        self.connections: set[Connection] = set()
        self.stopping = False
        self.buffer = memoryview(bytearray(READ_BYTES))
        """What all connections are read into: each read is taken by the parser before the next begins."""
        self._empty = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port, which is the asked one unless that was 0."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=512)
        self._sweeper = loop.create_task(self._sweep())
        return int(self._listener.sockets[0].getsockname()[1])

    def forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    async def close(self, seconds: float) -> None:
        """Take no new connections, and give requests under way some seconds to be answered to the last byte."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sweeper
        for connection in list(self.connections):
            connection.stop()
        self._empty.clear()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), seconds)
        for connection in list(self.connections):
            connection.close()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(IDLE_SECONDS / 4)
            limit = time.monotonic() - IDLE_SECONDS
            for connection in list(self.connections):
                if connection.idle and connection.idle_since < limit:
                    connection.close()
