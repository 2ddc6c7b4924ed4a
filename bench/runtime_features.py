# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each feature of headroom_runtime saves by itself: the same program with and without, in turn, in one run.

    python3 bench/runtime_features.py [lazy-models ...] [--rounds 3]

Needs an environment with the reference application's requirements; it is made where it is missing. Prints the median
of each figure.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIME = ROOT / "roles/stage4_code/files"
REQUIREMENTS = ROOT / "sandbox/stack/imagebot/requirements.txt"

COMMON = """
    import json, os, sys, time
    BEGAN = time.process_time()
    def kib(name, path="/proc/self/status"):
        with open(path) as stream:
            return next(int(line.split()[1]) for line in stream if line.startswith(name))
    def say(**figures):
        print(json.dumps(figures))
    def megabytes(name="Anonymous:", path="/proc/self/smaps_rollup"):
        return round(kib(name, path) / 1024, 1)
"""
SERVER = """
    import http.server, threading
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        connections = 0
        def get_request(self):
            self.connections += 1
            return super().get_request()
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")
        def log_message(self, *arguments): pass
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
"""
BOT = """
    import aiogram, redis.asyncio
    from aiogram.types import Message, Update
    from aiogram.methods import SendMessage
    from aiogram.methods.base import Response
    started, seconds = megabytes(), time.process_time() - BEGAN
    message = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "text": "hi",
               "from": {"id": 1, "is_bot": False, "first_name": "x"}}
    Response[list[Update]].model_validate({"ok": True, "result": [{"update_id": 1, "message": message}]})
    SendMessage(chat_id=1, text="x").model_dump()
    Response[Message].model_validate({"ok": True, "result": message})
    say(MB_after_import=started, MB_after_use=megabytes(), RSS_MB=megabytes("Rss:"), CPU_s_import=round(seconds, 2))
"""
PICTURE = """
    import io
    from PIL import Image
    def picture(kind, **named):
        path = f"/tmp/headroom-bench-{os.getuid()}-{kind}-{len(named)}"
        if not os.path.exists(path):
            Image.effect_mandelbrot((4000, 3000), (-3, -2.5, 2, 2.5), 100).convert("RGB").save(path, kind, **named)
        with open(path, "rb") as stream:
            return stream.read()
    data = picture("{kind}"{named})
    with open("/proc/self/clear_refs", "w") as stream:
        stream.write("5")  # The peak counts from here.
    before, began = megabytes("VmRSS:", "/proc/self/status"), time.process_time()
    {operation}
    say(peak_MB_above_before=round(megabytes("VmHWM:", "/proc/self/status") - before, 1),
        CPU_ms=round(1000 * (time.process_time() - began)), result=str(image.size))
"""
STACK_PATTERN = "image = Image.open(io.BytesIO(data)).convert('RGB').resize((800, 600), Image.LANCZOS)"
THUMBNAIL = "from headroom_runtime.images import thumbnail; image = thumbnail(data, (800, 600))"


def pictured(kind: str, operation: str, named: str = "") -> str:
    return COMMON + PICTURE.replace("{kind}", kind).replace("{named}", named).replace("{operation}", operation)


