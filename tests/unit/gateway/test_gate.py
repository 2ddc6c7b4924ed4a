# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from headroom_gateway.gate import Busy, Gate


@pytest.fixture
def gate(policy):
    """Return a gate with these settings of a provider's; made inside the event loop."""

    def make(**changes):
        return Gate(dataclasses.replace(policy.providers["replicate"], **{"wait_seconds": 5.0, **changes}))

    return make


async def hold(gate, seconds, quota=b""):
    async with gate.turn(quota):
        await asyncio.sleep(seconds)


def elapsed(work):
    async def timed():
        loop = asyncio.get_running_loop()
        began = loop.time()
        await work()
        return loop.time() - began

    return asyncio.run(timed())


def test_so_many_at_once(gate):
    async def work():
        one = gate(concurrency=2)
        now = peak = 0

        async def call():
            nonlocal now, peak
            async with one.turn(b""):
                now += 1
                peak = max(peak, now)
                await asyncio.sleep(0.01)
                now -= 1

        await asyncio.gather(*(call() for _unused in range(9)))
        # On a busy machine a turn that is free takes more than the millisecond from which it counts as a wait.
        assert peak == 2 and 7 <= one.waits <= 9 and one.refused == 0

    asyncio.run(work())


def test_who_waits_too_long_is_told(gate):
    async def work():
        one = gate(concurrency=1, wait_seconds=0.05)
        holder = asyncio.create_task(hold(one, 0.2))
        await asyncio.sleep(0)
        with pytest.raises(Busy) as caught:
            await hold(one, 0)
        assert caught.value.retry_after >= 1 and one.refused == 1
        await holder
        await hold(one, 0)  # and the turn is free again

    asyncio.run(work())


def test_a_cancelled_wait_loses_no_turn(gate):
    async def work():
        one = gate(concurrency=1)
        holder = asyncio.create_task(hold(one, 0.02))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(hold(one, 0)) for _unused in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[2].cancel()
        await holder
        await asyncio.wait_for(waiting[1], 1)
        await asyncio.wait_for(hold(one, 0), 1)

    asyncio.run(work())


def test_a_turn_that_comes_in_the_moment_of_leaving_is_handed_on(gate):
    async def work():
        one = gate(concurrency=1)
        holder = asyncio.create_task(hold(one, 0))
        await asyncio.sleep(0)
        leaving, staying = asyncio.create_task(hold(one, 0)), asyncio.create_task(hold(one, 0))
        await asyncio.sleep(0)
        holder_done = asyncio.ensure_future(holder)
        await holder_done  # gives the turn to `leaving`, which has not run since
        leaving.cancel()
        await asyncio.wait_for(staying, 1)

    asyncio.run(work())


def test_a_pause_that_the_provider_asked_for(gate):
    async def work():
        one = gate(concurrency=0, wait_seconds=0.5)
        one.pause(b"mine", 0.1)
        await hold(one, 0, b"other")
        await hold(one, 0, b"mine")
        one.pause(b"mine", 30)
        with pytest.raises(Busy) as caught:
            await hold(one, 0, b"mine")
        assert caught.value.retry_after == 30

    assert 0.1 <= elapsed(work) < 0.4


def test_so_many_in_a_minute(gate):
    async def work():
        one = gate(concurrency=0, per_minute=1200)  # one every 50 ms, and 6 s of them at once
        for _unused in range(120):
            await hold(one, 0)
        for _unused in range(4):
            await hold(one, 0)

    assert 0.15 <= elapsed(work) < 0.6
