# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes each request through the policy to its answer."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator

from headroom_gateway import answers, reply
from headroom_gateway.entry import Entry
from headroom_gateway.exchange import Exchange
from headroom_gateway.fal_calls import FalCalls
from headroom_gateway.flights import Flights
from headroom_gateway.gate import Busy
from headroom_gateway.held import Held
from headroom_gateway.http_message import Head, Request
from headroom_gateway.item_calls import ItemCalls
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import Call, Plan, decide, locate
from headroom_gateway.policy import Policy
from headroom_gateway.server import Responder
from headroom_gateway.store import Store, new_entry
from headroom_gateway.upstream import Upstream, UpstreamError

log = logging.getLogger(__name__)

Put = Callable[[str, bytes, Entry, float], Awaitable[None]]
"""Store.put, or Store.put_image."""


class Gateway:
    """The handler of all requests. `handle` is what the server calls."""

    def __init__(self, policy: Policy, store: Store, upstream: Upstream, held: Held) -> None:
        self._policy = policy
        self._store = store
        self._upstream = upstream
        self._held = held
        self.metrics = Metrics()
        cache = policy.cache
        self._exchange = Exchange(policy.providers, upstream, self.metrics)
        self._flights = Flights(self._exchange, self.metrics, held)
        self._items = ItemCalls(store, self._exchange, self.metrics, cache.jitter)
        self._fal = FalCalls(store, self._flights, self.metrics, cache.answer_bytes, cache.jitter)

    async def close(self) -> None:
        await self._flights.close()
        await self._upstream.close()
        await self._store.close()

    async def handle(self, request: Request, responder: Responder) -> None:
        """Answer one request. Raises ClientLeft when the answer broke off, so that the server cuts the connection."""
        if request.target.startswith(b"/-/") or request.target == b"/metrics":
            await self._own(request, responder)
            return
        name, target = locate(request.target)
        found = self._policy.find(name)
        if found is None:
            message = "the first part of the path names no host or provider of the gateway's policy"
            reply.fields(responder, 403, {"error": {"message": message, "code": "gateway_unknown_host"}})
            return
        provider, host = found
        path = target.partition(b"?")[0].decode("latin-1")
        call = Call(provider, host, target, provider.route(request.method, path), request)
        await self._measured(call, decide(call, random.random()), responder)

    async def _measured(self, call: Call, plan: Plan, responder: Responder) -> None:
        began = time.monotonic()
        provider = call.provider.name
        label = "FAILED"
        try:
            label = await self._answer(call, plan, responder)
        except (UpstreamError, Busy) as error:
            if isinstance(error, Busy):
                label = "BUSY"
            reply.problem(responder, error, provider)
        finally:
            seconds = time.monotonic() - began
            route = call.route.name if call.route is not None else "other"
            self.metrics.count("requests_total", provider, route, label)
            self.metrics.took(provider, label, seconds)
            # Names of the policy's and figures: no path, no header, no body.
            log.debug("%s %s %s %.1f ms", provider, route, label, seconds * 1000)

    async def _answer(self, call: Call, plan: Plan, responder: Responder) -> str:
        label: str | None = None
        reason = plan.reason
        if plan.cached and call.route is not None:
            if call.route.answer == "items":
                label = await self._items.answer(call, plan, responder)
                reason = "cannot be taken apart"
            elif call.route.answer in ("fal_submit", "fal_status", "fal_cancel") or self._is_queue_result(call):
                label = await self._fal.answer(call, plan, responder)
                reason = "passed on"
            elif call.route.answer == "image":
                label = await self._image(call, plan, responder)
            else:
                label = await self._whole(call, plan, responder)
        if label is None:
            self.metrics.count("bypass_total", call.provider.name, reason)
            label = await self._pass(call, plan, responder)
        return label

    @staticmethod
    def _is_queue_result(call: Call) -> bool:
        return call.route is not None and call.route.answer == "fal_result" and call.route.method == "GET"

    async def _pass(self, call: Call, plan: Plan, responder: Responder) -> str:
        """Pass a call through unchanged; a client that leaves ends it."""
        async with self._exchange.ask(call, plan, call.request) as answer:
            size = await reply.stream(responder, answer, reply.BYPASS)
        self.metrics.count("upstream_bytes_total", call.provider.name, by=size)
        return reply.BYPASS

    async def _whole(self, call: Call, plan: Plan, responder: Responder) -> str:
        """Answer a call whose answer is kept as it is, plain or streamed."""
        assert call.route is not None
        entry = None
        if plan.read:
            entry = (await self._store.get(call.provider.name, [plan.key], call.route.grace))[0]
        if entry is not None and self._fresh(entry, plan):
            reply.kept(responder, entry, time.time())
            self.metrics.count("cache_bytes_total", call.provider.name, by=len(entry.body))
            return reply.HIT
        return await self._fly(call, plan, responder, entry, self._policy.cache.answer_bytes, self._store.put)

    async def _image(self, call: Call, plan: Plan, responder: Responder) -> str:
        """Answer with an image. A kept one for which there is no room in memory comes from its provider."""
        assert call.route is not None
        provider, entry = call.provider.name, None
        size = self._store.image_size(provider, plan.key)
        with self._held.hold(size):
            if plan.read and not self._held.full(size):
                entry = await self._store.get_image(provider, plan.key, call.route.grace)
            if entry is not None and self._fresh(entry, plan):
                self.metrics.count("cache_bytes_total", provider, by=len(entry.body))
                await reply.kept_long(responder, entry, time.time())
                return reply.HIT
        return await self._fly(call, plan, responder, entry, self._policy.cache.image_bytes, self._store.put_image)

    async def _fly(
        self, call: Call, plan: Plan, responder: Responder, stale: Entry | None, limit: int, put: Put
    ) -> str:
        # From here to `join` nothing is awaited: an answer that came since the look into the cache is still a flight.
        flight, label = self._flights.find(plan), reply.COALESCED
        if flight is None:
            label = reply.MISS
            generation = self._store.generation(call.provider.name)

            async def keep(head: Head, body: bytes, _clients: int) -> None:
                await self._keep(call, plan, head, body, generation, put)

            flight = self._flights.launch(call, plan, limit, stale, keep)
        with flight.join() as reader:
            return await reply.relay(responder, reader, label)

    @staticmethod
    def _fresh(entry: Entry, plan: Plan) -> bool:
        now = time.time()
        return entry.fresh_until > now and (plan.max_age is None or entry.age(now) <= plan.max_age)

    async def _keep(self, call: Call, plan: Plan, head: Head, body: bytes, generation: int, put: Put) -> None:
        assert call.route is not None
        provider = call.provider.name
        reason = answers.why_not(call.route.answer, head, body)
        if not reason and generation != self._store.generation(provider):
            reason = "purged meanwhile"
        if reason:
            self.metrics.count("not_kept_total", provider, reason)
            return
        entry, keep = new_entry(head, body, call.route, self._policy.cache.jitter)
        await put(provider, plan.key, entry, keep)
        self.metrics.count("kept_total", provider)

    # The gateway's own addresses.

    async def _own(self, request: Request, responder: Responder) -> None:
        path = request.target.partition(b"?")[0]
        if path == b"/-/health":
            reply.fields(responder, 200, {"status": "ok", "cache": self._store.state}, "NONE")
        elif path == b"/metrics":
            reply.text(responder, 200, self.metrics.render(self._gauges()), b"text/plain; version=0.0.4; charset=utf-8")
        elif path.startswith(b"/-/purge/"):
            await self._purge(request, path.removeprefix(b"/-/purge/").decode("latin-1"), responder)
        else:
            reply.text(responder, 404, b"not found\n")

    async def _purge(self, request: Request, provider: str, responder: Responder) -> None:
        if provider not in self._policy.providers:
            reply.fields(responder, 404, {"error": f"there is no provider {provider[:40]!r} in the policy"}, "NONE")
            return
        if request.method != "POST":
            reply.fields(responder, 405, {"error": "to purge is to POST"}, "NONE", [(b"allow", b"POST")])
            return
        self._fal.purge(provider)
        removed = await self._store.purge(provider)
        log.info("purged %s: %d keys", provider, removed)
        reply.fields(responder, 200, {"provider": provider, "removed": removed, "cache": self._store.state}, "NONE")

    def _gauges(self) -> Iterator[tuple[str, str, str, float]]:
        gates = self._exchange.gates
        for name, text, attribute in (
            ("waits_total", "Calls that waited for their turn at the provider.", "waits"),
            ("wait_seconds_total", "Seconds waited for turns.", "waited_seconds"),
            ("busy_total", "Calls answered with 429 by the gateway.", "refused"),
        ):
            for provider, gate in gates.items():
                yield name, text, f'{{provider="{provider}"}}', getattr(gate, attribute)
        store = self._store
        yield "cache_up", "Whether Redis answers (1), is away (0), or is not used (-1).", "", {
            "up": 1, "away": 0, "off": -1
        }[store.state]  # fmt: skip
        yield "cache_errors_total", "Exchanges with Redis that failed or took too long.", "", store.errors
        yield "cache_refused_total", "Writes that Redis refused: no memory, disk full, read-only.", "", store.refused
        yield "held_bytes", "Bytes of requests and answers in memory.", "", self._held.total
        yield "images", "Images kept.", "", len(store.images)
        yield "image_bytes", "Bytes of images kept.", "", store.images.total
        yield "upstream_connects_total", "Connections made to providers.", "", self._upstream.connects
