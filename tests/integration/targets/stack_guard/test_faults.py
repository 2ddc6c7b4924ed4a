# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real faults, injected while the module watches: each is noticed within seconds and named."""

from __future__ import annotations

from conftest import busy, docker

# Seconds from the fault to the module's end on an idle machine, where the fault can be seen at once: a look a second,
# and the module's own way out.
SOON = 4.0


def tripped(result: dict, checks: str, *words: str) -> None:
    """`checks`: the rule that has to have tripped, or several of which one has."""
    assert result.get("verdict") == "tripped", result
    assert {fault["check"] for fault in result["evidence"]["faults"]} & set(checks.split()), result["evidence"][
        "faults"
    ]
    text = " ".join(result["reasons"])
    assert all(word in text for word in words), text
    assert result["watched_seconds"] < 29


def test_child_killed_by_the_kernel(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.enqueue("eat", 400))
    tripped(result, "oom_kill", "The kernel killed 1 process of worker", "limit is 150.0 MB", "looks well to Docker")
    state = one.inspect("worker")
    assert (state["State"]["Status"], state["State"]["OOMKilled"], state["RestartCount"]) == ("running", False, 0)
    assert seconds < 2 + SOON * busy()  # the job has to start and to eat first


def test_unhealthy(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.set("ill"))
    tripped(result, "unhealthy", "Service api", "turned unhealthy: 2 health checks in a row failed")
    assert seconds < 2 + SOON * busy()  # the engine itself needs two checks


def test_twice_as_slow(stack, guard):
    one = stack()
    before, _seconds = guard(one, seconds=15)
    assert before["latency"]["samples"] >= 20
    result, seconds = guard(one, lambda: one.set("delay", "0.1"), baseline=before["latency"])
    tripped(result, "latency", "Service api answers", "times as slowly as before", "in the baseline")
    assert seconds < 10 + SOON * busy()  # sixteen of the latest twenty answers have to be slow


def test_probe_fails(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.set("broken"))
    tripped(result, "probe_errors", "probes of api", "HTTP 500")
    assert seconds < SOON * busy()


def test_worker_process_killed_behind_a_shell(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.run("worker", "pkill", "-9", "-f", "^python3 -m rq.cli"))
    tripped(result, "worker_missing", "RQ worker worker-image-1 of img_queue is gone", "no longer listens")
    assert one.inspect("worker")["State"]["Running"]
    assert "rq:worker:worker-image-1" in one.redis("smembers", "rq:workers")  # RQ itself still counts on it
    assert seconds < 4 + SOON * busy()


def test_worker_container_stopped(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: docker("stop", "-t", "3", one.container("worker")))
    tripped(result, "exited", "Service worker", "ended with exit code")
    assert seconds < SOON * busy()


def test_worker_signs_off_and_nobody_takes_its_place(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.run("worker", "pkill", "-TERM", "-f", "^python3 -m rq.cli"))
    tripped(result, "worker_missing", "signed off and nobody took its place")
    assert 12 < seconds < 15 + SOON * busy()


def test_worker_hangs(stack, guard):
    one = stack()

    def hang():
        one.run("worker", "pkill", "-STOP", "-f", "^python3 -m rq.cli")
        one.enqueue("quick", times=3)

    result, seconds = guard(one, hang)
    tripped(result, "worker_stalled", "jobs wait in img_queue", "worker-image-1")
    assert seconds < 10 + SOON * busy()


def test_jobs_fail(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.enqueue("fail", times=4))
    tripped(result, "failed_jobs", "jobs failed during the watch", "img_queue")
    assert seconds < 4 + SOON * busy()


def test_redis_refuses_writes(stack, guard):
    one = stack()
    result, seconds = guard(one, one.fill)
    tripped(result, "redis_refuses_writes", "Redis redis", "refuses writes")
    assert seconds < SOON * busy()


def test_redis_evicts_from_a_queue(stack, guard):
    one = stack({"noeviction": "allkeys-lru"})
    one.enqueue("quick")
    result, seconds = guard(one, one.fill)
    tripped(result, "redis_evictions", "Redis redis evicted", "under allkeys-lru", "it holds a queue")
    assert seconds < SOON * busy()


def test_redis_hangs(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.run("redis", "pkill", "-STOP", "redis-server"))
    tripped(result, "redis_silent", "Redis redis has not answered for 1")
    assert seconds < 10 + SOON * busy()


def test_crash_and_restart(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.run("api", "pkill", "-9", "-f", "^python3"))
    # A look may fall into the moment before the engine has started it again.
    tripped(result, "restarted exited", "Service api", "exit code 137")
    assert seconds < SOON * busy()


def test_replaced(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: one.compose("up", "-d", "--no-deps", "--force-recreate", "-t", "0", "api"))
    checks = {fault["check"] for fault in result["evidence"]["faults"]}
    assert result["verdict"] == "tripped" and checks & {"replaced", "exited"}, result
    assert seconds < 2 + SOON * busy()


def test_paused(stack, guard):
    one = stack()
    result, seconds = guard(one, lambda: docker("pause", one.container("api")))
    docker("unpause", one.container("api"))
    tripped(result, "exited", "Service api", "was paused")
    assert seconds < SOON * busy()


def test_memory_at_the_limit(stack, guard):
    one = stack({"mem_limit: 80m": "mem_limit: 81m", "memswap_limit: 80m": "memswap_limit: 81m"})
    docker("exec", "-d", one.container("api"), "python3", "/srv/hold.py", "60")
    result, _seconds = guard(one, thresholds={"memory_percent": 80})
    assert result["verdict"] == "tripped", result
    # How close to the edge the kernel lets it live depends on the machine's speed: a kill is the same shortage.
    checks = {fault["check"] for fault in result["evidence"]["faults"]}
    assert checks <= {"memory_at_limit", "memory_pressure", "oom_kill"} and checks, result["evidence"]["faults"]
