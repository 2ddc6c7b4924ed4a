# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""aiohttp: the connector, below cookies and redirects, and the session, which knows when an answer has failed."""

from __future__ import annotations

import contextvars
import functools

from headroom_redirect.route import CONNECT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from headroom_redirect.route import Route


class _Call:
    """One call of a session: whether its connection has been led to the gateway."""

    def __init__(self) -> None:
        self.redirected = False


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("headroom_redirect_call", default=None)


def hook(module: ModuleType, route: Route) -> None:
    """Redirect what sessions send through TCP connectors. A request that goes through a proxy is left alone."""
    aiohttp: Any = module
    _hook_connector(aiohttp, route)
    _hook_session(aiohttp, route)


def _hook_connector(aiohttp: Any, route: Route) -> None:
    from asyncio import TimeoutError as Late

    direct = aiohttp.TCPConnector.connect

    @functools.wraps(direct)
    async def connect(self: Any, req: Any, traces: Any, timeout: Any) -> Any:
        call, url = _call.get(), req.url
        if call is not None:
            call.redirected = False
        if call is None or _elsewhere(aiohttp, self, req) or not route.takes(url.scheme, url.raw_host or "", url.port):
            return await direct(self, req, traces, timeout)
        # The request writes its path from this URL; the answer is made with the one that the application named.
        req.url = type(url)(route.gateway + route.path(url.raw_host, url.raw_path_qs), encoded=True)
        try:
            connection = await direct(self, req, traces, _short(timeout))
        except (aiohttp.ClientConnectorError, OSError, Late) as error:
            # Then the time went by in the application's own pool: an attempt to connect would have left a place in it.
            waited = isinstance(error, Late) and self._available_connections(req.connection_key) <= 0
            req.url = url
            if waited:
                raise
            route.failed(repr(error))
            return await direct(self, req, traces, timeout)
        call.redirected = True
        return connection

    aiohttp.TCPConnector.connect = connect


def _elsewhere(aiohttp: Any, connector: Any, req: Any) -> bool:
    """Tell whether a proxy is in the way: the request's, or that of a connector which connects in its own way."""
    name = "_wrap_create_connection"
    return bool(req.proxy) or getattr(type(connector), name, None) is not getattr(aiohttp.TCPConnector, name, None)


def _short(timeout: Any) -> Any:
    """Return the timeout with a short handshake. `connect` stays: it counts the wait for a place in the pool too."""
    seconds = min(timeout.sock_connect or CONNECT_SECONDS, CONNECT_SECONDS)
    return type(timeout)(
        total=timeout.total, connect=timeout.connect, sock_read=timeout.sock_read, sock_connect=seconds
    )


def _hook_session(aiohttp: Any, route: Route) -> None:
    direct = aiohttp.ClientSession._request

    @functools.wraps(direct)
    async def _request(self: Any, method: str, str_or_url: Any, **options: Any) -> Any:
        call = _Call()
        token = _call.set(call)

        def stands(answer: Any) -> bool:
            if not (call.redirected and _has_body(options)) or answer.headers is None:
                return True
            return route.answered(answer.status, answer.headers)

        try:
            response = await direct(self, method, str_or_url, **options)
            if stands(response):
                return response
            response.close()
        except aiohttp.ClientResponseError as error:
            # With `raise_for_status` an answer comes as this; what comes without headers is about something else.
            if stands(error):
                raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            # Of a connector's own errors none is about the gateway: those have been dealt with.
            if not call.redirected or isinstance(error, aiohttp.ClientConnectorError) or not _has_body(options):
                raise
            # A session that is closed while its call waits ends it in the same ones: nobody wants it made again.
            if self.closed:
                raise
            route.failed(repr(error))
        finally:
            _call.reset(token)
        return await direct(self, method, str_or_url, **options)

    aiohttp.ClientSession._request = _request


def _has_body(options: Any) -> bool:
    """Tell whether the whole body is at hand, so that it can be sent again."""
    return options.get("data") is None or isinstance(options["data"], (bytes, str))
