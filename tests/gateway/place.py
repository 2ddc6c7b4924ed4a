# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A gateway with everything around it on 127.0.0.1: the stand-in providers behind TLS, a Redis, the gateway's process.

`python tests/gateway/place.py providers <folder>` is the providers' own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.request
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "roles/stage3_caching/files/gateway"
sys.path.insert(0, str(PACKAGE))

from headroom_gateway.policy import load, merged  # noqa: E402

START_SECONDS = 20.0
LOOPBACK = "127.0.0.1"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def make_certificate(folder: Path, names: list[str]) -> None:
    """Write cert.pem and key.pem for these names; the certificate is its own authority."""
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=stand-in providers", "-addext", f"subjectAltName={alternatives}",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip


async def seconds_of(work: Awaitable[Any]) -> tuple[Any, float]:
    """Return what is awaited and the seconds that it took."""
    began = time.monotonic()
    return await work, time.monotonic() - began


class Process:
    """A child process that is gone at the end."""

    def __init__(self, argv: list[str], environment: dict[str, str] | None = None, log: Path | None = None) -> None:
        self.log = log
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(log.open("ab")) if log is not None else subprocess.DEVNULL
            self.child = subprocess.Popen(
                argv, env={**os.environ, **(environment or {})}, stdout=out, stderr=out, stdin=subprocess.DEVNULL
            )

    @property
    def pid(self) -> int:
        return self.child.pid

    def signal(self, number: int) -> None:
        self.child.send_signal(number)

    def stop(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGCONT)
            self.child.terminate()
            try:
                self.child.wait(12)
            except subprocess.TimeoutExpired:
                self.child.kill()
        self.child.wait()

    def kill(self) -> None:
        self.child.kill()
        self.child.wait()


def wait_for_port(port: int, process: Process) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), 1):
            return
        if process.child.poll() is not None:
            break
        time.sleep(0.05)
    text = process.log.read_text() if process.log is not None else ""
    raise RuntimeError(f"nothing listens on port {port}: {text[-2000:]}")


class Redis:
    """A redis-server as the cache's shall be set up."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.folder = folder
        self.options = options
        self.start()

    def start(self) -> None:
        self.process = Process(
            ["redis-server", "--port", str(self.port), "--bind", LOOPBACK, "--save", "", "--appendonly", "no",
             "--dir", str(self.folder), "--enable-protected-configs", "yes",
             "--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lfu",
             "--hash-max-listpack-value", "512", "--hash-max-listpack-entries", "128", *self.options],
            log=self.folder / "redis.log",
        )  # fmt: skip
        wait_for_port(self.port, self.process)

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def cli(self, *words: str) -> str:
        done = subprocess.run(["redis-cli", "-p", str(self.port), *words], check=True, capture_output=True)
        return done.stdout.decode("latin-1").strip()


class Providers:
    """The sandbox's stand-ins, in a process of their own."""

    def __init__(self, folder: Path, scale: float = 0.0) -> None:
        from sandbox import providers

        self.folder = folder
        self.seeds = itertools.count(1)
        make_certificate(folder, list(providers.HOST_NAMES))
        self.port, self.control = free_port(), free_port()
        self.process = Process(
            [
                sys.executable,
                str(Path(__file__)),
                "providers",
                str(folder),
                str(self.port),
                str(self.control),
                str(scale),
            ],
            {"PYTHONPATH": str(ROOT)},
            folder / "providers.log",
        )
        wait_for_port(self.control, self.process)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.control}{path}", data=data, method=method,
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = self.call("GET", "/counters")["calls"]
        return found

    def fail(self, kind: str, mode: str, **fields: Any) -> None:
        self.call("POST", "/faults", {"kind": kind, "mode": mode, **fields})

    def reset(self) -> None:
        self.call("DELETE", "/faults")
        # An own seed each time: with the same one, Fal's request numbers would come again.
        self.call("POST", f"/reset?seed={next(self.seeds)}")
        self.call("POST", "/settings", {"latency_scale": 0.0, "fal_slots": 100, "deepl_quota": 10**9})

    def scale(self, factor: float) -> None:
        self.call("POST", "/settings", {"latency_scale": factor})


