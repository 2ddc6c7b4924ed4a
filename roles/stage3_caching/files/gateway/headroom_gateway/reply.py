# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes back to the client: kept answers, answers on their way, and the gateway's own words."""

from __future__ import annotations

import json
from typing import Any

from headroom_gateway.entry import Entry
from headroom_gateway.flight import Reader
from headroom_gateway.gate import Busy
from headroom_gateway.held import PIECE_BYTES
from headroom_gateway.http_message import Head, Headers, end_to_end
from headroom_gateway.server import ClientLeft, Responder
from headroom_gateway.upstream import Answer, UpstreamError

HIT, MISS, COALESCED, STALE, BYPASS, PARTIAL = "HIT", "MISS", "COALESCED", "STALE", "BYPASS", "PARTIAL"
NONE = "NONE"
"""The gateway's own words: by this the redirected client knows that no provider has answered."""
_JSON = (b"content-type", b"application/json")


def marks(label: str, age: int | None = None) -> Headers:
    """Return the headers that say where an answer came from."""
    found = [(b"x-cache", label.encode())]
    if age is not None:
        found.append((b"age", b"%d" % age))
    return found


def kept(responder: Responder, entry: Entry, now: float, label: str = HIT) -> None:
    """Send a kept answer."""
    responder.whole(Head(200, entry.headers), entry.body, marks(label, entry.age(now)))


async def kept_long(responder: Responder, entry: Entry, now: float) -> None:
    """Send a kept answer piece by piece, no faster than the client takes it."""
    headers = [*entry.headers, (b"content-length", b"%d" % len(entry.body))]
    responder.start(Head(200, headers), marks(HIT, entry.age(now)))
    for at in range(0, len(entry.body), PIECE_BYTES):
        await responder.write(entry.body[at : at + PIECE_BYTES])
    responder.finish()


def whole(responder: Responder, head: Head, body: bytes, label: str, age: int | None = None) -> None:
    """Send an answer that is there as a whole."""
    headers = [pair for pair in end_to_end(head.headers) if pair[0] != b"content-length"]
    responder.whole(Head(head.status, headers, head.reason), body, marks(label, age))


def text(responder: Responder, status: int, body: bytes, kind: bytes = b"text/plain; charset=utf-8") -> None:
    responder.whole(Head(status, [(b"content-type", kind)]), body)


def fields(responder: Responder, status: int, value: Any, label: str = NONE, extra: Headers | None = None) -> None:
    """Send JSON of the gateway's own."""
    responder.whole(Head(status, [_JSON]), json.dumps(value).encode(), [*marks(label), *(extra or ())])


def problem(responder: Responder, error: Exception, provider: str) -> None:
    """Tell the client that there is no answer, in a form that clients of the large providers can read."""
    if isinstance(error, Busy):
        message = f"the limit for calls to {provider} is reached; try again in {error.retry_after} s"
        body = {"error": {"message": message, "type": "rate_limit_error", "code": "gateway_busy"}}
        fields(responder, 429, body, extra=[(b"retry-after", b"%d" % error.retry_after)])
        return
    status = error.status if isinstance(error, UpstreamError) else 502
    body = {"error": {"message": f"{provider}: {error}", "type": "server_error", "code": "gateway_no_answer"}}
    fields(responder, status, body)


async def stream(responder: Responder, answer: Answer, label: str) -> int:
    """Pass an answer on as it comes; return its size in bytes. Raises ClientLeft when it breaks off in the middle: the
    client's connection is then cut, as the provider's was."""
    size = 0
    responder.start(Head(answer.head.status, end_to_end(answer.head.headers), answer.head.reason), marks(label))
    try:
        async for chunk in answer.body():
            size += len(chunk)
            await responder.write(chunk)
    except UpstreamError as error:
        raise ClientLeft from error
    responder.finish()
    return size


async def relay(responder: Responder, reader: Reader, label: str) -> str:
    """Pass on what a flight brings; return what X-Cache said. Raises Busy, UpstreamError when it brings no head, and
    ClientLeft when it breaks off."""
    head = await reader.head()
    flight = reader.flight
    if flight.label == STALE:
        label = STALE
    if flight.ended and flight.failure is None and not flight.too_much and flight.size <= PIECE_BYTES:
        whole(responder, head, flight.body(), label, flight.age)
        return label
    responder.start(Head(head.status, end_to_end(head.headers), head.reason), marks(label, flight.age))
    try:
        async for chunk in reader.body():
            await responder.write(chunk)
    except UpstreamError as error:
        raise ClientLeft from error
    responder.finish()
    return label
