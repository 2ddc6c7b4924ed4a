# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""api: compressed responses, and counters of requests, errors, seconds and active users for the monitoring.

Compression. A FastAPI or Starlette response of at least `min_size` bytes is gzipped for clients that accept it, when it
is whole in one piece and its type is text, JSON, XML, JavaScript or SVG. Left alone: event streams and all else that
comes in pieces (files too), ranges, responses that are encoded already or say `no-transform`, responses to HEAD, and
those with a strong ETag: it names the very bytes, for `If-Match` too, and compressed ones are others (RFC 9110, 8.8.1).
Of applications mounted in each other the outermost does it, and counts, so that its middleware sees what it always saw.
`Vary: Accept-Encoding` is added to what could have been compressed.

Counters. With `counters=FILE`, requests to the API and updates of an aiogram bot are counted into that file as lines
`requests`, `errors` (status 5xx; a handler that raised) and `request_seconds`, which the sampler of the monitoring role
reads. All processes of a service add to one file. With `users=FOLDER`, who used the service is noted there as a keyed
hash with the time, never as itself: the sender of each update, and for an API the header `user_header` or the query
parameter `user_query`. `python3 -m headroom_runtime.count_users FOLDER` prints how many were active in the last
HEADROOM_WINDOW_SECONDS, as the monitoring's source `command` wants it.

Options: `min_size` (bytes, default 1024; 0 never compresses), `level` (of gzip, default 5), `counters`, `users`,
`user_header`, `user_query`.
"""

from __future__ import annotations

import time

from headroom_runtime import service_counters
from headroom_runtime.activation import say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from types import ModuleType
    from typing import Any

    Header = tuple[bytes, bytes]
    Send = Callable[[dict[str, Any]], Awaitable[None]]

COMPRESSIBLE = (b"text/", b"application/json", b"application/javascript", b"application/xml", b"image/svg+xml")
BODILESS = (204, 205, 206, 304)
SEEN = "headroom_runtime"
"""In the scope of a request that the outermost of its applications has counted: others are mounted in that one."""


def accepts_gzip(headers: Iterable[Header]) -> bool:
    """Whether a request's Accept-Encoding names gzip (or everything) without the quality 0."""
    qualities: dict[str, float] = {}
    for name, value in headers:
        if name.lower() == b"accept-encoding":
            for part in value.decode("latin-1").lower().split(","):
                coding, _unused, parameter = part.partition(";")
                qualities[coding.strip()] = _quality(parameter)
    return qualities.get("gzip", qualities.get("*", 0.0)) > 0


def _quality(parameter: str) -> float:
    name, _unused, value = parameter.strip().partition("=")
    try:
        return float(value) if name.strip() == "q" else 1.0
    except ValueError:
        return 0.0


def compressible(status: int, headers: Iterable[Header]) -> bool:
    """Whether a response with these headers may be compressed at all."""
    known = {name.lower(): value.lower() for name, value in headers}
    kind = known.get(b"content-type", b"")
    if status < 200 or status in BODILESS or kind.startswith(b"text/event-stream"):
        return False
    if b"content-encoding" in known or b"content-range" in known or b"no-transform" in known.get(b"cache-control", b""):
        return False
    if not known.get(b"etag", b"w/").startswith(b"w/"):
        return False
    return kind.startswith(COMPRESSIBLE) or kind.partition(b";")[0].strip().endswith((b"+json", b"+xml"))


def compressed_headers(headers: Iterable[Header], size: int) -> list[Header]:
    """The headers of the same response, gzipped to `size` bytes."""
    kept = [(name, value) for name, value in headers if name.lower() not in (b"content-length", b"accept-ranges")]
    return [*kept, (b"content-encoding", b"gzip"), (b"content-length", str(size).encode())]


def varying(headers: Iterable[Header]) -> list[Header]:
    """The headers with Accept-Encoding among what the response varies by."""
    found, seen = [], False
    for name, value in headers:
        if name.lower() == b"vary":
            seen = True
            if b"accept-encoding" not in value.lower() and value.strip() != b"*":
                value += b", Accept-Encoding"
        found.append((name, value))
    return found if seen else [*found, (b"vary", b"Accept-Encoding")]


