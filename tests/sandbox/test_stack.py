# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The reference stack on a small host: every kind of request answered, calls counted, planted faults really there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from sandbox import ssh
from sandbox.environment import ROOT
from sandbox.providers import HOST_NAMES
from sandbox.providers import container as providers
from sandbox.stack import SERVICES, TARGET

NAME = os.environ.get("HEADROOM_STACK_HOST", "stack-test")  # as conftest names it


@pytest.fixture(scope="module")
def load(instance, tmp_path_factory):
    """What a short load of users reported."""
    report = tmp_path_factory.mktemp("load") / "load.json"
    subprocess.run(
        [sys.executable, "-m", "sandbox.load", "--name", NAME, "--users", "8", "--requests", "4", "--seed", "6",
         "--seconds", "150", "--drain", "300", "--think", "constant:1", "--answers", "--out", str(report)],
        cwd=ROOT, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return json.loads(report.read_text())


def run(instance, command):
    return ssh.execute(instance, command)


def inspect(instance, service):
    return json.loads(run(instance, f"docker container inspect imagebot-{service}"))[0]


def wait_for_reply(chat_id, after, seconds=120.0):
    """Return the first answer of the bot to a chat, leaving out what is no answer yet."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        got = providers.call(NAME, "GET", f"/replies?after={after}&wait=5")
        for reply in got["replies"]:
            if reply["chat_id"] == chat_id and not reply.get("text", "").startswith("⏳"):
                return reply
        after = got["last"]
    raise AssertionError(f"no answer to {chat_id} within {seconds} s")


def write(chat_id, text):
    after = providers.call(NAME, "GET", "/replies?after=0")["last"]
    providers.call(NAME, "POST", "/messages", [{"chat_id": chat_id, "text": text}])
    return wait_for_reply(chat_id, after)


def test_every_request_of_every_kind_is_answered(load):
    assert set(load["bot"]) == {"text", "stream", "chat", "translate", "image", "upload"}
    assert (load["failed"], load["unanswered"]) == (0, 0), load["failures"]
    assert load["sent"] == load["answered"] == 32
    assert (load["api"]["failed"], load["api"]["unanswered"]) == (0, 0)


def test_no_job_is_lost(load):
    jobs = load["jobs"]
    assert jobs["enqueued"] == jobs["finished"] > 0
    assert jobs["lost"] == jobs["failed"] == jobs["unfinished"] == 0


def test_the_providers_counted_what_the_users_asked(load):
    calls, bot = load["provider_calls"], load["bot"]
    web = {kind: row["answered"] for kind, row in load["api_calls"].items()}
    pictures = bot["image"]["answered"] + web.get("job", 0)
    assert calls["deepl.translate"] == bot["translate"]["answered"]
    assert calls["openai.chat_stream"] == bot["stream"]["answered"]
    assert calls["fal.submit"] == calls["fal.result"] == calls["fal.media"] == pictures
    assert calls["fal.status"] > calls["fal.submit"]
    assert calls["openai.chat"] == bot["text"]["answered"] + bot["chat"]["answered"] + pictures + web.get("chat", 0)
    assert load["paid_calls"] == sum(
        calls[kind] for kind in ("deepl.translate", "openai.chat", "openai.chat_stream", "fal.submit")
    )


def test_equal_prompts_outside_a_talk_got_equal_answers(load):
    seen = {}
    for entry in load["answers"]:
        if entry["kind"] in ("text", "stream", "translate", "image"):
            assert seen.setdefault((entry["kind"], entry["prompt"]), entry["answer"]) == entry["answer"]


CLIENT = """
import fal_client, threading
def one(number):
    results.append(fal_client.submit("fal-ai/flux/schnell", arguments={"prompt": f"load {number}"}).get())
results = []
threads = [threading.Thread(target=one, args=(number,)) for number in range(6)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
print(len({result["images"][0]["url"] for result in results}))
"""


def test_fal_lets_two_requests_run(instance):
    providers.call(NAME, "POST", "/reset", {})
    found = ssh.execute(instance, "docker exec -i imagebot-api python -", stdin=CLIENT.encode())
    assert found.split() == ["6"]
    counters = providers.call(NAME, "GET", "/counters")
    assert counters["calls"]["fal.submit"] == 6
    assert counters["peaks"]["fal.running"] == 2
    assert counters["peaks"]["fal.waiting"] >= 2


def test_a_provider_that_fails_is_seen_by_the_user_and_not_by_the_next(instance):
    providers.call(NAME, "POST", "/faults", {"kind": "deepl", "mode": "status", "status": 456, "count": 1})
    assert write(7001, "/translate eins zwei")["text"].startswith("⚠️")
    assert write(7001, "/translate eins zwei")["text"] == "snie iewz (EN-US)"


def test_names_lead_to_the_stand_ins_and_nowhere_else(instance):
    script = (
        "import socket\n"
        f"for name in {list(HOST_NAMES)!r} + ['example.org']:\n"
        "    try: print(name, socket.gethostbyname(name))\n"
        "    except OSError: print(name, '-')\n"
    )
    for service in ("bot", "worker-image"):
        output = ssh.execute(instance, f"docker exec -i imagebot-{service} python -", stdin=script.encode())
        found = dict(line.split() for line in output.splitlines())
        assert {found[name] for name in HOST_NAMES} == {providers.address(NAME)}
        if service == "bot":
            assert found["example.org"] == "-"


def test_api_runs_two_workers(instance):
    processes = run(instance, "docker top imagebot-api -o pid,args")
    assert "--workers 2" in processes
    assert processes.count("spawn_main(") == 2


def test_redis_holds_the_queue_and_may_evict_it(instance):
    def setting(name):
        return run(instance, f"docker exec imagebot-redis redis-cli CONFIG GET {name}").split()[1]

    assert setting("maxmemory") == str(512 * 1024 * 1024)
    assert setting("maxmemory-policy") == "allkeys-lru"
    assert setting("appendonly") == "yes"


def test_nothing_is_limited_and_everything_restarts(instance):
    for service in SERVICES:
        found = inspect(instance, service)["HostConfig"]
        assert (found["Memory"], found["MemoryReservation"]) == (0, 0)
        assert found["RestartPolicy"]["Name"] == "unless-stopped"
    assert inspect(instance, "worker-image")["HostConfig"]["NetworkMode"] == "host"


def test_project_was_started_with_an_explicit_file(instance):
    labels = inspect(instance, "bot")["Config"]["Labels"]
    assert labels["com.docker.compose.project.config_files"] == f"{TARGET}/deploy/docker-compose.prod.yml"
    assert labels["com.docker.compose.project"] == "deploy"


@pytest.mark.parametrize("service", ["bot", "api", "worker-image"])
def test_images_are_fat(instance, service):
    inside = f"docker exec imagebot-{service}"
    assert run(instance, f"{inside} sh -c 'command -v gcc && command -v make'")
    run(instance, f"{inside} python -c 'import pandas'")
    assert run(instance, f"grep -rl pandas {TARGET}/app || true") == ""


def test_the_host_can_build_from_the_base_images(instance):
    dockerfile = b"FROM python:3.11-slim\nRUN pip install --no-cache-dir certifi && pip show certifi | grep -F 9999.0\n"
    build = "DOCKER_BUILDKIT=0 docker build --quiet --network host --tag stack-test-probe -"
    ssh.execute(instance, build, stdin=dockerfile, timeout=300)
    run(instance, "docker image rm stack-test-probe")
