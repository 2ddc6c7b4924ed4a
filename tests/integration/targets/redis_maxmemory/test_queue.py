# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A queue survives: 300 jobs, 20 workers and the scheduler's lock in 12 MB that a cache floods."""

from __future__ import annotations

import os

import jobs
import pytest
import redis
import rq
from conftest import Bare, Stack, play, servers
from rq.scheduler import RQScheduler

JOBS, WORKERS = 300, 20
UNSAFE = (
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
)


def fill(server: Bare | Stack, folder) -> rq.Queue:
    """A queue as RQ itself makes it."""
    raw = redis.Redis(**server.client_options)
    queue = rq.Queue("img_queue", connection=raw)
    for number in range(JOBS):
        queue.enqueue(jobs.note, str(folder), number, description="x" * 2000)
    for number in range(WORKERS):
        rq.Worker([queue], connection=raw, name=f"worker-{number}").register_birth()
    assert RQScheduler([queue], connection=raw).acquire_locks()
    return queue


def flood(server: Bare | Stack) -> int:
    """Cache keys, half of them with a TTL, three times what fits. Returns how many were refused."""
    refused = 0
    with server.client() as client:
        for batch in range(30):
            pipe = client.pipeline(transaction=False)
            for number in range(batch * 1000, batch * 1000 + 1000):
                pipe.set(f"cache:{number}", "x" * 1200, ex=3600 if number % 2 else None)
            refused += sum(isinstance(answer, Exception) for answer in pipe.execute(raise_on_error=False))
    return refused


def survivors(server: Bare | Stack) -> dict[str, int]:
    client = server.client()
    return {
        "jobs": sum(1 for _key in client.scan_iter("rq:job:*", count=1000)),
        "queued": client.llen("rq:queue:img_queue"),
        "workers": sum(1 for _key in client.scan_iter("rq:worker:*", count=1000)),
        "lock": client.exists("rq:scheduler-lock:img_queue"),
    }


ALL = {"jobs": JOBS, "queued": JOBS, "workers": WORKERS, "lock": 1}


def survives_a_flood(server: Bare | Stack, queue: rq.Queue, folder) -> None:
    """Everything is there after the flood, and every job is executed."""
    assert flood(server) > 15_000
    assert survivors(server) == ALL
    client = server.client()
    for key in client.scan_iter("cache:*", count=1000):
        client.delete(key)
    worker = rq.SimpleWorker([queue], connection=queue.connection)
    worker.work(burst=True, logging_level="ERROR")
    assert len(os.listdir(folder)) == JOBS
    assert queue.count == 0


STACK = """\
services:
  redis:
    image: IMAGE
    command: redis-server --protected-mode no --save "" --maxmemory 512mb --maxmemory-policy allkeys-lru
    mem_limit: 64M
"""

STAGE_ONE = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    headroom_project_src: "{folder}"
    headroom_project_files: ["{file}"]
    headroom_services: [{{role: redis, service: redis, memory: 64M, maxmemory: 12mb}}]
    headroom_state: present
  module_defaults:
    smallhost.headroom.redis_maxmemory: {{state_dir: "{state}"}}
  tasks:
    - ansible.builtin.include_role:
        name: smallhost.headroom.stage1_quick_wins
        tasks_from: item03_redis_maxmemory
