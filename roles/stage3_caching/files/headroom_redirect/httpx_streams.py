# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of httpx's and httpx2's answers that go on from the provider when the gateway is lost in their middle."""

from __future__ import annotations

import functools

from headroom_redirect.complaint import log
from headroom_redirect.continuation import END, PASSED_ON, Continuation, Delivered, Different
from headroom_redirect.route import ANSWER_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from typing import Any


def continued(
    httpx: Any, response: Any, request: Any, ask: Callable[[Any], Any], client_closed: Callable[[], bool]
) -> Any:
    """Return the gateway's response, with a body that goes on where it is a kept kind of stream. `ask` sends a request
    to the provider, `client_closed` tells whether the client wants nothing more."""
    if _is_plain_stream(response) and response.headers.get(ANSWER_HEADER, PASSED_ON) != PASSED_ON:
        is_async = isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = (_async_class if is_async else _class)(httpx)(response.stream, request, ask, client_closed)
    return response


def _is_plain_stream(response: Any) -> bool:
    headers = response.headers
    kind = headers.get("content-type", "")
    return response.status_code == 200 and kind.startswith("text/event-stream") and "content-encoding" not in headers


def _plain(httpx: Any, request: Any) -> Any:
    """Return the request with an answer that is not compressed: the application has begun to read one that is not."""
    headers = request.headers.copy()
    headers["accept-encoding"] = "identity"
    return httpx.Request(
        request.method, request.url, headers=headers, stream=request.stream, extensions=request.extensions
    )


def _continuation(delivered: Delivered) -> Continuation | None:
    """Return what follows the second stream, None where nothing can."""
    try:
        rest = Continuation(delivered)
    except Different:
        return None
    if not rest.complete:
        # Now, not at the end: clients stop reading at the stream's own mark, and then nothing more is done here.
        log("the gateway was lost in the middle of a stream: the provider is asked for the rest")
    return rest


@functools.lru_cache(maxsize=None)
def _class(httpx: Any) -> Any:
    """Make the class once for each library: one for each answer would be left to the garbage collector."""

    class Stream(httpx.SyncByteStream):  # type: ignore[misc]
        def __init__(
            self, stream: Any, request: Any, ask: Callable[[Any], Any], client_closed: Callable[[], bool]
        ) -> None:
            self.source, self.request, self.ask, self.client_closed = stream, request, ask, client_closed
            self.closed, self.parts = False, None

        def __iter__(self) -> Iterator[bytes]:
            # Clients read on after they have stopped, to empty the connection: that must not begin anew.
            self.parts = self.parts or self.read()
            return self.parts

        def read(self) -> Iterator[bytes]:
            delivered = Delivered()
            try:
                for part in self.source:
                    yield delivered.take(part)
                yield delivered.end()
                return
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                failure = error
            # A stream that the application closes itself while it is read ends in the same errors.
            rest = None if self.closed or self.client_closed() else _continuation(delivered)
            if rest is None:
                raise failure
            if rest.complete:
                return
            self.source.close()
            try:
                self.source = self.ask(_plain(httpx, self.request))
                if not _is_plain_stream(self.source):
                    raise Different("no stream that can be compared")
                for part in self.source.stream:
                    yield rest.feed(part)
                yield rest.feed(END)
                if not rest.complete:
                    raise Different("it broke off")
            except (Different, httpx.TransportError):
                self.source.close()
                raise failure from None

        def close(self) -> None:
            self.closed = True
            self.source.close()

    return Stream


@functools.lru_cache(maxsize=None)
def _async_class(httpx: Any) -> Any:
    """Make the class once for each library: one for each answer would be left to the garbage collector."""

    class Stream(httpx.AsyncByteStream):  # type: ignore[misc]
        def __init__(
            self, stream: Any, request: Any, ask: Callable[[Any], Any], client_closed: Callable[[], bool]
        ) -> None:
            self.source, self.request, self.ask, self.client_closed = stream, request, ask, client_closed
            self.closed, self.parts = False, None

        def __aiter__(self) -> AsyncIterator[bytes]:
            self.parts = self.parts or self.read()
            return self.parts

        async def read(self) -> AsyncIterator[bytes]:
            delivered = Delivered()
            try:
                async for part in self.source:
                    yield delivered.take(part)
                yield delivered.end()
                return
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                failure = error
            rest = None if self.closed or self.client_closed() else _continuation(delivered)
            if rest is None:
                raise failure
            if rest.complete:
                return
            await self.source.aclose()
            try:
                self.source = await self.ask(_plain(httpx, self.request))
                if self.closed or not _is_plain_stream(self.source):
                    raise Different("closed meanwhile, or no stream that can be compared")
                async for part in self.source.stream:
                    yield rest.feed(part)
                yield rest.feed(END)
                if not rest.complete:
                    raise Different("it broke off")
            except (Different, httpx.TransportError):
                await self.source.aclose()
                raise failure from None

        async def aclose(self) -> None:
            self.closed = True
            await self.source.aclose()

    return Stream
