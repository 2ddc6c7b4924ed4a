# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 4 has left behind, as the kernel, the engine and the processes themselves tell it."""

from __future__ import annotations

import inspect
import json

import pytest

from sandbox import probe

MIB = 1024**2
FEATURES = {
    "bot": "images,lazy-models,release-memory,http,api:counters=/opt/headroom/counters/bot",
    "api": "images,lazy-models,release-memory,http,api:counters=/opt/headroom/counters/api",
    "worker-image": "images,lazy-models,release-memory,tempfiles,http",
}
SITE = "/opt/headroom/site"


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


@pytest.fixture(scope="module")
def pids(host, services):
    """The first process of each container, as the host numbers it."""
    listed = {
        name: host.check_output("docker inspect -f '{{.State.Pid}}' %s", entry["id"])
        for name, entry in services.items()
    }
    return {name: int(pid) for name, pid in listed.items()}


@pytest.fixture(scope="module")
def runs(host):
    """The rollouts that are on record, the latest last."""
    return json.loads(host.file("/var/lib/headroom/deploy/runs.json").content_string)


@pytest.mark.parametrize("service", FEATURES)
def test_processes_were_started_with_the_features(host, pids, service):
    text = host.check_output(f"tr '\\0' '\\n' < /proc/{pids[service]}/environ")
    environment = dict(line.partition("=")[::2] for line in text.splitlines())
    assert environment["HEADROOM_RUNTIME"] == FEATURES[service]
    assert environment["PYTHONPATH"] == f"{SITE}:/app"  # what the image sets is still on it


@pytest.mark.parametrize("service", FEATURES)
def test_package_is_mounted_and_cannot_be_written(host, pids, service):
    mounts = [line.split() for line in host.file(f"/proc/{pids[service]}/mountinfo").content_string.splitlines()]
    options = [fields[5].split(",") for fields in mounts if fields[4] == SITE]
    assert len(options) == 1
    assert "ro" in options[0]


@pytest.mark.parametrize("service", FEATURES)
def test_features_are_switched_on_in_the_containers(host, services, service):
    """An interpreter that starts there now has them, and nothing failed since the container was started."""
    code = "import headroom_runtime.activation as a, sys; print(','.join(sorted(a.active)))"
    found = host.run("docker exec %s python -c %s", services[service]["id"], code)
    assert found.stdout.strip() == ",".join(sorted(text.partition(":")[0] for text in FEATURES[service].split(",")))
    log = host.run("docker logs %s", services[service]["id"])
    assert "not applied" not in log.stdout + log.stderr + found.stderr


def test_requests_are_counted_where_the_monitoring_looks(host):
    host.check_output("curl -s -o /dev/null http://127.0.0.1:8000/health && sleep 2")
    text = host.file("/run/headroom/counters/api").content_string
    counted = dict(line.split() for line in text.splitlines())
    assert float(counted["requests"]) >= 1
    assert float(counted["errors"]) == 0


def test_the_counters_folder_is_made_at_boot_for_whoever_counts(host):
    host.check_output("chmod 0755 /run/headroom/counters")
    host.check_output("systemd-tmpfiles --create /etc/tmpfiles.d/headroom-counters.conf")
    assert host.file("/run/headroom/counters").mode == 0o1777


def test_redis_is_not_touched(host, pids):
    assert "headroom" not in host.file(f"/proc/{pids['redis']}/environ").content_string.lower()


def test_bot_meets_its_target_at_last(services):
    """Stage 1 alone has to leave it about twice as much: see its test."""
    bot = services["bot"]
    assert bot["limit"] == bot["limit_with_swap"] == 120 * MIB
    assert bot["working_set"] < 0.9 * bot["limit"]


def test_other_limits_are_as_stage_1_has_set_them(services):
    assert (services["api"]["limit"], services["worker-image"]["limit"]) == (150 * MIB, 200 * MIB)


def test_stack_is_smaller_than_before(runs, services):
    before = next(run for run in runs["runs"] if run["stage"] == "stage4_code")["before"]["totals"]
    now = sum(entry["working_set"] for entry in services.values())
    assert now < 0.75 * before["working_set"]


def test_all_are_well_and_nothing_was_killed(host, services):
    for name, entry in services.items():
        assert entry["health"] in ("healthy", "none"), name
        assert entry["oom_kills"] == 0, name
        assert entry["restarts"] == 0, name
    answer = host.check_output("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/health")
    assert answer == "200"


def test_journals_folder_stays_private(host):
    assert host.file("/var/lib/headroom/deploy").mode == 0o700
    assert host.file("/var/lib/headroom/deploy/site").mode == 0o755
