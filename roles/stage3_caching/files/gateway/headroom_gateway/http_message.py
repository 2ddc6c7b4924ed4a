# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Requests and answers as plain data, and the head of each in HTTP/1.1's own writing."""

from __future__ import annotations

import dataclasses
import http
from collections.abc import AsyncIterator, Iterable

Headers = list[tuple[bytes, bytes]]
"""Names are lower-case."""

HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
     b"trailer", b"transfer-encoding", b"upgrade", b"expect")
)  # fmt: skip
"""Headers between two neighbours only, RFC 9110 section 7.6.1."""


def header(headers: Headers, name: bytes) -> bytes:
    """Return the values of a header joined as RFC 9110 section 5.3 does, b"" when there is none."""
    found = b""
    for known, value in headers:
        if known == name:
            found = found + b", " + value if found else value
    return found


def end_to_end(headers: Headers) -> Headers:
    """Return what a message carries on to its end: nothing for neighbours, nor what `Connection` names as such."""
    named = {word.strip().lower() for word in header(headers, b"connection").split(b",")}
    return [pair for pair in headers if pair[0] not in HOP_BY_HOP and pair[0] not in named]


@dataclasses.dataclass(slots=True)
class Request:
    """A call. `body` is None when it is longer than is kept in memory: then `rest` gives it piece by piece."""

    method: str
    target: bytes
    headers: Headers
    body: bytes | None = b""
    rest: AsyncIterator[bytes] | None = None

    def header(self, name: bytes) -> bytes:
        return header(self.headers, name)


@dataclasses.dataclass(slots=True)
class Head:
    """Status line and headers of an answer."""

    status: int
    headers: Headers
    reason: bytes = b""

    def header(self, name: bytes) -> bytes:
        return header(self.headers, name)

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


_REASONS = {status.value: status.phrase.encode() for status in http.HTTPStatus}


def write_answer_head(head: Head, extra: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    reason = head.reason or _REASONS.get(head.status, b"Unknown")
    parts = [b"HTTP/1.1 %d %b\r\n" % (head.status, reason)]
    parts += [b"%b: %b\r\n" % pair for pair in head.headers]
    parts += [b"%b: %b\r\n" % pair for pair in extra]
    parts.append(b"\r\n")
    return b"".join(parts)


def write_request_head(method: str, target: bytes, headers: Headers, version: bytes = b"1.1") -> bytes:
    parts = [b"%b %b HTTP/%b\r\n" % (method.encode("ascii"), target, version)]
    parts += [b"%b: %b\r\n" % pair for pair in headers]
    parts.append(b"\r\n")
    return b"".join(parts)
