# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Timeouts where there were none, one TLS context, connections that are kept: seen from the server's side."""

from __future__ import annotations

import pytest
from headroom_runtime.http import context_key

SERVER = """
    import http.server, threading, time

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        connections = 0
        def get_request(self):
            self.connections += 1
            return super().get_request()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            if self.path == "/slow":
                time.sleep(1)
            answer = (self.headers.get("Cookie") or "none").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.send_header("Set-Cookie", "a=b")
            self.end_headers()
            self.wfile.write(answer)
        def log_message(self, *arguments):
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
"""


@pytest.mark.parametrize(
    ("arguments", "named", "shared"),
    [
        ((), {}, True),
        ((True,), {}, True),
        ((), {"verify": True, "cert": None, "trust_env": True}, True),
        ((False,), {}, False),
        ((), {"verify": "ca.pem"}, False),
        ((), {"cert": "client.pem"}, False),
        ((), {"more": 1}, False),
    ],
)
def test_only_the_usual_context_is_shared(arguments, named, shared):
    assert (context_key(arguments, named, {}) is not None) is shared


def test_contexts_differ_where_the_environment_does():
    keys = {
        context_key((), {}, {}),
        context_key((), {}, {"SSL_CERT_FILE": "a"}),
        context_key((), {"trust_env": False}, {"SSL_CERT_FILE": "a"}),
    }
    assert len(keys) == 3


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_clients_share_a_context_and_special_ones_do_not(application, library):
    pytest.importorskip(library)
    said, errors = application(
        "http",
        f"""
        import ssl, {library} as httpx
        def context(client):
            return client._transport._pool._ssl_context
        own = ssl.create_default_context()
        clients = [httpx.Client(), httpx.Client(), httpx.AsyncClient()]
        clients += [httpx.Client(verify=False), httpx.Client(verify=own)]
        contexts = [context(client) for client in clients]
        print(contexts[0] is contexts[1] is contexts[2], contexts[3].verify_mode, contexts[4] is own)
        print(contexts[0].verify_mode, contexts[0].check_hostname, len(contexts[0].get_ca_certs()) > 50)
        try:
            import h2
            print(context(httpx.Client(http2=True)) is not contexts[0])
        except ImportError:
            print(True)
        """,
    )
    assert errors == ""
    shared, strict, apart = said.splitlines()
    assert shared.startswith("True") and "NONE" in shared.replace("0", "NONE") and shared.endswith("True")
    assert strict.endswith("True True")
    assert apart == "True"


def test_requests_gets_a_timeout_where_it_has_none(application):
    pytest.importorskip("requests")
    said, _unused = application(
        "http:read=0.3",
        SERVER
        + """
    import requests
    for named in ({}, {"timeout": None}, {"timeout": 5}):
        try:
            print(requests.get(url + "/slow", **named).status_code)
        except requests.exceptions.ReadTimeout:
            print("timeout")
    """,
    )
    assert said.split() == ["timeout", "timeout", "200"]


def test_calls_keep_their_connection_and_nothing_else(application):
    pytest.importorskip("requests")
    code = (
        SERVER
        + """
    import os, requests
    texts = [requests.get(url).text for _ in range(5)]
    print(server.connections, set(texts))
    time.sleep(0.7)
    requests.get(url)
    print(server.connections)
    requests.get(url, verify=False)
    print(server.connections)
    session = requests.Session()
    print(session.get(url).text, session.get(url).text)
    """
    )
    without, _unused = application("", code)
    with_runtime, errors = application("http:keep=0.5", code)
    assert without.splitlines()[0] == "5 {'none'}"
    assert with_runtime.splitlines() == ["1 {'none'}", "2", "3", "none a=b"]
    assert errors == ""


def test_a_connection_that_is_idle_is_not_kept_for_calls_of_others(application):
    pytest.importorskip("requests")
    said, errors = application(
        "http:keep=0.5",
        SERVER
        + """
    import gc, requests
    other, proxy = Server(("127.0.0.1", 0), Handler), Server(("127.0.0.1", 0), Handler)
    for one in (other, proxy):
        threading.Thread(target=one.serve_forever, daemon=True).start()
    def call_others():
        requests.get(f"http://127.0.0.1:{other.server_port}")
        requests.get("http://name.invalid", proxies={"http": f"http://127.0.0.1:{proxy.server_port}"})
        print(other.connections, proxy.connections)
    call_others()
    for _ in range(12):
        time.sleep(0.2)
        requests.get(url)
    call_others()
    print(sum(type(one).__name__ == "LastingAdapter" for one in gc.get_objects()) <= 3)
    """,
    )
    assert (said.splitlines(), errors) == (["1 1", "2 2", "True"], "")


def test_a_server_that_closes_between_calls_is_no_error(application):
    pytest.importorskip("requests")
    said, _unused = application(
        "http:keep=60",
        SERVER.replace('protocol_version = "HTTP/1.1"', 'protocol_version = "HTTP/1.1"; timeout = 0.2')
        + """
    import requests
    print(requests.get(url).status_code)
    time.sleep(0.6)
    print(requests.post(url).status_code, requests.get(url).status_code, server.connections)
    """,
    )
    assert said.split() == ["200", "501", "200", "3"]


def test_an_error_inside_leaves_requests_to_itself(application):
    pytest.importorskip("requests")
    said, errors = application(
        "http",
        SERVER
        + """
    import requests, headroom_runtime.http
    def broken(self, session):
        raise RuntimeError("injected")
    headroom_runtime.http._Kept.lend = broken
    print(requests.get(url).status_code)
    """,
    )
    assert (said, "injected" in errors) == ("200\n", True)
