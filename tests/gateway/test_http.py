# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What passes through, byte for byte, and HTTP as clients speak it: an upstream that writes down what it received."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

import pytest

from place import Gateway, folder


class Echo(http.server.BaseHTTPRequestHandler):
    """Notes each request, answers with what `script` says."""

    protocol_version = "HTTP/1.1"
    seen: ClassVar[list] = []
    script: ClassVar[dict] = {}

    def handle_any(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.seen.append((self.command, self.path, list(self.headers.items()), body))
        plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Theirs: 1\r\n\r\nok"
        answer = self.script.get(self.path.partition("?")[0], plain)
        self.wfile.write(answer)
        if b"chunked" not in answer and b"Content-Length" not in answer:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = handle_any

    def log_message(self, *_unused):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 100


@pytest.fixture(scope="module")
def echo():
    server = Server(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def gateway(echo, providers, redis):
    policy = (
        '[providers.echo]\nhosts = ["echo.example"]\nscheme = "http"\n'
        f'address = "127.0.0.1:{echo.server_port}"\n'
        '[providers.echo.routes.kept]\npath = "/kept*"\nstore = "always"\n[cache]\nbody_bytes = 100_000\n'
    )
    with folder() as where:
        started = Gateway(where, providers, redis.url, policy)
        yield started
        started.process.stop()


@pytest.fixture
def seen():
    Echo.seen.clear()
    Echo.script.clear()
    return Echo.seen


@contextlib.contextmanager
def connected(gateway):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=10)
    yield connection
    connection.close()


def ask(gateway, method, path, body=None, headers=(), **options):
    with connected(gateway) as connection:
        connection.request(method, path, body, dict(headers), **options)
        answer = connection.getresponse()
        return answer, answer.read()


def raw(gateway, data, wait=0.3):
    """Send bytes, return all that comes back until it is quiet or closed."""
    with socket.create_connection(("127.0.0.1", gateway.port), 5) as connection:
        connection.settimeout(wait)
        parts = []
        with contextlib.suppress(TimeoutError, ConnectionError):  # who is refused may be so while still sending
            connection.sendall(data)
            while part := connection.recv(65536):
                parts.append(part)
        return b"".join(parts)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_what_no_route_names_passes_unchanged(gateway, seen, method):
    path = "/x/%2F%C3%A9/y;z?b=2&a=1&a=0&c=%20"
    body = b'{ "b":1,  "a":2 }\x00\xff' if method != "GET" else None
    headers = {"Authorization": "Bearer x", "X-Mine": "Wert", "Accept-Encoding": "br", "X-Hop": "1"}
    headers["Connection"] = "close, X-Hop"
    answer, text = ask(gateway, method, "/echo.example" + path, body, headers)
    (command, target, received, content) = seen[0]
    received = {name.lower(): value for name, value in received}
    assert (command, target, content) == (method, path, body or b"")
    assert received["host"] == "echo.example" and received["x-mine"] == "Wert" and received["accept-encoding"] == "br"
    assert "x-hop" not in received
    assert (answer.status, text, answer.headers["X-Theirs"], answer.headers["X-Cache"]) == (200, b"ok", "1", "BYPASS")


def test_multipart_passes_unchanged(gateway, seen):
    body = b'--b\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\n\x00\x01\r\n--b--\r\n'
    ask(gateway, "POST", "/echo/kept", body, {"Content-Type": "multipart/form-data; boundary=b"})
    assert seen[0][3] == body


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("size", [99_999, 100_001, 3_000_000])
def test_long_bodies_pass_unchanged(gateway, seen, size, chunked):
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    options = {"encode_chunked": True} if chunked else {}
    content = iter([body[at : at + 70_000] for at in range(0, size, 70_000)]) if chunked else body
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    answer, text = ask(gateway, "POST", "/echo/anything", content, headers, **options)
    assert (answer.status, text) == (200, b"ok") and seen[0][3] == body


def test_trailers_are_no_headers(gateway, seen):
    Echo.script["/late"] = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-Early: 1\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n"
    )
    for size in (2, 150_000):
        with connected(gateway) as connection:
            connection.connect()
            head = b"POST /echo/late HTTP/1.1\r\nHost: a\r\nX-Early: 1\r\nTransfer-Encoding: chunked\r\n\r\n"
            connection.sock.sendall(head + b"%x\r\n%s\r\n0\r\nX-Late: 1\r\n\r\n" % (size, b"x" * size))
            with connection.sock.makefile("rb") as answer:
                said = b"".join(iter(lambda: answer.read(1), b"k"))
            assert b"x-early: 1" in said.lower() and b"x-late" not in said.lower()
        names = [name.lower() for name, _value in seen[-1][2]]
        assert "x-early" in names and "x-late" not in names