CASES: dict[str, list[tuple[str, str, str, str | None]]] = {
    # feature: (what is looked at, the variable's value, the program, the program without where it is another one)
    "lazy-models": [("a bot on aiogram", "lazy-models", COMMON + BOT, None)],
    "release-memory": [
        (
            "a loop, idle after a burst of 3000 objects of 60 KB, every thirtieth kept",
            "release-memory:idle=0.5",
            COMMON
            + """
    import asyncio
    async def main():
        kept = [bytearray(60_000) for _number in range(3000)]
        sum(range(10_000_000))
        kept = kept[::30]
        await asyncio.sleep(2)
        say(MB_when_idle=megabytes())
    asyncio.run(main())
    """,
            None,
        ),
        (
            "an RQ work-horse that collects garbage: memory that it does not share",
            "release-memory",
            COMMON
            + """
    import gc
    from rq import worker
    class Worker(worker.Worker):
        name = "w"
        def __init__(self): pass
        def procline(self, text): pass
        def main_work_horse(self, job, queue):
            objects = [[number] for number in range(50_000)]
            gc.collect()
            say(MB_of_its_own=megabytes("Private_Dirty:"))
            sys.stdout.flush()
            os._exit(0)
    class Job:
        id = "1"
    one = Worker()
    one.fork_work_horse(Job(), None)
    os.waitpid(one._horse_pid, 0)
    """,
            None,
        ),
    ],
    "images": [
        ("JPEG, convert and resize, draft=1", "images:draft=1", pictured("JPEG", STACK_PATTERN), None),
        (
            "progressive JPEG, convert and resize, draft=1",
            "images:draft=1",
            pictured("JPEG", STACK_PATTERN, ", progressive=True"),
            None,
        ),
        ("JPEG, thumbnail()", "images", pictured("JPEG", THUMBNAIL), pictured("JPEG", STACK_PATTERN)),
        ("PNG, thumbnail()", "images", pictured("PNG", THUMBNAIL), pictured("PNG", STACK_PATTERN)),
    ],
    "http": [
        (
            "four clients of httpx",
            "http",
            COMMON
            + """
    import httpx
    httpx.Client()
    before, began = megabytes(), time.process_time()
    clients = [httpx.Client() for _number in range(4)]
    say(MB_for_four=round(megabytes() - before, 2), CPU_ms_for_four=round(1000 * (time.process_time() - began), 1))
    """,
            None,
        ),
        (
            "fifty calls of httpx.get()",
            "http",
            COMMON
            + SERVER
            + """
    import httpx
    httpx.get(url)
    began = time.process_time()
    for _number in range(50):
        httpx.get(url)
    say(CPU_ms_a_call=round(20 * (time.process_time() - began), 2))
    """,
            None,
        ),
        (
            "fifty calls of requests.get()",
            "http",
            COMMON
            + SERVER
            + """
    import requests
    requests.get(url)
    began = time.process_time()
    for _number in range(50):
        requests.get(url)
    say(CPU_ms_a_call=round(20 * (time.process_time() - began), 2), connections=server.connections)
    """,
            None,
        ),
    ],
    "api": [
        (
            "a list of 200 files as JSON, a thousand times",
            "api",
            COMMON
            + """
    import asyncio
    from fastapi import FastAPI
    app = FastAPI()
    files = [{"path": f"{n % 7}/17{n:08}_full.jpg", "size": 80_000 + n * 37, "time": 1.7e9 + n} for n in range(200)]
    @app.get("/x")
    async def x():
        return {"total": len(files), "files": files}
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": "/x",
             "raw_path": b"/x", "query_string": b"", "scheme": "http", "root_path": "", "server": ("a", 1),
             "headers": [(b"accept-encoding", b"gzip")], "client": ("b", 2)}
    sent = [0]
    async def send(message):
        sent[0] += len(message.get("body", b""))
    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}
    async def main():
        await app(dict(scope), receive, send)
        sent[0], began = 0, time.process_time()
        for _number in range(1000):
            await app(dict(scope), receive, send)
        say(bytes_a_response=sent[0] // 1000, CPU_ms_a_response=round(time.process_time() - began, 2))
    asyncio.run(main())
    """,
            None,
        )
    ],
    "tempfiles": [
        (
            "twenty jobs of RQ that are killed with 1 MB in a temporary file",
            "tempfiles",
            COMMON
            + """
    import tempfile
    os.environ["TMPDIR"] = tempfile.mkdtemp()
    tempfile.tempdir = None
    from rq import worker
    class Worker(worker.Worker):
        name = "w"
        def __init__(self): pass
        def procline(self, text): pass
        def set_state(self, state): pass
        def prepare_execution(self, job): pass
        def monitor_work_horse(self, *unused): os.waitpid(self._horse_pid, 0)
        def main_work_horse(self, job, queue):
            handle, _path = tempfile.mkstemp()
            os.write(handle, bytes(1_000_000))
            os.kill(os.getpid(), 9)
    class Job:
        id = "1"
    for _number in range(20):
        Worker().execute_job(Job(), None)
    left = [os.path.join(folder, name) for folder, _folders, names in os.walk(os.environ["TMPDIR"]) for name in names]
    say(MB_left=round(sum(map(os.path.getsize, left)) / 1e6, 1))
    __import__("shutil").rmtree(os.environ["TMPDIR"])
    """,
            None,
        )
    ],
}


def environment(folder: Path) -> Path:
    """The Python of an environment with the reference application's requirements."""
    python = folder / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", REQUIREMENTS], check=True)
    return python


def run(python: Path, features: str, program: str, folder: str) -> dict[str, float | str]:
    """The figures that the program prints. Raises CalledProcessError, with its output shown."""
    (Path(folder) / "sitecustomize.py").write_text("import headroom_runtime\n")
    path = f"{folder}:{RUNTIME}" if features else f"{RUNTIME}"
    known = {**os.environ, "HEADROOM_RUNTIME": features, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [python, "-c", textwrap.dedent(program)], env=known, stdout=subprocess.PIPE, text=True, check=True
    )
    found: dict[str, float | str] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(python: Path, feature: str, rounds: int) -> list[str]:
    lines = []
    for what, features, program, other in CASES[feature]:
        taken: list[tuple[dict[str, float | str], dict[str, float | str]]] = []
        with tempfile.TemporaryDirectory() as folder:
            for _round in range(rounds):
                taken.append((run(python, "", other or program, folder), run(python, features, program, folder)))
        for name in taken[0][0]:
            lines.append(f"{feature:15} {what}: {name} {middle(taken, 0, name)} -> {middle(taken, 1, name)}")
    return lines


def middle(taken: list[tuple[dict[str, float | str], dict[str, float | str]]], side: int, name: str) -> float | str:
    values = [pair[side][name] for pair in taken]
    numbers = [value for value in values if not isinstance(value, str)]
    return statistics.median(numbers) if numbers else values[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("feature", nargs="*", choices=[*CASES, []])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environment", type=Path, default=Path.home() / ".cache/headroom-runtime/app")
    options = parser.parse_args()
    python = environment(options.environment)
    for feature in options.feature or CASES:
        for line in measure(python, feature, options.rounds):
            print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
