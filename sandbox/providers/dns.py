# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A name server for a few names: its own address for these, and a refusal for every other one.

Refusing (RFC 1035, RCODE 5) and not denying makes a resolver ask its next server, so that a host which has to reach
a package mirror too only needs a second `nameserver` line.
"""

from __future__ import annotations

import asyncio
import ipaddress
import struct
from collections.abc import Collection
from typing import cast

NO_ERROR, FORMAT_ERROR, REFUSED = 0, 1, 5
TYPE_A, TYPE_ANY, CLASS_IN = 1, 255, 1
TTL_SECONDS = 60

_HEADER = struct.Struct("!6H")


def parse_question(query: bytes) -> tuple[str, int, int, int]:
    """Return name (lower case), type, class and the offset after the first question.

    Raises ValueError when the message holds none: too short, cut off, or a compressed name.
    """
    if len(query) < _HEADER.size or struct.unpack_from("!H", query, 4)[0] < 1:
        raise ValueError("no question")
    labels, at = [], _HEADER.size
    while True:
        if at >= len(query):
            raise ValueError("cut off within a name")
        length = query[at]
        at += 1
        if length == 0:
            break
        if length > 63 or at + length > len(query):
            raise ValueError("bad label")
        labels.append(query[at : at + length].decode("ascii", "replace").lower())
        at += length
    if at + 4 > len(query):
        raise ValueError("cut off after the name")
    kind, klass = struct.unpack_from("!2H", query, at)
    return ".".join(labels), kind, klass, at + 4


def answer(query: bytes, names: Collection[str], address: str) -> bytes | None:
    """Return the reply to one DNS message, None for one that is too short to reply to.

    `names` (lower case) have `address` (IPv4) and no other record.
    """
    if len(query) < _HEADER.size:
        return None
    ident, flags = struct.unpack_from("!2H", query)
    opcode_and_recursion = flags & 0x7900

    def reply(code: int, question: bytes = b"", records: bytes = b"") -> bytes:
        # 0x8080: a response, recursion available (a stub resolver may distrust a server that says otherwise).
        header = _HEADER.pack(
            ident, 0x8080 | opcode_and_recursion | code, 1 if question else 0, 1 if records else 0, 0, 0
        )
        return header + question + records

    try:
        name, kind, klass, end = parse_question(query)
    except ValueError:
        return reply(FORMAT_ERROR)
    question = query[_HEADER.size : end]
    if name not in names or klass != CLASS_IN:
        return reply(REFUSED, question)
    if kind not in (TYPE_A, TYPE_ANY):
        return reply(NO_ERROR, question)
    packed = ipaddress.IPv4Address(address).packed
    # 0xC00C points at the name in the question.
    record = struct.pack("!3HIH", 0xC00C, TYPE_A, CLASS_IN, TTL_SECONDS, len(packed)) + packed
    return reply(NO_ERROR, question, record)


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP."""

    def __init__(self, names: Collection[str], address: str) -> None:
        self._names = names
        self._address = address
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data, self._names, self._address)
        if reply is not None and self._transport is not None:
            self._transport.sendto(reply, addr)
