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

from headroom_gateway.http_message import Head


class Flight:
    """The answer as far as it has come. `label` is what X-Cache shall say, `age` (seconds) what Age shall.

    `limit` is the number of bytes kept for those who join late. Beyond it `whole` turns false: nobody may join any
    more, what all have read is given up, and the reading from the provider waits for the slowest.
    """

    def __init__(self, limit: int) -> None:
        self.head: Head | None = None
        self.label = "MISS"
        self.age: int | None = None
        self.whole = True
        self.ended = False
        self.failure: Exception | None = None
        self._limit = limit
        self._held = 0
        self._chunks: list[bytes] = []
        self._given_up = 0
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

    @property
    def clients(self) -> int:
        return len(self._readers)

    def begin(self, head: Head, label: str = "MISS", age: int | None = None) -> None:
        self.head = head
        self.label = label
        self.age = age
        self.wake()

    async def feed(self, chunk: bytes) -> None:
        """Add a piece of the body; waits for slow readers only beyond the limit."""
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > self._limit:
            self.whole = False
        self.wake()
        while not self.whole:
            self._give_up_what_all_have()
            if self._held <= self._limit:
                return
            await self.changed()

    def end(self) -> None:
        self.ended = True
        self.wake()

    def fail(self, error: Exception) -> None:
        """End without a whole answer."""
        self.failure = error
        self.end()

    def body(self) -> bytes:
        """Return the whole body; only while `whole` is true."""
        return b"".join(self._chunks)

    def after(self, position: int) -> tuple[bytes, int]:
        """Return what came after the first `position` chunks, and the number of chunks up to there."""
        chunks = self._chunks[position - self._given_up :]
        return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), self._given_up + len(self._chunks)

    def _give_up_what_all_have(self) -> None:
        count = min((reader.position for reader in self._readers), default=self._given_up + len(self._chunks))
        count -= self._given_up
        self._held -= sum(map(len, self._chunks[:count]))
        del self._chunks[:count]
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
            chunk, position = flight.after(self.position)
            if chunk:
                yield chunk
                self.position = position
                if not flight.whole:
                    flight.wake()
            elif flight.failure is not None:
                raise flight.failure
            elif flight.ended:
                return
            else:
                await flight.changed()
