# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A kept answer as bytes, and back: a small fixed head, then headers and body, compressed with a trained dictionary.

Layout: version (1 byte), time of storing and end of freshness (seconds since 1970, 4 bytes each, big-endian), then the
payload: length of the headers (2 bytes), the headers as `name: value` lines, the body. The version says how the payload
is written; a dictionary that has been used is never changed, a new one gets the next version.
"""

from __future__ import annotations

import dataclasses
import struct
from functools import cache
from pathlib import Path

import zstandard

from headroom_gateway.http_message import Headers

RAW, DICTIONARY_1 = 0, 3  # 1 and 2 had zstd's magic number; nothing reads them any more
DICTIONARIES = {DICTIONARY_1: "dictionary-1.zstd"}
NEWEST = DICTIONARY_1
LEVEL = 12
SMALLEST = 48
"""Bytes below which compressing only costs."""

KEPT_HEADERS = frozenset(
    (b"content-type", b"content-language", b"content-disposition", b"etag", b"last-modified", b"x-request-id",
     b"request-id", b"openai-model", b"openai-version", b"openai-processing-ms", b"x-fal-request-id")
)  # fmt: skip
"""What is stored of an answer's headers: nothing about limits, connections, cookies or the provider's own caches."""

_FIXED = struct.Struct(">BII")
_LENGTH = struct.Struct(">H")


class Unreadable(Exception):
    """The stored bytes are of another version, or damaged."""


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """A kept answer. Times in seconds since 1970."""

    stored: int
    fresh_until: int
    headers: Headers
    body: bytes

    def age(self, now: float) -> int:
        return max(0, int(now) - self.stored)


@cache
def _dictionary(version: int) -> zstandard.ZstdCompressionDict:
    data = Path(__file__).with_name(DICTIONARIES[version]).read_bytes()
    return zstandard.ZstdCompressionDict(data)


@cache
def _compressor(version: int) -> zstandard.ZstdCompressor:
    dictionary = _dictionary(version)
    # The reader knows format and dictionary by the version, and Redis keeps bytes as they are: without zstd's magic
    # number, the dictionary's and a checksum, an answer of 1 KB is 2 % smaller.
    settings = zstandard.ZstdCompressionParameters.from_level(
        LEVEL,
        dict_size=len(dictionary),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_checksum=False,
        write_dict_id=False,
    )
    dictionary.precompute_compress(compression_params=settings)
    return zstandard.ZstdCompressor(dict_data=dictionary, compression_params=settings)


@cache
def _decompressor(version: int) -> zstandard.ZstdDecompressor:
    return zstandard.ZstdDecompressor(dict_data=_dictionary(version), format=zstandard.FORMAT_ZSTD1_MAGICLESS)


def pack(entry: Entry, *, compress: bool = True) -> bytes:
    """Write an entry. `compress` False for what is compressed already (images)."""
    lines = b"".join(b"%b: %b\n" % pair for pair in entry.headers)
    parts = (_FIXED.pack(RAW, entry.stored, entry.fresh_until), _LENGTH.pack(len(lines)), lines, entry.body)
    whole = b"".join(parts)  # an image is copied once
    size = len(whole) - _FIXED.size
    if not compress or size < SMALLEST:
        return whole
    small = _compressor(NEWEST).compress(memoryview(whole)[_FIXED.size :])
    return _FIXED.pack(NEWEST, entry.stored, entry.fresh_until) + small if len(small) < size else whole


def unpack(data: bytes, longest: int) -> Entry:
    """Read an entry of at most `longest` bytes. Raises Unreadable."""
    try:
        version, stored, fresh_until = _FIXED.unpack_from(data)
        start = _FIXED.size
        if version != RAW:
            data = _decompressor(version).decompress(memoryview(data)[start:], max_output_size=longest)
            start = 0
        (length,) = _LENGTH.unpack_from(data, start)
    except (struct.error, zstandard.ZstdError, KeyError, MemoryError) as error:  # a frame may announce any size
        raise Unreadable(type(error).__name__) from error
    start += _LENGTH.size
    lines = data[start : start + length].splitlines()
    headers = [(name, value) for name, _unused, value in (line.partition(b": ") for line in lines)]
    return Entry(stored, fresh_until, headers, data[start + length :])


def lifetime(ttl: float, jitter: float, draw: float) -> int:
    """Return a lifetime in seconds: `ttl`, made shorter by up to the share `jitter`. `draw` is in [0, 1)."""
    return max(1, int(ttl * (1.0 - jitter * draw)))
