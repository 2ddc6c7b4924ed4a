# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sessions and connectors of aiohttp can be told to do by an application that knows nothing of a gateway."""

from __future__ import annotations

import pytest

SESSION = """
import aiohttp, asyncio

async def calls(connector=None, times=1, **options):
    async with aiohttp.ClientSession(connector=connector, **options) as session:
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

async def main():
    await calls(Socks())
    await calls(aiohttp.TCPConnector())
asyncio.run(main())
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
