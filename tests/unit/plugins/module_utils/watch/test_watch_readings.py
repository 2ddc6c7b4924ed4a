# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel's and the engine's own texts as readings."""

from __future__ import annotations

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils.docker_engine import Container
from ansible_collections.smallhost.headroom.plugins.module_utils.watch import readings

# Recorded in a container on Linux 6.18.
SNMP = """\
Ip: Forwarding DefaultTTL InReceives InHdrErrors InAddrErrors
Ip: 1 64 212 0 0
Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets CurrEstab InSegs OutSegs
Tcp: 1 200 120000 -1 3 38 0 0 1 290 241
Udp: InDatagrams NoPorts
Udp: 6 0
"""
DEV = """\
Inter-|   Receive                                          |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls
    lo:    5000      10    0    0    0     0          0         0     5000      10    0    0    0     0
  eth0:   24030     212    0    0    0     0          0         0    23505     200    0    0    0     0
  eth1: 1000 1 0 0 0 0 0 0 7 1 0 0 0 0
"""


def container(**changes) -> Container:
    state = {
        "Status": "running", "Running": True, "Paused": False, "Pid": 0, "ExitCode": 0,
        "StartedAt": "2026-11-22T13:28:20.396611554Z",
        "Health": {"Status": "healthy", "FailingStreak": 1, "Log": [{"ExitCode": 1, "Output": "curl:\nnot found\n"}]},
    }  # fmt: skip
    data = {
        "Id": "6" * 64,
        "Name": "/bot-api-1",
        "RestartCount": 2,
        "State": {**state, **changes.pop("state", {})},
        "Config": {
            "Labels": {
                "com.docker.compose.service": "api",
                "com.docker.compose.depends_on": "migrate:service_completed_successfully:false,redis:service_started:t",
            },
            "Healthcheck": {"Test": ["CMD", "curl"], "Interval": 10_000_000_000},
        },
        "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}, "NetworkMode": "bot_default", **changes},
    }
    return Container(data)


def test_network_counters():
    assert readings.tcp_accepted(SNMP) == 38
    assert readings.tcp_accepted("Ip: a\nIp: 1\n") == 0
    assert readings.moved_bytes(DEV) == 24030 + 23505 + 1000 + 7


def test_network_of_a_container(tmp_path):
    net = tmp_path / "77" / "net"
    net.mkdir(parents=True)
    (net / "snmp").write_text(SNMP)
    (net / "dev").write_text(DEV)
    own = {"connections": 38, "network_bytes": 48542}
    none = {"connections": None, "network_bytes": None}
    running = {"Pid": 77}
    assert readings.network_reading(container(state=running), str(tmp_path)) == own
    assert readings.network_reading(container(state=running, NetworkMode="host"), str(tmp_path)) == none
    assert readings.network_reading(container(state=running, NetworkMode="container:abc"), str(tmp_path)) == none
    assert readings.network_reading(container(state={"Pid": 78}), str(tmp_path)) == none


def test_container_reading():
    now = container(state={"StartedAt": "2026-11-22T13:29:20Z"}).started
    found = readings.container_reading(container(), False, now)
    assert (found["service"], found["state"], found["restarts"], found["policy"]) == (
        "api",
        "running",
        2,
        "unless-stopped",
    )
    assert (found["health"], found["failing_streak"], found["health_output"]) == ("healthy", 1, "curl: not found")
    assert (found["age"], found["check_interval"]) == (60.0, 10.0)
    assert found["oom_kills"] is None and found["connections"] is None
    bare = readings.container_reading(container(state={"Health": None}), True, now)
    assert (bare["health"], bare["check_interval"], bare["one_shot"]) == (None, None, True)


def test_one_shots():
    assert readings.one_shots([container()]) == {"migrate"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1970-01-01T00:01:00.5Z", 60.0), ("0001-01-01T00:00:00Z", -62135596800.0), ("", 0.0), ("soon", 0.0)],
)
def test_started(text, seconds):
    assert container(state={"StartedAt": text}).started == seconds


def test_event():
    raw = {
        "status": "die", "id": "6" * 64, "Action": "die", "timeNano": 1_500_000_000,
        "Actor": {"ID": "6" * 64, "Attributes": {"exitCode": "137", "com.docker.compose.service": "api"}},
    }  # fmt: skip
    died = {"id": "6" * 64, "action": "die", "service": "api", "exit_code": 137, "after": 0.5}
    assert readings.event(raw, 1.0) == died
    oom = {**raw, "Action": "oom", "Actor": {"ID": "6" * 64, "Attributes": {}}}
    assert readings.event(oom, 1.0) == {**died, "action": "oom", "service": "", "exit_code": None}


@pytest.mark.parametrize("value", [{"count": 5}, "count=5", {"count": "5"}, "count=5,other=1"])
def test_errors_of_a_redis_by_any_version_of_its_client(value):
    class Empty:
        def run_all(self, commands):
            return [None for _command in commands]

    info = {"errorstat_MISCONF": value, "redis_version": "7.0.15"}
    assert readings.redis_reading(Empty(), info, "redis", "queue")["errors"] == {"MISCONF": 5}


def test_host_reading(tmp_path):
    (tmp_path / "pressure").mkdir()
    (tmp_path / "pressure" / "memory").write_text("some avg10=0.00 avg60=0.12 avg300=0.06 total=242630\n")
    (tmp_path / "meminfo").write_text("MemTotal:  2000 kB\nMemAvailable:  500 kB\n")
    assert readings.host_reading(str(tmp_path)) == {
        "pressure": {"some_avg10": 0.0, "some_avg60": 0.12},
        "available": 512000,
    }
