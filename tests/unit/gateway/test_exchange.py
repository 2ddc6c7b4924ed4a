# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import contextlib
import types

import pytest
from headroom_gateway.exchange import Exchange
from headroom_gateway.gate import Busy
from headroom_gateway.http_message import Head
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import decide


class AlwaysTooMany:
    """Stands in for Upstream: a provider that asks for a minute's pause each time."""

    def __init__(self):
        self.asked = []

    @contextlib.asynccontextmanager
    async def send(self, _provider, _host, target, request):
        self.asked.append((request.method, target))
        yield types.SimpleNamespace(head=Head(429, [(b"retry-after", b"60")]))


def test_a_pause_stops_the_calls_that_it_was_given_for_and_no_others(policy, call_to):
    upstream = AlwaysTooMany()
    exchange = Exchange(policy.providers, upstream, Metrics())

    async def ask(url, body=None, method="POST"):
        call = call_to(url, body, method, authorization="Bearer sk-one")
        async with exchange.ask(call, decide(call), call.request):
            pass

    async def work():
        for _unused in range(2):  # what is free of charge is asked for again, and stops nothing
            await ask("/replicate/v1/predictions/7", method="GET")
        await ask("/replicate/v1/predictions/7")
        await ask("/replicate/v1/predictions")
        with pytest.raises(Busy):
            await ask("/replicate/v1/predictions")
        await ask("/openai/v1/responses", {"model": "a"})
        await ask("/openai/v1/responses", {"model": "b"})
        await ask("/openai/v1/audio/speech", {"model": "a"})
        with pytest.raises(Busy):
            await ask("/openai/v1/responses", {"model": "a", "input": "x"})

    asyncio.run(work())
    assert len(upstream.asked) == 7
