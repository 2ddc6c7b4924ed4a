# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 3 has left behind, as the kernel, the engine, Redis and the providers tell it."""

from __future__ import annotations

import inspect
import json
import time
import urllib.request

import pytest

from sandbox import probe
from sandbox.providers import container as providers

MIB = 1024**2
FOLDER = "/opt/imagebot/deploy"
COMPOSE = f"{FOLDER}/docker-compose.prod.yml"
GATEWAY, CACHE = "deploy-headroom-gateway-1", "deploy-headroom-cache-1"

ASK = "from app.services import llm; print(llm.answer_sync({!r}))"
TRANSLATE = "from app.services.translate import translate; print(translate({!r}))"
PAINT = "import hashlib; from app.services import images; print(hashlib.sha256(images.generate({!r})).hexdigest())"
FROM_BRIDGE, FROM_HOST = "imagebot-bot", "imagebot-worker-image"


@pytest.fixture(scope="module")
def services(host):
    """What sandbox/probe.py, run on the host, reads from the kernel's files and the engine, by service."""
    host.run("cat > /tmp/probe.py <<'PROBE'\n" + inspect.getsource(probe) + "\nPROBE")
    result = host.run("python3 /tmp/probe.py deploy")
    assert result.rc == 0, result.stderr
    return {entry["service"]: entry for entry in json.loads(result.stdout)["containers"]}


@pytest.fixture
def calls():
    """Calls that the providers have had so far, by kind."""
    url = providers.control_url("molecule") + "/counters"

    def count() -> dict[str, int]:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["calls"]

    return count


@pytest.fixture
def application(host):
    """Run a line of Python where the application runs, and return what it prints."""

    def run(container: str, program: str) -> str:
        return host.check_output("docker exec %s python -c %s", container, program)

    return run


def inspected(host, container: str) -> dict:
    return json.loads(host.check_output("docker inspect %s", container))[0]


def ours(before: dict[str, int], after: dict[str, int], kind: str) -> int:
    return after.get(kind, 0) - before.get(kind, 0)


@pytest.mark.parametrize(("service", "limit"), [("headroom-gateway", 96), ("headroom-cache", 128)])
def test_added_services_are_limited_in_the_kernel(services, service, limit):
    entry = services[service]
    assert entry["limit"] == limit * MIB
    # Memory and swap together: without it the engine allows as much swap again.
    assert entry["limit_with_swap"] in (entry["limit"], None)
    assert entry["reservation"] == limit * MIB // 2
    assert entry["health"] == "healthy"
    assert entry["oom_kills"] == 0


@pytest.mark.parametrize("container", [GATEWAY, CACHE])
def test_added_services_are_shut_in(host, container):
    found = inspected(host, container)
    settings = found["HostConfig"]
    assert not settings["PortBindings"]
    assert not any(found["NetworkSettings"]["Ports"].values())
    assert settings["ReadonlyRootfs"] is True
    assert settings["CapDrop"] == ["ALL"]
    assert "no-new-privileges:true" in settings["SecurityOpt"]
    assert settings["RestartPolicy"]["Name"] == "unless-stopped"
    status = host.check_output("grep -h CapEff /proc/%s/status", str(found["State"]["Pid"]))
    assert int(status.split()[1], 16) == 0
    assert host.check_output("stat -c %%u /proc/%s", str(found["State"]["Pid"])) != "0"
    # An anonymous volume would be left behind on the host.
    assert not [mount for mount in found["Mounts"] if mount["Type"] == "volume"]


def test_cache_answers_its_bounds(host):
    lines = host.check_output("docker exec %s redis-cli config get '*'", CACHE).split("\n")
    settings = dict(zip(lines[::2], lines[1::2]))
    assert int(settings["maxmemory"]) == 96 * MIB
    assert settings["maxmemory-policy"] == "allkeys-lfu"
    assert settings["save"] == ""
    assert settings["appendonly"] == "no"
    assert settings["hash-max-listpack-value"] == "512"


def test_queue_is_in_the_other_redis(host):
    keys = host.check_output("docker exec imagebot-redis redis-cli --scan").splitlines()
    assert "rq:workers" in keys
    assert not host.check_output("docker exec %s redis-cli --scan --pattern 'rq:*'", CACHE)


@pytest.mark.parametrize("container", [FROM_BRIDGE, FROM_HOST])
def test_repeated_question_is_asked_once(application, calls, container):
    question = f"What does {container} think about at {time.time()}?"
    before = calls()
    answers = [application(container, ASK.format(question)) for _unused in range(3)]
    assert len(set(answers)) == 1
    assert answers[0]
    assert ours(before, calls(), "openai.chat") == 1


def test_answer_is_shared_by_services(application, calls):
    question = f"Who asks at {time.time()}?"
    before = calls()
    assert application(FROM_BRIDGE, ASK.format(question)) == application(FROM_HOST, ASK.format(question))
    assert ours(before, calls(), "openai.chat") == 1


def test_translation_and_picture_are_paid_for_once(application, calls):
    text, idea = f"Der Fluss um {time.time()}", f"a river at {time.time()}"
    before = calls()
    assert len({application(FROM_BRIDGE, TRANSLATE.format(text)) for _unused in range(2)}) == 1
    assert len({application(FROM_HOST, PAINT.format(idea)) for _unused in range(2)}) == 1
    after = calls()
    assert {kind: ours(before, after, kind) for kind in ("deepl.translate", "fal.submit", "fal.media")} == {
        "deepl.translate": 1,
        "fal.submit": 1,
        "fal.media": 1,
    }


def test_telegram_is_not_redirected(host):
    metrics = host.check_output(
        "docker exec %s python3 -c %s",
        GATEWAY,
        "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8080/metrics').read().decode())",
    )
    assert "openai" in metrics
    assert "telegram" not in metrics


def test_owners_next_up_keeps_gateway_and_cache(host):
    before = [inspected(host, container)["Id"] for container in (GATEWAY, CACHE)]
    owners = "docker compose -f docker-compose.prod.yml up -d --no-build --remove-orphans 2>&1"
    host.check_output(f"cd {FOLDER} && {owners}")
    assert [inspected(host, container)["Id"] for container in (GATEWAY, CACHE)] == before


@pytest.mark.parametrize("container", [CACHE, GATEWAY])
def test_application_goes_on_without(host, application, calls, container):
    question = f"Is {container} there at {time.time()}?"
    before = calls()
    host.check_output("docker kill %s", container)
    try:
        answers = {application(service, ASK.format(question)) for service in (FROM_BRIDGE, FROM_HOST)}
    finally:
        host.check_output("docker start %s", container)
    assert len(answers) == 1
    assert ours(before, calls(), "openai.chat") == 2


def test_every_line_of_the_owner_is_in_place(host):
    original = inspect.getsourcefile(probe).replace("probe.py", "stack/imagebot/deploy/docker-compose.prod.yml")
    with open(original) as stream:
        lines = stream.read().splitlines()
    now = iter(host.file(COMPOSE).content_string.splitlines())
    assert [line for line in lines if line not in now] == []


def test_policy_of_the_operator_is_in_force(host):
    text = host.check_output("docker exec %s cat /etc/headroom/policy.toml", GATEWAY)
    assert "providers.openai.concurrency = 8" in text.splitlines()
    assert f"cache.images_total_bytes = {48 * MIB}" in text.splitlines()
