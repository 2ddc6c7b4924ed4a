# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The turns at one provider: so many calls at once, so many in a minute, none while the provider asks for a pause.

Who would have to wait too long is told so at once, and how long to stay away.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import math
from collections.abc import AsyncIterator

from headroom_gateway.policy import Provider

SOON = 2
"""Seconds that a client is told to stay away when all turns are taken: nobody knows when one ends."""
MOST_PAUSES = 1000


class Busy(Exception):
    """No turn within the time that a call may wait. `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"busy; retry after {retry_after} s")
        self.retry_after = retry_after


class Gate:
    """The turns at one provider, first come first served."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._free = provider.concurrency
        self._queue: collections.deque[asyncio.Future[None]] = collections.deque()
        self._next_begin = 0.0
        self._pauses: dict[bytes, float] = {}
        self.waits = 0
        self.waited_seconds = 0.0
        self.refused = 0

    def pause(self, quota: bytes, seconds: float) -> None:
        """Let no call that counts against `quota` begin for some seconds: the provider asked for it."""
        if seconds <= 0:
            return
        now = asyncio.get_running_loop().time()
        if len(self._pauses) >= MOST_PAUSES:
            self._pauses = {name: until for name, until in self._pauses.items() if until > now}
        if len(self._pauses) < MOST_PAUSES:
            self._pauses[quota] = max(now + seconds, self._pauses.get(quota, 0.0))

    @contextlib.asynccontextmanager
    async def turn(self, quota: bytes) -> AsyncIterator[None]:
        """Hold a turn. Raises Busy when none comes within the provider's `wait_seconds`."""
        began = asyncio.get_running_loop().time()
        deadline = began + self._provider.wait_seconds
        await self._wait_until(self._begin_at(quota, began), deadline, began)
        await self._take(deadline)
        waited = asyncio.get_running_loop().time() - began
        if waited > 0.001:
            self.waits += 1
            self.waited_seconds += waited
        try:
            yield
        finally:
            self._give()

    def _begin_at(self, quota: bytes, now: float) -> float:
        """Return when a call may begin, and count it among those of its minute."""
        until = self._pauses.get(quota, 0.0)
        if until <= now:
            self._pauses.pop(quota, None)
        if not self._provider.per_minute:
            return until
        begin = max(now, self._next_begin, until)
        if begin <= now + self._provider.wait_seconds:
            # A bucket of a tenth of a minute's calls may be used at once, the rest is spread evenly.
            gap = 60.0 / self._provider.per_minute
            self._next_begin = max(self._next_begin, now - 6.0) + gap
        return begin

    async def _wait_until(self, begin: float, deadline: float, now: float) -> None:
        if begin > deadline:
            self.refused += 1
            raise Busy(math.ceil(begin - now))
        if begin > now:
            await asyncio.sleep(begin - now)

    async def _take(self, deadline: float) -> None:
        if not self._provider.concurrency:
            return
        if self._free and not self._queue:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.append(future)
        try:
            async with asyncio.timeout_at(deadline):
                await future
        except BaseException as error:
            if future.done() and not future.cancelled():
                self._give()  # the turn came at the moment of leaving
            else:
                with contextlib.suppress(ValueError):
                    self._queue.remove(future)
            if isinstance(error, TimeoutError):
                self.refused += 1
                raise Busy(SOON) from None
            raise

    def _give(self) -> None:
        if not self._provider.concurrency:
            return
        while self._queue:
            future = self._queue.popleft()
            if not future.done():
                future.set_result(None)
                return
        self._free += 1
