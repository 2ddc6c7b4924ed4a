# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 1 has left behind, as the kernel, the engine and Redis tell it."""

from __future__ import annotations

import inspect
import json
from datetime import datetime

import pytest

from sandbox import probe

MIB = 1024**2
COMPOSE = "/opt/imagebot/deploy/docker-compose.prod.yml"


@pytest.fixture(scope="module")
def seen(host):
    """What sandbox/probe.py, run on the host, reads from the kernel's files, the engine and Redis."""
    source = inspect.getsource(probe)
    host.run("cat > /tmp/probe.py <<'PROBE'\n" + source + "\nPROBE")
    result = host.run("python3 /tmp/probe.py deploy")
    assert result.rc == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def services(seen):
    return {entry["service"]: entry for entry in seen["containers"]}


def test_every_container_is_limited_in_the_kernel(services):
    assert sorted(services) == ["api", "bot", "redis", "worker-image"]
    for name, entry in services.items():
        assert entry["limit"] is not None, name
        assert entry["reservation"] is not None, name
        # Memory and swap together: without it the engine allows as much swap again.
        assert entry["limit_with_swap"] in (entry["limit"], None), name
        assert entry["reservation"] < entry["limit"], name


@pytest.mark.parametrize(("service", "target"), [("api", 150), ("worker-image", 200), ("redis", 128)])
def test_targets_that_the_containers_fit_into_are_met(services, service, target):
    assert services[service]["limit"] == target * MIB


def test_bot_gets_what_it_needs_although_its_target_is_lower(services):
    bot = services["bot"]
    assert bot["limit"] > 120 * MIB
    assert bot["limit"] >= 1.05 * bot["working_set"]


def test_one_process_serves_the_api(host, services):
    lines = services["api"]["processes"]
    assert sum("uvicorn" in line for line in lines) == 1
    assert not any("spawn_main" in line for line in lines)
    answer = host.check_output("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/health")
    assert answer == "200"


def test_redis_answers_its_new_bounds(seen, services):
    redis = seen["redis"]
    assert int(redis["maxmemory"]) == 96 * MIB < services["redis"]["limit"]
    assert redis["maxmemory-policy"] == "noeviction"


def test_all_are_well_and_nothing_was_killed(services):
    for name, entry in services.items():
        assert entry["health"] in ("healthy", "none"), name
        assert entry["oom_kills"] == 0, name
        assert entry["restarts"] == 0, name


def test_only_the_lines_that_had_to_change_changed(host):
    """Services gained the lines of their limits, two command lines new values; all else is as it was."""
    text = host.file(COMPOSE).content_string
    assert text.count("--workers 1") == 1
    assert "--maxmemory 96mb --maxmemory-policy noeviction" in text
    kept = [line for line in text.splitlines() if not line.strip().startswith(("mem_", "memswap_"))]
    original = inspect.getsourcefile(probe).replace("probe.py", "stack/imagebot/deploy/docker-compose.prod.yml")
    with open(original) as stream:
        before = stream.read().splitlines()
    differing = [pair for pair in zip(before, kept) if pair[0] != pair[1]]
    assert len(before) == len(kept)
    assert len(differing) == 2
    assert all("command:" in old for old, _new in differing)


def test_nothing_but_the_api_was_restarted(host, services):
    """Redis above all: a worker whose Redis goes away loses the job at hand."""
    first = json.loads(host.file("/var/lib/headroom/deploy/runs.json").content_string)["runs"][0]["started"]
    started = {name: datetime.fromisoformat(entry["started"][:19] + "+00:00") for name, entry in services.items()}
    assert [name for name, when in started.items() if when.timestamp() > first] == ["api"]


def test_undo_journal_is_private(host):
    journal = host.file("/var/lib/headroom/deploy/undo.json")
    assert journal.mode == 0o600
    assert host.file("/var/lib/headroom/deploy").mode == 0o700
