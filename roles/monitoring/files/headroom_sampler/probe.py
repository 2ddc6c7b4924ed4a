# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP request, timed: is a service well, and how long does it take to say so?"""

from __future__ import annotations

import _socket
import time

READ_LIMIT = 65536


def split(url: str) -> tuple[str, int, str]:
    """(host, port, path) of an http URL. Raises ValueError for any other: TLS would cost the sampler 3 MB."""
    scheme, found, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    if scheme != "http" or not found or not place or "@" in place:
        raise ValueError(f"{url} is not a plain http URL without a password, such as http://127.0.0.1:8000/health")
    host, _unused, port = place.rpartition(":") if place.rpartition(":")[2].isdigit() else (place, "", "80")
    return host.strip("[]"), int(port), slash + path or "/"


def connect(host: str, port: int, timeout: float) -> _socket.socket:
    """A connection to the first address that answers. Raises OSError."""
    failed: OSError = OSError(f"{host} has no address")
    # As bytes: for a str, getaddrinfo loads the IDNA codec, which takes 4 MB.
    for family, kind, protocol, _unused, address in _socket.getaddrinfo(host.encode(), port, 0, _socket.SOCK_STREAM):
        connection = _socket.socket(family, kind, protocol)
        connection.settimeout(timeout)
        try:
            connection.connect(address)
            return connection
        except OSError as error:
            connection.close()
            failed = error
    raise failed


def probe(url: str, timeout: float) -> tuple[bool, float]:
    """(answered with 2xx or 3xx, seconds until the whole answer was there or the attempt had failed)."""
    started = time.monotonic()
    try:
        good = 200 <= status(url, timeout) < 400
    except (OSError, ValueError):
        good = False
    return good, time.monotonic() - started


def status(url: str, timeout: float) -> int:
    """The status of a GET; the body is read to its end or to READ_LIMIT. Raises OSError, ValueError."""
    host, port, path = split(url)
    deadline = time.monotonic() + timeout
    connection = connect(host, port, timeout)
    try:
        name = f"[{host}]" if ":" in host else host
        ask = f"GET {path} HTTP/1.0\r\nHost: {name}:{port}\r\nUser-Agent: headroom-sampler\r\nConnection: close\r\n\r\n"
        connection.sendall(ask.encode("ascii", "replace"))
        first, size = b"", 0
        while size < READ_LIMIT:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"{url} took longer than {timeout} s")
            connection.settimeout(left)
            part = connection.recv(8192)
            if not part:
                break
            size += len(part)
            if len(first) < 16:
                first += part[:16]
        words = first.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            raise ValueError(f"{url} does not speak HTTP")
        return int(words[1][:3])
    finally:
        connection.close()
