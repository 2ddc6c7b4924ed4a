# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The control API: what the load and the tests ask of the stand-ins. Plain HTTP, inside the sandbox's network."""

from __future__ import annotations

import dataclasses
from typing import Any

from aiohttp import web

from sandbox.providers.calls import Fault
from sandbox.providers.stand_ins import Providers

MAX_WAIT = 30.0
"""Seconds that one call for replies may wait."""


class Control:
    """GET /health, /counters, /faults, /replies; POST /reset, /faults, /settings, /messages; DELETE /faults."""

    def __init__(self, stand_ins: Providers) -> None:
        self.stand_ins = stand_ins

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/health", self._health),
                web.get("/counters", self._counters),
                web.post("/reset", self._reset),
                web.get("/faults", self._list_faults),
                web.post("/faults", self._add_fault),
                web.delete("/faults", self._clear_faults),
                web.post("/settings", self._settings),
                web.post("/messages", self._messages),
                web.get("/replies", self._replies),
            ]
        )
        return app

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _counters(self, _request: web.Request) -> web.Response:
        body = self.stand_ins.counters.as_dict()
        body["deepl_characters"] = self.stand_ins.deepl.used
        return web.json_response(body)

    async def _reset(self, request: web.Request) -> web.Response:
        """Start counting from nothing; `?seed=N` starts the delays anew too. Jobs that run go on."""
        self.stand_ins.counters.reset()
        self.stand_ins.deepl.used = 0
        self.stand_ins.clock.reseed(int(request.query.get("seed", self.stand_ins.seed)))
        await self.stand_ins.telegram.chats.forget()
        return web.json_response({"status": "ok"})

    async def _list_faults(self, _request: web.Request) -> web.Response:
        return web.json_response([dataclasses.asdict(fault) for fault in self.stand_ins.faults.active])

    async def _add_fault(self, request: web.Request) -> web.Response:
        """Take one fault: the fields of `calls.Fault`."""
        try:
            fault = Fault(**await request.json())
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.stand_ins.faults.active.append(fault)
        return web.json_response(dataclasses.asdict(fault))

    async def _clear_faults(self, _request: web.Request) -> web.Response:
        self.stand_ins.faults.active.clear()
        return web.json_response([])

    async def _settings(self, request: web.Request) -> web.Response:
        """Change limits while running: latency_scale, fal_slots, deepl_quota, telegram_per_second."""
        wanted: dict[str, Any] = await request.json()
        known = {
            "latency_scale": (self.stand_ins.clock, "scale", float),
            "fal_slots": (self.stand_ins.fal, "slots", int),
            "deepl_quota": (self.stand_ins.deepl, "quota", int),
            "telegram_per_second": (self.stand_ins.telegram.limiter, "limit", int),
        }
        if unknown := sorted(set(wanted) - set(known)):
            return web.json_response({"error": f"no such setting: {', '.join(unknown)}"}, status=400)
        for name, value in wanted.items():
            holder, attribute, kind = known[name]
            setattr(holder, attribute, kind(value))
        return web.json_response(
            {name: getattr(holder, attribute) for name, (holder, attribute, _unused) in known.items()}
        )

    async def _messages(self, request: web.Request) -> web.Response:
        """Let users write: a list of {chat_id, text} or {chat_id, picture: number}. Returns the messages' numbers."""
        write = self.stand_ins.telegram.chats.write
        wanted = await request.json()
        numbers = [await write(int(item["chat_id"]), item.get("text"), item.get("picture")) for item in wanted]
        return web.json_response({"message_ids": numbers})

    async def _replies(self, request: web.Request) -> web.Response:
        """Return what the bot sent, after number `after`; wait up to `wait` seconds when there is nothing yet."""
        wait = min(float(request.query.get("wait", "0")), MAX_WAIT)
        replies, last = await self.stand_ins.telegram.chats.replies(int(request.query.get("after", "0")), wait)
        return web.json_response({"replies": replies, "last": last})
