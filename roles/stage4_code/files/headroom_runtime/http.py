# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""http: one TLS context for all clients, timeouts where there are none, connections kept for calls without a client.

- httpx and httpx2 load 140 certificate authorities for each client: 0.7 MB and 20 ms, for `httpx.get()` at every call.
  Clients that verify as usual (`verify=True`, no client certificate, HTTP/1.1) share one context. A client that was
  given a context, a file or a certificate of its own keeps it.
- `requests` waits for ever where the application names no timeout: it gets `connect` and `read` seconds. (httpx has
  5 s of its own and keeps what the application says, `timeout=None` too; aiohttp has 5 minutes.)
- `requests.get()` and its sisters open a connection for each call and close it. They keep it for `keep` seconds, less
  than servers usually do, so that the next call does not meet a connection that the server is closing. Cookies,
  headers and all else stay with the call; a call with `verify=` or `cert=` goes the usual way.

Options: `connect` (seconds, default 10), `read` (seconds between two bytes, default 300), `keep` (seconds, default 3;
0 leaves calls alone).
"""

from __future__ import annotations

import os
import time

from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def context_key(arguments: tuple[Any, ...], named: dict[str, Any], environment: Any) -> tuple[Any, ...] | None:
    """What tells usual contexts apart; None for arguments (verify, cert, trust_env) that make an unusual one."""
    known = dict(zip(("verify", "cert", "trust_env"), arguments), **named)
    if (
        known.get("verify", True) is not True
        or known.get("cert") is not None
        or set(known) - {"verify", "cert", "trust_env"}
    ):
        return None
    trusted = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
    return tuple(environment.get(name) for name in trusted) if known.get("trust_env", True) else ("untrusted",)


def share_contexts(transports: Any, connect: float, read: float, keep: float) -> None:
    """Have `httpx._transports.default` (or httpx2's) make a usual TLS context once."""
    make = transports.create_ssl_context
    made: dict[Any, Any] = {}

    def create_ssl_context(*arguments: Any, **named: Any) -> Any:
        key = context_key(arguments, named, os.environ)
        if key is None:
            return make(*arguments, **named)
        if key not in made:
            made[key] = make(*arguments, **named)
        return made[key]

    transports.create_ssl_context = create_ssl_context
    for name in ("HTTPTransport", "AsyncHTTPTransport"):
        _keep_http2_apart(getattr(transports, name), make)


def _keep_http2_apart(transport: Any, make: Callable[..., Any]) -> None:
    """A connection sets on its context which protocols it offers: HTTP/2 clients get contexts of their own."""
    original = transport.__init__

    def __init__(self: Any, *arguments: Any, **named: Any) -> None:
        try:
            if named.get("http2") and named.get("verify", True) is True and not arguments:
                named["verify"] = make(trust_env=named.get("trust_env", True))
        except Exception as error:
            say("http: an HTTP/2 client shares its TLS context", error)
        original(self, *arguments, **named)

    __init__.__doc__, __init__.__wrapped__ = original.__doc__, original  # type: ignore[attr-defined]
    transport.__init__ = __init__


def limit_waiting(requests: Any, connect: float, read: float, keep: float) -> None:
    """Give requests made without a timeout one."""
    adapter = requests.adapters.HTTPAdapter
    original = adapter.send

    def send(
        self: Any,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> Any:
        return original(self, request, stream, (connect, read) if timeout is None else timeout, verify, cert, proxies)

    send.__doc__ = original.__doc__
    adapter.send = send


def keep_connections(api: Any, connect: float, read: float, keep: float) -> None:
    """Let `requests.get()` and its sisters use connections of the calls before."""
    if keep <= 0:
        return
    original = api.request
    kept = _Kept(api.sessions.HTTPAdapter, keep)

    def request(method: Any, url: Any, **named: Any) -> Any:
        if "verify" in named or "cert" in named:
            return original(method, url, **named)
        with api.sessions.Session() as session:
            try:
                kept.lend(session)
            except Exception as error:
                say("http: a connection is not kept", error)
            return session.request(method=method, url=url, **named)

    request.__doc__ = original.__doc__
    api.request = request


class _Kept:
    """The adapter that calls share, a new one every `keep` seconds: no connection that a call meets is older.

    What came before is closed `keep` seconds later: urllib3 before 1.26.16 fails a call whose pool is closed before it
    has taken a connection.
    """

    def __init__(self, usual: Any, keep: float) -> None:
        self._usual = usual
        self._lasting = _lasting(usual)
        self._keep = keep
        self._process = 0
        self._adapters: dict[float, Any] = {}

    def lend(self, session: Any) -> None:
        """Mount the adapter in a session, which closes it at its end as far as it may."""
        now = time.monotonic()
        if self._process != os.getpid():
            self._adapters, self._process = {}, os.getpid()
        adapters = self._adapters
        made = max(list(adapters), default=now)
        if now - made > self._keep:
            made = now
        adapter = adapters.get(made) or adapters.setdefault(made, self._lasting())
        for prefix, usual in list(session.adapters.items()):
            if usual.__class__ is self._usual:
                session.mount(prefix, adapter)
        for before in list(adapters):
            old = adapters.pop(before, None) if now - before > 2 * self._keep else None
            if old is not None:
                old.drop()


def _lasting(usual: Any) -> Any:
    class LastingAdapter(usual):  # type: ignore[misc]
        """An adapter that outlives the sessions it is mounted in."""

        def close(self) -> None:
            """Keep the connections: their owner drops them."""

        def drop(self) -> None:
            """Close what is idle, to proxies too."""
            super().close()

    return LastingAdapter
