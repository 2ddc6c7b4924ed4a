# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import unix_http


class Handler(BaseHTTPRequestHandler):
    """Answers with what it was asked; /broken with an error as the engine words it."""

    def answer(self):
        size = int(self.headers.get("Content-Length") or 0)
        asked = {"method": self.command, "path": self.path, "body": self.rfile.read(size).decode()}
        if self.path == "/silent":
            return
        status, answer = (500, {"message": "it is broken\n"}) if self.path == "/broken" else (200, asked)
        data = b"plain words" if self.path == "/plain" else json.dumps(answer).encode()
        self.send_response(404 if self.path == "/plain" else status)
        self.send_header("Api-Version", "1.41")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = answer

    def log_message(self, *_words):
        pass

    def address_string(self):
        return "socket"


@pytest.fixture
def server(tmp_path):
    path = str(tmp_path / "engine.sock")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield path
        listening.shutdown()


def test_query_and_body(server):
    headers, data = unix_http.request(server, "POST", "/x", {"filters": '{"a": ["b c"]}'}, {"Memory": 5})
    assert headers["Api-Version"] == "1.41"
    asked = json.loads(data)
    assert (asked["method"], asked["body"]) == ("POST", '{"Memory": 5}')
    assert asked["path"] == "/x?filters=%7B%22a%22%3A+%5B%22b+c%22%5D%7D"


def test_the_servers_own_words(server):
    with pytest.raises(unix_http.HttpError, match=r"^it is broken$") as caught:
        unix_http.request(server, "GET", "/broken")
    assert caught.value.status == 500
    with pytest.raises(unix_http.HttpError, match=r"^plain words$"):
        unix_http.request(server, "GET", "/plain")


def test_no_proper_answer_is_an_oserror(server):
    with pytest.raises(OSError, match="no proper answer"):
        unix_http.request(server, "GET", "/silent")


def test_no_server(tmp_path):
    with pytest.raises(FileNotFoundError):
        unix_http.request(str(tmp_path / "none.sock"), "GET", "/")
