# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Calls with an array of texts: what is known of it comes from the cache, and the provider is asked for the rest."""

from __future__ import annotations

import asyncio
import json
import time

from headroom_gateway import items as arrays
from headroom_gateway import reply
from headroom_gateway.entry import Entry
from headroom_gateway.exchange import Exchange, plain
from headroom_gateway.gate import Busy
from headroom_gateway.http_message import Head, end_to_end
from headroom_gateway.items import Piece
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import Call, Plan, whole_key
from headroom_gateway.server import Responder
from headroom_gateway.store import Store, new_entry
from headroom_gateway.upstream import UpstreamError

MOST_ITEMS = 96
"""A longer array passes through: the whole answer is held in memory, 3 MB for 96 vectors of 3,072 numbers."""
_JSON = (b"content-type", b"application/json")


class NoPieces(Exception):
    """The provider's answer, when it is not one that can be taken apart."""

    def __init__(self, head: Head, body: bytes) -> None:
        super().__init__(f"status {head.status}")
        self.head = head
        self.body = body

    @property
    def others_fault(self) -> bool:
        """Whether it may say something of the texts beside one's own. Of the account and its limits all may hear."""
        return 400 <= self.head.status < 500 and self.head.status not in (401, 429)


class _Asked:
    """One call for some items. `answer` is what came, as it came."""

    def __init__(self, wanted: dict[bytes, object], everything: bool) -> None:
        self.wanted = wanted
        self.everything = everything
        self.generation = 0
        self.answer: tuple[Head, bytes] | None = None


