# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RQ's keys as rq 3.0 leaves them, on a Redis of our own (`redis-server` from Debian), where there is one."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from datetime import datetime, timezone

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.reader import Reader
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import Endpoint, Login
from ansible_collections.smallhost.headroom.plugins.module_utils.worker import failed, jobs

NOW = datetime(2026, 3, 1, tzinfo=timezone.utc).timestamp()
DAY = 86400
pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="redis-server is not installed")


@pytest.fixture
def server(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = ["redis-server", "--port", str(port), "--save", "", "--dir", str(tmp_path), "--bind", "127.0.0.1"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as process:
        try:
            yield _connected(port)
        finally:
            process.terminate()


def _connected(port):
    end = time.monotonic() + 10
    while True:
        try:
            return Reader(Endpoint("127.0.0.1", port), Login())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def fail(server, job, days_ago, kept_days=365, queue="img"):
    ended = NOW - days_ago * DAY
    text = datetime.fromtimestamp(ended, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    server.run("SADD", "rq:queues", f"rq:queue:{queue}")
    server.run("HSET", f"rq:job:{job}", "ended_at", text, "timeout", "180")
    server.run("ZADD", f"rq:failed:{queue}", ended + kept_days * DAY, job)


def shorten(server, check_mode=False):
    server.refresh()
    return failed.shorten(server, 30 * DAY, NOW, check_mode)


def test_the_most_patient_job_counts(server):
    server.run("HSET", "rq:job:a", "timeout", "180")
    server.run("HSET", "rq:job:b", "timeout", "600")
    server.run("SADD", "rq:job:b:dependents", "c")
    server.run("SELECT", "3")
    server.run("HSET", "rq:job:c", "timeout", "60")
    server.refresh()
    assert sorted(jobs.timeouts(server)) == [60, 180, 600]
    server.run("HSET", "rq:job:c", "timeout", "-1")
    assert max(jobs.timeouts(server)) == float("inf")


def test_old_failures_go_and_young_ones_get_the_wanted_life(server):
    fail(server, "old", days_ago=40)
    fail(server, "young", days_ago=10)
    fail(server, "brief", days_ago=1, kept_days=7)
    server.run("HSET", "rq:job:waiting", "timeout", "180")
    before = shorten(server, check_mode=True)
    assert server.run("EXISTS", "rq:job:old") == 1
    pile = shorten(server)
    assert pile == before
    assert (pile.queues, pile.dropped, pile.shortened) == ({"img": 3}, 1, 1)
    assert sorted(server.run("ZRANGE", "rq:failed:img", 0, -1)) == ["brief", "young"]
    assert float(server.run("ZSCORE", "rq:failed:img", "young")) == NOW + 20 * DAY
    assert float(server.run("ZSCORE", "rq:failed:img", "brief")) == NOW + 6 * DAY
    assert server.run("TTL", "rq:job:brief") == -1
    again = shorten(server)
    assert (again.dropped, again.shortened) == (0, 0)


def test_a_pile_of_thousands(server):
    for number in range(1200):
        fail(server, f"j{number}", days_ago=50)
    pile = shorten(server)
    assert pile.dropped == 1200
    assert server.run("ZCARD", "rq:failed:img") == 0
    assert server.run("DBSIZE") == 1


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_a_job_that_never_ended_is_left_alone(text):
    assert failed.due(jobs.ended_at(text), NOW + 300 * DAY, 30 * DAY) is None
