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
import textwrap
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
    more; `mark` is its X-Cache. `wait` is its Retry-After.
    """

    daemon_threads = True
    name = ""
    mode = "answer"
    events: list[bytes | int | None] | None = None
    mark = "MISS"
    wait: str | None = None

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
            "slow": (200, "MISS"),
            "busy": (503 if len(server.seen) < 3 else 200, "BYPASS"),
        }[server.mode]
        if server.mode == "slow":
            time.sleep(1)
        moved = server.mode == "move" and not self.path.endswith("/moved")
        answer = json.dumps({"from": server.name, "path": self.path}).encode()
        self.send_response(status if server.mode != "move" or moved else 200)
        if server.name == "gateway" and mark:
            self.send_header("X-Cache", mark)
        if server.wait:
            self.send_header("Retry-After", server.wait)
        if moved:
            self.send_header("Location", "/v1/moved")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # an application that has gone
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
def start(certificate, gateway):
    """Run Python with the shim; `redirect` is the setting."""

    def run(*arguments, redirect="", **more):
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        environment.update(PYTHONPATH=f"{PACKAGES}:{APPLICATION.parent}", SSL_CERT_FILE=f"{certificate}.crt")
        environment.update(more, REQUESTS_CA_BUNDLE=f"{certificate}.crt", PYTHONDONTWRITEBYTECODE="1")
        port = gateway.server_address[1]
        environment["HEADROOM_REDIRECT"] = redirect or f"http://127.0.0.1:{port}=provider.test,more.test"
        done = subprocess.run(
            [sys.executable, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout, done.stderr

    return run


@pytest.fixture
def application(start):
    """Make an order's calls with a client, and return what the application says."""

    def run(client, redirect="", environment=None, **order):
        order = json.dumps({"client": client, "url": URL, **order})
        said, errors = start(str(APPLICATION), order, redirect=redirect, **(environment or {}))
        return {**json.loads(said), "stderr": errors}

    return run


@pytest.fixture
def program(start):
    """Run a program of an application's own, with `URL` and the provider's address known to it."""

    def run(code, **environment):
        known = f"import application\nURL = {URL!r}\n"
        return start("-c", known + textwrap.dedent(code), **environment)

    return run
