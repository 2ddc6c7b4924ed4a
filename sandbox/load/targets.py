# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two addresses that the load talks to, and the rule that they belong to a sandbox."""

from __future__ import annotations

import asyncio
import ipaddress
import time
import urllib.parse
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

API_SECONDS = 30.0
REPLY_WAIT_SECONDS = 10.0


class NotASandbox(Exception):
    """The load was pointed at an address that may be somebody's real service."""


def check(url: str) -> str:
    """Return the URL without a slash at its end. Raises NotASandbox unless its host is a private IP address."""
    host = urllib.parse.urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise NotASandbox(f"{url}: give the address of a sandbox as a number, not as a name") from None
    if not address.is_private:
        raise NotASandbox(f"{url}: {address} is a public address; the load only ever goes to a sandbox")
    return url.rstrip("/")


class Providers:
    """The control of the stand-in providers: users write through it, and the bot's replies come back."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = check(url)

    async def _json(self, method: str, path: str, body: Any = None) -> Any:
        async with self._session.request(method, self._url + path, json=body) as response:
            response.raise_for_status()
            return await response.json()

    async def reset(self, seed: int) -> None:
        await self._json("POST", f"/reset?seed={seed}")

    async def write(self, chat_id: int, text: str | None, picture: int | None) -> None:
        """Let a user send a text, or a camera picture."""
        await self._json("POST", "/messages", [{"chat_id": chat_id, "text": text, "picture": picture}])

    async def counters(self) -> dict[str, Any]:
        return dict(await self._json("GET", "/counters"))

    async def replies(self) -> AsyncIterator[dict[str, Any]]:
        """Yield what the bot sends from now on, without end."""
        last = (await self._json("GET", "/replies?after=0"))["last"]
        while True:
            answer = await self._json("GET", f"/replies?after={last}&wait={REPLY_WAIT_SECONDS}")
            last = answer["last"]
            for reply in answer["replies"]:
                yield reply


class Api:
    """The application's web side."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = check(url)

    async def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any, float]:
        """Return status (0: no answer), JSON body (None: not any) and seconds."""
        begin = time.monotonic()
        timeout = aiohttp.ClientTimeout(total=API_SECONDS)
        try:
            async with self._session.request(method, self._url + path, json=body, timeout=timeout) as response:
                raw = await response.read()
                seconds = time.monotonic() - begin
                answer = await response.json() if response.content_type == "application/json" and raw else None
                return response.status, answer, seconds
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError):
            return 0, None, time.monotonic() - begin
