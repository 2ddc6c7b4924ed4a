# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from headroom_sampler import access_log, probe, users

NOW = 1_800_000_000


class Api(http.server.BaseHTTPRequestHandler):
    """Answers with the status that the path names, after the seconds that it names."""

    def do_GET(self):
        status, _unused, seconds = self.path[1:].partition("/")
        time.sleep(float(seconds or 0))
        self.send_response(int(status))
        self.end_headers()
        self.wfile.write(b"x" * 100_000)

    def handle(self):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # The probe gave up.
            super().handle()

    def log_message(self, *_words):
        pass


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize(("status", "good"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
def test_a_probe_tells_good_from_bad(api, status, good):
    answered, seconds = probe.probe(f"{api}/{status}", 5)
    assert answered is good
    assert 0 < seconds < 5


def test_a_probe_takes_the_time_of_the_answer_and_gives_up_in_time(api):
    answered, seconds = probe.probe(f"{api}/200/0.3", 5)
    assert answered
    assert 0.3 <= seconds < 3
    answered, seconds = probe.probe(f"{api}/200/2", 0.3)
    assert not answered
    assert 0.3 <= seconds < 1.5


def test_a_probe_of_nobody_fails():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert probe.probe(f"http://127.0.0.1:{port}/", 1)[0] is False
    assert probe.probe("http://no-such-host.invalid/", 1)[0] is False


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("http://127.0.0.1:8000/health?deep=1", ("127.0.0.1", 8000, "/health?deep=1")),
        ("http://localhost", ("localhost", 80, "/")),
        ("http://[::1]:8080/x", ("::1", 8080, "/x")),
        ("http://[::1]/x", ("::1", 80, "/x")),
    ],
)
def test_urls(url, parts):
    assert probe.split(url) == parts


@pytest.mark.parametrize("url", ["https://127.0.0.1/", "http://user:secret@host/", "127.0.0.1:8000", "http:///x", ""])
def test_urls_that_are_not_probed(url):
    with pytest.raises(ValueError, match="plain http"):
        probe.split(url)


def test_keys_cover_the_window_and_each_is_named_once():
    keys = users.hyperloglog_keys("active:%Y%m%d%H%M", 300, 300, NOW + 120)
    assert keys == ["active:202701150800", "active:202701150755"]
    assert len(users.hyperloglog_keys("active:%Y%m%d%H%M", 60, 86400, NOW)) == 1441
    assert users.hyperloglog_keys("active:%Y%m%d", 86400, 300, NOW) == ["active:20270115"]
    assert users.hyperloglog_keys("active", 300, 3600, NOW) == ["active"]


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory) -> Iterator[int]:
    program = shutil.which("redis-server")
    if not program:
        pytest.skip("no redis-server here")
    folder = tmp_path_factory.mktemp("redis")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "s3cret", "--save", ""],
        cwd=folder,
        stdout=subprocess.DEVNULL,
    )
    for _unused in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    server.terminate()
    server.wait()


def test_users_from_hyperloglogs_of_a_real_redis(redis_port, tmp_path):
    password = tmp_path / "password"
    password.write_text("s3cret\n")
    with contextlib.closing(probe.connect("127.0.0.1", redis_port, 2)) as connection:
        users.ask_redis(connection, "AUTH", "s3cret")
        users.ask_redis(connection, "SELECT", "3")
        for at, who in [(0, "anna"), (0, "boris"), (-3000, "anna"), (-3000, "vera"), (-40000, "gleb"), (-90000, "old")]:
            key = time.strftime("active:%Y%m%d%H%M", time.gmtime(NOW + at))
            users.ask_redis(connection, "PFADD", key, who)
    source = {"key": "active:%Y%m%d%H%M", "db": 3, "port": redis_port, "password_file": str(password)}
    assert users.from_redis(source, ["5m", "1h", "24h"], NOW, "127.0.0.1") == {"5m": 2, "1h": 3, "24h": 4}
    with pytest.raises(users.SourceError, match="NOAUTH"):
        users.from_redis({**source, "password_file": ""}, ["5m"], NOW, "127.0.0.1")
    password.write_text("wrong")
    with pytest.raises(users.SourceError) as refused:
        users.from_redis(source, ["5m"], NOW, "127.0.0.1")
    assert "WRONGPASS" in str(refused.value)
    assert "wrong" not in str(refused.value)