class Gateway:
    """The gateway's process, sent to the stand-ins."""

    def __init__(self, folder: Path, providers: Providers, redis_url: str = "", policy: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "gateway.log"
        path = folder / "policy.toml"
        path.write_text(toml(merged(sent_to(providers.port), tomllib.loads(policy))))
        self.environment = {
            "HEADROOM_GATEWAY_LISTEN": f"{LOOPBACK}:{self.port}",
            "HEADROOM_GATEWAY_REDIS_URL": redis_url,
            "HEADROOM_GATEWAY_POLICY": str(path),
            "HEADROOM_GATEWAY_UPSTREAM_CA": str(providers.folder / "cert.pem"),
            "HEADROOM_GATEWAY_LOG_LEVEL": "DEBUG",
            **image_environment(),
            "PYTHONPATH": str(PACKAGE),
            "PYTHONDONTWRITEBYTECODE": "1",  # nothing may be left beside files that the role copies
        }
        self.start()

    def start(self) -> None:
        self.process = Process([sys.executable, "-m", "headroom_gateway"], self.environment, self.log)
        wait_for_port(self.port, self.process)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "headroom_gateway", *arguments], env={**os.environ, **self.environment},
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    def metric(self, line: str) -> float:
        """Return the value of one line of /metrics, 0 when it is not there."""
        with urllib.request.urlopen(self.url + "/metrics", timeout=10) as answer:
            for text in answer.read().decode().splitlines():
                if text.startswith(line + " "):
                    return float(text.rpartition(" ")[2])
        return 0.0

    def wait_for_metric(self, line: str, value: float, seconds: float) -> None:
        """Wait until a line of /metrics has a value. Raises RuntimeError when it does not come to have it."""
        deadline = time.monotonic() + seconds
        while self.metric(line) != value:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{line} is {self.metric(line):g}, not {value:g}, after {seconds:g} s")
            time.sleep(0.1)

    def resident_bytes(self) -> int:
        for text in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if text.startswith("VmRSS:"):
                return int(text.split()[1]) * 1024
        raise RuntimeError("the gateway is gone")


def sent_to(port: int) -> dict[str, Any]:
    """Return a policy that sends every provider's calls to a port of this machine."""
    return {"providers": {name: {"address": f"{LOOPBACK}:{port}"} for name in load().providers}}


def image_environment() -> dict[str, str]:
    """Return what the gateway's image sets, so that its process is the same here."""
    lines = (PACKAGE / "Dockerfile").read_text().splitlines()
    return dict(word.split("=", 1) for line in lines if line.startswith("ENV ") for word in line.split()[1:])


def toml(table: dict[str, Any], path: str = "") -> str:
    """Write tables of plain values as TOML, where these look as they do in JSON."""
    values = "".join(f"{json.dumps(name)} = {json.dumps(value)}\n" for name, value in table.items()
                     if not isinstance(value, dict))  # fmt: skip
    text = f"[{path}]\n{values}" if path and values else values
    for name, value in table.items():
        if isinstance(value, dict):
            text += toml(value, f"{path}.{json.dumps(name)}" if path else json.dumps(name))
    return text


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="headroom-gateway-") as name:
        yield Path(name)


async def _serve_providers(where: Path, port: int, control: int, scale: float) -> None:
    from aiohttp import web

    from sandbox.providers.control import Control
    from sandbox.providers.stand_ins import Providers as StandIns

    stand_ins = StandIns(seed=1, scale=scale)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(where / "cert.pem", where / "key.pem")
    for app, number, tls in (
        (stand_ins.application(), port, context),
        (Control(stand_ins).application(), control, None),
    ):
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, LOOPBACK, number, ssl_context=tls).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve_providers(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])))
