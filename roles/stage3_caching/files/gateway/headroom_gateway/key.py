# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The key of a request: equal for requests that ask for the same, different for all others.

Everything that a provider sees and that can change its answer is in the hash, each part with its length before it, so
that no two lists of parts can run together into the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

SCHEMA = b"headroom-1"
"""Goes up when the parts below change their meaning: what was stored before is then never found again."""
KEY_BYTES = 16


class NotCanonical(Exception):
    """A body that two JSON parsers might read in two ways; it must not be cached."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # RFC 8259 section 4 leaves open which of two equal names counts.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotCanonical("a name occurs twice in one object")
    return found


def _float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise NotCanonical("a number is too large")
    return number


def _constant(text: str) -> float:
    raise NotCanonical(f"{text} is not JSON")


_decoder = json.JSONDecoder(object_pairs_hook=_pairs, parse_float=_float, parse_constant=_constant)
_sorted = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
_as_is = json.JSONEncoder(separators=(",", ":"))


def parse(body: bytes) -> Any:
    """Read a JSON body. Raises NotCanonical when it is none, or one that can be read in two ways."""
    try:
        return _decoder.decode(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotCanonical(type(error).__name__) from error


def canonical(value: Any, ignore: Iterable[str] = (), ordered: Iterable[str] = ()) -> bytes:
    """Write parsed JSON with all keys sorted, without the top fields `ignore`; below the top fields `ordered` the keys
    keep their order."""
    if not isinstance(value, dict):
        return _sorted.encode(value).encode("ascii")
    kept = {name: part for name, part in value.items() if name not in ignore}
    kept_in_order = {name: kept.pop(name) for name in sorted(kept.keys() & set(ordered))}
    text = _sorted.encode(kept)
    if kept_in_order:
        # A JSON text never begins with "|", so that this cannot be mistaken for another body.
        text = f"|{len(text)}|{text}{_as_is.encode(kept_in_order)}"
    return text.encode("ascii")


def digest(parts: Iterable[bytes]) -> bytes:
    """Hash parts of any number and length."""
    framed = [word for part in parts for word in (len(part).to_bytes(8, "big"), part)]
    return hashlib.blake2b(b"".join(framed), digest_size=KEY_BYTES).digest()


def sorted_query(query: bytes) -> bytes:
    """Sort the parameters by name; equal names keep their order, which can matter."""
    if b"&" not in query:
        return query
    return b"&".join(sorted(query.split(b"&"), key=_name))


def _name(pair: Any) -> Any:
    return pair.partition(b"=")[0]


def request_key(
    *, host: str, method: str, path: bytes, query: bytes, credential: bytes, headers: Iterable[tuple[bytes, bytes]],
    body: bytes, variant: int = 0,
) -> bytes:  # fmt: skip
    """Return the key (16 bytes) of a request. `credential` is a hash already, `headers` the chosen ones in a fixed
    order, `body` canonical."""
    parts = [
        SCHEMA, host.encode(), method.encode(), path, sorted_query(query), credential, variant.to_bytes(4, "big"), body
    ]  # fmt: skip
    for name, value in headers:
        parts += (name, value)
    return digest(parts)