"""


def test_every_job_survives_what_stage_one_sets(stack, tmp_path):
    """The stage's own task, on the plan's Redis: the policy that it was started with would have lost jobs."""
    folder = tmp_path / "executed"
    folder.mkdir()
    project = stack(STACK)
    queue = fill(project, folder)
    text = STAGE_ONE.format(folder=project.folder, file=project.file, state=tmp_path / "state")
    assert "changed=1 " in play(text, tmp_path)
    now = project.client().config_get("maxmemory*")
    assert (now["maxmemory"], now["maxmemory-policy"]) == (str(12 * 1024**2), "noeviction")
    survives_a_flood(project, queue, folder)
    assert "changed=0 " in play(text, tmp_path)


def test_every_job_survives_and_is_executed(bare, run, tmp_path):
    folder = tmp_path / "executed"
    folder.mkdir()
    server = bare(None, "--save", "", "--maxmemory", "512mb", "--maxmemory-policy", "allkeys-lru")
    queue = fill(server, folder)
    assert survivors(server) == ALL
    params = {"port": server.port, "maxmemory": "12mb"}
    for policy in UNSAFE:
        result = run({**params, "policy": policy})
        assert f"{policy} would evict RQ's" in result["msg"], result
        assert f"{JOBS} waiting jobs in database 0" in result["msg"] and "second instance" in result["msg"]
    assert server.client().config_get("maxmemory-policy")["maxmemory-policy"] == "allkeys-lru"
    result = run({**params, "policy": "noeviction"})
    assert result.get("changed"), result
    found = result["purpose_found"]["queues"][0]
    assert (found["library"], found["waiting_jobs"]) == ("RQ", JOBS)
    assert found["keys_with_ttl"] >= WORKERS + 1
    survives_a_flood(server, queue, folder)


def test_what_the_refusals_prevent(bare, run, tmp_path):
    """The same flood, with a policy that the operator insisted on: jobs are gone. So the test above can fail."""
    server = bare(None, "--save", "", "--maxmemory", "512mb")
    fill(server, tmp_path)
    result = run({"port": server.port, "maxmemory": "12mb", "policy": "allkeys-lru", "allow_job_eviction": True})
    assert result["changed"] and "allow_job_eviction: allkeys-lru would evict" in str(result["warnings"])
    assert flood(server) == 0
    assert survivors(server)["jobs"] < JOBS


def test_purpose(bare, run):
    server = bare(None, "--save", "")
    params = {"port": server.port, "maxmemory": "12mb", "policy": "allkeys-lfu"}
    assert "is said to be for queue" in run({**params, "purpose": "queue"})["msg"]
    empty = run(params, check=True)
    assert (empty["changed"], empty["purpose_found"]["purpose"]) == (True, "empty")
    server.client().set("page:/", "<html>")
    cache = run({**params, "purpose": "cache"}, check=True)
    assert cache["purpose_found"]["purpose"] == "cache"
    server.client(db=3).sadd("rq:queues", "rq:queue:mail")
    mixed = run({**params, "purpose": "cache"})
    assert "RQ (1 keys, 0 waiting jobs in database 3)" in mixed["msg"]
    assert run({**params, "policy": "noeviction"})["purpose_found"]["purpose"] == "mixed"


def test_a_user_that_may_not_look_at_the_keys(bare, run):
    server = bare(None, "--save", "")
    server.client().execute_command("ACL", "SETUSER", "ops", "on", ">ops-pw", "~*", "+@all", "-scan")
    server.client().set("page:/", "<html>")
    params = {
        "port": server.port,
        "username": "ops",
        "password": "ops-pw",
        "maxmemory": "12mb",
        "policy": "allkeys-lfu",
    }
    assert "cannot look at the keys" in run(params)["msg"]
    assert run({**params, "purpose": "cache"})["changed"]


def put(client, name, kind, *content):
    getattr(client, kind)(name, *content)


LIBRARIES = {
    "RQ": [
        ("rq:queues", "sadd", "rq:queue:q"),
        ("rq:queue:q", "rpush", "1", "2"),
        ("rq:job:1", "hset", "status", "queued"),
    ],
    "Celery": [
        ("_kombu.binding.celery", "sadd", "celery\x06\x16\x06\x16celery"),
        ("celery", "rpush", '{"body": "", "headers": {}, "properties": {}}', '{"body": "", "properties": {}}'),
    ],
    "arq": [("arq:queue", "zadd", {"a": 1, "b": 2}), ("arq:job:a", "set", "x")],
    "Dramatiq": [("dramatiq:default", "rpush", "a", "b"), ("dramatiq:default.msgs", "hset", "a", "{}")],
    "BullMQ": [
        ("shop:mail:meta", "hset", "opts.maxLenEvents", "10000"),
        ("shop:mail:wait", "rpush", "1", "2"),
        ("shop:mail:1", "hset", "name", "x"),
    ],
    "Sidekiq": [
        ("queues", "sadd", "default"),
        ("queue:default", "rpush", '{"jid": "1", "class": "Mail"}', '{"jid": "2", "class": "Mail"}'),
    ],
}


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_is_recognised_in_the_newest_server(library, bare, run):
    server = bare(servers()[list(servers())[-1]], "--save", "")
    client = server.client(db=1)
    for name, kind, *content in LIBRARIES[library]:
        put(client, name, kind, *content)
    result = run({"port": server.port, "maxmemory": "12mb", "policy": "allkeys-lru"})
    assert f"{library} (" in result["msg"], result
    assert "2 waiting jobs in database 1" in result["msg"], result
    volatile = run({"port": server.port, "maxmemory": "12mb", "policy": "volatile-ttl"}, check=True)
    assert bool(volatile.get("failed")) == (library != "Dramatiq"), volatile


def test_the_same_names_of_somebody_else_are_no_queue(bare, run):
    server = bare(None, "--save", "")
    client = server.client()
    client.set("queues", "3")
    client.sadd("unacked", "a")
    client.rpush("celery", "stalks")
    client.rpush("queue:shop", "a customer")
    client.hset("user:1:meta", "name", "x")
    result = run({"port": server.port, "maxmemory": "12mb", "policy": "allkeys-lru"})
    assert result.get("changed") and result["purpose_found"]["purpose"] == "cache", result


def test_a_queue_among_very_many_keys_is_found_by_its_name(bare, run):
    """The budget of the scan is spent long before it ends; what a library always has is asked for by name."""
    server = bare(None, "--save", "")
    client = server.client()
    for batch in range(12):
        pipe = client.pipeline(transaction=False)
        for number in range(10_000):
            pipe.set(f"page:{batch}:{number}", "x")
        pipe.execute()
    # BullMQ's prefix is anybody's choice: its keys cannot be asked for by name, but its workers' waiting is seen.
    params = {"port": server.port, "maxmemory": "200mb"}
    assert not run({**params, "policy": "allkeys-lfu"}, check=True).get("failed")
    client.bzpopmin("shop:mail:marker", timeout=0.1)
    assert "BZPOPMIN" in run({**params, "policy": "allkeys-lfu"}, check=True)["msg"]
    assert not run({**params, "policy": "allkeys-lfu", "purpose": "cache"}, check=True).get("failed")
    client.sadd("rq:queues", "rq:queue:mail")
    result = run({**params, "policy": "noeviction"})
    assert "cmdstat_keys" not in client.info("commandstats")
    found = result["purpose_found"]
    assert found["keys"] == 120_001 and found["keys_looked_at"] < 80_000 and not found["complete"]
    assert found["queues"][0]["library"] == "RQ"
