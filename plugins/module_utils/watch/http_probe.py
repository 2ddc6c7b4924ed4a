# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One HTTP request from this host, timed, with a bounded end. Standard library only."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

_BODY = 64 * 1024  # bytes read of an answer: a probe wants its time, not its content
_CHUNK = 8 * 1024


class ProbeError(ValueError):
    """The address is none that can be probed."""


def check(url: str) -> None:
    """Raises ProbeError for anything but a complete http or https address."""
    try:
        parts = urlsplit(url)
        complete = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        complete = False
    if not complete:
        raise ProbeError(f"{url!r} cannot be probed: give a complete address, as in http://127.0.0.1:8000/health.")


def ask(url: str, timeout: float, address: str | None = None) -> dict[str, Any]:
    """GET the URL once: {"ms", "status" (None without an answer), "error", "bytes"}.

    `timeout` bounds the whole, in seconds. `address` is connected to instead of the URL's host. A certificate is not
    checked: the request carries nothing, and a host that probes itself seldom has the name that the certificate is for.
    """
    parts = urlsplit(url)
    begin = time.monotonic()
    connection = _connection(parts.scheme, address or parts.hostname or "", parts.port, timeout)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Host": parts.netloc.rpartition("@")[2], "User-Agent": "headroom-guard", "Connection": "close"}
    status, size, error = None, 0, None
    try:
        connection.connect()
        with _cut_off(connection.sock, begin + timeout):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            size = _read(response)
        status = response.status
    except (OSError, http.client.HTTPException, ValueError) as problem:
        error = _words(problem)
    finally:
        connection.close()
    took = time.monotonic() - begin
    if took >= timeout:
        status, error = None, f"no answer within {timeout:g} s"
    return {"ms": round(took * 1000, 3), "status": status, "error": error, "bytes": size}


@contextlib.contextmanager
def _cut_off(sock: socket.socket, end: float) -> Iterator[None]:
    """End the conversation when the time is over: a socket's own timeout is for each piece of an answer."""
    timer = threading.Timer(max(0.0, end - time.monotonic()), _shut, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _connection(scheme: str, host: str, port: int | None, timeout: float) -> http.client.HTTPConnection:
    if scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return http.client.HTTPSConnection(host, port, timeout=timeout, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout)


def _read(response: http.client.HTTPResponse) -> int:
    """The body's size, as far as it is read."""
    size = 0
    while size < _BODY:
        chunk = response.read1(_CHUNK)
        if not chunk:
            break
        size += len(chunk)
    return size


def _words(problem: Exception) -> str:
    if isinstance(problem, ConnectionRefusedError):
        return "connection refused"
    return getattr(problem, "strerror", None) or str(problem) or type(problem).__name__
