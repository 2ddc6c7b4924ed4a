# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway and a provider to redirect between: the provider speaks TLS on 443, as real ones do."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

# What the role puts on the applications' PYTHONPATH.
PACKAGES = Path(__file__).parents[3] / "roles" / "stage3_caching" / "files"
sys.path.insert(0, str(PACKAGES))

APPLICATION = Path(__file__).with_name("application.py")
URL = "https://provider.test/v1/chat%2Fcompletions?b=2&a=%C3%A4"

PROVIDER_ADDRESS = f"127.77.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250 + 1}"
"""An own loopback address, so that nobody else's port 443 is in the way: no other test process's either."""
os.environ["PROVIDER_ADDRESS"] = PROVIDER_ADDRESS  # for the application, which is a process of its own


@dataclasses.dataclass
class Seen:
    """One request as a server received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Server(http.server.ThreadingHTTPServer):
    """Answers with its name; `mode` says how. Connections are kept alive, as providers keep them.

    With `events` it answers with these, as a stream, hangs up where it comes to None, and where it comes to 0 says no
    more; `mark` is its X-Cache.
    """

    daemon_threads = True
    name = ""
    mode = "answer"
    events: list[bytes | int | None] | None = None
    mark = "MISS"

    def __init__(self, address: tuple[str, int], name: str) -> None:
        self.seen: list[Seen] = []
        self.name = name
        super().__init__(address, Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self) -> None:
        server = self.server
        body = self._body()
        server.seen.append(Seen(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if server.events is not None:
            self._stream(server)
            return
        if server.mode == "drop":
            self.close_connection = True
            return
        status, mark = {
            "answer": (200, "HIT"),
            "decision": (429, "NONE"),
            "failure": (502, "BYPASS"),
            "unreachable": (502, "NONE"),
            "unknown": (403, "NONE"),
            "nobody": (502, None),
            "move": (307, "MISS"),
        }[server.mode]
        moved = server.mode == "move" and not self.path.endswith("/moved")
        answer = json.dumps({"from": server.name, "path": self.path}).encode()
        self.send_response(status if server.mode != "move" or moved else 200)
        if server.name == "gateway" and mark:
            self.send_header("X-Cache", mark)
        if moved:
            self.send_header("Location", "/v1/moved")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _stream(self, server: Server) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        if server.name == "gateway":
            self.send_header("X-Cache", server.mark)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in server.events or ():
            if event is None:
                self.close_connection = True
                return
            if event == 0:
                time.sleep(5)
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = _answer

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def _running(server: Server):
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> Path:
    """A certificate for the provider's name with its key in one file."""
    file = tmp_path_factory.mktemp("tls") / "provider.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=provider.test",
         "-addext", "subjectAltName=DNS:provider.test,DNS:other.test", "-keyout", file, "-out", f"{file}.crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    file.write_text(file.read_text() + Path(f"{file}.crt").read_text())
    return file


@pytest.fixture
def provider(certificate):
    try:
        server = Server((PROVIDER_ADDRESS, 443), "provider")
    except PermissionError:
        pytest.skip("needs port 443: run as root, or with net.ipv4.ip_unprivileged_port_start=443")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with _running(server):
        yield server


@pytest.fixture
def gateway():
    with _running(Server(("127.0.0.1", 0), "gateway")) as server:
        yield server


@pytest.fixture
def application(certificate, gateway):
    """Run the application with the shim and return what it says; `redirect` is the setting, None for no shim."""

    def run(client, redirect="", python=sys.executable, **order):
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment.update(PYTHONPATH=str(PACKAGES), SSL_CERT_FILE=f"{certificate}.crt")
        environment.update(order.pop("environment", {}), REQUESTS_CA_BUNDLE=f"{certificate}.crt")
        port = gateway.server_address[1]
        environment["HEADROOM_REDIRECT"] = redirect or f"http://127.0.0.1:{port}=provider.test,more.test"
        done = subprocess.run(
            [python, str(APPLICATION), json.dumps({"client": client, "url": URL, **order})],
            env=environment, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "stderr": done.stderr}

    return run
