# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio

import pytest
from headroom_gateway.flight import Flight
from headroom_gateway.flights import Flights
from headroom_gateway.held import PIECE_BYTES, Held
from headroom_gateway.http_message import Head
from headroom_gateway.plan import Plan

HEAD = Head(200, [])


async def read_all(flight, ready=None):
    with flight.join() as reader:
        if ready is not None:
            ready.set()
        await reader.head()
        return b"".join([chunk async for chunk in reader.body()])


def test_early_and_late_readers_get_the_same():
    async def scenario():
        flight = Flight(1000, Held())
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
        flight = Flight(1000, Held())
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
        flight = Flight(1000, Held())
        flight.begin(HEAD)
        await flight.feed(b"half")
        flight.fail(RuntimeError("cut"))
        seen = []
        with flight.join() as reader, pytest.raises(RuntimeError):
            async for chunk in reader.body():
                seen.append(chunk)
        assert seen == [b"half"]
        silent = Flight(10, Held())
        silent.fail(RuntimeError("no answer"))
        with silent.join() as reader, pytest.raises(RuntimeError):
            await reader.head()

    asyncio.run(scenario())


def test_beyond_the_limit_the_provider_is_read_no_faster_than_the_slowest():
    async def scenario():
        flight = Flight(10, Held())
        flight.begin(HEAD)

        async def feed():
            for _unused in range(10):
                await flight.feed(b"0123")
            flight.end()

        with flight.join():  # takes part, and reads nothing
            fast = asyncio.create_task(read_all(flight))
            feeding = asyncio.create_task(feed())
            await asyncio.sleep(0.02)
            assert flight.too_much == "too long" and not feeding.done()
        await asyncio.wait_for(feeding, 1)
        assert await fast == b"0123" * 10

    asyncio.run(scenario())


def test_beyond_the_limit_nothing_is_lost_and_memory_is_bounded():
    async def scenario():
        held, seen = Held(), []
        flight = Flight(10, held)
        flight.begin(HEAD)

        async def feed():
            for number in range(200):
                await flight.feed(b"%04d" % number)
                seen.append(held.total)
            flight.end()

        one, two, feeding = (asyncio.create_task(work) for work in (read_all(flight), read_all(flight), feed()))
        results = await asyncio.wait_for(asyncio.gather(one, two, feeding), 5)
        assert results[0] == results[1] == b"".join(b"%04d" % number for number in range(200))
        assert max(seen) <= 14

    asyncio.run(scenario())


def test_what_finds_no_room_is_passed_on_and_what_is_small_is_held_in_any_case():
    async def scenario():
        held = Held(3 * PIECE_BYTES)
        piece = b"x" * PIECE_BYTES
        one, two, small = (Flight(1 << 30, held) for _unused in range(3))
        reading = [asyncio.create_task(read_all(flight)) for flight in (one, two, small)]
        await asyncio.sleep(0)
        for flight in (one, two, small):
            flight.begin(HEAD)
        for _unused in range(3):
            await one.feed(piece)
        await small.feed(piece)
        for _unused in range(3):
            await two.feed(piece)
        assert (one.too_much, two.too_much, small.too_much) == ("", "no room", "")
        assert held.total <= 5 * PIECE_BYTES
        for flight in (one, two, small):
            flight.end()
            flight.close()
        sizes = [len(body) for body in await asyncio.gather(*reading)]
        return sizes, held.total

    assert asyncio.run(scenario()) == ([3 * PIECE_BYTES, 3 * PIECE_BYTES, PIECE_BYTES], 0)


def test_nobody_joins_a_flight_whose_beginning_is_gone():
    async def scenario():
        flights = Flights(None, None, Held())
        flights._flights[b"key"] = flight = Flight(3, Held())
        plan = Plan(True, key=b"key")
        flight.begin(HEAD)
        before = flights.find(plan)
        with flight.join():  # and reads nothing, so that feeding waits
            feeding = asyncio.create_task(flight.feed(b"12345"))
            await asyncio.sleep(0)
            after = flights.find(plan)
        await feeding
        return before is flight, after

    assert asyncio.run(scenario()) == (True, None)


def test_beyond_the_limit_with_nobody_left_reading_goes_on():
    async def scenario():
        flight = Flight(10, Held())
        flight.begin(HEAD)
        for _unused in range(10):
            await asyncio.wait_for(flight.feed(b"0123456789"), 1)
        flight.end()

    asyncio.run(scenario())
