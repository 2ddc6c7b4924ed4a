# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""requests: the adapter, below sessions, proxies and redirects."""

from __future__ import annotations

import functools
import os

from headroom_redirect.route import CONNECT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any

    from headroom_redirect.route import Route


class _Adapters:
    """One adapter for the gateway in each process, without retries: the application's are about the provider."""

    def __init__(self, make: Any) -> None:
        self._make = make
        self._adapters: dict[int, Any] = {}

    def get(self) -> Any:
        """Return this process's. Connections must not be shared with a forked child, as those of RQ's jobs."""
        process = os.getpid()
        if process not in self._adapters:
            self._adapters = {process: self._make()}
        return self._adapters[process]


def hook(module: ModuleType, route: Route) -> None:
    """Redirect what every HTTPAdapter sends. A request that goes through a proxy is left alone."""
    requests: Any = module
    adapter_class = requests.adapters.HTTPAdapter
    direct = adapter_class.send
    adapters = _Adapters(adapter_class)

    @functools.wraps(direct)
    def send(
        self: Any,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        def to_provider() -> Any:
            return direct(self, request, stream=stream, timeout=timeout, verify=verify, cert=cert, proxies=proxies)

        def to_gateway() -> Any:
            """Return its answer, None where the provider is to be asked."""
            try:
                response = direct(adapters.get(), redirected, stream=stream, timeout=_timeout(timeout))
            except requests.exceptions.ConnectionError as error:
                if not _has_body(request) and not _unsent(error):
                    raise
                route.failed(repr(error))
                return None
            if _has_body(request) and not route.answered(response.status_code, response.headers):
                response.close()
                return None
            return response

        url = route.url(request.url)
        if url is None or requests.utils.select_proxy(request.url, proxies):
            return to_provider()
        redirected = request.copy()
        redirected.url = url
        response, retries = to_gateway(), requests.adapters.Retry.from_int(self.max_retries)
        while response is not None and _has_body(request):
            retries = _after_waiting(requests, retries, request, response)
            if retries is None:
                break
            response = to_gateway()
        if response is None:
            return to_provider()
        # What the application sees, and what redirects are relative to, is the provider.
        response.url, response.request = request.url, request
        return response

    adapter_class.send = send


def _after_waiting(requests: Any, retries: Any, request: Any, response: Any) -> Any:
    """Return what is left of the application's retries when it is time for the next one, None where this answer stands.

    As urllib3 does it for statuses: it cannot itself, as it does not know which answers are none of the provider's.
    """
    if not retries.is_retry(request.method, response.status_code, bool(response.headers.get("Retry-After"))):
        return None
    try:
        left = retries.increment(request.method, request.path_url, response.raw)
        response.close()
        left.sleep(response.raw)
    except requests.adapters.MaxRetryError as error:
        if not retries.raise_on_status:
            return None
        response.close()
        raise requests.exceptions.RetryError(error, request=request) from error
    except requests.adapters._HTTPError as error:  # a Retry-After that says nothing
        raise requests.exceptions.InvalidHeader(error, request=request) from error
    return left


def _has_body(request: Any) -> bool:
    """Tell whether the whole body is at hand, so that it can be sent again."""
    return request.body is None or isinstance(request.body, (bytes, str))


def _unsent(error: Exception) -> bool:
    """Tell whether there was no connection to send anything over; urllib3 hands the cause up inside its own error."""
    cause = getattr(error.args[0] if error.args else None, "reason", None)
    return type(cause).__name__ in ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError")


def _timeout(timeout: Any) -> Any:
    """Return requests' `timeout` (seconds, or a pair for connect and read, or urllib3's) with a short connect part."""
    if timeout is None or isinstance(timeout, (int, float)):
        timeout = (timeout, timeout)
    if not isinstance(timeout, tuple):
        return timeout
    connect, read = timeout
    return (CONNECT_SECONDS if connect is None else min(connect, CONNECT_SECONDS), read)
