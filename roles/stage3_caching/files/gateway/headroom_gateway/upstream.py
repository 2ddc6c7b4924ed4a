# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The way to the providers: HTTP/1.1 over kept connections, with a time limit for each step."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import collections
import contextlib
import random
import ssl
from collections.abc import AsyncIterator
from typing import Any

import httptools

from headroom_gateway.held import PIECE_BYTES
from headroom_gateway.http_message import Head, Headers, Request, end_to_end, write_request_head
from headroom_gateway.policy import Provider

KEEP_SECONDS = 15.0
"""How long an unused connection is kept: less than servers and load balancers in front of them do."""
KEEP_MOST = 8
"""To one host: more at once are made anew when they are needed."""
TLS_BUFFER = 32768
"""Bytes that asyncio holds for reading on each TLS connection: two records' worth (RFC 8446 section 5.1).

Its own 256 KB (`max_size` in CPython's asyncio/sslproto.py) cost 7 MB of 44 at 50 users.
"""
CONNECT_PAUSES = (0.1, 0.4)
"""Seconds before the second and the third attempt to connect; nothing has been sent by then."""
HIGH_WATER = 262144


class UpstreamError(Exception):
    """The provider gave no answer, or not all of it. `status` is what a client is told that has no head yet."""

    status = 502


class NoConnection(UpstreamError):
    """No connection came about: the provider has not seen the request."""


class NoAnswer(UpstreamError):
    """The connection ended before the answer began."""


class TooSlow(UpstreamError):
    """The answer, or its next piece, did not come in time."""

    status = 504


class CutOff(UpstreamError):
    """The answer ended in its middle."""


