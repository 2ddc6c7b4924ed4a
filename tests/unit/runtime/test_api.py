# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is compressed, what is not, and what is counted: through Starlette and FastAPI as a server would call them."""

from __future__ import annotations

import asyncio
import gzip

import pytest
from headroom_runtime.api import Compressing, accepts_gzip, compressed_headers, compressible, varying

JSON = (b"content-type", b"application/json")


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        (None, False),
        (b"gzip", True),
        (b"br, GZip;q=0.5", True),
        (b"gzip;q=0", False),
        (b"*", True),
        (b"*;q=0.1, gzip;q=0", False),
        (b"identity", False),
        (b"gzip;q=x", False),
    ],
)
def test_what_a_client_accepts(value, accepted):
    assert accepts_gzip([] if value is None else [(b"Accept-Encoding", value)]) is accepted


@pytest.mark.parametrize(
    ("status", "headers", "allowed"),
    [
        (200, [JSON], True),
        (404, [(b"Content-Type", b"text/html; charset=utf-8")], True),
        (200, [(b"content-type", b"application/problem+json")], True),
        (200, [(b"content-type", b"image/jpeg")], False),
        (200, [], False),
        (200, [(b"content-type", b"text/event-stream; charset=utf-8")], False),
        (206, [JSON], False),
        (304, [JSON], False),
        (200, [JSON, (b"content-range", b"bytes 0-1/2")], False),
        (200, [JSON, (b"content-encoding", b"br")], False),
        (200, [JSON, (b"cache-control", b"public, no-transform")], False),
        (200, [JSON, (b"ETag", b'"x"')], False),
        (200, [JSON, (b"ETag", b'W/"x"')], True),
    ],
)
def test_what_may_be_compressed(status, headers, allowed):
    assert compressible(status, headers) is allowed


def test_headers_of_a_compressed_response():
    headers = [JSON, (b"ETag", b'W/"x"'), (b"content-length", b"5000"), (b"Vary", b"Origin")]
    assert compressed_headers(varying(headers), 50) == [
        JSON, (b"ETag", b'W/"x"'), (b"Vary", b"Origin, Accept-Encoding"), (b"content-encoding", b"gzip"),
        (b"content-length", b"50"),
    ]  # fmt: skip
    assert varying([(b"vary", b"*")]) == [(b"vary", b"*")]
    assert varying([JSON]) == [JSON, (b"vary", b"Accept-Encoding")]


def passed(*messages, accepted=True, min_size=100):
    found = []

    async def send(message):
        found.append(message)

    async def pass_all():
        compressing = Compressing(send, accepted, min_size, 5)
        for message in messages:
            await compressing(message)

    asyncio.run(pass_all())
    return found


START = {"type": "http.response.start", "status": 200, "headers": [JSON]}


def body(data, more=False):
    return {"type": "http.response.body", "body": data, "more_body": more}


def test_a_whole_body_is_compressed():
    start, only = passed(START, body(b"x" * 1000))
    assert gzip.decompress(only["body"]) == b"x" * 1000
    assert dict(start["headers"])[b"content-length"] == str(len(only["body"])).encode()


@pytest.mark.parametrize(
    "messages",
    [
        [START, body(b"x" * 99)],
        [START, body(b"x" * 1000, more=True), body(b"y" * 1000)],
        [START, body(b"")],
        [START, {"type": "http.response.pathsend", "path": "/x"}],
        [{**START, "headers": [(b"content-type", b"text/event-stream")]}, body(b"x" * 1000)],
        [{"type": "http.response.push"}, START, body(b"")],
    ],
)
def test_everything_else_passes_as_it_is(messages):
    assert passed(*messages) == messages


def test_a_client_that_does_not_accept_it_is_told_that_it_could():
    start, only = passed(START, body(b"x" * 1000), accepted=False)
    assert (only["body"], dict(start["headers"])[b"vary"]) == (b"x" * 1000, b"Accept-Encoding")