class Compressing:
    """Passes an ASGI response on to `send`, compressed where that is allowed."""

    def __init__(self, send: Send, accepted: bool, min_size: int, level: int) -> None:
        self._send = send
        self._accepted = accepted
        self._min_size = min_size
        self._level = level
        self._start: dict[str, Any] | None = None

    async def __call__(self, message: dict[str, Any]) -> None:
        """Hold the start back until the first piece of the body shows whether it is the only one."""
        kind = message["type"]
        if kind == "http.response.start" and compressible(message["status"], message.get("headers", ())):
            self._start = message
            return
        if self._start is None:
            await self._send(message)
            return
        start, self._start = self._start, None
        body = message.get("body", b"") if kind == "http.response.body" else b""
        if len(body) >= self._min_size and not message.get("more_body"):
            start = {**start, "headers": varying(start.get("headers", ()))}
            if self._accepted:
                body = self._compress(body)
                start["headers"] = compressed_headers(start["headers"], len(body))
                message = {**message, "body": body}
        await self._send(start)
        await self._send(message)

    def _compress(self, body: bytes) -> bytes:
        import zlib

        packer = zlib.compressobj(self._level, zlib.DEFLATED, 31)
        return packer.compress(body) + packer.flush()


class Outermost:
    """The application as the server sees it: counts, compresses, and hands on."""

    def __init__(self, app: Any, options: dict[str, Any]) -> None:
        self.app = app
        self._min_size = options["min_size"]
        self._level = options["level"]
        self._identify = _identifier(options["user_header"], options["user_query"])
        self._counters = service_counters.for_service(options["counters"], options["users"])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI. Whatever goes wrong here before the application is called leaves the call to the application alone."""
        if scope["type"] != "http" or SEEN in scope:
            await self.app(scope, receive, send)
            return
        scope[SEEN] = True
        began = time.monotonic()
        status = [500]

        async def noting(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        passing: Any = noting if self._counters else send
        if self._min_size and scope["method"] != "HEAD":
            passing = Compressing(passing, accepts_gzip(scope["headers"]), self._min_size, self._level)
        try:
            await self.app(scope, receive, passing)
        finally:
            if self._counters:
                self._counters.add(status[0] >= 500, time.monotonic() - began, self._identify(scope))


def _identifier(header: str, query: str) -> Callable[[Any], str | None]:
    def identify(scope: Any) -> str | None:
        if header:
            for name, value in scope["headers"]:
                if name.lower() == header.lower().encode():
                    return str(value.decode("latin-1"))
        if query:
            for part in scope.get("query_string", b"").decode("latin-1").split("&"):
                name, _unused, value = part.partition("=")
                if name == query and value:
                    return str(value)
        return None

    return identify


def wrap_applications(applications: ModuleType, **options: Any) -> None:
    """Put `Outermost` around the middleware of each Starlette (or FastAPI) application."""
    for name in ("Starlette", "FastAPI"):
        kind = vars(applications).get(name)
        if kind is not None and "build_middleware_stack" in vars(kind):
            _wrap(kind, options)


def _wrap(kind: Any, options: dict[str, Any]) -> None:
    original = kind.build_middleware_stack
    if hasattr(original, "headroom_original"):
        return

    def build_middleware_stack(self: Any) -> Any:
        stack = original(self)
        try:
            return stack if isinstance(stack, Outermost) else Outermost(stack, options)
        except Exception as error:
            say("api not applied to an application", error)
            return stack

    build_middleware_stack.headroom_original = original  # type: ignore[attr-defined]
    kind.build_middleware_stack = build_middleware_stack


def count_updates(dispatcher: ModuleType, **options: Any) -> None:
    """Count the updates that an aiogram Dispatcher handles."""
    counters = service_counters.for_service(options["counters"], options["users"])
    if counters is None:
        return
    original = dispatcher.Dispatcher.feed_update

    async def feed_update(self: Any, *arguments: Any, **named: Any) -> Any:
        began, failed = time.monotonic(), True
        try:
            answer = await original(self, *arguments, **named)
            failed = False
            return answer
        finally:
            update = named.get("update", arguments[1] if len(arguments) > 1 else None)
            counters.add(failed, time.monotonic() - began, _sender(update))

    feed_update.__doc__ = original.__doc__
    dispatcher.Dispatcher.feed_update = feed_update


def _sender(update: Any) -> str | None:
    try:
        return str(update.event.from_user.id)
    except Exception:
        return None  # An update without a sender: a poll, a channel's post.