def test_users_from_a_command():
    source = {"command": ["sh", "-c", "echo $((HEADROOM_WINDOW_SECONDS / 60))"]}
    assert users.from_command(source, ["5m", "1h"]) == {"5m": 5, "1h": 60}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["/no/such/program"], "could not be started"),
        (["sh", "-c", "echo 5; exit 3"], "failed"),
        (["sh", "-c", "echo many"], "whole number"),
        (["sleep", "30"], "had not ended"),
        (["sh", "-c", "while :; do echo x; done"], "too much"),
    ],
)
def test_a_command_that_does_not_answer(command, message):
    children = Path(f"/proc/self/task/{threading.get_native_id()}/children")
    before, started = children.read_text(), time.monotonic()
    with pytest.raises(users.SourceError, match=message):
        users.from_command({"command": command, "timeout": 1.0}, ["5m"])
    assert time.monotonic() - started < 10
    assert children.read_text() == before, "a child is left behind"


LINE = '{ip} - {user} [15/Jan/2027:08:00:00 +0000] "GET / HTTP/1.1" {status} 12 {seconds}\n'
PATTERN = re.compile(r'- (?P<user>\S+) \[[^]]+\] "[^"]*" (?P<status>\d+) \d+ (?P<seconds>\S+)')


def write(log: Path, *entries: tuple[str, int, str]) -> None:
    with log.open("a") as stream:
        for user, status, seconds in entries:
            stream.write(LINE.format(ip="10.0.0.1", user=user, status=status, seconds=seconds))


def test_users_requests_and_errors_from_a_log(tmp_path):
    log = tmp_path / "access.log"
    write(log, ("long-ago", 200, "0.1"))
    state = access_log.read(str(log), PATTERN, {}, NOW)
    assert state["totals"]["requests"] == 0, "what was in the log before the first look has no known time"
    write(log, ("anna", 200, "0.25"), ("boris", 502, "-"), ("anna", 200, "0.5"), ("-", 200, "0.25"))
    state = access_log.read(str(log), PATTERN, state, NOW)
    write(log, ("vera", 200, "1"))
    state = access_log.read(str(log), PATTERN, json.loads(json.dumps(state)), NOW + 400)
    assert users.named_numbers(access_log.report(state, NOW + 400)) == {
        "users_5m": 1,
        "users_1h": 3,
        "users_24h": 3,
        "requests": 5,
        "errors": 1,
        "request_seconds": 2.0,
    }
    assert not re.search("anna|boris|vera", json.dumps(state))
    state = access_log.read(str(log), PATTERN, state, NOW + 86400 + 100)
    assert len(state["users"]) == 1


def test_a_line_that_is_still_being_written_counts_once_it_is_whole(tmp_path):
    log = tmp_path / "access.log"
    log.touch()
    state = access_log.read(str(log), PATTERN, {}, NOW)
    line = LINE.format(ip="::1", user="anna", status=200, seconds=1)
    log.write_text(line[:20])
    state = access_log.read(str(log), PATTERN, state, NOW)
    assert state["totals"]["requests"] == 0
    log.write_text(line)
    state = access_log.read(str(log), PATTERN, state, NOW)
    assert state["totals"]["requests"] == 1


@pytest.mark.parametrize("way", ["renamed", "cut"])
def test_a_rotated_log_is_read_from_its_start(tmp_path, way):
    log = tmp_path / "access.log"
    write(log, ("anna", 200, "1"), ("anna", 200, "1"))
    state = access_log.read(str(log), PATTERN, {}, NOW)
    if way == "renamed":
        log.rename(tmp_path / "access.log.1")
    else:
        os.truncate(log, 0)
    write(log, ("boris", 200, "1"))
    state = access_log.read(str(log), PATTERN, state, NOW)
    assert state["totals"]["requests"] == 1


def test_the_helper_keeps_its_state_private_and_starts_afresh_from_a_damaged_one(tmp_path, capsys):
    log, state = tmp_path / "access.log", tmp_path / "users.json"
    log.touch()
    state.write_text("{damaged")
    access_log.main(str(log), PATTERN.pattern, str(state))
    write(log, ("anna", 200, "1"))
    capsys.readouterr()
    access_log.main(str(log), PATTERN.pattern, str(state))
    assert "users_5m 1\n" in capsys.readouterr().out
    assert state.stat().st_mode & 0o777 == 0o600


def test_numbers_that_services_leave():
    assert users.named_numbers("requests 12\nerrors 0\n\n# note\nrequest_seconds 1.5\nbad x\n") == {
        "requests": 12,
        "errors": 0,
        "request_seconds": 1.5,
    }
