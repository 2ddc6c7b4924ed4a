# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio

import pytest
from headroom_gateway.flight import Flight
from headroom_gateway.http_message import Head

HEAD = Head(200, [])


async def read_all(flight, ready=None):
    with flight.join() as reader:
        if ready is not None:
            ready.set()
        await reader.head()
        return b"".join([chunk async for chunk in reader.body()])


def test_early_and_late_readers_get_the_same():
    async def scenario():
        flight = Flight(1000)
        early = asyncio.create_task(read_all(flight))
        await asyncio.sleep(0)
        flight.begin(HEAD)
        await flight.feed(b"one ")
        late = asyncio.create_task(read_all(flight))
        await asyncio.sleep(0)
        await flight.feed(b"two")
        flight.end()
        after = await read_all(flight)
        return await early, await late, after

    assert asyncio.run(scenario()) == (b"one two",) * 3


def test_a_reader_who_leaves_takes_nothing_from_the_others():
    async def scenario():
        flight = Flight(1000)
        leaving, staying = asyncio.create_task(read_all(flight)), asyncio.create_task(read_all(flight))
        await asyncio.sleep(0)
        flight.begin(HEAD)
        await flight.feed(b"a")
        leaving.cancel()
        await asyncio.sleep(0)
        await flight.feed(b"b")
        flight.end()
        return await staying

    assert asyncio.run(scenario()) == b"ab"


def test_a_broken_flight_breaks_for_all_and_after_what_came():
    async def scenario():
        flight = Flight(1000)
        flight.begin(HEAD)
        await flight.feed(b"half")
        flight.fail(RuntimeError("cut"))
        seen = []
        with flight.join() as reader, pytest.raises(RuntimeError):
            async for chunk in reader.body():
                seen.append(chunk)
        assert seen == [b"half"]
        silent = Flight(10)
        silent.fail(RuntimeError("no answer"))
        with silent.join() as reader, pytest.raises(RuntimeError):
            await reader.head()

    asyncio.run(scenario())


def test_beyond_the_limit_the_provider_is_read_no_faster_than_the_slowest():
    async def scenario():
        flight = Flight(10)
        flight.begin(HEAD)

        async def feed():
            for _unused in range(10):
                await flight.feed(b"0123")
            flight.end()

        with flight.join():  # takes part, and reads nothing
            fast = asyncio.create_task(read_all(flight))
            feeding = asyncio.create_task(feed())
            await asyncio.sleep(0.02)
            assert not flight.whole and not feeding.done()
        await asyncio.wait_for(feeding, 1)
        assert await fast == b"0123" * 10

    asyncio.run(scenario())


def test_beyond_the_limit_nothing_is_lost_and_memory_is_bounded():
    async def scenario():
        flight = Flight(10)
        flight.begin(HEAD)
        held = []

        async def feed():
            for number in range(200):
                await flight.feed(b"%04d" % number)
                held.append(len(flight.body()))
            flight.end()

        one, two, feeding = (asyncio.create_task(work) for work in (read_all(flight), read_all(flight), feed()))
        results = await asyncio.wait_for(asyncio.gather(one, two, feeding), 5)
        assert results[0] == results[1] == b"".join(b"%04d" % number for number in range(200))
        assert max(held) <= 14

    asyncio.run(scenario())


def test_beyond_the_limit_with_nobody_left_reading_goes_on():
    async def scenario():
        flight = Flight(10)
        flight.begin(HEAD)
        for _unused in range(10):
            await asyncio.wait_for(flight.feed(b"0123456789"), 1)
        flight.end()

    asyncio.run(scenario())
