# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""JSON over HTTP through a Unix socket: all that the engine's API of this host needs.

The standard library does it in a few lines, and an import that takes a millisecond: the Docker SDK for Python takes a
fifth of a second of processor time in each task, and breaks where it meets a newer requests (docker-py#3256).
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode


class HttpError(Exception):
    """The server answered with an error. `status` is HTTP's; the text is the server's own message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def request(
    path: str,
    method: str,
    url: str,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    timeout: float = 60.0,
) -> tuple[http.client.HTTPMessage, bytes]:
    """Ask the server behind the socket `path`; returns headers and body of its answer.

    Raises HttpError for an answer of 400 and above, OSError (FileNotFoundError, PermissionError, timeouts) where the
    server does not answer at all.
    """
    connection = _Connection(path, timeout)
    try:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        target = f"{url}?{urlencode(query)}" if query else url
        connection.request(method, target, body=None if body is None else json.dumps(body), headers=headers)
        response = connection.getresponse()
        data = response.read()
    except http.client.HTTPException as error:
        raise ConnectionError(f"no proper answer: {type(error).__name__}") from error
    finally:
        connection.close()
    if response.status >= 400:
        raise HttpError(response.status, _message(data))
    return response.headers, data


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"]).strip()
    except (ValueError, KeyError, TypeError):
        return data.decode("utf-8", "replace").strip()
