# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A client that the application closes while its call waits: the call ends, and is not made and paid for again."""

from __future__ import annotations

import pytest

SYNC = """
import {library} as library, threading, time

def call():
    try:
        print(client.post(URL).text)
    except Exception as error:
        print(type(error).__name__)

client = library.Client().__enter__()
waiting = threading.Thread(target=call)
waiting.start()
time.sleep(0.4)
client.{end}
waiting.join()
"""
ASYNC = """
import {library} as library, asyncio

async def call(client):
    try:
        print((await client.post(URL)).read())
    except Exception as error:
        print(type(error).__name__)

async def main():
    client = await library.{client}().__aenter__()
    waiting = asyncio.ensure_future(call(client))
    await asyncio.sleep(0.4)
    await client.{end}
    await waiting
asyncio.run(main())
"""


@pytest.mark.parametrize("end", ["close()", "__exit__(None, None, None)"])
@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_httpx(program, gateway, provider, library, end):
    gateway.mode = "slow"
    assert program(SYNC.format(library=library, end=end)) == ("ReadError\n", "")
    assert (len(gateway.seen), provider.seen) == (1, [])


@pytest.mark.parametrize("leaves", [False, True])
@pytest.mark.parametrize(
    ("library", "client", "close", "error"),
    [
        ("httpx", "AsyncClient", "aclose()", "ReadError"),
        ("httpx2", "AsyncClient", "aclose()", "ReadError"),
        ("aiohttp", "ClientSession", "close()", "ServerDisconnectedError"),
    ],
)
def test_async(program, gateway, provider, library, client, close, error, leaves):
    gateway.mode = "slow"
    end = "__aexit__(None, None, None)" if leaves else close
    assert program(ASYNC.format(library=library, client=client, end=end)) == (f"{error}\n", "")
    assert (len(gateway.seen), provider.seen) == (1, [])


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_transport_that_was_closed_once_goes_round_a_gateway_as_before(program, gateway, provider, library):
    """A transport that several clients share: one of them has been closed."""
    gateway.mode = "drop"
    said, _errors = program(
        f"""
        import {library} as httpx
        transport = httpx.HTTPTransport()
        httpx.Client(transport=transport).close()
        print(httpx.Client(transport=transport).post(URL).status_code)
        """
    )
    assert (said, len(provider.seen)) == ("200\n", 1)