class ItemCalls:
    """Answers such calls."""

    def __init__(self, store: Store, exchange: Exchange, metrics: Metrics, jitter: float) -> None:
        self._store = store
        self._exchange = exchange
        self._metrics = metrics
        self._jitter = jitter
        self._coming: dict[bytes, asyncio.Future[Piece]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(self, call: Call, plan: Plan, responder: Responder) -> str | None:
        """Answer a call; return what X-Cache said, None when the call has to be passed through."""
        assert call.route is not None and call.route.items is not None and plan.fields is not None
        shape = call.route.items
        found = arrays.split(plan.fields, shape)
        if found is None or len(found) > MOST_ITEMS:
            return None
        keys = [whole_key(call, plan.credential, arrays.with_items(plan.fields, shape, [item])) for item in found]
        wanted = dict(zip(keys, found, strict=True))
        fresh, stale, age = await self._known(call, plan, list(wanted))
        missing = [key for key in wanted if key not in fresh]
        self._metrics.count("items_total", call.provider.name, "hit", by=len(wanted) - len(missing))
        self._metrics.count("items_total", call.provider.name, "miss", by=len(missing))
        label = reply.HIT
        if missing:
            coming = {key: self._coming[key] for key in missing if key in self._coming}
            own = {key: wanted[key] for key in missing if key not in coming}
            asked = _Asked(own, everything=len(own) == len(found))
            if own:
                coming |= self._ask(call, plan, asked)
            await asyncio.wait(coming.values())
            label = reply.MISS if own else reply.COALESCED
            if len(missing) < len(wanted):
                label = reply.PARTIAL
            if asked.everything and asked.answer is not None and not (asked.answer[0].status >= 429 and stale):
                # Nothing was known: the provider's answer goes to the client byte for byte.
                reply.whole(responder, *asked.answer, label)
                return label
            for key, future in coming.items():
                error = future.exception()
                if error is None:
                    fresh[key] = future.result()
                elif key in stale and self._stands_in(error):
                    fresh[key] = stale[key]
                    label = reply.STALE
                elif key not in own and isinstance(error, NoPieces) and error.others_fault:
                    return None
                else:
                    return self._failed(error, responder, label)
        if label == reply.STALE:
            self._metrics.count("stale_total", call.provider.name)
        body = arrays.put_together([fresh[key] for key in keys], shape)
        reply.whole(responder, Head(200, [_JSON]), body, label, age)
        if label == reply.HIT:
            self._metrics.count("cache_bytes_total", call.provider.name, by=len(body))
        return label

    def _failed(self, error: BaseException, responder: Responder, label: str) -> str | None:
        if isinstance(error, NoPieces):
            if error.head.ok:
                return None
            reply.whole(responder, error.head, error.body, label)
            return label
        raise error

    @staticmethod
    def _stands_in(error: BaseException) -> bool:
        if isinstance(error, NoPieces):
            return error.head.status >= 500 or error.head.status == 429
        return isinstance(error, (UpstreamError, Busy))

    async def _known(
        self, call: Call, plan: Plan, keys: list[bytes]
    ) -> tuple[dict[bytes, Piece], dict[bytes, Piece], int | None]:
        """Return what is in the cache, fresh and stale, and the age of the oldest fresh one."""
        fresh: dict[bytes, Piece] = {}
        stale: dict[bytes, Piece] = {}
        oldest: int | None = None
        if not plan.read:
            return fresh, stale, oldest
        assert call.route is not None
        now = time.time()
        for key, entry in zip(keys, await self._store.get(call.provider.name, keys, call.route.grace), strict=True):
            piece = None if entry is None else arrays.from_bytes(entry.body)
            if entry is None or piece is None:
                continue
            age = entry.age(now)
            if entry.fresh_until > now and (plan.max_age is None or age <= plan.max_age):
                fresh[key] = piece
                oldest = max(age, oldest or 0)
            else:
                stale[key] = piece
        return fresh, stale, oldest

    def _ask(self, call: Call, plan: Plan, asked: _Asked) -> dict[bytes, asyncio.Future[Piece]]:
        loop = asyncio.get_running_loop()
        futures: dict[bytes, asyncio.Future[Piece]] = {key: loop.create_future() for key in asked.wanted}
        asked.generation = self._store.generation(call.provider.name)
        self._coming |= futures
        task = loop.create_task(self._fetch(call, plan, asked, futures))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return futures

    async def _fetch(self, call: Call, plan: Plan, asked: _Asked, futures: dict[bytes, asyncio.Future[Piece]]) -> None:
        try:
            pieces, head = await self._call(call, plan, asked)
            for future, piece in zip(futures.values(), pieces, strict=True):
                future.set_result(piece)
            if asked.generation == self._store.generation(call.provider.name):
                await self._keep(call, head, dict(zip(futures, pieces, strict=True)))
        except Exception as error:
            for future in futures.values():
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # whoever waits looks at it; when nobody does, that is no fault
        finally:
            for key, future in futures.items():
                if self._coming.get(key) is future:
                    del self._coming[key]

    async def _call(self, call: Call, plan: Plan, asked: _Asked) -> tuple[list[Piece], Head]:
        assert call.route is not None and call.route.items is not None and plan.fields is not None
        shape = call.route.items
        body = None
        if not asked.everything:
            rest = arrays.with_items(plan.fields, shape, list(asked.wanted.values()))
            body = json.dumps(rest, separators=(",", ":")).encode()
        async with self._exchange.ask(call, plan, plain(call.request, body)) as answer:
            parts = [chunk async for chunk in answer.body()]
        whole = b"".join(parts)
        self._metrics.count("upstream_bytes_total", call.provider.name, by=len(whole))
        asked.answer = (answer.head, whole)
        plain_json = answer.head.status == 200 and answer.head.header(b"content-encoding") in (b"", b"identity")
        pieces = arrays.take_apart(whole, list(asked.wanted.values()), shape) if plain_json else None
        if pieces is None:
            self._metrics.count("not_kept_total", call.provider.name, f"status {answer.head.status}")
            raise NoPieces(Head(answer.head.status, end_to_end(answer.head.headers), answer.head.reason), whole)
        return pieces, answer.head

    async def _keep(self, call: Call, head: Head, pieces: dict[bytes, Piece]) -> None:
        assert call.route is not None
        writes = []
        for key, piece in pieces.items():
            entry, keep = new_entry(head, piece.to_bytes(), call.route, self._jitter)
            entry = Entry(entry.stored, entry.fresh_until, [], entry.body)
            writes.append(self._store.put(call.provider.name, key, entry, keep))
        await asyncio.gather(*writes)
        self._metrics.count("kept_total", call.provider.name, by=len(writes))
