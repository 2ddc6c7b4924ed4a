# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One call to a provider, with everything around it: its turn, its count, the pause that the provider may ask for."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping

from headroom_gateway import retry_after
from headroom_gateway.gate import Gate
from headroom_gateway.http_message import Request
from headroom_gateway.metrics import Metrics
from headroom_gateway.plan import Call, Plan, quota
from headroom_gateway.policy import Provider
from headroom_gateway.upstream import Answer, Upstream, UpstreamError

log = logging.getLogger(__name__)


class Exchange:
    """Calls providers."""

    def __init__(self, providers: Mapping[str, Provider], upstream: Upstream, metrics: Metrics) -> None:
        self.gates = {name: Gate(provider) for name, provider in providers.items()}
        self._upstream = upstream
        self._metrics = metrics

    @contextlib.asynccontextmanager
    async def ask(self, call: Call, plan: Plan, request: Request) -> AsyncIterator[Answer]:
        """Send `request` to the call's provider when its turn comes. Raises Busy, UpstreamError."""
        gate = self.gates[call.provider.name]
        # What is free of charge (status, results, pictures) takes no turn from what is not, and stops none of it.
        limit = quota(call, plan) if request.method == "POST" else None
        async with contextlib.AsyncExitStack() as stack:
            if limit is not None:
                await stack.enter_async_context(gate.turn(limit))
            try:
                answer = await stack.enter_async_context(
                    self._upstream.send(call.provider, call.host, call.target, request)
                )
            except UpstreamError as error:
                self._count(call, "0")
                log.warning("%s %s: %s", call.provider.name, _route(call), error)
                raise
            self._count(call, str(answer.head.status))
            if limit is not None:
                gate.pause(limit, retry_after.seconds(answer.head, time.time()))
            yield answer

    def _count(self, call: Call, status: str) -> None:
        self._metrics.count("upstream_calls_total", call.provider.name, _route(call), status)


def _route(call: Call) -> str:
    return call.route.name if call.route is not None else "other"


def plain(request: Request, body: bytes | None = None) -> Request:
    """Return the request as it is sent for an answer that shall be kept: not compressed, perhaps with another body."""
    headers = [pair for pair in request.headers if pair[0] != b"accept-encoding"]
    headers.append((b"accept-encoding", b"identity"))
    return Request(request.method, request.target, headers, request.body if body is None else body)
