# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The same hits from three caches, one worker each, in one run: the gateway, LiteLLM's proxy, nginx's proxy_cache.

    python bench/gateway_side_by_side.py [--litellm PATH/bin/litellm] [--seconds 5]

Each serves the same chat completion (1 KB) to wrk: over one connection for the time of a hit, over 16 for the number a
second; then 20 equal requests that nobody knows yet are sent at once, and the provider's calls counted. The contender
has one core to itself, wrk and Redis have the other. Needed: wrk, nginx, redis-server (Debian: wrk, nginx-light,
redis-server), the packages of requirements-test.txt, and LiteLLM in a virtual environment of its own
(pip install "litellm[proxy]"); a contender that is not there is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/gateway")]
sys.dont_write_bytecode = True

from place import LOOPBACK, PACKAGE, Process, Redis, folder, free_port, image_environment, wait_for_port  # noqa: E402

KEY = "sk-bench"
SYSTEM = "You are the assistant of a Telegram bot that makes pictures. Answer briefly and to the point."
QUESTION = "Why does a quiet river suit winter?"
SERVER_CORE, CLIENT_CORE = 0, 1
START_SECONDS = 90


def body_of(text: str) -> str:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}]
    return json.dumps({"model": "gpt-4o-mini", "temperature": 0, "messages": messages})


class Provider:
    """The sandbox's OpenAI over plain HTTP, in a process of its own, counting its calls."""

    def __init__(self, where: Path) -> None:
        self.port = free_port()
        self.process = Process([sys.executable, __file__, "provider", str(self.port)], log=where / "provider.log")
        wait_for_port(self.port, self.process)

    def calls(self) -> int:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.port}/calls") as answer:
            return int(answer.read())


async def serve_provider(port: int) -> None:
    from aiohttp import web

    from sandbox.providers.calls import Clock
    from sandbox.providers.openai import OpenAI

    calls = 0

    @web.middleware
    async def count(request: web.Request, handler: web.RequestHandler) -> web.StreamResponse:
        nonlocal calls
        if request.path == "/calls":
            return web.Response(text=str(calls))
        calls += 1
        await asyncio.sleep(0.3)
        return await handler(request)

    app = OpenAI(Clock(1, 0.0)).application()
    app.middlewares.append(count)
    app.router.add_get("/calls", lambda _request: web.Response())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, port).start()
    await asyncio.Event().wait()


def gateway(where: Path, provider: Provider, redis: Redis, port: int) -> list[str]:
    policy = where / "gateway.toml"
    policy.write_text(f'[providers.openai]\nscheme = "http"\naddress = "{LOOPBACK}:{provider.port}"\n')
    os.environ.update(image_environment())
    os.environ.update(
        HEADROOM_GATEWAY_LISTEN=f"{LOOPBACK}:{port}", HEADROOM_GATEWAY_REDIS_URL=redis.url, PYTHONPATH=str(PACKAGE),
        HEADROOM_GATEWAY_POLICY=str(policy), PYTHONDONTWRITEBYTECODE="1",
    )  # fmt: skip
    return [sys.executable, "-m", "headroom_gateway"]


def litellm(where: Path, provider: Provider, redis: Redis, port: int, program: str) -> list[str]:
    config = where / "litellm.yaml"
    parameters = {"model": "openai/gpt-4o-mini", "api_base": f"http://{LOOPBACK}:{provider.port}/v1", "api_key": KEY}
    cache = {"type": "redis", "host": LOOPBACK, "port": redis.port}
    config.write_text(json.dumps({
        "model_list": [{"model_name": "gpt-4o-mini", "litellm_params": parameters}],
        "general_settings": {"master_key": KEY},
        "litellm_settings": {"cache": True, "cache_params": cache, "telemetry": False},
    }))  # fmt: skip
    os.environ.update(LITELLM_LOCAL_MODEL_COST_MAP="True", LITELLM_LOG="ERROR", PYTHONPATH="")
    return [program, "--config", str(config), "--host", LOOPBACK, "--port", str(port), "--num_workers", "1",
            "--telemetry", "False"]  # fmt: skip


def nginx(where: Path, provider: Provider, port: int) -> list[str]:
    config = where / "nginx.conf"
    config.write_text(f"""
daemon off; worker_processes 1; user root; pid {where}/nginx.pid; error_log {where}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_buffer_size 1m; client_max_body_size 1m;
  client_body_temp_path {where}/body; proxy_temp_path {where}/proxy; fastcgi_temp_path {where}/f;
  uwsgi_temp_path {where}/u; scgi_temp_path {where}/s; keepalive_requests 100000000;
  proxy_cache_path {where}/cache keys_zone=answers:10m;
  server {{
    listen {LOOPBACK}:{port};
    location / {{
      proxy_pass http://{LOOPBACK}:{provider.port}; proxy_cache answers; proxy_cache_methods POST;
      proxy_cache_key "$request_method$uri$http_authorization$request_body"; proxy_cache_valid 200 1h;
      proxy_cache_lock on; proxy_ignore_headers Cache-Control Set-Cookie;
    }}
  }}
}}
""")
    return ["nginx", "-p", str(where), "-c", str(config)]


PATHS = {"gateway": "/openai/v1/chat/completions", "LiteLLM": "/v1/chat/completions", "nginx": "/v1/chat/completions"}


@contextlib.contextmanager
def running(argv: list[str], port: int, log: Path) -> Iterator[Process]:
    process = Process(["taskset", "-c", str(SERVER_CORE), *argv], log=log)
    try:
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(RuntimeError):
                wait_for_port(port, process)
                break
            if process.child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{argv[0]} does not start: {log.read_text()[-1500:]}")
        yield process
    finally:
        process.stop()


