# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sampler on a host with the reference stack, as the kernel, systemd and Prometheus' parser see it."""

from __future__ import annotations

import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

PROMETHEUS_TEXT = "/run/headroom-sampler/headroom.prom"
SERVICES = {"api", "bot", "redis", "worker-image"}
MIB = 1024**2


def metrics(host) -> dict[str, list]:
    text = host.check_output(f"cat {PROMETHEUS_TEXT} 2>/dev/null || true")
    return {family.name: family.samples for family in text_string_to_metric_families(text + "\n")}


def wait_for(host, wanted, seconds: int = 90) -> dict[str, list]:
    """The metrics, as soon as `wanted` is true of them."""
    deadline = time.monotonic() + seconds
    while True:
        found = metrics(host)
        if found and wanted(found):
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds} s: {sorted(found)}")
        time.sleep(2)


def by_service(samples: list) -> dict[str, float]:
    return {one.labels["service"]: one.value for one in samples if one.labels["project"] == "deploy"}


def test_the_service_runs_and_starts_at_boot(host):
    service = host.service("headroom-sampler")
    assert service.is_running
    assert service.is_enabled


def test_every_container_is_measured_as_the_kernel_has_it(host):
    found = wait_for(host, lambda seen: seen["headroom_sampler_samples"][0].value >= 3)
    assert set(by_service(found["headroom_container_running"])) == SERVICES
    working_set = by_service(found["headroom_container_memory_working_set_bytes"])
    assert set(working_set) == SERVICES
    for service, measured in working_set.items():
        identity = host.check_output(
            f"docker ps --quiet --no-trunc --filter label=com.docker.compose.service={service}"
        ).split()[0]
        usage = int(host.check_output(f"cat /sys/fs/cgroup/memory/docker/{identity}/memory.usage_in_bytes"))
        inactive = int(
            host.check_output(f"grep ^total_inactive_file /sys/fs/cgroup/memory/docker/{identity}/memory.stat").split()[
                1
            ]
        )
        assert measured == pytest.approx(usage - inactive, rel=0.1, abs=2 * MIB), service


def test_the_host_is_its_own_2900_megabytes(host):
    (size,) = metrics(host)["headroom_host_memory_bytes"]
    assert size.value == 2900 * MIB


def test_the_api_is_probed(host):
    found = wait_for(host, lambda seen: seen["headroom_probe_up"][0].value == 1)
    (duration,) = found["headroom_probe_duration_seconds"]
    assert duration.labels == {"service": "api"}
    assert 0 < duration.value < 5


def test_active_users_come_from_redis(host):
    host.check_output(
        "docker exec $(docker ps --quiet --filter label=com.docker.compose.service=redis) "
        "redis-cli PFADD active:$(date --utc +%Y%m%d%H%M) anna boris vera"
    )
    host.check_output("systemctl restart headroom-sampler")
    found = wait_for(host, lambda seen: any(one.value == 3 for one in seen.get("headroom_active_users", [])))
    assert {one.labels["window"]: one.value for one in found["headroom_active_users"]} == {"5m": 3, "1h": 3, "24h": 3}


def test_it_stays_below_ten_megabytes_and_half_a_percent_of_a_core(host):
    pid = host.check_output("systemctl show --property MainPID --value headroom-sampler")
    resident = int(host.check_output(f"grep VmHWM /proc/{pid}/status").split()[1])
    assert resident < 10 * 1024
    found = wait_for(host, lambda seen: seen["headroom_sampler_samples"][0].value >= 3)
    taken, spent = found["headroom_sampler_samples"][0].value, found["headroom_sampler_cpu_seconds"][0].value
    assert spent / taken / 15 < 0.005, "at the default interval of 15 s"


def test_samples_are_recorded_and_survive_a_kill(host):
    wait_for(host, lambda seen: seen["headroom_sampler_samples"][0].value >= 3)
    count = "cat /var/lib/headroom-sampler/samples/0005-* | grep -c ^c"
    before = int(host.check_output(count))
    assert before > 0
    host.check_output("systemctl kill --signal=KILL headroom-sampler")
    deadline = time.monotonic() + 60
    while int(host.check_output(count)) <= before + 4:
        assert time.monotonic() < deadline, "no samples after the kill"
        time.sleep(2)
    assert host.service("headroom-sampler").is_running


def test_nothing_secret_can_be_read_by_others(host):
    assert host.file("/etc/headroom-sampler/sampler.json").mode == 0o600
    assert host.file("/var/lib/headroom-sampler").mode == 0o700
    text = host.file(PROMETHEUS_TEXT).content_string
    environment = host.check_output("docker inspect --format '{{json .Config.Env}}' $(docker ps --quiet)")
    secrets = [
        word.split("=", 1)[1].rstrip('",]') for word in environment.split('","') if "TOKEN" in word or "KEY" in word
    ]
    assert not any(secret and secret in text for secret in secrets)