def test_a_body_over_the_limit_is_not_kept(gateway, seen):
    Echo.script["/kept"] = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
    small, large = json.dumps({"a": "x" * 1000}), json.dumps({"a": "x" * 200_000})
    kind = {"Content-Type": "application/json"}
    answers = [ask(gateway, "POST", "/echo/kept", body, kind)[0] for body in (small, small, large, large)]
    labels = [answer.headers["X-Cache"] for answer in answers]
    assert labels == ["MISS", "HIT", "BYPASS", "BYPASS"] and len(seen) == 3


def test_head_and_answers_without_a_body(gateway, seen):
    Echo.script["/none"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    Echo.script["/head"] = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    with connected(gateway) as connection:
        calls = (("HEAD", "/head", 200), ("GET", "/none", 204), ("HEAD", "/head", 200), ("GET", "/x", 200))
        for method, path, status in calls:
            connection.request(method, "/echo" + path)
            answer = connection.getresponse()
            assert answer.status == status and len(answer.read()) == (2 if path == "/x" else 0)
            assert method != "HEAD" or answer.headers["Content-Length"] == "5000"


def test_an_answer_without_a_length_is_passed_on_and_not_kept(gateway, seen):
    Echo.script["/kept/open"] = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": 1}'
    labels = []
    for _unused in range(2):
        answer, text = ask(gateway, "POST", "/echo/kept/open", b"{}", {"Content-Type": "application/json"})
        labels.append(answer.headers["X-Cache"])
        assert text == b'{"a": 1}'
    assert labels == ["MISS", "MISS"]


def test_a_chunked_answer_is_kept(gateway, seen):
    Echo.script["/kept/chunks"] = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        b'3\r\n{"a\r\n5\r\n": 1}\r\n0\r\n\r\n'
    )
    kind = {"Content-Type": "application/json"}
    answers = [ask(gateway, "POST", "/echo/kept/chunks", b"{}", kind) for _unused in range(2)]
    assert [answer.headers["X-Cache"] for answer, _text in answers] == ["MISS", "HIT"]
    assert [text for _answer, text in answers] == [b'{"a": 1}'] * 2


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 8\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nContent-Length: 8\r\n\r\n",
        b"HTTP/1.1 203 OK\r\nContent-Type: application/json\r\nContent-Length: 8\r\n\r\n",
        b"HTTP/1.1 307 Go\r\nLocation: https://echo.example/other\r\nContent-Length: 8\r\n\r\n",
    ],
)
def test_answers_that_are_passed_on_and_not_kept(gateway, seen, head):
    Echo.script["/kept/odd"] = head + b'{"a": 1}'
    kind = {"Content-Type": "application/json"}
    answers = [ask(gateway, "POST", "/echo/kept/odd", b"{}", kind) for _unused in range(2)]
    assert [answer.headers["X-Cache"] for answer, _text in answers] == ["MISS", "MISS"] and len(seen) == 2
    assert all(str(answer.status).encode() in head and text == b'{"a": 1}' for answer, text in answers)


def test_an_upstream_that_does_not_speak_http(gateway, seen):
    Echo.script["/x"] = b"SSH-2.0-OpenSSH\r\n"
    assert ask(gateway, "GET", "/echo/x")[0].status == 502


def test_one_connection_for_many_requests_and_their_order(gateway, seen):
    data = b"".join(b"GET /echo/%d HTTP/1.1\r\nHost: g\r\n\r\n" % number for number in range(5))
    answers = raw(gateway, data)
    assert answers.count(b"HTTP/1.1 200 OK") == 5
    assert [path for _method, path, *_rest in seen] == [f"/{number}" for number in range(5)]


def test_expect_continue(gateway, seen):
    head = b"POST /echo/x HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    assert raw(gateway, head) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert raw(gateway, head + b"abc").endswith(b"ok") and seen[-1][3] == b"abc"


def test_an_old_client(gateway, seen):
    answer = raw(gateway, b"GET /echo/x HTTP/1.0\r\n\r\n", wait=3)
    assert b"connection: close" in answer and answer.endswith(b"ok")


