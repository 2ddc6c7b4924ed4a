# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stage 2 has left behind, as the kernel, systemd, the engine and Redis tell it."""

from __future__ import annotations

import json

import pytest

COMPOSE = "/opt/imagebot/deploy/docker-compose.prod.yml"
WORKER = "imagebot-worker-image"


@pytest.fixture(scope="module")
def worker(host):
    return json.loads(host.check_output(f"docker inspect {WORKER}"))[0]


@pytest.mark.parametrize(
    ("file", "value"),
    [
        ("/proc/sys/vm/swappiness", "10"),
        ("/proc/sys/vm/overcommit_memory", "1"),
        ("/proc/sys/vm/dirty_bytes", "134217728"),
        ("/proc/sys/vm/dirty_ratio", "0"),
        ("/proc/sys/net/core/somaxconn", "4096"),
    ],
)
def test_the_kernel_holds_the_settings(host, file, value):
    assert host.file(file).content_string.strip() == value


def test_every_container_has_backlog_enough_for_its_server(host):
    """A container on a bridge does not follow the host's somaxconn: uvicorn asks for 2048, Redis for 511."""
    for name in ("imagebot-api", "imagebot-redis"):
        pid = host.check_output(f"docker inspect -f '{{{{.State.Pid}}}}' {name}")
        assert int(host.check_output(f"nsenter -t {pid} -n cat /proc/sys/net/core/somaxconn")) >= 2048


def test_a_container_host_gets_no_swap_file(host):
    assert not host.file("/swapfile.headroom").exists
    assert host.run("ls /etc/systemd/system/*.swap").rc != 0


def test_the_engine_keeps_containers_alive_and_needs_no_proxies(host):
    assert host.check_output("docker info --format '{{.LiveRestoreEnabled}}'") == "true"
    assert host.run("pgrep docker-proxy").rc != 0
    assert host.check_output("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/health") == "200"


def test_a_new_container_rotates_its_log(host, worker):
    assert worker["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-file": "3", "max-size": "10m"}}


def test_settings_that_this_engine_cannot_give_are_left_out(host):
    """dockerd may not raise its own limit of open files here; with a higher one no container would start."""
    settings = json.loads(host.file("/etc/docker/daemon.json").content_string)
    pid = host.check_output("cat /run/docker.pid")
    hard = host.check_output(f"awk '/open files/ {{print $5}}' /proc/{pid}/limits")
    may_raise = int(host.check_output(f"awk '/CapEff/ {{print $2}}' /proc/{pid}/status"), 16) >> 24 & 1
    assert ("default-ulimits" in settings) == bool(may_raise or int(hard) >= 65536)
    assert host.run("docker exec imagebot-redis true").rc == 0


def test_the_journal_says_its_bound_itself(host):
    said = host.check_output("journalctl -b -o cat -u systemd-journald -g 'max ' --no-pager | tail -n 1")
    assert "max 200.0M" in said or "max 32.0M" in said


def test_systemd_gives_new_services_the_limits(host):
    shown = host.check_output("systemctl show -p DefaultTasksMax -p DefaultLimitNOFILE -p DefaultLimitNOFILESoft")
    assert sorted(shown.split()) == ["DefaultLimitNOFILE=524288", "DefaultLimitNOFILESoft=1024", "DefaultTasksMax=1024"]


def test_the_worker_may_end_its_longest_job(host, worker):
    """A job in Redis may take 240 s (one of those that have failed), more than RQ's default."""
    assert worker["Config"]["StopTimeout"] == 255
    assert "--max-jobs" in worker["Args"]
    assert worker["Args"][worker["Args"].index("--max-jobs") + 1] == "500"
    assert "DB_POOL_SIZE=2" in worker["Config"]["Env"]


def test_the_worker_took_its_name_again_at_once(host):
    workers = host.check_output(f"docker exec {WORKER} rq info -u redis://localhost:6379/0 --only-workers --by-queue")
    assert "worker-image-1" in workers
    assert "active worker named" not in host.check_output(f"docker logs {WORKER} 2>&1")
    assert host.check_output(f"docker inspect -f '{{{{.RestartCount}}}}' {WORKER}") == "0"


def test_old_failed_jobs_are_gone_and_young_ones_stay_a_month(host):
    cli = "docker exec imagebot-redis redis-cli"
    jobs = host.check_output(f"{cli} zrange rq:failed:img_queue 0 -1").split()
    assert len(jobs) == 2
    for job in jobs:
        assert 29 * 86400 < int(host.check_output(f"{cli} ttl rq:job:{job}")) <= 30 * 86400


def test_all_are_well(host):
    for name in ("imagebot-bot", "imagebot-api", "imagebot-redis"):
        assert host.check_output(f"docker inspect -f '{{{{.State.Health.Status}}}}' {name}") == "healthy"


def test_undo_journals_are_private(host):
    for scope in ("deploy", "_host"):
        assert host.file(f"/var/lib/headroom/{scope}/undo.json").mode == 0o600