class _Connection(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser: Any = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._waiter: asyncio.Future[bool] | None = None
        self.used = False
        self.closed = False
        self.expiry: asyncio.TimerHandle | None = None
        self.prepare("GET")

    def prepare(self, method: str) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._method = method
        self._reason = b""
        self._headers: Headers = []
        self._head: Head | None = None
        self._parts: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._complete = False
        self._to_the_end = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.abort()

    def eof_received(self) -> bool:
        if self._to_the_end:
            self._complete = True
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._writable.set()
        self._wake()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._headers = []
        self._reason = b""

    def on_status(self, reason: bytes) -> None:
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return  # 100 Continue, 103 Early Hints: the answer is still to come
        self._head = Head(status, self._headers, self._reason)
        self._headers = []  # of trailers after the body, which nobody takes
        framed = self._head.header(b"content-length") or b"chunked" in self._head.header(b"transfer-encoding").lower()
        self._to_the_end = not framed and status not in (204, 304)
        if self._method == "HEAD":
            # The parser waits for a body that never comes; this connection has served its purpose.
            self._complete = True
            self.closed = True
        self._wake()

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > HIGH_WATER and self._transport is not None:
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._head is not None:
            self._complete = True
            if not self._parser.should_keep_alive():
                self.closed = True
            self._wake()

    # What the client of this class calls.

    @property
    def done(self) -> bool:
        """Whether the whole answer came and was taken."""
        return self._complete and not self._parts

    @property
    def to_the_end(self) -> bool:
        """Whether the body ends with the connection: then nobody knows whether it is whole."""
        return self._to_the_end

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def abort(self) -> None:
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        self._wake()

    async def head(self, seconds: float) -> Head:
        """Return the head of the answer. Raises NoAnswer, TooSlow."""
        while self._head is None:
            if self.closed:
                raise NoAnswer("the provider closed the connection without an answer")
            await self._wait(seconds)
        return self._head

    async def body(self, seconds: float) -> AsyncIterator[bytes]:
        """Yield the body. Raises CutOff, TooSlow."""
        while True:
            if self._parts:
                part = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
                self._parts.clear()
                self._size = 0
                if self._transport is not None and not self._transport.is_closing():
                    self._transport.resume_reading()
                yield part
            elif self._complete:
                return
            elif self.closed:
                raise CutOff("the provider broke off its answer")
            else:
                await self._wait(seconds)

    async def _wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiter = loop.create_future()
        timer = loop.call_later(seconds, self._late, self._waiter)
        try:
            if await self._waiter:
                raise TooSlow(f"nothing came from the provider within {seconds:g} s")
        finally:
            timer.cancel()
            self._waiter = None

    @staticmethod
    def _late(waiter: asyncio.Future[bool]) -> None:
        if not waiter.done():
            waiter.set_result(True)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(False)


class Answer:
    """An answer on its way: its head, its body, and whether its end can be told from a cut."""

    def __init__(self, head: Head, connection: _Connection, idle_seconds: float) -> None:
        self.head = head
        self.framed = not connection.to_the_end
        self._connection = connection
        self._idle_seconds = idle_seconds

    def body(self) -> AsyncIterator[bytes]:
        """Yield the body. Raises CutOff, TooSlow."""
        return self._connection.body(self._idle_seconds)


class Upstream:
    """All connections to all providers."""

    def __init__(self, ca_file: str | None = None) -> None:
        asyncio.sslproto.SSLProtocol.max_size = TLS_BUFFER
        self._context = ssl.create_default_context()
        if ca_file:
            self._context.load_verify_locations(ca_file)
        self._context.set_alpn_protocols(["http/1.1"])
        self._idle: dict[tuple[str, str], list[_Connection]] = {}
        self.connects = 0

    async def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.abort()
        self._idle.clear()

    @contextlib.asynccontextmanager
    async def send(self, provider: Provider, host: str, target: bytes, request: Request) -> AsyncIterator[Answer]:
        """Send a request; give the answer until the end of the `async with` block. Raises UpstreamError.

        Only connecting is tried again, and a GET whose kept connection turned out to be closed: whether a provider has
        begun to work on anything else is not known.
        """
        place = (provider.name, host)
        connection = await self._connection(provider, place)
        complete = False
        try:
            try:
                head = await self._exchange(connection, provider, host, target, request)
            except NoAnswer:
                if not connection.used or request.method not in ("GET", "HEAD") or request.body is None:
                    raise
                connection.abort()
                connection = await self._connection(provider, place, fresh=True)
                head = await self._exchange(connection, provider, host, target, request)
            yield Answer(head, connection, provider.idle_seconds)
            complete = connection.done
        finally:
            if complete and not connection.closed:
                self._keep(place, connection)
            else:
                connection.abort()

    async def _exchange(
        self, connection: _Connection, provider: Provider, host: str, target: bytes, request: Request
    ) -> Head:
        connection.prepare(request.method)
        headers = [pair for pair in end_to_end(request.headers) if pair[0] not in (b"host", b"content-length")]
        headers.insert(0, (b"host", host.encode()))
        if request.rest is None:
            body = request.body or b""
            if body or request.method in ("POST", "PUT", "PATCH"):
                headers.append((b"content-length", b"%d" % len(body)))
            connection.write(write_request_head(request.method, target, headers) + body[:PIECE_BYTES])
            for at in range(PIECE_BYTES, len(body), PIECE_BYTES):  # or TLS would hold all of it once more
                connection.write(body[at : at + PIECE_BYTES])
        else:
            await self._send_long(connection, target, headers, request)
        return await connection.head(provider.first_byte_seconds)

    async def _send_long(self, connection: _Connection, target: bytes, headers: Headers, request: Request) -> None:
        length = request.header(b"content-length")
        headers.append((b"content-length", length) if length else (b"transfer-encoding", b"chunked"))
        connection.write(write_request_head(request.method, target, headers))
        assert request.rest is not None
        async for part in request.rest:
            if connection.closed:
                return
            connection.write(part if length else b"%x\r\n%b\r\n" % (len(part), part))
            await connection.drain()
        if not length:
            connection.write(b"0\r\n\r\n")

    async def _connection(self, provider: Provider, place: tuple[str, str], *, fresh: bool = False) -> _Connection:
        idle = self._idle.get(place, [])
        while idle and not fresh:
            connection = idle.pop()
            if connection.expiry is not None:
                connection.expiry.cancel()
            if not connection.closed:
                connection.used = True
                return connection
        for pause in (*CONNECT_PAUSES, None):
            try:
                return await self._open(provider, place[1])
            except ssl.SSLCertVerificationError as error:
                raise NoConnection(f"the provider's certificate is not valid: {error.verify_message}") from error
            except (TimeoutError, OSError) as error:
                if pause is None:
                    raise NoConnection(f"no connection to the provider: {type(error).__name__}") from error
                await asyncio.sleep(pause * random.uniform(0.5, 1.5))
        raise AssertionError("not reached")

    async def _open(self, provider: Provider, host: str) -> _Connection:
        secure = provider.scheme == "https"
        name, port = host, 443 if secure else 80
        if provider.address:
            name, _unused, number = provider.address.rpartition(":")
            port = int(number)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(provider.connect_seconds):
            _unused_transport, connection = await loop.create_connection(
                _Connection,
                name,
                port,
                ssl=self._context if secure else None,
                server_hostname=host if secure else None,
                happy_eyeballs_delay=0.25,
            )
        self.connects += 1
        return connection

    def _keep(self, place: tuple[str, str], connection: _Connection) -> None:
        idle = self._idle.setdefault(place, [])
        if len(idle) >= KEEP_MOST:
            connection.abort()
            return
        idle.append(connection)
        connection.expiry = asyncio.get_running_loop().call_later(KEEP_SECONDS, self._expire, place, connection)

    def _expire(self, place: tuple[str, str], connection: _Connection) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self._idle[place].remove(connection)
        connection.abort()