APPLICATION = """
    import asyncio, gzip, sys
    from {library} import {kind} as Application

    async def get(app, path, encoding=b"gzip", method="GET"):
        messages = []
        bodies = [{{"type": "http.request", "body": b"", "more_body": False}}]
        async def receive():
            if not bodies:
                await asyncio.sleep(60)  # The client stays.
            return bodies.pop()
        async def send(message):
            messages.append(message)
        name, _unused, query = path.partition("?")
        scope = {{"type": "http", "asgi": {{"version": "3.0"}}, "http_version": "1.1", "method": method, "path": name,
                 "raw_path": name.encode(), "query_string": query.encode(), "scheme": "http", "root_path": "",
                 "headers": [(b"accept-encoding", encoding), (b"x-user", b"ann")],
                 "server": ("a", 1), "client": ("b", 2)}}
        try:
            await app(scope, receive, send)
        except Exception as error:
            print(type(error).__name__)
        headers = dict(messages[0]["headers"])
        data = b"".join(message.get("body", b"") for message in messages[1:])
        return messages[0]["status"], headers.get(b"content-encoding"), data
"""
STARLETTE = (
    APPLICATION.format(library="starlette.applications", kind="Starlette")
    + """
    from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
    from starlette.routing import Route
    async def large(request): return JSONResponse(list(range(1000)))
    async def small(request): return JSONResponse([1])
    async def events(request): return StreamingResponse(iter([b"data: 1\\n\\n"] * 900), media_type="text/event-stream")
    async def broken(request): 1 / 0
    app = Application(routes=[Route("/" + f.__name__, f) for f in (large, small, events, broken)])
"""
)


def test_starlette(application):
    pytest.importorskip("starlette")
    said, errors = application(
        "api",
        STARLETTE
        + """
    async def main():
        for path, encoding in (("/large", b"gzip"), ("/large", b"identity"), ("/small", b"gzip"), ("/events", b"gzip")):
            status, found, data = await get(app, path, encoding)
            print(path, status, found, len(gzip.decompress(data)) if found else len(data))
        print((await get(app, "/broken"))[0])
    asyncio.run(main())
    """,
    )
    large = "\n".join(["/large 200 b'gzip' 3891", "/large 200 None 3891"])
    assert said == f"{large}\n/small 200 None 3\n/events 200 None 8100\nZeroDivisionError\n500\n"
    assert errors == ""


def test_fastapi(application):
    pytest.importorskip("fastapi")
    said, errors = application(
        "api",
        APPLICATION.format(library="fastapi", kind="FastAPI")
        + """
    app = Application()
    @app.get("/large")
    def large(): return list(range(1000))
    status, found, data = asyncio.run(get(app, "/large"))
    print(status, found, len(gzip.decompress(data)))
    print(type(app.middleware_stack).__name__, type(app.middleware_stack.app).__name__)
    """,
    )
    assert said == "200 b'gzip' 3891\nOutermost ServerErrorMiddleware\n"
    assert errors == ""


def test_requests_errors_and_users_are_counted(application, tmp_path):
    pytest.importorskip("starlette")
    (tmp_path / "users").mkdir()
    application(
        f"api:counters={tmp_path}/api:users={tmp_path}/users:user_query=chat_id",
        STARLETTE
        + """
    from headroom_runtime import service_counters
    async def main():
        for path in ("/small?chat_id=1", "/small?a=b&chat_id=2", "/small?chat_id=1", "/broken", "/nowhere"):
            await get(app, path)
    asyncio.run(main())
    [one.flush() for one in service_counters._services.values()]
    """,
    )
    lines = dict(line.split() for line in (tmp_path / "api").read_text().splitlines())
    assert (float(lines["requests"]), float(lines["errors"])) == (5, 1)
    assert len((tmp_path / "users/seen").read_bytes()) == 24


def test_only_the_outermost_of_mounted_applications_compresses_and_counts(application, tmp_path):
    pytest.importorskip("starlette")
    said, errors = application(
        f"api:counters={tmp_path}/api",
        STARLETTE
        + """
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.routing import Mount
    from headroom_runtime import service_counters
    class Envelope(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            answer = await call_next(request)
            text = b"".join([part async for part in answer.body_iterator]).decode()
            return PlainTextResponse("Envelope " + text)
    outer = Application(routes=[Mount("/v1", app)])
    outer.add_middleware(Envelope)
    status, found, data = asyncio.run(get(outer, "/v1/large"))
    print(status, found, gzip.decompress(data)[:12])
    [one.flush() for one in service_counters._services.values()]
    """,
    )
    assert (said, errors) == ("200 b'gzip' b'Envelope [0,'\n", "")
    assert (tmp_path / "api").read_text().split()[1] == "0000000000000001.000"


def test_an_error_inside_leaves_the_application_as_it_is(application):
    pytest.importorskip("starlette")
    said, errors = application(
        "api",
        """
    import headroom_runtime.api as api
    def broken(self, app, options):
        raise RuntimeError("injected")
    api.Outermost.__init__ = broken
    """
        + STARLETTE
        + """
    print(asyncio.run(get(app, "/large"))[:2])
    """,
    )
    assert (said, "injected" in errors) == ("(200, None)\n", True)