def wrk(url: str, where: Path, connections: int, seconds: int) -> dict[str, float]:
    """Return p50_ms, p99_ms, per_second and failed of one run of wrk."""
    script = where / "post.lua"
    script.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        f'wrk.headers["Authorization"] = "Bearer {KEY}"\nwrk.body = {json.dumps(body_of(QUESTION))}\n'
        'done = function(summary, latency, requests)\n'
        '  io.write(string.format("RESULT %f %f %f %d\\n", latency:percentile(50), latency:percentile(99),\n'
        "    summary.requests / (summary.duration / 1e6), summary.errors.status + summary.errors.timeout))\nend\n"
    )  # fmt: skip
    done = subprocess.run(
        ["taskset", "-c", str(CLIENT_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    found = re.search(r"RESULT (\S+) (\S+) (\S+) (\S+)", done.stdout)
    assert found, done.stdout
    p50, p99, rate, failed = map(float, found.groups())
    return {"p50_ms": p50 / 1000, "p99_ms": p99 / 1000, "per_second": rate, "failed": failed}


def post(url: str, text: str) -> int:
    """Send one request. Returns the status."""
    request = urllib.request.Request(
        url, body_of(text).encode(), {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()
        return int(answer.status)


def at_once(url: str, text: str, count: int = 20) -> None:
    async def all_of_them() -> None:
        await asyncio.gather(*(asyncio.to_thread(post, url, text) for _unused in range(count)))

    asyncio.run(all_of_them())


def family(pid: int) -> list[int]:
    """Return a process and its children."""
    pids = [pid]
    for one in pids:
        pids += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
    return pids


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have used: hardly changed by what else the machine does."""
    ticks = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> tuple[float, float]:
    """Return resident and private MB of a process and its children."""
    resident = private = 0
    for one in family(pid):
        for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
            name, _unused, value = line.partition(":")
            resident += int(value.split()[0]) if name == "Rss" else 0
            private += int(value.split()[0]) if name in ("Private_Clean", "Private_Dirty") else 0
    return resident / 1024, private / 1024


def measure(name: str, argv: list[str], port: int, where: Path, provider: Provider, seconds: int) -> dict[str, float]:
    url = f"http://{LOOPBACK}:{port}{PATHS[name]}"
    with running(argv, port, where / f"{name}.log") as process:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                assert post(url, QUESTION) == 200
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
        time.sleep(1)
        before = provider.calls()
        wrk(url, where, 4, 1)
        one, used = wrk(url, where, 1, seconds), cpu_seconds(process.pid)
        many = wrk(url, where, 16, seconds)
        used = cpu_seconds(process.pid) - used
        missed = provider.calls() - before
        before = provider.calls()
        at_once(url, "twenty at once")
        resident, private = memory(process.pid)
        return {
            "p50_ms": one["p50_ms"], "p99_ms": one["p99_ms"], "hits_per_second": many["per_second"],
            "cpu_us_a_hit": used / (many["per_second"] * seconds) * 1e6,
            "failed": one["failed"] + many["failed"], "not_hits": missed, "calls_for_20": provider.calls() - before,
            "resident_mb": resident, "private_mb": private,
        }  # fmt: skip


def main() -> int:
    if sys.argv[1:2] == ["provider"]:
        asyncio.run(serve_provider(int(sys.argv[2])))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", default=shutil.which("litellm"), help="LiteLLM's program")
    parser.add_argument("--seconds", type=int, default=5, help="of each run of wrk")
    options = parser.parse_args()
    with folder() as where:
        redis, provider = Redis(where), Provider(where)
        os.sched_setaffinity(redis.process.pid, {CLIENT_CORE})
        os.sched_setaffinity(provider.process.pid, {CLIENT_CORE})
        figures: dict[str, dict[str, float]] = {}
        try:
            for name in PATHS:
                port = free_port()
                if name == "gateway":
                    argv = gateway(where, provider, redis, port)
                elif name == "LiteLLM":
                    if not options.litellm:
                        continue
                    argv = litellm(where, provider, redis, port, options.litellm)
                else:
                    if not shutil.which("nginx"):
                        continue
                    argv = nginx(where, provider, port)
                figures[name] = measure(name, argv, port, where, provider, options.seconds)
        finally:
            provider.process.stop()
            redis.process.stop()
    print(f"{'':18}" + "".join(f"{name:>12}" for name in figures))
    for key in next(iter(figures.values())):
        print(f"{key:18}" + "".join(f"{row[key]:12.2f}" for row in figures.values()))
    return verdict(figures)


def verdict(figures: dict[str, dict[str, float]]) -> int:
    """Compare with what is claimed; return 0 when all of it holds."""
    ours = figures["gateway"]
    claims = {
        "a hit takes at most 0.4 ms (p50)": ours["p50_ms"] <= 0.4,
        "at least 4,000 hits a second": ours["hits_per_second"] >= 4000,
        "20 equal requests at once are one call": ours["calls_for_20"] == 1,
        "every measured answer was a hit": ours["failed"] == ours["not_hits"] == 0,
    }
    if "LiteLLM" in figures:
        factor = ours["hits_per_second"] / figures["LiteLLM"]["hits_per_second"]
        claims[f"at least 40 times LiteLLM's hits a second ({factor:.0f})"] = factor >= 40
    for text, holds in claims.items():
        print(f"{'holds' if holds else 'FAILS'}: {text}")
    return 0 if all(claims.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
