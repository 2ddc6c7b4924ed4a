# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All answers on their way, by key: equal questions at the same time become one call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from headroom_gateway.entry import Entry
from headroom_gateway.exchange import Exchange, plain
from headroom_gateway.flight import Flight
from headroom_gateway.gate import Busy
from headroom_gateway.held import Held
from headroom_gateway.http_message import Head
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import Call, Plan
from headroom_gateway.reply import STALE
from headroom_gateway.upstream import UpstreamError

log = logging.getLogger(__name__)

Keep = Callable[[Head, bytes, int], Awaitable[None]]
"""Called with every whole answer and the number of its clients, before its key is free again: whoever finds nothing in
the cache still finds the flight, and so no second call is made in between."""


class ProviderFails(UpstreamError):
    """The provider answered that it cannot, and there is an older answer."""


class Flights:
    """Starts flights and knows those under way."""

    def __init__(self, exchange: Exchange, metrics: Metrics, held: Held) -> None:
        self._exchange = exchange
        self._metrics = metrics
        self._held = held
        self._flights: dict[bytes, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, plan: Plan) -> Flight | None:
        """Return the flight that a call may join: one whose beginning is still there; who wants a new answer joins none
        that has ended already."""
        flight = self._flights.get(plan.key)
        return flight if flight is not None and not flight.too_much and (plan.read or not flight.ended) else None

    def launch(self, call: Call, plan: Plan, limit: int, stale: Entry | None, keep: Keep) -> Flight:
        """Begin a call of which at most `limit` bytes are kept. The caller joins before it awaits anything."""
        flight = self._flights[plan.key] = Flight(limit, self._held)
        task = asyncio.get_running_loop().create_task(self._fly(call, plan, flight, stale, keep))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return flight

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _fly(self, call: Call, plan: Plan, flight: Flight, stale: Entry | None, keep: Keep) -> None:
        try:
            framed = await self._carry(call, plan, flight, stale)
            flight.end()
            if flight.too_much:
                self._metrics.count("not_kept_total", call.provider.name, flight.too_much)
            elif not framed:
                self._metrics.count("not_kept_total", call.provider.name, "length not known")
            else:
                await self._keep(call, flight, keep)
        except (UpstreamError, Busy) as error:
            await self._fall_back(call, flight, stale, error)
        except asyncio.CancelledError:
            flight.fail(UpstreamError("the gateway stops"))
            raise
        except Exception as error:
            log.exception("a call to %s failed in the gateway", call.provider.name)
            flight.fail(UpstreamError(f"fault in the gateway: {type(error).__name__}"))
        finally:
            if self._flights.get(plan.key) is flight:
                del self._flights[plan.key]
            flight.close()

    async def _keep(self, call: Call, flight: Flight, keep: Keep) -> None:
        assert flight.head is not None
        try:
            await keep(flight.head, flight.body(), flight.clients)
        except Exception:
            # The answer is with its clients, or on its way to them: they must not suffer.
            log.exception("an answer of %s could not be kept", call.provider.name)

    async def _carry(self, call: Call, plan: Plan, flight: Flight, stale: Entry | None) -> bool:
        async with self._exchange.ask(call, plan, plain(call.request)) as answer:
            if stale is not None and (answer.head.status >= 500 or answer.head.status == 429):
                raise ProviderFails(f"status {answer.head.status}")
            flight.begin(answer.head)
            size = 0
            async for chunk in answer.body():
                size += len(chunk)
                await flight.feed(chunk)
            self._metrics.count("upstream_bytes_total", call.provider.name, by=size)
            return answer.framed

    async def _fall_back(self, call: Call, flight: Flight, stale: Entry | None, error: Exception) -> None:
        if flight.head is not None or stale is None:
            if flight.head is not None:
                self._metrics.count("not_kept_total", call.provider.name, "cut off")
            flight.fail(error)
            return
        self._metrics.count("stale_total", call.provider.name)
        flight.begin(Head(200, stale.headers), STALE, stale.age(time.time()))
        await flight.feed(stale.body)
        flight.end()
