# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""httpx and httpx2 (the same interface under two names): their transports, below clients, proxies and redirects."""

from __future__ import annotations

import functools

from headroom_redirect.httpx_streams import continued
from headroom_redirect.route import CONNECT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from headroom_redirect.route import Route


def hook(module: ModuleType, route: Route) -> None:
    """Redirect what this module's own transports send. A transport that leads through a proxy is left alone."""
    httpx: Any = module
    _hook_sync(httpx, route)
    _hook_async(httpx, route)


def _hook_sync(httpx: Any, route: Route) -> None:
    direct = httpx.HTTPTransport.handle_request
    _note_closing(httpx.HTTPTransport, "close", "__exit__")

    @functools.wraps(direct)
    def handle_request(self: Any, request: Any) -> Any:
        redirected = _redirected(httpx, route, self, request)
        if redirected is None:
            return direct(self, request)
        closed = _closing(self)
        try:
            response = direct(self, redirected)
        except _not_answered(httpx) as error:
            if closed() or not _may_repeat(httpx, request, error):
                raise
            route.failed(repr(error))
            return direct(self, request)
        if not _has_body(request):
            return response
        if route.answered(response.status_code, response.headers):
            return continued(httpx, response, request, functools.partial(direct, self), closed)
        response.close()
        return direct(self, request)

    httpx.HTTPTransport.handle_request = handle_request


def _hook_async(httpx: Any, route: Route) -> None:
    direct = httpx.AsyncHTTPTransport.handle_async_request
    _note_closing(httpx.AsyncHTTPTransport, "aclose", "__aexit__")

    @functools.wraps(direct)
    async def handle_async_request(self: Any, request: Any) -> Any:
        redirected = _redirected(httpx, route, self, request)
        if redirected is None:
            return await direct(self, request)
        closed = _closing(self)
        try:
            response = await direct(self, redirected)
        except _not_answered(httpx) as error:
            if closed() or not _may_repeat(httpx, request, error):
                raise
            route.failed(repr(error))
            return await direct(self, request)
        if not _has_body(request):
            return response
        if route.answered(response.status_code, response.headers):
            return continued(httpx, response, request, functools.partial(direct, self), closed)
        await response.aclose()
        return await direct(self, request)

    httpx.AsyncHTTPTransport.handle_async_request = handle_async_request


def _note_closing(transport: Any, *names: str) -> None:
    """Let each transport of a class know how often it has been closed: by its client, or at the end of a `with`."""

    def noting(close: Any) -> Any:
        @functools.wraps(close)
        def note(self: Any, *arguments: Any, **named: Any) -> Any:
            self.headroom_closings = getattr(self, "headroom_closings", 0) + 1
            return close(self, *arguments, **named)

        return note

    for name in names:
        setattr(transport, name, noting(getattr(transport, name)))


def _closing(transport: Any) -> Callable[[], bool]:
    """Return what tells whether the transport has been closed since: who closes a client does not want its calls to
    be made again."""
    before = getattr(transport, "headroom_closings", 0)
    return lambda: bool(getattr(transport, "headroom_closings", 0) != before)


def _redirected(httpx: Any, route: Route, transport: Any, request: Any) -> Any:
    """Return the request for the gateway, None where it goes to the provider."""
    url = request.url
    if not route.takes(url.scheme, url.host, url.port) or _elsewhere(transport):
        return None
    path = route.path(url.host, url.raw_path.decode("ascii"))
    extensions = dict(request.extensions)
    timeout = dict(extensions.get("timeout") or {})
    timeout["connect"] = min(timeout.get("connect") or CONNECT_SECONDS, CONNECT_SECONDS)
    extensions["timeout"] = timeout
    # A request that is given its stream takes the headers as they are.
    return httpx.Request(
        request.method,
        httpx.URL(route.gateway).copy_with(raw_path=path.encode("ascii")),
        headers=request.headers,
        stream=request.stream,
        extensions=extensions,
    )


def _elsewhere(transport: Any) -> bool:
    """Tell whether the transport leads to a fixed place: a proxy, or a socket file."""
    pool = getattr(transport, "_pool", None)
    return "Proxy" in type(pool).__name__ or getattr(pool, "_uds", None) is not None


def _not_answered(httpx: Any) -> tuple[type[Exception], ...]:
    """Return the errors that come before an answer. A timeout while waiting for it is the provider's slowness."""
    return (httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)


def _has_body(request: Any) -> bool:
    """Tell whether the whole body is at hand, so that it can be sent again."""
    return hasattr(request, "_content")


def _may_repeat(httpx: Any, request: Any, error: Exception) -> bool:
    return isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)) or _has_body(request)