@pytest.mark.parametrize("body", [b"", b"abc", b"x" * 200_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_of_http_2_is_ignored(gateway, seen, body, chunked):
    """As Java's HttpClient makes it."""
    framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    length, content = (b"Transfer-Encoding: chunked", framed + b"0\r\n\r\n") if chunked else (
        b"Content-Length: %d" % len(body), body)  # fmt: skip
    head = (b"POST /echo/x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: g\r\nHTTP2-Settings: AAEAAEAA\r\n"
            b"Upgrade: h2c\r\nExpect: 100-continue\r\nX-Mine: 1\r\n" + length + b"\r\n\r\n")  # fmt: skip
    answers = raw(gateway, (head + content) * (1 if len(body) > 100_000 else 3))
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b"HTTP/1.1 100 Continue") == len(seen)
    assert len(seen) == (1 if len(body) > 100_000 else 3)
    for _method, _path, headers, received in seen:
        names = {name.lower() for name, _value in headers}
        assert received == body and "x-mine" in names
        assert not names & {"upgrade", "http2-settings", "connection", "expect"}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET /echo/ HTTP/1.1\r\nHost: g\r\nX: " + b"a" * 140_000 + b"\r\n\r\n", b"431"),
        (b"GET /echo/ HTTP/1.1\r\nHost: g\r\nX: " + b"a" * 100_000, b"431"),  # and no end
        (b"GET /echo/ HTTP/1.1\r\n" + b"X: a\r\n" * 20_000, b"431"),
        (b"POST /echo/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 100_000, b"431"),
        (
            b"POST /echo/ HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"400",
        ),
        (b"GET /echo/ HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", b"501"),
        (b"CONNECT api.openai.com:443 HTTP/1.1\r\nHost: api.openai.com:443\r\n\r\n", b"501"),
        (b"GET /evil.example/ HTTP/1.1\r\nHost: g\r\n\r\n", b"403"),
        (b"GET /api.telegram.org/bot1/getMe HTTP/1.1\r\nHost: g\r\n\r\n", b"403"),
        (b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"403"),
        (b"GET /-/nothing HTTP/1.1\r\nHost: g\r\n\r\n", b"404"),
        (b"GET /-/purge/openai HTTP/1.1\r\nHost: g\r\n\r\n", b"405"),
    ],
)
def test_what_is_refused(gateway, seen, data, status):
    assert raw(gateway, data).startswith(b"HTTP/1.1 " + status)
    assert not seen


@pytest.fixture
def small_gateway(echo, providers, redis):
    """A gateway whose memory nobody has used yet."""
    policy = (
        f'[providers.echo]\nhosts = ["echo.example"]\nscheme = "http"\naddress = "127.0.0.1:{echo.server_port}"\n'
        '[providers.echo.routes.kept]\npath = "/kept"\nstore = "always"\n'
        '[providers.echo.routes.picture]\nmethod = "GET"\npath = "/picture"\nanswer = "image"\nstore = "always"\n'
    )
    with folder() as where:
        started = Gateway(where, providers, redis.url, policy)
        yield started
        started.wait_for_metric("headroom_gateway_held_bytes", 0, 5)
        started.process.stop()


def peak_mb(gateway):
    status = Path(f"/proc/{gateway.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_ten_large_pictures_at_once(small_gateway, seen):
    """The container may have 96 MB: what finds no room is passed on, and asked for again."""
    picture = os.urandom(4_000_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n" % len(picture)
    Echo.script["/picture"] = head + picture
    for _misses_then_some_hits in range(2):
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda n: ask(small_gateway, "GET", f"/echo/picture?{n}"), range(10)))
        assert all(answer.status == 200 and text == picture for answer, text in answers)
    assert peak_mb(small_gateway) < 80
    known = sum(answer.headers["X-Cache"] != "MISS" for answer, _text in answers)
    assert known >= 2 and len(seen) == 20 - known
    assert small_gateway.metric('headroom_gateway_not_kept_total{provider="echo",reason="no room"}') >= 2


def test_forty_large_questions_at_once(small_gateway, seen):
    """Each holds a picture; all are on their way at the same time."""
    body = json.dumps({"picture": "A" * 1_300_000}).encode()
    head = b"POST /echo/kept HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: %d\r\n\r\n" % len(body)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", small_gateway.port), 10))
            for _number in range(40)
        ]
        for client in clients:
            client.sendall(head + body[:-1])
        for client in clients:
            client.sendall(body[-1:])
        answers = [b"".join(iter(lambda one=client: one.recv(65536), b"")) for client in clients]
    assert all(answer.startswith(b"HTTP/1.1 200 OK") and answer.endswith(b"ok") for answer in answers)
    assert {content for *_head, content in seen} == {body}
    assert peak_mb(small_gateway) < 80


def test_its_own_pages(gateway):
    answer, text = ask(gateway, "GET", "/-/health")
    assert answer.status == 200 and json.loads(text) == {"status": "ok", "cache": "up"}
    answer, text = ask(gateway, "GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4") and b"# TYPE" in text
