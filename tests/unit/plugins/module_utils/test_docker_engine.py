# Copyright (c) 2026, the Headroom authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.smallhost.headroom.plugins.module_utils import docker_engine as engine

MIB = 1024 * 1024
PROCESSORS = len(os.sched_getaffinity(0))


def container(**host_config):
    return engine.Container(
        {"Id": "0" * 64, "Name": "/bot-1", "Config": {"Labels": None}, "State": {}, "HostConfig": host_config}
    )


def test_memory_always_goes_together_with_swap():
    wanted = {"memory": 50 * MIB, "memory_swap": 50 * MIB}
    body = {"Memory": 50 * MIB, "MemorySwap": 50 * MIB}
    assert engine.update_body(container(), wanted) == body
    assert engine.update_body(container(Memory=20 * MIB, MemorySwap=40 * MIB), wanted) == body
    assert engine.update_body(container(Memory=50 * MIB, MemorySwap=100 * MIB), wanted) == body
    assert engine.update_body(container(Memory=50 * MIB, MemorySwap=50 * MIB), wanted) == {}


def test_everything_goes_in_one_call():
    wanted = {"memory": 50 * MIB, "memory_swap": -1, "memory_reservation": 20 * MIB, "cpus": 0.5, "pids": 9}
    assert engine.update_body(container(), wanted) == {
        "Memory": 50 * MIB,
        "MemorySwap": -1,
        "MemoryReservation": 20 * MIB,
        "NanoCpus": 500_000_000,
        "PidsLimit": 9,
    }


def test_what_is_not_wanted_is_left():
    full = container(Memory=1, MemorySwap=1, MemoryReservation=1, NanoCpus=1, PidsLimit=1)
    assert engine.update_body(full, {"memory": None, "cpus": None}) == {}


def test_a_cpu_quota_is_answered_with_a_quota():
    quota = container(CpuQuota=20000, CpuPeriod=50000)
    assert engine.update_body(quota, {"cpus": 0.4}) == {}
    assert engine.update_body(quota, {"cpus": 0.5}) == {"CpuQuota": 25000, "CpuPeriod": 50000}
    assert engine.update_body(container(CpuQuota=20000), {"cpus": 0.5}) == {"CpuQuota": 50000, "CpuPeriod": 100_000}


@pytest.mark.parametrize("live", [None, 0, -1])
def test_no_limit_of_processes_has_three_spellings(live):
    assert engine.update_body(container(PidsLimit=live), {"pids": -1}) == {}


def test_limits_in_plain_words():
    found = container(Memory=5, MemorySwap=-1, CpuQuota=50000, PidsLimit=None).limits()
    assert found == {"memory": 5, "memory_swap": None, "memory_reservation": None, "cpus": 0.5, "pids": None}


UNLIMITED = dict.fromkeys(engine.LIVE_KEYS, 0)


@pytest.mark.parametrize(("version", "swap", "low"), [(1, engine.UNLIMITED, -1), (2, -1, 6 * MIB + 4096)])
def test_taking_limits_away_again(version, swap, low):
    limited = container(Memory=5 * MIB, MemorySwap=5 * MIB, MemoryReservation=7 * MIB, NanoCpus=5, PidsLimit=7)
    assert engine.restore_body(limited, UNLIMITED, version, 2) == {
        "Memory": engine.UNLIMITED,
        "MemorySwap": swap,
        "MemoryReservation": low,
        "NanoCpus": 1_999_999_999,
        "PidsLimit": 0,
    }


def test_what_was_taken_away_counts_as_none():
    limited = container(Memory=5 * MIB, MemorySwap=5 * MIB, MemoryReservation=7 * MIB, NanoCpus=5, PidsLimit=7)
    lifted = container(**engine.restore_body(limited, UNLIMITED, 1, PROCESSORS))
    assert lifted.live() == UNLIMITED
    assert engine.restore_body(lifted, UNLIMITED, 1, PROCESSORS) == {}


def test_a_limit_of_all_processors_is_one():
    wanted, sent = {"cpus": float(PROCESSORS)}, {"NanoCpus": PROCESSORS * 1_000_000_000}
    assert engine.update_body(container(), wanted) == sent
    assert engine.update_body(container(**sent), wanted) == {}
    assert container(**sent).limits()["cpus"] == PROCESSORS
    assert engine.restore_body(container(NanoCpus=5), container(**sent).live(), 2, PROCESSORS) == sent
    lifted = engine.restore_body(container(**sent), UNLIMITED, 2, PROCESSORS)
    assert container(**lifted).live() == UNLIMITED
    assert engine.update_body(container(**lifted), wanted) == sent


def test_limits_from_before_come_back():
    before = container(Memory=40 * MIB, MemorySwap=80 * MIB, CpuQuota=30000).live()
    now = container(Memory=50 * MIB, MemorySwap=50 * MIB, CpuQuota=40000, CpuPeriod=100_000)
    assert engine.restore_body(now, before, 1, 2) == {
        "Memory": 40 * MIB,
        "MemorySwap": 80 * MIB,
        "CpuQuota": 30000,
        "CpuPeriod": 100_000,
    }


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://somewhere"])
def test_only_a_socket_of_this_host(host):
    with pytest.raises(engine.EngineError, match="run the task on the Docker host itself"):
        engine.Engine(host)


def test_a_stopped_engine_is_one_clear_error(tmp_path):
    with pytest.raises(engine.EngineError, match=r"does not answer at unix://.*Is it running"):
        engine.Engine(f"unix://{tmp_path}/none.sock")


def test_the_smallest_reservation_is_one():
    assert container(MemoryReservation=6 * MIB).live()["MemoryReservation"] == 6 * MIB
    for none in (None, 0, -1, 6 * MIB + 4096):
        assert container(MemoryReservation=none).live()["MemoryReservation"] == 0
