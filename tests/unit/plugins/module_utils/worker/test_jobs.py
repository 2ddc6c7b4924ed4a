# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""RQ's keys as rq 3.0 leaves them, on a Redis of our own (`redis-server` from Debian), where there is one."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from datetime import datetime, timezone

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.reader import Reader
from ansible_collections.smallhost.headroom.plugins.module_utils.redis.server import (
    Endpoint,
    Login,
    RedisError,
    Server,
    connect,
    redis,
)
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


def ago(days):
    return datetime.fromtimestamp(NOW - days * DAY, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fail(server, job, days_ago, kept_days=365, queue="img"):
    server.run("SADD", "rq:queues", f"rq:queue:{queue}")
    server.run("HSET", f"rq:job:{job}", "status", "failed", "ended_at", ago(days_ago), "timeout", "180")
    server.run("ZADD", f"rq:failed:{queue}", -1 if kept_days == -1 else NOW + (kept_days - days_ago) * DAY, job)


def shorten(server, check_mode=False, now=NOW, act=()):
    """`act`: what somebody else does between what is read and what is done."""

    client = connect([server.endpoint], [Login()], 5)

    def run_all(commands):
        if commands and commands[0][0] == "EVAL":
            server.run_all(act)
        return Server.run_all(client, commands)

    client.run_all = run_all
    with contextlib.closing(client):
        return failed.shorten(client, 30 * DAY, now, check_mode)


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


def test_a_job_that_was_queued_again_is_not_touched(server):
    """It keeps its place among the failed jobs, and where it was put back as it was, the time of its failure too."""
    for status in ("queued", "started", "scheduled", "deferred", "finished", "canceled"):
        for days_ago in (10, 100):
            fail(server, f"{status}{days_ago}", days_ago=days_ago)
            server.run("HSET", f"rq:job:{status}{days_ago}", "status", status)
    before = server.run("ZRANGE", "rq:failed:img", 0, -1, "WITHSCORES")
    pile = shorten(server)
    assert (pile.dropped, pile.shortened) == (0, 0)
    assert server.run("ZRANGE", "rq:failed:img", 0, -1, "WITHSCORES") == before
    assert {server.run("TTL", f"rq:job:{job}") for job in before[0::2]} == {-1}


def test_a_job_kept_for_ever_and_one_that_was_stopped_get_the_wanted_life(server):
    fail(server, "old", days_ago=40, kept_days=-1)
    fail(server, "young", days_ago=10, kept_days=-1)
    server.run("HSET", "rq:job:young", "status", "stopped")
    pile = shorten(server)
    assert (pile.dropped, pile.shortened) == (1, 1)
    assert server.run("ZRANGE", "rq:failed:img", 0, -1, "WITHSCORES") == ["young", str(int(NOW + 20 * DAY))]
    assert (shorten(server).dropped, shorten(server).shortened) == (0, 0)


def test_a_job_whose_worker_was_killed_counts_from_its_last_heartbeat(server):
    """In the second run too: the score is no longer RQ's own then."""
    for job, days_ago in (("old", 40), ("young", 10)):
        fail(server, job, days_ago)
        server.run("HSET", f"rq:job:{job}", "ended_at", "", "last_heartbeat", ago(days_ago), "created_at", ago(50))
    pile = shorten(server)
    assert (pile.dropped, pile.shortened) == (1, 1)
    assert (shorten(server).dropped, shorten(server).shortened) == (0, 0)
    assert float(server.run("ZSCORE", "rq:failed:img", "young")) == NOW + 20 * DAY


@pytest.mark.parametrize(
    "act",
    [
        ("HSET", "rq:job:a", "status", "queued"),
        # RQ's requeue: out of the registry first, and into the queue in a second step.
        ("ZREM", "rq:failed:img", "a"),
        # So quickly that it has failed once more.
        ("HSET", "rq:job:a", "ended_at", ago(0)),
    ],
)
@pytest.mark.parametrize("days_ago", [10, 100])
def test_a_job_that_is_queued_again_at_this_moment_stays(server, act, days_ago):
    for job in ("a", "b", "c"):
        fail(server, job, days_ago)
    pile = shorten(server, act=[act])
    assert pile.dropped + pile.shortened == 2
    assert server.run("HGET", "rq:job:a", "timeout") == "180"
    assert server.run("TTL", "rq:job:a") == -1


def test_the_oldest_go_from_a_full_server_too(server):
    fail(server, "old", days_ago=100)
    fail(server, "young", days_ago=10)
    server.run("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(RedisError, match="maxmemory"):
        shorten(server)
    assert server.run("ZRANGE", "rq:failed:img", 0, -1) == ["young"]


def test_what_rq_itself_leaves(server):
    """A job that failed and waits again under its id; one that failed and is left alone. By RQ's own classes."""
    rq = pytest.importorskip("rq")
    link = redis.Redis(port=server.endpoint.port)
    queue = rq.Queue("img", connection=link)
    for job in ("again", "over"):
        queue.enqueue("no.such.job", job_id=job, failure_ttl=-1)
    rq.SimpleWorker([queue], connection=link).work(burst=True, logging_level="CRITICAL")
    queue.enqueue_job(rq.job.Job.fetch("again", connection=link))
    pile = shorten(server, now=time.time() + 31 * DAY)
    assert (pile.queues, pile.dropped) == ({"img": 2}, 1)
    assert queue.job_ids == ["again"] and queue.fetch_job("again").get_status() == "queued"
    assert queue.fetch_job("over") is None
    assert list(link.scan_iter("rq:*:over*")) == []


@pytest.mark.parametrize("text", [None, "", "yesterday"])
def test_a_job_without_any_time_is_left_alone(text):
    assert failed.due("failed", [text], NOW + 300 * DAY, 30 * DAY) is None


def test_a_registry_that_keeps_for_ever_by_infinity():
    assert failed.due("failed", [ago(10)], float("inf"), 30 * DAY) == NOW + 20 * DAY
