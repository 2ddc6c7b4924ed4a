# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One answer on its way from a provider to all clients that asked for the same.

The answer is read by a task of its own, so that a client who leaves takes it from nobody. Everyone who joins, early or
late, gets it from its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from headroom_gateway.held import PIECE_BYTES, Held
from headroom_gateway.http_message import Head


class Flight:
    """The answer as far as it has come. `label` is what X-Cache shall say, `age` (seconds) what Age shall.

    `limit` is the number of bytes kept for those who join late. Beyond it, or when `held` is full, `too_much` says so:
    nobody may join any more, what all have read is given up, and the reading from the provider waits for the slowest.
    """

    def __init__(self, limit: int, held: Held) -> None:
        self.head: Head | None = None
        self.label = "MISS"
        self.age: int | None = None
        self.too_much = ""
        self.ended = False
        self.failure: Exception | None = None
        self._limit = limit
        self._held = held
        self._data: bytearray | bytes = bytearray()
        self._given_up = 0
        self._closed = False
        self._readers: set[Reader] = set()
        self._waiting: list[asyncio.Future[None]] = []

    @contextlib.contextmanager
    def join(self) -> Iterator[Reader]:
        """Take part until the end of the `with` block."""
        reader = Reader(self)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)
            self.wake()
            self._let_go()

    def close(self) -> None:
        """Let nobody join any more: what is held goes with the last client."""
        self._closed = True
        self._let_go()

    def _let_go(self) -> None:
        if self._closed and not self._readers:
            self._held.total -= len(self._data)
            self._data = b""

    @property
    def clients(self) -> int:
        return len(self._readers)

    def begin(self, head: Head, label: str = "MISS", age: int | None = None) -> None:
        self.head = head
        self.label = label
        self.age = age
        self.wake()

    async def feed(self, chunk: bytes) -> None:
        """Add a piece of the body; waits for slow readers only when it is too much to keep."""
        self._data += chunk
        self._held.total += len(chunk)
        if len(self._data) > self._limit:
            self.too_much = "too long"
        elif not self.too_much and self._held.full(len(self._data)):
            self.too_much = "no room"
        self.wake()
        while self.too_much:
            self._give_up_what_all_have()
            if len(self._data) <= min(self._limit, PIECE_BYTES):
                return
            await self.changed()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def fail(self, error: Exception) -> None:
        """End without a whole answer."""
        self.failure = error
        self.end()

    @property
    def size(self) -> int:
        return len(self._data)

    def body(self) -> bytes:
        """Return the whole body, when it has ended and is not too much."""
        if isinstance(self._data, bytearray):
            self._data = bytes(self._data)
        return self._data

    def after(self, position: int) -> bytes:
        """Return a piece of what came after the first `position` bytes."""
        start = position - self._given_up
        return bytes(memoryview(self._data)[start : start + PIECE_BYTES])

    def _give_up_what_all_have(self) -> None:
        count = min((reader.position - self._given_up for reader in self._readers), default=len(self._data))
        assert isinstance(self._data, bytearray)
        self._held.total -= count
        del self._data[:count]
        self._given_up += count

    async def changed(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)


class Reader:
    """One client's part in a flight."""

    def __init__(self, flight: Flight) -> None:
        self.flight = flight
        self.position = 0

    async def head(self) -> Head:
        """Return the answer's head. Raises the failure when there will be none."""
        while self.flight.head is None:
            if self.flight.failure is not None:
                raise self.flight.failure
            await self.flight.changed()
        return self.flight.head

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body from its beginning. Raises the failure when it breaks off."""
        flight = self.flight
        while True:
            if chunk := flight.after(self.position):
                yield chunk
                self.position += len(chunk)
                if flight.too_much:
                    flight.wake()
            elif flight.failure is not None:
                raise flight.failure
            elif flight.ended:
                return
            else:
                await flight.changed()
