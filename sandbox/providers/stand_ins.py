# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All stand-ins behind one port, with counting and faults in front."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox import providers
from sandbox.providers.calls import Clock, Counters, Faults, cut_short
from sandbox.providers.deepl import DeepL
from sandbox.providers.fal import Fal
from sandbox.providers.kinds import kind_of
from sandbox.providers.openai import OpenAI
from sandbox.providers.telegram import Telegram

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Providers:
    """Everything behind port 443, with counting and faults in front."""

    def __init__(self, seed: int = 1, scale: float = 1.0) -> None:
        self.seed = seed
        self.counters = Counters()
        self.clock = Clock(seed, scale)
        self.faults = Faults(self.clock.chance)
        self.telegram = Telegram(self.clock, self.counters)
        self.openai = OpenAI(self.clock)
        self.fal = Fal(self.clock, self.counters)
        self.deepl = DeepL(self.clock)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._count], client_max_size=60 * 2**20)
        app.add_domain(providers.TELEGRAM, self.telegram.application())
        app.add_domain(providers.OPENAI, self.openai.application())
        app.add_domain(providers.FAL_QUEUE, self.fal.queue_application())
        app.add_domain(providers.FAL_RUN, self.fal.run_application())
        app.add_domain(providers.FAL_MEDIA, self.fal.media_application())
        for name in providers.DEEPL:
            app.add_domain(name, self.deepl.application())
        return app

    @web.middleware
    async def _count(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        body = await request.read() if request.path == "/v1/chat/completions" else b""
        kind = kind_of(request.host.partition(":")[0], request.method, request.path, body)
        self.counters.call(kind)
        fault = self.faults.take(kind)
        if fault is not None and fault.mode == "status":
            self.counters.error(kind, fault.status)
            headers = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return web.json_response({"error": {"message": "fault", "type": "server_error"}}, status=fault.status,
                                     headers=headers)  # fmt: skip
        if fault is not None and fault.mode == "slow":
            await asyncio.sleep(fault.seconds)
        cut_short.set(fault is not None and fault.mode == "cut")
        try:
            response = await handler(request)
        except web.HTTPException as error:
            self.counters.error(kind, error.status)
            raise
        if response.status >= 400:
            self.counters.error(kind, response.status)
        if cut_short.get() and isinstance(response, web.Response):
            return await _half(request, response)
        return response


async def _half(request: web.Request, whole: web.Response) -> web.StreamResponse:
    """Send the first half of an answer under its full length, then break the connection."""
    body = whole.body if isinstance(whole.body, bytes) else b""
    response = web.StreamResponse(status=whole.status, headers={"Content-Type": whole.content_type})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
    return response
