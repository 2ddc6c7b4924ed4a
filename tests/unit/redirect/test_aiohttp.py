# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sessions and connectors of aiohttp can be told to do by an application that knows nothing of a gateway."""

from __future__ import annotations

import socket

import pytest

SESSION = """
import aiohttp, asyncio

async def calls(connector=aiohttp.TCPConnector, times=1, limits={}, **options):
    async with aiohttp.ClientSession(connector=connector(**limits), **options) as session:
        async def call():
            try:
                async with session.post(URL, json={}) as response:
                    print(response.status, (await response.json(content_type=None))["from"])
            except Exception as error:
                print(type(error).__name__, getattr(error, "status", ""))
        await asyncio.gather(*(call() for _ in range(times)))
"""


def test_a_connector_that_connects_in_its_own_way_is_left_alone(program, gateway, provider):
    """A SOCKS connector: the proxy may be anywhere, and knows the provider's name, not the gateway's."""
    said, errors = program(
        SESSION
        + """
class Socks(aiohttp.TCPConnector):
    async def _wrap_create_connection(self, *arguments, **named):
        return await super()._wrap_create_connection(*arguments, **named)

asyncio.run(calls(Socks))
asyncio.run(calls())
"""
    )
    assert (said.splitlines(), errors) == (["200 provider", "200 gateway"], "")


@pytest.mark.parametrize(
    ("mode", "answer"),
    [
        ("nobody", "200 provider"),
        ("unreachable", "200 provider"),
        ("unknown", "200 provider"),
        ("decision", "ClientResponseError 429"),
        ("failure", "ClientResponseError 502"),
    ],
)
def test_an_answer_that_is_raised_is_judged_too(program, gateway, provider, mode, answer):
    gateway.mode = mode
    said, _errors = program(SESSION + "asyncio.run(calls(raise_for_status=True))")
    assert said.splitlines() == [answer]
    assert len(provider.seen) == ("provider" in answer)


@pytest.mark.parametrize("limit", ["limit", "limit_per_host"])
def test_waiting_for_the_application_s_own_pool_is_not_the_gateway_s_fault(program, gateway, provider, limit):
    gateway.mode = "slow"
    said, errors = program(
        SESSION + f"asyncio.run(calls(times=2, limits=dict({limit}=1), timeout=aiohttp.ClientTimeout(connect=0.3)))"
    )
    assert (said.splitlines(), errors) == (["ConnectionTimeoutError ", "200 gateway"], "")
    assert provider.seen == []


def test_a_gateway_that_is_too_slow_for_the_application_s_connect_timeout_means_the_provider(program, provider):
    """A listener whose queue is full lets nobody connect."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        said, errors = program(
            SESSION + "asyncio.run(calls(timeout=aiohttp.ClientTimeout(connect=0.3)))",
            redirect=f"http://127.0.0.1:{listener.getsockname()[1]}=provider.test",
        )
    assert said.splitlines() == ["200 provider"]
    assert errors.count("no answer from") == 1
