# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where answers lie in Redis: `e:` one answer, `p:` a hash of small ones, `i:` an image, `t:` a ticket of Fal's.

After the letter comes the provider's name, so that a provider can be purged. Small answers share hashes, which Redis
keeps as one compact list: without that the bookkeeping of a 74-byte translation is larger than the translation.

Redis ends a hash as a whole. Each lives as long after its last write as any answer of the provider may, so no answer
shortens another's life; each answer's own end is in its bytes, and looked at when it is read.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from typing import Any

import hiredis

from headroom_gateway import entry as entries
from headroom_gateway.entry import Entry, Unreadable
from headroom_gateway.http_message import Head
from headroom_gateway.images import Ledger
from headroom_gateway.policy import Policy, Route
from headroom_gateway.redis_link import Command, RedisLink

BUCKETS = 256
"""Hashes for each provider: at `pack_entries` each, 25,600 small answers before any has to go early."""
IMAGE_SECONDS = 0.5
"""What moving an image of some megabytes may take."""
PURGE_BATCH = b"500"


def bucket(provider: str, key: bytes) -> bytes:
    """Return the name of the hash that a small answer lies in."""
    number = int.from_bytes(key[:2], "big") % BUCKETS
    return b"p:%b:%b" % (provider.encode(), number.to_bytes(2, "big"))


def name(letter: bytes, provider: str, key: bytes) -> bytes:
    return b"%b:%b:%b" % (letter, provider.encode(), key)


def surplus(held: dict[bytes, bytes], keep: int) -> list[bytes]:
    """Return the fields that have to leave a full hash: those whose freshness ends first."""
    ends = sorted(held, key=lambda field: held[field][5:9])  # entry.py's layout: the end of freshness
    return ends[: max(0, len(held) - keep)]


