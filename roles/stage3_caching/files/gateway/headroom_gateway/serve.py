# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the server until it is told to stop."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal

from headroom_gateway.gateway import Gateway
from headroom_gateway.held import Held
from headroom_gateway.policy import Policy
from headroom_gateway.redis_link import RedisLink
from headroom_gateway.server import Server
from headroom_gateway.settings import Settings
from headroom_gateway.store import Store
from headroom_gateway.upstream import Upstream

log = logging.getLogger(__name__)

STOP_SECONDS = 25.0
"""For answers under way when the container stops: less than the stop_grace_period that the role gives it (30 s)."""


def build(settings: Settings, policy: Policy) -> tuple[Gateway, Server, Store]:
    """Make all parts; nothing is opened yet."""
    cache = policy.cache
    link = None
    if settings.redis_url:
        link = RedisLink(settings.redis_url, cache.redis_seconds, cache.breaker_failures, cache.breaker_seconds)
    store = Store(link, policy)
    held = Held()
    gateway = Gateway(policy, store, Upstream(settings.upstream_ca), held)
    return gateway, Server(gateway.handle, cache.body_bytes, held), store


async def run(settings: Settings, policy: Policy) -> None:
    """Serve until SIGTERM or SIGINT."""
    gateway, server, store = build(settings, policy)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await store.start()
    port = await server.start(settings.host, settings.port)
    gc.collect()
    gc.freeze()  # what is there now stays: no need to look through it again and again
    log.info("listening on %s:%d, %d providers, cache %s", settings.host, port, len(policy.providers), store.state)
    await stop.wait()
    await server.close(STOP_SECONDS)
    await gateway.close()
