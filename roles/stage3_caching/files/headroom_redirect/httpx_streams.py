# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Bodies of httpx's and httpx2's answers that go on from the provider when the gateway is lost in their middle."""

from __future__ import annotations

from headroom_redirect.complaint import log
from headroom_redirect.continuation import END, PASSED_ON, Continuation, Delivered, Different
from headroom_redirect.route import ANSWER_HEADER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping
    from typing import Any


def continued(httpx: Any, response: Any, request: Any, ask: Callable[[Any], Any]) -> Any:
    """Return the gateway's response, with a body that goes on where it is a kept kind of stream. `ask` sends a request
    to the provider."""
    if not _is_kept_stream(response.status_code, response.headers):
        return response
    is_async = isinstance(response.stream, httpx.AsyncByteStream)
    response.stream = (_async_stream if is_async else _stream)(httpx, response.stream, _plain(httpx, request), ask)
    return response


def _is_kept_stream(status: int, headers: Mapping[str, str]) -> bool:
    return (
        status == 200
        and headers.get("content-type", "").startswith("text/event-stream")
        and "content-encoding" not in headers
        and headers.get(ANSWER_HEADER, PASSED_ON) != PASSED_ON
    )


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


def _check(response: Any) -> None:
    """Raise Different where a second answer is no stream that can be compared."""
    headers = response.headers
    kind = headers.get("content-type", "")
    if response.status_code != 200 or not kind.startswith("text/event-stream") or "content-encoding" in headers:
        raise Different(f"status {response.status_code}, {kind}")


def _stream(httpx: Any, stream: Any, request: Any, ask: Callable[[Any], Any]) -> Any:
    class Stream(httpx.SyncByteStream):  # type: ignore[misc]
        source, closed, parts = stream, False, None

        def __iter__(self) -> Iterator[bytes]:
            # Clients read on after they have stopped, to empty the connection: that must not begin anew.
            self.parts = self.parts or self.read()
            return self.parts

        def read(self) -> Iterator[bytes]:
            delivered = Delivered()
            try:
                for part in stream:
                    yield delivered.take(part)
                yield delivered.end()
                return
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                failure = error
            # A stream that the application closes itself while it is read ends in the same errors.
            rest = None if self.closed else _continuation(delivered)
            if rest is None:
                raise failure
            if rest.complete:
                return
            self.source.close()
            try:
                self.source = ask(request)
                _check(self.source)
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

    return Stream()


def _async_stream(httpx: Any, stream: Any, request: Any, ask: Callable[[Any], Any]) -> Any:
    class Stream(httpx.AsyncByteStream):  # type: ignore[misc]
        source, closed, parts = stream, False, None

        def __aiter__(self) -> AsyncIterator[bytes]:
            self.parts = self.parts or self.read()
            return self.parts

        async def read(self) -> AsyncIterator[bytes]:
            delivered = Delivered()
            try:
                async for part in stream:
                    yield delivered.take(part)
                yield delivered.end()
                return
            except (httpx.ReadError, httpx.RemoteProtocolError) as error:
                failure = error
            rest = None if self.closed else _continuation(delivered)
            if rest is None:
                raise failure
            if rest.complete:
                return
            await self.source.aclose()
            try:
                self.source = await ask(request)
                if self.closed:
                    raise Different("the application has closed the stream meanwhile")
                _check(self.source)
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

    return Stream()
