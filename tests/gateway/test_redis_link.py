# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The link to Redis against a real one: each exchange has its own time, and no other's."""

from __future__ import annotations

import asyncio
import signal

import pytest
from headroom_gateway.redis_link import RedisLink

from place import seconds_of

PING = (b"PING",)


def blocking(seconds):
    """A command that Redis answers after some seconds."""
    return (b"BLPOP", b"nobody fills this", b"%g" % seconds)


def run(redis, scenario):
    async def linked():
        link = RedisLink(redis.url, 0.2, 9, 0.1)
        try:
            assert await link.call(PING) == [b"PONG"]
            return await scenario(link)
        finally:
            await link.close()

    return asyncio.run(linked())


def test_what_was_answered_in_time_does_not_hurry_the_next(redis):
    async def scenario(link):
        assert await link.call(PING) == [b"PONG"]
        return await link.call(blocking(0.4), seconds=1.0), link.errors

    assert run(redis, scenario) == ([None], 0)


@pytest.mark.parametrize("limits", [(2.0, 0.2), (0.2, 2.0)])
def test_the_first_exchange_that_is_late_ends_the_connection(redis, limits):
    async def scenario(link):
        redis.process.signal(signal.SIGSTOP)
        try:
            late = await asyncio.gather(*(seconds_of(link.call(PING, seconds=limit)) for limit in limits))
        finally:
            redis.process.signal(signal.SIGCONT)
        # Both failed together: one failure, and a new connection answers.
        return late, link.errors, await link.call(PING)

    late, errors, after = run(redis, scenario)
    assert [reply for reply, _seconds in late] == [None, None]
    assert all(0.15 < seconds < 1.0 for _reply, seconds in late)
    assert errors == 1
    assert after == [b"PONG"]


def test_many_questions_at_once_get_their_own_answers(redis):
    async def scenario(link):
        return await asyncio.gather(*(link.call((b"ECHO", b"%d" % n), (b"ECHO", b"-%d" % n)) for n in range(500)))

    assert run(redis, scenario) == [[b"%d" % n, b"-%d" % n] for n in range(500)]


def test_a_reply_longer_than_a_read(redis):
    long = b"x" * 1_000_000

    async def scenario(link):
        return await link.call((b"ECHO", long), PING, seconds=2.0)

    assert run(redis, scenario) == [long, b"PONG"]
