# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One timed request, against real sockets on the loopback."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import http_probe


@contextlib.contextmanager
def server(*pieces: bytes, pause: float = 0.0):
    """Takes one connection, reads its request, and sends the pieces with a pause before each."""
    requests: list[bytes] = []
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()

        def serve():
            with contextlib.suppress(OSError):
                connection, _peer = listening.accept()
                with connection:
                    requests.append(connection.recv(4096))
                    for piece in pieces:
                        time.sleep(pause)
                        connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], requests


ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell"


def test_answer():
    with server(ANSWER, pause=0.1) as (port, requests):
        found = http_probe.ask(f"http://127.0.0.1:{port}/health?deep=1", 5)
    assert (found["status"], found["error"], found["bytes"]) == (200, None, 4)
    assert 100 <= found["ms"] < 2000
    assert requests[0].startswith(b"GET /health?deep=1 HTTP/1.1\r\n") and b"Connection: close" in requests[0]


def test_another_address_with_the_name_kept():
    with server(ANSWER) as (port, requests):
        assert http_probe.ask(f"http://api:{port}/", 5, "127.0.0.1")["status"] == 200
    assert f"Host: api:{port}".encode() in requests[0]


def test_a_status_is_an_answer():
    with server(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n") as (port, _requests):
        assert http_probe.ask(f"http://127.0.0.1:{port}", 5)["status"] == 503


def test_nobody_there():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # it does not listen
        port = bound.getsockname()[1]
        found = http_probe.ask(f"http://127.0.0.1:{port}/", 5)
    assert (found["status"], found["error"]) == (None, "connection refused")


@pytest.mark.parametrize(
    "pieces",
    [
        (b"", b"", b"", b"", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", b"a", b"b", b"c", b"d", b"e", b"f", b"g"),
        (
            b"HTTP/1.1 200 OK\r\n",
            b"A: 1\r\n",
            b"B: 1\r\n",
            b"C: 1\r\n",
            b"D: 1\r\n",
            b"E: 1\r\n",
            b"F: 1\r\n",
            b"G: 1\r\n",
        ),
    ],
    ids=["nothing", "body drop by drop", "headers drop by drop"],
)
def test_the_whole_is_bounded(pieces):
    with server(*pieces, pause=0.3) as (port, _requests):
        begin = time.monotonic()
        found = http_probe.ask(f"http://127.0.0.1:{port}/", 0.7)
        assert time.monotonic() - begin < 1.6
    assert found["status"] is None and found["error"] == "no answer within 0.7 s"


def test_no_http():
    with server(b"-ERR wrong number of arguments\r\n") as (port, _requests):
        found = http_probe.ask(f"http://127.0.0.1:{port}/", 5)
    assert found["status"] is None and "-ERR wrong number" in found["error"]


def test_a_long_body_is_read_in_part():
    with server(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"x" * 300_000) as (port, _requests):
        found = http_probe.ask(f"http://127.0.0.1:{port}/", 5)
    assert found["status"] == 200 and 65536 <= found["bytes"] < 80_000


@pytest.mark.parametrize(
    "url", ["api:8000/health", "/health", "ftp://api/", "http://", "http://api:port/", "http://api:0/", ""]
)
def test_addresses(url):
    with pytest.raises(http_probe.ProbeError, match="give a complete address"):
        http_probe.check(url)


def test_good_addresses():
    for url in ("http://127.0.0.1:8000/health", "https://bot.example.org", "http://[::1]:8000/"):
        http_probe.check(url)
