# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit on a small host: every planted fault of the reference stack, faults made for it, a stack without any."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from sandbox import engine, playbook, ssh
from sandbox.container import container_name
from sandbox.environment import ROOT
from sandbox.stack import TARGET

MIB = 1024 * 1024
THP = "/sys/kernel/mm/transparent_hugepage/enabled"


def look(instance, folder, **more):
    """What the module returns for a project on the host, in check mode: it must not need to change anything."""
    arguments = json.dumps({"project_src": folder, "findings": True, **more})
    done = subprocess.run(
        ["ansible", "all", "-i", str(instance.inventory), "--become", "--check", "--one-line",
         "-m", "smallhost.headroom.compose_usage_info", "-a", arguments],
        check=True, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    return json.loads(done.stdout.partition("=> ")[2])


def kinds(found):
    return {(one["id"], one["severity"], one["subject"]) for one in found["findings"]}


def play(instance, *more):
    return playbook.run(instance, "audit", ROOT, None, *more)


ENQUEUE = """
import sys, time
from redis import Redis
from rq import Queue
queue = Queue(sys.argv[2], connection=Redis(sys.argv[1]))
job = queue.enqueue("no_such_module.fails") if len(sys.argv) < 4 else queue.enqueue("time.sleep", 0, failure_ttl=86400)
"""


def enqueue(instance, *words):
    """One job by RQ itself, from a container on the host's network."""
    script = f"docker exec -i imagebot-worker-image python - {' '.join(words)}"
    ssh.execute(instance, script, stdin=ENQUEUE.encode())


@pytest.fixture(scope="module")
def reference(instance):
    enqueue(instance, "localhost", "img_queue")
    ssh.execute(instance, "docker exec imagebot-redis redis-cli SET audit:cached 1 EX 600")
    return look(instance, f"{TARGET}/deploy")


def test_every_fault_of_the_reference_stack_is_found(reference):
    all_of_them = "api, bot, redis, worker-image"
    assert kinds(reference) == {
        ("memory_limit_missing", "high", all_of_them),
        ("eviction_policy_loses_jobs", "high", "redis"),
        ("api_workers", "medium", "api"),
        ("compilers_in_image", "medium", "api"),
        ("compilers_in_image", "medium", "bot"),
        ("compilers_in_image", "medium", "worker-image"),
        ("log_unbounded", "medium", all_of_them),
        ("swap_missing", "medium", "host"),
        ("swappiness", "low", "host"),
        ("overcommit_refuses_fork", "medium", "host"),
        ("queue_and_cache_in_one_redis", "medium", "redis"),
        ("failed_jobs_kept", "low", "redis"),
    }


def test_figures_are_those_of_the_host(instance, reference):
    by_id = {one["id"]: one for one in reference["findings"]}
    assert "allkeys-lru" in by_id["eviction_policy_loses_jobs"]["figure"]
    assert "365 days" in by_id["failed_jobs_kept"]["figure"]
    assert by_id["api_workers"]["figure"].startswith("2 worker processes of uvicorn")
    size = int(ssh.execute(instance, "docker image inspect deploy-bot --format '{{.Size}}'"))
    (fat,) = [one for one in reference["findings"] if one["id"] == "compilers_in_image" and one["subject"] == "bot"]
    shown = f"{size / 1024**3:.1f} GB" if size >= 1024**3 else f"{size / MIB:.1f} MB"
    assert f"gcc, g++, cc in deploy-bot, {shown}" in fat["figure"]
    assert reference["host"]["docker"]["dockerd"] > 10 * 1024**2
    assert reference["host"]["docker"]["shims"] > 0
    assert reference["budget"]["fits"]


def test_the_playbook_shows_them_and_fails_only_when_it_is_asked_to(instance):
    shown = play(instance, "--check")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "changed=0" in shown.stdout
    assert shown.stdout.index("HIGH ") < shown.stdout.index("MEDIUM") < shown.stdout.index("LOW ")
    assert "maxmemory-policy allkeys-lru" in shown.stdout
    failed = play(instance, "-e", "audit_fail_on=high")
    assert failed.returncode == 2
    assert "eviction_policy_loses_jobs" in failed.stdout
    assert "log_unbounded" not in failed.stdout.partition("Fail on what")[2]


# Recorded samples, written by the sampler's own code

HOURS = 5
BASE, EACH, MOST = 100, 2, 20  # MiB of the bot without users, MiB a user, users


@pytest.fixture
def recorded(instance, tmp_path, monkeypatch):
    """A folder on the host with five hours of samples: a bot that grows with its users."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(ROOT / "roles/monitoring/files"))
    from headroom_sampler import record
    from headroom_sampler.store import Store

    store = Store(str(tmp_path / "samples"), 15, 16 * MIB)
    end = int(time.time())
    for number in range(HOURS * 3600 // 15):
        users = 1 + number // 40 % MOST
        bot = {"span_ms": 15000, "working_set_kib": (BASE + EACH * users) * 1024, "cpu_ms": 150}
        sample = {
            ("c", "deploy/bot/imagebot-bot"): record.values("c", bot),
            ("u", "users"): record.values("u", {"users_5m": users}),
        }
        store.add(end - HOURS * 3600 + number * 15, sample)
    folder = "/run/audit-samples"
    ssh.push(instance, str(tmp_path / "samples"), folder)
    yield folder
    ssh.execute(instance, f"rm -rf {folder}")


def test_recorded_samples_become_limits_and_a_projection(instance, recorded):
    found = look(instance, f"{TARGET}/deploy", history=recorded, users=50)
    (bot,) = found["recommendations"]
    largest = BASE + EACH * MOST
    assert (bot["service"], bot["containers"], bot["current_limit"]) == ("bot", 1, None)
    assert bot["in_use"]["maximum"] == largest * MIB
    assert bot["limit"] == 161 * MIB  # 140 MiB x 1.15
    assert bot["reservation"] <= bot["limit"]
    assert not bot["low_confidence"], bot["reason"]
    ahead = bot["projection"]
    assert abs(ahead["per_user"] - EACH * MIB) < 0.1 * MIB
    assert abs(ahead["in_use"] - (BASE + EACH * 50) * MIB) < 5 * MIB
    assert not ahead["low_confidence"], ahead["reason"]
    assert found["outlook"]["projected_fits"]
    assert found["outlook"]["users_carried"] > 500
    shown = play(instance, "-e", f"audit_history={recorded}")
    assert "bot: limit 161M, reservation" in shown.stdout
    assert "50 users: 23" in shown.stdout  # (100 + 50 x 2) MiB x 1.15 = 230 MiB and a little


def test_without_samples_it_says_so_and_goes_on(instance):
    found = look(instance, f"{TARGET}/deploy", history="/nowhere")
    assert found["recommendations"] == []
    assert "monitoring" in found["history"]["missing"]


# A small stack, once as it should be and once with the faults that the reference stack does not have


LOGS = "    logging: {driver: json-file, options: {max-size: 5m, max-file: '2'}}\n"
CLEAN = """
services:
  redis:
    image: redis:7-alpine
    command: redis-server --save 60 1 --maxmemory 90mb --maxmemory-policy noeviction
    mem_limit: 128m
    memswap_limit: 128m
LOGS
  api:
    image: python:3.11-slim
    command: python -m http.server 8099
    mem_limit: 64m
    memswap_limit: 64m
    healthcheck:
      test: ["CMD-SHELL", "python -c 'import socket; socket.create_connection((\\"localhost\\", 8099))' || exit 1"]
      interval: 2s
LOGS
"""
FAULTY = """
services:
  redis:
    image: redis:7-alpine
    command: redis-server --save 60 1 --maxmemory 256mb --maxmemory-policy noeviction
    mem_limit: 128m
LOGS
  api:
    image: python:3.11-slim
    command: python -m http.server 8099
    mem_limit: 64m
    memswap_limit: 64m
    healthcheck:
      test: ["CMD", "curl", "-f", "http://localhost:8099/"]
      interval: 2s
LOGS
  worker:
    image: deploy-worker-image
    command: rq worker -u redis://redis:6379/0 --max-jobs 2 small
    restart: "no"
    mem_limit: 128m
    memswap_limit: 128m
    depends_on: [redis]
LOGS
  hungry:
    image: python:3.11-slim
    command: sh -c "python -c 'bytearray(200000000)'; sleep 100000"
    stop_grace_period: 0s
    mem_limit: 32m
    memswap_limit: 32m
LOGS
"""


@pytest.fixture
def small(instance):
    """A function that starts a small project from a text, and returns its folder."""
    folder = "/opt/audit-small"

    def up(text):
        data = text.replace("LOGS\n", LOGS).encode()
        ssh.execute(instance, f"mkdir -p {folder} && cat > {folder}/compose.yaml", stdin=data)
        ssh.execute(instance, f"cd {folder} && docker compose up -d 2>&1", timeout=120)
        return folder

    yield up
    ssh.execute(instance, f"cd {folder} && docker compose down -v 2>&1; rm -rf {folder}")


@pytest.fixture
def tuned(instance):
    """The host with swap and kernel settings as stage 2 leaves them: its own copies, and what lxcfs would show."""
    name = container_name(instance.name)
    settings = {"/proc/sys/vm/swappiness": "10", "/proc/sys/vm/overcommit_memory": "1"}
    before = {path: ssh.execute(instance, f"cat {path}").strip() for path in settings}
    for path, value in settings.items():
        ssh.execute(instance, f"echo {value} > {path}")
    engine.docker("update", "--memory-swap", "5g", name)
    ssh.execute(
        instance,
        "sed 's/^SwapTotal:.*/SwapTotal: 2097152 kB/; s/^SwapFree:.*/SwapFree: 2097152 kB/' /proc/meminfo"
        " > /run/meminfo && mount --bind /run/meminfo /proc/meminfo",
    )
    yield
    ssh.execute(instance, "umount /proc/meminfo")
    engine.docker("update", "--memory-swap", "2900m", name)
    for path, value in before.items():
        ssh.execute(instance, f"echo {value} > {path}")


def address(instance, container):
    wanted = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return ssh.execute(instance, f"docker inspect -f '{wanted}' {container}").strip()


def test_nothing_is_said_about_a_clean_stack(instance, tuned, small):
    if instance.kind != "container":
        pytest.skip("swap and kernel settings are made up, which takes a host that is a container")
    folder = small(CLEAN)
    enqueue(instance, address(instance, "audit-small-redis-1"), "small", "tidy")
    found = look(instance, folder)
    # The disk is that of the machine the sandbox runs on.
    assert [one for one in found["findings"] if one["id"] != "disk_filling"] == []
    assert found["host"]["swap_total"] == 2 * 1024**3
    assert found["host"]["pressure"] is None or found["host"]["pressure"]["some_avg10"] >= 0


def test_faults_made_for_it_are_found(instance, small):
    huge = ssh.execute(instance, f"cat {THP}").strip()
    folder = small(FAULTY)
    ssh.execute(instance, f"echo '[always] madvise never' > {THP}")
    try:
        found = look(instance, folder)
    finally:
        ssh.execute(instance, f"echo '{huge}' > {THP}")
    assert {
        ("redis_maxmemory_above_limit", "high", "redis"),
        ("swap_beyond_limit", "low", "redis"),
        ("health_command_missing", "high", "api"),
        ("max_jobs_taken_for_concurrency", "medium", "worker"),
        ("recycling_without_restart_policy", "high", "worker"),
        ("compilers_in_image", "medium", "worker"),
        ("oom_kills", "high", "hungry"),
        ("huge_pages_always", "medium", "host"),
    } <= kinds(found)
    by_id = {one["id"]: one for one in found["findings"]}
    assert not {"memory_limit_missing", "log_unbounded", "eviction_policy_loses_jobs"} & set(by_id)
    assert "Docker knows nothing of it" in by_id["oom_kills"]["why"]
    assert "curl is not in python:3.11-slim" in by_id["health_command_missing"]["figure"]