class Store:
    """Reads and writes answers. Every method does nothing, and finds nothing, while Redis is away."""

    def __init__(self, link: RedisLink | None, policy: Policy) -> None:
        self._link = link
        self._cache = cache = policy.cache
        self._hash_seconds = {
            name: max((route.ttl + route.grace for route in provider.routes), default=0.0)
            for name, provider in policy.providers.items()
        }
        self._longest = max(cache.answer_bytes, cache.image_bytes) + 65536
        self.images = Ledger(cache.images_total_bytes)
        self._image_turn = asyncio.Lock()
        self.refused = 0
        self._generations: dict[str, int] = {}

    def generation(self, provider: str) -> int:
        """Return a number that goes up with each purge: what was asked for before one must not be kept after it."""
        return self._generations.get(provider, 0)

    @property
    def state(self) -> str:
        if self._link is None:
            return "off"
        return "up" if self._link.up else "away"

    @property
    def errors(self) -> int:
        return 0 if self._link is None else self._link.errors

    async def start(self) -> None:
        """Learn which images are there already."""
        async for found in self._scan(b"i:*"):
            sizes = await self._call(*((b"STRLEN", image) for image in found))
            for image, size in zip(found, sizes or (), strict=False):
                if isinstance(size, int):
                    self.images.add(image, size)

    async def close(self) -> None:
        if self._link is not None:
            await self._link.close()

    async def get(self, provider: str, keys: Sequence[bytes], grace: float) -> list[Entry | None]:
        """Return the answers under these keys, past their time by at most `grace` seconds; None for each that is not
        there."""
        if self._link is None or not self._link.up:
            return [None] * len(keys)
        commands: list[Command] = []
        for key in keys:
            commands += ((b"GET", name(b"e", provider, key)), (b"HGET", bucket(provider, key), key))
        replies = await self._call(*commands)
        if replies is None:
            return [None] * len(keys)
        pairs = zip(replies[::2], replies[1::2], strict=True)
        since = time.time() - grace
        return [self._newer(self._read(alone, since), self._read(packed, since)) for alone, packed in pairs]

    async def put(self, provider: str, key: bytes, entry: Entry, keep: float) -> None:
        """Keep an answer for `keep` seconds."""
        data = entries.pack(entry)
        if len(data) > self._pack_limit():
            await self._write((b"SET", name(b"e", provider, key), data, b"EX", _seconds(keep)))
            return
        where, seconds = bucket(provider, key), _seconds(max(keep, self._hash_seconds[provider]))
        replies = await self._write((b"HSET", where, key, data), (b"EXPIRE", where, seconds), (b"HLEN", where))
        if replies is not None and isinstance(replies[2], int) and replies[2] > self._cache.pack_entries:
            await self._thin_out(where)

    def image_size(self, provider: str, key: bytes) -> int:
        """Return the size of a kept image in bytes, 0 when none is known."""
        return self.images.size(name(b"i", provider, key))

    async def get_image(self, provider: str, key: bytes, grace: float) -> Entry | None:
        image = name(b"i", provider, key)
        replies = await self._call((b"GET", image), seconds=IMAGE_SECONDS)
        found = self._read(replies[0], time.time() - grace) if replies else None
        if found is None:
            self.images.forget(image)
        else:
            self.images.used(image)
        return found

    async def put_image(self, provider: str, key: bytes, entry: Entry, keep: float) -> None:
        """Keep an image for `keep` seconds, as it is, and let the least recently used go when there is no room.

        One after the other: each is in memory more than once on its way.
        """
        async with self._image_turn:
            data = entries.pack(entry, compress=False)
            image = name(b"i", provider, key)
            leaving = self.images.add(image, len(data))
            if leaving:
                await self._call((b"UNLINK", *leaving))
            if image not in leaving:
                replies = await self._write((b"SET", image, data, b"EX", _seconds(keep)), seconds=IMAGE_SECONDS)
                if replies is None:
                    self.images.forget(image)

    async def get_ticket(self, provider: str, key: bytes) -> bytes | None:
        replies = await self._call((b"GET", name(b"t", provider, key)))
        return replies[0] if replies and isinstance(replies[0], bytes) else None

    async def put_ticket(self, provider: str, key: bytes, value: bytes, keep: float) -> None:
        await self._write((b"SET", name(b"t", provider, key), value, b"EX", _seconds(keep)))

    async def purge(self, provider: str) -> int:
        """Remove all of a provider's answers; return how many keys of Redis that were."""
        self._generations[provider] = self.generation(provider) + 1
        removed = 0
        for letter in (b"e", b"p", b"i", b"t"):
            async for found in self._scan(name(letter, provider, b"*")):
                replies = await self._call((b"UNLINK", *found))
                removed += replies[0] if replies and isinstance(replies[0], int) else 0
        for image in self.images.names(name(b"i", provider, b"")):
            self.images.forget(image)
        return removed

    async def _scan(self, pattern: bytes) -> Any:
        cursor = b"0"
        while True:
            replies = await self._call((b"SCAN", cursor, b"MATCH", pattern, b"COUNT", PURGE_BATCH))
            if not replies or isinstance(replies[0], hiredis.ReplyError):
                return
            cursor, found = replies[0]
            if found:
                yield found
            if cursor == b"0":
                return

    async def _call(self, *commands: Command, seconds: float | None = None) -> list[Any] | None:
        return None if self._link is None else await self._link.call(*commands, seconds=seconds)

    async def _write(self, *commands: Command, seconds: float | None = None) -> list[Any] | None:
        """Send commands that write. A refusal (no memory, disk full, read-only) loses the answer and nothing else."""
        replies = await self._call(*commands, seconds=seconds)
        if replies is not None and any(isinstance(reply, hiredis.ReplyError) for reply in replies):
            self.refused += 1
            return None
        return replies

    async def _thin_out(self, where: bytes) -> None:
        replies = await self._call((b"HGETALL", where))
        if not replies or not isinstance(replies[0], list):
            return
        held = dict(zip(replies[0][::2], replies[0][1::2], strict=True))
        # A quarter at a time, so that not every new answer has to do this.
        if leaving := surplus(held, self._cache.pack_entries * 3 // 4):
            await self._call((b"HDEL", where, *leaving))

    def _pack_limit(self) -> int:
        """Return the size up to which answers are packed: no longer compact beyond what Redis is set to."""
        known = self._link.settings if self._link is not None else {}
        allowed = known.get("hash-max-listpack-value", known.get("hash-max-ziplist-value", 64))
        return min(self._cache.pack_bytes, allowed)

    def _read(self, data: Any, since: float) -> Entry | None:
        """Return an entry whose freshness did not end before `since` (seconds since 1970)."""
        if not isinstance(data, bytes):
            return None
        try:
            entry = entries.unpack(data, self._longest)
        except Unreadable:
            return None
        return entry if entry.fresh_until >= since else None

    @staticmethod
    def _newer(one: Entry | None, other: Entry | None) -> Entry | None:
        if one is None or other is None:
            return one or other
        return one if one.stored >= other.stored else other


def _seconds(keep: float) -> bytes:
    return b"%d" % max(1, int(keep))


def new_entry(head: Head, body: bytes, route: Route, jitter: float) -> tuple[Entry, float]:
    """Make an entry of an answer that has just come; return it and the seconds that Redis shall keep it."""
    now = int(time.time())
    lifetime = entries.lifetime(route.ttl, jitter, random.random())
    headers = [pair for pair in head.headers if pair[0] in entries.KEPT_HEADERS]
    return Entry(now, now + lifetime, headers, body), lifetime + route.grace
